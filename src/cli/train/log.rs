//! The log of a run: a JSON object a line, for each step and each evaluation.

use crate::{
    failure::Failure,
    files::{Existing, cannot_write, write_file},
    tasks::metrics::Metric,
    training::Step,
};
use serde_json::{Map, Value, json};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A log that lines are added to.
pub(super) struct Log {
    path: PathBuf,
    file: File,
    /// Of the run up to the first line that is added.
    seconds: f64,
}

impl Log {
    /// A log with the lines that it has up to a step, but for evaluations after it, which are made again.
    pub(super) fn open(path: &Path, step: u64) -> Result<Log, Failure> {
        let lines: Vec<Value> = match step {
            0 => Vec::new(),
            _ => lines(path)?,
        };
        let number = |line: &Value| line.get("step").and_then(Value::as_u64).unwrap_or(u64::MAX);
        let kept: Vec<&Value> = lines
            .iter()
            .filter(|line| number(line) < step || (number(line) == step && line.get("metrics").is_none()))
            .collect();
        let seconds = kept.last().and_then(|line| line.get("seconds")?.as_f64()).unwrap_or(0.0);
        let text: String = kept.iter().map(|line| format!("{line}\n")).collect();
        write_file(path, text.as_bytes(), Existing::Replace)?;
        let file = File::options().append(true).open(path).map_err(|error| cannot_write(path, &error))?;
        Ok(Log { path: path.to_owned(), file, seconds })
    }

    /// A line for a step that took so long, at so many seconds of this part of the run.
    pub(super) fn step(&mut self, step: &Step, took: f64, at: f64) -> Result<(), Failure> {
        let mut line = Map::new();
        line.insert("step".into(), step.step.into());
        line.insert("epoch".into(), rounded(step.epoch, 1e4));
        line.insert("loss".into(), step.loss.into());
        if let Some(loss) = step.teacher_loss {
            line.insert("teacher_loss".into(), loss.into());
        }
        line.insert("learning_rate".into(), step.learning_rate.into());
        line.insert("gradient_norm".into(), step.gradient_norm.into());
        line.insert("tokens_per_second".into(), rounded(step.tokens as f64 / took.max(1e-9), 1.0));
        line.insert("seconds".into(), rounded(self.seconds + at, 1e3));
        self.add(line)
    }

    /// A line for an evaluation after a step.
    pub(super) fn evaluation(
        &mut self,
        step: u64,
        metrics: &[Metric],
        is_best: bool,
        at: f64,
    ) -> Result<(), Failure> {
        let values: Map<String, Value> =
            metrics.iter().map(|metric| (metric.title(), metric.value.into())).collect();
        let mut line = Map::new();
        line.insert("step".into(), step.into());
        line.insert("metrics".into(), Value::Object(values));
        line.insert("best".into(), is_best.into());
        line.insert("seconds".into(), rounded(self.seconds + at, 1e3));
        self.add(line)
    }

    fn add(&mut self, line: Map<String, Value>) -> Result<(), Failure> {
        let text = format!("{}\n", Value::Object(line));
        self.file.write_all(text.as_bytes()).map_err(|error| cannot_write(&self.path, &error))
    }
}

/// The lines of a log; a last one that was cut short is left out.
pub(super) fn lines(path: &Path) -> Result<Vec<Value>, Failure> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::outside(format!("`{}` cannot be read: {error}", path.display()))),
    };
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}

/// The nearest number with so many parts to one, so that lines stay short.
fn rounded(number: f64, parts: f64) -> Value {
    json!((number * parts).round() / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_cut_to_where_the_run_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let step = |step| Step {
            step,
            epoch: 0.5,
            loss: 1.5,
            teacher_loss: None,
            gradient_norm: 2.0,
            learning_rate: 5e-5,
            tokens: 30,
        };
        let metric = Metric {
            name: "accuracy",
            of: None,
            value: 50.0,
            unit: crate::tasks::metrics::Unit::Percent,
            higher_is_better: true,
        };
        let mut log = Log::open(&path, 0).unwrap();
        for number in 1..=4 {
            log.step(&step(number), 0.5, number as f64).unwrap();
            log.evaluation(number, std::slice::from_ref(&metric), true, number as f64).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with(
                "{\"step\":1,\"epoch\":0.5,\"loss\":1.5,\"learning_rate\":0.00005,\"gradient_norm\":2.0,\
             \"tokens_per_second\":60.0,\"seconds\":1.0}\n{\"step\":1,\"metrics\":{\"accuracy\":50.0},"
            ),
            "{text}"
        );
        // Killed within a line.
        fs::write(&path, &text[..text.len() - 5]).unwrap();
        let mut log = Log::open(&path, 3).unwrap();
        let kinds = |path: &Path| -> Vec<(u64, bool)> {
            let lines = lines(path).unwrap();
            lines.iter().map(|line| (line["step"].as_u64().unwrap(), line.get("metrics").is_some())).collect()
        };
        assert_eq!(kinds(&path), [(1, false), (1, true), (2, false), (2, true), (3, false)]);
        log.step(&step(4), 0.5, 0.25).unwrap();
        assert_eq!(lines(&path).unwrap()[5]["seconds"], 3.25);
        Log::open(&path, 0).unwrap();
        assert_eq!(kinds(&path), []);
    }
}
