#!/usr/bin/env bash
# The VNNI kernels, run on processors that have the instructions, whatever this machine is:
# Bochs emulates them. Nothing is booted but the kernels themselves.
#
#     tests/emulated/run.sh [MODEL...]           # default: sapphire_rapids, which has both
#
# It needs binutils and Bochs 3.0, built from its source:
#
#     ./configure --enable-x86-64 --enable-cpu-level=6 --enable-avx --enable-evex --with-nogui
#
# BOCHS names the program, BOCHS_SHARE the folder of its BIOS (`bios` in the source). The exit
# code is 0 if every sum is that of the portable kernel, and a check that is broken on purpose
# says so.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bochs=${BOCHS:-bochs}
share=${BOCHS_SHARE:-/usr/local/share/bochs}
vga=$(find -L "$share" -type f \( -name VGABIOS-lgpl-latest -o -name VGABIOS-lgpl-latest.bin \) | head -n 1)
[[ -n $vga ]] || { echo "error: $share has no VGABIOS-lgpl-latest: set BOCHS_SHARE" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# disk FLAGS...: builds the kernels, compiled with these flags, onto disks.
disk() {
    local library size registers
    library=$(rustc --print target-libdir --target x86_64-unknown-linux-gnu)
    rustc --target x86_64-unknown-linux-gnu --edition 2024 --crate-type lib --emit obj --cap-lints allow \
        -C opt-level=2 -C panic=abort -C relocation-model=static --check-cfg 'cfg(broken)' "$@" \
        "$here/products.rs" -o "$work/products.o"
    ld -T "$here/link.ld" --gc-sections -o "$work/products.elf" "$work/products.o" \
        "$library"/libcore-*.rlib "$library"/libcompiler_builtins-*.rlib
    objcopy -O binary -R .bss "$work/products.elf" "$work/products.bin"
    size=$(stat -c %s "$work/products.bin")
    for registers in 0x7 0xe7; do
        as --defsym CHUNKS=$(((size + 32767) / 32768)) --defsym XCR0=$registers "$here/boot.s" -o "$work/boot.o"
        ld -Ttext 0x7c00 --oformat binary -o "$work/boot.bin" "$work/boot.o"
        cat "$work/boot.bin" "$work/products.bin" > "$work/disk-$registers"
        truncate -s $((20 * 16 * 63 * 512)) "$work/disk-$registers"
    done
}

# emulate MODEL: what the kernels say on it.
emulate() {
    local registers=0xe7
    # It has no AVX-512 registers to be switched on.
    [[ $1 == arrow_lake ]] && registers=0x7
    rm -f "$work"/*.lock "$work/said"
    cat > "$work/bochsrc" <<CONFIG
megs: 64
cpu: model=$1, ips=100000000
romimage: file=$share/BIOS-bochs-latest
vgaromimage: file=$vga
ata0-master: type=disk, path=$work/disk-$registers, mode=flat, cylinders=20, heads=16, spt=63
boot: disk
display_library: nogui
com1: enabled=1, mode=file, dev=$work/said
log: $work/log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
CONFIG
    # It ends with an error of its own when it is shut down.
    timeout 120 "$bochs" -q -f "$work/bochsrc" > /dev/null 2>&1 < /dev/null || true
    grep -qs '^done' "$work/said" || { echo "error: $1 did not come to the end; $bochs said:" >&2; tail -n 3 "$work/log" >&2; exit 1; }
    grep -v '^done' "$work/said" | sed "s/^/$1: /"
}

models=("$@")
[[ $# -gt 0 ]] || models=(sapphire_rapids)
disk
for model in "${models[@]}"; do
    said=$(emulate "$model")
    echo "$said"
    grep -q 'all equal' <<< "$said" || { echo "error: $model has neither of the instructions, or its sums are wrong" >&2; exit 1; }
    ! grep -q WRONG <<< "$said"
done
disk --cfg broken
emulate "${models[0]}" | grep -q WRONG || { echo "error: a check that is broken on purpose sees nothing" >&2; exit 1; }
echo "a check that is broken on purpose says so"
