//! `qdqc calibrate` from outside: what it writes, how it goes on, what it refuses.

#![cfg(test)]

#[path = "support/command_line.rs"]
mod command_line;

use candle_core::{DType, Device, Tensor, safetensors};
use command_line::{Done, Qdqc, command};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

/// A folder with texts to calibrate on, in which commands are run.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let words = ["paris", "the king", "a good book", "london is great", "war and peace", "dog"];
        let texts: String = (0..14)
            .map(|at| format!("{} {} {}\n", words[at % 6], words[at * 5 % 6], words[at / 6]))
            .collect();
        fs::write(folder.path().join("texts.txt"), texts).unwrap();
        Place { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `qdqc calibrate` of the tiny encoder with these arguments.
    fn calibrate(&self, arguments: &str) -> Done {
        self.run(&format!("calibrate sentence-embedding -c {TINY} --batch 2 {arguments}"))
    }

    fn run(&self, line: &str) -> Done {
        command(&line.split_whitespace().collect::<Vec<_>>()).within(self.folder.path()).done()
    }

    /// What a calibration writes, whole.
    fn calibrated(&self, folder: &str) -> [Vec<u8>; 3] {
        ["statistics.safetensors", "model.safetensors", "calibration.ron"]
            .map(|name| self.bytes(&format!("{folder}/{name}")))
    }

    fn tensors(&self, name: &str) -> HashMap<String, Tensor> {
        safetensors::load(self.path(name), &Device::Cpu).unwrap()
    }

    fn amax(&self, folder: &str, quantizer: &str) -> Vec<f32> {
        let tensors = self.tensors(&format!("{folder}/model.safetensors"));
        let tensor = &tensors[&format!("bert.{quantizer}._amax")];
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The tiny checkpoint with some tensors changed, as a folder.
    fn checkpoint(&self, name: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        for file in ["config.json", "tokenizer_config.json", "vocab.txt"] {
            fs::copy(Path::new(TINY).join(file), folder.join(file)).unwrap();
        }
        let weights = Path::new(TINY).join("model.safetensors");
        let mut tensors = safetensors::load(weights, &Device::Cpu).unwrap();
        change(&mut tensors);
        safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
    }
}

/// The spec of the tiny encoder with other quantizers.
fn recipe(rules: &str) -> String {
    format!("quantize mine {{\n{rules}\n}}\n")
}

/// Started, what it says kept for its end.
#[cfg(unix)]
fn start(mut qdqc: Qdqc) -> std::process::Child {
    use std::process::Stdio;
    qdqc.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

const QUERY: &str = "encoder.layer.0.attention.self.query._input_quantizer";
const GELU: &str = "encoder.layer.0.output.dense._input_quantizer";

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

#[cfg(unix)]
#[test]
fn a_killed_calibration_resumes() {
    let place = Place::new();
    let texts: String = (0..2000).map(|at| format!("the king says {at} and the queen says {at}\n")).collect();
    place.write("many.txt", &texts);
    place.calibrate("--input many.txt --max-samples 40 -o whole").succeeded();
    let kill = |signal: &str| {
        let line =
            format!("calibrate sentence-embedding -c {TINY} --batch 2 --input many.txt -o killed --force");
        let line: Vec<&str> = line.split(' ').collect();
        let mut child = start(command(&line).within(place.folder.path()));
        while !place.path("killed/statistics.safetensors").exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended without statistics");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let sent =
            std::process::Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        child.wait_with_output().unwrap()
    };
    assert_eq!(kill("-KILL").status.code(), None);
    assert!(!place.path("killed/model.safetensors").exists());
    let unfinished = place.calibrate("--merge killed/statistics.safetensors -o no").failed(1);
    assert!(unfinished.contains("was interrupted after") && unfinished.contains("--resume"), "{unfinished}");
    let earlier = place.calibrate("--input many.txt -o killed").failed(2);
    assert!(earlier.contains("--resume") && earlier.contains("--force"), "{earlier}");
    for (flags, what) in [
        ("--input texts.txt", "another data"),
        ("--input many.txt --max-samples 7", "another number of records"),
        ("--input many.txt --parity", "another way of counting"),
    ] {
        let message = place.calibrate(&format!("{flags} -o killed --resume")).failed(1);
        assert!(message.contains(what) && message.contains("--force"), "{message}");
    }
    place.write("fewer.qdq", &recipe("quantizer a = int8()\nattach a to input of Linear under Encoder"));
    let message = place.calibrate("--input many.txt --recipe fewer.qdq -o killed --resume").failed(1);
    assert!(message.contains("another set of quantizers"), "{message}");

    fs::remove_dir_all(place.path("killed")).unwrap();
    let output = kill("-INT");
    assert_eq!(output.status.code(), Some(130));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("interrupted after") && said.contains("--resume"), "{said}");
    assert!(!place.path("killed/model.safetensors").exists());
}

/// From any batch on: what an interrupted run left is what a shorter one counted.
#[cfg(unix)]
#[test]
fn a_resumed_calibration_gives_what_an_uninterrupted_one_gives() {
    let place = Place::new();
    place.calibrate("--input texts.txt -o whole").succeeded();
    let line = format!("calibrate sentence-embedding -c {TINY} --batch 2 --input texts.txt -o killed");
    let mut kills = 0;
    // Killed at once each time that it has come further, until it is done.
    loop {
        let before =
            fs::metadata(place.path("killed/statistics.safetensors")).and_then(|file| file.modified()).ok();
        let flags = if before.is_some() { format!("{line} --resume") } else { line.clone() };
        let flags: Vec<&str> = flags.split(' ').collect();
        let mut child = start(command(&flags).within(place.folder.path()));
        let done = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            let now = fs::metadata(place.path("killed/statistics.safetensors"))
                .and_then(|file| file.modified())
                .ok();
            if now != before {
                child.kill().unwrap();
                break child.wait().unwrap().code().map(|_| child.wait().unwrap());
            }
            std::thread::sleep(std::time::Duration::from_micros(300));
        };
        match done {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => kills += 1,
        }
    }
    assert!(kills > 0);
    assert!(place.calibrated("whole") == place.calibrated("killed"), "after {kills} kills");
    place.calibrate("--input texts.txt -o killed --resume").succeeded();
    assert!(place.calibrated("whole") == place.calibrated("killed"));
    let names: Vec<_> =
        fs::read_dir(place.path("killed")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let left = names.iter().filter(|name| !name.to_str().unwrap().starts_with(".qdqc-")).count();
    assert_eq!(left, 6, "{names:?}");
}

/// The folder is a checkpoint as QDQBERT saves it.
#[test]
fn what_is_written_loads_back() {
    let place = Place::new();
    place.calibrate("--input texts.txt -o made").succeeded();
    let (before, after) = (
        safetensors::load(Path::new(TINY).join("model.safetensors"), &Device::Cpu).unwrap(),
        place.tensors("made/model.safetensors"),
    );
    let mut names: [Vec<&String>; 2] = [&before, &after].map(|tensors| tensors.keys().collect());
    names.iter_mut().for_each(|names| names.sort());
    assert_eq!(names[0], names[1]);
    for (name, tensor) in &after {
        let old = &before[name];
        assert_eq!(tensor.dims(), old.dims(), "{name}");
        assert_eq!(tensor.dtype(), DType::F32);
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Activation ranges of the tiny checkpoint are made up, those of weights are not.
        let replaced = name.ends_with("_input_quantizer._amax");
        assert_eq!(flat(tensor) != flat(old), replaced, "{name}");
    }
    for name in ["tokenizer_config.json", "vocab.txt"] {
        assert!(place.bytes(&format!("made/{name}")) == fs::read(Path::new(TINY).join(name)).unwrap());
    }
    let answer = |checkpoint: &str, flags: &str| {
        place.run(&format!("run sentence-embedding -c {checkpoint} --text book {flags}")).succeeded()
    };
    assert_eq!(answer("made", "--float"), answer(TINY, "--float"));
    assert_ne!(answer("made", "--threads 1"), answer(TINY, "--threads 1"));
    assert_eq!(answer("made", "--threads 1"), answer(TINY, "--amax made/model.safetensors"));
    let table: ron::Value =
        ron::from_str(&String::from_utf8(place.bytes("made/calibration.ron")).unwrap()).unwrap();
    assert!(format!("{table:?}").contains(QUERY));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        place.write("usual", "");
        let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode();
        for entry in fs::read_dir(place.path("made")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert_eq!(mode(&format!("made/{name}")), mode("usual"), "{name}");
        }
    }
}

