//! What a run leaves, and that it can be used.

use super::*;

#[test]
fn a_run_writes_a_model_a_checkpoint_and_a_log() {
    let place = Place::new();
    let line = format!("{FILMS} --float --eval dev.tsv --learning-rate 5e-3 --epochs 2 -o out");
    let document = place.json(&line);
    assert_eq!(
        place.names("out"),
        ["config.json", "last", "metrics.jsonl", "model.safetensors", "tokenizer_config.json", "vocab.txt"]
    );
    assert_eq!(
        place.names("out/last"),
        [
            "config.json",
            "model.safetensors",
            "tokenizer_config.json",
            "training.json",
            "training.safetensors",
            "vocab.txt"
        ]
    );
    // 40 records, 16 at a time.
    assert_eq!((&document["steps"], &document["of"]), (&Value::from(6), &Value::from(6)));
    assert_eq!(document["losses"].as_array().unwrap().len(), 6);
    let log = place.log("out");
    let steps: Vec<&Value> = log.iter().filter(|line| line.get("loss").is_some()).collect();
    for (line, number) in steps.iter().zip(1..) {
        assert_eq!(line["step"], number);
        for field in ["epoch", "loss", "learning_rate", "gradient_norm", "tokens_per_second", "seconds"] {
            assert!(line[field].is_number(), "{line}");
        }
    }
    let scored: Vec<u64> = log
        .iter()
        .filter(|line| line.get("metrics").is_some())
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(scored, [3, 6], "at the end of each epoch");

    // What the log says of the best is what `qdqc eval` says of the folder.
    let eval = place.run("eval sequence-classification -c out --float --input dev.tsv --json").succeeded();
    let eval: Value = serde_json::from_str(&eval).unwrap();
    assert_eq!(eval["metrics"][0]["float"], document["best"]["metrics"]["accuracy"]);
    let config: Value = serde_json::from_slice(&place.bytes("out/config.json")).unwrap();
    assert_eq!(config["architectures"], serde_json::json!(["BertForSequenceClassification"]));
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let place = Place::new();
    let trained = |folder: &str, flags: &str| {
        place.train(&format!("--learning-rate 1e-3 --epochs 1 -o {folder} {flags}")).succeeded();
        place.bytes(&format!("{folder}/model.safetensors"))
    };
    for flags in ["--float", ""] {
        let kind = if flags.is_empty() { "quantized" } else { "float" };
        let one = trained(&format!("{kind}-one"), flags);
        assert!(one == trained(&format!("{kind}-two"), &format!("{flags} --threads 1")), "{kind}");
        assert!(one != trained(&format!("{kind}-other"), &format!("{flags} --seed 1")), "{kind}");
        let still = trained(&format!("{kind}-still"), &format!("{flags} --no-dropout"));
        assert!(one != still, "{kind}: dropout does nothing");
    }
}

/// Accumulated batches are one batch.
#[test]
fn batches_add_up() {
    let place = Place::new();
    place.write("train.tsv", &films(8));
    let trained = |folder: &str, flags: &str| {
        place
            .train(&format!("--float --no-dropout --learning-rate 1e-3 --epochs 4 -o {folder} {flags}"))
            .succeeded();
        assert_eq!(place.log(folder).len(), 4);
        place.tensors(folder)
    };
    let (whole, parts) = (trained("whole", "--batch 8"), trained("parts", "--batch 3 --accumulate 3"));
    for (name, whole) in &whole {
        let apart = (whole - &parts[name]).unwrap().abs().unwrap().max_all().unwrap();
        // Adam's steps are of the learning rate's size even where gradients are all but 0.
        assert!(apart.to_scalar::<f32>().unwrap() < 1e-3, "{name}: {apart}");
    }
    let word = &whole["classifier.weight"];
    let apart = (word - &parts["classifier.weight"]).unwrap().abs().unwrap().max_all().unwrap();
    assert!(apart.to_scalar::<f32>().unwrap() < 1e-5, "{apart}");
}

