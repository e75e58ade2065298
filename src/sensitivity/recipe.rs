//! A recipe that leaves quantizers out, written as `quantize` blocks.

use super::group::wildcard;
use crate::{
    compile::{self, Options, Program},
    failure::Failure,
    graph::{Graph, PathPattern, Quantizer, Rules, SiteRule},
    quant::Scheme,
    span::{FileId, Span},
    syntax::{
        self,
        ast::{ItemKind, Name, Quantize, Rule, RuleKind},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The recipe of a program without some quantizers, each with the reason, which
/// becomes a comment of its rule. `about` is the comment above all; `name` is what
/// the recipe will be called.
///
/// # Errors
/// The program does not compile, or what remains of its rules does not say exactly
/// that: every other quantizer as it was.
pub fn without(
    program: &Program,
    options: &Options,
    left_out: &BTreeMap<String, String>,
    about: &[String],
    name: &str,
) -> Result<String, Failure> {
    let (stages, problems) = compile::stages(program, options, true);
    let graph_of = |name: &str| stages.iter().find(|stage| stage.name == name).map(|stage| &stage.graph);
    let (Some(resolved), Some(placed)) = (graph_of("resolve"), graph_of("place")) else {
        return Err(Failure::Diagnostics(problems));
    };
    let writer = Writer { program, rules: &resolved.rules, graph: placed, left_out };
    let text = writer.text(about);
    let mut rewritten = program.clone();
    rewritten.set_recipe(name, &text).map_err(Failure::Diagnostics)?;
    let (compiled, problems) = compile::compile(&rewritten, options, true);
    let wanted = described(placed, |name| !left_out.contains_key(name));
    if compiled.is_some_and(|compiled| described(&compiled, |_| true) == wanted) {
        return Ok(text);
    }
    let why = problems.iter().next().map_or_else(String::new, |problem| format!(": {}", problem.message));
    Err(Failure::input(format!("no recipe says exactly that{why}"))
        .help("choose other groups with `--by`, or write the recipe by hand from the table"))
}

/// Of each quantizer of a graph that is wanted: what it does, its limit, and the
/// others that it is tied to.
fn described<'g>(
    graph: &'g Graph,
    wanted: impl Fn(&str) -> bool,
) -> BTreeMap<&'g str, (&'g Scheme, Option<f64>, BTreeSet<&'g str>)> {
    let quantizers = || graph.quantizers.iter().filter(|quantizer| wanted(&quantizer.name));
    let tied = |own: &'g Quantizer| {
        let others = quantizers().filter(move |other| other.tie.is_some() && other.tie == own.tie);
        others.map(|other| other.name.as_str()).filter(move |name| *name != own.name).collect()
    };
    quantizers().map(|own| (own.name.as_str(), (&own.scheme, own.limit, tied(own)))).collect()
}

struct Writer<'a> {
    program: &'a Program,
    rules: &'a Rules,
    /// With every quantizer at its sites.
    graph: &'a Graph,
    left_out: &'a BTreeMap<String, String>,
}

/// What a rule becomes.
#[derive(Default)]
struct Written {
    lines: Vec<String>,
    /// Something other than comments.
    says_something: bool,
}

impl Written {
    fn comment(&mut self, text: &str) {
        let text: Vec<&str> = text.split_whitespace().collect();
        self.lines.push(format!("# {}", text.join(" ")));
    }

    fn rule(&mut self, text: String) {
        self.lines.push(text);
        self.says_something = true;
    }
}

