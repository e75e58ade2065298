//! Cases are files: a good one is a spec under `specs/`, a bad one a spec under
//! `tests/rejected/`. They are found, never listed.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every spec below `folder`, a path inside the package, with the name of its
/// case: `lib/bert.qdq` is `lib-bert`. In the order of the paths; never empty.
pub fn cases(folder: &str) -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let named = |path: PathBuf| {
        let inside = path.strip_prefix(&root).unwrap().with_extension("");
        let parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap()).collect();
        (parts.join("-"), path)
    };
    let cases: Vec<_> = files(&root, "qdq").into_iter().map(named).collect();
    assert!(!cases.is_empty(), "{folder} holds no specs");
    cases
}

/// Every file below `folder` with this ending, in the order of the paths.
pub fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
