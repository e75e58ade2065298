//! What goes into a product of codes.

use super::Lowering;
use crate::{
    backends::candle::plain,
    graph::{NodeId, NodeKind, Parameter},
    ops::{
        FakeQuantize, Mismatch, Op,
        kernels::{
            integer::{LONGEST, Matrix, Quantizer},
            vectorize,
        },
    },
    quant::codes::{Codes, Grid},
};
use candle_core::{DType, Tensor};
use pulp::Arch;
use rayon::prelude::*;
use std::sync::Arc;

/// A matrix of the checkpoint, quantized, as the right side of a product.
pub(super) struct Found {
    parameter: NodeId,
    /// Of each column of the product, or of all.
    grids: Vec<Grid>,
    quantize: FakeQuantize,
    /// The parameter's rows are the product's columns.
    is_turned: bool,
}

impl Lowering<'_> {
    /// The value that a fake quantizer sees, and the quantizer, where it has one range and
    /// codes of 8 bits. `Err` says why not.
    pub(super) fn quantized(&self, id: NodeId) -> Result<(NodeId, Quantizer), String> {
        let Some(Op::FakeQuantize(quantize)) = self.op(id) else {
            return Err("a side is not quantized".to_owned());
        };
        if quantize.axis.is_some() {
            return Err("activations have a range for each index of an axis".to_owned());
        }
        let grids = self.grids(id, quantize)?;
        let codes = quantize.codes().map_err(|mismatch| mismatch.message)?;
        let quantizer = grids.first().and_then(|grid| Quantizer::new(codes, *grid));
        let quantizer = quantizer.ok_or_else(|| not_a_byte(quantize))?;
        if quantizer.refuses_negative() {
            return Err("its mode refuses negative numbers".to_owned());
        }
        match self.operand(id, 0) {
            Some(value) => Ok((value, quantizer)),
            None => Err("a side is not quantized".to_owned()),
        }
    }

    /// The ranges of a fake quantizer, if they are known before the call.
    fn grids(&self, id: NodeId, quantize: &FakeQuantize) -> Result<Vec<Grid>, String> {
        if quantize.dynamic {
            return Err("a range is measured at every call".to_owned());
        }
        let unknown = || "a range is computed".to_owned();
        let range = self.operand(id, 1).ok_or_else(unknown)?;
        let numbers = match (self.constant(range), self.parameter(range)) {
            (Some(number), _) => vec![number as f32],
            (_, Some(tensor)) => numbers(tensor).map_err(|error| error.to_string())?,
            _ => return Err(unknown()),
        };
        let codes = quantize.codes().map_err(|mismatch| mismatch.message)?;
        if quantize.learn {
            let (low, high) = numbers.split_at(numbers.len() / 2);
            return Ok(low.iter().zip(high).map(|(low, high)| codes.clipped(*low, *high)).collect());
        }
        if numbers.iter().any(|amax| *amax < 0.0) {
            return Err("a range is negative".to_owned());
        }
        let scaled = numbers.iter().map(|amax| match quantize.scale_amax {
            1.0 => *amax,
            factor => amax * factor as f32,
        });
        Ok(scaled.map(|amax| codes.grid(amax)).collect())
    }

    /// The right side of a product with a matrix that is the same in every call.
    pub(super) fn find_weight(&self, node: NodeId) -> Result<Found, String> {
        let not_constant = || "its right side is no weight, and it is no part of plain attention".to_owned();
        let (outer, inner) = self.untransposed(node);
        let Some(Op::FakeQuantize(quantize)) = self.op(inner) else { return Err(not_constant()) };
        let given = self.operand(inner, 0).ok_or_else(not_constant)?;
        let (turned_before, parameter) = self.untransposed(given);
        let NodeKind::Parameter(Parameter { path, .. }) = &self.node(parameter).kind else {
            return Err(not_constant());
        };
        let sizes = self.node(parameter).ty.shape.iter();
        let sizes: Option<Vec<usize>> = sizes.map(|dim| usize::try_from(dim.as_known()?).ok()).collect();
        let Some([rows, columns]) = sizes.as_deref() else { return Err("a weight is no matrix".to_owned()) };
        let (rows, columns) = (*rows, *columns);
        let is_turned = outer != turned_before;
        // The axis of the quantized matrix that the product's columns are.
        let along = i64::from(!outer);
        match quantize.axis {
            None => {}
            Some(axis) if axis == along || axis == along - 2 => {}
            Some(_) => return Err("a weight has a range for each input, not for each output".to_owned()),
        }
        let depth = if is_turned { columns } else { rows };
        if depth > LONGEST {
            return Err(format!("sums of {depth} products may not fit 32 bits"));
        }
        let codes = quantize.codes().map_err(|mismatch| mismatch.message)?;
        let grids = self.grids(inner, quantize)?;
        let signed = |grid: &Grid| Quantizer::new(codes, *grid).is_some_and(|q| q.is_signed());
        if !grids.iter().all(signed) {
            return Err(not_a_byte(quantize));
        }
        if self.parameter(parameter).is_none() {
            let fits = |matrix: &Arc<Matrix>| {
                is_turned && matrix.scales() == scales(codes, &grids, rows) && is_among(matrix, codes)
            };
            if !self.packed.stored.get(path).is_some_and(fits) {
                return Err("it was packed with another range".to_owned());
            }
        }
        Ok(Found { parameter, grids, quantize: quantize.clone(), is_turned })
    }

    /// Whether the value is a matrix turned, and what it is otherwise.
    fn untransposed(&self, id: NodeId) -> (bool, NodeId) {
        match (self.op(id), self.operand(id, 0)) {
            (Some(Op::Transpose(_)), Some(inner)) if self.node(id).ty.rank() == 2 => {
                // Of two axes, a transposition that is none changes nothing.
                (self.permutes(id, &[1, 0]), inner)
            }
            _ => (false, id),
        }
    }

    /// The node is a transposition with these axes.
    pub(super) fn permutes(&self, id: NodeId, axes: &[i64]) -> bool {
        let rank = axes.len() as i64;
        match self.op(id) {
            Some(Op::Transpose(transpose)) => {
                transpose.axes.iter().map(|axis| axis.rem_euclid(rank.max(1))).eq(axes.iter().copied())
            }
            _ => false,
        }
    }

    /// The weight, packed; each only once.
    pub(super) fn pack(&mut self, found: &Found) -> candle_core::Result<Arc<Matrix>> {
        let NodeKind::Parameter(Parameter { path, .. }) = &self.node(found.parameter).kind else {
            return Err(unfit());
        };
        let key = Key::new(path, found).map_err(|mismatch| candle_core::Error::Msg(mismatch.message))?;
        if let Some(known) = self.packed.made.get(&key) {
            return Ok(known.clone());
        }
        let weight = match self.weights.get(path) {
            Some(tensor) => {
                let rows = self.node(found.parameter).ty.shape.first().and_then(|dim| dim.as_known());
                let tensor = plain(tensor, rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(0))?;
                let matrix = if found.is_turned { tensor } else { tensor.t()? };
                let packed = pack(&matrix, found);
                Arc::new(packed.map_err(|error| {
                    candle_core::Error::Msg(format!("`{path}` cannot be packed: {error}"))
                })?)
            }
            None => self.packed.stored.get(path).cloned().ok_or_else(unfit)?,
        };
        self.packed.made.insert(key, weight.clone());
        Ok(weight)
    }
}

