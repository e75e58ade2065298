//! Finds the sites of every quantizer rule.
//!
//! A site has at most one rule and a rule at least one site; anything else is
//! an error that shows every place involved.

mod find;
mod misfit;

use crate::{
    codes,
    diagnostic::{Diagnostic, Diagnostics},
    graph::{AttachRule, Graph, LimitRule, Quantizer, Rules, Site, SiteRule, SiteTarget, TieRule},
    span::Span,
};
use find::Finder;
use misfit::{learned, misfit, tie_misfit};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The graph with its rules turned into quantizers.
pub fn place(mut graph: Graph) -> (Graph, Diagnostics) {
    let rules = std::mem::take(&mut graph.rules);
    let mut placer = Placer {
        graph: &graph,
        finder: Finder::new(&graph),
        problems: Diagnostics::default(),
        matched: BTreeMap::new(),
        quantizers: Vec::new(),
        placed: BTreeMap::new(),
    };
    if let Err(problem) = placer.place(&rules) {
        placer.problems.push(*problem);
    }
    let Placer { problems, quantizers, placed, .. } = placer;
    graph.quantizers = quantizers;
    graph.placed = placed.into_iter().collect();
    (graph, problems)
}

/// `Err`: the rules ask for too much work, and are left as they are.
type Bounded<T> = Result<T, Box<Diagnostic>>;

/// Sites, rules and quantizers go by their positions in `graph.sites`, in the list of
/// rules and in `quantizers`. Every position comes from those lists, and none gets
/// shorter, so that indexing by it cannot fail.
struct Placer<'g> {
    graph: &'g Graph,
    finder: Finder<'g>,
    problems: Diagnostics,
    /// The rule of each site that has one.
    matched: BTreeMap<usize, usize>,
    quantizers: Vec<Quantizer>,
    /// The quantizer of each site that has one.
    placed: BTreeMap<usize, usize>,
}

