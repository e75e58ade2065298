//! Every diagnostic code, with what `qdqc explain CODE` says about it.
//!
//! E01xx syntax, E02xx names and shapes, E03xx quantizers, E04xx checkpoints and data, E05xx engines
//! and emitters. A code keeps its meaning for good.

use crate::diagnostic::Code;

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code, such as `E0101`.
    pub code: Code,
    /// A phrase.
    pub title: &'static str,
    /// A paragraph or more: what happened, why it matters, what to do.
    pub text: &'static str,
}

/// The explanation of a code, however its letter is written.
pub fn find(code: &str) -> Option<&'static Explanation> {
    ALL.iter().find(|explanation| explanation.code.0.eq_ignore_ascii_case(code))
}

/// Declares a constant for each code and lists them all.
macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = concat!($code, ": ", $title)] pub const $name: Code = Code($code);)*

        /// Every code, in order.
        pub const ALL: &[Explanation] = &[$(Explanation { code: $name, title: $title, text: $text }),*];
    };
}

codes! {
    // Syntax

    UNEXPECTED = "E0101", "unexpected text",
    "The text stops making sense at the marked place: the grammar allows something else there. The message \
     lists what would fit.\n\nOnly the first such place of a file is reported, because what follows it cannot \
     be read with any certainty. A missing bracket often shows only where the next declaration begins, so look \
     above the marked place too.";

    UNKNOWN_CHARACTER = "E0102", "a character that begins nothing",
    "No word, number, string or mark of the language contains this character outside of strings and \
     comments.\n\nStrings are written in double quotes, comments begin with `#`, conditions are joined with \
     `and`, `or` and `not`, and statements end without a mark. Invisible characters come from word \
     processors and web pages: delete and retype the line.";

    TOO_LARGE = "E0103", "the file is too large for a spec",
    "A spec describes a model in a few hundred lines. A file of more than 1 MiB, or of more than 100000 words \
     and marks, is refused before it is read, so that a file given by mistake costs neither time nor \
     memory.\n\nWrite repeated layers as `layer: Layer * num_hidden_layers` rather than one by one, and move \
     shared modules to a file of their own that others `use`.";

    TOO_DEEP = "E0104", "nested too deeply",
    "Brackets may be nested 64 deep and an expression may hold 128 steps one inside another, counting every \
     operand of a chain such as `a + b + c`. Real specs need less than ten.\n\nName a part with `let` and use \
     the name.";

    BAD_STRING = "E0105", "a string that is not written right",
    "A string begins and ends with a double quote on the same line. Inside it, a backslash may stand before a \
     double quote, another backslash, `n` (new line) or `t` (tab), and before nothing else.";

    BAD_NUMBER = "E0106", "a number that is not written right",
    "Whole numbers reach from 0 to 9223372036854775807. Numbers with a point or an exponent, such as `0.1` or \
     `1e-12`, reach to about 1.8e308 and have digits on both sides of the point. Units and separators are not \
     part of a number.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_order() {
        let codes: Vec<_> = ALL.iter().map(|explanation| explanation.code.0).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }

    #[test]
    fn every_code_has_a_title_and_a_paragraph() {
        for Explanation { code, title, text } in ALL {
            assert!(code.0.len() == 5 && code.0.starts_with('E'), "{code:?}");
            assert!(!title.is_empty() && !title.ends_with('.'), "{title}");
            assert!(text.len() > 80 && text.ends_with('.'), "{code:?}");
        }
    }

    #[test]
    fn a_code_is_found_in_either_case() {
        assert_eq!(find("e0101").map(|found| found.code), Some(UNEXPECTED));
        assert_eq!(find("E9999"), None);
    }
}
