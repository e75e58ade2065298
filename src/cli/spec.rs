//! Specs by path or bundled name, and `use` on disk.

use super::Stop;
use crate::{
    compile::{self, Program},
    failure::Failure,
    source::Library,
    specs::{self, BundledLibrary},
};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The longest spec file, in bytes.
pub const LIMIT: u64 = 1 << 20;

/// What standard input is called.
pub const STDIN: &str = "<stdin>";

/// A spec that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its path, `<stdin>`, or a bundled name with its prefix.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Spec {
    /// It was read from standard input.
    pub fn is_stdin(&self) -> bool {
        self.name == STDIN
    }

    /// It comes with the binary.
    pub fn is_bundled(&self) -> bool {
        self.name.starts_with(specs::PREFIX)
    }
}

/// The spec that an argument means: a bundled spec if one has that name, a file
/// otherwise; `-` is standard input. `./NAME` is always a file.
pub fn read(argument: &str) -> Result<Spec, Failure> {
    if let Some(bundled) = specs::find(argument) {
        return Ok(Spec { name: bundled.source_name(), text: bundled.text.to_owned() });
    }
    let (name, text) = if argument == "-" {
        (STDIN, read_text(STDIN, io::stdin().lock()))
    } else {
        (argument, open(argument).and_then(|file| read_text(argument, file)))
    };
    let text = text?;
    if text.trim().is_empty() {
        return Err(Failure::input(format!("`{name}` is empty"))
            .help("`qdqc new base-model` writes a spec to start from"));
    }
    Ok(Spec { name: name.to_owned(), text })
}

/// The spec with all that it uses, and with another recipe where one is given.
///
/// # Errors
/// They cannot be read, or have errors.
pub fn load(spec: &Spec, recipe: Option<&Path>) -> Result<Program, Stop> {
    let (mut program, problems) = compile::load(&spec.name, &spec.text, &DiskLibrary);
    if problems.has_errors() {
        return Err(Stop::within(&program.sources)(Failure::Diagnostics(problems)));
    }
    if let Some(recipe) = recipe {
        lay_over(&mut program, recipe)?;
    }
    Ok(program)
}

/// Puts the recipe in a file in place of the program's.
///
/// # Errors
/// The file cannot be read, or is no recipe.
pub fn lay_over(program: &mut Program, recipe: &Path) -> Result<(), Stop> {
    let name = recipe.display().to_string();
    let text = open(&name).and_then(|file| read_text(&name, file))?;
    let done = program.set_recipe(&name, &text);
    done.map_err(|problems| Stop::within(&program.sources)(Failure::Diagnostics(problems)))
}

fn open(path: &str) -> Result<File, Failure> {
    if Path::new(path).is_dir() {
        return Err(
            Failure::input(format!("`{path}` is a folder, not a spec")).help("name the spec file in it")
        );
    }
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_found(path),
        _ => Failure::outside(format!("`{path}` cannot be read: {error}")),
    })
}

/// Nothing has that name: says what was probably meant.
fn not_found(argument: &str) -> Failure {
    let stem = argument.strip_suffix(".qdq").unwrap_or(argument);
    let is_path = stem.len() < argument.len() || argument.contains(['/', '\\']);
    let what = if is_path { "file" } else { "file or bundled spec" };
    let text = format!("there is no {what} `{argument}`");
    if specs::find(stem).is_some() {
        return Failure::input(text)
            .help(format!("the bundled spec is called `{stem}`; `qdqc new {stem}` makes a file of it"));
    }
    match specs::suggest(argument).filter(|_| !is_path) {
        Some(name) => Failure::input(format!("{text}; did you mean `{name}`?"))
            .help("`qdqc list` lists the bundled specs"),
        None if is_path => Failure::input(text),
        None => Failure::input(text).help("`qdqc list` lists the bundled specs"),
    }
}

