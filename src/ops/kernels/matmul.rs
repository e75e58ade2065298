//! Products of matrices, many at a time and without copies.

use super::{
    float::{self, Matrix, Panels, Product, Sums},
    is_plain, lend, starts,
    transpose::turned,
    unfit,
};
use crate::ops::broadcast::broadcast_sizes;
use candle_core::{Error, Layout, Result, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// The right side of a product.
#[derive(Clone, Copy)]
pub(crate) enum Right<'a> {
    /// Matrices in the last two axes; the axes before are brought together with those on the
    /// left as NumPy does it.
    Matrices(&'a Tensor),
    /// One matrix of so many columns, as [`pack`] laid it out.
    Packed(&'a Tensor, usize),
}

/// What is done with a product while it is at hand.
#[derive(Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// What sums are multiplied by: a number for each column, one for all, or none.
    pub(crate) scales: &'a [f32],
    /// A number for each column, added to every row then.
    pub(crate) bias: Option<&'a Tensor>,
    /// Then takes the GELU of each number.
    pub(crate) gelu: bool,
}

/// The tensors are f32 on a CPU, in any layout, and not part of a gradient's path.
pub(crate) fn can_multiply(lhs: &Tensor, rhs: &Tensor) -> bool {
    [lhs, rhs].iter().all(|x| is_plain(x) && x.rank() >= 2)
}

/// The products of the matrices in the last two axes of tensors that [`can_multiply`].
pub(crate) fn matmul(lhs: &Tensor, right: Right, finish: Finish) -> Result<Tensor> {
    product(lhs, right, finish, Sums::FAST)
}

/// The same; `sums` says how they are added up.
pub(super) fn product(lhs: &Tensor, right: Right, finish: Finish, sums: Sums) -> Result<Tensor> {
    let (leading, [rows, depth, columns]) = shapes(lhs, right)?;
    let shape = [leading.as_slice(), &[rows, columns]].concat();
    let size = shape.iter().product();
    let mut result: Vec<f32> = Vec::with_capacity(size);
    if size > 0 {
        let slots = &mut result.spare_capacity_mut()[..size];
        let way = Way { sums, finish: finish.padded(columns)? };
        match right {
            Right::Matrices(rhs) if rhs.dims().iter().rev().skip(2).any(|size| *size != 1) => {
                way.pairs(&in_rows(lhs)?, rhs, &leading, slots)?;
            }
            Right::Matrices(rhs) => {
                let mut one = rhs.clone();
                while one.rank() > 2 {
                    one = one.squeeze(0)?;
                }
                let (rhs, mut packed) = (lend(&one), Vec::new());
                let matrix = Matrices::new(rhs.all()?, rhs.1, &[])?.first()?;
                way.rows(lhs, float::pack(matrix, &mut packed, true), slots)?;
            }
            Right::Packed(rhs, _) => {
                let rhs = lend(rhs);
                way.rows(lhs, Panels::new(rhs.in_order()?, depth, columns).ok_or_else(unfit)?, slots)?;
            }
        }
    }
    // SAFETY: there is room for `size` numbers, and each was written, or there are none.
    unsafe { result.set_len(size) };
    Tensor::from_vec(result, shape, lhs.device())
}

/// How products are made.
struct Way {
    sums: Sums,
    finish: float::Finish,
}

impl Way {
    /// Writes the products of pairs of matrices, which `leading` counts.
    fn pairs(
        &self,
        lhs: &Tensor,
        rhs: &Tensor,
        leading: &[usize],
        slots: &mut [MaybeUninit<f32>],
    ) -> Result<()> {
        let (left, right) = (lend(lhs), lend(rhs));
        let left = Matrices::new(left.all()?, left.1, leading)?;
        let right = Matrices::new(right.all()?, right.1, leading)?;
        let pairs = left.starts.par_iter().zip(&right.starts);
        let each = slots.len() / left.starts.len().max(1);
        let many = left.starts.len() >= rayon::current_num_threads();
        let one = |packed: &mut Vec<f32>, (from, to): (&usize, &usize), slots: &mut [MaybeUninit<f32>]| {
            let right = float::pack(right.at(*to), packed, !many);
            let product = self.product(left.at(*from), right)?;
            if many {
                product.write(slots)
            } else {
                product.write_together(slots)
            }
            Ok::<_, Error>(())
        };
        if many {
            let work = pairs.zip(slots.par_chunks_mut(each.max(1)));
            return work.map_init(Vec::new, |packed, (pair, slots)| one(packed, pair, slots)).collect();
        }
        let mut packed = Vec::new();
        let work = left.starts.iter().zip(&right.starts).zip(slots.chunks_mut(each.max(1)));
        work.into_iter().try_for_each(|(pair, slots)| one(&mut packed, pair, slots))
    }

    /// Writes the products of all rows on the left with one matrix.
    fn rows(&self, lhs: &Tensor, right: Panels, slots: &mut [MaybeUninit<f32>]) -> Result<()> {
        let mut lhs = in_rows(lhs)?;
        if stacked(lhs.layout()).is_none() {
            lhs = lhs.contiguous()?;
        }
        let stack = stacked(lhs.layout()).ok_or_else(unfit)?;
        let left = lend(&lhs);
        self.product(Matrices::new(left.all()?, &stack, &[])?.first()?, right)?.write_together(slots);
        Ok(())
    }

    fn product<'a>(&'a self, left: Matrix<'a>, right: Panels<'a>) -> Result<Product<'a>> {
        Product::new(left, right, self.sums, &self.finish).ok_or_else(unfit)
    }
}

