//! A syntax tree written down: as text, RON or DOT.

use super::args::Form;
use crate::{
    failure::Failure,
    syntax::{self, ast::SpecFile},
};
use serde_json::Value;
use std::fmt::Write;

/// The tree of a file in this form.
pub fn written(tree: &SpecFile, text: &str, form: Form) -> Result<String, Failure> {
    let refused =
        |error: &dyn std::fmt::Display| Failure::outside(format!("the tree cannot be written: {error}"));
    match form {
        Form::Text => Ok(syntax::print(tree, text)),
        Form::Ron => {
            let layout = ron::ser::PrettyConfig::new().compact_arrays(true);
            ron::ser::to_string_pretty(tree, layout).map(|text| text + "\n").map_err(|error| refused(&error))
        }
        Form::Dot => serde_json::to_value(tree).map(|tree| dot(&tree)).map_err(|error| refused(&error)),
    }
}

/// The tree as DOT: a box for every part, its words inside it.
fn dot(tree: &Value) -> String {
    let mut drawing =
        Drawing { text: "digraph syntax {\n  node [shape=box, fontsize=10];\n".into(), boxes: 0 };
    drawing.part("spec", tree, None);
    drawing.text + "}\n"
}

struct Drawing {
    text: String,
    boxes: usize,
}

impl Drawing {
    /// Draws a part below another. Absent and empty parts are left out.
    fn part(&mut self, name: &str, value: &Value, above: Option<usize>) {
        let words = match value {
            Value::Null => return,
            Value::Array(parts) if parts.is_empty() => return,
            Value::Array(parts) => return parts.iter().for_each(|part| self.part(name, part, above)),
            // One key alone is the kind of the part.
            Value::Object(fields) if fields.len() == 1 => {
                for (kind, value) in fields {
                    let name = format!("{name}: {kind}");
                    if !value.is_array() {
                        return self.part(&name, value, above);
                    }
                    let own = self.draw(&name, above);
                    self.part(kind, value, Some(own));
                }
                return;
            }
            Value::Object(fields) => {
                let own = self.draw(name, above);
                return fields.iter().for_each(|(name, value)| self.part(name, value, Some(own)));
            }
            Value::String(text) => format!("{name}: {text}"),
            other => format!("{name}: {other}"),
        };
        self.draw(&words, above);
    }

    fn draw(&mut self, words: &str, above: Option<usize>) -> usize {
        let own = self.boxes;
        self.boxes += 1;
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "  n{own} [label=\"{}\"];", words.escape_default());
        if let Some(above) = above {
            let _ = writeln!(self.text, "  n{above} -> n{own};");
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_boxes_below_each_other() {
        let tree = serde_json::json!({ "items": [{ "kind": { "Use": "a\"b" } }] });
        let drawn = dot(&tree);
        assert!(drawn.contains("n1 [label=\"items: kind: Use: a\\\"b\"]"), "{drawn}");
        assert!(drawn.contains("n0 -> n1;\n"), "{drawn}");
    }
}
