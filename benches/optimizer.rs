//! How fast a step of an optimizer is: `cargo bench --bench optimizer`. Parameters and
//! gradients are those of all-MiniLM-L6-v2 with a head of two labels, 22.7 million numbers,
//! weights of linear layers turned in memory.

use candle_core::{Device, Tensor};
use qdqc::{
    session::Gradients,
    training::{AdamW, AdamWOptions, Sgd, norm},
};
use std::{collections::BTreeMap, error::Error, hint::black_box, time::Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const HIDDEN: usize = 384;

fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut shapes = vec![
        ("embeddings.word".into(), vec![30522, HIDDEN]),
        ("embeddings.position".into(), vec![512, HIDDEN]),
        ("embeddings.type".into(), vec![2, HIDDEN]),
        ("classifier.weight".into(), vec![2, HIDDEN]),
        ("classifier.bias".into(), vec![2]),
        ("pooler.weight".into(), vec![HIDDEN, HIDDEN]),
        ("pooler.bias".into(), vec![HIDDEN]),
    ];
    for layer in 0..6 {
        let linear =
            [("query", 1, 1), ("key", 1, 1), ("value", 1, 1), ("dense", 1, 1), ("up", 4, 1), ("down", 1, 4)];
        for (name, rows, columns) in linear {
            shapes.push((format!("{layer}.{name}.weight"), vec![rows * HIDDEN, columns * HIDDEN]));
            shapes.push((format!("{layer}.{name}.bias"), vec![rows * HIDDEN]));
        }
        for name in ["first.weight", "first.bias", "second.weight", "second.bias"] {
            shapes.push((format!("{layer}.norm.{name}"), vec![HIDDEN]));
        }
    }
    shapes
}

fn tensors(value: f32) -> Result<BTreeMap<String, Tensor>> {
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let full = |shape: &[usize]| Tensor::full(value, shape, &Device::Cpu);
        let tensor = match shape[..] {
            [rows, columns] if !name.starts_with("embeddings") => full(&[columns, rows])?.t()?,
            _ => full(&shape)?,
        };
        Ok((name, tensor))
    };
    shapes().into_iter().map(tensor).collect()
}

/// Median and least of the times, after one that does not count.
fn report(what: &str, mut run: impl FnMut() -> Result<()>) -> Result<()> {
    run()?;
    let mut times = Vec::new();
    for _ in 0..21 {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    println!("{what:<28} {:>6.1} ms (least {:.1})", times[times.len() / 2], times[0]);
    Ok(())
}

fn main() -> Result<()> {
    let parameters = tensors(0.5)?;
    let count: usize = parameters.values().map(Tensor::elem_count).sum();
    println!("{:.1} million parameters, {} threads", count as f64 / 1e6, rayon::current_num_threads());
    let mut gradients = Gradients::default();
    for (name, gradient) in tensors(1e-3)? {
        gradients.insert(name, gradient);
    }
    report("norm of gradients", || {
        black_box(norm(&gradients)?);
        Ok(())
    })?;
    let mut adamw = AdamW::new(AdamWOptions::default());
    report("AdamW", || Ok(adamw.step(&parameters, &gradients, 1e-5, 0.5)?))?;
    let mut sgd = Sgd::new(0.9);
    report("SGD with momentum", || Ok(sgd.step(&parameters, &gradients, 1e-5, 0.5)?))
}
