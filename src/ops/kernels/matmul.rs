//! Products of matrices, many at a time and without copies.

use super::{PIECE, gelu, is_plain, lend, starts, unfit};
use crate::ops::broadcast::broadcast_sizes;
use candle_core::{D, Error, Layout, Result, Tensor};
use gemm::Parallelism;
use pulp::Arch;
use rayon::prelude::*;

/// What is done with a product while it is at hand.
#[derive(Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// A number for each column, added to every row.
    pub(crate) bias: Option<&'a Tensor>,
    /// Then takes the GELU of each number.
    pub(crate) gelu: bool,
}

/// The tensors are f32 on a CPU, in any layout, and not part of a gradient's path.
pub(crate) fn can_multiply(lhs: &Tensor, rhs: &Tensor) -> bool {
    [lhs, rhs].iter().all(|x| is_plain(x) && x.rank() >= 2)
}

/// The products of the matrices in the last two axes of tensors that
/// [`can_multiply`]; the axes before are brought together as NumPy does it.
pub(crate) fn matmul(lhs: &Tensor, rhs: &Tensor, finish: Finish) -> Result<Tensor> {
    let (mut result, shape) = match finish.bias {
        Some(bias) => {
            let bias = bias.flatten_all()?.to_vec1::<f32>()?;
            product(lhs, rhs, |rows| bias.repeat(rows), true)?
        }
        None => numbers(lhs, rhs)?,
    };
    if finish.gelu {
        let arch = Arch::new();
        let pieces = result.par_chunks_mut(PIECE);
        pieces.for_each(|piece| arch.dispatch(|| piece.iter_mut().for_each(|x| *x = gelu::of(*x))));
    }
    Tensor::from_vec(result, shape, lhs.device())
}

/// The same as numbers, and their shape.
pub(super) fn numbers(lhs: &Tensor, rhs: &Tensor) -> Result<(Vec<f32>, Vec<usize>)> {
    let columns = rhs.dim(D::Minus1)?;
    product(lhs, rhs, |rows| vec![0.0; rows * columns], false)
}

/// Products, or what they are added to, of so many rows.
fn product(
    lhs: &Tensor,
    rhs: &Tensor,
    start: impl FnOnce(usize) -> Vec<f32>,
    add: bool,
) -> Result<(Vec<f32>, Vec<usize>)> {
    let (leading, [m, k, n]) = shapes(lhs, rhs)?;
    let shape: Vec<usize> = leading.iter().copied().chain([m, n]).collect();
    let mut result = start(leading.iter().product::<usize>() * m);
    if !result.is_empty() && k > 0 {
        let (left, right) = (lend(lhs), lend(rhs));
        // One matrix on the right serves all on the left in one go.
        let stack = stacked(left.1).filter(|_| rhs.rank() == 2);
        let (left, right) = if let Some(stack) = stack {
            (Matrices::new(left.all()?, &stack, &[])?, Matrices::new(right.all()?, right.1, &[])?)
        } else {
            (Matrices::new(left.all()?, left.1, &leading)?, Matrices::new(right.all()?, right.1, &leading)?)
        };
        multiply(&left, &right, &mut result, add)?;
    }
    Ok((result, shape))
}

/// All rows as those of one matrix, where each is as far from the next.
fn stacked(layout: &Layout) -> Option<Layout> {
    let ([leading @ .., columns], [strides @ .., right]) = (layout.dims(), layout.stride()) else {
        return None;
    };
    // How far apart what an axis of size 1 counts would be does not matter.
    let mut axes = leading.iter().zip(strides).filter(|(size, _)| **size != 1).rev();
    let (size, down) = axes.next().unwrap_or((&1, &0));
    let mut far = down.checked_mul(*size)?;
    for (size, stride) in axes {
        if *stride != far {
            return None;
        }
        far = stride.checked_mul(*size)?;
    }
    let rows = leading.iter().product::<usize>();
    Some(Layout::new((rows, *columns).into(), vec![*down, *right], layout.start_offset()))
}

/// The axes before the last two, brought together, and the sizes of the matrices.
fn shapes(lhs: &Tensor, rhs: &Tensor) -> Result<(Vec<usize>, [usize; 3])> {
    let ([left @ .., m, k], [right @ .., rows, n]) = (lhs.dims(), rhs.dims()) else {
        return Err(Error::Msg("a matrix has rows and columns".to_owned()));
    };
    match broadcast_sizes(left, right, &1) {
        Some(leading) if k == rows => Ok((leading, [*m, *k, *n])),
        _ => Err(Error::Msg(format!("{:?} and {:?} cannot be multiplied", lhs.dims(), rhs.dims()))),
    }
}

/// Matrices in one tensor, all of one size. `rows` and `columns` are how many
/// there are and how far each is from the next.
struct Matrices<'a> {
    numbers: &'a [f32],
    starts: Vec<usize>,
    rows: (usize, usize),
    columns: (usize, usize),
}

