//! A file mapped into memory, read-only, or one that the binary carries.

use crate::failure::Failure;
use memmap2::Mmap;
use std::{fs::File, io::ErrorKind, ops::Range, path::Path};

/// The bytes of a file, read as they are touched.
#[derive(Debug)]
pub(super) enum MappedFile {
    /// One on the disk.
    Map(Mmap),
    /// One in the binary, or an empty one, which cannot be mapped.
    Static(&'static [u8]),
}

impl MappedFile {
    /// Maps the file.
    pub(super) fn open(path: &Path) -> Result<MappedFile, Failure> {
        // Asked before opening, which waits forever on a pipe.
        let metadata = std::fs::metadata(path).map_err(|error| reading(path, &error))?;
        if !metadata.is_file() {
            return Err(Failure::input(format!("{} is not a file", path.display())));
        }
        let file = File::open(path).map_err(|error| reading(path, &error))?;
        if metadata.len() == 0 {
            return Ok(MappedFile::Static(&[]));
        }
        // SAFETY: the map is read-only and private to this value. Another process that
        // shortens the file meanwhile would raise SIGBUS; files of weights are
        // replaced, not rewritten in place, by every tool that writes them.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| reading(path, &error))?;
        Ok(MappedFile::Map(map))
    }

    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            MappedFile::Map(map) => map,
            MappedFile::Static(bytes) => bytes,
        }
    }

    /// Gives the pages of a range back to the system: what has been read and
    /// converted need not stay in memory beside its copy.
    pub(super) fn forget(&self, range: &Range<usize>) {
        #[cfg(unix)]
        if let MappedFile::Map(map) = self {
            // SAFETY: the map is a read-only view of a file, so a page that is
            // touched again is read again, with the same content. Advice that the
            // system refuses changes nothing but the memory in use.
            let _ = unsafe {
                map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// Why a file could not be read: absent, a folder, or the disk's fault.
pub(super) fn reading(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    match error.kind() {
        ErrorKind::NotFound => Failure::input(format!("there is no file {path}")),
        ErrorKind::IsADirectory => Failure::input(format!("{path} is a folder, not a file")),
        ErrorKind::InvalidData => Failure::input(format!("{path} is not text in UTF-8")),
        _ => Failure::outside(format!("{path} cannot be read: {error}")),
    }
}

/// The last part of a path, for messages.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}