/// Where tokens have labels, each counts the same in whatever batch it is.
#[test]
fn batches_of_tokens_add_up() {
    let place = Place::new();
    let long = "the neutral\nking positive\nof neutral\nthe neutral\ncity negative\n\n";
    place.write("in.conll", &(long.to_owned() + &"war negative\n\n".repeat(7)));
    let loss = |folder: &str, flags: &str| {
        let line = format!("token-classification -c {TINY} --float --no-dropout --input in.conll --steps 1");
        let document = place.json(&format!("{line} {flags} -o {folder}"));
        let norm = place.log(folder)[0]["gradient_norm"].as_f64().unwrap();
        (document["losses"][0].as_f64().unwrap(), norm)
    };
    let (whole, parts) = (loss("whole", "--batch 8"), loss("parts", "--batch 4 --accumulate 2"));
    assert!((whole.0 - parts.0).abs() < 1e-5 && (whole.1 - parts.1).abs() < 1e-5, "{whole:?}, {parts:?}");
}

/// Choices of several numbers are in batches of their own, of which epochs have different numbers.
#[test]
fn epochs_end_where_their_data_does() {
    let place = Place::new();
    let record = |at: usize| {
        let choices: Vec<String> = (0..at % 4 + 2).map(|choice| format!("\"{choice}\"")).collect();
        format!("{{\"text\": \"a king\", \"choices\": [{}], \"label\": 0}}\n", choices.join(", "))
    };
    place.write("in.jsonl", &(0..203).map(|at| record(at * at / 3)).collect::<String>());
    for seed in 1..4 {
        let folder = format!("out{seed}");
        let line = format!("multiple-choice -c {TINY} --float --fresh classifier --input in.jsonl");
        place.json(&format!("{line} --batch 2 --epochs 2 --seed {seed} -o {folder}"));
        assert_eq!(place.log(&folder).last().unwrap()["epoch"], 2.0, "seed {seed}");
    }
}

/// A run of one step makes one.
#[test]
fn the_first_step_of_few_is_no_rise() {
    let place = Place::new();
    place.train("--float --steps 1 -o out").succeeded();
    assert_eq!(place.log("out")[0]["learning_rate"], 5e-5);
}

#[test]
fn frozen_parameters_stay() {
    let place = Place::new();
    place
        .train(
            "--float --learning-rate 1e-3 --steps 3 --freeze bert.embeddings --freeze classifier.bias -o out",
        )
        .succeeded();
    let before = safetensors::load(Path::new(TINY).join("model.safetensors"), &Device::Cpu).unwrap();
    for (name, after) in &place.tensors("out") {
        let frozen = name.starts_with("bert.embeddings") || name == "classifier.bias";
        let before = before[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // The keys' biases have no gradient: they move every score of a row alike.
        if !name.ends_with("key.bias") {
            assert_eq!(before == after.flatten_all().unwrap().to_vec1::<f32>().unwrap(), frozen, "{name}");
        }
    }
}

#[test]
fn labels_come_from_the_records_where_the_config_names_none() {
    let place = Place::new();
    place.checkpoint("base", |tensors| tensors.retain(|name, _| !name.starts_with("classifier")));
    let config = fs::read_to_string(place.path("base/config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config.as_object_mut().unwrap().retain(|field, _| !field.contains("label"));
    place.write("base/config.json", &config.to_string());
    let line = "train sequence-classification -c base --input train.tsv --steps 2 -o out";
    let said = place.run(&format!("{line} --float")).said();
    assert!(
        said.contains("the labels are those of the records: `negative`, `neutral` and `positive`"),
        "{said}"
    );
    assert!(said.contains("drawn anew by `--seed`: `classifier.bias` and `classifier.weight`"), "{said}");
    assert!(!said.contains("warning"), "{said}");
    let config: Value = serde_json::from_slice(&place.bytes("out/config.json")).unwrap();
    assert_eq!(config["id2label"], serde_json::json!({"0": "negative", "1": "neutral", "2": "positive"}));
    assert_eq!(config["num_labels"], 3);
    fs::remove_dir_all(place.path("out")).unwrap();
    let said = place.run(line).said();
    assert!(said.contains("train with `--float` first"), "{said}");
}
