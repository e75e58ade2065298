//! Straight-through gradients: whose numbers pass, and what bounds get.

use super::{Span, Turns, turns::in_pieces};
use std::ops::Range;

/// What is left of `upstream` where `x` lies between the bounds of its range, these
/// included; 0 elsewhere, and where `x` is NaN.
pub(super) fn passed(x: &[f32], upstream: &[f32], turns: Turns, bounds: &[(f32, f32)]) -> Vec<f32> {
    let spread = turns.spread(bounds);
    let passes = |x: f32, (low, high): (f32, f32)| low <= x && x <= high;
    let (result, _) = in_pieces(x, |start, x, result| {
        let upstream = upstream.get(start..).unwrap_or_default();
        turns.spans(start, start + x.len(), |place, span| {
            let Some((x, upstream, result)) = parts(x, upstream, result, place) else { return };
            let each = x.iter().zip(upstream).zip(result);
            match span {
                Span::Run(at) => {
                    let Some(bounds) = bounds.get(at).copied() else { return };
                    each.for_each(|((x, upstream), result)| {
                        *result = if passes(*x, bounds) { *upstream } else { 0.0 }
                    });
                }
                Span::Spread(at) => {
                    let bounds = spread.get(at..).unwrap_or_default();
                    each.zip(bounds).for_each(|(((x, upstream), result), bounds)| {
                        *result = if passes(*x, *bounds) { *upstream } else { 0.0 };
                    });
                }
            }
        });
    });
    result
}

/// What is left of `upstream` where `x` lies inside its range, and the sums of the
/// rest: of all ranges first those of numbers at or below the least, then those of
/// numbers at or above the largest. Sums are made in f64, in one order whatever the
/// number of cores.
pub(super) fn divided(
    x: &[f32],
    upstream: &[f32],
    turns: Turns,
    bounds: &[(f32, f32)],
) -> (Vec<f32>, Vec<f32>) {
    let spread = turns.spread(bounds);
    let index = turns.spread(&(0..bounds.len()).collect::<Vec<_>>());
    let (result, found) = in_pieces(x, |start, x, result| {
        let upstream = upstream.get(start..).unwrap_or_default();
        let mut sums: Vec<(usize, [f64; 2])> = Vec::new();
        turns.spans(start, start + x.len(), |place, span| {
            let Some((x, upstream, result)) = parts(x, upstream, result, place) else { return };
            match span {
                Span::Run(at) => {
                    let Some(bounds) = bounds.get(at).copied() else { return };
                    let each = x.iter().zip(upstream).zip(result);
                    let sum = each.fold([0.0, 0.0], |sum, ((x, upstream), result)| {
                        *result = inside(*x, *upstream, bounds);
                        added(sum, outside(*x, *upstream, bounds))
                    });
                    sums.push((at, sum));
                }
                Span::Spread(at) => {
                    let bounds = spread.get(at..).unwrap_or_default();
                    let index = index.get(at..).unwrap_or_default();
                    let each = x.iter().zip(upstream).zip(result).zip(bounds.iter().zip(index));
                    sums.extend(each.map(|(((x, upstream), result), (bounds, at))| {
                        *result = inside(*x, *upstream, *bounds);
                        (*at, outside(*x, *upstream, *bounds))
                    }));
                }
            }
        });
        sums
    });
    let mut totals = vec![[0.0_f64; 2]; bounds.len()];
    for (at, sum) in found.into_iter().flatten() {
        if let Some(total) = totals.get_mut(at) {
            *total = added(*total, sum);
        }
    }
    let of = |side: fn(&[f64; 2]) -> f64| totals.iter().map(move |sums| side(sums) as f32);
    let sums = of(|[low, _]| *low).chain(of(|[_, high]| *high)).collect();
    (result, sums)
}

fn inside(x: f32, upstream: f32, (low, high): (f32, f32)) -> f32 {
    if low < x && x < high { upstream } else { 0.0 }
}

fn outside(x: f32, upstream: f32, (low, high): (f32, f32)) -> [f64; 2] {
    let upstream = f64::from(upstream);
    [if x <= low { upstream } else { 0.0 }, if x >= high { upstream } else { 0.0 }]
}

fn added([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    [a + c, b + d]
}

type Parts<'a> = (&'a [f32], &'a [f32], &'a mut [f32]);

fn parts<'a>(
    x: &'a [f32],
    upstream: &'a [f32],
    result: &'a mut [f32],
    place: Range<usize>,
) -> Option<Parts<'a>> {
    Some((x.get(place.clone())?, upstream.get(place.clone())?, result.get_mut(place)?))
}
