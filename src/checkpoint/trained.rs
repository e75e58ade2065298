//! A trained model, as a folder that HuggingFace loads.

use super::{
    Checkpoint, Range,
    write::{plain, staged},
};
use crate::{failure::Failure, files::WholeFile};
use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, path::Path};

/// What the name of a learned range's bounds ends with, the lower and the upper one.
const BOUNDS: [&str; 2] = [".clip.clip_value_min", ".clip.clip_value_max"];

impl Checkpoint {
    /// Writes a folder, which must be there, that qdqc and HuggingFace's class
    /// `architecture` load: the config with what was laid over it, the tokenizer's files,
    /// and the weights: every parameter in f32 under its path, and `NAME._amax` for each
    /// quantizer, also for those whose range is among the parameters because it was learned.
    /// Files take their names only when all are written, the weights last, so a disk that
    /// is full leaves the folder as it was.
    ///
    /// # Errors
    /// The disk or the device refuses.
    pub fn save_trained(
        &self,
        folder: &Path,
        architecture: &str,
        parameters: &BTreeMap<String, Tensor>,
        ranges: &BTreeMap<String, Range>,
    ) -> Result<(), Failure> {
        let mut weights: BTreeMap<String, Tensor> = BTreeMap::new();
        for (path, tensor) in parameters {
            let tensor = tensor.to_dtype(DType::F32).map_err(|error| failed(path, error))?;
            if let Some((name, amax)) = magnitude(path, parameters)? {
                weights.insert(name, amax);
            }
            weights.insert(path.clone(), tensor);
        }
        for (quantizer, Range { shape, amax }) in ranges {
            let tensor = Tensor::from_slice(amax, shape.as_slice(), &Device::Cpu);
            weights.insert(format!("{quantizer}._amax"), tensor.map_err(|error| failed(quantizer, error))?);
        }
        let weights = plain(&weights)?;
        let mut files = self.staged_beside(folder, &fields(self.config.fields(), architecture))?;
        files.push(staged(&folder.join("model.safetensors"), weights)?);
        files.into_iter().try_for_each(WholeFile::finish)
    }
}

/// The range that goes with a learned upper bound: the larger of the two magnitudes, as a
/// quantizer takes it that does not learn.
fn magnitude(path: &str, parameters: &BTreeMap<String, Tensor>) -> Result<Option<(String, Tensor)>, Failure> {
    let [lower, upper] = BOUNDS;
    let Some(quantizer) = path.strip_suffix(upper) else { return Ok(None) };
    let bounds = parameters.get(&format!("{quantizer}{lower}")).zip(parameters.get(path));
    let Some((least, most)) = bounds else { return Ok(None) };
    let amax = least.neg().and_then(|least| least.maximum(most)).and_then(|amax| amax.to_dtype(DType::F32));
    Ok(Some((format!("{quantizer}._amax"), amax.map_err(|error| failed(path, error))?)))
}

/// The classes that HuggingFace has for BERT.
const CLASSES: [&str; 9] = [
    "BertModel",
    "BertLMHeadModel",
    "BertForMaskedLM",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForSequenceClassification",
    "BertForMultipleChoice",
    "BertForTokenClassification",
    "BertForQuestionAnswering",
];

/// The config of a trained model: f32, a class, and ids of its labels. A model that has no
/// class of its own is a `BertModel` to HuggingFace.
fn fields(config: &Map<String, Value>, architecture: &str) -> Map<String, Value> {
    let mut fields = config.clone();
    let class = CLASSES.iter().find(|class| **class == architecture).unwrap_or(&"BertModel");
    fields.insert("architectures".into(), json!([class]));
    match *class {
        // Without it the class reads the words to come.
        "BertLMHeadModel" => {
            fields.insert("is_decoder".into(), true.into());
        }
        // The class takes their number for that of its scores, which are two: start and end.
        "BertForQuestionAnswering" => {
            fields.retain(|name, _| !["id2label", "label2id", "num_labels"].contains(&name.as_str()));
        }
        _ => {}
    }
    fields.insert("model_type".into(), "bert".into());
    fields.insert("torch_dtype".into(), "float32".into());
    // What newer versions of HuggingFace call it.
    if let Some(dtype) = fields.get_mut("dtype") {
        *dtype = "float32".into();
    }
    if let Some(labels) = fields.get("id2label").and_then(Value::as_object) {
        let id = |(id, label): (&String, &Value)| {
            Some((label.as_str()?.to_owned(), id.parse::<u64>().ok()?.into()))
        };
        let ids: Map<String, Value> = labels.iter().filter_map(id).collect();
        fields.insert("label2id".into(), ids.into());
    }
    fields
}

