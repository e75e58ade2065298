//! BERT's encoder as a qdqc graph.

use qdqc::{
    graph::{Graph, Input, Node, NodeId, NodeKind, Output, Parameter, ScopeId},
    ops::{Attribute, Attributes, Op},
    span::Span,
    types::{DType, Dim, TensorType},
};

/// Number of word embeddings.
pub const VOCABULARY: i64 = 30522;
/// Number of position embeddings.
pub const POSITIONS: i64 = 512;

/// The sizes of a BERT.
pub struct Sizes {
    /// Features of a token.
    pub hidden: i64,
    /// Encoder layers.
    pub layers: i64,
    /// Attention heads.
    pub heads: i64,
    /// Features between the two feed-forward projections.
    pub intermediate: i64,
}

/// Paths and shapes of the parameters.
pub fn parameters(sizes: &Sizes) -> Vec<(String, Vec<usize>)> {
    let graph = bert(sizes);
    let parameters = graph.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Parameter(parameter) => {
            let shape = node.ty.shape.iter().filter_map(|dim| usize::try_from(dim.as_known()?).ok());
            Some((parameter.path.clone(), shape.collect()))
        }
        _ => None,
    });
    parameters.collect()
}

/// The embeddings and the encoder.
pub fn bert(sizes: &Sizes) -> Graph {
    let mut graph = Builder::default();
    let ids = graph.input("input_ids", DType::I64);
    let types = graph.input("token_type_ids", DType::I64);
    let mask = graph.input("attention_mask", DType::I64);
    let mut x = graph.embeddings(sizes, ids, types);
    let mask = graph.mask(mask);
    for layer in 0..sizes.layers {
        x = graph.layer(sizes, &format!("encoder.layer.{layer}"), x, mask);
    }
    graph.0.outputs.push(Output { name: "last_hidden_state".to_owned(), node: x });
    graph.0
}

#[derive(Default)]
struct Builder(Graph);

fn dims(names: &[&str]) -> Vec<Dim> {
    names.iter().map(|name| Dim::symbol(*name)).collect()
}

impl Builder {
    fn push(&mut self, kind: NodeKind, operands: &[NodeId], name: String, ty: TensorType) -> NodeId {
        let id = NodeId(self.0.nodes.len() as u32);
        let (operands, scope, span) = (operands.to_vec(), ScopeId(0), Span::default());
        self.0.nodes.push(Node { kind, operands, name, ty, scope, span });
        id
    }

    fn input(&mut self, name: &str, dtype: DType) -> NodeId {
        let node =
            self.push(NodeKind::Input, &[], name.to_owned(), TensorType::new(dtype, dims(&["batch", "seq"])));
        self.0.inputs.push(Input { name: name.to_owned(), node });
        node
    }

    fn parameter(&mut self, path: String, shape: &[i64]) -> NodeId {
        let ty = TensorType::new(DType::F32, shape.iter().map(|size| Dim::known(*size)).collect::<Vec<_>>());
        self.push(NodeKind::Parameter(Parameter { path: path.clone(), tied: Vec::new() }), &[], path, ty)
    }

    fn number(&mut self, value: f64, dtype: DType) -> NodeId {
        self.push(NodeKind::Constant(value), &[], String::new(), TensorType::new(dtype, []))
    }

    fn op<const N: usize>(
        &mut self,
        operator: &str,
        operands: &[NodeId],
        attributes: [(&str, Attribute); N],
    ) -> NodeId {
        let given = attributes.map(|(name, value)| (name.to_owned(), value)).to_vec();
        let op = Op::build(operator, Attributes::new(given)).expect("known").expect("fitting");
        let types: Vec<_> = operands.iter().map(|id| self.0.node(*id).ty.clone()).collect();
        let ty = op.semantics().infer(&types).unwrap_or_else(|mismatch| panic!("{}", mismatch.message));
        self.push(NodeKind::Op(op), operands, String::new(), ty)
    }

    fn embeddings(&mut self, sizes: &Sizes, ids: NodeId, types: NodeId) -> NodeId {
        let table = |name: &str| format!("embeddings.{name}_embeddings.weight");
        let words = self.parameter(table("word"), &[VOCABULARY, sizes.hidden]);
        let positions = self.parameter(table("position"), &[POSITIONS, sizes.hidden]);
        let kinds = self.parameter(table("token_type"), &[2, sizes.hidden]);
        let places = self.op("range", &[], [("size", Dim::symbol("seq").into())]);
        let words = self.op("gather", &[words, ids], []);
        let kinds = self.op("gather", &[kinds, types], []);
        let positions = self.op("gather", &[positions, places], []);
        let sum = self.op("add", &[words, kinds], []);
        let sum = self.op("add", &[sum, positions], []);
        self.layer_norm(sizes, "embeddings.LayerNorm", sum)
    }

