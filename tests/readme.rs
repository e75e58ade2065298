//! README.md tells the truth: its commands parse, as those of docs/results.md do, its files exist, its
//! table of specs is complete.

#![cfg(test)]

use clap::Parser;
use qdqc::{
    cli::args::Arguments,
    compile::{self, Options},
    specs,
};
use std::{fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Pages with commands to copy.
const PAGES: [&str; 2] = ["README.md", "docs/results.md"];

fn read(page: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(page)).unwrap()
}

fn readme() -> String {
    read("README.md")
}

/// The lines of code blocks that call qdqc, as words after its name.
fn commands(text: &str) -> Vec<Vec<String>> {
    let blocks = text.split("```").skip(1).step_by(2);
    let lines =
        blocks.flat_map(|block| block.lines().skip(1)).map(|line| line.trim_start_matches("$ ").trim());
    let calls = lines.filter_map(|line| {
        let call = line.strip_prefix("cargo run --release -- ").or_else(|| line.strip_prefix("qdqc "))?;
        Some(words(call))
    });
    calls.collect()
}

/// Splits as a shell does, as far as pages need: quotes of both kinds, no escapes, up to a `|`, `>` or `#`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in line.chars() {
        match quote {
            Some(open) if letter == open => quote = None,
            Some(_) => word.get_or_insert_default().push(letter),
            None if letter == '"' || letter == '\'' => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            None if letter.is_whitespace() => words.extend(word.take()),
            None if word.is_none() && "|>#".contains(letter) => return words,
            None => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

#[test]
fn every_command_parses() {
    for page in PAGES {
        let commands = commands(&read(page));
        assert!(commands.len() >= 5, "{page}: {commands:?}");
        for words in commands {
            let line = words.join(" ");
            let arguments = std::iter::once("qdqc".to_owned()).chain(words);
            if let Err(message) = Arguments::try_parse_from(arguments) {
                panic!("`qdqc {line}` in {page}:\n{message}");
            }
        }
    }
}

#[test]
fn every_file_exists() {
    let text = readme();
    let linked = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let quoted = text.split('`').skip(1).step_by(2).filter(|code| code.contains('/') && !code.contains(' '));
    let named: Vec<&str> = linked.chain(quoted).filter(|name| !name.contains("://")).collect();
    assert!(named.len() >= 3, "{named:?}");
    for name in named {
        let path = name.split('#').next().unwrap_or_default();
        assert!(Path::new(ROOT).join(path).exists(), "README.md names `{name}`, which is not there");
    }
}

/// The `quantize` block compiles in place of the recipe that it stands for.
#[test]
fn the_rules_compile() {
    let text = readme();
    let rules = text.split("```").map(str::trim_start).find(|block| block.starts_with("quantize")).unwrap();
    let use_recipe = "use \"recipes/qdqbert.qdq\"";
    assert!(text.contains(use_recipe));
    let spec = specs::find("question-answering").unwrap();
    assert!(spec.text.contains(use_recipe));
    let edited = spec.text.replace(use_recipe, "") + rules;
    let (program, problems) = compile::load(&spec.source_name(), &edited, &specs::BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    let (graph, problems) = compile::compile(&program, &Options::default(), true);
    assert!(problems.is_empty(), "{problems:?}");
    assert!(!graph.unwrap().quantizers.is_empty());
}

#[test]
fn the_table_of_specs_is_complete() {
    let text = readme();
    for spec in specs::ALL.iter().filter(|spec| spec.is_model()) {
        let row = format!("| `{}` |", spec.name);
        assert!(text.contains(&row), "README.md has no row `{row}`");
    }
}
