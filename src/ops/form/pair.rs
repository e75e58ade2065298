//! A fake quantizer as `QuantizeLinear` and `DequantizeLinear`.
//!
//! ONNX's pair rounds as the mode `onnx` does: `q = clamp(round_half_even(x / scale) +
//! zero_point)`, `(q - zero_point) * scale`. Codes fewer than their storage has (6
//! bits, no most negative code) are had by bringing `x` to the outermost ones first,
//! in float, which every target takes.

use super::{Element, Form, Mismatch, NodeAttribute, Numbers, Operand, Value, unfit};
use crate::{
    ops::{FakeQuantize, kernels},
    quant::codes::{Codes, learned_magnitude},
    types::DType,
};
use candle_core::Tensor;

/// The least scale: targets refuse 0, and runtimes differ in what they make of numbers
/// that are not normal. What a range below it lets through is below 1.5e-36 in magnitude.
const LEAST_SCALE: f32 = f32::MIN_POSITIVE;

/// How the codes of one quantizer are stored.
struct Stored {
    element: Element,
    zero_point: f64,
    /// The least and the largest code that there is room for.
    room: (f32, f32),
}

/// A known range: magnitudes, and the bounds of a learned one.
struct Range {
    amax: Tensor,
    bounds: Option<(Tensor, Tensor)>,
}

/// The nodes of a fake quantizer, and its result.
pub(in crate::ops) fn pair(
    quantizer: &FakeQuantize,
    codes: Codes,
    form: &mut Form<'_>,
) -> Result<Value, Mismatch> {
    let (x, amax) = (form.operand(0)?, form.operand(1)?);
    // One number that is written in the spec holds for every index of an axis.
    let along = quantizer.axis.filter(|_| quantizer.dynamic || amax.ty.rank() > 0);
    let axis = along.map(|along| form.axis(0, along)).transpose()?;
    let stored = stored(quantizer, codes, form, x.constant.is_some())?;
    let scalars = (quantizer, codes, axis);
    if let Some(weight) = &x.constant {
        let range = known_range(quantizer, weight, &amax, axis)?;
        return of_weight(weight, range, scalars, &stored, form);
    }
    let dtype = x.ty.dtype;
    let mut value = if dtype == DType::F32 { x.value.clone() } else { form.cast(&x.value, DType::F32) };
    let (scale, zero_point) = if quantizer.dynamic {
        let scale;
        (value, scale) = measured(value, &x, scalars, &stored, form)?;
        // An axis that keeps its own ranges has a known size.
        let size = axis.and_then(|axis| x.ty.shape.get(usize::try_from(axis).ok()?)?.as_known());
        let count = size.and_then(|size| usize::try_from(size).ok());
        (scale, zero_point(&stored, count, form)?)
    } else {
        let range = range(quantizer, constant(&amax)?)?;
        value = limited(value, &range, codes, &stored, form)?;
        let (scale, count) = scale_of(&range.scales(codes)?, axis, form)?;
        (scale, zero_point(&stored, count, form)?)
    };
    let attributes = axis_attribute(axis);
    let inputs = [&value, &scale, &zero_point];
    let quantized = form.labelled("QuantizeLinear", &inputs, attributes.clone(), "codes");
    let value = form.labelled("DequantizeLinear", &[&quantized, &scale, &zero_point], attributes, "value");
    Ok(if dtype == DType::F32 { value } else { form.cast(&value, dtype) })
}

/// A weight: its codes, or its numbers with a `QuantizeLinear` behind them.
fn of_weight(
    weight: &Tensor,
    range: Range,
    (quantizer, codes, axis): (&FakeQuantize, Codes, Option<i64>),
    stored: &Stored,
    form: &mut Form<'_>,
) -> Result<Value, Mismatch> {
    let dtype = form.result().dtype;
    let whole = (codes.least, codes.largest) == stored.room && range.bounds.is_none();
    let scales = range.scales(codes)?;
    let (scale, count) = scale_of(&scales, axis, form)?;
    let zero_point = zero_point(stored, count, form)?;
    let attributes = axis_attribute(axis);
    let quantized = if form.dialect.folded || !whole {
        let values = weight.to_dtype(candle_core::DType::F32).map_err(unfit)?;
        let values = match &range.bounds {
            None => values,
            Some((low, high)) => values
                .broadcast_maximum(low)
                .and_then(|values| values.broadcast_minimum(high))
                .map_err(unfit)?,
        };
        let numbers = Numbers::Codes { values, amax: range.amax, scale: scales, quantizer: still(quantizer) };
        form.constant("codes", stored.element, numbers)
    } else {
        let x = form.value(0)?;
        let x = if dtype == DType::F32 { x } else { form.cast(&x, DType::F32) };
        form.labelled("QuantizeLinear", &[&x, &scale, &zero_point], attributes.clone(), "codes")
    };
    let value = form.labelled("DequantizeLinear", &[&quantized, &scale, &zero_point], attributes, "value");
    Ok(if dtype == DType::F32 { value } else { form.cast(&value, dtype) })
}

