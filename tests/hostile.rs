//! Specs made to cost time, memory or stack: each is answered at once.

#![cfg(test)]

#[path = "support/library.rs"]
mod library;

use library::Texts;
use proptest::prelude::*;
use qdqc::{
    compile::{self, Options},
    config::Config,
    report, specs,
    specs::BundledLibrary,
};
use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    sync::{LazyLock, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// The stack of the thread that compiles, in bytes.
const STACK: usize = 2 << 20;

/// How long an answer may take, in an unoptimised build too: a second. On a machine where a bundled model of 24
/// layers alone takes longer, half as long again as that.
static LONGEST: LazyLock<Duration> = LazyLock::new(|| {
    let second = Duration::from_secs(1);
    let spec = specs::find("causal-lm").unwrap();
    let texts = Texts([(spec.source_name(), spec.text.to_owned())].into());
    let start = time();
    let answer = check(&texts, &spec.source_name(), r#"{"num_hidden_layers": 24}"#);
    let took = time() - start;
    assert!(answer.codes.is_empty(), "{}", answer.drawn);
    if took <= second { second } else { took * 3 / 2 }
});

/// What the whole process may ever hold, in MiB.
const MOST_MEMORY: usize = 200;

/// The best of so many counts, where only the clock on the wall can be read.
const TRIES: usize = 3;

/// One spec at a time, so that time and memory are its own.
static ALONE: Mutex<()> = Mutex::new(());

/// What the compiler says of a spec.
#[derive(Debug)]
struct Answer {
    codes: BTreeSet<&'static str>,
    drawn: String,
}

/// What `qdqc check` does with a spec and those it uses, on a small stack.
fn check(texts: &Texts, name: &str, config: &str) -> Answer {
    let (texts, name, config) = (texts.clone(), name.to_owned(), config.to_owned());
    let (sender, receiver) = mpsc::channel();
    let work = move || {
        let options =
            Options { config: Config::parse(&config, "config.json").unwrap(), ..Options::default() };
        let (program, mut problems) = compile::load(&name, &texts.0[&name], &texts);
        if !problems.has_errors() {
            problems.extend(compile::check(&program, &options));
        }
        let codes = problems.iter().map(|problem| problem.code.0).collect();
        sender.send(Answer { codes, drawn: report::render(&problems, &program.sources, false) }).unwrap();
    };
    thread::Builder::new().stack_size(STACK).spawn(work).unwrap();
    receiver.recv_timeout(Duration::from_secs(300)).expect("an answer within minutes")
}

/// The answer to a spec, within the limits.
fn bounded(texts: &Texts, name: &str, config: &str) -> Answer {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let longest = *LONGEST;
    let mut best = Duration::MAX;
    for _ in 0..TRIES {
        let start = time();
        let answer = check(texts, name, config);
        best = best.min(time() - start);
        if best <= longest {
            let peak = peak_memory();
            assert!(peak <= MOST_MEMORY, "it takes {peak} MiB\n{}", answer.drawn);
            return answer;
        }
    }
    panic!("it takes {best:?}, where {longest:?} are allowed");
}

/// The time that this process has computed, so that a busy machine makes no
/// difference; where that is not known, the time that has passed.
fn time() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    // proc(5): the name in brackets, then utime and stime as the 12th and 13th, in 1/100 s.
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> =
        stat.rsplit(')').next().unwrap_or("").split(' ').map(|field| field.parse().unwrap_or(0)).collect();
    match (fields.get(12), fields.get(13)) {
        (Some(user), Some(system)) => Duration::from_millis(10 * (user + system)),
        _ => START.elapsed(),
    }
}

/// The most memory that this process has held, in MiB; 0 where that is not known.
fn peak_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<usize>().ok()).unwrap_or(0) / 1024
}

/// One spec is refused with this code.
fn refused(text: &str, code: &str) {
    let texts = Texts([("spec.qdq".to_owned(), text.to_owned())].into());
    let answer = bounded(&texts, "spec.qdq", "{}");
    let start: String = answer.drawn.chars().take(2000).collect();
    assert!(answer.codes.contains(code), "no {code}, but {:?}:\n{start}", answer.codes);
    assert!(answer.drawn.len() < 1 << 20, "{} bytes are printed", answer.drawn.len());
}

