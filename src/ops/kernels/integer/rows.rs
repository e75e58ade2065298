//! A few rows of the left side, in the form that the instructions want.

use super::{DEPTH, Kernel};

/// Rows of codes made ready. The memory is kept for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    /// Codes as they are, widened.
    pairs: Vec<i16>,
    /// Codes that are not negative: 128 is added to signed ones.
    bytes: Vec<u8>,
    count: usize,
    /// Groups of [`DEPTH`] codes in a row.
    depth: usize,
    is_shifted: bool,
}

impl Rows {
    /// Makes rows ready, each of `length` codes from where it starts in `codes`. Codes are
    /// bytes: of signed numbers, or not.
    pub(crate) fn fill(
        &mut self,
        kernel: Kernel,
        codes: &[u8],
        starts: impl Iterator<Item = usize>,
        length: usize,
        signed: bool,
    ) {
        self.depth = length.div_ceil(DEPTH);
        self.is_shifted = kernel.shifts() && signed;
        self.count = 0;
        let padding = self.depth * DEPTH - length;
        self.pairs.clear();
        self.bytes.clear();
        for start in starts {
            let row = &codes[start..start + length];
            self.count += 1;
            // What pads a row meets zeros on the right.
            match (kernel.shifts(), signed) {
                (true, true) => {
                    self.bytes.extend(row.iter().map(|code| code ^ 0x80));
                    self.bytes.extend(std::iter::repeat_n(0, padding));
                }
                (true, false) => {
                    self.bytes.extend_from_slice(row);
                    self.bytes.extend(std::iter::repeat_n(0, padding));
                }
                (false, true) => {
                    self.pairs.extend(row.iter().map(|code| i16::from(*code as i8)));
                    self.pairs.extend(std::iter::repeat_n(0, padding));
                }
                (false, false) => {
                    self.pairs.extend(row.iter().map(|code| i16::from(*code)));
                    self.pairs.extend(std::iter::repeat_n(0, padding));
                }
            }
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Groups of [`DEPTH`] codes in each.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// 128 was added to every code: 128 times the sum of a column is to be taken off what
    /// the column's products come to.
    pub(crate) fn is_shifted(&self) -> bool {
        self.is_shifted
    }

    /// The rows from `first` on.
    pub(super) fn pairs(&self, first: usize) -> &[i16] {
        &self.pairs[first * self.depth * DEPTH..]
    }

    /// The same, of codes that are not negative.
    pub(super) fn bytes(&self, first: usize) -> &[u8] {
        &self.bytes[first * self.depth * DEPTH..]
    }
}
