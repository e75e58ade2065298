//! Every spec under `tests/language/` shows one part of the language.

#![cfg(test)]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/snapshot.rs"]
mod snapshot;

use qdqc::{
    compile::{self, Options},
    graph::print,
    report,
    span::FileId,
    specs::BundledLibrary,
    syntax,
};
use std::{fs, path::Path, process::Command};

/// The graph that a text makes, as text; empty where it has no model.
fn graph(name: &str, text: &str) -> String {
    let (program, problems) = compile::load(name, text, &BundledLibrary);
    assert!(problems.is_empty(), "{}", report::render(&problems, &program.sources, false));
    if program.model().is_none() {
        return String::new();
    }
    let problems = compile::check(&program, &Options::default());
    assert!(problems.is_empty(), "{}", report::render(&problems, &program.sources, false));
    let (graph, _) = compile::compile(&program, &Options::default(), true);
    print::text(&graph.unwrap())
}

/// The one layout of a text.
fn laid_out(text: &str) -> String {
    let tree = syntax::parse(FileId(0), text).unwrap();
    syntax::print(&tree, text)
}

#[test]
fn each_makes_its_graph() {
    for (case, path) in cases::cases("tests/language") {
        let text = fs::read_to_string(&path).unwrap();
        let file = format!("tests/language/{case}.qdq");
        let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
        let output =
            command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["show", &file, "--sites"]).output();
        let sites = String::from_utf8(output.unwrap().stdout).unwrap();
        snapshot::check("language", &case, &format!("{}\n{sites}", graph(&file, &text)));
    }
}

/// The layout is a fixed point, and changes neither the tree nor the graph.
#[test]
fn layout_changes_no_meaning() {
    for folder in ["specs", "tests/language", "tests/specs"] {
        for (case, path) in cases::cases(folder) {
            let text = fs::read_to_string(&path).unwrap();
            let once = laid_out(&text);
            assert_eq!(laid_out(&once), once, "{case}");
            let trees = [&text, &once].map(|text| syntax::parse(FileId(0), text).unwrap());
            assert!(trees[0].says_the_same_as(&trees[1]), "{case}");
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let name = format!("bundled:{}", path.strip_prefix(root).unwrap().display());
            assert_eq!(graph(&name, &once), graph(&name, &text), "{case}");
        }
    }
}

/// What the repository holds is laid out.
#[test]
fn every_spec_has_the_one_layout() {
    for folder in ["specs", "tests/language", "tests/specs"] {
        for (case, path) in cases::cases(folder) {
            let text = fs::read_to_string(&path).unwrap();
            assert_eq!(laid_out(&text), text, "{folder}/{case}: run `qdqc fmt`");
        }
    }
}
