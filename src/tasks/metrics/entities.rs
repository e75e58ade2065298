//! Named entities, as conlleval counts them.

use super::{Metric, harmonic, share};
use crate::tasks::answers::stretches;
use std::collections::BTreeMap;

/// Entities found, and words tagged, over sentences.
///
/// As conlleval counts (Tjong Kim Sang and Buchholz, CoNLL-2000, section 3): an entity is found where one of
/// the same type with the same first and last word is predicted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entities {
    types: BTreeMap<String, Count>,
    right_words: u64,
    words: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Count {
    right: u64,
    predicted: u64,
    gold: u64,
}

impl Entities {
    /// Counts one sentence: the right tag and the predicted one of every word.
    pub fn add(&mut self, gold: &[&str], predicted: &[&str]) {
        self.words += gold.len() as u64;
        self.right_words += gold.iter().zip(predicted).filter(|(gold, said)| gold == said).count() as u64;
        let (gold, predicted) = (stretches(gold), stretches(predicted));
        for (label, _) in &gold {
            self.count(label).gold += 1;
        }
        for entity in &predicted {
            let count = self.count(entity.0);
            count.predicted += 1;
            count.right += u64::from(gold.contains(entity));
        }
    }

    fn count(&mut self, label: &str) -> &mut Count {
        self.types.entry(label.to_owned()).or_default()
    }

    /// `f1`, `precision` and `recall` of entities, the share of words with the right tag (`accuracy`), most of
    /// which are in no entity, and again the first three by type. 0 where nothing was predicted, or nothing is
    /// there, as conlleval has it.
    pub fn metrics(&self) -> Vec<Metric> {
        let all = self.types.values().fold(Count::default(), |sum, count| Count {
            right: sum.right + count.right,
            predicted: sum.predicted + count.predicted,
            gold: sum.gold + count.gold,
        });
        let accuracy = Metric::percent("accuracy", share(self.right_words, self.words));
        let by_type = self
            .types
            .iter()
            .flat_map(|(label, count)| count.metrics().map(|metric| metric.of(label.clone())));
        all.metrics().into_iter().chain([accuracy]).chain(by_type).collect()
    }
}

impl Count {
    fn metrics(self) -> [Metric; 3] {
        let Count { right, predicted, gold } = self;
        let of = |whole: u64| if whole == 0 { 0.0 } else { share(right, whole) };
        [
            Metric::percent("f1", harmonic(right, predicted - right, gold - right)),
            Metric::percent("precision", of(predicted)),
            Metric::percent("recall", of(gold)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gold: PER 0-1, LOC 3, ORG 5. Predicted: PER 0-1 (an I after O begins one, too), LOC 2-3 (wrong
    /// place), PER 5 (wrong type). Right 1 of 3 predicted and 3 gold; 4 of 6 tags.
    #[test]
    fn as_computed_by_hand() {
        let mut entities = Entities::default();
        entities.add(
            &["B-PER", "I-PER", "O", "B-LOC", "O", "B-ORG"],
            &["I-PER", "I-PER", "B-LOC", "I-LOC", "O", "B-PER"],
        );
        let shown: Vec<String> = entities.metrics().iter().map(Metric::to_string).collect();
        let all = ["f1 33.33", "precision 33.33", "recall 33.33", "accuracy 33.33"];
        let loc = ["f1 (LOC) 0.00", "precision (LOC) 0.00", "recall (LOC) 0.00"];
        let org = ["f1 (ORG) 0.00", "precision (ORG) 0.00", "recall (ORG) 0.00"];
        let per = ["f1 (PER) 66.67", "precision (PER) 50.00", "recall (PER) 100.00"];
        assert_eq!(shown[..4], all);
        assert_eq!(shown[4..], [loc, org, per].concat());
    }
}
