//! Attribute values: what stands after the operands of a call.

use super::Schema;
use crate::types::{DType, Dim};
use std::{collections::BTreeMap, fmt};

/// The value of one attribute, as the compiler worked it out.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A size; whole numbers too.
    Dim(Dim),
    /// A number with a fraction.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// Text.
    Str(String),
    /// Values in order.
    List(Vec<Attribute>),
    /// An element type.
    DType(DType),
    /// `none`.
    None,
}

impl fmt::Display for Attribute {
    /// As specs write it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Attribute::Dim(dim) => dim.fmt(f),
            Attribute::Float(value) => write!(f, "{value:?}"),
            Attribute::Bool(value) => value.fmt(f),
            Attribute::Str(text) => write!(f, "{text:?}"),
            Attribute::List(values) => {
                let values: Vec<_> = values.iter().map(Attribute::to_string).collect();
                write!(f, "[{}]", values.join(", "))
            }
            Attribute::DType(dtype) => dtype.fmt(f),
            Attribute::None => f.write_str("none"),
        }
    }
}

/// A whole number, a size or a fraction: what a bound can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Number {
    /// A size; whole numbers too.
    Dim(Dim),
    /// A number with a fraction.
    Float(f64),
}

/// What an attribute of an operator can be declared as.
pub trait AttributeType: Sized + Into<Attribute> {
    /// What to call it: `a whole number`.
    const EXPECTED: &'static str;

    /// The attribute as this type; `None` if it is of another.
    fn read(attribute: &Attribute) -> Option<Self>;

    /// The value where none is given and the operator names no default.
    fn absent() -> Option<Self> {
        None
    }
}

/// Declares how one Rust type and [`Attribute`] turn into one another.
macro_rules! attribute_type {
    ($ty:ty, $expected:literal, |$value:ident| $into:expr, $($pattern:pat => $read:expr),+) => {
        impl From<$ty> for Attribute {
            fn from($value: $ty) -> Attribute {
                $into
            }
        }

        impl AttributeType for $ty {
            const EXPECTED: &'static str = $expected;

            fn read(attribute: &Attribute) -> Option<Self> {
                match attribute {
                    $($pattern => $read,)+
                    _ => None,
                }
            }
        }
    };
}

attribute_type!(Dim, "a size", |dim| Attribute::Dim(dim), Attribute::Dim(dim) => Some(dim.clone()));
attribute_type!(i64, "a whole number", |value| Attribute::Dim(Dim::known(value)),
    Attribute::Dim(dim) => dim.as_known());
attribute_type!(f64, "a number", |value| Attribute::Float(value),
    Attribute::Float(value) => Some(*value),
    Attribute::Dim(dim) => dim.as_known().map(|value| value as f64));
attribute_type!(bool, "true or false", |value| Attribute::Bool(value), Attribute::Bool(value) => Some(*value));
attribute_type!(String, "text", |text| Attribute::Str(text), Attribute::Str(text) => Some(text.clone()));
attribute_type!(DType, "an element type", |dtype| Attribute::DType(dtype),
    Attribute::DType(dtype) => Some(*dtype));
attribute_type!(Number, "a number or a size",
    |number| match number {
        Number::Dim(dim) => Attribute::Dim(dim),
        Number::Float(value) => Attribute::Float(value),
    },
    Attribute::Dim(dim) => Some(Number::Dim(dim.clone())),
    Attribute::Float(value) => Some(Number::Float(*value)));
attribute_type!(Vec<i64>, "a list of whole numbers", |list| Attribute::from_list(list),
    Attribute::List(list) => list.iter().map(i64::read).collect());
attribute_type!(Vec<Dim>, "a list of sizes", |list| Attribute::from_list(list),
    Attribute::List(list) => list.iter().map(Dim::read).collect());

impl Attribute {
    fn from_list<T: Into<Attribute>>(list: Vec<T>) -> Attribute {
        Attribute::List(list.into_iter().map(Into::into).collect())
    }

    /// What it is and what it says, for messages: `the text "nv"`.
    fn describe(&self) -> String {
        match self {
            Attribute::Dim(dim) if dim.as_known().is_some() => format!("the whole number {dim}"),
            Attribute::Dim(dim) => format!("the size `{dim}`"),
            Attribute::Float(_) => format!("the number {self}"),
            Attribute::Bool(_) | Attribute::None => self.to_string(),
            Attribute::Str(_) => format!("the text {self}"),
            Attribute::List(_) => format!("the list {self}"),
            Attribute::DType(_) => format!("the element type {self}"),
        }
    }
}

