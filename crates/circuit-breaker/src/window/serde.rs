//! A window in the formats of the crate `serde`.

use core::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{Kind, Window};

#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Fields {
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "tidegate_core::duration_text::option"
    )]
    span: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slices: Option<u32>,
}

/// A table: of `count`, or of `span`, which is [text](tidegate_core::DurationText), and `slices`.
impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Fields::deserialize(from)? {
            Fields { count: Some(n), span: None, slices: None } => Ok(Self::count(n)),
            Fields { count: None, span: Some(span), slices: Some(n) } => Ok(Self::time(span, n)),
            _ => Err(D::Error::custom("expected a window of count, or one of span and slices")),
        }
    }
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let fields = match self.kind {
            Kind::Count(n) => Fields { count: Some(n), ..Fields::default() },
            Kind::Time { span, slices } => {
                Fields { span: Some(span), slices: Some(slices), ..Fields::default() }
            }
        };
        fields.serialize(to)
    }
}
