//! Where the answer to a question stands, in letters and in tokens.

use crate::tasks::tokenizer::{Encoding, Token};
use serde_json::Value;
use std::ops::Range;

/// The letters of the first of these answers that is in the context, where the record says it is or else at
/// the place nearest to that. `starts` are in letters.
pub(super) fn find(context: &str, texts: &[String], starts: &[Option<usize>]) -> Option<Range<usize>> {
    let starts = starts.iter().copied().chain(std::iter::repeat(None));
    texts.iter().zip(starts).find_map(|(text, start)| place(context, text, start))
}

/// The letters of one answer.
fn place(context: &str, text: &str, start: Option<usize>) -> Option<Range<usize>> {
    let answer = text.trim();
    let length = answer.chars().count();
    if length == 0 {
        return None;
    }
    let lead = text.chars().take_while(|letter| letter.is_whitespace()).count();
    let wanted = start.unwrap_or(0).saturating_add(lead);
    let there = context.char_indices().nth(wanted).map(|(byte, _)| byte);
    if there.and_then(|byte| context.get(byte..)).is_some_and(|rest| rest.starts_with(answer)) {
        return Some(wanted..wanted + length);
    }
    let (mut letters, mut bytes) = (0, 0);
    let places = context.match_indices(answer).map(|(byte, _)| {
        letters += context.get(bytes..byte).map_or(0, |between| between.chars().count());
        bytes = byte;
        letters
    });
    let nearest = places.min_by_key(|place| place.abs_diff(wanted))?;
    Some(nearest..nearest + length)
}

/// Where a record says that its answers begin: `[{"answer_start": ...}]` as in SQuAD's files,
/// `{"answer_start": [...]}` as in the hub's. As many as there are, in order.
pub(super) fn starts(gold: &Value) -> Vec<Option<usize>> {
    let number = |value: &Value| value.as_u64().and_then(|start| usize::try_from(start).ok());
    match gold {
        Value::Array(list) => list.iter().map(|answer| answer.get("answer_start").and_then(number)).collect(),
        Value::Object(fields) => match fields.get("answer_start") {
            Some(Value::Array(list)) => list.iter().map(number).collect(),
            Some(one) => vec![number(one)],
            None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// The first and last token of an answer in a window, `None` where not all of it is there. As in HuggingFace's
/// `run_qa`: the last token that begins at or before the answer's first letter, and the first that ends at or
/// behind its last.
pub(super) fn tokens(window: &Encoding, answer: &Range<usize>) -> Option<(usize, usize)> {
    let context = || window.tokens.iter().enumerate().filter(|(_, token)| token.sequence == Some(1));
    let (first, last) = (context().next()?.1, context().next_back()?.1);
    if first.start > answer.start || last.end < answer.end {
        return None;
    }
    let begins = |(_, token): &(usize, &Token)| token.start <= answer.start;
    let start = context().take_while(begins).last()?.0;
    let end = context().find(|(_, token)| token.end >= answer.end)?.0;
    (start <= end).then_some((start, end))
}

/// The token that stands for "no answer": `[CLS]`, or the first where the tokenizer has none.
pub(super) fn nowhere(window: &Encoding, cls: Option<u32>) -> (usize, usize) {
    let found = window.tokens.iter().position(|token| Some(token.id) == cls && token.sequence.is_none());
    let at = found.unwrap_or(0);
    (at, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_is_looked_for_near_its_place() {
        let context = "é cat and a cat, or cat";
        let at = |text: &str, start| place(context, text, start).map(|range| (range.start, range.end));
        assert_eq!(at("cat", Some(12)), Some((12, 15)));
        assert_eq!(at("cat", Some(11)), Some((12, 15)));
        assert_eq!(at("cat", Some(18)), Some((20, 23)));
        assert_eq!(at("cat", Some(usize::MAX)), Some((20, 23)));
        assert_eq!(at("cat", None), Some((2, 5)));
        assert_eq!(at(" cat ", Some(11)), Some((12, 15)));
        assert_eq!(at("dog", Some(0)), None);
        assert_eq!(at(" ", Some(1)), None);
        let texts = ["dog".to_owned(), "or".to_owned()];
        assert_eq!(find(context, &texts, &[Some(3)]), Some(17..19));
    }

    #[test]
    fn starts_are_where_data_sets_have_them() {
        assert_eq!(starts(&json!([{"text": "a", "answer_start": 3}, {"text": "b"}])), [Some(3), None]);
        assert_eq!(starts(&json!({"text": ["a"], "answer_start": [7]})), [Some(7)]);
        assert_eq!(starts(&json!({"text": "a", "answer_start": 7})), [Some(7)]);
        assert_eq!(starts(&json!(["a", "b"])), [None, None]);
        assert_eq!(starts(&json!("a")), Vec::new());
    }
}
