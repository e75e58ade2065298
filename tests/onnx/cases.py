"""Every bundled spec, and the ways of calling it that are tried.

A spec without a row here is exported as it is. `checkpoints.py` makes the folders.
"""

from dataclasses import dataclass, replace

# What the inputs' symbolic sizes are. Rows end in padding, except where `seq` is 1.
PLAIN = ({"batch": 3, "seq": 7}, {"batch": 1, "seq": 1}, {"batch": 2, "seq": 33})
CHOICES = ({"batch": 3, "choices": 2, "seq": 7}, {"batch": 1, "choices": 3, "seq": 1})
CACHED = ({"batch": 3, "seq": 7, "past": 5}, {"batch": 1, "seq": 1, "past": 6}, {"batch": 3, "seq": 7, "past": 0})
CROSSED = tuple({**sizes, "source": source} for sizes, source in zip(CACHED, (9, 1, 4)))


@dataclass(frozen=True)
class Case:
    spec: str
    label: str = ""
    checkpoint: str = "tiny"
    # Flags of `qdqc export` and `qdqc run` alike.
    settings: tuple = ()
    # Flags of `qdqc export` that choose inputs and outputs.
    interface: tuple = ()
    # Flags of `qdqc run` that ask for the same outputs.
    requests: tuple = ()
    sizes: tuple = PLAIN

    @property
    def name(self) -> str:
        return f"{self.spec} ({self.label})" if self.label else self.spec

    @property
    def file(self) -> str:
        return "-".join([self.spec, *self.label.replace(",", " ").split()])


DECODER = ("--set", "is_decoder=true")
CROSS = (*DECODER, "--set", "add_cross_attention=true")

WAYS = {
    "multiple-choice": [Case("multiple-choice", checkpoint="one-score", sizes=CHOICES)],
    "causal-lm": [
        Case("causal-lm", "cache", requests=("--cache",), sizes=CACHED),
        Case("causal-lm", "no cache", interface=("--no-cache",)),
    ],
    "base-model": [
        Case("base-model"),
        Case("base-model", "decoder, cache", settings=DECODER, interface=("--cache",), requests=("--cache",), sizes=CACHED),
        Case(
            "base-model",
            "decoder, source",
            checkpoint="cross",
            settings=CROSS,
            interface=("--inputs", "input_ids,attention_mask,encoder_hidden_states,encoder_attention_mask"),
            sizes=tuple({"batch": one["batch"], "seq": one["seq"], "source": one["source"]} for one in CROSSED),
        ),
    ],
}


def matrix(specs: list[str]) -> list[Case]:
    """What is tried at every opset, in both forms of weights."""
    return [case for spec in specs for case in WAYS.get(spec, [Case(spec)])]


BASE = Case("base-model")
CROSSED_CACHE = Case(
    "base-model",
    "decoder, source, cache",
    checkpoint="cross",
    settings=CROSS,
    interface=("--inputs", "input_ids,attention_mask,encoder_hidden_states", "--cache"),
    requests=("--cache",),
    sizes=CROSSED,
)

# Calls that a spec allows besides the usual one.
CALLS = [
    Case("base-model", "ids", interface=("--inputs", "input_ids")),
    Case("base-model", "ids, mask", interface=("--inputs", "input_ids,attention_mask")),
    Case(
        "base-model",
        "all inputs",
        interface=("--inputs", "input_ids,attention_mask,token_type_ids,position_ids,head_mask"),
    ),
    Case("base-model", "vectors", interface=("--inputs", "inputs_embeds,attention_mask")),
    Case(
        "base-model",
        "every layer",
        interface=("--outputs", "hidden_states,attentions"),
        requests=("--hidden-states", "--attentions"),
    ),
    CROSSED_CACHE,
    Case("sequence-classification", "loss", interface=("--inputs", "input_ids,attention_mask,labels")),
    Case("token-classification", "loss", interface=("--inputs", "input_ids,attention_mask,labels")),
    Case("causal-lm", "loss", interface=("--inputs", "input_ids,labels", "--no-cache"), sizes=PLAIN[:1] + PLAIN[2:]),
    *(
        replace(BASE, label=kind, checkpoint="relative", settings=("--set", f"position_embedding_type={kind}"))
        for kind in ("relative_key", "relative_key_query")
    ),
]

ACTIVATIONS = [
    replace(BASE, label=name, settings=("--set", f"hidden_act={name}"), sizes=PLAIN[:1])
    for name in "gelu_10 gelu_accurate gelu_fast gelu_new gelu_python gelu_pytorch_tanh quick_gelu relu relu2 relu6 "
    "leaky_relu silu sigmoid tanh mish laplace linear".split()
]
