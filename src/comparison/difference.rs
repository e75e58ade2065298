//! How far two tensors are apart.

use serde::{Serialize, Serializer, ser::SerializeMap};

/// How far tensors of one shape are apart, over any number of pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// The largest difference of two numbers; infinite where one alone is NaN or infinite.
    pub largest: f64,
    /// The largest finite magnitude of ours: what differences are measured by.
    pub scale: f64,
}

impl Difference {
    /// Of two tensors.
    pub fn of(ours: &[f32], theirs: &[f32]) -> Difference {
        let differences = ours.iter().zip(theirs).map(|(a, b)| apart(*a, *b));
        Difference { largest: differences.fold(0.0, f64::max), scale: f64::from(magnitude(ours)) }
    }

    /// Counts another pair in.
    pub fn join(&mut self, other: Difference) {
        self.largest = self.largest.max(other.largest);
        self.scale = self.scale.max(other.scale);
    }

    /// The largest difference as a share of the scale. Where all of ours is zero it is the difference itself.
    pub fn relative(&self) -> f64 {
        if self.scale > 0.0 { self.largest / self.scale } else { self.largest }
    }
}

/// With the relative difference besides.
impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(Some(3))?;
        object.serialize_entry("largest", &self.largest)?;
        object.serialize_entry("scale", &self.scale)?;
        object.serialize_entry("relative", &self.relative())?;
        object.end()
    }
}

/// Whether rows, which the last axis runs through, have their largest number at the same place: the top
/// answer, where they are scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Top {
    /// Rows compared.
    pub rows: u64,
    /// Those where it is the same place.
    pub same: u64,
}

impl Top {
    /// Of two tensors whose rows have this length.
    pub fn of(ours: &[f32], theirs: &[f32], length: usize) -> Top {
        let pairs = ours.chunks(length.max(1)).zip(theirs.chunks(length.max(1)));
        pairs.fold(Top::default(), |found, (a, b)| Top {
            rows: found.rows + 1,
            same: found.same + u64::from(top(a) == top(b)),
        })
    }

    /// Counts another pair in.
    pub fn join(&mut self, other: Top) {
        self.rows += other.rows;
        self.same += other.same;
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
        let mut found = Difference::of(&[1.0, -4.0, 2.0, 3.0], &[1.0, -4.5, 3.5, 3.0]);
        assert_eq!((found.largest, found.scale, found.relative()), (1.5, 4.0, 0.375));
        found.join(Difference::of(&[8.0], &[8.0]));
        assert_eq!((found.largest, found.scale), (1.5, 8.0));
        let json = serde_json::to_string(&found).unwrap();
        assert_eq!(json, r#"{"largest":1.5,"scale":8.0,"relative":0.1875}"#);
    }

    #[test]
    fn rows_have_their_top_at_the_same_place_or_not() {
        let mut found = Top::of(&[1.0, 0.0, 2.0, 3.0], &[1.0, -4.5, 3.5, 3.0], 2);
        assert_eq!(found, Top { rows: 2, same: 1 });
        found.join(Top::of(&[f32::NAN, 1.0], &[0.0, 1.0], 2));
        assert_eq!(found, Top { rows: 3, same: 2 });
    }

    #[test]
    fn what_is_no_number_is_the_same_or_far_away() {
        let infinity = f32::INFINITY;
        assert_eq!(Difference::of(&[f32::NAN, -infinity, 1.0], &[f32::NAN, -infinity, 1.0]).largest, 0.0);
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN), (infinity, -infinity), (infinity, 1.0)] {
            assert_eq!(Difference::of(&[a], &[b]).largest, f64::INFINITY, "{a} {b}");
        }
        assert_eq!(Difference::of(&[infinity, 2.0], &[infinity, 2.0]).scale, 2.0);
        assert_eq!(Difference::of(&[0.0], &[0.5]).relative(), 0.5);
    }
}
