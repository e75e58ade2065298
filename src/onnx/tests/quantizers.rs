//! Every kind of quantizer as ONNX's pair: the same codes, turned back to the same numbers.

use super::{Builder, USUAL, assert_near, dialect, flat, hand, operation, run, sized, written};
use crate::{
    onnx::{opset, proto::tensor_proto::DataType},
    ops::{Attribute, Op, form::Dialect, spec_dtype},
    types::{Bindings, TensorType},
};
use candle_core::{Device, Tensor};

/// What multiplying and dividing in another order differ by.
const SHARE: f32 = 1e-6;

/// Where a quantizer has its range from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Range {
    Static,
    /// Of one number, for an axis.
    Fixed,
    Dynamic,
    Learned,
}

/// A quantizer that is tested.
#[derive(Clone, Debug)]
struct Kind {
    bits: i64,
    signed: bool,
    narrow: bool,
    format: &'static str,
    mode: &'static str,
    range: Range,
    axis: Option<i64>,
    scale_amax: f64,
}

impl Kind {
    fn op(&self) -> Op {
        let text = |text: &str| Attribute::from(text.to_owned());
        operation(
            "fake_quantize",
            &[
                ("bits", self.bits.into()),
                ("signed", self.signed.into()),
                ("narrow", self.narrow.into()),
                ("format", text(self.format)),
                ("mode", text(self.mode)),
                ("axis", self.axis.into()),
                ("dynamic", (self.range == Range::Dynamic).into()),
                ("learn", (self.range == Range::Learned).into()),
                ("scale_amax", self.scale_amax.into()),
            ],
        )
    }

    /// The range for `x`: at index 2 of an axis it is 0.
    fn amax(&self, x: &Tensor) -> Tensor {
        let rank = x.rank() as i64;
        let axis = self.axis.filter(|_| !matches!(self.range, Range::Fixed | Range::Dynamic));
        let axis = axis.map(|axis| (axis + rank) % rank);
        let shape: Vec<usize> = axis
            .into_iter()
            .flat_map(|axis| (0..rank).map(move |at| (at, axis)))
            .map(|(at, axis)| if at == axis { x.dims()[at as usize] } else { 1 })
            .collect();
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = [1.7, 0.9, 0.0, 2.3, 0.041].into_iter().cycle().take(count).collect();
        let amax = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
        match self.range {
            // The least number is nearer to 0, so that it is not the code's own.
            Range::Learned => Tensor::stack(&[(&amax * -0.6).unwrap(), amax], 0).unwrap(),
            _ => amax,
        }
    }

    /// The runtime has its codes.
    fn is_run(&self) -> bool {
        self.bits <= 8 && self.format == "integer"
    }
}

/// Every kind, but for combinations that the operator refuses.
fn kinds() -> Vec<Kind> {
    let mut kinds = Vec::new();
    let codes = (2..=16).flat_map(|bits| {
        [(bits, true, false), (bits, true, true), (bits, false, false)].map(|codes| ("integer", codes))
    });
    for (format, (bits, signed, narrow)) in codes.chain([("e4m3", (8, true, false))]) {
        for mode in ["onnx", "nv", "nv_narrow"] {
            for range in [Range::Static, Range::Fixed, Range::Dynamic, Range::Learned] {
                for axis in [None, Some(-1), Some(0)] {
                    for scale_amax in [1.0, 0.5] {
                        let kind = Kind { bits, signed, narrow, format, mode, range, axis, scale_amax };
                        if (range != Range::Learned || scale_amax == 1.0)
                            && (format != "e4m3" || axis.is_none())
                        {
                            kinds.push(kind);
                        }
                    }
                }
            }
        }
    }
    kinds
}

/// Numbers from -3 to 3, of which none is at a tie of codes.
fn numbers(shape: &[usize], kind: &Kind) -> Tensor {
    let count: usize = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|at| (at * 7919 % 10007) as f32 / 1667.8 - 3.0).collect();
    let x = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
    // Below 0 there are no codes, and the modes of pytorch-quantization refuse such numbers.
    if kind.signed || kind.mode == "onnx" { x } else { x.abs().unwrap() }
}

