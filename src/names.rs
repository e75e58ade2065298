//! Names in messages: lists, and the near miss of a name that is unknown.

/// The candidate most like `name`, if one is like enough to be a slip of the
/// pen: at most a third of its letters wrong, or one a part of the other.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    let near = candidates.into_iter().filter_map(|candidate| {
        let other = candidate.to_lowercase();
        let distance = strsim::damerau_levenshtein(&wanted, &other);
        let limit = (wanted.chars().count().max(other.chars().count()) / 3).max(1);
        let part = wanted.len().min(other.len()) >= 3 && (other.contains(&wanted) || wanted.contains(&other));
        (distance <= limit || part).then_some((distance, candidate))
    });
    near.min().map(|(_, candidate)| candidate)
}

/// `` `a`, `b` and `c` ``
pub fn list_of<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".into(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["question-answering", "causal-lm", "masked-lm", "base-model"];
        assert_eq!(nearest("question-answring", names), Some("question-answering"));
        assert_eq!(nearest("Masked-LM", names), Some("masked-lm"));
        assert_eq!(nearest("answering", names), Some("question-answering"));
        assert_eq!(nearest("resnet", names), None);
        assert_eq!(nearest("", names), None);
    }

    #[test]
    fn of_two_the_nearer_wins() {
        assert_eq!(nearest("matmol", ["matmul", "matrix"]), Some("matmul"));
    }
}
