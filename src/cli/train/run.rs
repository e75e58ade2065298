//! From step to step: what is logged, kept, scored and told between them.

use super::{
    every,
    folder::{Folder, Resumed},
    log::Log,
    origin::Origin,
    report,
    setup::Setup,
};
use crate::{
    checkpoint::Range,
    cli::{Stop, interrupt, progress::Progress, records::Data},
    failure::Failure,
    tasks::{Evaluator, Options, Runner, Tokenizer, evaluate, metrics::Metric},
    training::{State, Step, Trainer, improved, ranges},
};
use std::{collections::BTreeMap, ops::ControlFlow, path::Path, process::ExitCode, time::Instant};

/// Metrics that a note lists, at most.
const LISTED: usize = 4;

/// What a model is scored on while it learns.
pub(super) struct Evaluation<'a> {
    evaluator: Evaluator<'a>,
    data: &'a Data,
}

impl<'a> Evaluation<'a> {
    /// Of records that all say what is right.
    ///
    /// # Errors
    /// One does not, or cannot be used.
    pub(super) fn new(
        tokenizer: &'a Tokenizer,
        setup: &'a Setup<'_>,
        data: &'a Data,
        options: &'a Options,
    ) -> Result<Evaluation<'a>, Failure> {
        let evaluator = Evaluator::new(tokenizer, &setup.config, &setup.answers, options)?;
        let labelled = evaluator.is_labelled(&data.records);
        if !labelled.map_err(|problem| data.file.placed(problem))? {
            let line = data.records.first().map_or(0, |first| first.line);
            let lacking = data.records.first().map(|first| evaluator.lacking(first));
            let lacking =
                lacking.unwrap_or_else(|| Failure::input("there are no records to score the model on"));
            return Err(data.file.at(line, lacking));
        }
        Ok(Evaluation { evaluator, data })
    }
}

/// A run on its way.
pub(super) struct Run<'a> {
    setup: &'a Setup<'a>,
    folder: &'a Folder,
    trainer: Trainer<'a>,
    evaluation: Option<Evaluation<'a>>,
    origin: Origin,
    best: Option<f64>,
    /// The step of the last evaluation, and what the best was before it.
    judged: (u64, Option<f64>),
    log: Log,
    /// The step that `last/` is of.
    kept: u64,
    progress: Progress,
    started: Instant,
}