fn failed(path: &str, error: candle_core::Error) -> Failure {
    Failure::outside(format!("`{path}` cannot be saved: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::HubOptions;
    use std::fs;

    fn tiny() -> Checkpoint {
        let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");
        Checkpoint::open(tiny, &HubOptions::from_env()).unwrap()
    }

    fn tensor(numbers: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_vec(numbers.to_vec(), shape, &Device::Cpu).unwrap()
    }

    fn parameters() -> BTreeMap<String, Tensor> {
        BTreeMap::from([
            ("classifier.weight".into(), tensor(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2]).t().unwrap()),
            ("classifier._input_quantizer.clip.clip_value_min".into(), tensor(&[-7.0], &[1])),
            ("classifier._input_quantizer.clip.clip_value_max".into(), tensor(&[6.5], &[1])),
        ])
    }

    #[test]
    fn weights_ranges_config_and_tokenizer_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut checkpoint = tiny();
        checkpoint.config.set("id2label", json!({"0": "no", "1": "yes"}));
        checkpoint.config.set("dtype", "bfloat16".into());
        let range = Range { shape: vec![2, 1], amax: vec![1.5, 2.5] };
        let ranges = BTreeMap::from([("classifier._weight_quantizer".into(), range)]);
        checkpoint.save_trained(folder.path(), "BertForTokenClassification", &parameters(), &ranges).unwrap();

        let weights =
            candle_core::safetensors::load(folder.path().join("model.safetensors"), &Device::Cpu).unwrap();
        let numbers = |name: &str| weights[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(weights.len(), 5);
        assert_eq!(weights["classifier.weight"].dims(), [2, 3]);
        assert_eq!(numbers("classifier.weight"), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        assert_eq!(numbers("classifier._weight_quantizer._amax"), [1.5, 2.5]);
        assert_eq!(numbers("classifier._input_quantizer._amax"), [7.0]);
        let saved = Checkpoint::open(folder.path().to_str().unwrap(), &HubOptions::from_env()).unwrap();
        let field = |name: &str| saved.config.get(name).unwrap().clone();
        assert_eq!(field("architectures"), json!(["BertForTokenClassification"]));
        assert_eq!(field("label2id"), json!({"no": 0, "yes": 1}));
        assert_eq!((field("num_labels"), field("hidden_size")), (json!(2), json!(32)));
        assert_eq!((field("dtype"), field("torch_dtype")), (json!("float32"), json!("float32")));
        assert!(saved.file("vocab.txt").is_some() && saved.file("tokenizer_config.json").is_some());
    }

    #[test]
    fn a_config_says_what_its_class_must_hear() {
        let config = tiny().config;
        let said = |architecture: &str| fields(config.fields(), architecture);
        assert_eq!(said("BertForMyOwnTask")["architectures"], json!(["BertModel"]));
        assert_eq!(said("BertLMHeadModel")["is_decoder"], json!(true));
        assert!(!said("BertForMaskedLM").contains_key("is_decoder"));
        assert!(said("BertForSequenceClassification").contains_key("id2label"));
        assert!(!said("BertForQuestionAnswering").keys().any(|name| name.contains("label")));
    }

    #[test]
    fn weights_that_cannot_be_written_leave_the_folder_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("config.json"), "old").unwrap();
        fs::create_dir(folder.path().join("model.safetensors")).unwrap();
        let none = BTreeMap::new();
        tiny().save_trained(folder.path(), "BertForMaskedLM", &parameters(), &none).unwrap_err();
        assert_eq!(fs::read_to_string(folder.path().join("config.json")).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
