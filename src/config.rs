//! The settings of a checkpoint: HuggingFace's `config.json`, as data.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The fields of a `config.json`, with overrides laid over them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    fields: Map<String, Value>,
    /// Where the fields come from, for messages: a path, or "the defaults".
    pub origin: String,
    /// Fields that [`Config::set`] has laid over.
    overridden: BTreeSet<String>,
}

impl Config {
    /// The fields of a parsed `config.json`. Where `id2label` is given,
    /// `num_labels` is its length, as in HuggingFace.
    pub fn new(fields: Map<String, Value>, origin: impl Into<String>) -> Config {
        let mut config = Config { fields, origin: origin.into(), overridden: BTreeSet::new() };
        config.count_labels();
        config
    }

    /// The fields of a `config.json` from its text. The error is one phrase with
    /// origin, line and column.
    pub fn parse(text: &str, origin: impl Into<String>) -> Result<Config, String> {
        let origin = origin.into();
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Config::new(fields, origin)),
            Ok(other) => Err(format!("{origin}: a config is an object of fields, not {}", kind(&other))),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                let text = error.to_string();
                let place = format!(" at line {line} column {column}");
                let text = text.strip_suffix(&place).unwrap_or(&text);
                Err(format!("{origin}:{line}:{column}: this is not JSON: {text}"))
            }
        }
    }

    /// The field, unless it is absent or null.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// Where the field comes from, for messages.
    pub fn origin_of(&self, name: &str) -> &str {
        if self.overridden.contains(name) { "`--set`" } else { &self.origin }
    }

    /// Lays a value over a field. `id2label` sets `num_labels`; a `num_labels`
    /// that disagrees with the label names removes them, as in HuggingFace.
    pub fn set(&mut self, name: impl Into<String>, value: Value) {
        let name = name.into();
        self.fields.insert(name.clone(), value);
        self.overridden.insert(name.clone());
        match name.as_str() {
            "id2label" => self.count_labels(),
            "num_labels" => {
                let names = self.get("id2label").and_then(Value::as_object).map(|map| map.len() as u64);
                if names.is_some() && names != self.get("num_labels").and_then(Value::as_u64) {
                    self.fields.shift_remove("id2label");
                    self.fields.shift_remove("label2id");
                }
            }
            _ => {}
        }
    }

    /// Lays `key=value` over a field. The value is JSON where it can be read as
    /// JSON (`12`, `true`, `null`, `[1, 2]`), else the text itself. The error is
    /// one phrase.
    pub fn set_text(&mut self, setting: &str) -> Result<(), String> {
        let (name, value) = setting.split_once('=').ok_or_else(|| {
            format!("`{setting}` sets nothing: a setting is `field=value`, such as `hidden_act=relu`")
        })?;
        let name = name.trim();
        if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("`{name}` in `{setting}` is not the name of a field"));
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
        self.set(name, value);
        Ok(())
    }

    /// `id2label` as a list by index, `LABEL_1` and so on where it names none; empty
    /// where the config has none.
    pub fn labels(&self) -> Vec<String> {
        let Some(map) = self.get("id2label").and_then(Value::as_object) else { return Vec::new() };
        let mut labels: Vec<String> = (0..map.len()).map(|index| format!("LABEL_{index}")).collect();
        for (index, label) in map {
            let slot = index.parse().ok().and_then(|index: usize| labels.get_mut(index));
            if let (Some(slot), Some(label)) = (slot, label.as_str()) {
                label.clone_into(slot);
            }
        }
        labels
    }

    /// Every field.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    fn count_labels(&mut self) {
        let labels = self.get("id2label").and_then(Value::as_object).map(Map::len);
        if let Some(count) = labels {
            self.fields.insert("num_labels".into(), Value::from(count));
        }
    }
}

/// What a value is, with its article.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(text: &str) -> Config {
        Config::parse(text, "config.json").unwrap()
    }

    #[test]
    fn settings_are_json_where_they_can_be() {
        let mut config = config("{}");
        for setting in [
            "hidden_size=48",
            "layer_norm_eps=1e-5",
            "is_decoder=true",
            "hidden_act=relu",
            "name=",
            "path=a=b",
            "problem_type=null",
            r#"id2label={"0": "no", "1": "yes"}"#,
        ] {
            config.set_text(setting).unwrap();
        }
        assert_eq!(config.get("hidden_size"), Some(&json!(48)));
        assert_eq!(config.get("layer_norm_eps"), Some(&json!(1e-5)));
        assert_eq!(config.get("is_decoder"), Some(&json!(true)));
        assert_eq!(config.get("hidden_act"), Some(&json!("relu")));
        assert_eq!(config.get("name"), Some(&json!("")));
        assert_eq!(config.get("path"), Some(&json!("a=b")));
        assert_eq!(config.get("problem_type"), None);
        assert_eq!(config.get("num_labels"), Some(&json!(2)));
        assert_eq!(config.labels(), ["no", "yes"]);
        for wrong in ["hidden_size", "=3", "hidden size=3"] {
            assert!(config.set_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_and_their_number_agree() {
        let mut config = config(r#"{"num_labels": 5, "id2label": {"1": "b", "0": "a"}, "label2id": {}}"#);
        assert_eq!(config.get("num_labels"), Some(&json!(2)));
        config.set_text("num_labels=2").unwrap();
        assert_eq!(config.labels(), ["a", "b"]);
        config.set_text("num_labels=3").unwrap();
        assert!(config.labels().is_empty());
        assert_eq!(config.get("num_labels"), Some(&json!(3)));
    }

    #[test]
    fn errors_name_the_place() {
        let error = Config::parse("{\n  \"a\": 1,\n  \"b\": ?\n}", "x/config.json").unwrap_err();
        assert_eq!(error, "x/config.json:3:8: this is not JSON: expected value");
        let error = Config::parse("[1]", "x/config.json").unwrap_err();
        assert_eq!(error, "x/config.json: a config is an object of fields, not a list");
        assert!(Config::parse(&"[".repeat(100_000), "x").is_err());
    }
}
