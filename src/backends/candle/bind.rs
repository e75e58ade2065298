//! Given tensors against the declared inputs: element types, ranks and sizes.

use crate::{
    codes,
    diagnostic::{Diagnostic, Diagnostics},
    failure::Failure,
    graph::{Graph, Node, NodeId},
    ops::{candle_dtype, kernels},
    types::{Bindings, DType, Dim, Symbol},
};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// The given tensors by node, in the declared element types and on the device,
/// and the sizes of the call. Reports every tensor that does not fit.
pub(super) fn bind(
    graph: &Graph,
    inputs: &BTreeMap<String, Tensor>,
    device: &Device,
) -> Result<(Vec<(NodeId, Tensor)>, Bindings), Failure> {
    let mut diagnostics = Diagnostics::default();
    let known: Vec<_> = graph.inputs.iter().map(|input| format!("`{}`", input.name)).collect();
    for name in inputs.keys().filter(|name| !graph.inputs.iter().any(|input| input.name == **name)) {
        let message = format!("`{}` has no input `{name}`", graph.name);
        let help = format!("the inputs are {}", known.join(", "));
        diagnostics.push(Diagnostic::outside(codes::CALL, message).help(help));
    }
    let mut given = Vec::new();
    let mut sizes = Sizes::default();
    for input in &graph.inputs {
        let node = graph.node(input.node);
        let tensor = match inputs.get(&input.name) {
            Some(tensor) => {
                accept(&input.name, node, tensor, device).inspect(|_| sizes.add(&input.name, node, tensor))
            }
            None => Err(Box::new(
                Diagnostic::error(codes::CALL, node.span, format!("`{}` is not given", input.name))
                    .help(format!("give {}", node.ty)),
            )),
        };
        match tensor {
            Ok(tensor) => given.push((input.node, tensor)),
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
    }
    if diagnostics.is_empty() {
        sizes.solve(graph, &mut diagnostics);
    }
    if diagnostics.is_empty() { Ok((given, sizes.bindings)) } else { Err(Failure::Diagnostics(diagnostics)) }
}

/// The given tensors are the inputs, and of shapes that agree with the types.
pub(super) fn fits(graph: &Graph, inputs: &BTreeMap<String, Tensor>) -> bool {
    let mut sizes = Sizes::default();
    for input in &graph.inputs {
        let node = graph.node(input.node);
        match inputs.get(&input.name) {
            Some(tensor) if tensor.rank() == node.ty.rank() => sizes.add(&input.name, node, tensor),
            _ => return false,
        }
    }
    let mut problems = Diagnostics::default();
    sizes.solve(graph, &mut problems);
    problems.is_empty() && inputs.len() == graph.inputs.len()
}

fn accept(name: &str, node: &Node, tensor: &Tensor, device: &Device) -> Result<Tensor, Box<Diagnostic>> {
    let error = |message: String| Box::new(Diagnostic::error(codes::CALL, node.span, message));
    if tensor.rank() != node.ty.rank() {
        return Err(error(format!("`{name}` is {:?}, but the spec says {}", tensor.dims(), node.ty)));
    }
    let converted = convert(tensor, node.ty.dtype)
        .map_err(|reason| error(format!("`{name}` cannot be used: {reason}")))?;
    converted.to_device(device).map_err(|failed| error(format!("`{name}`: {}", super::describe(&failed))))
}

/// The tensor in another element type, if every number stays what it is. `Err`
/// says why not.
pub(super) fn convert(tensor: &Tensor, to: DType) -> Result<Tensor, String> {
    use candle_core::DType as Held;
    let refused = || format!("it holds {}, but the spec says {to}", tensor.dtype().as_str());
    let converted = match (tensor.dtype(), to) {
        (Held::U8, DType::Bool) => tensor.zeros_like().and_then(|zeros| tensor.ne(&zeros)),
        (_, DType::Bool) => return Err(refused()),
        (held, to) if held == candle_dtype(to) => Ok(tensor.clone()),
        (Held::F16 | Held::BF16, DType::F32) if tensor.device().is_cpu() && tensor.is_contiguous() => {
            kernels::widen(tensor)
        }
        (Held::F16 | Held::BF16, DType::F32)
        | (Held::U8 | Held::I16, DType::F32)
        | (Held::U8 | Held::I16, DType::I32)
        | (Held::U8 | Held::U32 | Held::I16 | Held::I32, DType::I64) => tensor.to_dtype(candle_dtype(to)),
        (Held::U32 | Held::I32 | Held::I64, DType::F32) => exact_float(tensor),
        _ => return Err(refused()),
    };
    converted.map_err(|error| super::describe(&error))
}

/// Whole numbers as f32, which holds those up to 2^24 and some above.
fn exact_float(tensor: &Tensor) -> candle_core::Result<Tensor> {
    let float = tensor.to_dtype(candle_core::DType::F32)?;
    let back = float.to_dtype(tensor.dtype())?;
    let changed = back.ne(tensor)?.to_dtype(candle_core::DType::U32)?.sum_all()?.to_scalar::<u32>()?;
    match changed {
        0 => Ok(float),
        _ => Err(candle_core::Error::Msg("it holds whole numbers that f32 cannot hold".to_owned())),
    }
}

/// The sizes of a call, found from the shapes of the given tensors.
#[derive(Default)]
struct Sizes<'a> {
    bindings: Bindings,
    /// Which input told each size.
    told_by: BTreeMap<Symbol, &'a str>,
    /// Axes not compared yet.
    axes: Vec<Axis<'a>>,
}

