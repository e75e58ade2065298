//! The operators, one file each.
//!
//! An operator is one record: its documentation, operands and attributes
//! (`operator!`), the type of its result (`infer`), its meaning on candle tensors
//! (`eval`), the gradients of its operands (`gradients`) and its form in ONNX
//! (`onnx`). The compiler lists what is missing.
//! Names, ports of `attach` rules, attribute checks, dumps and the manual derive
//! from it.

mod attribute;
mod broadcast;
pub mod form;
mod gradient;
pub(crate) mod kernels;
mod manual;
mod operands;
#[cfg(test)]
pub(crate) mod tests;

pub use attribute::{Attribute, AttributeError, AttributeType, Attributes, Number};
pub(crate) use broadcast::reduce_to;
pub use gradient::Backward;
pub use manual::{manual, manual_entry};
pub use operands::{candle_dtype, spec_dtype};

use crate::types::{Bindings, TensorType};
use candle_core::Tensor;
use form::{Form, Value};

/// What an operator is called and takes.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// The name in specs.
    pub name: &'static str,
    /// Its infix mark, if it has one.
    pub symbol: Option<&'static str>,
    /// Its doc comment, a line each.
    pub docs: &'static [&'static str],
    /// Its operands: the ports of `attach` rules.
    pub operands: &'static [&'static str],
    /// Its attributes, in order.
    pub attributes: &'static [AttributeSchema],
}

/// What an attribute is called and may be.
#[derive(Clone, Copy, Debug)]
pub struct AttributeSchema {
    /// The name in specs.
    pub name: &'static str,
    /// What it must be: `a whole number`.
    pub expected: &'static str,
    /// The value where none is given; `None` where one must be given.
    pub default: Option<fn() -> Attribute>,
    /// Its doc comment, a line each.
    pub docs: &'static [&'static str],
}

/// Why operands do not fit an operator. Messages name operands by their port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// One sentence: `` `lhs` has 768 columns, but `rhs` has 512 rows ``.
    pub message: String,
    /// What to do, if that is known.
    pub help: Option<String>,
}

impl Mismatch {
    /// A mismatch without a mend.
    pub fn new(message: impl Into<String>) -> Mismatch {
        Mismatch { message: message.into(), help: None }
    }

    /// The same with an instruction.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Mismatch {
        self.help = Some(help.into());
        self
    }
}

/// What every operator must say of itself.
pub trait Operator {
    /// The type of the result. `operands` has as many entries as the schema.
    fn infer(&self, operands: &[TensorType]) -> Result<TensorType, Mismatch>;

    /// The result. `operands` have the types that `infer` accepted, under `dims`.
    fn eval(&self, operands: &[Tensor], dims: &Bindings) -> candle_core::Result<Tensor>;

    /// The gradients of the operands, one for each: of its shape and element type, or `None`
    /// where it is not wanted or the result does not depend on it. Without a rule of the
    /// operator's own, those of `eval`.
    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        gradient::by_candle(|operands| self.eval(operands, backward.dims), backward)
    }

    /// The result as ONNX nodes, which the form keeps. `Err` where the form's
    /// dialect has no way to say it.
    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch>;
}

/// Declares one operator: its struct, its schema, and how it reads its attributes.
macro_rules! operator {
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
    (
        $(#[doc = $doc:literal])*
        $op:ident = $name:literal $(symbol $symbol:literal)? ($($operand:ident),*)
        { $($(#[doc = $attr_doc:literal])* $attr:ident: $ty:ty $(= $default:expr)?),* $(,)? }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $op { $($(#[doc = $attr_doc])* pub $attr: $ty),* }

        impl $op {
            /// What the operator is called and takes.
            pub const SCHEMA: $crate::ops::Schema = $crate::ops::Schema {
                name: $name,
                symbol: $crate::ops::first(&[$($symbol)?]),
                docs: &[$($doc),*],
                operands: &[$(stringify!($operand)),*],
                attributes: &[$($crate::ops::AttributeSchema {
                    name: stringify!($attr),
                    expected: <$ty as $crate::ops::AttributeType>::EXPECTED,
                    default: $crate::ops::first(&[$(|| $crate::ops::Attribute::from({
                        let default: $ty = $default;
                        default
                    }))?]),
                    docs: &[$($attr_doc),*],
                }),*],
            };

            /// The operator with these attributes.
            pub fn from_attributes(given: $crate::ops::Attributes) -> Result<Self, $crate::ops::AttributeError> {
                given.finish(&Self::SCHEMA)?;
                Ok(Self { $($attr: given.take(stringify!($attr), operator!(@default $($default)?))?),* })
            }

            /// The attributes, in the schema's order.
            pub fn attributes(&self) -> Vec<(&'static str, $crate::ops::Attribute)> {
                vec![$((stringify!($attr), self.$attr.clone().into())),*]
            }
        }
    };
}

/// The first of none or one.
const fn first<T: Copy>(list: &[T]) -> Option<T> {
    match list {
        [first, ..] => Some(*first),
        [] => None,
    }
}

/// Gathers the operators into one enum and forwards to each.
macro_rules! operators {
    ($($module:ident::$op:ident),* $(,)?) => {
        $(mod $module; pub use $module::$op;)*

        /// One operator with its attributes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $(
            #[doc = concat!("See [`", stringify!($op), "`].")]
            $op($op)
        ),* }

        impl Op {
            /// Every operator's schema, in the manual's order.
            pub const ALL: &'static [Schema] = &[$($op::SCHEMA),*];

            /// The operator called `name` with these attributes; `None` if there is none.
            pub fn build(name: &str, attributes: Attributes) -> Option<Result<Op, AttributeError>> {
                $(if name == $op::SCHEMA.name {
                    return Some($op::from_attributes(attributes).map(Op::$op));
                })*
                None
            }

            /// What the operator is called and takes.
            pub fn schema(&self) -> &'static Schema {
                match self { $(Op::$op(_) => const { &$op::SCHEMA }),* }
            }

            /// Its type rule and its meaning.
            pub fn semantics(&self) -> &dyn Operator {
                match self { $(Op::$op(op) => op),* }
            }

            /// Its attributes, in the schema's order.
            pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
                match self { $(Op::$op(op) => op.attributes()),* }
            }
        }
    };
}

operators! {
    add::Add,
    subtract::Subtract,
    multiply::Multiply,
    divide::Divide,
    negate::Negate,
    matmul::Matmul,
    transpose::Transpose,
    reshape::Reshape,
    concat::Concat,
    slice::Slice,
    select::Select,
    gather::Gather,
    cast::Cast,
    range::Range,
    full::Full,
    greater_or_equal::GreaterOrEqual,
    softmax::Softmax,
    layer_norm::LayerNorm,
    gelu::Gelu,
    relu::Relu,
    tanh::Tanh,
    sigmoid::Sigmoid,
    erf::Erf,
    exp::Exp,
    log::Log,
    sqrt::Sqrt,
    clamp::Clamp,
    sum::Sum,
    mean::Mean,
    dropout::Dropout,
    cross_entropy::CrossEntropy,
    fake_quantize::FakeQuantize,
}

impl Op {
    /// The operator that `mark` stands for between two values.
    pub fn for_symbol(mark: &str) -> Option<&'static Schema> {
        Op::ALL.iter().find(|schema| schema.symbol == Some(mark))
    }
}
