//! What simulating quantization costs: the forward pass with all 20 quantizers of
//! every layer, by that in float, of the same model on a CPU.
//!
//! `cargo bench --bench fake_quantize [CHECKPOINT]`: BERT-base with random weights,
//! and a checkpoint if one is given. Both passes take turns, so that a busy machine
//! disturbs both; the times are medians of 21 rounds, and those of single
//! quantizers are given for scale.

use candle_core::{DType, Device, Tensor};
use qdqc::{
    backends::candle::{Executor, keep_freed_memory},
    checkpoint::{Checkpoint, HubOptions, Wanted},
    compile::{self, Options},
    config::Config,
    graph::{Checked, Graph, NodeKind},
    ops::{Attribute, Attributes, Op},
    specs,
    types::Bindings,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
    path::Path,
    time::{Duration, Instant},
};

const ROUNDS: usize = 21;
const BATCH: usize = 8;
const TOKENS: usize = 128;

type Weights = HashMap<String, Tensor>;

fn main() -> Result<(), Box<dyn Error>> {
    keep_freed_memory();
    single()?;
    println!("\n| model | batch x tokens | float | quantized | ratio |\n|---|---|---|---|---|");
    let fields = json!({
        "vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "intermediate_size": 3072, "hidden_act": "gelu", "max_position_embeddings": 512,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    });
    let config = Config::new(fields.as_object().cloned().unwrap_or_default(), "this program");
    compare("BERT-base, random", "base-model", &config, random)?;
    if let Some(path) = std::env::args().skip(1).find(|argument| !argument.starts_with('-')) {
        let checkpoint =
            Checkpoint::open(&path, &HubOptions::from_env()).map_err(|failure| format!("{failure:?}"))?;
        let name = checkpoint
            .folder()
            .path()
            .and_then(Path::file_name)
            .map(|name| name.to_string_lossy().into_owned());
        compare(&name.unwrap_or(path), "sentence-embedding", &checkpoint.config, |graph| {
            stored(&checkpoint, graph)
        })?;
    }
    Ok(())
}

/// One quantizer at a time, on the largest tensor of BERT-base's layers.
fn single() -> Result<(), Box<dyn Error>> {
    println!("| one quantizer, 8 x 128 x 3072 | time | read and written |\n|---|---|---|");
    let x = Tensor::randn(0_f32, 1.0, (BATCH, TOKENS, 3072), &Device::Cpu)?;
    let amax = |shape: &[usize]| Tensor::full(4_f32, shape, &Device::Cpu);
    let cases = [
        ("per tensor", x.clone(), amax(&[])?, None),
        ("per tensor, transposed", x.transpose(1, 2)?, amax(&[])?, None),
        ("axis 0", x.clone(), amax(&[BATCH, 1, 1])?, Some(0_i64)),
        ("axis 2", x.clone(), amax(&[1, 1, 3072])?, Some(2)),
    ];
    let copied = "copied by candle";
    let copy = || Ok((&x + 1.0)?);
    for (name, x, amax, axis) in cases {
        let attributes = Attributes::new(vec![("axis".to_owned(), Attribute::from(axis))]);
        let op = Op::build("fake_quantize", attributes).ok_or("no operator")??;
        let given = [x, amax];
        report(name, times(|| Ok(op.semantics().eval(&given, &Bindings::new())?))?);
    }
    report(copied, times(copy)?);
    Ok(())
}

fn report(name: &str, times: Vec<Duration>) {
    let bytes = (2 * 4 * BATCH * TOKENS * 3072) as f64;
    let time = median(times);
    println!("| {name} | {:.2} ms | {:.1} GB/s |", time * 1e3, bytes / time / 1e9);
}

fn times(work: impl Fn() -> Result<Tensor, Box<dyn Error>>) -> Result<Vec<Duration>, Box<dyn Error>> {
    (0..ROUNDS).map(|_| timed(&work)).collect()
}

/// The two passes of one model, by turns.
fn compare(
    name: &str,
    spec: &str,
    config: &Config,
    weights: impl Fn(&Graph) -> Result<Weights, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let executor = |quantize: bool| -> Result<Executor, Box<dyn Error>> {
        let graph = graph(spec, config, quantize)?;
        let weights = weights(&graph)?;
        Executor::new(graph, weights, &Device::Cpu).map_err(|failure| format!("{failure:?}").into())
    };
    let (float, quantized) = (executor(false)?, executor(true)?);
    let ids = Tensor::arange(0_i64, (BATCH * TOKENS) as i64, &Device::Cpu)?.reshape((BATCH, TOKENS))?;
    let inputs = BTreeMap::from([
        ("input_ids".to_owned(), ids.clone()),
        ("token_type_ids".to_owned(), ids.zeros_like()?),
        ("attention_mask".to_owned(), ids.ones_like()?),
    ]);
    let run = |executor: &Executor| {
        timed(|| executor.run(&inputs).map_err(|failure| format!("{failure:?}").into()))
    };
    let (mut float_times, mut quantized_times) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let (float, quantized) = (run(&float)?, run(&quantized)?);
        // The first one fills caches.
        if round > 0 {
            float_times.push(float);
            quantized_times.push(quantized);
        }
    }
    let (float, quantized) = (median(float_times), median(quantized_times));
    println!(
        "| {name} | {BATCH} x {TOKENS} | {:.1} ms | {:.1} ms | {:.2} |",
        float * 1e3,
        quantized * 1e3,
        quantized / float
    );
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

fn graph(spec: &str, config: &Config, quantize: bool) -> Result<Checked, Box<dyn Error>> {
    let spec = specs::find(spec).ok_or("no such spec")?;
    let (program, _) = compile::load(&spec.source_name(), spec.text, &specs::BundledLibrary);
    let options = Options { config: config.clone(), ..Options::default() };
    let (graph, problems) = compile::compile(&program, &options, quantize);
    Ok(graph.ok_or_else(|| format!("{problems:?}"))?)
}

/// The parameters of a graph with their sizes.
fn parameters(graph: &Graph) -> impl Iterator<Item = (String, Vec<usize>)> {
    graph.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Parameter(parameter) => {
            let shape = node.ty.shape.iter().filter_map(|dim| usize::try_from(dim.as_known()?).ok());
            Some((parameter.path.clone(), shape.collect()))
        }
        _ => None,
    })
}

