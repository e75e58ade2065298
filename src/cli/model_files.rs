//! The files of an exported model, and the model repository of Triton.

use super::{
    args,
    output::{Existing, WholeFile, cannot_write, write_file},
    screen::Screen,
};
use crate::{
    answer::AnswerKind,
    failure::Failure,
    graph::Graph,
    onnx::{Model, WriteError, profile::Profile, triton},
};
use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

/// Where a model goes.
pub struct ModelFiles {
    /// A file, if one is asked for.
    output: Option<PathBuf>,
    /// The folder that Triton knows the model by, and its name.
    triton: Option<(PathBuf, String)>,
    /// Numbers go to a file of their own.
    external: bool,
}

/// The file of labels, one a line in the order of their numbers.
const LABELS: &str = "labels.txt";

impl ModelFiles {
    /// Where the command line says.
    ///
    /// # Errors
    /// It says nowhere, or a name that is none.
    pub fn of(arguments: &args::Export) -> Result<ModelFiles, Failure> {
        let text = arguments.form == Some(args::ModelForm::Text);
        let nowhere = arguments.output.is_none() && arguments.triton.is_none() && !text;
        if nowhere || arguments.output.as_deref() == Some(Path::new("-")) {
            return Err(Failure::usage("there is no file to write the model to")
                .help("name one with `-o model.onnx`; `--as text` goes to standard output"));
        }
        if text && arguments.triton.is_some() {
            return Err(Failure::usage("Triton does not read models as text").help("leave `--as text` out"));
        }
        let named = |folder: &PathBuf| {
            let name = folder.file_name().and_then(|name| name.to_str());
            let name = name.ok_or_else(|| {
                Failure::usage(format!("`{}` does not say what the model is called", folder.display()))
                    .help("give the model's own folder, as in `--triton models/my-bert`")
            })?;
            Ok((folder.clone(), name.to_owned()))
        };
        let triton = arguments.triton.as_ref().map(named).transpose()?;
        let external = arguments.target.external_data;
        Ok(ModelFiles { output: arguments.output.clone(), triton, external })
    }

    /// Refuses places where nothing can be written, and those that the model is made from.
    pub fn check(&self, read: &[PathBuf]) -> Result<(), Failure> {
        let Some(output) = &self.output else { return Ok(()) };
        let mut places = vec![output.clone()];
        if self.external {
            places.push(data_file(output)?);
        }
        for place in places {
            let known = fs::canonicalize(&place);
            let same = |path: &&PathBuf| {
                known.as_ref().is_ok_and(|place| fs::canonicalize(path).is_ok_and(|path| path == *place))
            };
            if read.iter().find(same).is_some() {
                return Err(Failure::usage(format!("`{}` belongs to what is exported", place.display()))
                    .help("write the model to another file"));
            }
            // Says what is wrong with the place, and leaves nothing there.
            drop(WholeFile::create(&place, Existing::Replace)?);
        }
        Ok(())
    }

    /// Writes the model to every place.
    pub fn write(&self, model: &Model, external: bool, screen: Screen) -> Result<(), Failure> {
        if let Some(path) = &self.output {
            write(model, path, external, screen)?;
        }
        if let Some((folder, _)) = &self.triton {
            let version = folder.join("1");
            fs::create_dir_all(&version).map_err(|error| {
                Failure::outside(format!("`{}` cannot be made: {error}", version.display()))
            })?;
            // Of an earlier model.
            _ = fs::remove_file(version.join("model.onnx.data"));
            _ = fs::remove_file(folder.join(LABELS));
            write(model, &version.join("model.onnx"), external, screen)?;
        }
        Ok(())
    }

    /// Writes what Triton wants beside the model: its configuration, and its labels.
    pub fn describe(
        &self,
        graph: &Graph,
        labels: &[String],
        profile: &Profile,
        screen: Screen,
    ) -> Result<(), Failure> {
        let Some((folder, name)) = &self.triton else { return Ok(()) };
        let labelling = [AnswerKind::Labels, AnswerKind::Entities];
        let answers = graph.answers.iter().filter(|answer| labelling.contains(&answer.kind));
        let outputs: Vec<String> = answers.flat_map(|answer| answer.outputs.clone()).collect();
        let labelled = (!labels.is_empty() && !outputs.is_empty()).then_some((&outputs[..], LABELS));
        let tensorrt = profile.name == "tensorrt";
        let text = triton::config(graph, &triton::Repository { name, tensorrt, labelled });
        if labelled.is_some() {
            let text = labels.join("\n") + "\n";
            write_file(&folder.join(LABELS), text.as_bytes(), Existing::Replace)?;
        }
        write_file(&folder.join("config.pbtxt"), text.as_bytes(), Existing::Replace)?;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        let repository = parent.unwrap_or(Path::new(".")).display();
        screen.note(&format!("start it with `tritonserver --model-repository={repository}`"));
        Ok(())
    }
}

/// Writes the model, and its numbers beside it where it is asked for or they are too many.
fn write(model: &Model, path: &Path, external: bool, screen: Screen) -> Result<(), Failure> {
    let mut file = WholeFile::create(path, Existing::Replace)?;
    let failed = |error: WriteError| match error {
        WriteError::Io(error) => cannot_write(path, &error),
        WriteError::Numbers(error) => Failure::outside(format!("codes could not be computed: {error}")),
    };
    let mut out = BufWriter::new(&mut file);
    if model.needs_data_file() || (external && model.has_large_numbers()) {
        let beside = data_file(path)?;
        let location = beside.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let mut data = WholeFile::create(&beside, Existing::Replace)?;
        model.write_with_data(&mut out, &mut data, &location).map_err(failed)?;
        data.flush().map_err(|error| cannot_write(&beside, &error))?;
        out.flush().map_err(|error| cannot_write(path, &error))?;
        drop(out);
        data.finish()?;
        file.finish()?;
        screen.note(&format!("{}, with its numbers in {}", path.display(), beside.display()));
        return Ok(());
    }
    model.write(&mut out).map_err(failed)?;
    out.flush().map_err(|error| cannot_write(path, &error))?;
    drop(out);
    file.finish()?;
    let small = if external { ": no tensor is large enough for a file of its own" } else { "" };
    screen.note(&format!("{}{small}", path.display()));
    Ok(())
}

/// The file of numbers beside a model: `model.onnx.data`.
fn data_file(path: &Path) -> Result<PathBuf, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        return Err(Failure::usage(format!("`{}` has no file name in UTF-8", path.display())));
    };
    Ok(path.with_file_name(format!("{name}.data")))
}
