//! The syntax tree: what a spec file says, nothing looked up yet.
//!
//! Every node carries its span. The tree mirrors `grammar/qdq.pest` rule by rule.
//! Written down (serialised), it leaves the spans out.

mod bodies;
mod expressions;
mod rules;

use crate::span::{Span, Spanned};
use serde::Serialize;

pub use bodies::*;
pub use expressions::*;
pub use rules::*;

/// A name as written.
pub type Name = Spanned<String>;

/// The lines of `///` above a declaration, without the marks.
pub type Docs = Vec<Name>;

/// One source file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpecFile {
    /// Declarations in the order written.
    pub items: Vec<Item>,
}

impl SpecFile {
    /// Says the same as another file, wherever each says it: spans may differ.
    pub fn says_the_same_as(&self, other: &SpecFile) -> bool {
        match (serde_json::to_value(self), serde_json::to_value(other)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }
}

/// A declaration at the top level.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    /// Doc comment lines.
    pub docs: Docs,
    /// The whole declaration, docs included.
    #[serde(skip)]
    pub span: Span,
    /// What is declared.
    pub kind: ItemKind,
}

/// The kinds of top-level declarations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ItemKind {
    /// `use "lib/bert.qdq"`
    Use(Name),
    /// `dim batch, past else 0`
    Dim(Vec<DimBinding>),
    /// `config hidden_size: int = 768`
    Config(ConfigField),
    /// `let head_dim = hidden_size / num_attention_heads`
    Const(Let),
    /// `type Hidden = f32[batch, seq, hidden_size]`
    Type(TypeAlias),
    /// `record KeyValue { key: ..., value: ... }`
    Record(Record),
    /// `require ... else "..."`
    Require(Require),
    /// `fn split_heads(x: Hidden) -> Heads { ... }`
    Fn(Function),
    /// `module Linear(in: int, out: int) on (input: ...) -> ... { ... }`
    Module(Module),
    /// `model BertForMaskedLM(...) -> (...) { ... }`
    Model(Model),
    /// `quantize qdqbert { ... }`
    Quantize(Quantize),
}

/// One name of a `dim` declaration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DimBinding {
    /// The dim.
    pub name: Name,
    /// Where its size comes from, besides the inputs.
    pub rule: DimRule,
}

/// Where the size of a dim comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum DimRule {
    /// The inputs alone.
    Bound,
    /// `else EXPR`: this where no given input has the dim.
    Else(Expr),
    /// `= EXPR`: a product of other dims.
    Equals(Expr),
}

/// A field of `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigField {
    /// HuggingFace's field name.
    pub name: Name,
    /// What it may hold.
    pub ty: ConfigType,
    /// Its value where the file has none.
    pub default: Option<Expr>,
}

/// What a configuration field may hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigType {
    /// The type as written.
    pub kind: ConfigKind,
    /// A trailing `?`: may be absent or null.
    pub optional: bool,
    /// Where it is written.
    #[serde(skip)]
    pub span: Span,
}

/// The kinds of configuration fields.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ConfigKind {
    /// `int`, `float`, `bool` or `str`.
    Named(Name),
    /// `"absolute" | "relative_key"`: one of these strings.
    OneOf(Vec<Name>),
}

/// `type NAME = TYPE`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeAlias {
    /// The alias.
    pub name: Name,
    /// What it stands for.
    pub ty: TypeExpr,
}

/// `record NAME { FIELDS }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// The record type's name.
    pub name: Name,
    /// Its fields, in order.
    pub fields: Vec<Field>,
}

/// A named part of a record or of a result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// Doc comment lines.
    pub docs: Docs,
    /// The field.
    pub name: Name,
    /// Its type.
    pub ty: TypeExpr,
}

/// `require CONDITION else "MESSAGE"`; the message may hold `{name}`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Require {
    /// Doc comment lines.
    pub docs: Docs,
    /// What must hold.
    pub condition: Expr,
    /// What to say if it does not.
    pub message: Name,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `fn NAME(PORTS) -> RESULT { BODY }`: a part without parameters of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Function {
    /// The function.
    pub name: Name,
    /// Its operands.
    pub ports: Vec<Port>,
    /// What it gives.
    pub result: ResultType,
    /// How.
    pub body: Body,
}

/// `module NAME(SETTINGS) on (PORTS) -> RESULT { BODY }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Module {
    /// The module.
    pub name: Name,
    /// Sizes and choices fixed where it is placed.
    pub settings: Vec<Setting>,
    /// Its operands.
    pub ports: Vec<Port>,
    /// What it gives.
    pub result: ResultType,
    /// Its parameters, submodules and values.
    pub body: Body,
}

/// A size or choice of a module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// Doc comment lines.
    pub docs: Docs,
    /// The setting.
    pub name: Name,
    /// `int`, `float`, `bool` or `str`.
    pub ty: Name,
    /// A trailing `?`: `none` is allowed.
    pub optional: bool,
    /// Its value where none is given.
    pub default: Option<Expr>,
}

/// An operand of a module or function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Port {
    /// Doc comment lines.
    pub docs: Docs,
    /// The port.
    pub name: Name,
    /// Its type.
    pub ty: TypeExpr,
    /// Its value where none is given.
    pub default: Option<Expr>,
}

/// What a module or function gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ResultType {
    /// One unnamed value.
    One(TypeExpr),
    /// Named values.
    Fields(Vec<Field>),
}

/// `model NAME(INPUTS) -> (OUTPUTS) { BODY }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    /// The model.
    pub name: Name,
    /// Its named inputs.
    pub inputs: Vec<Input>,
    /// Its named outputs.
    pub outputs: Vec<Output>,
    /// Its parts and values.
    pub body: Body,
}

/// An input of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Input {
    /// Doc comment lines.
    pub docs: Docs,
    /// The input, under HuggingFace's argument name.
    pub name: Name,
    /// Its type; several alternatives are told apart by rank and dtype.
    pub ty: TypeExpr,
    /// `unless OTHER`: required only where OTHER is absent, refused where it is given.
    pub unless: Option<Name>,
    /// Its value where none is given.
    pub default: Option<Expr>,
}

/// An output of a model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Output {
    /// Doc comment lines.
    pub docs: Docs,
    /// The output, under HuggingFace's name.
    pub name: Name,
    /// Its type; `?` means that it may be absent.
    pub ty: TypeExpr,
    /// `on request`: made only when asked for.
    pub on_request: bool,
}
