//! Accuracy: the share of right answers.

use super::{Confusion, share};

/// The share of right answers; NaN where there are none at all.
pub fn accuracy(confusion: &Confusion) -> f64 {
    share(confusion.right(), confusion.total())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_answers_are_counted() {
        let mut confusion = Confusion::new();
        [(0, 0), (0, 1), (1, 1), (2, 2)].into_iter().for_each(|(gold, said)| confusion.add(gold, said));
        assert_eq!(accuracy(&confusion), 0.75);
        assert!(accuracy(&Confusion::new()).is_nan());
    }
}