/// One axis of a given tensor.
#[derive(Clone)]
struct Axis<'a> {
    name: &'a str,
    node: &'a Node,
    shape: Vec<usize>,
    dim: &'a Dim,
    size: i64,
}

/// What became of comparing one axis.
enum Outcome {
    Fits,
    Clashes,
    /// More than one of its symbols has no size yet.
    Open,
}

impl<'a> Sizes<'a> {
    fn add(&mut self, name: &'a str, node: &'a Node, tensor: &Tensor) {
        for (dim, size) in node.ty.shape.iter().zip(tensor.dims()) {
            let size = i64::try_from(*size).unwrap_or(i64::MAX);
            self.axes.push(Axis { name, node, shape: tensor.dims().to_vec(), dim, size });
        }
    }

    fn solve(&mut self, graph: &Graph, diagnostics: &mut Diagnostics) {
        // Plain symbols tell sizes; sums are then compared with them.
        self.axes.sort_by_key(|axis| axis.dim.as_symbol().is_none());
        loop {
            let before = (self.axes.len(), self.bindings.len());
            for axis in std::mem::take(&mut self.axes) {
                match self.compare(&axis) {
                    Outcome::Fits => {}
                    Outcome::Clashes => diagnostics.push(self.clash(&axis)),
                    Outcome::Open => self.axes.push(axis),
                }
            }
            self.multiply(graph, diagnostics);
            if (self.axes.len(), self.bindings.len()) == before {
                break;
            }
        }
        for axis in &self.axes {
            let message = format!(
                "the sizes in `{}` cannot be told from {:?}: the spec says {}",
                axis.name, axis.shape, axis.node.ty
            );
            diagnostics.push(Diagnostic::error(codes::CALL, axis.node.span, message));
        }
    }

    fn compare(&mut self, axis: &Axis<'a>) -> Outcome {
        let Some(rest) = axis.dim.substitute(|symbol| self.bindings.get(symbol).copied().map(Dim::known))
        else {
            return Outcome::Clashes;
        };
        let mut unbound = rest.symbols();
        match (unbound.next(), unbound.next()) {
            (None, _) if rest.as_known() == Some(axis.size) => Outcome::Fits,
            (None, _) => Outcome::Clashes,
            (Some(symbol), None) => {
                let solved = rest.solve(symbol, &Dim::known(axis.size)).and_then(|size| size.as_known());
                match solved.filter(|size| *size >= 0) {
                    Some(size) => {
                        self.told_by.insert(symbol.clone(), axis.name);
                        self.bindings.insert(symbol.clone(), size);
                        Outcome::Fits
                    }
                    None => Outcome::Clashes,
                }
            }
            (Some(_), Some(_)) => Outcome::Open,
        }
    }

    /// Works out the sizes that are products of others.
    fn multiply(&mut self, graph: &Graph, diagnostics: &mut Diagnostics) {
        for info in &graph.dims {
            let Some(factors) = &info.product else { continue };
            let sizes =
                factors.iter().map(|factor| factor.evaluate(&self.bindings)).collect::<Option<Vec<_>>>();
            let Some(sizes) = sizes else { continue };
            let product = sizes.iter().try_fold(1_i64, |product, size| product.checked_mul(*size));
            match (product, self.bindings.get(&info.symbol)) {
                (Some(product), None) => {
                    self.bindings.insert(info.symbol.clone(), product);
                }
                (Some(product), Some(told)) if product == *told => {}
                _ => {
                    let factors: Vec<_> = factors.iter().map(Dim::to_string).collect();
                    let message = format!("`{}` is not {}", info.symbol, factors.join(" * "));
                    diagnostics.push(Diagnostic::error(codes::CALL, info.span, message));
                }
            }
        }
    }

    fn clash(&self, axis: &Axis<'a>) -> Diagnostic {
        let symbols: std::collections::BTreeSet<&Symbol> =
            axis.node.ty.shape.iter().flat_map(|dim| dim.symbols()).collect();
        let sizes: Vec<_> = symbols
            .iter()
            .filter_map(|symbol| Some(format!("{symbol} = {}", self.bindings.get(*symbol)?)))
            .collect();
        let with = if sizes.is_empty() { String::new() } else { format!(" with {}", sizes.join(", ")) };
        let message =
            format!("`{}` is {:?}, but the spec says {}{with}", axis.name, axis.shape, axis.node.ty);
        let mut diagnostic = Diagnostic::error(codes::CALL, axis.node.span, message);
        for symbol in symbols {
            if let Some(other) = self.told_by.get(symbol).filter(|other| **other != axis.name) {
                diagnostic = diagnostic.note(format!("`{symbol}` is the size that `{other}` has"));
            }
        }
        diagnostic
    }
}
