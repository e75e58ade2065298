//! Memory that is freed is kept for what comes next.

/// Asks the C library to keep freed memory rather than give it back to the system:
/// blocks up to 32 MiB come from what was freed before, instead of from pages that the
/// system has to clear first. Values of activations are of that size, and each forward
/// pass makes the same ones anew. Without glibc it does nothing. To be called once,
/// before other threads are started.
pub(crate) fn keep_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// The largest block that glibc lets come from its own heap.
        const LARGEST_BLOCK: libc::c_int = 32 << 20;
        let settings = [
            (libc::M_MMAP_THRESHOLD, LARGEST_BLOCK),
            (libc::M_TRIM_THRESHOLD, libc::c_int::MAX),
            (libc::M_TOP_PAD, 2 * LARGEST_BLOCK),
        ];
        for (setting, value) in settings {
            // SAFETY: mallopt takes two numbers by value and refuses those that it does not
            // know; it changes how memory is got, not any block that is in use.
            unsafe { libc::mallopt(setting, value) };
        }
    }
}
