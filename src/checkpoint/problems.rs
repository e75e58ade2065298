//! What of a spec a checkpoint does not give, as diagnostics.

use super::{
    Wanted,
    fresh::missing_heads,
    names::{canonical, is_range, parts, within},
    surplus::list,
    tensor_file::Stored,
};
use crate::{
    codes,
    config::Config,
    diagnostic::{Code, Diagnostic, Diagnostics},
};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// So many misshapen tensors are told one by one; more are one problem.
const TOLD_APART: usize = 6;

/// Everything wrong between a spec and a checkpoint.
pub(super) struct Problems<'a> {
    /// The weights' file name.
    weights: &'a str,
    config: &'a Config,
    /// Tensors may be drawn in place of those that are missing or misshapen.
    training: bool,
    pub(super) missing: Vec<&'a Wanted>,
    pub(super) misshapen: Vec<Found<'a>>,
    pub(super) unreadable: Vec<Found<'a>>,
}

/// A wanted tensor and what was found in its place.
pub(super) struct Found<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) file: &'a str,
    pub(super) stored: &'a Stored,
}

impl<'a> Problems<'a> {
    pub(super) fn new(weights: &'a str, config: &'a Config, training: bool) -> Problems<'a> {
        let (missing, misshapen, unreadable) = (Vec::new(), Vec::new(), Vec::new());
        Problems { weights, config, training, missing, misshapen, unreadable }
    }

    /// Takes out what is missing because the checkpoint was not trained with that head.
    pub(super) fn take_heads(&mut self, wanted: &[&Wanted], names: &[&str]) -> Vec<&'a Wanted> {
        let heads = missing_heads(&self.missing, wanted, names);
        self.missing.retain(|missing| !heads.contains(missing));
        heads
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.misshapen.is_empty() && self.unreadable.is_empty()
    }

    /// The problems; `wanted` is all that was asked for, `names` all that is there.
    pub(super) fn diagnostics(&self, wanted: &[&Wanted], names: &[&str]) -> Diagnostics {
        let mut diagnostics = Diagnostics::default();
        let (ranges, weights): (Vec<_>, Vec<_>) =
            self.missing.iter().copied().partition(|wanted| is_range(&wanted.path));
        let expected = wanted.iter().filter(|wanted| !is_range(&wanted.path)).count();
        let missing: Vec<String> = weights.iter().map(|wanted| canonical(&wanted.path)).collect();
        let regions: HashSet<&str> = missing.iter().filter_map(|name| parts(name).next()).collect();
        if weights.len() == expected && regions.len() > 1 {
            diagnostics.push(self.nothing_there(&weights, names));
        } else {
            self.missing_weights(&weights, wanted, names, &mut diagnostics);
        }
        self.missing_ranges(&ranges, wanted, &mut diagnostics);
        self.misshapen(&mut diagnostics);
        for found in &self.unreadable {
            let message = format!(
                "`{}` in {} has elements of type {:?}, which cannot be loaded",
                found.wanted.path, found.file, found.stored.dtype
            );
            diagnostics.push(
                at(found.wanted, codes::WRONG_ELEMENTS, message)
                    .help("save the model with f32, f16 or bf16 weights"),
            );
        }
        diagnostics
    }

    fn nothing_there(&self, missing: &[&Wanted], names: &[&str]) -> Diagnostic {
        let examples = |names: Vec<&str>| list(names.iter().map(|name| format!("`{name}`")).collect());
        let spec = examples(missing.iter().map(|wanted| wanted.path.as_str()).collect());
        let message = format!("none of the spec's {} tensors is in {}", missing.len(), self.weights);
        let diagnostic = missing.first().map_or_else(
            || Diagnostic::outside(codes::MISSING_PART, message.clone()),
            |first| at(first, codes::MISSING_PART, message.clone()),
        );
        diagnostic
            .note(format!("the spec has {spec}"))
            .note(match names {
                [] => format!("{} has no tensors at all", self.weights),
                names => format!("{} has {}", self.weights, examples(names.to_vec())),
            })
            .help("give a checkpoint of a BERT, or name the submodules as the file does: `from \"prefix\"`")
    }

    fn missing_weights(
        &self,
        missing: &[&Wanted],
        wanted: &[&Wanted],
        names: &[&str],
        diagnostics: &mut Diagnostics,
    ) {
        let names: Vec<String> = names.iter().map(|name| canonical(name)).collect();
        let present: HashSet<&str> = names.iter().flat_map(|name| parts(name)).collect();
        let mut groups: BTreeMap<String, Vec<&Wanted>> = BTreeMap::new();
        for tensor in missing {
            let name = canonical(&tensor.path);
            let part = parts(&name).find(|part| !present.contains(part)).unwrap_or(&name);
            groups.entry(siblings(part)).or_default().push(tensor);
        }
        for (part, group) in groups {
            let Some(first) = group.first() else { continue };
            if canonical(&first.path) == part {
                let message = format!("`{}` is not in {}", first.path, self.weights);
                let shape = format!("{} in the spec", spec_type(first));
                let diagnostic = at(first, codes::MISSING_TENSOR, message).mark(shape);
                diagnostics.push(if self.training {
                    diagnostic.help(format!("give a checkpoint that has it, or {}", drawn_anew(&first.path)))
                } else {
                    diagnostic
                });
            } else {
                diagnostics.push(self.missing_part(&part, &group, wanted, &names));
            }
        }
    }

    fn missing_part(
        &self,
        part: &str,
        group: &[&Wanted],
        wanted: &[&Wanted],
        names: &[String],
    ) -> Diagnostic {
        let numbers: BTreeSet<u64> = group.iter().filter_map(|w| number(&canonical(&w.path), part)).collect();
        let name = match (numbers.first(), numbers.last()) {
            (Some(first), Some(last)) if first == last => {
                format!("`{}`", part.replace('*', &first.to_string()))
            }
            (Some(first), Some(last)) => format!("`{}` {first} to {last}", part.trim_end_matches(".*")),
            _ => format!("`{part}`"),
        };
        let tensors = match group.len() {
            1 => "the only tensor".into(),
            2 => "both tensors".into(),
            count => format!("all {count} tensors"),
        };
        let verb = if group.len() == 1 { "is" } else { "are" };
        let message = format!("{tensors} of {name} {verb} missing from {}", self.weights);
        let listed = list(group.iter().map(|wanted| format!("`{}`", wanted.path)).collect());
        let diagnostic = group.first().map_or_else(
            || Diagnostic::outside(codes::MISSING_PART, message.clone()),
            |first| at(first, codes::MISSING_PART, message.clone()),
        );
        let help = if numbers.is_empty() {
            self.head_help(part, group)
        } else {
            self.layers_help(part, wanted, names)
        };
        diagnostic.mark("not in the checkpoint").note(format!("the spec has {listed}")).help(help)
    }

    /// `part` as canonical names have it, and the tensors in it.
    fn head_help(&self, part: &str, group: &[&Wanted]) -> String {
        let saved_as = self.config.get("architectures").and_then(|list| list.get(0)?.as_str());
        let saved = match saved_as {
            Some(class) => format!("{} says that it was saved as {class}", self.config.origin),
            None if self.training => "the checkpoint has no such part".into(),
            None => "the checkpoint has no such head".into(),
        };
        if self.training {
            // The path that the spec gives it.
            let path = group.first().and_then(|first| {
                let rest = canonical(&first.path).strip_prefix(part)?.len();
                first.path.get(..first.path.len().checked_sub(rest)?)
            });
            return format!(
                "{saved}: choose the spec of that model, give a checkpoint that has this part, or {}",
                drawn_anew(path.unwrap_or(part))
            );
        }
        format!(
            "{saved}: choose the spec of that model, give a checkpoint fine-tuned for this task, or train the \
             head with `qdqc train`"
        )
    }

    fn layers_help(&self, part: &str, wanted: &[&Wanted], names: &[String]) -> String {
        let owner = part.strip_suffix(".*").unwrap_or(part);
        let count = |names: &mut dyn Iterator<Item = String>| {
            names.filter_map(|name| number(&name, &format!("{owner}.*"))).collect::<BTreeSet<_>>().len()
        };
        let have = count(&mut names.iter().cloned());
        let want = count(&mut wanted.iter().map(|wanted| canonical(&wanted.path)));
        let fields = fields(self.config, want);
        let field =
            if fields.is_empty() { String::new() } else { format!(" ({fields} in {})", self.config.origin) };
        format!(
            "the spec has {want} of `{owner}`{field} and the checkpoint {have}: set the number right, or give \
             the checkpoint that belongs to the config"
        )
    }

    fn missing_ranges(&self, missing: &[&Wanted], wanted: &[&Wanted], diagnostics: &mut Diagnostics) {
        const HELP: &str = "calibrate with `qdqc calibrate`, give ranges with `--amax FILE.safetensors`, or run \
             without quantizers with `--float`";
        let Some(first) = missing.first() else { return };
        let total = wanted.iter().filter(|wanted| is_range(&wanted.path)).count();
        let owner = |wanted: &Wanted| format!("`{}`", wanted.path.trim_end_matches("._amax"));
        let message = match (missing.len(), total) {
            (1, _) => format!("{} has no range in {}", owner(first), self.weights),
            (count, total) if count == total => {
                format!("none of the {total} quantizers has a range in {}", self.weights)
            }
            (count, total) => format!("{count} of {total} quantizers have no range in {}", self.weights),
        };
        let mut diagnostic =
            at(first, codes::MISSING_RANGE, message).mark("this one needs a range").help(HELP);
        if missing.len() > 1 {
            diagnostic = diagnostic
                .note(format!("without a range: {}", list(missing.iter().map(|w| owner(w)).collect())));
        }
        diagnostics.push(diagnostic);
    }

    fn misshapen(&self, diagnostics: &mut Diagnostics) {
        if self.misshapen.len() <= TOLD_APART {
            for found in &self.misshapen {
                let diagnostic = self.with_reasons(wrong_shape(found), std::slice::from_ref(found));
                diagnostics.push(self.with_redrawing(diagnostic, found));
            }
        } else if let Some(first) = self.misshapen.first() {
            let message = format!("{} tensors have other shapes in {}", self.misshapen.len(), self.weights);
            let mut diagnostic = at(first.wanted, codes::WRONG_SHAPE, message).mark(sizes(first));
            for found in self.misshapen.iter().take(3) {
                diagnostic = diagnostic.note(format!("`{}`: {}", found.wanted.path, sizes(found)));
            }
            diagnostics.push(self.with_reasons(diagnostic, &self.misshapen));
        }
    }

    /// Adds that training may do without what the checkpoint has.
    fn with_redrawing(&self, mut diagnostic: Diagnostic, found: &Found) -> Diagnostic {
        let path = &found.wanted.path;
        if self.training && !is_range(path) {
            let owner = path.rsplit_once('.').map_or(path.as_str(), |(owner, _)| owner);
            let redraw = drawn_anew(owner);
            diagnostic.help = Some(match diagnostic.help {
                Some(help) => format!("{help}, or {redraw}"),
                None => redraw,
            });
        }
        diagnostic
    }

    /// Adds which fields of the config have the sizes that the file contradicts.
    fn with_reasons(&self, mut diagnostic: Diagnostic, misshapen: &[Found]) -> Diagnostic {
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for found in misshapen.iter().filter(|found| !is_range(&found.wanted.path)) {
            if found.wanted.shape.len() == found.stored.shape.len() {
                let sizes = found.wanted.shape.iter().copied().zip(found.stored.shape.iter().copied());
                pairs.extend(sizes.filter(|(spec, file)| spec != file));
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        for (spec, file) in pairs.into_iter().take(4) {
            let fields = fields(self.config, spec);
            if !fields.is_empty() {
                diagnostic = diagnostic.note(format!(
                    "{spec} in the spec, {file} in the checkpoint: {fields} is {spec} in {}",
                    self.config.origin
                ));
                diagnostic.help.get_or_insert_with(|| {
                    "give the config.json that belongs to these weights, or set the sizes right with `--set`".into()
                });
            }
        }
        diagnostic
    }
}

/// How to train without what a checkpoint has under this path.
fn drawn_anew(path: &str) -> String {
    format!("draw it anew with `--fresh {path}`")
}

fn wrong_shape(found: &Found) -> Diagnostic {
    let path = &found.wanted.path;
    let diagnostic = at(found.wanted, codes::WRONG_SHAPE, format!("`{path}`: {}", sizes(found)))
        .mark(spec_type(found.wanted));
    if !is_range(path) {
        return diagnostic;
    }
    let count = |shape: &[usize]| shape.iter().product::<usize>();
    diagnostic.help(match (count(&found.wanted.shape), count(&found.stored.shape)) {
        (1, _) => {
            "the checkpoint was calibrated with a range per channel: say so in the spec, or calibrate again"
        }
        (_, 1) => {
            "the checkpoint was calibrated with one range per tensor: say so in the spec, or calibrate again"
        }
        _ => "calibrate again: these ranges belong to a tensor of another size",
    })
}

fn sizes(found: &Found) -> String {
    format!("{} in the spec, {:?} in {}", spec_type(found.wanted), found.stored.shape, found.file)
}

fn spec_type(wanted: &Wanted) -> String {
    format!("f32{:?}", wanted.shape)
}

fn at(wanted: &Wanted, code: Code, message: String) -> Diagnostic {
    match wanted.span {
        Some(span) => Diagnostic::error(code, span, message),
        None => Diagnostic::outside(code, message),
    }
}

/// The part, with `*` for its number if it is one of a list: `layer.11` is
/// `layer.*`.
fn siblings(part: &str) -> String {
    match part.rsplit_once('.') {
        Some((owner, last)) if last.parse::<u64>().is_ok() => format!("{owner}.*"),
        _ => part.to_owned(),
    }
}

/// Which of the list `owner.*` a name lies in.
fn number(name: &str, part: &str) -> Option<u64> {
    let owner = part.strip_suffix(".*")?;
    if !within(name, owner) {
        return None;
    }
    name.get(owner.len() + 1..)?.split('.').next()?.parse().ok()
}

/// The fields of a config that have this value, in words.
fn fields(config: &Config, value: usize) -> String {
    let fields = config.fields().iter().filter(|(_, field)| field.as_u64() == Some(value as u64));
    let names: Vec<String> = fields.map(|(name, _)| format!("`{name}`")).collect();
    names.join(" or ")
}