    fn mask(&mut self, mask: NodeId) -> NodeId {
        let shape = vec![Dim::symbol("batch"), 1.into(), 1.into(), Dim::symbol("seq")];
        let mask = self.op("reshape", &[mask], [("shape", shape.into())]);
        let mask = self.op("cast", &[mask], [("to", DType::F32.into())]);
        let one = self.number(1.0, DType::F32);
        let least = self.number(f64::from(f32::MIN), DType::F32);
        let mask = self.op("subtract", &[one, mask], []);
        self.op("multiply", &[mask, least], [])
    }

    fn layer(&mut self, sizes: &Sizes, path: &str, x: NodeId, mask: NodeId) -> NodeId {
        let attention = self.attention(sizes, &format!("{path}.attention.self"), x, mask);
        let attention =
            self.linear(&format!("{path}.attention.output.dense"), attention, sizes.hidden, sizes.hidden);
        let attention = self.op("dropout", &[attention], [("p", 0.1.into())]);
        let sum = self.op("add", &[attention, x], []);
        let attention = self.layer_norm(sizes, &format!("{path}.attention.output.LayerNorm"), sum);
        let wide =
            self.linear(&format!("{path}.intermediate.dense"), attention, sizes.hidden, sizes.intermediate);
        let wide = self.op("gelu", &[wide], []);
        let narrow = self.linear(&format!("{path}.output.dense"), wide, sizes.intermediate, sizes.hidden);
        let narrow = self.op("dropout", &[narrow], [("p", 0.1.into())]);
        let sum = self.op("add", &[narrow, attention], []);
        self.layer_norm(sizes, &format!("{path}.output.LayerNorm"), sum)
    }

    fn attention(&mut self, sizes: &Sizes, path: &str, x: NodeId, mask: NodeId) -> NodeId {
        let [query, key, value] =
            ["query", "key", "value"].map(|name| self.heads(sizes, &format!("{path}.{name}"), x));
        let key = self.op("transpose", &[key], [("axes", vec![0, 1, 3, 2].into())]);
        let scores = self.op("matmul", &[query, key], []);
        let root = self.number(((sizes.hidden / sizes.heads) as f64).sqrt(), DType::F32);
        let scores = self.op("divide", &[scores, root], []);
        let scores = self.op("add", &[scores, mask], []);
        let probabilities = self.op("softmax", &[scores], []);
        let probabilities = self.op("dropout", &[probabilities], [("p", 0.1.into())]);
        let context = self.op("matmul", &[probabilities, value], []);
        let context = self.op("transpose", &[context], [("axes", vec![0, 2, 1, 3].into())]);
        let shape = vec![Dim::symbol("batch"), Dim::symbol("seq"), sizes.hidden.into()];
        self.op("reshape", &[context], [("shape", shape.into())])
    }

    fn heads(&mut self, sizes: &Sizes, path: &str, x: NodeId) -> NodeId {
        let x = self.linear(path, x, sizes.hidden, sizes.hidden);
        let head = (sizes.hidden / sizes.heads).into();
        let shape = vec![Dim::symbol("batch"), Dim::symbol("seq"), sizes.heads.into(), head];
        let x = self.op("reshape", &[x], [("shape", shape.into())]);
        self.op("transpose", &[x], [("axes", vec![0, 2, 1, 3].into())])
    }

    fn linear(&mut self, path: &str, x: NodeId, from: i64, to: i64) -> NodeId {
        let weight = self.parameter(format!("{path}.weight"), &[to, from]);
        let bias = self.parameter(format!("{path}.bias"), &[to]);
        let weight = self.op("transpose", &[weight], [("axes", vec![1, 0].into())]);
        let product = self.op("matmul", &[x, weight], []);
        self.op("add", &[product, bias], [])
    }

    fn layer_norm(&mut self, sizes: &Sizes, path: &str, x: NodeId) -> NodeId {
        let weight = self.parameter(format!("{path}.weight"), &[sizes.hidden]);
        let bias = self.parameter(format!("{path}.bias"), &[sizes.hidden]);
        self.op("layer_norm", &[x, weight, bias], [("eps", 1e-12.into())])
    }
}
