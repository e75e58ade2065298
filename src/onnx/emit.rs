//! The walk over a graph that makes a model of it.

use super::{
    Model, Options, constant, layout,
    located::unsaid,
    message,
    model::Pending,
    opset,
    proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, ValueInfoProto},
};
use crate::{
    failure::Failure,
    graph::{Checked, Graph, Node, NodeId, NodeKind},
    ops::{
        Mismatch, Op, candle_dtype,
        form::{self, Constant, Element, Form, Numbers, Operand, Sizes, Source, Value},
    },
    types::Bindings,
};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A graph as an ONNX model. `weights` are the checkpoint's tensors, by state-dict path.
///
/// # Errors
/// Something that this opset cannot say, with its place in the spec.
pub fn emit(graph: &Checked, weights: &HashMap<String, Tensor>, options: &Options) -> Result<Model, Failure> {
    let graph = laid_out((**graph).clone(), options)?;
    let mut emitter = Emitter::new(&graph, weights, options);
    for (id, node) in graph.iter() {
        emitter.node(id, node)?;
    }
    emitter.outputs_named_as_inputs();
    if !emitter.problems.is_empty() {
        return Err(Failure::Diagnostics(unsaid(&graph, &emitter.problems)));
    }
    emitter.finish()
}

fn laid_out(graph: Graph, options: &Options) -> Result<Checked, Failure> {
    let mut graph = layout::turn_weights(layout::share(graph));
    if options.layout.wide_biases {
        graph = layout::widen_biases(graph);
    }
    if options.layout.separate_norms {
        graph = layout::separate_norms(graph);
    }
    let fault = |message: String| Failure::outside(format!("the graph could not be laid out: {message}"));
    Checked::new(graph).map_err(|found| fault(found.message))
}

/// What has become of a node.
#[derive(Clone)]
enum Made {
    /// Numbers that are known: written where something needs them.
    Constant(Tensor, String),
    /// A value of the model.
    Value(Value),
}

struct Emitter<'a> {
    graph: &'a Graph,
    weights: &'a HashMap<String, Tensor>,
    options: &'a Options,
    users: Vec<Vec<Option<NodeId>>>,
    made: Vec<Option<Made>>,
    /// The numbers of values that are computed though they are known: weights turned
    /// here that are needed as they are, too.
    turned: HashMap<NodeId, Tensor>,
    sizes: Sizes,
    nodes: Vec<form::Node>,
    /// Constants that forms made, by name, and those that nodes became.
    constants: BTreeMap<String, Constant>,
    /// What nodes say of themselves, by the spec's name.
    rules: HashMap<String, String>,
    problems: Vec<(String, Mismatch)>,
}

