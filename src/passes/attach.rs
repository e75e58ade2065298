//! Puts a fake quantizer at every site that has one, and its range beside the
//! parameters: `<quantizer>._amax`, or the bounds that are learned.

use crate::{
    diagnostic::Diagnostics,
    graph::{Graph, Node, NodeId, NodeKind, Parameter, Quantizer, Rewrite, Site, SiteTarget},
    ops::{Concat, FakeQuantize, Op, Reshape},
    quant::{Mode, RangeSource, Storage},
    types::{DType, Dim, TensorType},
};
use std::collections::{BTreeSet, HashMap};

/// The graph with a `fake_quantize` node at every quantizer's site.
pub fn attach(mut graph: Graph) -> (Graph, Diagnostics) {
    let mut operands: HashMap<(NodeId, usize), usize> = HashMap::new();
    let mut boundaries: HashMap<NodeId, usize> = HashMap::new();
    let targets = std::mem::take(&mut graph.placed);
    for (site, quantizer) in targets {
        match graph.sites.get(site).and_then(|site| site.target) {
            Some(SiteTarget::Operand(node, index)) => {
                operands.insert((node, index), quantizer);
            }
            Some(SiteTarget::Boundary(node)) => {
                boundaries.insert(node, quantizer);
            }
            None => {}
        }
    }
    let mut rewrite = Rewrite::new(&graph);
    let names = graph.nodes.iter().map(|node| node.name.clone()).collect();
    let mut inserter = Inserter { ranges: HashMap::new(), names, attached: Vec::new() };
    for (id, node) in graph.iter() {
        if let Some(quantizer) = boundaries.get(&id) {
            let kept = rewrite.keep(id, node);
            let quantized = inserter.insert(&mut rewrite, &graph, *quantizer, kept, node);
            rewrite.map(id, quantized);
            continue;
        }
        let mut new_operands = Vec::new();
        for (index, operand) in node.operands.iter().enumerate() {
            let Some(mapped) = rewrite.get(*operand) else { continue };
            new_operands.push(match operands.get(&(id, index)) {
                Some(quantizer) => inserter.insert(&mut rewrite, &graph, *quantizer, mapped, node),
                None => mapped,
            });
        }
        let new = rewrite.add(Node { operands: new_operands, ..node.clone() });
        rewrite.map(id, new);
    }
    let graph = Graph { attached: inserter.attached, ..rewrite.finish(graph) };
    (graph, Diagnostics::default())
}

struct Inserter {
    /// The range of each quantizer.
    ranges: HashMap<String, NodeId>,
    /// The names of the nodes so far.
    names: BTreeSet<String>,
    /// The fake quantizers so far, and the quantizers that they are.
    attached: Vec<(NodeId, usize)>,
}

impl Inserter {
    fn insert(
        &mut self,
        rewrite: &mut Rewrite,
        graph: &Graph,
        index: usize,
        value: NodeId,
        user: &Node,
    ) -> NodeId {
        let (Some(quantizer), Some(of)) = (graph.quantizers.get(index), rewrite.nodes.get(value.index()))
        else {
            return value;
        };
        let ty = of.ty.clone();
        let range = self.range(rewrite, graph, quantizer, user);
        let name = self.unique(&quantizer.name);
        let node = rewrite.add(Node {
            kind: NodeKind::Op(Op::FakeQuantize(operator(quantizer))),
            operands: vec![value, range],
            name,
            ty,
            scope: user.scope,
            span: quantizer.rule,
        });
        self.attached.push((node, index));
        node
    }

