//! `continuation(logits)`: more text, a token at a time, with the key/value cache.

use super::{
    outputs::Outputs,
    scores::{best, highest, softmax},
};
use crate::{
    failure::Failure,
    tasks::{Example, Options, Runner, Task, batch::tensor},
};
use candle_core::Tensor;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// How many tokens are sampled from where the user does not say, as in HuggingFace.
const SAMPLED: usize = 50;

/// More text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Continuation {
    /// The text that was given and its continuation.
    pub text: String,
    /// The continuation alone.
    pub continuation: String,
    /// How many tokens that is.
    pub tokens: usize,
    /// The model ended the text; otherwise it was stopped at the longest length.
    pub ended: bool,
}

/// Continues the text of an example whose one sequence is its prompt, with the output of logits
/// `[batch, seq, vocab_size]`. Tokens after the first step are run alone on the cache, where the model gives
/// one (`present.0.key` comes back as `past_key_values.0.key`), and with all before them where not.
pub(in crate::tasks) fn write(
    task: &Task<'_>,
    example: &Example,
    output: &str,
    runner: &mut dyn Runner,
) -> Result<Continuation, Failure> {
    let prompt: Vec<u32> =
        example.sequences.iter().flat_map(|one| &one.tokens).map(|token| token.id).collect();
    let ends = ends(task);
    let room = task.limit.saturating_sub(prompt.len()).min(task.options.max_new_tokens);
    let mut sampler = Sampler::new(task.options, example.record.line);
    let mut cache = Cache::default();
    let mut ids = prompt.clone();
    let mut ended = false;
    while ids.len() < prompt.len() + room && !ended {
        let logits = cache.step(&ids, output, runner)?;
        let next = sampler.choose(output, &logits)?;
        ended = ends.contains(&next);
        if !ended {
            ids.push(next);
        }
    }
    let continuation = continued(task, &prompt, &ids)?;
    let text = format!("{}{continuation}", example.record.text.joined());
    Ok(Continuation { text, continuation, tokens: ids.len() - prompt.len(), ended })
}

/// The text after the prompt. A tokenizer writes a first token differently from a later one, so the last
/// token of the prompt is written with the new ones and taken off again.
fn continued(task: &Task<'_>, prompt: &[u32], ids: &[u32]) -> Result<String, Failure> {
    let last = prompt.len().saturating_sub(1);
    let new = ids.get(prompt.len()..).unwrap_or_default();
    let before = task.tokenizer.decode(prompt.get(last..).unwrap_or_default())?;
    let both = task.tokenizer.decode(ids.get(last..).unwrap_or_default())?;
    match both.strip_prefix(&before) {
        Some(after) => Ok(after.to_owned()),
        None => task.tokenizer.decode(new),
    }
}

/// The tokens that end a text: `eos_token_id` of the config, or else `[SEP]`.
fn ends(task: &Task<'_>) -> Vec<u32> {
    let id = |value: &Value| u32::try_from(value.as_u64()?).ok();
    match task.reader.config.get("eos_token_id") {
        Some(Value::Array(ids)) => ids.iter().filter_map(id).collect(),
        Some(value) => id(value).into_iter().collect(),
        None => task.tokenizer.special().sep.into_iter().collect(),
    }
}

/// What the model remembers of the tokens so far.
#[derive(Default)]
struct Cache {
    /// `past_key_values.N.key` and `.value`, each `[1, heads, past, head_size]`.
    entries: BTreeMap<String, Tensor>,
    /// How many tokens they hold.
    past: usize,
}

impl Cache {
    /// Runs the tokens that are not in the cache; gives the logits after the last.
    fn step(&mut self, ids: &[u32], output: &str, runner: &mut dyn Runner) -> Result<Vec<f32>, Failure> {
        let new: Vec<i64> = ids.iter().skip(self.past).map(|id| i64::from(*id)).collect();
        let (seq, total) = (new.len(), ids.len());
        let mut inputs = std::mem::take(&mut self.entries);
        inputs.insert("input_ids".into(), tensor(new, &[1, seq])?);
        inputs.insert("attention_mask".into(), tensor(vec![1; total], &[1, total])?);
        inputs.insert("token_type_ids".into(), tensor(vec![0; seq], &[1, seq])?);
        let mut outputs = runner.run(&inputs, &["present"])?;
        drop(inputs);
        let logits = Outputs::split(&outputs, &[output.to_owned()], 1)?;
        let logits = logits.first().map_or(Ok(Vec::new()), |logits| logits.last(output))?;
        outputs.retain(|name, _| name.starts_with("present."));
        self.past = if outputs.is_empty() { 0 } else { total };
        let past = |name: &str| name.strip_prefix("present.").map(|rest| format!("past_key_values.{rest}"));
        self.entries =
            outputs.into_iter().filter_map(|(name, cached)| Some((past(&name)?, cached))).collect();
        Ok(logits)
    }
}

/// How the next token is chosen.
struct Sampler<'a> {
    options: &'a Options,
    random: StdRng,
}

impl Sampler<'_> {
    fn new(options: &Options, line: u64) -> Sampler<'_> {
        // The odd factor spreads the line numbers, so that no two lines of a file share a stream.
        let seed = options.seed ^ line.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Sampler { options, random: StdRng::seed_from_u64(seed) }
    }

    /// The likeliest token, or with a temperature one sampled from the `top_k` likeliest and of those from
    /// the fewest that reach `top_p`.
    fn choose(&mut self, name: &str, logits: &[f32]) -> Result<u32, Failure> {
        let (likeliest, _) = highest(name, logits)?;
        let id =
            if self.options.temperature > 0.0 { self.sample(logits).unwrap_or(likeliest) } else { likeliest };
        u32::try_from(id)
            .map_err(|_| Failure::input(format!("`{name}` has more scores than there are tokens")))
    }

    fn sample(&mut self, logits: &[f32]) -> Option<usize> {
        let order = best(logits, self.options.top_k.unwrap_or(SAMPLED));
        let scaled =
            order.iter().filter_map(|id| logits.get(*id)).map(|logit| logit / self.options.temperature);
        let odds = softmax(&scaled.collect::<Vec<_>>());
        let mut reached = 0.0;
        let kept = odds.iter().take_while(|odds| {
            let short = reached < self.options.top_p;
            reached += **odds;
            short
        });
        let kept: Vec<f32> = kept.copied().collect();
        let mut point = self.random.random::<f32>() * kept.iter().sum::<f32>();
        let chosen = kept.iter().position(|odds| {
            point -= odds;
            point < 0.0
        });
        order.get(chosen.unwrap_or(kept.len().saturating_sub(1))).copied()
    }
}

impl fmt::Display for Continuation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
