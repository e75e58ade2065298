//! `qdqc export`: a spec and a checkpoint as an ONNX model.

use super::{
    Stop, args,
    model::{self, Named},
    model_files::ModelFiles,
    output::{self, Existing, write_file},
    screen::Screen,
};
use crate::{
    answer::AnswerKind,
    compile::{Checked, Given},
    config::Config,
    failure::Failure,
    graph::Graph,
    onnx::{self, Model, lint::Summary, opset, profile::Profile},
    ops::form::Dialect,
    quant::{Mode, Storage},
    report,
    session::Session,
    source::Sources,
};
use std::{collections::BTreeSet, fs, path::PathBuf, process::ExitCode, time::Instant};

/// Writes a model.
pub fn export(arguments: &args::Export, screen: Screen) -> Result<ExitCode, Stop> {
    let target = &arguments.target;
    let files = ModelFiles::of(arguments)?;
    let machine = args::Machine { dtype: target.dtype, ..args::Machine::default() };
    let engine = args::Engine {
        float: target.float,
        engine: Some(args::EngineKind::Candle),
        amax: target.amax.clone(),
        machine,
    };
    let named = Named::from(&arguments.model);
    let mut session = model::open(named, &engine, screen)?;
    let sources = session.program().sources.clone();
    let started = Instant::now();
    // A place that will not do shows before the work, not after it.
    files.check(&read(arguments, &session))?;
    let (graph, model) = make(&mut session, arguments, &sources).map_err(Stop::within(&sources))?;
    model::show_notes(&mut session, screen);
    let profile = target.profile;
    let quantized =
        hold_to_rules(&graph, &model, profile, &sources, screen).map_err(Stop::within(&sources))?;
    if arguments.form == Some(args::ModelForm::Text) {
        let text = model.text()?;
        match &arguments.output {
            None => output::print(&text)?,
            Some(path) => write_file(path, text.as_bytes(), Existing::Replace)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    files.write(&model, target.external_data, screen)?;
    files.describe(&graph, &session.config().labels(), profile, screen)?;
    screen.note(&summary(&model, &quantized, started));
    Ok(ExitCode::SUCCESS)
}

/// The files that the model is made from, which it must not replace.
fn read(arguments: &args::Export, session: &Session) -> Vec<PathBuf> {
    let sources = session.program().sources.iter().map(|(_, source)| PathBuf::from(&source.name));
    let flags = [&arguments.target.amax, &arguments.model.recipe].into_iter().flatten().cloned();
    let folder = session
        .folder()
        .path()
        .map(fs::read_dir)
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let exported = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".onnx") || name.ends_with(".onnx.data")
    };
    sources.chain(flags).chain(folder.filter(|path| !exported(path))).collect()
}

fn make(
    session: &mut Session,
    arguments: &args::Export,
    sources: &Sources,
) -> Result<(Checked, Model), Failure> {
    let (given, outputs) = interface(session, &arguments.interface)?;
    let config = session.config().clone();
    let (graph, weights) = session.exported(given, outputs)?;
    let options = onnx::Options {
        dialect: dialect(&graph, &arguments.target)?,
        layout: arguments.target.profile.layout,
        sources: sources.clone(),
        description: format!("{}, from the qdqc spec {}", graph.name, arguments.model.spec),
        metadata: metadata(&config, &graph, arguments),
    };
    let model = onnx::emit(&graph, weights, &options)?;
    Ok((graph, model))
}

/// Shows what the target would not run as meant; fails where it would not take the model.
/// Gives how much of it runs in integers.
fn hold_to_rules(
    graph: &Graph,
    model: &Model,
    profile: &Profile,
    sources: &Sources,
    screen: Screen,
) -> Result<Summary, Failure> {
    let (findings, summary) = model.lint(profile);
    let found = onnx::located(graph, &findings);
    if found.has_errors() {
        return Err(Failure::Diagnostics(found));
    }
    screen.write(&report::render(&found, sources, screen.color));
    if summary.quantizers > 0 && summary.integer_products == 0 && summary.products > 0 {
        screen
            .warning("no matrix product runs in integers: something stands between each and its quantizers");
    }
    Ok(summary)
}

