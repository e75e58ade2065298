//! The manual tells the truth: the blocks of docs/language.md compile, and the
//! operators' pages are what the operators say of themselves.

#![cfg(test)]

#[path = "support/snapshot.rs"]
mod snapshot;

use qdqc::{
    compile::{self, Options},
    ops, report, specs,
};
use std::{fs, path::Path};

#[test]
fn every_block_of_the_language_page_is_a_good_spec() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/language.md");
    let text = fs::read_to_string(path).unwrap();
    let blocks: Vec<&str> =
        text.split("```qdq\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert!(blocks.len() >= 4, "{} blocks", blocks.len());
    for (index, block) in blocks.iter().enumerate() {
        let name = format!("block {}", index + 1);
        let (program, mut problems) = compile::load(&name, block, &specs::BundledLibrary);
        problems.extend(compile::check(&program, &Options::default()));
        let report = report::render(&problems, &program.sources, false);
        assert!(problems.is_empty(), "{name} of docs/language.md:\n{report}");
    }
}

#[test]
fn the_operators_page_is_up_to_date() {
    snapshot::check("manual", "operators", &ops::manual());
}
