//! What holds of every operator, and numbers worked out by hand.

mod onnx;
mod quantizers;
mod reference;

use super::{operands::candle_dtype, *};
use crate::types::{DType, Dim};
use candle_core::{Device, Tensor};

/// The call of one operator that the tests make.
pub(crate) struct Case {
    pub(crate) operator: &'static str,
    pub(crate) operands: Vec<TensorType>,
    pub(crate) attributes: Vec<(&'static str, Attribute)>,
}

pub(crate) fn dim(text: &str) -> Dim {
    text.parse().map_or_else(|_| Dim::symbol(text), Dim::known)
}

pub(crate) fn ty(dtype: DType, sizes: &[&str]) -> TensorType {
    TensorType::new(dtype, sizes.iter().map(|size| dim(size)).collect::<Vec<_>>())
}

fn case(
    operator: &'static str,
    operands: Vec<TensorType>,
    attributes: Vec<(&'static str, Attribute)>,
) -> Case {
    Case { operator, operands, attributes }
}

pub(crate) fn cases() -> Vec<Case> {
    let x = || ty(DType::F32, &["batch", "seq", "4"]);
    let row = || ty(DType::F32, &["4"]);
    let ids = || ty(DType::I64, &["batch", "seq"]);
    let mut cases = vec![
        case("matmul", vec![x(), ty(DType::F32, &["4", "3"])], vec![]),
        case(
            "matmul",
            vec![ty(DType::F32, &["2", "1", "seq", "4"]), ty(DType::F32, &["3", "4", "seq"])],
            vec![],
        ),
        case("transpose", vec![x()], vec![("axes", vec![1, -1, 0].into())]),
        case(
            "reshape",
            vec![x()],
            vec![("shape", vec![dim("batch"), dim("2"), dim("2"), dim("seq")].into())],
        ),
        case("concat", vec![x(), ty(DType::F32, &["batch", "past", "4"])], vec![("axis", (-2).into())]),
        case("slice", vec![x()], vec![("axis", 1.into()), ("start", 1.into()), ("end", dim("seq").into())]),
        case("slice", vec![x()], vec![("axis", (-1).into()), ("end", (-1).into())]),
        case("select", vec![x()], vec![("axis", 1.into()), ("index", (-1).into())]),
        case("gather", vec![ty(DType::F32, &["9", "4"]), ids()], vec![]),
        case("cast", vec![x()], vec![("to", DType::Bool.into())]),
        case("cast", vec![ids()], vec![("to", DType::F32.into())]),
        case("range", vec![], vec![("size", dim("seq").into())]),
        case("full", vec![], vec![("shape", vec![dim("batch"), dim("2")].into()), ("value", 0.5.into())]),
        case("greater_or_equal", vec![ids(), ty(DType::I64, &["batch", "1"])], vec![]),
        case("softmax", vec![x()], vec![("axis", 1.into())]),
        case("softmax", vec![x()], vec![]),
        case("layer_norm", vec![x(), row(), row()], vec![("eps", 1e-12.into())]),
        case("clamp", vec![x()], vec![("min", (-0.5).into()), ("max", 2.into())]),
        case("clamp", vec![ids()], vec![("min", 0.into()), ("max", dim("seq").into())]),
        case("dropout", vec![x()], vec![("p", 0.1.into())]),
        case("cross_entropy", vec![x(), ids()], vec![("ignore", dim("seq").into())]),
        case("fake_quantize", vec![x(), ty(DType::F32, &[])], vec![]),
        case("fake_quantize", vec![x(), ty(DType::F32, &["1", "1", "4"])], vec![("axis", (-1).into())]),
    ];
    for operator in ["add", "subtract", "multiply", "divide"] {
        cases.push(case(operator, vec![x(), ty(DType::F32, &["seq", "1"])], vec![]));
        cases.push(case(operator, vec![ty(DType::F32, &[]), x()], vec![]));
    }
    for operator in ["negate", "gelu", "relu", "tanh", "sigmoid", "erf", "exp", "log", "sqrt"] {
        cases.push(case(operator, vec![x()], vec![]));
    }
    for operator in ["sum", "mean"] {
        cases.push(case(operator, vec![x()], vec![]));
        cases.push(case(operator, vec![x()], vec![("axis", 1.into()), ("keep", true.into())]));
        cases.push(case(operator, vec![x()], vec![("axis", (-1).into())]));
    }
    cases
}

pub(crate) fn bindings() -> Bindings {
    [("batch", 2), ("seq", 3), ("past", 0)].map(|(name, size)| (name.into(), size)).into()
}

fn sample(ty: &TensorType, dims: &Bindings) -> Tensor {
    let shape = operands::sizes(&ty.shape, dims).unwrap();
    let count = i64::try_from(shape.iter().product::<usize>()).unwrap();
    // Small whole numbers serve as ids, labels and positive numbers alike.
    let values = (0..count).map(|at| at % 3).collect();
    let tensor = Tensor::from_vec::<_, i64>(values, shape, &Device::Cpu).unwrap();
    tensor.to_dtype(candle_dtype(ty.dtype)).unwrap()
}

pub(crate) fn build(case: &Case) -> Op {
    let given = case.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Op::build(case.operator, Attributes::new(given)).unwrap().unwrap()
}

#[test]
fn results_have_the_type_that_was_inferred() {
    let no_batch = Bindings::from([("batch".into(), 0), ("seq".into(), 3), ("past".into(), 0)]);
    for (case, dims) in cases().iter().flat_map(|case| [(case, bindings()), (case, no_batch.clone())]) {
        let op = build(case);
        let inferred = op.semantics().infer(&case.operands).unwrap();
        let given: Vec<_> = case.operands.iter().map(|ty| sample(ty, &dims)).collect();
        let result = op.semantics().eval(&given, &dims).unwrap().contiguous().unwrap();
        let shape = operands::sizes(&inferred.shape, &dims).unwrap();
        assert_eq!(result.dims(), shape, "{}", case.operator);
        assert_eq!(result.dtype(), candle_dtype(inferred.dtype), "{}", case.operator);
    }
}

#[test]
fn every_operator_has_a_case() {
    let cases = cases();
    for schema in Op::ALL {
        assert!(cases.iter().any(|case| case.operator == schema.name), "`{}` has no case", schema.name);
    }
}

#[test]
fn attributes_come_back_as_they_were_given() {
    for case in cases() {
        let op = build(&case);
        let given = op.attributes().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(Op::build(case.operator, Attributes::new(given)), Some(Ok(op)));
    }
}

#[test]
fn a_wrong_number_of_operands_is_refused() {
    for case in cases() {
        let mut operands = case.operands.clone();
        operands.push(ty(DType::F32, &[]));
        let semantics = build(&case);
        assert!(semantics.semantics().infer(&operands).is_err(), "{}", case.operator);
    }
}

fn evaluate(
    operator: &str,
    given: &[Tensor],
    attributes: &[(&str, Attribute)],
) -> candle_core::Result<Tensor> {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let op = Op::build(operator, Attributes::new(attributes)).unwrap().unwrap();
    op.semantics().eval(given, &bindings())
}

fn floats(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

fn near(result: &Tensor, expected: &[f32]) {
    let result = result.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(result.len(), expected.len());
    for (value, expected) in result.iter().zip(expected) {
        assert!((value - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{result:?}");
    }
}

#[test]
fn functions_of_single_numbers() {
    // Values to 8 digits, from tables.
    for (operator, x, expected) in [
        ("gelu", [-1.0, 0.0, 2.0], [-0.158_655_25, 0.0, 1.954_499_7]),
        ("erf", [-0.5, 0.0, 1.0], [-0.520_499_9, 0.0, 0.842_700_8]),
        ("tanh", [-1.0, 0.0, 0.5], [-0.761_594_2, 0.0, 0.462_117_16]),
        ("sigmoid", [-1.0, 0.0, 2.0], [0.268_941_43, 0.5, 0.880_797_1]),
        ("exp", [-1.0, 0.0, 1.0], [0.367_879_45, 1.0, 2.718_281_7]),
        ("relu", [-1.0, 0.0, 1.5], [0.0, 0.0, 1.5]),
        ("negate", [-1.0, 0.0, 1.5], [1.0, 0.0, -1.5]),
        ("log", [1.0, 3.0, 0.5], [0.0, 1.098_612_3, -std::f32::consts::LN_2]),
        ("sqrt", [1.0, 3.0, 0.25], [1.0, 1.732_050_8, 0.5]),
    ] {
        near(&evaluate(operator, &[floats(&x)], &[]).unwrap(), &expected);
    }
}

#[test]
fn softmax_rescales_and_survives_large_numbers() {
    let x = floats(&[1000.0, 1000.0, f32::MIN, 1000.0, 1000.0]);
    near(&evaluate("softmax", &[x], &[]).unwrap(), &[0.25, 0.25, 0.0, 0.25, 0.25]);
}

#[test]
fn layer_norm_uses_the_biased_variance() {
    let x = floats(&[1.0, 2.0, 3.0, 4.0]);
    let (weight, bias) = (floats(&[1.0, 1.0, 2.0, 2.0]), floats(&[0.0, 1.0, 0.0, 0.0]));
    let root = 1.25_f32.sqrt();
    let expected = [-1.5 / root, 1.0 - 0.5 / root, 1.0 / root, 3.0 / root];
    near(&evaluate("layer_norm", &[x, weight, bias], &[("eps", 1e-12.into())]).unwrap(), &expected);
}

#[test]
fn cross_entropy_leaves_out_ignored_labels() {
    let logits = floats(&[0.0, 0.0, 0.0, 3_f32.ln()]).reshape((2, 2)).unwrap();
    let labels = |values: &[i64]| Tensor::new(values, &Device::Cpu).unwrap();
    let loss = |given: &[i64]| evaluate("cross_entropy", &[logits.clone(), labels(given)], &[]);
    near(&loss(&[0, 1]).unwrap(), &[(2_f32.ln() - 0.75_f32.ln()) / 2.0]);
    near(&loss(&[-100, 0]).unwrap(), &[4_f32.ln()]);
    assert!(loss(&[-100, -100]).unwrap().to_scalar::<f32>().unwrap().is_nan());
    assert_eq!(loss(&[0, 2]).unwrap_err().to_string(), "label 2 at [1] is none of the 2 classes");
}

#[test]
fn gather_names_the_id_without_a_row() {
    let table = Tensor::zeros((99, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
    let ids = Tensor::new(&[[1_i64, 2, 3, 99]], &Device::Cpu).unwrap();
    let error = evaluate("gather", &[table.clone(), ids], &[]).unwrap_err();
    assert_eq!(error.to_string(), "id 99 at [0, 3] is outside the 99 rows of the table");
    let negative = Tensor::new(&[-1_i64], &Device::Cpu).unwrap();
    assert!(evaluate("gather", &[table, negative], &[]).is_err());
}

#[test]
fn clamp_takes_sizes_as_bounds() {
    let x = Tensor::new(&[-5_i64, 2, 9], &Device::Cpu).unwrap();
    let result = evaluate("clamp", &[x], &[("min", 0.into()), ("max", dim("seq").into())]).unwrap();
    assert_eq!(result.to_vec1::<i64>().unwrap(), [0, 2, 3]);
}

fn message(operator: &str, operands: &[TensorType], attributes: &[(&str, Attribute)]) -> String {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let op = Op::build(operator, Attributes::new(attributes)).unwrap().unwrap();
    op.semantics().infer(operands).unwrap_err().message
}

#[test]
fn mismatches_name_ports_types_and_sizes() {
    let x = ty(DType::F32, &["batch", "seq", "768"]);
    assert_eq!(
        message("matmul", &[x.clone(), ty(DType::F32, &["512", "2"])], &[]),
        "`lhs` has 768 columns (f32[batch, seq, 768]), but `rhs` has 512 rows (f32[512, 2])"
    );
    assert_eq!(
        message(
            "reshape",
            std::slice::from_ref(&x),
            &[("shape", vec![dim("batch"), dim("seq"), dim("12"), dim("65")].into())]
        ),
        "`x` (f32[batch, seq, 768]) holds 768 numbers for each of the symbolic sizes, \
         but [batch, seq, 12, 65] holds 780"
    );
    assert_eq!(
        message(
            "slice",
            std::slice::from_ref(&x),
            &[("axis", 2.into()), ("start", 700.into()), ("end", 769.into())]
        ),
        "there is no part 700 to 769 along axis 2 of `x` (f32[batch, seq, 768])"
    );
    assert_eq!(
        message("select", std::slice::from_ref(&x), &[("axis", 2.into()), ("index", (-769).into())]),
        "there is no index -769 along axis 2 of `x` (f32[batch, seq, 768])"
    );
    assert_eq!(
        message("softmax", std::slice::from_ref(&x), &[("axis", 3.into())]),
        "`x` is f32[batch, seq, 768]: it has 3 axes, so there is no axis 3"
    );
    assert_eq!(
        message(
            "layer_norm",
            &[x.clone(), ty(DType::F32, &["512"]), ty(DType::F32, &["768"])],
            &[("eps", 1.into())]
        ),
        "the last axis of `x` is 768 (f32[batch, seq, 768]), so `weight` must be f32[768], but is f32[512]"
    );
    assert_eq!(
        message("concat", &[x.clone(), ty(DType::F32, &["batch", "512"])], &[("axis", 1.into())]),
        "`first` is f32[batch, seq, 768], but `second` is f32[batch, 512]: they may differ in axis 1 alone"
    );
    assert_eq!(
        message("add", &[x.clone(), ty(DType::I64, &["768"])], &[]),
        "`lhs` is f32[batch, seq, 768], but `rhs` is i64[768]"
    );
    assert_eq!(
        message("transpose", &[x], &[("axes", vec![0, 1, 1].into())]),
        "`axes` must name each of the 3 axes of `x` (f32[batch, seq, 768]) once, but is [0, 1, 1]"
    );
}

#[test]
fn sizes_that_leave_64_bits_are_refused() {
    let huge = ty(DType::F32, &["4611686018427387904", "4"]);
    assert!(message("reshape", &[huge], &[("shape", vec![1].into())]).contains("more numbers than 64 bits"));
    let shape = vec![dim("4611686018427387904"), dim("4")];
    assert!(evaluate("full", &[], &[("shape", shape.into()), ("value", 0.into())]).is_err());
}

#[test]
fn a_dynamic_range_is_that_of_the_input() {
    let x = Tensor::new(&[[1.0_f32, -2.0, 0.3], [10.0, 4.0, -20.0]], &Device::Cpu).unwrap();
    let unread = Tensor::new(0.0_f32, &Device::Cpu).unwrap();
    let eval = |attributes: Vec<(String, Attribute)>| {
        let op = Op::build("fake_quantize", Attributes::new(attributes)).unwrap().unwrap();
        let rounded = op.semantics().eval(&[x.clone(), unread.clone()], &Bindings::new()).unwrap();
        rounded.to_vec2::<f32>().unwrap()
    };
    let step = |range: f32, value: f32| (value / (range / 127.0)).round_ties_even() * (range / 127.0);
    let dynamic = || ("dynamic".to_owned(), Attribute::Bool(true));
    let whole = eval(vec![dynamic()]);
    assert_eq!(whole[0][2], step(20.0, 0.3));
    let rows = eval(vec![dynamic(), ("axis".to_owned(), Attribute::Dim(0.into()))]);
    assert_eq!(rows, [[1.0, -2.0, 0.3].map(|v| step(2.0, v)), [10.0, 4.0, -20.0].map(|v| step(20.0, v))]);
}
