//! The report on a calibrated model: one page of HTML that holds all it shows.
//!
//! It is given plain data and gives text: the same data gives the same bytes. The page
//! loads nothing, and its own policy forbids it to.

mod card;
mod histogram;
mod html;
mod list;
pub mod numbers;
mod tree;

use crate::{calibration::Quality, calibrator::Amax};
use html::Html;

/// What the page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The model of the spec.
    pub model: String,
    /// The spec, as the user called it.
    pub spec: String,
    /// The checkpoint, as the user called it.
    pub checkpoint: String,
    /// The qdqc that writes the page.
    pub version: String,
    /// How many sequences were observed, if that is known.
    pub samples: Option<u64>,
    /// What is missing or odd, each a sentence, lower case, without a full stop.
    pub notes: Vec<String>,
    /// The model's modules: each after the one it is placed in, the model first.
    pub modules: Vec<Module>,
    /// In the graph's order.
    pub quantizers: Vec<Quantizer>,
}

/// An instance of a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its state-dict path; empty for the model.
    pub path: String,
    /// The name of the module in the spec.
    pub kind: String,
    /// The module it is placed in, by position.
    pub parent: Option<usize>,
}

/// A quantizer and what is known of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quantizer {
    /// Its state-dict path.
    pub name: String,
    /// The module it belongs to, by position.
    pub module: usize,
    /// What it rounds: `lhs of matmul scores`, with the type of the value.
    pub rounds: String,
    /// What it does, in words.
    pub scheme: String,
    /// Its codes alone: `int8`, `uint4`, `e4m3`.
    pub codes: String,
    /// File, line and column of its rule.
    pub place: String,
    /// The text of its rule.
    pub rule: String,
    /// How its range was chosen: `percentile(99.99)`, `fixed`; with what changed it.
    pub method: String,
    /// Its range; `None` where it is measured at every call.
    pub range: Option<Amax>,
    /// How many values were seen.
    pub values: Option<u64>,
    /// What rounding to its range costs.
    pub quality: Option<Quality>,
    /// The magnitudes seen.
    pub picture: Option<Picture>,
    /// What each method would have chosen.
    pub choices: Vec<Choice>,
}

/// A histogram of magnitudes: bin `i` counts those in `[i * width, (i + 1) * width)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The width of a bin.
    pub width: f64,
    /// How many magnitudes each bin holds.
    pub counts: Vec<u64>,
}

/// What a method would have chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The method, as specs write it.
    pub method: String,
    /// Its range; `None` where it gives none.
    pub range: Option<Amax>,
    /// What rounding to that would cost.
    pub quality: Option<Quality>,
}

impl Quantizer {
    /// The method whose range would lose least, and by how many decibels less than
    /// its own, where that is worth a word.
    fn better(&self) -> Option<(&Choice, f64)> {
        let own = self.quality?.signal_to_noise;
        let gain = |choice| match choice {
            &Choice { quality: Some(quality), .. } => Some((choice, quality.signal_to_noise - own)),
            _ => None,
        };
        let best = self.choices.iter().filter_map(gain).max_by(|a, b| a.1.total_cmp(&b.1))?;
        (best.1 >= WORTH_A_WORD).then_some(best)
    }
}

/// Decibels.
const WORTH_A_WORD: f64 = 0.5;

/// Quantizers by position, those that lose most first, those of which that is not
/// known last.
fn by_harm(quantizers: &[Quantizer]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..quantizers.len()).collect();
    let ratio = |at: &usize| {
        let quality = quantizers.get(*at).and_then(|quantizer| quantizer.quality);
        quality.map_or(f64::INFINITY, |quality| quality.signal_to_noise)
    };
    order.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    order
}

/// Nothing is loaded from anywhere.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

