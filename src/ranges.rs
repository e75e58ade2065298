//! What a spec demands of ranges: quantizers that share one, and bounds.

use crate::graph::Quantizer;
use std::collections::BTreeMap;

/// Ranges by the names of their quantizers: one number, or one for each channel.
pub type Ranges = BTreeMap<String, Vec<f32>>;

/// Gives tied quantizers the largest of their ranges, channel by channel, and then
/// brings every range down to its limit. Gives the names of quantizers whose range
/// has changed.
pub fn constrain<'q>(quantizers: &'q [Quantizer], ranges: &mut Ranges) -> Vec<&'q str> {
    let mut groups: BTreeMap<u32, Vec<&Quantizer>> = BTreeMap::new();
    for quantizer in quantizers {
        if let Some(tie) = quantizer.tie {
            groups.entry(tie).or_default().push(quantizer);
        }
    }
    let mut wanted: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    for group in groups.values() {
        let mut shared: Vec<f32> = Vec::new();
        for range in group.iter().filter_map(|quantizer| ranges.get(&quantizer.name)) {
            shared.resize(shared.len().max(range.len()), 0.0);
            shared.iter_mut().zip(range).for_each(|(shared, own)| *shared = shared.max(*own));
        }
        wanted.extend(group.iter().map(|quantizer| (quantizer.name.as_str(), shared.clone())));
    }
    let mut changed = Vec::new();
    for quantizer in quantizers {
        let Some(range) = ranges.get_mut(&quantizer.name) else { continue };
        let mut new = wanted.get(quantizer.name.as_str()).unwrap_or(range).clone();
        if let Some(limit) = quantizer.limit {
            new.iter_mut().for_each(|range| *range = range.min(limit as f32));
        }
        if new != *range {
            *range = new;
            changed.push(quantizer.name.as_str());
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        quant::{Calibration, Mode, RangeSource, Scheme, Storage},
        span::Span,
    };

    fn quantizer(name: &str, tie: Option<u32>, limit: Option<f64>) -> Quantizer {
        let scheme = Scheme {
            storage: Storage::Integer { bits: 8, signed: true, narrow: false },
            axis: None,
            mode: Mode::Onnx,
            range: RangeSource::Calibrated(Calibration::Max),
            scale_amax: None,
        };
        let kind = "activation".to_owned();
        Quantizer { name: name.into(), scheme, limit, tie, site: 0, rule: Span::default(), kind }
    }

    #[test]
    fn tied_ranges_are_the_largest_and_limits_come_last() {
        let list = [
            quantizer("q", Some(0), None),
            quantizer("k", Some(0), None),
            quantizer("v", Some(0), Some(2.5)),
            quantizer("gelu", None, Some(10.0)),
            quantizer("free", None, None),
        ];
        let given = [("q", [1.0, 4.0]), ("k", [3.0, 2.0]), ("gelu", [24.8, 1.0]), ("free", [99.0, 0.0])];
        let mut ranges: Ranges = given.iter().map(|(name, of)| ((*name).to_owned(), of.to_vec())).collect();
        ranges.insert("v".into(), vec![0.5, 0.5]);
        assert_eq!(constrain(&list, &mut ranges), ["q", "k", "v", "gelu"]);
        assert_eq!(ranges["q"], [3.0, 4.0]);
        assert_eq!(ranges["k"], [3.0, 4.0]);
        assert_eq!(ranges["v"], [2.5, 2.5]);
        assert_eq!(ranges["gelu"], [10.0, 1.0]);
        assert_eq!(ranges["free"], [99.0, 0.0]);
        assert_eq!(constrain(&list, &mut ranges), Vec::<&str>::new());
    }
}
