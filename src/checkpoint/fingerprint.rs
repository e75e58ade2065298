//! A number that tells weights apart.

use super::{Checkpoint, names::is_range};
use crate::failure::Failure;
use crc32fast::Hasher;

impl Checkpoint {
    /// A checksum (CRC-32) of all tensors but ranges: their names, element types,
    /// shapes and bytes.
    ///
    /// # Errors
    /// There are no weights, or they cannot be read.
    pub fn fingerprint(&self) -> Result<u32, Failure> {
        let weights = self.weights()?;
        let mut hasher = Hasher::new();
        for (name, file) in weights.tensors().filter(|(name, _)| !is_range(name)) {
            let Some(stored) = file.get(name) else { continue };
            hasher.update(format!("{name} {} {:?}\n", stored.dtype, stored.shape).as_bytes());
            hasher.update(&file.bytes(name)?);
            file.forget(stored);
        }
        Ok(hasher.finalize())
    }
}
