//! What a run is made of: a spec, a checkpoint and records.

use crate::{
    answer::Answer,
    checkpoint::{Checkpoint, Folder, is_range},
    cli::{
        Stop, args, model,
        records::{self, Data},
        screen::Screen,
        settings, spec,
    },
    compile::{self, Checked, Program, compile},
    config::Config,
    failure::Failure,
    names::list_of,
    quant::RangeSource,
    session::{Engine, Session},
    tasks::{
        Options,
        training::{Dataset, labels},
    },
    training::is_named,
};
use serde_json::Value;
use std::{collections::BTreeSet, path::Path};

/// The learning rate where none is given, and with quantizers: a hundredth, as Wu, Judd, Zhang, Isaev and
/// Micikevicius recommend (2020, arXiv 2004.09602, section 5.2).
const RATE: f64 = 5e-5;
const QUANTIZED_RATE: f64 = 5e-7;

/// Records learnt from together where nothing else is said.
const BATCH: usize = 16;

/// Inputs that say what a text is; the others of a batch say what is right.
const TEXT: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// Labels that a note lists, at most.
const LISTED: usize = 12;

/// A spec and a checkpoint, and how they are read.
pub(super) struct Setup<'a> {
    pub(super) arguments: &'a args::Train,
    pub(super) screen: Screen,
    pub(super) program: Program,
    /// The checkpoint's, with the labels of the records where it names none.
    pub(super) config: Config,
    pub(super) answers: Vec<Answer>,
    /// That of the checkpoint's files.
    pub(super) folder: Folder,
    /// Quantizers that have a range from the checkpoint.
    ranged: bool,
    location: String,
    engine: Engine,
}