    /// The node of a quantizer's range: a tensor of the checkpoint, or a number.
    fn range(&mut self, rewrite: &mut Rewrite, graph: &Graph, quantizer: &Quantizer, user: &Node) -> NodeId {
        if let Some(node) = self.ranges.get(&quantizer.name) {
            return *node;
        }
        let shape =
            graph.sites.get(quantizer.site).map_or_else(Vec::new, |site| range_shape(quantizer, site));
        let amax = format!("{}._amax", quantizer.name);
        let mut parameter = |path: &str, tied: Vec<String>| {
            let kind = NodeKind::Parameter(Parameter { path: path.to_owned(), tied });
            self.add(rewrite, path, kind, Vec::new(), shape.clone(), (quantizer, user))
        };
        let node = match quantizer.scheme.range {
            RangeSource::Calibrated(_) => parameter(&amax, Vec::new()),
            RangeSource::Learned(_) => {
                let clip = format!("{}.clip", quantizer.name);
                let least = parameter(&format!("{clip}.clip_value_min"), vec![amax.clone()]);
                let largest = parameter(&format!("{clip}.clip_value_max"), vec![amax]);
                self.bounds(rewrite, &clip, [least, largest], &shape, (quantizer, user))
            }
            // A dynamic quantizer measures its input: the stored range is not read.
            RangeSource::Dynamic => self.number(rewrite, &amax, 0.0, (quantizer, user)),
            RangeSource::Fixed(range) => self.number(rewrite, &amax, range, (quantizer, user)),
        };
        self.ranges.insert(quantizer.name.clone(), node);
        node
    }

    fn number(&mut self, rewrite: &mut Rewrite, name: &str, number: f64, at: (&Quantizer, &Node)) -> NodeId {
        self.add(rewrite, name, NodeKind::Constant(number), Vec::new(), Vec::new(), at)
    }

    /// The least and the largest number of a range in one tensor, along a first axis.
    fn bounds(
        &mut self,
        rewrite: &mut Rewrite,
        name: &str,
        each: [NodeId; 2],
        shape: &[Dim],
        at: (&Quantizer, &Node),
    ) -> NodeId {
        let lead = |count| [&[Dim::known(count)], shape].concat();
        let [least, largest] = each.map(|bound| {
            let op = Op::Reshape(Reshape { shape: lead(1) });
            self.add(rewrite, name, NodeKind::Op(op), vec![bound], lead(1), at)
        });
        let op = Op::Concat(Concat { axis: 0 });
        self.add(rewrite, name, NodeKind::Op(op), vec![least, largest], lead(2), at)
    }

    fn add(
        &mut self,
        rewrite: &mut Rewrite,
        name: &str,
        kind: NodeKind,
        operands: Vec<NodeId>,
        shape: Vec<Dim>,
        (quantizer, user): (&Quantizer, &Node),
    ) -> NodeId {
        rewrite.add(Node {
            kind,
            operands,
            name: self.unique(name),
            ty: TensorType::new(DType::F32, shape),
            scope: user.scope,
            span: quantizer.rule,
        })
    }

    /// The name, or the name and a number where a node has it already.
    fn unique(&mut self, name: &str) -> String {
        let mut count = 1;
        let mut own = name.to_owned();
        while !self.names.insert(own.clone()) {
            count += 1;
            own = format!("{name}.{count}");
        }
        own
    }
}

/// The shape of a quantizer's range: `[]`, or its site's with every axis but the kept one 1.
pub(crate) fn range_shape(quantizer: &Quantizer, site: &Site) -> Vec<Dim> {
    let Some(axis) = quantizer.scheme.axis else { return Vec::new() };
    let rank = site.ty.rank() as i64;
    let kept = if axis < 0 { axis + rank } else { axis };
    site.ty
        .shape
        .iter()
        .zip(0..)
        .map(|(dim, index)| if index == kept { dim.clone() } else { Dim::known(1) })
        .collect()
}

fn operator(quantizer: &Quantizer) -> FakeQuantize {
    let scheme = &quantizer.scheme;
    let (format, bits, signed, narrow) = match scheme.storage {
        Storage::Integer { bits, signed, narrow } => ("integer", i64::from(bits), signed, narrow),
        Storage::E4M3 => ("e4m3", 8, true, false),
    };
    let mode = match scheme.mode {
        Mode::Onnx => "onnx",
        Mode::Nv => "nv",
        Mode::NvNarrow => "nv_narrow",
    };
    FakeQuantize {
        bits,
        signed,
        narrow,
        mode: mode.into(),
        format: format.into(),
        axis: scheme.axis,
        dynamic: scheme.range == RangeSource::Dynamic,
        scale_amax: scheme.scale_amax.unwrap_or(1.0),
        learn: matches!(scheme.range, RangeSource::Learned(_)),
    }
}
