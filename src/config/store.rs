//! From what a layer says to a setting's place, or what is wrong with it.

use std::path::Path;

use super::field::Field;
use super::kind::{Given, Refusal, quoted};
use super::pool_url::without_credentials;
use super::problem::{Mistake, Origin};

/// The longest value that a message repeats. Unit: characters.
const MAX_SHOWN: usize = 80;

/// Stores a value in the place of its setting.
pub(super) fn store<T: Clone>(
    field: &Field<T>,
    target: &mut T,
    given: &Given,
    origin: &Origin,
    base: Option<&Path>,
) -> Result<(), Mistake> {
    let text = match given {
        Given::Text(text) | Given::Word(text) => text.as_str(),
        _ => "",
    };
    field.kind.store(target, given, base).map_err(|refusal| match refusal {
        Refusal::Url(error) => Mistake::Url { found: shown(&quoted(&without_credentials(text))), error },
        Refusal::Proxy(error) => Mistake::Proxy(error),
        Refusal::Address(found) => Mistake::Address { found: shown(&quoted(&found)) },
        Refusal::Text { found, remedy } => {
            let found = shown(&quoted(&without_credentials(&found)));
            Mistake::Value { found, expected: field.kind.expected(), remedy }
        }
        Refusal::Value => {
            let found = if field.kind.is_secret() { "***".into() } else { shown(&given.to_toml()) };
            let remedy = remedy(field, target, given, origin);
            Mistake::Value { found, expected: field.kind.expected(), remedy }
        }
    })
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn remedy<T: Clone>(field: &Field<T>, target: &T, given: &Given, origin: &Origin) -> String {
    let fits = |other: Given| field.kind.store(&mut target.clone(), &other, None).is_ok();
    match (given, origin, field.default()) {
        (Given::Text(text), ..) if field.kind.is_list() => format!("write [{}]", quoted(text)),
        (Given::Text(text), ..) if fits(Given::Word(text.clone())) => "write it without quotes".into(),
        (Given::Integer(_) | Given::Number(_) | Given::Bool(_), ..) if fits(Given::Text(given.to_toml())) => {
            "put it in quotes".into()
        }
        (_, Origin::Environment(_), _) => "correct it or unset the variable".into(),
        (_, Origin::Flag(_), _) => "correct it or leave the flag out".into(),
        (_, _, Some(default)) => format!("correct it, or delete the line for the default {default}"),
        (_, _, None) => "correct it or delete the line".into(),
    }
}
