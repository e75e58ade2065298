#!/bin/sh
# Makes the demo anew: fine-tunes MiniLM for sentiment, cuts a small student out of it, teaches that, and trains
# it on with its quantizers on.
#
#     make.sh SST2 WORK [MINILM]
#
# SST2 is a folder with train.tsv, dev.tsv and test.tsv of columns `sentence` and `label`; WORK is a folder for
# what is made on the way; MINILM is a checkpoint, the hub's all-MiniLM-L6-v2 unless given. A run that was stopped
# goes on with the same command.
#
# QDQC names the binary, PYTHON a Python with numpy, safetensors and tokenizers, and TEACHER a folder of a
# fine-tuned MiniLM to take instead of making one.
set -eu

sst2=$1 work=$2 minilm=${3:-sentence-transformers/all-MiniLM-L6-v2}
qdqc=${QDQC:-qdqc} python=${PYTHON:-python3} teacher=${TEACHER:-$work/teacher}
here=$(dirname "$0")
mkdir -p "$work"

train() {
    "$qdqc" train sequence-classification "$@" \
        --columns text=sentence,label=label --eval "$sst2/dev.tsv" --batch 32 --resume
}

if [ -z "${TEACHER:-}" ]; then
    train -c "$minilm" --set 'id2label={"0": "negative", "1": "positive"}' --float \
        --input "$sst2/train.tsv" --epochs 1 --eval-every 500 --save-every 500 -o "$teacher"
fi

# What the student learns is what the teacher says of each text: of the labels nothing.
"$python" "$here/student.py" texts "$sst2/train.tsv" "$teacher/vocab.txt" "$work/texts.tsv"
"$python" "$here/student.py" cut "$teacher" "$sst2/train.tsv" "$work/cut"
taught() {
    train "$@" --input "$work/texts.tsv" --teacher "$teacher" --distillation 1 --temperature 2
}
taught -c "$work/cut" --float --epochs 3 --learning-rate 3e-4 \
    --eval-every 1000 --save-every 1000 -o "$work/float"
taught -c "$work/float" --steps 600 --learning-rate 2e-5 \
    --eval-every 100 --save-every 200 -o "$work/int8"

"$python" "$here/student.py" pack "$work/int8" "$here"
score() {
    "$qdqc" eval sequence-classification --columns text=sentence,label=label --input "$sst2/$split.tsv" "$@"
}
for split in dev test; do
    echo "$split: the teacher, the student in float, the demo"
    score -c "$teacher" --float
    score -c "$work/float" --float
    score -c "$here"
done
