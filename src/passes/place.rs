//! Finds the sites of every quantizer rule.
//!
//! A site has at most one rule and a rule at least one site; anything else is
//! an error that shows every place involved.

use crate::{
    codes,
    diagnostic::{Diagnostic, Diagnostics},
    graph::{Graph, Quantizer, Rules, ScopeId, Site, SiteRule},
    names::{list_of, nearest},
    quant::Storage,
    span::Span,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The graph with its rules turned into quantizers.
pub fn place(mut graph: Graph) -> (Graph, Diagnostics) {
    let rules = std::mem::take(&mut graph.rules);
    let mut placer = Placer { graph: &graph, problems: Diagnostics::default(), matched: BTreeMap::new() };
    placer.attach(&rules);
    let (mut quantizers, placed) = placer.quantizers(&rules);
    placer.tie(&rules, &mut quantizers, &placed);
    placer.limit(&rules, &mut quantizers, &placed);
    let problems = placer.problems;
    graph.quantizers = quantizers;
    graph.placed = placed;
    (graph, problems)
}

struct Placer<'a> {
    graph: &'a Graph,
    problems: Diagnostics,
    /// The rule of each site that has one.
    matched: BTreeMap<usize, usize>,
}

impl Placer<'_> {
    fn attach(&mut self, rules: &Rules) {
        let mut reported: BTreeSet<(usize, usize)> = BTreeSet::new();
        for (index, rule) in rules.attach.iter().enumerate() {
            let sites = self.sites(&rule.sites);
            let kept: Vec<usize> = sites
                .iter()
                .copied()
                .filter(|site| {
                    !rule.except.iter().any(|path| path.value.matches(&self.graph.sites[*site].path))
                })
                .collect();
            for path in &rule.except {
                if !sites.is_empty()
                    && !sites.iter().any(|site| path.value.matches(&self.graph.sites[*site].path))
                {
                    self.problems.push(
                        Diagnostic::error(
                            codes::RULE_MATCHES_NOTHING,
                            path.span,
                            "the exception leaves nothing out",
                        )
                        .mark("the rule has no site there")
                        .label(rule.span, "of this rule"),
                    );
                }
            }
            if kept.is_empty() {
                self.nothing(&rule.sites, rule.span, !sites.is_empty());
            }
            for site in kept {
                if let Some(first) = self.matched.insert(site, index)
                    && reported.insert((first, index))
                {
                    let at = &self.graph.sites[site];
                    let owner = at.owners.last().map_or("", String::as_str);
                    self.problems.push(
                        Diagnostic::error(
                            codes::TWO_RULES,
                            rule.span,
                            format!(
                                "two rules attach a quantizer to `{}` of `{owner}`, as at `{}`",
                                at.port,
                                shown(&at.path)
                            ),
                        )
                        .mark("the second rule")
                        .label(rules.attach[first].span, "the first rule")
                        .label(at.span, "the site")
                        .help(
                            "make room with `except at PATH`, or narrow one rule with `in`, `under` or `at`",
                        ),
                    );
                }
            }
        }
    }

    /// The sites that a phrase names.
    fn sites(&self, rule: &SiteRule) -> Vec<usize> {
        let fits = |site: &Site| {
            rule.ports.iter().any(|port| port.value == site.port)
                && site.owners.contains(&rule.owner.value)
                && (rule.written_in.is_empty()
                    || rule.written_in.iter().any(|module| module.value == site.written_in))
                && (rule.under.is_empty()
                    || rule.under.iter().any(|module| self.is_under(site.scope, &module.value)))
                && (rule.at.is_empty() || rule.at.iter().any(|path| path.value.matches(&site.path)))
        };
        self.graph.sites.iter().enumerate().filter(|(_, site)| fits(site)).map(|(index, _)| index).collect()
    }

    /// Whether a scope is an instance of `module` or inside one.
    fn is_under(&self, scope: ScopeId, module: &str) -> bool {
        let mut next = Some(scope.0);
        while let Some(scope) = next.and_then(|index| self.graph.scopes.get(index as usize)) {
            if scope.module == module {
                return true;
            }
            next = scope.parent;
        }
        false
    }

    /// A rule without a site: says which of its words fits nothing.
    fn nothing(&mut self, rule: &SiteRule, span: Span, excepted: bool) {
        let owner = &rule.owner.value;
        let named: Vec<&Site> = self.graph.sites.iter().filter(|site| site.owners.contains(owner)).collect();
        if named.is_empty() {
            let owners: BTreeSet<&str> =
                self.graph.sites.iter().flat_map(|site| site.owners.iter().map(String::as_str)).collect();
            let mut diagnostic = Diagnostic::error(
                codes::RULE_MATCHES_NOTHING,
                rule.owner.span,
                format!("the rule matches nothing: there is no `{owner}` in the model"),
            )
            .mark("no operator, module, submodule or value of this name")
            .label(span, "this rule");
            if let Some(near) = nearest(owner, owners.iter().copied()) {
                diagnostic = diagnostic.suggest(rule.owner.span, near, format!("there is `{near}`"));
            }
            self.problems.push(diagnostic);
            return;
        }
        let ports: BTreeSet<&str> = named.iter().map(|site| site.port.as_str()).collect();
        if let Some(port) = rule.ports.iter().find(|port| !ports.contains(port.value.as_str())) {
            let mut diagnostic = Diagnostic::error(
                codes::UNKNOWN_PORT,
                port.span,
                format!("`{owner}` has no port `{}`", port.value),
            )
            .mark("no such port")
            .note(format!("its ports are {}", list_of(ports.iter().copied())));
            if let Some(near) = nearest(&port.value, ports.iter().copied()) {
                diagnostic = diagnostic.suggest(port.span, near, format!("there is `{near}`"));
            }
            self.problems.push(diagnostic);
            return;
        }
        let mut diagnostic = Diagnostic::error(codes::RULE_MATCHES_NOTHING, span, "the rule matches nothing")
            .mark(if excepted { "its exceptions leave no site" } else { "no site fits all of it" });
        let modules: BTreeSet<&str> = named.iter().map(|site| site.written_in.as_str()).collect();
        diagnostic =
            diagnostic.note(format!("`{owner}` is written in {}", list_of(modules.iter().copied().take(8))));
        if let Some(site) = named.first() {
            diagnostic = diagnostic.note(format!("one of its sites is at `{}`", shown(&site.path)));
        }
        self.problems.push(diagnostic);
    }

    /// A quantizer for each name, and which sites it serves.
    fn quantizers(&mut self, rules: &Rules) -> (Vec<Quantizer>, Vec<(usize, usize)>) {
        let mut quantizers: Vec<Quantizer> = Vec::new();
        let mut placed = Vec::new();
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for (site_index, rule_index) in self.matched.clone() {
            let (site, rule) = (&self.graph.sites[site_index], &rules.attach[rule_index]);
            let stem = rule.alias.clone().unwrap_or_else(|| format!("{}_quantizer", site.stem));
            let name = if site.path.is_empty() { stem } else { format!("{}.{stem}", site.path) };
            if let Some(index) = by_name.get(&name) {
                // The same place of an instance that is called twice.
                let first = &self.graph.sites[quantizers[*index].site];
                if (first.span, &first.port) == (site.span, &site.port) {
                    placed.push((site_index, *index));
                } else {
                    self.problems.push(
                        Diagnostic::error(
                            codes::QUANTIZER_NAME_TWICE,
                            rule.span,
                            format!("two quantizers would be called `{name}`"),
                        )
                        .mark("this rule names one of them")
                        .label(first.span, "one site")
                        .label(site.span, "another site")
                        .help("give each rule its own name with `as NAME`"),
                    );
                }
                continue;
            }
            if let Some(problem) = misfit(rule, site) {
                self.problems.push(problem);
                continue;
            }
            by_name.insert(name.clone(), quantizers.len());
            placed.push((site_index, quantizers.len()));
            quantizers.push(Quantizer {
                name,
                scheme: rule.scheme.clone(),
                limit: None,
                tie: None,
                site: site_index,
                rule: rule.span,
                kind: rule.quantizer.clone(),
            });
        }
        (quantizers, placed)
    }

    /// The quantizers at the sites of a phrase.
    fn at(&mut self, rule: &SiteRule, span: Span, placed: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let sites = self.sites(rule);
        let found: Vec<(usize, usize)> =
            placed.iter().copied().filter(|(site, _)| sites.contains(site)).collect();
        if sites.is_empty() {
            self.nothing(rule, span, false);
        } else if found.is_empty() {
            self.problems.push(
                Diagnostic::error(codes::RULE_MATCHES_NOTHING, span, "the rule matches no quantizer")
                    .mark("its sites have none")
                    .help("attach a quantizer there first"),
            );
        }
        found
    }

    /// Ties the sites of each rule within one instance of its module.
    fn tie(&mut self, rules: &Rules, quantizers: &mut [Quantizer], placed: &[(usize, usize)]) {
        let mut next = 0;
        for rule in &rules.tie {
            let mut groups: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
            for phrase in &rule.sites {
                for (site, quantizer) in self.at(phrase, rule.span, placed) {
                    groups.entry(self.graph.sites[site].scope.0).or_default().push(quantizer);
                }
            }
            for group in groups.values() {
                let first = group.first().map(|index| quantizers[*index].clone());
                for index in group {
                    let quantizer = &quantizers[*index];
                    let differs = first.as_ref().is_some_and(|first| first.scheme != quantizer.scheme);
                    if quantizer.tie.is_some_and(|tie| tie != next) || differs {
                        let why = if differs {
                            "their quantizers differ"
                        } else {
                            "another rule ties one of them already"
                        };
                        let other = first.as_ref().map_or(rule.span, |first| first.rule);
                        self.problems.push(
                            Diagnostic::error(
                                codes::TIE,
                                rule.span,
                                format!("these quantizers cannot share a range: {why}"),
                            )
                            .mark("tied here")
                            .label(other, "attached here")
                            .label(quantizer.rule, "attached here"),
                        );
                    }
                    quantizers[*index].tie = Some(next);
                }
                next += 1;
            }
        }
    }

    fn limit(&mut self, rules: &Rules, quantizers: &mut [Quantizer], placed: &[(usize, usize)]) {
        let mut by: HashMap<usize, Span> = HashMap::new();
        for rule in &rules.limit {
            for (_, quantizer) in self.at(&rule.sites, rule.span, placed) {
                if let Some(first) = by.insert(quantizer, rule.span)
                    && first != rule.span
                {
                    self.problems.push(
                        Diagnostic::error(
                            codes::TWO_RULES,
                            rule.span,
                            format!("two rules limit `{}`", quantizers[quantizer].name),
                        )
                        .mark("the second rule")
                        .label(first, "the first rule"),
                    );
                }
                quantizers[quantizer].limit = Some(rule.bound);
            }
        }
    }
}

