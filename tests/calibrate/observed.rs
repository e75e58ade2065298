//! What is observed, and what follows from it.

use super::*;

/// What `qdqc eval` takes, labelled or not, every task is calibrated on.
#[test]
fn every_task_is_calibrated_on_what_it_is_evaluated_on() {
    let place = Place::new();
    place.write("pairs.jsonl", "{\"text\": \"paris\", \"pair\": \"the king\", \"label\": 1}\n");
    for (spec, file, samples) in [
        ("masked-lm", "texts.txt", 14),
        ("pre-training", "texts.txt", 14),
        ("pre-training", "pairs.jsonl", 1),
        ("causal-lm", "texts.txt", 14),
        ("sentence-embedding", "texts.txt", 14),
        ("sentence-embedding", "pairs.jsonl", 2),
    ] {
        place.run(&format!("calibrate {spec} -c {TINY} --input {file} --force -o made")).succeeded();
        let origin = String::from_utf8(place.bytes("made/calibration.ron")).unwrap();
        assert!(origin.contains(&format!("\n    samples: {samples},")), "{spec} on {file}: {origin}");
    }
}

#[test]
fn shards_merged_are_the_whole() {
    let place = Place::new();
    place.calibrate("--input texts.txt -o whole").succeeded();
    for part in 1..=3 {
        place.calibrate(&format!("--input texts.txt --shard {part}/3 -o part{part}")).succeeded();
    }
    place.calibrate("--merge part1 part2 part3 -o merged").succeeded();
    place.calibrate("--merge part3 part1 part2 -o turned").succeeded();
    let whole = place.calibrated("whole");
    assert!(whole == place.calibrated("merged"));
    assert!(whole == place.calibrated("turned"));

    // More shards than batches: some hold nothing.
    place.write("few.txt", "a book\na longer book\n");
    place.calibrate("--input few.txt -o few").succeeded();
    for part in 1..=3 {
        place.calibrate(&format!("--input few.txt --shard {part}/3 -o few{part}")).succeeded();
    }
    place.calibrate("--merge few1 few2 few3 -o together").succeeded();
    assert!(place.calibrated("few") == place.calibrated("together"));

    let missing = place.calibrate("--merge part1 part3 -o no").failed(1);
    assert!(missing.contains("shard 2 of 3 not given") && missing.contains("--shard 2/3"), "{missing}");
    let twice = place.calibrate("--merge part1 part2 part1 part3 -o no").failed(1);
    assert!(twice.contains("shard 1 is there twice"), "{twice}");
    place.calibrate("--input texts.txt --shard 2/2 -o half").succeeded();
    let other = place.calibrate("--merge part1 half part3 -o no").failed(1);
    assert!(other.contains("one of 3 shards") && other.contains("one of 2"), "{other}");
    place.write("others.txt", "another text\n");
    for (flags, what) in [
        ("--input others.txt", "same data"),
        ("--input texts.txt --batch 3", "same batch size"),
        ("--input texts.txt --max-samples 9", "same number of records"),
        ("--input texts.txt --dtype bf16", "same element type"),
        ("--input texts.txt --set hidden_act=relu", "same settings"),
    ] {
        let line = format!("calibrate sentence-embedding -c {TINY} {flags} --shard 2/3 --force -o other");
        let line = if flags.contains("--batch") { line } else { format!("{line} --batch 2") };
        place.run(&line).succeeded();
        let message = place.calibrate("--merge part1 other part3 -o no").failed(1);
        assert!(message.contains(what), "{flags}: {message}");
    }
    place.checkpoint("changed", |tensors| {
        let name = "bert.encoder.layer.0.output.dense.bias".to_owned();
        tensors.insert(name.clone(), (&tensors[&name] + 1.0).unwrap());
    });
    let line = "calibrate sentence-embedding -c changed --merge part1 part2 part3 -o no";
    assert!(place.run(line).failed(1).contains("other weights"));
    assert!(!place.path("no").exists());
}

#[test]
fn two_runs_give_the_same_bytes() {
    let place = Place::new();
    place.calibrate("--input texts.txt --threads 2 -o one").succeeded();
    place.calibrate("--input texts.txt --threads 2 -o two").succeeded();
    place.calibrate("--input texts.txt --threads 1 -o three").succeeded();
    assert!(place.calibrated("one") == place.calibrated("two"));
    assert!(place.calibrated("one") == place.calibrated("three"));
}

/// Every method follows from the statistics, as if the data had been given again.
#[test]
fn every_method_follows_from_the_statistics() {
    let place = Place::new();
    place.write("few.qdq", &recipe("quantizer a = int8()\nattach a to input of Linear at layer.0.output"));
    place.calibrate("--recipe few.qdq --input texts.txt -o max").succeeded();
    let mut found = Vec::new();
    for flags in [
        "--method max",
        "--method percentile=97",
        "--method percentile",
        "--method entropy",
        "--method mse",
        "--method mse --skip-zeros",
        "--method percentile=97 --skip-zeros",
    ] {
        place.calibrate(&format!("--recipe few.qdq --input texts.txt {flags} --force -o data")).succeeded();
        place
            .calibrate(&format!(
                "--recipe few.qdq --merge max/statistics.safetensors {flags} --force -o merged"
            ))
            .succeeded();
        assert!(place.calibrated("data") == place.calibrated("merged"), "{flags}");
        found.push(place.amax("merged", GELU)[0]);
    }
    let [max, percentile, ..] = found[..] else { panic!() };
    assert!(percentile < max);
    assert!(found[1..].iter().all(|amax| *amax <= max), "{found:?}");
}
