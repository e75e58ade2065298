//! Products of all shapes and layouts, against sums in f64, in vectors of every width.

use super::{
    Finish, Matrix, Panels, Product, Sums,
    block::{Block, HEIGHT, Tile, VECTORS, multiply},
    panels::pack_of_width,
    unpack,
};
use pulp::{Simd, WithSimd};
use std::mem::MaybeUninit;

/// Whole numbers from -9 to 9, in no order.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    // Knuth's multiplicative hashing.
    (0..count).map(|at| (((at + seed).wrapping_mul(2_654_435_761) >> 8) % 19) as f32 - 9.0).collect()
}

fn by_rows(numbers: &[f32], rows: usize, columns: usize) -> Matrix<'_> {
    Matrix { numbers, rows: (rows, columns), columns: (columns, 1) }
}

fn expected(left: Matrix, right: Matrix) -> Vec<f64> {
    let at = |matrix: Matrix, row: usize, column: usize| {
        f64::from(matrix.numbers[row * matrix.rows.1 + column * matrix.columns.1])
    };
    let mut result = Vec::new();
    for row in 0..left.rows.0 {
        for column in 0..right.columns.0 {
            result.push((0..right.rows.0).map(|k| at(left, row, k) * at(right, k, column)).sum());
        }
    }
    result
}

/// The product, written by `write`.
fn written(product: &Product, size: usize, write: impl Fn(&Product, &mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut slots = vec![MaybeUninit::new(f32::NAN); size];
    write(product, &mut slots);
    // SAFETY: each was written before.
    slots.into_iter().map(|slot| unsafe { slot.assume_init() }).collect()
}

const SIZES: [[usize; 3]; 10] = [
    [1, 1, 1],
    [6, 16, 16],
    [7, 5, 17],
    [13, 300, 33],
    [200, 31, 70],
    [5, 0, 3],
    [12, 513, 31],
    [25, 256, 32],
    [3, 9, 200],
    [400, 8, 8],
];

#[test]
fn whole_numbers_are_multiplied_exactly_in_every_layout() {
    for [rows, depth, columns] in SIZES {
        let (left, right) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
        let left = by_rows(&left, rows, depth);
        let layouts = [
            by_rows(&right, depth, columns),
            Matrix { numbers: &right, rows: (depth, 1), columns: (columns, depth) },
        ];
        for (right, together) in layouts.into_iter().zip([true, false]) {
            let mut packed = Vec::new();
            let panels = super::pack(right, &mut packed, together);
            let finish = Finish::default();
            let product = Product::new(left, panels, Sums::FAST, &finish).unwrap();
            let wanted: Vec<f32> = expected(left, right).into_iter().map(|sum| sum as f32).collect();
            assert_eq!(
                written(&product, wanted.len(), |product, slots| product.write(slots)),
                wanted,
                "{rows} {depth} {columns}"
            );
            assert_eq!(
                written(&product, wanted.len(), |product, slots| product.write_together(slots)),
                wanted
            );
        }
    }
}

#[test]
fn rows_may_lie_apart() {
    let (wide, right) = (numbers(9 * 50, 3), numbers(20 * 40, 4));
    let left = Matrix { numbers: &wide[7..], rows: (9, 50), columns: (20, 1) };
    let right = Matrix { numbers: &right, rows: (20, 2), columns: (19, 40) };
    let (mut packed, finish) = (Vec::new(), Finish::default());
    let product = Product::new(left, super::pack(right, &mut packed, true), Sums::FAST, &finish).unwrap();
    let wanted: Vec<f32> = expected(left, right).into_iter().map(|sum| sum as f32).collect();
    assert_eq!(written(&product, wanted.len(), |product, slots| product.write_together(slots)), wanted);
}

/// Multiplies in vectors of some width.
struct Inside<'a> {
    product: Product<'a>,
    result: &'a mut [MaybeUninit<f32>],
}

impl WithSimd for Inside<'_> {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        let Product { left, right, sums, finish } = self.product;
        let rows = self.result.chunks_mut(right.columns()).collect();
        let block = Block { left: left.numbers, apart: left.rows.1, right, first: 0, sums, finish };
        block.into(rows).with_simd(simd);
    }
}

