//! The pipeline: from the text of a spec to a verified graph.
//!
//! ```text
//! text --parse--> syntax tree --resolve--> typed graph --passes--> checked graph
//! ```

use crate::{
    codes,
    diagnostic::{Code, Diagnostic, Diagnostics},
    graph::{Fault, Graph, verify},
    passes,
    resolve::{self, Resolved},
};

mod load;

pub use crate::graph::Checked;
pub use crate::resolve::{Given, GivenTensor, Options};
pub use load::{Program, load};

/// Compiles a program for a config and a way of calling it. There is a graph
/// where no error is reported. `quantize: false` leaves the quantizers out.
pub fn compile(program: &Program, options: &Options, quantize: bool) -> (Option<Checked>, Diagnostics) {
    let Compiled { graph, problems, .. } = run(program, options, quantize, |_| {});
    // The last graph was verified; this is the proof of it.
    let graph = if problems.has_errors() { None } else { Checked::new(graph).ok() };
    (graph, problems)
}

/// Every problem of a spec: of its usual call, and of each call with one input
/// more, or of another of its types.
pub fn check(program: &Program, options: &Options) -> Diagnostics {
    let Compiled { mut problems, steps, .. } = run(program, options, true, |_| {});
    let Some(model) = program.model() else { return problems };
    // Each call takes about as long as the usual one.
    let mut left = MOST_STEPS / steps.max(1);
    for input in &model.inputs {
        // The usual call has the first type of what is not optional.
        for alternative in usize::from(!input.ty.optional)..MOST_ALTERNATIVES {
            if left == 0 || problems.is_full() || has(&problems, codes::MODEL_TOO_LARGE) {
                break;
            }
            left -= 1;
            let inputs = Given::Varied(input.name.value.clone(), alternative);
            let found = run(program, &Options { inputs, ..options.clone() }, true, |_| {}).problems;
            if has(&found, codes::INPUT) {
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

fn has(problems: &Diagnostics, code: Code) -> bool {
    problems.iter().any(|problem| problem.code == code)
}

/// Steps that [`check`] takes for all calls but the usual one, at most.
const MOST_STEPS: usize = 1_000_000;

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
    let mut stages = Vec::new();
    let Compiled { problems, .. } = run(program, options, quantize, |stage| stages.push(stage.clone()));
    (stages, problems)
}

/// What became of a program.
struct Compiled {
    /// The last graph, as far as errors let it.
    graph: Graph,
    problems: Diagnostics,
    /// How much work it was.
    steps: usize,
}

/// Every step in order, each graph shown to `show`.
fn run(program: &Program, options: &Options, quantize: bool, mut show: impl FnMut(&Stage)) -> Compiled {
    let Resolved { graph, mut problems, steps } = resolve::resolve(&program.files, &program.sources, options);
    let mut stage = Stage { name: "resolve", graph };
    show(&stage);
    for (name, _, pass, quantizes) in passes::ALL {
        if problems.has_errors() {
            break;
        }
        if *quantizes && !quantize {
            stage.graph.quantizers.clear();
            stage.graph.placed.clear();
            continue;
        }
        let (graph, found) = pass(stage.graph);
        problems.extend(found);
        if !problems.has_errors()
            && let Err(fault) = verify(&graph)
        {
            problems.push(fault_of(name, &graph, &fault));
        }
        stage = Stage { name, graph };
        show(&stage);
    }
    problems.sort();
    Compiled { graph: stage.graph, problems, steps }
}

fn fault_of(pass: &str, graph: &Graph, fault: &Fault) -> Diagnostic {
    let span = fault.node.as_ref().map(|node| node.span).unwrap_or_default();
    let Some(unbound) = &fault.unbound else {
        return Diagnostic::error(codes::INTERNAL, span, format!("after `{pass}`: {}", fault.message))
            .mark("this value");
    };
    let problem = Diagnostic::error(codes::UNBOUND_DIM, span, fault.message.clone())
        .mark("this value has it")
        .help(format!("give an input of which `{unbound}` is a size, or write `dim {unbound} else SIZE`"));
    match graph.dims.iter().find(|dim| dim.symbol == *unbound) {
        Some(dim) => problem.label(dim.span, format!("`{unbound}` is declared here")),
        None => problem,
    }
}
