//! The operators as a page to read.

use super::{AttributeSchema, Op, Schema};
use std::fmt::Write;

/// Every operator, as Markdown.
pub fn manual() -> String {
    let entries: Vec<_> = Op::ALL.iter().map(entry).collect();
    format!("# Operators\n\n{}", entries.join("\n"))
}

/// The operator called `name`, as Markdown; `None` if there is none.
pub fn manual_entry(name: &str) -> Option<String> {
    Op::ALL.iter().find(|schema| schema.name == name).map(entry)
}

fn entry(schema: &Schema) -> String {
    let mut text = format!("## {}\n\n    {}", schema.name, call(schema));
    if let Some((symbol, [lhs, rhs])) = schema.symbol.zip(<&[&str; 2]>::try_from(schema.operands).ok()) {
        text += &format!("\n    {lhs} {symbol} {rhs}");
    }
    text += &format!("\n\n{}\n", paragraph(schema.docs));
    for attribute in schema.attributes {
        // Writing to a string does not fail.
        let _ = write!(text, "\n- `{}`: {}", attribute.name, attribute.expected);
        if let Some(default) = default(attribute) {
            let _ = write!(text, ", `{default}` if not given");
        }
        if !attribute.docs.is_empty() {
            let _ = write!(text, ". {}", paragraph(attribute.docs).replace('\n', "\n  "));
        }
    }
    if !schema.attributes.is_empty() {
        text += "\n";
    }
    text
}

/// `softmax(x, axis: -1)`; attributes that must be given stand without a value.
fn call(schema: &Schema) -> String {
    let operands = schema.operands.iter().map(|name| (*name).to_owned());
    let attributes = schema.attributes.iter().map(|attribute| match default(attribute) {
        Some(default) => format!("{}: {default}", attribute.name),
        None => format!("{}: ...", attribute.name),
    });
    format!("{}({})", schema.name, operands.chain(attributes).collect::<Vec<_>>().join(", "))
}

fn default(attribute: &AttributeSchema) -> Option<String> {
    attribute.default.map(|default| default().to_string())
}

fn paragraph(docs: &[&str]) -> String {
    docs.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_and_attribute_is_described() {
        for schema in Op::ALL {
            assert!(!schema.docs.is_empty(), "`{}` has no text", schema.name);
            for attribute in schema.attributes {
                assert!(!attribute.docs.is_empty(), "`{}` of `{}` has no text", attribute.name, schema.name);
            }
        }
    }

    #[test]
    fn an_entry_shows_the_call_the_text_and_the_attributes() {
        assert_eq!(
            manual_entry("softmax").unwrap(),
            "## softmax\n\n    softmax(x, axis: -1)\n\n\
             Rescales `x` along an axis to positive numbers that sum to one.\n\n\
             - `axis`: a whole number, `-1` if not given. The axis; negative ones count from the end.\n"
        );
        assert!(manual().contains("    matmul(lhs, rhs)\n    lhs @ rhs\n"));
        assert_eq!(manual_entry("sofmax"), None);
    }
}
