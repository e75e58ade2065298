//! What a run came to.

use super::{folder::Folder, log, setup::Setup};
use crate::cli::{Stop, output, table};
use serde_json::{Value, json};

/// How it ended.
pub(super) struct End {
    /// The steps of the whole run.
    pub(super) steps: u64,
    /// All were made.
    pub(super) done: bool,
    pub(super) seconds: f64,
}

/// Says what was trained: what the evaluations found, and where everything is.
pub(super) fn show(setup: &Setup<'_>, folder: &Folder, end: &End) -> Result<(), Stop> {
    let lines = log::lines(&folder.log())?;
    let of_steps = || lines.iter().filter(|line| line.get("loss").is_some());
    let evaluations: Vec<&Value> = lines.iter().filter(|line| line.get("metrics").is_some()).collect();
    let best = evaluations.iter().rfind(|line| line.get("best") == Some(&Value::Bool(true)));
    let path = folder.path().display().to_string();
    if setup.arguments.json {
        let losses: Vec<&Value> = of_steps().filter_map(|line| line.get("loss")).collect();
        return output::print_json(&json!({
            "steps": losses.len(),
            "of": end.steps,
            "interrupted": !end.done,
            "seconds": lines.last().and_then(|line| line.get("seconds")),
            "losses": losses,
            "evaluations": evaluations,
            "best": best,
            "model": (end.done || best.is_some()).then_some(path),
            "last": folder.last().display().to_string(),
            "log": folder.log().display().to_string(),
        }));
    }
    if let (Some(last), Some(best)) = (evaluations.last(), best) {
        output::print(&metrics(best, last))?;
    }
    if end.done {
        let s = if end.steps == 1 { "" } else { "s" };
        let which = if evaluations.is_empty() { "" } else { "best " };
        setup
            .screen
            .note(&format!("{} step{s} in {:.1} s; the {which}model is in {path}", end.steps, end.seconds));
    }
    Ok(())
}

/// The metrics of the best evaluation beside those of the last.
fn metrics(best: &Value, last: &Value) -> String {
    let head =
        |line: &Value, name: &str| format!("{name} (step {})", line.get("step").unwrap_or(&Value::Null));
    let cell = |line: &Value, metric: &str| {
        let value = line.get("metrics").and_then(|metrics| metrics.get(metric)?.as_f64());
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
    };
    let mut rows = vec![vec!["metric".to_owned(), head(best, "best"), head(last, "last")]];
    let names = last.get("metrics").and_then(Value::as_object).into_iter().flat_map(|metrics| metrics.keys());
    rows.extend(names.map(|name| vec![name.clone(), cell(best, name), cell(last, name)]));
    table::figures(&rows)
}