/// One spec has no problem.
fn accepted(text: &str) {
    let texts = Texts([("spec.qdq".to_owned(), text.to_owned())].into());
    let answer = bounded(&texts, "spec.qdq", "{}");
    assert!(answer.codes.is_empty(), "{}", answer.drawn);
}

/// A model whose body computes `y` from `x: f32[batch, 4]`.
fn model(before: &str, body: &str) -> String {
    format!(
        "dim batch\n{before}\nmodel M(x: f32[batch, 4]) -> (y: f32[batch, 4]) {{\n{body}\n    return (y: y)\n}}\n"
    )
}

/// Lines `0..count`, each written by `line`.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, index| {
        writeln!(text, "{}", line(index)).unwrap();
        text
    })
}

const LAYER: &str = "module Layer on (x: f32[batch, 4]) -> f32[batch, 4] { return x + 1 }\n";

#[test]
fn a_million_layers() {
    refused(&model(LAYER, "layer: Layer * 1000000\nlet y = layer[0](x)"), "E0216");
    let nested = "module Inner on (x: f32[batch, 4]) -> f32[batch, 4] {\n layer: Layer * 1000\n let y = x\n for i in 0..1000 { set y = layer[i](y) }\n return y\n}\n";
    refused(
        &model(
            &format!("{LAYER}{nested}"),
            "inner: Inner * 1000\nlet y = x\nfor i in 0..1000 { set y = inner[i](y) }",
        ),
        "E0216",
    );
}

#[test]
fn long_loops() {
    refused(&model("", "let y = x\nfor i in 0..1000000000 { }"), "E0216");
    refused(&model("", "let y = x\nfor i in 0..1000000000 { set y = y + 1 }"), "E0216");
    let nested = "for a in 0..100000 { for b in 0..100000 { for c in 0..100000 { let d = a + b + c } } }";
    refused(&model("", &format!("let y = x\n{nested}")), "E0216");
    let names = lines(5000, |index| format!("let v{index} = {index}"));
    refused(&model("", &format!("let y = x\n{names}\nfor i in 0..100000000 {{ }}")), "E0216");
    let untaken = format!("for i in 0..100000000 {{ if false {{ {names} }} }}");
    refused(&model("", &format!("let y = x\n{untaken}")), "E0216");
    refused(&model("", "let y = x\nfor i in -9223372036854775807..9223372036854775807 { }"), "E0216");
}

#[test]
fn growing_values() {
    refused(&model("", "let y = x\nlet xs = [x]\nfor i in 0..64 { set xs = xs + xs }"), "E0216");
    refused(&model("", "let y = x\nlet xs = [1]\nfor i in 0..100000 { set xs = [xs] }"), "E0216");
    refused(&model("", "let y = x\nlet r = (a: 1)\nfor i in 0..100000 { set r = (a: r) }"), "E0216");
    let twice = "let xs = [1]\nfor i in 0..64 { set xs = [xs, xs] }";
    refused(&model("", &format!("{twice}\nlet y = reshape(x, shape: xs)")), "E0216");
    let wide = "let xs = [4]\nfor i in 0..12 { set xs = xs + xs }";
    refused(&model("", &format!("{wide}\nlet y = reshape(x, shape: xs)")), "E0216");
    let again = "let y = x\nfor i in 0..100000 { set y = reshape(y, shape: xs) }";
    refused(&model("", &format!("{wide}\n{again}")), "E0216");
    let deep = "let xs = [1]\nfor i in 0..14 { set xs = [xs, xs, xs, xs, xs, xs, xs, xs] }";
    refused(&model("", &format!("{deep}\nlet y = reshape(x, shape: xs)")), "E0216");
    let sum = lines(3000, |index| format!("set t = t + d{index}"));
    let dims = format!("dim {}", (0..3000).map(|index| format!("d{index}")).collect::<Vec<_>>().join(", "));
    refused(
        &model(&dims, &format!("let y = x\nlet t = 0\n{sum}\nfor i in 0..10000 {{ set t = t + 1 }}")),
        "E0216",
    );
}

