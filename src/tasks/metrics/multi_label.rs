//! Several labels a record: micro and macro F1, and exact match.

use super::{Metric, harmonic, share};

/// How labels were found, missed and made up, where a record may have any of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MultiLabel {
    /// By label: found rightly, found wrongly, missed.
    counts: Vec<[u64; 3]>,
    exact: u64,
    records: u64,
}

impl MultiLabel {
    /// Counts one record: of every label, whether it is right and whether it was predicted.
    pub fn add(&mut self, gold: &[bool], predicted: &[bool]) {
        self.records += 1;
        self.exact += u64::from(gold == predicted);
        self.counts.resize(self.counts.len().max(gold.len()), [0; 3]);
        for (counts, (gold, predicted)) in self.counts.iter_mut().zip(gold.iter().zip(predicted)) {
            let [right, wrong, missed] = counts;
            match (gold, predicted) {
                (true, true) => *right += 1,
                (false, true) => *wrong += 1,
                (true, false) => *missed += 1,
                (false, false) => {}
            }
        }
    }

    /// F1 over all labels together (`f1_micro`), the mean of the labels' own F1 (`f1_macro`), and the share
    /// of records with exactly the right labels (`exact_match`). As scikit-learn, a label met nowhere has an
    /// F1 of 0.
    pub fn metrics(&self) -> Vec<Metric> {
        let [right, wrong, missed] = [0, 1, 2].map(|kind| {
            let of_kind = |counts: &[u64; 3]| counts.get(kind).copied().unwrap_or(0);
            self.counts.iter().map(of_kind).sum()
        });
        let scores = self.counts.iter().map(|[right, wrong, missed]| harmonic(*right, *wrong, *missed));
        vec![
            Metric::percent("f1_micro", harmonic(right, wrong, missed)),
            Metric::percent("f1_macro", scores.sum::<f64>() / self.counts.len() as f64),
            Metric::percent("exact_match", share(self.exact, self.records)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels a, b, c. Gold {a, b}, {b}, {}; predicted {a}, {b, c}, {}. a: F1 1; b: found 1, missed 1, F1
    /// 2/3; c: made up 1, F1 0. Together: found 2, made up 1, missed 1, F1 4/6.
    #[test]
    fn as_computed_by_hand() {
        let mut labels = MultiLabel::default();
        labels.add(&[true, true, false], &[true, false, false]);
        labels.add(&[false, true, false], &[false, true, true]);
        labels.add(&[false; 3], &[false; 3]);
        let values: Vec<String> = labels.metrics().iter().map(Metric::to_string).collect();
        assert_eq!(values, ["f1_micro 66.67", "f1_macro 55.56", "exact_match 33.33"]);
    }
}
