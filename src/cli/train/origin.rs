//! What a run depends on, so that only the same run goes on.

use crate::{
    checkpoint::{Checkpoint, HubOptions},
    cli::{args, checksum::Checksum, spec},
    failure::Failure,
    training::CHECKSUM,
};
use clap::ValueEnum;
use std::{collections::BTreeMap, path::Path};

/// What the steps of a run follow from, each by its name in messages.
pub(super) type Origin = BTreeMap<String, String>;

/// What this command trains, and by what. Threads do not count: they change no bit.
///
/// # Errors
/// A file cannot be read, or not again.
pub(super) fn of(arguments: &args::Train) -> Result<Origin, Failure> {
    let args::Train { model, data, course, teacher, machine, float, .. } = arguments;
    let or = |value: Option<String>, usual: &str| value.unwrap_or_else(|| usual.to_owned());
    let number = |value: Option<u64>, usual: &str| or(value.map(|value| value.to_string()), usual);
    let rate = course.learning_rate.map(|rate| format!("{rate:e}"));
    let format = data.format.and_then(|format| Some(format.to_possible_value()?.get_name().to_owned()));
    let dtype = machine.dtype.and_then(|dtype| Some(dtype.to_possible_value()?.get_name().to_owned()));
    let schedule = course.schedule.and_then(|fall| Some(fall.to_possible_value()?.get_name().to_owned()));
    let mut origin: Vec<(&str, String)> = vec![
        ("the spec", text(&model.spec)?),
        ("`--recipe`", or(model.recipe.as_deref().map(file).transpose()?, "none")),
        ("`--checkpoint`", model.checkpoint.clone()),
        ("`--set`", model.set.join(" ")),
        ("`--input`", records(&data.input, arguments.resume)?),
        ("`--format`", or(format, "by ending")),
        ("`--columns`", or(data.columns.clone(), "usual")),
        ("`--max-samples`", number(data.max_samples.map(|most| most as u64), "all")),
        ("`--max-length`", number(data.max_length.map(|most| most as u64), "usual")),
        (
            "length",
            number(course.steps, &format!("{} epochs", or(course.epochs.map(|e| e.to_string()), "usual"))),
        ),
        ("`--batch`", number(course.batch.map(|batch| batch as u64), "usual")),
        ("`--accumulate`", course.accumulate.to_string()),
        ("`--learning-rate`", or(rate, "usual")),
        ("`--schedule`", or(schedule, "usual")),
        ("`--warmup`", course.warmup.to_string()),
        ("`--weight-decay`", course.weight_decay.to_string()),
        ("`--clip`", course.clip.to_string()),
        ("`--freeze`", course.freeze.join(" ")),
        ("`--fresh`", course.fresh.join(" ")),
        ("dropout", (!course.no_dropout).to_string()),
        ("`--ranges`", course.ranges.to_string()),
        ("`--seed`", course.seed.to_string()),
        ("kind of run", if *float { "float" } else { "quantized" }.to_owned()),
        ("`--device`", or(machine.device.clone(), "cpu")),
        ("`--dtype`", or(dtype, "f32")),
        ("`--teacher`", or(teacher.teacher.clone(), "none")),
    ];
    if let Some(eval) = &data.eval {
        origin.push(("`--eval`", records(eval, arguments.resume)?));
        origin.push(("`--eval-columns`", or(data.eval_columns.clone(), "usual")));
        origin.push(("`--eval-every`", number(data.eval_every, "epoch")));
    }
    if let Some(location) = &teacher.teacher {
        origin.push(("the teacher", weights(location)?));
        origin.push(("`--teacher-spec`", or(teacher.teacher_spec.clone(), "the same")));
        origin.push(("`--temperature`", teacher.temperature.to_string()));
        origin.push(("`--distillation`", teacher.distillation.to_string()));
        origin.push(("`--match-hidden`", teacher.match_hidden.to_string()));
    }
    Ok(origin.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A spec: the name of a bundled one, or what is in the file.
fn text(argument: &str) -> Result<String, Failure> {
    let spec = spec::read(argument)?;
    let mut sum = Checksum::default();
    sum.add(&spec.text);
    Ok(CHECKSUM.to_owned() + &sum.text())
}

/// What the weights of a checkpoint on the disk are. One from the hub, or of the binary, stays what it is.
fn weights(location: &str) -> Result<String, Failure> {
    if !Path::new(location).exists() {
        return Ok(location.to_owned());
    }
    let checkpoint = Checkpoint::open(location, &HubOptions::from_env())?;
    Ok(format!("{CHECKSUM}{:08x}", checkpoint.fingerprint()?))
}

fn file(path: &Path) -> Result<String, Failure> {
    let mut sum = Checksum::default();
    sum.file(path)?;
    Ok(CHECKSUM.to_owned() + &sum.text())
}

/// A file of records. Standard input cannot be read again.
fn records(input: &str, resume: bool) -> Result<String, Failure> {
    match input {
        "-" if resume => Err(Failure::usage("standard input cannot be read again")
            .help("write the records to a file, and give that")),
        "-" => Ok("standard input".to_owned()),
        input => file(Path::new(input)),
    }
}