/// The quantizer with a range that is given as it is to be used.
fn still(quantizer: &FakeQuantize) -> FakeQuantize {
    FakeQuantize { dynamic: false, learn: false, scale_amax: 1.0, ..quantizer.clone() }
}

fn stored(
    quantizer: &FakeQuantize,
    codes: Codes,
    form: &Form<'_>,
    constant: bool,
) -> Result<Stored, Mismatch> {
    let (opset, signed) = (form.dialect.opset, quantizer.signed);
    let needs = |what: &str, least: i64| {
        let message = format!("{what} need opset {least}, but the model is written for opset {opset}");
        Err(Mismatch::new(message).help(format!("export with `--opset {least}` or a later one")))
    };
    let plain =
        |element, least: f32, largest: f32| Stored { element, zero_point: 0.0, room: (least, largest) };
    Ok(match (codes.float, quantizer.bits, signed) {
        (true, ..) if opset < 19 => return needs("E4M3 codes", 19),
        (true, ..) => plain(Element::E4M3, codes.least, codes.largest),
        (_, 9.., _) if opset < 21 => return needs("codes of more than 8 bits", 21),
        (_, 9.., true) => plain(Element::I16, -32768.0, 32767.0),
        (_, 9.., false) => plain(Element::U16, 0.0, 65535.0),
        (_, _, true) if form.dialect.shifted && !constant => {
            Stored { element: Element::Of(DType::U8), zero_point: 128.0, room: (-128.0, 127.0) }
        }
        (_, _, true) => plain(Element::I8, -128.0, 127.0),
        (_, _, false) => plain(Element::Of(DType::U8), 0.0, 255.0),
    })
}

fn constant(amax: &Operand) -> Result<&Tensor, Mismatch> {
    let unknown = || Mismatch::new(format!("the range `{}` is computed when the model runs", amax.value.0));
    amax.constant.as_ref().ok_or_else(unknown)
}

/// The range of a weight, which is known even where it is measured.
fn known_range(
    quantizer: &FakeQuantize,
    weight: &Tensor,
    amax: &Operand,
    axis: Option<i64>,
) -> Result<Range, Mismatch> {
    if !quantizer.dynamic {
        return range(quantizer, constant(amax)?);
    }
    let axis = axis.and_then(|axis| usize::try_from(axis).ok());
    let held = weight.to_dtype(candle_core::DType::F32).map_err(unfit)?;
    range(quantizer, &kernels::magnitude(&held, axis).map_err(unfit)?)
}

/// The range that is used, of the one that is stored.
fn range(quantizer: &FakeQuantize, stored: &Tensor) -> Result<Range, Mismatch> {
    let stored = stored.to_dtype(candle_core::DType::F32).map_err(unfit)?;
    if !quantizer.learn {
        if let Some(wrong) = numbers(&stored)?.into_iter().find(|amax| !amax.is_finite() || *amax < 0.0) {
            let message = format!("its range is {wrong}, which is no magnitude");
            return Err(Mismatch::new(message).help("calibrate the checkpoint again"));
        }
        let amax = if quantizer.scale_amax == 1.0 { Ok(stored) } else { stored * quantizer.scale_amax };
        return Ok(Range { amax: amax.map_err(unfit)?, bounds: None });
    }
    let bound = |at| stored.narrow(0, at, 1).and_then(|bound| bound.squeeze(0)).map_err(unfit);
    let (low, high) = (bound(0)?, bound(1)?);
    let (least, largest) = (numbers(&low)?, numbers(&high)?);
    let magnitudes: Vec<f32> =
        least.into_iter().zip(largest).map(|(low, high)| learned_magnitude(low, high)).collect();
    let amax = Tensor::from_vec(magnitudes, low.shape(), low.device()).map_err(unfit)?;
    Ok(Range { amax, bounds: Some((low, high)) })
}

