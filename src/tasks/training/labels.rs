//! What the labels of training records are, where the config does not say.

use crate::{
    answer::{Answer, AnswerKind},
    config::Config,
    failure::Failure,
    names::list_of,
    tasks::{
        Problem, Record,
        evaluation::gold::{lacking, shown, spelled},
    },
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// As many labels as are likely to be meant, whatever they are.
const FEW: usize = 64;

/// What labels are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// One of these for each text, or for each word.
    One(Vec<String>),
    /// Any of these for each text.
    Any(Vec<String>),
    /// So many numbers for each text: regression.
    Numbers(usize),
}

impl Labels {
    /// Lays what the labels are over a config: `id2label`, `label2id` and `num_labels`; `problem_type` unless
    /// it is one label of several, which is what HuggingFace takes it to be.
    pub fn lay_over(&self, config: &mut Config) {
        match self {
            Labels::Numbers(count) => config.set("num_labels", Value::from(*count)),
            Labels::One(names) | Labels::Any(names) => {
                let numbered = || names.iter().enumerate();
                let labels: Map<String, Value> =
                    numbered().map(|(id, name)| (id.to_string(), Value::from(name.as_str()))).collect();
                let ids: Map<String, Value> =
                    numbered().map(|(id, name)| (name.clone(), Value::from(id))).collect();
                config.set("id2label", Value::Object(labels));
                config.set("label2id", Value::Object(ids));
            }
        }
        match self {
            Labels::One(_) => {}
            Labels::Any(_) => config.set("problem_type", Value::from("multi_label_classification")),
            Labels::Numbers(_) => config.set("problem_type", Value::from("regression")),
        }
    }
}

/// What the labels of these records are; `None` where the config names them itself (by other names than
/// HuggingFace's `LABEL_0`) or where the answers need none.
///
/// Without a `problem_type`, lists are several labels, numbers of which one is not whole are regression, and
/// all else is one label of several. Labels are sorted: numbers as such, other names by their letters, tags
/// with `O` first and then by type. Whole numbers that begin at 0 are ids, even where some between are
/// missing. A number of labels that the config gives is kept, unless it is the usual 2.
///
/// # Errors
/// The first record without a label, or whose label cannot be one; all labels are the same; there are more
/// labels than `--set num_labels` says, or nearly as many as records.
pub fn labels(records: &[Record], answers: &[Answer], config: &Config) -> Result<Option<Labels>, Problem> {
    let labelled = |kind: &AnswerKind| matches!(kind, AnswerKind::Labels | AnswerKind::Entities);
    let Some(kind) = answers.iter().map(|answer| answer.kind).find(labelled) else { return Ok(None) };
    let given = Given::of(config);
    if records.is_empty() || given.is_named {
        return Ok(None);
    }
    let golds = golds(records, kind)?;
    if kind == AnswerKind::Entities {
        return given.one(names(&golds, parts)?, golds.len(), tag_order).map_err(of_none);
    }
    let problem = config.get("problem_type").and_then(Value::as_str);
    let lists = golds.iter().any(|(_, gold)| gold.is_array());
    let regression = |count| Ok(Some(given.numbers(count)));
    match problem {
        Some("regression") => regression(golds.first().map_or(1, |(_, gold)| parts(gold).len())),
        None if given.count == Some(1) => regression(1),
        Some("multi_label_classification") => given.any(&golds),
        None if lists => given.any(&golds),
        _ => {
            let is_number = |gold: &Value| spelled(gold).is_some_and(|name| number(&name).is_some());
            let among_numbers = golds.iter().any(|(_, gold)| is_number(gold));
            if let Some((line, gold)) = golds.iter().find(|(_, gold)| among_numbers && is_no_number(gold)) {
                let text = format!("{} is neither a number nor the name of a label", shown(gold));
                let help = "leave the record out, or name the column of the label with --columns label=NAME";
                return Err(Problem::new(*line, Failure::input(text).help(help)));
            }
            let names = names(&golds, parts)?;
            let numbers: Option<Vec<f64>> = names.iter().map(|name| number(name)).collect();
            match numbers.filter(|_| problem.is_none()) {
                Some(numbers) if numbers.iter().any(|number| number.fract() != 0.0) => regression(1),
                _ => given.one(names, golds.len(), order).map_err(of_none),
            }
        }
    }
}

/// What the config says of labels that it does not name.
struct Given {
    /// It names them.
    is_named: bool,
    /// How many there are; `None` where it does not say, or says 2, which is the default.
    count: Option<usize>,
    /// The user says how many.
    is_set: bool,
    /// The names that labels have by default.
    defaults: BTreeSet<String>,
}

