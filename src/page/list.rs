//! Every quantizer in one table, those that lose most first.

use super::{Quantizer, by_harm, card, html::Html, numbers};

/// A column: its heading, what it means, and whether it holds numbers.
const COLUMNS: [(&str, &str, bool); 8] = [
    ("Quantizer", "its name in the checkpoint", false),
    ("Codes", "what values are rounded to", false),
    ("Method", "how its range was chosen", false),
    ("Range", "the magnitude of the largest code; over channels the least and the largest", true),
    ("Clipped %", "values beyond the range", true),
    ("Signal/noise dB", "energy of the values over that of the rounding error", true),
    ("Cosine", "between the values and what is left of them", true),
    ("Best method", "the method that would lose least, and how much less", false),
];

/// Writes the table.
pub fn write(html: &mut Html, quantizers: &[Quantizer]) {
    html.element("section", &[("aria-labelledby", "harm")], |section| {
        section.leaf("h2", &[("id", "harm")], "By harm");
        section.leaf(
            "p",
            &[("class", "lead")],
            "Lowest signal-to-noise ratio first. Each row leads to its quantizer in the model below.",
        );
        section.element("div", &[("class", "wide")], |wide| {
            wide.element("table", &[("id", "list")], |table| {
                table.element("thead", &[], |head| head.element("tr", &[], headings));
                table.element("tbody", &[], |body| {
                    for at in by_harm(quantizers) {
                        if let Some(quantizer) = quantizers.get(at) {
                            body.line();
                            body.element("tr", &[], |tr| row(tr, at, quantizer));
                        }
                    }
                });
            });
        });
    });
}

fn headings(html: &mut Html) {
    for (name, meaning, number) in COLUMNS {
        let class = if number { "number" } else { "" };
        let sort = if name.starts_with("Signal") { "ascending" } else { "none" };
        let attributes = [("scope", "col"), ("class", class), ("aria-sort", sort), ("title", meaning)];
        html.leaf("th", &attributes, name);
    }
}

fn row(html: &mut Html, at: usize, quantizer: &Quantizer) {
    html.element("th", &[("scope", "row"), ("data-value", &quantizer.name)], |th| {
        th.leaf("a", &[("href", &card::link(at))], &quantizer.name);
    });
    html.leaf("td", &[], &quantizer.codes);
    html.leaf("td", &[], &quantizer.method);
    let quality = quantizer.quality.as_ref();
    let range = quantizer.range.as_ref();
    number(html, range.map(|range| (numbers::largest(range), numbers::range(range))));
    number(html, quality.map(|quality| (quality.clipped, numbers::percent(quality.clipped))));
    number(html, quality.map(|quality| (quality.signal_to_noise, numbers::decibels(quality))));
    number(html, quality.map(|quality| (quality.cosine, format!("{:.6}", quality.cosine))));
    match quantizer.better() {
        Some((choice, gain)) => {
            let words = format!("{} +{gain:.1} dB", choice.method);
            html.leaf("td", &[("data-value", &gain.to_string())], &words);
        }
        None if quality.is_some() && !quantizer.choices.is_empty() => {
            html.leaf("td", &[("data-value", "0"), ("class", "faint")], "its own");
        }
        None => html.leaf("td", &[("class", "faint")], numbers::NOTHING),
    }
}

/// A number to sort by, and as it is written.
fn number(html: &mut Html, number: Option<(f64, String)>) {
    match number {
        Some((value, text)) => {
            html.leaf("td", &[("class", "number"), ("data-value", &value.to_string())], &text);
        }
        None => html.leaf("td", &[("class", "number faint")], numbers::NOTHING),
    }
}
