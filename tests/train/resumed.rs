//! A run that is stopped, and goes on to the same bits.

use super::*;

/// What a run leaves, whole, but for the times in its log.
fn left(place: &Place, folder: &str) -> Vec<(String, Vec<u8>)> {
    let files = ["config.json", "model.safetensors", "last/model.safetensors", "last/training.safetensors"];
    let mut left: Vec<(String, Vec<u8>)> =
        files.map(|name| (name.to_owned(), place.bytes(&format!("{folder}/{name}")))).into();
    let mut log = String::new();
    for mut line in place.log(folder) {
        let line = line.as_object_mut().unwrap();
        line.retain(|field, _| !field.contains("second"));
        log += &format!("{}\n", Value::Object(line.clone()));
    }
    left.push(("metrics.jsonl".to_owned(), log.into_bytes()));
    left
}

fn same(place: &Place, one: &str, other: &str) {
    for ((name, one), (_, other)) in left(place, one).iter().zip(left(place, other)) {
        assert!(
            *one == other,
            "{name}:\n{}\n{}",
            String::from_utf8_lossy(one),
            String::from_utf8_lossy(&other)
        );
    }
}

const RUN: &str = "--learning-rate 2e-3 --batch 8 --accumulate 2 --epochs 3 --eval dev.tsv --save-every 1";

/// Killed at once each time that it has come further, until it is done.
#[cfg(unix)]
fn killed(place: &Place, flags: &str) -> usize {
    let mut kills = 0;
    let state = place.path("killed/last/training.json");
    let changed = || fs::metadata(&state).and_then(|file| file.modified()).ok();
    loop {
        let before = changed();
        let resume = if before.is_some() { "--resume" } else { "" };
        let line = format!("train {FILMS} {RUN} {flags} -o killed {resume}");
        let mut run = place.command(&line);
        run.command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut child = run.command.spawn().unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "after {kills} kills");
                return kills;
            }
            if changed().is_some_and(|now| Some(now) != before) {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

#[cfg(unix)]
#[test]
fn a_killed_float_run_goes_on_to_the_same_bits() {
    let place = Place::new();
    place.train(&format!("{RUN} --float -o whole")).succeeded();
    assert!(killed(&place, "--float") > 2);
    same(&place, "whole", "killed");
    // A finished one is finished.
    place.train(&format!("{RUN} --float -o killed --resume")).succeeded();
    same(&place, "whole", "killed");
    assert_eq!(place.names("killed"), place.names("whole"));
}

#[cfg(unix)]
#[test]
fn a_killed_quantized_run_goes_on_to_the_same_bits() {
    let place = Place::new();
    place.write(
        "learned.qdq",
        "quantize mine {\n\
         quantizer learned = int8(learn: true)\nquantizer weight = int8(axis: 0)\nquantizer sum = int8()\n\
         attach learned to input of Linear under Encoder\nattach weight to weight of Linear under Encoder\n\
         attach sum to lhs of total in ResidualOutput as add_local_input_quantizer\n}\n",
    );
    let flags = "--recipe learned.qdq --ranges 2";
    place.train(&format!("{RUN} {flags} -o whole")).succeeded();
    assert!(killed(&place, flags) > 2);
    same(&place, "whole", "killed");
}

/// What was drawn at the beginning is not drawn again.
#[cfg(unix)]
#[test]
fn a_fresh_head_keeps_what_it_learned() {
    let place = Place::new();
    place.train(&format!("{RUN} --float --fresh classifier -o whole")).succeeded();
    assert!(killed(&place, "--float --fresh classifier") > 2);
    same(&place, "whole", "killed");
}

/// Files that a killed run was writing do not stay beside the model.
#[test]
fn going_on_cleans_up() {
    let place = Place::new();
    place.train("--float --steps 2 -o out").succeeded();
    place.write("out/.qdqc-half", "mode");
    place.train("--float --steps 2 -o out --resume").succeeded();
    assert!(!place.path("out/.qdqc-half").exists());
}

#[cfg(unix)]
#[test]
fn two_runs_do_not_write_to_one_folder() {
    let place = Place::new();
    place.train("--float --steps 2 -o out").succeeded();
    let folder = fs::File::open(place.path("out")).unwrap();
    folder.lock().unwrap();
    let message = place.train("--float --steps 2 -o out --resume").failed(2);
    assert!(message.contains("another run writes to `out`"), "{message}");
}

/// A teacher that changed teaches something else.
#[test]
fn another_teacher_of_the_same_name_is_refused() {
    let place = Place::new();
    place.checkpoint("teacher", |_| {});
    let line = "--float --steps 2 --teacher teacher -o out";
    place.train(line).succeeded();
    fs::remove_dir_all(place.path("teacher")).unwrap();
    place.checkpoint("teacher", |tensors| {
        let bias = (&tensors["classifier.bias"] + 1.0).unwrap();
        tensors.insert("classifier.bias".into(), bias);
    });
    let message = place.train(&format!("{line} --resume")).failed(2);
    assert!(message.contains("the teacher is not what it was"), "{message}");
}

/// Ctrl-C ends a run after the step at hand.
#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on() {
    let place = Place::new();
    let line = "--float --learning-rate 1e-3 --steps 40 --save-every 1000 --eval dev.tsv --eval-every 1";
    place.train(&format!("{line} -o whole")).succeeded();
    let mut run = place.command(&format!("train {FILMS} {line} -o stopped"));
    run.command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = run.command.spawn().unwrap();
    let log = place.path("stopped/metrics.jsonl");
    while fs::metadata(&log).map_or(0, |file| file.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted after ") && said.contains("--resume"), "{said}");
    place.train(&format!("{line} -o stopped --resume")).succeeded();
    same(&place, "whole", "stopped");
}

#[test]
fn only_the_same_run_goes_on() {
    let place = Place::new();
    place.train("--float --steps 1 -o out").succeeded();
    for (flags, what) in [
        ("--steps 2", "length was `1` and is `2`"),
        ("--steps 1 --seed 7", "`--seed` was `42` and is `7`"),
        ("--steps 1 --learning-rate 1e-4", "`--learning-rate` was `usual` and is `1e-4`"),
        ("--steps 1 --eval dev.tsv", "`--eval` was not given"),
    ] {
        let message = place.train(&format!("--float {flags} -o out --resume")).failed(2);
        assert!(message.contains(what), "{message}");
    }
    place.write("train.tsv", &films(41));
    let message = place.train("--float --steps 1 -o out --resume").failed(2);
    assert!(message.contains("`--input` is not what it was"), "{message}");
    let said = place.train("--float --steps 1 -o new --resume").said();
    assert!(said.contains("there is nothing to go on from"), "{said}");
}
