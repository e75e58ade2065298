//! Language modelling: cross entropy, perplexity, and accuracy over tokens.

use super::{Metric, share};

/// What a language model made of the tokens that it was to predict.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loss {
    sum: f64,
    right: u64,
    tokens: u64,
}

impl Loss {
    /// Counts one token: its logits over the vocabulary, and the id of the right one. Nothing is counted
    /// where there is no such id.
    pub fn add(&mut self, logits: &[f32], gold: usize) {
        let Some(score) = logits.get(gold) else { return };
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - f64::from(most)).exp()).sum();
        self.sum += sum.ln() + f64::from(most) - f64::from(*score);
        // Of equals the first is the answer.
        self.right += u64::from(logits.iter().position(|logit| *logit == most) == Some(gold));
        self.tokens += 1;
    }

    /// How many tokens were counted.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// The mean of `-ln p` of the right tokens (`loss`), `exp` of that (`perplexity`), and the share of tokens
    /// predicted rightly (`token_accuracy`).
    pub fn metrics(&self) -> Vec<Metric> {
        let loss = self.sum / self.tokens as f64;
        vec![
            Metric::cost("loss", loss),
            Metric::cost("perplexity", loss.exp()),
            Metric::percent("token_accuracy", share(self.right, self.tokens)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 3/4 and 1/4 of the right tokens: the loss is (ln 4/3 + ln 4) / 2, the perplexity
    /// √(16/3).
    #[test]
    fn as_computed_by_hand() {
        let mut loss = Loss::default();
        loss.add(&[3f32.ln() + 100.0, 100.0], 0);
        loss.add(&[3f32.ln() - 100.0, -100.0, f32::NEG_INFINITY], 1);
        loss.add(&[0.0], 7);
        let [mean, perplexity, accuracy] = &loss.metrics()[..] else { panic!("three metrics") };
        assert_eq!((loss.tokens(), accuracy.value), (2, 50.0));
        assert!((mean.value - (16.0f64 / 3.0).ln() / 2.0).abs() < 1e-6, "{mean}");
        assert!((perplexity.value - (16.0f64 / 3.0).sqrt()).abs() < 1e-5, "{perplexity}");
        assert!(Loss::default().metrics().iter().all(|metric| metric.value.is_nan()));
    }
}