/// The inputs and the outputs on request that the model is to have.
fn interface(session: &Session, interface: &args::Interface) -> Result<(Given, BTreeSet<String>), Failure> {
    let mut inputs: BTreeSet<String> = interface.inputs.iter().cloned().collect();
    let mut outputs: BTreeSet<String> = interface.outputs.iter().cloned().collect();
    let (known, _) = session.program().interface();
    if interface.cache && !known.contains(PAST) {
        return Err(Failure::usage("this model keeps no keys and values of earlier tokens")
            .help("leave `--cache` out"));
    }
    let generates = || -> Result<bool, Failure> {
        let answers = &session.graph()?.answers;
        Ok(answers.iter().any(|answer| answer.kind == AnswerKind::Continuation))
    };
    let chosen = interface.no_cache || !interface.inputs.is_empty();
    if interface.cache || (!chosen && generates()?) {
        inputs.insert(PAST.to_owned());
        outputs.insert(PRESENT.to_owned());
    }
    let given = if interface.inputs.is_empty() { Given::With(inputs) } else { Given::Only(inputs) };
    Ok((given, outputs))
}

/// The input of earlier tokens' keys and values, and the output of all tokens'.
const PAST: &str = "past_key_values";
const PRESENT: &str = "present";

/// How quantizers are written, for a target.
fn dialect(graph: &Graph, target: &args::Target) -> Result<Dialect, Failure> {
    let opset = match target.opset {
        None => least_opset(graph).max(target.profile.opset),
        Some(given) if (opset::OLDEST..=opset::NEWEST).contains(&given) => given,
        Some(given) => {
            let (oldest, newest) = (opset::OLDEST, opset::NEWEST);
            return Err(Failure::usage(format!("there is no way to write opset {given}"))
                .help(format!("give one from {oldest} to {newest}")));
        }
    };
    let profile = target.profile;
    Ok(Dialect {
        opset,
        folded: target.weights.map_or(profile.folded, |form| form == args::WeightForm::Folded),
        shifted: target.activations.map_or(profile.shifted, |ty| ty == args::ActivationType::Uint8),
    })
}

/// The oldest opset that has the codes of every quantizer.
fn least_opset(graph: &Graph) -> i64 {
    let least = graph.quantizers.iter().map(|quantizer| match quantizer.scheme.storage {
        Storage::E4M3 => 19,
        Storage::Integer { bits: 9.., .. } => 21,
        Storage::Integer { .. } => opset::OLDEST,
    });
    least.max().unwrap_or(opset::OLDEST)
}

/// What the model says of where it comes from.
fn metadata(config: &Config, graph: &Graph, arguments: &args::Export) -> Vec<(String, String)> {
    let modes: BTreeSet<&str> = graph
        .quantizers
        .iter()
        .map(|quantizer| match quantizer.scheme.mode {
            Mode::Onnx => "onnx",
            Mode::Nv => "nv",
            Mode::NvNarrow => "nv_narrow",
        })
        .collect();
    let requires: Vec<String> = graph
        .checks
        .iter()
        .map(|check| format!("{} {} {}", check.left, check.comparison, check.right))
        .collect();
    let entries = [
        ("qdqc.spec", arguments.model.spec.clone()),
        ("qdqc.model", graph.name.clone()),
        ("qdqc.config", serde_json::Value::Object(config.fields().clone()).to_string()),
        ("qdqc.profile", arguments.target.profile.name.to_owned()),
        ("qdqc.quantizers", graph.quantizers.len().to_string()),
        ("qdqc.numeric_modes", modes.into_iter().collect::<Vec<_>>().join(", ")),
        ("qdqc.requires", requires.join("; ")),
    ];
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// `171 nodes, 85.6 MB, 72 of 74 matrix products in integers, in 0.4 s`
fn summary(model: &Model, quantized: &Summary, started: Instant) -> String {
    let (_, bytes) = model.initializers();
    let products = match quantized.quantizers {
        0 => String::new(),
        _ => {
            format!(", {} of {} matrix products in integers", quantized.integer_products, quantized.products)
        }
    };
    format!(
        "opset {}, {} nodes, {:.1} MB of numbers{products}, in {:.1} s",
        quantized.opset,
        model.operators().iter().map(|(_, count)| count).sum::<usize>(),
        bytes as f64 / 1e6,
        started.elapsed().as_secs_f64()
    )
}
