//! Models as files: written piece by piece, they are the message that they say they are.

use super::{Builder, USUAL, dialect, run, sized, written};
use crate::{
    onnx::{
        Model, constant,
        model::Pending,
        proto::{ModelProto, TensorProto},
    },
    ops::form::{Constant, Dialect, Element, Numbers},
    types::DType,
};
use candle_core::{Device, Tensor};
use prost::Message;

/// A model with small and large constants, one of them codes.
fn model() -> Model {
    let mut builder = Builder::new();
    let x = builder.input("x", sized(&["batch", "300"]));
    let numbers = |count: usize| (0..count).map(|at| (at % 97) as f32 / 97.0).collect::<Vec<_>>();
    let of =
        |shape: &[usize]| Tensor::from_vec(numbers(shape.iter().product()), shape, &Device::Cpu).unwrap();
    let weight = builder.parameter("weight", &of(&[300, 300]));
    let amax = builder.parameter("amax", &of(&[]).affine(0.0, 1.0).unwrap());
    let bias = builder.parameter("bias", &of(&[300]));
    let table = builder.parameter("table", &of(&[300, 61]));
    let weight = builder.call("q", "fake_quantize", &[weight, amax], &[]);
    let product = builder.call("product", "matmul", &[x, weight], &[]);
    let sum = builder.call("sum", "add", &[product, bias], &[]);
    let last = builder.call("last", "matmul", &[sum, table], &[]);
    builder.output("y", last);
    builder.model(&Dialect { folded: true, ..dialect(USUAL) })
}

fn initializers(model: &ModelProto) -> &[TensorProto] {
    &model.graph.as_ref().unwrap().initializer
}

#[test]
fn a_file_is_the_message_of_the_whole_model() {
    let model = model();
    // Two of its constants become bytes only on writing.
    assert_eq!(model.pending.len(), 2);
    let bytes = written(&model);
    let whole = model.whole().unwrap();
    assert_eq!(ModelProto::decode(&*bytes).unwrap(), whole);
    let (count, size) = model.initializers();
    let initializers = initializers(&whole);
    let sizes = initializers.iter().map(|tensor| tensor.raw_data.as_ref().unwrap().len() as u64);
    assert_eq!((count, size), (initializers.len(), sizes.sum()));
}

#[test]
fn numbers_in_a_file_of_their_own_are_where_the_model_says() {
    let model = model();
    let (mut file, mut data) = (Vec::new(), Vec::new());
    model.write_with_data(&mut file, &mut data, "model.onnx.data").unwrap();
    let (apart, whole) = (ModelProto::decode(&*file).unwrap(), model.whole().unwrap());
    let mut outside = 0;
    for (apart, whole) in initializers(&apart).iter().zip(initializers(&whole)) {
        let entry = |key: &str| apart.external_data.iter().find(|entry| entry.key() == key).unwrap().value();
        if apart.external_data.is_empty() {
            assert_eq!(apart, whole);
            continue;
        }
        let number = |key| entry(key).parse::<usize>().unwrap();
        let (offset, length) = (number("offset"), number("length"));
        assert_eq!(entry("location"), "model.onnx.data");
        // What Windows maps into memory begins at a multiple of 64 KiB.
        assert_eq!(offset % 65536, 0);
        assert_eq!(data[offset..offset + length], **whole.raw_data.as_ref().unwrap());
        assert_eq!((apart.raw_data.as_ref(), apart.data_location()), (None, 1.try_into().unwrap()));
        assert_eq!((&apart.dims, apart.data_type), (&whole.dims, whole.data_type));
        outside += 1;
    }
    assert_eq!(outside, 2);
}

/// Tensors that are one number everywhere have the sizes of large models without their memory.
#[test]
fn models_of_two_gibibytes_need_a_file_of_numbers() {
    let large = |count: usize| {
        let numbers = Tensor::new(1.0_f32, &Device::Cpu).unwrap().broadcast_as(count).unwrap();
        let (element, numbers) = (Element::Of(DType::F32), Numbers::Tensor(numbers));
        Pending { at: 0, constant: Constant { name: "large".into(), element, numbers } }
    };
    let of = |pending: Vec<Pending>| Model { proto: ModelProto::default(), pending };
    let quarter = 1 << 27;
    assert_eq!(constant::size(&large(quarter).constant), 1 << 29);
    assert!(!of(vec![]).needs_data_file());
    assert!(!of(vec![large(quarter), large(quarter), large(quarter)]).needs_data_file());
    assert!(of(vec![large(quarter); 4]).needs_data_file());
    assert!(of(vec![large(4 * quarter)]).needs_data_file());
}

#[test]
fn the_same_graph_has_the_same_bytes() {
    assert_eq!(written(&model()), written(&model()));
    let sizes = Tensor::zeros((2, 1, 1), candle_core::DType::F32, &Device::Cpu).unwrap();
    let x = Tensor::ones((2, 300), candle_core::DType::F32, &Device::Cpu).unwrap();
    let given = [("sizes".to_owned(), sizes), ("x".to_owned(), x)].into();
    assert_eq!(run(&written(&model()), &given).unwrap()["y"].dims(), [2, 61]);
}