impl<'a> Setup<'a> {
    /// Reads the spec and the settings of a checkpoint, and sees whether they can be trained.
    pub(super) fn new(
        arguments: &'a args::Train,
        location: String,
        screen: Screen,
    ) -> Result<Setup<'a>, Stop> {
        let machine = arguments.machine.machine();
        if machine.dtype == Some(args::FloatType::F16) {
            return Err(Failure::usage("gradients of f16 vanish: a model is trained in f32 or bf16")
                .help("leave out `--dtype`; `qdqc run --dtype f16` runs what was trained")
                .into());
        }
        let engine = model::computing(&machine, !arguments.float)?;
        let given = &arguments.model;
        let program = spec::load(&spec::read(&given.spec)?, given.recipe.as_deref())?;
        let mut checkpoint = settings::checkpoint(&location, screen)?;
        settings::lay_over(&mut checkpoint.config, &given.set)?;
        settings::warn_unread(&given.set, &program, screen);
        let sources = program.sources.clone();
        let folder = checkpoint.folder().clone();
        let mut setup = Setup {
            arguments,
            screen,
            program,
            config: checkpoint.config,
            answers: Vec::new(),
            folder,
            ranged: false,
            location,
            engine,
        };
        setup.check().map_err(Stop::within(&sources))?;
        Ok(setup)
    }

    /// Refuses what cannot be trained.
    fn check(&mut self) -> Result<(), Failure> {
        let graph = self.graph()?;
        let spec = &self.arguments.model.spec;
        if !self.arguments.float && graph.quantizers.is_empty() {
            return Err(Failure::input(format!("`{spec}` attaches no quantizer"))
                .help("train it in float with `--float`, or add a recipe: `--recipe FILE`"));
        }
        let (_, outputs) = self.program.interface();
        if !outputs.contains("loss") && self.arguments.teacher.teacher.is_none() {
            return Err(Failure::input(format!(
                "`{spec}` has no output `loss`, so there is nothing to make small"
            ))
            .help("return one from its model, or give a teacher: `--teacher CKPT`"));
        }
        self.ranged = graph.quantizers.iter().any(|quantizer| {
            matches!(quantizer.scheme.range, RangeSource::Calibrated(_) | RangeSource::Learned(_))
        });
        self.answers = graph.answers.clone();
        if self.answers.is_empty() {
            return Err(Failure::input(format!("`{spec}` does not say how its outputs are read"))
                .help("add an `answer` to its model; what records teach it follows from it"));
        }
        Ok(())
    }

    /// The graph of the usual call.
    fn graph(&self) -> Result<Checked, Failure> {
        let options = compile::Options { config: self.config.clone(), ..compile::Options::default() };
        let (graph, problems) = compile(&self.program, &options, !self.arguments.float);
        graph.ok_or(Failure::Diagnostics(problems))
    }

    /// The records to learn from. Where the config does not name the labels, a teacher does, or else the
    /// records.
    pub(super) fn records(&mut self, teacher: Option<&Config>) -> Result<Data, Failure> {
        let given = &self.arguments.data;
        let data = records::all(&args::Data {
            input: given.input.clone(),
            format: given.format,
            columns: given.columns.clone(),
            max_samples: given.max_samples,
        })?;
        if let Some(teacher) = teacher.filter(|teacher| is_named(&teacher.labels()))
            && !is_named(&self.config.labels())
        {
            for field in ["id2label", "label2id"] {
                self.config.set(field, teacher.get(field).cloned().unwrap_or(Value::Null));
            }
        }
        let found = labels(&data.records, &self.answers, &self.config);
        if let Some(found) = found.map_err(|problem| data.file.placed(problem))? {
            found.lay_over(&mut self.config);
            let names = self.config.labels();
            if !names.is_empty() {
                let more = if names.len() > LISTED { " and others" } else { "" };
                let listed = list_of(names.iter().take(LISTED).map(String::as_str));
                self.screen.note(&format!("the labels are those of the records: {listed}{more}"));
            }
        }
        Ok(data)
    }

    /// The records to score the model on.
    pub(super) fn scored(&self) -> Result<Option<Data>, Failure> {
        let given = &self.arguments.data;
        let Some(input) = given.eval.clone() else { return Ok(None) };
        let columns = given.eval_columns.clone().or_else(|| given.columns.clone());
        records::all(&args::Data { input, format: given.format, columns, max_samples: None }).map(Some)
    }

    /// How records become examples.
    pub(super) fn options(&self) -> Options {
        Options {
            batch: self.arguments.course.batch.unwrap_or(BATCH),
            max_length: self.arguments.data.max_length,
            seed: self.arguments.course.seed,
            ..Options::default()
        }
    }

    /// The highest.
    pub(super) fn learning_rate(&self) -> f64 {
        let usual = if self.arguments.float { RATE } else { QUANTIZED_RATE };
        self.arguments.course.learning_rate.unwrap_or(usual)
    }

    /// The inputs that say what a text is, of those that the model has.
    pub(super) fn inputs(&self) -> BTreeSet<String> {
        let (own, _) = self.program.interface();
        own.into_iter().filter(|name| TEXT.contains(&name.as_str())).collect()
    }

    /// Refuses a model that takes no labels, and has no teacher.
    pub(super) fn check_inputs(&self, dataset: &Dataset<'_>) -> Result<(), Failure> {
        let (own, _) = self.program.interface();
        let all = dataset.input_names();
        let lacking = all.difference(&own).map(String::as_str).filter(|name| !TEXT.contains(name));
        let lacking: Vec<&str> = lacking.collect();
        if lacking.is_empty() || self.arguments.teacher.teacher.is_some() {
            return Ok(());
        }
        let (spec, lacking) = (&self.arguments.model.spec, list_of(lacking));
        Err(Failure::input(format!("`{spec}` has no input {lacking}, so it cannot learn from labels"))
            .help("its model takes labels by HuggingFace's names: `labels`, `start_positions`"))
    }

    /// The quantizers are on and want ranges, and the checkpoint has none.
    pub(super) fn wants_ranges(&self) -> Result<bool, Failure> {
        let wants = !self.arguments.float && self.ranged;
        Ok(wants && !self.checkpoint()?.weights()?.tensors().any(|(name, _)| is_range(name)))
    }

    /// A session of the model, with ranges of a file laid over the checkpoint's.
    pub(super) fn session(&self, quantize: bool, ranges: Option<&Path>) -> Result<Session, Failure> {
        let mut checkpoint = self.checkpoint()?;
        if let Some(ranges) = ranges {
            checkpoint.overlay(ranges)?;
        }
        Ok(Session::new(self.program.clone(), checkpoint, Engine { quantize, ..self.engine.clone() }))
    }

    /// What a teacher is computed with: the same, in float.
    pub(super) fn teacher_engine(&self) -> Engine {
        Engine { quantize: false, ..self.engine.clone() }
    }

    fn checkpoint(&self) -> Result<Checkpoint, Failure> {
        let mut checkpoint = settings::checkpoint(&self.location, self.screen)?;
        checkpoint.config = self.config.clone();
        Ok(checkpoint)
    }
}
