#!/usr/bin/env bash
# Checks form: rustfmt, clippy and rustdoc, each without a single warning, with every feature on. Fuzzers, firmware and canaries, which
# are no members of the workspace, are formatted and linted as well.
# Why: a warning that may stay is a warning nobody reads. The rules of structure are in structure.sh.
# Time: about 2 minutes on a fresh clone, seconds afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null ||
        { echo "tidy: cargo $tool is missing; 'rustup toolchain install' reads rust-toolchain.toml" >&2; exit 1; }
done

cargo fmt --all --check
cargo clippy --workspace --all-targets --all-features -- -D warnings
# In the libraries `core::` comes before `alloc::` before `std::`; tests may say `std` throughout.
cargo clippy --package 'tidegate*' --lib --all-features -- -D warnings \
    -D clippy::std_instead_of_core -D clippy::std_instead_of_alloc -D clippy::alloc_instead_of_core

# Workspaces of their own, which --all and --workspace do not see.
lint() {
    cargo fmt --manifest-path "$1" --check
    cargo clippy --locked --target-dir target/tidy --manifest-path "$@" -- -D warnings
}
# Nothing is linked, so libFuzzer need not be there, nor a C++ compiler to build it with.
CUSTOM_LIBFUZZER_PATH=/none/libnone.a lint fuzz/Cargo.toml
# As if for this machine, as rustup's toolchain has no core for the firmware's. In release a panic aborts; else it would need std.
lint examples/embedded/Cargo.toml --release
lint ci/tsan-canary/Cargo.toml
# Files without a workspace.
rustfmt --check --edition 2024 ci/asan-canary.rs ci/logic-switch.rs
# Modules that a macro names, which cargo fmt does not find.
rustfmt --check --edition 2024 crates/core/src/ring/model.rs crates/core/src/queue/model.rs
for kind in use-after-free leak; do
    clippy-driver --edition 2024 --cfg "planted=\"$kind\"" --check-cfg 'cfg(planted, values("use-after-free", "leak"))' \
        --emit metadata --out-dir target/tidy -D warnings ci/asan-canary.rs
done
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
echo "tidy: ok"
