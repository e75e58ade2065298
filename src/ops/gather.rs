//! `gather`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, Value},
    kernels,
    operands::{of, operands, place},
};
use crate::types::{Bindings, DType, TensorType};
use candle_core::{Error, Tensor};

operator! {
    /// The rows of `table` (along axis 0) with these numbers: an embedding.
    Gather = "gather"(table, ids) {
        /// The row whose gradient is 0, so that training leaves it as it is; no row if it
        /// is negative.
        padding: i64 = -1,
    }
}

impl Operator for Gather {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [table, ids] = operands(given)?;
        of("ids", ids, DType::I64)?;
        let [_, row @ ..] = table.shape.as_slice() else {
            return Err(Mismatch::new(format!("`table` must have rows, but is {table}")));
        };
        Ok(TensorType::new(table.dtype, [ids.shape.as_slice(), row].concat()))
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [table, ids] = operands(given)?;
        let flat = ids.flatten_all()?;
        check(&flat, ids, table.dim(0)?)?;
        let [_, row @ ..] = table.dims() else {
            return Err(Error::Msg(format!("a table must have rows, but is {:?}", table.dims())));
        };
        table.contiguous()?.index_select(&flat, 0)?.reshape([ids.dims(), row].concat())
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [table, ids] = operands(backward.operands)?;
        let of_table = backward.wanted(0, || {
            let ids = ids.flatten_all()?.to_vec1::<i64>()?;
            let kept = ids.into_iter().map(|id| usize::try_from(id).ok().filter(|_| id != self.padding));
            kernels::scatter_rows(backward.upstream, &kept.collect::<Vec<_>>(), table.dims())
        })?;
        Ok(vec![of_table, None])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Gather")
    }
}

/// Refuses ids without a row.
fn check(flat: &Tensor, ids: &Tensor, rows: usize) -> candle_core::Result<()> {
    let values = flat.to_vec1::<i64>()?;
    let Some(at) = values.iter().position(|id| !usize::try_from(*id).is_ok_and(|id| id < rows)) else {
        return Ok(());
    };
    let id = values.get(at).copied().unwrap_or_default();
    Err(Error::Msg(format!("id {id} at {} is outside the {rows} rows of the table", place(at, ids.dims()))))
}
