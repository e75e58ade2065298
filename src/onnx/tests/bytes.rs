//! Constants as bytes, of each element type.

use super::{flat, hand};
use crate::{
    onnx::constant::{bytes, header, size},
    ops::form::{Constant, Element, Numbers},
    types::DType,
};
use candle_core::{Device, Tensor};

/// Holds that the numbers have these bytes, and that reading gives the numbers.
fn encodes(element: Element, numbers: &[f64], expected: &[u8]) {
    let numbers = Tensor::new(numbers, &Device::Cpu).unwrap();
    let constant = Constant { name: "c".into(), element, numbers: Numbers::Tensor(numbers.clone()) };
    let made = bytes(&constant).unwrap();
    assert_eq!(made, expected, "{element:?}");
    assert_eq!(size(&constant), made.len(), "{element:?}");
    let mut tensor = header(&constant);
    tensor.raw_data = Some(made);
    assert_eq!(tensor.dims, [numbers.dims()[0] as i64]);
    assert_eq!(flat(&hand::decoded(&tensor).numbers), flat(&numbers), "{element:?}");
}

#[test]
fn every_element_type_has_its_bytes() {
    let of = Element::Of;
    encodes(of(DType::F32), &[1.0, -2.5], &[0, 0, 0x80, 0x3f, 0, 0, 0x20, 0xc0]);
    encodes(of(DType::F16), &[1.0, -65504.0], &[0, 0x3c, 0xff, 0xfb]);
    encodes(of(DType::BF16), &[1.0, -2.5], &[0x80, 0x3f, 0x20, 0xc0]);
    let minus_two = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    encodes(of(DType::I64), &[258.0, -2.0], &[[2, 1, 0, 0, 0, 0, 0, 0], minus_two].concat());
    encodes(of(DType::I32), &[258.0, -2.0], &[2, 1, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
    encodes(of(DType::U8), &[0.0, 128.0, 255.0], &[0, 128, 255]);
    encodes(of(DType::Bool), &[0.0, 1.0], &[0, 1]);
    encodes(Element::I8, &[-128.0, -1.0, 0.0, 127.0], &[0x80, 0xff, 0, 0x7f]);
    encodes(Element::I16, &[-32768.0, -1.0, 258.0, 32767.0], &[0, 0x80, 0xff, 0xff, 2, 1, 0xff, 0x7f]);
    encodes(Element::U16, &[0.0, 258.0, 65535.0], &[0, 0, 2, 1, 0xff, 0xff]);
}

/// All 254 numbers have the byte that stands for them.
#[test]
fn every_e4m3_number_has_its_byte() {
    let all: Vec<u8> = (0..=u8::MAX).filter(|byte| !hand::e4m3(*byte).is_nan()).collect();
    let numbers: Vec<f64> = all.iter().map(|byte| hand::e4m3(*byte).into()).collect();
    assert_eq!(all.len(), 254);
    encodes(Element::E4M3, &numbers, &all);
}

/// Numbers that are computed as f64 lose nothing as whole numbers.
#[test]
fn large_whole_numbers_stay_what_they_are() {
    let number = (1_i64 << 53) - 1;
    let numbers = Numbers::Tensor(Tensor::new(&[number], &Device::Cpu).unwrap());
    let constant = Constant { name: "c".into(), element: Element::Of(DType::I64), numbers };
    assert_eq!(bytes(&constant).unwrap(), number.to_le_bytes());
}

/// A tensor that is turned, or broadcast, is written in the order of its indices.
#[test]
fn the_layout_in_memory_does_not_matter() {
    let rows = Tensor::new(&[[1_u8, 2, 3], [4, 5, 6]], &Device::Cpu).unwrap();
    let element = Element::Of(DType::U8);
    let of = |numbers| bytes(&Constant { name: "c".into(), element, numbers: Numbers::Tensor(numbers) });
    assert_eq!(of(rows.t().unwrap()).unwrap(), [1, 4, 2, 5, 3, 6]);
    let wide = Tensor::new(&[[7_u8], [8]], &Device::Cpu).unwrap().broadcast_as((2, 2)).unwrap();
    assert_eq!(of(wide).unwrap(), [7, 7, 8, 8]);
}
