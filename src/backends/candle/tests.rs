use super::*;
use crate::{
    graph::{Check, Checked, DimInfo, Input, Output, Parameter, ScopeId},
    ops::{Attribute, Attributes, Op},
    span::{FileId, Span},
    types::{DType, Dim, TensorType},
};

/// Makes graphs node by node.
#[derive(Default)]
struct Builder(Graph);

fn dim(text: &str) -> Dim {
    match text.split_once(" + ") {
        Some((left, right)) => dim(left).add(&dim(right)).unwrap(),
        None => text.parse().map_or_else(|_| Dim::symbol(text), Dim::known),
    }
}

impl Builder {
    fn push(&mut self, kind: NodeKind, operands: &[NodeId], name: &str, ty: TensorType) -> NodeId {
        let id = NodeId(u32::try_from(self.0.nodes.len()).unwrap());
        let span = Span { file: FileId(0), start: id.0, end: id.0 + 1 };
        let (operands, name, scope) = (operands.to_vec(), name.to_owned(), ScopeId(0));
        self.0.nodes.push(Node { kind, operands, name, ty, scope, span });
        id
    }

    fn input(&mut self, name: &str, dtype: DType, shape: &[&str]) -> NodeId {
        let ty = TensorType::new(dtype, shape.iter().map(|size| dim(size)).collect::<Vec<_>>());
        let node = self.push(NodeKind::Input, &[], name, ty);
        self.0.inputs.push(Input { name: name.to_owned(), node });
        node
    }

    fn parameter(&mut self, path: &str, shape: &[&str]) -> NodeId {
        let ty = TensorType::new(DType::F32, shape.iter().map(|size| dim(size)).collect::<Vec<_>>());
        let parameter = Parameter { path: path.to_owned(), tied: Vec::new() };
        self.push(NodeKind::Parameter(parameter), &[], path, ty)
    }

    fn op(&mut self, operator: &str, operands: &[NodeId], attributes: &[(&str, Attribute)]) -> NodeId {
        let given = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let op = Op::build(operator, Attributes::new(given)).unwrap().unwrap();
        let types: Vec<_> = operands.iter().map(|id| self.0.node(*id).ty.clone()).collect();
        let ty = op.semantics().infer(&types).unwrap();
        let name = format!("{operator}.{}", self.0.nodes.len());
        self.push(NodeKind::Op(op), operands, &name, ty)
    }

    fn output(&mut self, name: &str, node: NodeId) {
        self.0.outputs.push(Output { name: name.to_owned(), node });
    }

    fn executor(self, weights: &[(&str, Tensor)]) -> Result<Executor, Failure> {
        let weights = weights.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
        Executor::new(Checked::new(self.0).unwrap(), weights, &Device::Cpu)
    }
}

fn inputs(given: &[(&str, Tensor)]) -> BTreeMap<String, Tensor> {
    given.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap()
}

fn messages(failure: Failure) -> Vec<String> {
    match failure {
        Failure::Diagnostics(list) => list.iter().map(|diagnostic| diagnostic.message.clone()).collect(),
        other => vec![other.to_string()],
    }
}

/// `x @ transpose(weight) + 1`, with a node that nothing needs.
fn linear() -> Builder {
    let mut builder = Builder::default();
    let x = builder.input("x", DType::F32, &["batch", "2"]);
    let weight = builder.parameter("weight", &["3", "2"]);
    let turned = builder.op("transpose", &[weight], &[("axes", vec![1, 0].into())]);
    let product = builder.op("matmul", &[x, turned], &[]);
    let ty = builder.0.node(product).ty.clone();
    let inside = builder.push(NodeKind::Boundary, &[product], "inside", ty);
    let one = builder.push(NodeKind::Constant(1.0), &[], "one", TensorType::new(DType::F32, []));
    let sum = builder.op("add", &[inside, one], &[]);
    builder.parameter("unused", &["7"]);
    builder.output("y", sum);
    builder
}

fn matrix(values: &[f32], shape: (usize, usize)) -> Tensor {
    Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
}

#[test]
fn a_graph_is_run() {
    let weight = matrix(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (3, 2));
    let executor = linear().executor(&[("weight", weight)]).unwrap();
    let outputs = executor.run(&inputs(&[("x", matrix(&[1.0, 1.0], (1, 2)))])).unwrap();
    assert_eq!(outputs["y"].to_vec2::<f32>().unwrap(), [[4.0, 8.0, 12.0]]);
}

