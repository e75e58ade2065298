//! Numbers rounded to the codes of a quantizer and turned back, with gradients.
//!
//! On a CPU one loop does everything; elsewhere candle's own operations do
//! ([`composed`]). What passes a gradient, and to what, is the same in both.

mod composed;
mod gradient;
mod magnitude;
#[cfg(test)]
mod tests;
mod turns;

pub(crate) use magnitude::magnitude;

use super::{back_from, fits, lend, order_in_memory, unfit};
use crate::quant::codes::{self, Codes, Grid};
use candle_core::{CpuStorage, CustomOp2, Error, Layout, Result, Shape, Tensor};
use std::mem::MaybeUninit;
use turns::{Span, Turns, in_pieces, write};

/// What a range is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounds {
    /// A magnitude: numbers go from its negative to it, and it has no gradient.
    Magnitude,
    /// Two numbers, along a first axis: the least and the largest. Others are brought to
    /// the nearer of them, which then gets their gradient.
    Learned,
}

/// What is left of the f32 numbers of `x`. `amax` is f32 too; its axes, after that
/// of [`Bounds::Learned`], are those of `x` with those that share a range of size
/// 1, or none.
pub(crate) fn fake_quantize(x: &Tensor, amax: &Tensor, codes: Codes, bounds: Bounds) -> Result<Tensor> {
    if !x.device().is_cpu() {
        return composed::fake_quantize(x, amax, codes, bounds);
    }
    let amax = if bounds == Bounds::Magnitude { amax.detach() } else { amax.clone() };
    let Some(order) = order_in_memory(x) else { return in_order(&x.contiguous()?, &amax, codes, bounds) };
    let amax = reordered(&amax, &order, bounds)?;
    in_order(&x.permute(order.as_slice())?, &amax, codes, bounds)?.permute(back_from(&order))
}

/// The codes of the f32 numbers of `x`, in a CPU's memory: whole numbers, as f32. Of what
/// [`fake_quantize`] gives, the codes that it stands for. Codes are no E4M3 numbers.
pub(crate) fn encode(x: &Tensor, amax: &Tensor, codes: Codes, bounds: Bounds) -> Result<Tensor> {
    let quantize = |x: &Tensor, amax: &Tensor| {
        let (ranges, turns) = in_turns(x, amax, bounds)?;
        x.apply_op2(&ranges, FakeQuantizer { codes, bounds, turns, encodes: true })
    };
    let Some(order) = order_in_memory(x) else { return quantize(&x.contiguous()?, amax) };
    let amax = reordered(amax, &order, bounds)?;
    quantize(&x.permute(order.as_slice())?, &amax)?.permute(back_from(&order))
}

/// What a code of each range is worth.
pub(crate) fn scales(amax: &Tensor, codes: Codes, bounds: Bounds) -> Result<Vec<f32>> {
    let ranges = amax.flatten_all()?.to_vec1()?;
    Ok(grids(codes, bounds, &ranges)?.into_iter().map(|grid| codes.scale(grid)).collect())
}

/// The gradient of `x` from that of what [`fake_quantize`] makes of it with
/// [`Bounds::Magnitude`], straight through: as if nothing had been rounded. It lies in
/// memory as `x` does. `None` where there is no loop for it.
pub(crate) fn fake_quantize_gradient(
    x: &Tensor,
    amax: &Tensor,
    upstream: &Tensor,
    codes: Codes,
) -> Result<Option<Tensor>> {
    if let Some(order) = order_in_memory(x) {
        let amax = reordered(amax, &order, Bounds::Magnitude)?;
        let [x, upstream] = [x.permute(order.as_slice())?, upstream.permute(order.as_slice())?];
        let found = fake_quantize_gradient(&x, &amax, &upstream, codes)?;
        return found.map(|found| found.permute(back_from(&order))).transpose();
    }
    let upstream = upstream.contiguous()?;
    if !fits(x) || !fits(&upstream) {
        return Ok(None);
    }
    let (ranges, turns) = in_turns(x, &amax.detach(), Bounds::Magnitude)?;
    let quantizer = FakeQuantizer { codes, bounds: Bounds::Magnitude, turns, encodes: false };
    quantizer.bwd(x, &ranges, x, &upstream).map(|(of_x, _)| of_x)
}