#[test]
fn huge_sizes() {
    let sized = |size: &str| {
        format!("dim batch\nmodel M(x: f32[batch, {size}]) -> (y: f32[batch, {size}]) {{ return (y: x) }}\n")
    };
    refused(&sized("4611686018427387904"), "E0207");
    refused(&sized("4611686018427387904 * 4"), "E0207");
    refused(&sized("9223372036854775807 + 1"), "E0207");
    refused(&sized("-1"), "E0207");
    let all = "reshape(x, shape: [batch * 4])";
    accepted(&format!(
        "dim batch\nmodel M(x: f32[batch, 4]) -> (y: f32[batch * 4]) {{ return (y: {all}) }}\n"
    ));
    let product = "1099511627776, 1099511627776, 1099511627776";
    let text = format!(
        "dim n\nmodel M(x: f32[{product}]) -> (y: f32[n]) {{ return (y: reshape(x, shape: [n])) }}\n"
    );
    refused(&text, "E0204");
    let axes = vec!["1"; 20_000].join(", ");
    refused(
        &format!(
            "dim batch\nmodel M(x: f32[batch, {axes}]) -> (y: f32[batch, {axes}]) {{ return (y: x + 1) }}\n"
        ),
        "E0216",
    );
    let ones = String::from(
        "let xs = [1]\nfor i in 0..14 { set xs = xs + xs }\nlet y = full(shape: xs, value: 1, dtype: f32) + x",
    );
    refused(&model("", &ones), "E0216");
    refused(&model("", "let y = x * (9223372036854775807 * 2)"), "E0207");
    accepted(&model("", "let y = x * 1e308 * 1e308"));
}

#[test]
fn long_chains() {
    let modules = lines(2000, |index| {
        format!(
            "module M{index} on (x: f32[batch, 4]) -> f32[batch, 4] {{ next: M{}\n return next(x) }}",
            index + 1
        )
    });
    let last = "module M2000 on (x: f32[batch, 4]) -> f32[batch, 4] { return x }\n";
    refused(&model(&format!("{modules}{last}"), "first: M0\nlet y = first(x)"), "E0216");
    let members = (0..2000).fold("first".to_owned(), |path, _| path + ".next");
    refused(&model(&format!("{modules}{last}"), &format!("first: M0\nlet y = {members}(first(x))")), "E0104");
    let functions = lines(3000, |index| {
        format!("fn f{index}(x: f32[batch, 4]) -> f32[batch, 4] {{ return f{}(x) }}", index + 1)
    });
    let last = "fn f3000(x: f32[batch, 4]) -> f32[batch, 4] { return x }\n";
    refused(&model(&format!("{functions}{last}"), "let y = f0(x)"), "E0216");
    let doubled = lines(40, |index| {
        format!("fn f{index}(x: f32[batch, 4]) -> f32[batch, 4] {{ return f{0}(f{0}(x)) }}", index + 1)
    });
    let last = "fn f40(x: f32[batch, 4]) -> f32[batch, 4] { return x }\n";
    refused(&model(&format!("{doubled}{last}"), "let y = f0(x)"), "E0216");
    let constants = lines(10_000, |index| format!("let c{index} = c{} + 1", index + 1));
    refused(&model(&format!("{constants}let c10000 = 0\n"), "let y = x + c0"), "E0216");
    let constants = lines(10_000, |index| format!("let c{} = c{index} + 1", index + 1));
    accepted(&model(&format!("let c0 = 0\n{constants}"), "let y = x + c10000"));
    let types = lines(3000, |index| format!("type T{index} = T{}", index + 1));
    refused(
        &model(
            &format!("{types}type T3000 = f32[batch, 4]\nfn f(x: T0) -> T0 {{ return x }}\n"),
            "let y = f(x)",
        ),
        "E0216",
    );
}

/// As deep as the syntax allows, in calls as deep as they may be.
#[test]
fn deep_expressions_in_deep_calls() {
    let deep = |inside: &str| format!("{}{inside}{}", "(".repeat(20), ")".repeat(20));
    let chain = |inside: &str| format!("{inside}{}", " + 1".repeat(80));
    let branches = |inside: &str| format!("{}{inside}{}", "if true { ".repeat(20), " }".repeat(20));
    for count in [60, 300] {
        let functions = lines(count, |index| {
            let call = branches(&format!("return {}", chain(&deep(&format!("f{}(x)", index + 1)))));
            format!("fn f{index}(x: f32[batch, 4]) -> f32[batch, 4] {{ {call} }}")
        });
        let text = model(
            &format!("{functions}fn f{count}(x: f32[batch, 4]) -> f32[batch, 4] {{ return x }}\n"),
            "let y = f0(x)",
        );
        if count == 60 { accepted(&text) } else { refused(&text, "E0216") }
    }
    let otherwise =
        (0..60).map(|index| format!("if {index} == 99 {{ let a{index} = 1 }} else ")).collect::<String>();
    accepted(&model("", &format!("let y = x\n{otherwise}{{ let z = 1 }}")));
    refused(&model("", &format!("let y = {}1 else 2", "if true then ".repeat(1000))), "E0104");
}

