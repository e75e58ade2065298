//! `qdqc explain`: an error code, an operator, or a quantizer.

use super::{Stop, args, output, sites, spec};
use crate::{
    codes,
    compile::{self, Options, Program},
    failure::Failure,
    graph::{Graph, Quantizer},
    names::nearest,
    ops::{self, Op},
};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Prints what is known under a name.
pub fn explain(arguments: &args::Explain) -> Result<ExitCode, Stop> {
    let what = arguments.what.trim();
    let (text, document) = match code(what).or_else(|| operator(what)) {
        Some(found) => found,
        None => quantizer(what, &arguments.spec)?,
    };
    if arguments.json {
        output::print_json(&document)?;
    } else {
        output::print(&format!("{}\n", text.trim_end()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// An explanation for reading, and as data.
type Explanation = (String, Value);

fn code(what: &str) -> Option<Explanation> {
    let found = codes::find(what)?;
    let text = format!("{}: {}\n\n{}", found.code.0, found.title, filled(found.text));
    Some((text, json!({ "code": found.code.0, "title": found.title, "text": found.text })))
}

/// Paragraphs in lines of at most 80 characters.
fn filled(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 80 {
                lines.push(std::mem::take(&mut line));
            }
            line += if line.is_empty() { "" } else { " " };
            line += word;
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn operator(what: &str) -> Option<Explanation> {
    let text = ops::manual_entry(what)?;
    let document = json!({ "operator": what, "text": text });
    Some((text, document))
}

/// What a quantizer of a spec is, and the rule that it comes from.
fn quantizer(what: &str, argument: &str) -> Result<Explanation, Stop> {
    let spec = spec::read(argument)?;
    let (program, problems) = compile::load(&spec.name, &spec.text, &spec::DiskLibrary);
    let within = Stop::within(&program.sources);
    if problems.has_errors() {
        return Err(within(Failure::Diagnostics(problems)));
    }
    let (graph, problems) = compile::compile(&program, &Options::default(), true);
    let graph = graph.ok_or_else(|| within(Failure::Diagnostics(problems)))?;
    let named: Vec<&Quantizer> =
        graph.quantizers.iter().filter(|quantizer| is_named(quantizer, what)).collect();
    match named.first() {
        Some(first) => Ok(describe(first, named.len(), &graph, &program)),
        None => Err(unknown(what, argument, &graph).into()),
    }
}

/// The quantizer's state-dict path, or the end of it, with or without `bert.` and
/// `_amax`; or its name in the spec.
fn is_named(quantizer: &Quantizer, what: &str) -> bool {
    let short = |name: &'_ str| name.strip_prefix("bert.").unwrap_or(name).to_owned();
    let name = short(&quantizer.name);
    let rest = name.strip_suffix(&short(what.strip_suffix("._amax").unwrap_or(what)));
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) || quantizer.kind == what
}

fn describe(quantizer: &Quantizer, count: usize, graph: &Graph, program: &Program) -> Explanation {
    let sources = &program.sources;
    let place = sources.position(quantizer.rule).map_or_else(String::new, |(f, l, c)| format!("{f}:{l}:{c}"));
    let rule = sources.slice(quantizer.rule);
    let does = sites::words(&quantizer.scheme, quantizer.limit);
    let mut text = format!("{}\n\n", quantizer.name);
    let mut document = json!({ "quantizer": quantizer.name, "does": does, "rule": rule, "place": place });
    if let Some(site) = graph.sites.get(quantizer.site) {
        let owners =
            site.owners.iter().map(|owner| format!("`{owner}`")).collect::<Vec<_>>().join(", also called ");
        let module = &site.written_in;
        text += &format!("It rounds `{}` of {owners}, in `{module}`: {}.\n", site.port, site.ty);
        document["port"] = json!(site.port);
        document["of"] = json!(site.owners);
        document["module"] = json!(site.written_in);
        document["type"] = json!(site.ty.to_string());
    }
    text += &format!("Numbers: `{}` is {does}.\n", quantizer.kind);
    text += &format!("Range:   `{}._amax` in the checkpoint.\n", quantizer.name);
    text += &format!("Rule:    {rule}\n         {place}\n");
    if count > 1 {
        text += &format!("\n{} other quantizers have a name like this; this is the first.\n", count - 1);
    }
    document["alike"] = json!(count);
    (text, document)
}

fn unknown(what: &str, argument: &str, graph: &Graph) -> Failure {
    let tail = |quantizer: &'_ Quantizer| quantizer.name.rsplit('.').next().map(str::to_owned);
    let tails: Vec<String> = graph.quantizers.iter().filter_map(tail).collect();
    let known = codes::ALL.iter().map(|explanation| explanation.code.0);
    let known = known.chain(Op::ALL.iter().map(|schema| schema.name));
    let known = known.chain(tails.iter().map(String::as_str));
    let text = format!("there is no error code, operator, or quantizer of `{argument}` called `{what}`");
    let text = match nearest(what, known) {
        Some(near) => format!("{text}; did you mean `{near}`?"),
        None => text,
    };
    Failure::input(text).help(format!(
        "`qdqc show {argument} --sites` lists its quantizers; `--spec SPEC` looks in another spec"
    ))
}
