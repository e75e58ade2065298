//! The product with VNNI: four products of an unsigned with a signed byte, and their sum
//! added to 32 bits, in one instruction. Where a machine lacks it, `tests/emulated/run.sh` runs
//! these kernels on an emulated processor.

#![expect(clippy::needless_range_loop, reason = "arrays that are indexed stay in registers")]

use super::{COLUMNS, DEPTH, STRIDE, Tile};
use std::arch::x86_64::*;

/// See [`Kernel::multiply`](super::Kernel::multiply).
///
/// # Safety
/// The machine has AVX-512 F, BW and VNNI. `rows` holds `count` rows, at most 8, of
/// `DEPTH * depth` bytes, and `panels` one or two panels of `depth * STRIDE` codes.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
pub(super) unsafe fn multiply_512(rows: &[u8], count: usize, panels: &[u8], depth: usize, tile: &mut Tile) {
    let (rows, codes, sums) = (rows.as_ptr(), panels.as_ptr(), tile.as_mut_ptr().cast::<i32>());
    let both = panels.len() > depth * STRIDE;
    macro_rules! tiles {
        ($($count:literal)*) => {
            match (both, count) {
                $((true, $count) => tile_512::<$count, 2>(rows, codes, depth, sums),)*
                $((false, $count) => tile_512::<$count, 1>(rows, codes, depth, sums),)*
                _ => {}
            }
        };
    }
    // SAFETY: what the tiles read and write is what the caller says there is.
    unsafe { tiles!(1 2 3 4 5 6 7 8) }
}

/// # Safety
/// As [`multiply_512`], with `ROWS` rows and `PANELS` panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[inline]
unsafe fn tile_512<const ROWS: usize, const PANELS: usize>(
    rows: *const u8,
    codes: *const u8,
    depth: usize,
    sums: *mut i32,
) {
    // SAFETY: what is read and written is what the contract says there is; no read or
    // write needs to be aligned.
    unsafe {
        let mut partial = [[_mm512_setzero_si512(); PANELS]; ROWS];
        for step in 0..depth {
            let mut right = [_mm512_setzero_si512(); PANELS];
            for panel in 0..PANELS {
                right[panel] = _mm512_loadu_si512(codes.add((panel * depth + step) * STRIDE).cast());
            }
            for row in 0..ROWS {
                let left = rows.add((row * depth + step) * DEPTH).cast::<i32>().read_unaligned();
                let left = _mm512_set1_epi32(left);
                for panel in 0..PANELS {
                    partial[row][panel] = _mm512_dpbusd_epi32(partial[row][panel], left, right[panel]);
                }
            }
        }
        for row in 0..ROWS {
            for panel in 0..PANELS {
                _mm512_storeu_si512(sums.add((row * 2 + panel) * COLUMNS).cast(), partial[row][panel]);
            }
        }
    }
}

/// See [`Kernel::multiply`](super::Kernel::multiply).
///
/// # Safety
/// The machine has AVX2 and AVX-VNNI. `rows` holds `count` rows, at most 6, of
/// `DEPTH * depth` bytes, and `panels` one or two panels of `depth * STRIDE` codes.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) unsafe fn multiply_256(rows: &[u8], count: usize, panels: &[u8], depth: usize, tile: &mut Tile) {
    for (panel, codes) in panels.chunks_exact((depth * STRIDE).max(1)).enumerate() {
        let (rows, codes) = (rows.as_ptr(), codes.as_ptr());
        // SAFETY: a row of a tile has room for the columns of two panels.
        let sums = unsafe { tile.as_mut_ptr().cast::<i32>().add(panel * COLUMNS) };
        macro_rules! tiles {
            ($($count:literal)*) => {
                match count {
                    $($count => tile_256::<$count>(rows, codes, depth, sums),)*
                    _ => {}
                }
            };
        }
        // SAFETY: what the tiles read and write is what the caller says there is.
        unsafe { tiles!(1 2 3 4 5 6) }
    }
}

/// # Safety
/// As [`multiply_256`], with `ROWS` rows and one panel.
#[target_feature(enable = "avx2,avxvnni")]
#[inline]
unsafe fn tile_256<const ROWS: usize>(rows: *const u8, codes: *const u8, depth: usize, sums: *mut i32) {
    // SAFETY: as in `tile_512`.
    unsafe {
        let mut partial = [[_mm256_setzero_si256(); 2]; ROWS];
        for step in 0..depth {
            let at = codes.add(step * STRIDE).cast::<__m256i>();
            let (first, second) = (_mm256_loadu_si256(at), _mm256_loadu_si256(at.add(1)));
            for row in 0..ROWS {
                let left = rows.add((row * depth + step) * DEPTH).cast::<i32>().read_unaligned();
                let left = _mm256_set1_epi32(left);
                partial[row][0] = _mm256_dpbusd_avx_epi32(partial[row][0], left, first);
                partial[row][1] = _mm256_dpbusd_avx_epi32(partial[row][1], left, second);
            }
        }
        for row in 0..ROWS {
            _mm256_storeu_si256(sums.add(row * 2 * COLUMNS).cast(), partial[row][0]);
            _mm256_storeu_si256(sums.add(row * 2 * COLUMNS + COLUMNS / 2).cast(), partial[row][1]);
        }
    }
}