/// Holds that the pair gives what the operator gives; the codes are named in messages.
fn agrees(kind: &Kind, weight: bool, dialect: &Dialect) {
    let what = format!("{kind:?}, weight: {weight}, {dialect:?}");
    // An axis of an activation that has ranges of its own has a known size.
    let (shape, types): (&[usize], &[&str]) = match kind.axis {
        Some(0) => (&[5, 3, 4], &["5", "seq", "4"]),
        _ => (&[2, 3, 5], &["batch", "seq", "5"]),
    };
    let (x, op) = (numbers(shape, kind), kind.op());
    let amax = kind.amax(&x);
    let expected = op.semantics().eval(&[x.clone(), amax.clone()], &Bindings::new()).unwrap();
    let mut builder = Builder::new();
    let operand = if weight { builder.parameter("x", &x) } else { builder.input("x", sized(types)) };
    let range = builder.parameter("amax", &amax);
    let node = builder.op("q", op, &[operand, range]);
    builder.output("y", node);
    let model = builder.model(dialect);
    let values = hand::computed(&model, "x", &x);
    let made = &values["y"].numbers;
    assert_codes(made, &expected, kind, &what);
    in_range(kind, &values["q/codes"], dialect.shifted && !weight, &what);
    if kind.is_run() {
        let sizes = Tensor::zeros((2, 3, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mut given = super::Tensors::from([("sizes".to_owned(), sizes)]);
        given.extend((!weight).then(|| ("x".to_owned(), x)));
        let made = run(&written(&model), &given).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_codes(&made["y"], &expected, kind, &what);
    }
}

/// Holds that numbers are those of the same codes. At a tie, what multiplies by the
/// inverse of the step may round to the other code than what divides by it; the more
/// codes, the more numbers are near one.
fn assert_codes(made: &Tensor, expected: &Tensor, kind: &Kind, what: &str) {
    if kind.mode == "onnx" || kind.bits <= 8 {
        return assert_near(made, expected, SHARE, what);
    }
    let step = 1.001 / (2_f32.powi(kind.bits as i32 - 1) - 1.0);
    assert_near(made, expected, step, what);
    let scale = flat(expected).iter().fold(0.0_f32, |scale, x| scale.max(x.abs()));
    let apart =
        flat(made).iter().zip(flat(expected)).filter(|(a, b)| (**a - b).abs() > SHARE * scale).count();
    assert!(apart * 20 <= expected.elem_count(), "{what}: {apart} codes are others");
}

/// The codes are stored in the least type that has them, and none is beyond the outermost.
fn in_range(kind: &Kind, codes: &hand::Held, shifted: bool, what: &str) {
    let shifted = shifted && kind.signed && kind.bits <= 8 && kind.format == "integer";
    let element = match (kind.format, kind.bits, kind.signed && !shifted) {
        ("e4m3", ..) => DataType::Float8e4m3fn,
        (_, 9.., true) => DataType::Int16,
        (_, 9.., false) => DataType::Uint16,
        (_, _, true) => DataType::Int8,
        (_, _, false) => DataType::Uint8,
    };
    assert_eq!(codes.element, element, "{what}");
    let narrow = kind.narrow || kind.mode == "nv_narrow";
    let half = 2_f32.powi(kind.bits as i32 - 1);
    let (least, largest) = match (kind.format, kind.signed) {
        ("e4m3", _) => (-448.0, 448.0),
        (_, true) => (if narrow { 1.0 - half } else { -half }, half - 1.0),
        (_, false) => (0.0, 2.0 * half - 1.0),
    };
    let zero = if shifted { 128.0 } else { 0.0 };
    assert!(flat(&codes.numbers).iter().all(|code| (least..=largest).contains(&(code - zero))), "{what}");
}

#[test]
fn activations_have_the_codes_of_the_operator() {
    for kind in kinds() {
        agrees(&kind, false, &dialect(opset::NEWEST));
        agrees(&kind, false, &Dialect { shifted: true, ..dialect(21) });
    }
}

#[test]
fn weights_have_the_codes_of_the_operator() {
    for kind in kinds() {
        for folded in [false, true] {
            agrees(&kind, true, &Dialect { folded, shifted: folded, ..dialect(opset::NEWEST) });
        }
    }
}

/// In the oldest opset, where reductions have their axes as attributes.
#[test]
fn codes_of_eight_bits_are_in_every_opset() {
    for kind in kinds().iter().filter(|kind| kind.is_run()) {
        agrees(kind, false, &dialect(opset::OLDEST));
        agrees(kind, true, &dialect(opset::OLDEST));
    }
}

/// Codes are computed in f32, whatever the numbers are.
#[test]
fn other_float_types_are_quantized_as_f32() {
    let kind = Kind {
        bits: 8,
        signed: true,
        narrow: false,
        format: "integer",
        mode: "onnx",
        range: Range::Static,
        axis: Some(-1),
        scale_amax: 1.0,
    };
    for dtype in [candle_core::DType::F16, candle_core::DType::BF16] {
        for (weight, folded) in [(false, false), (true, false), (true, true)] {
            let x = numbers(&[2, 3, 5], &kind).to_dtype(dtype).unwrap();
            let (amax, op) = (kind.amax(&x), kind.op());
            let expected = op.semantics().eval(&[x.clone(), amax.clone()], &Bindings::new()).unwrap();
            let mut builder = Builder::new();
            let ty = TensorType::new(spec_dtype(dtype).unwrap(), sized(&["batch", "seq", "5"]).shape);
            let operand = if weight { builder.parameter("x", &x) } else { builder.input("x", ty) };
            let range = builder.parameter("amax", &amax);
            let node = builder.op("q", op, &[operand, range]);
            builder.output("y", node);
            let model = builder.model(&Dialect { folded, ..dialect(USUAL) });
            let wide = x.to_dtype(candle_core::DType::F32).unwrap();
            let made = hand::computed(&model, "x", &wide)["y"].clone();
            assert_eq!(made.element == DataType::Float16, dtype == candle_core::DType::F16);
            assert_near(
                &made.numbers,
                &expected,
                SHARE,
                &format!("{dtype:?}, weight: {weight}, folded: {folded}"),
            );
        }
    }
}
