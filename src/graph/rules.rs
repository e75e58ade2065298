//! The rules of `quantize` blocks as data: which quantizer goes to which sites.

use super::{Graph, ScopeId, Site};
use crate::{
    quant::Scheme,
    span::{Span, Spanned},
};
use std::fmt;

/// Every rule of a spec. Their order means nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// Which quantizer goes where.
    pub attach: Vec<AttachRule>,
    /// Which quantizers share a range.
    pub tie: Vec<TieRule>,
    /// Which ranges are bounded.
    pub limit: Vec<LimitRule>,
}

/// `attach QUANTIZER to SITES as ALIAS except at PATHS`
#[derive(Clone, Debug, PartialEq)]
pub struct AttachRule {
    /// The quantizer's name in the spec.
    pub quantizer: String,
    /// What it does.
    pub scheme: Scheme,
    /// Where it is declared.
    pub declared: Span,
    /// Where it goes.
    pub sites: SiteRule,
    /// Its name in the state dict.
    pub alias: Option<String>,
    /// Paths left out.
    pub except: Vec<Spanned<PathPattern>>,
    /// The whole rule.
    pub span: Span,
}

/// `tie SITES, SITES`
#[derive(Clone, Debug, PartialEq)]
pub struct TieRule {
    /// Sites that share a range within one instance.
    pub sites: Vec<SiteRule>,
    /// The whole rule.
    pub span: Span,
}

/// `limit SITES to BOUND`
#[derive(Clone, Debug, PartialEq)]
pub struct LimitRule {
    /// Sites whose range is bounded.
    pub sites: SiteRule,
    /// The largest range.
    pub bound: f64,
    /// The whole rule.
    pub span: Span,
}

/// `PORTS of OWNER in MODULES under MODULES at PATHS`
#[derive(Clone, Debug, PartialEq)]
pub struct SiteRule {
    /// The ports.
    pub ports: Vec<Spanned<String>>,
    /// An operator, a module, a submodule's name or a value's name.
    pub owner: Spanned<String>,
    /// Modules in whose own body the site is written; empty for any.
    pub written_in: Vec<Spanned<String>>,
    /// Modules anywhere inside which it is; empty for any.
    pub under: Vec<Spanned<String>>,
    /// State-dict paths below which it is; empty for any.
    pub at: Vec<Spanned<PathPattern>>,
    /// The whole phrase.
    pub span: Span,
}

impl Graph {
    /// Whether a phrase names a site.
    pub fn fits(&self, phrase: &SiteRule, site: &Site) -> bool {
        let all = |words: &[Spanned<String>], fits: &dyn Fn(&str) -> bool| {
            words.is_empty() || words.iter().any(|word| fits(&word.value))
        };
        phrase.ports.iter().any(|port| port.value == site.port)
            && site.owners.contains(&phrase.owner.value)
            && all(&phrase.written_in, &|module| site.written_in == module)
            && all(&phrase.under, &|module| self.is_under(site.scope, module))
            && (phrase.at.is_empty() || phrase.at.iter().any(|path| path.value.matches(&site.path)))
    }

    /// Whether a scope is an instance of `module` or inside one.
    pub fn is_under(&self, scope: ScopeId, module: &str) -> bool {
        let mut next = Some(scope.0);
        while let Some(scope) = next.and_then(|index| self.scopes.get(index as usize)) {
            if scope.module == module {
                return true;
            }
            next = scope.parent;
        }
        false
    }
}

/// A stretch of a state-dict path; `*` stands for one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(pub Vec<String>);

impl PathPattern {
    /// From `encoder.layer.*.output`.
    pub fn new(text: &str) -> PathPattern {
        PathPattern(text.split('.').map(str::to_owned).collect())
    }

    /// Whether the stretch stands somewhere in `path`.
    pub fn matches(&self, path: &str) -> bool {
        let mut rest = Some(path);
        while let Some(here) = rest {
            let mut segments = here.split('.');
            if self.0.iter().all(|pattern| segments.next().is_some_and(|it| pattern == "*" || pattern == it))
            {
                return true;
            }
            rest = here.split_once('.').map(|(_, rest)| rest);
        }
        false
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_segments() {
        let path = "bert.encoder.layer.10.output";
        assert!(PathPattern::new("encoder.layer.10").matches(path));
        assert!(PathPattern::new("layer.*.output").matches(path));
        assert!(!PathPattern::new("layer.1").matches(path));
        assert!(!PathPattern::new("output.dense").matches(path));
    }
}
