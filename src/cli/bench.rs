//! `qdqc bench`: how long a model takes, and where the time goes.

use super::{Stop, args, interrupt, model, output, screen::Screen, table};
use crate::{
    backends::integer::{Kind, Profile},
    failure::Failure,
    graph::Graph,
    session::Session,
    types::{Bindings, DType, TensorType},
};
use args::bench::Shape;
use candle_core::{Device, Tensor};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Runs that are measured at least.
const LEAST: usize = 5;

/// What was measured of one shape. Times are in milliseconds.
#[derive(Debug, Serialize)]
struct Row {
    texts: usize,
    tokens: usize,
    runs: usize,
    median: f64,
    /// A tenth of the runs took at most this.
    fast: f64,
    /// A tenth of the runs took at least this.
    slow: f64,
    texts_per_second: f64,
    /// Where the time went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    profile: Vec<Share>,
}

/// What one kind of step took.
#[derive(Debug, Serialize)]
struct Share {
    kind: &'static str,
    /// Of the time of all threads.
    share: f64,
    /// 10^9 operations, additions and multiplications, a second, while threads were at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    gops: Option<f64>,
    /// Of what the machine does at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_peak: Option<f64>,
}

/// Times the model.
pub fn bench(arguments: &args::Bench, screen: Screen) -> Result<ExitCode, Stop> {
    interrupt::install();
    let mut session = model::open((&arguments.model).into(), &arguments.engine(), screen)?;
    let sources = session.program().sources.clone();
    let within = Stop::within(&sources);
    session.prepare().map_err(&within)?;
    model::show_notes(&mut session, screen);
    let graph = session.graph().map_err(&within)?;
    let peak = arguments.profile.then(crate::backends::integer::peak);
    let vocabulary = session.config().get("vocab_size").and_then(serde_json::Value::as_i64).unwrap_or(1);
    let mut rows = Vec::new();
    for shape in &arguments.shapes {
        let inputs = inputs(&graph, vocabulary, *shape)?;
        rows.push(time(arguments, &mut session, &inputs, *shape, peak).map_err(&within)?);
        if interrupt::requested() {
            break;
        }
    }
    let peak = peak.filter(|_| rows.iter().any(|row| !row.profile.is_empty()));
    if arguments.profile && peak.is_none() {
        screen.note("where the time goes is told of the engine `int8` alone");
    }
    match arguments.json {
        true => output::print_json(&rows)?,
        false => output::print(&written(&rows, peak))?,
    }
    Ok(if interrupt::requested() { ExitCode::from(interrupt::EXIT_CODE) } else { ExitCode::SUCCESS })
}

fn time(
    arguments: &args::Bench,
    session: &mut Session,
    inputs: &BTreeMap<String, Tensor>,
    shape: Shape,
    peak: Option<f64>,
) -> Result<Row, Failure> {
    let nothing = BTreeSet::new();
    for _ in 0..2 {
        session.call(inputs, &nothing)?;
    }
    let mut times = Vec::new();
    let started = Instant::now();
    let enough = Duration::from_secs_f64(arguments.seconds);
    while (times.len() < LEAST || started.elapsed() < enough) && !interrupt::requested() {
        let before = Instant::now();
        session.call(inputs, &nothing)?;
        times.push(before.elapsed().as_secs_f64() * 1e3);
    }
    let profile = match peak {
        Some(peak) => shares(&session.profile(inputs, times.len().clamp(1, 20))?, peak),
        None => Vec::new(),
    };
    times.sort_by(f64::total_cmp);
    let part = |share: f64| {
        let at = (times.len().saturating_sub(1) as f64 * share).round() as usize;
        times.get(at).copied().unwrap_or(f64::NAN)
    };
    let median = part(0.5);
    Ok(Row {
        texts: shape.texts,
        tokens: shape.tokens,
        runs: times.len(),
        median,
        fast: part(0.1),
        slow: part(0.9),
        texts_per_second: shape.texts as f64 / median * 1e3,
        profile,
    })
}

