//! A spec and everything it uses, read and parsed.

use crate::{
    codes,
    diagnostic::{Diagnostic, Diagnostics},
    names::shortened,
    source::{Library, Sources},
    span::FileId,
    syntax::{self, ast},
};
use std::collections::{BTreeSet, HashMap};

/// Files of a spec, at most.
const MOST_FILES: usize = 64;
/// Bytes of all of them together, at most.
const MOST_BYTES: usize = 1 << 20;
/// Letters of the path in a `use`, at most.
const LONGEST_PATH: usize = 1000;
/// `use` declarations that are followed, at most.
const MOST_USES: usize = 256;

/// A spec with everything it uses, read and parsed.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Every file.
    pub sources: Sources,
    /// Their trees, in the order of the files.
    pub files: Vec<ast::SpecFile>,
}

impl Program {
    /// The model, if there is exactly one.
    pub fn model(&self) -> Option<&ast::Model> {
        let mut models = self.files.iter().flat_map(|file| &file.items).filter_map(|item| match &item.kind {
            ast::ItemKind::Model(model) => Some(model),
            _ => None,
        });
        models.next().filter(|_| models.next().is_none())
    }

    /// Puts the `quantize` blocks of a file in place of all that the spec has.
    ///
    /// # Errors
    /// The text cannot be read, or holds anything else.
    pub fn set_recipe(&mut self, name: &str, text: &str) -> Result<(), Diagnostics> {
        let file = self.sources.add(name, text);
        let tree = syntax::parse(file, text)?;
        let is_recipe = |item: &ast::Item| matches!(item.kind, ast::ItemKind::Quantize(_));
        let mut problems = Diagnostics::default();
        for item in tree.items.iter().filter(|item| !is_recipe(item)) {
            problems.push(
                Diagnostic::error(codes::NOT_A_RECIPE, item.span, "a recipe holds `quantize` blocks alone")
                    .mark("this is none")
                    .help("give it as the spec itself, or take it out"),
            );
        }
        if tree.items.is_empty() {
            problems.push(
                Diagnostic::outside(codes::NOT_A_RECIPE, format!("{name} holds no `quantize` block"))
                    .help("begin it with `quantize NAME {`"),
            );
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        for other in &mut self.files {
            other.items.retain(|item| !is_recipe(item));
        }
        self.files.push(tree);
        Ok(())
    }

    /// The config fields that the spec reads.
    pub fn config_fields(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| &file.items).filter_map(|item| match &item.kind {
            ast::ItemKind::Config(field) => Some(field.name.value.as_str()),
            _ => None,
        })
    }

    /// The names of the model's inputs and outputs, those on request included.
    pub fn interface(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let Some(model) = self.model() else { return Default::default() };
        let inputs = model.inputs.iter().map(|input| input.name.value.clone()).collect();
        let outputs = model.outputs.iter().map(|output| output.name.value.clone()).collect();
        (inputs, outputs)
    }
}

/// Reads a spec and what it uses. The program is complete where no error is
/// reported.
pub fn load(name: &str, text: &str, library: &dyn Library) -> (Program, Diagnostics) {
    let mut loader = Loader::new(name, text, library);
    let mut next = 0;
    while let Some((name, text)) = loader.waiting.get_mut(next).map(std::mem::take) {
        loader.file(FileId(next as u32), &name, &text);
        next += 1;
    }
    loader.report_circle();
    (loader.program, loader.problems)
}

struct Loader<'l> {
    library: &'l dyn Library,
    program: Program,
    problems: Diagnostics,
    /// Names and texts of files, in the order of their numbers; those read are taken.
    waiting: Vec<(String, String)>,
    files: HashMap<String, FileId>,
    /// Which file uses which, and where it says so.
    uses: Vec<(FileId, ast::Name, FileId)>,
    bytes: usize,
}

impl<'l> Loader<'l> {
    fn new(name: &str, text: &str, library: &'l dyn Library) -> Loader<'l> {
        Loader {
            library,
            program: Program::default(),
            problems: Diagnostics::default(),
            waiting: vec![(name.to_owned(), text.to_owned())],
            files: HashMap::from([(name.to_owned(), FileId(0))]),
            uses: Vec::new(),
            bytes: text.len(),
        }
    }

    fn file(&mut self, file: FileId, name: &str, text: &str) {
        self.program.sources.add(name, text);
        let tree = syntax::parse(file, text).unwrap_or_else(|found| {
            self.problems.extend(found);
            ast::SpecFile { items: Vec::new() }
        });
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for item in &tree.items {
            if let ast::ItemKind::Use(path) = &item.kind
                && seen.insert(&path.value)
                && !self.follow(file, name, path)
            {
                break;
            }
        }
        self.program.files.push(tree);
    }

    /// Reads what a `use` means, unless it is read already; false once that is too much.
    fn follow(&mut self, file: FileId, name: &str, path: &ast::Name) -> bool {
        let read = if path.value.len() <= LONGEST_PATH {
            self.library.read(name, &path.value)
        } else {
            Err(format!("a path has at most {LONGEST_PATH} letters"))
        };
        let (found, text) = match read {
            Ok(found) => found,
            Err(phrase) => {
                let message = format!("`use \"{}\"` finds nothing: {phrase}", shortened(&path.value));
                self.problems.push(Diagnostic::error(codes::USE, path.span, message).mark("not found"));
                return !self.problems.is_full();
            }
        };
        let known = self.files.get(&found).copied();
        let added = if known.is_some() { 0 } else { text.len() };
        if (known.is_none() && self.waiting.len() >= MOST_FILES)
            || self.bytes + added > MOST_BYTES
            || self.uses.len() >= MOST_USES
        {
            self.problems.push(
                Diagnostic::error(codes::USE, path.span, "the spec uses too many files")
                    .mark("one too many")
                    .help(format!("a spec has at most {MOST_FILES} files, of {MOST_BYTES} bytes together")),
            );
            return false;
        }
        self.bytes += added;
        let target = known.unwrap_or_else(|| {
            // There are at most 64.
            let target = FileId(self.waiting.len() as u32);
            self.files.insert(found.clone(), target);
            self.waiting.push((found, text));
            target
        });
        self.uses.push((file, path.clone(), target));
        true
    }

    /// A file that is used, however indirectly, by itself.
    fn report_circle(&mut self) {
        let circular = self.uses.iter().find(|(user, _, used)| {
            let mut reached = BTreeSet::from([*used]);
            let mut next = vec![*used];
            while let Some(file) = next.pop() {
                let more = self.uses.iter().filter(|(user, ..)| *user == file).map(|(.., used)| *used);
                next.extend(more.filter(|used| reached.insert(*used)));
            }
            reached.contains(user)
        });
        if let Some((_, path, _)) = circular {
            self.problems.push(
                Diagnostic::error(codes::USE, path.span, format!("`{}` comes back to this file", path.value))
                    .mark("uses this file again, directly or by way of others")
                    .help("move what both need to a third file"),
            );
        }
    }
}
