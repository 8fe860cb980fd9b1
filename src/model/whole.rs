//! Whole numbers however they are written: JSON Schema takes 60000.0 and 6e4 for integers, and programs whose numbers are all
//! floats write them so. Source: JSON Schema draft 2020-12, validation, 6.1.1.

use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use serde_json::Number;

/// A whole number. Errors: it has a fraction, or `T` does not hold it.
pub(super) fn number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<T, D::Error> {
    of(&Number::deserialize(from)?)
}

/// The same, or null.
pub(super) fn optional<'de, D: Deserializer<'de>, T: TryFrom<u64>>(from: D) -> Result<Option<T>, D::Error> {
    Option::<Number>::deserialize(from)?.as_ref().map(of).transpose()
}

fn of<T: TryFrom<u64>, E: Error>(number: &Number) -> Result<T, E> {
    // Past the last whole number that a float tells from its neighbours all bounds are left behind anyway.
    let float = || number.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0);
    let whole = number.as_u64().or_else(|| float().map(|float| float as u64));
    let wrong = || E::invalid_value(Unexpected::Other(&number.to_string()), &"a whole number within bounds");
    whole.and_then(|whole| T::try_from(whole).ok()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_without_a_fraction_is_whole_however_it_is_written() {
        for (text, expected) in [
            ("60000", Some(60_000)),
            ("60000.0", Some(60_000)),
            ("6e4", Some(60_000)),
            ("-0.0", Some(0)),
            ("0.5", None),
            ("-1", None),
            ("-1.0", None),
            ("4294967295.0", Some(u32::MAX)),
            ("4294967296", None),
            ("1e300", None),
            ("null", None),
            ("\"1\"", None),
        ] {
            let found = number::<_, u32>(&mut serde_json::Deserializer::from_str(text));
            assert_eq!(found.ok(), expected, "{text}");
        }
        assert_eq!(optional::<_, u32>(json!(null)).unwrap(), None);
        assert_eq!(optional::<_, u32>(json!(7.0)).unwrap(), Some(7));
        assert_eq!(number::<_, u64>(json!(1e300)).unwrap(), u64::MAX);
    }
}