#[test]
fn circles() {
    refused(&model("record R { a: R }\nfn f(r: R) -> f32[batch, 4] { return r.a }", "let y = x"), "E0209");
    refused(&model("record R { s: S }\nrecord S { r: R }", "let y = x"), "E0209");
    let in_input = "dim batch\nrecord R { a: f32[batch], r: R? }\nmodel M(r: R?, x: f32[batch]) -> (y: f32[batch]) { return (y: x) }\n";
    refused(in_input, "E0209");
    let in_output = "dim batch\nrecord R { a: f32[batch], r: R? }\nmodel M(x: f32[batch]) -> (y: R) { return (y: (a: x)) }\n";
    refused(in_output, "E0209");
    refused(&model("type A = B\ntype B = A\nfn f(a: A) -> A { return a }", "let y = f(x)"), "E0209");
    refused(&model("type A = A", "let y = x"), "E0209");
    refused(&model("let a = b\nlet b = a", "let y = x + a"), "E0209");
    refused(&model("let a = a + 1", "let y = x"), "E0209");
    refused(&model("config a: int = a", "let y = x + a"), "E0209");
    refused(&model("config a: int = b + 1\nlet b = a", "let y = x + a"), "E0209");
    for dims in ["a else b, b else a", "a = b * 2, b = a * 2", "a else a, b = a"] {
        let text = format!(
            "dim batch, {dims}\nmodel M(x: f32[batch]) -> (y: i64[a]) {{ return (y: range(size: a)) }}\n"
        );
        refused(&text, "E0219");
    }
    refused(
        &model(
            "fn f(x: f32[batch, 4]) -> f32[batch, 4] { return g(x) }\nfn g(x: f32[batch, 4]) -> f32[batch, 4] { return f(x) }",
            "let y = f(x)",
        ),
        "E0209",
    );
}

#[test]
fn types_that_multiply() {
    let union =
        |name: &str, of: &str, count: usize| format!("type {name} = {}\n", vec![of; count].join(" | "));
    let text = union("A", "f32[]", 1000) + &union("B", "A", 1000) + &union("C", "B", 1000);
    refused(&model(&format!("{text}fn f(c: C) -> f32[] {{ return c }}\n"), "let y = x + f(x)"), "E0216");
    let records = lines(40, |index| format!("record R{index} {{ a: R{0}, b: R{0} }}", index + 1));
    let text = format!(
        "dim batch\n{records}record R40 {{ }}\nmodel M(r: R0?, x: f32[batch]) -> (y: f32[batch]) {{ return (y: x) }}\n"
    );
    refused(&text, "E0216");
    let text = format!(
        "dim batch\n{records}record R40 {{ t: f32[batch] }}\nmodel M(r: R0?, x: f32[batch]) -> (y: f32[batch]) {{ return (y: x) }}\n"
    );
    refused(&text, "E0216");
    let records = lines(3000, |index| format!("record R{index} {{ a: R{} }}", index + 1));
    let text = format!(
        "dim batch\n{records}record R3000 {{ t: f32[batch] }}\nmodel M(r: R0?, x: f32[batch]) -> (y: f32[batch]) {{ return (y: x) }}\n"
    );
    refused(&text, "E0216");
}

