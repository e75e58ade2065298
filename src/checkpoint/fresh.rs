//! Weights that training starts from where a checkpoint has none.

use super::{
    Pattern, Wanted,
    names::{canonical, is_range, parts, within},
};
use crate::{config::Config, failure::Failure};
use candle_core::{DType, Device, Tensor};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{collections::HashSet, f64::consts::TAU};

/// What is drawn by chance, and how.
#[derive(Clone, Debug, Default)]
pub struct Fresh {
    /// What chance starts from. A tensor depends on it and on its own path alone.
    pub seed: u64,
    /// Weights to draw even where the checkpoint has them, or must have them.
    pub patterns: Vec<Pattern>,
}

/// The parts that make the model the one that the checkpoint was trained as: without them
/// it is another.
const TRUNK: [&str; 2] = ["embeddings", "encoder"];

/// The most numbers of a tensor that is drawn: four times the largest table of embeddings
/// there is. Nothing else bounds a size that a config asks for.
const MOST_NUMBERS: usize = 1 << 30;

impl Fresh {
    /// A pattern asks for this weight to be drawn.
    pub(super) fn demands(&self, wanted: &Wanted) -> bool {
        !is_range(&wanted.path) && self.patterns.iter().any(|pattern| pattern.matches(&wanted.path))
    }
}

/// Of missing weights those that may be drawn though nobody asked for it, given all that is
/// wanted and the names that the checkpoint has.
///
/// They are heads that the checkpoint was not trained with: modules of which it has nothing
/// at all. None of them is the trunk or in it, nor one of a numbered list, for then the
/// config is another checkpoint's. And at least half of what is wanted is there: otherwise
/// it is another model, or has other names.
pub(super) fn missing_heads<'w>(
    missing: &[&'w Wanted],
    wanted: &[&Wanted],
    names: &[&str],
) -> Vec<&'w Wanted> {
    let weights = wanted.iter().filter(|wanted| !is_range(&wanted.path)).count();
    let lacking = missing.iter().filter(|wanted| !is_range(&wanted.path)).count();
    if lacking.saturating_mul(2) > weights {
        return Vec::new();
    }
    let names: Vec<String> =
        names.iter().filter(|name| !is_range(name)).map(|name| canonical(name)).collect();
    let present: HashSet<&str> = names.iter().flat_map(|name| parts(name)).collect();
    let is_head = |wanted: &&&Wanted| {
        let name = canonical(&wanted.path);
        let Some(part) = parts(&name).find(|part| !present.contains(part)) else { return false };
        let numbered = part.rsplit('.').next().is_some_and(|last| last.parse::<u64>().is_ok());
        let trunk = TRUNK.iter().any(|trunk| within(part, trunk));
        !is_range(&name) && part != name && !numbered && !trunk
    };
    missing.iter().filter(is_head).copied().collect()
}

/// A new weight, as HuggingFace's BERT begins with: a matrix from a normal distribution
/// around 0, whose deviation is the config's `initializer_range` or 0.02; a vector of 1 where
/// it is called `weight` or `gamma`, as a layer norm's factors are, else of 0.
///
/// # Errors
/// It is too large, the config's deviation is none, or the device has no room.
pub(super) fn draw(
    wanted: &Wanted,
    config: &Config,
    seed: u64,
    device: &Device,
    dtype: DType,
) -> Result<Tensor, Failure> {
    let tensor = Tensor::from_vec(numbers(wanted, config, seed)?, wanted.shape.as_slice(), device);
    let tensor = tensor.and_then(|tensor| tensor.to_dtype(dtype));
    tensor.map_err(|error| Failure::outside(format!("`{}` cannot be made: {error}", wanted.path)))
}

fn numbers(wanted: &Wanted, config: &Config, seed: u64) -> Result<Vec<f32>, Failure> {
    let Wanted { path, shape, .. } = wanted;
    let count = shape.iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
    let count = count.filter(|count| *count <= MOST_NUMBERS).ok_or_else(|| {
        Failure::input(format!("`{path}` of shape {shape:?} is too large to be trained anew"))
            .help(format!("look for a wrong size in {}", config.origin))
    })?;
    if shape.len() < 2 {
        let factor = matches!(path.rsplit('.').next(), Some("weight" | "gamma"));
        return Ok(vec![if factor { 1.0 } else { 0.0 }; count]);
    }
    Ok(normal(count, deviation(config)?, seed, path))
}

fn deviation(config: &Config) -> Result<f64, Failure> {
    const FIELD: &str = "initializer_range";
    let Some(value) = config.get(FIELD) else { return Ok(0.02) };
    let deviation = value.as_f64().filter(|deviation| (0.0..=1e6).contains(deviation));
    deviation.ok_or_else(|| {
        Failure::input(format!("`{FIELD}` is {value} in {}, and no deviation", config.origin_of(FIELD)))
            .help("set it to a small number: `--set initializer_range=0.02`")
    })
}

