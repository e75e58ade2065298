//! `qdqc calibrate`: ranges from data, and a checkpoint that holds them.

use super::{
    Stop,
    args::{self, Shard},
    calibrated::{self, Folder, STATISTICS, Table},
    checksum::{Checksum, unreadable},
    interrupt,
    model::{self, Named},
    output::{Existing, write_file},
    progress::Progress,
    records,
    screen::Screen,
    tensors,
};
use crate::{
    calibration::Saved,
    calibrator::{self, Calibrator, Choice, Counting, Origin},
    checkpoint,
    failure::Failure,
    session::Session,
    tasks::{EvenBatch, EvenBatches, Options},
};
use clap::ValueEnum;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Observes the data, or takes statistics of earlier observation, and writes what
/// follows.
pub fn calibrate(arguments: &args::Calibrate, screen: Screen) -> Result<ExitCode, Stop> {
    interrupt::install();
    let named = Named::from(&arguments.model);
    let engine = args::Engine { float: true, machine: arguments.machine.clone(), ..args::Engine::default() };
    let mut session = model::open(named, &engine, screen)?;
    let sources = session.program().sources.clone();
    let within = Stop::within(&sources);
    if session.graph().map_err(&within)?.quantizers.is_empty() {
        return Err(Failure::input(format!(
            "`{}` attaches no quantizer, so there is nothing to calibrate",
            arguments.model.spec
        ))
        .help("add a recipe: `use \"recipes/qdqbert.qdq\"`")
        .into());
    }
    let work = Work::new(arguments, session.folder())?;
    let counted = match arguments.merge.as_slice() {
        [] => observe(arguments, &work, &mut session, screen).map_err(&within)?,
        files => Some(merged(files, &session)?),
    };
    model::show_notes(&mut session, screen);
    let Some((calibrator, origin)) = counted else {
        return Ok(ExitCode::from(interrupt::EXIT_CODE));
    };
    let Some(folder) = &work.folder else {
        let noun = if origin.samples == 1 { "sequence" } else { "sequences" };
        screen.note(&format!(
            "{} {noun} observed; statistics are in {}",
            origin.samples,
            work.statistics.display()
        ));
        return Ok(ExitCode::SUCCESS);
    };
    let choice = Choice { method: arguments.method.clone(), skip_zeros: arguments.skip_zeros };
    let outcome = calibrator::Outcome::of(&mut session, &calibrator, &choice).map_err(|failure| {
        if arguments.merge.is_empty() {
            screen.note(&format!(
                "what was observed is in {}: after mending the spec, go on with `--merge` and that file",
                work.statistics.display()
            ));
        }
        within(failure)
    })?;
    folder.make()?;
    if !arguments.merge.is_empty() {
        write(&work.statistics, &calibrator.save(&origin))?;
    }
    let graph = session.graph_with(calibrator.inputs()).map_err(&within)?;
    let table = Table::new(&session, &graph, &outcome, origin.samples);
    calibrated::write(folder, &session, &table, &outcome)?;
    calibrated::summarize(folder, &table, arguments.json, screen)
}

/// Where things are written.
struct Work {
    /// `None` for a shard, which is statistics alone.
    folder: Option<Folder>,
    statistics: PathBuf,
    shard: Shard,
}

impl Work {
    /// Sees that nothing is in the way.
    fn new(arguments: &args::Calibrate, checkpoint: &checkpoint::Folder) -> Result<Work, Failure> {
        let output = &arguments.output;
        if let Some(shard) = arguments.shard {
            if output.is_dir() {
                return Err(Failure::usage(format!(
                    "`{}` is a folder, but a shard is a file",
                    output.display()
                ))
                .help("name the file of statistics with `-o FILE`"));
            }
            if output.exists() && !arguments.force && !arguments.resume {
                return Err(already_there(output));
            }
            return Ok(Work { folder: None, statistics: output.clone(), shard });
        }
        let folder = Folder::new(output, checkpoint)?;
        let statistics = output.join(STATISTICS);
        let earlier = statistics.exists() || output.join("model.safetensors").exists();
        let goes_on = arguments.resume && statistics.exists();
        if earlier && !arguments.force && !goes_on {
            return Err(already_there(output));
        }
        Ok(Work { folder: Some(folder), statistics, shard: Shard { part: 1, of: 1 } })
    }
}

fn already_there(output: &Path) -> Failure {
    Failure::usage(format!("`{}` holds a calibration already", output.display()))
        .help("go on with it by `--resume`, or write over it by `--force`")
}

