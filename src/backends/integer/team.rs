//! Threads that take the tasks of steps, one after the other.
//!
//! A step is done when all its tasks are; how many threads there are, and when they come,
//! does not matter. So the work never waits for a thread that is busy elsewhere.

use std::{
    hint,
    ops::Range,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// How far a step is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The task that is taken next.
    next: AtomicUsize,
    /// Tasks that are done.
    done: AtomicUsize,
    /// All tasks.
    tasks: usize,
}

impl Progress {
    /// A step with this many tasks, none of them taken.
    pub(super) fn new(tasks: usize) -> Progress {
        Progress { tasks, ..Progress::default() }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire) >= self.tasks
    }
}

/// Turns that a thread waits before it lets others have the processor.
const PATIENCE: usize = 2000;

/// Runs the steps in `range`, each after the first `after[step]` ones. `task` is told which
/// task of which step it is to do.
pub(super) fn run(
    range: Range<usize>,
    after: &[usize],
    steps: &[Progress],
    task: impl Fn(usize, usize) + Sync,
) {
    let failed = AtomicBool::new(false);
    let work = || {
        let guard = Guard(&failed);
        let mut known = range.start;
        for step in range.clone() {
            let Some(progress) = steps.get(step) else { break };
            wait(steps, &mut known, after.get(step).copied().unwrap_or(step).max(range.start), &failed);
            if failed.load(Ordering::Relaxed) {
                break;
            }
            loop {
                let taken = progress.next.fetch_add(1, Ordering::Relaxed);
                if taken >= progress.tasks {
                    break;
                }
                task(step, taken);
                progress.done.fetch_add(1, Ordering::Release);
            }
        }
        wait(steps, &mut known, range.end, &failed);
        std::mem::forget(guard);
    };
    let most = range.clone().filter_map(|step| steps.get(step)).map(|step| step.tasks).max().unwrap_or(0);
    let helpers = rayon::current_num_threads().min(most).saturating_sub(1);
    rayon::in_place_scope(|scope| {
        for _ in 0..helpers {
            scope.spawn(|_| work());
        }
        work();
    });
}

/// Waits until all steps before `end` are done; those before `known` are.
fn wait(steps: &[Progress], known: &mut usize, end: usize, failed: &AtomicBool) {
    while *known < end {
        let mut turns = 0;
        while !steps.get(*known).is_none_or(Progress::is_done) {
            if failed.load(Ordering::Relaxed) {
                return;
            }
            turns += 1;
            if turns < PATIENCE { hint::spin_loop() } else { thread::yield_now() }
        }
        *known += 1;
    }
}

/// Tells the others when a thread stops at a fault, so that they do not wait for it.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn every_task_is_done_once_and_after_what_it_waits_for() {
        let steps: Vec<Progress> = [3, 0, 7, 1, 100].into_iter().map(Progress::new).collect();
        let log = Mutex::new(Vec::new());
        run(0..5, &[0, 0, 1, 3, 4], &steps, |step, task| log.lock().unwrap().push((step, task)));
        let log = log.into_inner().unwrap();
        for (step, progress) in steps.iter().enumerate() {
            let mut tasks: Vec<_> = log.iter().filter(|(of, _)| *of == step).map(|(_, task)| *task).collect();
            tasks.sort_unstable();
            assert!(tasks.into_iter().eq(0..progress.tasks));
        }
        let last = |step: usize| log.iter().rposition(|(of, _)| *of == step);
        let first = |step: usize| log.iter().position(|(of, _)| *of == step);
        assert!(last(0) < first(2) && last(2) < first(3) && last(3) < first(4));
    }

    #[test]
    fn a_task_that_panics_stops_all() {
        let steps = [Progress::new(50), Progress::new(1)];
        let result = std::panic::catch_unwind(|| run(0..2, &[0, 1], &steps, |_, task| assert!(task != 20)));
        assert!(result.is_err());
    }
}
