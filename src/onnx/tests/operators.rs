//! Every operator's form gives what the operator gives.

use super::{Builder, USUAL, assert_near, dialect, made_up};
use crate::{
    onnx::opset,
    ops::tests::{bindings, build, cases},
    types::Bindings,
};

/// What sums in another order and functions that are computed in another way differ by.
const SHARE: f32 = 1e-6;

/// The operands are inputs; with `weights`, those of known shape are parameters.
fn agrees(case: &crate::ops::tests::Case, dims: &Bindings, opset: i64, weights: bool) {
    let op = build(case);
    let mut given: Vec<_> = case.operands.iter().map(|ty| made_up(ty, dims)).collect();
    if case.operator == "cast" {
        // The runtime holds bool as i32: with a fraction it casts, and forgets, too much.
        given = given.iter().map(|tensor| tensor.round().unwrap()).collect();
    }
    // A range is part of the model in every case, and not negative.
    let range = |at: usize| case.operator == "fake_quantize" && at == 1;
    if range(1) {
        given[1] = given[1].abs().unwrap();
    }
    let mut builder = Builder::new();
    let mut operands = Vec::new();
    for (at, (ty, tensor)) in case.operands.iter().zip(&given).enumerate() {
        let known = ty.shape.iter().all(|dim| dim.as_known().is_some());
        let name = format!("operand{at}");
        operands.push(match known && (weights || range(at)) {
            true => builder.parameter(&name, tensor),
            false => builder.input(&name, ty.clone()),
        });
    }
    let node = builder.op("result", op.clone(), &operands);
    builder.output("y", node);
    let named: Vec<(String, _)> =
        given.iter().enumerate().map(|(at, tensor)| (format!("operand{at}"), tensor)).collect();
    let named: Vec<_> = named.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    let made = builder.run(&dialect(opset), dims, &named);
    let expected = op.semantics().eval(&given, dims).unwrap();
    let made = match expected.dtype() {
        candle_core::DType::U8 => made["y"].ne(0_i64).unwrap(),
        _ => made["y"].clone(),
    };
    let what = format!("{} {:?} in opset {opset}, {dims:?}", case.operator, case.attributes);
    assert_near(&made, &expected, SHARE, &what);
}

#[test]
fn every_operator_gives_the_same_in_onnx() {
    let no_batch = Bindings::from([("batch".into(), 0), ("seq".into(), 3), ("past".into(), 2)]);
    for case in cases() {
        for opset in [opset::OLDEST, USUAL, opset::NEWEST] {
            for weights in [false, true] {
                for dims in [&bindings(), &no_batch] {
                    agrees(&case, dims, opset, weights);
                }
            }
        }
    }
}
