//! `qdqc pack`, and the engines, from outside.

#![cfg(test)]

#[path = "support/command_line.rs"]
mod command_line;

use candle_core::safetensors;
use command_line::command;
use std::{collections::HashMap, fs, path::Path};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");
const TEXT: &str = "the king sees a good dog";
const QUERY: &str = "bert.encoder.layer.0.attention.self.query.weight";

/// The binary's answers for a checkpoint.
fn run(checkpoint: &str, flags: &[&str]) -> String {
    let given = ["run", "sequence-classification", "-c", checkpoint, "--json", TEXT, "no", "a small house"];
    command(&[&given[..], flags].concat()).done().succeeded()
}

/// The tiny checkpoint packed, in a folder of its own.
fn packed() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("packed").to_str().unwrap().to_owned();
    let given = ["pack", "pre-training", "-c", TINY, "-o", "packed"];
    let said = command(&given).within(folder.path()).done().succeeded();
    assert!(said.contains("12 weights in int8"), "{said}");
    (folder, path)
}

#[test]
fn a_packed_checkpoint_gives_the_same_bits() {
    let (_folder, packed) = packed();
    for flags in [&["--engine", "int8"][..], &["--engine", "candle"], &[]] {
        assert_eq!(run(&packed, flags), run(TINY, flags), "{flags:?}");
    }
    let stored = safetensors::load(Path::new(&packed).join("model.safetensors"), &candle_core::Device::Cpu);
    // candle does not know 8-bit integers; that is no matter here.
    assert!(stored.is_err() || !stored.unwrap().contains_key(QUERY));
    let again = format!("{packed}-again");
    command(&["pack", "pre-training", "-c", &packed, "-o", &again]).done().succeeded();
    let file = |folder: &str| fs::read(Path::new(folder).join("model.safetensors")).unwrap();
    assert!(file(&packed) == file(&again), "packing what is packed changes nothing");
    assert!(file(&packed).len() < fs::metadata(format!("{TINY}/model.safetensors")).unwrap().len() as usize);
}

/// Weights that the recipe leaves in float, or gives another range, are unpacked.
#[test]
fn other_recipes_and_ranges_work_too() {
    let (folder, packed) = packed();
    let recipe = folder.path().join("few.qdq");
    let rules = "quantize few {\n    quantizer weight = int8(axis: 0)\n    quantizer activation = int8()\n    \
        attach activation to input of Linear under Intermediate\n    \
        attach weight to weight of Linear under Intermediate\n}\n";
    fs::write(&recipe, rules).unwrap();
    let few = |engine| run(&packed, &["--engine", engine, "--recipe", recipe.to_str().unwrap()]);
    near(&few("int8"), &few("candle"));
    assert_ne!(few("int8"), run(&packed, &[]));
    let floats = run(&packed, &["--float"]);
    assert_ne!(floats, run(TINY, &["--float"]), "what is packed is rounded");
    let ranges = folder.path().join("ranges.safetensors");
    let amax = candle_core::Tensor::full(0.25_f32, (32, 1), &candle_core::Device::Cpu).unwrap();
    let name = "bert.encoder.layer.0.attention.self.query._weight_quantizer._amax".to_owned();
    safetensors::save(&HashMap::from([(name, amax)]), &ranges).unwrap();
    let ranges = ranges.to_str().unwrap();
    let other = |engine| run(&packed, &["--engine", engine, "--amax", ranges]);
    near(&other("int8"), &other("candle"));
    assert_ne!(other("int8"), run(&packed, &[]));
}

/// Answers whose scores differ by no more than sums in another order.
fn near(left: &str, right: &str) {
    let scores = |answers: &str| -> Vec<f64> {
        let answers = answers.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        answers.map(|answer| answer["labels"]["score"].as_f64().unwrap()).collect()
    };
    let (left, right) = (scores(left), scores(right));
    assert_eq!((left.len(), right.len()), (3, 3));
    assert!(left.iter().zip(&right).all(|(left, right)| (left - right).abs() < 1e-5), "{left:?} {right:?}");
}

