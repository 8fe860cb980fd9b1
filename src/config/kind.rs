//! The kinds of values: how each is read from a layer, checked, stored and printed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::Address;
use bitcoin::address::NetworkUnchecked;

use super::pool_address::PoolAddress;
use super::solo::payouts;
use super::zmq_url::MAX_ENDPOINTS;
use super::{
    NodeUrl, Payout, PoolUrlError, Proxy, ProxyError, Scheme, Secret, Strategy, Suggestion, Threads, TlsPin,
    ZmqUrl, ZmqUrlError, node_url, pool_url, proxy, solo, zmq_url,
};

/// The most hashing threads. More than any machine has; a larger number is a slip of the hand.
const MAX_THREADS: u16 = 1024;
/// The highest difficulty to ask for: well within what difficulties can be, and beyond any pool's.
const MAX_DIFFICULTY: f64 = 1e18;
/// The longest time to run: 31 years. Far below where adding it to a clock could overflow.
const MAX_RUN_SECONDS: f64 = 1e9;

/// What a list of addresses must be.
pub(super) const ADDRESSES: &str = "a list of one or more addresses of Bitcoin";

/// A value as a layer wrote it, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Given {
    /// A string in TOML.
    Text(String),
    /// A whole number in TOML.
    Integer(i64),
    /// A number with a fraction or an exponent in TOML.
    Number(f64),
    /// `true` or `false` in TOML.
    Bool(bool),
    /// A list of strings in TOML.
    List(Vec<String>),
    /// What no setting takes, by the name of its type.
    Other(&'static str),
    /// The value of an environment variable or a flag, which has no type yet.
    Word(String),
}

/// What a text must be.
pub(super) struct TextRule {
    pub(super) expected: &'static str,
    pub(super) holds: fn(&str) -> bool,
}