/// The ranges with their axes in another order of those of what is quantized.
fn reordered(amax: &Tensor, order: &[usize], bounds: Bounds) -> Result<Tensor> {
    let lead = usize::from(bounds == Bounds::Learned);
    if amax.rank() != order.len() + lead {
        return Ok(amax.clone());
    }
    amax.permute((0..lead).chain(order.iter().map(|axis| axis + lead)).collect::<Vec<_>>())
}

/// The same for numbers that lie in memory in their own order.
fn in_order(x: &Tensor, amax: &Tensor, codes: Codes, bounds: Bounds) -> Result<Tensor> {
    let (ranges, turns) = in_turns(x, amax, bounds)?;
    x.apply_op2(&ranges, FakeQuantizer { codes, bounds, turns, encodes: false })
}

/// The ranges in the order of their turns, and these.
fn in_turns(x: &Tensor, amax: &Tensor, bounds: Bounds) -> Result<(Tensor, Turns)> {
    let lead = usize::from(bounds == Bounds::Learned);
    let (leading, axes) = amax.dims().split_at(lead.min(amax.rank()));
    let (first, end) = match axes.iter().position(|size| *size != 1) {
        Some(first) => (first, axes.iter().rposition(|size| *size != 1).map_or(0, |last| last + 1)),
        None => (0, 0),
    };
    let (outer, run) = x.dims().split_at(end.min(x.rank()));
    let outer = outer.get(first..).ok_or_else(unfit)?;
    let own = [leading, axes.get(first..end).unwrap_or_default()].concat();
    let whole = [leading, outer].concat();
    let count = outer.iter().product();
    let ranges = amax.reshape(own)?.broadcast_as(whole)?.contiguous()?;
    let ranges = if lead == 1 { ranges.reshape((2, count))? } else { ranges.reshape(count)? };
    let turns = Turns { run: if end == 0 { x.elem_count() } else { run.iter().product() }, ranges: count };
    Ok((ranges, turns))
}

/// The operation on f32 in a CPU's memory. The ranges are in the order of their turns.
struct FakeQuantizer {
    codes: Codes,
    bounds: Bounds,
    turns: Turns,
    /// Codes are not turned back.
    encodes: bool,
}

impl CustomOp2 for FakeQuantizer {
    fn name(&self) -> &'static str {
        "fake_quantize"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        amax: &CpuStorage,
        amax_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = numbers(x, x_layout)?;
        let ranges = numbers(amax, amax_layout)?;
        let mut grids = grids(self.codes, self.bounds, ranges)?;
        if self.encodes {
            grids.iter_mut().for_each(|grid| grid.back = 1.0);
        }
        let result = self.round(x, &grids)?;
        Ok((CpuStorage::F32(result), x_layout.shape().clone()))
    }

    /// Straight through: as if nothing had been rounded.
    fn bwd(
        &self,
        x: &Tensor,
        amax: &Tensor,
        _: &Tensor,
        upstream: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let upstream = upstream.contiguous()?;
        let (x_lent, amax_lent, upstream_lent) = (lend(x), lend(amax), lend(&upstream));
        let ranges = amax_lent.in_order()?;
        let (of_x, of_bounds) = match self.bounds {
            Bounds::Magnitude => {
                let passing: Vec<_> = ranges.iter().map(|amax| self.codes.passing(*amax)).collect();
                let of_x =
                    gradient::passed(x_lent.in_order()?, upstream_lent.in_order()?, self.turns, &passing);
                (of_x.ok_or_else(unfit)?, None)
            }
            Bounds::Learned => {
                let bounds = pairs(ranges);
                let (of_x, of_bounds) =
                    gradient::divided(x_lent.in_order()?, upstream_lent.in_order()?, self.turns, &bounds)
                        .ok_or_else(unfit)?;
                (of_x, Some(of_bounds))
            }
        };
        let of_bounds =
            of_bounds.map(|sums| Tensor::from_vec(sums, amax.shape(), amax.device())).transpose()?;
        Ok((Some(Tensor::from_vec(of_x, x.shape(), x.device())?), of_bounds))
    }
}

