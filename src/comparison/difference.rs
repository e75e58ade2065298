//! How far two tensors are apart.

use serde::Serialize;

/// What two tensors of one shape differ in, over any number of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Numbers compared.
    pub values: u64,
    /// The largest difference of two numbers; infinite where only one is NaN, or infinite.
    pub largest: f64,
    /// The largest finite magnitude of ours: what differences are measured by.
    pub scale: f64,
    /// Rows: what the last axis runs through.
    pub rows: u64,
    /// Rows whose largest number is at the same place.
    pub same_top: u64,
}

impl Difference {
    /// Of two tensors whose last axis has `row` numbers.
    pub fn of(ours: &[f32], theirs: &[f32], row: usize) -> Difference {
        let mut found = Difference { values: ours.len() as u64, ..Difference::default() };
        for (a, b) in ours.iter().zip(theirs) {
            found.largest = found.largest.max(apart(*a, *b));
        }
        found.scale = f64::from(magnitude(ours));
        for (a, b) in ours.chunks(row.max(1)).zip(theirs.chunks(row.max(1))) {
            found.rows += 1;
            found.same_top += u64::from(top(a) == top(b));
        }
        found
    }

    /// Counts another pair in.
    pub fn join(&mut self, other: Difference) {
        self.values += other.values;
        self.largest = self.largest.max(other.largest);
        self.scale = self.scale.max(other.scale);
        self.rows += other.rows;
        self.same_top += other.same_top;
    }

    /// The largest difference as a share of the scale. Where all of ours is zero it is the difference itself.
    pub fn relative(&self) -> f64 {
        if self.scale > 0.0 { self.largest / self.scale } else { self.largest }
    }
}

/// The largest finite magnitude.
pub(super) fn magnitude(values: &[f32]) -> f32 {
    let finite = values.iter().filter(|value| value.is_finite());
    finite.fold(0.0, |largest: f32, value| largest.max(value.abs()))
}

/// How far two numbers are apart: the same infinity, and NaN and NaN, not at all.
fn apart(a: f32, b: f32) -> f64 {
    if a == b || (a.is_nan() && b.is_nan()) {
        return 0.0;
    }
    let difference = (f64::from(a) - f64::from(b)).abs();
    if difference.is_nan() { f64::INFINITY } else { difference }
}

/// Where the first of the largest numbers is.
fn top(row: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (at, value) in row.iter().enumerate() {
        if *value > best.1 {
            best = (at, *value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_is_found_and_measured() {
        let mut found = Difference::of(&[1.0, -4.0, 2.0, 3.0], &[1.0, -4.5, 3.5, 3.0], 2);
        assert_eq!((found.largest, found.scale, found.relative()), (1.5, 4.0, 0.375));
        assert_eq!((found.rows, found.same_top), (2, 1));
        found.join(Difference::of(&[8.0], &[8.0], 1));
        assert_eq!(
            (found.values, found.largest, found.scale, found.rows, found.same_top),
            (5, 1.5, 8.0, 3, 2)
        );
    }

    #[test]
    fn what_is_no_number_is_the_same_or_far_away() {
        let infinity = f32::INFINITY;
        assert_eq!(Difference::of(&[f32::NAN, -infinity, 1.0], &[f32::NAN, -infinity, 1.0], 3).largest, 0.0);
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN), (infinity, -infinity), (infinity, 1.0)] {
            assert_eq!(Difference::of(&[a], &[b], 1).largest, f64::INFINITY, "{a} {b}");
        }
        assert_eq!(Difference::of(&[infinity, 2.0], &[infinity, 2.0], 2).scale, 2.0);
        assert_eq!(Difference::of(&[0.0], &[0.5], 1).relative(), 0.5);
    }
}
