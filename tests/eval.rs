//! `qdqc eval` from outside, on the tiny checkpoint and on real data.

#![cfg(test)]

use qdqc::tasks::metrics::{pearson, spearman};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
    command.arg("eval").args(arguments).stdin(Stdio::null()).env("HF_HUB_OFFLINE", "1");
    command
}

/// Exit code, standard output, standard error.
fn eval(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn json(arguments: &[&str]) -> Value {
    let (code, stdout, stderr) = eval(&[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// The value of a metric by the name of a model.
fn value(document: &Value, metric: &str, model: &str) -> f64 {
    let metrics = document["metrics"].as_array().unwrap();
    let row = metrics.iter().find(|row| row["name"] == metric && row["of"].is_null());
    row.unwrap_or_else(|| panic!("no {metric} in {document}"))[model].as_f64().unwrap()
}

/// A file with this text, in a folder that goes with the guard.
fn file(name: &str, text: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// The folder of real data, if it is there.
fn data() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !path.exists() {
        eprintln!("SKIPPED: no data at {}", path.display());
        return None;
    }
    Some(path)
}

const FILMS: &str =
    "sentence\tlabel\nthe good film\tpositive\nthe bad film of the year\t0\na book\t1\nthe king\tpositive\n";

#[test]
fn float_and_quantized_side_by_side() {
    let (_folder, films) = file("films.tsv", FILMS);
    let line = ["sequence-classification", "-c", TINY, "--input", &films];
    let both = json(&[&line[..], &["--compare"]].concat());
    let float = json(&[&line[..], &["--float", "--batch", "1"]].concat());
    let quantized = json(&line);
    assert_eq!((&both["records"], &both["interrupted"]), (&Value::from(4), &Value::from(false)));
    for metric in ["accuracy", "f1_macro", "matthews"] {
        assert_eq!(value(&both, metric, "float"), value(&float, metric, "float"));
        assert_eq!(value(&both, metric, "quantized"), value(&quantized, metric, "quantized"));
        let difference = value(&both, metric, "quantized") - value(&both, metric, "float");
        assert_eq!(value(&both, metric, "difference"), difference);
    }
    let fidelity: Vec<&str> =
        both["fidelity"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(fidelity, ["agreement", "kl"]);

    let (code, stdout, stderr) = eval(&[&line[..], &["--compare", "--max-samples", "2"]].concat());
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("metric    float  quantized  difference\naccuracy"), "{stdout}");
    assert!(stdout.contains("\n\nquantized to float\nagreement"), "{stdout}");
    assert!(stderr.contains("note: 2 records in "), "{stderr}");
}

/// Every head that the tiny checkpoint has can be scored.
#[test]
fn every_answer_has_metrics() {
    let lines = |text: &str| file("in.jsonl", text);
    let words = r#"{"tokens": ["the", "king"], "tags": ["negative", "positive"]}"#;
    let squad = r#"{"data": [{"paragraphs": [{"context": "the king lived in paris", "qas": [
        {"id": "1", "question": "where", "answers": [{"text": "paris", "answer_start": 18}]}]}]}]}"#;
    for (spec, (_folder, path), metric) in [
        ("token-classification", lines(words), "f1"),
        ("question-answering", file("in.json", squad), "exact_match"),
        ("masked-lm", lines(r#"{"text": "the king lived"}"#), "perplexity"),
        ("causal-lm", lines(r#"{"text": "the king lived"}"#), "perplexity"),
        ("next-sentence-prediction", lines(r#"{"text": "a", "pair": "b", "label": 0}"#), "accuracy"),
    ] {
        assert!(value(&json(&[spec, "-c", TINY, "--input", &path]), metric, "quantized") >= 0.0, "{spec}");
    }
    let (_folder, path) = lines(
        "{\"text\": \"a\", \"pair\": \"b\", \"score\": 1}\n{\"text\": \"the king\", \"pair\": \"c\", \"score\": 2}",
    );
    let document = json(&["sentence-embedding", "-c", TINY, "--input", &path, "--compare"]);
    assert!((value(&document, "pearson", "float").abs() - 100.0).abs() < 1e-6, "two points lie on a line");
    assert!(document["fidelity"][0]["value"].as_f64().unwrap() > 0.5);
}

#[test]
fn mistakes_are_named() {
    let (_folder, films) = file("films.tsv", FILMS);
    let (_other, wrong) = file("wrong.tsv", &FILMS.replace("king\tpositive", "king\tpositiv"));
    let (_third, empty) = file("empty.tsv", "");
    let model = ["sequence-classification", "-c", TINY, "--input"];
    for (arguments, expected, told) in [
        (vec!["nowhere.tsv"], 1, "there is no file `nowhere.tsv`"),
        (vec![empty.as_str()], 1, "empty.tsv` is empty"),
        (
            vec![&films, "--columns", "text=sentence,label=lable"],
            1,
            "has no column `lable`; its columns are `sentence`, `label`; did you mean `label`?",
        ),
        (
            vec![&wrong],
            1,
            "line 5: `positiv` is not one of the model's 3 labels: `negative`, `neutral` and `positive`; did you mean `positive`?",
        ),
        (vec![&films, "--set", "num_labels=2"], 1, "E0403"),
        (vec![&films, "--float", "--compare"], 2, "cannot be used with"),
    ] {
        let (code, stdout, stderr) = eval(&[&model[..], &arguments].concat());
        assert_eq!((code, stdout.as_str()), (expected, ""), "{stderr}");
        assert!(stderr.contains(told), "{stderr}");
    }
    let (code, _, stderr) = eval(&["--input", &films]);
    assert_eq!(code, 2, "{stderr}");
}

/// What is there of labels decides: without any, models can still be compared with each other.
#[test]
fn text_without_labels_compares_models() {
    let (_folder, path) = file("in.txt", "the good film\nthe bad film\n");
    let line = ["sequence-classification", "-c", TINY, "--input", &path];
    let (code, _, stderr) = eval(&line);
    assert_eq!(code, 1);
    assert!(stderr.contains("line 1: the record has no label, no other field than its text"), "{stderr}");
    let document = json(&[&line[..], &["--compare"]].concat());
    assert_eq!(
        (document["metrics"].as_array().unwrap().len(), &document["fidelity"][0]["name"]),
        (0, &"agreement".into())
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_evaluation_keeps_its_figures() {
    let lines = "the good film\tpositive\n".repeat(200_000);
    let (_folder, films) = file("films.tsv", &format!("sentence\tlabel\n{lines}"));
    let line = ["sequence-classification", "-c", TINY, "--input", &films, "--batch", "1", "--json"];
    let mut child = command(&line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Reading takes a moment, scoring much longer.
    std::thread::sleep(Duration::from_secs(2));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(child.try_wait().unwrap().is_none(), "it was over before it was interrupted");
    let done = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(130), "{stderr}");
    let document: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(document["interrupted"], Value::from(true));
    assert!(stderr.contains(&format!("interrupted after {} of ", document["records"])), "{stderr}");
}

/// Two published prediction files with known scores.
#[test]
fn squad_predictions_have_their_published_scores() {
    let Some(data) = data() else { return };
    let path = |name: &str| data.join("squad").join(name).to_str().unwrap().to_owned();
    for (name, exact, f1, missing) in
        [("bert-ensemble", 86.34, 92.27, 0), ("logistic-regression", 39.86, 50.49, 7)]
    {
        let predictions = path(&format!("predictions-{name}.json"));
        let line = ["--predictions", &predictions, "--input", &path("dev-v1.1.json")];
        let document = json(&line);
        let rounded = |metric| (value(&document, metric, "predictions") * 100.0).round() / 100.0;
        assert_eq!((rounded("exact_match"), rounded("f1")), (exact, f1));
        let (_, _, stderr) = eval(&line);
        assert_eq!(stderr.contains(&format!("{missing} of 7572 questions have no prediction")), missing > 0);
    }
}

/// The first rows of STS-B against cosines computed by other software.
#[test]
fn embeddings_correlate_as_the_reference_does() {
    const ROWS: usize = 40;
    let Some(data) = data() else { return };
    let text = |path: PathBuf| fs::read_to_string(path).unwrap();
    let gold = text(data.join("sts-b/dev.tsv"));
    let gold = gold.lines().map(|line| line.split('\t').nth(4).unwrap().parse::<f64>().unwrap());
    let cosines = text(data.join("sts-b/reference/cosine-dev.tsv"));
    let cosines =
        cosines.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap().parse::<f64>().unwrap());
    let pairs: Vec<(f64, f64)> = gold.zip(cosines).take(ROWS).collect();

    let (encoder, dev) = (data.join("all-MiniLM-L6-v2-f16"), data.join("sts-b/dev.tsv"));
    let document = json(&[
        "sentence-embedding",
        "-c",
        encoder.to_str().unwrap(),
        "--float",
        "--input",
        dev.to_str().unwrap(),
        "--columns",
        "text=6,pair=7,label=5",
        "--max-samples",
        &ROWS.to_string(),
    ]);
    let near = |metric, expected: f64| {
        let found = value(&document, metric, "float");
        assert!((found - 100.0 * expected).abs() < 1e-3, "{metric}: {found}, expected {}", 100.0 * expected);
    };
    near("pearson", pearson(&pairs));
    near("spearman", spearman(&pairs));
}