#[test]
fn what_depends_on_weights_alone_is_computed_once_and_the_rest_freed() {
    let executor = linear().executor(&[("weight", zeros(&[3, 2]))]).unwrap();
    assert_eq!(executor.plan.steps.len(), 2);
    let kept: Vec<_> = executor.constants.iter().map(Option::is_some).collect();
    // The transposed weight and the number; neither the weight nor the unused one.
    assert_eq!(kept, [false, false, true, false, false, true, false, false]);
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let message = |weights: &[(&str, Tensor)]| linear().executor(weights).err().unwrap().to_string();
    assert_eq!(message(&[]), "there is no weight `weight`");
    assert_eq!(
        message(&[("weight", zeros(&[2, 2]))]),
        "the weight `weight` is [2, 2], but the spec says f32[3, 2]"
    );
    let double = zeros(&[3, 2]).to_dtype(candle_core::DType::F64).unwrap();
    assert_eq!(
        message(&[("weight", double)]),
        "the weight `weight` cannot be used: it holds f64, but the spec says f32"
    );
    let half = zeros(&[3, 2]).to_dtype(candle_core::DType::F16).unwrap();
    assert!(linear().executor(&[("weight", half)]).is_ok());
}

#[test]
fn inputs_that_do_not_fit_are_refused_together() {
    let executor = linear().executor(&[("weight", zeros(&[3, 2]))]).unwrap();
    let message = |given: &[(&str, Tensor)]| messages(executor.run(&inputs(given)).unwrap_err());
    assert_eq!(message(&[("z", zeros(&[1]))]), ["`` has no input `z`", "`x` is not given"]);
    assert_eq!(message(&[("x", zeros(&[2]))]), ["`x` is [2], but the spec says f32[batch, 2]"]);
    assert_eq!(
        message(&[("x", zeros(&[5, 3]))]),
        ["`x` is [5, 3], but the spec says f32[batch, 2] with batch = 5"]
    );
    let large = Tensor::new(&[[1_i64, (1 << 24) + 1]], &Device::Cpu).unwrap();
    assert_eq!(message(&[("x", large)]), ["`x` cannot be used: it holds whole numbers that f32 cannot hold"]);
    let small = Tensor::new(&[[1_i64, 2]], &Device::Cpu).unwrap();
    assert!(executor.run(&inputs(&[("x", small)])).is_ok());
}

/// Sums of sizes, products of sizes and a `require`.
fn sized() -> Builder {
    let mut builder = Builder::default();
    builder.input("attention_mask", DType::F32, &["batch", "past + seq"]);
    let ids = builder.input("input_ids", DType::F32, &["batch", "seq"]);
    builder.input("key", DType::F32, &["batch", "past"]);
    let rows = builder.op("range", &[], &[("size", dim("rows").into())]);
    builder.output("ids", ids);
    builder.output("rows", rows);
    let product = |symbol: &str, product: Option<Vec<Dim>>| DimInfo {
        symbol: symbol.into(),
        product,
        span: Span::default(),
    };
    builder.0.dims = vec![product("rows", Some(vec![dim("batch"), dim("seq")])), product("batch", None)];
    builder.0.checks = vec![Check {
        left: dim("seq"),
        comparison: "<=",
        right: 512.into(),
        message: "{seq} tokens are more than 512".to_owned(),
        span: Span::default(),
    }];
    builder
}

#[test]
fn sizes_are_those_of_the_given_tensors() {
    let executor = sized().executor(&[]).unwrap();
    let run = |mask: usize, seq: usize, past: usize| {
        executor.run(&inputs(&[
            ("attention_mask", zeros(&[2, mask])),
            ("input_ids", zeros(&[2, seq])),
            ("key", zeros(&[2, past])),
        ]))
    };
    assert_eq!(run(8, 5, 3).unwrap()["rows"].dims(), [10]);
    assert_eq!(
        messages(run(9, 8, 0).unwrap_err()),
        ["`attention_mask` is [2, 9], but the spec says f32[batch, past + seq] \
          with batch = 2, past = 0, seq = 8"]
    );
    assert_eq!(messages(run(513, 513, 0).unwrap_err()), ["513 tokens are more than 512"]);
}

#[test]
fn sizes_that_no_tensor_tells_are_refused_before_any_call() {
    let mut builder = Builder::default();
    builder.input("mask", DType::F32, &["past + seq"]);
    let range = builder.op("range", &[], &[("size", dim("other").into())]);
    builder.output("range", range);
    let fault = Checked::new(builder.0).unwrap_err();
    assert!(fault.unbound.is_some());
    assert_eq!(fault.message, "the dim `past` of `mask` (f32[past + seq]) is the size of no given input");
}