/// What a packed weight is made of.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The parameter's state-dict path.
    pub(super) path: String,
    /// Its rows are the product's columns.
    pub(super) is_turned: bool,
    /// Of its codes and its ranges, to the bit.
    numbers: Vec<u32>,
}

impl Key {
    fn new(path: &str, found: &Found) -> Result<Key, Mismatch> {
        let Codes { least, largest, float, divides } = found.quantize.codes()?;
        let of_codes = [least.to_bits(), largest.to_bits(), u32::from(float), u32::from(divides)];
        let bits = |grid: &Grid| [grid.into, grid.back, grid.low, grid.high].map(f32::to_bits);
        let numbers = of_codes.into_iter().chain(found.grids.iter().flat_map(bits)).collect();
        Ok(Key { path: path.to_owned(), is_turned: found.is_turned, numbers })
    }
}

/// Every code is one of these.
fn is_among(matrix: &Matrix, codes: Codes) -> bool {
    let all = codes.least <= -128.0 && codes.largest >= 127.0;
    let is_one = |code: &u8| (codes.least..=codes.largest).contains(&f32::from(*code as i8));
    all || matrix.codes().iter().all(is_one)
}

/// The codes of a matrix whose rows are the columns of the product.
fn pack(matrix: &Tensor, found: &Found) -> candle_core::Result<Matrix> {
    let (columns, rows) = matrix.dims2()?;
    let codes = found.quantize.codes().map_err(|mismatch| candle_core::Error::Msg(mismatch.message))?;
    let given = numbers(matrix)?;
    if !given.par_iter().all(|number| number.is_finite()) {
        return Err(candle_core::Error::Msg("it holds numbers that are not finite".to_owned()));
    }
    let quantizers: Vec<Quantizer> =
        found.grids.iter().filter_map(|grid| Quantizer::new(codes, *grid)).collect();
    let of = |column: usize| quantizers.get(column).or(quantizers.first()).copied().ok_or_else(unfit);
    if quantizers.len() != 1 && quantizers.len() != columns {
        return Err(unfit());
    }
    let mut bytes = vec![0; given.len()];
    let arch = Arch::new();
    bytes.par_chunks_mut(rows.max(1)).zip(given.par_chunks(rows.max(1))).enumerate().try_for_each(
        |(column, (bytes, numbers))| {
            let quantizer = of(column)?;
            vectorize!(arch, quantizer.encode(numbers, bytes));
            Ok::<_, candle_core::Error>(())
        },
    )?;
    let scales = scales(codes, &found.grids, columns);
    let column = |column: usize| bytes.get(column * rows..(column + 1) * rows).unwrap_or(&[]);
    Matrix::pack([rows, columns], scales, column).ok_or_else(unfit)
}

/// What a code of each of `count` columns is worth, of ranges for each or one for all.
fn scales(codes: Codes, grids: &[Grid], count: usize) -> Vec<f32> {
    let scale = |grid: &Grid| Quantizer::new(codes, *grid).map_or(0.0, |quantizer| quantizer.scale());
    match grids {
        [one] => vec![scale(one); count],
        each => each.iter().map(scale).collect(),
    }
}

fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f32>> {
    tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn unfit() -> candle_core::Error {
    candle_core::Error::Msg("a weight and its ranges do not fit".to_owned())
}

fn not_a_byte(quantize: &FakeQuantize) -> String {
    match quantize.format.as_str() {
        "integer" if quantize.bits > 8 => format!("codes have {} bits", quantize.bits),
        "integer" => "a right side has unsigned codes".to_owned(),
        format => format!("codes are {format}"),
    }
}
