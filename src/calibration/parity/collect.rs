//! How batches become bins.

use super::{Fault, MOST_BINS, ParityHistogram, ParitySettings};

impl ParityHistogram {
    /// Collects one batch.
    ///
    /// # Errors
    ///
    /// The library fails on it; the histogram is then as it was before.
    pub fn add(&mut self, values: &[f32]) -> Result<(), Fault> {
        self.note(values);
        // Where one value is NaN the least is, and magnitudes are not taken.
        let any_nan = values.iter().any(|x| x.is_nan());
        let magnitudes = !any_nan && values.iter().any(|x| *x < 0.0);
        let kept = values.iter().filter(|x| !self.settings.skip_zeros || **x != 0.0);
        let x: Vec<f32> = kept.map(|x| if magnitudes { x.abs() } else { *x }).collect();
        let numpy = self.settings.numpy;
        if x.is_empty() && !(numpy && self.edges.is_empty()) {
            return Err(Fault::Parity("a batch is empty or holds nothing but zeros that are skipped"));
        }
        let largest = match any_nan {
            true => f32::NAN,
            false => x.iter().copied().fold(f32::NEG_INFINITY, f32::max),
        };
        match (numpy, self.edges.is_empty()) {
            (false, true) => self.first(&x, largest),
            (false, false) => self.later(&x, largest),
            (true, true) => self.first_of_numpy(&x, largest),
            (true, false) => self.later_of_numpy(&x, largest),
        }
    }

    /// The bins that `calibrate_weights` makes of a whole weight, or of one channel of it:
    /// numpy's, from zero to the largest magnitude.
    ///
    /// # Errors
    ///
    /// The library fails on it.
    pub fn of_weight(values: &[f32], bins: usize) -> Result<ParityHistogram, Fault> {
        let settings = ParitySettings { bins, numpy: true, skip_zeros: false };
        let mut histogram = ParityHistogram::new(settings);
        histogram.note(values);
        let x: Vec<f32> = values.iter().map(|x| x.abs()).collect();
        let to = match histogram.largest()? {
            // An interval without length is widened.
            0.0 => return histogram.first_of_numpy(&x, 0.0).map(|()| histogram),
            largest => f64::from(largest),
        };
        histogram.edges = linspace(0.0, to, bins);
        histogram.counts = vec![0; bins];
        histogram.count_between_edges(&x);
        Ok(histogram)
    }

    fn note(&mut self, values: &[f32]) {
        let count = |is: &dyn Fn(&f32) -> bool| values.iter().filter(|x| is(x)).count() as u64;
        let finite = || values.iter().copied().filter(|x| x.is_finite());
        self.seen = self.seen.and(&super::Counts {
            values: values.len() as u64,
            zeros: count(&|x| *x == 0.0),
            nan: count(&|x| x.is_nan()),
            infinite: count(&|x| x.is_infinite()),
            negative: count(&|x| x.is_finite() && *x < 0.0),
            least: finite().fold(0.0, f32::min),
            largest: finite().map(f32::abs).fold(0.0, f32::max),
        });
    }

    /// `histc` on `[0, largest]` and `linspace`.
    fn first(&mut self, x: &[f32], largest: f32) -> Result<(), Fault> {
        let bins = self.settings.bins;
        self.counts = histc(x, bins, largest)?;
        let step = largest / bins as f32;
        self.edges = (0..=bins)
            .map(|i| match i < bins.div_ceil(2) {
                true => i as f32 * step,
                false => (-step).mul_add((bins - i) as f32, largest),
            })
            .map(f64::from)
            .collect();
        Ok(())
    }

    /// More bins of the first width where they are needed, and `histc` up to the last edge.
    fn later(&mut self, x: &[f32], largest: f32) -> Result<(), Fault> {
        let (mut bins, mut grown) = (self.counts.len(), None);
        if f64::from(largest) > self.last() {
            let width = self.width() as f32;
            bins = bounded(f64::from((largest / width).ceil()))?;
            let stop = f64::from(largest + width);
            let edges = bounded((stop / f64::from(width)).ceil())?;
            grown = Some(arange(edges, f64::from(width)));
        }
        let last = grown.as_ref().map_or(self.last(), |edges| edges.last().copied().unwrap_or_default());
        let mut counts = histc(x, bins, last as f32)?;
        if counts.len() < self.counts.len() {
            return Err(Fault::Parity("rounding leaves fewer bins than before"));
        }
        counts.iter_mut().zip(&self.counts).for_each(|(new, old)| *new += old);
        self.counts = counts;
        if let Some(edges) = grown {
            self.edges = edges;
        }
        Ok(())
    }

