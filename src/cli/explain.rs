//! `qdqc explain`: an error code, a rule of a target, an operator, or a quantizer.

use super::{
    Stop, args, flow, output,
    ranges::{Known, bare},
    screen::Screen,
    settings, sites, spec,
};
use crate::{
    calibrator::Amax,
    codes,
    compile::{self, Options, Program},
    failure::Failure,
    graph::{Graph, Quantizer},
    names,
    onnx::lint,
    ops::{self, Op},
    page::numbers,
    quant::RangeSource,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Prints what is known under a name.
pub fn explain(arguments: &args::Explain, screen: Screen) -> Result<ExitCode, Stop> {
    let what = arguments.what.trim();
    let (text, document) = match code(what).or_else(|| rule(what)).or_else(|| operator(what)) {
        Some(found) => found,
        None => quantizer(what, arguments, screen)?,
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

fn rule(what: &str) -> Option<Explanation> {
    let (rule, text) = lint::manual_entry(what)?;
    let document = json!({
        "rule": rule.code, "title": rule.title, "effect": rule.effect, "text": rule.text, "help": rule.help,
        "source": rule.source,
    });
    Some((filled(&text), document))
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

/// What a quantizer of a spec is, where it sits, and the rule that it comes from.
fn quantizer(what: &str, arguments: &args::Explain, screen: Screen) -> Result<Explanation, Stop> {
    let (config, checkpoint) = settings::given(&arguments.settings, screen)?;
    let spec = spec::read(&arguments.spec)?;
    let program = spec::load(&spec, arguments.settings.recipe.as_deref())?;
    let within = Stop::within(&program.sources);
    let (graph, problems) = compile::compile(&program, &Options { config, ..Options::default() }, true);
    let graph = graph.ok_or_else(|| within(Failure::Diagnostics(problems)))?;
    let known = match &checkpoint {
        Some(checkpoint) => Known::read(checkpoint, &graph).map_err(&within)?,
        None => Known::default(),
    };
    let named: Vec<&Quantizer> =
        graph.quantizers.iter().filter(|quantizer| is_named(quantizer, what)).collect();
    let Some(first) = named.first() else { return Err(unknown(what, &arguments.spec, &graph).into()) };
    let known = checkpoint.is_some().then_some(&known);
    Ok(describe(first, named.len(), &graph, &program, known))
}

/// The quantizer's state-dict path, or the end of it, with or without `bert.` and
/// `_amax`; or its name in the spec.
fn is_named(quantizer: &Quantizer, what: &str) -> bool {
    let short = |name: &'_ str| name.strip_prefix("bert.").unwrap_or(name).to_owned();
    let name = short(&quantizer.name);
    let rest = name.strip_suffix(&short(what.strip_suffix("._amax").unwrap_or(what)));
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.')) || quantizer.kind == what
}

/// `known` is what a checkpoint holds, where one is given.
fn describe(
    quantizer: &Quantizer,
    count: usize,
    graph: &Graph,
    program: &Program,
    known: Option<&Known>,
) -> Explanation {
    let sources = &program.sources;
    let placed = sites::placed(quantizer, sources);
    let rule = sources.slice(quantizer.rule);
    let flow = flow::of(graph, quantizer);
    let mut text = format!("{}\n\n", quantizer.name);
    let mut document = json!({
        "quantizer": quantizer.name, "does": placed.does, "rule": rule, "place": placed.rule,
        "from": flow.from, "into": flow.into,
    });
    if let Some(site) = graph.sites.get(quantizer.site) {
        let owners =
            site.owners.iter().map(|owner| format!("`{owner}`")).collect::<Vec<_>>().join(", also called ");
        let module = &site.written_in;
        text += &format!("It rounds `{}` of {owners}, in `{module}`: {}.\n\n", site.port, site.ty);
        document["port"] = json!(site.port);
        document["of"] = json!(site.owners);
        document["module"] = json!(site.written_in);
        document["type"] = json!(site.ty.to_string());
    }
    let mut line = |name: &str, value: &str| text += &format!("{name:<9}{value}\n");
    flow.from.iter().for_each(|from| line("From:", from));
    for (at, into) in flow.into.iter().enumerate() {
        line(if at == 0 { "Into:" } else { "" }, into);
    }
    line("Numbers:", &format!("`{}` is {}", quantizer.kind, placed.does));
    for (name, value) in range(quantizer, known, &mut document) {
        line(name, &value);
    }
    line("Rule:", rule);
    line("", &placed.rule);
    if count > 1 {
        text += &format!("\n{} other quantizers have a name like this; this is the first.\n", count - 1);
    }
    document["alike"] = json!(count);
    (text, document)
}

/// What is known of its range, for reading; the same is added to the document.
fn range(quantizer: &Quantizer, known: Option<&Known>, document: &mut Value) -> Vec<(&'static str, String)> {
    let path = format!("{}._amax", quantizer.name);
    match &quantizer.scheme.range {
        RangeSource::Dynamic => return vec![("Range:", "measured at every call".into())],
        RangeSource::Fixed(amax) => return vec![("Range:", format!("{amax}, written in the spec"))],
        RangeSource::Calibrated(_) | RangeSource::Learned(_) => {}
    }
    let Some(known) = known else {
        return vec![("Range:", format!("`{path}` of a checkpoint, which `-c CKPT` shows"))];
    };
    let Some(amax) = known.amax(&quantizer.name) else {
        return vec![(
            "Range:",
            format!("the checkpoint has no `{path}`: calibrate it with `qdqc calibrate`"),
        )];
    };
    document["amax"] = data(&amax);
    let written = match &amax {
        Amax::One(_) => numbers::range(&amax),
        Amax::Channels { channels, .. } => format!("{} over {channels} channels", numbers::range(&amax)),
    };
    let Some(entry) = known.entry(&quantizer.name) else {
        return vec![("Range:", format!("{written}, from `{path}`"))];
    };
    document["calibration"] = data(entry);
    let method = sites::method(entry);
    let values = numbers::grouped(entry.values);
    let mut lines = vec![("Range:", format!("{written}, chosen by {method} from {values} values"))];
    if let (Some(clipped), Some(ratio), Some(cosine)) = (entry.clipped, entry.signal_to_noise, entry.cosine) {
        lines.push((
            "Costs:",
            format!(
                "{} % of the values clipped, signal to noise {ratio:.1} dB, cosine {cosine:.6}",
                numbers::percent(clipped)
            ),
        ));
    }
    lines
}

/// As data whose numbers are as short as they are written: those of f32 stay so.
fn data(value: &impl Serialize) -> Value {
    let text = serde_json::to_string(value).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Near names that are given, at most.
const NEAREST: usize = 3;

fn unknown(what: &str, argument: &str, graph: &Graph) -> Failure {
    let text = format!(
        "there is no error code, rule, operator, or quantizer of `{argument}` called `{}`",
        if what.len() > LONGEST { names::shortened(what) } else { what.to_owned() }
    );
    let near = match what.contains('.') {
        true => near_paths(what, graph),
        false => {
            let tails = graph.quantizers.iter().filter_map(|quantizer| quantizer.name.rsplit('.').next());
            let known = codes::ALL.iter().map(|explanation| explanation.code.0);
            let known = known.chain(Op::ALL.iter().map(|schema| schema.name)).chain(tails);
            names::nearest(what, known).into_iter().collect()
        }
    };
    let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    let text = if near.is_empty() { text } else { format!("{text}; did you mean {}?", near.join(" or ")) };
    Failure::input(text).help(format!(
        "`qdqc show {argument} --sites` lists its quantizers; `--spec SPEC` looks in another spec"
    ))
}

/// The quantizers whose whole names are nearest.
fn near_paths<'g>(what: &str, graph: &'g Graph) -> Vec<&'g str> {
    let wanted = bare(what.strip_suffix("._amax").unwrap_or(what));
    if wanted.len() > LONGEST {
        return Vec::new();
    }
    let names = graph.quantizers.iter().take(MOST_CANDIDATES).map(|quantizer| quantizer.name.as_str());
    let mut near: Vec<(usize, &str)> =
        names.map(|name| (strsim::osa_distance(wanted, bare(name)), name)).collect();
    near.retain(|(distance, _)| *distance <= wanted.len() / 3);
    near.sort_by_key(|(distance, _)| *distance);
    let best = near.first().map_or(0, |(distance, _)| *distance);
    near.iter().take_while(|(distance, _)| *distance == best).take(NEAREST).map(|(_, name)| *name).collect()
}

/// Bytes of a name, beyond which it is like no other.
const LONGEST: usize = 256;

/// Names that are compared, at most.
const MOST_CANDIDATES: usize = 4096;