#[test]
fn vectors_of_every_width_give_the_same_sums() {
    for [rows, depth, columns] in SIZES {
        let (left, right) = (numbers(rows * depth, 5), numbers(depth * columns, 6));
        let (left, right) = (by_rows(&left, rows, depth), by_rows(&right, depth, columns));
        let wanted: Vec<f32> = expected(left, right).into_iter().map(|sum| sum as f32).collect();
        let in_width = |width: usize, run: &dyn Fn(Inside)| {
            let mut packed = Vec::new();
            let panels = pack_of_width(right, width, &mut packed, false);
            assert_eq!(unpack(panels), right.numbers);
            let finish = Finish::default();
            let product = Product::new(left, panels, Sums::FAST, &finish).unwrap();
            let run = |product: &Product, result: &mut [MaybeUninit<f32>]| {
                run(Inside { product: *product, result });
            };
            assert_eq!(written(&product, wanted.len(), run), wanted, "{width}: {rows} {depth} {columns}");
        };
        in_width(2, &|inside| inside.with_simd(pulp::Scalar));
        in_width(8, &|inside| inside.with_simd(pulp::Scalar128b));
        in_width(16, &|inside| inside.with_simd(pulp::Scalar256b));
        in_width(32, &|inside| inside.with_simd(pulp::Scalar512b));
    }
}

#[test]
fn tiles_of_every_height_give_the_same_sums() {
    fn check<const ROWS: usize>() {
        let simd = pulp::Scalar;
        let (left, right) = (numbers(ROWS * 10, 8), numbers(7 * VECTORS, 9));
        let panel = right.as_chunks::<VECTORS>().0;
        let mut tile: Tile<pulp::Scalar> = [[f32::NAN; VECTORS]; HEIGHT];
        multiply::<_, ROWS>(simd, &left, 10, panel, &mut tile);
        let left = Matrix { numbers: &left, rows: (ROWS, 10), columns: (7, 1) };
        let wanted: Vec<f32> =
            expected(left, by_rows(&right, 7, VECTORS)).into_iter().map(|sum| sum as f32).collect();
        assert_eq!(tile[..ROWS].as_flattened(), wanted);
        assert!(tile[ROWS..].as_flattened().iter().all(|rest| rest.is_nan()));
    }
    macro_rules! check {
        ($($rows:literal)*) => { $(check::<$rows>();)* };
    }
    check!(1 2 3 4 5 6 7 8 9 10 11 12);
}

#[test]
fn long_sums_are_exact_where_they_are_to_be() {
    for depth in [1024, 1025, 3072, 5000] {
        // Sums grow as large as they can, and their last digit says whether one was lost.
        let left: Vec<f32> =
            (0..6 * depth).map(|at| if at % depth == depth - 1 { 1.0 } else { 255.0 }).collect();
        let right = vec![255.0; depth * 3];
        let (left, right) = (by_rows(&left, 6, depth), by_rows(&right, depth, 3));
        let (mut packed, finish) = (Vec::new(), Finish::default());
        let panels = super::pack(right, &mut packed, true);
        let product = Product::new(left, panels, Sums::exactly(depth, 258), &finish).unwrap();
        let wanted: Vec<f32> = expected(left, right).into_iter().map(|sum| sum as f32).collect();
        assert_eq!(written(&product, wanted.len(), |product, slots| product.write_together(slots)), wanted);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (few, finish) = (numbers(12, 7), Finish::default());
    let panels = |rows, columns, count: usize| {
        let numbers = vec![0.0; count];
        Panels::new(&numbers, rows, columns).is_some()
    };
    let [count, rows, width] = Panels::shape(3, 4);
    assert!(panels(3, 4, count * rows * width));
    assert!(!panels(3, 4, count * rows * width - 1));
    assert!(!panels(usize::MAX, 4, 12));
    let mut packed = Vec::new();
    let right = super::pack(by_rows(&few, 3, 4), &mut packed, true);
    let fits = |left: Matrix| Product::new(left, right, Sums::FAST, &finish).is_some();
    assert!(fits(by_rows(&few, 4, 3)));
    assert!(!fits(by_rows(&few, 3, 4)), "sums of another length");
    assert!(!fits(by_rows(&few, 5, 3)), "fewer numbers than rows");
    assert!(!fits(Matrix { numbers: &few, rows: (3, 1), columns: (3, 3) }), "rows that are no neighbours");
    let finish = Finish { scales: vec![1.0; 3], ..Finish::default() };
    assert!(Product::new(by_rows(&few, 4, 3), right, Sums::FAST, &finish).is_none());
}
