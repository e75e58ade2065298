//! `matmul`.

use super::{
    Backward, Mismatch, Operator,
    broadcast::{broadcast, reduce_to},
    form::{Form, Value},
    kernels,
    operands::{floats, operands},
};
use crate::types::{Bindings, Dim, Shape, TensorType};
use candle_core::Tensor;

operator! {
    /// Multiplies the matrices in the last two axes; `f32[..., n, k] @ f32[..., k, m]`
    /// is `f32[..., n, m]`. The axes before are brought together as NumPy does it.
    Matmul = "matmul" symbol "@" (lhs, rhs) {}
}

impl Operator for Matmul {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [lhs, rhs] = operands(given)?;
        floats("lhs", lhs)?;
        floats("rhs", rhs)?;
        if lhs.dtype != rhs.dtype {
            let message = format!("`lhs` is {lhs}, but `rhs` is {rhs}");
            return Err(Mismatch::new(message).help("cast one"));
        }
        let (left, n, columns) = matrix("lhs", lhs)?;
        let (right, rows, m) = matrix("rhs", rhs)?;
        if columns != rows {
            return Err(unequal(lhs, columns, rhs, [rows, m]));
        }
        let mut shape = broadcast(left, right).ok_or_else(|| {
            Mismatch::new(format!(
                "`lhs` is {lhs}, but `rhs` is {rhs}: {} and {} before the last two axes do not fit",
                Shape(left),
                Shape(right)
            ))
        })?;
        shape.extend([n.clone(), m.clone()]);
        Ok(TensorType::new(lhs.dtype, shape))
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [lhs, rhs] = operands(given)?;
        multiply(lhs, rhs)
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let ([lhs, rhs], upstream) = (operands(backward.operands)?, backward.upstream);
        Ok(vec![
            backward.wanted(0, || reduce_to(&multiply(upstream, &rhs.t()?)?, lhs.dims()))?,
            backward.wanted(1, || of_right(lhs, upstream, rhs.dims()))?,
        ])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("MatMul")
    }
}

fn unequal(lhs: &TensorType, columns: &Dim, rhs: &TensorType, [rows, m]: [&Dim; 2]) -> Mismatch {
    let mismatch =
        Mismatch::new(format!("`lhs` has {columns} columns ({lhs}), but `rhs` has {rows} rows ({rhs})"));
    if columns == m { mismatch.help("transpose `rhs`: its columns would fit") } else { mismatch }
}

/// Leading axes, rows and columns.
fn matrix<'a>(operand: &str, ty: &'a TensorType) -> Result<(&'a [Dim], &'a Dim, &'a Dim), Mismatch> {
    match ty.shape.as_slice() {
        [leading @ .., rows, columns] => Ok((leading, rows, columns)),
        _ => Err(Mismatch::new(format!("`{operand}` must have rows and columns, but is {ty}"))),
    }
}

/// The product; one matrix on the right serves all on the left in one go.
fn multiply(lhs: &Tensor, rhs: &Tensor) -> candle_core::Result<Tensor> {
    if kernels::can_multiply(lhs, rhs) {
        return kernels::matmul(lhs, kernels::Right::Matrices(rhs), kernels::Finish::default());
    }
    if rhs.rank() == 2 && lhs.rank() > 2 {
        let (leading, columns) = lhs.dims().split_at(lhs.rank() - 1);
        let shape: Vec<usize> = leading.iter().copied().chain([rhs.dim(1)?]).collect();
        let rows = (leading.iter().product::<usize>(), columns.iter().product::<usize>());
        return lhs.reshape(rows)?.matmul(rhs)?.reshape(shape);
    }
    lhs.contiguous()?.broadcast_matmul(&rhs.contiguous()?)
}

/// The gradient of the right factor, of shape `dims`. One matrix that served all on the
/// left gets its gradient in one product of all their rows.
fn of_right(lhs: &Tensor, upstream: &Tensor, dims: &[usize]) -> candle_core::Result<Tensor> {
    if dims.len() > 2 || lhs.rank() == 2 {
        return reduce_to(&multiply(&lhs.t()?, upstream)?, dims);
    }
    let rows = |x: &Tensor| x.flatten_to(x.rank().saturating_sub(2));
    multiply(&rows(lhs)?.t()?, &rows(upstream)?)
}
