//! Which sites the phrase of a rule names, and which of its words fits none.

use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::{Graph, PathPattern, Site, SiteRule},
    names::{list_of, nearest, shortened},
    span::{Span, Spanned},
};
use std::collections::{BTreeMap, BTreeSet};

/// Sites looked at for the rules of a spec, at most.
const MOST_LOOKS: usize = 5_000_000;

/// The sites of a graph, by what rules call them.
///
/// Positions are those of the graph's own list of sites, which does not change, so that
/// indexing by them cannot fail.
pub(super) struct Finder<'g> {
    graph: &'g Graph,
    /// By the name of the owner and the port, in the order of the sites.
    by_port: BTreeMap<&'g str, BTreeMap<&'g str, Vec<usize>>>,
    /// Sites looked at so far.
    looks: usize,
}

impl<'g> Finder<'g> {
    pub fn new(graph: &'g Graph) -> Finder<'g> {
        let mut by_port: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        for (index, site) in graph.sites.iter().enumerate() {
            for owner in &site.owners {
                by_port.entry(owner).or_default().entry(&site.port).or_default().push(index);
            }
        }
        Finder { graph, by_port, looks: 0 }
    }

    /// Counts work; `Err` once the rules ask for more than any model needs.
    pub fn look(&mut self, sites: usize, span: Span) -> Result<(), Box<Diagnostic>> {
        self.looks = self.looks.saturating_add(sites);
        if self.looks <= MOST_LOOKS {
            return Ok(());
        }
        Err(Box::new(
            Diagnostic::error(codes::MODEL_TOO_LARGE, span, "there are too many rules for so many sites")
                .mark(format!("reached after {MOST_LOOKS} sites were looked at"))
                .help("say more with fewer rules: `under MODULE` and `at layer.*` name many sites at once"),
        ))
    }

    /// The sites that a phrase names, in their order.
    pub fn sites(&mut self, rule: &SiteRule) -> Result<Vec<usize>, Box<Diagnostic>> {
        let mut found = Vec::new();
        let words = 1 + rule.written_in.len() + rule.under.len() + rule.at.len();
        for port in &rule.ports {
            let count = self.named(rule, port).len();
            self.look(count.saturating_mul(words), rule.span)?;
            let named = self.named(rule, port).iter().copied();
            found.extend(named.filter(|index| self.graph.fits(rule, &self.graph.sites[*index])));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Every site of an owner and port, wherever it is.
    fn named(&self, rule: &SiteRule, port: &Spanned<String>) -> &[usize] {
        let ports = self.by_port.get(rule.owner.value.as_str());
        ports.and_then(|ports| ports.get(port.value.as_str())).map_or(&[], Vec::as_slice)
    }

    /// A rule without a site: says which of its words fits nothing.
    pub fn nothing(&self, rule: &SiteRule, span: Span, excepted: bool) -> Diagnostic {
        let owner = &rule.owner.value;
        let Some(ports) = self.by_port.get(owner.as_str()) else { return self.unknown_owner(rule, span) };
        if let Some(port) = rule.ports.iter().find(|port| !ports.contains_key(port.value.as_str())) {
            return unknown_port(owner, port, ports.keys().copied());
        }
        if excepted {
            return Diagnostic::error(codes::RULE_MATCHES_NOTHING, span, "the rule matches nothing")
                .mark("its exceptions leave no site");
        }
        let named: Vec<&Site> = rule
            .ports
            .iter()
            .flat_map(|port| self.named(rule, port))
            .map(|index| &self.graph.sites[*index])
            .collect();
        self.misplaced(rule, span, &named)
    }

    fn unknown_owner(&self, rule: &SiteRule, span: Span) -> Diagnostic {
        let owner = &rule.owner.value;
        let problem = Diagnostic::error(
            codes::RULE_MATCHES_NOTHING,
            rule.owner.span,
            format!("the rule matches nothing: there is no `{owner}` in the model"),
        )
        .mark("no operator, module, submodule or value of this name")
        .label(span, "this rule");
        match nearest(owner, self.by_port.keys().copied()) {
            Some(near) => problem.suggest(rule.owner.span, near, format!("there is `{near}`")),
            None => problem,
        }
    }

    /// The sites are there, but not where the rule looks.
    fn misplaced(&self, rule: &SiteRule, span: Span, named: &[&Site]) -> Diagnostic {
        let ports = list_of(rule.ports.iter().map(|port| port.value.as_str()));
        let what = format!("{ports} of `{}`", rule.owner.value);
        let problem = |word: Span, where_: String, mark: &str| {
            Diagnostic::error(
                codes::RULE_MATCHES_NOTHING,
                word,
                format!("the rule matches nothing: no {what} is {where_}"),
            )
            .mark(mark)
            .label(span, "this rule")
        };
        let written = || list_of(distinct(named.iter().map(|site| site.written_in.as_str())));
        let paths = || list_of(distinct(named.iter().map(|site| super::shown(&site.path))));
        let own = |module: &Spanned<String>| named.iter().any(|site| site.written_in == module.value);
        let inside = |module: &Spanned<String>| {
            named.iter().any(|site| self.graph.is_under(site.scope, &module.value))
        };
        let there = |path: &Spanned<PathPattern>| named.iter().any(|site| path.value.matches(&site.path));
        if let [first, ..] = rule.written_in.as_slice()
            && !rule.written_in.iter().any(own)
        {
            let problem = problem(first.span, format!("written in `{}`", first.value), "not in its own body")
                .note(format!("{what} is written in {}", written()));
            return if inside(first) {
                problem.help(format!("`under {}` means the modules placed in it too", first.value))
            } else {
                problem
            };
        }
        if let [first, ..] = rule.under.as_slice()
            && !rule.under.iter().any(inside)
        {
            return problem(first.span, format!("inside `{}`", first.value), "nowhere inside it")
                .note(format!("{what} is written in {}", written()));
        }
        if let [first, ..] = rule.at.as_slice()
            && !rule.at.iter().any(there)
        {
            return problem(
                first.span,
                format!("at `{}`", shortened(&first.value.to_string())),
                "no path has this stretch",
            )
            .note(format!("{what} is at {}", paths()));
        }
        Diagnostic::error(codes::RULE_MATCHES_NOTHING, span, "the rule matches nothing")
            .mark("no site fits all of it")
            .note(format!("{what} is written in {} and at {}", written(), paths()))
    }
}

fn unknown_port<'p>(
    owner: &str,
    port: &Spanned<String>,
    known: impl Iterator<Item = &'p str> + Clone,
) -> Diagnostic {
    let problem =
        Diagnostic::error(codes::UNKNOWN_PORT, port.span, format!("`{owner}` has no port `{}`", port.value))
            .mark("no such port")
            .note(format!("its ports are {}", list_of(known.clone())));
    match nearest(&port.value, known) {
        Some(near) => problem.suggest(port.span, near, format!("there is `{near}`")),
        None => problem,
    }
}

/// The first few of some names, each once.
fn distinct<'n>(names: impl Iterator<Item = &'n str>) -> impl Iterator<Item = &'n str> {
    let mut seen = BTreeSet::new();
    names.filter(move |name| seen.insert(*name)).take(8)
}
