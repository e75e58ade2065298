use super::ast::{ExprKind, ItemKind, SpecFile};
use super::*;
use crate::diagnostic::Diagnostic;
use crate::span::FileId;
use serde_json::{Value, json};

fn tree(text: &str) -> SpecFile {
    parse(FileId(0), text).unwrap_or_else(|problems| panic!("{text}: {problems:?}"))
}

fn problem(text: &str) -> Diagnostic {
    let problems = parse(FileId(0), text).expect_err(text);
    assert_eq!(problems.len(), 1);
    problems.iter().next().cloned().unwrap()
}

/// The value of `let x = ...`, without spans.
fn value(text: &str) -> Value {
    let tree = tree(&format!("let x = {text}"));
    serde_json::to_value(&tree.items[0].kind).unwrap()["Const"]["value"]["kind"].clone()
}

/// As `value`, but parentheses are what the tree says rather than what is written.
fn bare(text: &str) -> Value {
    fn strip(value: Value) -> Value {
        match value {
            Value::Object(mut fields) => match fields.remove("Group") {
                Some(inner) => strip(inner["kind"].clone()),
                None => fields.into_iter().map(|(name, value)| (name, strip(value))).collect(),
            },
            Value::Array(values) => values.into_iter().map(strip).collect(),
            other => other,
        }
    }
    strip(value(text))
}

#[test]
fn operators_bind_as_in_arithmetic() {
    for (written, meant) in [
        ("a + b * c - d", "(a + (b * c)) - d"),
        ("a @ b / c % d", "((a @ b) / c) % d"),
        ("not a == b and c or d", "((not (a == b)) and c) or d"),
        ("-a.b[0](c) * d", "(-((a.b)[0](c))) * d"),
        ("a < b + 1", "a < (b + 1)"),
        ("if a then b else if c then d else e + f", "if a then b else (if c then d else (e + f))"),
        ("- -a", "-(-a)"),
    ] {
        assert_eq!(bare(written), bare(meant), "{written}");
    }
}

