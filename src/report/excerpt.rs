//! The part of a file that a diagnostic shows.

use std::ops::Range;

/// The lines of a file that hold some places, without the far ends of very long ones.
pub(super) struct Excerpt {
    pub text: String,
    /// The number of its first line, from 1.
    pub first_line: usize,
    /// Which bytes of the file it holds, each with where they stand in it.
    parts: Vec<(Range<usize>, usize)>,
}

/// Bytes of a line beyond which it is cropped.
const LONG_LINE: usize = 400;

/// Bytes kept on both sides of a place in a line that is cropped.
const MARGIN: usize = 60;

impl Excerpt {
    pub fn new(text: &str, places: impl IntoIterator<Item = Range<usize>>) -> Excerpt {
        let places: Vec<_> = places.into_iter().collect();
        let first = places.iter().map(|place| place.start).min().unwrap_or(0);
        let last = places.iter().map(|place| place.end).max().unwrap_or(0);
        let before = text.get(..boundary(text, first)).unwrap_or("");
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let after = text.get(boundary(text, last)..).unwrap_or("");
        let end = text.len() - after.len() + after.find('\n').unwrap_or(after.len());
        let mut excerpt =
            Excerpt { text: String::new(), first_line: before.matches('\n').count() + 1, parts: Vec::new() };
        let mut at = start;
        for line in text.get(start..end).unwrap_or("").split_inclusive('\n') {
            excerpt.line(line, at, &places);
            at += line.len();
        }
        excerpt
    }

    /// Adds the line that begins at byte `at`, or what is of interest in it.
    fn line(&mut self, line: &str, at: usize, places: &[Range<usize>]) {
        // The renderer crops the near end itself: it must count its columns.
        let mut kept = line.len();
        if line.len() > LONG_LINE {
            let touching = places.iter().filter(|place| place.start <= at + line.len() && place.end >= at);
            let last = touching.map(|place| place.end.min(at + line.len())).max().unwrap_or(at);
            kept = boundary(line, (last - at).max(LONG_LINE) + MARGIN);
        }
        let kept = 0..kept;
        self.parts.push((at + kept.start..at + kept.end, self.text.len()));
        let ends = line.ends_with('\n') && kept.end < line.len();
        self.text.push_str(line.get(kept).unwrap_or(""));
        if ends {
            self.text.push('\n');
        }
    }

    /// Where bytes of the file stand in the excerpt, or as near as it comes.
    pub fn range(&self, place: Range<usize>) -> Range<usize> {
        let start = self.offset(place.start);
        start..self.offset(place.end).max(start)
    }

    fn offset(&self, at: usize) -> usize {
        let part = self.parts.iter().rfind(|(part, _)| part.start <= at).or(self.parts.first());
        let offset = part.map_or(0, |(part, offset)| offset + at.clamp(part.start, part.end) - part.start);
        boundary(&self.text, offset)
    }
}

/// The last place not behind `at` that is between two characters.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
