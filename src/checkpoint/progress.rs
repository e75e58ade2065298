//! How far a download has come, on stderr.

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How downloads show on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A bar that moves: for a terminal.
    Bar,
    /// A line at the start, every ten seconds, and at the end.
    Lines,
    /// Not at all.
    Silent,
}

impl Progress {
    /// A bar where stderr is a terminal, else lines.
    pub fn for_stderr() -> Progress {
        if std::io::stderr().is_terminal() { Progress::Bar } else { Progress::Lines }
    }
}

/// One file's download.
pub(super) struct Download {
    progress: Progress,
    bar: ProgressBar,
    name: String,
    total: u64,
    done: u64,
    /// When the last line was written; `None` before the first.
    last: Option<Instant>,
}

impl Download {
    pub(super) fn new(progress: Progress) -> Download {
        Download { progress, bar: ProgressBar::hidden(), name: String::new(), total: 0, done: 0, last: None }
    }

    fn line(&mut self, verb: &str) {
        eprintln!("{verb} {}: {} of {}", self.name, HumanBytes(self.done), HumanBytes(self.total));
        self.last = Some(Instant::now());
    }
}

impl hf_hub::api::Progress for Download {
    /// Called at the start, and again at every attempt.
    fn init(&mut self, size: usize, filename: &str) {
        let first = self.name.is_empty();
        (self.name, self.total, self.done) = (filename.to_owned(), size as u64, 0);
        match self.progress {
            Progress::Bar => {
                self.bar.finish_and_clear();
                self.bar = ProgressBar::new(self.total).with_message(self.name.clone());
                let template = "{msg} [{bar:30}] {bytes} of {total_bytes}, {bytes_per_sec} ({eta})";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    self.bar.set_style(style.progress_chars("=> "));
                }
            }
            Progress::Lines if first => {
                eprintln!("fetching {}: {}", self.name, HumanBytes(self.total));
                self.last = Some(Instant::now());
            }
            Progress::Lines | Progress::Silent => {}
        }
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        self.bar.set_position(self.done);
        let due = self.last.is_some_and(|last| last.elapsed() >= Duration::from_secs(10));
        if self.progress == Progress::Lines && due {
            self.line("fetching");
        }
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
        if self.progress == Progress::Lines {
            self.line("fetched");
        }
    }
}
