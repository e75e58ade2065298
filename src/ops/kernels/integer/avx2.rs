//! The product with AVX2, exact for every code.
//!
//! `vpmaddubsw`, which takes twice as many codes at once, is not used: its sums of two
//! products saturate at 16 bits. Here codes are widened to 16 bits and `vpmaddwd` sums
//! pairs of products in 32.

#![expect(clippy::needless_range_loop, reason = "arrays that are indexed stay in registers")]

use super::{COLUMNS, DEPTH, STRIDE, Tile};
use std::arch::x86_64::*;

/// Columns that are summed at once: with six rows they fill 12 of 16 registers.
const HALF: usize = COLUMNS / 2;

/// See [`Kernel::multiply`](super::Kernel::multiply).
///
/// # Safety
/// The machine has AVX2. `rows` holds `count` rows, at most 6, of `DEPTH * depth` numbers,
/// and `panels` one or two panels of `depth * STRIDE` codes.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn multiply(rows: &[i16], count: usize, panels: &[u8], depth: usize, tile: &mut Tile) {
    for (panel, codes) in panels.chunks_exact((depth * STRIDE).max(1)).enumerate() {
        for half in 0..2 {
            // SAFETY: a half of a panel is `HALF * DEPTH` bytes of every `STRIDE`; a row of a
            // tile has room for the columns of two panels.
            unsafe {
                let codes = codes.as_ptr().add(half * HALF * DEPTH);
                let sums = tile.as_mut_ptr().cast::<i32>().add(panel * COLUMNS + half * HALF);
                match count {
                    0 => {}
                    1 => half_panel::<1>(rows.as_ptr(), codes, depth, sums),
                    2 => half_panel::<2>(rows.as_ptr(), codes, depth, sums),
                    3 => half_panel::<3>(rows.as_ptr(), codes, depth, sums),
                    4 => half_panel::<4>(rows.as_ptr(), codes, depth, sums),
                    5 => half_panel::<5>(rows.as_ptr(), codes, depth, sums),
                    _ => half_panel::<6>(rows.as_ptr(), codes, depth, sums),
                }
            }
        }
    }
}

/// # Safety
/// AVX2; `ROWS * DEPTH * depth` numbers at `rows`; at `codes`, for each of `depth` steps of
/// `STRIDE` bytes, `HALF * DEPTH` bytes; room for `HALF` sums in `ROWS` rows of a tile.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn half_panel<const ROWS: usize>(rows: *const i16, codes: *const u8, depth: usize, sums: *mut i32) {
    // SAFETY: what is read and written is what the contract says there is; no read or
    // write needs to be aligned.
    unsafe {
        let mut partial = [[_mm256_setzero_si256(); 2]; ROWS];
        for step in 0..depth {
            // Four columns each, four codes of a column.
            let at = codes.add(step * STRIDE).cast::<__m128i>();
            let first = _mm256_cvtepi8_epi16(_mm_loadu_si128(at));
            let second = _mm256_cvtepi8_epi16(_mm_loadu_si128(at.add(1)));
            for row in 0..ROWS {
                let left = rows.add((row * depth + step) * DEPTH).cast::<i64>().read_unaligned();
                let left = _mm256_set1_epi64x(left);
                partial[row][0] = _mm256_add_epi32(partial[row][0], _mm256_madd_epi16(left, first));
                partial[row][1] = _mm256_add_epi32(partial[row][1], _mm256_madd_epi16(left, second));
            }
        }
        for row in 0..ROWS {
            let [low, high] = partial[row];
            // Two partial sums of a column are neighbours; 0b11_01_10_00 brings the columns,
            // added in lanes, back in order.
            let joined = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(low, high));
            _mm256_storeu_si256(sums.add(row * 2 * COLUMNS).cast(), joined);
        }
    }
}
