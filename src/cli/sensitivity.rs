//! `qdqc sensitivity`: which quantizers cost accuracy.

use super::{
    Stop, args, interrupt,
    model::{self, Named},
    output::{self, Existing, WholeFile, write_file},
    progress::Progress,
    records,
    screen::Screen,
    table,
};
use crate::{
    compile::Options as CompileOptions,
    failure::Failure,
    names::{list_of, nearest},
    sensitivity::{By, Found, Group, On, Question, groups, search, without},
    session::Session,
    tasks::{Evaluator, evaluation, metrics::Metric},
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::ExitCode,
};

/// Measures each group of quantizers on alone and off alone, and writes a recipe
/// without those that cost too much.
pub fn sensitivity(arguments: &args::Sensitivity, screen: Screen) -> Result<ExitCode, Stop> {
    interrupt::install();
    let named = Named::from(&arguments.model);
    let engine = args::Engine {
        float: false,
        engine: Some(args::EngineKind::Candle),
        amax: arguments.amax.clone(),
        machine: arguments.machine.clone(),
    };
    if let Some(file) = &arguments.write {
        // So that nothing is measured in vain.
        drop(WholeFile::create(file, existing(arguments))?);
    }
    let mut session = model::open(named, &engine, screen)?;
    let sources = session.program().sources.clone();
    let done = measure(arguments, &mut session, screen);
    model::show_notes(&mut session, screen);
    let Some(report) = done.map_err(Stop::within(&sources))? else {
        screen.note("interrupted: nothing is known yet");
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    };
    if arguments.json {
        output::print_json(&report.json())?;
    } else {
        output::print(&report.text())?;
    }
    if report.interrupted {
        screen.note("interrupted: what to leave out is not known yet");
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    if let Some(budget) = arguments.budget {
        let Some(found) = &report.found else {
            return Err(Failure::input(format!(
                "not even without any quantizer is the loss of {} at most {budget}",
                report.metric
            ))
            .into());
        };
        if let Some(file) = &arguments.write {
            let text = recipe(&report, found, budget, file, &session).map_err(Stop::within(&sources))?;
            write_file(file, text.as_bytes(), existing(arguments))?;
            screen.note(&format!("the recipe is in {0}: use it with `--recipe {0}`", file.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What to do with a recipe that is already there.
fn existing(arguments: &args::Sensitivity) -> Existing {
    if arguments.force { Existing::Replace } else { Existing::Refuse }
}

/// What each group costs and, where there is a budget, what to leave out. `None`:
/// interrupted.
fn measure(
    arguments: &args::Sensitivity,
    session: &mut Session,
    screen: Screen,
) -> Result<Option<Report>, Failure> {
    let graph = session.graph()?.into_inner();
    if graph.quantizers.is_empty() {
        return Err(Failure::input(format!("`{}` attaches no quantizer", arguments.model.spec))
            .help("add a recipe: `use \"recipes/qdqbert.qdq\"`"));
    }
    let by = match arguments.by {
        args::By::Layer => By::Layer,
        args::By::Kind => By::Kind,
        args::By::Site => By::Site,
    };
    let groups = groups(&graph, by);
    let config = session.config().clone();
    let (answers, tokenizer) = model::prepare(session, &config)?;
    let data = records::all(&arguments.data)?;
    let options = evaluation::options(&data.records, arguments.machine.batch);
    let evaluator = Evaluator::new(&tokenizer, &config, &answers, &options)?;
    let placed = |problem| data.file.placed(problem);
    let labelled = evaluator.is_labelled(&data.records).map_err(placed)?;
    let batch = options.batch;
    let mut pass =
        Pass { evaluator: &evaluator, data: &data, batch, labelled, session, screen, most: usize::MAX };
    if let Some(name) = &arguments.metric {
        // So that not everything is measured in vain.
        let Some(measured) = pass.first(&[On::new()])? else { return Ok(None) };
        Chosen::could_be(name, &measured)?;
    }
    let question = Question::new(&groups);
    let Some(measured) = pass.run(&question.sets)? else { return Ok(None) };
    let metric = Chosen::find(arguments.metric.as_deref(), labelled, &measured)?;
    let values: Vec<f64> = measured.iter().map(|metrics| metric.value(metrics)).collect();
    let mut report = Report::new(&metric, groups, &values, data.records.len());
    if let Some(budget) = arguments.budget {
        let costs: Vec<f64> = (0..report.groups.len()).map(|at| report.loss(report.without(at))).collect();
        let mut interrupted = false;
        let mut measure = |sets: &[On]| match pass.run(sets)? {
            Some(measured) => Ok(measured.iter().map(|metrics| report.loss(metric.value(metrics))).collect()),
            None => {
                interrupted = true;
                Ok(vec![f64::INFINITY; sets.len()])
            }
        };
        let found = search(&report.groups, &costs, report.loss(report.all()), budget, &mut measure)?;
        report.interrupted = interrupted;
        report.found = found.filter(|_| !interrupted);
    }
    Ok(Some(report))
}

/// All records, run on sets of quantizers.
struct Pass<'a> {
    evaluator: &'a Evaluator<'a>,
    data: &'a records::Data,
    batch: usize,
    labelled: bool,
    session: &'a mut Session,
    screen: Screen,
    /// Batches that are run, at most.
    most: usize,
}

impl Pass<'_> {
    /// The same of the first batch alone.
    fn first(&mut self, sets: &[On]) -> Result<Option<Vec<Vec<Metric>>>, Failure> {
        self.most = 1;
        let measured = self.run(sets);
        self.most = usize::MAX;
        measured
    }

    /// The metrics of each set: its scores where the records say what is right, and its
    /// nearness to float. `None`: interrupted.
    fn run(&mut self, sets: &[On]) -> Result<Option<Vec<Vec<Metric>>>, Failure> {
        // The first is float, which the others are compared with.
        let sets: Vec<On> = std::iter::once(On::new()).chain(sets.iter().cloned()).collect();
        let mut scores: Vec<_> = sets.iter().map(|_| self.evaluator.scores()).collect();
        let mut fidelity: Vec<_> = sets.iter().map(|_| self.evaluator.fidelity()).collect();
        let all = &self.data.records;
        let placed = |problem| self.data.file.placed(problem);
        let mut progress = Progress::new("records", Some(all.len() as u64), self.screen);
        for chunk in all.chunks(self.batch.max(1)).take(self.most) {
            if interrupt::requested() {
                return Ok(None);
            }
            let batch = self.evaluator.batch(chunk.to_vec()).map_err(placed)?;
            // By set, and then by call.
            let mut outputs: Vec<Vec<_>> = sets.iter().map(|_| Vec::new()).collect();
            for inputs in batch.inputs() {
                let inputs = self.session.own_inputs(inputs);
                for (outputs, made) in outputs.iter_mut().zip(self.session.variants(&inputs, &sets)?) {
                    outputs.push(made);
                }
            }
            let outputs: Vec<_> =
                outputs.into_iter().map(|outputs| batch.outputs(outputs)).collect::<Result<_, _>>()?;
            let Some(float) = outputs.first() else { continue };
            for ((scores, fidelity), outputs) in scores.iter_mut().zip(&mut fidelity).zip(&outputs) {
                if self.labelled {
                    scores.add(&batch, outputs).map_err(placed)?;
                }
                fidelity.add(&batch, float, outputs).map_err(placed)?;
            }
            progress.advance(chunk.len() as u64);
        }
        progress.finish();
        let metrics = scores.iter().zip(&fidelity).skip(1);
        Ok(Some(
            metrics
                .map(|(scores, fidelity)| match self.labelled {
                    true => scores.metrics().into_iter().chain(fidelity.metrics()).collect(),
                    false => fidelity.metrics(),
                })
                .collect(),
        ))
    }
}

/// The metric that quantizers are judged by.
struct Chosen {
    name: String,
    higher_is_better: bool,
}

impl Chosen {
    /// The one that is named, or else the first score. Without scores it is a
    /// divergence of probabilities, if there is one: few answers change where a
    /// quantizer costs little.
    fn find(name: Option<&str>, labelled: bool, measured: &[Vec<Metric>]) -> Result<Chosen, Failure> {
        let metrics = measured.first().map_or(&[][..], Vec::as_slice);
        let found = match name {
            Some(name) => metrics.iter().find(|metric| metric.title() == name),
            None => metrics.iter().find(|metric| !labelled && metric.name == "kl").or(metrics.first()),
        };
        match (found, name) {
            (Some(metric), _) => {
                Ok(Chosen { name: metric.title(), higher_is_better: metric.higher_is_better })
            }
            (None, Some(name)) => Err(unknown(name, metrics)),
            (None, None) => Err(Failure::input("nothing could be measured on these records")),
        }
    }

    /// Whether a metric of this name may come of records of which the first give
    /// these: its part, as in `f1 (person)`, need not be among them.
    fn could_be(name: &str, measured: &[Vec<Metric>]) -> Result<(), Failure> {
        let metrics = measured.first().map_or(&[][..], Vec::as_slice);
        let whole = |name: &str| name.split(" (").next().unwrap_or_default().to_owned();
        match metrics.iter().any(|metric| whole(&metric.title()) == whole(name)) {
            true => Ok(()),
            false => Err(unknown(name, metrics)),
        }
    }

    fn value(&self, metrics: &[Metric]) -> f64 {
        metrics.iter().find(|metric| metric.title() == self.name).map_or(f64::NAN, |metric| metric.value)
    }
}

fn unknown(name: &str, metrics: &[Metric]) -> Failure {
    let known: Vec<String> = metrics.iter().map(Metric::title).collect();
    let known = || known.iter().map(String::as_str);
    let failure = Failure::usage(format!("there is no metric `{name}` here"));
    match nearest(name, known()) {
        Some(near) => failure.help(format!("did you mean `{near}`? There are {}", list_of(known()))),
        None => failure.help(format!("there are {}", list_of(known()))),
    }
}

/// What each group costs.
struct Report {
    metric: String,
    higher_is_better: bool,
    groups: Vec<Group>,
    /// Of the sets of [`Question`].
    values: Vec<f64>,
    records: usize,
    /// What is left out for a budget.
    found: Option<Found>,
    /// Before what is left out was found.
    interrupted: bool,
}

/// One group, for tables.
#[derive(Serialize)]
struct Row<'a> {
    group: &'a str,
    quantizers: &'a BTreeSet<String>,
    on_alone: f64,
    off_alone: f64,
}

impl Report {
    fn new(metric: &Chosen, groups: Vec<Group>, values: &[f64], records: usize) -> Report {
        Report {
            metric: metric.name.clone(),
            higher_is_better: metric.higher_is_better,
            groups,
            values: values.to_vec(),
            records,
            found: None,
            interrupted: false,
        }
    }

    fn at(&self, set: usize) -> f64 {
        self.values.get(set).copied().unwrap_or(f64::NAN)
    }

    fn float(&self) -> f64 {
        self.at(Question::FLOAT)
    }

    fn all(&self) -> f64 {
        self.at(Question::ALL)
    }

    fn without(&self, group: usize) -> f64 {
        self.at(Question::without(group))
    }

    /// How much worse than float.
    fn loss(&self, value: f64) -> f64 {
        let loss = if self.higher_is_better { self.float() - value } else { value - self.float() };
        if loss.is_nan() { f64::INFINITY } else { loss }
    }

    /// The value with so much loss.
    fn value(&self, loss: f64) -> f64 {
        if self.higher_is_better { self.float() - loss } else { self.float() + loss }
    }

    /// Those first whose absence helps most.
    fn rows(&self) -> Vec<Row<'_>> {
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        order.sort_by(|a, b| self.loss(self.without(*a)).total_cmp(&self.loss(self.without(*b))));
        let row = |at: usize| {
            let group = self.groups.get(at)?;
            Some(Row {
                group: &group.name,
                quantizers: &group.quantizers,
                on_alone: self.at(Question::only(at)),
                off_alone: self.without(at),
            })
        };
        order.into_iter().filter_map(row).collect()
    }

    fn text(&self) -> String {
        let mut lines = vec![["GROUP", "QUANTIZERS", "ON ALONE", "OFF ALONE"].map(str::to_owned)];
        lines.extend(self.rows().into_iter().map(|row| {
            let count = row.quantizers.len().to_string();
            [row.group.to_owned(), count, format!("{:.5}", row.on_alone), format!("{:.5}", row.off_alone)]
        }));
        let head = format!(
            "{} on {} records: {:.5} in float, {:.5} with every quantizer\n\n",
            self.metric,
            self.records,
            self.float(),
            self.all()
        );
        let found = self.found.as_ref().map_or_else(String::new, |found| {
            let mut lines = vec![["LEFT OUT, ONE AFTER THE OTHER".to_owned(), self.metric.to_uppercase()]];
            lines.extend(found.left_out.iter().map(|(at, loss)| {
                let name = self.groups.get(*at).map_or("", |group| &group.name);
                [name.to_owned(), format!("{:.5}", self.value(*loss))]
            }));
            let table = if found.left_out.is_empty() {
                "Nothing has to be left out.\n".to_owned()
            } else {
                table::words(&lines)
            };
            format!("\n{table}\nloss {:.5}\n", found.loss)
        });
        head + &table::words(&lines) + &found
    }

    fn json(&self) -> Value {
        let found = self.found.as_ref().map(|found| {
            let left_out = found.left_out.iter().filter_map(|(at, loss)| {
                let group = self.groups.get(*at)?;
                Some(
                    json!({ "group": group.name, "quantizers": group.quantizers, "then": self.value(*loss) }),
                )
            });
            json!({ "loss": found.loss, "left_out": left_out.collect::<Vec<_>>() })
        });
        json!({
            "metric": self.metric,
            "records": self.records,
            "float": self.float(),
            "all": self.all(),
            "groups": self.rows(),
            "found": found,
        })
    }
}

/// The recipe without what is left out.
fn recipe(
    report: &Report,
    found: &Found,
    budget: f64,
    file: &Path,
    session: &Session,
) -> Result<String, Failure> {
    let mut reasons = BTreeMap::new();
    let mut before = report.all();
    for (at, loss) in &found.left_out {
        let after = report.value(*loss);
        for name in report.groups.get(*at).map(|group| &group.quantizers).into_iter().flatten() {
            reasons
                .insert(name.clone(), format!("{} {before:.5} becomes {after:.5} without it", report.metric));
        }
        before = after;
    }
    let quantizers: usize = report.groups.iter().map(|group| group.quantizers.len()).sum();
    let about = [
        format!(
            "Made by `qdqc sensitivity` on {} records: {} of {quantizers} quantizers are left out.",
            report.records,
            reasons.len(),
        ),
        format!(
            "{}: {:.5} in float, {:.5} with every quantizer, {:.5} with this recipe; the loss was to be at most {budget}.",
            report.metric,
            report.float(),
            report.all(),
            report.value(found.loss)
        ),
    ];
    let options = CompileOptions { config: session.config().clone(), ..CompileOptions::default() };
    without(session.program(), &options, &reasons, &about, &file.display().to_string())
}
