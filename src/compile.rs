//! The pipeline: from the text of a spec to a verified graph.
//!
//! ```text
//! text --parse--> syntax tree --resolve--> typed graph --passes--> checked graph
//! ```

use crate::{
    codes,
    diagnostic::{Diagnostic, Diagnostics},
    graph::{Graph, verify},
    names::list_of,
    passes, resolve,
    source::{Library, Sources},
    span::FileId,
    syntax::{self, ast},
};
use std::collections::{BTreeSet, HashMap};

pub use crate::graph::Checked;
pub use crate::resolve::{Given, GivenTensor, Options};

/// Files of a spec, at most.
const MOST_FILES: usize = 64;

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
    let mut program = Program::default();
    let mut problems = Diagnostics::default();
    let mut known: HashMap<String, FileId> = HashMap::new();
    let mut waiting = vec![(name.to_owned(), text.to_owned())];
    let mut edges: Vec<(FileId, ast::Name, String)> = Vec::new();
    let mut next = 0;
    while let Some((name, text)) = waiting.get(next).cloned() {
        next += 1;
        let file = program.sources.add(&name, &text);
        known.insert(name.clone(), file);
        let tree = match syntax::parse(file, &text) {
            Ok(tree) => tree,
            Err(found) => {
                problems.extend(found);
                ast::SpecFile { items: Vec::new() }
            }
        };
        for item in &tree.items {
            let ast::ItemKind::Use(path) = &item.kind else { continue };
            match library.read(&name, &path.value) {
                Ok((found, text)) => {
                    edges.push((file, path.clone(), found.clone()));
                    if !waiting.iter().any(|(name, _)| *name == found) && waiting.len() < MOST_FILES {
                        waiting.push((found, text));
                    }
                }
                Err(phrase) => problems.push(
                    Diagnostic::error(
                        codes::USE,
                        path.span,
                        format!("`use \"{}\"` finds nothing: {phrase}", path.value),
                    )
                    .mark("not found"),
                ),
            }
        }
        program.files.push(tree);
    }
    if waiting.len() >= MOST_FILES {
        problems.push(Diagnostic::outside(codes::USE, format!("a spec has at most {MOST_FILES} files")));
    }
    report_circles(&edges, &known, &mut problems);
    (program, problems)
}

/// A file that is used, however indirectly, by itself.
fn report_circles(
    edges: &[(FileId, ast::Name, String)],
    known: &HashMap<String, FileId>,
    problems: &mut Diagnostics,
) {
    for (from, path, target) in edges {
        let Some(start) = known.get(target) else { continue };
        let mut reached = vec![*start];
        let mut index = 0;
        while let Some(file) = reached.get(index).copied() {
            index += 1;
            for (_, _, target) in edges.iter().filter(|(user, ..)| *user == file) {
                if let Some(next) = known.get(target).filter(|next| !reached.contains(next)) {
                    reached.push(*next);
                }
            }
        }
        if reached.contains(from) {
            problems.push(
                Diagnostic::error(codes::USE, path.span, format!("`{}` comes back to this file", path.value))
                    .mark("uses this file again, directly or by way of others")
                    .help("move what both need to a third file"),
            );
            return;
        }
    }
}

/// Compiles a program for a config and a way of calling it. There is a graph
/// where no error is reported. `quantize: false` leaves the quantizers out.
pub fn compile(program: &Program, options: &Options, quantize: bool) -> (Option<Checked>, Diagnostics) {
    let (mut stages, problems) = stages(program, options, quantize);
    let last = if problems.has_errors() { None } else { stages.pop() };
    // The last stage was verified; this is the proof of it.
    (last.and_then(|stage| Checked::new(stage.graph).ok()), problems)
}

/// Every problem of a spec: of its usual call, and of each call with one input
/// more, or of another of its types.
pub fn check(program: &Program, options: &Options) -> Diagnostics {
    let (_, mut problems) = compile(program, options, true);
    let Some(model) = program.model() else { return problems };
    for input in &model.inputs {
        // The usual call has the first type of what is not optional.
        for alternative in usize::from(!input.ty.optional)..MOST_ALTERNATIVES {
            let inputs = Given::Varied(input.name.value.clone(), alternative);
            let (_, found) = compile(program, &Options { inputs, ..options.clone() }, true);
            if found.iter().any(|problem| problem.code == codes::INPUT) {
                break;
            }
            for problem in found.iter().filter(|problem| !depends_on_call(problem)) {
                problems.push(problem.clone());
            }
        }
    }
    problems.sort();
    problems
}

/// Types of an input that [`check`] tries, at most.
const MOST_ALTERNATIVES: usize = 8;

/// A problem that an odd call may have in a good spec: a combination of inputs
/// that the spec refuses, an output or a quantizer site that it does not make.
fn depends_on_call(problem: &Diagnostic) -> bool {
    let refused = [codes::REQUIRE, codes::OUTPUT, codes::UNBOUND_DIM];
    refused.contains(&problem.code) || problem.code.0.starts_with("E03")
}

/// A graph on its way, named after the step that made it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// `resolve`, or a pass.
    pub name: &'static str,
    /// The graph after it.
    pub graph: Graph,
}

/// Every graph on the way, as far as errors let it; the last is the result.
pub fn stages(program: &Program, options: &Options, quantize: bool) -> (Vec<Stage>, Diagnostics) {
    let (graph, mut problems) = resolve::resolve(&program.files, &program.sources, options);
    let mut stages = vec![Stage { name: "resolve", graph }];
    for (name, _, pass, quantizes) in passes::ALL {
        if problems.has_errors() {
            break;
        }
        if *quantizes && !quantize {
            continue;
        }
        let Some(stage) = stages.last() else { break };
        let (graph, found) = pass(stage.graph.clone());
        problems.extend(found);
        if !problems.has_errors()
            && let Err(fault) = verify(&graph)
        {
            problems.push(fault_of(name, &fault));
        }
        stages.push(Stage { name, graph });
    }
    problems.sort();
    (stages, problems)
}

fn fault_of(pass: &str, fault: &crate::graph::Fault) -> Diagnostic {
    let span = fault.node.as_ref().map(|node| node.span).unwrap_or_default();
    if fault.unbound {
        return Diagnostic::error(codes::UNBOUND_DIM, span, fault.message.clone())
            .mark("this value has it")
            .help("give an input that has the dim, or write `dim NAME else SIZE`");
    }
    Diagnostic::error(codes::INTERNAL, span, format!("after `{pass}`: {}", fault.message)).mark("this value")
}

/// The names of every step, for messages.
pub fn stage_names() -> String {
    list_of(std::iter::once("resolve").chain(passes::ALL.iter().map(|(name, ..)| *name)))
}