/// The text of a file, refused at the limit before more of it is read.
fn read_text(name: &str, file: impl Read) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::outside(format!("`{name}` cannot be read: {error}")))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Failure::input(format!("`{name}` is longer than a spec can be, {LIMIT} bytes"))
            .help("a spec is a text of a few kilobytes; is this the right file?"));
    }
    let text =
        String::from_utf8(bytes).map_err(|error| not_text(name, error.as_bytes(), error.utf8_error()))?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

fn not_text(name: &str, bytes: &[u8], error: std::str::Utf8Error) -> Failure {
    let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    Failure::input(format!("`{name}` is not UTF-8 text: line {line} holds a byte that cannot be read"))
        .help("save it as UTF-8, or name the right file")
}

/// The library of files on disk, with the bundled specs behind them.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskLibrary;

impl Library for DiskLibrary {
    fn read(&self, from: &str, path: &str) -> Result<(String, String), String> {
        if from.starts_with(specs::PREFIX) {
            return BundledLibrary.read(from, path);
        }
        let name = specs::beside(from, path);
        if !Path::new(&name).exists() {
            return match (specs::find_used(path), specs::suggest(path)) {
                (Some(bundled), _) => Ok((bundled.source_name(), bundled.text.to_owned())),
                (None, Some(near)) => {
                    Err(format!("there is no file `{name}`, nor a bundled one; did you mean `{near}.qdq`?"))
                }
                (None, None) => Err(format!("there is no file `{name}`, nor a bundled one")),
            };
        }
        let text =
            open(&name).and_then(|file| read_text(&name, file)).map_err(|failure| failure.to_string())?;
        Ok((name, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_near_miss_is_suggested() {
        let name = specs::ALL.first().expect("the binary carries specs").name;
        let failure = read(&name.replacen('e', "", 1)).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert!(failure.to_string().contains(&format!("did you mean `{name}`?")), "{failure}");
        let failure = read(&format!("{name}.qdq")).unwrap_err();
        assert!(failure.to_string().starts_with("there is no file"), "{failure}");
    }

    #[test]
    fn what_is_no_spec_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let said = |path: &str| read(path).unwrap_err().to_string();
        assert!(said(folder.path().to_str().unwrap()).ends_with("is a folder, not a spec"));
        assert!(said(&write("empty.qdq", b" \n")).ends_with("is empty"));
        assert!(said(&write("latin.qdq", b"# a\n# \xe9")).contains("line 2"));
        assert!(
            said(&write("long.qdq", &vec![b'#'; LIMIT as usize + 1])).contains("longer than a spec can be")
        );
        assert_eq!(read(&write("marked.qdq", b"\xef\xbb\xbfdim batch")).unwrap().text, "dim batch");
    }

    #[test]
    fn files_use_what_is_beside_them_first() {
        let folder = tempfile::tempdir().unwrap();
        let bundled = specs::ALL.first().expect("the binary carries specs");
        let path = format!("{}.qdq", bundled.name);
        let mine = folder.path().join("mine.qdq");
        let mine = mine.to_str().unwrap();

        let (name, text) = DiskLibrary.read(mine, &path).unwrap();
        assert_eq!((name, text.as_str()), (bundled.source_name(), bundled.text));

        let own = folder.path().join(&path);
        fs::create_dir_all(own.parent().unwrap()).unwrap();
        fs::write(&own, "dim own").unwrap();
        assert_eq!(DiskLibrary.read(mine, &path).unwrap().1, "dim own");
        assert_eq!(DiskLibrary.read(&bundled.source_name(), &path).unwrap().1, bundled.text);

        // A copy of a part finds its neighbours.
        assert_eq!(DiskLibrary.read(mine, "layers.qdq").unwrap().0, "bundled:lib/layers.qdq");
        let phrase = DiskLibrary.read(mine, "nowhere.qdq").unwrap_err();
        assert!(phrase.starts_with("there is no file"), "{phrase}");
    }
}
