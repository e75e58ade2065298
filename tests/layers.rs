//! The shape of the repository: who may use whom, who touches the outside, how
//! long a file may be, and that what names files names those that exist.

#![cfg(test)]

#[path = "support/cases.rs"]
mod cases;

use cases::{cases, files};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A module may use those in the rows above its own, and no others.
const ROWS: &[&[&str]] = &[
    &["answer", "config", "names", "quant", "span", "stack", "types"],
    &["diagnostic", "source"],
    &["codes", "failure", "specs"],
    &["calibration", "comparison", "files", "ops"],
    &["graph"],
    &["ranges", "syntax"],
    &["resolve"],
    &["passes"],
    &["compile"],
    &["checkpoint", "sensitivity"],
    &["backends", "onnx"],
    &["tasks"],
    &["session"],
    &["calibrator"],
    &["training"],
    &["page", "report"],
    &["cli"],
];

/// Words that only these parts of `src/` may hold, and why.
const OWNERS: &[(&str, &[&str], &str)] = &[
    ("annotate_snippets", &["report"], "only `report` draws diagnostics"),
    ("clap", &["cli"], "only the command line knows flags"),
    ("ctrlc", &["cli"], "only the command line knows signals"),
    ("pest", &["syntax"], "only `syntax` knows how text is parsed"),
    ("prost", &["onnx"], "only `onnx` knows how its files are laid out"),
    ("hf_hub", &["checkpoint"], "only `checkpoint` knows the hub"),
    ("tokenizers", &["tasks/tokenizer"], "only the tokenizer knows its crate"),
    ("println", &["cli"], "only the command line writes results"),
    ("fs", TOUCH_FILES, "the compiler is pure: texts and files come from outside"),
    ("File", TOUCH_FILES, "the compiler is pure: texts and files come from outside"),
    (
        "candle_core",
        &["ops", "backends", "onnx", "checkpoint", "tasks", "session", "calibrator", "training", "cli"],
        "no pass knows an engine",
    ),
];

const TOUCH_FILES: &[&str] =
    &["cli", "checkpoint", "files", "tasks/records", "training/folder", "training/state"];

/// The most lines of code in a source file; tests, comments and blank lines do not count.
const LONGEST: usize = 600;

#[test]
fn modules_use_only_those_above_them() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(row) = ROWS.iter().position(|row| row.contains(&source.module())) else {
            if !["lib", "main"].contains(&source.module()) {
                wrong.push(format!("{} is in no row of ROWS", source.path));
            }
            continue;
        };
        for used in source.uses() {
            let above = ROWS[..row].iter().any(|row| row.contains(&used.as_str()));
            if used != source.module() && !above {
                wrong.push(format!("{} uses `{used}`, which is not above it", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn uses_are_found_however_they_are_written() {
    let source = Source {
        path: "src/a.rs".into(),
        code: "use crate::{b, c::{d, e}, f};\nlet x = crate::g::h();\n// crate::no\n\"crate::no\"".into(),
    };
    assert_eq!(source.uses().into_iter().collect::<Vec<_>>(), ["b", "c", "f", "g"]);
}

#[test]
fn what_belongs_to_one_module_stays_there() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (word, owners, reason) in OWNERS {
            let owned = owners.iter().any(|owner| {
                let path = source.path.trim_start_matches("src/").trim_end_matches(".rs");
                path == *owner || path.starts_with(&format!("{owner}/"))
            });
            if !owned && source.words().any(|found| found == *word) {
                wrong.push(format!("{} holds `{word}`, but {reason}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for source in sources() {
        let code =
            source.code.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        let lines = code.count();
        if lines > LONGEST {
            wrong.push(format!("{} has {lines} lines of code; split it at {LONGEST}", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_architecture_page_names_every_module_and_no_other() {
    let text = fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let declared: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'))
        .collect();
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(" |"));
    let named: BTreeSet<&str> = rows.filter_map(|(cell, _)| cell.split('`').nth(1)).collect();
    assert_eq!(named, declared, "left: named on the page of src/lib.rs; right: declared there");
}

#[test]
fn every_spec_is_in_the_binary() {
    let on_disk: BTreeMap<String, String> = files(&Path::new(ROOT).join("specs"), "qdq")
        .iter()
        .map(|path| {
            let name = inside(path);
            let name = name.trim_start_matches("specs/").trim_end_matches(".qdq");
            (name.to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    let embedded: BTreeMap<String, String> =
        qdqc::specs::ALL.iter().map(|spec| (spec.name.to_owned(), spec.text.to_owned())).collect();
    assert!(!embedded.is_empty());
    assert_eq!(on_disk, embedded);
}

/// A snapshot belongs to a spec, to a rejected spec, or to a test that names it.
#[test]
fn every_snapshot_belongs_to_a_case() {
    let mut known: BTreeSet<String> = cases("specs").into_iter().map(|(case, _)| case).collect();
    for folder in ["tests/rejected", "tests/language"] {
        known.extend(cases(folder).into_iter().map(|(case, _)| case));
    }
    for path in files(&Path::new(ROOT).join("tests"), "rs") {
        let text = fs::read_to_string(path).unwrap();
        known.extend(text.split('"').map(str::to_owned));
    }
    for path in files(&Path::new(ROOT).join("snapshots"), "snap") {
        let case = path.file_stem().unwrap().to_str().unwrap();
        assert!(known.contains(case), "{} belongs to no case: delete it", inside(&path));
    }
}

/// A path below the package's folder, with `/` between its parts.
fn inside(path: &Path) -> String {
    path.strip_prefix(ROOT).unwrap().to_str().unwrap().replace('\\', "/")
}

/// A source file without its tests.
struct Source {
    path: String,
    code: String,
}

/// Every source file that is not a test.
fn sources() -> Vec<Source> {
    let all = files(&Path::new(ROOT).join("src"), "rs").into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
        Source { path: inside(&path), code }
    });
    let sources: Vec<Source> = all.filter(|source| !source.is_test()).collect();
    assert!(sources.len() > 10);
    sources
}

impl Source {
    /// `src/syntax/tests.rs` and `src/tasks/tests/mod.rs` are tests.
    fn is_test(&self) -> bool {
        self.path.split('/').any(|part| part == "tests" || part == "tests.rs")
    }

    /// The module that the file belongs to: the first part of its path in `src/`.
    fn module(&self) -> &str {
        self.path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default()
    }

    /// The code without comments and strings.
    fn bare(&self) -> String {
        let line = |line: &str| {
            let code = line.split("//").next().unwrap_or_default().replace("\\\"", "").replace("'\"'", "");
            code.split('"').step_by(2).collect::<Vec<_>>().join(" ")
        };
        self.code.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    /// Every name in the code.
    fn words(&self) -> impl Iterator<Item = String> {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        let bare = self.bare();
        bare.split(move |c| !letter(c)).map(str::to_owned).collect::<Vec<_>>().into_iter()
    }

    /// The modules named after `crate::`, alone or in braces.
    fn uses(&self) -> BTreeSet<String> {
        let bare = self.bare();
        let name = |text: &str| -> String {
            text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        let mut used = BTreeSet::new();
        for rest in bare.split("crate::").skip(1) {
            match rest.strip_prefix('{') {
                Some(group) => used.extend(top_level(group).iter().map(|part| name(part))),
                None => _ = used.insert(name(rest)),
            }
        }
        used.remove("");
        used
    }
}

/// The parts between the commas of a brace group, up to its closing brace.
fn top_level(group: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => parts.push(String::new()),
            _ => parts.last_mut().unwrap().push(c),
        }
        depth += i32::from(c == '{') - i32::from(c == '}');
    }
    parts
}
