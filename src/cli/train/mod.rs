//! `qdqc train`: a model learns from records, in float or with its quantizers on.

mod folder;
mod log;
mod origin;
mod report;
mod run;
mod setup;
mod start;
mod teacher;

use super::{Stop, args, interrupt, screen::Screen};
use crate::{
    checkpoint::{Fresh, Pattern, chosen},
    failure::Failure,
    session::Session,
    tasks::{Tokenizer, evaluation, training::Dataset},
    training::{AdamW, AdamWOptions, Decay, Every, Length, Options, Schedule, Teacher, Trainer, frozen},
};
use folder::{Folder, Resumed};
use run::{Evaluation, Run};
use setup::Setup;
use std::{collections::BTreeSet, process::ExitCode};

/// Trains a model and writes it.
pub fn train(arguments: &args::Train, screen: Screen) -> Result<ExitCode, Stop> {
    interrupt::install();
    let freeze = patterns(&arguments.course.freeze)?;
    let mut fresh = Fresh { seed: arguments.course.seed, patterns: patterns(&arguments.course.fresh)? };
    let mut folder = Folder::new(&arguments.output, arguments.resume)?;
    let origin = origin::of(arguments)?;
    let resumed = folder.resumed(&origin)?;
    if arguments.resume && resumed.is_none() {
        screen
            .note(&format!("there is nothing to go on from in {}: the run begins", folder.path().display()));
    }
    let location = match &resumed {
        Some(_) => folder.last().display().to_string(),
        None => arguments.model.checkpoint.clone(),
    };
    if resumed.is_some() {
        // What was drawn has learned since.
        fresh.patterns.clear();
    }
    let mut setup = Setup::new(arguments, location, screen)?;
    let sources = setup.program.sources.clone();
    let within = Stop::within(&sources);
    let (mut teacher, tokens) = teacher::open(&setup)?;

    let read = setup.records(teacher.as_ref().map(|teacher| teacher.session.config()));
    let scored = setup.scored();
    if interrupt::requested() {
        // Records that were not read any more are not missing.
        screen.note(&run::interrupted(
            &folder,
            resumed.as_ref().map_or(0, |resumed| resumed.place.step),
            None,
        ));
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    }
    let (data, scored) = (read?, scored?);
    let tokenizer = Tokenizer::load(setup.folder.clone(), &setup.config)?;
    let scoring = scored.as_ref().map(|data| evaluation::options(&data.records, None)).unwrap_or_default();
    let evaluation = match &scored {
        Some(data) => Some(Evaluation::new(&tokenizer, &setup, data, &scoring)?),
        None => None,
    };
    let wants_ranges = setup.wants_ranges()?;
    let mut session = start::session(&setup, &fresh, !wants_ranges).map_err(&within)?;
    let frozen = frozen(&freeze, session.parameters())?;
    chosen("--fresh", &fresh.patterns, session.parameters().keys().map(String::as_str))?;
    folder.make(arguments.resume)?;
    let placed = |problem| within(data.file.placed(problem));
    let kept = tokens.is_some().then(|| data.records.clone());
    let dataset = Dataset::new(&tokenizer, &setup.config, &setup.answers, setup.options(), data.records);
    let dataset = dataset.map_err(placed)?;
    start::look(&setup, &dataset)?;
    let taught = match kept {
        Some(records) => teacher::examples(tokens.as_ref(), &setup, &dataset, records).map_err(placed)?,
        None => None,
    };
    let teacher = match &mut teacher {
        Some(teacher) => Some(teacher.ready(&setup, &dataset, taught.as_ref()).map_err(&within)?),
        None => None,
    };
    if wants_ranges {
        let file = start::ranges(&setup, &folder, session, &dataset).map_err(&within)?;
        session = start::ranged(&setup, &fresh, &file).map_err(&within)?;
    }
    let course = Course { setup: &setup, frozen, noun: data.file.noun };
    let trainer = course.trainer(&mut session, &dataset, teacher, resumed.as_ref()).map_err(&within)?;
    let run = Run::new(&setup, &folder, trainer, evaluation, origin, resumed)?;
    run.go(&within)
}

/// What chooses parameters.
fn patterns(texts: &[String]) -> Result<Vec<Pattern>, Failure> {
    let read = texts.iter().map(|text| Pattern::parse(text));
    read.collect::<Result<_, _>>().map_err(Failure::usage)
}

/// How a model learns.
struct Course<'a> {
    setup: &'a Setup<'a>,
    /// The parameters that stay as they are.
    frozen: BTreeSet<String>,
    /// What the lines of records count.
    noun: &'static str,
}

impl Course<'_> {
    /// At the beginning, or where an earlier run stopped.
    fn trainer<'t>(
        self,
        session: &'t mut Session,
        dataset: &'t Dataset<'t>,
        teacher: Option<Teacher<'t>>,
        resumed: Option<&Resumed>,
    ) -> Result<Trainer<'t>, Failure> {
        let flags = &self.setup.arguments.course;
        let options = self.options();
        let adamw = AdamWOptions { weight_decay: flags.weight_decay, ..AdamWOptions::default() };
        let (optimizer, place) = match resumed {
            Some(resumed) => {
                (AdamW::restore(adamw, session.parameters(), &resumed.optimizer)?, resumed.place)
            }
            None => (AdamW::new(adamw), Default::default()),
        };
        let decay = match flags.schedule {
            Some(args::Fall::Linear) => Decay::Linear,
            Some(args::Fall::Cosine) => Decay::Cosine,
            Some(args::Fall::Constant) => Decay::Constant,
            None if self.setup.arguments.float => Decay::Linear,
            None => Decay::Cosine,
        };
        let steps = options.length.steps(dataset, options.accumulate)?;
        let schedule = Schedule::new(decay, self.setup.learning_rate(), flags.warmup, steps);
        let trainer = Trainer::new(session, dataset, teacher, options, schedule, self.frozen)?;
        Ok(trainer.starting(optimizer, place))
    }

    fn options(&self) -> Options {
        let flags = &self.setup.arguments.course;
        let epochs = flags.epochs.unwrap_or(if self.setup.arguments.float { 3.0 } else { 0.3 });
        Options {
            length: flags.steps.map_or(Length::Epochs(epochs), Length::Steps),
            accumulate: flags.accumulate,
            clip: (flags.clip > 0.0).then_some(flags.clip),
            dropout: !flags.no_dropout,
            seed: flags.seed,
            ranges: match flags.ranges {
                args::EstimateRanges::Every(steps) if !self.setup.arguments.float => Some(steps),
                _ => None,
            },
            noun: self.noun,
        }
    }
}

/// Every so many steps, or at the end of each epoch.
fn every(steps: Option<u64>) -> Every {
    steps.map_or(Every::Epoch, Every::Steps)
}