/// Ranges that cut a little off.
fn range(path: &str, shape: &[usize]) -> candle_core::Result<Tensor> {
    Tensor::full(if path.contains("_weight_") { 0.1_f32 } else { 4.0 }, shape, &Device::Cpu)
}

fn random(graph: &Graph) -> Result<Weights, Box<dyn Error>> {
    let one = |(path, shape): (String, Vec<usize>)| {
        let tensor = match path.rsplit('.').next() {
            Some("_amax") => range(&path, &shape)?,
            _ if path.ends_with("LayerNorm.weight") => Tensor::ones(shape, DType::F32, &Device::Cpu)?,
            _ => Tensor::randn(0_f32, 0.02, shape, &Device::Cpu)?,
        };
        Ok((path, tensor))
    };
    parameters(graph).map(one).collect()
}

/// The weights of a checkpoint, with ranges where it has none.
fn stored(checkpoint: &Checkpoint, graph: &Graph) -> Result<Weights, Box<dyn Error>> {
    let wanted: Vec<_> = parameters(graph)
        .map(|(path, shape)| Wanted { optional: path.ends_with("_amax"), path, shape, ..Wanted::default() })
        .collect();
    let loaded = checkpoint.load(&wanted, &Device::Cpu, DType::F32);
    let (mut weights, _) = loaded.map_err(|failure| format!("{failure:?}"))?;
    for wanted in wanted.iter().filter(|wanted| wanted.optional) {
        if !weights.contains_key(&wanted.path) {
            weights.insert(wanted.path.clone(), range(&wanted.path, &wanted.shape)?);
        }
    }
    Ok(weights)
}
