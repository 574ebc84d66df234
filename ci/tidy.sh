#!/usr/bin/env bash
# Checks form: rustfmt, clippy and rustdoc, each without a single warning, with every feature on.
# Why: a warning that may stay is a warning nobody reads. The rules of structure are in structure.sh.
# Time: about 2 minutes on a fresh clone, seconds afterwards.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null ||
        { echo "tidy: cargo $tool is missing; 'rustup toolchain install' reads rust-toolchain.toml" >&2; exit 1; }
done

cargo fmt --all --check
# Workspaces of their own, which fmt --all does not see. Clippy looks at fuzz in fuzz.sh, which has its C++; at the firmware it cannot:
# the toolchain has no core for that machine, and the compiler that builds one has no clippy.
cargo fmt --manifest-path fuzz/Cargo.toml --check
cargo fmt --manifest-path examples/embedded/Cargo.toml --check
rustfmt --check --edition 2024 ci/tsan-canary/main.rs ci/asan-canary.rs
cargo clippy --workspace --all-targets --all-features -- -D warnings
# In the libraries `core::` comes before `alloc::` before `std::`; tests may say `std` throughout.
cargo clippy --package 'tidegate*' --lib --all-features -- -D warnings \
    -D clippy::std_instead_of_core -D clippy::std_instead_of_alloc -D clippy::alloc_instead_of_core
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
echo "tidy: ok"
