//! The model as a tree of modules, each quantizer at its place.

use super::{Module, Page, Quantizer, card, html::Html, numbers};
use crate::calibration::Quality;

/// Modules are open down to here.
const OPEN: usize = 3;

/// Deeper ones stand after the module that they are in: browsers bound the depth.
const DEEPEST: usize = 48;

/// Writes the tree.
pub fn write(html: &mut Html, page: &Page) {
    html.element("section", &[("aria-labelledby", "model")], |section| {
        section.leaf("h2", &[("id", "model")], "The model");
        let lead =
            "Each quantizer stands in its module. Modules in grey have none and are computed in float.";
        section.leaf("p", &[("class", "lead")], lead);
        section.element("div", &[("class", "tree")], |div| {
            let tree = Tree::new(page);
            for root in &tree.roots {
                tree.module(div, *root, "", 0);
            }
        });
    });
}

/// What is in which module, by position.
struct Tree<'a> {
    page: &'a Page,
    roots: Vec<usize>,
    branches: Vec<Branch<'a>>,
}

/// A module and what is in it.
#[derive(Clone, Default)]
struct Branch<'a> {
    children: Vec<usize>,
    quantizers: Vec<(usize, &'a Quantizer)>,
    /// How many quantizers there are, in the modules within too.
    count: usize,
    /// What that one of them costs which loses most.
    worst: Option<&'a Quality>,
}

impl<'a> Tree<'a> {
    fn new(page: &'a Page) -> Tree<'a> {
        let mut branches = vec![Branch::default(); page.modules.len()];
        for (index, quantizer) in page.quantizers.iter().enumerate() {
            if let Some(branch) = branches.get_mut(quantizer.module) {
                branch.quantizers.push((index, quantizer));
                branch.add(1, quantizer.quality.as_ref());
            }
        }
        let mut roots = Vec::new();
        // A module comes after the one it is in, so what is within is complete.
        for (at, module) in page.modules.iter().enumerate().rev() {
            let Some(own) = branches.get(at) else { continue };
            let (count, worst) = (own.count, own.worst);
            match module.parent.filter(|parent| *parent < at).and_then(|parent| branches.get_mut(parent)) {
                Some(parent) => {
                    parent.children.insert(0, at);
                    parent.add(count, worst);
                }
                None => roots.insert(0, at),
            }
        }
        Tree { page, roots, branches }
    }

    fn module(&self, html: &mut Html, at: usize, above: &str, depth: usize) {
        let (Some(module), Some(branch)) = (self.page.modules.get(at), self.branches.get(at)) else { return };
        html.line();
        if branch.count == 0 {
            html.element("div", &[("class", "module float")], |line| heading(line, module, above));
            return;
        }
        let open = [("class", "module"), ("open", "")];
        let attributes = if depth < OPEN { &open[..] } else { &open[..1] };
        html.element("details", attributes, |details| {
            details.element("summary", &[], |summary| {
                heading(summary, module, above);
                summary.text(" ");
                summary.leaf("span", &[("class", "sum")], &branch.sum());
            });
            for (index, quantizer) in &branch.quantizers {
                details.line();
                card::write(details, *index, quantizer, &module.path);
            }
            if depth < DEEPEST {
                self.children(details, branch, &module.path, depth + 1);
            }
        });
        if depth >= DEEPEST {
            self.children(html, branch, &module.path, depth);
        }
    }

    fn children(&self, html: &mut Html, branch: &Branch<'_>, path: &str, depth: usize) {
        for child in &branch.children {
            self.module(html, *child, path, depth);
        }
    }
}

impl<'a> Branch<'a> {
    fn add(&mut self, count: usize, quality: Option<&'a Quality>) {
        self.count += count;
        let both = self.worst.into_iter().chain(quality);
        self.worst = both.min_by(|a, b| a.signal_to_noise.total_cmp(&b.signal_to_noise));
    }

    /// `20 quantizers, worst 27.3 dB`
    fn sum(&self) -> String {
        let count = match self.count {
            1 => "1 quantizer".to_owned(),
            count => format!("{count} quantizers"),
        };
        match self.worst {
            Some(worst) if self.count > 1 => format!("{count}, worst {} dB", numbers::decibels(worst)),
            Some(worst) => format!("{count}, {} dB", numbers::decibels(worst)),
            None => count,
        }
    }
}

/// What of a path is the module's own, and its kind.
fn heading(html: &mut Html, module: &Module, above: &str) {
    let own = module.path.strip_prefix(above).unwrap_or(&module.path).trim_start_matches('.');
    if !own.is_empty() {
        html.leaf("span", &[("class", "path")], own);
        html.text(" ");
    }
    html.leaf("span", &[("class", "kind")], &module.kind);
}
