//! Products of 8-bit codes, summed exactly in 32 bits.
//!
//! The right side lies in [`Panels`]: 16 columns side by side, four codes of each column
//! together, a layout that every instruction set here reads as it is. The left side is
//! made ready a few rows at a time ([`Rows`]), in the form that the instructions want.
//! [`Kernel`] says which instructions those are; whichever it is, the sums are the same.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod matrix;
mod panels;
mod portable;
mod quantizer;
mod rows;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vnni;

pub(crate) use matrix::{Bytes, Matrix};
pub(crate) use panels::{Packer, Panels};
pub(crate) use quantizer::Quantizer;
pub(crate) use rows::Rows;

use std::sync::OnceLock;

/// Columns of a panel.
pub(crate) const COLUMNS: usize = 16;

/// Codes of one column that lie together.
pub(crate) const DEPTH: usize = 4;

/// Bytes of a panel for every [`DEPTH`] rows of the right side.
pub(crate) const STRIDE: usize = COLUMNS * DEPTH;

/// Columns of a tile: those of two panels.
pub(crate) const WIDTH: usize = 2 * COLUMNS;

/// Rows of a tile, at most.
pub(crate) const HEIGHT: usize = 8;

/// The longest sum of products: `65 536 * 255 * 128` is below `2^31`.
pub(crate) const LONGEST: usize = 1 << 16;

/// Sums of products, before they are scaled.
pub(crate) type Tile = [[i32; WIDTH]; HEIGHT];

/// Which instructions multiply. There is a value only where the machine has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel(Instructions);

/// From the plainest to the fastest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    AvxVnni,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Kernel {
    /// Those that this machine has, the fastest first.
    pub(crate) fn all() -> Vec<Kernel> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let wide = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni");
            let known = [
                (wide, Instructions::Avx512Vnni),
                (is_x86_feature_detected!("avxvnni"), Instructions::AvxVnni),
                (is_x86_feature_detected!("avx2"), Instructions::Avx2),
            ];
            found.extend(known.into_iter().filter(|(is_there, _)| *is_there).map(|(_, kind)| Kernel(kind)));
        }
        found.push(Kernel(Instructions::Portable));
        found
    }

    /// The fastest that this machine has, of those that sum here as the portable one does.
    pub(crate) fn best() -> Kernel {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        let portable = Kernel(Instructions::Portable);
        let sound = |kernel: &Kernel| kernel.sample() == portable.sample();
        *BEST.get_or_init(|| Kernel::all().into_iter().find(sound).unwrap_or(portable))
    }

    /// Sums of a small product of all kinds of codes, by rows.
    fn sample(self) -> Vec<i32> {
        const DEPTH: usize = 21;
        // Knuth's multiplicative hashing, so that neighbours differ.
        let code = |at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8;
        let left: Vec<u8> = (0..HEIGHT * DEPTH).map(code).collect();
        let right: Vec<u8> = (0..WIDTH * DEPTH).map(|at| code(at + 1000)).collect();
        let (mut rows, mut packer, mut sums) = (Rows::default(), Packer::default(), Vec::new());
        packer.columns(DEPTH, WIDTH, |column| &right[column * DEPTH..(column + 1) * DEPTH]);
        let panels = packer.panels();
        rows.fill(self, &left, (0..HEIGHT).map(|row| row * DEPTH), DEPTH, true);
        for first in 0..HEIGHT {
            let mut tile = Tile::default();
            let count = self.height().min(HEIGHT - first);
            self.multiply(&rows, first, count, panels.range(0, 2), &mut tile);
            let shifts = panels.sums(0, 2).iter().map(|sum| if rows.is_shifted() { 128 * sum } else { 0 });
            sums.extend(tile[0].iter().zip(shifts).map(|(sum, shift)| sum - shift));
        }
        sums
    }

    /// As it is called in reports.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Instructions::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Instructions::AvxVnni => "AVX-VNNI",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => "AVX-512 VNNI",
        }
    }

    /// Rows that it multiplies at once.
    pub(crate) fn height(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => 8,
            _ => 6,
        }
    }

    /// The left side is unsigned: 128 is added to signed codes, and its share of each sum
    /// has to be taken off.
    fn shifts(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Instructions::AvxVnni | Instructions::Avx512Vnni => true,
            _ => false,
        }
    }

    /// Writes the products of `count` rows, from `first` on, with one or two panels, which
    /// follow one another in `panels`. Columns of a panel that is not there are left as
    /// they are.
    ///
    /// `count` is at most [`height`](Kernel::height).
    #[inline]
    pub(crate) fn multiply(self, rows: &Rows, first: usize, count: usize, panels: &[u8], tile: &mut Tile) {
        let depth = rows.depth();
        let size = depth * STRIDE;
        assert!(first + count <= rows.count() && count <= self.height(), "rows that are there");
        assert!(panels.len() == size || panels.len() == 2 * size, "one or two panels as deep as the rows");
        if depth == 0 {
            *tile = Tile::default();
            return;
        }
        let ready = if self.shifts() { rows.bytes(first).len() } else { rows.pairs(first).len() };
        assert!(ready >= count * depth * DEPTH, "rows made ready for these instructions");
        match self.0 {
            Instructions::Portable => portable::multiply(rows.pairs(first), count, panels, depth, tile),
            // SAFETY: the value says that the machine has the instructions; the rows and
            // panels are as many, and as long, as was checked above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe {
                avx2::multiply(rows.pairs(first), count, panels, depth, tile);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::AvxVnni => unsafe {
                vnni::multiply_256(rows.bytes(first), count, panels, depth, tile);
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => unsafe {
                vnni::multiply_512(rows.bytes(first), count, panels, depth, tile);
            },
        }
    }
}
