//! Every spec under `tests/rejected/` is refused with the code in its name, in words worth reading.

#![cfg(test)]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/library.rs"]
mod library;
#[path = "support/snapshot.rs"]
mod snapshot;

use library::Texts;
use qdqc::{
    codes,
    compile::{self, Given, GivenTensor, Options},
    config::Config,
    diagnostic::{Code, Diagnostics},
    report,
    source::Sources,
    types::DType,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::LazyLock,
};

/// Codes that no spec alone can cause: a fault of qdqc.
const NOT_OF_A_SPEC: [Code; 1] = [codes::INTERNAL];

/// A spec and what is wrong with it.
struct Refused {
    name: String,
    text: String,
    sources: Sources,
    problems: Diagnostics,
}

impl Refused {
    /// What the compiler says of a text, as `qdqc check` asks it.
    fn new(name: &str, text: &str, options: &Options) -> Refused {
        let (program, mut problems) = compile::load(&format!("{name}.qdq"), text, &*FOLDER);
        if !problems.has_errors() {
            problems.extend(compile::check(&program, options));
        }
        Refused { name: name.to_owned(), text: text.to_owned(), sources: program.sources, problems }
    }

    fn codes(&self) -> BTreeSet<&'static str> {
        self.problems.iter().map(|problem| problem.code.0).collect()
    }

    /// What a person sees.
    fn drawn(&self) -> String {
        report::render(&self.problems, &self.sources, false)
    }
}

fn options(config: &str) -> Options {
    let mut config = Config::parse(config, "config.json").unwrap();
    if config.fields().is_empty() {
        config.origin = "the defaults".into();
    }
    Options { config, ..Options::default() }
}

/// The specs that are to be refused, by their file names.
static FOLDER: LazyLock<Texts> = LazyLock::new(|| {
    let named = |(name, path)| (format!("{name}.qdq"), fs::read_to_string(path).unwrap());
    Texts(cases::cases("tests/rejected").into_iter().map(named).collect())
});

/// Every one of them, refused.
static FILES: LazyLock<Vec<Refused>> = LazyLock::new(|| {
    let files = FOLDER.0.iter();
    files.map(|(name, text)| Refused::new(name.trim_end_matches(".qdq"), text, &options("{}"))).collect()
});