/// The kind of a setting of `T`: the type and range of its values, and the place they are stored in.
pub(super) enum Kind<T: 'static> {
    Bool(fn(&mut T) -> &mut bool),
    OptionalBool(fn(&mut T) -> &mut Option<bool>),
    Percent(fn(&mut T) -> &mut u8),
    Count(fn(&mut T) -> &mut Option<u64>),
    Whole { place: fn(&mut T) -> &mut u32, from: u32, to: u32 },
    OptionalWhole { place: fn(&mut T) -> &mut Option<u32>, from: u32, to: u32 },
    Part(fn(&mut T) -> &mut f64),
    Number { place: fn(&mut T) -> &mut f64, from: f64, to: f64 },
    OptionalNumber { place: fn(&mut T) -> &mut Option<f64>, from: f64, to: f64 },
    Suggestion(fn(&mut T) -> &mut Suggestion),
    Seconds { place: fn(&mut T) -> &mut Duration, from: u64, to: u64 },
    Minutes { place: fn(&mut T) -> &mut Duration, from: u64, to: u64 },
    RunTime(fn(&mut T) -> &mut Option<Duration>),
    Text { place: fn(&mut T) -> &mut String, rule: &'static TextRule },
    OptionalText { place: fn(&mut T) -> &mut Option<String>, rule: &'static TextRule },
    Texts(fn(&mut T) -> &mut Vec<String>),
    Path(fn(&mut T) -> &mut Option<PathBuf>),
    Threads(fn(&mut T) -> &mut Threads),
    Strategy(fn(&mut T) -> &mut Strategy),
    Scheme(fn(&mut T) -> &mut Scheme),
    Addresses(fn(&mut T) -> &mut Vec<Address>),
    Payouts(fn(&mut T) -> &mut Vec<Payout>),
    Url(fn(&mut T) -> &mut Option<PoolAddress>),
    Node(fn(&mut T) -> &mut Option<NodeUrl>),
    Zmq(fn(&mut T) -> &mut Vec<ZmqUrl>),
    Proxy(fn(&mut T) -> &mut Option<Proxy>),
    Pin(fn(&mut T) -> &mut Option<TlsPin>),
    Secret(fn(&mut T) -> &mut Option<Secret>),
}

/// Why a value was not stored.
#[derive(Debug, PartialEq)]
pub(super) enum Refusal {
    /// It is not what [`Kind::expected`] says.
    Value,
    /// It is a text, but no address of a pool.
    Url(PoolUrlError),
    /// It is a text, but no proxy.
    Proxy(ProxyError),
    /// This item of the list is no address of Bitcoin.
    Address(String),
    /// It is a text or list, but this text cannot be.
    Text { found: String, remedy: String },
}

impl Refusal {
    fn text(found: &str, error: impl std::error::Error) -> Self {
        Self::Text { found: found.to_owned(), remedy: error.to_string() }
    }
}

impl<T> Kind<T> {
    /// Checks `given` and stores it in `target`. A relative path counts from `base`.
    pub(super) fn store(&self, target: &mut T, given: &Given, base: Option<&Path>) -> Result<(), Refusal> {
        let text = || given.text().ok_or(Refusal::Value);
        let list = || given.list().ok_or(Refusal::Value);
        match self {
            Self::Url(place) => *place(target) = Some(text()?.parse().map_err(Refusal::Url)?),
            Self::Proxy(place) => *place(target) = Some(text()?.parse().map_err(Refusal::Proxy)?),
            Self::Node(place) => {
                let text = text()?;
                *place(target) = Some(text.parse::<NodeUrl>().map_err(|error| Refusal::text(text, error))?);
            }
            Self::Addresses(place) => {
                *place(target) = list()?.into_iter().map(address).collect::<Result<_, _>>()?;
            }
            Self::Payouts(place) => {
                *place(target) = payouts(list()?).map_err(|(item, error)| Refusal::text(&item, error))?;
            }
            Self::Zmq(place) => *place(target) = endpoints(&list()?)?,
            _ => self.store_plain(target, given, base).ok_or(Refusal::Value)?,
        }
        Ok(())
    }

    fn store_plain(&self, target: &mut T, given: &Given, base: Option<&Path>) -> Option<()> {
        match self {
            Self::Bool(place) => *place(target) = given.boolean()?,
            Self::OptionalBool(place) => *place(target) = Some(given.boolean()?),
            Self::Pin(place) => *place(target) = Some(TlsPin::parse(given.text()?)?),
            Self::Percent(place) => {
                *place(target) = given.integer().filter(|n| (1..=100).contains(n))? as u8;
            }
            Self::Count(place) => *place(target) = Some(given.integer().filter(|n| *n > 0)?),
            Self::Whole { place, from, to } => *place(target) = given.whole(*from, *to)?,
            Self::OptionalWhole { place, from, to } => *place(target) = Some(given.whole(*from, *to)?),
            Self::Number { place, from, to } => {
                *place(target) = given.number().filter(|n| (from..=to).contains(&n))?;
            }
            Self::OptionalNumber { place, from, to } => {
                *place(target) = Some(given.number().filter(|n| (from..=to).contains(&n))?);
            }
            Self::Part(place) => *place(target) = given.number().filter(|n| *n > 0.0 && *n <= 1.0)?,
            Self::Suggestion(place) => *place(target) = given.suggestion()?,
            Self::Seconds { place, from, to } => {
                *place(target) = Duration::from_secs(given.integer().filter(|n| (from..=to).contains(&n))?);
            }
            Self::Minutes { place, from, to } => {
                *place(target) =
                    Duration::from_secs(60 * given.integer().filter(|n| (from..=to).contains(&n))?);
            }
            Self::RunTime(place) => {
                let seconds = given.number().filter(|n| *n > 0.0 && *n <= MAX_RUN_SECONDS)?;
                *place(target) = Some(Duration::from_secs_f64(seconds));
            }
            Self::Text { place, rule } => {
                given.text().filter(|t| (rule.holds)(t))?.clone_into(place(target));
            }
            Self::OptionalText { place, rule } => {
                *place(target) = Some(given.text().filter(|t| (rule.holds)(t))?.to_owned());
            }
            Self::Texts(place) => *place(target) = given.list()?,
            Self::Path(place) => {
                let path = Path::new(given.text().filter(|t| !t.is_empty() && !t.contains('\0'))?);
                *place(target) = Some(base.map_or_else(|| path.to_owned(), |base| base.join(path)));
            }
            Self::Threads(place) => *place(target) = given.threads()?,
            Self::Scheme(place) => {
                *place(target) = Scheme::named(given.text()?)?;
            }
            Self::Strategy(place) => {
                let name = given.text()?;
                *place(target) = Strategy::ALL.into_iter().find(|strategy| strategy.name() == name)?;
            }
            Self::Secret(place) => {
                *place(target) = Some(Secret::new(given.text().filter(|t| !t.contains(char::is_control))?));
            }
            Self::Url(_)
            | Self::Node(_)
            | Self::Proxy(_)
            | Self::Addresses(_)
            | Self::Payouts(_)
            | Self::Zmq(_) => return None,
        }
        Some(())
    }

    /// The stored value, `None` when it is unset.
    pub(super) fn stored(&self, target: &mut T) -> Option<Given> {
        Some(match self {
            Self::Bool(place) => Given::Bool(*place(target)),
            Self::OptionalBool(place) => Given::Bool((*place(target))?),
            Self::Percent(place) => Given::Integer((*place(target)).into()),
            Self::Count(place) => Given::Integer((*place(target))? as i64),
            Self::Whole { place, .. } => Given::Integer((*place(target)).into()),
            Self::OptionalWhole { place, .. } => Given::Integer((*place(target))?.into()),
            Self::Part(place) | Self::Number { place, .. } => Given::Number(*place(target)),
            Self::OptionalNumber { place, .. } => Given::Number((*place(target))?),
            Self::Suggestion(place) => match *place(target) {
                Suggestion::Auto => Given::Text("auto".into()),
                Suggestion::Off => Given::Text("off".into()),
                Suggestion::Difficulty(difficulty) => Given::Number(difficulty),
            },
            Self::Seconds { place, .. } => Given::Integer(place(target).as_secs() as i64),
            Self::Minutes { place, .. } => Given::Integer((place(target).as_secs() / 60) as i64),
            Self::RunTime(place) => Given::Number((*place(target))?.as_secs_f64()),
            Self::Text { place, .. } => Given::Text(place(target).clone()),
            Self::OptionalText { place, .. } => Given::Text(place(target).clone()?),
            Self::Texts(place) => Given::List(Some(place(target).clone()).filter(|list| !list.is_empty())?),
            Self::Addresses(place) => printed(place(target))?,
            Self::Payouts(place) => printed(place(target))?,
            Self::Zmq(place) => printed(place(target))?,
            Self::Strategy(place) => Given::Text(place(target).name().into()),
            Self::Scheme(place) => Given::Text(place(target).name().into()),
            Self::Path(place) => Given::Text(place(target).as_ref()?.display().to_string()),
            Self::Threads(place) => match *place(target) {
                Threads::Auto => Given::Text("auto".into()),
                Threads::Off => Given::Text("off".into()),
                Threads::Count(count) => Given::Integer(count.into()),
            },
            Self::Url(place) => Given::Text(place(target).as_ref()?.url.to_string()),
            Self::Node(place) => Given::Text(place(target).as_ref()?.to_string()),
            Self::Proxy(place) => Given::Text(place(target).as_ref()?.to_string()),
            Self::Pin(place) => Given::Text((*place(target))?.to_string()),
            Self::Secret(place) => Given::Text(place(target).as_ref().map(|_| "***")?.into()),
        })
    }

    /// Type, unit and range, as a message or the default file names them.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Bool(_) | Self::OptionalBool(_) => "true or false".into(),
            Self::Percent(_) => "a whole number from 1 to 100".into(),
            Self::Count(_) => "a whole number above 0".into(),
            Self::Whole { from, to, .. } | Self::OptionalWhole { from, to, .. } => {
                format!("a whole number from {from} to {to}")
            }
            Self::Part(_) => "a number above 0, at most 1".into(),
            Self::Number { from, to, .. } | Self::OptionalNumber { from, to, .. } => {
                format!("a number from {from} to {to}")
            }
            Self::Suggestion(_) => {
                format!(r#""auto", "off" or a number above 0, at most {MAX_DIFFICULTY:e}"#)
            }
            Self::Seconds { from, to, .. } => format!("a whole number of seconds from {from} to {to}"),
            Self::Minutes { from, to, .. } => format!("a whole number of minutes from {from} to {to}"),
            Self::RunTime(_) => format!("a number of seconds above 0, at most {MAX_RUN_SECONDS}"),
            Self::Text { rule, .. } | Self::OptionalText { rule, .. } => rule.expected.into(),
            Self::Texts(_) => "a list of one or more texts".into(),
            Self::Path(_) => "a path".into(),
            Self::Addresses(_) => ADDRESSES.into(),
            Self::Payouts(_) => solo::EXPECTED.into(),
            Self::Scheme(_) => {
                let [others @ .., last] = Scheme::ALL.map(|scheme| quoted(scheme.name()));
                format!("{} or {last}", others.join(", "))
            }
            Self::Strategy(_) => {
                let [others @ .., last] = Strategy::ALL.map(|strategy| quoted(strategy.name()));
                format!("{} or {last}", others.join(", "))
            }
            Self::Threads(_) => format!(r#""auto", "off" or a whole number from 0 to {MAX_THREADS}"#),
            Self::Url(_) => pool_url::EXPECTED.into(),
            Self::Node(_) => node_url::EXPECTED.into(),
            Self::Zmq(_) => zmq_url::EXPECTED.into(),
            Self::Proxy(_) => proxy::EXPECTED.into(),
            Self::Pin(_) => TlsPin::EXPECTED.into(),
            Self::Secret(_) => "a text without control characters".into(),
        }
    }

    /// Whether the value is a list of texts.
    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::Texts(_) | Self::Addresses(_) | Self::Payouts(_) | Self::Zmq(_))
    }

    /// Whether a message must not repeat the value.
    pub(super) fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_) | Self::Proxy(_))
    }

    /// Whether a listing leaves out a part of the stored value.
    pub(super) fn is_hidden(&self, target: &mut T) -> bool {
        match self {
            Self::Secret(_) => true,
            Self::Proxy(place) => place(target).as_ref().is_some_and(|proxy| proxy.login().is_some()),
            _ => false,
        }
    }
}

