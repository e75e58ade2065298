//! Recipes for quantizers.

use super::{Argument, Docs, Name};
use crate::span::{Span, Spanned};
use serde::Serialize;

/// `quantize NAME { RULES }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quantize {
    /// The recipe's name.
    pub name: Name,
    /// Its rules; their order means nothing.
    pub rules: Vec<Rule>,
}

/// One line of a `quantize` block.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rule {
    /// Doc comment lines.
    pub docs: Docs,
    /// What it says.
    pub kind: RuleKind,
    /// The whole rule.
    #[serde(skip)]
    pub span: Span,
}

/// The kinds of rules.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum RuleKind {
    /// `quantizer NAME = int8(...)`
    Quantizer {
        /// The quantizer.
        name: Name,
        /// `int8`, `uint4`, `e4m3`, ...
        scheme: Name,
        /// Its options; `None` where no parentheses are written.
        options: Option<Vec<Argument>>,
    },
    /// `attach NAME to SITES SCOPES as ALIAS except at PATHS`
    Attach {
        /// The quantizer attached.
        quantizer: Name,
        /// Where.
        sites: Sites,
        /// Narrowing.
        scopes: Vec<Scope>,
        /// The quantizer's name in the state dict.
        alias: Option<Name>,
        /// Paths left out.
        except: Vec<Name>,
    },
    /// `tie SITES, SITES SCOPES`
    Tie {
        /// The sites that share a range.
        sites: Vec<Sites>,
        /// Narrowing.
        scopes: Vec<Scope>,
    },
    /// `limit SITES SCOPES to NUMBER`
    Limit {
        /// The sites whose range is bounded.
        sites: Sites,
        /// Narrowing.
        scopes: Vec<Scope>,
        /// The largest range.
        bound: Spanned<f64>,
        /// The bound as written.
        text: String,
    },
}

/// `lhs, rhs of scores`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sites {
    /// The ports.
    pub ports: Vec<Name>,
    /// An operator, a module, a submodule's name, or a value's name.
    pub of: Name,
    /// The whole phrase.
    #[serde(skip)]
    pub span: Span,
}

/// What narrows a rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Scope {
    /// `in MODULE`: written in that module's own body.
    In(Vec<Name>),
    /// `under MODULE`: anywhere inside an instance of that module.
    Under(Vec<Name>),
    /// `at PATH`: below that state-dict path; `*` stands for one segment.
    At(Vec<Name>),
}
