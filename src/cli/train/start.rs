//! A model ready for its first step.

use super::{Folder, Setup};
use crate::{
    checkpoint::{Fresh, Range},
    cli::{model, progress::Progress},
    failure::Failure,
    names::list_of,
    session::Session,
    tasks::{Problem, training::Dataset},
    training::ranges,
};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use tempfile::NamedTempFile;

/// Examples that ranges are measured on, at least, where there are so many.
const MEASURED: usize = 512;

/// New parameters that a note lists, at most.
const LISTED: usize = 6;

/// Sees that the model can learn from the examples, and says what there is to know of them.
pub(super) fn look(setup: &Setup<'_>, dataset: &Dataset<'_>) -> Result<(), Failure> {
    setup.check_inputs(dataset)?;
    let (truncated, skipped) = (dataset.truncated(), dataset.skipped());
    if truncated > 0 {
        let were = if truncated == 1 { "example was" } else { "examples were" };
        setup.screen.warning(&format!("{truncated} of {} {were} cut to fit the model", dataset.len()));
    }
    if skipped > 0 {
        let records = if skipped == 1 { "record has" } else { "records have" };
        setup.screen.warning(&format!("{skipped} {records} nothing to learn from"));
    }
    Ok(())
}

/// A session with parameters that change; without `ranges` to start from in float, so that its quantizers
/// can be given some.
pub(super) fn session(setup: &Setup<'_>, fresh: &Fresh, ranges: bool) -> Result<Session, Failure> {
    let mut session = setup.session(!setup.arguments.float && ranges, None)?;
    let mut drawn = start(setup, &mut session, fresh)?;
    model::show_notes(&mut session, setup.screen);
    if !drawn.is_empty() {
        drawn.sort();
        let more = if drawn.len() > LISTED { " and others" } else { "" };
        let listed = list_of(drawn.iter().take(LISTED).map(String::as_str));
        setup.screen.note(&format!("drawn anew by `--seed`: {listed}{more}"));
        if !setup.arguments.float && setup.arguments.course.learning_rate.is_none() {
            setup.screen.warning(&format!(
                "a learning rate of {:e} teaches new parameters next to nothing: train with `--float` first, \
                 and then go on from that with quantizers",
                setup.learning_rate()
            ));
        }
    }
    Ok(session)
}

/// The same with its quantizers on, and ranges from a file.
pub(super) fn ranged(setup: &Setup<'_>, fresh: &Fresh, ranges: &NamedTempFile) -> Result<Session, Failure> {
    let mut session = setup.session(true, Some(ranges.path()))?;
    start(setup, &mut session, fresh)?;
    Ok(session)
}

/// Makes parameters of the weights. What is right has no part in which there are.
fn start(setup: &Setup<'_>, session: &mut Session, fresh: &Fresh) -> Result<Vec<String>, Failure> {
    let hidden = setup.arguments.teacher.match_hidden.then(|| "hidden_states".to_owned());
    let outputs: BTreeSet<String> = hidden.into_iter().collect();
    session.start_training(&setup.inputs(), &outputs, fresh)
}

/// A file of the ranges that a session in float shows on training examples; it lasts as long as what is given.
pub(super) fn ranges(
    setup: &Setup<'_>,
    folder: &Folder,
    mut session: Session,
    dataset: &Dataset<'_>,
) -> Result<NamedTempFile, Failure> {
    let mut batches = Vec::new();
    let mut examples = 0;
    for batch in dataset.epoch(0) {
        if examples >= MEASURED {
            break;
        }
        examples += batch.len();
        batches.push(batch);
    }
    let screen = setup.screen;
    screen.note(&format!("the checkpoint has no ranges: they are measured on {examples} examples first"));
    let mut progress = Progress::new("batches", Some(batches.len() as u64), screen);
    let batches = batches.iter().map(|examples| {
        progress.advance(1);
        dataset.batch(examples, 0).map_err(Problem::into_failure)
    });
    let outcome = ranges::measure(&mut session, batches);
    progress.finish();
    write(folder, &outcome?.ranges)
}

fn write(folder: &Folder, ranges: &BTreeMap<String, Range>) -> Result<NamedTempFile, Failure> {
    let failed = |error: String| {
        Failure::outside(format!("ranges cannot be kept in {}: {error}", folder.path().display()))
    };
    let mut tensors = BTreeMap::new();
    for (quantizer, range) in ranges {
        let tensor = Tensor::from_vec(range.amax.clone(), range.shape.as_slice(), &Device::Cpu);
        tensors.insert(format!("{quantizer}._amax"), tensor.map_err(|error| failed(error.to_string()))?);
    }
    let file = tempfile::Builder::new().prefix(".qdqc-").suffix(".safetensors").tempfile_in(folder.path());
    let file = file.map_err(|error| failed(error.to_string()))?;
    safetensors::serialize_to_file(&tensors, None, file.path()).map_err(|error| failed(error.to_string()))?;
    Ok(file)
}
