//! A value of a template as it was given, and the checks that make a number, a hash or a list of it. Texts stay where
//! they are: a template has megabytes of them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::error::{TemplateError, mismatch};
use super::hexadecimal::decode_to;

/// Any JSON value; [`Given::Null`] also where there is none. Of members with one name the last counts.
#[derive(Debug, Default, Serialize)]
#[serde(untagged)]
pub(super) enum Given<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Given<'a>>),
    Members(BTreeMap<Cow<'a, str>, Given<'a>>),
}

/// As JSON.
impl fmt::Display for Given<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).expect("it came from JSON"))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Given<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(|value: Given<'de>| value)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Given::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Given::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Given::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Given::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Number::from_f64(value).map(Given::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Given::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Given::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element()? {
            list.push(entry);
        }
        Ok(Given::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((Name(name), value)) = entries.next_entry()? {
            members.insert(name, value);
        }
        Ok(Given::Members(members))
    }
}

/// The name of a member; serde borrows a text inside a field only.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A text. Errors: missing, of another type.
pub(super) fn text<'a>(field: &'static str, value: &'a Given<'_>) -> Result<&'a str, TemplateError> {
    match value {
        Given::Text(text) => Ok(text),
        Given::Null => Err(TemplateError::Missing(field)),
        other => Err(mismatch(field, other, "a text")),
    }
}

/// The entries of a list; none when it is not there. Errors: of another type.
pub(super) fn list<'a, 'b>(
    field: &'static str,
    value: &'a Given<'b>,
) -> Result<&'a [Given<'b>], TemplateError> {
    match value {
        Given::List(entries) => Ok(entries),
        Given::Null => Ok(&[]),
        other => Err(mismatch(field, other, "a list")),
    }
}

/// The values of an object in the order of their names; none when it is not there. Errors: of another type.
pub(super) fn members<'a, 'b>(
    field: &'static str,
    value: &'a Given<'b>,
) -> Result<Vec<&'a Given<'b>>, TemplateError> {
    match value {
        Given::Members(members) => Ok(members.values().collect()),
        Given::Null => Ok(Vec::new()),
        other => Err(mismatch(field, other, "an object")),
    }
}

/// A whole number. Errors: missing, of another type, outside the range.
pub(super) fn integer(
    field: &'static str,
    value: &Given<'_>,
    range: RangeInclusive<u64>,
) -> Result<u64, TemplateError> {
    let number = match value {
        Given::Number(number) => number.as_u64(),
        Given::Null => return Err(TemplateError::Missing(field)),
        _ => None,
    };
    let expected = || format!("a whole number from {} to {}", range.start(), range.end());
    number.filter(|number| range.contains(number)).ok_or_else(|| mismatch(field, value, expected()))
}

/// Exactly `N` bytes of hexadecimal. Errors: missing, of another type or length.
pub(super) fn hex_bytes<const N: usize>(
    field: &'static str,
    value: &Given<'_>,
) -> Result<[u8; N], TemplateError> {
    let mut bytes = [0; N];
    if decode_to(text(field, value)?, &mut bytes) {
        return Ok(bytes);
    }
    Err(mismatch(field, value, format!("{} digits of hexadecimal", 2 * N)))
}

/// A hash or target as it is shown, turned into header order. Errors: as [`hex_bytes`].
pub(super) fn hash(field: &'static str, value: &Given<'_>) -> Result<[u8; 32], TemplateError> {
    let mut bytes: [u8; 32] = hex_bytes(field, value)?;
    bytes.reverse();
    Ok(bytes)
}
