//! Changes of the settings, while the service runs.

use serde_json::{Value, map::Map};

use super::{BadSetting, GuardSettings, Settings};

impl Settings {
    /// Returns these settings with `changes`, a JSON merge patch (RFC 7396): a table changes only
    /// what is named in it, and `null` takes a setting away, so that its default holds.
    ///
    /// # Errors
    ///
    /// A setting is missing, unknown, of another type, or cannot be changed while the service runs.
    /// Whether it is within its range, the objects say.
    pub fn merge(&self, changes: Map<String, Value>) -> Result<Self, BadSetting> {
        let mut merged = serde_json::to_value(self).map_err(BadSetting::new)?;
        merge(&mut merged, Value::Object(changes));
        let settings: Self = serde_path_to_error::deserialize(&merged).map_err(|error| {
            let path = error.path().to_string();
            let value = merged.pointer(&format!("/{}", path.replace('.', "/")));
            let value = value.filter(|value| !value.is_object());
            let value = value.map(|value| format!(" is {value}")).unwrap_or_default();
            BadSetting::new(format_args!("{path}{value}: {}", error.inner()))
        })?;
        let changed = self.changed_in_use(&settings);
        if changed == settings {
            return Ok(settings);
        }
        let json = |settings| serde_json::to_value(settings).map_err(BadSetting::new);
        let (path, must, is) = difference(json(&changed)?, json(&settings)?, String::new());
        Err(BadSetting::new(format_args!(
            "{path} is {is}, but must be {must} until the next start"
        )))
    }

    /// Returns these settings, but with those of `new` that can be changed while the service runs.
    fn changed_in_use(&self, new: &Self) -> Self {
        let mut changed = self.clone();
        changed.pages.permits = new.pages.permits;
        // A running pool has no default to return to.
        changed.pool.threads = new.pool.threads.or(self.pool.threads);
        let mut limit = self.guard.limit.clone();
        (limit.min, limit.max) = (new.guard.limit.min, new.guard.limit.max);
        let mut breaker = new.guard.breaker.clone();
        breaker.seed = self.guard.breaker.seed;
        let max_clients = self.guard.max_clients;
        changed.guard = GuardSettings { limit, breaker, max_clients, ..new.guard.clone() };
        changed
    }
}

/// Does what RFC 7396 calls `MergePatch`.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(changes) = patch else {
        *target = patch;
        return;
    };
    let mut table = match target.take() {
        Value::Object(table) => table,
        _ => Map::new(),
    };
    for (name, change) in changes {
        if change.is_null() {
            table.remove(&name);
        } else {
            merge(table.entry(name).or_insert(Value::Null), change);
        }
    }
    *target = Value::Object(table);
}

/// Returns the path of the first difference, and what is there in each of the two. What is absent
/// is null.
fn difference(mut one: Value, mut other: Value, path: String) -> (String, Value, Value) {
    let (Value::Object(table), Value::Object(others)) = (&mut one, &mut other) else {
        return (path, one, other);
    };
    let names: Vec<String> = table.keys().chain(others.keys()).cloned().collect();
    for name in names {
        let of = |table: &mut Map<String, Value>| table.remove(&name).unwrap_or_default();
        let (a, b) = (of(table), of(others));
        if a != b {
            let dot = if path.is_empty() { "" } else { "." };
            return difference(a, b, format!("{path}{dot}{name}"));
        }
    }
    (path, one, other)
}
