//! What is refused, and leaves nothing behind.

use super::*;

/// What cannot be is refused before anything is written.
#[test]
fn mistakes_leave_nothing_behind() {
    let place = Place::new();
    place.write("empty.txt", "");
    place.write("blank.txt", "\n\n");
    place.write("a-file", "mine");
    place.write(
        "plain.qdq",
        &qdqc::specs::find("sentence-embedding").unwrap().text.replace("use \"recipes/qdqbert.qdq\"\n", ""),
    );
    for (arguments, code, part) in [
        ("--input nowhere.txt -o out", 1, "nowhere.txt"),
        ("--input empty.txt -o out", 1, "empty"),
        ("--input blank.txt -o out", 1, "blank.txt"),
        ("--input texts.txt -o a-file", 2, "is a file"),
        ("--input texts.txt -o a-file/below", 3, "cannot be made"),
        ("--input texts.txt --shard 0/3 -o out", 2, "2/8"),
        ("--input texts.txt --shard 4/3 -o out", 2, "2/8"),
        ("--input texts.txt --shard 1/3 -o .", 2, "is a folder"),
        ("--input - --shard 1/3 -o out", 2, "cannot be read again"),
        ("--input - --resume -o out", 2, "cannot be read again"),
        ("--merge texts.txt -o out", 1, "texts.txt"),
        ("--merge nowhere -o out", 1, "nowhere"),
        ("--tensors nowhere.safetensors -o out", 1, "nowhere.safetensors"),
        ("--input texts.txt --method median -o out", 2, "entropy"),
        ("-o out", 2, "--input"),
    ] {
        let message = place.calibrate(arguments).failed(code);
        assert!(message.contains(part), "{arguments}: {message}");
        assert!(!place.path("out").exists(), "{arguments}");
    }
    assert_eq!(place.bytes("a-file"), b"mine");
    let message = place.run(&format!("calibrate plain.qdq -c {TINY} --input texts.txt -o out")).failed(1);
    assert!(message.contains("attaches no quantizer"), "{message}");

    place.checkpoint("own", |_| {});
    let before = place.bytes("own/model.safetensors");
    for checkpoint in ["own", "own/model.safetensors", "./own/../own"] {
        for flag in ["", " --force"] {
            let line = format!("calibrate sentence-embedding -c {checkpoint} --input texts.txt -o own{flag}");
            assert!(place.run(&line).failed(2).contains("the checkpoint itself"), "{line}");
        }
    }
    let inside = [
        "calibrate",
        "sentence-embedding",
        "-c",
        "model.safetensors",
        "--input",
        "../texts.txt",
        "-o",
        ".",
        "--force",
    ];
    assert!(command(&inside).within(&place.path("own")).done().failed(2).contains("the checkpoint itself"));
    assert!(place.bytes("own/model.safetensors") == before);

    place.calibrate("--input texts.txt -o done").succeeded();
    assert!(place.calibrate("--input texts.txt -o done").failed(2).contains("--force"));
    place.calibrate("--input texts.txt --method mse -o done --force").succeeded();
    fs::remove_file(place.path("done/statistics.safetensors")).unwrap();
    assert!(place.calibrate("--input texts.txt -o done --resume").failed(2).contains("--force"));
}

/// What cannot be read twice is not read once.
#[cfg(unix)]
#[test]
fn a_pipe_is_refused_by_name() {
    let place = Place::new();
    let made = std::process::Command::new("mkfifo").arg(place.path("pipe.txt")).status().unwrap();
    assert!(made.success());
    let texts = place.path("texts.txt");
    let pipe = place.path("pipe.txt");
    // Whoever opens a pipe waits for the other end.
    let writer = std::thread::spawn(move || fs::write(pipe, fs::read(texts).unwrap()));
    let message = place.calibrate("--input pipe.txt -o out").failed(2);
    assert!(message.contains("`pipe.txt` cannot be read twice"), "{message}");
    let _ = writer.join();
}

/// A record that cannot be read is named by its line; what came before is kept.
#[test]
fn a_bad_record_is_named() {
    let place = Place::new();
    place.write("bad.jsonl", "{\"text\": \"a book\"}\n{\"text\": 7}\n");
    let message = place.calibrate("--input bad.jsonl -o out").failed(1);
    assert!(message.contains("line 2: "), "{message}");
}
