//! Metrics over what was predicted and what is right: one metric, one file. None of them knows a model.

mod accuracy;
mod confusion;
mod entities;
mod f1;
mod loss;
mod matthews;
mod multi_label;
mod pearson;
mod spearman;
mod squad;

pub use accuracy::accuracy;
pub use confusion::Confusion;
pub use entities::Entities;
pub use f1::{f1, macro_f1};
pub use loss::Loss;
pub use matthews::matthews;
pub use multi_label::MultiLabel;
pub use pearson::pearson;
pub use spearman::spearman;
pub use squad::{Squad, exact_match, normalized, token_f1};

use serde::Serialize;
use std::fmt;

/// One figure of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Its name: `accuracy`, `f1`, `perplexity`.
    pub name: &'static str,
    /// The part of the data that it is of, where that is not all: a label, `has answer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// Its value in its unit; NaN where it is not defined (`null` in JSON).
    pub value: f64,
    /// What its value counts.
    pub unit: Unit,
    /// The better model has the higher value.
    pub higher_is_better: bool,
}

/// What the value of a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Hundredths, as tables of results give shares and correlations.
    Percent,
    /// The number itself: a loss, a cosine.
    Number,
}

impl Metric {
    /// A share or a correlation, from a fraction; higher is better.
    pub(crate) fn percent(name: &'static str, fraction: f64) -> Metric {
        Metric { name, of: None, value: fraction * 100.0, unit: Unit::Percent, higher_is_better: true }
    }

    /// A number of which less is better.
    pub(crate) fn cost(name: &'static str, value: f64) -> Metric {
        Metric { name, of: None, value, unit: Unit::Number, higher_is_better: false }
    }

    /// The same of a part of the data.
    pub(crate) fn of(self, part: impl Into<String>) -> Metric {
        Metric { of: Some(part.into()), ..self }
    }

    /// The name with its part: `f1 (person)`.
    pub fn title(&self) -> String {
        match &self.of {
            Some(part) => format!("{} ({part})", self.name),
            None => self.name.to_owned(),
        }
    }

    /// The value as tables show it: two decimals of a percentage, four of a number.
    pub fn shown(&self) -> String {
        self.unit.shown(self.value)
    }
}

impl Unit {
    /// A value in this unit as tables show it; `-` where it is not defined.
    pub fn shown(self, value: f64) -> String {
        match (self, value.is_nan()) {
            (_, true) => "-".into(),
            (Unit::Percent, _) => format!("{value:.2}"),
            (Unit::Number, _) => format!("{value:.4}"),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.title(), self.shown())
    }
}

/// `part / whole`; NaN where there is nothing.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

/// The harmonic mean of precision and recall from what was found rightly, found wrongly and missed:
/// `2 tp / (2 tp + fp + fn)`, and 0 where there is nothing at all, as in scikit-learn.
pub(crate) fn harmonic(right: u64, wrong: u64, missed: u64) -> f64 {
    let whole = 2 * right + wrong + missed;
    if whole == 0 { 0.0 } else { share(2 * right, whole) }
}