impl<T: Into<Attribute>> From<Option<T>> for Attribute {
    fn from(value: Option<T>) -> Attribute {
        value.map_or(Attribute::None, Into::into)
    }
}

impl<T: AttributeType> AttributeType for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(attribute: &Attribute) -> Option<Self> {
        match attribute {
            Attribute::None => Some(None),
            given => T::read(given).map(Some),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// Why attributes do not fit an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeError {
    /// The operator has no such attribute.
    Unknown {
        /// The name given.
        name: String,
    },
    /// An attribute without a default is not given.
    Missing {
        /// The attribute.
        name: String,
    },
    /// An attribute is of another type.
    Wrong {
        /// The attribute.
        name: String,
        /// What it must be: `a whole number`.
        expected: &'static str,
        /// What it is: `the text "nv"`.
        given: String,
    },
}

impl fmt::Display for AttributeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttributeError::Unknown { name } => write!(f, "there is no attribute `{name}`"),
            AttributeError::Missing { name } => write!(f, "the attribute `{name}` is missing"),
            AttributeError::Wrong { name, expected, given } => {
                write!(f, "the attribute `{name}` must be {expected}, but is {given}")
            }
        }
    }
}

impl std::error::Error for AttributeError {}

/// The attributes of one call.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    given: BTreeMap<String, Attribute>,
}

impl Attributes {
    /// The attributes by name; of two with one name the later counts.
    pub fn new(given: Vec<(String, Attribute)>) -> Attributes {
        Attributes { given: given.into_iter().collect() }
    }

    /// The attribute called `name`, or else its default.
    pub fn take<T: AttributeType>(
        &self,
        name: &'static str,
        default: Option<T>,
    ) -> Result<T, AttributeError> {
        let missing = || AttributeError::Missing { name: name.to_owned() };
        match self.given.get(name) {
            None => default.or_else(T::absent).ok_or_else(missing),
            Some(given) => T::read(given).ok_or_else(|| AttributeError::Wrong {
                name: name.to_owned(),
                expected: T::EXPECTED,
                given: given.describe(),
            }),
        }
    }

    /// Refuses attributes that the operator does not have.
    pub fn finish(&self, schema: &Schema) -> Result<(), AttributeError> {
        let stray = self.given.keys().find(|name| !schema.attributes.iter().any(|known| known.name == *name));
        stray.map_or(Ok(()), |name| Err(AttributeError::Unknown { name: name.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{Op, Softmax};

    fn softmax(given: &[(&str, Attribute)]) -> Result<Op, AttributeError> {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Op::build("softmax", Attributes::new(given)).unwrap()
    }

    #[test]
    fn attributes_are_read_or_refused() {
        assert_eq!(softmax(&[]), Ok(Op::Softmax(Softmax { axis: -1 })));
        assert_eq!(softmax(&[("axis", 1.into())]), Ok(Op::Softmax(Softmax { axis: 1 })));
        assert_eq!(softmax(&[("axes", 1.into())]), Err(AttributeError::Unknown { name: "axes".to_owned() }));
        let wrong = softmax(&[("axis", "last".to_owned().into())]).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "the attribute `axis` must be a whole number, but is the text \"last\""
        );
        let missing = Op::build("gather_nothing", Attributes::default());
        assert!(missing.is_none());
        assert_eq!(
            Op::build("dropout", Attributes::default()).unwrap(),
            Err(AttributeError::Missing { name: "p".to_owned() })
        );
    }

    #[test]
    fn whole_numbers_serve_as_floats_and_sizes_do_not() {
        assert_eq!(f64::read(&1.into()), Some(1.0));
        assert_eq!(i64::read(&1.5.into()), None);
        assert_eq!(f64::read(&Dim::symbol("seq").into()), None);
        assert_eq!(Vec::<i64>::read(&vec![1, 2].into()), Some(vec![1, 2]));
        assert_eq!(Vec::<i64>::read(&vec![Dim::symbol("seq")].into()), None);
        assert_eq!(Option::<i64>::read(&Attribute::None), Some(None));
    }
}