/// Those that need more than a file: many bytes, or a way of calling the model.
fn made() -> Vec<Refused> {
    let model = "dim batch, seq\n\nmodel Score(ids: i64[batch, seq] unless embeds, embeds: f32[batch, seq, 4]?, \
                 mask: i64[batch, seq] = ones) -> (score: f32[batch]?, mask_out: i64[batch, seq], \
                 more: f32[batch]? on request) {\n    let score = if given(embeds) then mean(mean(embeds, axis: 2), \
                 axis: 1) else none\n    return (score: score, mask_out: mask)\n}\n";
    let tensor = |dtype, shape: &[usize]| GivenTensor { dtype, shape: shape.to_vec() };
    let call = |inputs: &[(&str, GivenTensor)], outputs: &[&str]| {
        let inputs: BTreeMap<_, _> =
            inputs.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect();
        let inputs = if inputs.is_empty() { Given::Default } else { Given::Exactly(inputs) };
        let outputs = outputs.iter().map(|name| (*name).to_owned()).collect();
        Options { inputs, outputs, ..options("{}") }
    };
    let ids = ("ids", tensor(DType::I64, &[2, 3]));
    let embeds = ("embeds", tensor(DType::F32, &[2, 3, 4]));
    vec![
        Refused::new("E0103-too-many-bytes", &"# ten bytes\n".repeat(100_000), &options("{}")),
        Refused::new("E0103-too-many-words", &"dim a\n".repeat(60_000), &options("{}")),
        called("E0220-both-given", model, call(&[ids.clone(), embeds], &[])),
        called("E0220-neither-given", model, call(&[("mask", tensor(DType::I64, &[2, 3]))], &[])),
        recipe("E0309-a-model-in-a-recipe", "dim batch\n\nquantize q {\n}\n"),
        recipe("E0309-an-empty-recipe", "# nothing but this\n"),
        called("E0220-not-an-input", model, call(&[ids.clone(), ("masc", tensor(DType::I64, &[2, 3]))], &[])),
        called("E0220-no-type-fits", model, call(&[("ids", tensor(DType::F32, &[2, 3, 5]))], &[])),
        called("E0221-not-an-output", model, call(&[], &["mor"])),
        called("E0221-not-made", model, call(&[], &["more"])),
        Refused::new(
            "E0213-config-of-another-kind",
            "config size: int = 4\nconfig act: \"gelu\" | \"relu\"\ndim n\n\nmodel M(x: f32[n]) -> (y: f32[n]) {\n    return (y: x)\n}\n",
            &options(r#"{"size": "many", "act": "gelo"}"#),
        ),
    ]
}

/// A file that is laid over a good spec's recipe.
fn recipe(name: &str, text: &str) -> Refused {
    let spec = "dim n\n\nmodel M(x: f32[n]) -> (y: f32[n]) {\n    return (y: x)\n}\n";
    let (mut program, problems) = compile::load("score.qdq", spec, &Texts::default());
    assert!(problems.is_empty(), "{problems:?}");
    let problems = program.set_recipe("recipe.qdq", text).unwrap_err();
    Refused { name: name.to_owned(), text: text.to_owned(), sources: program.sources, problems }
}

/// One way of calling a good spec.
fn called(name: &str, text: &str, options: Options) -> Refused {
    let (program, problems) = compile::load("score.qdq", text, &Texts::default());
    assert!(problems.is_empty(), "{problems:?}");
    let (graph, problems) = compile::compile(&program, &options, true);
    assert!(graph.is_none(), "{name} is accepted");
    Refused { name: name.to_owned(), text: text.to_owned(), sources: program.sources, problems }
}

#[test]
fn each_is_refused_with_the_code_in_its_name() {
    for refused in FILES.iter().chain(&made()) {
        let code = refused.name.split('-').next().unwrap();
        let drawn = refused.drawn();
        assert!(refused.codes().contains(code), "{} is not refused with {code}:\n{drawn}", refused.name);
        for code in refused.codes() {
            assert!(codes::find(code).is_some(), "{}: `qdqc explain {code}` knows nothing", refused.name);
        }
        snapshot::check("rejected", &refused.name, &drawn);
    }
}

#[test]
fn every_code_of_a_spec_has_a_file() {
    let made = made();
    let cases = FILES.iter().chain(&made);
    let named: BTreeSet<&str> = cases.map(|refused| refused.name.split('-').next().unwrap()).collect();
    let missing: Vec<&str> = codes::ALL
        .iter()
        .map(|explanation| explanation.code)
        .filter(|code| code.0 < "E04" && !NOT_OF_A_SPEC.contains(code))
        .map(|code| code.0)
        .filter(|code| !named.contains(code))
        .collect();
    assert!(missing.is_empty(), "no file in tests/rejected begins with {missing:?}");
}

/// Messages are one sentence, lower case, without a full stop; places are in the
/// text; nothing is said twice.
#[test]
fn problems_are_well_formed() {
    for refused in FILES.iter() {
        let mut said = BTreeSet::new();
        for problem in refused.problems.iter() {
            let message = &problem.message;
            assert!(!message.is_empty() && !message.ends_with('.'), "{}: {message}", refused.name);
            assert!(
                !message.starts_with(|c: char| c.is_uppercase()) && !message.contains('\n'),
                "{}: {message}",
                refused.name
            );
            assert!(said.insert((problem.code, problem.span)), "{}: {message} is said twice", refused.name);
            let places = problem.span.iter().chain(problem.labels.iter().map(|(span, _)| span));
            for span in places {
                let text = &refused.sources.get(span.file).unwrap().text;
                assert!(
                    text.get(span.start as usize..span.end as usize).is_some(),
                    "{}: {span:?}",
                    refused.name
                );
            }
        }
    }
}

#[test]
fn a_suggestion_mends_what_it_is_about() {
    let mut suggestions = 0;
    for refused in FILES.iter() {
        for problem in refused.problems.iter() {
            let Some(suggestion) = &problem.suggestion else { continue };
            suggestions += 1;
            assert_eq!(suggestion.span.file.0, 0, "{}: about another file", refused.name);
            let mut text = refused.text.clone();
            let place = suggestion.span.start as usize..suggestion.span.end as usize;
            text.replace_range(place, &suggestion.replacement);
            let mended = Refused::new(&refused.name, &text, &options("{}"));
            let still = |other: &&qdqc::diagnostic::Diagnostic| {
                other.code == problem.code && other.message == problem.message
            };
            assert!(
                mended.problems.iter().find(still).is_none(),
                "{}: after `{}` there is still\n{}",
                refused.name,
                suggestion.message,
                mended.drawn()
            );
        }
    }
    assert!(suggestions > 10, "only {suggestions} suggestions");
}
