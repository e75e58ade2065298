//! Declarations at the top level.

use super::{Builder, Parse, Parts, Rule};
use crate::syntax::ast::{
    ConfigField, ConfigKind, ConfigType, DimBinding, DimRule, Field, Function, Input, Item, ItemKind, Model,
    Module, Output, Port, Record, ResultType, Setting, SpecFile, TypeAlias,
};
use pest::iterators::Pair;

impl Builder {
    pub(super) fn spec(&mut self, pair: Pair<'_, Rule>) -> Parse<SpecFile> {
        let items = self.parts(pair).every(Rule::item).map(|item| self.item(item)).collect::<Parse<_>>()?;
        Ok(SpecFile { items })
    }

    fn item(&mut self, pair: Pair<'_, Rule>) -> Parse<Item> {
        let span = self.span(&pair);
        let declaration = self.parts(pair).any()?;
        let rule = declaration.as_rule();
        // These two are statements too and carry their own docs.
        let kind = match rule {
            Rule::require => ItemKind::Require(self.require(declaration)?),
            Rule::const_decl => ItemKind::Const(self.let_stmt(declaration)?),
            _ => {
                let mut parts = self.parts(declaration);
                let docs = self.docs(&mut parts);
                let kind = self.item_kind(rule, parts)?;
                return Ok(Item { docs, span, kind });
            }
        };
        Ok(Item { docs: Vec::new(), span, kind })
    }

    fn item_kind(&mut self, rule: Rule, mut parts: Parts<'_>) -> Parse<ItemKind> {
        // The word that begins the declaration.
        parts.any()?;
        Ok(match rule {
            Rule::use_decl => ItemKind::Use(self.string(parts.need(Rule::string)?)),
            Rule::dim_decl => ItemKind::Dim(
                parts.every(Rule::dim_binding).map(|pair| self.dim_binding(pair)).collect::<Parse<_>>()?,
            ),
            Rule::config_decl => ItemKind::Config(self.config_field(parts)?),
            Rule::type_decl => {
                let name = self.name(parts.need(Rule::name)?);
                parts.need(Rule::equals)?;
                ItemKind::Type(TypeAlias { name, ty: self.type_expr(parts.need(Rule::type_expr)?)? })
            }
            Rule::record_decl => {
                let name = self.name(parts.need(Rule::name)?);
                ItemKind::Record(Record { name, fields: self.fields(parts)? })
            }
            Rule::fn_decl => ItemKind::Fn(self.function(parts)?),
            Rule::module_decl => ItemKind::Module(self.module(parts)?),
            Rule::model_decl => ItemKind::Model(self.model(parts)?),
            _ => ItemKind::Quantize(self.quantize(parts)?),
        })
    }

    fn dim_binding(&mut self, pair: Pair<'_, Rule>) -> Parse<DimBinding> {
        let mut parts = self.parts(pair);
        let name = self.name(parts.need(Rule::name)?);
        let rule = if parts.has(Rule::else_) {
            DimRule::Else(self.expr(parts.any()?)?)
        } else if let Some(size) = parts.after(Rule::equals)? {
            DimRule::Equals(self.expr(size)?)
        } else {
            DimRule::Bound
        };
        Ok(DimBinding { name, rule })
    }

    fn config_field(&mut self, mut parts: Parts<'_>) -> Parse<ConfigField> {
        let name = self.name(parts.need(Rule::name)?);
        parts.need(Rule::colon)?;
        let ty = self.config_type(parts.need(Rule::config_type)?)?;
        Ok(ConfigField { name, ty, default: self.default(&mut parts)? })
    }

    fn config_type(&self, pair: Pair<'_, Rule>) -> Parse<ConfigType> {
        let mut parts = self.parts(pair);
        let span = parts.span;
        let kind = match parts.take(Rule::name) {
            Some(name) => ConfigKind::Named(self.name(name)),
            None => {
                let mut choices = vec![self.string(parts.need(Rule::string)?)];
                while let Some(choice) = parts.after(Rule::bar)? {
                    choices.push(self.string(choice));
                }
                ConfigKind::OneOf(choices)
            }
        };
        Ok(ConfigType { kind, optional: parts.has(Rule::question), span })
    }

