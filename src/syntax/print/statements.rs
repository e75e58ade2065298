//! Bodies, statements and types.

use super::layout::Group;
use super::weave::Weave;
use crate::syntax::ast::{
    Body, Declaration, DeclarationKind, Expr, For, If, Let, Placement, Require, Size, Statement,
    TensorTypeExpr, TypeAlternative, TypeExpr,
};

impl Weave<'_> {
    pub(super) fn body(&mut self, body: &Body) {
        self.lines(&body.statements, Weave::statement);
    }

    /// A line for each element, between braces.
    pub(super) fn lines<T>(&mut self, elements: &[T], mut element: impl FnMut(&mut Self, &T)) {
        if elements.is_empty() {
            self.empty("{", "}");
            return;
        }
        self.token("{");
        self.indented(|weave| {
            for each in elements {
                weave.hard();
                element(weave, each);
            }
            weave.closing_comments();
        });
        self.hard_with(false);
        self.token("}");
    }

    /// The body of an `if` or `for`: one statement may stand on its line.
    fn branch(&mut self, body: &Body) {
        match body.statements.as_slice() {
            [only] if !matches!(only, Statement::If(_) | Statement::For(_)) => {
                self.token("{");
                if self.breaks_ahead() {
                    self.force();
                }
                self.indented(|weave| {
                    weave.soft(" ");
                    weave.statement(only);
                    weave.closing_comments();
                });
                self.soft(" ");
                self.token("}");
            }
            _ => self.body(body),
        }
    }

    fn statement(&mut self, statement: &Statement) {
        match statement {
            Statement::Declaration(declaration) => self.declaration(declaration),
            Statement::Let(named) => self.let_statement("let", named),
            Statement::Set(named) => self.let_statement("set", named),
            Statement::Return(returned) => {
                self.word("return");
                self.expr(&returned.value);
            }
            Statement::Require(require) => self.require(require),
            Statement::If(choice) => self.group(|weave| weave.if_statement(choice)),
            Statement::For(repeated) => self.group(|weave| weave.for_statement(repeated)),
            Statement::Answer(answer) => {
                self.word("answer");
                self.token(&answer.kind.value);
                self.arguments(&answer.arguments);
            }
        }
    }

    fn declaration(&mut self, declaration: &Declaration) {
        self.docs(&declaration.docs);
        self.token(&declaration.name.value);
        self.word(":");
        match &declaration.kind {
            DeclarationKind::Parameter(ty) => self.tensor_type(ty),
            DeclarationKind::Placement(placement) => self.placement(placement),
        }
    }

    fn placement(&mut self, placement: &Placement) {
        self.token(&placement.module.value);
        if let Some(settings) = &placement.settings {
            self.arguments(settings);
        }
        self.repeat(placement.repeat.as_ref());
        if let Some(prefix) = &placement.from {
            self.infix("from");
            self.string(&prefix.value);
        }
        if let Some(parameters) = &placement.with {
            self.infix("with");
            self.arguments(parameters);
        }
    }

    pub(super) fn let_statement(&mut self, word: &str, statement: &Let) {
        self.docs(&statement.docs);
        self.word(word);
        self.token(&statement.name.value);
        self.infix("=");
        self.expr(&statement.value);
    }

    pub(super) fn require(&mut self, require: &Require) {
        self.docs(&require.docs);
        self.group(|weave| {
            weave.word("require");
            weave.expr(&require.condition);
            weave.indented(|weave| {
                weave.soft(" ");
                weave.word("else");
                weave.string(&require.message.value);
            });
        });
    }

    fn if_statement(&mut self, choice: &If) {
        self.word("if");
        self.expr(&choice.condition);
        self.space();
        self.branch(&choice.then);
        let Some(otherwise) = &choice.otherwise else { return };
        self.infix("else");
        match otherwise.statements.as_slice() {
            [Statement::If(inner)] if choice.else_if => self.if_statement(inner),
            _ => self.branch(otherwise),
        }
    }

    fn for_statement(&mut self, repeated: &For) {
        self.word("for");
        self.token(&repeated.name.value);
        self.infix("in");
        self.expr(&repeated.from);
        self.token("..");
        self.expr(&repeated.to);
        self.space();
        self.branch(&repeated.body);
    }

    /// `= EXPR`
    pub(super) fn default(&mut self, value: Option<&Expr>) {
        if let Some(value) = value {
            self.infix("=");
            self.expr(value);
        }
    }

    /// `* COUNT`
    fn repeat(&mut self, count: Option<&Expr>) {
        if let Some(count) = count {
            self.infix("*");
            self.expr(count);
        }
    }

    pub(super) fn type_expr(&mut self, ty: &TypeExpr) {
        self.type_expr_of(Group::LOOSE, ty);
    }

    pub(super) fn type_expr_of(&mut self, group: Group, ty: &TypeExpr) {
        self.joined(group, "|", &ty.alternatives, |weave, alternative| match alternative {
            TypeAlternative::Tensor(tensor) => weave.tensor_type(tensor),
            TypeAlternative::Named(name) => weave.token(&name.value),
        });
        self.repeat(ty.repeat.as_deref());
        if ty.optional {
            self.token("?");
        }
    }

    fn tensor_type(&mut self, ty: &TensorTypeExpr) {
        self.token(&ty.dtype.value);
        self.list_of(Group::TIGHT, ["[", "]"], &ty.shape, |weave, size| match size {
            Size::Ellipsis(_) => weave.token("..."),
            Size::Expr(size) => weave.expr(size),
        });
    }
}
