//! The model that another learns from.

use super::Setup;
use crate::{
    answer::Answer,
    checkpoint::{Checkpoint, Folder},
    cli::{Stop, model, settings, spec},
    compile::{Options, compile},
    failure::Failure,
    session::Session,
    tasks::{Problem, Record, Tokenizer, training::Dataset},
    training::{Distillation, Student, Teacher},
};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// A teacher's spec and checkpoint.
pub(super) struct Opened {
    pub(super) session: Session,
    answers: Vec<Answer>,
}

/// The teacher that the command line names, and its tokenizer where its files are not the model's.
pub(super) fn open(setup: &Setup<'_>) -> Result<(Option<Opened>, Option<Tokenizer>), Stop> {
    let flags = &setup.arguments.teacher;
    let Some(location) = &flags.teacher else { return Ok((None, None)) };
    let program = match &flags.teacher_spec {
        Some(named) => spec::load(&spec::read(named)?, None)?,
        None => setup.program.clone(),
    };
    let checkpoint = settings::checkpoint(location, setup.screen)?;
    let sources = program.sources.clone();
    let config = checkpoint.config.clone();
    let options = Options { config: config.clone(), ..Options::default() };
    let (graph, problems) = compile(&program, &options, false);
    let graph = graph.ok_or(Failure::Diagnostics(problems)).map_err(Stop::within(&sources))?;
    let answers = graph.answers.clone();
    let own = differs(setup, &checkpoint);
    let tokenizer = own.then(|| Tokenizer::load(checkpoint.folder().clone(), &config)).transpose()?;
    let mut session = Session::new(program, checkpoint, setup.teacher_engine());
    // Its weights are read now, so that mistakes show before any record is.
    session.prepare().map_err(Stop::within(&sources))?;
    model::show_notes(&mut session, setup.screen);
    Ok((Some(Opened { session, answers }), tokenizer))
}

/// Its tokenizer has other files than the model's.
fn differs(setup: &Setup<'_>, teacher: &Checkpoint) -> bool {
    let read = |folder: &Folder, name: &str| folder.read(name).ok().flatten();
    Tokenizer::FILES.iter().any(|name| read(&setup.folder, name) != read(teacher.folder(), name))
}

/// The records as a teacher's own tokenizer cuts them; `None` where that makes no difference.
pub(super) fn examples<'t>(
    tokenizer: Option<&'t Tokenizer>,
    setup: &'t Setup<'_>,
    student: &Dataset<'_>,
    records: Vec<Record>,
) -> Result<Option<Dataset<'t>>, Problem> {
    let Some(tokenizer) = tokenizer else { return Ok(None) };
    let own = Dataset::new(tokenizer, &setup.config, &setup.answers, setup.options(), records)?;
    Ok((!same_tokens(student, &own)?).then_some(own))
}

impl Opened {
    /// Ready to say what it thinks of the student's examples.
    pub(super) fn ready<'t>(
        &'t mut self,
        setup: &'t Setup<'_>,
        student: &'t Dataset<'t>,
        own: Option<&'t Dataset<'t>>,
    ) -> Result<Teacher<'t>, Failure> {
        let flags = &setup.arguments.teacher;
        let options = Distillation {
            temperature: flags.temperature,
            share: flags.distillation,
            hidden: flags.match_hidden,
        };
        let student = Student { config: &setup.config, answers: &setup.answers, data: student };
        Teacher::new(&mut self.session, own, &self.answers, student, options)
    }
}

/// Both cut every record in the same tokens.
fn same_tokens(one: &Dataset<'_>, other: &Dataset<'_>) -> Result<bool, Problem> {
    if !one.matches(other) {
        return Ok(false);
    }
    for examples in one.epoch(0) {
        let (left, right) = (one.batch(&examples, 0)?, other.batch(&examples, 0)?);
        let ids = |inputs: &BTreeMap<String, Tensor>| {
            let ids = inputs.get("input_ids")?;
            Some((ids.dims().to_vec(), ids.flatten_all().ok()?.to_vec1::<i64>().ok()?))
        };
        if ids(&left.inputs) != ids(&right.inputs) {
            return Ok(false);
        }
    }
    Ok(true)
}