/// A scheme that its site cannot have.
fn misfit(rule: &crate::graph::AttachRule, site: &Site) -> Option<Diagnostic> {
    let axis = rule.scheme.axis?;
    let rank = site.ty.rank() as i64;
    let wrong = |message: String, help: &str| {
        Some(
            Diagnostic::error(codes::QUANTIZER_MISFIT, rule.span, message)
                .mark("attached here")
                .label(rule.declared, "declared here")
                .label(site.span, format!("the site: {}", site.ty))
                .help(help),
        )
    };
    if !(-rank..rank).contains(&axis) {
        return wrong(
            format!(
                "`{}` keeps axis {axis}, but `{}` at `{}` has {rank} axes: {}",
                rule.quantizer,
                site.port,
                shown(&site.path),
                site.ty
            ),
            "choose an axis that is there, or leave `axis` out for one range",
        );
    }
    let kept = usize::try_from(if axis < 0 { axis + rank } else { axis }).ok()?;
    let dim = site.ty.shape.get(kept)?;
    if dim.as_known().is_none() {
        return wrong(
            format!(
                "`{}` keeps axis {axis} of {}, whose size `{dim}` is bound only when the model runs",
                rule.quantizer, site.ty
            ),
            "a range for each index needs an axis of known size, such as the features",
        );
    }
    if rule.scheme.storage == Storage::E4M3 {
        return wrong("e4m3 has one range for the whole tensor".into(), "leave `axis` out");
    }
    None
}

/// A state-dict path for a message.
fn shown(path: &str) -> &str {
    if path.is_empty() { "the model" } else { path }
}
