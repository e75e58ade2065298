//! How far long work has come, on standard error.

use super::screen::Screen;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::{Duration, Instant};

/// How often a line is written where no bar can be drawn.
const INTERVAL: Duration = Duration::from_secs(10);

/// A bar on a terminal; a line every ten seconds elsewhere; nothing at all for
/// work that is done sooner.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    screen: Screen,
    noun: &'static str,
    /// What is told besides.
    told: String,
    /// What was done before.
    before: u64,
    started: Instant,
    written: Instant,
}

impl Progress {
    /// Counts `noun`s, such as "records", up to `total` where that is known.
    pub fn new(noun: &'static str, total: Option<u64>, screen: Screen) -> Progress {
        let bar = if screen.terminal {
            ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5))
        } else {
            ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden())
        };
        let template = match total {
            Some(_) => "[{bar:30}] {human_pos} of {human_len} {msg}, {per_sec} ({eta})",
            None => "{spinner} {human_pos} {msg}, {per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(noun);
        let now = Instant::now();
        Progress { bar, screen, noun, told: String::new(), before: 0, started: now, written: now }
    }

    /// So many were done before, in another run: they do not count for how fast it is.
    #[must_use]
    pub fn after(mut self, done: u64) -> Progress {
        self.bar.set_position(done);
        self.bar.reset_eta();
        self.before = done;
        self
    }

    /// Something to tell with the count, such as how good it is so far.
    pub fn tell(&mut self, told: String) {
        self.bar.set_message(format!("{}, {told}", self.noun));
        self.told = told;
    }

    /// So many more are done.
    pub fn advance(&mut self, count: u64) {
        self.bar.inc(count);
        if !self.screen.terminal && self.written.elapsed() >= INTERVAL {
            self.written = Instant::now();
            self.screen.write(&self.line());
        }
    }

    /// Writes something without spoiling the bar.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Takes the bar away; work that wrote lines gets a last one.
    pub fn finish(self) {
        self.bar.finish_and_clear();
        if self.written > self.started {
            self.screen.write(&self.line());
        }
    }

    fn line(&self) -> String {
        let done = self.bar.position();
        let rate = done.saturating_sub(self.before) as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let Some(total) = self.bar.length() else {
            return format!("{} {}, {rate:.1} per second{}\n", HumanCount(done), self.noun, self.told());
        };
        let left = total.saturating_sub(done) as f64 / rate.max(1e-9);
        format!(
            "{} of {} {}, {rate:.1} per second, {} left{}\n",
            HumanCount(done),
            HumanCount(total),
            self.noun,
            HumanDuration(Duration::from_secs_f64(left.min(1e9))),
            self.told()
        )
    }

    fn told(&self) -> String {
        if self.told.is_empty() { String::new() } else { format!(", {}", self.told) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_where_no_bar_is_drawn() {
        let mut progress = Progress::new("records", Some(4), Screen { color: false, terminal: false });
        progress.advance(1);
        progress.advance(2);
        assert!(progress.line().starts_with("3 of 4 records, "), "{}", progress.line());
        progress.tell("loss 0.5".to_owned());
        assert!(progress.line().ends_with(" left, loss 0.5\n"), "{}", progress.line());
    }
}
