//! The config that a command compiles for: a checkpoint's or the defaults, with
//! `--set` laid over it.

use super::{args, screen::Screen};
use crate::{
    checkpoint::{Bundled, Checkpoint, HubOptions, Progress},
    compile::Program,
    config::Config,
    failure::Failure,
    names::nearest,
};
use serde_json::Map;
use std::path::Path;

/// Fields that no spec has to read: they say how texts are cut and answers shown.
const FOR_ANSWERS: [&str; 6] =
    ["eos_token_id", "id2label", "label2id", "num_labels", "pad_token_id", "problem_type"];

/// The config of the checkpoint, if one is given, with the settings laid over.
pub fn config(settings: &args::Settings, screen: Screen) -> Result<Config, Failure> {
    given(settings, screen).map(|(config, _)| config)
}

/// The same, and the checkpoint that was given.
pub fn given(settings: &args::Settings, screen: Screen) -> Result<(Config, Option<Checkpoint>), Failure> {
    let given = settings.checkpoint.as_deref().map(|location| checkpoint(location, screen)).transpose()?;
    let mut config = match &given {
        Some(checkpoint) => checkpoint.config.clone(),
        None => Config::new(Map::new(), "the defaults"),
    };
    lay_over(&mut config, &settings.set)?;
    Ok((config, given))
}

/// The checkpoint at a location; what has to be fetched shows as the screen allows.
pub fn checkpoint(location: &str, screen: Screen) -> Result<Checkpoint, Failure> {
    if Bundled::find(location).is_some() && Path::new(location).exists() {
        screen.note(&format!(
            "`{location}` is the checkpoint that comes with qdqc; the one here is `./{location}`"
        ));
    }
    let progress = if screen.terminal { Progress::Bar } else { Progress::Lines };
    Checkpoint::open(location, &HubOptions { progress, ..HubOptions::from_env() })
}

/// Warns of settings that change nothing, because the spec reads no such field.
pub fn warn_unread(settings: &[String], program: &Program, screen: Screen) {
    for name in settings.iter().filter_map(|setting| Some(setting.split_once('=')?.0.trim())) {
        if program.config_fields().any(|field| field == name) || FOR_ANSWERS.contains(&name) {
            continue;
        }
        let near = nearest(name, program.config_fields());
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        screen.warning(&format!("the spec reads no config field `{name}`, so `--set` changes nothing{near}"));
    }
}

/// Lays each `field=value` over the config.
pub fn lay_over(config: &mut Config, settings: &[String]) -> Result<(), Failure> {
    settings.iter().try_for_each(|setting| config.set_text(setting).map_err(Failure::usage))
}