/// Names are today's, whatever the source calls its tensors; ranges have the prefix
/// that the weights have.
#[test]
fn names_follow_the_source() {
    let place = Place::new();
    let rename = |change: fn(&str) -> Option<String>| {
        move |tensors: &mut HashMap<String, Tensor>| {
            let all = std::mem::take(tensors);
            tensors.extend(all.into_iter().filter_map(|(name, tensor)| Some((change(&name)?, tensor))));
        }
    };
    place.checkpoint(
        "bare",
        rename(|name| name.strip_prefix("bert.").filter(|name| !name.ends_with("_amax")).map(str::to_owned)),
    );
    place.checkpoint(
        "old",
        rename(|name| {
            let name = name
                .replace("LayerNorm.weight", "LayerNorm.gamma")
                .replace("LayerNorm.bias", "LayerNorm.beta");
            (!name.ends_with("_amax")).then(|| format!("module.{name}"))
        }),
    );
    let run = |source: &str| {
        place
            .run(&format!(
                "calibrate sentence-embedding -c {source} --batch 2 --input texts.txt -o {source}.int8"
            ))
            .succeeded();
        let tensors = place.tensors(&format!("{source}.int8/model.safetensors"));
        let mut names: Vec<String> = tensors.into_keys().collect();
        names.sort();
        names
    };
    let bare = run("bare");
    assert!(bare.iter().all(|name| !name.starts_with("bert.")), "{bare:?}");
    assert!(bare.contains(&format!("{QUERY}._amax")));
    let old = run("old");
    let with_prefix = |name: &String| format!("bert.{name}");
    assert!(bare.iter().map(with_prefix).all(|name| old.contains(&name)), "{old:?}");
    assert!(old.iter().all(|name| !name.starts_with("module.") && !name.ends_with("gamma")), "{old:?}");
    let answer =
        |folder: &str| place.run(&format!("run sentence-embedding -c {folder} --text book")).succeeded();
    assert_eq!(answer("bare.int8"), answer("old.int8"));
}

