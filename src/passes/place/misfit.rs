//! Quantizers that cannot be where a rule puts them, or not together.

use super::shown;
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::{AttachRule, Graph, Quantizer, Site, TieRule},
    quant::{RangeSource, Storage},
    span::Span,
    types::Dim,
};

/// A scheme that its site cannot have.
pub(super) fn misfit(rule: &AttachRule, site: &Site) -> Option<Diagnostic> {
    let axis = rule.scheme.axis?;
    let wrong = |message: String, help: &str| {
        Some(
            Diagnostic::error(codes::QUANTIZER_MISFIT, rule.span, message)
                .mark("attached here")
                .label(rule.declared, "declared here")
                .label(site.span, format!("the site: {}", site.ty))
                .help(help),
        )
    };
    let Some(kept) = kept(site, axis) else {
        return wrong(
            format!(
                "`{}` keeps axis {axis}, but `{}` at `{}` has {} axes: {}",
                rule.quantizer,
                site.port,
                shown(&site.path),
                site.ty.rank(),
                site.ty
            ),
            "choose an axis that is there, or leave `axis` out for one range",
        );
    };
    if kept.as_known().is_none() {
        return wrong(
            format!(
                "`{}` keeps axis {axis} of {}, whose size `{kept}` is bound only when the model runs",
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

/// The size of the axis that a quantizer at the site keeps.
fn kept(site: &Site, axis: i64) -> Option<&Dim> {
    let rank = i64::try_from(site.ty.rank()).ok()?;
    let index = if axis < 0 { axis.checked_add(rank)? } else { axis };
    site.ty.shape.get(usize::try_from(index).ok()?)
}

/// A rule that holds a magnitude, for a quantizer whose range is learned: two numbers
/// that training moves.
pub(super) fn learned(rule: Span, word: &str, quantizer: &Quantizer) -> Option<Diagnostic> {
    let RangeSource::Learned(_) = quantizer.scheme.range else { return None };
    let message = format!("`{word}` does not hold for `{}`, whose range is learned", quantizer.name);
    Some(
        Diagnostic::error(codes::QUANTIZER_MISFIT, rule, message)
            .mark("this rule")
            .label(quantizer.rule, "attached here")
            .help(format!("remove it, or leave `learn: true` out of `{}`", quantizer.kind)),
    )
}

/// Two quantizers of a tie that cannot share a range.
pub(super) fn tie_misfit(
    graph: &Graph,
    rule: &TieRule,
    first: &Quantizer,
    second: &Quantizer,
) -> Option<Diagnostic> {
    let size = |quantizer: &Quantizer| {
        let axis = quantizer.scheme.axis?;
        graph.sites.get(quantizer.site).and_then(|site| kept(site, axis).cloned())
    };
    let why = if second.tie.is_some() {
        format!("another rule ties `{}` already", second.name)
    } else if first.scheme != second.scheme {
        format!("`{}` is {}, but `{}` is {}", first.kind, first.scheme, second.kind, second.scheme)
    } else if size(first) != size(second) {
        let size = |quantizer| size(quantizer).map_or_else(String::new, |size| size.to_string());
        format!("`{}` has {} ranges, but `{}` has {}", first.name, size(first), second.name, size(second))
    } else {
        return None;
    };
    let problem =
        Diagnostic::error(codes::TIE, rule.span, format!("these quantizers cannot share a range: {why}"))
            .mark("tied here")
            .label(first.rule, "attached here");
    Some(if first.rule == second.rule { problem } else { problem.label(second.rule, "attached here") })
}
