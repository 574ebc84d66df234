//! The workspace's README shows the example that this crate's README tests. The package does not
//! contain this test, since it has only one README.

const OURS: &str = include_str!("../README.md");
const WORKSPACE: &str = include_str!("../../../README.md");

fn example(readme: &str) -> &str {
    let (_, rest) = readme.split_once("```rust\n").expect("it has an example");
    rest.split_once("```\n").expect("the example ends").0
}

#[test]
fn the_workspace_shows_the_example_that_is_tested() {
    assert_eq!(example(WORKSPACE), example(OURS));
}