/// Counts every batch of this shard that was not counted before. `None`: interrupted.
fn observe(
    arguments: &args::Calibrate,
    work: &Work,
    session: &mut Session,
    screen: Screen,
) -> Result<Option<(Calibrator, Origin)>, Failure> {
    let counting = match arguments.parity {
        true => Counting::Parity { skip_zeros: arguments.skip_zeros },
        false => Counting::Canonical,
    };
    let start = origin(arguments, work, session)?;
    let (calibrator, origin) = match earlier(arguments, work, &start)? {
        Some((saved, origin)) => (Calibrator::restore(saved, counting), origin),
        None => (Calibrator::new(counting), start),
    };
    let mut count = Count { work, session, calibrator, origin };
    if !count.origin.complete {
        let done = match &arguments.file {
            Some(file) => records_of(arguments, file, &mut count, screen)?,
            None => tensors_of(arguments, &mut count, screen)?,
        };
        if !done {
            screen.note(&count.interrupted(arguments));
            return Ok(None);
        }
        count.finish()?;
    }
    Ok(Some((count.calibrator, count.origin)))
}

/// Counts the batches of a file of records.
fn records_of(
    arguments: &args::Calibrate,
    file: &str,
    count: &mut Count<'_>,
    screen: Screen,
) -> Result<bool, Failure> {
    let open = || records::open(file, arguments.format, arguments.columns.as_deref());
    let config = count.session.config().clone();
    let (answers, tokenizer) = model::prepare(count.session, &config)?;
    let most = arguments.max_samples.map(|most| most as u64);
    let total = match file {
        "-" => None,
        _ => Some(open()?.count() as u64).map(|all| most.map_or(all, |most| all.min(most))),
    };
    let options = options(arguments);
    let records = open()?;
    let noun = records.noun();
    let batches = EvenBatches::new(records, most, &tokenizer, &config, &answers, &options)?;
    let batches = batches.map(|batch| batch.map_err(|problem| records::placed(noun, problem)));
    let total = total.map(|total| total.div_ceil(count.work.shard.of));
    count.all(batches, true, Progress::new("records", total, screen))
}

/// Counts files of tensors, each a batch.
fn tensors_of(arguments: &args::Calibrate, count: &mut Count<'_>, screen: Screen) -> Result<bool, Failure> {
    count.session.prepare()?;
    let total = arguments.tensors.len() as u64;
    let batches = arguments.tensors.iter().map(|file| tensor_batch(file));
    count.all(batches, false, Progress::new("files", Some(total.div_ceil(count.work.shard.of)), screen))
}

/// What is being counted, and where it is kept.
struct Count<'a> {
    work: &'a Work,
    session: &'a mut Session,
    calibrator: Calibrator,
    origin: Origin,
}

impl Count<'_> {
    /// Counts this shard's batches but for those that are counted already, and keeps
    /// what was counted after each. `false`: interrupted. `spare`: the batches may
    /// hold inputs that the model does not have.
    fn all(
        &mut self,
        batches: impl Iterator<Item = Result<EvenBatch, Failure>>,
        spare: bool,
        mut progress: Progress,
    ) -> Result<bool, Failure> {
        let shard = self.work.shard;
        let mut own = 0;
        for (index, batch) in (0_u64..).zip(batches) {
            let batch = batch?;
            if index % shard.of != shard.part - 1 {
                continue;
            }
            own += 1;
            if own > self.origin.batches {
                if interrupt::requested() {
                    return Ok(false);
                }
                let inputs = if spare { self.session.own_inputs(&batch.inputs) } else { batch.inputs };
                self.calibrator.add(self.session, &inputs)?;
                self.origin.batches += 1;
                self.origin.samples += batch.samples;
                self.keep()?;
            }
            progress.advance(batch.records);
        }
        progress.finish();
        Ok(true)
    }

    fn keep(&self) -> Result<(), Failure> {
        if let Some(folder) = &self.work.folder {
            folder.make()?;
        }
        write(&self.work.statistics, &self.calibrator.save(&self.origin))
    }

    /// What an interrupted run leaves, and how to go on.
    fn interrupted(&self, arguments: &args::Calibrate) -> String {
        let (batches, kept) = (self.origin.batches, self.work.statistics.display());
        if batches == 0 {
            return "interrupted before the first batch".to_owned();
        }
        if arguments.file.as_deref() == Some("-") {
            return format!("interrupted after {batches} batches; standard input cannot be read again");
        }
        format!(
            "interrupted after {batches} batches, which are in {kept}: go on with the same command and `--resume`"
        )
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.origin.samples == 0 && self.origin.shards == 1 {
            return Err(Failure::input("there is no record to calibrate with")
                .help("give a file of the texts that the model is used on; some hundred are enough"));
        }
        self.origin.complete = true;
        self.keep()
    }
}

/// What an interrupted run left, if this is to go on with it.
fn earlier(
    arguments: &args::Calibrate,
    work: &Work,
    start: &Origin,
) -> Result<Option<(Saved, Origin)>, Failure> {
    if !arguments.resume || !work.statistics.exists() {
        return Ok(None);
    }
    let name = work.statistics.display().to_string();
    let saved = read(&work.statistics)?;
    let origin = Origin::of(&saved, &name)?;
    let other = match origin.difference(start) {
        Some((what, there, here)) => Some(format!("another {what}: {there} there, {here} here")),
        None if (origin.shards, &origin.shard) != (start.shards, &start.shard) => {
            Some("another shard".to_owned())
        }
        None => None,
    };
    match other {
        Some(other) => Err(Failure::input(format!("{name} was collected from {other}"))
            .help("give the same command as before, or start anew with `--force`")),
        None => Ok(Some((saved, origin))),
    }
}