    fn function(&mut self, mut parts: Parts<'_>) -> Parse<Function> {
        let name = self.name(parts.need(Rule::name)?);
        let ports = self.ports(parts.need(Rule::ports)?)?;
        parts.need(Rule::arrow)?;
        let result = self.result(parts.need(Rule::result)?)?;
        Ok(Function { name, ports, result, body: self.body(parts.need(Rule::body)?)? })
    }

    fn module(&mut self, mut parts: Parts<'_>) -> Parse<Module> {
        let name = self.name(parts.need(Rule::name)?);
        let settings = match parts.take(Rule::settings) {
            Some(pair) => self.settings(pair)?,
            None => Vec::new(),
        };
        parts.need(Rule::on)?;
        let ports = self.ports(parts.need(Rule::ports)?)?;
        parts.need(Rule::arrow)?;
        let result = self.result(parts.need(Rule::result)?)?;
        Ok(Module { name, settings, ports, result, body: self.body(parts.need(Rule::body)?)? })
    }

    fn model(&mut self, mut parts: Parts<'_>) -> Parse<Model> {
        let name = self.name(parts.need(Rule::name)?);
        let inputs = self.parts(parts.need(Rule::inputs)?);
        let inputs = inputs.every(Rule::input).map(|pair| self.input(pair)).collect::<Parse<_>>()?;
        parts.need(Rule::arrow)?;
        let outputs = self.parts(parts.need(Rule::outputs)?);
        let outputs = outputs.every(Rule::output).map(|pair| self.output(pair)).collect::<Parse<_>>()?;
        Ok(Model { name, inputs, outputs, body: self.body(parts.need(Rule::body)?)? })
    }

    fn settings(&mut self, pair: Pair<'_, Rule>) -> Parse<Vec<Setting>> {
        self.parts(pair).every(Rule::setting).map(|pair| self.setting(pair)).collect()
    }

    fn setting(&mut self, pair: Pair<'_, Rule>) -> Parse<Setting> {
        let mut parts = self.parts(pair);
        let docs = self.docs(&mut parts);
        let name = self.name(parts.need(Rule::name)?);
        parts.need(Rule::colon)?;
        let ty = self.name(parts.need(Rule::name)?);
        let optional = parts.has(Rule::question);
        Ok(Setting { docs, name, ty, optional, default: self.default(&mut parts)? })
    }

    fn ports(&mut self, pair: Pair<'_, Rule>) -> Parse<Vec<Port>> {
        self.parts(pair).every(Rule::port).map(|pair| self.port(pair)).collect()
    }

    fn port(&mut self, pair: Pair<'_, Rule>) -> Parse<Port> {
        let mut parts = self.parts(pair);
        let Field { docs, name, ty } = self.field(&mut parts)?;
        Ok(Port { docs, name, ty, default: self.default(&mut parts)? })
    }

    fn input(&mut self, pair: Pair<'_, Rule>) -> Parse<Input> {
        let mut parts = self.parts(pair);
        let Field { docs, name, ty } = self.field(&mut parts)?;
        let unless = parts.after(Rule::unless)?.map(|other| self.name(other));
        Ok(Input { docs, name, ty, unless, default: self.default(&mut parts)? })
    }

    fn output(&mut self, pair: Pair<'_, Rule>) -> Parse<Output> {
        let mut parts = self.parts(pair);
        let Field { docs, name, ty } = self.field(&mut parts)?;
        Ok(Output { docs, name, ty, on_request: parts.has(Rule::on) })
    }

    fn result(&mut self, pair: Pair<'_, Rule>) -> Parse<ResultType> {
        let mut parts = self.parts(pair);
        match parts.take(Rule::type_expr) {
            Some(pair) => Ok(ResultType::One(self.type_expr(pair)?)),
            None => Ok(ResultType::Fields(self.fields(parts)?)),
        }
    }

    fn fields(&mut self, parts: Parts<'_>) -> Parse<Vec<Field>> {
        let field = |pair| {
            let mut parts = self.parts(pair);
            self.field(&mut parts)
        };
        parts.every(Rule::field).map(field).collect()
    }

    /// `NAME: TYPE`, with its docs.
    fn field(&mut self, parts: &mut Parts<'_>) -> Parse<Field> {
        let docs = self.docs(parts);
        let name = self.name(parts.need(Rule::name)?);
        parts.need(Rule::colon)?;
        Ok(Field { docs, name, ty: self.type_expr(parts.need(Rule::type_expr)?)? })
    }
}
