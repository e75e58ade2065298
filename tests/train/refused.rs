//! What is refused, before any work.

use super::*;

#[test]
fn mistakes_are_named_before_any_work() {
    let place = Place::new();
    place.write("wrong.tsv", &films(6).replace("year 4\tnegative", "year 4\tnegativ"));
    place.write("empty.tsv", "");
    place.write("header.tsv", "sentence\tlabel\n");
    place.write("unlabelled.txt", "the king\n");
    place.write("file", "");
    for (flags, code, told) in [
        ("--input wrong.tsv -o out", 1, "did you mean `negative`?"),
        ("--input empty.tsv -o out", 1, "`empty.tsv` is empty"),
        ("--input header.tsv -o out", 1, "`header.tsv` has a header and no records"),
        ("--input nowhere.tsv -o out", 1, "there is no file `nowhere.tsv`"),
        ("--input unlabelled.txt -o out", 1, "line 1: the record has no label"),
        ("--input train.tsv --eval nowhere.tsv -o out", 1, "there is no file `nowhere.tsv`"),
        (
            "--input train.tsv --eval unlabelled.txt -o out",
            1,
            "unlabelled.txt, line 1: the record has no label",
        ),
        ("--input train.tsv --fresh clasifier -o out", 2, "did you mean `classifier`?"),
        ("--input train.tsv --float --ranges 5 -o out", 2, "cannot be used with"),
        ("--input train.tsv --learning-rate -1 -o out", 2, "expected a number above 0"),
        ("--input train.tsv -o file", 2, "`file` is a file, but a folder is written"),
        ("--input train.tsv -o .", 2, "the folder `.` holds something already"),
        ("--input train.tsv -o file/out", 3, "`file/out` cannot be"),
        ("--input train.tsv --dtype f16 -o out", 2, "a model is trained in f32 or bf16"),
        ("--input train.tsv --freeze bart -o out", 2, "`--freeze bart` chooses no parameter"),
        ("--input train.tsv --ranges learned -o out", 2, "`learn: true` of a quantizer"),
        ("--input train.tsv --epochs 0 -o out", 2, "expected a number above 0"),
        ("--input train.tsv --temperature 3 -o out", 2, "--teacher"),
    ] {
        let line = format!("train sequence-classification -c {TINY} {flags}");
        let message = place.run(&line).failed(code);
        assert!(message.contains(told), "{flags}: {message}");
    }
    assert!(!place.path("out/last").exists());
}

#[test]
fn a_spec_says_what_is_learned() {
    let place = Place::new();
    let line = |spec: &str, flags: &str| format!("train {spec} -c {TINY} --input train.tsv -o out {flags}");
    let message = place.run(&line("sentence-embedding", "--float")).failed(1);
    assert!(message.contains("has no output `loss`") && message.contains("--teacher"), "{message}");
    place.write("none.qdq", "quantize none {\n}\n");
    let spec = place.run("new sequence-classification -o mine.qdq").succeeded();
    assert_eq!(spec, "");
    let text = fs::read_to_string(place.path("mine.qdq")).unwrap();
    place.write("mine.qdq", &text.replace("use \"recipes/qdqbert.qdq\"\n", ""));
    let message = place.run(&line("mine.qdq", "")).failed(1);
    assert!(message.contains("`mine.qdq` attaches no quantizer") && message.contains("--float"), "{message}");
    place.run(&line("mine.qdq", "--float --steps 1")).succeeded();
}

/// A learning rate that no model survives: the step, the lines and the place are named, and what was kept
/// stays.
#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    let place = Place::new();
    let line = "--float --learning-rate 1e30 --warmup 0.3 --save-every 1 -o out";
    let message = place.train(line).failed(1);
    assert!(message.contains("of step ") && message.contains(" (lines "), "{message}");
    assert!(message.contains("first") && message.contains("--learning-rate"), "{message}");
    assert!(message.contains("the model of step ") && message.contains("out/last"), "{message}");
    place.run("eval sequence-classification -c out/last --float --input dev.tsv --max-samples 1");
    let kept = place.tensors("out/last");
    let sum = kept["classifier.bias"].sum_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(sum.is_finite());
}

/// The last step has no loss after it that would tell.
#[test]
fn a_model_that_is_no_number_is_not_kept() {
    let place = Place::new();
    let line = "--float --learning-rate 1e300 --warmup 0 --steps 2";
    for flags in ["-o one --save-every 1", "-o two --eval dev.tsv --eval-every 1", "-o three --steps 1"] {
        let line = line.replace(if flags.contains("--steps") { "--steps 2" } else { "" }, "");
        let message = place.train(&format!("{line} {flags}")).failed(1);
        assert!(
            message.contains("after step 1 the parameter") && message.contains("--learning-rate"),
            "{message}"
        );
    }
    for folder in ["one", "two", "three"] {
        assert_eq!(place.names(folder), ["metrics.jsonl"], "{folder}");
    }
}

#[test]
fn a_learned_range_stays_a_range() {
    let place = Place::new();
    place.write(
        "learned.qdq",
        "quantize mine {\nquantizer learned = int8(learn: true)\n\
         attach learned to input of Linear under Encoder\n}\n",
    );
    let line = "--recipe learned.qdq --learning-rate 1 --warmup 0 --schedule constant --steps 40 -o out";
    let message = place.train(line).failed(1);
    assert!(message.contains("the learned range `bert.encoder") && message.contains("below 0"), "{message}");
}

#[test]
fn what_is_there_is_not_written_over() {
    let place = Place::new();
    place.train("--float --steps 1 -o out").succeeded();
    let before = place.bytes("out/model.safetensors");
    let message = place.train("--float --steps 1 -o out").failed(2);
    assert!(message.contains("holds something already") && message.contains("--resume"), "{message}");
    place.checkpoint("other", |_| {});
    let message = place.train("--float --steps 1 --resume -o other").failed(2);
    assert!(message.contains("has no last/ to go on from"), "{message}");
    assert_eq!(place.bytes("out/model.safetensors"), before);
    // A run that was stopped before its first checkpoint is in nobody's way.
    fs::create_dir_all(place.path("begun/last.new")).unwrap();
    place.write("begun/metrics.jsonl", "{}\n");
    place.write("begun/.qdqc-half", "");
    place.train("--float --steps 1 -o begun").succeeded();
}
