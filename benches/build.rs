//! Reads the versions of the rivals from `Cargo.lock`, so that a table names what was linked.

use std::{env, fs, path::Path};

/// Direct dependencies that are no rivals.
const OURS: &[&str] = &[
    "cpu-time",
    "criterion",
    "crossbeam-utils",
    "fastrand",
    "futures-lite",
    "stats_alloc",
    "tower",
];

fn main() {
    let lock = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../Cargo.lock");
    println!("cargo::rerun-if-changed={}", lock.display());
    println!("cargo::rerun-if-changed=build.rs");
    let lock = fs::read_to_string(lock).expect("the workspace has a Cargo.lock");
    let packages: Vec<&str> = lock.split("[[package]]").collect();

    let benches = packages.iter().find(|package| field(package, "name") == "benches").unwrap();
    let (_, dependencies) = benches.split_once("dependencies = [").unwrap();
    let direct =
        dependencies.lines().filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","));
    let rivals =
        direct.filter(|entry| !entry.starts_with("tidegate")).filter(|entry| !OURS.contains(entry));

    let mut versions = Vec::new();
    for entry in rivals {
        // An entry is a name, followed by a version if the lock file has several versions.
        let (name, version) = entry.split_once(' ').unwrap_or((entry, ""));
        let found = packages.iter().find(|package| {
            field(package, "name") == name && field(package, "version").contains(version)
        });
        if let Some(package) = found {
            versions.push(format!("{name} {}", field(package, "version")));
        }
    }
    println!("cargo::rustc-env=RIVALS={}", versions.join(", "));

    let rustc =
        std::process::Command::new(env::var("RUSTC").unwrap()).arg("--version").output().unwrap();
    println!("cargo::rustc-env=RUSTC_VERSION={}", String::from_utf8_lossy(&rustc.stdout).trim());
}

/// The value of `key = "value"` in a package of the lock file, or nothing.
fn field<'a>(package: &'a str, key: &str) -> &'a str {
    package
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'))
        .unwrap_or("")
}