impl Page {
    /// The page.
    pub fn html(&self) -> String {
        let mut html = Html::new();
        html.program("<!DOCTYPE html>\n");
        let title = format!("Quantizers of {}", self.model);
        html.element("html", &[("lang", "en")], |html| {
            html.element("head", &[], |head| {
                head.empty("meta", &[("charset", "utf-8")]);
                let policy = [("http-equiv", "Content-Security-Policy"), ("content", POLICY)];
                head.empty("meta", &policy);
                let view = [("name", "viewport"), ("content", "width=device-width, initial-scale=1")];
                head.empty("meta", &view);
                head.empty("link", &[("rel", "icon"), ("href", "data:,")]);
                head.leaf("title", &[], &title);
                head.element("style", &[], |style| style.program(include_str!("page.css")));
            });
            html.line();
            html.element("body", &[], |body| {
                self.head(body, &title);
                body.line();
                body.element("main", &[], |main| {
                    list::write(main, &self.quantizers);
                    main.line();
                    tree::write(main, self);
                });
                body.line();
                body.element("script", &[], |script| script.program(include_str!("page.js")));
            });
        });
        html.line();
        html.finish()
    }

    /// What the page is about.
    fn head(&self, html: &mut Html, title: &str) {
        html.element("header", &[], |header| {
            header.leaf("h1", &[], title);
            header.element("dl", &[("class", "facts")], |facts| {
                for (name, value) in self.facts() {
                    facts.element("div", &[], |fact| {
                        fact.leaf("dt", &[], name);
                        fact.leaf("dd", &[], &value);
                    });
                }
                if let Some((at, worst)) = self.worst() {
                    facts.element("div", &[], |fact| {
                        fact.leaf("dt", &[], "Loses most");
                        fact.element("dd", &[], |dd| {
                            dd.leaf("a", &[("href", &card::link(at))], &worst.name);
                            let ratio = worst.quality.as_ref().map(numbers::decibels).unwrap_or_default();
                            dd.text(&format!(", {ratio} dB"));
                        });
                    });
                }
            });
            for note in &self.notes {
                header.leaf("p", &[("class", "note")], &format!("Note: {note}."));
            }
        });
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("Spec", self.spec.clone()),
            ("Checkpoint", self.checkpoint.clone()),
            ("Quantizers", self.quantizers.len().to_string()),
        ];
        facts.extend(self.samples.map(|samples| ("Sequences observed", numbers::grouped(samples))));
        facts.push(("Written by", format!("qdqc {}", self.version)));
        facts
    }

    fn worst(&self) -> Option<(usize, &Quantizer)> {
        let at = *by_harm(&self.quantizers).first()?;
        self.quantizers.get(at).filter(|worst| worst.quality.is_some()).map(|worst| (at, worst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(depth: usize, name: &str) -> Page {
        let module = |at: usize| Module {
            path: vec![name; at].join("."),
            kind: name.to_owned(),
            parent: at.checked_sub(1),
        };
        let quantizer =
            |at: usize| Quantizer { name: format!("{name}{at}"), module: at, ..Quantizer::default() };
        Page {
            model: name.to_owned(),
            modules: (0..depth).map(module).collect(),
            quantizers: (0..depth).map(quantizer).collect(),
            ..Page::default()
        }
    }

    #[test]
    fn modules_may_be_deep() {
        let html = page(500, "m").html();
        for at in 0..500 {
            assert_eq!(html.matches(&format!("data-name=\"m{at}\"")).count(), 1, "{at}");
        }
        let (mut depth, mut deepest) = (0_i32, 0);
        for part in html.split('<') {
            depth += i32::from(part.starts_with("details")) - i32::from(part.starts_with("/details"));
            deepest = deepest.max(depth);
        }
        assert_eq!(depth, 0);
        assert!(deepest < 60, "{deepest}");
    }

    #[test]
    fn names_mean_themselves() {
        let html = page(2, "</title></script><b onclick='x'>").html();
        assert!(!html.contains("<b ") && html.matches("</script>").count() == 1, "{html}");
    }

    #[test]
    fn a_better_method_is_named_where_it_is_worth_it() {
        let quality = |signal_to_noise| Some(Quality { clipped: 0.0, signal_to_noise, cosine: 1.0 });
        let choice =
            |method: &str, ratio| Choice { method: method.into(), range: None, quality: quality(ratio) };
        let mut quantizer = Quantizer { quality: quality(20.0), ..Quantizer::default() };
        quantizer.choices = vec![choice("max", 20.0), choice("mse", 20.2)];
        assert_eq!(quantizer.better(), None);
        quantizer.choices.push(choice("entropy", 22.0));
        assert_eq!(quantizer.better().unwrap().0.method, "entropy");
    }
}