#[test]
fn many_declarations() {
    let dims = (0..40_000).map(|index| format!("d{index}")).collect::<Vec<_>>().join(", ");
    accepted(&model(&format!("dim {dims}"), "let y = x + 1"));
    refused(&model(&format!("dim {}", vec!["same"; 40_000].join(", ")), "let y = x"), "E0211");
    let fields = lines(10_000, |index| format!("config c{index}: int = {index}"));
    accepted(&model(&fields, "let y = x + c9999"));
    let inputs = (0..11_000).map(|index| format!("i{index}: f32[n]")).collect::<Vec<_>>().join(", ");
    refused(&format!("dim n\nmodel M({inputs}) -> (y: f32[n]) {{ return (y: i0) }}\n"), "E0216");
    let inputs = (0..3_000).map(|index| format!("i{index}: f32[n]?")).collect::<Vec<_>>().join(", ");
    accepted(&format!("dim n\nmodel M(x: f32[n], {inputs}) -> (y: f32[n]) {{ return (y: x) }}\n"));
    refused("dim n\nmodel M(x: f32[n] * 1000000) -> (y: f32[n]) { return (y: x[0]) }\n", "E0216");
    let outputs = |count: usize| {
        let declared = (0..count).map(|index| format!("o{index}: f32[n]")).collect::<Vec<_>>().join(", ");
        let results = (0..count).map(|index| format!("o{index}: x")).collect::<Vec<_>>().join(", ");
        format!("dim n\nmodel M(x: f32[n]) -> ({declared}) {{ return ({results}) }}\n")
    };
    accepted(&outputs(500));
    refused(&outputs(8_000), "E0216");
    let ports = |count: usize| {
        let ports = (0..count).map(|index| format!("p{index}: f32[...]")).collect::<Vec<_>>().join(", ");
        let given = (0..count).rev().map(|index| format!("p{index}: x")).collect::<Vec<_>>().join(", ");
        model(&format!("fn f({ports}) -> f32[...] {{ return p0 }}"), &format!("let y = f({given})"))
    };
    accepted(&ports(500));
    refused(&ports(8_000), "E0216");
    let ports = (0..8_000).map(|index| format!("p{index}: f32[...]?")).collect::<Vec<_>>().join(", ");
    let text = model(
        &format!("fn f(x: f32[...], {ports}) -> f32[...] {{ return x }}"),
        "let y = x\nfor i in 0..1000000 { set y = f(y) }",
    );
    refused(&text, "E0216");
    let parts = lines(5_000, |index| format!("p{index}: Layer\nif true {{ }}"));
    let sum = lines(5_000, |index| format!("set y = p{index}(y)"));
    accepted(&model(LAYER, &format!("{parts}let y = x\n{sum}")));
}

#[test]
fn many_mistakes() {
    refused(
        &model(
            "",
            &format!("let y = x\n{}", lines(15_000, |index| format!("let a{index} = unknown{index}"))),
        ),
        "E0201",
    );
    let known = lines(10_000, |index| format!("let known_{index} = {index}"));
    let unknown = lines(1_000, |index| format!("let a{index} = knwon_{index}"));
    refused(&model(&known, &format!("let y = x\n{unknown}")), "E0201");
    refused(&model("", &format!("let y = x\n{}", lines(15_000, |_| "let y = x".into()))), "E0211");
    refused(&model("", &format!("let y = x\n{}", lines(10_000, |_| "answer labels(y, y)".into()))), "E0222");
    let name = "n".repeat(400_000);
    refused(&model(&format!("let {name} = 1"), &format!("let y = x + {name}m")), "E0103");
    refused(&format!("use \"{}\"\n{}", "a".repeat(300_000), model("", "let y = x")), "E0217");
}

const QUANTIZE: &str = "module Dense on (input: f32[batch, 4]) -> f32[batch, 4] {\n weight: f32[4, 4]\n return input @ weight\n}\n";

