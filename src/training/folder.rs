//! Folders that are replaced whole.

use crate::{failure::Failure, files::cannot_write};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// Writes a folder anew. `write` fills one beside it, which takes its name when it is
/// finished: the old one steps aside, the new one takes its place, and the old one is
/// removed. Whatever stops it, [`recover`] finds one of the two, never a mixture.
///
/// # Errors
/// What `write` says, or the disk refuses. The old folder is then what it was.
pub fn replace(folder: &Path, write: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    recover(folder)?;
    let (new, old) = (beside(folder, ".new"), beside(folder, ".old"));
    let failed = |error: io::Error| cannot_write(folder, &error);
    fs::create_dir_all(&new).map_err(failed)?;
    let written = write(&new).and_then(|()| {
        if folder.exists() {
            fs::rename(folder, &old).map_err(failed)?;
        }
        fs::rename(&new, folder).map_err(failed)
    });
    if written.is_err() {
        // What stays is found by the next `recover`.
        let _ = recover(folder);
        return written;
    }
    remove(&old)
}

/// Ends a replacement that was stopped. The old folder steps aside only when the new one is
/// finished: where it did and nothing has its place, the new one belongs there. Any other
/// new one is unfinished.
///
/// # Errors
/// The disk refuses.
pub fn recover(folder: &Path) -> Result<(), Failure> {
    let (new, old) = (beside(folder, ".new"), beside(folder, ".old"));
    if old.exists() && !folder.exists() {
        let finished = if new.exists() { &new } else { &old };
        fs::rename(finished, folder).map_err(|error| cannot_write(folder, &error))?;
    }
    remove(&new)?;
    remove(&old)
}

fn beside(folder: &Path, ending: &str) -> PathBuf {
    let mut name = folder.file_name().map_or_else(OsString::new, OsString::from);
    name.push(ending);
    folder.with_file_name(name)
}

fn remove(folder: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::outside(format!("`{}` cannot be removed: {error}", folder.display())))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text in a folder's only file, and what else is beside it.
    fn state(root: &Path) -> (Option<String>, usize) {
        let text = fs::read_to_string(root.join("last/text")).ok();
        (text, fs::read_dir(root).unwrap().count())
    }

    fn write(text: &'static str) -> impl FnOnce(&Path) -> Result<(), Failure> {
        move |folder| {
            fs::write(folder.join("text"), text).unwrap();
            Ok(())
        }
    }

    #[test]
    fn the_new_one_takes_the_place_of_the_old_one() {
        let root = tempfile::tempdir().unwrap();
        let last = root.path().join("last");
        replace(&last, write("one")).unwrap();
        assert_eq!(state(root.path()), (Some("one".into()), 1));
        replace(&last, write("two")).unwrap();
        assert_eq!(state(root.path()), (Some("two".into()), 1));
        let full = |folder: &Path| {
            fs::write(folder.join("text"), "thr").unwrap();
            Err(Failure::outside("the disk is full"))
        };
        assert_eq!(replace(&last, full).unwrap_err().to_string(), "the disk is full");
        assert_eq!(state(root.path()), (Some("two".into()), 1));
    }

    /// What is on the disk when a replacement of `one` by `two` is killed, and what then is
    /// found.
    #[test]
    fn a_kill_at_any_moment_leaves_one_of_the_two() {
        for (there, found) in [
            (&[("last.new", "tw")][..], None),
            (&[("last", "one")], Some("one")),
            (&[("last", "one"), ("last.new", "tw")], Some("one")),
            (&[("last", "one"), ("last.new", "two")], Some("one")),
            (&[("last.old", "one"), ("last.new", "two")], Some("two")),
            (&[("last", "two"), ("last.old", "one")], Some("two")),
            // A disk that refused the second rename, and a folder removed by hand.
            (&[("last.old", "one")], Some("one")),
        ] {
            let root = tempfile::tempdir().unwrap();
            for (name, text) in there {
                fs::create_dir(root.path().join(name)).unwrap();
                fs::write(root.path().join(name).join("text"), text).unwrap();
            }
            recover(&root.path().join("last")).unwrap();
            assert_eq!(
                state(root.path()),
                (found.map(str::to_owned), usize::from(found.is_some())),
                "{there:?}"
            );
        }
    }
}
