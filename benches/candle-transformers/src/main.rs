//! Times the forward pass of BERT in qdqc (the bundled `base-model`, in float) and in
//! candle-transformers, on the same weights and inputs. Both take turns, so that a
//! busy machine disturbs both.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use qdqc::{
    backends::candle::Executor,
    compile::{self, Options},
    config,
    graph::{Checked, Graph, NodeKind},
    specs,
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

/// The sizes of a BERT.
struct Sizes {
    hidden: usize,
    layers: usize,
    heads: usize,
    intermediate: usize,
}

fn main() -> std::result::Result<(), Failure> {
    let rounds = std::env::args().nth(1).map_or(Ok(15), |rounds| rounds.parse())?;
    let base = Sizes { hidden: 768, layers: 12, heads: 12, intermediate: 3072 };
    let mini = Sizes { hidden: 384, layers: 6, heads: 12, intermediate: 1536 };
    println!("| model | batch x tokens | candle-transformers | qdqc | ratio | largest difference |");
    println!("|---|---|---|---|---|---|");
    for (name, sizes) in [("BERT-base", base), ("MiniLM-L6", mini)] {
        for (batch, tokens) in [(1, 128), (8, 128)] {
            compare(name, &sizes, batch, tokens, rounds)?;
        }
    }
    Ok(())
}

fn compare(
    name: &str,
    sizes: &Sizes,
    batch: usize,
    tokens: usize,
    rounds: usize,
) -> std::result::Result<(), Failure> {
    let graph = graph(sizes)?;
    let weights = weights(&graph)?;
    let theirs = BertModel::load(
        VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu),
        &serde_json::from_value::<Config>(Value::Object(fields(sizes)))?,
    )?;
    let ours = Executor::new(graph, weights, &Device::Cpu)?;
    let ids = Tensor::arange(0_i64, (batch * tokens) as i64, &Device::Cpu)?.reshape((batch, tokens))?;
    let types = ids.zeros_like()?;
    let mask = ids.ones_like()?;
    let inputs = BTreeMap::from([
        ("input_ids".to_owned(), ids.clone()),
        ("token_type_ids".to_owned(), types.clone()),
        ("attention_mask".to_owned(), mask.clone()),
    ]);
    let (mut their_times, mut our_times) = (Vec::new(), Vec::new());
    let mut difference = 0.0;
    for round in 0..=rounds {
        let (their_result, their_time) = timed(|| Ok(theirs.forward(&ids, &types, Some(&mask))?))?;
        let (our_result, our_time) = timed(|| Ok(ours.run(&inputs)?))?;
        if round == 0 {
            let result = our_result.get("last_hidden_state").ok_or("no output")?;
            difference = (result - their_result)?.abs()?.max_all()?.to_scalar::<f32>()?;
        } else {
            their_times.push(their_time);
            our_times.push(our_time);
        }
    }
    let (theirs, ours) = (median(their_times), median(our_times));
    println!(
        "| {name} | {batch} x {tokens} | {:.1} ms | {:.1} ms | {:.2} | {difference:.1e} |",
        theirs * 1e3,
        ours * 1e3,
        theirs / ours
    );
    Ok(())
}

type Timed<T> = std::result::Result<(T, Duration), Failure>;

fn timed<T>(work: impl FnOnce() -> std::result::Result<T, Failure>) -> Timed<T> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed()))
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

/// A `config.json` for both.
fn fields(sizes: &Sizes) -> Map<String, Value> {
    let fields = json!({
        "vocab_size": 30522, "hidden_size": sizes.hidden, "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads, "intermediate_size": sizes.intermediate,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "max_position_embeddings": 512,
        "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12, "pad_token_id": 0,
    });
    fields.as_object().cloned().unwrap_or_default()
}

fn graph(sizes: &Sizes) -> std::result::Result<Checked, Failure> {
    let spec = specs::find("base-model").ok_or("no spec base-model")?;
    let (program, _) = compile::load(&spec.source_name(), spec.text, &specs::BundledLibrary);
    let config = config::Config::new(fields(sizes), "this program");
    let options = Options { config, ..Options::default() };
    let (graph, problems) = compile::compile(&program, &options, false);
    Ok(graph.ok_or_else(|| format!("{problems:?}"))?)
}

/// Random weights for the graph's parameters.
fn weights(graph: &Graph) -> Result<HashMap<String, Tensor>> {
    let parameters = graph.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Parameter(parameter) => {
            let shape = node.ty.shape.iter().filter_map(|dim| usize::try_from(dim.as_known()?).ok());
            Some((parameter.path.clone(), shape.collect::<Vec<_>>()))
        }
        _ => None,
    });
    parameters
        .map(|(path, shape)| {
            let tensor = match path.ends_with("LayerNorm.weight") {
                true => Tensor::ones(shape, DType::F32, &Device::Cpu)?,
                false => Tensor::randn(0_f32, 0.02, shape, &Device::Cpu)?,
            };
            Ok((path, tensor))
        })
        .collect()
}
