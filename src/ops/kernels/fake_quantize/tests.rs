//! The loop against candle's own operations, which other devices use.

use super::*;
use crate::quant::codes::E4M3_MAX;
use candle_core::{DType, Device, Var};

const CODES: [Codes; 6] = [
    Codes { least: -128.0, largest: 127.0, float: false, divides: true },
    Codes { least: 0.0, largest: 255.0, float: false, divides: true },
    Codes { least: -127.0, largest: 127.0, float: false, divides: false },
    Codes { least: -32768.0, largest: 32767.0, float: false, divides: false },
    Codes { least: -E4M3_MAX, largest: E4M3_MAX, float: true, divides: true },
    Codes { least: -E4M3_MAX, largest: E4M3_MAX, float: true, divides: false },
];

/// Numbers near and far, ties, and those that are none.
fn numbers(count: usize) -> Vec<f32> {
    let special = [
        0.0,
        -0.0,
        1e-9,
        -1e-30,
        1e30,
        f32::MAX,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        0.5,
        -1.5,
        127.5,
    ];
    let usual = (0..count).map(|at| ((at * 7919) % 2003) as f32 / 400.0 - 2.5);
    special.into_iter().chain(usual).take(count).collect()
}

fn tensor(shape: &[usize]) -> Tensor {
    Tensor::from_vec(numbers(shape.iter().product()), shape, &Device::Cpu).unwrap()
}

fn bits(x: &Tensor) -> Vec<u32> {
    // The sign of 0 and that of NaN are nobody's business.
    let one = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 }.to_bits();
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(one).collect()
}

/// Result and gradients by one of both ways.
fn by(
    way: fn(&Tensor, &Tensor, Codes, Bounds) -> Result<Tensor>,
    x: &Tensor,
    amax: &Tensor,
    codes: Codes,
    bounds: Bounds,
) -> [Option<Tensor>; 3] {
    let (x, amax) = (Var::from_tensor(x).unwrap(), Var::from_tensor(amax).unwrap());
    let result = way(&x, &amax, codes, bounds).unwrap();
    let upstream =
        tensor(&[x.elem_count() + 12]).narrow(0, 12, x.elem_count()).unwrap().reshape(x.shape()).unwrap();
    let gradients = (&result * upstream).unwrap().sum_all().unwrap().backward().unwrap();
    [Some(result), gradients.get(&x).cloned(), gradients.get(&amax).cloned()]
}

fn agree(x: &Tensor, amax: &Tensor, codes: Codes, bounds: Bounds) {
    let ours = by(fake_quantize, x, amax, codes, bounds);
    let theirs = by(composed::fake_quantize, x, amax, codes, bounds);
    let about = format!("{codes:?} {bounds:?} {:?} {:?}", x.dims(), amax.dims());
    assert_eq!(ours.each_ref().map(Option::is_some), theirs.each_ref().map(Option::is_some), "{about}");
    let [[Some(ours), Some(of_x), bounds], [Some(theirs), Some(x_too), bounds_too]] = [ours, theirs] else {
        panic!("{about}: no gradient")
    };
    assert!(bits(&ours) == bits(&theirs), "{about}");
    assert!(bits(&of_x) == bits(&x_too), "{about}: gradient of x");
    if let Some((sums, sums_too)) = bounds.zip(bounds_too) {
        let apart =
            (&sums - &sums_too).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(apart < 1e-4, "{about}: gradients of the bounds {sums} and {sums_too}");
    }
}

#[test]
fn both_ways_agree() {
    let amax = |shape: &[usize]| {
        let count: usize = shape.iter().product();
        let numbers: Vec<f32> = (0..count).map(|at| [1.0, 0.0, 3.7, 1e-9, 127.0, 448.0][at % 6]).collect();
        Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap()
    };
    for codes in CODES {
        let x = tensor(&[4, 5, 40]);
        let x = if codes.refuses_negative() { x.abs().unwrap() } else { x };
        for shape in [&[][..], &[4, 1, 1], &[1, 5, 1], &[1, 1, 40], &[4, 5, 1], &[4, 1, 40]] {
            agree(&x, &amax(shape), codes, Bounds::Magnitude);
            let largest = amax(shape).affine(1.0, 0.25).unwrap();
            let least = (&largest * if codes.least == 0.0 { 0.0 } else { -0.5 }).unwrap();
            let bounds = Tensor::stack(&[least, largest], 0).unwrap();
            agree(&x, &bounds, codes, Bounds::Learned);
        }
    }
}

