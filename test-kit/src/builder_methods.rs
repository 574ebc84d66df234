//! What a builder can set, as its source says.

/// Returns the names of the methods by which the builder with this source sets something, sorted:
/// the public methods that take `self` and return a builder.
pub fn builder_methods(source: &str) -> Vec<&str> {
    let signatures = source.split("\n    pub fn ").skip(1);
    let mut names: Vec<_> = signatures.filter_map(setter).collect();
    names.sort_unstable();
    names
}

/// Returns the name of a function if it is a setter. `text` begins with the name.
fn setter(text: &str) -> Option<&str> {
    let name = &text[..text.find(['(', '<'])?];
    let signature = &text[..text.find(" {\n").or_else(|| text.find("\n    {\n"))?];
    let signature = signature.split("\n    where").next()?;
    let (_, returns) = signature.rsplit_once("->")?;
    let is_builder = returns.trim_start().starts_with("Self") || returns.contains(" Builder<");
    (signature.contains("self") && is_builder).then_some(name)
}
