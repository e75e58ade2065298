//! What a comparison found, as a table, as words and as JSON.

use super::table;
use crate::comparison::{Comparison, Difference, Finding, Output, Parting, Total};
use serde::Serialize;

/// What was found, as `--json` gives it.
#[derive(Serialize)]
pub struct Report<'a> {
    /// The other runtime, or the file of its outputs.
    runtime: String,
    tolerance: f64,
    /// Both are the same model: each output is within the tolerance, or would be if no number lay at a tie.
    pub agrees: bool,
    /// Each output is within the tolerance as it is.
    outputs_agree: bool,
    /// The first quantizer whose codes differ, in the graph's order.
    first_parting: Option<&'a str>,
    /// All codes, both run as they are.
    free: Total,
    /// All codes, ours computed from theirs before each quantizer.
    given: Option<Total>,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

impl<'a> Report<'a> {
    /// Of a comparison with a runtime of this name.
    pub fn new(runtime: String, comparison: &'a Comparison, tolerance: f64) -> Report<'a> {
        Report {
            runtime,
            tolerance,
            agrees: comparison.agrees(tolerance) || comparison.agrees_but_for_ties(tolerance),
            outputs_agree: comparison.agrees(tolerance),
            first_parting: comparison.first_parting().map(|first| first.name.as_str()),
            free: comparison.free(),
            given: comparison.given(),
            comparison,
        }
    }

    /// Tables of the outputs and of the quantizers, and the verdict. `all`: every quantizer, not only those
    /// that are apart by themselves.
    pub fn text(&self, all: bool) -> String {
        let first = |quantizer: &Finding| Some(quantizer.name.as_str()) == self.first_parting;
        let header = ["output", "shape", "difference", "scale", "of scale", "same top"];
        let mut text = table_of(&header, self.comparison.outputs.iter().map(of_output));
        let shown = self.comparison.quantizers.iter().filter(|one| all || first(one) || one.is_apart());
        let rows: Vec<_> = shown.map(of_quantizer).collect();
        if !rows.is_empty() {
            let header = [
                "quantizer",
                "shape",
                "codes",
                "differ",
                "input apart",
                "given codes",
                "by rounding",
                "from tie",
            ];
            text += &format!("\n{}", table_of(&header, rows));
        }
        let verdict = [self.quantizers(), self.given_codes(), self.unexplained(), Some(self.outputs())];
        text + "\n" + &verdict.into_iter().flatten().map(|line| line + "\n").collect::<String>()
    }

    /// Where the two part.
    fn quantizers(&self) -> Option<String> {
        let (count, missing) = (self.comparison.quantizers.len(), self.comparison.missing.len());
        let lacking = match missing {
            0 => String::new(),
            missing => format!("; {missing} more are not in {} by name", self.runtime),
        };
        if count == 0 {
            let alone = format!(
                "outputs alone were compared: {} shows nothing of the spec's quantizers",
                self.runtime
            );
            return (missing > 0).then_some(alone);
        }
        let Total { codes, differ, .. } = self.free;
        let Some(first) = self.comparison.first_parting() else {
            return Some(format!("all {codes} codes of {count} quantizers are the same{lacking}"));
        };
        Some(format!(
            "{differ} of {codes} codes of {count} quantizers differ; the first to part is `{}`{}{lacking}",
            first.name,
            why(first)
        ))
    }

    /// Whether each quantizer alone is the same.
    fn given_codes(&self) -> Option<String> {
        let given = self.given.filter(|_| self.free.differ > 0)?;
        let Total { differ, by_rounding, farthest, .. } = given;
        let why = match differ {
            0 => String::new(),
            _ if differ == by_rounding => {
                format!(", every one by rounding, at most {} of a step from a tie", short(farthest))
            }
            _ => format!(
                ", {} of them by more than rounding, up to {} steps from a tie",
                differ - by_rounding,
                short(farthest)
            ),
        };
        Some(format!("given the same codes before it, a quantizer differs in {}{why}", codes_of(differ)))
    }

    /// Codes that nothing accounts for.
    fn unexplained(&self) -> Option<String> {
        let count = self.free.unexplained;
        let are = if count == 1 { "code of theirs is" } else { "codes of theirs are" };
        (count > 0).then(|| format!("{count} {are} not what QuantizeLinear makes of what they saw"))
    }

    /// Whether the outputs agree.
    fn outputs(&self) -> String {
        let worst = |of: &dyn Fn(&Output) -> Option<Difference>| {
            let found =
                self.comparison.outputs.iter().filter_map(|output| Some((output, of(output)?.relative())));
            found.max_by(|a, b| a.1.total_cmp(&b.1))
        };
        if let Some(output) = self.comparison.outputs.iter().find(|output| output.their_shape.is_some()) {
            return format!("the outputs do not agree: `{}` has another shape", output.name);
        }
        let Some((output, largest)) = worst(&|output| Some(output.free)) else {
            return "there were no outputs to compare".to_owned();
        };
        let (largest, tolerance) = (short(largest), short(self.tolerance));
        if self.outputs_agree {
            return format!("the outputs agree: within {largest} of their scale, {tolerance} is allowed");
        }
        let given = worst(&|output| output.given).map(|(_, largest)| short(largest)).unwrap_or_default();
        let name = &output.name;
        if self.agrees {
            return format!(
                "the outputs agree but for codes at ties: `{name}` differs by {largest} of its scale, and computed from \
                 the same codes by {given}, {tolerance} is allowed"
            );
        }
        let given =
            if given.is_empty() { given } else { format!("; computed from the same codes, by {given}") };
        format!(
            "the outputs do not agree: `{name}` differs by {largest} of its scale, {tolerance} is allowed{given}"
        )
    }
}

/// Why this quantizer is the first whose codes differ.
fn why(first: &Finding) -> String {
    if let Some(shape) = &first.their_shape {
        return format!(": there it has the shape {shape:?}");
    }
    if let Some((ours, theirs)) = first.scales {
        return format!(": its scale is {ours:e}, and {theirs:e} there");
    }
    let codes = codes_of(first.free.differ);
    match first.free.reasons {
        None => format!(", in {codes}"),
        Some(reasons) if reasons.unexplained > 0 => {
            format!(", in {codes}, which are there not what QuantizeLinear makes of what it sees")
        }
        Some(reasons) if first.free.is_rounding() => {
            format!(", in {codes} by rounding, at most {} of a step from a tie", short(reasons.farthest))
        }
        Some(reasons) => format!(
            ", in {codes}: what it sees is apart by {} of its scale, which is more than rounding",
            short(reasons.input.relative())
        ),
    }
}

/// `1 code`, `2 codes`
fn codes_of(count: u64) -> String {
    format!("{count} code{}", if count == 1 { "" } else { "s" })
}

fn table_of(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let header = header.iter().map(|cell| (*cell).to_owned()).collect();
    table::figures(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

fn of_output(output: &Output) -> Vec<String> {
    let Difference { largest, scale } = output.free;
    let shape = shape(&output.shapes, output.their_shape.as_deref());
    let top = format!("{} of {}", output.top.same, output.top.rows);
    let figures = match output.their_shape {
        Some(_) => ["-"; 4].map(str::to_owned),
        None => [short(largest), short(scale), short(output.free.relative()), top],
    };
    [output.name.clone(), shape].into_iter().chain(figures).collect()
}

fn of_quantizer(quantizer: &Finding) -> Vec<String> {
    let apart = |parting: &Parting| parting.reasons.map(|reasons| short(reasons.input.relative()));
    let given = quantizer.given.as_ref();
    let reasons = given.and_then(|given| given.reasons);
    let cells = [
        Some(quantizer.name.clone()),
        Some(shape(&quantizer.shapes, quantizer.their_shape.as_deref())),
        Some(quantizer.free.codes.to_string()),
        Some(quantizer.free.differ.to_string()),
        apart(&quantizer.free),
        given.map(|given| given.differ.to_string()),
        reasons.map(|reasons| reasons.by_rounding.to_string()),
        reasons.map(|reasons| short(reasons.farthest)),
    ];
    cells.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect()
}

/// The first of these shapes, whether there are others, and theirs if it is another.
fn shape(ours: &[Vec<usize>], theirs: Option<&[usize]>) -> String {
    let first = ours.first().map(|shape| format!("{shape:?}")).unwrap_or_default();
    let more = if ours.len() > 1 { " ..." } else { "" };
    let theirs = theirs.map(|shape| format!(", theirs {shape:?}")).unwrap_or_default();
    format!("{first}{more}{theirs}")
}

/// A number in three digits.
fn short(number: f64) -> String {
    let size = number.abs();
    if number == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e4).contains(&size) {
        let digits = (2 - size.log10().floor() as i32).max(0) as usize;
        format!("{number:.digits$}")
    } else {
        format!("{number:.1e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 1.0, 12.345, 0.012345, 1234.6, 3.4e-7, 5.67e8, f64::INFINITY].map(short);
        assert_eq!(texts, ["0", "1.00", "12.3", "0.0123", "1235", "3.4e-7", "5.7e8", "inf"]);
    }
}
