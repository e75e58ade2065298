//! The specs that the binary carries, and where `use` finds them.
//!
//! The build script lists every file under `specs/`. A bundled spec is called
//! by its path there without the ending: `question-answering`, `lib/bert`.

use crate::{names::nearest, source::Library};

/// What the names of bundled files begin with in diagnostics.
pub const PREFIX: &str = "bundled:";

/// A spec in the binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bundled {
    /// Its path under `specs/`, without the ending.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// Every bundled spec, by name.
pub static ALL: &[Bundled] = include!(concat!(env!("OUT_DIR"), "/specs.rs"));

impl Bundled {
    /// Its name in diagnostics: `bundled:lib/bert.qdq`.
    pub fn source_name(&self) -> String {
        format!("{PREFIX}{}.qdq", self.name)
    }

    /// What it is, in one sentence: the comment that its first line is.
    pub fn title(&self) -> &'static str {
        self.text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or("")
    }

    /// It describes a whole model, rather than parts for others to use.
    pub fn is_model(&self) -> bool {
        !self.name.contains('/')
    }
}

/// The bundled spec with this name.
pub fn find(name: &str) -> Option<&'static Bundled> {
    ALL.iter().find(|spec| spec.name == name)
}

/// The bundled spec that a file of the user's means by `use "path"`: the one with
/// that name, or the only one whose name ends so. A copy of `lib/bert.qdq` finds
/// `layers.qdq` wherever it is put.
pub fn find_used(path: &str) -> Option<&'static Bundled> {
    let name = path.strip_suffix(".qdq").unwrap_or(path);
    find(name).or_else(|| {
        let mut ending = ALL.iter().filter(|spec| spec.name.rsplit('/').next() == Some(name));
        let found = ending.next();
        found.filter(|_| ending.next().is_none())
    })
}

/// The bundled spec whose name is most like this one.
pub fn suggest(name: &str) -> Option<&'static str> {
    nearest(name.trim_end_matches(".qdq"), ALL.iter().map(|spec| spec.name))
}

/// Joins `path` to the folder of the file `from` and removes `.` and `..`;
/// `/` separates. A leading `..` stays.
pub fn beside(from: &str, path: &str) -> String {
    let from = if path.starts_with('/') { "/" } else { from };
    let absolute = from.starts_with('/');
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let root = if absolute { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}

/// The library of the bundled specs alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct BundledLibrary;

impl Library for BundledLibrary {
    fn read(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let from = from.strip_prefix(PREFIX).unwrap_or("");
        let near = beside(from, path);
        let found = [near.as_str(), path]
            .into_iter()
            .find_map(|candidate| find(candidate.strip_suffix(".qdq").unwrap_or(candidate)));
        match found {
            Some(spec) => Ok((spec.source_name(), spec.text.to_owned())),
            None => Err(match suggest(path) {
                Some(name) => format!("there is no bundled file `{path}`; did you mean `{name}.qdq`?"),
                None => format!("there is no bundled file `{path}`"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_joined_and_cleaned() {
        assert_eq!(beside("lib/bert.qdq", "linear.qdq"), "lib/linear.qdq");
        assert_eq!(beside("a/b/c.qdq", "../d.qdq"), "a/d.qdq");
        assert_eq!(beside("c.qdq", "../d.qdq"), "../d.qdq");
        assert_eq!(beside("../x/c.qdq", "../../d.qdq"), "../../d.qdq");
        assert_eq!(beside("/a/c.qdq", "../../d.qdq"), "/d.qdq");
        assert_eq!(beside("a/c.qdq", "/x/./d.qdq"), "/x/d.qdq");
    }

    #[test]
    fn every_spec_begins_with_what_it_is() {
        for spec in ALL {
            assert!(spec.title().ends_with('.'), "{}: begin the file with `# One sentence.`", spec.name);
        }
    }

    #[test]
    fn bundled_files_use_bundled_files() {
        let spec = ALL.first().expect("the binary carries specs");
        let path = format!("{}.qdq", spec.name);
        let (name, text) = BundledLibrary.read("bundled:other.qdq", &path).unwrap();
        assert_eq!((name, text.as_str()), (spec.source_name(), spec.text));
        assert!(BundledLibrary.read("bundled:other.qdq", "../../etc/passwd").is_err());
    }
}
