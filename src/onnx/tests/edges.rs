//! Graphs at the edge of what a model can say: names that clash, sizes that are computed,
//! values that are used in several ways.

use super::{Builder, USUAL, assert_near, dialect, made_up, sized, written};
use crate::{
    onnx::{
        opset,
        proto::{ModelProto, NodeProto},
    },
    ops::{Attribute, form::Dialect, tests::dim},
    types::{Bindings, DType, TensorType},
};
use candle_core::{Device, Tensor};
use prost::Message;

fn dims() -> Bindings {
    [("batch", 2), ("seq", 5), ("past", 3)].map(|(name, size)| (name.into(), size)).into()
}

fn weight(shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    let numbers: Vec<f32> = (0..count).map(|at| (at * 29 % 31) as f32 / 16.0 - 1.0).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
}

fn message(builder: &Builder, dialect: &Dialect) -> ModelProto {
    ModelProto::decode(&*written(&builder.model(dialect))).unwrap()
}

fn nodes(model: &ModelProto) -> &[NodeProto] {
    &model.graph.as_ref().unwrap().node
}

/// `y = x + w`, to which each test gives outputs.
fn sum() -> (Builder, [crate::graph::NodeId; 3]) {
    let mut builder = Builder::new();
    let x = builder.input("x", sized(&["batch", "4"]));
    let w = builder.parameter("w", &weight(&[4]));
    let y = builder.call("y", "add", &[x, w], &[]);
    (builder, [x, w, y])
}

/// The tensors of [`sum`].
fn summed() -> [Tensor; 3] {
    let (x, w) = (made_up(&sized(&["batch", "4"]), &dims()), weight(&[4]));
    let y = x.broadcast_add(&w).unwrap();
    [x, w, y]
}

#[test]
fn outputs_have_their_names_whatever_they_are() {
    let [tx, tw, ty] = summed();
    // An output's name, and which of x, w and y it is.
    for outputs in [
        &[("out", 0)][..],
        &[("x", 0)],
        &[("x", 0), ("also", 0), ("y", 2)],
        &[("w", 1)],
        &[("out", 1), ("w", 1), ("y", 2)],
        &[("w", 2), ("y", 1)],
        &[("y", 2), ("again", 2), ("more", 2)],
        &[("first", 2), ("y", 2)],
        &[("y", 0), ("w", 2), ("first", 1)],
    ] {
        let (mut builder, ids) = sum();
        outputs.iter().for_each(|(name, at)| builder.output(name, ids[*at]));
        let made = builder.run(&dialect(USUAL), &dims(), &[]);
        assert_eq!(made.len(), outputs.len());
        for (name, at) in outputs {
            assert_near(&made[*name], [&tx, &tw, &ty][*at], 0.0, &format!("{name} of {outputs:?}"));
        }
    }
}

#[test]
fn outputs_change_places() {
    let (mut builder, [.., y]) = sum();
    let z = builder.call("z", "negate", &[y], &[]);
    let last = builder.call("last", "negate", &[z], &[]);
    [("z", y), ("y", z), ("twice", last)].into_iter().for_each(|(name, id)| builder.output(name, id));
    let made = builder.run(&dialect(USUAL), &dims(), &[]);
    let [.., expected] = summed();
    assert_near(&made["z"], &expected, 0.0, "z");
    assert_near(&made["y"], &expected.neg().unwrap(), 0.0, "y");
    assert_near(&made["twice"], &expected, 0.0, "twice");
}

#[test]
fn an_output_named_as_another_input_is_refused() {
    let (mut builder, [.., y]) = sum();
    builder.output("x", y);
    let failure = builder.emit(&dialect(USUAL)).unwrap_err();
    let shown = format!("{failure:?}");
    assert!(shown.contains("`x`: an input has this name, too"), "{shown}");
}