impl Placer<'_> {
    fn place(&mut self, rules: &Rules) -> Bounded<()> {
        for index in 0..rules.attach.len() {
            if !self.problems.is_full() {
                self.attach(&rules.attach, index)?;
            }
        }
        self.name(&rules.attach);
        let mut tied = 0;
        for rule in &rules.tie {
            if !self.problems.is_full() {
                self.tie(rule, &mut tied)?;
            }
        }
        let mut limited = HashMap::new();
        for rule in &rules.limit {
            if !self.problems.is_full() {
                self.limit(rule, &mut limited)?;
            }
        }
        Ok(())
    }

    /// Gives the sites of a rule to it, unless another has them.
    fn attach(&mut self, rules: &[AttachRule], index: usize) -> Bounded<()> {
        let rule = &rules[index];
        let sites = self.finder.sites(&rule.sites)?;
        self.finder.look(sites.len().saturating_mul(rule.except.len()), rule.span)?;
        let path = |site: &usize| self.graph.sites[*site].path.as_str();
        for except in &rule.except {
            if !sites.is_empty() && !sites.iter().any(|site| except.value.matches(path(site))) {
                self.problems.push(
                    Diagnostic::error(
                        codes::RULE_MATCHES_NOTHING,
                        except.span,
                        "the exception leaves nothing out",
                    )
                    .mark("the rule has no site there")
                    .label(rule.span, "of this rule"),
                );
            }
        }
        let excepted = |site: &usize| rule.except.iter().any(|except| except.value.matches(path(site)));
        let kept: Vec<usize> = sites.iter().copied().filter(|site| !excepted(site)).collect();
        if kept.is_empty() {
            self.problems.push(self.finder.nothing(&rule.sites, rule.span, !sites.is_empty()));
        }
        let mut reported = BTreeSet::new();
        for site in kept {
            if let Some(first) = self.matched.insert(site, index)
                && reported.insert(first)
            {
                self.problems.push(self.two_rules(site, &rules[first], rule));
            }
        }
        Ok(())
    }

    fn two_rules(&self, site: usize, first: &AttachRule, second: &AttachRule) -> Diagnostic {
        let at = &self.graph.sites[site];
        let owner = at.owners.last().map_or("", String::as_str);
        let place = shown(&at.path);
        Diagnostic::error(
            codes::TWO_RULES,
            second.span,
            format!("two rules attach a quantizer to `{}` of `{owner}`, as at `{place}`", at.port),
        )
        .mark("the second rule")
        .label(first.span, "the first rule")
        .label(at.span, "the site")
        .help("make room with `except at PATH`, or narrow one rule with `in`, `under` or `at`")
    }

    /// Makes a quantizer for each name.
    fn name(&mut self, rules: &[AttachRule]) {
        let mut by_name: HashMap<String, usize> = HashMap::new();
        for (site_index, rule_index) in &self.matched {
            let (site, rule) = (&self.graph.sites[*site_index], &rules[*rule_index]);
            let stem = rule.alias.clone().unwrap_or_else(|| format!("{}_quantizer", site.stem));
            let name = if site.path.is_empty() { stem } else { format!("{}.{stem}", site.path) };
            if let Some(index) = by_name.get(&name) {
                let quantizer = &self.quantizers[*index];
                let first = &self.graph.sites[quantizer.site];
                if quantizer.rule == rule.span && self.is_same_place(first, site) {
                    self.placed.insert(*site_index, *index);
                } else {
                    self.problems.push(
                        Diagnostic::error(
                            codes::QUANTIZER_NAME_TWICE,
                            rule.span,
                            format!("two quantizers would be called `{name}`"),
                        )
                        .mark("this rule names one of them")
                        .label(first.span, format!("one site: its `{}`", first.port))
                        .label(site.span, format!("another site: its `{}`", site.port))
                        .help("give each rule its own name with `as NAME`"),
                    );
                }
                continue;
            }
            if let Some(problem) = misfit(rule, site) {
                self.problems.push(problem);
                continue;
            }
            by_name.insert(name.clone(), self.quantizers.len());
            self.placed.insert(*site_index, self.quantizers.len());
            self.quantizers.push(Quantizer {
                name,
                scheme: rule.scheme.clone(),
                limit: None,
                tie: None,
                site: *site_index,
                rule: rule.span,
                kind: rule.quantizer.clone(),
            });
        }
    }

    /// Whether two sites are one port of one instance that is called twice.
    fn is_same_place(&self, first: &Site, second: &Site) -> bool {
        first.port == second.port
            && match (first.target, second.target) {
                (Some(SiteTarget::Boundary(first)), Some(SiteTarget::Boundary(second))) => {
                    self.graph.node(first).scope == self.graph.node(second).scope
                }
                _ => first.span == second.span,
            }
    }

    /// The sites of a phrase that have a quantizer, with it.
    fn at(&mut self, phrase: &SiteRule, span: Span) -> Bounded<Vec<(usize, usize)>> {
        let sites = self.finder.sites(phrase)?;
        let found: Vec<(usize, usize)> =
            sites.iter().filter_map(|site| Some((*site, *self.placed.get(site)?))).collect();
        if sites.is_empty() {
            self.problems.push(self.finder.nothing(phrase, span, false));
        } else if found.is_empty() {
            self.problems.push(
                Diagnostic::error(codes::RULE_MATCHES_NOTHING, span, "the rule matches no quantizer")
                    .mark("its sites have none")
                    .help("attach a quantizer there first"),
            );
        }
        Ok(found)
    }

    /// Ties the sites of a rule within each instance of the module that they are
    /// written in. `next` is the number of the next tie.
    fn tie(&mut self, rule: &TieRule, next: &mut u32) -> Bounded<()> {
        let mut groups: BTreeMap<u32, BTreeSet<usize>> = BTreeMap::new();
        let before = self.problems.len();
        for phrase in &rule.sites {
            for (site, quantizer) in self.at(phrase, rule.span)? {
                groups.entry(self.graph.sites[site].scope.0).or_default().insert(quantizer);
            }
        }
        if self.problems.len() == before && groups.values().all(|group| group.len() < 2) {
            self.problems.push(
                Diagnostic::error(codes::TIE, rule.span, "the rule ties nothing")
                    .mark("no two of its quantizers are in the same instance of a module")
                    .help("name at least two sites that are written in one module"),
            );
        }
        for group in groups.values() {
            let refused = group.iter().find_map(|index| learned(rule.span, "tie", &self.quantizers[*index]));
            if let Some(problem) = refused {
                self.problems.push(problem);
                break;
            }
            let mut first: Option<usize> = None;
            for index in group {
                let first = *first.get_or_insert(*index);
                if let Some(problem) =
                    tie_misfit(self.graph, rule, &self.quantizers[first], &self.quantizers[*index])
                {
                    self.problems.push(problem);
                }
            }
            for index in group {
                self.quantizers[*index].tie = Some(*next);
            }
            *next += 1;
        }
        Ok(())
    }

    /// Bounds the ranges of a rule's sites; `by` is the rule that bounds each quantizer.
    fn limit(&mut self, rule: &LimitRule, by: &mut HashMap<usize, Span>) -> Bounded<()> {
        for (_, quantizer) in self.at(&rule.sites, rule.span)? {
            if let Some(problem) = learned(rule.span, "limit", &self.quantizers[quantizer]) {
                self.problems.push(problem);
                break;
            }
            if let Some(first) = by.insert(quantizer, rule.span)
                && first != rule.span
            {
                let name = &self.quantizers[quantizer].name;
                self.problems.push(
                    Diagnostic::error(codes::TWO_RULES, rule.span, format!("two rules limit `{name}`"))
                        .mark("the second rule")
                        .label(first, "the first rule")
                        .help("remove one of them, or narrow one with `in`, `under` or `at`"),
                );
            }
            self.quantizers[quantizer].limit = Some(rule.bound);
        }
        Ok(())
    }
}

/// A state-dict path for a message.
fn shown(path: &str) -> &str {
    if path.is_empty() { "the model" } else { path }
}
