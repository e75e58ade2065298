//! The rules as a page to read.

use super::{Rule, generic};
use crate::onnx::profile::{self, Profile};
use std::fmt::Write;

/// Every profile with its rules, as Markdown: docs/targets.md.
pub fn manual() -> String {
    let mut page = INTRODUCTION.to_owned();
    for profile in profile::ALL {
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {}: {} |",
            profile.name, profile.summary, profile.opset, profile.opset_reason
        );
    }
    page += &section(
        "Every profile",
        "These follow from the ONNX standard and hold for every target.",
        generic::RULES,
    );
    for profile in profile::ALL.iter().filter(|profile| !profile.own_rules().is_empty()) {
        page += &section(&format!("`{}`", profile.name), &lead(profile), profile.own_rules());
    }
    page
}

/// The rule of a code, as Markdown, however its letter is written; `None` if there is none.
pub fn manual_entry(code: &str) -> Option<(&'static Rule, String)> {
    let rules = generic::RULES.iter().chain(profile::ALL.iter().flat_map(|profile| profile.own_rules()));
    let rule = rules.into_iter().find(|rule| rule.code.eq_ignore_ascii_case(code))?;
    let text = format!(
        "{}: {} ({})\n\n{}\n\nHelp: {}\n\nSource: {}",
        rule.code,
        rule.title,
        rule.effect.words(),
        rule.text,
        rule.help,
        rule.source
    );
    Some((rule, text))
}

const INTRODUCTION: &str = "\
# Targets and their rules

<!-- Written by `INSTA_UPDATE=always cargo test --test lint` from src/onnx/lint; edits here are lost. -->

`qdqc lint model.onnx --profile tensorrt` looks for what a target would reject, or would not run as the
file says; `qdqc export` does so before it writes. A rule that is broken is an error where the target
rejects the model, fails on it, or computes nonsense (\"rejected\"), and a warning otherwise. What a file
does not show, such as a size known at run time or a scale kept in another file, is taken to be right.

| profile | target | opset |
|---|---|---|
";

fn lead(profile: &Profile) -> String {
    format!("What holds beyond the standard for {}.", profile.summary)
}

fn section(title: &str, lead: &str, rules: &[Rule]) -> String {
    let mut text = format!(
        "\n## {title}\n\n{lead}\n\n| rule | broken by | then | why, and what to do | source | check |\n|---|---|---|---|---|---|\n"
    );
    for rule in rules {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} To mend it: {}. | {} | `{}` |",
            rule.code,
            rule.title,
            rule.effect.words(),
            rule.text,
            rule.help,
            rule.source,
            rule.check_name
        );
    }
    text
}