/// What each kind of step took of the whole.
fn shares(profile: &Profile, peak: f64) -> Vec<Share> {
    let whole: f64 = profile.values().map(|spent| spent.seconds).sum();
    let share = |(kind, spent): (&Kind, &crate::backends::integer::Spent)| {
        let gops = (spent.operations > 0.0).then(|| spent.operations / spent.seconds / 1e9);
        Share {
            kind: kind.name(),
            share: spent.seconds / whole,
            gops,
            // The rate of one thread against that of one thread.
            of_peak: gops.map(|gops| gops * rayon::current_num_threads() as f64 / peak),
        }
    };
    profile.iter().map(share).collect()
}

fn written(rows: &[Row], peak: Option<f64>) -> String {
    let header = ["texts x tokens", "ms", "fastest tenth", "slowest tenth", "texts/s", "runs"];
    let mut lines = vec![header.map(str::to_owned).to_vec()];
    for row in rows {
        lines.push(vec![
            format!("{}x{}", row.texts, row.tokens),
            format!("{:.2}", row.median),
            format!("{:.2}", row.fast),
            format!("{:.2}", row.slow),
            format!("{:.1}", row.texts_per_second),
            row.runs.to_string(),
        ]);
    }
    let mut text = table::figures(&lines);
    let Some(peak) = peak else { return text };
    text.push_str(&format!("\nProducts of codes reach {peak:.0} GOP/s at most, on all threads.\n"));
    for row in rows {
        let header = [&format!("{}x{}", row.texts, row.tokens), "share", "GOP/s a thread", "of the most"];
        let mut lines = vec![header.map(str::to_owned).to_vec()];
        for share in &row.profile {
            let percent = |share: f64| format!("{:.1} %", share * 100.0);
            lines.push(vec![
                share.kind.to_owned(),
                percent(share.share),
                share.gops.map_or_else(String::new, |gops| format!("{gops:.1}")),
                share.of_peak.map_or_else(String::new, percent),
            ]);
        }
        text.push('\n');
        text.push_str(&table::figures(&lines));
    }
    text
}

/// A tensor for every input of the usual call: made-up tokens, none of them padding.
fn inputs(graph: &Graph, vocabulary: i64, shape: Shape) -> Result<BTreeMap<String, Tensor>, Failure> {
    let mut dims = Bindings::new();
    for info in graph.dims.iter().filter(|info| info.product.is_none()) {
        let size = match &*info.symbol {
            "batch" => shape.texts,
            "seq" => shape.tokens,
            "choices" => 2,
            _ => 0,
        };
        dims.insert(info.symbol.clone(), size as i64);
    }
    let tensor = |(name, ty): (&String, &TensorType)| {
        let sizes = ty.shape.iter().map(|dim| usize::try_from(dim.evaluate(&dims)?).ok());
        let sizes = sizes.collect::<Option<Vec<_>>>();
        let sizes = sizes.ok_or_else(|| Failure::input(format!("the size of `{name}` is not known")))?;
        let count: usize = sizes.iter().product();
        let numbers = (0..count as i64).map(|at| match name.as_str() {
            _ if name.ends_with("mask") => 1,
            // Knuth's multiplicative hashing: neighbours are far apart.
            "input_ids" => (at + 1).wrapping_mul(2_654_435_761) % vocabulary.max(1),
            _ => 0,
        });
        let tensor = Tensor::from_vec(numbers.collect::<Vec<i64>>(), sizes, &Device::Cpu);
        let tensor = match ty.dtype {
            DType::I64 => tensor,
            dtype => tensor.and_then(|tensor| tensor.to_dtype(crate::ops::candle_dtype(dtype))),
        };
        Ok((name.clone(), tensor.map_err(|error| Failure::outside(error.to_string()))?))
    };
    graph.inputs.iter().map(|input| tensor((&input.name, &graph.node(input.node).ty))).collect()
}