/// The output of a fake quantizer is the number, not the code.
#[test]
fn a_fake_quantizer_can_be_an_output() {
    let (mut builder, [_, w, y]) = sum();
    let range = builder.parameter("range", &weight(&[]).abs().unwrap());
    let [of_sum, of_weight] =
        [("q", y), ("p", w)].map(|(name, x)| builder.call(name, "fake_quantize", &[x, range], &[]));
    builder.output("of_sum", of_sum);
    builder.output("of_weight", of_weight);
    let [_, tw, ty] = summed();
    let quantized =
        |x: &Tensor| (((x * 127.0).unwrap().round().unwrap().clamp(-128.0, 127.0)).unwrap() / 127.0).unwrap();
    for folded in [false, true] {
        let made = builder.run(&Dialect { folded, ..dialect(USUAL) }, &dims(), &[]);
        assert_near(&made["of_sum"], &quantized(&ty), 1e-6, "of_sum");
        assert_near(&made["of_weight"], &quantized(&tw), 1e-6, "of_weight");
    }
}

/// What is turned before it is quantized is given out as it was.
#[test]
fn a_weight_that_is_an_output_is_not_turned() {
    let mut builder = Builder::new();
    let x = builder.input("x", sized(&["batch", "4"]));
    let w = builder.parameter("w", &weight(&[3, 4]));
    let range = builder.parameter("range", &Tensor::new(&[[1.0_f32], [0.5], [2.0]], &Device::Cpu).unwrap());
    let quantized = builder.call("q", "fake_quantize", &[w, range], &[("axis", 0.into())]);
    let turned = builder.call("turned", "transpose", &[quantized], &[("axes", vec![1, 0].into())]);
    let y = builder.call("y", "matmul", &[x, turned], &[]);
    [("y", y), ("q", quantized), ("w", w)].into_iter().for_each(|(name, id)| builder.output(name, id));
    let made = builder.run(&dialect(USUAL), &dims(), &[]);
    assert_near(&made["w"], &weight(&[3, 4]), 0.0, "w");
    assert_eq!(made["q"].dims(), [3, 4]);
    let expected = made_up(&sized(&["batch", "4"]), &dims()).matmul(&made["q"].t().unwrap()).unwrap();
    assert_near(&made["y"], &expected, 1e-6, "y");
}

/// A module that is used twice has the codes of its weight in the model once.
#[test]
fn what_is_computed_of_a_weight_twice_is_there_once() {
    let mut builder = Builder::new();
    let mut x = builder.input("x", sized(&["batch", "4"]));
    let w = builder.parameter("w", &weight(&[4, 4]));
    let range = builder.parameter("range", &weight(&[4, 1]).abs().unwrap());
    for at in 0..2 {
        let q = builder.call(&format!("q{at}"), "fake_quantize", &[w, range], &[("axis", 0.into())]);
        let turned = builder.call(&format!("t{at}"), "transpose", &[q], &[("axes", vec![1, 0].into())]);
        x = builder.call(&format!("y{at}"), "matmul", &[x, turned], &[]);
    }
    builder.output("y", x);
    let model = message(&builder, &Dialect { folded: true, ..dialect(USUAL) });
    let kinds: Vec<&str> = nodes(&model).iter().map(NodeProto::op_type).collect();
    assert_eq!(kinds, ["DequantizeLinear", "MatMul", "MatMul"]);
}

/// A table that is read and multiplied with, as a tied decoder's, is in the model once.
#[test]
fn a_tied_weight_is_there_once() {
    let mut builder = Builder::new();
    let ids = builder.input("ids", TensorType::new(DType::I64, vec![dim("batch"), dim("seq")]));
    let table = builder.parameter("table", &weight(&[7, 4]));
    let states = builder.call("states", "gather", &[table, ids], &[]);
    let turned = builder.call("turned", "transpose", &[table], &[("axes", vec![1, 0].into())]);
    let y = builder.call("y", "matmul", &[states, turned], &[]);
    builder.output("y", y);
    let model = message(&builder, &dialect(USUAL));
    let names: Vec<&str> = model.graph.as_ref().unwrap().initializer.iter().map(|one| one.name()).collect();
    assert_eq!(names, ["table"]);
    let ids = Tensor::new(&[[0_i64, 6, 3], [1, 1, 5]], &Device::Cpu).unwrap();
    let sizes = [("batch", 2), ("seq", 3), ("past", 0)].map(|(name, size)| (name.into(), size)).into();
    let made = builder.run(&dialect(USUAL), &sizes, &[("ids", &ids)]);
    let table = weight(&[7, 4]);
    let states = table.index_select(&ids.flatten_all().unwrap(), 0).unwrap();
    let expected = states.matmul(&table.t().unwrap()).unwrap().reshape((2, 3, 7)).unwrap();
    assert_near(&made["y"], &expected, 1e-6, "y");
}

