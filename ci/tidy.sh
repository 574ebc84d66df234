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
rustfmt --check --edition 2024 ci/tsan-canary/main.rs # its own workspace: fmt --all does not see it
cargo clippy --workspace --all-targets --all-features -- -D warnings
# In the libraries `core::` comes before `alloc::` before `std::`; tests may say `std` throughout.
cargo clippy --package 'tidegate*' --lib --all-features -- -D warnings \
    -D clippy::std_instead_of_core -D clippy::std_instead_of_alloc -D clippy::alloc_instead_of_core
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
echo "tidy: ok"
