//! Matrices turned in memory.

use super::lend;
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::array::from_fn;

/// Rows and columns that are moved at once: as many as fill a line of a cache.
const TILE: usize = 16;

/// The matrix with rows and columns exchanged, in one piece. It [`fits`](super::fits).
pub(crate) fn transpose(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = x.dims2()?;
    let result = turned(lend(x).in_order()?, rows.max(1), columns.max(1));
    Tensor::from_vec(result, (columns, rows), x.device())
}

/// The same of numbers.
pub(super) fn turned(x: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut result = vec![0.0; x.len()];
    result.par_chunks_mut(TILE * rows).enumerate().for_each(|(band, result)| {
        for (above, x) in x.chunks(TILE * columns).enumerate() {
            let mut tile = [[0.0; TILE]; TILE];
            for (tile, row) in tile.iter_mut().zip(x.chunks(columns)) {
                copy(row, band * TILE, tile, 0);
            }
            // The index of a row and of a number in it are both below `TILE`.
            let turned: [[f32; TILE]; TILE] = from_fn(|column| from_fn(|row| tile[row][column]));
            for (turned, row) in turned.iter().zip(result.chunks_mut(rows)) {
                copy(turned, 0, row, above * TILE);
            }
        }
    });
    result
}

/// Copies up to a tile's width of numbers.
#[inline(always)]
fn copy(from: &[f32], start: usize, to: &mut [f32], at: usize) {
    let (Some(from), Some(to)) = (from.get(start..), to.get_mut(at..)) else { return };
    match (from.first_chunk::<TILE>(), to.first_chunk_mut::<TILE>()) {
        (Some(from), Some(to)) => *to = *from,
        _ => to.iter_mut().zip(from).take(TILE).for_each(|(to, from)| *to = *from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_become_columns() {
        for (rows, columns) in [(1, 1), (16, 32), (17, 35), (3, 50), (0, 4)] {
            let count = u32::try_from(rows * columns).unwrap();
            let x =
                Tensor::arange(0, count, &Device::Cpu).unwrap().to_dtype(candle_core::DType::F32).unwrap();
            let x = x.reshape((rows, columns)).unwrap();
            let expected = x.t().unwrap().contiguous().unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(transpose(&x).unwrap().to_vec2::<f32>().unwrap(), expected);
        }
    }
}
