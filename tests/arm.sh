#!/usr/bin/env bash
# The kernels for 64-bit ARM against the portable one and a plain double SHA-256, on any Linux machine, emulated by qemu.
# What this says of them is that they compute right, not how fast they are.
#
# Needs rustup, a cross compiler and qemu's user emulation. Takes some minutes, most of them for the build; tests/run.sh
# does not run it.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

TARGET=aarch64-unknown-linux-gnu
FILTERS=(cpu::tests::kernels cpu::self_test cpu::space every_kernel)
# It holds a time against a limit, and emulation is slow.
TIMED=the_self_test_of_all_kernels_takes_less_than_50_ms

give_up() {
    echo "tests/arm.sh: $1" >&2
    exit 1
}

packages="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static"
qemu=$(command -v qemu-aarch64-static || command -v qemu-aarch64) ||
    give_up "missing: qemu-aarch64; on Debian, as root: apt-get install $packages"
command -v aarch64-linux-gnu-gcc >/dev/null ||
    give_up "missing: aarch64-linux-gnu-gcc; on Debian, as root: apt-get install $packages"
command -v rustup >/dev/null || give_up "missing: rustup; see https://rustup.rs"
rustup target list --installed | grep -qx "$TARGET" || rustup target add "$TARGET"

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$qemu -L /usr/aarch64-linux-gnu"
exec cargo test -p signalcore-drivers --lib --locked --target "$TARGET" -- --skip "$TIMED" "${FILTERS[@]}"
