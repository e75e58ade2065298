//! The product in plain Rust: what the others must equal.

use super::{COLUMNS, DEPTH, STRIDE, Tile};

/// See [`Kernel::multiply`](super::Kernel::multiply). `rows` are whole numbers, `DEPTH * depth`
/// of each row.
pub(super) fn multiply(rows: &[i16], count: usize, panels: &[u8], depth: usize, tile: &mut Tile) {
    let length = DEPTH * depth;
    for (panel, codes) in panels.chunks_exact((depth * STRIDE).max(1)).enumerate() {
        for (row, sums) in rows.chunks_exact(length.max(1)).take(count).zip(tile.iter_mut()) {
            let mut columns = [0_i32; COLUMNS];
            for (left, right) in row.as_chunks::<DEPTH>().0.iter().zip(codes.as_chunks::<STRIDE>().0) {
                for (sum, right) in columns.iter_mut().zip(right.as_chunks::<DEPTH>().0) {
                    for (left, right) in left.iter().zip(right) {
                        *sum += i32::from(*left) * i32::from(*right as i8);
                    }
                }
            }
            sums[panel * COLUMNS..(panel + 1) * COLUMNS].copy_from_slice(&columns);
        }
    }
}
