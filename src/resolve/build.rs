//! Growing the graph: nodes with unique names, sites, and a limit on both.

use super::{Resolver, environment::Environment, value::Instance};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::{Node, NodeId, NodeKind, Parameter, ScopeId, Site, SiteTarget},
    ops::Op,
    span::Span,
    types::{DType, TensorType},
};

/// Nodes of a graph, at most. BERT-large has about two thousand.
const MOST_NODES: usize = 50_000;
/// Expressions evaluated for a graph, at most.
const MOST_STEPS: usize = 1_000_000;
/// Axes of a tensor, at most.
const MOST_AXES: usize = 16;

impl<'a> Resolver<'a> {
    /// Reports a problem.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.problems.push(diagnostic);
        self.stopped |= self.problems.is_full();
    }

    /// Counts work; false once a spec has asked for more than any BERT needs.
    pub(super) fn spend(&mut self, steps: usize, span: Span) -> bool {
        self.steps = self.steps.saturating_add(steps);
        if self.stopped {
            return false;
        }
        if self.steps > MOST_STEPS || self.graph.nodes.len() > MOST_NODES {
            self.stopped = true;
            self.problems.push(
                Diagnostic::error(codes::MODEL_TOO_LARGE, span, "the model is too large to compile")
                    .mark("too much by here")
                    .note(format!(
                        "so far it has {} nodes and {} submodules, made in {} steps",
                        self.graph.nodes.len(),
                        self.instances.len(),
                        self.steps
                    ))
                    .help(format!(
                        "a graph has at most {MOST_NODES} nodes: check the number of layers and the bounds of `for`"
                    )),
            );
        }
        !self.stopped
    }

    /// A node in the body of `env`, named after the `let` that it is the value
    /// of, or else after `fallback`.
    pub(super) fn push(
        &mut self,
        env: &Environment<'a>,
        kind: NodeKind,
        operands: Vec<NodeId>,
        ty: TensorType,
        fallback: &str,
        span: Span,
    ) -> NodeId {
        let stem = env.hint.as_deref().unwrap_or(fallback);
        let path = self.graph.scopes.get(env.scope.0 as usize).map_or("", |scope| scope.path.as_str());
        let name = join(path, stem);
        self.push_named(kind, operands, ty, name, env.scope, span)
    }

    /// A node with this name, made unique.
    pub(super) fn push_named(
        &mut self,
        kind: NodeKind,
        operands: Vec<NodeId>,
        ty: TensorType,
        name: String,
        scope: ScopeId,
        span: Span,
    ) -> NodeId {
        self.spend(1 + name.len() / 8, span);
        let name = self.unique(name);
        let id = NodeId(self.graph.nodes.len() as u32);
        self.graph.nodes.push(Node { kind, operands, name, ty, scope, span });
        id
    }

    /// The name, or the name and a number where a node has it already.
    fn unique(&mut self, name: String) -> String {
        let mut own = name.clone();
        while self.node_names.contains_key(&own) {
            let count = self.node_names.entry(name.clone()).or_insert(1);
            *count += 1;
            own = format!("{name}.{count}");
        }
        self.node_names.insert(own.clone(), 1);
        own
    }

    /// An operator over operands whose types it has accepted, and its sites.
    pub(super) fn push_op(
        &mut self,
        env: &Environment<'a>,
        op: Op,
        operands: Vec<NodeId>,
        ty: TensorType,
        span: Span,
    ) -> NodeId {
        let schema = op.schema();
        let node = self.push(env, NodeKind::Op(op), operands.clone(), ty, schema.name, span);
        let mut owners = vec![schema.name.to_owned()];
        owners.extend(env.hint.clone().filter(|hint| hint != schema.name));
        let stem = env.hint.as_deref().unwrap_or(schema.name);
        let path =
            self.graph.scopes.get(env.scope.0 as usize).map_or(String::new(), |scope| scope.path.clone());
        for (index, (operand, port)) in operands.iter().zip(schema.operands).enumerate() {
            let ty = self.graph.node(*operand).ty.clone();
            if !ty.dtype.is_float() || matches!(self.graph.node(*operand).kind, NodeKind::Constant(_)) {
                continue;
            }
            self.graph.sites.push(Site {
                port: (*port).to_owned(),
                owners: owners.clone(),
                path: path.clone(),
                stem: format!("{stem}_{port}"),
                written_in: env.written_in.clone(),
                scope: env.scope,
                target: Some(SiteTarget::Operand(node, index)),
                ty,
                span,
            });
        }
        node
    }

    /// The boundary of an instance at one of its ports or parameters, and its site.
    ///
    /// The site is written in `written_in`, in the body of the instance `scope`.
    pub(super) fn boundary(
        &mut self,
        (scope, written_in): (ScopeId, &str),
        instance: &Instance<'a>,
        port: &str,
        value: NodeId,
        span: Span,
    ) -> NodeId {
        let ty = self.graph.node(value).ty.clone();
        if !ty.dtype.is_float() {
            return value;
        }
        let name = join(&instance.path, &format!("{port}_boundary"));
        let node = self.push_named(NodeKind::Boundary, vec![value], ty.clone(), name, instance.scope, span);
        let module = instance.module.name.value.clone();
        let mut owners = vec![module];
        if instance.name != owners[0] {
            owners.push(instance.name.clone());
        }
        self.graph.sites.push(Site {
            port: port.to_owned(),
            owners,
            path: instance.path.clone(),
            stem: format!("_{port}"),
            written_in: written_in.to_owned(),
            scope,
            target: Some(SiteTarget::Boundary(node)),
            ty,
            span,
        });
        node
    }

    /// The parameter at `path`, the same node at every use; `None` where it is of
    /// another type elsewhere, reported.
    pub(super) fn parameter(
        &mut self,
        path: String,
        ty: TensorType,
        scope: ScopeId,
        span: Span,
    ) -> Option<NodeId> {
        if let Some(id) = self.parameters.get(&path) {
            let node = self.graph.node(*id);
            if node.ty == ty {
                return Some(*id);
            }
            let problem = Diagnostic::error(
                codes::DUPLICATE_NAME,
                span,
                format!(
                    "two parameters have the state-dict path `{path}`: one is {}, the other {ty}",
                    node.ty
                ),
            )
            .mark(format!("this is {ty}"))
            .label(node.span, format!("this is {}", node.ty))
            .help("a `from` gives submodules a path: give each its own");
            self.report(problem);
            return None;
        }
        let kind = NodeKind::Parameter(Parameter { path: path.clone(), tied: Vec::new() });
        let node = self.push_named(kind, Vec::new(), ty, path.clone(), scope, span);
        self.parameters.insert(path, node);
        Some(node)
    }

    /// Whether a shape has a sensible number of axes; reports where it has not.
    pub(super) fn has_few_axes(&mut self, axes: usize, span: Span) -> bool {
        if axes > MOST_AXES {
            let message = format!("a tensor has at most {MOST_AXES} axes, not {axes}");
            self.report(Diagnostic::error(codes::MODEL_TOO_LARGE, span, message).mark("too many axes"));
        }
        axes <= MOST_AXES
    }

    /// A number as a scalar of this dtype.
    pub(super) fn constant(&mut self, env: &Environment<'a>, value: f64, dtype: DType, span: Span) -> NodeId {
        let path = self.graph.scopes.get(env.scope.0 as usize).map_or("", |scope| scope.path.as_str());
        let name = join(path, "number");
        self.push_named(
            NodeKind::Constant(value),
            Vec::new(),
            TensorType::new(dtype, vec![]),
            name,
            env.scope,
            span,
        )
    }

    /// The type of a node's value.
    pub(super) fn type_of(&self, node: NodeId) -> &TensorType {
        &self.graph.node(node).ty
    }
}

/// A state-dict path and one more segment.
pub(super) fn join(path: &str, segment: &str) -> String {
    match (path, segment) {
        ("", segment) => segment.to_owned(),
        (path, "") => path.to_owned(),
        (path, segment) => format!("{path}.{segment}"),
    }
}
