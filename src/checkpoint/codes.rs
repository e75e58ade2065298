//! The codes of what a checkpoint can lack, and what each means.

use crate::diagnostic::Code;

/// A tensor is not in the checkpoint.
pub const MISSING_TENSOR: Code = Code("E0401");
/// No tensor of a whole part of the model is in the checkpoint.
pub const MISSING_PART: Code = Code("E0402");
/// A tensor has another shape than in the spec.
pub const WRONG_SHAPE: Code = Code("E0403");
/// A tensor's elements are not numbers that can be loaded.
pub const WRONG_ELEMENTS: Code = Code("E0404");
/// A quantizer has no range.
pub const MISSING_RANGE: Code = Code("E0405");

/// A code, its title, and the paragraph that `qdqc explain` prints.
pub const EXPLANATIONS: [(Code, &str, &str); 5] = [
    (
        MISSING_TENSOR,
        "a tensor is not in the checkpoint",
        "The spec declares a parameter, and the weights have no tensor of that name. A parameter's name is \
         the path of submodules that leads to it: `weight` of `query` of `self` of `attention` is \
         `attention.self.query.weight`. Names are found with or without the prefixes `bert.` and `module.`, \
         with `gamma` and `beta` for `weight` and `bias`, and through tied copies. Compare the name with \
         those in the file; `from \"prefix\"` gives a submodule another name in the file.",
    ),
    (
        MISSING_PART,
        "a part of the model is not in the checkpoint",
        "The spec has a submodule, and the weights have no tensor of it at all. Most often the part is a head: \
         a checkpoint saved as BertModel has no classifier. Choose the spec of the model that was saved, give \
         a checkpoint that was fine-tuned for this task, or train the head. If layers are missing, \
         `num_hidden_layers` in config.json does not belong to these weights.",
    ),
    (
        WRONG_SHAPE,
        "a tensor has another shape than in the spec",
        "Name and place agree, sizes do not. Sizes in a spec come from config.json, so either the config belongs \
         to another model, or a `--set` changed a size, or the spec computes the size differently. The ranges of \
         a quantizer (`_amax`) have one number per tensor, or one per channel: calibrate again when the scheme \
         changes.",
    ),
    (
        WRONG_ELEMENTS,
        "a tensor's elements cannot be loaded",
        "Weights are loaded from f64, f32, f16, bf16, whole numbers and booleans. 8-bit floats, 4-bit and complex \
         numbers have scales or meanings beside the file that qdqc does not know. Save the model in one of the \
         types above.",
    ),
    (
        MISSING_RANGE,
        "a quantizer has no range",
        "A quantizer that is on needs the largest magnitude it stands for, its `_amax`. The checkpoint holds \
         none for this one. Calibrate (`qdqc calibrate`), lay ranges over the checkpoint from a file \
         (`--amax FILE.safetensors`), or run without quantizers (`--float`).",
    ),
];
