//! A first look at some values, and their bins: loops that compilers turn into vector
//! instructions, as wide as the processor has.

use pulp::{Simd, WithSimd};

/// The bits of a float but for its sign.
pub(super) const MAGNITUDE: u32 = 0x7fff_ffff;

/// Bits of a float below its exponent.
pub(super) const MANTISSA_BITS: u32 = 23;

/// Values that are looked at twice while they are in the nearest cache.
pub(super) const PIECE: usize = 4096;

/// Values of which the largest tells whether any may be among the largest of all.
pub(super) const BLOCK: usize = 64;

/// What a first look at a piece shows.
pub(super) struct Look {
    /// The largest magnitude, as bits.
    pub(super) largest: u32,
    /// The largest magnitude of each block.
    pub(super) blocks: [u32; PIECE / BLOCK],
    pub(super) zeros: u32,
    pub(super) negative: u32,
    /// The largest bits: those of the most negative number, if any is negative.
    pub(super) least: u32,
}

impl Default for Look {
    fn default() -> Look {
        Look { largest: 0, blocks: [0; PIECE / BLOCK], zeros: 0, negative: 0, least: 0 }
    }
}

/// Looks at no more than [`PIECE`] values.
pub(super) struct LookAt<'a>(pub(super) &'a [f32]);

impl WithSimd for LookAt<'_> {
    type Output = Look;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Look {
        let mut look = Look::default();
        let (blocks, rest) = self.0.as_chunks::<BLOCK>();
        let (whole, last) = look.blocks.split_at_mut(blocks.len());
        let mut all = Seen::default();
        for (block, largest) in blocks.iter().zip(whole) {
            let seen = Seen::of(block);
            *largest = seen.largest;
            all = all.and(seen);
        }
        let seen = Seen::of(rest);
        if let Some(largest) = last.first_mut() {
            *largest = seen.largest;
        }
        let Seen { largest, zeros, negative, least } = all.and(seen);
        Look { largest, zeros, negative, least, ..look }
    }
}

/// Finds the bins of values.
pub(super) struct Place<'a> {
    pub(super) piece: &'a [f32],
    pub(super) top: u32,
    pub(super) bins_log2: u32,
    pub(super) places: &'a mut [u16],
}

impl WithSimd for Place<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (place, x) in self.places.iter_mut().zip(self.piece) {
            *place = bin(x.to_bits() & MAGNITUDE, self.top, self.bins_log2) as u16;
        }
    }
}

/// A [`Look`] at a few values.
#[derive(Clone, Copy, Default)]
struct Seen {
    largest: u32,
    zeros: u32,
    negative: u32,
    least: u32,
}

impl Seen {
    /// One plain loop for each, which compilers turn into vector instructions.
    #[inline(always)]
    fn of(values: &[f32]) -> Seen {
        let mut seen = Seen::default();
        for x in values {
            seen.largest = seen.largest.max(x.to_bits() & MAGNITUDE);
        }
        for x in values {
            seen.zeros += u32::from(x.to_bits() & MAGNITUDE == 0);
        }
        for x in values {
            seen.negative += u32::from(x.to_bits() > !MAGNITUDE);
        }
        for x in values {
            seen.least = seen.least.max(x.to_bits());
        }
        seen
    }

    #[inline(always)]
    fn and(self, other: Seen) -> Seen {
        Seen {
            largest: self.largest.max(other.largest),
            zeros: self.zeros + other.zeros,
            negative: self.negative + other.negative,
            least: self.least.max(other.least),
        }
    }
}

/// The bin of a magnitude on the grid whose upper half has the biased exponent `top`:
/// the first bits of its mantissa, shifted by as much as its exponent is lower.
#[inline(always)]
pub(super) fn bin(magnitude: u32, top: u32, bins_log2: u32) -> u32 {
    let mantissa = (magnitude & ((1 << MANTISSA_BITS) - 1)) | (1 << MANTISSA_BITS);
    let shift = (MANTISSA_BITS + 1 - bins_log2) + top.wrapping_sub(magnitude >> MANTISSA_BITS);
    mantissa.wrapping_shr(shift.min(31))
}