impl Finish<'_> {
    /// With numbers for columns that fill the last panel, too.
    fn padded(&self, columns: usize) -> Result<float::Finish> {
        let bias = self.bias.map(|bias| bias.flatten_all()?.to_vec1()).transpose()?.unwrap_or_default();
        let scales = match self.scales {
            [scale] => vec![*scale; columns],
            scales => scales.to_vec(),
        };
        let size = Panels::padded_columns(columns);
        let [scales, bias] = [scales, bias].map(|mut numbers| {
            if numbers.is_empty() {
                return Ok(numbers);
            }
            if numbers.len() != columns {
                return Err(Error::Msg(format!("{columns} columns have {} scales or biases", numbers.len())));
            }
            numbers.resize(size, 0.0);
            Ok(numbers)
        });
        Ok(float::Finish { scales: scales?, bias: bias?, gelu: self.gelu })
    }
}

/// A matrix on the right, `[rows, columns]` and in any layout, laid out as products read it
/// fastest.
pub(crate) fn pack(matrix: &Tensor) -> Result<Tensor> {
    let (rows, columns) = matrix.dims2()?;
    let (lent, mut packed) = (lend(matrix), Vec::new());
    float::pack(Matrices::new(lent.all()?, lent.1, &[])?.first()?, &mut packed, true);
    Tensor::from_vec(packed, &Panels::shape(rows, columns), matrix.device())
}

/// The matrix of so many columns that was packed, in its usual layout.
pub(crate) fn unpack(packed: &Tensor, columns: usize) -> Result<Tensor> {
    let rows = packed.dim(1)?;
    let lent = lend(packed);
    let panels = Panels::new(lent.in_order()?, rows, columns).ok_or_else(unfit)?;
    Tensor::from_vec(float::unpack(panels), (rows, columns), packed.device())
}

/// The tensor has the form of a matrix of this size that was packed.
pub(crate) fn is_packed(x: &Tensor, rows: usize, columns: usize) -> bool {
    x.dims() == Panels::shape(rows, columns) && super::fits(x)
}

