//! Pearson correlation: how far two lists of numbers lie on a line.

/// `Σ(x - x̄)(y - ȳ) / √(Σ(x - x̄)² Σ(y - ȳ)²)` of the pairs; NaN where either side is constant, or there are
/// fewer than two.
pub fn pearson(pairs: &[(f64, f64)]) -> f64 {
    let count = pairs.len() as f64;
    let mean_x = pairs.iter().map(|(x, _)| x).sum::<f64>() / count;
    let mean_y = pairs.iter().map(|(_, y)| y).sum::<f64>() / count;
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (x, y) = (x - mean_x, y - mean_y);
        xy += x * y;
        xx += x * x;
        yy += y * y;
    }
    // Two square roots: the product of the sums may be too large or too small for a number.
    xy / (xx.sqrt() * yy.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// x 1 2 3 4 5, y 10 9 2.5 6 4: x̄ = 3, ȳ = 6.3, Σxy = -15, Σxx = 10, Σyy = 40.8 (scipy.stats.pearsonr's
    /// documented example gives -0.7426 for it).
    #[test]
    fn as_computed_by_hand() {
        let r = pearson(&[(1.0, 10.0), (2.0, 9.0), (3.0, 2.5), (4.0, 6.0), (5.0, 4.0)]);
        assert!((r + 15.0 / 408f64.sqrt()).abs() < 1e-12, "{r}");
        assert!(pearson(&[(1.0, 2.0), (1.0, 3.0)]).is_nan());
        assert!(pearson(&[(1.0, 2.0)]).is_nan() && pearson(&[]).is_nan());
    }
}