/// `range(size)` has as many numbers as the size says.
#[test]
fn sizes_are_computed_as_the_graph_says() {
    let (past, seq, rows) = (dim("past"), dim("seq"), dim("rows"));
    let both = past.add(&seq).unwrap();
    let sizes = [
        ("past + seq", Some(both.clone())),
        ("seq - 1", seq.subtract(&dim("1"))),
        ("2 * seq + 2", seq.scale(2).and_then(|twice| twice.add(&dim("2")))),
        ("(past + seq) / 2", both.divide(2)),
        ("past - seq + 9", past.subtract(&seq).and_then(|rest| rest.add(&dim("9")))),
        ("rows", Some(rows.clone())),
        ("rows + 1", rows.add(&dim("1"))),
    ]
    .map(|(name, size)| (name, size.unwrap()));
    let mut values = dims();
    values.insert("rows".into(), 10);
    for opset in [opset::OLDEST, USUAL] {
        let mut builder = Builder::new();
        builder.product("rows", &["batch", "seq"]);
        for (name, size) in &sizes {
            let node = builder.call(name, "range", &[], &[("size", Attribute::from(size.clone()))]);
            builder.output(name, node);
        }
        let made = builder.run(&dialect(opset), &dims(), &[]);
        for (name, size) in &sizes {
            let expected: Vec<i64> = (0..size.evaluate(&values).unwrap()).collect();
            assert_eq!(made[*name].to_vec1::<i64>().unwrap(), expected, "{name}");
        }
    }
}

/// How many of the shapes have no symbol where an axis of another size was: the others
/// have no empty batch, for ONNX takes a computed size of 0 for "as before".
const EMPTY_TOO: usize = 5;

#[test]
fn shapes_of_several_computed_sizes_hold() {
    let shapes: [&[&str]; 7] = [
        &["1", "batch", "1", "seq", "6", "1"],
        &["batch", "1", "3", "2", "seq"],
        &["rows", "2", "3"],
        &["2", "rows", "3"],
        &["batch", "3", "2", "seq"],
        &["seq", "batch", "6"],
        &["6", "seq", "batch"],
    ];
    for (batch, shapes) in [(0, &shapes[..EMPTY_TOO]), (1, &shapes), (2, &shapes)] {
        let mut values = dims();
        values.insert("batch".into(), batch);
        let mut builder = Builder::new();
        builder.product("rows", &["batch", "seq"]);
        let x = builder.input("x", sized(&["batch", "seq", "6"]));
        for shape in shapes {
            let sizes: Vec<_> = shape.iter().map(|size| dim(size)).collect();
            let name = shape.concat();
            let node = builder.call(&name, "reshape", &[x], &[("shape", sizes.into())]);
            builder.output(&name, node);
        }
        let made = builder.run(&dialect(USUAL), &values, &[]);
        values.insert("rows".into(), batch * 5);
        let x = made_up(&sized(&["batch", "seq", "6"]), &values);
        for shape in shapes {
            let size = |size: &&str| usize::try_from(dim(size).evaluate(&values).unwrap()).unwrap();
            let name = shape.concat();
            let expected = x.reshape(shape.iter().map(size).collect::<Vec<_>>()).unwrap();
            assert_near(&made[&name], &expected, 0.0, &name);
        }
    }
}