impl<'a> Matrices<'a> {
    /// The matrices of a tensor, repeated to fill `leading`.
    fn new(numbers: &'a [f32], layout: &Layout, leading: &[usize]) -> Result<Matrices<'a>> {
        let (&[.., rows, columns], &[.., down, right]) = (layout.dims(), layout.stride()) else {
            return Err(unfit());
        };
        let starts = starts(layout, leading, 2)?;
        Ok(Matrices { numbers, starts, rows: (rows, down), columns: (columns, right) })
    }

    /// Every element of every matrix is among the numbers.
    fn is_inside(&self) -> bool {
        let ends = [self.rows, self.columns].map(|(size, stride)| size.checked_sub(1)?.checked_mul(stride));
        let last = match ends {
            [Some(rows), Some(columns)] => rows.checked_add(columns),
            _ => None,
        };
        let Some(last) = last else { return false };
        self.starts.iter().all(|start| start.checked_add(last).is_some_and(|end| end < self.numbers.len()))
    }
}

/// Writes the products into `result`, or adds them to what it holds.
fn multiply(left: &Matrices, right: &Matrices, result: &mut [f32], add: bool) -> Result<()> {
    let (m, k, n) = (left.rows.0, left.columns.0, right.columns.0);
    let fits = left.is_inside()
        && right.is_inside()
        && right.rows.0 == k
        && left.starts.len() == right.starts.len()
        && m.checked_mul(n).and_then(|size| size.checked_mul(left.starts.len())) == Some(result.len());
    if !fits {
        return Err(Error::Msg("the matrices do not fit one another".to_owned()));
    }
    let one = |result: &mut [f32], left_start: usize, right_start: usize, parallelism: Parallelism| {
        // SAFETY: `fits` says that every element of both matrices, from their
        // starts with their strides, is among the numbers borrowed here, and that
        // `result`, one of as many pieces as there are products, holds `m` times
        // `n` numbers, which nothing else borrows.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                result.as_mut_ptr(),
                1,
                n as isize,
                add,
                left.numbers.as_ptr().add(left_start),
                left.columns.1 as isize,
                left.rows.1 as isize,
                right.numbers.as_ptr().add(right_start),
                right.columns.1 as isize,
                right.rows.1 as isize,
                1.0_f32,
                1.0_f32,
                false,
                false,
                false,
                parallelism,
            );
        }
    };
    let starts = left.starts.par_iter().zip(&right.starts);
    if left.starts.len() < rayon::current_num_threads() {
        let starts = left.starts.iter().zip(&right.starts);
        for (result, (left, right)) in result.chunks_mut(m * n).zip(starts) {
            one(result, *left, *right, Parallelism::Rayon(0));
        }
    } else {
        result
            .par_chunks_mut(m * n)
            .zip(starts)
            .for_each(|(result, (left, right))| one(result, *left, *right, Parallelism::None));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensor(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|at| ((at * 7) % 11) as f32 - 5.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn same(lhs: &Tensor, rhs: &Tensor) {
        // Whole numbers this small are exact in any order of additions.
        let ours = matmul(lhs, rhs, Finish::default()).unwrap();
        let theirs = lhs.contiguous().unwrap().broadcast_matmul(&rhs.contiguous().unwrap()).unwrap();
        assert_eq!(ours.dims(), theirs.dims());
        assert_eq!(
            ours.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            theirs.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        );
    }

    #[test]
    fn every_layout_gives_the_same_product() {
        let heads = |shape: &[usize]| tensor(shape).transpose(1, 2).unwrap();
        same(&tensor(&[3, 4]), &tensor(&[4, 5]));
        same(&tensor(&[3, 4]), &tensor(&[5, 4]).t().unwrap());
        same(&tensor(&[2, 3, 4]), &tensor(&[5, 4]).t().unwrap());
        same(&tensor(&[2, 3, 9]).narrow(2, 1, 4).unwrap(), &tensor(&[4, 5]));
        same(&tensor(&[2, 1, 4]).transpose(0, 1).unwrap(), &tensor(&[4, 5]));
        same(&tensor(&[3, 2, 4]).transpose(0, 1).unwrap(), &tensor(&[4, 5]));
        same(&tensor(&[1, 1, 4]).broadcast_as((2, 3, 4)).unwrap(), &tensor(&[4, 5]));
        same(&tensor(&[2, 3, 3, 4]).narrow(1, 1, 1).unwrap(), &tensor(&[4, 5]));
        same(&tensor(&[2, 3, 3, 4]).narrow(2, 1, 1).unwrap(), &tensor(&[4, 5]));
        same(&tensor(&[3, 1, 4]).narrow(0, 1, 1).unwrap(), &tensor(&[4, 5]));
        same(&tensor(&[2, 4, 3]).transpose(1, 2).unwrap(), &tensor(&[4, 5]));
        same(&heads(&[2, 3, 5, 4]), &heads(&[2, 3, 5, 4]).transpose(2, 3).unwrap());
        same(&tensor(&[2, 1, 3, 4]), &tensor(&[5, 4, 2]));
        same(&tensor(&[3, 4]), &tensor(&[2, 4, 5]));
        same(&tensor(&[2, 3, 4]), &tensor(&[1, 1, 4, 5]));
        same(&tensor(&[2, 6, 4]).narrow(1, 1, 3).unwrap(), &tensor(&[4, 9]).narrow(1, 2, 5).unwrap());
        same(&tensor(&[2, 3, 0]), &tensor(&[0, 5]));
    }

    #[test]
    fn a_bias_is_added_to_every_row_and_gelu_taken() {
        let bias = tensor(&[5]);
        let (lhs, rhs) = (tensor(&[2, 3, 4]), tensor(&[4, 5]));
        let expected = matmul(&lhs, &rhs, Finish::default()).unwrap().broadcast_add(&bias).unwrap();
        let result = matmul(&lhs, &rhs, Finish { bias: Some(&bias), gelu: false }).unwrap();
        assert_eq!(result.to_vec3::<f32>().unwrap(), expected.to_vec3::<f32>().unwrap());
        let result = matmul(&lhs, &rhs, Finish { bias: Some(&bias), gelu: true }).unwrap();
        let expected = super::gelu::gelu(&expected).unwrap();
        assert_eq!(result.to_vec3::<f32>().unwrap(), expected.to_vec3::<f32>().unwrap());
    }
}
