//! One quantizer: what it saw, its range, and what other methods would have chosen.

use super::{Choice, Quantizer, histogram, html::Html, numbers};
use crate::{calibration::Quality, calibrator::Amax};

/// Where a link to a quantizer leads.
pub fn link(at: usize) -> String {
    format!("#q{at}")
}

/// Writes the quantizer; `path` is that of its module.
pub fn write(html: &mut Html, at: usize, quantizer: &Quantizer, path: &str) {
    let own = quantizer.name.strip_prefix(path).unwrap_or(&quantizer.name).trim_start_matches('.');
    html.element("details", &[("class", "quantizer")], |details| {
        details.element("summary", &[], |summary| {
            summary.leaf("span", &[("class", "path")], own);
            summary.text(" ");
            summary.leaf("span", &[("class", "kind")], &quantizer.codes);
            if let Some(quality) = &quantizer.quality {
                let ratio = format!("{} dB", numbers::decibels(quality));
                summary.text(" ");
                summary.leaf("span", &[("class", "sum")], &ratio);
            }
        });
        // The target of links is inside, so that following one opens what is around it.
        let id = format!("q{at}");
        details.element("div", &[("class", "card"), ("id", &id), ("data-name", &quantizer.name)], |card| {
            card.leaf("h3", &[], &quantizer.name);
            facts(card, quantizer);
            ranges(card, quantizer);
        });
    });
}

fn facts(html: &mut Html, quantizer: &Quantizer) {
    html.element("dl", &[], |list| {
        let mut fact = |name: &str, write: &dyn Fn(&mut Html)| {
            list.element("div", &[], |fact| {
                fact.leaf("dt", &[], name);
                fact.element("dd", &[], write);
            });
        };
        fact("Rounds", &|dd| dd.text(&quantizer.rounds));
        fact("Scheme", &|dd| dd.text(&quantizer.scheme));
        fact("Rule", &|dd| {
            dd.leaf("code", &[], &quantizer.rule);
            dd.text(" ");
            dd.leaf("span", &[("class", "faint")], &quantizer.place);
        });
        if let Some(values) = quantizer.values {
            fact("Values seen", &|dd| dd.text(&numbers::grouped(values)));
        }
    });
}

/// A row of the table of ranges.
struct Row<'a> {
    name: String,
    own: bool,
    range: Option<&'a Amax>,
    quality: Option<&'a Quality>,
}

/// The ranges under the histogram, on one scale.
fn ranges(html: &mut Html, quantizer: &Quantizer) {
    let mut rows: Vec<Row<'_>> = Vec::new();
    if quantizer.range.is_some() {
        let name = format!("chosen: {}", quantizer.method);
        let (range, quality) = (quantizer.range.as_ref(), quantizer.quality.as_ref());
        rows.push(Row { name, own: true, range, quality });
    }
    rows.extend(quantizer.choices.iter().map(|Choice { method, range, quality }| Row {
        name: method.clone(),
        own: false,
        range: range.as_ref(),
        quality: quality.as_ref(),
    }));
    if rows.is_empty() && quantizer.picture.is_none() {
        return;
    }
    let largest = rows.iter().filter_map(|row| row.range).map(numbers::largest);
    let extent = histogram::extent(quantizer.picture.as_ref(), largest);
    html.element("table", &[("class", "ranges")], |table| {
        table.element("thead", &[], |head| scale(head, quantizer, extent));
        table.element("tbody", &[], |body| {
            for row in &rows {
                let class = if row.own { "own" } else { "" };
                body.element("tr", &[("class", class)], |tr| choice(tr, row, extent));
            }
        });
    });
}

/// The histogram over the scale that it shares with the rows below.
fn scale(html: &mut Html, quantizer: &Quantizer, extent: f64) {
    html.element("tr", &[], |tr| {
        tr.element("th", &[("class", "counts"), ("scope", "col")], |th| {
            let Some(picture) = &quantizer.picture else { return th.text("Method") };
            let most = picture.counts.iter().copied().max().unwrap_or_default();
            th.leaf("span", &[], &numbers::rough(most));
            th.leaf("span", &[], "log count");
            th.leaf("span", &[], "0");
        });
        tr.element("th", &[("class", "lane"), ("scope", "col")], |th| {
            if let Some(picture) = &quantizer.picture {
                let range = quantizer.range.as_ref();
                let range = range.map(|range| (numbers::least(range), numbers::largest(range)));
                histogram::draw(th, picture, extent, range);
            }
            th.element("span", &[("class", "axis")], |axis| {
                axis.leaf("span", &[], "0");
                axis.leaf("span", &[], "magnitude");
                axis.leaf("span", &[], &numbers::significant(extent));
            });
        });
        for heading in ["Range", "Clipped %", "S/N dB", "Cosine"] {
            tr.leaf("th", &[("class", "number"), ("scope", "col")], heading);
        }
    });
}

fn choice(html: &mut Html, row: &Row<'_>, extent: f64) {
    html.leaf("th", &[("scope", "row")], &row.name);
    html.element("td", &[("class", "lane")], |td| {
        let Some(range) = row.range else { return };
        let share = |magnitude: f64| (magnitude / extent * 100.0).clamp(0.0, 100.0);
        let (least, largest) = (share(numbers::least(range)), share(numbers::largest(range)));
        td.element("span", &[("class", "bar")], |bar| {
            bar.leaf("i", &[("style", &format!("width:{largest:.2}%"))], "");
            if least < largest {
                let style = format!("left:{least:.2}%;width:{:.2}%", largest - least);
                bar.leaf("b", &[("style", &style)], "");
            }
        });
    });
    let mut number = |text: Option<String>| {
        html.leaf("td", &[("class", "number")], text.as_deref().unwrap_or(numbers::NOTHING));
    };
    number(row.range.map(numbers::range));
    number(row.quality.map(|quality| numbers::percent(quality.clipped)));
    number(row.quality.map(numbers::decibels));
    number(row.quality.map(|quality| format!("{:.6}", quality.cosine)));
}
