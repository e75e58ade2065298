//! Matthews correlation: agreement beyond chance.

use super::Confusion;

/// The correlation of gold and predicted classes, from -1 to 1: for two classes Matthews' coefficient
/// (Biochimica et Biophysica Acta 405, 1975), for more Gorodkin's (Computational Biology and Chemistry 28,
/// 2004). 0 where all of either are of one class, as in scikit-learn; NaN where there are none.
pub fn matthews(confusion: &Confusion) -> f64 {
    let total = confusion.total() as f64;
    let (mut chance, mut gold, mut predicted) = (0.0, 0.0, 0.0);
    for class in 0..confusion.classes() {
        let (right, said) = (confusion.gold(class) as f64, confusion.predicted(class) as f64);
        chance += right * said;
        gold += right * right;
        predicted += said * said;
    }
    let spread = (total * total - gold) * (total * total - predicted);
    match (total == 0.0, spread == 0.0) {
        (true, _) => f64::NAN,
        (_, true) => 0.0,
        _ => (confusion.right() as f64 * total - chance) / spread.sqrt(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(usize, usize)]) -> f64 {
        let mut confusion = Confusion::new();
        pairs.iter().for_each(|(gold, said)| confusion.add(*gold, *said));
        matthews(&confusion)
    }

    /// The example of scikit-learn's documentation: gold 1 1 1 -1, predicted 1 -1 1 1 gives -0.33. For three
    /// classes, gold 0 1 2 2 and predicted 0 2 2 2: c = 3, s = 4, Σpt = 1·1 + 0·1 + 3·2 = 7,
    /// (12 - 7) / √((16 - 10)(16 - 6)) = 5 / √60.
    #[test]
    fn as_computed_by_hand() {
        assert!((of(&[(1, 1), (1, 0), (1, 1), (0, 1)]) + 1.0 / 3.0).abs() < 1e-12);
        assert!((of(&[(0, 0), (1, 2), (2, 2), (2, 2)]) - 5.0 / 60f64.sqrt()).abs() < 1e-12);
        assert_eq!(of(&[(0, 0), (1, 1)]), 1.0);
        assert_eq!(of(&[(0, 1), (1, 1)]), 0.0);
        assert!(of(&[]).is_nan());
    }
}