#[test]
fn the_layout_does_not_matter() {
    let whole = tensor(&[6, 5, 48]);
    let turned = whole.transpose(1, 2).unwrap();
    let part = turned.narrow(0, 2, 3).unwrap();
    let spread = whole.narrow(1, 1, 1).unwrap().broadcast_as((6, 7, 48)).unwrap();
    for x in [turned, part, spread, whole.narrow(2, 3, 17).unwrap()] {
        let [a, b, c] = *x.dims() else { panic!("three axes") };
        for shape in [[1, 1, 1], [a, 1, 1], [1, b, 1], [1, 1, c]] {
            let count = shape.iter().product::<usize>();
            let amax = Tensor::arange(1_u32, count as u32 + 1, &Device::Cpu).unwrap();
            let amax = amax.to_dtype(DType::F32).unwrap().reshape(&shape).unwrap();
            let ours = fake_quantize(&x, &amax, CODES[0], Bounds::Magnitude).unwrap();
            let theirs = fake_quantize(&x.contiguous().unwrap(), &amax, CODES[0], Bounds::Magnitude).unwrap();
            assert_eq!(ours.dims(), x.dims());
            assert!(bits(&ours) == bits(&theirs), "{shape:?} of {:?}", x.layout());
        }
    }
}

#[test]
fn more_than_a_piece() {
    let x = tensor(&[3, 20_000]);
    for shape in [&[][..], &[3, 1], &[1, 20_000]] {
        let count = shape.iter().product::<usize>();
        let amax = Tensor::arange(1_u32, count as u32 + 1, &Device::Cpu).unwrap();
        let amax = amax.to_dtype(DType::F32).unwrap().reshape(shape).unwrap();
        agree(&x, &amax, CODES[0], Bounds::Magnitude);
    }
}

#[test]
fn negative_numbers_are_seen_beside_nan() {
    let codes = Codes { least: 0.0, largest: 255.0, float: false, divides: false };
    let x = Tensor::new(&[f32::NAN, 1.0, -1e-20], &Device::Cpu).unwrap();
    let amax = Tensor::new(1.0_f32, &Device::Cpu).unwrap();
    for way in [fake_quantize, composed::fake_quantize] {
        assert!(way(&x, &amax, codes, Bounds::Magnitude).is_err());
        assert!(way(&x.narrow(0, 0, 2).unwrap(), &amax, codes, Bounds::Magnitude).is_ok());
    }
    assert!(fake_quantize(&x, &amax.neg().unwrap(), CODES[0], Bounds::Magnitude).is_err());
}

#[test]
fn magnitudes_of_axes() {
    let x = Tensor::new(&[[1.0_f32, -3.0, 2.0], [0.5, f32::NAN, -0.25]], &Device::Cpu).unwrap();
    let of = |axis| bits(&magnitude(&x, axis).unwrap());
    let expected = |numbers: &[f32]| bits(&Tensor::new(numbers, &Device::Cpu).unwrap());
    assert_eq!(of(None), expected(&[f32::NAN]));
    assert_eq!(of(Some(0)), expected(&[3.0, f32::NAN]));
    assert_eq!(of(Some(1)), expected(&[1.0, f32::NAN, 2.0]));
    let number = x.narrow(1, 0, 1).unwrap();
    assert_eq!(magnitude(&number, None).unwrap().to_scalar::<f32>().unwrap(), 1.0);
    assert_eq!(magnitude(&number.contiguous().unwrap(), None).unwrap().to_scalar::<f32>().unwrap(), 1.0);
}
