//! Which evaluation was the best.

use crate::tasks::metrics::Metric;

/// The value of the first of these metrics, where it is better than the best so far or there is none
/// so far. A value that is not defined is worse than all others.
pub fn improved(best: Option<f64>, metrics: &[Metric]) -> Option<f64> {
    let metric = metrics.first()?;
    let better = |best: f64| match (metric.value.is_nan(), best.is_nan()) {
        (true, _) => false,
        (false, true) => true,
        (false, false) if metric.higher_is_better => metric.value > best,
        (false, false) => metric.value < best,
    };
    best.is_none_or(better).then_some(metric.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::metrics::Unit;

    #[test]
    fn the_first_metric_decides() {
        let improved = |best, value, higher_is_better| {
            let metric = Metric { name: "m", of: None, value, unit: Unit::Number, higher_is_better };
            super::improved(best, &[metric]).is_some()
        };
        assert!(improved(Some(1.0), 2.0, true) && !improved(Some(2.0), 1.0, true));
        assert!(!improved(Some(1.0), 1.0, true) && !improved(Some(1.0), 1.0, false));
        assert!(improved(Some(2.0), 1.0, false) && !improved(Some(1.0), 2.0, false));
        assert!(improved(Some(f64::NAN), 0.0, true) && !improved(Some(0.0), f64::NAN, false));
        assert!(improved(None, f64::NAN, true));
        assert_eq!(super::improved(None, &[]), None);
    }
}
