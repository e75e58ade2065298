//! How long a spec takes from text to verified graph, for BERT-base.
//!
//! `cargo bench --bench compile [SPEC]`: the median of 101 runs, front half
//! (reading and parsing) and back half (resolving and passes) apart.

use qdqc::{
    compile::{self, Options},
    specs,
};
use std::time::{Duration, Instant};

const RUNS: usize = 101;

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let name = wanted.unwrap_or_else(|| "question-answering".to_owned());
    let Some(spec) = specs::find(&name) else {
        eprintln!("there is no bundled spec `{name}`");
        std::process::exit(2);
    };
    let (mut front, mut back) = (Vec::new(), Vec::new());
    let mut nodes = 0;
    for _ in 0..RUNS {
        let start = Instant::now();
        let (program, problems) = compile::load(&spec.source_name(), spec.text, &specs::BundledLibrary);
        front.push(start.elapsed());
        let start = Instant::now();
        let (graph, found) = compile::compile(&program, &Options::default(), true);
        back.push(start.elapsed());
        assert!(problems.is_empty() && found.is_empty(), "{problems:?} {found:?}");
        nodes = graph.map_or(0, |graph| graph.nodes.len());
    }
    let (front, back) = (median(front), median(back));
    println!(
        "{name}: {nodes} nodes; text to tree {front:.2?}, tree to verified graph {back:.2?}, together {:.2?}",
        front + back
    );
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