#[test]
fn values_keep_what_was_written() {
    assert_eq!(value("1"), json!({"Int": 1}));
    assert_eq!(value("1.50"), json!({"Float": [1.5, "1.50"]}));
    assert_eq!(value("1E-3"), json!({"Float": [0.001, "1E-3"]}));
    assert_eq!(value(r#""a\"\\\n\té""#), json!({"Str": "a\"\\\n\té"}));
    assert_eq!(value("(a: 1, b: c,)")["Record"][1][0], json!("b"));
    assert_eq!(value("f(a, axis: -1)")["Call"][1][1]["name"], json!("axis"));
    assert_eq!(value("[]"), json!({"List": []}));
}

#[test]
fn spans_reach_from_the_first_token_to_the_last() {
    let text = "# comment\nlet x = a + f(b) # comment\n\nlet y = 1";
    let tree = tree(text);
    let ItemKind::Const(named) = &tree.items[0].kind else { panic!("{tree:?}") };
    let slice = |span: crate::span::Span| &text[span.start as usize..span.end as usize];
    assert_eq!(slice(tree.items[0].span), "let x = a + f(b)");
    assert_eq!(slice(named.span), "let x = a + f(b)");
    assert_eq!(slice(named.value.span), "a + f(b)");
    let ExprKind::Binary(left, operator, right) = &named.value.kind else { panic!("{named:?}") };
    assert_eq!([left.span, operator.span, right.span].map(slice), ["a", "+", "f(b)"]);
}

#[test]
fn docs_belong_to_what_follows() {
    let tree = tree("/// One.\n///\n///  Two.  \nlet x = 1\n/// Three.\ndim a");
    let lines = |docs: &ast::Docs| docs.iter().map(|doc| doc.value.clone()).collect::<Vec<_>>();
    let ItemKind::Const(named) = &tree.items[0].kind else { panic!("{tree:?}") };
    assert_eq!(lines(&named.docs), ["One.", "", " Two."]);
    assert_eq!(lines(&tree.items[1].docs), ["Three."]);
}

#[test]
fn words_are_names_where_no_word_is_needed() {
    let text = "module X on (on: Y) -> Z { self: A type: B from: C let: D set: E return: F with: G or: H }";
    let tree = tree(text);
    let ItemKind::Module(module) = &tree.items[0].kind else { panic!("{tree:?}") };
    assert_eq!(module.body.statements.len(), 8);
}

/// What is wrong, the code, the message and the marked text.
const WRONG: &[(&str, &str, &str, &str)] = &[
    ("modul X", "E0101", "expected a declaration, found `modul`", "modul"),
    ("let x = ", "E0101", "expected an expression, found the end of the file", ""),
    ("let x = f(a b)", "E0101", "expected `)`, `:`, `,` or an operator, found `b`", "b"),
    ("type X = )", "E0101", "expected a type, found `)`", ")"),
    ("module X on (a: Y) Z {}", "E0101", "expected `->`, found `Z`", "Z"),
    ("config x int", "E0101", "expected `:`, found `int`", "int"),
    ("use lib", "E0101", "expected a string, found `lib`", "lib"),
    ("quantize q { limit a of b to x }", "E0101", "expected a number, found `x`", "x"),
    ("/// alone", "E0101", "expected a declaration, found the end of the file", ""),
    ("fn f() -> X { x /// doc\n: Y }", "E0101", "expected `:`, found a doc comment", "/// doc"),
    ("let x = a;", "E0102", "unknown character `;`", ";"),
    ("let x = 'a'", "E0102", "unknown character `'`", "'"),
    ("let x = \u{0}", "E0102", "unknown character `\\0`", "\u{0}"),
    ("let x = \"abc\nlet y = 1", "E0105", "this string does not end on its line", "\"abc"),
    ("let x = \"a\\qb\"", "E0105", "`\\q` means nothing in a string", "\\q"),
    ("let x = 12abc", "E0106", "`12abc` is not a number", "12abc"),
    (
        "let x = 9223372036854775808",
        "E0106",
        "the number `9223372036854775808` is too large",
        "9223372036854775808",
    ),
    ("let x = 1e999", "E0106", "the number `1e999` is too large", "1e999"),
];

#[test]
fn errors_name_what_was_expected_and_what_stands_there() {
    for (text, code, message, marked) in WRONG {
        let problem = problem(text);
        let span = problem.span.unwrap();
        assert_eq!((problem.code.0, problem.message.as_str()), (*code, *message), "{text}");
        assert_eq!(&text[span.start as usize..span.end as usize], *marked, "{text}");
    }
}

#[test]
fn slips_of_the_pen_get_a_suggestion() {
    for (text, slip, word) in [
        ("modul X", "modul", "module"),
        ("fn f(a: X) -> X { retrun a }", "retrun", "return"),
        ("quantize q { attach a too input of Linear }", "too", "to"),
        ("quantize q { attach a to input of Linear undr X }", "undr", "under"),
        ("fn f(a: X) -> X { y = a }", "y", "let y"),
    ] {
        let suggestion = problem(text).suggestion.unwrap_or_else(|| panic!("{text}"));
        let span = suggestion.span;
        assert_eq!(&text[span.start as usize..span.end as usize], slip, "{text}");
        assert_eq!(suggestion.replacement, word, "{text}");
    }
    assert_eq!(problem("elephant").suggestion, None);
}

#[test]
fn habits_from_other_languages_get_help() {
    for (text, help) in [
        ("let x = a // comment", "comments begin with `#`"),
        ("let x = a || b", "conditions are joined with `or`"),
        ("fn f() -> X { if a = b {} }", "values are compared with `==`"),
        ("let x == 1", "a value is given with `=`"),
        ("fn f() -> X { /// doc\n return a }", "other comments begin with `#`"),
    ] {
        let given = problem(text).help.unwrap_or_else(|| panic!("{text}"));
        assert!(given.contains(help), "{text}: {given}");
    }
}

#[test]
fn a_bracket_left_open_is_shown() {
    let labels = problem("fn f() -> X { let x = (a]").labels;
    assert_eq!((labels.len(), labels[0].0.start), (1, 22));
    assert_eq!(problem("fn f() -> X { let x = a").labels[0].0.start, 12);
    assert!(problem("let x = f(a b)").labels.is_empty());
}

#[test]
fn a_byte_order_mark_and_windows_lines_are_space() {
    assert!(tree("\u{feff}let x = 1\r\n# c\r\nlet y = 2\r\n").says_the_same_as(&tree("let x = 1 let y = 2")));
}

#[test]
fn the_layout_is_the_expected_one() {
    let untidy = include_str!("../../tests/syntax/untidy.qdq");
    let tidy = include_str!("../../tests/syntax/tidy.qdq");
    assert_eq!(print(&tree(untidy), untidy), tidy);
    let sample = include_str!("../../tests/syntax/sample.qdq");
    assert_eq!(print(&tree(sample), sample), sample);
}

#[test]
fn a_list_breaks_when_its_line_would_be_too_long() {
    let fits = format!("let x = f({}, b)\n", "a".repeat(86));
    assert_eq!(fits.len(), 101);
    assert_eq!(print(&tree(&fits), &fits), fits);
    let long = format!("let x = f({}, b)\n", "a".repeat(87));
    assert_eq!(print(&tree(&long), &long), format!("let x = f(\n    {},\n    b,\n)\n", "a".repeat(87)));
}

#[test]
fn a_tree_is_laid_out_without_its_text() {
    let text = "fn f(a: X) -> X {\n    return a\n}\n";
    assert_eq!(print(&tree(text), ""), text);
    assert_eq!(print(&tree("# c"), "# c"), "# c\n");
    assert_eq!(print(&tree(""), ""), "");
}
