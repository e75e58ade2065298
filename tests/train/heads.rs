//! Every head learns.

use super::*;

/// Twenty steps on a few records, float and quantized: the loss falls.
fn learns(spec: &str, file: &str, text: &str, flags: &str) {
    let place = Place::new();
    place.write(file, text);
    for kind in ["--float", ""] {
        let line = format!(
            "{spec} -c {TINY} --input {file} --steps 20 --learning-rate 3e-3 --no-dropout --batch 4 {kind} {flags}"
        );
        let folder = if kind.is_empty() { "quantized" } else { "float" };
        let document = place.json(&format!("{line} -o {folder}"));
        let losses: Vec<f64> =
            document["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert_eq!(losses.len(), 20);
        assert!(mean(&losses[16..]) < mean(&losses[..4]) * 0.97, "{spec} {kind}: {losses:?}");
    }
}

#[test]
fn sequence_classification() {
    learns("sequence-classification", "in.tsv", &films(8), "");
}

#[test]
fn several_labels() {
    let lines: String = (0..8)
        .map(|at| {
            let labels = [r#"["a"]"#, r#"["a", "b"]"#, "[]", r#"["b"]"#][at % 4];
            format!("{{\"text\": \"the king of {at}\", \"label\": {labels}}}\n")
        })
        .collect();
    let ids = r#"--set id2label={"0":"a","1":"b","2":"c"} --set problem_type=multi_label_classification"#;
    learns("sequence-classification", "in.jsonl", &lines, ids);
}

#[test]
fn regression() {
    let lines: String =
        (0..8).map(|at| format!("{{\"text\": \"year {at}\", \"label\": {}}}\n", at as f64 / 4.0)).collect();
    learns(
        "sequence-classification",
        "in.jsonl",
        &lines,
        "--set num_labels=1 --set problem_type=regression --fresh classifier",
    );
}

#[test]
fn token_classification() {
    let lines = "the neutral\nking positive\n\nwar negative\nand neutral\npeace positive\n\n".repeat(4);
    learns("token-classification", "in.conll", &lines, "");
}

#[test]
fn question_answering() {
    let question = |at: usize| {
        let (city, king) = (["paris", "london"][at % 2], ["good", "great"][at / 2 % 2]);
        let context = format!("the {king} king lived in {city} for a year");
        let start = context.find(city).unwrap();
        serde_json::json!({"context": context, "qas": [
            {"id": at.to_string(), "question": "where", "answers": [{"text": city, "answer_start": start}]}]})
    };
    let paragraphs: Vec<Value> = (0..8).map(question).collect();
    let squad = serde_json::json!({"data": [{"paragraphs": paragraphs}]}).to_string();
    learns("question-answering", "in.json", &squad, "");
}

#[test]
fn masked_words() {
    learns("masked-lm", "in.txt", &"the king of the good city lived in a great house\n".repeat(6), "");
}

#[test]
fn words_to_come() {
    learns("causal-lm", "in.txt", &"the king lived in paris\nwar and peace\n".repeat(4), "");
}

#[test]
fn next_sentences() {
    let lines: String = (0..8)
        .map(|at| {
            let (second, label) = [("a good book", 0), ("war of the king", 1)][at % 2];
            format!("{{\"text\": \"the year {at}\", \"pair\": \"{second}\", \"label\": {label}}}\n")
        })
        .collect();
    learns("next-sentence-prediction", "in.jsonl", &lines, "");
}

#[test]
fn both_heads_of_pre_training() {
    let lines: String = (0..8)
        .map(|at| {
            let (second, label) = [("a good book", 0), ("war of the king", 1)][at % 2];
            format!("{{\"text\": \"the year of the king\", \"pair\": \"{second}\", \"label\": {label}}}\n")
        })
        .collect();
    learns("pre-training", "in.jsonl", &lines, "");
}

#[test]
fn choices() {
    let lines: String = (0..8)
        .map(|at| {
            format!(
                "{{\"text\": \"the year {at}\", \"choices\": [\"{}\", \"{}\"], \"label\": {}}}\n",
                ["good book", "bad war"][at % 2],
                ["bad war", "good book"][at % 2],
                at % 2
            )
        })
        .collect();
    learns("multiple-choice", "in.jsonl", &lines, "--fresh classifier");
}
