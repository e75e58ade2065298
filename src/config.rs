//! The settings of a checkpoint: HuggingFace's `config.json`, as data.

use serde_json::{Map, Value};

/// The fields of a `config.json`, with overrides laid over them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    fields: Map<String, Value>,
    /// Where the fields come from, for messages: a path, or "the defaults".
    pub origin: String,
}

impl Config {
    /// The fields of a parsed `config.json`. `num_labels` follows from
    /// `id2label` where it is absent, as in HuggingFace.
    pub fn new(mut fields: Map<String, Value>, origin: impl Into<String>) -> Config {
        if !fields.contains_key("num_labels") {
            let labels = fields.get("id2label").and_then(Value::as_object).map(Map::len);
            if let Some(count) = labels {
                fields.insert("num_labels".into(), Value::from(count));
            }
        }
        Config { fields, origin: origin.into() }
    }

    /// The field, unless it is absent or null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Lays a value over a field.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        self.fields.insert(name.into(), value);
    }

    /// `id2label` as a list by index; empty where the config has none.
    pub fn labels(&self) -> Vec<String> {
        let Some(map) = self.get("id2label").and_then(Value::as_object) else { return Vec::new() };
        let mut labels: Vec<(usize, String)> = map
            .iter()
            .filter_map(|(index, label)| Some((index.parse().ok()?, label.as_str()?.to_owned())))
            .collect();
        labels.sort();
        labels.into_iter().map(|(_, label)| label).collect()
    }

    /// Every field.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }
}
