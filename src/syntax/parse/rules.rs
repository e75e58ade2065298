//! The rules of `quantize` blocks.

use super::{Builder, Parse, Parts, Rule};
use crate::span::Spanned;
use crate::syntax::ast::{ExprKind, Name, Quantize, Rule as Sentence, RuleKind, Scope, Sites};
use pest::iterators::Pair;

impl Builder {
    pub(super) fn quantize(&mut self, mut parts: Parts<'_>) -> Parse<Quantize> {
        let name = self.name(parts.need(Rule::name)?);
        let rules = parts.every(Rule::quantize_rule).map(|pair| self.rule(pair)).collect::<Parse<_>>()?;
        Ok(Quantize { name, rules })
    }

    fn rule(&mut self, pair: Pair<'_, Rule>) -> Parse<Sentence> {
        let pair = self.parts(pair).any()?;
        let rule = pair.as_rule();
        let mut parts = self.parts(pair);
        let span = parts.span;
        let docs = self.docs(&mut parts);
        // The word that begins the rule.
        parts.any()?;
        let kind = match rule {
            Rule::quantizer_decl => self.quantizer(parts)?,
            Rule::attach_rule => self.attach(parts)?,
            Rule::tie_rule => self.tie(parts)?,
            _ => self.limit(parts)?,
        };
        Ok(Sentence { docs, kind, span })
    }

    fn quantizer(&mut self, mut parts: Parts<'_>) -> Parse<RuleKind> {
        let name = self.name(parts.need(Rule::name)?);
        parts.need(Rule::equals)?;
        let scheme = self.name(parts.need(Rule::name)?);
        let options = parts.take(Rule::arguments).map(|pair| self.arguments(pair)).transpose()?;
        Ok(RuleKind::Quantizer { name, scheme, options })
    }

    fn attach(&mut self, mut parts: Parts<'_>) -> Parse<RuleKind> {
        let quantizer = self.name(parts.need(Rule::name)?);
        parts.need(Rule::to)?;
        let sites = self.sites(parts.need(Rule::sites)?)?;
        let scopes = self.scopes(&mut parts)?;
        let alias = match parts.take(Rule::alias) {
            Some(alias) => {
                let mut alias = self.parts(alias);
                alias.need(Rule::as_)?;
                Some(self.name(alias.any()?))
            }
            None => None,
        };
        let except = parts.take(Rule::exception).map(|pair| self.names(pair, Rule::path)).unwrap_or_default();
        Ok(RuleKind::Attach { quantizer, sites, scopes, alias, except })
    }

    fn tie(&mut self, mut parts: Parts<'_>) -> Parse<RuleKind> {
        let mut sites = vec![self.sites(parts.need(Rule::sites)?)?];
        while let Some(pair) = parts.after(Rule::comma)? {
            sites.push(self.sites(pair)?);
        }
        Ok(RuleKind::Tie { sites, scopes: self.scopes(&mut parts)? })
    }

    fn limit(&mut self, mut parts: Parts<'_>) -> Parse<RuleKind> {
        let sites = self.sites(parts.need(Rule::sites)?)?;
        let scopes = self.scopes(&mut parts)?;
        parts.need(Rule::to)?;
        let number = parts.need(Rule::number)?;
        let text = number.as_str().to_string();
        let bound = self.number(number)?;
        let value = match bound.kind {
            ExprKind::Int(value) => value as f64,
            ExprKind::Float(value, _) => value,
            _ => return Err(super::errors::mismatch(Rule::limit_rule, parts.span)),
        };
        Ok(RuleKind::Limit { sites, scopes, bound: Spanned { value, span: bound.span }, text })
    }

    fn sites(&self, pair: Pair<'_, Rule>) -> Parse<Sites> {
        let mut parts = self.parts(pair);
        let mut ports = vec![self.name(parts.need(Rule::name)?)];
        while let Some(port) = parts.after(Rule::comma)? {
            ports.push(self.name(port));
        }
        parts.need(Rule::of)?;
        Ok(Sites { ports, of: self.name(parts.need(Rule::name)?), span: parts.span })
    }

    fn scopes(&self, parts: &mut Parts<'_>) -> Parse<Vec<Scope>> {
        let mut scopes = Vec::new();
        while let Some(pair) = parts.take(Rule::scope) {
            let word = self.parts(pair.clone()).any()?.as_rule();
            scopes.push(match word {
                Rule::in_ => Scope::In(self.names(pair, Rule::name)),
                Rule::under => Scope::Under(self.names(pair, Rule::name)),
                _ => Scope::At(self.names(pair, Rule::path)),
            });
        }
        Ok(scopes)
    }

    /// The names or paths listed in a pair.
    fn names(&self, pair: Pair<'_, Rule>, rule: Rule) -> Vec<Name> {
        self.parts(pair).every(rule).map(|name| self.name(name)).collect()
    }
}
