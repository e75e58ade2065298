//! `qdqc eval`: how good a model is at its task, in float, quantized, or both side by side.

use super::{
    Stop, args, interrupt,
    model::{self, Named},
    output,
    progress::Progress,
    records::{self, Data},
    screen::Screen,
    table,
};
use crate::{
    answer::Answer,
    config::Config,
    failure::Failure,
    session::Session,
    tasks::{
        Options, Record, Runner, Tokenizer,
        evaluation::{self, Evaluation, Evaluator, evaluate, right_answers},
        metrics::{Metric, Squad, Unit},
    },
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fs, io, ops::ControlFlow, path::Path, process::ExitCode, time::Instant};

/// Scores a model, or a file of predictions.
pub fn eval(arguments: &args::Eval, screen: Screen) -> Result<ExitCode, Stop> {
    interrupt::install();
    match (&arguments.predictions, &arguments.spec, &arguments.checkpoint) {
        (Some(predictions), ..) => score_predictions(arguments, predictions, screen),
        (None, Some(spec), Some(checkpoint)) => {
            let recipe = arguments.recipe.as_deref();
            score_model(arguments, Named { spec, checkpoint, set: &arguments.set, recipe }, screen)
        }
        _ => Err(Failure::usage("there is no model to score").help("name a spec and a checkpoint").into()),
    }
}

/// What was found, as `--json` gives it.
#[derive(Serialize)]
struct Findings {
    input: String,
    /// Records counted, and of them those cut to fit the model.
    records: usize,
    truncated: usize,
    /// Ctrl-C ended it before the last record.
    interrupted: bool,
    seconds: f64,
    metrics: Vec<Row>,
    /// How near the quantized model is to the float one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fidelity: Vec<Metric>,
}

/// One metric of every model.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<String>,
    unit: Unit,
    higher_is_better: bool,
    /// By the model's name: `float`, `quantized`; and `difference`, quantized - float.
    #[serde(flatten)]
    values: Map<String, Value>,
    #[serde(skip)]
    cells: Vec<String>,
}

/// The models to score, by name.
fn models(arguments: &args::Eval) -> Vec<(&'static str, args::Engine)> {
    let engine = arguments.engine.clone();
    if !arguments.compare {
        return vec![(if engine.float { "float" } else { "quantized" }, engine)];
    }
    // The threads are started once, with the first.
    let float = args::Engine { float: true, amax: None, ..engine.clone() };
    let machine = args::Machine { threads: None, ..engine.machine.clone() };
    vec![("float", float), ("quantized", args::Engine { machine, ..engine })]
}

