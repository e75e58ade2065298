//! Checkpoints from disk: every format gives the same tensors, a spec's wants are
//! met or reported together, and damaged files are refused.

#![cfg(test)]

use candle_core::{DType, Device, Tensor};
use qdqc::{
    checkpoint::{Checkpoint, Fresh, HubOptions, Pattern, Progress, Wanted},
    codes,
    diagnostic::Diagnostics,
    failure::Failure,
    span::{FileId, Span},
};
use safetensors::{Dtype, tensor::TensorView};
use std::io::Write;
use std::{
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

fn no_hub() -> HubOptions {
    HubOptions {
        endpoint: "http://127.0.0.1:1".into(),
        cache: PathBuf::from("no-such-cache"),
        token: None,
        offline: true,
        progress: Progress::Silent,
    }
}

fn open(path: &Path) -> Result<Checkpoint, Failure> {
    Checkpoint::open(path.to_str().unwrap(), &no_hub())
}

fn wanted(path: &str, shape: &[usize]) -> Wanted {
    Wanted { path: path.into(), shape: shape.to_vec(), ..Wanted::default() }
}

fn load(checkpoint: &Checkpoint, wanted: &[Wanted]) -> Result<qdqc::checkpoint::Loaded, Failure> {
    checkpoint.load(wanted, &Device::Cpu, DType::F32)
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A safetensors file of f32 tensors, each filled with 0, 1, 2...
fn write(path: &Path, tensors: &[(&str, &[usize])]) {
    let data: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, shape)| (0..shape.iter().product()).flat_map(|i: usize| (i as f32).to_le_bytes()).collect())
        .collect();
    let views = tensors
        .iter()
        .zip(&data)
        .map(|((name, shape), data)| (*name, TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A folder with this config and these tensors.
fn folder(config: &str, tensors: &[(&str, &[usize])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config).unwrap();
    write(&folder.path().join("model.safetensors"), tensors);
    folder
}

fn diagnostics(result: Result<qdqc::checkpoint::Loaded, Failure>) -> Diagnostics {
    match result {
        Err(Failure::Diagnostics(list)) => list,
        Err(other) => panic!("not diagnostics: {other}"),
        Ok(_) => panic!("loaded"),
    }
}

/// The folder of reference data, where this checkout has one beside it.
fn shared(path: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if !folder.exists() {
        // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no {}", folder.display());
    }
    folder.exists().then_some(folder)
}

#[test]
fn every_format_gives_the_same_tensors() {
    let Some(formats) = shared("reference/formats") else { return };
    let original = open(&formats.join("safetensors")).unwrap();
    let all: Vec<Wanted> = {
        let weights = original.weights().unwrap();
        weights.tensors().map(|(name, file)| wanted(name, &file.get(name).unwrap().shape)).collect()
    };
    let (expected, _) = load(&original, &all).unwrap();
    let case: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(formats.join("case.json")).unwrap()).unwrap();
    let listed = case["formats"].as_object().unwrap();
    for (format, about) in listed {
        let expect = about["expect"].as_str().unwrap();
        let trunk_only = expect == "backbone" || expect.starts_with("heads of");
        let all: Vec<Wanted> =
            all.iter().filter(|w| !trunk_only || w.path.starts_with("bert.")).cloned().collect();
        let (loaded, _) = load(&open(&formats.join(format)).unwrap(), &all).unwrap();
        assert_eq!(loaded.len(), all.len(), "{format}");
        for (name, tensor) in &loaded {
            let stored = match expect {
                "float16" => DType::F16,
                "bfloat16" => DType::BF16,
                _ => DType::F32,
            };
            let expected = expected[name].to_dtype(stored).unwrap().to_dtype(DType::F32).unwrap();
            assert_eq!(values(tensor), values(&expected), "{format}: {name}");
        }
    }
    let folders = fs::read_dir(&formats).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(folders.count(), listed.len(), "every folder is listed");
}

#[test]
fn ranges_load_and_can_be_laid_over() {
    let Some(formats) = shared("reference/formats") else { return };
    let name = "bert.encoder.layer.0.output.dense._weight_quantizer._amax";
    let input = "encoder.layer.0.output.dense._input_quantizer._amax";
    let all = [wanted(name, &[32, 1]), wanted(input, &[1])];
    let (from_bin, _) = load(&open(&formats.join("quant_amax_bin")).unwrap(), &all).unwrap();
    let mut checkpoint = open(&formats.join("quant_amax_safetensors")).unwrap();
    let (own, notes) = load(&checkpoint, &all).unwrap();
    assert_eq!(values(&own[name]), values(&from_bin[name]));
    assert_eq!(values(&own[input]), values(&from_bin[input]));
    assert!(notes.iter().any(|note| note.0.starts_with("18 ranges")), "{notes:?}");

    let folder = tempfile::tempdir().unwrap();
    let over = folder.path().join("amax.safetensors");
    write(&over, &[("encoder.layer.0.output.dense._weight_quantizer._amax", &[32]), ("other", &[1])]);
    checkpoint.overlay(&over).unwrap();
    let (laid, _) = load(&checkpoint, &all).unwrap();
    assert_eq!(laid[name].dims(), [32, 1]);
    assert_eq!(values(&laid[name])[31], 31.0);
    let (halves, _) = checkpoint.load(&all, &Device::Cpu, DType::BF16).unwrap();
    assert_eq!(halves[name].dtype(), DType::F32, "scales are derived in f32");
    assert_eq!(values(&laid[input]), values(&own[input]));

    write(&over, &[("encoder.layer.0.output.dense.weight", &[2])]);
    assert!(
        checkpoint.overlay(&over).unwrap_err().to_string().contains("no tensor whose name ends in `_amax`")
    );
}

#[test]
fn names_are_found_however_they_were_saved() {
    let folder = folder(
        "{}",
        &[
            ("module.bert.embeddings.LayerNorm.gamma", &[2]),
            ("bert.embeddings.LayerNorm.beta", &[2]),
            ("encoder.layer.0.output.dense.weight", &[3, 2]),
            ("cls.predictions.decoder.weight", &[4, 2]),
            ("bert.embeddings.position_ids", &[1, 4]),
        ],
    );
    let mut table = wanted("bert.embeddings.word_embeddings.weight", &[4, 2]);
    table.tied = vec!["cls.predictions.decoder.weight".into()];
    let all = [
        wanted("embeddings.LayerNorm.weight", &[2]),
        wanted("bert.embeddings.LayerNorm.bias", &[2]),
        wanted("bert.encoder.layer.0.output.dense.weight", &[3, 2]),
        table,
        Wanted { optional: true, ..wanted("bert.pooler.dense.weight", &[2, 2]) },
    ];
    let (loaded, notes) = load(&open(folder.path()).unwrap(), &all).unwrap();
    assert_eq!(loaded.len(), 4);
    assert_eq!(values(&loaded["bert.embeddings.word_embeddings.weight"])[7], 7.0);
    let notes: Vec<&str> = notes.iter().map(|note| note.0.as_str()).collect();
    assert_eq!(
        notes,
        ["model.safetensors also holds `embeddings.position_ids`, which this spec has no use for"]
    );
}

#[test]
fn problems_are_reported_together_at_their_places() {
    let folder = folder(
        r#"{"architectures": ["BertModel"], "hidden_size": 4, "num_hidden_layers": 3}"#,
        &[
            ("embeddings.word_embeddings.weight", &[5, 8]),
            ("encoder.layer.0.dense.weight", &[4, 4]),
            ("encoder.layer.0.dense.bias", &[4]),
        ],
    );
    let span = |start| Some(Span { file: FileId(0), start, end: start + 1 });
    let layers = ["1", "2"].map(|layer| {
        ["weight", "bias"].map(|name| wanted(&format!("bert.encoder.layer.{layer}.dense.{name}"), &[4]))
    });
    let mut all = vec![
        Wanted { span: span(1), ..wanted("bert.embeddings.word_embeddings.weight", &[5, 4]) },
        Wanted { span: span(2), ..wanted("bert.encoder.layer.0.dense.weight", &[4, 4]) },
        Wanted { span: span(3), ..wanted("bert.encoder.layer.0.dense.bias", &[4]) },
        Wanted { span: span(4), ..wanted("bert.encoder.layer.0.dense.scale", &[4]) },
        Wanted { span: span(5), ..wanted("classifier.weight", &[2, 4]) },
        Wanted { span: span(6), ..wanted("classifier.bias", &[2]) },
        Wanted { span: span(7), ..wanted("bert.encoder.layer.0.dense._input_quantizer._amax", &[]) },
    ];
    all.extend(layers.into_iter().flatten());
    let found = diagnostics(load(&open(folder.path()).unwrap(), &all));
    let text: Vec<String> = found
        .iter()
        .map(|d| format!("{} {:?} {}", d.code.0, d.span.map(|span| span.start), d.message))
        .collect();
    assert_eq!(
        text,
        [
            "E0402 Some(5) both tensors of `classifier` are missing from model.safetensors",
            "E0402 None all 4 tensors of `encoder.layer` 1 to 2 are missing from model.safetensors",
            "E0401 Some(4) `bert.encoder.layer.0.dense.scale` is not in model.safetensors",
            "E0405 Some(7) `bert.encoder.layer.0.dense._input_quantizer` has no range in model.safetensors",
            "E0403 Some(1) `bert.embeddings.word_embeddings.weight`: f32[5, 4] in the spec, [5, 8] in \
             model.safetensors",
        ]
    );
    let help = |index: usize| found.iter().nth(index).unwrap().help.clone().unwrap();
    assert!(help(0).contains("saved as BertModel"), "{}", help(0));
    assert!(help(1).contains("has 3 of `encoder.layer` (`num_hidden_layers` in"), "{}", help(1));
    assert!(help(1).contains("the checkpoint 1"), "{}", help(1));
    let notes = &found.iter().nth(4).unwrap().notes;
    assert!(notes[0].starts_with("4 in the spec, 8 in the checkpoint: `hidden_size` is 4 in"), "{notes:?}");
}

#[test]
fn a_config_of_another_model_is_one_problem() {
    let shapes: Vec<String> = (0..9).map(|layer| format!("encoder.layer.{layer}.dense.weight")).collect();
    let tensors: Vec<(&str, &[usize])> =
        shapes.iter().map(|name| (name.as_str(), &[3usize, 3][..])).collect();
    let folder = folder(r#"{"hidden_size": 4}"#, &tensors);
    let all: Vec<Wanted> = shapes.iter().map(|name| wanted(name, &[4, 4])).collect();
    let found = diagnostics(load(&open(folder.path()).unwrap(), &all));
    assert_eq!(found.len(), 1);
    let only = found.iter().next().unwrap();
    assert_eq!(only.message, "9 tensors have other shapes in model.safetensors");
    assert!(only.notes.iter().any(|note| note.contains("`hidden_size` is 4")), "{:?}", only.notes);
}

#[test]
fn a_checkpoint_of_something_else_is_one_problem() {
    let folder = folder("{}", &[("transformer.h.0.attn.weight", &[2])]);
    let all = [wanted("embeddings.weight", &[2]), wanted("pooler.weight", &[2])];
    let found = diagnostics(load(&open(folder.path()).unwrap(), &all));
    let only = found.iter().next().unwrap();
    assert_eq!((found.len(), only.code), (1, codes::MISSING_PART));
    assert_eq!(only.message, "none of the spec's 2 tensors is in model.safetensors");
}

#[test]
fn a_range_of_another_kind_says_how_it_was_calibrated() {
    let folder = folder("{}", &[("dense._weight_quantizer._amax", &[4, 1]), ("dense.weight", &[4, 4])]);
    let all = [wanted("dense.weight", &[4, 4]), wanted("dense._weight_quantizer._amax", &[])];
    let found = diagnostics(load(&open(folder.path()).unwrap(), &all));
    assert!(found.iter().next().unwrap().help.as_deref().unwrap().contains("a range per channel"));
}

#[test]
fn a_file_of_weights_is_opened_beside_its_config() {
    let folder = folder("{}", &[("a", &[1])]);
    write(&folder.path().join("other.safetensors"), &[("b", &[1])]);
    let checkpoint = open(&folder.path().join("other.safetensors")).unwrap();
    assert!(load(&checkpoint, &[wanted("b", &[1])]).is_ok());
    assert_eq!(checkpoint.folder().path(), Some(folder.path()));
    assert_eq!(checkpoint.file("tokenizer.json"), None);
    fs::remove_file(folder.path().join("config.json")).unwrap();
    let failure = open(&folder.path().join("other.safetensors")).err().unwrap();
    assert!(failure.to_string().contains("there is no config.json beside"), "{failure}");
}

#[test]
fn what_is_absent_is_named() {
    let nowhere = open(Path::new("./no/such/folder")).err().unwrap();
    assert_eq!(nowhere.to_string(), "there is no file or folder ./no/such/folder");
    let folder = tempfile::tempdir().unwrap();
    let message = |folder: &Path| open(folder).and_then(|c| c.weights().map(drop)).unwrap_err().to_string();
    assert!(message(folder.path()).contains("there is no config.json in"));
    fs::create_dir(folder.path().join("config.json")).unwrap();
    assert!(message(folder.path()).ends_with("config.json is a folder, not a file"));
    fs::remove_dir(folder.path().join("config.json")).unwrap();
    fs::write(folder.path().join("config.json"), "[]").unwrap();
    assert!(message(folder.path()).ends_with("a config is an object of fields, not a list"));
    fs::write(folder.path().join("config.json"), "{\n\"a\": }").unwrap();
    assert!(
        message(folder.path()).contains("config.json:2:6: this is not JSON"),
        "{}",
        message(folder.path())
    );
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    assert!(message(folder.path()).contains("there is none of model.safetensors, "));
    fs::write(folder.path().join("tf_model.h5"), "").unwrap();
    let failure = open(folder.path()).unwrap().weights().unwrap_err();
    assert!(
        matches!(failure, Failure::Input(m) if m.help.as_deref().is_some_and(|help| help.contains("tf_model.h5")))
    );
}

#[test]
fn shards_must_be_there_and_inside() {
    let folder = folder("{}", &[]);
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let shard = folder.path().join("model-1.safetensors");
    write(&shard, &[("a", &[2])]);
    let with = |index: &str| {
        fs::write(folder.path().join("model.safetensors.index.json"), index).unwrap();
        open(folder.path()).unwrap().weights().map_err(|failure| failure.to_string())
    };
    assert_eq!(with(r#"{"weight_map": {"a": "model-1.safetensors"}}"#).unwrap().tensors().count(), 1);
    let missing = with(r#"{"weight_map": {"a": "model-2.safetensors"}}"#).unwrap_err();
    assert!(missing.starts_with("the shard model-2.safetensors"), "{missing}");
    let lacking = with(r#"{"weight_map": {"b": "model-1.safetensors"}}"#).unwrap_err();
    assert!(lacking.contains("says that `b` is in model-1.safetensors, which lacks it"), "{lacking}");
    for outside in ["../x.safetensors", "/etc/passwd", "a/../../x", ""] {
        let index = serde_json::json!({"weight_map": {"a": outside}}).to_string();
        assert!(with(&index).unwrap_err().contains("outside its folder"), "{outside}");
    }
    for broken in ["", "[]", r#"{"weight_map": 3}"#] {
        assert!(with(broken).unwrap_err().contains("is not an index of shards"));
    }
}

#[test]
fn elements_that_are_no_numbers_are_reported() {
    let folder = folder("{}", &[]);
    let header = r#"{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#;
    let bytes = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0, 0]].concat();
    fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let found = diagnostics(load(&open(folder.path()).unwrap(), &[wanted("a", &[2])]));
    assert_eq!(found.iter().next().unwrap().code, codes::WRONG_ELEMENTS);
}

/// A checkpoint of two layers with a head of two labels, and what a spec of `labels` wants.
fn two_labels(labels: usize) -> (TempDir, Vec<Wanted>) {
    let folder = folder(
        r#"{"num_labels": 3, "initializer_range": 0.5}"#,
        &[
            ("bert.embeddings.word_embeddings.weight", &[4, 3]),
            ("bert.encoder.layer.0.output.dense.weight", &[3, 3]),
            ("bert.encoder.layer.1.output.dense.weight", &[3, 3]),
            ("classifier.weight", &[2, 3]),
            ("classifier.bias", &[2]),
        ],
    );
    let all = vec![
        wanted("bert.embeddings.word_embeddings.weight", &[4, 3]),
        wanted("bert.encoder.layer.0.output.dense.weight", &[3, 3]),
        wanted("bert.encoder.layer.1.output.dense.weight", &[3, 3]),
        wanted("classifier.weight", &[labels, 3]),
        wanted("classifier.bias", &[labels]),
    ];
    (folder, all)
}

fn draw(folder: &TempDir, wanted: &[Wanted], patterns: &[&str]) -> Result<(Tensors, Vec<String>), Failure> {
    let patterns = patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect();
    let fresh = Fresh { seed: 7, patterns };
    let ((tensors, _), drawn) =
        open(folder.path())?.load_or_draw(wanted, &Device::Cpu, DType::F32, &fresh)?;
    Ok((tensors, drawn))
}

type Tensors = std::collections::HashMap<String, Tensor>;

#[test]
fn training_draws_a_head_that_is_missing() {
    let (folder, mut all) = two_labels(2);
    all.push(wanted("bert.pooler.dense.weight", &[3, 3]));
    all.push(wanted("bert.pooler.dense.bias", &[3]));
    assert_eq!(load(&open(folder.path()).unwrap(), &all).unwrap_err().exit_code(), 1);
    let (tensors, drawn) = draw(&folder, &all, &[]).unwrap();
    assert_eq!(drawn, ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]);
    assert_eq!(tensors.len(), 7);
    assert_eq!(values(&tensors["classifier.bias"]), [0.0, 1.0], "it is the checkpoint's");
    assert_eq!(values(&tensors["bert.pooler.dense.bias"]), [0.0; 3]);
    let weight = values(&tensors["bert.pooler.dense.weight"]);
    assert!(weight.iter().all(|x| *x != 0.0 && x.abs() < 3.0));
    let (again, _) = draw(&folder, &all[5..6], &["*"]).unwrap();
    assert_eq!(values(&again["bert.pooler.dense.weight"]), weight);
}

#[test]
fn training_says_how_to_mend_what_does_not_fit() {
    let told = |folder: &TempDir, wanted: &[Wanted]| match draw(folder, wanted, &[]) {
        Err(Failure::Diagnostics(list)) => list.iter().next().unwrap().clone(),
        other => panic!("{:?}", other.map(|(_, drawn)| drawn)),
    };
    let (folder, all) = two_labels(3);
    let diagnostic = told(&folder, &all);
    assert_eq!(diagnostic.message, "`classifier.weight`: f32[3, 3] in the spec, [2, 3] in model.safetensors");
    let help = diagnostic.help.unwrap();
    assert!(
        help.contains("set the sizes right with `--set`, or draw it anew with `--fresh classifier`"),
        "{help}"
    );
    let (tensors, drawn) = draw(&folder, &all, &["classifier"]).unwrap();
    assert_eq!(drawn, ["classifier.weight", "classifier.bias"]);
    assert_eq!(tensors["classifier.weight"].dims(), [3, 3]);

    let (folder, mut all) = two_labels(2);
    all.push(wanted("bert.embeddings.LayerNorm.bias", &[3]));
    let help = told(&folder, &all).help.unwrap();
    assert!(help.ends_with("draw it anew with `--fresh bert.embeddings.LayerNorm`"), "{help}");
    all.pop();
    all.push(wanted("bert.encoder.layer.2.output.dense.weight", &[3, 3]));
    let help = told(&folder, &all).help.unwrap();
    assert!(help.starts_with("the spec has 3 of `encoder.layer`"), "{help}");
}
