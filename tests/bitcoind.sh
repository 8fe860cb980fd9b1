#!/usr/bin/env bash
# Prints the path of a bitcoind with ZMQ for the tests; the last line on standard error says why there is none.
#
# $BITCOIND wins. Otherwise it is built once from the source that the package libbitcoinkernel-sys ships (about ten
# minutes on two cores, 400 MB while it builds) and kept in the user's cache folder, where every clone finds it.
set -euo pipefail

SOURCE_VERSION=0.2.0
cache=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/signalcore/bitcoind-$SOURCE_VERSION
cargo_home=${CARGO_HOME:-${HOME:-/root}/.cargo}
export PATH="$PATH:$cargo_home/bin"

give_up() {
    echo "bitcoind.sh: $1" >&2
    exit 1
}

if [[ -n ${BITCOIND:-} ]]; then
    "$BITCOIND" -version >&2 || give_up "BITCOIND=$BITCOIND: is no bitcoind that runs"
    echo "$BITCOIND"
    exit
fi

# found: the one in the cache still runs here; a system update can take a library away from under it.
found() {
    "$cache/bitcoind" -version >/dev/null 2>&1 && echo "$cache/bitcoind"
}

install_packages() {
    local missing=() program
    for program in cmake ninja c++; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    for program in boost/multi_index_container.hpp event2/http.h zmq.h; do
        printf '#include <%s>\n' "$program" | c++ -xc++ -std=c++17 -fsyntax-only - 2>/dev/null || missing+=("$program")
    done
    ((${#missing[@]})) || return 0
    local packages="cmake ninja-build g++ libboost-dev libevent-dev libzmq3-dev"
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        give_up "missing: ${missing[*]}; on Debian as root: apt-get install $packages; or set BITCOIND"
    fi
    apt-get update -q
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $packages
}

# Cargo brings the package and checks its hash; only the C++ part is used.
fetch_source() {
    mkdir -p "$1/src"
    touch "$1/src/lib.rs"
    printf '[package]\nname = "bitcoind-source"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n' >"$1/Cargo.toml"
    printf '[dependencies]\nlibbitcoinkernel-sys = "=%s"\n' "$SOURCE_VERSION" >>"$1/Cargo.toml"
    cargo vendor --manifest-path "$1/Cargo.toml" "$1/vendor"
    # The package leaves out src/ipc, of which one header is included even with IPC off.
    mkdir -p "$1/vendor/libbitcoinkernel-sys/bitcoin/src/ipc"
    cat >"$1/vendor/libbitcoinkernel-sys/bitcoin/src/ipc/exception.h" <<'HEADER'
#ifndef BITCOIN_IPC_EXCEPTION_H
#define BITCOIN_IPC_EXCEPTION_H
#include <stdexcept>
namespace ipc { class Exception : public std::runtime_error { public: using std::runtime_error::runtime_error; }; }
#endif
HEADER
}

build() {
    local options=(-DCMAKE_BUILD_TYPE=Release -DBUILD_DAEMON=ON -DWITH_ZMQ=ON) off
    for off in ENABLE_WALLET ENABLE_IPC ENABLE_EXTERNAL_SIGNER BUILD_GUI BUILD_TESTS BUILD_BENCH BUILD_CLI BUILD_TX \
        BUILD_UTIL BUILD_WALLET_TOOL BUILD_BITCOIN_BIN BUILD_FUZZ_BINARY INSTALL_MAN; do
        options+=("-D$off=OFF")
    done
    cmake -G Ninja -S "$1/vendor/libbitcoinkernel-sys/bitcoin" -B "$1/build" "${options[@]}"
    cmake --build "$1/build" --target bitcoind
    strip "$1/build/bin/bitcoind" || true
    mv "$1/build/bin/bitcoind" "$cache/bitcoind.new"
    mv "$cache/bitcoind.new" "$cache/bitcoind"
}

found && exit
install_packages >&2
mkdir -p "$cache"
# Two clones at once: the second waits for the first one's.
if command -v flock >/dev/null; then
    exec 9>"$cache/lock"
    flock 9
    found && exit
fi
work=$cache/work
rm -rf -- "$work"
trap 'rm -rf -- "$work"' EXIT
{
    echo "bitcoind.sh: building bitcoind once, about ten minutes, into $cache"
    fetch_source "$work"
    build "$work"
} >&2
found || give_up "the bitcoind that was built does not run: $cache/bitcoind -version"
