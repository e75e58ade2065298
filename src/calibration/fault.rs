//! Why there is no range, and why two statistics do not merge.

use std::fmt;

/// Why what was seen gives no range.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// No values came.
    NothingSeen,
    /// Some values are not a number.
    NotANumber {
        /// How many.
        count: u64,
    },
    /// Some values are infinite.
    Infinite {
        /// How many.
        count: u64,
    },
    /// It was counted with another number of ranges than it has.
    Channels {
        /// Those that were counted.
        counted: usize,
        /// Those that it has.
        wanted: usize,
    },
    /// Every value is zero.
    OnlyZeros,
    /// Some values are negative, and the quantizer is unsigned.
    Negative {
        /// How many.
        count: u64,
        /// The most negative one.
        least: f32,
    },
    /// The method is not defined for this storage.
    Undefined {
        /// The method, as specs name it.
        method: &'static str,
    },
    /// The method gives what is no range.
    NoMagnitude {
        /// A number that is not finite, or negative.
        range: f32,
    },
    /// A histogram of pytorch-quantization where that library fails.
    Parity(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::NothingSeen => f.write_str("it saw no values"),
            Fault::NotANumber { count } => write!(f, "it saw NaN {count} times"),
            Fault::Infinite { count } => write!(f, "it saw infinite values {count} times"),
            Fault::Channels { counted, wanted } => {
                write!(f, "what it saw was counted for {counted} channels, and it has {wanted}")
            }
            Fault::OnlyZeros => f.write_str("it saw only zeros"),
            Fault::Negative { count, least } => {
                write!(f, "it is unsigned and saw negative values {count} times, the least {least}")
            }
            Fault::Undefined { method } => write!(f, "`{method}` is not defined for its codes"),
            Fault::NoMagnitude { range } => {
                write!(f, "its method gives {range}, and a range is a finite number, not negative")
            }
            Fault::Parity(what) => write!(f, "pytorch-quantization fails on what it saw: {what}"),
        }
    }
}

impl std::error::Error for Fault {}

/// Why two statistics do not merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmergeable {
    /// They have different numbers of channels.
    Channels {
        /// Of the first.
        here: usize,
        /// Of the second.
        there: usize,
    },
    /// A histogram of pytorch-quantization depends on the order of batches.
    Parity,
}

impl fmt::Display for Unmergeable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unmergeable::Channels { here, there } => {
                write!(f, "statistics of {here} and of {there} channels do not merge")
            }
            Unmergeable::Parity => f.write_str(
                "histograms as pytorch-quantization makes them depend on the order of batches and do not merge",
            ),
        }
    }
}

impl std::error::Error for Unmergeable {}
