//! `quantize` blocks: schemes checked, rules turned into data.

use super::{Resolver, environment::Environment, names::with_near_miss, value::Value};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::{AttachRule, LimitRule, PathPattern, ScopeId, SiteRule, TieRule},
    names::list_of,
    quant::{Calibration, Mode, RangeSource, Scheme, Storage},
    span::{Span, Spanned},
    syntax::ast::{self, ExprKind, RuleKind, Scope},
};
use std::collections::HashMap;

/// A quantizer of a block: its scheme, unless it has an error, and whether a
/// rule attaches it.
struct Declared<'a> {
    name: &'a ast::Name,
    scheme: Option<Scheme>,
    used: bool,
}

impl<'a> Resolver<'a> {
    /// Reads every `quantize` block into the graph's rules.
    pub(super) fn rules(&mut self) {
        let blocks: Vec<&'a ast::Quantize> = self.globals.quantizes.clone();
        for block in blocks {
            self.block(block);
        }
    }

    fn block(&mut self, block: &'a ast::Quantize) {
        let mut declared: HashMap<&'a str, Declared<'a>> = HashMap::new();
        for rule in &block.rules {
            let RuleKind::Quantizer { name, scheme, options } = &rule.kind else { continue };
            let scheme = self.scheme(scheme, options.as_deref().unwrap_or_default(), rule.span);
            if let Some(first) = declared.insert(&name.value, Declared { name, scheme, used: false }) {
                self.report(
                    Diagnostic::error(
                        codes::DUPLICATE_NAME,
                        name.span,
                        format!("the quantizer `{}` is declared twice", name.value),
                    )
                    .mark("declared again here")
                    .label(first.name.span, "first declared here"),
                );
            }
        }
        for rule in &block.rules {
            match &rule.kind {
                RuleKind::Quantizer { .. } => {}
                RuleKind::Attach { quantizer, sites, scopes, alias, except } => {
                    let known: Vec<&'a str> = declared.keys().copied().collect();
                    let Some(found) = declared.get_mut(quantizer.value.as_str()) else {
                        let unknown = Diagnostic::error(
                            codes::UNKNOWN_QUANTIZER,
                            quantizer.span,
                            format!("there is no quantizer `{}`", quantizer.value),
                        )
                        .mark("not declared in this block")
                        .help(format!("declare it: `quantizer {} = int8()`", quantizer.value));
                        self.report(with_near_miss(unknown, quantizer, known));
                        continue;
                    };
                    found.used = true;
                    let (scheme, declared) = (found.scheme.clone(), found.name.span);
                    let sites = self.site_rule(sites, scopes);
                    let except = except.iter().map(path).collect();
                    if let Some(scheme) = scheme {
                        self.graph.rules.attach.push(AttachRule {
                            quantizer: quantizer.value.clone(),
                            scheme,
                            declared,
                            sites,
                            alias: alias.as_ref().map(|name| name.value.clone()),
                            except,
                            span: rule.span,
                        });
                    }
                }
                RuleKind::Tie { sites, scopes } => {
                    let sites = sites.iter().map(|sites| self.site_rule(sites, scopes)).collect();
                    self.graph.rules.tie.push(TieRule { sites, span: rule.span });
                }
                RuleKind::Limit { sites, scopes, bound, .. } => {
                    let sites = self.site_rule(sites, scopes);
                    if bound.value > 0.0 && bound.value.is_finite() {
                        self.graph.rules.limit.push(LimitRule { sites, bound: bound.value, span: rule.span });
                    } else {
                        self.report(
                            Diagnostic::error(
                                codes::QUANTIZER,
                                bound.span,
                                "a range is limited to a number above zero",
                            )
                            .mark(format!("this is {}", bound.value)),
                        );
                    }
                }
            }
        }
        let mut unused: Vec<_> = declared.values().filter(|quantizer| !quantizer.used).collect();
        unused.sort_by_key(|quantizer| quantizer.name.span);
        for quantizer in unused {
            let name = &quantizer.name.value;
            self.report(
                Diagnostic::error(
                    codes::UNUSED,
                    quantizer.name.span,
                    format!("the quantizer `{name}` is attached nowhere"),
                )
                .mark("declared, but no rule attaches it")
                .help(format!("attach it, as in `attach {name} to input of Linear`, or remove it")),
            );
        }
    }

