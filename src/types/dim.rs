//! Sizes, known or symbolic, and their arithmetic.
//!
//! A dim is `(c + Σ kᵢ·sᵢ) / d`: a whole number, plus multiples of symbols,
//! divided by a whole number. Sums, differences, and products and quotients by
//! constants stay in that form, and it is canonical, so two dims are equal
//! exactly when they print the same. A product of two symbols is not a dim: it
//! gets a symbol of its own (`dim rows = batch * choices`).

use std::{collections::BTreeMap, fmt, sync::Arc};

/// The name of a size that is bound when the model runs.
pub type Symbol = Arc<str>;

/// What the symbols are in one call.
pub type Bindings = BTreeMap<Symbol, i64>;

/// A size, known or symbolic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Dim {
    /// Sorted by symbol, no zero factors.
    terms: Vec<(Symbol, i64)>,
    constant: i64,
    /// At least 1, no factor in common with all of the rest.
    divisor: i64,
}

impl Dim {
    /// A known size.
    pub fn known(size: i64) -> Dim {
        Dim { terms: Vec::new(), constant: size, divisor: 1 }
    }

    /// A symbol.
    pub fn symbol(name: impl Into<Symbol>) -> Dim {
        Dim { terms: vec![(name.into(), 1)], constant: 0, divisor: 1 }
    }

    /// The size, if no symbol is in it.
    pub fn as_known(&self) -> Option<i64> {
        (self.terms.is_empty() && self.divisor == 1).then_some(self.constant)
    }

    /// The symbol, if the dim is nothing but one.
    pub fn as_symbol(&self) -> Option<&Symbol> {
        match self.terms.as_slice() {
            [(symbol, 1)] if self.constant == 0 && self.divisor == 1 => Some(symbol),
            _ => None,
        }
    }

