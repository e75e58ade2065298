//! Straight-through gradients: whose numbers pass, and what bounds get.

use super::turns::{Span, Turns, in_pieces, write_pairs};
use std::ops::Range;

/// What is left of `upstream` where `x` lies between the bounds of its range, these
/// included; 0 elsewhere, and where `x` is NaN. `None` where the sizes do not agree.
pub(super) fn passed(x: &[f32], upstream: &[f32], turns: Turns, bounds: &[(f32, f32)]) -> Option<Vec<f32>> {
    let spread = turns.spread(bounds, |bounds| *bounds);
    let (result, _) = in_pieces(
        x.len(),
        #[inline(always)]
        |start, room| {
            let mut written = 0;
            turns.spans(
                start,
                start + room.len(),
                #[inline(always)]
                |place, span| {
                    let Some((x, upstream)) = parts(x, upstream, start, &place) else { return };
                    let Some(room) = room.get_mut(place) else { return };
                    written += match span {
                        Span::Run(at) => match bounds.get(at) {
                            Some(bounds) => write_pairs(
                                room,
                                x,
                                upstream,
                                #[inline(always)]
                                |x, g| between(x, *g, bounds),
                            ),
                            None => 0,
                        },
                        Span::Spread(at) => {
                            let bounds = spread.get(at..).unwrap_or_default();
                            let mut count = 0;
                            for (((slot, x), g), bounds) in room.iter_mut().zip(x).zip(upstream).zip(bounds) {
                                slot.write(between(*x, *g, bounds));
                                count += 1;
                            }
                            count
                        }
                    };
                },
            );
            (written, ())
        },
    )?;
    Some(result)
}

/// What is left of `upstream` where `x` lies inside its range, and the sums of the
/// rest: of all ranges first those of numbers at or below the least, then those of
/// numbers at or above the largest. Sums are made in f64, in one order whatever the
/// number of cores. `None` where the sizes do not agree.
pub(super) fn divided(
    x: &[f32],
    upstream: &[f32],
    turns: Turns,
    bounds: &[(f32, f32)],
) -> Option<(Vec<f32>, Vec<f32>)> {
    let spread = turns.spread(bounds, |bounds| *bounds);
    let places: Vec<usize> = (0..bounds.len()).collect();
    let places = turns.spread(&places, |at| *at);
    let piece = |start: usize, room: &mut [_]| {
        let mut sums: Vec<(usize, [f64; 2])> = Vec::new();
        let mut written = 0;
        turns.spans(start, start + room.len(), |place, span| {
            let Some((x, upstream)) = parts(x, upstream, start, &place) else { return };
            let Some(room) = room.get_mut(place) else { return };
            let each = x.iter().zip(upstream);
            match span {
                Span::Run(at) => {
                    let Some(bounds) = bounds.get(at).copied() else { return };
                    let sum = each.map(|(x, g)| outside(*x, *g, bounds)).fold([0.0; 2], added);
                    written += write_pairs(room, x, upstream, |x, g| inside(x, *g, bounds));
                    sums.push((at, sum));
                }
                Span::Spread(at) => {
                    let bounds = spread.get(at..).unwrap_or_default();
                    let places = places.get(at..).unwrap_or_default();
                    for ((((slot, x), g), bounds), at) in
                        room.iter_mut().zip(x).zip(upstream).zip(bounds).zip(places)
                    {
                        slot.write(inside(*x, *g, *bounds));
                        sums.push((*at, outside(*x, *g, *bounds)));
                        written += 1;
                    }
                }
            }
        });
        (written, sums)
    };
    let (of_x, sums) = in_pieces(x.len(), piece)?;
    let mut totals = vec![[0.0_f64; 2]; bounds.len()];
    for (at, sum) in sums.into_iter().flatten() {
        if let Some(total) = totals.get_mut(at) {
            *total = added(*total, sum);
        }
    }
    let least = totals.iter().map(|[least, _]| *least as f32);
    let largest = totals.iter().map(|[_, largest]| *largest as f32);
    Some((of_x, least.chain(largest).collect()))
}

#[inline(always)]
fn between(x: f32, upstream: f32, (low, high): &(f32, f32)) -> f32 {
    if *low <= x && x <= *high { upstream } else { 0.0 }
}

#[inline(always)]
fn inside(x: f32, upstream: f32, (low, high): (f32, f32)) -> f32 {
    if low < x && x < high { upstream } else { 0.0 }
}

#[inline(always)]
fn outside(x: f32, upstream: f32, (low, high): (f32, f32)) -> [f64; 2] {
    let upstream = f64::from(upstream);
    [if x <= low { upstream } else { 0.0 }, if x >= high { upstream } else { 0.0 }]
}

fn added([a, b]: [f64; 2], [c, d]: [f64; 2]) -> [f64; 2] {
    [a + c, b + d]
}

/// The numbers at a place of the piece that begins at `start`, and their gradients.
#[inline(always)]
fn parts<'a>(
    x: &'a [f32],
    upstream: &'a [f32],
    start: usize,
    place: &Range<usize>,
) -> Option<(&'a [f32], &'a [f32])> {
    let place = start + place.start..start + place.end;
    Some((x.get(place.clone())?, upstream.get(place)?))
}
