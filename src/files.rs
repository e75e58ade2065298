//! Files that are written whole or not at all.

use crate::failure::Failure;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};
use tempfile::{Builder, NamedTempFile};

/// What to do with a file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave it and fail.
    Refuse,
    /// Put the new one in its place.
    Replace,
}

/// A file that appears under its name only when it is finished.
///
/// Until then it is a temporary file in the same folder, removed when dropped.
/// A device or pipe is written directly.
#[derive(Debug)]
pub struct WholeFile {
    /// As it was asked for.
    path: PathBuf,
    /// Behind links.
    target: PathBuf,
    existing: Existing,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Beside(NamedTempFile),
    Direct(File),
}

impl WholeFile {
    /// Makes room for a file; its folder must be there. Links are followed.
    pub fn create(path: &Path, existing: Existing) -> Result<WholeFile, Failure> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let place = match fs::metadata(&target) {
            Ok(found) if found.is_dir() => {
                return Err(Failure::usage(format!("`{}` is a folder, not a file", path.display()))
                    .help("add a file name to it"));
            }
            Ok(found) if found.is_file() && existing == Existing::Refuse => return Err(already_there(path)),
            Ok(found) if found.is_file() => Place::Beside(beside(&target, Some(found.permissions()))?),
            Ok(_) => {
                let device = File::options().write(true).open(&target);
                Place::Direct(device.map_err(|error| cannot_write(path, &error))?)
            }
            Err(_) => Place::Beside(beside(&target, None)?),
        };
        Ok(WholeFile { path: path.to_owned(), target, existing, place })
    }

    /// Where its content goes meanwhile, for a writer that wants a path; `None`
    /// where it is written directly.
    pub fn temporary(&self) -> Option<&Path> {
        match &self.place {
            Place::Beside(temporary) => Some(temporary.path()),
            Place::Direct(_) => None,
        }
    }

    /// Gives the finished file its name.
    pub fn finish(self) -> Result<(), Failure> {
        let Place::Beside(temporary) = self.place else { return Ok(()) };
        let persisted = match self.existing {
            Existing::Refuse => temporary.persist_noclobber(&self.target),
            Existing::Replace => temporary.persist(&self.target),
        };
        match persisted {
            Ok(_) => Ok(()),
            Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(already_there(&self.path))
            }
            Err(failed) => Err(cannot_write(&self.path, &failed.error)),
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.place {
            Place::Beside(temporary) => temporary.write(bytes),
            Place::Direct(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Beside(temporary) => temporary.flush(),
            Place::Direct(file) => file.flush(),
        }
    }
}

/// Writes a file whole or not at all.
pub fn write_file(path: &Path, bytes: &[u8], existing: Existing) -> Result<(), Failure> {
    let mut file = WholeFile::create(path, existing)?;
    file.write_all(bytes).map_err(|error| cannot_write(path, &error))?;
    file.finish()
}

/// A temporary file in the folder of `path`, with the permissions of the file
/// that it will replace, or those that new files get.
fn beside(path: &Path, permissions: Option<fs::Permissions>) -> Result<NamedTempFile, Failure> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(Failure::usage(format!("there is no folder `{}`", folder.display()))
            .help(format!("make it first, as with `mkdir -p {}`", folder.display())));
    }
    let mut builder = Builder::new();
    builder.prefix(".qdqc-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // The mode of any new file, from which the system takes the user's umask.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let temporary = builder.tempfile_in(folder).map_err(|error| cannot_write(path, &error))?;
    if let Some(permissions) = permissions {
        temporary.as_file().set_permissions(permissions).map_err(|error| cannot_write(path, &error))?;
    }
    Ok(temporary)
}

fn already_there(path: &Path) -> Failure {
    Failure::usage(format!("`{}` is already there", path.display()))
        .help("choose another name with `-o FILE`, or overwrite it with `--force`")
}

/// The disk refused.
pub fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::outside(format!("`{}` cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_only_when_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let mut file = WholeFile::create(&path, Existing::Refuse).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        write_file(&path, b"whole", Existing::Refuse).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(write_file(&path, b"other", Existing::Refuse).unwrap_err().exit_code(), 2);
        write_file(&path, b"other", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"other");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let failure = write_file(&folder.path().join("x/a.txt"), b"", Existing::Refuse).unwrap_err();
        assert!(failure.to_string().ends_with("x`"), "{failure}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("a.txt"), folder.path().join("link.txt"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        write_file(&link, b"new", Existing::Replace).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
