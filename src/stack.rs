//! Room for recursion whose depth is bounded, but not small.

use std::{panic::resume_unwind, thread};

/// The stack of the thread that works, in bytes: what the limits of the language
/// allow fits several times, in unoptimised builds too. Only what is used is
/// ever backed by memory.
const STACK: usize = 256 << 20;

/// The result of `work`, done where the stack is deep: the caller's may be small.
/// Without a thread to be had, it is done here.
pub fn deep<T: Send>(work: impl Fn() -> T + Sync) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, &work);
        match thread.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(done)) => done,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => work(),
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn deep_recursion_fits() {
        fn depth(left: usize) -> usize {
            let room = std::hint::black_box([left; 64]);
            if left == 0 { 0 } else { depth(left - 1) + room[0] / left }
        }
        let small = std::thread::Builder::new().stack_size(1 << 16);
        let answer = small.spawn(|| super::deep(|| depth(50_000))).unwrap().join().unwrap();
        assert_eq!(answer, 50_000);
    }
}