impl Given {
    fn of(config: &Config) -> Given {
        let named = config.labels();
        let defaults: BTreeSet<String> = (0..named.len()).map(default_name).collect();
        let number = config.get("num_labels").and_then(Value::as_u64);
        let count = number.and_then(|count| usize::try_from(count).ok());
        let is_set = count.is_some() && config.origin_of("num_labels") != config.origin;
        Given {
            is_named: named.iter().any(|name| !defaults.contains(name)),
            count: count.filter(|count| is_set || *count != 2),
            is_set,
            defaults,
        }
    }

    /// Regression. What the user says of how many numbers stands: records that do not follow are refused when
    /// they become examples.
    fn numbers(&self, count: usize) -> Labels {
        Labels::Numbers(self.count.filter(|_| self.is_set).unwrap_or(count))
    }

    /// One label of these.
    fn one(&self, names: BTreeSet<String>, records: usize, order: Order) -> Result<Option<Labels>, Failure> {
        if let (1, Some(name)) = (names.len(), names.first()) {
            let text = format!("every record has the label `{name}`, so there is nothing to learn");
            return Err(Failure::input(text).help(
                "give records with other labels too, or name all labels: \
                 --set 'id2label={\"0\": \"name\", ...}'",
            ));
        }
        Ok(self.ordered(names, records, order)?.map(Labels::One))
    }

    /// Any labels of lists: by name or id, or a mark for every label.
    fn any(&self, golds: &[(u64, &Value)]) -> Result<Option<Labels>, Problem> {
        if let Some(count) = marks(golds) {
            let mut all = golds.iter().flat_map(|(_, gold)| parts(gold));
            let is_mark = |value: Value| value.as_f64().is_none_or(|mark| mark == 0.0 || mark == 1.0);
            return Ok(Some(match all.all(is_mark) {
                true => Labels::Any((0..count).map(default_name).collect()),
                false => self.numbers(count),
            }));
        }
        let names = names(golds, listed)?;
        Ok(self.ordered(names, golds.len(), order).map_err(of_none)?.map(Labels::Any))
    }

    /// The names by their ids; `None` where they are the config's own.
    fn ordered(
        &self,
        names: BTreeSet<String>,
        records: usize,
        order: Order,
    ) -> Result<Option<Vec<String>>, Failure> {
        if names.is_subset(&self.defaults) {
            return Ok(None);
        }
        if names.len() > FEW && names.len() > records / 2 {
            let few = list_of(names.iter().take(3).map(String::as_str));
            let text = format!("{records} records have {} labels: {few} and others", names.len());
            return Err(Failure::input(text).help("name the column of the label with --columns label=NAME"));
        }
        if let Some(count) = self.count.filter(|count| self.is_set && names.len() > *count) {
            let found = list_of(names.iter().take(FEW).map(String::as_str));
            let text = format!("there are {} labels where num_labels is {count}: {found}", names.len());
            return Err(Failure::input(text).help("leave out `--set num_labels`"));
        }
        let mut sorted: Vec<String> = names.into_iter().collect();
        sorted.sort_by(|one, other| order(one, other));
        let count = self.count.unwrap_or(0);
        if let Some(ids) = ids(&sorted, count) {
            return Ok(Some((0..ids).map(|id| id.to_string()).collect()));
        }
        sorted.extend((sorted.len()..count).map(default_name));
        Ok(Some(sorted))
    }
}

/// How many ids there are, where all names are ids.
fn ids(names: &[String], count: usize) -> Option<usize> {
    let ids: Option<Vec<usize>> = names.iter().map(|name| name.parse().ok()).collect();
    let ids = ids?;
    let (first, last) = (*ids.first()?, *ids.last()?);
    let spelled = ids.iter().zip(names).all(|(id, name)| id.to_string() == *name);
    let begins = first == 0 && last < names.len().saturating_mul(2);
    (spelled && (begins || last < count)).then(|| count.max(last + 1))
}

/// What every record says is right.
fn golds<'r>(records: &'r [Record], kind: AnswerKind) -> Result<Vec<(u64, &'r Value)>, Problem> {
    let gold = |record: &'r Record| match &record.gold {
        Some(gold) => Ok((record.line, gold)),
        None => Err(Problem::new(record.line, lacking(Some(kind), record))),
    };
    records.iter().map(gold).collect()
}

/// The names of all labels, where `parts` are those of one record.
fn names(golds: &[(u64, &Value)], parts: fn(&Value) -> Vec<Value>) -> Result<BTreeSet<String>, Problem> {
    let mut names = BTreeSet::new();
    for (line, gold) in golds {
        for label in parts(gold) {
            let name = spelled(&label).filter(|name| !name.is_empty()).ok_or_else(|| {
                let text = format!("{} is no label", shown(&label));
                let failure = Failure::input(text);
                Problem::new(*line, failure.help("name the column of the label with --columns label=NAME"))
            })?;
            names.insert(name);
        }
    }
    Ok(names)
}

