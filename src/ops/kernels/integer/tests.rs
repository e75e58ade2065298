use super::*;
use crate::quant::{Storage, codes::Codes};
use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Codes of every kind, the outermost among them.
fn codes(rng: &mut StdRng, count: usize) -> Vec<u8> {
    (0..count)
        .map(|_| match rng.random_range(0..4) {
            0 => *[0x80, 0x7f, 0x00, 0xff].get(rng.random_range(0..4)).unwrap(),
            _ => rng.random(),
        })
        .collect()
}

/// The sum of products of one row with one column.
fn dot(row: &[u8], is_signed: bool, column: &[u8]) -> i32 {
    let left = row.iter().map(|code| if is_signed { i32::from(*code as i8) } else { i32::from(*code) });
    left.zip(column).map(|(left, right)| left * i32::from(*right as i8)).sum()
}

/// All products of `m` rows with the panels, by this kernel.
fn product(kernel: Kernel, left: &[u8], is_signed: bool, [m, k]: [usize; 2], right: Panels) -> Vec<Vec<i32>> {
    let mut rows = Rows::default();
    rows.fill(kernel, left, (0..m).map(|row| row * k), k, is_signed);
    let mut result = vec![vec![0; right.count() * COLUMNS]; m];
    for panel in (0..right.count()).step_by(2) {
        let panels = (right.count() - panel).min(2);
        for first in (0..m).step_by(kernel.height()) {
            let count = (m - first).min(kernel.height());
            let mut tile = Tile::default();
            kernel.multiply(&rows, first, count, right.range(panel, panels), &mut tile);
            for (row, sums) in (first..first + count).zip(tile) {
                for (at, total) in right.sums(panel, panels).iter().enumerate() {
                    let shift = if rows.is_shifted() { 128 * total } else { 0 };
                    result[row][panel * COLUMNS + at] = sums[at] - shift;
                }
            }
        }
    }
    result
}

#[test]
fn every_kernel_sums_every_product() {
    let mut rng = StdRng::seed_from_u64(1);
    for [m, k, n] in
        [[1, 1, 1], [6, 4, 16], [7, 5, 17], [8, 64, 32], [13, 66, 49], [3, 255, 40], [17, 768, 33]]
    {
        let (left, right) = (codes(&mut rng, m * k), codes(&mut rng, n * k));
        let mut packer = Packer::default();
        packer.columns(k, n, |column| &right[column * k..(column + 1) * k]);
        for kernel in Kernel::all() {
            for is_signed in [true, false] {
                let result = product(kernel, &left, is_signed, [m, k], packer.panels());
                for (row, result) in left.chunks(k).zip(&result) {
                    for (column, result) in right.chunks(k).zip(result) {
                        let exact = dot(row, is_signed, column);
                        assert_eq!(exact, *result, "{} {m} x {k} x {n}", kernel.name());
                    }
                    assert!(result[n..].iter().all(|sum| *sum == 0), "padding");
                }
            }
        }
    }
}

#[test]
fn the_longest_sums_do_not_overflow() {
    for (left, is_signed) in [(0xff_u8, false), (0x80, true), (0x7f, true)] {
        for right in [0x80_u8, 0x7f] {
            let (row, column) = (vec![left; LONGEST], vec![right; LONGEST]);
            let mut packer = Packer::default();
            packer.columns(LONGEST, 1, |_| &column);
            let exact = dot(&row, is_signed, &column);
            for kernel in Kernel::all() {
                let result = product(kernel, &row, is_signed, [1, LONGEST], packer.panels());
                assert_eq!(result[0][0], exact, "{}", kernel.name());
            }
        }
    }
}

#[test]
fn rows_and_columns_pack_to_the_same_panels() {
    let mut rng = StdRng::seed_from_u64(2);
    for [rows, columns] in [[1, 1], [4, 16], [5, 17], [128, 64], [7, 100]] {
        let matrix = codes(&mut rng, rows * columns);
        let turned: Vec<u8> = (0..columns)
            .flat_map(|column| (0..rows).map(move |row| (row, column)))
            .map(|(row, column)| matrix[row * columns + column])
            .collect();
        let (mut by_rows, mut by_columns) = (Packer::default(), Packer::default());
        by_rows.rows(rows, columns, |row| &matrix[row * columns..(row + 1) * columns]);
        by_columns.columns(rows, columns, |column| &turned[column * rows..(column + 1) * rows]);
        assert_eq!(by_rows.into_parts(), by_columns.into_parts());
    }
}

#[test]
fn a_byte_is_the_code_that_a_number_is_rounded_to() {
    let storages =
        [(8, true, false), (8, true, true), (8, false, false), (4, true, false), (2, false, false)];
    for (bits, signed, narrow) in storages {
        for divides in [true, false] {
            let codes = Codes::new(&Storage::Integer { bits, signed, narrow }, divides);
            for amax in [0.0, 1e-9, 0.37, 3.0, 1000.0] {
                let grid = codes.grid(amax);
                let quantizer = Quantizer::new(codes, grid).unwrap();
                let numbers = (-4000..4000).map(|step| step as f32 * amax / 1999.0);
                for number in numbers.chain([f32::MAX, f32::MIN, f32::MIN_POSITIVE]) {
                    let rounded = codes.round(number, grid);
                    assert_eq!(quantizer.value(quantizer.code(number)), rounded, "{number} of {amax}");
                }
            }
        }
    }
    let wide = Codes::new(&Storage::Integer { bits: 9, signed: true, narrow: false }, true);
    assert_eq!(Quantizer::new(wide, wide.grid(1.0)), None);
    let float = Codes::new(&Storage::E4M3, true);
    assert_eq!(Quantizer::new(float, float.grid(1.0)), None);
}