/// The tensor with the numbers of a row side by side.
fn in_rows(x: &Tensor) -> Result<Tensor> {
    let (rows, columns) = (x.dim(candle_core::D::Minus2)?, x.dim(candle_core::D::Minus1)?);
    if columns <= 1 || x.stride().last() == Some(&1) {
        return Ok(x.clone());
    }
    let other = x.t()?;
    if !other.is_contiguous() {
        return x.contiguous();
    }
    let lent = lend(&other);
    let matrices = lent.in_order()?.par_chunks((rows * columns).max(1));
    let numbers: Vec<f32> = matrices.flat_map_iter(|matrix| turned(matrix, columns, rows)).collect();
    Tensor::from_vec(numbers, x.shape(), x.device())
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

/// The axes before the last two, brought together, and the sizes of the matrices: rows, length of
/// sums, columns.
fn shapes(lhs: &Tensor, right: Right) -> Result<(Vec<usize>, [usize; 3])> {
    let [left @ .., m, k] = lhs.dims() else {
        return Err(Error::Msg("a matrix has rows and columns".to_owned()));
    };
    let (leading, rows, n) = match right {
        Right::Packed(rhs, columns) => (Some(left.to_vec()), rhs.dims().get(1), columns),
        Right::Matrices(rhs) => match rhs.dims() {
            [right @ .., rows, n] => (broadcast_sizes(left, right, &1), Some(rows), *n),
            _ => (None, None, 0),
        },
    };
    match leading {
        Some(leading) if Some(k) == rows => Ok((leading, [*m, *k, n])),
        _ => {
            let (Right::Matrices(rhs) | Right::Packed(rhs, _)) = right;
            Err(Error::Msg(format!("{:?} and {:?} cannot be multiplied", lhs.dims(), rhs.dims())))
        }
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

    /// The one that starts here.
    fn at(&self, start: usize) -> Matrix<'a> {
        let numbers = self.numbers.get(start..).unwrap_or_default();
        Matrix { numbers, rows: self.rows, columns: self.columns }
    }

    fn first(&self) -> Result<Matrix<'a>> {
        self.starts.first().map(|start| self.at(*start)).ok_or_else(unfit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device};

    fn tensor(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|at| ((at * 7) % 11) as f32 - 5.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn same(lhs: &Tensor, rhs: &Tensor) {
        // Whole numbers this small are exact in any order of additions.
        let ours = matmul(lhs, Right::Matrices(rhs), Finish::default()).unwrap();
        let count = ours.dims().iter().rev().skip(2).product::<usize>();
        let whole = |x: &Tensor| {
            let leading = ours.dims().iter().take(ours.rank() - 2);
            let shape: Vec<usize> = leading.chain(&x.dims()[x.rank() - 2..]).copied().collect();
            let sizes = (count, x.dim(D::Minus2).unwrap(), x.dim(D::Minus1).unwrap());
            x.broadcast_as(shape).unwrap().contiguous().unwrap().reshape(sizes).unwrap()
        };
        let theirs = whole(lhs).matmul(&whole(rhs)).unwrap().reshape(ours.dims()).unwrap();
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
        same(&tensor(&[2, 3, 4]), &tensor(&[1, 1, 1, 4, 5]).transpose(1, 2).unwrap());
        same(&tensor(&[2, 2, 4, 3]).transpose(2, 3).unwrap(), &tensor(&[2, 4, 5]));
        same(&tensor(&[2, 4, 2, 3]).transpose(1, 3).unwrap(), &tensor(&[4, 5]));
    }

    #[test]
    fn zeros_that_follow_change_nothing() {
        let thirds = |shape: &[usize]| (tensor(shape) / 3.0).unwrap();
        let (lhs, rhs) = (thirds(&[3, 500]), thirds(&[500, 20]));
        let numbers = |lhs: &Tensor, rhs: &Tensor| {
            matmul(lhs, Right::Matrices(rhs), Finish::default()).unwrap().to_vec2::<f32>().unwrap()
        };
        let alone = numbers(&lhs, &rhs);
        for more in [1, 12, 300, 1000] {
            let lhs = lhs.pad_with_zeros(1, 0, more).unwrap();
            assert_eq!(numbers(&lhs, &rhs.pad_with_zeros(0, 0, more).unwrap()), alone);
        }
    }

    #[test]
    fn a_sum_of_nothing_is_its_bias() {
        let (lhs, rhs, bias) = (tensor(&[5, 0]), tensor(&[0, 200]), tensor(&[200]));
        let finish = Finish { scales: &[3.0], bias: Some(&bias), gelu: false };
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let result = alone.install(|| matmul(&lhs, Right::Matrices(&rhs), finish)).unwrap();
        let expected = bias.to_vec1::<f32>().unwrap();
        let stacked = matmul(&tensor(&[2, 5, 0]), Right::Matrices(&tensor(&[2, 0, 200])), finish).unwrap();
        assert!(stacked.to_vec3::<f32>().unwrap().into_iter().flatten().all(|row| row == expected));
        assert!(result.to_vec2::<f32>().unwrap().into_iter().all(|row| row == expected));
    }

    #[test]
    fn a_packed_matrix_gives_the_same_product_and_is_unpacked_as_it_was() {
        let (lhs, rhs) = (tensor(&[2, 3, 7]), tensor(&[7, 35]));
        let packed = pack(&rhs).unwrap();
        assert!(is_packed(&packed, 7, 35) && !is_packed(&rhs, 7, 35));
        let numbers = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let of = |right| numbers(matmul(&lhs, right, Finish::default()).unwrap());
        assert_eq!(of(Right::Packed(&packed, 35)), of(Right::Matrices(&rhs)));
        assert!(matmul(&lhs, Right::Packed(&packed, 60), Finish::default()).is_err());
        assert_eq!(numbers(unpack(&packed, 35).unwrap()), numbers(rhs));
    }

    #[test]
    fn a_bias_is_added_to_every_row_and_gelu_taken() {
        let bias = tensor(&[5]);
        let (lhs, rhs) = (tensor(&[2, 3, 4]), tensor(&[4, 5]));
        let expected =
            matmul(&lhs, Right::Matrices(&rhs), Finish::default()).unwrap().broadcast_add(&bias).unwrap();
        let result = matmul(
            &lhs,
            Right::Matrices(&rhs),
            Finish { bias: Some(&bias), gelu: false, ..Finish::default() },
        )
        .unwrap();
        assert_eq!(result.to_vec3::<f32>().unwrap(), expected.to_vec3::<f32>().unwrap());
        let result = matmul(
            &lhs,
            Right::Matrices(&rhs),
            Finish { bias: Some(&bias), gelu: true, ..Finish::default() },
        )
        .unwrap();
        let expected = crate::ops::kernels::gelu(&expected).unwrap();
        assert_eq!(result.to_vec3::<f32>().unwrap(), expected.to_vec3::<f32>().unwrap());
    }
}