/// How many numbers with a point, or truth values, every list has: one for each label.
fn marks(golds: &[(u64, &Value)]) -> Option<usize> {
    let is_mark = |value: &Value| value.is_boolean() || value.is_f64();
    let count = |gold: &Value| gold.as_array().filter(|list| list.iter().all(is_mark)).map(Vec::len);
    let first = golds.first().and_then(|(_, gold)| count(gold)).filter(|first| *first > 0);
    first.filter(|first| golds.iter().all(|(_, gold)| count(gold) == Some(*first)))
}

/// The members of a list, or the one label.
fn parts(gold: &Value) -> Vec<Value> {
    match gold {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    }
}

/// The same where a text holds labels between commas.
fn listed(gold: &Value) -> Vec<Value> {
    match gold {
        Value::String(text) => {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(Value::from).collect()
        }
        other => parts(other),
    }
}

/// Which name comes before which.
type Order = fn(&str, &str) -> std::cmp::Ordering;

/// Numbers before texts, and as such.
fn order(one: &str, other: &str) -> std::cmp::Ordering {
    let key = |name: &str| number(name).unwrap_or(f64::INFINITY);
    key(one).total_cmp(&key(other)).then_with(|| one.cmp(other))
}

/// `O` first, then by type; of one type by prefix.
fn tag_order(one: &str, other: &str) -> std::cmp::Ordering {
    let split = |tag: &str| {
        let (prefix, kind) = tag.split_once('-').unwrap_or(("", tag));
        (tag != "O", kind.to_owned(), prefix.to_owned())
    };
    match (number(one), number(other)) {
        (None, None) => split(one).cmp(&split(other)),
        _ => order(one, other),
    }
}

/// It reads as a number, and is infinite or none.
fn is_no_number(gold: &Value) -> bool {
    let number = gold.as_str().and_then(|text| text.trim().parse::<f64>().ok());
    number.is_some_and(|number| !number.is_finite())
}

fn number(name: &str) -> Option<f64> {
    name.parse().ok().filter(|number: &f64| number.is_finite())
}

/// The name that HuggingFace gives a label without one.
fn default_name(id: usize) -> String {
    format!("LABEL_{id}")
}