impl FakeQuantizer {
    /// Every number of `x` rounded and turned back.
    fn round(&self, x: &[f32], grids: &[Grid]) -> Result<Vec<f32>> {
        let codes = self.codes;
        // A loop for each kind of rounding, so that none decides anew for every number.
        match (codes.float, codes.divides) {
            (false, true) => self.each(x, grids, Codes { float: false, divides: true, ..codes }),
            (false, false) => self.each(x, grids, Codes { float: false, divides: false, ..codes }),
            (true, true) => self.each(x, grids, Codes { float: true, divides: true, ..codes }),
            (true, false) => self.each(x, grids, Codes { float: true, divides: false, ..codes }),
        }
    }

    #[inline(always)]
    fn each(&self, x: &[f32], grids: &[Grid], codes: Codes) -> Result<Vec<f32>> {
        // One list for each factor, so that a loop takes several of one at once.
        let factors: [fn(&Grid) -> f32; 4] =
            [|grid| grid.into, |grid| grid.back, |grid| grid.low, |grid| grid.high];
        let spread = factors.map(|factor| self.turns.spread(grids, factor));
        let turns = self.turns;
        let checked = codes.refuses_negative();
        let (result, negative) = in_pieces(
            x.len(),
            #[inline(always)]
            |start, room| {
                let x = x.get(start..start + room.len()).unwrap_or_default();
                let mut written = 0;
                turns.spans(
                    start,
                    start + room.len(),
                    #[inline(always)]
                    |place, span| {
                        let (Some(x), Some(room)) = (x.get(place.clone()), room.get_mut(place)) else {
                            return;
                        };
                        written += match span {
                            Span::Run(at) => match grids.get(at).copied() {
                                Some(grid) => write(
                                    room,
                                    x,
                                    #[inline(always)]
                                    |x| codes.round(x, grid),
                                ),
                                None => 0,
                            },
                            Span::Spread(at) => spread_round(
                                codes,
                                room,
                                x,
                                spread.each_ref().map(|each| each.get(at..).unwrap_or_default()),
                            ),
                        };
                    },
                );
                (written, checked && x.iter().fold(false, |found, x| found | (*x < 0.0)))
            },
        )
        .ok_or_else(unfit)?;
        if negative.contains(&true) { Err(is_negative()) } else { Ok(result) }
    }
}

/// Writes numbers rounded, each with factors of its own; says how many.
#[inline(always)]
fn spread_round(codes: Codes, room: &mut [MaybeUninit<f32>], x: &[f32], factors: [&[f32]; 4]) -> usize {
    let [into, back, low, high] = factors;
    let slots = room.iter_mut().zip(x).zip(into).zip(back).zip(low).zip(high);
    for (((((slot, x), into), back), low), high) in slots {
        slot.write(codes.round(*x, Grid { into: *into, back: *back, low: *low, high: *high }));
    }
    factors.iter().fold(room.len().min(x.len()), |count, factor| count.min(factor.len()))
}

/// The numbers of a storage that a layout without gaps shows.
fn numbers<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let (start, end) = layout.contiguous_offsets().ok_or_else(unfit)?;
    storage.as_slice::<f32>()?.get(start..end).ok_or_else(unfit)
}

fn grids(codes: Codes, bounds: Bounds, ranges: &[f32]) -> Result<Vec<Grid>> {
    match bounds {
        Bounds::Magnitude => {
            refuse_negative(ranges.iter().copied())?;
            Ok(ranges.iter().map(|amax| codes.grid(*amax)).collect())
        }
        Bounds::Learned => {
            let bounds = pairs(ranges);
            refuse_negative(bounds.iter().map(|(low, high)| codes::learned_magnitude(*low, *high)))?;
            Ok(bounds.iter().map(|(low, high)| codes.clipped(*low, *high)).collect())
        }
    }
}

/// The least and the largest number of each learned range.
fn pairs(ranges: &[f32]) -> Vec<(f32, f32)> {
    let (low, high) = ranges.split_at(ranges.len() / 2);
    low.iter().copied().zip(high.iter().copied()).collect()
}

fn refuse_negative(mut magnitudes: impl Iterator<Item = f32>) -> Result<()> {
    match magnitudes.find(|amax| *amax < 0.0) {
        Some(amax) => Err(Error::Msg(format!("`amax` is {amax}, but a magnitude is not negative"))),
        None => Ok(()),
    }
}

fn is_negative() -> Error {
    Error::Msg("`x` has negative numbers, but the quantizer is unsigned".to_owned())
}