    /// The symbols it mentions, sorted.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.terms.iter().map(|(symbol, _)| symbol)
    }

    /// Its symbols with their factors, its constant, and what their sum is divided by.
    pub fn parts(&self) -> (&[(Symbol, i64)], i64, i64) {
        (&self.terms, self.constant, self.divisor)
    }

    /// `self + other`; `None` where a factor leaves 64 bits.
    pub fn add(&self, other: &Dim) -> Option<Dim> {
        self.combine(other, 1)
    }

    /// `self - other`; `None` where a factor leaves 64 bits.
    pub fn subtract(&self, other: &Dim) -> Option<Dim> {
        self.combine(other, -1)
    }

    /// `self * factor`; `None` where a factor leaves 64 bits.
    pub fn scale(&self, factor: i64) -> Option<Dim> {
        let terms = self
            .terms
            .iter()
            .map(|(symbol, k)| Some((symbol.clone(), k.checked_mul(factor)?)))
            .collect::<Option<Vec<_>>>()?;
        Some(Self::canonical(terms, self.constant.checked_mul(factor)?, self.divisor))
    }

    /// `self / divisor`, exact; `None` where the divisor is not positive or does
    /// not divide a known size.
    pub fn divide(&self, divisor: i64) -> Option<Dim> {
        if divisor <= 0 {
            return None;
        }
        let quotient = Self::canonical(self.terms.clone(), self.constant, self.divisor.checked_mul(divisor)?);
        (!quotient.terms.is_empty() || quotient.divisor == 1).then_some(quotient)
    }

    /// The dim with some symbols replaced; `None` where a factor leaves 64 bits
    /// or a quotient is not whole.
    pub fn substitute(&self, replace: impl Fn(&Symbol) -> Option<Dim>) -> Option<Dim> {
        let mut sum = Dim::known(self.constant);
        for (symbol, k) in &self.terms {
            let dim = replace(symbol).unwrap_or_else(|| Dim::symbol(symbol.clone()));
            sum = sum.add(&dim.scale(*k)?)?;
        }
        sum.divide(self.divisor)
    }

    /// The size under these bindings; `None` where a symbol is unbound, the
    /// quotient is not whole, or a number leaves 64 bits.
    pub fn evaluate(&self, bindings: &Bindings) -> Option<i64> {
        let mut sum = self.constant;
        for (symbol, k) in &self.terms {
            sum = sum.checked_add(k.checked_mul(*bindings.get(symbol)?)?)?;
        }
        (sum % self.divisor == 0).then_some(sum / self.divisor)
    }

    /// What `symbol` must be so that the dim equals `size`; `None` where it is
    /// not in the dim or no whole number fits.
    pub fn solve(&self, symbol: &Symbol, size: &Dim) -> Option<Dim> {
        let factor = self.terms.iter().find(|(s, _)| s == symbol)?.1;
        let rest = Dim::canonical(
            self.terms.iter().filter(|(s, _)| s != symbol).cloned().collect(),
            self.constant,
            1,
        );
        let solution = size.scale(self.divisor)?.subtract(&rest)?;
        if factor < 0 { solution.scale(-1)?.divide(factor.checked_neg()?) } else { solution.divide(factor) }
    }

    fn combine(&self, other: &Dim, sign: i64) -> Option<Dim> {
        let divisor = self.divisor.checked_mul(other.divisor)?;
        let mut terms: BTreeMap<Symbol, i64> = BTreeMap::new();
        for (dim, factor) in [(self, other.divisor), (other, sign.checked_mul(self.divisor)?)] {
            for (symbol, k) in &dim.terms {
                let entry = terms.entry(symbol.clone()).or_default();
                *entry = entry.checked_add(k.checked_mul(factor)?)?;
            }
        }
        let left = self.constant.checked_mul(other.divisor)?;
        let right = other.constant.checked_mul(sign.checked_mul(self.divisor)?)?;
        Some(Self::canonical(terms.into_iter().collect(), left.checked_add(right)?, divisor))
    }

    fn canonical(mut terms: Vec<(Symbol, i64)>, constant: i64, divisor: i64) -> Dim {
        terms.retain(|(_, k)| *k != 0);
        terms.sort();
        let common = terms
            .iter()
            .map(|(_, k)| k.unsigned_abs())
            .chain([constant.unsigned_abs()])
            .fold(divisor.unsigned_abs(), greatest_common_divisor);
        // The common divisor divides `divisor`, a positive i64, so it fits.
        let common = i64::try_from(common).unwrap_or(1).max(1);
        for (_, k) in &mut terms {
            *k /= common;
        }
        Dim { terms, constant: constant / common, divisor: divisor / common }
    }
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl From<i64> for Dim {
    fn from(size: i64) -> Dim {
        Dim::known(size)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (symbol, k) in &self.terms {
            let text = if k.unsigned_abs() == 1 {
                symbol.to_string()
            } else {
                format!("{symbol} * {}", k.unsigned_abs())
            };
            parts.push((*k < 0, text));
        }
        if self.constant != 0 || parts.is_empty() {
            parts.push((self.constant < 0, self.constant.unsigned_abs().to_string()));
        }
        let mut sum = String::new();
        for (index, (negative, text)) in parts.iter().enumerate() {
            sum += match (index, negative) {
                (0, false) => "",
                (0, true) => "-",
                (_, false) => " + ",
                (_, true) => " - ",
            };
            sum += text;
        }
        match (self.divisor, parts.len()) {
            (1, _) => f.write_str(&sum),
            (divisor, 1) => write!(f, "{sum} / {divisor}"),
            (divisor, _) => write!(f, "({sum}) / {divisor}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_canonical() {
        let seq = Dim::symbol("seq");
        let past = Dim::symbol("past");
        let total = past.add(&seq).unwrap();
        assert_eq!(total.to_string(), "past + seq");
        assert_eq!(total.subtract(&past).unwrap(), seq);
        assert_eq!(seq.scale(4).unwrap().divide(2).unwrap().to_string(), "seq * 2");
        assert_eq!(seq.add(&1.into()).unwrap().divide(2).unwrap().to_string(), "(seq + 1) / 2");
        assert_eq!(Dim::known(768).divide(12), Some(Dim::known(64)));
        assert_eq!(Dim::known(768).divide(11), None);
        assert_eq!(total.solve(&"past".into(), &Dim::known(7)).unwrap().to_string(), "-seq + 7");
    }

    #[test]
    fn overflow_is_refused() {
        let huge = Dim::known(i64::MAX);
        assert_eq!(huge.add(&1.into()), None);
        assert_eq!(huge.scale(2), None);
        assert_eq!(Dim::known(1).divide(0), None);
    }
}