impl Given {
    fn boolean(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Word(word) => word.parse().ok(),
            _ => None,
        }
    }

    fn integer(&self) -> Option<u64> {
        match self {
            Self::Integer(value) => u64::try_from(*value).ok(),
            // What TOML can hold, so that a value printed by one layer can be read by another.
            Self::Word(word) => word.parse::<i64>().ok().and_then(|value| u64::try_from(value).ok()),
            _ => None,
        }
    }

    fn number(&self) -> Option<f64> {
        let number = match self {
            Self::Number(value) => *value,
            Self::Integer(value) => *value as f64,
            Self::Word(word) => word.parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    fn whole(&self, from: u32, to: u32) -> Option<u32> {
        u32::try_from(self.integer()?).ok().filter(|n| (from..=to).contains(n))
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Word(text) => Some(text),
            _ => None,
        }
    }

    fn list(&self) -> Option<Vec<String>> {
        let list: Vec<String> = match self {
            Self::List(list) => list.clone(),
            Self::Word(word) => word.split(',').map(|item| item.trim().to_owned()).collect(),
            _ => return None,
        };
        let is_sound = |item: &String| !item.is_empty() && !item.contains(char::is_control);
        (!list.is_empty() && list.iter().all(is_sound)).then_some(list)
    }

    fn threads(&self) -> Option<Threads> {
        match self.text() {
            Some("auto") => Some(Threads::Auto),
            Some("off") => Some(Threads::Off),
            _ => match u16::try_from(self.integer()?).ok()? {
                0 => Some(Threads::Off),
                count if count <= MAX_THREADS => Some(Threads::Count(count)),
                _ => None,
            },
        }
    }

    fn suggestion(&self) -> Option<Suggestion> {
        match self.text() {
            Some("auto") => Some(Suggestion::Auto),
            Some("off") => Some(Suggestion::Off),
            _ => {
                let difficulty = self.number().filter(|number| *number > 0.0 && *number <= MAX_DIFFICULTY)?;
                Some(Suggestion::Difficulty(difficulty))
            }
        }
    }

    /// The value as TOML writes it.
    pub(super) fn to_toml(&self) -> String {
        match self {
            Self::Text(text) | Self::Word(text) => quoted(text),
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => format!("{value:?}"), // with ".0", so that it stays a float
            Self::Bool(value) => value.to_string(),
            Self::List(list) => {
                format!("[{}]", list.iter().map(|i| quoted(i)).collect::<Vec<_>>().join(", "))
            }
            Self::Other(name) => (*name).to_owned(),
        }
    }

    /// The value as JSON.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) | Self::Word(text) => text.as_str().into(),
            Self::Integer(value) => (*value).into(),
            Self::Number(value) => (*value).into(),
            Self::Bool(value) => (*value).into(),
            Self::List(list) => list.as_slice().into(),
            Self::Other(name) => (*name).into(),
        }
    }
}

/// An address of any network: which one, only the pool knows.
fn address(text: String) -> Result<Address, Refusal> {
    let address = text.parse::<Address<NetworkUnchecked>>();
    address.map(Address::assume_checked).map_err(|_| Refusal::Address(text))
}

fn endpoints(list: &[String]) -> Result<Vec<ZmqUrl>, Refusal> {
    if let Some(item) = list.get(MAX_ENDPOINTS) {
        return Err(Refusal::text(item, ZmqUrlError::TooMany));
    }
    let endpoint = |item: &String| item.parse().map_err(|error: ZmqUrlError| Refusal::text(item, error));
    list.iter().map(endpoint).collect()
}

/// A list as it is written, `None` if it is empty.
fn printed<I: ToString>(items: &[I]) -> Option<Given> {
    (!items.is_empty()).then(|| Given::List(items.iter().map(I::to_string).collect()))
}

/// `text` as a basic string of TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => _ = write!(quoted, "\\u{:04X}", c as u32),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
