//! Where the files of a checkpoint are: on the disk, or in the binary.

use super::bundled::Bundled;
use crate::{failure::Failure, specs};
use std::{
    borrow::Cow,
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

/// A folder of a checkpoint's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// On the disk.
    OnDisk(PathBuf),
    /// In the binary.
    Bundled(&'static Bundled),
}

impl Folder {
    /// Where it is on the disk, if it is there.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Folder::OnDisk(path) => Some(path),
            Folder::Bundled(_) => None,
        }
    }

    /// What a file in it holds; `None` where there is none of that name.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>, Failure> {
        match self {
            Folder::Bundled(bundled) => Ok(bundled.file(name).map(Cow::Borrowed)),
            Folder::OnDisk(path) => match fs::read(path.join(name)) {
                Ok(bytes) => Ok(Some(Cow::Owned(bytes))),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => {
                    Err(Failure::outside(format!("`{}` cannot be read: {error}", self.place_of(name))))
                }
            },
        }
    }

    /// What a file in it is called in messages: its path, or `bundled:demo/config.json`.
    pub fn place_of(&self, name: &str) -> String {
        match self {
            Folder::OnDisk(path) => path.join(name).display().to_string(),
            Folder::Bundled(_) => format!("{self}/{name}"),
        }
    }
}

impl From<&Path> for Folder {
    fn from(path: &Path) -> Folder {
        Folder::OnDisk(path.to_owned())
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Folder::OnDisk(path) => path.display().fmt(f),
            Folder::Bundled(bundled) => write!(f, "{}{}", specs::PREFIX, bundled.name),
        }
    }
}
