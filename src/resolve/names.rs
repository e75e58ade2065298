//! What each file declares, and who a name refers to.

use crate::{
    codes,
    diagnostic::{Diagnostic, Diagnostics},
    names::nearest,
    syntax::ast::{self, ItemKind},
};
use std::collections::{BTreeMap, HashMap};

/// Every declaration in scope, whatever file it is in.
#[derive(Default)]
pub(super) struct Globals<'a> {
    pub dims: Vec<&'a ast::DimBinding>,
    pub configs: Vec<&'a ast::ConfigField>,
    pub requires: Vec<&'a ast::Require>,
    pub quantizes: Vec<&'a ast::Quantize>,
    pub models: Vec<&'a ast::Model>,
    pub consts: Vec<&'a ast::Let>,
    pub types: BTreeMap<&'a str, &'a ast::TypeAlias>,
    pub records: BTreeMap<&'a str, &'a ast::Record>,
    pub functions: BTreeMap<&'a str, &'a ast::Function>,
    pub modules: BTreeMap<&'a str, &'a ast::Module>,
    /// Every declared name and where, for duplicates and near misses.
    names: HashMap<&'a str, &'a ast::Name>,
    configs_by_name: HashMap<&'a str, &'a ast::ConfigField>,
    dims_by_name: HashMap<&'a str, &'a ast::DimBinding>,
    consts_by_name: HashMap<&'a str, &'a ast::Let>,
}

impl<'a> Globals<'a> {
    /// Gathers the declarations of all files, reporting names given twice.
    pub fn collect(files: &'a [ast::SpecFile], problems: &mut Diagnostics) -> Globals<'a> {
        let mut globals = Globals::default();
        for item in files.iter().flat_map(|file| &file.items) {
            globals.declare(item, problems);
        }
        globals
    }

    fn declare(&mut self, item: &'a ast::Item, problems: &mut Diagnostics) {
        match &item.kind {
            ItemKind::Use(_) => {}
            ItemKind::Dim(bindings) => {
                for binding in bindings {
                    self.name(&binding.name, problems);
                    self.dims.push(binding);
                    self.dims_by_name.insert(&binding.name.value, binding);
                }
            }
            ItemKind::Config(field) => {
                self.name(&field.name, problems);
                self.configs.push(field);
                self.configs_by_name.insert(&field.name.value, field);
            }
            ItemKind::Const(value) => {
                self.name(&value.name, problems);
                self.consts.push(value);
                self.consts_by_name.insert(&value.name.value, value);
            }
            ItemKind::Type(alias) => {
                self.name(&alias.name, problems);
                self.types.insert(&alias.name.value, alias);
            }
            ItemKind::Record(record) => {
                self.name(&record.name, problems);
                self.records.insert(&record.name.value, record);
            }
            ItemKind::Require(require) => self.requires.push(require),
            ItemKind::Fn(function) => {
                self.name(&function.name, problems);
                self.functions.insert(&function.name.value, function);
            }
            ItemKind::Module(module) => {
                self.name(&module.name, problems);
                self.modules.insert(&module.name.value, module);
            }
            ItemKind::Model(model) => self.models.push(model),
            ItemKind::Quantize(quantize) => self.quantizes.push(quantize),
        }
    }

    fn name(&mut self, name: &'a ast::Name, problems: &mut Diagnostics) {
        if let Some(first) = self.names.insert(&name.value, name) {
            problems.push(duplicate(name, first));
        }
    }

    pub fn config(&self, name: &str) -> Option<&'a ast::ConfigField> {
        self.configs_by_name.get(name).copied()
    }

    pub fn constant(&self, name: &str) -> Option<&'a ast::Let> {
        self.consts_by_name.get(name).copied()
    }

    pub fn dim(&self, name: &str) -> Option<&'a ast::DimBinding> {
        self.dims_by_name.get(name).copied()
    }

    /// Where a value known when compiling is declared under this name.
    pub fn value_name(&self, name: &str) -> Option<&'a ast::Name> {
        self.is_value(name).then(|| self.names.get(name).copied()).flatten()
    }

    /// A name that stands for a value known when compiling.
    pub fn is_value(&self, name: &str) -> bool {
        self.config(name).is_some() || self.dim(name).is_some() || self.constant(name).is_some()
    }

    pub fn value_names(&self) -> impl Iterator<Item = &'a str> {
        let configs = self.configs.iter().map(|field| field.name.value.as_str());
        let dims = self.dims.iter().map(|binding| binding.name.value.as_str());
        let consts = self.consts.iter().map(|value| value.name.value.as_str());
        configs.chain(dims).chain(consts)
    }

    pub fn type_names(&self) -> impl Iterator<Item = &'a str> {
        self.types.keys().chain(self.records.keys()).copied()
    }
}

/// Adds the near miss to a diagnostic about an unknown name.
pub(super) fn with_near_miss<'n>(
    diagnostic: Diagnostic,
    name: &ast::Name,
    candidates: impl IntoIterator<Item = &'n str>,
) -> Diagnostic {
    match nearest(&name.value, candidates) {
        Some(near) => diagnostic.suggest(name.span, near, format!("there is `{near}`")),
        None => diagnostic,
    }
}

/// A name is declared where it is declared already.
pub(super) fn duplicate(name: &ast::Name, first: &ast::Name) -> Diagnostic {
    Diagnostic::error(codes::DUPLICATE_NAME, name.span, format!("`{}` is declared twice", name.value))
        .mark("declared again here")
        .label(first.span, "first declared here")
        .help("rename or remove one of them")
}
