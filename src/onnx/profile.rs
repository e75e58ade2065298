//! The targets that models are made for.

use super::{
    Layout,
    lint::{GENERIC, ONNXRUNTIME, OPENVINO, Rule, TENSORRT},
    opset,
};

/// A target, as data.
#[derive(Debug)]
pub struct Profile {
    /// What it is called on the command line.
    pub name: &'static str,
    /// One sentence: what it is, and the versions that its rules are known of.
    pub summary: &'static str,
    /// The version of the standard operators that models are written in unless asked otherwise.
    pub opset: i64,
    /// Why that version.
    pub opset_reason: &'static str,
    /// Weights are codes unless asked otherwise, not numbers that a `QuantizeLinear` rounds.
    pub folded: bool,
    /// Signed 8-bit codes of activations are uint8 with zero point 128 unless asked otherwise.
    pub shifted: bool,
    /// How numbers are laid out.
    pub layout: Layout,
    /// What the target demands beyond the standard.
    own: &'static [Rule],
}

impl Profile {
    /// The profile of a name.
    pub fn find(name: &str) -> Option<&'static Profile> {
        ALL.iter().find(|profile| profile.name == name)
    }

    /// Every rule: the standard's, then the target's own.
    pub fn rules(&self) -> impl Iterator<Item = &'static Rule> {
        GENERIC.iter().chain(self.own)
    }

    /// The target's own rules; none for `generic`.
    pub fn own_rules(&self) -> &'static [Rule] {
        self.own
    }
}

/// Numbers as the standard has them.
const PLAIN: Layout = Layout { wide_biases: false, separate_norms: false };

/// Every profile, the default one first.
pub static ALL: &[Profile] = &[
    Profile {
        name: "tensorrt",
        summary: "NVIDIA TensorRT 8.6 to 11, from its headers, its ONNX parser and its guides; not run",
        opset: opset::USUAL,
        opset_reason: "LayerNormalization is one operator from 17 on, and TensorRT reads it since 8.6",
        folded: false,
        shifted: false,
        layout: PLAIN,
        own: TENSORRT,
    },
    Profile {
        name: "onnxruntime",
        summary: "ONNX Runtime on x86-64 CPUs with its default optimizations, measured on 1.32",
        opset: 20,
        opset_reason: "Gelu is one operator from 20 on; from 21 on a session with int8 activations may not load",
        folded: true,
        shifted: true,
        layout: Layout { wide_biases: true, separate_norms: true },
        own: ONNXRUNTIME,
    },
    Profile {
        name: "openvino",
        summary: "Intel OpenVINO on x86-64 CPUs, measured on 2026.4",
        opset: 20,
        opset_reason: "Gelu is one operator from 20 on",
        folded: true,
        shifted: false,
        layout: PLAIN,
        own: OPENVINO,
    },
    Profile {
        name: "generic",
        summary: "any runtime: what the ONNX standard itself demands of quantizers",
        opset: opset::USUAL,
        opset_reason: "LayerNormalization is one operator from 17 on, and most runtimes read it",
        folded: true,
        shifted: false,
        layout: PLAIN,
        own: &[],
    },
];
