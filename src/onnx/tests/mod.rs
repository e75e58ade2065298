//! Small graphs as models, run by an ONNX runtime or by hand.

mod bytes;
mod edges;
mod files;
mod hand;
#[path = "../../../tests/support/onnx_runtime.rs"]
mod onnx_runtime;
mod operators;
mod quantizers;

use super::{Layout, Model, Options, emit};
use crate::{
    failure::Failure,
    graph::{Checked, DimInfo, Graph, Input, Node, NodeId, NodeKind, Output, Parameter, Scope, ScopeId},
    ops::{Attribute, Attributes, Op, candle_dtype, form::Dialect},
    source::Sources,
    span::Span,
    types::{Bindings, DType, Dim, TensorType},
};
use candle_core::{Device, Tensor};
use onnx_runtime::{Tensors, run};
use std::collections::HashMap;

/// The first opset with `LayerNormalization`.
const USUAL: i64 = 17;

/// A graph being made, with its weights.
#[derive(Default)]
struct Builder {
    graph: Graph,
    weights: HashMap<String, Tensor>,
}

impl Builder {
    /// With an input that binds `batch`, `seq` and `past`.
    fn new() -> Builder {
        let mut builder = Builder::default();
        let root = Scope { path: String::new(), module: "M".into(), parent: None, placed: Span::default() };
        builder.graph.scopes.push(root);
        builder.input("sizes", sized(&["batch", "seq", "past"]));
        builder
    }

    fn node(&mut self, name: &str, kind: NodeKind, operands: &[NodeId], ty: TensorType) -> NodeId {
        let (scope, span) = (ScopeId(0), Span::default());
        let (name, operands) = (name.to_owned(), operands.to_vec());
        self.graph.nodes.push(Node { kind, operands, name, ty, scope, span });
        NodeId(self.graph.nodes.len() as u32 - 1)
    }

    fn input(&mut self, name: &str, ty: TensorType) -> NodeId {
        let node = self.node(name, NodeKind::Input, &[], ty);
        self.graph.inputs.push(Input { name: name.to_owned(), node });
        node
    }

    fn parameter(&mut self, name: &str, weight: &Tensor) -> NodeId {
        let shape: Vec<Dim> = weight.dims().iter().map(|size| Dim::known(*size as i64)).collect();
        let dtype = crate::ops::spec_dtype(weight.dtype()).unwrap();
        self.weights.insert(name.to_owned(), weight.clone());
        let kind = NodeKind::Parameter(Parameter { path: name.to_owned(), tied: Vec::new() });
        self.node(name, kind, &[], TensorType::new(dtype, shape))
    }

    fn op(&mut self, name: &str, op: Op, operands: &[NodeId]) -> NodeId {
        let types: Vec<_> = operands.iter().map(|operand| self.graph.node(*operand).ty.clone()).collect();
        let ty = op.semantics().infer(&types).unwrap();
        self.node(name, NodeKind::Op(op), operands, ty)
    }

    /// An operator by its name in specs.
    fn call(
        &mut self,
        name: &str,
        operator: &str,
        operands: &[NodeId],
        given: &[(&str, Attribute)],
    ) -> NodeId {
        self.op(name, operation(operator, given), operands)
    }

    fn output(&mut self, name: &str, node: NodeId) {
        self.graph.outputs.push(Output { name: name.to_owned(), node });
    }

    fn product(&mut self, symbol: &str, factors: &[&str]) {
        let product = Some(factors.iter().map(|factor| Dim::symbol(*factor)).collect());
        self.graph.dims.push(DimInfo { symbol: symbol.into(), product, span: Span::default() });
    }

    fn emit(&self, dialect: &Dialect) -> Result<Model, Failure> {
        let graph = Checked::new(self.graph.clone()).unwrap();
        emit(&graph, &self.weights, &options(dialect))
    }

    fn model(&self, dialect: &Dialect) -> Model {
        self.emit(dialect).unwrap()
    }

    /// What the model gives, with numbers made up for the inputs that are not given.
    fn run(&self, dialect: &Dialect, dims: &Bindings, given: &[(&str, &Tensor)]) -> Tensors {
        let model = self.model(dialect);
        let inputs = self.graph.inputs.iter().map(|input| {
            let own = given.iter().find(|(name, _)| *name == input.name);
            let tensor =
                own.map_or_else(|| made_up(&self.graph.node(input.node).ty, dims), |own| own.1.clone());
            (input.name.clone(), tensor)
        });
        let text = || model.text().unwrap();
        run(&written(&model), &inputs.collect()).unwrap_or_else(|error| panic!("{error}\n{}", text()))
    }
}

fn operation(operator: &str, given: &[(&str, Attribute)]) -> Op {
    let given = given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Op::build(operator, Attributes::new(given)).unwrap().unwrap()
}

fn options(dialect: &Dialect) -> Options {
    Options {
        dialect: dialect.clone(),
        layout: Layout::default(),
        sources: Sources::default(),
        description: String::new(),
        metadata: Vec::new(),
    }
}

fn written(model: &Model) -> Vec<u8> {
    let mut bytes = Vec::new();
    model.write(&mut bytes).unwrap();
    bytes
}

fn dialect(opset: i64) -> Dialect {
    Dialect { opset, folded: false, shifted: false }
}

fn sized(sizes: &[&str]) -> TensorType {
    crate::ops::tests::ty(DType::F32, sizes)
}

/// Numbers from -2.5 to 2.5, and ids from 0 to 2.
fn made_up(ty: &TensorType, dims: &Bindings) -> Tensor {
    let size = |dim: &Dim| usize::try_from(dim.evaluate(dims).unwrap()).unwrap();
    let shape: Vec<usize> = ty.shape.iter().map(size).collect();
    let count = shape.iter().product::<usize>();
    let number =
        |at: usize| if ty.dtype.is_float() { (at * 37 % 41) as f32 / 8.0 - 2.5 } else { (at % 3) as f32 };
    let numbers: Vec<f32> = (0..count).map(number).collect();
    Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap().to_dtype(candle_dtype(ty.dtype)).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Holds that two tensors are the same to a share of the largest finite magnitude.
fn assert_near(made: &Tensor, expected: &Tensor, share: f32, what: &str) {
    assert_eq!(made.dims(), expected.dims(), "{what}");
    let (made, expected) = (flat(made), flat(expected));
    let finite = expected.iter().filter(|x| x.is_finite());
    let scale = finite.fold(0.0_f32, |scale, x| scale.max(x.abs()));
    for (made, expected) in made.iter().zip(&expected) {
        let same = made == expected || (made.is_nan() && expected.is_nan());
        assert!(same || (made - expected).abs() <= share * scale, "{what}: {made} is not {expected}");
    }
}