impl<'a> Emitter<'a> {
    fn new(graph: &'a Graph, weights: &'a HashMap<String, Tensor>, options: &'a Options) -> Emitter<'a> {
        let rules = graph.attached.iter().filter_map(|(node, quantizer)| {
            let quantizer = graph.quantizers.get(*quantizer)?;
            let (file, line, _) = options.sources.position(quantizer.rule)?;
            let written = options.sources.slice(quantizer.rule);
            let written = written.split_whitespace().collect::<Vec<_>>().join(" ");
            let name = graph.node(*node).name.clone();
            Some((name, format!("{}: {file}:{line}: {written}", quantizer.scheme)))
        });
        Emitter {
            graph,
            weights,
            options,
            users: layout::users(graph),
            made: vec![None; graph.nodes.len()],
            turned: HashMap::new(),
            sizes: Sizes::new(sources(graph)),
            nodes: Vec::new(),
            constants: BTreeMap::new(),
            rules: rules.collect(),
            problems: Vec::new(),
        }
    }

    fn node(&mut self, id: NodeId, node: &Node) -> Result<(), Failure> {
        let made = match &node.kind {
            NodeKind::Input => Some(Made::Value(Value::named(&node.name))),
            NodeKind::Parameter(parameter) => {
                let missing = || Failure::input(format!("there is no weight `{}`", parameter.path));
                let weight = self.weights.get(&parameter.path).ok_or_else(missing)?;
                Some(Made::Constant(weight.clone(), node.name.clone()))
            }
            NodeKind::Constant(number) => {
                let number =
                    Tensor::new(*number, &Device::Cpu).and_then(|n| n.to_dtype(candle_dtype(node.ty.dtype)));
                Some(Made::Constant(number.map_err(outside)?, node.name.clone()))
            }
            NodeKind::Boundary => node.operands.first().and_then(|operand| self.made(*operand)),
            NodeKind::Op(op) => match self.folded(op, node) {
                Some(folded) => Some(folded),
                None => self.operator(op, id, node),
            },
        };
        if let (Some(slot), Some(Made::Constant(tensor, name))) = (self.made.get(id.index()), &made)
            && slot.is_none()
        {
            let (element, numbers) = (Element::Of(node.ty.dtype), Numbers::Tensor(tensor.clone()));
            self.constants.insert(name.clone(), Constant { name: name.clone(), element, numbers });
        }
        if let Some(slot) = self.made.get_mut(id.index()) {
            *slot = made;
        }
        Ok(())
    }

    fn made(&self, id: NodeId) -> Option<Made> {
        self.made.get(id.index()).cloned().flatten()
    }

    /// The result of an operator on known numbers alone. Fake quantizers stay what they
    /// are, and so does a transpose of a weight that is needed as it is, too: it would be
    /// written twice.
    fn folded(&self, op: &Op, node: &Node) -> Option<Made> {
        if matches!(op, Op::FakeQuantize(_)) {
            return None;
        }
        let mut operands = Vec::new();
        let mut name = &node.name;
        for operand in &node.operands {
            let Some(Made::Constant(tensor, own)) = self.made(*operand) else { return None };
            operands.push(tensor);
            if matches!(op, Op::Transpose(_) | Op::Reshape(_)) && node.operands.len() == 1 {
                let parameter = self.graph.node(*operand);
                let single = self.users.get(operand.index()).is_some_and(|users| users.len() == 1);
                if !single && parameter.ty.rank() > 1 && matches!(op, Op::Transpose(_)) {
                    return None;
                }
                if single && own == parameter.name {
                    name = &parameter.name;
                }
            }
        }
        // Sizes of the call are not known here: what depends on them fails, and is computed.
        let value = op.semantics().eval(&operands, &Bindings::new()).ok()?;
        Some(Made::Constant(value, name.clone()))
    }

    fn operator(&mut self, op: &Op, id: NodeId, node: &Node) -> Option<Made> {
        let mut operands = Vec::new();
        for operand in &node.operands {
            let ty = self.graph.node(*operand).ty.clone();
            operands.push(match self.made(*operand)? {
                Made::Constant(tensor, name) => {
                    Operand { value: Value::named(&name), ty, constant: Some(tensor) }
                }
                Made::Value(value) => Operand { value, ty, constant: self.turned.get(operand).cloned() },
            });
        }
        if let (Op::Transpose(_), [Operand { constant: Some(weight), .. }]) = (op, &operands[..]) {
            let turned = op.semantics().eval(std::slice::from_ref(weight), &Bindings::new());
            self.turned.extend(turned.ok().map(|turned| (id, turned)));
        }
        let mut form = Form::new(&node.name, &operands, &node.ty, &self.options.dialect, &mut self.sizes);
        match op.semantics().onnx(&mut form) {
            Ok(result) => {
                let (nodes, constants, result) = form.finish(result);
                self.nodes.extend(nodes);
                self.constants.extend(constants.into_iter().map(|one| (one.name.clone(), one)));
                Some(Made::Value(result))
            }
            Err(mismatch) => {
                self.problems.push((node.name.clone(), mismatch));
                None
            }
        }
    }

    fn finish(mut self) -> Result<Model, Failure> {
        let outputs = self.outputs();
        let mut pending = Vec::new();
        let mut initializer = Vec::new();
        let mut written = BTreeSet::new();
        for name in self.nodes.iter().flat_map(|node| &node.inputs) {
            let Some(constant) = self.constants.get(name).filter(|_| written.insert(name.clone())) else {
                continue;
            };
            let mut tensor = constant::header(constant);
            if constant::size(constant) <= SMALL {
                tensor.raw_data = Some(constant::bytes(constant).map_err(outside)?);
            } else {
                pending.push(Pending { at: initializer.len(), constant: constant.clone() });
            }
            initializer.push(tensor);
        }
        let inputs = self.graph.inputs.iter().map(|input| {
            let node = self.graph.node(input.node);
            message::value_info(&node.name, &node.ty)
        });
        let graph = GraphProto {
            name: Some(self.graph.name.clone()),
            input: inputs.collect(),
            output: outputs,
            value_info: self.value_infos(),
            node: self.nodes.iter().map(|node| message::node(node, self.rule(node))).collect(),
            initializer,
            ..GraphProto::default()
        };
        let opset = self.options.dialect.opset;
        let entry = |(key, value): &(String, String)| StringStringEntryProto {
            key: Some(key.clone()),
            value: Some(value.clone()),
        };
        let proto = ModelProto {
            ir_version: Some(opset::ir_version(opset)),
            opset_import: vec![OperatorSetIdProto { domain: Some(String::new()), version: Some(opset) }],
            producer_name: Some("qdqc".to_owned()),
            producer_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            doc_string: Some(self.options.description.clone()),
            metadata_props: self.options.metadata.iter().map(entry).collect(),
            graph: Some(graph),
            ..ModelProto::default()
        };
        Ok(Model { proto, pending })
    }

    /// An output cannot have the name of an input that it is not: a model has one value
    /// of a name.
    fn outputs_named_as_inputs(&mut self) {
        for output in &self.graph.outputs {
            let same = |value: Option<Made>| matches!(value, Some(Made::Value(x)) if x.name() == output.name);
            if self.is_input(&output.name) && !same(self.made(output.node)) {
                let mismatch = Mismatch::new("an input has this name, too").help("give one of them another");
                self.problems.push((output.name.clone(), mismatch));
            }
        }
    }

    fn is_input(&self, name: &str) -> bool {
        self.graph.inputs.iter().any(|input| self.graph.node(input.node).name == name)
    }

    /// The outputs under their names: a value takes the name of the first output that it
    /// is, and every other output is a copy of it. An input may be an output as it is.
    fn outputs(&mut self) -> Vec<ValueInfoProto> {
        let mut renamed: HashMap<String, String> = HashMap::new();
        let mut copies = Vec::new();
        let mut outputs = Vec::new();
        for output in &self.graph.outputs {
            let ty = &self.graph.node(output.node).ty;
            outputs.push(message::value_info(&output.name, ty));
            let value = match self.made(output.node) {
                Some(Made::Value(value)) => value.name().to_owned(),
                Some(Made::Constant(_, name)) => name,
                None => continue,
            };
            let computed = self.nodes.iter().any(|node| node.output == value);
            if computed && !renamed.contains_key(&value) {
                renamed.insert(value, output.name.clone());
            } else if value != output.name || !self.is_input(&value) {
                copies.push((value, output.name.clone()));
            }
        }
        // What is no output gives way to the output of its name.
        for output in self.graph.outputs.iter().filter(|output| !self.is_input(&output.name)) {
            renamed.entry(output.name.clone()).or_insert_with(|| format!("{}/inner", output.name));
        }
        let new = |name: &String| renamed.get(name).cloned().unwrap_or_else(|| name.clone());
        for node in &mut self.nodes {
            node.output = new(&node.output);
            node.inputs.iter_mut().for_each(|input| *input = new(input));
        }
        let constants = std::mem::take(&mut self.constants).into_values();
        let constants = constants.map(|one| Constant { name: new(&one.name), ..one });
        self.constants = constants.map(|one| (one.name.clone(), one)).collect();
        for (value, output) in copies {
            let (op_type, attributes) = ("Identity", Vec::new());
            self.nodes.push(form::Node { op_type, inputs: vec![new(&value)], output, attributes });
        }
        outputs
    }

    /// What a node says of itself: the rule that put its quantizer there.
    fn rule(&self, node: &form::Node) -> Option<String> {
        let spec_name = node.output.split_once('/').map_or(node.output.as_str(), |(name, _)| name);
        self.rules.get(spec_name).cloned()
    }

    /// The types of the values that the spec names, but for outputs.
    fn value_infos(&self) -> Vec<ValueInfoProto> {
        let computed: BTreeSet<&str> = self.nodes.iter().map(|node| node.output.as_str()).collect();
        let output = |name: &str| self.graph.outputs.iter().any(|output| output.name == name);
        let shown = self.graph.nodes.iter().filter(|node| {
            matches!(node.kind, NodeKind::Op(_))
                && computed.contains(node.name.as_str())
                && !output(&node.name)
        });
        shown.map(|node| message::value_info(&node.name, &node.ty)).collect()
    }
}

/// Bytes of a constant that is written with the rest of the model; larger ones are
/// turned into bytes when the file is written, one after the other. Scales are not, so
/// that rules can look at them.
const SMALL: usize = 64 * 1024;

/// Where the symbols of a graph come from.
fn sources(graph: &Graph) -> BTreeMap<crate::types::Symbol, Source> {
    let mut sources = BTreeMap::new();
    for input in &graph.inputs {
        let node = graph.node(input.node);
        for (dim, axis) in node.ty.shape.iter().zip(0..) {
            if let Some(symbol) = dim.as_symbol() {
                sources.entry(symbol.clone()).or_insert_with(|| Source::Axis(node.name.clone(), axis));
            }
        }
    }
    for dim in &graph.dims {
        if let Some(factors) = &dim.product {
            sources.entry(dim.symbol.clone()).or_insert_with(|| Source::Product(factors.clone()));
        }
    }
    sources
}

fn outside(error: candle_core::Error) -> Failure {
    Failure::outside(format!("a constant of the model could not be computed: {error}"))
}
