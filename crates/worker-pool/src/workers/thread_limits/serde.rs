//! A number of threads in the formats of the crate `serde`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ThreadCount;

#[derive(Deserialize, Serialize)]
#[serde(
    deny_unknown_fields,
    untagged,
    expecting = "expected a number of threads, or a table of min and max"
)]
enum Fields {
    Number(usize),
    Range { min: usize, max: usize },
}

/// A number, or a table of `min` and `max`.
impl<'de> Deserialize<'de> for ThreadCount {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match Fields::deserialize(from)? {
            Fields::Number(number) => number.into(),
            Fields::Range { min, max } => Self { min, max },
        })
    }
}

impl Serialize for ThreadCount {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { min, max } = *self;
        let fields = if min == max { Fields::Number(min) } else { Fields::Range { min, max } };
        fields.serialize(to)
    }
}
