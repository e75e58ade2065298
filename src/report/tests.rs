use super::*;
use crate::codes;
use crate::diagnostic::Code;

const HEAD: &str = "use \"lib.qdq\"\n\nmodule Head on (x: Hidden) -> Hidden {\n    key: Linear(hidden, heads)\n    return key(x)\n}\n";
const LIB: &str = "type Hidden = f32[batch, hidden]\n";

fn sources() -> Sources {
    let mut sources = Sources::default();
    sources.add("head.qdq", HEAD);
    sources.add("lib.qdq", LIB);
    sources
}

/// Where `needle` stands in one of the sources.
fn span(file: u32, needle: &str) -> Span {
    let text = if file == 0 { HEAD } else { LIB };
    let start = text.find(needle).unwrap() as u32;
    Span { file: FileId(file), start, end: start + needle.len() as u32 }
}

fn only(diagnostic: Diagnostic) -> Diagnostics {
    let mut diagnostics = Diagnostics::default();
    diagnostics.push(diagnostic);
    diagnostics
}

fn shapes() -> Diagnostic {
    Diagnostic::error(Code("E0203"), span(0, "key(x)"), "`key(x)` is `f32[batch, heads]`")
        .mark("the last axis is `heads` = 12")
        .label(span(0, "heads"), "12 features")
        .label(span(1, "f32[batch, hidden]"), "`Hidden` has 768")
        .note("hidden = 768 comes from config.json")
        .help("let a projection keep the hidden size")
        .suggest(span(0, "heads"), "hidden", "keep the hidden size")
}

#[test]
fn every_part_is_drawn() {
    let drawn = render(&only(shapes()), &sources(), false);
    let expected = "\
error[E0203]: `key(x)` is `f32[batch, heads]`
 --> head.qdq:5:12
  |
4 |     key: Linear(hidden, heads)
  |                         ----- 12 features
5 |     return key(x)
  |            ^^^^^^ the last axis is `heads` = 12
  |
 ::: lib.qdq:1:15
  |
1 | type Hidden = f32[batch, hidden]
  |               ------------------ `Hidden` has 768
  |
  = note: hidden = 768 comes from config.json
  = help: let a projection keep the hidden size
help: keep the hidden size
  |
4 -     key: Linear(hidden, heads)
4 +     key: Linear(hidden, hidden)
  |
";
    assert_eq!(drawn, expected);
}

#[test]
fn a_problem_without_a_place_has_its_message_alone() {
    let missing =
        Diagnostic::outside(Code("E0401"), "the checkpoint has no `bert.pooler`").note("it has 199 tensors");
    let drawn = render(&only(missing), &sources(), false);
    assert_eq!(drawn, "error[E0401]: the checkpoint has no `bert.pooler`\n |\n = note: it has 199 tensors\n");
}

#[test]
fn several_are_counted() {
    let mut diagnostics = only(shapes());
    diagnostics.push(Diagnostic::warning(Code("E0210"), span(0, "key"), "`key` is not used"));
    diagnostics.push(Diagnostic::error(codes::UNEXPECTED, span(0, "return"), "expected `}`"));
    assert!(render(&diagnostics, &sources(), false).ends_with("\n\n2 errors, 1 warning\n"));
    assert_eq!(render(&Diagnostics::default(), &sources(), false), "");
}

#[test]
fn color_is_there_when_asked_for() {
    let diagnostics = only(shapes());
    assert!(render(&diagnostics, &sources(), true).contains('\u{1b}'));
    assert!(!render(&diagnostics, &sources(), false).contains('\u{1b}'));
}

#[test]
fn a_line_of_a_megabyte_is_cropped_around_the_place() {
    // Two bytes a character, after a line of four bytes.
    let text = format!("# h\n{}\nlet x = 1\n", "\u{e9}".repeat(500_000));
    let start = 4 + 2 * 400_000;
    let mut sources = Sources::default();
    let file = sources.add("long.qdq", text);
    let place = Span { file, start, end: start + 2 };
    let drawn =
        render(&only(Diagnostic::error(codes::UNEXPECTED, place, "wrong").mark("here")), &sources, false);
    assert!(drawn.contains("long.qdq:2:400001"), "{drawn}");
    assert!(drawn.contains("^ here"), "{drawn}");
    assert!(drawn.len() < 1000, "{}", drawn.len());
}

#[test]
fn places_far_apart_or_very_long_are_drawn_short() {
    for separator in [" ", "\n"] {
        let mut sources = Sources::default();
        let file = sources.add("long.qdq", format!("dim{separator}").repeat(250_000));
        let place = Span { file, start: 4, end: 900_000 };
        let far = Span { file, start: 999_996, end: 999_999 };
        let long = Diagnostic::error(codes::UNEXPECTED, place, "wrong").mark("here").label(far, "there");
        let drawn = render(&only(long.suggest(place, "dim", "so")), &sources, false);
        assert!(drawn.contains("here") && drawn.contains("there"), "{drawn}");
        assert!(drawn.len() < 2000, "{}", drawn.len());
    }
}

#[test]
fn odd_places_are_drawn_without_a_panic() {
    for text in ["", "\n", "\u{e9}\r\n\t\u{0}x", "let x = \u{1f600}"] {
        let mut sources = Sources::default();
        let file = sources.add("odd.qdq", text);
        for start in 0..14 {
            for end in start..14 {
                let place = Span { file, start, end };
                let odd =
                    Diagnostic::error(codes::UNEXPECTED, place, "odd").mark("here").suggest(place, "y", "so");
                assert!(
                    render(&only(odd.clone()), &sources, false).contains("odd.qdq:"),
                    "{text:?} {start} {end}"
                );
                assert!(to_json(&only(odd), &sources)[0]["line"].is_u64());
            }
        }
    }
}

#[test]
fn json_has_every_part() {
    let value = to_json(&only(shapes()), &sources());
    let head = |line, column, end_column| json!({"file": "head.qdq", "line": line, "column": column, "end_line": line, "end_column": end_column});
    let mut first = head(4, 25, 30);
    first["label"] = json!("12 features");
    let mut suggestion = head(4, 25, 30);
    suggestion["message"] = json!("keep the hidden size");
    suggestion["replacement"] = json!("hidden");
    let mut expected = head(5, 12, 18);
    for (name, value) in [
        ("level", json!("error")),
        ("code", json!("E0203")),
        ("message", json!("`key(x)` is `f32[batch, heads]`")),
        ("label", json!("the last axis is `heads` = 12")),
        ("notes", json!(["hidden = 768 comes from config.json"])),
        ("help", json!("let a projection keep the hidden size")),
        ("suggestion", suggestion),
    ] {
        expected[name] = value;
    }
    let second = json!({"file": "lib.qdq", "line": 1, "column": 15, "end_line": 1, "end_column": 33, "label": "`Hidden` has 768"});
    expected["labels"] = json!([first, second]);
    assert_eq!(value, json!([expected]));
    assert_eq!(to_json(&only(Diagnostic::outside(Code("E0401"), "no")), &sources())[0]["file"], Value::Null);
}