    /// `numpy.histogram` with a number of bins.
    fn first_of_numpy(&mut self, x: &[f32], largest: f32) -> Result<(), Fault> {
        let bins = self.settings.bins;
        let least = x.iter().copied().fold(f32::INFINITY, f32::min);
        let (from, to) = match x {
            [] => (0.0, 1.0),
            _ if !largest.is_finite() || !least.is_finite() => return Err(NOT_FINITE),
            _ if least == largest => (f64::from(least - 0.5), f64::from(largest + 0.5)),
            _ => (f64::from(least), f64::from(largest)),
        };
        self.edges = linspace(from, to, bins);
        self.counts = vec![0; bins];
        self.count_between_edges(x);
        Ok(())
    }

    /// Bins of the first width are appended, and values counted between the edges.
    fn later_of_numpy(&mut self, x: &[f32], largest: f32) -> Result<(), Fault> {
        let last = self.last();
        if f64::from(largest) > last {
            let width = self.width();
            // The first growth adds in f32, later ones in f64.
            let round = |number: f64| if self.double { number } else { f64::from(number as f32) };
            let start = round(last + width);
            let stop = round(f64::from(largest) + width);
            let more = bounded(round(round(stop - start) / width).ceil())?;
            let step = round(start + width) - start;
            self.edges.extend((0..more).map(|i| start + i as f64 * step));
            self.double = true;
            self.counts.resize(self.counts.len() + more, 0);
        }
        self.count_between_edges(x);
        Ok(())
    }

    fn count_between_edges(&mut self, x: &[f32]) {
        let (last, bins) = (self.last(), self.counts.len());
        for x in x.iter().map(|x| f64::from(*x)).filter(|x| *x <= last) {
            // The number of edges that are not above; none is below all bins.
            let edges = self.edges.partition_point(|edge| *edge <= x);
            let Some(at) = edges.checked_sub(1) else { continue };
            if let Some(count) = self.counts.get_mut(at.min(bins.saturating_sub(1))) {
                *count += 1;
            }
        }
    }

    fn last(&self) -> f64 {
        self.edges.last().copied().unwrap_or_default()
    }

    /// The width of the first bin; a difference of f32 rounds as one there.
    fn width(&self) -> f64 {
        let [first, second, ..] = self.edges[..] else { return 0.0 };
        if self.double { second - first } else { f64::from(second as f32 - first as f32) }
    }
}

const NOT_FINITE: Fault = Fault::Parity("a histogram begins with values that are not finite");

/// A number of bins that is not too large.
fn bounded(bins: f64) -> Result<usize, Fault> {
    match bins {
        bins if bins <= MOST_BINS as f64 => Ok(bins as usize),
        bins if bins.is_finite() => Err(Fault::Parity("its first batch is too small for a later one")),
        _ => Err(Fault::Parity("its first batch holds only zeros, or a later one is infinite")),
    }
}

/// `torch.histc` on `[0, last]`: values outside are not counted.
fn histc(x: &[f32], bins: usize, last: f32) -> Result<Vec<u64>, Fault> {
    if !last.is_finite() {
        return Err(NOT_FINITE);
    }
    // An empty interval is widened by 1 on both sides.
    let (first, last) = if last == 0.0 { (-1.0, 1.0) } else { (0.0, last) };
    let mut counts = vec![0; bins];
    for x in x.iter().filter(|x| **x >= first && **x <= last) {
        let at = (x - first) * bins as f32 / (last - first);
        if let Some(count) = counts.get_mut((at as usize).min(bins.saturating_sub(1))) {
            *count += 1;
        }
    }
    Ok(counts)
}

/// `torch.arange` from zero with so many elements: vectors of eight, two at a time.
fn arange(count: usize, width: f64) -> Vec<f64> {
    let vectors = count / 16 * 16;
    let edge = |i: usize| match i < vectors {
        true => f64::from((width * (i / 8 * 8) as f64) as f32) + (i % 8) as f64 * width,
        false => width * i as f64,
    };
    (0..count).map(|i| f64::from(edge(i) as f32)).collect()
}

/// `numpy.linspace` in f64, rounded to f32.
fn linspace(from: f64, to: f64, bins: usize) -> Vec<f64> {
    let step = (to - from) / bins as f64;
    let inner = (0..bins).map(|i| i as f64 * step + from);
    inner.chain([to]).map(|edge| f64::from(edge as f32)).collect()
}
