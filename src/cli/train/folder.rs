//! The folder that a run writes.

use super::origin::Origin;
use crate::{
    failure::{Failure, Message},
    training::{Place, State, recover, replace},
};
use candle_core::Tensor;
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// The log in the folder.
const LOG: &str = "metrics.jsonl";

/// What `--resume` goes on from, in the folder.
const LAST: &str = "last";

/// What the names of files begin with that are being written.
const UNFINISHED: &str = ".qdqc-";

/// The folder of a run: the best model, `last/` and the log.
pub(super) struct Folder {
    path: PathBuf,
    /// The folder itself, locked as long as the run lasts, where the system locks folders.
    lock: Option<File>,
}

/// Where an earlier run stopped.
pub(super) struct Resumed {
    pub(super) place: Place,
    /// The best score.
    pub(super) best: Option<f64>,
    pub(super) optimizer: BTreeMap<String, Tensor>,
}

impl Folder {
    /// A folder that is empty or not there, or one to go on in.
    ///
    /// # Errors
    /// It is a file, another run writes there, or it holds something that is not to be gone on with.
    pub(super) fn new(path: &Path, resume: bool) -> Result<Folder, Failure> {
        if path.exists() && !path.is_dir() {
            return Err(Failure::usage(format!("`{}` is a file, but a folder is written", path.display()))
                .help("choose another name with `-o DIR`"));
        }
        let mut folder = Folder { path: path.to_owned(), lock: None };
        folder.lock()?;
        if resume {
            recover(&folder.last())?;
        }
        folder.check(resume)?;
        Ok(folder)
    }

    /// Refuses a folder that holds what is no run, or one that is not gone on with.
    fn check(&self, resume: bool) -> Result<(), Failure> {
        if resume && self.last().is_dir() {
            return Ok(());
        }
        let names = self.names()?;
        // What a run leaves that made no checkpoint: a log, and files that were not finished.
        let unfinished = |name: &&String| *name == LOG || *name == "last.new" || name.starts_with(UNFINISHED);
        let Some(other) = names.iter().find(|name| !unfinished(name)) else { return Ok(()) };
        let name = self.path.display();
        match resume {
            // It scored a model before it made a checkpoint.
            true if names.iter().any(|name| name == LOG) => Ok(()),
            true => Err(Failure::usage(format!("`{name}` has no {LAST}/ to go on from, but `{other}`"))
                .help("name the folder that the run was started with")),
            false => Err(Failure::usage(format!("the folder `{name}` holds something already"))
                .help("go on with a run by `--resume`, or choose another folder with `-o DIR`")),
        }
    }

    /// Sees that no other run writes here, from now on.
    fn lock(&mut self) -> Result<(), Failure> {
        let Ok(folder) = File::open(&self.path) else { return Ok(()) };
        if let Err(TryLockError::WouldBlock) = folder.try_lock() {
            return Err(Failure::usage(format!("another run writes to `{}`", self.path.display()))
                .help("wait until it is done, or choose another folder with `-o DIR`"));
        }
        self.lock = Some(folder);
        Ok(())
    }

    /// Removes files that the run was writing when it was killed.
    fn clear(&self) -> Result<(), Failure> {
        for name in self.names()?.iter().filter(|name| name.starts_with(UNFINISHED)) {
            let file = self.path.join(name);
            if !file.is_file() {
                continue;
            }
            fs::remove_file(&file).map_err(|error| {
                Failure::outside(format!("`{}` cannot be removed: {error}", file.display()))
            })?;
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, Failure> {
        let failed =
            |error: io::Error| Failure::outside(format!("`{}` cannot be read: {error}", self.path.display()));
        match fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
            Ok(entries) => {
                let name =
                    |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
                entries.map(name).collect::<io::Result<_>>().map_err(failed)
            }
        }
    }

    /// Makes it, and sees that files can be written there, and that no other run came before.
    pub(super) fn make(&mut self, resume: bool) -> Result<(), Failure> {
        let path = self.path.clone();
        let failed = |what: &str, error: io::Error| {
            Failure::outside(format!("the folder `{}` cannot be {what}: {error}", path.display()))
        };
        fs::create_dir_all(&path).map_err(|error| failed("made", error))?;
        if self.lock.is_none() {
            self.lock()?;
            self.check(resume)?;
        }
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempfile_in(&path)
            .map(drop)
            .map_err(|error| failed("written", error))
    }

    /// What an earlier run left; `None` where there is nothing.
    ///
    /// # Errors
    /// It is damaged, or of another run.
    pub(super) fn resumed(&self, origin: &Origin) -> Result<Option<Resumed>, Failure> {
        if !self.last().is_dir() {
            return Ok(None);
        }
        let state = State::load(&self.last())?;
        state.expect(origin)?;
        self.clear()?;
        let batch = usize::try_from(state.position).unwrap_or(usize::MAX);
        let place = Place { step: state.step, epoch: state.epoch, batch };
        Ok(Some(Resumed { place, best: state.best, optimizer: state.optimizer }))
    }

    /// Writes `last/` anew, or leaves it as it is.
    ///
    /// # Errors
    /// The disk refuses.
    pub(super) fn keep(&self, write: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
        replace(&self.last(), write).map_err(|failure| match failure {
            Failure::Outside(Message { text, help: None }) => {
                let there = self.last().is_dir();
                let failure = Failure::outside(text);
                if there {
                    let last = self.last();
                    return failure.help(format!(
                        "{} is as it was: make room, and go on with the same command and `--resume`",
                        last.display()
                    ));
                }
                failure
            }
            other => other,
        })
    }

    /// The folder itself.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of the last checkpoint.
    pub(super) fn last(&self) -> PathBuf {
        self.path.join(LAST)
    }

    /// The file of the log.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }
}
