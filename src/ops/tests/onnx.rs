//! The mode `onnx` against ONNX Runtime, to the bit. The numbers come from
//! `tests/onnx/quantize_dequantize.py`.

use crate::{
    ops::{Attribute, Attributes, Op},
    types::Bindings,
};
use candle_core::{Device, Tensor};
use serde_json::Value;

fn floats(bits: &Value) -> Vec<f32> {
    let one = |bits: &Value| f32::from_bits(u32::try_from(bits.as_u64().unwrap()).unwrap());
    bits.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn every_number_is_that_of_onnx_runtime() {
    let cases: Value =
        serde_json::from_str(include_str!("../../../tests/onnx/quantize_dequantize.json")).unwrap();
    let cases = cases.as_array().unwrap();
    for case in cases {
        let kind = case["kind"].as_str().unwrap();
        let shape: Vec<usize> = serde_json::from_value(case["shape"].clone()).unwrap();
        let axis = case["axis"].as_u64().map(|axis| usize::try_from(axis).unwrap());
        let ranges: Vec<usize> = match axis {
            None => Vec::new(),
            Some(axis) => (0..shape.len()).map(|at| if at == axis { shape[at] } else { 1 }).collect(),
        };
        let amax = Tensor::from_vec(floats(&case["amax"]), ranges, &Device::Cpu).unwrap();
        let x = Tensor::from_vec(floats(&case["x"]), shape, &Device::Cpu).unwrap();
        let mut attributes = vec![("axis".to_owned(), axis.map(|axis| i64::try_from(axis).unwrap()).into())];
        match kind.rsplit_once("int") {
            Some((sign, bits)) => {
                attributes.push(("bits".to_owned(), bits.parse::<i64>().unwrap().into()));
                attributes.push(("signed".to_owned(), Attribute::Bool(sign.is_empty())));
            }
            None => attributes.push(("format".to_owned(), kind.to_owned().into())),
        }
        let op = Op::build("fake_quantize", Attributes::new(attributes)).unwrap().unwrap();
        let made = op.semantics().eval(&[x, amax], &Bindings::new()).unwrap();
        let made = made.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for ((made, y), x) in made.iter().zip(floats(&case["y"])).zip(floats(&case["x"])) {
            assert!(
                made.to_bits() == y.to_bits(),
                "{kind}, axis {axis:?}: {x:e} becomes {made:e}, not {y:e}"
            );
        }
    }
    assert_eq!(cases.len(), 42);
}
