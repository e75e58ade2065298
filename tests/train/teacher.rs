//! Learning from another model.

use super::*;

impl Place {
    /// How far the two models' scores are apart, over the records that both learn from.
    fn apart(&self, one: &str, other: &str) -> f64 {
        let logits = |folder: &str| -> Vec<f64> {
            let line = format!("eval sequence-classification -c {folder} --float --input train.tsv --json");
            let found: Value = serde_json::from_str(&self.run(&line).succeeded()).unwrap();
            found["metrics"].as_array().unwrap().iter().map(|row| row["float"].as_f64().unwrap()).collect()
        };
        logits(one).iter().zip(logits(other)).map(|(one, other)| (one - other).abs()).sum()
    }
}

#[test]
fn a_student_becomes_its_teacher() {
    let place = Place::new();
    place.train("--float --learning-rate 5e-3 --steps 30 -o teacher").succeeded();
    let line = "--float --teacher teacher --distillation 1 --learning-rate 5e-3 --steps 30 --no-dropout";
    let document = place.json(&format!("{FILMS} {line} -o student"));
    let losses: Vec<f64> =
        document["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
    assert!(losses[29] < losses[0] * 0.4, "{losses:?}");
    assert!(place.apart("student", "teacher") < place.apart(TINY, "teacher"));
    let log = place.log("student");
    assert!(log.iter().all(|line| line["teacher_loss"] == line["loss"]), "all of the loss is the teacher's");

    // Hidden states too, with the teacher asked anew at every step.
    let hidden = place.json(&format!("{FILMS} {line} --match-hidden -o hidden"));
    let losses: Vec<f64> =
        hidden["losses"].as_array().unwrap().iter().map(|loss| loss.as_f64().unwrap()).collect();
    assert!(losses[29] < losses[0] * 0.6, "{losses:?}");
}

/// A teacher that is the student itself has nothing to teach.
#[test]
fn a_teacher_that_is_the_student_costs_nothing() {
    let place = Place::new();
    let words = "the king lived in paris\nwar and peace\n".repeat(4);
    place.write("in.txt", &words);
    place.write("in.conll", &"the neutral\nking positive\n\n".repeat(4));
    place.write(
        "in.json",
        r#"{"data": [{"paragraphs": [{"context": "the king lived in paris", "qas": [
            {"id": "1", "question": "where", "answers": [{"text": "paris", "answer_start": 18}]}]}]}]}"#,
    );
    place.write("in.jsonl", "{\"text\": \"a king\", \"pair\": \"a book\", \"label\": 0}\n");
    place.write("two.tsv", "text\tpair\tlabel\na king\ta book\t0.5\n");
    for (spec, file) in [
        ("sequence-classification", "train.tsv"),
        ("token-classification", "in.conll"),
        ("question-answering", "in.json"),
        ("masked-lm", "in.txt"),
        ("causal-lm", "in.txt"),
        ("next-sentence-prediction", "in.jsonl"),
        ("sentence-embedding", "two.tsv"),
    ] {
        let line = format!("{spec} -c {TINY} --float --input {file} --teacher {TINY} --match-hidden");
        let document = place.json(&format!("{line} --distillation 1 --steps 1 --no-dropout -o {spec}"));
        let loss = document["losses"][0].as_f64().unwrap();
        assert!(loss.abs() < 1e-6, "{spec}: {loss}");
    }
}

/// What is remembered of a teacher changes no bit of a run that goes on.
#[test]
fn a_taught_run_goes_on_to_the_same_bits() {
    let place = Place::new();
    let line = format!("--float --teacher {TINY} --learning-rate 2e-3 --epochs 3 --save-every 2");
    place.train(&format!("{line} -o whole")).succeeded();
    let mut run = place.command(&format!("train {FILMS} {line} -o killed"));
    run.command.stderr(std::process::Stdio::null());
    let mut child = run.command.spawn().unwrap();
    while child.try_wait().unwrap().is_none() && !place.path("killed/last/training.json").exists() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = child.kill();
    child.wait().unwrap();
    place.train(&format!("{line} -o killed --resume")).succeeded();
    assert!(place.bytes("whole/model.safetensors") == place.bytes("killed/model.safetensors"));
}

#[test]
fn teachers_that_do_not_fit_are_refused() {
    let place = Place::new();
    place.checkpoint("other", |_| {});
    let config = fs::read_to_string(place.path("other/config.json")).unwrap();
    let refused = |config: String, flags: &str| {
        place.write("other/config.json", &config);
        place.train(&format!("--float --teacher other -o out {flags}")).failed(1)
    };
    let message = refused(config.replace("\"0\": \"negative\"", "\"0\": \"sad\""), "");
    assert!(message.contains("the model's labels are") && message.contains("`sad`"), "{message}");
    let message = refused(config.clone(), "--teacher-spec masked-lm");
    assert!(message.contains("the model answers `labels`, and its teacher `fill_mask`"), "{message}");
    let vocabulary = fs::read_to_string(place.path("other/vocab.txt")).unwrap();
    let mut words: Vec<&str> = vocabulary.lines().collect();
    let last = words.len() - 1;
    words.swap(last, last - 100);
    place.write("other/vocab.txt", &words.join("\n"));
    place.write(
        "in.txt",
        &vocabulary
            .lines()
            .filter(|word| word.len() > 2 && !word.starts_with(['[', '#']))
            .collect::<Vec<_>>()
            .join(" "),
    );
    let line = format!("train masked-lm -c {TINY} --float --input in.txt --teacher other -o out");
    let message = place.run(&line).failed(1);
    assert!(message.contains("the teacher's tokens are others than the model's"), "{message}");
    // Of whole texts it can say what it thinks in its own tokens.
    place.write("other/config.json", &config);
    place.train("--float --teacher other --steps 1 -o out").succeeded();
}
