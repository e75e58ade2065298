//! SQuAD: exact match and F1 over words, by the official scripts.
//!
//! Rajpurkar et al., EMNLP 2016, section 6.1 (`evaluate-v1.1.py`), and ACL 2018 (`evaluate-v2.0.py`), which
//! knows questions without an answer.

use super::{Metric, share};
use std::collections::HashMap;

/// Scores of predicted answers over questions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Squad {
    answered: Part,
    unanswerable: Part,
}

/// Sums over some questions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Part {
    exact: u64,
    /// By version 1.1: an answer of no words has nothing in common with any.
    f1: f64,
    /// By version 2.0: two answers of no words are the same.
    f1_of_empty: f64,
    questions: u64,
}

impl Squad {
    /// Counts one question: its right answers, none where the context holds none, and the predicted answer,
    /// empty for none. The best of the right answers counts.
    pub fn add(&mut self, gold: &[String], predicted: &str) {
        let part = if gold.is_empty() { &mut self.unanswerable } else { &mut self.answered };
        let none = [String::new()];
        // Version 2.0 leaves answers out that are nothing once normalized.
        let spoken: Vec<&String> = gold.iter().filter(|text| !normalized(text).is_empty()).collect();
        let spoken = if spoken.is_empty() { none.iter().collect() } else { spoken };
        let gold = if gold.is_empty() { &none } else { gold };
        part.questions += 1;
        part.exact += u64::from(gold.iter().any(|gold| exact_match(gold, predicted)));
        part.f1 += gold.iter().map(|gold| token_f1(gold, predicted)).fold(0.0, f64::max);
        let of_empty = |gold: &&String| match normalized(gold).is_empty() || normalized(predicted).is_empty()
        {
            true => f64::from(u8::from(exact_match(gold, predicted))),
            false => token_f1(gold, predicted),
        };
        part.f1_of_empty += spoken.iter().map(of_empty).fold(0.0, f64::max);
    }

    /// Counts one question that was not answered at all, not even by saying that there is no answer.
    pub fn miss(&mut self, gold: &[String]) {
        let part = if gold.is_empty() { &mut self.unanswerable } else { &mut self.answered };
        part.questions += 1;
    }

    /// `exact_match` and `f1`. Where some questions have no answer, by the rules of version 2.0, and then
    /// those that have one and those that have none by themselves.
    pub fn metrics(&self) -> Vec<Metric> {
        let (answered, unanswerable) = (self.answered, self.unanswerable);
        if unanswerable.questions == 0 {
            return metrics(answered.exact, answered.f1, answered.questions).into();
        }
        let of = |part: Part, name: &'static str| {
            metrics(part.exact, part.f1_of_empty, part.questions).map(|metric| metric.of(name))
        };
        let all = metrics(
            answered.exact + unanswerable.exact,
            answered.f1_of_empty + unanswerable.f1_of_empty,
            answered.questions + unanswerable.questions,
        );
        let mut list = Vec::from(all);
        list.extend(of(answered, "has answer"));
        list.extend(of(unanswerable, "no answer"));
        list
    }
}

fn metrics(exact: u64, f1: f64, questions: u64) -> [Metric; 2] {
    [Metric::percent("exact_match", share(exact, questions)), Metric::percent("f1", f1 / questions as f64)]
}

/// Both answers are the same once normalized.
pub fn exact_match(gold: &str, predicted: &str) -> bool {
    normalized(gold) == normalized(predicted)
}

/// The harmonic mean of the shares of words in common, each word as often as it is in both; 0 where either
/// has none.
pub fn token_f1(gold: &str, predicted: &str) -> f64 {
    let (gold, predicted) = (normalized(gold), normalized(predicted));
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut total = 0;
    for word in gold.split(' ').filter(|word| !word.is_empty()) {
        *counts.entry(word).or_default() += 1;
        total += 1;
    }
    let mut same = 0;
    for word in predicted.split(' ').filter(|word| !word.is_empty()) {
        total += 1;
        if let Some(count) = counts.get_mut(word).filter(|count| **count > 0) {
            *count -= 1;
            same += 1;
        }
    }
    // 2 P R / (P + R) with P = same / predicted and R = same / gold.
    if same == 0 { 0.0 } else { 2.0 * same as f64 / total as f64 }
}

/// An answer as it is compared: lower case, without ASCII punctuation, without the words a, an and the, with
/// single spaces between words.
pub fn normalized(text: &str) -> String {
    let text: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    let mut kept = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let same = |c: char| is_letter(c) == is_letter(first);
        let (run, after) = rest.split_at(rest.find(|c| !same(c)).unwrap_or(rest.len()));
        kept.push_str(if matches!(run, "a" | "an" | "the") { " " } else { run });
        rest = after;
    }
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_normalized() {
        assert_eq!(normalized("  The  Cat's, an \u{a0}A-team “the” hat!"), "cats ateam “ ” hat");
        assert_eq!(normalized("theatre Ana THE."), "theatre ana");
        assert_eq!(normalized("the"), "");
    }

    /// Gold "a big red red cat": words big red red cat. Predicted "red cat red red sat": 3 in common of 5 and
    /// 4: 2·3 / 9.
    #[test]
    fn words_in_common_are_counted() {
        assert_eq!(token_f1("a big red red cat", "red cat red red sat"), 6.0 / 9.0);
        assert_eq!(token_f1("cat", "dog"), 0.0);
        assert_eq!(token_f1("the", "a"), 0.0);
        assert!(exact_match("the", "a"));
    }

    #[test]
    fn questions_without_an_answer_count_by_themselves() {
        let mut squad = Squad::default();
        let shown = |squad: &Squad| squad.metrics().iter().map(Metric::to_string).collect::<Vec<_>>();
        squad.add(&["red cat".into(), "cat".into()], "Cat.");
        squad.add(&["the".into()], "");
        assert_eq!(shown(&squad), ["exact_match 100.00", "f1 50.00"]);
        squad.add(&[], "");
        squad.add(&[], "cat");
        assert_eq!(
            shown(&squad),
            [
                "exact_match 75.00",
                "f1 75.00",
                "exact_match (has answer) 100.00",
                "f1 (has answer) 100.00",
                "exact_match (no answer) 50.00",
                "f1 (no answer) 50.00",
            ]
        );
    }
}
