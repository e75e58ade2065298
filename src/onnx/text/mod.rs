//! An ONNX model in ONNX's own text syntax, one node a line and values by name.
//!
//! The syntax is that of onnx 1.23 (`docs/Syntax.md` and `onnx/defs/parser.cc` there),
//! so `onnx.parser.parse_model` reads a model that is written whole. Names that are no
//! identifiers stand in quotes, as do symbolic sizes such as `"past + seq"`. The types of
//! attributes follow from how their values are written and are left out.
//!
//! Documentation and metadata for which the syntax has no place, those of graphs, nodes,
//! values and initializers, are comments above what they belong to. What no parser
//! would read back stands as `...`, which parsers refuse: sparse tensors, and attributes
//! that are lists of tensors, graphs or types. Denotations are left out. A NaN reads back
//! as some NaN, bytes of text that are not UTF-8 as U+FFFD, and a subgraph, or a tensor in
//! an attribute, only where its name is an identifier or it has none.

mod data;
mod words;

#[cfg(test)]
mod tests;

use super::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorProto, ValueInfoProto, attribute_proto::AttributeType,
};
use data::Data;
use std::fmt::{self, Display, Write};
use words::{Name, Quoted, Type, Word, list, pair, sizes};

/// The text of a model; `to_string` it, or write it where it goes.
///
/// A tensor of more than 16 values is shortened to its type, its shape and the CRC-32 of
/// its bytes as `raw_data` holds them, `float[768] "x" = {... crc32 1c2d3e4f}`, unless the
/// model is asked for `whole`. Parsers read only what is written whole.
pub(crate) fn text(model: &ModelProto, whole: bool) -> impl Display {
    fmt::from_fn(move |out| Writer { out, whole, depth: 0 }.model(model))
}

/// Writes models part by part.
struct Writer<'a, 'b> {
    out: &'a mut fmt::Formatter<'b>,
    whole: bool,
    /// How many graphs enclose this place.
    depth: usize,
}

