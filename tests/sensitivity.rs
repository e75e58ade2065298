//! `qdqc sensitivity` and the recipes that it writes.

#![cfg(test)]

#[path = "support/command_line.rs"]
mod command_line;
#[path = "support/library.rs"]
mod library;

use command_line::{Done, command};
use library::Texts;
use qdqc::{
    checkpoint::{Checkpoint, HubOptions},
    compile::{self, Checked, Options, Program},
    config::Config,
    sensitivity::without,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

/// A folder with texts to measure on, in which commands are run.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        place.write("texts.txt", "a good book\nparis is the capital of france\nwar and peace\nthe king\n");
        place.write("labelled.tsv", "text\tlabel\na good book\tpositive\nwar\tnegative\na dog\tneutral\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, line: &str) -> Done {
        command(&line.split_whitespace().collect::<Vec<_>>()).within(self.folder.path()).done()
    }

    fn sensitivity(&self, arguments: &str) -> Done {
        self.run(&format!("sensitivity sentence-embedding -c {TINY} --input texts.txt {arguments}"))
    }
}

fn config() -> Config {
    Checkpoint::open(TINY, &HubOptions::from_env()).unwrap().config
}

fn program(text: &str) -> Program {
    let (program, problems) = compile::load("mine.qdq", text, &Texts::default());
    assert!(problems.is_empty(), "{problems:?}");
    program
}

fn compiled(program: &Program) -> Checked {
    let options = Options { config: config(), ..Options::default() };
    let (graph, problems) = compile::compile(program, &options, true);
    graph.unwrap_or_else(|| panic!("{problems:?}"))
}

/// The names of a program's quantizers.
fn names(program: &Program) -> BTreeSet<String> {
    compiled(program).quantizers.iter().map(|quantizer| quantizer.name.clone()).collect()
}

/// The bundled encoder with other quantizers.
fn encoder(rules: &str) -> Program {
    let text = qdqc::specs::find("sentence-embedding").unwrap().text;
    program(&format!(
        "{}\nquantize mine {{\n{rules}\n}}\n",
        text.replace("use \"recipes/qdqbert.qdq\"\n", "")
    ))
}

/// The recipe without the quantizers whose names have one of these parts, with which
/// exactly the others are left.
fn recipe(program: &Program, parts: &[&str]) -> String {
    let all = names(program);
    let gone: BTreeMap<String, String> = all
        .iter()
        .filter(|name| parts.iter().any(|part| name.contains(part)))
        .map(|name| (name.clone(), "it costs too much".to_owned()))
        .collect();
    assert!(!gone.is_empty(), "{all:?}");
    let options = Options { config: config(), ..Options::default() };
    let text = without(program, &options, &gone, &["A test.".to_owned()], "lean.qdq")
        .unwrap_or_else(|failure| panic!("{failure}"));
    let mut lean = program.clone();
    lean.set_recipe("lean.qdq", &text).unwrap();
    let left: BTreeSet<String> = all.into_iter().filter(|name| !gone.contains_key(name)).collect();
    assert_eq!(names(&lean), left, "{text}");
    assert!(text.starts_with("# A test.\n"));
    for name in gone.keys() {
        assert!(text.contains(&format!("# {name}: it costs too much")), "{name}\n{text}");
    }
    text
}

#[test]
fn recipes_leave_out_exactly_what_they_say() {
    let usual = program(qdqc::specs::find("sentence-embedding").unwrap().text);
    // Some of a rule, in one layer and in all; all of a rule; everything.
    recipe(&usual, &["layer.0.output.dense._input"]);
    let all_layers = recipe(&usual, &["output.dense._input"]);
    assert!(all_layers.contains("except at"), "{all_layers}");
    let no_weights = recipe(&usual, &["_weight_quantizer"]);
    assert!(!no_weights.contains("quantizer weight"), "{no_weights}");
    let nothing = recipe(&usual, &["quantizer"]);
    assert!(!nothing.contains("attach"), "{nothing}");
    recipe(&usual, &["layer.1"]);
}

#[test]
fn recipes_part_rules_of_several_ports() {
    let program = encoder(
        "quantizer a = int8()\n\
         attach a to lhs, rhs of scores in SelfAttention\n\
         attach a to input, weight of Linear under Encoder except at layer.0.attention.output.dense, query",
    );
    recipe(&program, &["layer.0.attention.self.scores_lhs"]);
    recipe(&program, &["scores_rhs"]);
    recipe(&program, &["value._input_quantizer", "layer.1.intermediate.dense._weight_quantizer"]);
    recipe(&program, &["scores"]);
    recipe(&program, &["_input_quantizer", "scores"]);
}

