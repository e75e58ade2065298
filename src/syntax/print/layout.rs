//! Where lines break: pieces of text with the places where they may be parted,
//! set within a width. After Oppen, "Prettyprinting", 1980.

/// The longest line, in characters.
const WIDTH: usize = 100;

/// One step of indentation.
const INDENT: &str = "    ";

/// Text, or what stands between texts.
#[derive(Debug)]
pub(super) enum Piece {
    Text(String),
    /// A comment behind other text: it ends its line.
    Trailing(String),
    Space,
    /// A line break if the group is broken, else this text. `blank`: with a blank line.
    Soft {
        flat: &'static str,
        blank: bool,
    },
    /// A line break; it breaks every group around it.
    Hard {
        blank: bool,
    },
    /// A line break in the middle of a phrase, which a comment made necessary.
    Continue,
    /// Breaks every group around it, here or not.
    Break,
    /// Written only if the group is broken.
    IfBroken(&'static str),
    /// Written only if the group is not broken.
    IfFlat(&'static str),
    Indent,
    Dedent,
    /// Begins a group: all of it is on one line, or it is broken.
    Open(Group),
    /// Ends a group.
    Close,
}

/// Pieces that are together on one line, or broken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// Broken only by what must break, not for its length.
    pub tight: bool,
    /// Its characters on one line; `None` where it must be broken. Found by [`measure`].
    width: Option<usize>,
    /// Its last piece. Found by [`measure`].
    close: usize,
}

impl Group {
    /// Broken where it does not fit.
    pub const LOOSE: Group = Group { tight: false, width: None, close: 0 };
    /// Broken only by comments, docs and the author's commas.
    pub const TIGHT: Group = Group { tight: true, ..Group::LOOSE };
}

impl Piece {
    /// Its characters where its group is not broken.
    fn flat_width(&self) -> usize {
        match self {
            Piece::Text(text) => text.chars().count(),
            Piece::Space => 1,
            Piece::Soft { flat: text, .. } | Piece::IfFlat(text) => text.len(),
            _ => 0,
        }
    }
}

/// The pieces as lines.
pub(super) fn set(mut pieces: Vec<Piece>) -> String {
    measure(&mut pieces);
    let mut page = Page::default();
    // For each group that is open, whether it is broken; outside of all of them, lines may break.
    let mut broken: Vec<bool> = Vec::new();
    for piece in &pieces {
        let breaks = broken.last().copied().unwrap_or(true);
        match piece {
            Piece::Text(text) => page.text(text),
            Piece::Trailing(text) => page.trailing(text),
            Piece::Space => page.space = true,
            Piece::Soft { blank, .. } if breaks => page.line(*blank),
            Piece::Soft { flat, .. } => page.space |= *flat == " ",
            Piece::Hard { blank } => page.line(*blank),
            Piece::Continue => page.continue_line(),
            Piece::IfBroken(text) if breaks => page.text(text),
            Piece::IfFlat(text) if !breaks => page.text(text),
            Piece::Indent => page.level += 1,
            Piece::Dedent => page.level = page.level.saturating_sub(1),
            Piece::Open(group) => broken.push(breaks && is_broken(group, &pieces, page.column())),
            Piece::Close => drop(broken.pop()),
            Piece::IfBroken(_) | Piece::IfFlat(_) | Piece::Break => {}
        }
    }
    page.finish()
}

/// Finds the width and the end of each group.
fn measure(pieces: &mut [Piece]) {
    // The groups that are open: where, and the width before.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut width: usize = 0;
    // How many of the outermost open groups must be broken.
    let mut forced: usize = 0;
    for at in 0..pieces.len() {
        match pieces.get(at) {
            Some(Piece::Open(_)) => open.push((at, width)),
            Some(Piece::Close) => {
                let Some((start, before)) = open.pop() else { continue };
                if let Some(Piece::Open(group)) = pieces.get_mut(start) {
                    group.close = at;
                    group.width = (open.len() >= forced).then_some(width - before);
                }
                forced = forced.min(open.len());
            }
            Some(Piece::Hard { .. } | Piece::Continue | Piece::Break | Piece::Trailing(_)) => {
                forced = open.len()
            }
            Some(piece) => width += piece.flat_width(),
            None => {}
        }
    }
}

/// A group that begins at this column, in a group that is broken, must be broken too.
fn is_broken(group: &Group, pieces: &[Piece], column: usize) -> bool {
    match group.width {
        None => true,
        Some(_) if group.tight => false,
        Some(width) => column + width + tail(pieces, group.close) > WIDTH,
    }
}

/// The characters between a group's end and the next place where the line may end.
fn tail(pieces: &[Piece], close: usize) -> usize {
    let mut total = 0;
    // How deep inside groups that stay on one line.
    let mut tight = 0_usize;
    for piece in pieces.iter().skip(close + 1) {
        total += match piece {
            Piece::Open(group) if tight > 0 || group.tight && group.width.is_some() => {
                tight += 1;
                0
            }
            Piece::Close => {
                tight = tight.saturating_sub(1);
                0
            }
            Piece::IfBroken(text) if tight == 0 => text.len(),
            Piece::IfFlat(_) if tight == 0 => 0,
            Piece::Soft { .. } if tight == 0 => break,
            Piece::Hard { .. } | Piece::Continue | Piece::Trailing(_) => break,
            piece => piece.flat_width(),
        };
        if total > WIDTH {
            break;
        }
    }
    total
}

/// Lines being written.
struct Page {
    text: String,
    level: usize,
    /// Characters on the line.
    used: usize,
    /// The indentation of the line, if nothing stands on it yet.
    start: Option<usize>,
    /// A space is due before the next text of the line.
    space: bool,
    /// A trailing comment has ended the line.
    ended: bool,
    /// The line before is blank.
    blank: bool,
}

impl Default for Page {
    fn default() -> Page {
        let text = String::new();
        Page { text, level: 0, used: 0, start: Some(0), space: false, ended: false, blank: true }
    }
}

impl Page {
    /// Characters that the line has once text is added.
    fn column(&self) -> usize {
        self.start.map_or(self.used + usize::from(self.space), |level| level * INDENT.len())
    }

    fn text(&mut self, text: &str) {
        if self.ended {
            self.continue_line();
        }
        if let Some(level) = self.start.take() {
            self.text.extend(std::iter::repeat_n(INDENT, level));
            self.used = level * INDENT.len();
        } else if self.space {
            self.text.push(' ');
            self.used += 1;
        }
        self.text.push_str(text);
        self.used += text.chars().count();
        self.space = false;
        self.blank = false;
    }

    fn trailing(&mut self, text: &str) {
        self.space = true;
        self.text(text);
        self.ended = true;
    }

    fn line(&mut self, blank: bool) {
        self.line_at(self.level, blank);
    }

    fn continue_line(&mut self) {
        self.line_at(self.level + 1, false);
    }

    /// Begins a line, unless nothing stands on this one yet.
    fn line_at(&mut self, level: usize, blank: bool) {
        if self.start.is_none() {
            self.text.push('\n');
        }
        if blank && !self.blank {
            self.text.push('\n');
            self.blank = true;
        }
        self.start = Some(level);
        self.space = false;
        self.ended = false;
    }

    fn finish(mut self) -> String {
        if self.start.is_none() {
            self.text.push('\n');
        }
        self.text
    }
}
