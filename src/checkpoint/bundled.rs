//! Checkpoints that the binary carries.
//!
//! The build script lists them: every folder in `specs/` that holds a `config.json`.

/// A checkpoint in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// What it is called in place of a folder.
    pub name: &'static str,
    /// Its files: their names, and what they hold.
    pub files: &'static [(&'static str, &'static [u8])],
}

/// Every bundled checkpoint, by name.
pub static ALL: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/checkpoints.rs"));

impl Bundled {
    /// The checkpoint with this name.
    pub fn find(name: &str) -> Option<&'static Bundled> {
        ALL.iter().find(|checkpoint| checkpoint.name == name)
    }

    /// What a file of it holds; `None` where it has none of that name.
    pub fn file(&self, name: &str) -> Option<&'static [u8]> {
        self.files.iter().find(|(own, _)| *own == name).map(|(_, bytes)| *bytes)
    }
}
