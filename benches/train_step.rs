//! How long a training step takes: forward, backward, clipping, AdamW.
//!
//! ```text
//! cargo bench --bench train_step -- CHECKPOINT [BATCH [TOKENS [float|quantized]]]
//! ```
//!
//! It answers to `benches/train.py`: prints `ready`, and for each line `K` on its standard
//! input does K steps and prints their K times in milliseconds. At a terminal press
//! `5 Enter`. On standard error it says what part of the time goes where. Quantized, ranges
//! are made up: 4 for activations, the largest magnitudes for weights.

use candle_core::{DType, Device, Tensor};
use qdqc::{
    backends::candle::keep_freed_memory,
    checkpoint::{Checkpoint, Fresh, HubOptions},
    compile::load,
    session::{Engine, Gradients, Integers, Session},
    specs::{BundledLibrary, find},
    training::{AdamW, AdamWOptions, clipping, norm},
    types,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    error::Error,
    io::BufRead,
    time::Instant,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(checkpoint) = arguments.first() else {
        eprintln!("give a checkpoint: cargo bench --bench train_step -- CHECKPOINT");
        return Ok(());
    };
    let number = |at: usize, default: usize| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let (batch, tokens) = (number(1, 16)?, number(2, 64)?);
    let quantized = arguments.get(3).is_some_and(|mode| mode == "quantized");
    let mut session = session(checkpoint, quantized)?;
    let inputs = inputs(session.config().get("vocab_size").and_then(|size| size.as_u64()), batch, tokens)?;
    let names = inputs.keys().cloned().collect();
    session.start_training(&names, &BTreeSet::new(), &Fresh::default())?;
    let mut adamw = AdamW::new(AdamWOptions::default());
    println!("ready");
    let mut parts = [0.0; 3];
    let mut seed = 0;
    for line in std::io::stdin().lock().lines() {
        let count: usize = line?.trim().parse()?;
        let mut times = Vec::new();
        for _ in 0..count {
            seed += 1;
            let part = step(&mut session, &inputs, &mut adamw, seed)?;
            times.push(format!("{:.3}", part.iter().sum::<f64>()));
            parts = [0, 1, 2].map(|at| part[at]);
        }
        println!("{}", times.join(" "));
        let [forward, backward, update] = parts;
        eprintln!("the last: forward {forward:.1} ms, backward {backward:.1} ms, AdamW {update:.1} ms");
    }
    Ok(())
}

fn session(checkpoint: &str, quantized: bool) -> Result<Session> {
    let spec = find("sequence-classification").ok_or("there is no such spec")?;
    let (program, problems) = load(&spec.source_name(), spec.text, &BundledLibrary);
    if !problems.is_empty() {
        return Err(format!("{problems:?}").into());
    }
    let open = || -> Result<Checkpoint> {
        let mut opened = Checkpoint::open(checkpoint, &HubOptions::from_env())?;
        opened.config.set("num_labels", 2.into());
        Ok(opened)
    };
    let engine = |quantize| Engine {
        device: Device::Cpu,
        dtype: types::DType::F32,
        quantize,
        integers: Integers::Never,
    };
    if !quantized {
        return Ok(Session::new(program, open()?, engine(false)));
    }
    let file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
    let float = Session::new(program.clone(), open()?, engine(false));
    candle_core::safetensors::save(&ranges(float)?, file.path())?;
    let mut ranged = open()?;
    ranged.overlay(file.path())?;
    Ok(Session::new(program, ranged, engine(true)))
}

fn ranges(mut session: Session) -> Result<HashMap<String, Tensor>> {
    session.start_training(&BTreeSet::new(), &BTreeSet::new(), &Fresh::default())?;
    let mut ranges = HashMap::new();
    for quantizer in &session.graph()?.quantizers {
        ranges.insert(format!("{}._amax", quantizer.name), Tensor::new(4.0_f32, &Device::Cpu)?);
    }
    session.observe_weights(&BTreeSet::new(), &mut |quantizers, weight| {
        for quantizer in quantizers {
            let amax = weight.abs().and_then(|weight| weight.max_keepdim(1));
            if let Ok(amax) = amax {
                ranges.insert(format!("{}._amax", quantizer.name), amax);
            }
        }
        Ok(())
    })?;
    Ok(ranges)
}

fn inputs(vocabulary: Option<u64>, batch: usize, tokens: usize) -> Result<BTreeMap<String, Tensor>> {
    let vocabulary = vocabulary.unwrap_or(30_522) as usize;
    let ids: Vec<i64> = (0..batch * tokens).map(|at| (at * 7919 % vocabulary) as i64).collect();
    let labels: Vec<i64> = (0..batch).map(|at| at as i64 % 2).collect();
    let device = &Device::Cpu;
    Ok(BTreeMap::from([
        ("input_ids".to_owned(), Tensor::from_vec(ids, (batch, tokens), device)?),
        ("attention_mask".to_owned(), Tensor::ones((batch, tokens), DType::I64, device)?),
        ("labels".to_owned(), Tensor::from_vec(labels, batch, device)?),
    ]))
}

/// The milliseconds of forward, backward, and the rest.
fn step(
    session: &mut Session,
    inputs: &BTreeMap<String, Tensor>,
    adamw: &mut AdamW,
    seed: u64,
) -> Result<[f64; 3]> {
    let start = Instant::now();
    let pass = session.forward(inputs, &BTreeSet::new(), Some(seed))?;
    let forward = start.elapsed();
    let one = Tensor::ones((), DType::F32, &Device::Cpu)?;
    let mut gradients = Gradients::default();
    pass.backward(&BTreeMap::from([("loss".to_owned(), one)]), &mut gradients)?;
    let backward = start.elapsed();
    let scale = clipping(norm(&gradients)?, 1.0);
    adamw.step(session.parameters(), &gradients, 5e-5, scale)?;
    drop(gradients);
    let all = start.elapsed();
    Ok([forward, backward - forward, all - backward].map(|time| time.as_secs_f64() * 1e3))
}
