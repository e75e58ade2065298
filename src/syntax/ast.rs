//! The syntax tree: what a spec file says, nothing looked up yet.
//!
//! Every node carries its span. The tree mirrors `grammar/qdq.pest` rule by rule.
//! Written down (serialised), it leaves the spans out.

use crate::span::{Span, Spanned};
use serde::Serialize;

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

/// `{ STATEMENTS }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Body {
    /// In the order written.
    pub statements: Vec<Statement>,
    /// Braces included.
    #[serde(skip)]
    pub span: Span,
}

/// A statement of a body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Statement {
    /// A parameter or a submodule.
    Declaration(Declaration),
    /// `let NAME = EXPR`
    Let(Let),
    /// `set NAME = EXPR`: gives a name of the enclosing body a new value.
    Set(Let),
    /// `return EXPR`
    Return(Return),
    /// `require ... else "..."`
    Require(Require),
    /// `if CONDITION { ... } else { ... }`, decided when compiling.
    If(If),
    /// `for NAME in A..B { ... }`, unrolled when compiling.
    For(For),
    /// `answer KIND(OUTPUTS)`: how the outputs are read for people.
    Answer(Answer),
}

/// `NAME: TYPE` or `NAME: MODULE(...)`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Declaration {
    /// Doc comment lines.
    pub docs: Docs,
    /// The name: its state-dict segment.
    pub name: Name,
    /// What it is.
    pub kind: DeclarationKind,
    /// The whole declaration.
    #[serde(skip)]
    pub span: Span,
}

/// What a body declares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum DeclarationKind {
    /// A parameter with a tensor type.
    Parameter(TensorTypeExpr),
    /// A submodule (or a parameter, where the name is a type's).
    Placement(Placement),
}

/// `MODULE(SETTINGS) * COUNT from "PREFIX" with (PARAMETERS)`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Placement {
    /// The module placed.
    pub module: Name,
    /// Its settings; `None` where no parentheses are written.
    pub settings: Option<Vec<Argument>>,
    /// `* COUNT`: that many, as `name.0`, `name.1`, ...
    pub repeat: Option<Expr>,
    /// `from "PREFIX"`: the whole state-dict prefix in place of the enclosing one and the name.
    pub from: Option<Name>,
    /// `with (weight: table)`: parameters that are other values (tied).
    pub with: Option<Vec<Argument>>,
    /// The whole placement.
    #[serde(skip)]
    pub span: Span,
}

/// `let` or `set`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Let {
    /// Doc comment lines.
    pub docs: Docs,
    /// The name given.
    pub name: Name,
    /// The value.
    pub value: Expr,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `return EXPR`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Return {
    /// What the body gives.
    pub value: Expr,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `if CONDITION { ... } else ...`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct If {
    /// Known when compiling.
    pub condition: Expr,
    /// Taken where it holds.
    pub then: Body,
    /// Taken where it does not. `else if` is a body with that one statement.
    pub otherwise: Option<Body>,
    /// `else` is followed by `if` rather than a brace.
    pub else_if: bool,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `for NAME in FROM..TO { ... }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct For {
    /// The counter.
    pub name: Name,
    /// Its first value.
    pub from: Expr,
    /// One past its last value.
    pub to: Expr,
    /// Repeated.
    pub body: Body,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `answer KIND(OUTPUTS)`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The reading.
    pub kind: Name,
    /// The outputs it reads, and options by name.
    pub arguments: Vec<Argument>,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// A type as written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeExpr {
    /// One, or several told apart by rank and dtype.
    pub alternatives: Vec<TypeAlternative>,
    /// `* COUNT`: a list.
    pub repeat: Option<Box<Expr>>,
    /// A trailing `?`: may be absent.
    pub optional: bool,
    /// The whole type.
    #[serde(skip)]
    pub span: Span,
}

/// One alternative of a type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum TypeAlternative {
    /// `f32[batch, seq]`
    Tensor(TensorTypeExpr),
    /// A type alias, a record, or `int`, `float`, `bool`, `str`.
    Named(Name),
}

/// `f32[..., hidden_size]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorTypeExpr {
    /// The element type.
    pub dtype: Name,
    /// The sizes.
    pub shape: Vec<Size>,
    /// The whole type.
    #[serde(skip)]
    pub span: Span,
}

/// One size of a shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Size {
    /// `...`: any number of leading sizes.
    Ellipsis(#[serde(skip)] Span),
    /// A dim or a number.
    Expr(Expr),
}

/// An expression.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expr {
    /// What is written.
    pub kind: ExprKind,
    /// The whole expression.
    #[serde(skip)]
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ExprKind {
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent, with its text as written.
    Float(f64, String),
    /// `"text"`, unescaped.
    Str(String),
    /// A name; `true`, `false` and `none` included.
    Name(String),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `(hidden: x, probs: p)`
    Record(Vec<(Name, Expr)>),
    /// `(a)`, kept so that printing gives back what was written.
    Group(Box<Expr>),
    /// `f(a, axis: 1)`
    Call(Box<Expr>, Vec<Argument>),
    /// `layer[i]`
    Index(Box<Expr>, Box<Expr>),
    /// `out.hidden`
    Member(Box<Expr>, Name),
    /// `-a`, `not a`
    Unary(Spanned<UnaryOperator>, Box<Expr>),
    /// `a + b`
    Binary(Box<Expr>, Spanned<BinaryOperator>, Box<Expr>),
    /// `if c then a else b`, decided when compiling.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
}

/// Marks before a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum UnaryOperator {
    /// `-`
    Negate,
    /// `not`
    Not,
}

/// Marks between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum BinaryOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `@`
    Matmul,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `and`
    And,
    /// `or`
    Or,
}

impl BinaryOperator {
    /// The mark as written.
    pub fn mark(self) -> &'static str {
        match self {
            BinaryOperator::Add => "+",
            BinaryOperator::Subtract => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::Remainder => "%",
            BinaryOperator::Matmul => "@",
            BinaryOperator::Equal => "==",
            BinaryOperator::NotEqual => "!=",
            BinaryOperator::Less => "<",
            BinaryOperator::LessOrEqual => "<=",
            BinaryOperator::Greater => ">",
            BinaryOperator::GreaterOrEqual => ">=",
            BinaryOperator::And => "and",
            BinaryOperator::Or => "or",
        }
    }
}

/// An operand by position, or an attribute by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Argument {
    /// The attribute's name.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

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