#[test]
fn recipes_keep_ties_and_limits_where_quantizers_are_left() {
    let program = encoder(
        "quantizer a = int8(calibrate: percentile(99.9))\n\
         attach a to input of Linear under Encoder\n\
         attach a to lhs, rhs of scores in SelfAttention\n\
         tie lhs, rhs of scores in SelfAttention\n\
         tie input of query, input of key, input of value in SelfAttention\n\
         limit input of dense in ResidualOutput to 10\n\
         limit lhs of scores in SelfAttention to 5",
    );
    let text = recipe(&program, &["query._input", "key._input", "value._input"]);
    assert!(text.contains("# no quantizer is left for: tie input of query"), "{text}");
    assert!(text.contains("limit input of dense"), "{text}");
    let text = recipe(&program, &["output.dense"]);
    assert!(text.contains("# no quantizer is left for: limit input of dense"), "{text}");
    let text = recipe(&program, &["layer.0.attention.self.scores", "layer.0.output.dense"]);
    assert!(text.contains("tie lhs, rhs of scores") && text.contains("limit lhs of scores"), "{text}");
    // What is tied loses only one of its own: the others stay tied.
    recipe(&program, &["key._input"]);
    recipe(&program, &["query._input", "key._input"]);
    recipe(&program, &["scores"]);
}

#[test]
fn every_group_has_its_row() {
    let place = Place::new();
    for (by, count) in [("layer", 2), ("kind", 20), ("site", 40)] {
        let table = place.sensitivity(&format!("--by {by}")).succeeded();
        assert!(table.starts_with("cosine on 4 records: 1.00000 in float, 0."), "{table}");
        assert_eq!(table.lines().filter(|line| line.starts_with("encoder.")).count(), count, "{table}");
        let json: serde_json::Value =
            serde_json::from_str(&place.sensitivity(&format!("--by {by} --json")).succeeded()).unwrap();
        let groups = json["groups"].as_array().unwrap();
        let quantizers: usize =
            groups.iter().map(|group| group["quantizers"].as_array().unwrap().len()).sum();
        assert_eq!((groups.len(), quantizers), (count, 40));
        // Those come first without which the metric is best.
        let off: Vec<f64> = groups.iter().map(|group| group["off_alone"].as_f64().unwrap()).collect();
        assert!(off.is_sorted_by(|a, b| a >= b), "{off:?}");
        let (all, float) = (json["all"].as_f64().unwrap(), json["float"].as_f64().unwrap());
        assert!(all < float);
        let on = groups.iter().map(|group| group["on_alone"].as_f64().unwrap());
        assert!(on.into_iter().all(|on| on > all && on <= float));
    }
    let labelled = format!("sensitivity sequence-classification -c {TINY} --input labelled.tsv");
    assert!(place.run(&labelled).succeeded().starts_with("accuracy on 3 records"));
    let table = place.run(&format!("{labelled} --metric kl")).succeeded();
    assert!(table.starts_with("kl on 3 records: 0.00000 in float, 0.0"), "{table}");
}

/// Questions without an answer are scored as `qdqc eval` scores them: a prediction of none can be right.
#[test]
fn questions_are_scored_as_in_eval() {
    let place = Place::new();
    let question = |id: usize, words: &str| serde_json::json!({"id": id.to_string(), "question": words, "answers": [], "is_impossible": true});
    let words = ["who", "where is the king", "the good book", "war", "what is great", "a dog and a king"];
    let questions: Vec<_> = (0..).zip(words).map(|(id, words)| question(id, words)).collect();
    let data =
        serde_json::json!({"data": [{"paragraphs": [{"context": "the king lived", "qas": questions}]}]});
    place.write("squad.json", &data.to_string());
    let json = |command: &str| -> serde_json::Value {
        let line = format!("{command} question-answering -c {TINY} --input squad.json --json");
        serde_json::from_str(&place.run(&line).succeeded()).unwrap()
    };
    let (eval, found) = (json("eval --compare"), json("sensitivity --by layer"));
    assert_eq!(eval["metrics"][0]["name"], found["metric"]);
    assert!(found["float"].as_f64().unwrap() > 0.0, "no prediction of none: {found}");
    for (of, value) in [("float", &found["float"]), ("quantized", &found["all"])] {
        assert_eq!(&eval["metrics"][0][of], value, "{of}");
    }
}

