//! Ctrl-C as a question that long loops ask.

use std::sync::{
    Once,
    atomic::{AtomicBool, Ordering},
};

/// The exit code of a command that was interrupted, as shells give it.
pub const EXIT_CODE: u8 = 130;

static INSTALL: Once = Once::new();
static REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C only sets [`requested`]; the second ends the
/// program at once. Where no handler can be set, Ctrl-C keeps ending it.
pub fn install() {
    INSTALL.call_once(|| {
        let handler = || {
            if REQUESTED.swap(true, Ordering::Relaxed) {
                std::process::exit(i32::from(EXIT_CODE));
            }
        };
        // Without a handler nothing is lost but the tidy end.
        let _ = ctrlc::set_handler(handler);
    });
}

/// Someone pressed Ctrl-C: finish what is at hand, keep it, and stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
