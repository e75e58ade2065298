//! The binary from outside: what it writes where, and how it exits.

#![cfg(test)]

#[path = "support/command_line.rs"]
mod command_line;
#[path = "support/snapshot.rs"]
mod snapshot;

use command_line::{Done, Qdqc, command as qdqc};
use snapshot::check;
use std::{
    fs,
    process::{Command, Stdio},
};

/// Runs it with this on standard input.
fn given(mut qdqc: Qdqc, text: &str) -> Done {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    qdqc.command.stdin(file);
    qdqc.done()
}

#[test]
fn help_is_as_reviewed() {
    check("cli", "help", &qdqc(&["--help"]).done().succeeded());
    for (command, case) in [
        ("list", "help-list"),
        ("new", "help-new"),
        ("check", "help-check"),
        ("fmt", "help-fmt"),
        ("show", "help-show"),
        ("explain", "help-explain"),
        ("report", "help-report"),
        ("run", "help-run"),
        ("sensitivity", "help-sensitivity"),
        ("calibrate", "help-calibrate"),
        ("eval", "help-eval"),
        ("lint", "help-lint"),
    ] {
        check("cli", case, &qdqc(&[command, "--help"]).done().succeeded());
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["frobnicate"] as &[&str],
        &["list", "--nonsense"],
        &["run", "masked-lm", "-c", "tests/tiny", "--text", "a", "--input", "b"],
        &["run", "masked-lm", "-c", "tests/tiny", "--tensors", "a.safetensors"],
        &["run", "masked-lm", "-c", "tests/tiny", "--text", "a", "--batch", "0"],
        &["show", "masked-lm", "--json"],
    ] {
        let message = qdqc(arguments).done().failed(2);
        assert!(message.contains("try '--help'"), "{arguments:?}: {message}");
    }
}

#[test]
fn list_names_every_model_and_what_it_is() {
    let listed = qdqc(&["list"]).done().succeeded();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let models: Vec<&str> =
        qdqc::specs::ALL.iter().filter(|spec| spec.is_model()).map(|spec| spec.name).collect();
    assert_eq!(names, models);

    let document: serde_json::Value =
        serde_json::from_str(&qdqc(&["list", "--all", "--json"]).done().succeeded()).unwrap();
    assert_eq!(document.as_array().unwrap().len(), qdqc::specs::ALL.len());
    assert_eq!(document[0]["name"], qdqc::specs::ALL[0].name);
}

#[test]
fn new_hands_out_a_copy_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let new = |arguments: &[&str]| qdqc(arguments).within(folder.path()).done();
    let text = qdqc::specs::find("masked-lm").unwrap().text;

    new(&["new", "masked-lm"]).succeeded();
    let path = folder.path().join("masked-lm.qdq");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    fs::write(&path, "# mine").unwrap();
    let message = new(&["new", "masked-lm"]).failed(2);
    assert!(message.contains("--force"), "{message}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "# mine");
    new(&["new", "masked-lm", "--force"]).succeeded();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    assert_eq!(new(&["new", "masked-lm", "-o", "-"]).succeeded(), text);
    assert!(new(&["new", "masked-lm", "-o", "no/where.qdq"]).failed(2).contains("`no`"));
    assert!(new(&["new", "maskd-lm"]).failed(1).contains("did you mean `masked-lm`?"));
}

#[test]
fn a_spec_that_is_not_there_is_named() {
    for (argument, message) in [
        ("maskd-lm", "error: there is no file or bundled spec `maskd-lm`; did you mean `masked-lm`?\n"),
        ("nowhere/x.qdq", "error: there is no file `nowhere/x.qdq`\n"),
        ("specs", "error: `specs` is a folder, not a spec\n"),
        ("masked-lm.qdq", "error: there is no file `masked-lm.qdq`\n"),
    ] {
        for command in ["check", "show", "fmt"] {
            let said = qdqc(&[command, argument]).done();
            assert!(said.stderr.starts_with(message), "{command}: {}", said.stderr);
            assert_eq!(said.code, Some(1));
        }
    }
}

