//! `qdqc lint`: what targets make of ONNX files, and what is said of files that are none.

#![cfg(test)]

#[path = "support/command_line.rs"]
mod command_line;
#[path = "support/snapshot.rs"]
mod snapshot;

use command_line::{Done, command};
use qdqc::onnx::{lint, profile};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

#[test]
fn the_page_on_targets_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/targets.md");
    let page = lint::manual();
    if std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
        fs::write(&path, &page).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, page, "`INSTA_UPDATE=always cargo test --test lint` writes docs/targets.md anew");
}

/// A message's field: a length and what it holds.
fn field(number: u8, inside: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = inside.len();
    while length >= 0x80 {
        bytes.push((length % 0x80) as u8 | 0x80);
        length /= 0x80;
    }
    bytes.push(length as u8);
    bytes.extend(inside);
    bytes
}

fn number(number: u8, value: u8) -> Vec<u8> {
    vec![number << 3, value]
}

fn node(kind: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|name| field(1, name.as_bytes()));
    let rest =
        [field(2, output.as_bytes()), field(3, format!("/{output}").as_bytes()), field(4, kind.as_bytes())];
    field(1, &inputs.chain(rest.concat()).collect::<Vec<_>>())
}

/// A scalar of an element type, by its bytes.
fn scalar(name: &str, element: u8, bytes: &[u8]) -> Vec<u8> {
    field(5, &[number(2, element), field(8, name.as_bytes()), field(9, bytes)].concat())
}

const FLOAT: u8 = 1;
const UINT8: u8 = 2;

/// Four uint8 quantizers of one value, each with a dequantizer.
fn uint8_model() -> Vec<u8> {
    let input = field(1, &number(1, FLOAT));
    let mut graph = field(11, &[field(1, b"x"), field(2, &input)].concat());
    graph.extend(scalar("scale", FLOAT, &0.5_f32.to_le_bytes()));
    graph.extend(scalar("zero", UINT8, &[0]));
    for at in 0..4 {
        graph.extend(node("QuantizeLinear", &["x", "scale", "zero"], &format!("q{at}")));
        graph.extend(node("DequantizeLinear", &[&format!("q{at}"), "scale", "zero"], &format!("d{at}")));
    }
    [number(1, 8), field(8, &number(2, 17)), field(7, &graph)].concat()
}

fn written(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// `qdqc lint` in a folder.
fn lint(folder: &TempDir, arguments: &[&str]) -> Done {
    command(&[&["lint"], arguments].concat()).within(folder.path()).done()
}

#[test]
fn what_a_target_rejects_is_told_and_the_code_is_one() {
    let folder = TempDir::new().unwrap();
    written(&folder, "m.onnx", &uint8_model());
    let few = lint(&folder, &["m.onnx"]);
    assert_eq!((few.code, few.stderr.as_str()), (Some(1), ""));
    snapshot::check("lint", "uint8", &few.stdout);
    let all = lint(&folder, &["m.onnx", "--all"]).stdout;
    assert!(all.contains("  /d3: has uint8 codes\n") && !all.contains("more"), "{all}");
    let json = lint(&folder, &["m.onnx", "--json"]);
    assert_eq!(json.code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&document["errors"], &document["summary"]["quantizers"]), (&8.into(), &4.into()));
    assert_eq!(document["findings"][7]["rule"], "T02");
    assert_eq!(document["findings"].as_array().map(Vec::len), Some(8));
}

#[test]
fn what_a_target_takes_is_said_in_a_line() {
    let folder = TempDir::new().unwrap();
    written(&folder, "m.onnx", &uint8_model());
    let said = lint(&folder, &["m.onnx", "--profile", "onnxruntime"]).succeeded();
    assert_eq!(said, "m.onnx: 0 errors and 0 warnings for `onnxruntime`: 4 quantizers, opset 17\n");
}

#[test]
fn files_that_are_no_models_are_refused() {
    let folder = TempDir::new().unwrap();
    let whole = uint8_model();
    written(&folder, "text.onnx", b"ir_version: 8\ngraph {\n}\n");
    written(&folder, "empty.onnx", b"");
    written(&folder, "cut.onnx", &whole[..whole.len() - 20]);
    written(&folder, "huge.onnx", &[0x08, 0x08, 0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x00]);
    written(&folder, "zip.onnx", b"PK\x03\x04\x14\x00\x00\x00\x08\x00");
    written(&folder, "bare.onnx", &[0x08, 0x08]);
    fs::create_dir(folder.path().join("folder")).unwrap();
    let names =
        ["none.onnx", "text.onnx", "empty.onnx", "cut.onnx", "huge.onnx", "zip.onnx", "bare.onnx", "folder"];
    let said: Vec<String> = names.iter().map(|name| lint(&folder, &[name]).failed(1)).collect();
    snapshot::check("lint", "no-models", &said.join("\n"));
}

#[test]
fn an_unknown_profile_is_answered_with_the_known_ones() {
    let said = command(&["lint", "m.onnx", "--profile", "tensort"]).done().failed(2);
    for profile in profile::ALL {
        assert!(said.contains(profile.name), "{said}");
    }
}

#[test]
fn rules_are_explained() {
    let said = command(&["explain", "t08"]).done().succeeded();
    assert!(said.starts_with("T08: an activation with a scale per channel (rejected)\n"), "{said}");
    let json = command(&["explain", "O03", "--json"]).done().succeeded();
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&document["rule"], &document["effect"]), (&"O03".into(), &"float".into()));
}

/// The exports of the original tool chain, which TensorRT takes, and ONNX Runtime runs half in float.
#[test]
fn the_reference_exports_are_seen_as_they_are() {
    let exports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/onnx");
    if !exports.is_dir() {
        // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not here", exports.display());
        return;
    }
    let mut table = String::new();
    for head in ["qa", "seqcls"] {
        let files = fs::read_dir(exports.join(head)).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|end| end == "onnx")).collect();
        files.sort();
        for path in files {
            for profile in profile::ALL {
                let done =
                    command(&["lint", path.to_str().unwrap(), "--profile", profile.name, "--json"]).done();
                let document: serde_json::Value = serde_json::from_str(&done.succeeded()).unwrap();
                table += &row(head, &path, profile.name, &document);
            }
        }
    }
    snapshot::check("lint", "reference", &table);
}

/// `qa/fb_pc_opset13 tensorrt: 24 of 25 in integers; T17 2`
fn row(head: &str, path: &Path, profile: &str, document: &serde_json::Value) -> String {
    let summary = &document["summary"];
    let mut rules: Vec<(&str, usize)> = Vec::new();
    for finding in document["findings"].as_array().unwrap() {
        let rule = finding["rule"].as_str().unwrap();
        match rules.last_mut() {
            Some((last, count)) if *last == rule => *count += 1,
            _ => rules.push((rule, 1)),
        }
    }
    let rules: String = rules.iter().map(|(rule, count)| format!("; {rule} {count}")).collect();
    let name = path.file_stem().unwrap().to_str().unwrap();
    let (integer, products) = (&summary["integer_products"], &summary["products"]);
    format!("{head}/{name} {profile}: {integer} of {products} in integers{rules}\n")
}
