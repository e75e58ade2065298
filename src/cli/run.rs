//! `qdqc run`: answers to texts and records, or named tensors in and out.

use super::{
    Stop,
    args::{self, FloatType, Run},
    interrupt,
    output::{self, Existing},
    progress::Progress,
    screen::Screen,
    spec::{self, DiskLibrary},
};
use crate::{
    answer::AnswerKind,
    checkpoint::{Checkpoint, HubOptions},
    compile,
    failure::Failure,
    session::{Engine, Session},
    source::Sources,
    tasks::{self, Columns, Format, Records, Reply, Tokenizer, run_records},
    types::DType,
};
use candle_core::Device;
use std::{
    collections::{BTreeSet, HashMap},
    io::Write,
    path::Path,
    process::ExitCode,
};

pub(super) fn run(arguments: &Run, screen: Screen) -> Result<ExitCode, Stop> {
    if let Some(threads) = arguments.engine.threads {
        // Fails only where the pool is in use already; then it keeps its threads.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    let mut session = open(arguments, screen)?;
    let sources = session.program().sources.clone();
    match &arguments.input.tensors {
        Some(path) => tensors(arguments, path, &mut session, screen).map_err(Stop::within(&sources)),
        None => records(arguments, session, screen, &sources),
    }
}

/// Reads the spec and opens the checkpoint.
fn open(arguments: &Run, screen: Screen) -> Result<Session, Stop> {
    let engine = Engine {
        device: device(arguments.engine.device.as_deref().unwrap_or("cpu"))?,
        dtype: match arguments.engine.dtype {
            None | Some(FloatType::F32) => DType::F32,
            Some(FloatType::F16) => DType::F16,
            Some(FloatType::Bf16) => DType::BF16,
        },
        quantize: !arguments.engine.float,
    };
    let spec = spec::read(&arguments.spec)?;
    let (program, problems) = compile::load(&spec.name, &spec.text, &DiskLibrary);
    if problems.has_errors() {
        return Err(Stop::within(&program.sources)(Failure::Diagnostics(problems)));
    }
    let mut checkpoint = Checkpoint::open(&arguments.checkpoint, &HubOptions::from_env())?;
    for setting in &arguments.set {
        checkpoint.config.set_text(setting).map_err(Failure::usage)?;
        let name = setting.split('=').next().unwrap_or_default().trim();
        if !program.config_fields().any(|field| field == name) {
            warn_unread(name, &program, screen);
        }
    }
    if let Some(path) = &arguments.engine.amax {
        checkpoint.overlay(path)?;
    }
    Ok(Session::new(program, checkpoint, engine))
}

/// A `--set` that the spec does not read changes at most how answers are shown.
pub(super) fn warn_unread(name: &str, program: &compile::Program, screen: Screen) {
    if matches!(
        name,
        "id2label" | "label2id" | "problem_type" | "num_labels" | "pad_token_id" | "eos_token_id"
    ) {
        return;
    }
    let near = crate::names::nearest(name, program.config_fields());
    let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    screen.warning(&format!("the spec reads no config field `{name}`: --set {name} changes nothing{near}"));
}

/// `cpu`, `cuda` or `cuda:N`.
fn device(name: &str) -> Result<Device, Failure> {
    let number = match name.split_once(':') {
        None if name == "cpu" => return Ok(Device::Cpu),
        None if name == "cuda" => Some(0),
        Some(("cuda", number)) => number.parse().ok(),
        _ => None,
    };
    let Some(number) = number else {
        return Err(
            Failure::usage(format!("there is no device `{name}`")).help("write `cpu`, `cuda` or `cuda:1`")
        );
    };
    if !candle_core::utils::cuda_is_available() {
        return Err(Failure::usage(format!(
            "`{name}` cannot be used: this qdqc was built for the CPU alone"
        ))
        .help("build it with `cargo build --release --features cuda`, which needs a CUDA toolkit"));
    }
    Device::new_cuda(number).map_err(|error| {
        Failure::outside(format!("`{name}` cannot be used: {error}"))
            .help("`nvidia-smi` lists the cards there are")
    })
}

fn tensors(arguments: &Run, path: &Path, session: &mut Session, screen: Screen) -> Result<ExitCode, Failure> {
    let Some(target) = &arguments.input.output else {
        return Err(Failure::usage("--tensors needs -o FILE for the outputs"));
    };
    let inputs = read_tensors(path)?;
    let (_, known) = session.program().interface();
    let reading = &arguments.reading;
    let mut request = BTreeSet::new();
    let flags = [
        (reading.hidden_states, ["hidden_states", ""]),
        (reading.attentions, ["attentions", "cross_attentions"]),
        (reading.cache, ["present", ""]),
    ];
    for (asked, names) in flags {
        let made: Vec<&str> = names.into_iter().filter(|name| known.contains(*name)).collect();
        if asked && made.is_empty() {
            return Err(Failure::usage(format!("the spec has no output `{}`", names[0])));
        }
        // Cross-attention is there only where another model's states are given.
        let states = inputs.keys().any(|name| name == "encoder_hidden_states");
        request.extend(
            made.into_iter()
                .filter(|name| asked && (*name != "cross_attentions" || states))
                .map(str::to_owned),
        );
    }
    let outputs = session.call(&inputs, &request)?;
    notes(session, screen);
    let outputs: HashMap<String, candle_core::Tensor> = outputs.into_iter().collect();
    write_tensors(&outputs, target)?;
    Ok(ExitCode::SUCCESS)
}

fn read_tensors(path: &Path) -> Result<std::collections::BTreeMap<String, candle_core::Tensor>, Failure> {
    if !path.is_file() {
        return Err(Failure::input(format!("there is no file `{}`", path.display()))
            .help("--tensors takes a safetensors file of named inputs, such as `input_ids`"));
    }
    let name = path.display();
    let bytes =
        std::fs::read(path).map_err(|error| Failure::outside(format!("`{name}` cannot be read: {error}")))?;
    let no_tensors = |error: &dyn std::fmt::Display| {
        Failure::input(format!("`{name}` is no safetensors file: {error}"))
            .help("write named tensors with `safetensors.torch.save_file` or `safetensors.numpy.save_file`")
    };
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|error| no_tensors(&error))?;
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let tensor = match view.dtype() {
            // True and false are one byte each, as engines hold them.
            safetensors::Dtype::BOOL => candle_core::Tensor::from_raw_buffer(
                view.data(),
                candle_core::DType::U8,
                view.shape(),
                &Device::Cpu,
            ),
            _ => candle_core::safetensors::Load::load(&view, &Device::Cpu),
        };
        let tensor =
            tensor.map_err(|error| Failure::input(format!("the input `{name}` cannot be read: {error}")))?;
        Ok((name, tensor))
    });
    tensors.collect()
}