    fn site_rule(&mut self, sites: &'a ast::Sites, scopes: &'a [Scope]) -> SiteRule {
        let mut rule = SiteRule {
            ports: sites.ports.clone(),
            owner: sites.of.clone(),
            written_in: Vec::new(),
            under: Vec::new(),
            at: Vec::new(),
            span: sites.span,
        };
        for scope in scopes {
            match scope {
                Scope::In(names) => rule.written_in.extend(names.iter().cloned()),
                Scope::Under(names) => rule.under.extend(names.iter().cloned()),
                Scope::At(paths) => rule.at.extend(paths.iter().map(path)),
            }
        }
        for name in rule.written_in.iter().chain(&rule.under) {
            let text = name.value.as_str();
            let model = self.globals.models.iter().any(|model| model.name.value == text);
            let function = self.globals.functions.contains_key(text);
            if !self.globals.modules.contains_key(text) && !model && !function {
                let unknown =
                    Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("there is no module `{text}`"))
                        .mark("not declared by `module`");
                let known: Vec<&str> = self.globals.modules.keys().copied().collect();
                self.report(with_near_miss(unknown, name, known));
            }
        }
        rule
    }

    /// `int8(axis: 0, range: narrow, calibrate: percentile(99.99))`
    fn scheme(&mut self, name: &'a ast::Name, options: &'a [ast::Argument], span: Span) -> Option<Scheme> {
        let storage = self.storage(name)?;
        let mut scheme = Scheme {
            storage,
            axis: None,
            mode: Mode::Onnx,
            range: RangeSource::Calibrated(Calibration::Max),
            scale_amax: None,
        };
        let mut calibration = None;
        let mut source: Option<(RangeSource, Span)> = None;
        let mut fine = true;
        for option in options {
            let place = option.value.span;
            let Some(key) = &option.name else {
                self.bad_option(place, "options of a quantizer go by name, as in `axis: 0`", "has no name");
                return None;
            };
            let flag = |wanted: &str| matches!(&option.value.kind, ExprKind::Name(word) if word == wanted);
            let done = match key.value.as_str() {
                "axis" if flag("none") => Some(()),
                "axis" => self.whole(&option.value).map(|axis| scheme.axis = Some(axis)),
                "range" if flag("full") => Some(()),
                "range" if flag("narrow") => match &mut scheme.storage {
                    Storage::Integer { signed: true, narrow, .. } => {
                        *narrow = true;
                        Some(())
                    }
                    _ => {
                        self.bad_option(
                            place,
                            "only signed integers have a narrow range",
                            "nothing to narrow",
                        );
                        None
                    }
                },
                "range" => self.one_of(option, &["full", "narrow"]),
                "mode" if flag("onnx") => Some(()),
                "mode" if flag("nv") => {
                    scheme.mode = Mode::Nv;
                    Some(())
                }
                "mode" if flag("nv_narrow") => {
                    scheme.mode = Mode::NvNarrow;
                    Some(())
                }
                "mode" => self.one_of(option, &["onnx", "nv", "nv_narrow"]),
                "calibrate" => self.calibration(&option.value).map(|method| calibration = Some(method)),
                "amax" => match self.positive(&option.value) {
                    Some(amax) => self.source(&mut source, RangeSource::Fixed(amax), key.span),
                    None => None,
                },
                "scale_amax" => self.positive(&option.value).map(|factor| scheme.scale_amax = Some(factor)),
                "dynamic" if flag("true") => self.source(&mut source, RangeSource::Dynamic, key.span),
                "learn" if flag("true") => {
                    self.source(&mut source, RangeSource::Learned(Calibration::Max), key.span)
                }
                "dynamic" | "learn" if flag("false") => Some(()),
                "dynamic" | "learn" => self.one_of(option, &["true", "false"]),
                _ => {
                    let known =
                        ["axis", "range", "mode", "calibrate", "amax", "scale_amax", "dynamic", "learn"];
                    let unknown = Diagnostic::error(
                        codes::QUANTIZER,
                        key.span,
                        format!("a quantizer has no option `{}`", key.value),
                    )
                    .mark("no such option")
                    .note(format!("the options are {}", list_of(known)));
                    self.report(with_near_miss(unknown, key, known));
                    None
                }
            };
            fine &= done.is_some();
        }
        scheme.range = match (source, calibration) {
            (None, method) => RangeSource::Calibrated(method.unwrap_or(Calibration::Max)),
            (Some((RangeSource::Learned(_), _)), method) => {
                RangeSource::Learned(method.unwrap_or(Calibration::Max))
            }
            (Some((source, _)), None) => source,
            (Some((_, place)), Some(_)) => {
                self.bad_option(
                    place,
                    "a range that is fixed or dynamic is not calibrated",
                    "remove this or `calibrate`",
                );
                fine = false;
                RangeSource::Dynamic
            }
        };
        if scheme.scale_amax.is_some() && matches!(scheme.range, RangeSource::Learned(_)) {
            self.bad_option(span, "a learned range is used as it is", "remove `scale_amax` or `learn`");
            fine = false;
        }
        if scheme.storage == Storage::E4M3 && scheme.mode != Mode::Onnx {
            self.bad_option(span, "e4m3 has no integer mode", "remove `mode`");
            fine = false;
        }
        fine.then_some(scheme)
    }

    fn storage(&mut self, name: &'a ast::Name) -> Option<Storage> {
        let text = name.value.as_str();
        if text == "e4m3" {
            return Some(Storage::E4M3);
        }
        let integer = |prefix: &str| text.strip_prefix(prefix).map(|bits| bits.parse::<u32>());
        let (signed, bits) = match (integer("uint"), integer("int")) {
            (Some(Ok(bits)), _) => (false, bits),
            (_, Some(Ok(bits))) => (true, bits),
            _ => {
                let unknown = Diagnostic::error(
                    codes::QUANTIZER,
                    name.span,
                    format!("there is no kind of quantizer `{text}`"),
                )
                .mark("not a kind of quantizer")
                .help("write `int2` to `int16`, `uint2` to `uint16`, or `e4m3`");
                self.report(with_near_miss(unknown, name, ["int8", "uint8", "int4", "int16", "e4m3"]));
                return None;
            }
        };
        match u8::try_from(bits).ok().filter(|bits| (2..=16).contains(bits)) {
            Some(bits) => Some(Storage::Integer { bits, signed, narrow: false }),
            None => {
                self.report(
                    Diagnostic::error(
                        codes::QUANTIZER,
                        name.span,
                        format!("a quantizer has 2 to 16 bits, not {bits}"),
                    )
                    .mark(format!("{bits} bits"))
                    .help("8 bits are what TensorRT and ONNX Runtime run fastest: `int8`"),
                );
                None
            }
        }
    }

    fn calibration(&mut self, expr: &'a ast::Expr) -> Option<Calibration> {
        let names = ["max", "percentile", "entropy", "mse"];
        let (name, arguments): (&str, &'a [ast::Argument]) = match &expr.kind {
            ExprKind::Name(name) => (name, &[]),
            ExprKind::Call(callee, arguments) => match &callee.kind {
                ExprKind::Name(name) => (name, arguments),
                _ => ("", &[]),
            },
            _ => ("", &[]),
        };
        let method = match (name, arguments) {
            ("max", []) => Calibration::Max,
            ("entropy", []) => Calibration::Entropy,
            ("mse", []) => Calibration::MeanSquaredError,
            ("percentile", []) => Calibration::Percentile(99.99),
            ("percentile", [argument]) => {
                let share = self.positive(&argument.value)?;
                if share > 100.0 {
                    self.bad_option(
                        argument.value.span,
                        "a percentile is above 0 and at most 100",
                        &format!("this is {share}"),
                    );
                    return None;
                }
                Calibration::Percentile(share)
            }
            _ => {
                self.report(
                    Diagnostic::error(
                        codes::QUANTIZER,
                        expr.span,
                        format!("there is no calibration `{}`", self.sources.slice(expr.span)),
                    )
                    .mark("no such method")
                    .help(format!(
                        "the methods are {}, percentile with its share as in `percentile(99.99)`",
                        list_of(names)
                    )),
                );
                return None;
            }
        };
        Some(method)
    }

    fn source(
        &mut self,
        source: &mut Option<(RangeSource, Span)>,
        new: RangeSource,
        span: Span,
    ) -> Option<()> {
        if let Some((_, first)) = source {
            self.report(
                Diagnostic::error(
                    codes::QUANTIZER,
                    span,
                    "a range comes from one place: `amax`, `dynamic` or `learn`",
                )
                .mark("a second")
                .label(*first, "the first"),
            );
            return None;
        }
        *source = Some((new, span));
        Some(())
    }

    fn one_of(&mut self, option: &'a ast::Argument, known: &[&str]) -> Option<()> {
        let key = option.name.as_ref().map_or("", |name| name.value.as_str());
        let text = self.sources.slice(option.value.span).to_owned();
        self.bad_option(
            option.value.span,
            &format!("`{key}` is one of {}, not `{text}`", list_of(known.iter().copied())),
            "not one of them",
        );
        None
    }

    fn bad_option(&mut self, span: Span, message: &str, mark: &str) {
        self.report(Diagnostic::error(codes::QUANTIZER, span, message).mark(mark));
    }

    fn whole(&mut self, expr: &'a ast::Expr) -> Option<i64> {
        let mut env = Environment::new(ScopeId(0), "");
        match self.expr(expr, &mut env) {
            Value::Int(number) if (-8..8).contains(&number) => Some(number),
            Value::Poison => None,
            other => {
                self.bad_option(
                    expr.span,
                    &format!("an axis is a whole number, or `none`, not {}", other.text()),
                    "not an axis",
                );
                None
            }
        }
    }

    fn positive(&mut self, expr: &'a ast::Expr) -> Option<f64> {
        let mut env = Environment::new(ScopeId(0), "");
        let value = self.expr(expr, &mut env);
        let number = value.as_number().filter(|number| *number > 0.0 && number.is_finite());
        if number.is_none() && !value.is_poison() {
            self.bad_option(
                expr.span,
                &format!("a number above zero is wanted, not {}", value.text()),
                "not above zero",
            );
        }
        number
    }
}

fn path(name: &ast::Name) -> Spanned<PathPattern> {
    Spanned { value: PathPattern::new(&name.value), span: name.span }
}