impl<'a> Run<'a> {
    /// A run at its beginning, or where an earlier one stopped.
    pub(super) fn new(
        setup: &'a Setup<'a>,
        folder: &'a Folder,
        trainer: Trainer<'a>,
        evaluation: Option<Evaluation<'a>>,
        origin: Origin,
        resumed: Option<Resumed>,
    ) -> Result<Run<'a>, Failure> {
        let step = trainer.place().step;
        let log = Log::open(&folder.log(), step)?;
        let progress = Progress::new("steps", Some(trainer.total()), setup.screen).after(step);
        let best = resumed.and_then(|resumed| resumed.best);
        let started = Instant::now();
        Ok(Run {
            setup,
            folder,
            trainer,
            evaluation,
            origin,
            best,
            judged: (0, None),
            log,
            kept: step,
            progress,
            started,
        })
    }

    /// Trains to the end, or until someone presses Ctrl-C.
    pub(super) fn go(mut self, within: &dyn Fn(Failure) -> Stop) -> Result<ExitCode, Stop> {
        let done = self.steps().map_err(|failure| {
            if self.kept > 0 {
                let last = self.folder.last();
                self.note(&format!("the model of step {} is in {}", self.kept, last.display()));
            }
            within(failure)
        })?;
        let Run { setup, folder, trainer, progress, started, kept, .. } = self;
        let steps = trainer.total();
        drop(trainer);
        progress.finish();
        if !done {
            setup.screen.note(&interrupted(folder, kept, Some(steps)));
        }
        report::show(setup, folder, &report::End { steps, done, seconds: started.elapsed().as_secs_f64() })?;
        Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(interrupt::EXIT_CODE) })
    }

    /// `false`: interrupted.
    fn steps(&mut self) -> Result<bool, Failure> {
        // What comes after the step that was kept may not have been done.
        if !self.score()? {
            return Ok(false);
        }
        while !self.trainer.is_done() {
            if interrupt::requested() {
                self.keep()?;
                return Ok(false);
            }
            let begun = Instant::now();
            let step = self.trainer.step()?;
            self.took(&step, begun)?;
            if self.is_due(self.setup.arguments.course.save_every) {
                self.keep()?;
            }
            if !self.score()? {
                self.keep()?;
                return Ok(false);
            }
        }
        if self.evaluation.is_none() {
            self.write(self.folder.path())?;
        }
        Ok(true)
    }

    fn is_due(&self, steps: Option<u64>) -> bool {
        every(steps).is_due(self.trainer.place(), self.trainer.total())
    }

    /// Logs and tells what a step was.
    fn took(&mut self, step: &Step, begun: Instant) -> Result<(), Failure> {
        let seconds = begun.elapsed().as_secs_f64();
        self.log.step(step, seconds, self.started.elapsed().as_secs_f64())?;
        let tokens = step.tokens as f64 / seconds.max(1e-9);
        self.progress.tell(format!(
            "loss {:.4}, learning rate {:.2e}, {tokens:.0} tokens per second",
            step.loss, step.learning_rate
        ));
        self.progress.advance(1);
        Ok(())
    }

    /// Writes `last/`, unless it is of this step already.
    fn keep(&mut self) -> Result<(), Failure> {
        let place = self.trainer.place();
        if place.step == self.kept {
            return Ok(());
        }
        // Whoever goes on from here judges this step again.
        let (step, before) = self.judged;
        let best = if step == place.step { before } else { self.best };
        let state = State {
            step: place.step,
            epoch: place.epoch,
            position: place.batch as u64,
            best,
            seed: self.setup.arguments.course.seed,
            options: self.origin.clone(),
            optimizer: self.trainer.optimizer().state()?,
            observer: BTreeMap::new(),
        };
        let folder = self.folder;
        folder.keep(|last| {
            self.write(last)?;
            state.save(last)
        })?;
        self.kept = place.step;
        Ok(())
    }

    /// Writes the model as it is now, unless numbers in it are not finite.
    fn write(&mut self, folder: &Path) -> Result<(), Failure> {
        self.trainer.check()?;
        let session = self.trainer.session();
        let ranges = match self.setup.arguments.float {
            true => BTreeMap::<String, Range>::new(),
            false => ranges::current(session)?,
        };
        let architecture = session.program().model().map_or("", |model| model.name.value.as_str());
        session.checkpoint().save_trained(folder, architecture, session.parameters(), &ranges)
    }

    /// Scores the model where that is due, and writes it where it is the best so far. `false`: interrupted.
    fn score(&mut self) -> Result<bool, Failure> {
        let due = self.is_due(self.setup.arguments.data.eval_every);
        let Some(evaluation) = self.evaluation.as_ref().filter(|_| due) else { return Ok(true) };
        self.trainer.check()?;
        let mut scored = 0;
        let progress = &mut self.progress;
        let mut done = |count: usize| {
            scored += count;
            progress.tell(format!("scored on {scored} of {} records", evaluation.data.records.len()));
            progress.advance(0);
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let mut models: [&mut dyn Runner; 1] = [self.trainer.session()];
        let found = evaluate(&evaluation.evaluator, evaluation.data.records.clone(), &mut models, &mut done);
        let found = found.map_err(|problem| evaluation.data.file.placed(problem))?;
        if interrupt::requested() {
            return Ok(false);
        }
        let metrics: Vec<Metric> = found.scores.first().map(|scores| scores.metrics()).unwrap_or_default();
        let step = self.trainer.place().step;
        self.judged = (step, self.best);
        let best = improved(self.best, &metrics);
        if let Some(best) = best {
            self.write(self.folder.path())?;
            self.best = Some(best);
        }
        self.log.evaluation(step, &metrics, best.is_some(), self.started.elapsed().as_secs_f64())?;
        let told: Vec<String> = metrics.iter().take(LISTED).map(Metric::to_string).collect();
        let best = if best.is_some() { ", the best so far" } else { "" };
        self.note(&format!("step {step}: {}{best}", told.join(", ")));
        Ok(true)
    }

    fn note(&self, text: &str) {
        self.progress.suspend(|| self.setup.screen.note(text));
    }
}

/// What is said of a run that someone ended when so many of its steps were kept.
pub(super) fn interrupted(folder: &Folder, kept: u64, steps: Option<u64>) -> String {
    let of = steps.map_or_else(String::new, |steps| format!(" of {steps}"));
    match kept {
        0 => "interrupted before the first step".to_owned(),
        kept => format!(
            "interrupted after {kept}{of} steps, which are in {}: go on with the same command and `--resume`",
            folder.last().display()
        ),
    }
}
