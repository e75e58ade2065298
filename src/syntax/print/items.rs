//! Declarations at the top level, and the rules of `quantize` blocks.

use super::layout::Group;
use super::weave::Weave;
use crate::syntax::ast::{
    ConfigField, ConfigKind, DimBinding, DimRule, Field, Function, Input, Item, ItemKind, Model, Module,
    Name, Output, Port, Quantize, Record, ResultType, Rule, RuleKind, Scope, Setting, Sites, TypeExpr,
};

/// Has a body of lines, and therefore blank lines around it.
pub(super) fn is_block(kind: &ItemKind) -> bool {
    matches!(kind, ItemKind::Fn(_) | ItemKind::Module(_) | ItemKind::Model(_) | ItemKind::Quantize(_))
}

impl Weave<'_> {
    pub(super) fn item(&mut self, item: &Item) {
        self.docs(&item.docs);
        match &item.kind {
            ItemKind::Use(path) => {
                self.word("use");
                self.string(&path.value);
            }
            ItemKind::Dim(bindings) => {
                self.word("dim");
                self.indented(|weave| weave.comma_separated(bindings, Weave::dim_binding));
            }
            ItemKind::Config(field) => self.config_field(field),
            ItemKind::Const(statement) => self.let_statement("let", statement),
            ItemKind::Type(alias) => {
                self.word("type");
                self.token(&alias.name.value);
                self.infix("=");
                self.type_expr(&alias.ty);
            }
            ItemKind::Record(record) => self.record(record),
            ItemKind::Require(require) => self.require(require),
            ItemKind::Fn(function) => self.function(function),
            ItemKind::Module(module) => self.module(module),
            ItemKind::Model(model) => self.model(model),
            ItemKind::Quantize(quantize) => self.quantize(quantize),
        }
    }

    fn dim_binding(&mut self, binding: &DimBinding) {
        self.token(&binding.name.value);
        match &binding.rule {
            DimRule::Bound => {}
            DimRule::Else(size) => {
                self.infix("else");
                self.expr(size);
            }
            DimRule::Equals(size) => {
                self.infix("=");
                self.expr(size);
            }
        }
    }

    fn config_field(&mut self, field: &ConfigField) {
        self.word("config");
        self.token(&field.name.value);
        self.word(":");
        match &field.ty.kind {
            ConfigKind::Named(name) => self.token(&name.value),
            ConfigKind::OneOf(choices) => {
                self.joined(Group::LOOSE, "|", choices, |weave, choice| weave.string(&choice.value));
            }
        }
        if field.ty.optional {
            self.token("?");
        }
        self.default(field.default.as_ref());
    }

    /// Fields stand on lines without commas, or together with commas.
    fn record(&mut self, record: &Record) {
        self.word("record");
        self.word(&record.name.value);
        if record.fields.is_empty() {
            self.empty("{", "}");
            return;
        }
        self.group(|weave| {
            weave.token("{");
            if weave.breaks_ahead() {
                weave.force();
            }
            weave.indented(|weave| {
                weave.soft(" ");
                for (at, field) in record.fields.iter().enumerate() {
                    if at > 0 {
                        weave.comma_if_flat();
                        weave.soft(" ");
                    }
                    weave.field(field);
                }
                weave.skip(&[","]);
                weave.closing_comments();
            });
            weave.soft(" ");
            weave.token("}");
        });
    }

    fn function(&mut self, function: &Function) {
        self.word("fn");
        self.token(&function.name.value);
        self.signature(&function.ports, &function.result);
        self.body(&function.body);
    }

    fn module(&mut self, module: &Module) {
        self.word("module");
        self.token(&module.name.value);
        if module.settings.is_empty() {
            self.skip(&["(", ")"]);
        } else {
            self.list(["(", ")"], &module.settings, Weave::setting);
        }
        self.infix("on");
        self.signature(&module.ports, &module.result);
        self.body(&module.body);
    }

    fn model(&mut self, model: &Model) {
        self.word("model");
        self.token(&model.name.value);
        self.list(["(", ")"], &model.inputs, Weave::input);
        self.infix("->");
        self.list(["(", ")"], &model.outputs, Weave::output);
        self.space();
        self.body(&model.body);
    }

    fn signature(&mut self, ports: &[Port], result: &ResultType) {
        self.list(["(", ")"], ports, Weave::port);
        self.infix("->");
        match result {
            // Ports part before a type does.
            ResultType::One(ty) => self.type_expr_of(Group::TIGHT, ty),
            ResultType::Fields(fields) => self.list(["(", ")"], fields, Weave::field),
        }
        self.space();
    }

    /// `NAME: TYPE`
    fn typed(&mut self, name: &Name, ty: &TypeExpr) {
        self.token(&name.value);
        self.word(":");
        self.type_expr(ty);
    }

    fn field(&mut self, field: &Field) {
        self.docs(&field.docs);
        self.typed(&field.name, &field.ty);
    }

    fn port(&mut self, port: &Port) {
        self.docs(&port.docs);
        self.typed(&port.name, &port.ty);
        self.default(port.default.as_ref());
    }

    fn setting(&mut self, setting: &Setting) {
        self.docs(&setting.docs);
        self.token(&setting.name.value);
        self.word(":");
        self.token(&setting.ty.value);
        if setting.optional {
            self.token("?");
        }
        self.default(setting.default.as_ref());
    }

    fn input(&mut self, input: &Input) {
        self.docs(&input.docs);
        self.typed(&input.name, &input.ty);
        if let Some(other) = &input.unless {
            self.infix("unless");
            self.token(&other.value);
        }
        self.default(input.default.as_ref());
    }

    fn output(&mut self, output: &Output) {
        self.docs(&output.docs);
        self.typed(&output.name, &output.ty);
        if output.on_request {
            self.infix("on");
            self.token("request");
        }
    }

    fn quantize(&mut self, quantize: &Quantize) {
        self.word("quantize");
        self.word(&quantize.name.value);
        self.lines(&quantize.rules, Weave::rule);
    }

    fn rule(&mut self, rule: &Rule) {
        self.docs(&rule.docs);
        match &rule.kind {
            RuleKind::Quantizer { name, scheme, options } => {
                self.word("quantizer");
                self.token(&name.value);
                self.infix("=");
                self.token(&scheme.value);
                if let Some(options) = options {
                    self.arguments(options);
                }
            }
            sentence => self.group(|weave| weave.indented(|weave| weave.sentence(sentence))),
        }
    }

    /// A rule that goes on, indented, on the next line where it is too long for one.
    fn sentence(&mut self, kind: &RuleKind) {
        match kind {
            RuleKind::Quantizer { .. } => {}
            RuleKind::Attach { quantizer, sites, scopes, alias, except } => {
                self.word("attach");
                self.token(&quantizer.value);
                self.infix("to");
                self.sites(sites);
                self.scopes(scopes);
                if let Some(alias) = alias {
                    self.clause("as", std::slice::from_ref(alias));
                }
                if !except.is_empty() {
                    self.soft(" ");
                    self.word("except");
                    self.word("at");
                    self.comma_separated(except, Weave::name);
                }
            }
            RuleKind::Tie { sites, scopes } => {
                self.word("tie");
                self.comma_separated(sites, Weave::sites);
                self.scopes(scopes);
            }
            RuleKind::Limit { sites, scopes, text, .. } => {
                self.word("limit");
                self.sites(sites);
                self.scopes(scopes);
                self.soft(" ");
                self.word("to");
                self.token(text);
            }
        }
    }

    fn sites(&mut self, sites: &Sites) {
        self.comma_separated(&sites.ports, Weave::name);
        self.infix("of");
        self.token(&sites.of.value);
    }

    fn scopes(&mut self, scopes: &[Scope]) {
        for scope in scopes {
            match scope {
                Scope::In(modules) => self.clause("in", modules),
                Scope::Under(modules) => self.clause("under", modules),
                Scope::At(paths) => self.clause("at", paths),
            }
        }
    }

    fn clause(&mut self, word: &str, names: &[Name]) {
        self.soft(" ");
        self.word(word);
        self.comma_separated(names, Weave::name);
    }

    fn name(&mut self, name: &Name) {
        self.token(&name.value);
    }
}