#[test]
fn many_rules() {
    let rules = |count: usize, rule: &str| {
        format!("{QUANTIZE}quantize q {{\nquantizer a = int8()\n{}}}\n", lines(count, |_| rule.into()))
    };
    let body = "dense: Dense\nlet y = dense(x)";
    refused(&model(&rules(12_000, "attach a to input of Dense"), body), "E0302");
    refused(&model(&rules(12_000, "attach a to input of Dnese"), body), "E0301");
    refused(&model(&rules(8_000, "attach a to weight of Dense except at nowhere"), body), "E0301");
    let used = |count: usize, rule: &str| {
        rules(count, rule).replacen("int8()", "int8()\nattach a to weight of Dense", 1)
    };
    refused(&model(&used(9_000, "tie input of Dense, weight of Dense"), body), "E0301");
    refused(&model(&used(12_000, "limit input of Dense to 10"), body), "E0301");
    refused(&model(&used(12_000, "limit weight of Dense to 10"), body), "E0302");
    let kinds = lines(12_000, |index| format!("quantizer q{index} = int8()"));
    refused(&model(&format!("{QUANTIZE}quantize q {{\n{kinds}}}\n"), body), "E0210");
    let path = vec!["a"; 20_000].join(".");
    refused(
        &model(
            &format!(
                "{QUANTIZE}quantize q {{\nquantizer a = int8()\nattach a to input of Dense at {path}\n}}\n"
            ),
            body,
        ),
        "E0301",
    );
    let stars = vec!["*"; 20_000].join(".");
    let from = vec!["a"; 100_000].join(".");
    let body = format!("dense: Dense from \"{from}\"\nlet y = dense(x)");
    refused(
        &model(
            &format!(
                "{QUANTIZE}quantize q {{\nquantizer a = int8()\nattach a to input of Dense at {stars}.b\n}}\n"
            ),
            &body,
        ),
        "E0215",
    );
}

/// BERT-large has 24 layers and some thousand sites.
#[test]
fn many_rules_on_many_sites() {
    let spec = specs::find("question-answering").unwrap();
    let large = r#"{"num_hidden_layers": 24, "hidden_size": 1024, "num_attention_heads": 16}"#;
    let texts = |rules: &str| {
        let text = spec.text.replace("use \"recipes/qdqbert.qdq\"", "");
        Texts(
            [("spec.qdq".to_owned(), format!("{text}\nquantize many {{\nquantizer a = int8()\n{rules}}}\n"))]
                .into(),
        )
    };
    let rules = lines(5_000, |index| format!("attach a to input of Linear at layer.{}", index % 24));
    assert!(bounded(&texts(&rules), "spec.qdq", large).codes.contains("E0302"));
    let rules = lines(5_000, |index| format!("limit input of Linear at layer.{} to 10", index % 24));
    assert!(
        bounded(&texts(&format!("attach a to input of Linear\n{rules}")), "spec.qdq", large)
            .codes
            .contains("E0302")
    );
    let rules = lines(3_000, |_| "tie input of Linear, weight of Linear under Encoder".into());
    let answer = bounded(&texts(&format!("attach a to input, weight of Linear\n{rules}")), "spec.qdq", large);
    assert!(answer.codes.contains("E0308"), "{}", answer.drawn);
}

/// As many sites as a graph can have, and a rule for each.
#[test]
fn a_rule_for_each_of_many_sites() {
    let parts = lines(1_500, |index| format!("p{index}: Dense"));
    let sum = lines(1_500, |index| format!("set y = p{index}(y)"));
    let rules = lines(1_500, |index| format!("attach a to input of Dense at p{index}"));
    let text = model(
        &format!("{QUANTIZE}quantize q {{\nquantizer a = int8()\n{rules}}}\n"),
        &format!("{parts}let y = x\n{sum}"),
    );
    accepted(&text);
}

#[test]
fn files_that_use_each_other() {
    let file = |index: usize| {
        let uses = lines(64, |other| format!("use \"f{other}.qdq\""));
        (format!("f{index}.qdq"), format!("{uses}let v{index} = {index}\n"))
    };
    let texts = Texts((0..64).map(file).collect());
    assert!(bounded(&texts, "f0.qdq", "{}").codes.contains("E0217"));
    let long = |index: usize| (format!("f{index}.qdq"), format!("use \"f{}.qdq\"\n", (index + 1) % 100));
    assert!(bounded(&Texts((0..100).map(long).collect()), "f0.qdq", "{}").codes.contains("E0217"));
    let itself = Texts(
        [("a.qdq", "use \"b.qdq\"\n"), ("b.qdq", "use \"./a.qdq\"\n")]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .into(),
    );
    assert!(bounded(&itself, "a.qdq", "{}").codes.contains("E0217"));
    let often = Texts([("a.qdq".to_owned(), "use \"lib/bert.qdq\"\n".repeat(30_000))].into());
    assert!(bounded(&often, "a.qdq", "{}").codes.contains("E0218"));
    let large = lines(15_000, |_| "use \"lib/bert.qdq\" # and so on, to make it long".into());
    let many = (0..16).map(|index| (format!("f{index}.qdq"), format!("use \"f{}.qdq\"\n{large}", index + 1)));
    assert!(bounded(&Texts(many.collect()), "f0.qdq", "{}").codes.contains("E0217"));
}