#[test]
fn color_is_for_those_who_want_it() {
    let colored = |arguments: &[&str]| qdqc(arguments).done().failed(1).contains('\u{1b}');
    assert!(!colored(&["new", "nothing"]));
    assert!(colored(&["new", "nothing", "--color", "always"]));
    assert!(!colored(&["new", "nothing", "--color", "never"]));
}

/// The reader of standard output goes away before anything is written.
#[test]
fn a_closed_pipe_is_no_failure() {
    let mut command = qdqc(&["list", "--all", "--json"]).command;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn check_finds_every_problem_and_says_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str, arguments: &[&str]| {
        fs::write(folder.path().join("mine.qdq"), text).unwrap();
        qdqc(&[&["check", "mine.qdq"], arguments].concat()).within(folder.path()).done()
    };
    let good = qdqc::specs::find("masked-lm").unwrap().text;
    let done = check(good, &[]);
    assert_eq!(done.stderr, "note: mine.qdq: no problems\n");
    assert_eq!(done.code, Some(0));

    let bad = good.replace("logits: f32", "logits: g32").replace("LanguageModelHead", "LanguageModelHed");
    let message = check(&bad, &[]).failed(1);
    assert!(message.contains("mine.qdq:"), "{message}");
    let done = check(&bad, &["--json"]);
    assert_eq!(done.code, Some(1));
    let document: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(document[0]["spec"], "mine.qdq");
    assert!(document[0]["problems"].as_array().is_some_and(|problems| !problems.is_empty()), "{document}");

    let message = check(good, &["--set", "num_attention_heads=5"]).failed(1);
    assert!(message.contains("768") && message.contains('5'), "{message}");
    assert!(check(good, &["--set", "nonsense"]).failed(2).contains("`nonsense`"));
}

#[test]
fn every_bundled_spec_has_no_problems() {
    for spec in qdqc::specs::ALL.iter().filter(|spec| spec.is_model()) {
        let done = qdqc(&["check", spec.name, "-c", "tests/tiny", "--set", "num_labels=1"]).done();
        assert_eq!((done.code, done.stderr), (Some(0), format!("note: {}: no problems\n", spec.name)));
    }
}

#[test]
fn fmt_rewrites_lists_and_pipes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.qdq");
    let fmt = |arguments: &[&str]| qdqc(&[&["fmt"], arguments].concat()).within(folder.path());
    let good = qdqc::specs::find("masked-lm").unwrap().text;
    let loose = good.replace("    let out", "  let   out");

    fs::write(&path, &loose).unwrap();
    let done = fmt(&["--check", "mine.qdq"]).done();
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), "mine.qdq\n"));
    assert_eq!(fs::read_to_string(&path).unwrap(), loose);

    assert_eq!(fmt(&["mine.qdq"]).done().succeeded(), "");
    let laid_out = fs::read_to_string(&path).unwrap();
    assert_ne!(laid_out, loose);
    assert_eq!(fmt(&["--check", "mine.qdq"]).done().succeeded(), "");
    assert_eq!(given(fmt(&["-"]), &loose).succeeded(), laid_out);

    fs::write(&path, "model {").unwrap();
    assert!(fmt(&["mine.qdq"]).done().failed(1).contains("mine.qdq:1"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "model {");
    assert!(fmt(&["masked-lm"]).done().failed(2).contains("bundled"));
}

#[test]
fn every_bundled_spec_is_laid_out() {
    let names: Vec<&str> = qdqc::specs::ALL.iter().map(|spec| spec.name).collect();
    assert_eq!(qdqc(&[&["fmt", "--check"], &names[..]].concat()).done().succeeded(), "");
}

#[test]
fn show_prints_every_stage_in_every_form() {
    let show =
        |arguments: &[&str]| qdqc(&[&["show", "masked-lm", "-c", "tests/tiny"], arguments].concat()).done();
    for stage in ["syntax", "resolve", "attach"] {
        assert!(show(&["--stage", stage]).succeeded().contains("BertForMaskedLM"), "{stage}");
    }
    for stage in ["syntax", "resolve", "unwrap"] {
        assert!(show(&["--stage", stage, "--as", "ron"]).succeeded().starts_with('('), "{stage}");
        assert!(show(&["--stage", stage, "--as", "dot"]).succeeded().starts_with("digraph"), "{stage}");
    }
    assert!(show(&[]).succeeded().contains("fake_quantize("));
    assert!(!show(&["--float"]).succeeded().contains("fake_quantize("));
    assert!(!show(&[]).succeeded().contains("output hidden_states.0"));
    assert!(show(&["--output", "hidden_states"]).succeeded().contains("output hidden_states.0"));
    assert!(show(&["--stage", "resolv"]).failed(2).contains("did you mean `resolve`?"));
}

