//! Versions of ONNX's own operators.

/// The oldest: the first whose pairs have an axis.
pub const OLDEST: i64 = 13;

/// The newest stable one, of onnx 1.23.
pub const NEWEST: i64 = 28;

/// The first with `LayerNormalization`: taken by TensorRT since 8.6, ONNX Runtime since
/// 1.12 and OpenVINO since 2022.3, so that a file runs on what is installed.
pub const USUAL: i64 = 17;

/// The oldest version of the file format that an opset goes with, by ONNX's own table
/// (`docs/Versioning.md`).
pub fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=14 => 7,
        15..=18 => 8,
        19 | 20 => 9,
        21 | 22 => 10,
        23 => 11,
        24 => 12,
        25..=27 => 13,
        _ => 14,
    }
}