#[test]
fn nothing_at_all() {
    for text in
        ["", " \n\t", "# only\n# comments", "/// a doc comment without a declaration", "\u{feff}", "\0"]
    {
        let texts = Texts([("spec.qdq".to_owned(), text.to_owned())].into());
        let answer = bounded(&texts, "spec.qdq", "{}");
        assert!(!answer.codes.is_empty(), "{text:?}");
        assert!(answer.codes.iter().all(|code| ["E0101", "E0102", "E0218"].contains(code)), "{answer:?}");
    }
}

#[test]
fn configs_out_of_all_bounds() {
    let spec = specs::find("base-model").unwrap();
    let texts = Texts([("spec.qdq".to_owned(), spec.text.to_owned())].into());
    for (config, code) in [
        (r#"{"num_hidden_layers": 1000000}"#, "E0216"),
        (r#"{"num_hidden_layers": 9223372036854775807}"#, "E0212"),
        (r#"{"num_hidden_layers": -1}"#, "E0212"),
        (r#"{"num_hidden_layers": 18446744073709551615}"#, "E0213"),
        (r#"{"num_hidden_layers": 1e400}"#, ""),
        (r#"{"num_attention_heads": 0}"#, "E0207"),
        (r#"{"num_attention_heads": -12}"#, "E0207"),
        (r#"{"hidden_size": 0}"#, ""),
        (r#"{"hidden_size": 9223372036854775800}"#, "E0207"),
        (
            r#"{"max_position_embeddings": 9223372036854775807, "position_embedding_type": "relative_key"}"#,
            "E0207",
        ),
        (r#"{"layer_norm_eps": "NaN"}"#, "E0213"),
        (r#"{"vocab_size": 0}"#, ""),
    ] {
        if Config::parse(config, "config.json").is_err() {
            continue;
        }
        let answer = bounded(&texts, "spec.qdq", config);
        assert!(code.is_empty() || answer.codes.contains(code), "{config}: {}", answer.drawn);
    }
}

/// A bundled spec with one of its tokens deleted, doubled, or replaced by another.
fn mutated() -> impl Strategy<Value = (&'static str, String)> {
    let specs: Vec<&'static specs::Bundled> = specs::ALL.iter().collect();
    let change = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4);
    (prop::sample::select(specs), prop::collection::vec(change, 1..4)).prop_map(|(spec, changes)| {
        let mut words = pieces(spec.text);
        for (at, other, kind) in changes {
            let at = at.index(words.len());
            let word = words[other.index(words.len())].clone();
            match kind {
                0 => _ = words.remove(at),
                1 => words.insert(at, words[at].clone()),
                2 => words[at] = word,
                _ => {
                    let other = other.index(words.len());
                    words.swap(at, other);
                }
            }
        }
        (spec.name, words.concat())
    })
}

/// Words, numbers, runs of space and single marks.
fn pieces(text: &str) -> Vec<String> {
    let kind = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' => 0,
        c if c.is_whitespace() => 1,
        _ => 2,
    };
    let mut pieces: Vec<String> = Vec::new();
    let mut last = 2;
    for c in text.chars() {
        match pieces.last_mut() {
            Some(piece) if kind(c) == last && last != 2 => piece.push(c),
            _ => pieces.push(c.into()),
        }
        last = kind(c);
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A slip of the pen never panics and is answered at once.
    #[test]
    fn slips_of_the_pen((name, text) in mutated()) {
        let config = r#"{"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "vocab_size": 11}"#;
        let options = Options { config: Config::parse(config, "config.json").unwrap(), ..Options::default() };
        let file = format!("{name}.qdq");
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = *LONGEST;
        let start = time();
        let (program, problems) = compile::load(&format!("{}{file}", specs::PREFIX), &text, &BundledLibrary);
        let mut drawn = report::render(&problems, &program.sources, false);
        if !problems.has_errors() {
            let (_, problems) = compile::stages(&program, &options, true);
            prop_assert!(!problems.iter().any(|problem| problem.code == qdqc::codes::INTERNAL), "{problems:?}");
            drawn += &report::render(&problems, &program.sources, false);
        }
        prop_assert!(time() - start < longest, "{drawn}");
    }
}
