//! Names in messages: lists, and the near miss of a name that is unknown.

/// Bytes of a name, beyond which it is like no other.
const LONGEST: usize = 64;

/// Candidates looked at, at most: a search for each of many mistakes must end.
const MOST_CANDIDATES: usize = 4096;

/// The candidate most like `name`, if one is like enough to be a slip of the
/// pen: at most a third of its letters wrong, or one a part of the other.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > LONGEST {
        return None;
    }
    let wanted = name.to_lowercase();
    let short = candidates.into_iter().take(MOST_CANDIDATES).filter(|candidate| candidate.len() <= LONGEST);
    let near = short.filter_map(|candidate| {
        let other = candidate.to_lowercase();
        let limit = (wanted.len().max(other.len()) / 3).max(1);
        let part = wanted.len().min(other.len()) >= 3 && (other.contains(&wanted) || wanted.contains(&other));
        if wanted.len().abs_diff(other.len()) > limit && !part {
            return None;
        }
        let distance = strsim::osa_distance(&wanted, &other);
        (distance <= limit || part).then_some((distance, candidate))
    });
    near.min().map(|(_, candidate)| candidate)
}

/// A text for a message: its beginning where it is longer than a line has room for.
pub fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).collect::<String>() + "..."
    }
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
