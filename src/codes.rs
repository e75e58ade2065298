//! Every diagnostic code, with what `qdqc explain CODE` says about it.
//!
//! E01xx syntax, E02xx names and shapes, E03xx quantizers, E04xx checkpoints and data, E05xx engines
//! and emitters. A code keeps its meaning for good.

use crate::diagnostic::Code;

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The code, such as `E0101`.
    pub code: Code,
    /// A phrase.
    pub title: &'static str,
    /// A paragraph or more: what happened, why it matters, what to do.
    pub text: &'static str,
}

/// The explanation of a code, however its letter is written.
pub fn find(code: &str) -> Option<&'static Explanation> {
    ALL.iter().find(|explanation| explanation.code.0.eq_ignore_ascii_case(code))
}

/// Declares a constant for each code and lists them all.
macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $text:literal;)*) => {
        $(#[doc = concat!($code, ": ", $title)] pub const $name: Code = Code($code);)*

        /// Every code, in order.
        pub const ALL: &[Explanation] = &[$(Explanation { code: $name, title: $title, text: $text }),*];
    };
}

codes! {
    // Syntax

    UNEXPECTED = "E0101", "unexpected text",
    "The text stops making sense at the marked place: the grammar allows something else there. The message \
     lists what would fit.\n\nOnly the first such place of a file is reported, because what follows it cannot \
     be read with any certainty. A missing bracket often shows only where the next declaration begins, so look \
     above the marked place too.";

    UNKNOWN_CHARACTER = "E0102", "a character that begins nothing",
    "No word, number, string or mark of the language contains this character outside of strings and \
     comments.\n\nStrings are written in double quotes, comments begin with `#`, conditions are joined with \
     `and`, `or` and `not`, and statements end without a mark. Invisible characters come from word \
     processors and web pages: delete and retype the line.";

    TOO_LARGE = "E0103", "the file is too large for a spec",
    "A spec describes a model in a few hundred lines. A file of more than 1 MiB, of more than 100000 words and \
     marks, or with a word of more than 255 letters is refused before it is read, so that a file given by \
     mistake costs neither time nor memory.\n\nWrite repeated layers as `layer: Layer * num_hidden_layers` rather than one by one, and move \
     shared modules to a file of their own that others `use`.";

    TOO_DEEP = "E0104", "nested too deeply",
    "Brackets may be nested 64 deep and an expression may hold 128 steps one inside another, counting every \
     operand of a chain such as `a + b + c`. Real specs need less than ten.\n\nName a part with `let` and use \
     the name.";

    BAD_STRING = "E0105", "a string that is not written right",
    "A string begins and ends with a double quote on the same line. Inside it, a backslash may stand before a \
     double quote, another backslash, `n` (new line) or `t` (tab), and before nothing else.";

    BAD_NUMBER = "E0106", "a number that is not written right",
    "Whole numbers reach from 0 to 9223372036854775807. Numbers with a point or an exponent, such as `0.1` or \
     `1e-12`, reach to about 1.8e308 and have digits on both sides of the point. Units and separators are not \
     part of a number.";

    // Names, sizes and values

    UNKNOWN_NAME = "E0201", "a name that nothing declares",
    "A name is looked up among the values of the body it stands in (ports, settings, `let`s, parameters, \
     submodules), then among the `config` fields, `dim`s and `let`s of all files in use. Where a name is \
     declared inside an `if`, it exists only where the condition holds.\n\nThe message offers the nearest \
     name there is.";

    UNKNOWN_OPERATOR = "E0202", "a call of something that does not exist",
    "A call names a submodule of the body, a function, or an operator; `given`, `rank`, `dtype`, `size` and \
     `sqrt` are answered while compiling. A module is not called but placed first, as in `dense: Linear(2, 2)`, \
     and then called by its own name.\n\n`qdqc explain NAME` describes an operator.";

    SHAPE = "E0203", "a value that does not fit a port",
    "A module or function declares the type of each of its ports. The dims in a signature stand for sizes \
     that each call finds out; the same dim is the same size everywhere in one call. The message shows the \
     declared type, the type given, and the first axis where they part.";

    OPERANDS = "E0204", "operands that do not fit an operator",
    "Every operator has a rule for the types of its operands: element-wise ones broadcast sizes that are \
     equal or 1, `@` multiplies as many columns as there are rows, a reshape keeps the number of elements. The \
     message names the ports, their types and the sizes that clash.";

    OPERAND_COUNT = "E0205", "a wrong number of operands",
    "Operands go by position, attributes by name: `softmax(x, axis: -1)` has one operand and one attribute. A \
     port with a default or a `?` may be left out.";

    ATTRIBUTE = "E0206", "an attribute that does not exist or does not fit",
    "Attributes are given by name, each of the type that the operator declares. `qdqc explain NAME` lists \
     them with their defaults.";

    DIM_ARITHMETIC = "E0207", "arithmetic of sizes that cannot hold",
    "A size is a whole number, or a dim that is bound when the model runs. Sizes take `+` and `-`, and `*` and \
     `/` by a whole number; a division must leave no rest. The product of two dims gets a name of its own: \
     `dim rows = batch * choices`.";

    REQUIRE = "E0208", "a requirement of the spec that the config does not meet",
    "The spec says with `require` what must hold of the config, and what to say where it does not. The notes \
     list the values of the names in the condition. Change the config (`--set name=value`) or use a spec that \
     fits it.";

    SELF_REFERENCE = "E0209", "something that contains itself",
    "A module that places itself, or a function that calls itself, however far down, would never end: modules \
     are unfolded while compiling. Repeat a submodule with `layer: Layer * num_hidden_layers`, or compute in a \
     `for`.";

    UNUSED = "E0210", "something declared and never used",
    "A submodule or parameter that its body never uses would be loaded for nothing, and a quantizer that no \
     rule attaches quantizes nothing: both are most often a typing mistake.";

    DUPLICATE_NAME = "E0211", "a name given twice",
    "Every name means one thing where it is seen: there is no shadowing. `set` gives a value a new value, in \
     branches and loops.";

    WRONG_KIND = "E0212", "a value of the wrong kind",
    "Some places take only one kind of value: a condition is true or false and known while compiling, a size \
     is a whole number or a dim, an operand is a tensor. An optional value that is absent is `none`; `given(x)` \
     asks.";

    CONFIG = "E0213", "a config field that is missing or does not fit",
    "The spec declares each field of config.json that it reads, with its type and perhaps a default. The \
     message shows what the config says; `--set name=value` overrides it.";

    RESULT = "E0214", "a result that is not what is declared",
    "What a body returns must fit the type after its `->`, and a model's `return` names its outputs: `return \
     (logits: scores)`.";

    SETTING = "E0215", "a setting of a module that is missing or does not fit",
    "The settings of a module stand in parentheses behind its name and are given where it is placed, by \
     position or by name: `dense: Linear(hidden_size, out: 2)`.";

    MODEL_TOO_LARGE = "E0216", "a model that is too large to compile",
    "Modules and loops are unfolded while compiling. A graph has at most 50000 nodes, calls are nested at most \
     64 deep; BERT-large has about 2000 nodes. Most often a config has a wrong number of layers.";

    USE = "E0217", "a `use` that finds nothing, or that comes back to itself",
    "`use \"lib/bert.qdq\"` is looked for beside the file that says it, then among the bundled specs. Files \
     may be used from several places, but not in a circle, and a spec has at most 64.";

    MODEL_COUNT = "E0218", "no model, or more than one",
    "A spec declares exactly one `model`. Files that only share modules have none: they are used, not run.";

    UNBOUND_DIM = "E0219", "a dim that no input binds",
    "A dim gets its size from the inputs of a call: somewhere among the given inputs it must be a size of its \
     own. `dim past else 0` says what it is where no given input has it.";

    INPUT = "E0220", "inputs that do not fit the model",
    "An input may be required, have a default (`= ones`), be optional (`?`), or be required `unless` another \
     is given. Its types are told apart by rank and element type.";

    OUTPUT = "E0221", "an output that the model does not make",
    "Outputs `on request` are made when they are asked for; some exist only for some configs and inputs: a \
     cache only in a decoder, a loss only with labels.";

    ANSWER = "E0222", "an answer that cannot be read",
    "`answer labels(logits)` says how the outputs are read for people. The readings are labels, entities, \
     span, fill_mask, next_sentence, choice, continuation and embedding; each reads outputs by name.";

    INTERNAL = "E0299", "a fault in qdqc",
    "A pass of the compiler made a graph that does not hold together. This is a bug in qdqc, not in your spec: \
     please report it with the spec and the config.";

    // Quantizers

    RULE_MATCHES_NOTHING = "E0301", "a rule that matches nothing",
    "Every rule must match at least one site, so that a typing mistake cannot silently quantize nothing. A \
     site is a port of an operator, of a module, or of a submodule or value by its name. `in M` keeps those \
     written in M's own body, `under M` those anywhere inside M, `at PATH` those whose state-dict path has that \
     stretch.\n\n`qdqc show SPEC --sites` lists every site.";

    TWO_RULES = "E0302", "two rules for one site",
    "A site has at most one rule, so that the order of rules never matters and nothing is overridden \
     silently. Make room with `except at PATH`, or narrow one of the rules.";

    UNKNOWN_PORT = "E0303", "a port that does not exist",
    "Ports are the operands of an operator (`lhs` and `rhs` of `matmul`), and the ports and parameters of a \
     module (`input` and `weight` of `Linear`).";

    QUANTIZER = "E0304", "a quantizer that cannot be",
    "A quantizer is `int2` to `int16`, `uint2` to `uint16`, or `e4m3`, with options by name: `axis`, `range: \
     full` or `narrow`, `mode: onnx`, `nv` or `nv_narrow`, `calibrate: max`, `percentile(99.99)`, `entropy` or \
     `mse`, and one of `amax: 4.0`, `dynamic: true`, `learn: true`.";

    UNKNOWN_QUANTIZER = "E0305", "a quantizer that is not declared",
    "A rule attaches a quantizer that its own block declares: `quantizer weight = int8(axis: 0)`.";

    QUANTIZER_MISFIT = "E0306", "a quantizer that does not fit its site or a rule",
    "A range for each index of an axis needs an axis that is there and whose size is known while compiling: \
     the rows of a weight, the features of an activation, but not the tokens of a text. `tie` and `limit` hold \
     a magnitude, which a quantizer with `learn: true` has not: training moves its two bounds.";

    QUANTIZER_NAME_TWICE = "E0307", "two quantizers with one name",
    "A quantizer's name in the state dict is the path of its module and the `as` name of its rule. A rule with \
     `as` that matches two sites of the same module gives both the same name.";

    TIE = "E0308", "quantizers that cannot share a range",
    "Tied quantizers have one range, so they must be of the same kind, and a quantizer is tied by one rule.";

    NOT_A_RECIPE = "E0309", "a recipe that is none",
    "A file given with `--recipe` takes the place of every `quantize` block of the spec, so it holds `quantize` \
     blocks and nothing else. Models and modules stay in the spec; a `use` belongs there, too.";

    // Checkpoints

    MISSING_TENSOR = "E0401", "a tensor is not in the checkpoint",
    "The spec declares a parameter, and the weights have no tensor of that name. A parameter's name is \
     the path of submodules that leads to it: `weight` of `query` of `self` of `attention` is \
     `attention.self.query.weight`. Names are found with or without the prefixes `bert.` and `module.`, \
     with `gamma` and `beta` for `weight` and `bias`, and through tied copies. Compare the name with \
     those in the file; `from \"prefix\"` gives a submodule another name in the file.";

    MISSING_PART = "E0402", "a part of the model is not in the checkpoint",
    "The spec has a submodule, and the weights have no tensor of it at all. Most often the part is a head: \
     a checkpoint saved as BertModel has no classifier. Choose the spec of the model that was saved, give \
     a checkpoint that was fine-tuned for this task, or train the head. If layers are missing, \
     `num_hidden_layers` in config.json does not belong to these weights.";

    WRONG_SHAPE = "E0403", "a tensor has another shape than in the spec",
    "Name and place agree, sizes do not. Sizes in a spec come from config.json, so either the config belongs \
     to another model, or a `--set` changed a size, or the spec computes the size differently. The ranges of \
     a quantizer (`_amax`) have one number per tensor, or one per channel: calibrate again when the scheme \
     changes.";

    WRONG_ELEMENTS = "E0404", "a tensor's elements cannot be loaded",
    "Weights are loaded from f64, f32, f16, bf16, whole numbers and booleans. 8-bit floats, 4-bit and complex \
     numbers have scales or meanings beside the file that qdqc does not know. Save the model in one of the \
     types above.";

    MISSING_RANGE = "E0405", "a quantizer has no range",
    "A quantizer that is on needs the largest magnitude it stands for, its `_amax`. The checkpoint holds \
     none for this one. Calibrate (`qdqc calibrate`), lay ranges over the checkpoint from a file \
     (`--amax FILE.safetensors`), or run without quantizers (`--float`).";

    NO_RANGE_FOUND = "E0406", "a quantizer for which data gives no range",
    "Calibration gives a quantizer its range from the values that it would see in a float run. There is none \
     where no value came (no record takes that way through the model), where values are NaN or infinite (the \
     weights are damaged, or the model overflows in the chosen `--dtype`), where all are zero, and where an \
     unsigned quantizer would see negative numbers. Attach no quantizer there, make it signed, give it a fixed \
     range (`amax: 1.0`), or calibrate with other data.";

    // Engines

    CALL = "E0501", "a tensor that does not fit its input",
    "The sizes of the tensors given to one call must fit the model's input types together: a dim such as `seq` \
     is one size in all of them. The message shows the tensor, its type in the spec, and what the dims are by \
     the other inputs.";

    CALL_REQUIRE = "E0502", "sizes of a call that break a requirement",
    "The spec says with `require` what must hold of the sizes of a call, such as a text no longer than the \
     positions the model knows. Give a shorter text, or fewer tokens at a time.";

    EVALUATION = "E0503", "an operator that cannot work on its values",
    "The types fit, but a value does not: an id outside a table of words or positions, a label outside the \
     classes. The message names the value of the spec that could not be computed, and the number at fault.";

    NOT_IN_ONNX = "E0504", "something that the chosen ONNX opset cannot say",
    "ONNX's operators grow with its versions: codes of more than 8 bits came with opset 21, E4M3 codes with \
     opset 19. The message names the quantizer, or the value, and the opset that would do.\n\nExport with \
     that `--opset`, if the target takes it, or change the quantizer.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_in_order() {
        let codes: Vec<_> = ALL.iter().map(|explanation| explanation.code.0).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }

    #[test]
    fn every_code_has_a_title_and_a_paragraph() {
        for Explanation { code, title, text } in ALL {
            assert!(code.0.len() == 5 && code.0.starts_with('E'), "{code:?}");
            assert!(!title.is_empty() && !title.ends_with('.'), "{title}");
            assert!(text.len() > 80 && text.ends_with('.'), "{code:?}");
        }
    }

    #[test]
    fn a_code_is_found_in_either_case() {
        assert_eq!(find("e0101").map(|found| found.code), Some(UNEXPECTED));
        assert_eq!(find("E9999"), None);
    }
}
