//! Whether what is read again is what was read before.

use crate::failure::Failure;
use std::{fs, io, path::Path};

/// CRC-32 of what goes by.
#[derive(Default)]
pub struct Checksum(crc32fast::Hasher);

impl Checksum {
    /// The content of a file, which has to be there when it is read again.
    ///
    /// # Errors
    /// It cannot be read, or not twice.
    pub fn file(&mut self, path: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| unreadable(path, &error);
        let mut file = fs::File::open(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?;
        if !kind.is_file() && !kind.is_dir() {
            return Err(Failure::usage(format!("`{}` cannot be read twice", path.display()))
                .help("write the records to a file, or give `-` and send them to standard input"));
        }
        io::copy(&mut file, self).map_err(failed)?;
        Ok(())
    }

    /// A text.
    pub fn add(&mut self, text: &str) {
        self.0.update(text.as_bytes());
    }

    /// In hexadecimal digits.
    pub fn text(self) -> String {
        format!("{:08x}", self.0.finalize())
    }
}

impl io::Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a file could not be read.
pub fn unreadable(path: &Path, error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::input(format!("there is no file `{}`", path.display())),
        io::ErrorKind::IsADirectory => {
            Failure::input(format!("`{}` is a folder, not a file", path.display()))
        }
        _ => Failure::outside(format!("`{}` cannot be read: {error}", path.display())),
    }
}