/// Normal numbers, two at a time (Box and Muller 1958).
fn normal(count: usize, deviation: f64, seed: u64, path: &str) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(hash(seed, path));
    let mut numbers = Vec::with_capacity(count.saturating_add(1));
    while numbers.len() < count {
        // From above 0, where a logarithm is finite, to 1.
        let radius = (-2.0 * (1.0 - random.random::<f64>()).ln()).sqrt() * deviation;
        let (sine, cosine) = (TAU * random.random::<f64>()).sin_cos();
        numbers.extend([(radius * cosine) as f32, (radius * sine) as f32]);
    }
    numbers.truncate(count);
    numbers
}

/// FNV-1a of the path, begun at the seed: the same in every build.
fn hash(seed: u64, path: &str) -> u64 {
    path.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str, shape: &[usize]) -> Wanted {
        Wanted { path: path.into(), shape: shape.to_vec(), ..Wanted::default() }
    }

    fn config(text: &str) -> Config {
        Config::parse(text, "config.json").unwrap()
    }

    #[test]
    fn a_weight_depends_on_seed_and_path_alone() {
        let draw = |path: &str, seed| numbers(&wanted(path, &[3, 5]), &config("{}"), seed).unwrap();
        assert_eq!(draw("a.weight", 1), draw("a.weight", 1));
        assert_ne!(draw("a.weight", 1), draw("b.weight", 1));
        assert_ne!(draw("a.weight", 1), draw("a.weight", 2));
        assert_eq!(draw("a.weight", 1).len(), 15);
    }

    #[test]
    fn matrices_are_normal_and_vectors_constant() {
        let config = config(r#"{"initializer_range": 0.5}"#);
        let drawn = numbers(&wanted("a.weight", &[300, 333]), &config, 7).unwrap();
        let mean = |power: i32| {
            let sum: f64 = drawn.iter().map(|x| (f64::from(*x) / 0.5).powi(power)).sum();
            sum / drawn.len() as f64
        };
        // Moments of the standard normal distribution, within four deviations of their estimates.
        for (power, expected, within) in [(1, 0.0, 0.013), (2, 1.0, 0.018), (3, 0.0, 0.05), (4, 3.0, 0.13)] {
            assert!((mean(power) - expected).abs() < within, "{power}: {}", mean(power));
        }
        let vector = |path| numbers(&wanted(path, &[2]), &config, 7).unwrap();
        assert_eq!(vector("a.LayerNorm.weight"), [1.0; 2]);
        assert_eq!(vector("a.LayerNorm.bias"), [0.0; 2]);
        assert_eq!(vector("cls.predictions.bias"), [0.0; 2]);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let huge = wanted("classifier.weight", &[usize::MAX, 2]);
        assert!(numbers(&huge, &config("{}"), 0).unwrap_err().to_string().contains("too large"));
        for value in ["-1", "\"small\"", "1e300"] {
            let config = config(&format!("{{\"initializer_range\": {value}}}"));
            let failure = numbers(&wanted("classifier.weight", &[1, 1]), &config, 0).unwrap_err();
            assert!(failure.to_string().starts_with("`initializer_range` is "), "{failure}");
        }
    }

    /// Paths of a model of which the checkpoint has those without `missing`.
    fn heads(paths: &[&str], missing: &[&str]) -> Vec<String> {
        let wanted: Vec<Wanted> = paths.iter().map(|path| wanted(path, &[1])).collect();
        let names: Vec<&str> = paths.iter().filter(|path| !missing.contains(path)).copied().collect();
        let missing: Vec<&Wanted> =
            wanted.iter().filter(|wanted| missing.contains(&wanted.path.as_str())).collect();
        let heads = missing_heads(&missing, &wanted.iter().collect::<Vec<_>>(), &names);
        heads.into_iter().map(|wanted| wanted.path.clone()).collect()
    }

    #[test]
    fn only_whole_heads_are_drawn_unasked() {
        const PATHS: [&str; 11] = [
            "bert.embeddings.word_embeddings.weight",
            "bert.embeddings.token_type_embeddings.weight",
            "bert.encoder.layer.0.output.dense.weight",
            "bert.encoder.layer.1.output.dense.weight",
            "bert.encoder.layer.1.crossattention.self.query.weight",
            "bert.pooler.dense.weight",
            "bert.pooler.dense.bias",
            "classifier.weight",
            "classifier.bias",
            "heads.0.weight",
            "heads.1.weight",
        ];
        for whole in [
            &["classifier.weight", "classifier.bias"][..],
            &PATHS[5..9],
            &["heads.0.weight", "heads.1.weight"],
        ] {
            assert_eq!(heads(&PATHS, whole), whole);
        }
        for not in [1, 3, 4, 6, 8, 10] {
            assert!(heads(&PATHS, &PATHS[not..=not]).is_empty(), "{}", PATHS[not]);
        }
        assert!(heads(&PATHS, &PATHS[2..5]).is_empty(), "the encoder is no head");
        assert!(heads(&PATHS[4..], &PATHS[5..]).is_empty(), "most is missing");
    }
}