/// The table of sites names the rule's line, and the quantizers are QDQBERT's.
#[test]
fn show_lists_sites() {
    let arguments = ["show", "masked-lm", "--set", "num_hidden_layers=1", "--sites"];
    let table = qdqc(&arguments).done().succeeded();
    let row = table.lines().find(|line| line.contains("matmul_q_input_quantizer")).unwrap();
    assert!(row.contains("lhs of scores") && row.contains("recipes/qdqbert.qdq:14:"), "{row}");

    let rows = qdqc(&[&arguments[..], &["--json"]].concat()).done().succeeded();
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    let placed = rows.as_array().unwrap().iter().filter(|row| !row["quantizer"].is_null()).count();
    assert_eq!(placed, 20);
}

#[test]
fn explain_knows_codes_operators_and_quantizers() {
    let explain = |what: &str| qdqc(&["explain", what]).done();
    for explanation in qdqc::codes::ALL {
        assert!(explain(explanation.code.0).succeeded().contains(explanation.title));
    }
    assert!(explain("softmax").succeeded().contains("softmax(x"));
    for name in [
        "matmul_q_input_quantizer",
        "bert.encoder.layer.3.attention.self.matmul_q_input_quantizer",
        "bert.encoder.layer.3.attention.self.matmul_q_input_quantizer._amax",
    ] {
        let text = explain(name).succeeded();
        assert!(text.contains("`scores`") && text.contains("recipes/qdqbert.qdq:14:"), "{text}");
    }
    assert!(explain("softmx").failed(1).contains("did you mean `softmax`?"));
    let document: serde_json::Value =
        serde_json::from_str(&qdqc(&["explain", "E0101", "--json"]).done().succeeded()).unwrap();
    assert_eq!(document["code"], "E0101");
}

/// Every bundled spec answers a text with the tiny checkpoint, quantized and in float.
#[test]
fn run_answers_texts() {
    for (spec, arguments) in [
        ("base-model", &["--text", "A good book."] as &[&str]),
        ("causal-lm", &["--text", "The king", "--max-new-tokens", "3"]),
        ("masked-lm", &["--text", "Paris is the [MASK] of France."]),
        ("next-sentence-prediction", &["--text", "He reads.", "--text-pair", "It is good."]),
        ("pre-training", &["--text", "A [MASK].", "--text-pair", "It is good."]),
        ("question-answering", &["--text", "Who wrote it?", "--text-pair", "The queen wrote the book."]),
        ("sentence-embedding", &["--text", "A good book."]),
        ("sequence-classification", &["--text", "A good book."]),
        ("token-classification", &["--text", "Paris is good."]),
    ] {
        let line = [&["run", spec, "-c", "tests/tiny", "--json"], arguments].concat();
        let answer: serde_json::Value = serde_json::from_str(&qdqc(&line).done().succeeded()).unwrap();
        assert!(answer.as_object().is_some_and(|answer| answer.len() > 1), "{spec}: {answer}");
        let line = [&["run", spec, "-c", "tests/tiny", "--float"], arguments].concat();
        assert!(!qdqc(&line).done().succeeded().trim().is_empty(), "{spec}");
    }
}

/// A bad record is reported with its line; the rest are answered, in order.
#[test]
fn run_goes_on_after_a_bad_record() {
    let records = "{\"id\": 7, \"text\": \"good\"}\n{broken\n\n{\"id\": 8, \"text\": \"bad\"}\n";
    let run =
        ["run", "sequence-classification", "-c", "tests/tiny", "--input", "-", "--json", "--batch", "1"];
    let done = given(qdqc(&run), records);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let ids: Vec<i64> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [7, 8]);
    assert!(done.stderr.contains("line 2: "), "{}", done.stderr);
}

