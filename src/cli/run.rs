//! `qdqc run`: a model on texts, on a file of records, or on tensors.

use super::{
    Stop, args, interrupt, model, output,
    progress::Progress,
    question::{EXPLANATION, Question},
    records,
    screen::Screen,
    tensors,
};
use crate::{
    failure::Failure,
    report,
    session::Session,
    source::Sources,
    tasks::{Options, Problem, Records, Reply, Summary, run_records},
};
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Runs the model on what was given.
pub fn run(arguments: &args::Run, screen: Screen) -> Result<ExitCode, Stop> {
    let Some(question) = Question::of(arguments)? else {
        screen.write(EXPLANATION);
        return Ok(ExitCode::from(2));
    };
    interrupt::install();
    let mut session = model::open(question.model, &arguments.engine, screen)?;
    if question.of_demo {
        screen.note("the demo answers, a small model of sentiment; another is named by `SPEC -c CKPT`");
    }
    let sources = session.program().sources.clone();
    let done = match (&arguments.input.tensors, &arguments.input.output) {
        (Some(given), Some(results)) => {
            tensors::run(&mut session, given, results, &request(&arguments.reading))
                .map_err(Stop::within(&sources))
        }
        _ => on_records(arguments, &question, &mut session, &sources, screen),
    };
    model::show_notes(&mut session, screen);
    done
}

/// Answers every record on a line of its own. A record without an answer is
/// reported, the rest are done all the same, and the exit code is 1.
fn on_records(
    arguments: &args::Run,
    question: &Question<'_>,
    session: &mut Session,
    sources: &Sources,
    screen: Screen,
) -> Result<ExitCode, Stop> {
    let within = Stop::within(sources);
    let records = records(&arguments.input, question.texts)?;
    let noun = records.noun();
    let records = records.take_while(|_| !interrupt::requested());
    let config = session.config().clone();
    let (answers, tokenizer) = model::prepare(session, &config).map_err(&within)?;
    if answers.is_empty() {
        return Err(Failure::input(format!(
            "`{}` does not say how its outputs are read",
            question.model.spec
        ))
        .help("add an `answer` to its model, or run it on tensors with `--tensors IN -o OUT`")
        .into());
    }
    model::show_notes(session, screen);
    let mut lines = Lines::new(arguments, noun, sources, screen);
    let mut sink = |result| lines.take(result);
    let done = run_records(records, &tokenizer, &config, &answers, &options(arguments), session, &mut sink);
    let summary = lines.finish(done)?;
    report_summary(&summary, screen);
    Ok(match (interrupt::requested(), summary.failed) {
        (true, _) => ExitCode::from(interrupt::EXIT_CODE),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::FAILURE,
    })
}

fn report_summary(summary: &Summary, screen: Screen) {
    if summary.truncated > 0 {
        let were = if summary.truncated == 1 { "text was" } else { "texts were" };
        screen.warning(&format!("{} {were} cut to fit the model", summary.truncated));
    }
    if summary.failed > 0 {
        let all = summary.failed + summary.answered;
        let have = if summary.failed == 1 { "has" } else { "have" };
        screen.note(&format!("{} of {all} records {have} no answer", summary.failed));
    }
    if interrupt::requested() {
        screen.note(&format!("interrupted after {} records", summary.failed + summary.answered));
    }
}

/// Where answers and problems go, one after the other.
struct Lines<'a> {
    json: bool,
    /// What records are counted in.
    noun: &'static str,
    screen: Screen,
    sources: &'a Sources,
    progress: Option<Progress>,
    /// Why standard output could not be written.
    stopped: Option<Stop>,
}

impl Lines<'_> {
    /// Progress is shown where the answers do not show it themselves.
    fn new<'a>(arguments: &args::Run, noun: &'static str, sources: &'a Sources, screen: Screen) -> Lines<'a> {
        let shown = arguments.input.file.is_some() && !io::stdout().is_terminal();
        let progress = shown.then(|| Progress::new("records", None, screen));
        Lines { json: arguments.reading.json, noun, screen, sources, progress, stopped: None }
    }

    fn take(&mut self, result: Result<Reply, Problem>) -> Result<(), Failure> {
        match result {
            Ok(reply) => self.answer(&reply)?,
            Err(problem) => self.problem(&problem),
        }
        if let Some(progress) = &mut self.progress {
            progress.advance(1);
        }
        Ok(())
    }

    fn answer(&mut self, reply: &Reply) -> Result<(), Failure> {
        let line = if self.json {
            serde_json::to_string(reply)
                .map_err(|error| Failure::outside(format!("an answer is no JSON: {error}")))?
        } else {
            reply.to_string()
        };
        writeln!(io::stdout().lock(), "{line}").map_err(|error| {
            self.stopped = Some(output::stdout_failed(error));
            Failure::outside("standard output cannot be written")
        })
    }

    fn problem(&self, problem: &Problem) {
        let write = || match &*problem.failure {
            Failure::Diagnostics(list) => {
                self.screen.write(&report::render(list, self.sources, self.screen.color));
                self.screen
                    .error(&format!("{} {}: the model could not be run on it", self.noun, problem.line));
            }
            failure => self.screen.error(&format!("{} {}: {failure}", self.noun, problem.line)),
        };
        match &self.progress {
            Some(progress) => progress.suspend(write),
            None => write(),
        }
    }

    fn finish(self, done: Result<Summary, Failure>) -> Result<Summary, Stop> {
        if let Some(progress) = self.progress {
            progress.finish();
        }
        match (done, self.stopped) {
            (Ok(summary), _) => Ok(summary),
            (Err(_), Some(stop)) => Err(stop),
            (Err(failure), None) => Err(Stop::within(self.sources)(failure)),
        }
    }
}

/// The texts of the command line, those without a flag first, or the records of the file.
fn records(input: &args::Input, texts: &[String]) -> Result<Records, Failure> {
    match &input.file {
        Some(file) => records::open(file, input.format, input.columns.as_deref()),
        None => {
            let texts = texts.iter().chain(&input.text).cloned().collect();
            Records::texts(texts, input.text_pair.clone(), input.choice.clone())
        }
    }
}

fn options(arguments: &args::Run) -> Options {
    let reading = &arguments.reading;
    let default = Options::default();
    Options {
        batch: arguments.engine.machine.batch.unwrap_or(default.batch),
        top_k: reading.top_k.or(default.top_k),
        doc_stride: reading.doc_stride.unwrap_or(default.doc_stride),
        max_answer_length: reading.max_answer_length.unwrap_or(default.max_answer_length),
        n_best: reading.n_best.unwrap_or(default.n_best),
        no_answer: reading.no_answer,
        max_new_tokens: reading.max_new_tokens.unwrap_or(default.max_new_tokens),
        temperature: reading.temperature.unwrap_or(default.temperature),
        top_p: reading.top_p.unwrap_or(default.top_p),
        seed: reading.seed.unwrap_or(default.seed),
        ..default
    }
}

/// Outputs that are made on request, by the flags that ask for them.
fn request(reading: &args::Reading) -> Vec<&'static str> {
    let asked = [
        (reading.hidden_states, "hidden_states"),
        (reading.attentions, "attentions"),
        (reading.cache, "present"),
    ];
    asked.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name).collect()
}