fn write_tensors(tensors: &HashMap<String, candle_core::Tensor>, path: &Path) -> Result<(), Failure> {
    let cpu: Result<std::collections::BTreeMap<&str, candle_core::Tensor>, candle_core::Error> =
        tensors.iter().map(|(name, tensor)| Ok((name.as_str(), tensor.to_device(&Device::Cpu)?))).collect();
    let cpu = cpu.map_err(|error| {
        Failure::outside(format!("the outputs cannot be copied from the device: {error}"))
    })?;
    let bytes = safetensors::tensor::serialize(cpu, None)
        .map_err(|error| Failure::outside(format!("the outputs cannot be written: {error}")))?;
    output::write_file(path, &bytes, Existing::Replace)
}

fn notes(session: &mut Session, screen: Screen) {
    for note in session.take_notes() {
        screen.note(&note.0);
    }
}

fn records(
    arguments: &Run,
    mut session: Session,
    screen: Screen,
    sources: &Sources,
) -> Result<ExitCode, Stop> {
    let within = Stop::within(sources);
    let reading = &arguments.reading;
    if reading.hidden_states || reading.attentions || reading.cache {
        return Err(Failure::usage(
            "hidden states, attentions and caches are tensors: text has no place for them",
        )
        .help("give named tensors: --tensors IN.safetensors -o OUT.safetensors")
        .into());
    }
    let records = open_records(&arguments.input)?;
    let answers = session.answers().map_err(&within)?;
    let config = session.config().clone();
    let folder = session.folder().to_owned();
    // The vocabulary is read while the weights are.
    let (tokenizer, ready) = std::thread::scope(|scope| {
        let tokenizer = scope.spawn(|| Tokenizer::load(&folder, &config));
        let ready = session.prepare();
        let tokenizer =
            tokenizer.join().unwrap_or_else(|_| Err(Failure::outside("the tokenizer could not be read")));
        (tokenizer, ready)
    });
    ready.map_err(&within)?;
    notes(&mut session, screen);
    let tokenizer = tokenizer?;
    interrupt::install();
    let total = (arguments.input.file.is_none()).then_some(arguments.input.text.len() as u64);
    let mut progress = Progress::new("records", total, screen);
    let mut writer = std::io::BufWriter::new(std::io::stdout());
    let labelled = answers.iter().any(|answer| answer.kind == AnswerKind::Continuation);
    let mut stop = None;
    let mut failures = 0_u64;
    let summary = run_records(
        records,
        &tokenizer,
        &config,
        &answers,
        &options(arguments),
        &mut session,
        &mut |result| {
            progress.advance(1);
            let written = match result {
                Ok(reply) => write_reply(&mut writer, &reply, reading.json),
                Err(problem) => {
                    failures += 1;
                    let _ = writer.flush();
                    progress.suspend(|| {
                        screen.write(&format!("line {}: ", problem.line));
                        screen.failure(&problem.failure, sources)
                    });
                    Ok(())
                }
            };
            // A prompt's answer takes a while: it is shown when it is there.
            let written = if labelled { written.and_then(|()| writer.flush()) } else { written };
            if let Err(error) = written {
                stop = Some(output::stdout_failed(error));
                return Err(Failure::outside("standard output is closed"));
            }
            if interrupt::requested() {
                stop = Some(Stop::Interrupted);
                return Err(Failure::outside("interrupted"));
            }
            Ok(())
        },
    );
    let flushed = writer.flush().map_err(output::stdout_failed);
    progress.finish();
    match (summary, stop) {
        (_, Some(stop)) => Err(stop),
        (Err(failure), None) => Err(within(failure)),
        (Ok(summary), None) => {
            flushed?;
            if summary.truncated > 0 {
                screen.note(&format!(
                    "{} of {} texts were cut to fit the model",
                    summary.truncated,
                    summary.answered + summary.failed
                ));
            }
            if summary.failed > 0 && summary.answered + summary.failed > 1 {
                screen.warning(&format!(
                    "{} of {} records failed",
                    summary.failed,
                    summary.answered + summary.failed
                ));
            }
            Ok(ExitCode::from(u8::from(failures > 0)))
        }
    }
}

