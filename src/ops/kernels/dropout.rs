//! Numbers dropped by chance.

use super::{PIECE, fits, lend, map_rows};
use candle_core::{Device, Result, Tensor};

/// `x` with each number dropped (0) with probability `p`, and the others divided by `1 - p`.
/// Which are dropped follows from `seed`, `place` and where a number is in `x`: the same call
/// on the gradient of the result gives that of `x`.
pub(crate) fn dropout(x: &Tensor, p: f64, seed: u64, place: u64) -> Result<Tensor> {
    let x = x.contiguous()?;
    if fits(&x) {
        let dropped = dropped(lend(&x).in_order()?, p, seed, place);
        return Tensor::from_vec(dropped, x.shape(), x.device());
    }
    let mask = dropped(&vec![1.0; x.elem_count()], p, seed, place);
    let mask = Tensor::from_vec(mask, x.shape(), &Device::Cpu)?;
    x.mul(&mask.to_device(x.device())?.to_dtype(x.dtype())?)
}

fn dropped(x: &[f32], p: f64, seed: u64, place: u64) -> Vec<f32> {
    // As a share of the 32 bits of a hash.
    let least = (p.clamp(0.0, 1.0) * 2_f64.powi(32)) as u64;
    let scale = if p < 1.0 { (1.0 / (1.0 - p)) as f32 } else { 0.0 };
    let key = mix64(seed ^ mix64(place));
    map_rows(x, PIECE, |at, x, result| {
        let [first, second] = [key, mix64(key ^ at as u64)].map(|key| (key >> 32) as u32);
        for ((number, x), result) in (0_u32..).zip(x).zip(result) {
            let hash = mix32(mix32(number ^ first).wrapping_add(second));
            *result = if u64::from(hash) >= least { x * scale } else { 0.0 };
        }
    })
}

/// Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators": the
/// finalizer of SplitMix64, with its increment.
fn mix64(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A bijection of 32 bits in which each bit depends on all: Wellons 2018, `lowbias32`.
#[inline(always)]
fn mix32(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    const COUNT: usize = 100_000;

    /// Which of many numbers are kept.
    fn kept(p: f64, seed: u64, place: u64) -> Vec<bool> {
        let ones = Tensor::ones((100, COUNT / 100), DType::F32, &Device::Cpu).unwrap();
        let result = dropout(&ones, p, seed, place).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let scale = (1.0 / (1.0 - p)) as f32;
        assert!(result.iter().all(|x| *x == 0.0 || *x == scale));
        result.iter().map(|x| *x > 0.0).collect()
    }

    /// The share of places where both say so.
    fn share(left: &[bool], right: &[bool]) -> f64 {
        left.iter().zip(right).filter(|(left, right)| **left && **right).count() as f64 / left.len() as f64
    }

    #[test]
    fn as_many_are_dropped_as_should_be_and_independently() {
        for p in [0.1, 0.5, 0.9] {
            // Five deviations of a share of so many.
            let near = |found: f64, share: f64| (found - share).abs() < 5.0 * (share / COUNT as f64).sqrt();
            let base = kept(p, 1, 2);
            assert!(near(share(&base, &base), 1.0 - p));
            let both = (1.0 - p) * (1.0 - p);
            assert!(near(share(&base, &kept(p, 2, 2)), both), "other seeds");
            assert!(near(share(&base, &kept(p, 1, 3)), both), "other places");
            assert!(near(share(&base, &kept(p, 2, 1)), both), "seed and place exchanged");
            for apart in [1, 2, PIECE] {
                assert!(near(share(&base[..COUNT - apart], &base[apart..]), both), "numbers {apart} apart");
            }
        }
        assert!(kept(0.0, 1, 1).iter().all(|kept| *kept));
    }

    #[test]
    fn it_depends_on_order_alone() {
        let x = Tensor::ones((30, 40), DType::F32, &Device::Cpu).unwrap();
        let turned = dropout(&x.t().unwrap(), 0.5, 1, 1).unwrap();
        let plain = dropout(&x.reshape((40, 30)).unwrap(), 0.5, 1, 1).unwrap();
        assert_eq!(turned.to_vec2::<f32>().unwrap(), plain.to_vec2::<f32>().unwrap());
        let half = dropout(&x.to_dtype(DType::F16).unwrap(), 0.5, 1, 1).unwrap();
        let wide = dropout(&x, 0.5, 1, 1).unwrap();
        assert_eq!(
            half.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap(),
            wide.to_vec2::<f32>().unwrap()
        );
        assert_eq!(dropout(&x, 1.0, 1, 1).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 0.0);
    }
}