/// A failure of all records.
fn of_none(failure: Failure) -> Problem {
    Problem::new(0, failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::evaluation::gold::LabelKind;
    use serde_json::json;

    fn found(kind: AnswerKind, golds: &[Value], settings: &[&str]) -> Result<(String, Config), String> {
        let mut config = Config::parse("{}", "config.json").unwrap();
        settings.iter().for_each(|setting| config.set_text(setting).unwrap());
        found_in(kind, golds, config)
    }

    /// What the labels are, and the config with them.
    fn found_in(kind: AnswerKind, golds: &[Value], mut config: Config) -> Result<(String, Config), String> {
        let record = |(line, gold): (u64, &Value)| Record {
            line,
            gold: Some(gold.clone()).filter(|gold| !gold.is_null()),
            ..Record::default()
        };
        let records: Vec<Record> = (1..).zip(golds).map(record).collect();
        let answers = [Answer { kind, outputs: vec!["logits".into()] }];
        let labels = labels(&records, &answers, &config).map_err(|problem| problem.to_string())?;
        if let Some(labels) = &labels {
            labels.lay_over(&mut config);
        }
        let shown = match labels {
            None => "as the config says".to_owned(),
            Some(Labels::One(names)) => names.join(" "),
            Some(Labels::Any(names)) => format!("any of {}", names.join(" ")),
            Some(Labels::Numbers(count)) => format!("{count} numbers"),
        };
        Ok((shown, config))
    }

    fn one(golds: &[Value], settings: &[&str]) -> String {
        found(AnswerKind::Labels, golds, settings).map_or_else(|error| error, |(shown, _)| shown)
    }

    #[test]
    fn names_are_sorted_and_ids_stay() {
        let texts = |list: &[&str]| -> Vec<Value> { list.iter().map(|text| json!(text)).collect() };
        assert_eq!(one(&texts(&["no", "yes", "maybe", "no"]), &[]), "maybe no yes");
        assert_eq!(one(&texts(&["1", "0", "1"]), &[]), "0 1");
        assert_eq!(one(&[json!(1), json!(0), json!(3)], &[]), "0 1 2 3");
        assert_eq!(one(&texts(&["10", "2", "1"]), &[]), "1 2 10");
        assert_eq!(one(&[json!(-1), json!(1.0)], &[]), "-1 1");
        assert_eq!(one(&[json!(true), json!(false)], &[]), "false true");
        assert_eq!(one(&texts(&["0", "2"]), &["num_labels=3"]), "0 1 2");
        assert_eq!(one(&texts(&["b", "a"]), &["num_labels=3"]), "a b LABEL_2");
        assert_eq!(one(&texts(&["0", "70000"]), &[]), "0 70000");
    }

    #[test]
    fn numbers_that_are_not_whole_are_regression() {
        assert_eq!(one(&[json!("5.000"), json!("3.800")], &[]), "1 numbers");
        assert_eq!(one(&[json!("5.000"), json!("3.000")], &[]), "3 5");
        assert_eq!(one(&[json!(1), json!(2)], &["problem_type=regression"]), "1 numbers");
        assert_eq!(one(&[json!([1, 2])], &["problem_type=regression"]), "2 numbers");
        assert_eq!(one(&[json!(1), json!(2)], &["num_labels=1"]), "1 numbers");
        let single = ["problem_type=single_label_classification"];
        assert_eq!(one(&[json!(0.5), json!(2)], &single), "0.5 2");
        let (_, config) = found(AnswerKind::Labels, &[json!(0.5)], &[]).unwrap();
        assert_eq!(LabelKind::of(&config), LabelKind::Numbers(1));
    }

    #[test]
    fn lists_are_several_labels() {
        assert_eq!(one(&[json!(["b", "a"]), json!([])], &[]), "any of a b");
        assert_eq!(one(&[json!([2, 0]), json!([1])], &[]), "any of 0 1 2");
        assert_eq!(one(&[json!([0.0, 1.0]), json!([1.0, 1.0])], &[]), "any of LABEL_0 LABEL_1");
        assert_eq!(one(&[json!([0.5, 1.0]), json!([1.0, 1.0])], &[]), "2 numbers");
        assert_eq!(one(&[json!([true]), json!([false])], &[]), "any of LABEL_0");
        assert_eq!(one(&[json!([]), json!([])], &[]), "as the config says");
        let several = ["problem_type=multi_label_classification"];
        assert_eq!(one(&[json!("b, a"), json!("c")], &several), "any of a b c");
        let (_, config) = found(AnswerKind::Labels, &[json!(["b"]), json!(["a", "c"])], &[]).unwrap();
        assert_eq!(LabelKind::of(&config), LabelKind::Any(3));
        assert_eq!(config.labels(), ["a", "b", "c"]);
        assert_eq!(config.get("label2id"), Some(&json!({"a": 0, "b": 1, "c": 2})));
    }

    #[test]
    fn tags_go_by_type() {
        let golds = [json!(["I-b", "O", "B-creative-work"]), json!(["B-b", "B-a", "I-creative-work"])];
        let (shown, config) = found(AnswerKind::Entities, &golds, &[]).unwrap();
        assert_eq!(shown, "O B-a B-b I-b B-creative-work I-creative-work");
        assert_eq!(config.get("num_labels"), Some(&json!(6)));
        let (ids, _) = found(AnswerKind::Entities, &[json!([0, 10]), json!([2, 8, 1, 9])], &[]).unwrap();
        assert_eq!(ids, "0 1 2 3 4 5 6 7 8 9 10");
    }

    #[test]
    fn names_of_the_config_stand_and_default_names_do_not() {
        let config = |text: &str| Config::parse(text, "config.json").unwrap();
        let golds = [json!("yes"), json!("no")];
        let own = config(r#"{"id2label": {"0": "up", "1": "down"}}"#);
        let shown = |config| found_in(AnswerKind::Labels, &golds, config).unwrap().0;
        assert_eq!(shown(own), "as the config says");
        let usual = config(r#"{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}"#);
        assert_eq!(shown(usual), "no yes");
        let three = config(r#"{"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}"#);
        assert_eq!(shown(three.clone()), "no yes LABEL_2");
        let defaults = [json!("LABEL_2"), json!("LABEL_0")];
        assert_eq!(found_in(AnswerKind::Labels, &defaults, three).unwrap().0, "as the config says");
        assert_eq!(found(AnswerKind::Span, &golds, &[]).unwrap().0, "as the config says");
    }

    #[test]
    fn labels_that_cannot_be_are_refused() {
        assert_eq!(
            one(&[json!(1), json!(1)], &[]),
            "every record has the label `1`, so there is nothing to learn"
        );
        assert_eq!(
            one(&[json!("a"), Value::Null], &[]),
            "line 2: the record has no label, no other field than its text"
        );
        assert_eq!(one(&[json!("a"), json!({"b": 1})], &[]), "line 2: `{\"b\":1}` is no label");
        assert_eq!(one(&[json!("a"), json!(" ")], &[]), "line 2: ` ` is no label");
        assert_eq!(
            one(&[json!("a"), json!("b"), json!("c")], &["num_labels=2"]),
            "there are 3 labels where num_labels is 2: `a`, `b` and `c`"
        );
        let texts: Vec<Value> = (0..200).map(|n| json!(format!("text {n:03}"))).collect();
        assert_eq!(
            one(&texts, &[]),
            "200 records have 200 labels: `text 000`, `text 001` and `text 002` and others"
        );
    }
}
