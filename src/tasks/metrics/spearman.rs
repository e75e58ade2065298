//! Spearman correlation: how far two lists of numbers have one order.

use super::pearson;

/// The Pearson correlation of the ranks, where equal numbers share the mean of theirs (as SciPy does); NaN
/// where either side is constant, or there are fewer than two.
pub fn spearman(pairs: &[(f64, f64)]) -> f64 {
    let (xs, ys): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let ranks: Vec<(f64, f64)> = ranks(&xs).into_iter().zip(ranks(&ys)).collect();
    pearson(&ranks)
}

/// The ranks from 1; equal numbers share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<(usize, f64)> = values.iter().copied().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut ranks: Vec<(usize, f64)> = Vec::with_capacity(values.len());
    for equal in order.chunk_by(|(_, a), (_, b)| a == b) {
        let rank = ranks.len() as f64 + (equal.len() as f64 + 1.0) / 2.0;
        ranks.extend(equal.iter().map(|(index, _)| (*index, rank)));
    }
    ranks.sort_by_key(|(index, _)| *index);
    ranks.into_iter().map(|(_, rank)| rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_share_a_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, -2.0, 3.0]), [4.0, 2.0, 4.0, 1.0, 4.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
    }

    /// x 1 2 3 4 5, y 5 6 7 8 7: the ranks of y are 1 2 3.5 5 3.5, Σxy = 8, Σxx = 10, Σyy = 9.5
    /// (scipy.stats.spearmanr's documented example gives 0.82078 for it).
    #[test]
    fn as_computed_by_hand() {
        let r = spearman(&[(1.0, 5.0), (2.0, 6.0), (3.0, 7.0), (4.0, 8.0), (5.0, 7.0)]);
        assert!((r - 8.0 / 95f64.sqrt()).abs() < 1e-12, "{r}");
        assert!((r - 0.82078268).abs() < 1e-8);
        assert!(spearman(&[(1.0, 2.0), (2.0, 2.0)]).is_nan());
    }
}
