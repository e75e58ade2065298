//! The demo that the binary carries: it answers with no network and no files, and is as good as its card says.

#![cfg(test)]

#[path = "support/command_line.rs"]
mod command_line;

use command_line::command;
use serde_json::Value;
use std::{fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// In a folder where nothing is.
fn alone(arguments: &[&str]) -> command_line::Done {
    let folder = tempfile::tempdir().unwrap();
    command(arguments).within(folder.path()).done()
}

/// The label of each text.
fn labels(texts: &[&str]) -> Vec<String> {
    let done = alone(&[&["run"], texts].concat());
    assert!(done.stderr.contains("the demo answers"), "{}", done.stderr);
    let answers = done.succeeded();
    answers.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[test]
fn texts_alone_are_answered() {
    let good = ["a gripping, funny film", "I loved every minute of it", "A warm and beautiful story."];
    let bad = ["a dull, pointless mess", "two hours that felt like four", "the worst movie of the year"];
    assert_eq!(labels(&good), ["positive"; 3]);
    assert_eq!(labels(&bad), ["negative"; 3]);
}

#[test]
fn without_arguments_run_explains_itself() {
    let said = alone(&["run"]).failed(2);
    assert!(said.contains("qdqc run \"a gripping, funny film\""), "{said}");
}

/// Whatever takes a checkpoint takes the demo, with its quantizers on.
#[test]
fn its_name_stands_for_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.tsv"), "text\tlabel\na funny film\tpositive\na dull film\tnegative\n")
        .unwrap();
    for line in [
        "run sequence-classification -c demo --input in.tsv",
        "run sequence-classification -c demo --float --text funny",
        "eval sequence-classification -c demo --input in.tsv --compare",
        "show sequence-classification --sites -c demo",
        "export sequence-classification -c demo --profile onnxruntime -o model.onnx",
        "calibrate sequence-classification -c demo --input in.tsv -o calibrated",
        "train sequence-classification -c demo --input in.tsv --steps 1 -o trained",
    ] {
        let words: Vec<&str> = line.split_whitespace().collect();
        command(&words).within(folder.path()).done().succeeded();
    }
}

/// The rows of the card's table: a model, and its accuracy on dev and test.
fn card() -> Vec<(String, [f64; 2])> {
    let card = fs::read_to_string(Path::new(ROOT).join("specs/demo/README.md")).unwrap();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows = card.lines().filter(|line| line.starts_with('|')).map(cells).skip(2);
    rows.map(|row: Vec<String>| (row[0].clone(), [1, 2].map(|at| row[at].parse().unwrap()))).collect()
}

#[test]
fn it_is_good_enough_to_show() {
    let rows = card();
    assert_eq!(rows.len(), 3);
    let (_, [dev, test]) = &rows[2];
    assert!(*dev >= 85.0 && *test >= 80.0, "{rows:?}");
}

#[test]
fn it_is_as_good_as_its_card_says() {
    let data = Path::new(ROOT).join("../shared/data/sst-2");
    if !data.is_dir() {
        eprintln!("SKIPPED: the sentences of SST-2 are not there");
        return;
    }
    if cfg!(debug_assertions) {
        eprintln!("SKIPPED: it takes a minute without optimization: run `cargo test --release --test demo`");
        return;
    }
    let rows = card();
    let (_, expected) = &rows[2];
    for (split, expected) in ["dev", "test"].iter().zip(expected) {
        let file = data.join(format!("{split}.tsv"));
        let line =
            ["eval", "sequence-classification", "-c", "demo", "--json", "--input", file.to_str().unwrap()];
        let found: Value = serde_json::from_str(&alone(&line).succeeded()).unwrap();
        let accuracy = found["metrics"][0]["quantized"].as_f64().unwrap();
        assert!((accuracy - expected).abs() < 0.005, "{split}: {accuracy}, but the card says {expected}");
    }
}