/// What may stand in the lists of a graph.
enum Entry<'a> {
    Value(&'a ValueInfoProto),
    Initializer(&'a TensorProto),
    Sparse(&'a SparseTensorProto),
}

impl Writer<'_, '_> {
    fn model(&mut self, model: &ModelProto) -> fmt::Result {
        let text = |field: &Option<String>| Some(Quoted(field.as_ref()?.as_bytes()).to_string());
        self.header(&[
            ("ir_version", model.ir_version.map(|version| version.to_string())),
            ("opset_import", opsets(&model.opset_import)),
            ("producer_name", text(&model.producer_name)),
            ("producer_version", text(&model.producer_version)),
            ("domain", text(&model.domain)),
            ("model_version", model.model_version.map(|version| version.to_string())),
            ("doc_string", text(&model.doc_string)),
            ("metadata_props", metadata(&model.metadata_props)),
        ])?;
        if let Some(graph) = &model.graph {
            self.graph(graph)?;
            self.out.write_char('\n')?;
        }
        model.functions.iter().try_for_each(|function| self.function(function))
    }

    /// The fields that are there, between angle brackets.
    fn header(&mut self, fields: &[(&str, Option<String>)]) -> fmt::Result {
        let given = fields.iter().filter_map(|(key, value)| Some(format!("  {key}: {}", value.as_ref()?)));
        let given: Vec<String> = given.collect();
        if given.is_empty() {
            return Ok(());
        }
        writeln!(self.out, "<\n{}\n>", given.join(",\n"))
    }

    fn graph(&mut self, graph: &GraphProto) -> fmt::Result {
        write!(self.out, "{} ", Name(graph.name()))?;
        self.entries('(', graph.input.iter().map(Entry::Value), ')')?;
        self.out.write_str(" => ")?;
        self.entries('(', graph.output.iter().map(Entry::Value), ')')?;
        if graph.initializer.len() + graph.sparse_initializer.len() + graph.value_info.len() > 0 {
            self.line()?;
            let tensors = graph.initializer.iter().map(Entry::Initializer);
            let sparse = graph.sparse_initializer.iter().map(Entry::Sparse);
            self.entries('<', tensors.chain(sparse).chain(graph.value_info.iter().map(Entry::Value)), '>')?;
        }
        self.line()?;
        self.out.write_char('{')?;
        self.depth += 1;
        self.comments(graph.doc_string(), &graph.metadata_props)?;
        for annotation in &graph.quantization_annotation {
            let quantized = format!("quantizes {}", annotation.tensor_name());
            self.comments(&quantized, &annotation.quant_parameter_tensor_names)?;
        }
        self.nodes(&graph.node)
    }

    /// The nodes and the brace that closes them; the brace that opens them is written.
    fn nodes(&mut self, nodes: &[NodeProto]) -> fmt::Result {
        for node in nodes {
            self.comments(node.doc_string(), &node.metadata_props)?;
            self.line()?;
            self.node(node)?;
        }
        self.depth -= 1;
        self.line()?;
        self.out.write_char('}')
    }

    fn node(&mut self, node: &NodeProto) -> fmt::Result {
        if !node.name().is_empty() {
            write!(self.out, "[{}] ", Name(node.name()))?;
        }
        write!(self.out, "{} = ", list(node.output.iter().map(|name| Name(name))))?;
        for part in node.domain().split('.').filter(|part| !part.is_empty()) {
            write!(self.out, "{}.", Word(part))?;
        }
        self.out.write_str(node.op_type())?;
        if !node.overload().is_empty() {
            write!(self.out, ":{}", Word(node.overload()))?;
        }
        let mut separator = "<";
        for attribute in &node.attribute {
            self.out.write_str(separator)?;
            self.attribute(attribute)?;
            separator = ", ";
        }
        let close = if node.attribute.is_empty() { "" } else { ">" };
        write!(self.out, "{close}({})", list(node.input.iter().map(|name| Name(name))))
    }

    /// `name = value`. An empty list shows its type, having no values to tell it.
    fn attribute(&mut self, attribute: &AttributeProto) -> fmt::Result {
        let kind = attribute.r#type();
        self.out.write_str(&Word(attribute.name()).to_string())?;
        let reference = attribute.ref_attr_name();
        let count = attribute.floats.len() + attribute.ints.len() + attribute.strings.len();
        if !reference.is_empty() || (count == 0 && is_list(kind)) {
            write!(self.out, ": {}", kind.as_str_name().to_ascii_lowercase())?;
        }
        self.out.write_str(" = ")?;
        if !reference.is_empty() {
            return write!(self.out, "@{}", Name(reference));
        }
        match kind {
            AttributeType::Float => write!(self.out, "{:?}", attribute.f()),
            AttributeType::Int => write!(self.out, "{}", attribute.i()),
            AttributeType::String => write!(self.out, "{}", Quoted(attribute.s())),
            AttributeType::Floats => {
                let floats =
                    attribute.floats.iter().map(|value| fmt::from_fn(move |f| write!(f, "{value:?}")));
                write!(self.out, "[{}]", list(floats))
            }
            AttributeType::Ints => write!(self.out, "[{}]", list(attribute.ints.iter())),
            AttributeType::Strings => {
                write!(self.out, "[{}]", list(attribute.strings.iter().map(|text| Quoted(text))))
            }
            AttributeType::Tensor => match &attribute.t {
                Some(tensor) => self.constant(tensor),
                None => self.out.write_str("..."),
            },
            AttributeType::Graph => match &attribute.g {
                Some(graph) => self.graph(graph),
                None => self.out.write_str("..."),
            },
            AttributeType::TypeProto => write!(self.out, "{}", Type(attribute.tp.as_ref())),
            _ => self.out.write_str("..."),
        }
    }

    /// A tensor in an attribute.
    fn constant(&mut self, tensor: &TensorProto) -> fmt::Result {
        self.out.write_str(&sizes(tensor.data_type, &tensor.dims))?;
        if !tensor.name().is_empty() {
            write!(self.out, " {} =", Name(tensor.name()))?;
        }
        write!(self.out, " {}", Data { tensor, whole: self.whole })
    }

    /// One entry a line between brackets.
    fn entries<'e>(
        &mut self,
        open: char,
        entries: impl Iterator<Item = Entry<'e>>,
        close: char,
    ) -> fmt::Result {
        self.out.write_char(open)?;
        self.depth += 1;
        let mut empty = true;
        for entry in entries {
            if !empty {
                self.out.write_char(',')?;
            }
            empty = false;
            self.entry(&entry)?;
        }
        self.depth -= 1;
        if !empty {
            self.line()?;
        }
        self.out.write_char(close)
    }

    fn entry(&mut self, entry: &Entry) -> fmt::Result {
        match entry {
            Entry::Value(value) => {
                self.comments(value.doc_string(), &value.metadata_props)?;
                self.line()?;
                if value.r#type.as_ref().is_some_and(|kind| kind.value.is_some()) {
                    write!(self.out, "{} ", Type(value.r#type.as_ref()))?;
                }
                write!(self.out, "{}", Name(value.name()))
            }
            Entry::Initializer(tensor) => {
                self.comments(tensor.doc_string(), &tensor.metadata_props)?;
                self.line()?;
                let kind = sizes(tensor.data_type, &tensor.dims);
                let data = Data { tensor, whole: self.whole };
                write!(self.out, "{kind} {} = {data}", Name(tensor.name()))
            }
            Entry::Sparse(sparse) => {
                self.line()?;
                let values = sparse.values.as_ref();
                let kind = sizes(values.and_then(|values| values.data_type), &sparse.dims);
                let name = values.map(TensorProto::name).unwrap_or_default();
                write!(self.out, "sparse_tensor({kind}) {} = ...", Name(name))
            }
        }
    }

    fn function(&mut self, function: &FunctionProto) -> fmt::Result {
        let text = |text: &str| (!text.is_empty()).then(|| Quoted(text.as_bytes()).to_string());
        self.header(&[
            ("domain", text(function.domain())),
            ("overload", text(function.overload())),
            ("opset_import", opsets(&function.opset_import)),
            ("doc_string", text(function.doc_string())),
        ])?;
        write!(self.out, "{} ", Name(function.name()))?;
        if function.attribute.len() + function.attribute_proto.len() > 0 {
            write!(self.out, "<{}", list(function.attribute.iter().map(|name| Name(name))))?;
            for (position, attribute) in function.attribute_proto.iter().enumerate() {
                self.out.write_str(if function.attribute.is_empty() && position == 0 { "" } else { ", " })?;
                self.attribute(attribute)?;
            }
            self.out.write_str("> ")?;
        }
        let inputs = list(function.input.iter().map(|name| Name(name)));
        let outputs = list(function.output.iter().map(|name| Name(name)));
        write!(self.out, "({inputs}) => ({outputs})")?;
        if !function.value_info.is_empty() {
            self.line()?;
            self.entries('<', function.value_info.iter().map(Entry::Value), '>')?;
        }
        self.line()?;
        self.out.write_char('{')?;
        self.depth += 1;
        self.comments("", &function.metadata_props)?;
        self.nodes(&function.node)?;
        self.out.write_char('\n')
    }

    /// Lines of documentation and metadata.
    fn comments(&mut self, doc: &str, metadata: &[StringStringEntryProto]) -> fmt::Result {
        let entries = metadata.iter().map(|entry| format!("{}: {}", entry.key(), entry.value()));
        for text in [doc.to_owned()].into_iter().chain(entries) {
            for line in text.lines() {
                self.line()?;
                self.out.write_str(format!("# {line}").trim_end())?;
            }
        }
        Ok(())
    }

    /// A new line, indented.
    fn line(&mut self) -> fmt::Result {
        write!(self.out, "\n{:1$}", "", self.depth * 2)
    }
}

fn is_list(kind: AttributeType) -> bool {
    matches!(kind, AttributeType::Floats | AttributeType::Ints | AttributeType::Strings)
}

/// `["" : 17]`, or nothing where there are none.
fn opsets(opsets: &[OperatorSetIdProto]) -> Option<String> {
    let opset =
        |opset: &OperatorSetIdProto| format!("{} : {}", Quoted(opset.domain().as_bytes()), opset.version());
    (!opsets.is_empty()).then(|| format!("[{}]", list(opsets.iter().map(opset))))
}

/// One entry a line in brackets, or nothing where there are none.
fn metadata(entries: &[StringStringEntryProto]) -> Option<String> {
    let lines: Vec<String> = entries.iter().map(|entry| format!("    {}", pair(entry))).collect();
    (!lines.is_empty()).then(|| format!("[\n{}\n  ]", lines.join(",\n")))
}
