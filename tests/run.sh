#!/usr/bin/env bash
# The one test command: formatting, lints, dependencies, and every test there is, with the counts last.
#
# Needs Rust and a C compiler; installs what else it needs, or says what is missing. Goes through all steps
# even when one fails, and fails if one did. Leaves nothing in the tree but target/.
set -euo pipefail
CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

CARGO_DENY_VERSION=0.20.2
cargo_home=${CARGO_HOME:-${HOME:-/root}/.cargo}
export PATH="$PATH:$cargo_home/bin"
export CARGO_TERM_COLOR=never NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1
unset CLICOLOR_FORCE FORCE_COLOR

scratch=$(mktemp -d)
trap 'rm -rf -- "$scratch"' EXIT
touch "$scratch/counts" "$scratch/skipped"
failed_steps=()

give_up() {
    echo "tests/run.sh: $1" >&2
    exit 1
}

# step NAME COMMAND...: runs it, keeps its output in $scratch/log and prints its time.
step() {
    local name=$1 start=$SECONDS outcome=ok
    shift
    printf '\n== %s\n' "$name"
    if ! "$@" 2>&1 | tee "$scratch/log"; then
        outcome=FAILED
        failed_steps+=("$name")
    elif [[ $(tail -n 1 "$scratch/log") == skipped:* ]]; then
        outcome=skipped
    fi
    printf '== %s: %s, %d s\n' "$name" "$outcome" $((SECONDS - start))
}

# counts PATTERN PROOF: keeps the lines in which the runner of the last step counts its tests; one of them must match
# PROOF. A runner without any test has not run, whatever its exit code.
counts() {
    grep -E "$1" "$scratch/log" | tee -a "$scratch/counts" | grep -qE "$2" || failed_steps+=("no tests ($2)")
}

install_packages() {
    local missing=() program
    command -v cargo >/dev/null || give_up "missing: cargo and rustc; see https://rustup.rs"
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    for program in git python3; do
        command -v "$program" >/dev/null || missing+=("$program")
    done
    ((${#missing[@]})) || return 0
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        give_up "missing: ${missing[*]}; as root: apt-get update && apt-get install ${missing[*]}"
    fi
    apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}"
}

install_components() {
    if cargo fmt --version && cargo clippy --version; then return; fi
    rustup component add rustfmt clippy || give_up "missing: rustfmt and clippy; rustup component add rustfmt clippy"
}

# Built without optimisation: it runs for a second, and would build for several minutes more.
install_cargo_deny() {
    if cargo deny --version; then return; fi
    CARGO_TARGET_DIR=$scratch/cargo-deny CARGO_PROFILE_DEV_DEBUG=0 \
        cargo install cargo-deny --locked --version "$CARGO_DENY_VERSION" --debug ||
        give_up "missing: cargo-deny; cargo install cargo-deny --locked --version $CARGO_DENY_VERSION"
}

# A database that cannot be fetched is no finding; one that was fetched is listened to.
advisories() {
    if timeout 120 cargo deny --locked fetch db; then
        cargo deny --locked --workspace check --hide-inclusion-graph advisories
    else
        echo "skipped: the advisory database cannot be reached"
    fi
}

# The node of the tests that need one. Without it they report themselves as skipped; one that was named must run.
bitcoind() {
    if bash tests/bitcoind.sh >"$scratch/bitcoind"; then
        cat "$scratch/bitcoind"
    elif [[ -n ${BITCOIND:-} ]]; then
        return 1
    else
        echo "skipped: there is no bitcoind"
    fi
}

python_tests() {
    cd tests/support && python3 -m unittest
}

# Rust tests report a part they must leave out in the file that $SIGNALCORE_SKIPPED names, one line
# `SKIPPED: test: reason` each, and pass.
rust_tests() {
    export SIGNALCORE_SKIPPED=$scratch/skipped BITCOIND
    BITCOIND=$(cat "$scratch/bitcoind")
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --workspace --locked --no-fail-fast --status-level slow
    else
        cargo test --workspace --locked --no-fail-fast --all-targets
    fi
}

doc_tests() {
    SIGNALCORE_SKIPPED=$scratch/skipped cargo test --workspace --locked --no-fail-fast --doc
}

# The closing lines of the three kinds of runner, added up. A test that left a part out counts as skipped.
total() {
    local left_out
    left_out=$(awk -F': ' '/^SKIPPED: /{ print $2 }' "$scratch/skipped" | sort -u | wc -l)
    awk -v left_out="$left_out" '
        function before(word) { return match($0, "[0-9]+ " word) ? substr($0, RSTART) + 0 : 0 }
        function after(word) { return match($0, word "=[0-9]+") ? substr($0, RSTART + length(word) + 1) + 0 : 0 }
        /^ *Summary \[/ {
            failed += before("failed") + before("exec failed") + before("timed out")
            passed += before("passed"); skipped += before("skipped")
        }
        /^test result: / { passed += before("passed"); failed += before("failed"); skipped += before("ignored") }
        /^Ran [0-9]+ test/ { ran = $2 }
        /^(OK|FAILED)/ {
            bad = after("failures") + after("errors") + after("unexpected successes")
            passed += ran - bad - after("skipped"); failed += bad; skipped += after("skipped")
        }
        END { printf "%d passed, %d failed, %d skipped\n", passed - left_out, failed, skipped + left_out }
    ' "$scratch/counts"
}

install_packages
step "Rust components" install_components
step "cargo-deny" install_cargo_deny
step "formatting" cargo fmt --all --check
step "lints" cargo clippy --workspace --all-targets --locked -- -D warnings
step "licences, bans and sources" cargo deny --locked --workspace check --hide-inclusion-graph licenses bans sources
step "advisories" advisories
step "bitcoind" bitcoind
step "Python tests" python_tests
counts '^(Ran [1-9][0-9]* tests? in |(OK|FAILED)( \(.*=[0-9]+\))?$)' '^Ran [1-9]'
step "doc tests" doc_tests
counts '^test result: ' '^test result: '
step "Rust tests" rust_tests
counts '^ *Summary \[|^test result: ' '[1-9][0-9]* passed'

printf '\n== counts after %d s\n' "$SECONDS"
((${#failed_steps[@]} == 0)) || printf 'FAILED: %s\n' "${failed_steps[@]}"
sort -u "$scratch/skipped"
cat "$scratch/counts"
total
((${#failed_steps[@]} == 0))
