//! The part of a file that a diagnostic shows.

use std::ops::Range;

/// The lines of a file that hold some places, without the far ends of very long ones.
pub(super) struct Excerpt {
    pub text: String,
    /// The number of its first line, from 1.
    pub first_line: usize,
    /// A line was too long to be kept whole.
    pub cropped: bool,
    /// Which bytes of the file it holds, each with where they stand in it.
    parts: Vec<(Range<usize>, usize)>,
}

/// Bytes of a line, behind the places in it, beyond which it is cropped.
const LONG_LINE: usize = 400;

/// Bytes of a place beyond which only its beginning is shown.
const LONG_PLACE: usize = 16_384;

impl Excerpt {
    pub fn new(text: &str, places: impl IntoIterator<Item = Range<usize>>) -> Excerpt {
        let places: Vec<_> = places.into_iter().map(|place| shown(text, place)).collect();
        let first = places.iter().map(|place| place.start).min().unwrap_or(0);
        let last = places.iter().map(|place| place.end).max().unwrap_or(0);
        let before = text.get(..first).unwrap_or("");
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let after = text.get(last..).unwrap_or("");
        let end = text.len() - after.len() + after.find('\n').unwrap_or(after.len());
        let first_line = before.matches('\n').count() + 1;
        let mut excerpt = Excerpt { text: String::new(), first_line, cropped: false, parts: Vec::new() };
        let mut at = start;
        for line in text.get(start..end).unwrap_or("").split_inclusive('\n') {
            excerpt.line(line, at, &places);
            at += line.len();
        }
        excerpt
    }

    /// Adds the line that begins at byte `at`. What lies before a place is kept,
    /// because the renderer counts columns; it crops that end itself.
    fn line(&mut self, line: &str, at: usize, places: &[Range<usize>]) {
        let mut kept = line.len();
        if kept > LONG_LINE {
            let touching = places.iter().filter(|place| place.start <= at + line.len() && place.end >= at);
            let last = touching.map(|place| place.end - at).max().unwrap_or(0);
            kept = boundary(line, last + LONG_LINE);
            self.cropped = true;
        }
        self.parts.push((at..at + kept, self.text.len()));
        self.text.push_str(line.get(..kept).unwrap_or(""));
        if kept < line.len() && line.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// Where bytes of the file stand in the excerpt, or as near as it comes.
    pub fn range(&self, text: &str, place: Range<usize>) -> Range<usize> {
        let place = shown(text, place);
        let start = self.offset(place.start);
        start..self.offset(place.end).max(start)
    }

    fn offset(&self, at: usize) -> usize {
        // Parts are in order.
        let part = self.parts.partition_point(|(part, _)| part.start <= at).saturating_sub(1);
        let part = self.parts.get(part);
        part.map_or(0, |(part, offset)| offset + at.clamp(part.start, part.end) - part.start)
    }
}

/// Two places on one line too far apart to be shown together.
pub(super) fn far_apart(text: &str, one: &Range<usize>, other: &Range<usize>) -> bool {
    let (first, second) = if one.start <= other.start { (one, other) } else { (other, one) };
    let between = text.get(boundary(text, first.start)..boundary(text, second.start)).unwrap_or("");
    between.len() > LONG_LINE && !between.contains('\n')
}

/// As much of a place as is shown, between characters of the text.
fn shown(text: &str, place: Range<usize>) -> Range<usize> {
    let start = boundary(text, place.start);
    let line = text.get(start..).map_or(0, |rest| rest.find('\n').unwrap_or(rest.len()));
    let longest = if line > LONG_LINE { LONG_LINE } else { LONG_PLACE };
    let end = boundary(text, place.end.min(start + longest));
    start..end.max(start)
}

/// The last place not behind `at` that is between two characters.
fn boundary(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}
