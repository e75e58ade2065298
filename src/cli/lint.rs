//! `qdqc lint`: what a target would reject of an ONNX file, or not run as it says.

use super::{Stop, args, output};
use crate::{
    failure::Failure,
    onnx::{
        lint::{self, Finding, Level, Summary},
        read,
    },
};
use serde_json::json;
use std::{fs, io, path::Path, process::ExitCode};

/// Prints what the rules of a profile find; the exit code is 1 where the target would reject the
/// model.
pub fn lint(arguments: &args::Lint) -> Result<ExitCode, Stop> {
    let name = arguments.model.display().to_string();
    let model = read::read(&bytes(&arguments.model)?, &name)?;
    let findings = lint::lint(&model, arguments.profile);
    let summary = lint::summary(&model, &findings);
    let count = |level| findings.iter().filter(|finding| finding.level() == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    if arguments.json {
        output::print_json(&json!({
            "model": name,
            "profile": arguments.profile.name,
            "errors": errors,
            "warnings": warnings,
            "summary": summary,
            "findings": findings.iter().map(document).collect::<Vec<_>>(),
        }))?;
    } else {
        let shown = if arguments.all { usize::MAX } else { SHOWN };
        let verdict = format!(
            "{} and {} for `{}`",
            counted(errors, "error"),
            counted(warnings, "warning"),
            arguments.profile.name
        );
        output::print(&format!(
            "{}{name}: {verdict}: {}\n",
            paragraphs(&findings, shown),
            quantized(&summary)
        ))?;
    }
    Ok(ExitCode::from(u8::from(errors > 0)))
}

/// Places of one rule that are shown unless all are asked for.
const SHOWN: usize = 3;

/// The most bytes of an ONNX file: what its format can hold.
const LARGEST: u64 = 1 << 31;

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let shown = path.display();
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Failure::input(format!("there is no file {shown}")),
        _ => Failure::outside(format!("{shown} cannot be read: {error}")),
    };
    // Asked before opening, which waits forever on a pipe.
    let found = fs::metadata(path).map_err(failed)?;
    if found.is_dir() {
        return Err(Failure::input(format!("{shown} is a folder, not an ONNX file"))
            .help("name the .onnx file in it"));
    }
    if !found.is_file() {
        return Err(Failure::input(format!("{shown} is not a file")));
    }
    if found.len() > LARGEST {
        return Err(Failure::input(format!("{shown} is larger than the 2 GiB that an ONNX file can have")));
    }
    fs::read(path).map_err(failed)
}

fn document(finding: &Finding) -> serde_json::Value {
    json!({
        "rule": finding.rule.code,
        "level": finding.level(),
        "effect": finding.rule.effect,
        "title": finding.rule.title,
        "node": finding.node,
        "message": finding.message,
        "help": finding.help(),
    })
}

/// A paragraph for each rule that is broken, with its first places. Findings of a rule stand together.
fn paragraphs(findings: &[Finding], shown: usize) -> String {
    let mut text = String::new();
    for group in findings.chunk_by(|one, other| one.rule.code == other.rule.code) {
        let Some(first) = group.first() else { continue };
        let rule = first.rule;
        text += &format!("{}[{}]: {} ({})\n", first.level(), rule.code, rule.title, rule.effect.words());
        for finding in group.iter().take(shown) {
            text += &format!("  {}: {}\n", finding.node, finding.message);
        }
        if group.len() > shown {
            text += &format!("  and {} more (`--all` shows them)\n", group.len() - shown);
        }
        text += &format!("  help: {}\n\n", rule.help);
    }
    text
}

/// `96 quantizers, 36 of 37 matrix products in integers, opset 17`
fn quantized(summary: &Summary) -> String {
    let Summary { opset, quantizers, products, integer_products, functions } = *summary;
    let mut parts = vec![counted(quantizers, "quantizer")];
    if products > 0 {
        parts.push(format!("{integer_products} of {} in integers", counted(products, "matrix product")));
    }
    parts.push(format!("opset {opset}"));
    if functions > 0 {
        parts.push(format!("{} of the model's own not looked into", counted(functions, "function")));
    }
    parts.join(", ")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