/// Several files of statistics as one.
fn merged(files: &[PathBuf], session: &Session) -> Result<(Calibrator, Origin), Failure> {
    let mut parts = Vec::new();
    for file in files {
        parts.push((file.display().to_string(), read(file)?));
    }
    let names: Vec<String> = parts.iter().map(|(name, _)| name.clone()).collect();
    let saved = calibrator::merge(parts)?;
    let origin = Origin::of(&saved, &names.join(", "))?;
    for (what, here) in [("weights", fingerprint(session)?), ("settings", settings(session))] {
        if origin.same.get(what).is_some_and(|known| *known != here) {
            return Err(Failure::input(format!("{} was collected from other {what}", names.join(", ")))
                .help("give the checkpoint that was observed, with the same `--set`"));
        }
    }
    Ok((Calibrator::restore(saved, Counting::Canonical), origin))
}

/// What this run observes.
fn origin(arguments: &args::Calibrate, work: &Work, session: &Session) -> Result<Origin, Failure> {
    let mut data = Checksum::default();
    let files = arguments.file.iter().map(Path::new).chain(arguments.tensors.iter().map(PathBuf::as_path));
    for file in files {
        if file != Path::new("-") {
            data.file(file)?;
        } else if arguments.resume || arguments.shard.is_some() {
            return Err(Failure::usage("standard input cannot be read again")
                .help("write the records to a file, and give that"));
        }
    }
    let counting = match (arguments.parity, arguments.skip_zeros) {
        (false, _) => "qdqc",
        (true, false) => "pytorch-quantization",
        (true, true) => "pytorch-quantization without zeros",
    };
    let format = arguments.format.and_then(|format| Some(format.to_possible_value()?.get_name().to_owned()));
    let same = [
        ("weights", fingerprint(session)?),
        ("settings", settings(session)),
        ("model", session.program().model().map_or(String::new(), |model| model.name.value.clone())),
        ("set of quantizers", watched(session)?),
        ("element type", session.dtype().to_string()),
        ("data", data.text()),
        ("format", format.unwrap_or_default()),
        ("columns", arguments.columns.clone().unwrap_or_default()),
        ("number of records", arguments.max_samples.map_or("all".to_owned(), |most| most.to_string())),
        ("batch size", options(arguments).batch.to_string()),
        ("way of counting", counting.to_owned()),
    ];
    let same: BTreeMap<String, String> = same.map(|(name, value)| (name.to_owned(), value)).into();
    let shard = BTreeSet::from([work.shard.part]);
    Ok(Origin { same, shards: work.shard.of, shard, batches: 0, samples: 0, complete: false })
}

fn fingerprint(session: &Session) -> Result<String, Failure> {
    Ok(format!("{:08x}", session.checkpoint().fingerprint()?))
}

/// Tells apart what a config says.
fn settings(session: &Session) -> String {
    let mut fields = Checksum::default();
    // In the order of their names, whatever that in the file is.
    for (name, value) in session.config().fields().iter().collect::<BTreeMap<_, _>>() {
        fields.add(&format!("{name} {value}\n"));
    }
    fields.text()
}

/// Tells apart which values are observed: an interrupted run cannot go on with others.
fn watched(session: &Session) -> Result<String, Failure> {
    let mut names = Checksum::default();
    for quantizer in &session.graph()?.quantizers {
        if calibrator::is_watched(quantizer) {
            names.add(&format!("{} {:?}\n", quantizer.name, quantizer.scheme.axis));
        }
    }
    Ok(names.text())
}

fn options(arguments: &args::Calibrate) -> Options {
    let default = Options::default();
    Options { batch: arguments.machine.batch.unwrap_or(default.batch), ..default }
}

fn tensor_batch(file: &Path) -> Result<EvenBatch, Failure> {
    let inputs = tensors::read(file)?;
    let samples = inputs.values().find_map(|input| input.dims().first().copied()).unwrap_or(1);
    Ok(EvenBatch { inputs, samples: samples as u64, records: 1 })
}

fn read(path: &Path) -> Result<Saved, Failure> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    Saved::from_bytes(&bytes).map_err(|problem| {
        Failure::input(format!("{}: {problem}", path.display()))
            .help("give a file of statistics that `qdqc calibrate` wrote")
    })
}

fn write(path: &Path, saved: &Saved) -> Result<(), Failure> {
    let bytes = saved.to_bytes().map_err(|problem| Failure::outside(problem.to_string()))?;
    write_file(path, &bytes, Existing::Replace)
}
