//! A quantized weight, as products read it.

use super::{COLUMNS, DEPTH, Packer, Panels, STRIDE, panels};
use std::{fmt, ops::Range, sync::Arc};

/// Signed codes in panels, and what they are worth.
#[derive(Debug)]
pub(crate) struct Matrix {
    codes: Bytes,
    sums: Vec<i32>,
    /// What a code of each column is worth.
    scales: Vec<f32>,
    rows: usize,
    columns: usize,
    /// Sizes of the codes in panels.
    shape: [usize; 4],
    scale_shape: [usize; 1],
}

/// Bytes of one's own, or part of a file that is mapped.
pub(crate) enum Bytes {
    Own(Vec<u8>),
    Mapped(Arc<dyn AsRef<[u8]> + Send + Sync>, Range<usize>),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Mapped(file, range) => (**file).as_ref().get(range.clone()).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.all().len())
    }
}

impl Matrix {
    /// A matrix of codes that are in panels already; `None` where there are fewer or more of
    /// anything than a matrix of this size has.
    pub(crate) fn new(codes: Bytes, scales: Vec<f32>, [rows, columns]: [usize; 2]) -> Option<Matrix> {
        let fits = codes.all().len() == panels::size(rows, columns) && scales.len() == columns;
        let sums = panels::sums(codes.all(), rows, columns);
        fits.then(|| Matrix::of(codes, sums, scales, [rows, columns])).flatten()
    }

    fn of(codes: Bytes, sums: Vec<i32>, scales: Vec<f32>, [rows, columns]: [usize; 2]) -> Option<Matrix> {
        Panels::new(codes.all(), &sums, rows, columns)?;
        let shape = Matrix::panels_of(rows, columns);
        let scale_shape = [columns];
        (scales.len() == columns).then_some(Matrix { codes, sums, scales, rows, columns, shape, scale_shape })
    }

    /// Packs a matrix from its columns.
    pub(crate) fn pack<'c>(
        [rows, columns]: [usize; 2],
        scales: Vec<f32>,
        column: impl Fn(usize) -> &'c [u8],
    ) -> Option<Matrix> {
        let mut packer = Packer::default();
        packer.columns(rows, columns, column);
        let (codes, sums) = packer.into_parts();
        Matrix::of(Bytes::Own(codes), sums, scales, [rows, columns])
    }

    /// As products read it.
    pub(crate) fn panels(&self) -> Option<Panels<'_>> {
        Panels::new(self.codes.all(), &self.sums, self.rows, self.columns)
    }

    /// How many numbers a column has.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// How many numbers a row has.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// What a code of each column is worth.
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// The codes, as they are in panels.
    pub(crate) fn codes(&self) -> &[u8] {
        self.codes.all()
    }

    /// Sizes of the codes in panels, and of the scales.
    pub(crate) fn shapes(&self) -> [&[usize]; 2] {
        [&self.shape, &self.scale_shape]
    }

    /// Sizes of the codes of a matrix in panels.
    pub(crate) fn panels_of(rows: usize, columns: usize) -> [usize; 4] {
        [columns.div_ceil(COLUMNS), rows.div_ceil(DEPTH), COLUMNS, DEPTH]
    }

    /// The numbers that the codes stand for, column by column.
    pub(crate) fn values(&self) -> Vec<f32> {
        let codes = self.codes.all();
        let panel = self.rows.div_ceil(DEPTH) * STRIDE;
        let mut values = Vec::with_capacity(self.rows * self.columns);
        for (column, scale) in self.scales.iter().enumerate() {
            let first = column / COLUMNS * panel + column % COLUMNS * DEPTH;
            let code = |row: usize| codes.get(first + row / DEPTH * STRIDE + row % DEPTH).copied();
            values.extend((0..self.rows).map(|row| f32::from(code(row).unwrap_or(0) as i8) * scale));
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_codes_times_scales_in_order() {
        let columns: [&[u8]; 3] = [&[1, 2, 3, 4, 5], &[255, 254, 253, 252, 251], &[0x80, 0x7f, 0, 0, 9]];
        let matrix = Matrix::pack([5, 3], vec![1.0, 0.5, 2.0], |column| columns[column]).unwrap();
        let expected = [1.0, 2.0, 3.0, 4.0, 5.0, -0.5, -1.0, -1.5, -2.0, -2.5, -256.0, 254.0, 0.0, 0.0, 18.0];
        assert_eq!(matrix.values(), expected);
        let codes = matrix.codes();
        assert_eq!(codes.len(), Matrix::panels_of(5, 3).iter().product::<usize>());
        assert_eq!((matrix.sums.len(), &matrix.sums[..3]), (16, &[15, -15, 8][..]));
        let again = |count| Matrix::new(Bytes::Own(codes.to_vec()), vec![1.0; count], [5, 3]);
        assert_eq!(again(3).unwrap().sums, matrix.sums);
        assert!(again(2).is_none());
        assert!(Matrix::new(Bytes::Own(codes[1..].to_vec()), vec![1.0; 3], [5, 3]).is_none());
    }
}
