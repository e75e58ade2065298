//! Rows added up by where they belong.

use super::{fits, lend, unfit};
use candle_core::{Result, Tensor};

/// A tensor of shape `dims`, to whose rows (along axis 0) those of `upstream` are added, each
/// to the one that `places` names, in order; `None` is no row. What none is added to is 0.
pub(crate) fn scatter_rows(upstream: &Tensor, places: &[Option<usize>], dims: &[usize]) -> Result<Tensor> {
    let (rows, length) = match dims {
        [rows, row @ ..] => (*rows, row.iter().product::<usize>()),
        [] => return Err(unfit()),
    };
    let upstream = upstream.reshape((places.len(), length))?;
    if !fits(&upstream) {
        return composed(&upstream, places, dims);
    }
    let mut result = vec![0.0; rows.checked_mul(length).ok_or_else(unfit)?];
    let lent = lend(&upstream);
    for (row, place) in lent.in_order()?.chunks(length.max(1)).zip(places) {
        let slots = place.and_then(|place| result.get_mut(place * length..));
        for (slot, x) in slots.unwrap_or_default().iter_mut().zip(row) {
            *slot += x;
        }
    }
    Tensor::from_vec(result, dims, upstream.device())
}

fn composed(upstream: &Tensor, places: &[Option<usize>], dims: &[usize]) -> Result<Tensor> {
    let device = upstream.device();
    let (from, to): (Vec<u32>, Vec<u32>) =
        (0..).zip(places).filter_map(|(from, to)| Some((from, u32::try_from((*to)?).ok()?))).unzip();
    let rows = dims.first().copied().unwrap_or_default();
    let zeros = Tensor::zeros((rows, upstream.dim(1)?), upstream.dtype(), device)?;
    if from.is_empty() {
        return zeros.reshape(dims);
    }
    let (from, to) = (Tensor::new(from, device)?, Tensor::new(to, device)?);
    zeros.index_add(&to, &upstream.index_select(&from, 0)?, 0)?.reshape(dims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn rows_are_added_where_they_belong() {
        let upstream =
            Tensor::new(&[[1_f32, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], &Device::Cpu).unwrap();
        let places = [Some(2), None, Some(0), Some(2)];
        let expected = [[5.0, 6.0], [0.0, 0.0], [8.0, 10.0]];
        let found = scatter_rows(&upstream, &places, &[3, 2]).unwrap();
        assert_eq!(found.to_vec2::<f32>().unwrap(), expected);
        let half = scatter_rows(&upstream.to_dtype(DType::F16).unwrap(), &places, &[3, 2]).unwrap();
        assert_eq!(half.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap(), expected);
        let none = scatter_rows(&upstream.narrow(0, 0, 1).unwrap(), &[None], &[3, 2]).unwrap();
        assert_eq!(none.to_vec2::<f32>().unwrap(), [[0.0; 2]; 3]);
    }
}
