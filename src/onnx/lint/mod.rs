//! What a target makes of a model: rules over ONNX graphs, as data with a check each.
//!
//! A rule has one file in which it stands, `generic` or that of its target. It says what must
//! hold, why, who says so, and what to do; its check gives the places where it does not hold.
//! What cannot be seen in the file (a scale in another file, a size known at run time) is taken
//! to be right.

mod checks;
mod generic;
mod index;
mod manual;
mod onnxruntime;
mod openvino;
mod operand;
mod tensor;
mod tensorrt;
#[cfg(test)]
mod tests;

use super::{profile::Profile, proto::ModelProto};
use index::Index;
pub use manual::{manual, manual_entry};
use operand::Product;
use serde::Serialize;
use std::{collections::HashSet, fmt};

/// Something that a target demands of a graph.
pub struct Rule {
    /// Its name for good, such as `T05`: the letter is the target's.
    pub code: &'static str,
    /// What happens where it is broken.
    pub effect: Effect,
    /// What is wrong where it is broken: a phrase.
    pub title: &'static str,
    /// What the rule is and why.
    pub text: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// What to do.
    pub help: &'static str,
    /// The check's name in the source.
    pub check_name: &'static str,
    check: Check,
}

/// Finds where a rule is broken.
type Check = for<'m> fn(&Index<'m>) -> Vec<Place>;

/// What happens where a rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// The target does not take the model, or fails when it runs it.
    Rejected,
    /// What is quantized in the file runs in float.
    Float,
    /// The target computes other numbers than the file says.
    Numbers,
    /// It runs slower than it could.
    Slower,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The model is of no use to the target.
    Error,
    /// The model runs, but probably not as meant.
    Warning,
}

impl Effect {
    /// How bad it is.
    pub fn level(self) -> Level {
        if self == Effect::Rejected { Level::Error } else { Level::Warning }
    }

    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Effect::Rejected => "rejected",
            Effect::Float => "runs in float",
            Effect::Numbers => "other numbers",
            Effect::Slower => "slower",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Level::Error { "error" } else { "warning" })
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

/// A place where a rule is broken, as a check gives it.
struct Place {
    /// The node's name, or the value's.
    node: String,
    /// What is wrong there: lower case, without a full stop.
    message: String,
}

/// A place where a rule is broken.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The node's name, or the value's where no node is at fault.
    pub node: String,
    /// What is wrong there.
    pub message: String,
}

impl Finding {
    /// How bad it is.
    pub fn level(&self) -> Level {
        self.rule.effect.level()
    }

    /// What to do.
    pub fn help(&self) -> &'static str {
        self.rule.help
    }
}

/// How much of a model is quantized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The version of the standard operators; 0 where the model names none.
    pub opset: i64,
    /// Tensors that are rounded to codes, or stored as such.
    pub quantizers: usize,
    /// Matrix products: MatMul and Gemm.
    pub products: usize,
    /// Those with both matrices in 8 bits, and no finding that they run in float.
    pub integer_products: usize,
    /// Functions of the model's own, which are not looked into.
    pub functions: usize,
}

/// Every place where a rule of the profile is broken, in the order of the rules.
///
/// Looks at the main graph and the graphs inside it; the bodies of the model's own functions are
/// not looked into.
pub(crate) fn lint(model: &ModelProto, profile: &Profile) -> Vec<Finding> {
    let index = Index::new(model);
    let found = profile.rules().flat_map(|rule| {
        let places = (rule.check)(&index).into_iter();
        places.map(move |place| Finding { rule, node: place.node, message: place.message })
    });
    found.collect()
}

/// How much of the model is quantized, by what `lint` found.
pub(crate) fn summary(model: &ModelProto, findings: &[Finding]) -> Summary {
    let index = Index::new(model);
    let float: HashSet<&str> = findings
        .iter()
        .filter(|finding| finding.rule.effect == Effect::Float)
        .map(|f| f.node.as_str())
        .collect();
    let products = Product::all(&index);
    let integer = products.iter().filter(|product| {
        product.operands().iter().all(|operand| operand.is_eight_bits(&index))
            && !float.contains(index::label(product.node).as_str())
    });
    let is_tensor = |quantizer: &index::Quantizer<'_>| {
        quantizer.quantizes || (index.is_constant(quantizer.data) && index.producer(quantizer.data).is_none())
    };
    Summary {
        opset: index.opset,
        quantizers: index.quantizers().filter(is_tensor).count(),
        products: products.len(),
        integer_products: integer.count(),
        functions: model.functions.len(),
    }
}

/// Declares the rules of a file: code, effect, check, then title, text, source and help.
macro_rules! rules {
    ($($code:ident $effect:ident $check:ident: $title:literal, $text:literal, $source:literal, $help:literal;)*) => {
        /// The rules, in order.
        pub(crate) static RULES: &[Rule] = &[$(Rule {
            code: stringify!($code),
            effect: Effect::$effect,
            title: $title,
            text: $text,
            source: $source,
            help: $help,
            check_name: stringify!($check),
            check: $check,
        }),*];
    };
}
use rules;

pub(super) use generic::RULES as GENERIC;
pub(super) use onnxruntime::RULES as ONNXRUNTIME;
pub(super) use openvino::RULES as OPENVINO;
pub(super) use tensorrt::RULES as TENSORRT;