/// Files that are not safetensors, or several, become one folder like any other.
#[test]
fn every_format_of_weights_is_calibrated() {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/formats");
    if !formats.is_dir() {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "SKIPPED: the reference set {} is not here", formats.display());
        return;
    }
    let place = Place::new();
    let inputs = formats.join("inputs.safetensors").display().to_string();
    let mut made = Vec::new();
    for format in [
        "safetensors",
        "bin",
        "bin_legacy_pickle",
        "sharded_bin",
        "sharded_safetensors",
        "legacy_gamma_beta_bin",
    ] {
        let source = formats.join(format).display().to_string();
        place
            .run(&format!("calibrate sequence-classification -c {source} --tensors {inputs} -o {format}"))
            .succeeded();
        made.push(place.tensors(&format!("{format}/model.safetensors")));
    }
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for tensors in &made[1..] {
        for (name, tensor) in made[0].iter().filter(|(name, _)| name.ends_with("_amax")) {
            assert_eq!(flat(tensor), flat(&tensors[name]), "{name}");
        }
    }
}

/// A tie, a limit and a fixed range hold in what is written, whatever the method.
#[test]
fn what_the_spec_demands_of_ranges_holds() {
    let place = Place::new();
    let rules = "quantizer a = int8()\nquantizer one = int8(amax: 1.5)\n\
        attach a to input of Linear at layer.0.output\n\
        attach one to lhs of context in SelfAttention as matmul_a_input_quantizer\n\
        attach a to lhs of scores in SelfAttention as matmul_q_input_quantizer\n\
        attach a to rhs of scores in SelfAttention as matmul_k_input_quantizer\n\
        tie lhs, rhs of scores in SelfAttention\n\
        limit input of dense at layer.0.output to 0.25";
    place.write("ranges.qdq", &recipe(rules));
    place.write(
        "free.qdq",
        &recipe(
            &rules
                .lines()
                .filter(|line| !line.starts_with("tie") && !line.starts_with("limit"))
                .collect::<Vec<_>>()
                .join("\n"),
        ),
    );
    place.calibrate("--recipe free.qdq --input texts.txt -o free").succeeded();
    let at =
        |folder: &str, own: &str| place.amax(folder, &format!("encoder.layer.0.attention.self.{own}"))[0];
    let (q, k) = (at("free", "matmul_q_input_quantizer"), at("free", "matmul_k_input_quantizer"));
    assert!(q != k && place.amax("free", GELU)[0] > 0.25);
    for method in ["max", "percentile=99", "entropy", "mse"] {
        let line = format!(
            "--recipe ranges.qdq --merge free/statistics.safetensors --method {method} --force -o held"
        );
        let table = place.calibrate(&format!("{line} --json")).succeeded();
        assert!(place.amax("held", GELU)[0] <= 0.25, "{method}");
        assert_eq!(
            at("held", "matmul_q_input_quantizer"),
            at("held", "matmul_k_input_quantizer"),
            "{method}"
        );
        assert_eq!(at("held", "matmul_a_input_quantizer"), 1.5);
        assert!(table.contains("\"fixed\"") && table.contains("\"tie\""), "{table}");
    }
    place.calibrate("--recipe ranges.qdq --merge free/statistics.safetensors --force -o held").succeeded();
    assert_eq!(at("held", "matmul_q_input_quantizer"), q.max(k));
    assert_eq!(place.amax("held", GELU), [0.25]);
    // A checkpoint that breaks them is held to them when it is loaded.
    let answer = |folder: &str, recipe: &str| {
        place.run(&format!("run sentence-embedding -c {folder} --recipe {recipe} --text book")).succeeded()
    };
    assert_eq!(answer("free", "ranges.qdq"), answer("held", "ranges.qdq"));
    assert_ne!(answer("free", "free.qdq"), answer("held", "free.qdq"));
}

