//! `qdqc export`: a spec and a checkpoint as an ONNX model.

use super::{
    Stop, args,
    model::{self, Named},
    output::{self, Existing, WholeFile, cannot_write, write_file},
    screen::Screen,
};
use crate::{
    answer::AnswerKind,
    compile::{Checked, Given},
    config::Config,
    failure::Failure,
    graph::Graph,
    onnx::{self, Model, WriteError, opset, profile::Profile, triton},
    ops::form::Dialect,
    quant::{Mode, Storage},
    report,
    session::Session,
    source::Sources,
};
use std::{
    collections::BTreeSet,
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

/// Writes a model.
pub fn export(arguments: &args::Export, screen: Screen) -> Result<ExitCode, Stop> {
    let target = &arguments.target;
    if arguments.form == Some(args::ModelForm::Onnx) && arguments.output.is_none() {
        return Err(Failure::usage("there is no place to write the model to")
            .help("name a file with `-o model.onnx`")
            .into());
    }
    let machine = args::Machine { dtype: target.dtype, ..args::Machine::default() };
    let engine = args::Engine { float: target.float, amax: target.amax.clone(), machine };
    let named = Named::from(&arguments.model);
    let mut session = model::open(named, &engine, screen)?;
    let sources = session.program().sources.clone();
    let started = Instant::now();
    // A folder that is not there shows before the work, not after it.
    let places = places(arguments)?;
    let (graph, model) = make(&mut session, arguments, &sources).map_err(Stop::within(&sources))?;
    model::show_notes(&mut session, screen);
    hold_to_rules(&graph, &model, target.profile, &sources, screen).map_err(Stop::within(&sources))?;
    if arguments.form == Some(args::ModelForm::Text) {
        let text = model.text()?;
        match &arguments.output {
            None => output::print(&text)?,
            Some(path) => write_file(path, text.as_bytes(), Existing::Replace)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    for path in &places {
        write(&model, path, target.external_data, screen)?;
        screen.note(&summary(&model, path, started));
    }
    if let Some(repository) = &arguments.triton {
        describe(&graph, session.config(), arguments, repository)?;
        screen.note(&format!("start it with `tritonserver --model-repository={}`", repository.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of the model, their folders made where that is qdqc's part.
fn places(arguments: &args::Export) -> Result<Vec<PathBuf>, Failure> {
    let mut places: Vec<PathBuf> = arguments.output.iter().cloned().collect();
    for place in &places {
        // Says what is wrong with the place, and leaves nothing there.
        drop(WholeFile::create(place, Existing::Replace)?);
    }
    if let Some(repository) = &arguments.triton {
        let version = repository.join(triton_name(arguments)).join("1");
        fs::create_dir_all(&version)
            .map_err(|error| Failure::outside(format!("`{}` cannot be made: {error}", version.display())))?;
        places.push(version.join("model.onnx"));
    }
    Ok(places)
}

/// What Triton calls the model: the spec's name.
fn triton_name(arguments: &args::Export) -> String {
    let stem = Path::new(&arguments.model.spec).file_stem().and_then(|stem| stem.to_str());
    stem.unwrap_or("model").to_owned()
}

/// Writes what Triton wants beside the model: its configuration, and its labels.
fn describe(
    graph: &Graph,
    config: &Config,
    arguments: &args::Export,
    repository: &Path,
) -> Result<(), Failure> {
    let name = triton_name(arguments);
    let folder = repository.join(&name);
    let labelling = [AnswerKind::Labels, AnswerKind::Entities];
    let answers = graph.answers.iter().filter(|answer| labelling.contains(&answer.kind));
    let outputs: Vec<String> = answers.flat_map(|answer| answer.outputs.clone()).collect();
    let labels = config.labels();
    let labelled = (!labels.is_empty() && !outputs.is_empty()).then_some((&outputs[..], LABELS));
    let tensorrt = arguments.target.profile.name == "tensorrt";
    let text = triton::config(graph, &triton::Repository { name: &name, tensorrt, labelled });
    write_file(&folder.join("config.pbtxt"), text.as_bytes(), Existing::Replace)?;
    if labelled.is_some() {
        write_file(&folder.join(LABELS), (labels.join("\n") + "\n").as_bytes(), Existing::Replace)?;
    }
    Ok(())
}

/// The file of labels, one a line in the order of their numbers.
const LABELS: &str = "labels.txt";

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
fn hold_to_rules(
    graph: &Graph,
    model: &Model,
    profile: &Profile,
    sources: &Sources,
    screen: Screen,
) -> Result<(), Failure> {
    let found = onnx::located(graph, &model.lint(profile));
    if found.has_errors() {
        return Err(Failure::Diagnostics(found));
    }
    screen.write(&report::render(&found, sources, screen.color));
    Ok(())
}

/// The inputs and the outputs on request that the model is to have.
fn interface(session: &Session, interface: &args::Interface) -> Result<(Given, BTreeSet<String>), Failure> {
    let named = |names: &[String]| names.iter().map(|name| name.trim().to_owned()).collect::<BTreeSet<_>>();
    let (mut inputs, mut outputs) = (named(&interface.inputs), named(&interface.outputs));
    let generates = || -> Result<bool, Failure> {
        let answers = &session.graph()?.answers;
        Ok(answers.iter().any(|answer| answer.kind == AnswerKind::Continuation))
    };
    if interface.cache || (!interface.no_cache && generates()?) {
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

/// Writes the model, and its numbers beside it where it is asked for or they are too many.
fn write(model: &Model, path: &Path, external: bool, screen: Screen) -> Result<(), Failure> {
    let mut file = WholeFile::create(path, Existing::Replace)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: WriteError| match error {
            WriteError::Io(error) => cannot_write(&path, &error),
            WriteError::Numbers(error) => Failure::outside(format!("codes could not be computed: {error}")),
        }
    };
    if external || model.needs_data_file() {
        let beside = data_file(path)?;
        let location = beside.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut data = WholeFile::create(&beside, Existing::Replace)?;
        let mut model_out = BufWriter::new(&mut file);
        model.write_with_data(&mut model_out, &mut data, &location).map_err(failed(path))?;
        model_out.flush().map_err(|error| cannot_write(path, &error))?;
        drop(model_out);
        data.finish()?;
        screen.note(&format!("its numbers are in {}; keep the two files together", beside.display()));
    } else {
        let mut out = BufWriter::new(&mut file);
        model.write(&mut out).map_err(failed(path))?;
        out.flush().map_err(|error| cannot_write(path, &error))?;
    }
    file.finish()
}

/// The file of numbers beside a model: `model.onnx.data`.
fn data_file(path: &Path) -> Result<PathBuf, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        return Err(Failure::usage(format!("`{}` has no file name in UTF-8", path.display())));
    };
    Ok(path.with_file_name(format!("{name}.data")))
}

fn summary(model: &Model, path: &Path, started: Instant) -> String {
    let (count, bytes) = model.initializers();
    format!(
        "{}: {} nodes, {count} tensors, {:.1} MB in {:.1} s",
        path.display(),
        model.operators().iter().map(|(_, count)| count).sum::<usize>(),
        bytes as f64 / 1e6,
        started.elapsed().as_secs_f64()
    )
}
