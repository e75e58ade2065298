//! Patterns that choose tensors by their paths.

use super::names::parts;
use crate::{
    failure::Failure,
    names::{list_of, nearest},
};
use std::collections::BTreeSet;

/// Chooses a tensor by its path, or all that lie in a part: `bert.embeddings`,
/// `bert.encoder.layer.0`, `classifier.bias`. `*` stands for one name between two dots:
/// `bert.encoder.layer.*.attention`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// Reads a pattern. The error is one phrase.
    pub fn parse(text: &str) -> Result<Pattern, String> {
        let wrong = |name: &str| name.is_empty() || name.contains('*') && name != "*";
        if text.split('.').any(wrong) {
            return Err(format!(
                "`{text}` chooses no parameters: write a path or its beginning, such as `bert.embeddings`, with `*` \
                 for one whole name: `bert.encoder.layer.*.attention`"
            ));
        }
        Ok(Pattern(text.to_owned()))
    }

    /// The path is the one that was written, or lies in that part.
    pub fn matches(&self, path: &str) -> bool {
        let mut names = path.split('.');
        self.0.split('.').all(|wanted| names.next().is_some_and(|name| wanted == "*" || wanted == name))
    }
}

/// Those of the paths that a pattern chooses. `flag` is where the patterns come from, for
/// messages.
///
/// # Errors
/// A pattern chooses none.
pub fn chosen<'p>(
    flag: &str,
    patterns: &[Pattern],
    paths: impl IntoIterator<Item = &'p str>,
) -> Result<BTreeSet<String>, Failure> {
    let paths: Vec<&str> = paths.into_iter().collect();
    if let Some(idle) = patterns.iter().find(|pattern| !paths.iter().any(|path| pattern.matches(path))) {
        let known: BTreeSet<&str> = paths.iter().flat_map(|path| parts(path)).collect();
        let failure = Failure::usage(format!("`{flag} {}` chooses no parameter of the model", idle.0));
        return Err(failure.help(match nearest(&idle.0, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let outermost: BTreeSet<&str> = paths.iter().filter_map(|path| parts(path).next()).collect();
                format!("the outermost parts of the model are {}", list_of(outermost))
            }
        }));
    }
    let matching = paths.into_iter().filter(|path| patterns.iter().any(|pattern| pattern.matches(path)));
    Ok(matching.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Message;

    const PATHS: [&str; 5] = [
        "bert.embeddings.word_embeddings.weight",
        "bert.encoder.layer.1.output.dense.weight",
        "bert.encoder.layer.11.attention.self.query.weight",
        "classifier.bias",
        "classifier.weight",
    ];

    fn choose(patterns: &[&str]) -> Result<BTreeSet<String>, Failure> {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::parse(text).unwrap()).collect();
        chosen("--freeze", &patterns, PATHS)
    }

    #[test]
    fn a_pattern_ends_at_a_dot() {
        let all = PATHS.map(str::to_owned);
        assert_eq!(choose(&["bert.encoder.layer.1"]).unwrap(), [all[1].clone()].into());
        assert_eq!(choose(&["classifier", "bert.embeddings"]).unwrap().len(), 3);
        assert_eq!(choose(&["bert.*.layer.*.attention"]).unwrap(), [all[2].clone()].into());
        assert_eq!(choose(&["classifier.bias"]).unwrap(), [all[3].clone()].into());
        assert_eq!(choose(&["*"]).unwrap(), all.into());
        assert!(choose(&[]).unwrap().is_empty());
    }

    #[test]
    fn one_that_chooses_nothing_is_a_slip() {
        for (pattern, help) in [
            ("embeddings", "did you mean `bert.embeddings`?"),
            ("bert.embedings", "did you mean `bert.embeddings`?"),
            ("classifier.weight.x", "did you mean `classifier.weight`?"),
            ("decoder", "the outermost parts of the model are `bert` and `classifier`"),
        ] {
            let Err(Failure::Usage(Message { text, help: given })) = choose(&["classifier", pattern]) else {
                panic!("{pattern} is accepted");
            };
            assert_eq!(text, format!("`--freeze {pattern}` chooses no parameter of the model"));
            assert_eq!(given.as_deref(), Some(help));
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", ".", "bert.", "bert..x", "bert.enc*", "**"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
