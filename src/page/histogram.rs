//! A histogram as a picture: logarithmic counts over magnitudes.

use super::{Picture, html::Html, numbers};

/// Units across and down; the picture is stretched to its place.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 100.0;

/// The largest magnitude that a picture has room for.
pub fn extent(picture: Option<&Picture>, ranges: impl Iterator<Item = f64>) -> f64 {
    let seen = picture.map_or(0.0, |picture| picture.width * picture.counts.len() as f64);
    let extent = ranges.filter(|range| range.is_finite()).fold(seen, f64::max);
    if extent > 0.0 { extent } else { 1.0 }
}

/// Draws magnitudes from zero to `extent`, and marks the range, from the least to
/// the largest over channels.
pub fn draw(html: &mut Html, picture: &Picture, extent: f64, range: Option<(f64, f64)>) {
    let most = picture.counts.iter().copied().max().unwrap_or_default();
    let across = |magnitude: f64| (magnitude / extent * WIDTH).clamp(0.0, WIDTH);
    let words = format!(
        "histogram of magnitudes from 0 to {}, at most {} in a bin",
        numbers::significant(picture.width * picture.counts.len() as f64),
        numbers::grouped(most)
    );
    let shape = outline(picture, most, across(picture.width));
    let view = format!("0 0 {WIDTH} {HEIGHT}");
    let frame = [
        ("class", "histogram"),
        ("viewBox", view.as_str()),
        ("preserveAspectRatio", "none"),
        ("role", "img"),
        ("aria-label", words.as_str()),
    ];
    html.element("svg", &frame, |svg| {
        svg.empty("path", &[("class", "bars"), ("d", &shape)]);
        let Some((least, largest)) = range else { return };
        let (least, largest) = (across(least), across(largest));
        let beyond = format!("M{largest:.1} 0H{WIDTH}V{HEIGHT}H{largest:.1}Z");
        svg.empty("path", &[("class", "beyond"), ("d", &beyond)]);
        if least < largest {
            let between = format!("M{least:.1} 0H{largest:.1}V{HEIGHT}H{least:.1}Z");
            svg.empty("path", &[("class", "between"), ("d", &between)]);
        }
        svg.empty("path", &[("class", "range"), ("d", &format!("M{largest:.1} 0V{HEIGHT}"))]);
    });
}

/// The outline of the bars, each so high as `1 + log(count)` among all; runs of equal
/// height are one line.
fn outline(picture: &Picture, most: u64, step: f64) -> String {
    let height = |count: u64| match count {
        0 => HEIGHT,
        count => {
            let share = (1.0 + (count as f64).log10()) / (1.0 + (most as f64).log10());
            HEIGHT - share * (HEIGHT - 4.0)
        }
    };
    let mut path = format!("M0 {HEIGHT}");
    let mut last = String::new();
    for (at, count) in picture.counts.iter().enumerate() {
        let height = format!("{:.1}", height(*count));
        if height != last {
            let begin = at as f64 * step;
            path += &format!("H{begin:.1}V{height}");
            last = height;
        }
    }
    path + &format!("H{:.1}V{HEIGHT}Z", picture.counts.len() as f64 * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_the_logarithm_of_their_counts() {
        let picture = Picture { width: 0.5, counts: vec![1000, 1000, 0, 10] };
        assert_eq!(outline(&picture, 1000, 250.0), "M0 100H0.0V4.0H500.0V100.0H750.0V52.0H1000.0V100Z");
    }

    #[test]
    fn there_is_room_for_every_range() {
        let picture = Picture { width: 0.5, counts: vec![1, 1] };
        assert_eq!(extent(Some(&picture), [0.5, 3.0, f64::INFINITY].into_iter()), 3.0);
        assert_eq!(extent(None, std::iter::empty()), 1.0);
    }
}
