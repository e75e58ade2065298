//! Snapshots in `snapshots/<stage>/<case>.snap`.
//!
//! `INSTA_UPDATE=always cargo test` writes those that differ; review them with
//! `git diff`. One that belongs to no case fails `tests/layers.rs`.

use std::path::Path;

/// Checks `actual` against `snapshots/<stage>/<case>.snap`.
pub fn check(stage: &str, case: &str, actual: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots").join(stage));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.remove_snapshot_suffix();
    settings.remove_input_file();
    settings.bind(|| insta::assert_snapshot!(case, actual));
}