fn write_reply(writer: &mut impl Write, reply: &Reply, json: bool) -> std::io::Result<()> {
    if json {
        serde_json::to_writer(&mut *writer, reply)?;
        writer.write_all(b"\n")
    } else {
        writeln!(writer, "{reply}")
    }
}

fn open_records(input: &args::Input) -> Result<Records, Failure> {
    let Some(file) = &input.file else {
        return Records::texts(input.text.clone(), input.text_pair.clone(), input.choice.clone());
    };
    let format = input.format.map(|format| match format {
        args::Format::Jsonl => Format::Jsonl,
        args::Format::Csv => Format::Csv,
        args::Format::Tsv => Format::Tsv,
        args::Format::Txt => Format::Txt,
    });
    let columns = match &input.columns {
        Some(text) => text.parse::<Columns>()?,
        None => Columns::default(),
    };
    Records::open(Path::new(file), format, columns)
}

fn options(arguments: &Run) -> tasks::Options {
    let (reading, usual) = (&arguments.reading, tasks::Options::default());
    tasks::Options {
        batch: arguments.engine.batch.unwrap_or(usual.batch),
        top_k: reading.top_k,
        doc_stride: reading.doc_stride.unwrap_or(usual.doc_stride),
        max_answer_length: reading.max_answer_length.unwrap_or(usual.max_answer_length),
        n_best: reading.n_best.unwrap_or(usual.n_best),
        no_answer: reading.no_answer,
        max_new_tokens: reading.max_new_tokens.unwrap_or(usual.max_new_tokens),
        temperature: reading.temperature.unwrap_or(f64::from(usual.temperature)) as f32,
        top_p: reading.top_p.unwrap_or(f64::from(usual.top_p)) as f32,
        seed: reading.seed.unwrap_or(usual.seed),
        ..usual
    }
}