impl Writer<'_> {
    fn text(&self, about: &[String]) -> String {
        let mut text: String = about.iter().map(|line| format!("# {line}\n")).collect();
        for item in self.program.files.iter().flat_map(|file| &file.items) {
            if let ItemKind::Quantize(block) = &item.kind {
                text += "\n";
                text += &self.block(block);
            }
        }
        match syntax::parse(FileId(0), &text) {
            Ok(tree) => syntax::print(&tree, &text),
            Err(_) => text,
        }
    }

    fn block(&self, block: &Quantize) -> String {
        let rules: Vec<(&Rule, Written)> = block.rules.iter().map(|rule| (rule, self.rule(rule))).collect();
        // A quantizer that is attached nowhere is an error.
        let attached: BTreeSet<&str> = rules
            .iter()
            .filter(|(_, written)| written.says_something)
            .filter_map(|(rule, _)| match &rule.kind {
                RuleKind::Attach { quantizer, .. } => Some(quantizer.value.as_str()),
                _ => None,
            })
            .collect();
        let is_idle = |rule: &Rule| matches!(&rule.kind, RuleKind::Quantizer { name, .. } if !attached.contains(name.value.as_str()));
        let mut text = format!("quantize {} {{\n", block.name.value);
        for (_, written) in rules.iter().filter(|(rule, _)| !is_idle(rule)) {
            for line in &written.lines {
                text += line;
                text += "\n";
            }
        }
        text + "}\n"
    }

    fn rule(&self, rule: &Rule) -> Written {
        let mut written = Written::default();
        match &rule.kind {
            RuleKind::Attach { .. } => self.attach(rule, &mut written),
            RuleKind::Tie { .. } => self.tie(rule, &mut written),
            RuleKind::Limit { .. } => {
                let known = self.rules.limit.iter().find(|known| known.span == rule.span);
                match known.is_some_and(|known| self.kept(&known.sites).next().is_none()) {
                    true => self.dropped(rule, &mut written),
                    false => written.rule(self.slice(rule.span).to_owned()),
                }
            }
            RuleKind::Quantizer { .. } => written.rule(self.slice(rule.span).to_owned()),
        }
        written
    }

    fn dropped(&self, rule: &Rule, written: &mut Written) {
        written.comment(&format!("no quantizer is left for: {}", self.slice(rule.span)));
    }

    /// A rule for each port, with more exceptions; the rule itself where nothing of it
    /// is left out.
    fn attach(&self, rule: &Rule, written: &mut Written) {
        let RuleKind::Attach { sites, except, .. } = &rule.kind else { return };
        let placed: Vec<&Quantizer> =
            self.graph.quantizers.iter().filter(|quantizer| quantizer.rule == rule.span).collect();
        if !placed.iter().any(|quantizer| self.is_left_out(quantizer)) {
            return written.rule(self.slice(rule.span).to_owned());
        }
        for port in &sites.ports {
            let of_port = placed.iter().copied().filter(|quantizer| self.port(quantizer) == port.value);
            let (gone, kept): (Vec<&Quantizer>, Vec<&Quantizer>) =
                of_port.partition(|quantizer| self.is_left_out(quantizer));
            if !(gone.is_empty() && kept.is_empty()) {
                written.lines.push(String::new());
            }
            for quantizer in &gone {
                let reason = self.left_out.get(&quantizer.name).map_or("", String::as_str);
                written.comment(&format!("{}: {reason}", quantizer.name));
            }
            if !kept.is_empty() {
                let except = self.exceptions(rule, port, except, self.paths(&gone, &kept));
                written.rule(self.narrowed(rule, (&sites.ports, port), &except));
            } else if !gone.is_empty() {
                written.comment(&format!("so no {} of {} has a quantizer", port.value, sites.of.value));
            }
        }
    }

    /// The exceptions of a rule for one of its ports: those of its own that leave
    /// something of that port out, and more.
    fn exceptions(&self, rule: &Rule, port: &Name, own: &[Name], more: Vec<String>) -> Vec<String> {
        let known = self.rules.attach.iter().find(|known| known.span == rule.span);
        let sites = known.into_iter().flat_map(|known| self.sites(&known.sites));
        let paths: Vec<&str> = sites
            .filter_map(|at| self.graph.sites.get(at))
            .filter(|site| site.port == port.value)
            .map(|site| site.path.as_str())
            .collect();
        let leaves_out = |path: &&Name| {
            let pattern = PathPattern::new(&path.value);
            paths.iter().any(|path| pattern.matches(path))
        };
        own.iter().filter(leaves_out).map(|path| self.slice(path.span).to_owned()).chain(more).collect()
    }

    /// The rule for one of its ports, with these exceptions.
    fn narrowed(&self, rule: &Rule, (ports, port): (&[Name], &Name), except: &[String]) -> String {
        let RuleKind::Attach { except: own, .. } = &rule.kind else { return String::new() };
        let part = |start, end| self.slice(Span { file: rule.span.file, start, end });
        let first = ports.first().map_or(rule.span.start, |first| first.span.start);
        let last = ports.last().map_or(rule.span.start, |last| last.span.end);
        let head = part(rule.span.start, first);
        let tail = part(last, own.first().map_or(rule.span.end, |own| own.span.start));
        let tail = match own.is_empty() {
            true => tail,
            // Ends in `except at`, which is written anew.
            false => tail.trim_end().trim_end_matches("at").trim_end().trim_end_matches("except").trim_end(),
        };
        let except =
            if except.is_empty() { String::new() } else { format!(" except at {}", except.join(", ")) };
        format!("{head}{}{tail}{except}", port.value)
    }

    /// The rule with those of its phrases that still name a quantizer; none where no
    /// two are left to be tied.
    fn tie(&self, rule: &Rule, written: &mut Written) {
        let RuleKind::Tie { sites, .. } = &rule.kind else { return };
        let Some(known) = self.rules.tie.iter().find(|known| known.span == rule.span) else { return };
        let mut groups: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        for (scope, quantizer) in known.sites.iter().flat_map(|phrase| self.kept(phrase)) {
            groups.entry(scope).or_default().insert(quantizer);
        }
        if groups.values().all(|group| group.len() < 2) {
            return self.dropped(rule, written);
        }
        let kept = sites.iter().zip(&known.sites).filter(|(_, phrase)| self.kept(phrase).next().is_some());
        let kept: Vec<&str> = kept.map(|(phrase, _)| self.slice(phrase.span)).collect();
        let part = |start, end| self.slice(Span { file: rule.span.file, start, end });
        let first = sites.first().map_or(rule.span.start, |first| first.span.start);
        let last = sites.last().map_or(rule.span.start, |last| last.span.end);
        written.rule(format!(
            "{}{}{}",
            part(rule.span.start, first),
            kept.join(", "),
            part(last, rule.span.end)
        ));
    }

    /// Positions of the sites that a phrase names.
    fn sites<'s>(&'s self, phrase: &'s SiteRule) -> impl Iterator<Item = usize> + 's {
        let sites = self.graph.sites.iter().enumerate();
        sites.filter(|(_, site)| self.graph.fits(phrase, site)).map(|(at, _)| at)
    }

    /// Quantizers at a phrase's sites that are not left out, by position, each with
    /// the instance that its site is written in.
    fn kept<'s>(&'s self, phrase: &'s SiteRule) -> impl Iterator<Item = (u32, usize)> + 's {
        self.sites(phrase).filter_map(|at| {
            let placed = self.graph.placed.iter().find(|(site, _)| *site == at)?.1;
            let quantizer = self.graph.quantizers.get(placed)?;
            let site = self.graph.sites.get(at)?;
            (!self.is_left_out(quantizer)).then_some((site.scope.0, placed))
        })
    }

    /// Paths of what is gone; `*` for numbers where nothing kept is meant as well.
    fn paths(&self, gone: &[&Quantizer], kept: &[&Quantizer]) -> Vec<String> {
        let mut paths = Vec::new();
        for quantizer in gone {
            let own = self.path(quantizer);
            let wide = wildcard(own);
            let pattern = PathPattern::new(&wide);
            let reaches = kept.iter().any(|kept| pattern.matches(self.path(kept)));
            let path = if reaches { own.to_owned() } else { wide };
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }

    fn is_left_out(&self, quantizer: &Quantizer) -> bool {
        self.left_out.contains_key(&quantizer.name)
    }

    fn path(&self, quantizer: &Quantizer) -> &str {
        self.graph.sites.get(quantizer.site).map_or("", |site| site.path.as_str())
    }

    fn port(&self, quantizer: &Quantizer) -> &str {
        self.graph.sites.get(quantizer.site).map_or("", |site| site.port.as_str())
    }

    fn slice(&self, span: Span) -> &str {
        self.program.sources.slice(span)
    }
}
