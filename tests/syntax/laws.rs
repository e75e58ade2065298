//! What must hold of every text, of every text that parses, and of the hostile ones.

use crate::author::spec;
use proptest::prelude::*;
use qdqc::diagnostic::{Diagnostic, Diagnostics};
use qdqc::report;
use qdqc::source::Sources;
use qdqc::span::FileId;
use qdqc::syntax::{parse, print};
use std::fs;
use std::path::Path;

/// What a small thread's stack holds.
const STACK: usize = 1 << 20;

/// The comments of a text whose strings hold no `#`.
fn comments(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.find('#').and_then(|at| line.get(at..))).map(str::trim_end).collect()
}

/// What must hold of the layout of a text that parses.
fn check_layout(text: &str) {
    let tree = parse(FileId(0), text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    let once = print(&tree, text);
    let again =
        parse(FileId(0), &once).unwrap_or_else(|problems| panic!("{problems:?}\n{text}\nbecame\n{once}"));
    assert!(tree.says_the_same_as(&again), "{text}\nbecame\n{once}");
    let twice = print(&again, &once);
    let changed = once.lines().zip(twice.lines()).find(|(once, twice)| once != twice);
    assert!(twice == once, "{text}\nbecame\n{once}\nbecame\n{twice}\nfirst in {changed:#?}");
    assert_eq!(comments(text), comments(&once), "{text}\nbecame\n{once}");
    assert!(once.lines().all(|line| line.trim_end() == line), "{once}");
    assert!(once.is_empty() || once.ends_with('\n') && !once.ends_with("\n\n"), "{once:?}");
    assert!(!once.contains("\n\n\n"), "{once}");
}

/// Any text parses, or gives one problem at a place of the text that can be drawn.
fn check_any(text: &str) {
    match parse(FileId(0), text) {
        Ok(tree) => {
            let once = print(&tree, text);
            assert!(
                parse(FileId(0), &once).is_ok_and(|again| again.says_the_same_as(&tree)),
                "{text}\n{once}"
            );
        }
        Err(problems) => check_problem(text, &problems),
    }
}

fn check_problem(text: &str, problems: &Diagnostics) {
    let [problem] = problems.iter().collect::<Vec<&Diagnostic>>()[..] else { panic!("{problems:?}") };
    let span = problem.span.unwrap();
    assert!(text.get(span.start as usize..span.end as usize).is_some(), "{span:?} of {text:?}");
    let mut sources = Sources::default();
    sources.add("any.qdq", text);
    assert!(report::render(problems, &sources, false).contains("any.qdq:"));
}

/// Pieces that text is made of, to be put together without sense.
const SOUP: &[&str] = &[
    "use",
    "dim",
    "config",
    "let",
    "type",
    "record",
    "require",
    "fn",
    "module",
    "model",
    "quantize",
    "on",
    "set",
    "return",
    "if",
    "then",
    "else",
    "for",
    "in",
    "and",
    "or",
    "not",
    "from",
    "with",
    "attach",
    "tie",
    "limit",
    "to",
    "of",
    "under",
    "at",
    "as",
    "except",
    "unless",
    "request",
    "answer",
    "quantizer",
    "a",
    "B",
    "f32",
    "f32[a]",
    "0",
    "1.5",
    "1e9",
    "12x",
    "\"s\"",
    "\"",
    "\\",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "=",
    "==",
    "->",
    "-",
    "+",
    "*",
    "/",
    "%",
    "@",
    "|",
    "?",
    ".",
    "..",
    "...",
    "<",
    ">=",
    "///",
    "/// doc\n",
    "# note\n",
    "\n",
    ";",
    "\u{e9}",
    "\u{0}",
    "\u{feff}",
    "let x = a",
    "dim a",
    "{ a: B }",
    "(a: B)",
    "-> C",
    "f(a)",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_any(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_soup_of_tokens_is_safe(tokens in prop::collection::vec((prop::sample::select(SOUP), any::<bool>()), 0..40)) {
        let text: String = tokens.iter().flat_map(|(token, space)| [*token, if *space { " " } else { "" }]).collect();
        check_any(&text);
    }

    #[test]
    fn the_layout_keeps_meaning_and_comments(choices in prop::collection::vec(any::<u8>(), 0..600)) {
        check_layout(&spec(&choices));
    }

    #[test]
    fn a_spec_cut_short_is_safe(choices in prop::collection::vec(any::<u8>(), 0..200), share in 0.0..1.0f64) {
        let text = spec(&choices);
        let letters = (text.chars().count() as f64 * share) as usize;
        check_any(&text.chars().take(letters).collect::<String>());
    }
}

#[test]
fn the_layout_keeps_the_bundled_specs() {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs");
    let folders = ["", "lib", "recipes"].map(|folder| fs::read_dir(specs.join(folder)).unwrap());
    for path in folders.into_iter().flatten().map(|entry| entry.unwrap().path()).filter(|path| path.is_file())
    {
        check_layout(&fs::read_to_string(path).unwrap());
    }
}

#[test]
fn the_layout_keeps_the_samples() {
    check_layout(include_str!("sample.qdq"));
    check_layout(include_str!("untidy.qdq"));
}

/// `open` and `close` so many times around `middle`.
fn nested(open: &str, middle: &str, close: &str, times: usize) -> String {
    format!("let x = {}{middle}{}", open.repeat(times), close.repeat(times))
}

#[test]
fn hostile_texts_are_refused() {
    let many = |unit: &str, tail: &str, times: usize| format!("fn f() -> X {{ {}{tail}", unit.repeat(times));
    for (code, text) in [
        ("E0103", "a".repeat(10_000_000)),
        ("E0103", "dim a\n".repeat(1_000_000)),
        ("E0103", "let a=1\n".repeat(100_000)),
        ("E0104", nested("(", "1", ")", 100_000)),
        ("E0104", nested("f(a: [", "1", "])", 33)),
        ("E0104", "{".repeat(1_000_000)),
        ("E0104", nested("not ", "a", "", 10_000)),
        ("E0104", nested("- ", "a", "", 10_000)),
        ("E0104", nested("if a then ", "b", " else c", 10_000)),
        ("E0104", nested("if ", "b", " then a else c", 10_000)),
        ("E0104", nested("if a then b else ", "c", "", 10_000)),
        ("E0104", nested("a + ", "a", "", 10_000)),
        ("E0104", nested("", "a", ".a", 10_000)),
        ("E0104", nested("", "a", "()", 10_000)),
        ("E0104", many("if a {} else ", "{} }", 10_000)),
        ("E0104", many("for i in 0..2 { ", "", 10_000)),
        ("E0101", "/// d\n".repeat(100_000)),
        ("E0101", nested("(a + ", "", ")", 60)),
        ("E0102", "\0".repeat(1000)),
        ("E0105", format!("let x = \"{}", "a".repeat(1_000_000))),
        ("E0106", format!("let x = {}", "9".repeat(1_000_000))),
    ] {
        let parsed = in_small_thread(move || parse(FileId(0), &text).map(drop));
        let found = parsed.unwrap_err().iter().map(|problem| problem.code.0).collect::<Vec<_>>();
        assert_eq!(found, [code]);
    }
}

#[test]
fn the_deepest_text_allowed_fits_a_small_stack() {
    for text in [
        nested("(", "1", ")", 64),
        nested("(a + ", "a", ")", 64),
        nested("f(a: ", "1", ")", 64),
        nested("[(b: ", "1", ")]", 32),
        nested("if a then ", "b", " else c", 64),
        nested("not ", "a", "", 127),
        nested("a * ", "a", "", 128),
        format!("fn f() -> X {{ {}{}}}", "for i in 0..2 { ".repeat(63), "} ".repeat(63)),
        format!("fn f() -> X {{ if a {{}}{} }}", " else if a {}".repeat(60)),
    ] {
        in_small_thread(move || check_layout(&text));
    }
}

fn in_small_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap();
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
