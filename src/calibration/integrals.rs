//! What rounding leaves and takes of numbers that are spread evenly.

/// The integrals, from zero to ascending numbers, of the squares of what rounding leaves
/// and of what it takes.
pub(super) struct Integrals<'a> {
    /// Ascending, as shares of the range.
    codes: &'a [f64],
    range: f64,
    /// The code that numbers are rounded to now.
    at: usize,
    /// The integrals up to where that begins.
    before: Integral,
    begins: f64,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Integral {
    /// Of the squares of what is left.
    pub(super) left: f64,
    /// Of the squares of the differences.
    pub(super) noise: f64,
}

impl Integrals<'_> {
    pub(super) fn new(codes: &[f64], range: f64) -> Integrals<'_> {
        Integrals { codes, range, at: 0, before: Integral::default(), begins: 0.0 }
    }

    fn code(&self, at: usize) -> Option<f64> {
        self.codes.get(at).map(|code| code * self.range)
    }

    /// The integrals up to a number that is not below the one before.
    pub(super) fn at(&mut self, to: f64) -> Integral {
        let mut code = self.code(self.at).unwrap_or_default();
        while let Some(next) = self.code(self.at + 1) {
            let ends = (code + next) / 2.0;
            if ends >= to {
                break;
            }
            self.before = self.up_to(ends, code);
            self.begins = ends;
            self.at += 1;
            code = next;
        }
        self.up_to(to, code)
    }

    fn up_to(&self, to: f64, code: f64) -> Integral {
        let cube = |x: f64| (x - code).powi(3) / 3.0;
        Integral {
            left: self.before.left + code * code * (to - self.begins),
            noise: self.before.noise + cube(to) - cube(self.begins),
        }
    }
}