impl Range {
    /// What codes are multiplied with, of the shape of the magnitudes.
    fn scales(&self, codes: Codes) -> Result<Tensor, Mismatch> {
        let scales: Vec<f32> =
            numbers(&self.amax)?.into_iter().map(|amax| (amax / codes.largest).max(LEAST_SCALE)).collect();
        Tensor::from_vec(scales, self.amax.shape(), self.amax.device()).map_err(unfit)
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>, Mismatch> {
    tensor.flatten_all().and_then(|flat| flat.to_vec1()).map_err(unfit)
}

/// The scale as a constant, and how many scales there are along the axis; `None` for one.
fn scale_of(
    scales: &Tensor,
    axis: Option<i64>,
    form: &mut Form<'_>,
) -> Result<(Value, Option<usize>), Mismatch> {
    let count = axis.map(|_| scales.elem_count());
    let shape: Vec<usize> = count.into_iter().collect();
    let tensor = scales.reshape(shape).map_err(unfit)?;
    Ok((form.constant("scale", Element::Of(DType::F32), Numbers::Tensor(tensor)), count))
}

fn zero_point(stored: &Stored, count: Option<usize>, form: &mut Form<'_>) -> Result<Value, Mismatch> {
    let shape: Vec<usize> = count.into_iter().collect();
    let values = vec![stored.zero_point; count.unwrap_or(1)];
    form.numbers("zero_point", &values, &shape, stored.element)
}

/// The numbers brought to the outermost codes, where the storage has codes beyond
/// them, and to the bounds of a learned range.
fn limited(
    value: Value,
    range: &Range,
    codes: Codes,
    stored: &Stored,
    form: &mut Form<'_>,
) -> Result<Value, Mismatch> {
    let step = range.scales(codes)?;
    let outermost = |code: f32| (&step * f64::from(code)).map_err(unfit);
    let mut least = (codes.least > stored.room.0).then(|| outermost(codes.least)).transpose()?;
    let mut largest = (codes.largest < stored.room.1).then(|| outermost(codes.largest)).transpose()?;
    if let Some((low, high)) = &range.bounds {
        least = Some(match least {
            Some(least) => least.maximum(low).map_err(unfit)?,
            None => low.clone(),
        });
        largest = Some(match largest {
            Some(largest) => largest.minimum(high).map_err(unfit)?,
            None => high.clone(),
        });
    }
    let mut value = value;
    for (op_type, label, bound) in [("Max", "least", least), ("Min", "largest", largest)] {
        if let Some(bound) = bound {
            let bound = form.constant(label, Element::Of(DType::F32), Numbers::Tensor(bound));
            value = form.plain(op_type, &[&value, &bound]);
        }
    }
    Ok(value)
}

/// The numbers and the scale of a range that is measured when the model runs. A range
/// that is made smaller leaves numbers beyond it, which are brought to the outermost codes.
fn measured(
    value: Value,
    x: &Operand,
    (quantizer, codes, axis): (&FakeQuantize, Codes, Option<i64>),
    stored: &Stored,
    form: &mut Form<'_>,
) -> Result<(Value, Value), Mismatch> {
    let bounds = [
        ("Max", codes.least, codes.least > stored.room.0),
        ("Min", codes.largest, codes.largest < stored.room.1),
    ];
    let limited = quantizer.scale_amax < 1.0 && bounds.iter().any(|(.., limits)| *limits);
    let step = step(&value, x, (quantizer, codes, axis), limited, form)?;
    if !limited {
        return Ok((value, step));
    }
    let mut value = value;
    for (op_type, code, _) in bounds.into_iter().filter(|(.., limits)| *limits) {
        let code = form.number(f64::from(code), DType::F32)?;
        let bound = form.plain("Mul", &[&step, &code]);
        value = form.plain(op_type, &[&value, &bound]);
    }
    let shape: &[i64] = if axis.is_some() { &[-1] } else { &[] };
    let shape = form.integers("shape", shape)?;
    Ok((value, form.labelled("Reshape", &[&step, &shape], [], "scale")))
}

/// What one code is worth, where the range is measured; with `keep`, of the rank of `x`.
fn step(
    value: &Value,
    x: &Operand,
    (quantizer, codes, axis): (&FakeQuantize, Codes, Option<i64>),
    keep: bool,
    form: &mut Form<'_>,
) -> Result<Value, Mismatch> {
    // A rank is small.
    let others: Vec<i64> = (0..x.ty.rank() as i64).filter(|other| Some(*other) != axis).collect();
    let magnitudes = form.plain("Abs", &[value]);
    let keep = ("keepdims", NodeAttribute::Integer(keep.into()));
    let amax = if form.dialect.opset >= 18 {
        let axes = form.integers("axes", &others)?;
        form.node("ReduceMax", &[&magnitudes, &axes], [keep])
    } else {
        form.node("ReduceMax", &[&magnitudes], [("axes", NodeAttribute::Integers(others)), keep])
    };
    let amax = if quantizer.scale_amax == 1.0 {
        amax
    } else {
        let factor = form.number(quantizer.scale_amax, DType::F32)?;
        form.plain("Mul", &[&amax, &factor])
    };
    let largest = form.number(f64::from(codes.largest), DType::F32)?;
    let scale = form.plain("Div", &[&amax, &largest]);
    let least = form.number(f64::from(LEAST_SCALE), DType::F32)?;
    Ok(form.labelled("Max", &[&scale, &least], [], "scale"))
}

fn axis_attribute(axis: Option<i64>) -> Vec<(&'static str, NodeAttribute)> {
    axis.map(|axis| ("axis", NodeAttribute::Integer(axis))).into_iter().collect()
}