fn score_model(arguments: &args::Eval, named: Named<'_>, screen: Screen) -> Result<ExitCode, Stop> {
    let started = Instant::now();
    let data = records::all(&arguments.data)?;
    let mut sessions = Vec::new();
    let models = models(arguments);
    for (_, engine) in &models {
        sessions.push(model::open(named, engine, screen)?);
    }
    let sources = sessions.first().map(|session| session.program().sources.clone()).unwrap_or_default();
    let within = Stop::within(&sources);
    let (answers, tokenizer, config) = prepare(&mut sessions, named.spec, screen).map_err(&within)?;
    let options = options(arguments, &data.records);
    let evaluator = Evaluator::new(&tokenizer, &config, &answers, &options)?;
    let total = data.records.len();
    check(&evaluator, &data, arguments.compare, screen).map_err(&within)?;

    let mut runners: Vec<&mut dyn Runner> = sessions.iter_mut().map(|one| one as &mut dyn Runner).collect();
    let mut progress = Progress::new("records", Some(total as u64), screen);
    let mut done = |count: usize| {
        progress.advance(count as u64);
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let evaluation = evaluate(&evaluator, data.records, &mut runners, &mut done);
    progress.finish();
    let evaluation = evaluation.map_err(|problem| within(data.file.placed(problem)))?;
    let names: Vec<&str> = models.iter().map(|(name, _)| *name).collect();
    let findings = findings(arguments, &names, &evaluation, started);
    show(&findings, &names, arguments.json)?;
    Ok(summary(&findings, total, screen))
}

/// Reads the weights of every model and says what there is to know of the checkpoint.
fn prepare(
    sessions: &mut [Session],
    spec: &str,
    screen: Screen,
) -> Result<(Vec<Answer>, Tokenizer, Config), Failure> {
    let mut ready = None;
    for session in sessions.iter_mut() {
        let config = session.config().clone();
        match &ready {
            None => {
                let (answers, tokenizer) = model::prepare(session, &config)?;
                ready = Some((answers, tokenizer, config));
            }
            Some(_) => _ = session.prepare()?,
        }
    }
    // The last is the quantized one, which has a use for everything that the float one has.
    if let Some(session) = sessions.last_mut() {
        model::show_notes(session, screen);
    }
    match ready {
        Some(ready) if !ready.0.is_empty() => Ok(ready),
        _ => Err(Failure::input(format!("`{spec}` does not say how its outputs are read"))
            .help("add an `answer` to its model; what is scored follows from it")),
    }
}

/// Refuses records that cannot be scored, before any is run.
fn check(evaluator: &Evaluator<'_>, data: &Data, compare: bool, screen: Screen) -> Result<(), Failure> {
    let labelled = evaluator.is_labelled(&data.records).map_err(|problem| data.file.placed(problem))?;
    match data.records.first() {
        Some(_) if !labelled && compare => {
            screen
                .note("the records do not say what is right: the models are compared with each other alone");
            Ok(())
        }
        Some(first) if !labelled => Err(data.file.at(first.line, evaluator.lacking(first))),
        _ => Ok(()),
    }
}

fn options(arguments: &args::Eval, records: &[Record]) -> Options {
    let usual = evaluation::options(records, arguments.engine.machine.batch);
    Options {
        doc_stride: arguments.doc_stride.unwrap_or(usual.doc_stride),
        max_answer_length: arguments.max_answer_length.unwrap_or(usual.max_answer_length),
        no_answer: arguments.no_answer || usual.no_answer,
        seed: arguments.seed.unwrap_or(usual.seed),
        ..usual
    }
}

fn findings(
    arguments: &args::Eval,
    names: &[&str],
    evaluation: &Evaluation<'_>,
    started: Instant,
) -> Findings {
    let scores: Vec<Vec<Metric>> = evaluation.scores.iter().map(|scores| scores.metrics()).collect();
    Findings {
        input: arguments.data.input.clone(),
        records: evaluation.records,
        truncated: evaluation.truncated,
        interrupted: interrupt::requested(),
        seconds: started.elapsed().as_secs_f64(),
        metrics: rows(names, &scores),
        fidelity: evaluation.fidelity.iter().flat_map(|fidelity| fidelity.metrics()).collect(),
    }
}

/// The metrics of the models side by side, in the first one's order, then those that only the second has
/// (an entity type that only it predicts).
fn rows(names: &[&str], scores: &[Vec<Metric>]) -> Vec<Row> {
    let mut shown: Vec<&Metric> = Vec::new();
    for metric in scores.iter().flatten() {
        if !shown.iter().any(|known| known.title() == metric.title()) {
            shown.push(metric);
        }
    }
    let row = |metric: &Metric| {
        let same = |list: &Vec<Metric>| {
            list.iter().find(|other| other.title() == metric.title()).map_or(f64::NAN, |other| other.value)
        };
        let mut values: Vec<(&str, f64)> = names.iter().copied().zip(scores.iter().map(same)).collect();
        if let [(_, float), (_, quantized)] = values[..] {
            values.push(("difference", quantized - float));
        }
        let cell = |(name, value): &(&str, f64)| match *name {
            "difference" => signed(metric.unit, *value),
            _ => metric.unit.shown(*value),
        };
        Row {
            name: metric.name,
            of: metric.of.clone(),
            unit: metric.unit,
            higher_is_better: metric.higher_is_better,
            cells: std::iter::once(metric.title()).chain(values.iter().map(cell)).collect(),
            values: values.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        }
    };
    shown.into_iter().map(row).collect()
}

/// A difference with its sign.
fn signed(unit: Unit, value: f64) -> String {
    let shown = unit.shown(value);
    if value > 0.0 { format!("+{shown}") } else { shown }
}

fn show(findings: &Findings, names: &[&str], json: bool) -> Result<(), Stop> {
    if json {
        return output::print_json(findings);
    }
    let mut text = String::new();
    if !findings.metrics.is_empty() {
        let difference = (names.len() == 2).then_some("difference");
        let header = std::iter::once("metric").chain(names.iter().copied()).chain(difference);
        let header: Vec<String> = header.map(str::to_owned).collect();
        let lines = findings.metrics.iter().map(|row| row.cells.clone());
        text += &table::figures(&std::iter::once(header).chain(lines).collect::<Vec<_>>());
    }
    if !findings.fidelity.is_empty() {
        let header = vec!["quantized to float".to_owned(), String::new()];
        let lines = findings.fidelity.iter().map(|metric| vec![metric.title(), metric.shown()]);
        let gap = if text.is_empty() { "" } else { "\n" };
        text +=
            &format!("{gap}{}", table::figures(&std::iter::once(header).chain(lines).collect::<Vec<_>>()));
    }
    output::print(&text)
}

/// Says how much was counted; gives the exit code.
fn summary(findings: &Findings, total: usize, screen: Screen) -> ExitCode {
    if findings.truncated > 0 {
        let were = if findings.truncated == 1 { "record was" } else { "records were" };
        screen.warning(&format!("{} {were} cut to fit the model", findings.truncated));
    }
    let (records, s) = (findings.records, if findings.records == 1 { "" } else { "s" });
    if findings.interrupted {
        screen
            .note(&format!("interrupted after {records} of {total} records; the figures are of those alone"));
        return ExitCode::from(interrupt::EXIT_CODE);
    }
    screen.note(&format!("{records} record{s} in {:.1} s", findings.seconds));
    ExitCode::SUCCESS
}

/// Scores answers that are already there: a JSON object from question ids to texts, as SQuAD's own scripts
/// take it.
fn score_predictions(arguments: &args::Eval, path: &Path, screen: Screen) -> Result<ExitCode, Stop> {
    let started = Instant::now();
    let data = records::all(&arguments.data)?;
    let mut predictions = read_predictions(path)?;
    let given = predictions.len();
    let (mut squad, mut missing) = (Squad::default(), 0);
    for record in &data.records {
        let at = |failure| data.file.at(record.line, failure);
        let no_id = || at(Failure::input("the question has no `id` to find its prediction by"));
        let id = match record.fields.get("id").ok_or_else(no_id)? {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        };
        let lacking = || at(Failure::input("the question has no `answers`").help("give SQuAD's JSON"));
        let gold = right_answers(record).map_err(at)?.ok_or_else(lacking)?;
        match predictions.remove(&id) {
            Some(text) => squad.add(&gold, &text),
            None => {
                squad.miss(&gold);
                missing += 1;
            }
        }
    }
    let (name, total) = (path.display(), data.records.len());
    if missing == total {
        return Err(Failure::input(format!("`{name}` has no prediction for any of these questions"))
            .help("its keys are the questions' ids; does it belong to this file?")
            .into());
    }
    if missing > 0 {
        screen.warning(&format!("{missing} of {total} questions have no prediction and count as wrong"));
    }
    if given + missing > total {
        screen.note(&format!("{} predictions are for no question here", given + missing - total));
    }
    let findings = Findings {
        input: arguments.data.input.clone(),
        records: total,
        truncated: 0,
        interrupted: false,
        seconds: started.elapsed().as_secs_f64(),
        metrics: rows(&["predictions"], &[squad.metrics()]),
        fidelity: Vec::new(),
    };
    show(&findings, &["predictions"], arguments.json)?;
    Ok(summary(&findings, total, screen))
}

fn read_predictions(path: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::input(format!("there is no file `{name}`")),
        _ => Failure::outside(format!("`{name}` cannot be read: {error}")),
    })?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::input(format!("`{name}` is no file of predictions: {error}")).help(
            "it is one JSON object from question ids to answers: {\"56be4db0acb8001400a502ec\": \"...\"}",
        )
    })
}