#[test]
fn a_damaged_part_is_named() {
    let (_folder, packed) = packed();
    let path = Path::new(&packed).join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let text = String::from_utf8_lossy(&whole).into_owned();
    assert!(text.contains("query.weight.int8_scales"));
    // A name of the same length, so that the file stays one.
    let damaged = replaced(
        &whole,
        b"layer.0.attention.self.query.weight.int8_scales",
        b"layer.0.attention.self.query.weight.int8_scalez",
    );
    fs::write(&path, damaged).unwrap();
    for engine in ["int8", "candle"] {
        let done = command(&["run", "base-model", "-c", &packed, "--engine", engine, "a"]).done();
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        assert!(done.stderr.contains("its part `.int8_scales` is missing"), "{}", done.stderr);
        assert!(done.stderr.contains("qdqc pack"), "{}", done.stderr);
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[test]
fn packing_says_what_is_wrong() {
    let (_folder, packed) = packed();
    let given = |more: &[&str]| command(&[&["pack", "pre-training", "-c", TINY], more].concat()).done();
    let stderr = given(&["-o", &packed]).failed(2);
    assert!(stderr.contains("holds a checkpoint already") && stderr.contains("--force"), "{stderr}");
    given(&["-o", &packed, "--force"]).succeeded();
    assert!(given(&["-o", TINY]).failed(2).contains("is the checkpoint itself"));
    let float =
        command(&["pack", "tests/language/ports.qdq", "-c", TINY, "-o", &format!("{packed}2")]).done();
    assert_ne!(float.code, Some(0));
}

#[test]
fn the_engine_is_chosen_and_told() {
    let told = |flags: &[&str]| {
        let done = command(&[&["run", "base-model", "-c", TINY, "a"], flags].concat()).done();
        (done.code, done.stderr)
    };
    for flags in [&[][..], &["--engine", "auto"], &["--engine", "int8"]] {
        let (code, stderr) = told(flags);
        assert!(code == Some(0) && stderr.contains("16 of 16 products run in int8"), "{stderr}");
    }
    for flags in [&["--engine", "candle"][..], &["--float"], &["--dtype", "f16"]] {
        let (code, stderr) = told(flags);
        assert!(code == Some(0) && !stderr.contains("int8"), "{flags:?} {stderr}");
    }
    let (code, stderr) = told(&["--engine", "int8", "--dtype", "f16"]);
    assert!(code == Some(2) && stderr.contains("computes on a CPU, in f32"), "{stderr}");
    assert_eq!(told(&["--engine", "int8", "--float"]).0, Some(2));
}

#[test]
fn a_model_is_timed() {
    let given =
        ["bench", "sequence-classification", "-c", TINY, "--seconds", "0.01", "--shapes", "2x9,1x128"];
    let text = command(&given).done().succeeded();
    assert!(
        text.starts_with("texts x tokens") && text.contains("\n2x9 ") && text.contains("\n1x128 "),
        "{text}"
    );
    let text = command(&[&given[..], &["--profile"]].concat()).done().succeeded();
    assert!(text.contains("GOP/s at most") && text.contains("\nlinear "), "{text}");
    let float = command(&[&given[..], &["--profile", "--float"]].concat()).done();
    assert!(
        float.stderr.contains("engine `int8` alone") && !float.stdout.contains("GOP/s"),
        "{}",
        float.stderr
    );
    let json = command(&[&given[..], &["--json", "--profile"]].concat()).done().succeeded();
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&rows[0]["texts"], &rows[1]["tokens"]), (&2.into(), &128.into()));
    let shares = rows[0]["profile"].as_array().unwrap().iter().map(|share| share["share"].as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);
    let long = command(&["bench", "base-model", "-c", TINY, "--shapes", "1x999"]).done();
    assert!(long.code == Some(1) && long.stderr.contains("999 tokens"), "{}", long.stderr);
    for wrong in ["8", "0x4", "axb", "1x-2"] {
        let stderr = command(&["bench", "base-model", "-c", TINY, "--shapes", wrong]).done().failed(2);
        assert!(stderr.contains("8x128"), "{stderr}");
    }
}

#[test]
fn the_plan_is_shown() {
    let plan = command(&["show", "base-model", "-c", TINY, "--stage", "plan"]).done().succeeded();
    assert!(plan.starts_with("plan BertModel: 16 of 16 products in int8"), "{plan}");
    let stderr = command(&["show", "base-model", "--stage", "plan"]).done().failed(2);
    assert!(stderr.contains("the ranges of a checkpoint") && stderr.contains("`-c`"), "{stderr}");
    command(&["show", "base-model", "-c", TINY, "--stage", "plan", "--as", "dot"]).done().failed(2);
}

/// A table that is looked up, and multiplied too, stays in float.
#[test]
fn what_is_needed_in_float_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let rules = "quantize every {\n    quantizer weight = int8(amax: 0.5)\n    quantizer activation = int8(amax: 4.0)\n    \
        attach activation to input of Linear\n    attach weight to weight of Linear\n}\n";
    fs::write(folder.path().join("every.qdq"), rules).unwrap();
    let given = ["masked-lm", "-c", TINY, "--recipe", "every.qdq"];
    let said = command(&[&["pack", "-o", "packed"], &given[..]].concat()).within(folder.path()).done();
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let bytes = fs::read(folder.path().join("packed/model.safetensors")).unwrap();
    let header = String::from_utf8_lossy(&bytes[..20_000.min(bytes.len())]).into_owned();
    assert!(header.contains("query.weight.int8_panels"), "{header}");
    assert!(!header.contains("word_embeddings.weight.int8_panels"));
    let done = command(&["run", "masked-lm", "-c", "packed", "--recipe", "every.qdq", "a [MASK] dog"]);
    let done = done.within(folder.path()).done();
    assert!(done.code == Some(0) && !done.stderr.contains("does not read"), "{}", done.stderr);
}