/// Single channels, and statistics of another number of ranges.
#[test]
fn ranges_have_the_shape_that_the_spec_says() {
    let place = Place::new();
    place.write("channels.qdq", &recipe("quantizer a = int8(axis: -1)\nquantizer w = int8(axis: 0)\nattach a to input of Linear under Encoder\nattach w to weight of Linear under Encoder"));
    place.write("one.qdq", &recipe("quantizer a = int8()\nattach a to input of Linear under Encoder"));
    place.calibrate("--recipe channels.qdq --input texts.txt -o channels").succeeded();
    let made = place.tensors("channels/model.safetensors");
    assert_eq!(made[&format!("bert.{QUERY}._amax")].dims(), [1, 1, 32]);
    let message = place.calibrate("--recipe one.qdq --merge channels/statistics.safetensors -o no").failed(1);
    assert!(
        message.contains("counted for 32 channels, and it has 1") && message.contains("one.qdq:3"),
        "{message}"
    );
    assert!(!place.path("no").exists());
    assert!(!message.contains("what was observed is in"), "{message}");
}

/// All quantizers without a range, by rule and reason; what was observed is kept.
#[test]
fn quantizers_without_a_range_are_named() {
    let place = Place::new();
    place.checkpoint("broken", |tensors| {
        for (name, value) in
            [("0.intermediate.dense.weight", f32::NAN), ("1.attention.self.value.weight", 0.0)]
        {
            let name = format!("bert.encoder.layer.{name}");
            let value = Tensor::full(value, tensors[&name].dims(), &Device::Cpu).unwrap();
            tensors.insert(name, value);
        }
    });
    place.write("mine.qdq", &recipe("quantizer w = int8(axis: 0)\nquantizer u = uint8()\nattach w to weight of Linear under Encoder\nattach u to input of query in SelfAttention"));
    let line = "calibrate sentence-embedding -c broken --recipe mine.qdq --input texts.txt -o out";
    let message = place.run(line).failed(1);
    assert_eq!(message.matches("error[E0406]").count(), 4, "{message}");
    for part in ["it saw NaN", "it saw only zeros", "it is unsigned", "mine.qdq:4", "mine.qdq:5", "--merge"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(place.path("out/statistics.safetensors").exists());
    for name in ["model.safetensors", "calibration.ron", "config.json"] {
        assert!(!place.path("out").join(name).exists(), "{name}");
    }
    place.write("more.qdq", &recipe("quantizer a = int8()\nattach a to input of Linear"));
    let message = place.run("calibrate sentence-embedding -c broken --recipe more.qdq --merge out/statistics.safetensors -o no").failed(1);
    assert!(message.contains("it saw no values"), "{message}");
}

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

/// Inputs besides the usual ones lead to more quantizers, and have them calibrated.
#[test]
fn other_inputs_have_their_quantizers_calibrated() {
    let place = Place::new();
    let own = "dim batch\nmodule Linear(in: int, out: int) on (input: f32[batch, in]) -> f32[batch, out] {\n\
        weight: f32[out, in]\nreturn input @ transpose(weight, axes: [1, 0])\n}\n\
        model M(x: f32[batch, 32], more: f32[batch, 32]?) -> (y: f32[batch, 3], z: f32[batch, 2]?) {\n\
        classifier: Linear(32, 3)\nqa_outputs: Linear(32, 2)\n\
        return (y: classifier(x), z: if given(more) then qa_outputs(more) else none)\n}\n";
    place.write(
        "mine.qdq",
        &format!("{own}{}", recipe("quantizer a = int8()\nattach a to input, weight of Linear")),
    );
    let tensor = |value: f32| Tensor::full(value, (2, 32), &Device::Cpu).unwrap();
    let save = |name: &str, tensors: &[(&str, f32)]| {
        let tensors: HashMap<_, _> = tensors.iter().map(|(name, value)| (*name, tensor(*value))).collect();
        safetensors::save(&tensors, place.path(name)).unwrap();
    };
    save("both.safetensors", &[("x", 1.0), ("more", 2.0)]);
    save("one.safetensors", &[("x", 3.0)]);
    let ranges = |folder: &str| {
        let tensors = place.tensors(&format!("{folder}/model.safetensors"));
        let ranges = tensors.iter().filter(|(name, _)| name.ends_with("_input_quantizer._amax"));
        let mut ranges: Vec<(String, f32)> =
            ranges.map(|(name, amax)| (name.clone(), amax.to_scalar().unwrap())).collect();
        ranges.retain(|(name, _)| !name.contains("encoder"));
        ranges.sort_by(|a, b| a.0.cmp(&b.0));
        ranges
    };
    let expected = [("classifier._input_quantizer._amax", 3.0), ("qa_outputs._input_quantizer._amax", 2.0)]
        .map(|(name, amax)| (name.to_owned(), amax));
    let both = "--tensors both.safetensors --tensors one.safetensors";
    let line = format!("calibrate mine.qdq -c {TINY}");
    place.run(&format!("{line} {both} -o both")).succeeded();
    assert_eq!(ranges("both"), expected);
    for part in 1..=2 {
        place.run(&format!("{line} {both} --shard {part}/2 -o part{part}")).succeeded();
    }
    place.run(&format!("{line} --merge part2 part1 -o merged")).succeeded();
    assert!(place.calibrated("merged") == place.calibrated("both"));
    place.run(&format!("{line} --tensors one.safetensors -o one")).succeeded();
    assert_eq!(ranges("one"), expected[..1]);
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
