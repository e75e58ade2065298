//! F1: the harmonic mean of precision and recall (van Rijsbergen, Information Retrieval, 1979, ch. 7).

use super::{Confusion, harmonic};

/// F1 of one class; 0 where it is neither right nor predicted anywhere.
pub fn f1(confusion: &Confusion, class: usize) -> f64 {
    let right = confusion.right_of(class);
    harmonic(right, confusion.predicted(class) - right, confusion.gold(class) - right)
}

/// The mean F1 of the classes that are right or predicted anywhere, as scikit-learn's `average="macro"`;
/// NaN where there are none.
pub fn macro_f1(confusion: &Confusion) -> f64 {
    let met = |class: &usize| confusion.gold(*class) + confusion.predicted(*class) > 0;
    let scores: Vec<f64> = (0..confusion.classes()).filter(met).map(|class| f1(confusion, class)).collect();
    scores.iter().sum::<f64>() / scores.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// gold 0 0 0 1 1 4, predicted 0 0 1 1 4 0: class 0 has precision 2/3 and recall 2/3; class 1 has
    /// 1/2 and 1/2; class 4 has 0 and 0; classes 2 and 3 are met nowhere.
    #[test]
    fn as_computed_by_hand() {
        let mut confusion = Confusion::new();
        for (gold, said) in [(0, 0), (0, 0), (0, 1), (1, 1), (1, 4), (4, 0)] {
            confusion.add(gold, said);
        }
        assert_eq!([0, 1, 4].map(|class| f1(&confusion, class)), [2.0 / 3.0, 0.5, 0.0]);
        assert!((macro_f1(&confusion) - (2.0 / 3.0 + 0.5) / 3.0).abs() < 1e-12);
        assert!(macro_f1(&Confusion::new()).is_nan());
    }
}