#[test]
fn run_takes_and_gives_named_tensors() {
    use candle_core::{Device, Tensor, safetensors};
    let folder = tempfile::tempdir().unwrap();
    let (given, results) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
    let ids = Tensor::new(&[[2_i64, 140, 150, 3]], &Device::Cpu).unwrap();
    safetensors::save(&[("input_ids", ids)].into(), &given).unwrap();
    let run = |flags: &[&str]| {
        let paths = ["--tensors", given.to_str().unwrap(), "-o", results.to_str().unwrap()];
        qdqc(&[&["run", "masked-lm", "-c", "tests/tiny"], &paths[..], flags].concat()).done()
    };
    run(&["--float", "--hidden-states", "--attentions"]).succeeded();
    let outputs = safetensors::load(&results, &Device::Cpu).unwrap();
    let mut names: Vec<&str> = outputs.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["attentions.0", "attentions.1", "hidden_states.0", "hidden_states.1", "hidden_states.2", "logits"]
    );
    assert_eq!(outputs["hidden_states.2"].dims(), [1, 4, 32]);

    let first = fs::read(&results).unwrap();
    run(&["--float", "--hidden-states", "--attentions"]).succeeded();
    assert!(fs::read(&results).unwrap() == first, "the same input gives the same bytes");
    run(&["--set", "hidden_act=cosine"]).failed(1);
    assert!(fs::read(&results).unwrap() == first, "a run that fails leaves the file");
}

#[test]
fn run_says_what_is_wrong_with_its_input() {
    let run = |arguments: &[&str]| qdqc(&[&["run", "masked-lm"], arguments].concat()).done();
    assert!(run(&["-c", "./nowhere", "--text", "a"]).failed(1).contains("./nowhere"));
    assert!(run(&["-c", "tests/tiny", "--text", "a", "--device", "abacus"]).failed(2).contains("`abacus`"));
    assert!(run(&["-c", "tests/tiny", "--text", "no mask"]).failed(1).contains("[MASK]"));
    assert!(run(&["-c", "tests/tiny", "--input", "nowhere.csv"]).failed(1).contains("nowhere.csv"));
    let done = run(&["-c", "tests/tiny", "--text", "a [MASK]", "--set", "hidden_atc=relu"]);
    assert!(done.stderr.contains("did you mean `hidden_act`?"), "{}", done.stderr);
    let message = run(&["-c", "tests/tiny", "--text", "a [MASK]", "--set", "hidden_size=64"]).failed(1);
    assert!(message.contains("word_embeddings"), "{message}");
}

/// An edited copy runs as it is, its `use` found in the binary.
#[test]
fn an_edited_copy_runs() {
    let folder = tempfile::tempdir().unwrap();
    qdqc(&["new", "masked-lm", "-o", "mine.qdq"]).within(folder.path()).done().succeeded();
    let path = folder.path().join("mine.qdq");
    let text = fs::read_to_string(&path).unwrap().replace("use \"recipes/qdqbert.qdq\"\n", "");
    fs::write(&path, text).unwrap();
    let mine = path.to_str().unwrap();
    assert!(!qdqc(&["show", mine]).done().succeeded().contains("fake_quantize("));
    let answer = |spec: &str, flags: &[&str]| {
        let line = [&["run", spec, "-c", "tests/tiny", "--text", "A [MASK].", "--json"], flags].concat();
        qdqc(&line).done().succeeded()
    };
    assert_eq!(answer(mine, &[]), answer("masked-lm", &["--float"]));
}

/// Ctrl-C keeps the answers so far, and the exit code tells.
#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_its_answers() {
    use std::io::{BufRead, BufReader, Write};
    let arguments = ["run", "sequence-classification", "-c", "tests/tiny", "--input", "-", "--batch", "1"];
    let mut command = qdqc(&arguments).command;
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut records = child.stdin.take().unwrap();
    writeln!(records, "a good book").unwrap();
    writeln!(records, "a bad book").unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert!(!first.trim().is_empty());

    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    // The file goes on for as long as anyone reads it.
    while child.try_wait().unwrap().is_none() {
        if writeln!(records, "another book").is_err() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8(output.stderr).unwrap().contains("interrupted after"));
}