#[test]
fn a_fault_names_the_value_and_its_place() {
    let mut builder = Builder::default();
    let table = builder.parameter("table", &["99", "2"]);
    let ids = builder.input("ids", DType::I64, &["seq"]);
    let rows = builder.op("gather", &[table, ids], &[]);
    builder.output("rows", rows);
    let executor = builder.executor(&[("table", zeros(&[99, 2]))]).unwrap();
    let ids = Tensor::new(&[3_i64, 99], &Device::Cpu).unwrap();
    let Failure::Diagnostics(list) = executor.run(&inputs(&[("ids", ids)])).unwrap_err() else {
        panic!("not a diagnostic")
    };
    let diagnostic = list.iter().next().unwrap();
    assert_eq!(
        diagnostic.message,
        "`gather.2` cannot be computed: id 99 at [1] is outside the 99 rows of the table"
    );
    assert_eq!(diagnostic.span.unwrap().start, 2);
}

/// A feed-forward layer with its residual sum, and attention probabilities.
fn fusible() -> Builder {
    let mut builder = Builder::default();
    let x = builder.input("x", DType::F32, &["batch", "seq", "4"]);
    let mask = builder.input("mask", DType::F32, &["batch", "1", "seq"]);
    let linear = |builder: &mut Builder, x: NodeId, path: &str| {
        let weight = builder.parameter(&format!("{path}.weight"), &["4", "4"]);
        let bias = builder.parameter(&format!("{path}.bias"), &["4"]);
        let turned = builder.op("transpose", &[weight], &[("axes", vec![1, 0].into())]);
        let product = builder.op("matmul", &[x, turned], &[]);
        builder.op("add", &[bias, product], &[])
    };
    let wide = linear(&mut builder, x, "wide");
    let wide = builder.op("gelu", &[wide], &[]);
    let narrow = linear(&mut builder, wide, "narrow");
    let narrow = builder.op("dropout", &[narrow], &[("p", 0.1.into())]);
    let sum = builder.op("add", &[narrow, x], &[]);
    let (weight, bias) = (builder.parameter("norm.weight", &["4"]), builder.parameter("norm.bias", &["4"]));
    let norm = builder.op("layer_norm", &[sum, weight, bias], &[("eps", 1e-12.into())]);
    let turned = builder.op("transpose", &[norm], &[("axes", vec![0, 2, 1].into())]);
    let scores = builder.op("matmul", &[norm, turned], &[]);
    let root = builder.push(NodeKind::Constant(3.0), &[], "root", TensorType::new(DType::F32, []));
    let scores = builder.op("divide", &[scores, root], &[]);
    let scores = builder.op("add", &[scores, mask], &[]);
    let probabilities = builder.op("softmax", &[scores], &[]);
    builder.output("norm", norm);
    builder.output("probabilities", probabilities);
    builder
}

#[test]
fn joint_steps_give_what_their_parts_give() {
    let numbers = |shape: &[usize]| {
        let count = shape.iter().product::<usize>() as f32;
        let numbers = Tensor::arange(0_f32, count, &Device::Cpu).unwrap();
        (numbers * 0.7).unwrap().sin().unwrap().reshape(shape).unwrap()
    };
    let paths = fusible().0.nodes.into_iter().filter_map(|node| match node.kind {
        NodeKind::Parameter(parameter) => Some((parameter.path, numbers(&vec![4; node.ty.rank()]))),
        _ => None,
    });
    let weights: HashMap<String, Tensor> = paths.collect();
    let graph = Checked::new(fusible().0).unwrap();
    let plan = Plan::new(&graph, Choices::default());
    let mut apart = Executor::planned(graph, plan, weights.clone(), &Device::Cpu, &HashSet::new()).unwrap();
    apart.fold().unwrap();
    let joint = Executor::new(Checked::new(fusible().0).unwrap(), weights, &Device::Cpu).unwrap();
    let kinds: Vec<_> = joint.plan.steps.iter().map(|step| step.work).collect();
    assert_eq!(
        kinds,
        [
            Work::Linear { gelu: true },
            Work::Linear { gelu: false },
            Work::AddNorm { eps: 1e-12 },
            Work::Operator,
            Work::Operator,
            Work::MaskedSoftmax { divisor: 3.0 },
        ]
    );
    let given = inputs(&[("x", numbers(&[2, 3, 4])), ("mask", numbers(&[2, 1, 3]))]);
    let (joint, apart) = (joint.run(&given).unwrap(), apart.run(&given).unwrap());
    for name in ["norm", "probabilities"] {
        let difference = (&joint[name] - &apart[name]).unwrap().abs().unwrap().max_all().unwrap();
        assert!(difference.to_scalar::<f32>().unwrap() < 1e-6, "{name}: {difference}");
    }
}