/// The loss of a recipe is what the search said, and every command takes it.
#[test]
fn a_recipe_keeps_to_the_budget() {
    let place = Place::new();
    let measured = |arguments: &str| -> serde_json::Value {
        serde_json::from_str(&place.sensitivity(&format!("{arguments} --json")).succeeded()).unwrap()
    };
    let all = measured("")["all"].as_f64().unwrap();
    let budget = (1.0 - all) / 2.0;
    let found = measured(&format!("--by site --budget {budget} --write lean.qdq"));
    let loss = found["found"]["loss"].as_f64().unwrap();
    let left_out = found["found"]["left_out"].as_array().unwrap();
    assert!(loss <= budget && !left_out.is_empty());
    let text = fs::read_to_string(place.path("lean.qdq")).unwrap();
    assert!(text.starts_with("# Made by `qdqc sensitivity` on 4 records: "), "{text}");
    assert!(text.contains("cosine: 1.00000 in float, 0."), "{text}");
    for group in left_out {
        let name = group["quantizers"][0].as_str().unwrap();
        assert!(text.contains(&format!("# {name}: cosine 0.")), "{text}");
    }
    let lean = measured("--recipe lean.qdq");
    assert!((lean["all"].as_f64().unwrap() - (1.0 - loss)).abs() < 1e-6, "{lean} {found}");
    let none: serde_json::Value = measured("--budget 1");
    assert_eq!(none["found"]["left_out"], serde_json::json!([]));

    let with = format!("sentence-embedding -c {TINY} --recipe lean.qdq");
    place.run(&format!("run {with} --text book")).succeeded();
    place.write("pairs.tsv", "text\tpair\tlabel\na book\ta good book\t4\nwar\tpeace\t1\nking\tqueen\t3\n");
    let figures = place.run(&format!("eval {with} --input pairs.tsv --compare --json")).succeeded();
    assert!(figures.contains("cosine"), "{figures}");
    place.run(&format!("calibrate {with} --input texts.txt -o made")).succeeded();
    let made =
        candle_core::safetensors::load(place.path("made/model.safetensors"), &candle_core::Device::Cpu)
            .unwrap();
    let gone: usize = left_out.iter().map(|group| group["quantizers"].as_array().unwrap().len()).sum();
    assert_eq!(made.keys().filter(|name| name.ends_with("._amax")).count(), 40 - gone);
    let lacking = place.run("run sentence-embedding -c made --text book").failed(1);
    assert!(lacking.contains("E0405"), "{lacking}");
    let lacking = place.run("sensitivity sentence-embedding -c made --input texts.txt").failed(1);
    assert!(lacking.contains("E0405"), "{lacking}");
    place.run("run sentence-embedding -c made --recipe lean.qdq --text book").succeeded();

    let message = place.sensitivity("--budget 0.1 --write lean.qdq").failed(2);
    assert!(message.contains("already there") && message.contains("--force"), "{message}");
    place.sensitivity("--budget 1 --write lean.qdq --force").succeeded();
    assert!(!fs::read_to_string(place.path("lean.qdq")).unwrap().contains("except"));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let place = Place::new();
    place.write("empty.txt", "");
    for (arguments, code, part) in [
        ("--metric cosin", 2, "did you mean `cosine`?"),
        ("--metric accuracy", 2, "there are `cosine`"),
        ("--budget=-1", 2, "a number from 0"),
        ("--budget NaN", 2, "a number from 0"),
        ("--write lean.qdq", 2, "--budget"),
        ("--budget 0.1 --write no/where.qdq", 2, "`no`"),
        ("--recipe nowhere.qdq", 1, "nowhere.qdq"),
        ("--by day", 2, "--by"),
    ] {
        let message = place.sensitivity(arguments).failed(code);
        assert!(message.contains(part), "{arguments}: {message}");
    }
    let none = place.run(&format!("sensitivity sentence-embedding -c {TINY} --input empty.txt")).failed(1);
    assert!(none.contains("empty.txt"), "{none}");
    place.write("bad.jsonl", "{\"text\": \"a book\"}\n{\"text\": 7}\n");
    let bad = place.run(&format!("sensitivity sentence-embedding -c {TINY} --input bad.jsonl")).failed(1);
    assert!(bad.contains("line 2: "), "{bad}");
}

/// Ctrl-C ends it, with a word on what is known.
#[cfg(unix)]
#[test]
fn an_interrupted_measurement_ends() {
    use std::process::{Command, Stdio};
    let place = Place::new();
    place.write("many.txt", &"the king says so and the queen says so\n".repeat(4000));
    let line = format!("sensitivity sentence-embedding -c {TINY} --input many.txt --by site --budget 0");
    let mut qdqc = command(&line.split_whitespace().collect::<Vec<_>>()).within(place.folder.path());
    let mut child = qdqc.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none(), "it was done too soon");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8(output.stderr).unwrap().contains("note: interrupted: "));
}

/// A file that is no recipe is refused at the line that makes it none.
#[test]
fn a_recipe_is_quantize_blocks_alone() {
    let place = Place::new();
    for (text, part) in [
        ("", "holds no `quantize` block"),
        ("# nothing but this\n", "holds no `quantize` block"),
        ("quantize q {\n}\ndim batch\n", "lean.qdq:3:1"),
        ("use \"lib/bert.qdq\"\n\nquantize q {\n}\n", "lean.qdq:1:1"),
        ("quantize q {\n    quantizer a = \n}\n", "lean.qdq:"),
        ("quantize q {\n    quantizer a = int8()\n    attach a to input of Nothing\n}\n", "lean.qdq:3:"),
        ("quantize q {\n    quantizer a = int8()\n}\n", "lean.qdq:2:"),
    ] {
        place.write("lean.qdq", text);
        let message =
            place.run(&format!("run sentence-embedding -c {TINY} --recipe lean.qdq --text a")).failed(1);
        assert!(message.contains(part) && message.contains("error["), "{text:?}: {message}");
        assert_eq!(message.contains("E0309"), !text.contains("quantizer"), "{text:?}: {message}");
    }
    let empty = "quantize q {\n}\n";
    place.write("lean.qdq", empty);
    let answer =
        |flags: &str| place.run(&format!("run sentence-embedding -c {TINY} --text a {flags}")).succeeded();
    assert_eq!(answer("--recipe lean.qdq"), answer("--float"));
}
