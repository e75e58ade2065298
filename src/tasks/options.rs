//! What a user may choose about how records are read and answered.

use crate::failure::Failure;

/// How records are batched and how outputs are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Records run together.
    pub batch: usize,
    /// Longest sequence in tokens, special tokens included. `None` is what the model takes, and for
    /// answer spans at most 384, as HuggingFace's pipeline has it.
    pub max_length: Option<usize>,
    /// How many words to show for a mask (5 where `None`); how many tokens to sample from (50 where `None`).
    pub top_k: Option<usize>,
    /// Tokens that neighbouring windows of a long context share.
    pub doc_stride: usize,
    /// Longest answer span, in tokens.
    pub max_answer_length: usize,
    /// Answer spans to list.
    pub n_best: usize,
    /// A question may have no answer in its context (SQuAD 2).
    pub no_answer: bool,
    /// With `no_answer`: there is none where its score leads the best span's by more than this, both as
    /// start logit + end logit.
    pub no_answer_threshold: f32,
    /// Most tokens to continue a text with.
    pub max_new_tokens: usize,
    /// 0 takes the likeliest token; above 0, logits are divided by it and a token is sampled.
    pub temperature: f32,
    /// Samples from the likeliest tokens that together reach this probability.
    pub top_p: f32,
    /// What sampling starts from. The same seed, line number and text give the same continuation.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            batch: 8,
            max_length: None,
            top_k: None,
            doc_stride: 128,
            max_answer_length: 30,
            n_best: 1,
            no_answer: false,
            no_answer_threshold: 0.0,
            max_new_tokens: 32,
            temperature: 0.0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

impl Options {
    /// Refuses numbers that mean nothing: a batch of none, a negative temperature.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let rules = [
            (self.batch > 0, "the batch must hold at least 1 record"),
            (self.max_length != Some(0), "the maximum length must be at least 1 token"),
            (self.top_k != Some(0), "top-k must be at least 1"),
            (self.max_answer_length > 0, "the longest answer must have at least 1 token"),
            (self.n_best > 0, "n-best must be at least 1"),
            (!self.no_answer_threshold.is_nan(), "the no-answer threshold must be a number"),
            (self.temperature >= 0.0 && self.temperature.is_finite(), "the temperature must be 0 or above"),
            (self.top_p > 0.0 && self.top_p <= 1.0, "top-p must be above 0 and at most 1"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, message)) => Err(Failure::usage(*message)),
            None => Ok(()),
        }
    }
}
