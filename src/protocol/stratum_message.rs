//! Lines from a pool to typed messages. Everything in them is hostile until checked here.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::redirect::RedirectRequest;
use super::reject::read_error;
use super::text::printable;
use crate::work::{Extranonce1, Extranonce2Size, JobHeader, JobId, Reject, VersionMask};

/// Deepest nesting of a line. Real messages need four.
const MAX_DEPTH: usize = 16;
/// Most values in a line: 32 branches need some fifty; this leaves room to name an excess exactly.
const MAX_VALUES: usize = 16_384;
/// Most merkle branches: a block would need 2^32 transactions for more.
pub const MAX_BRANCHES: usize = 32;
/// Most bytes of coinb1 and coinb2 together. Consensus allows a transaction 1 MB without witness; half is beyond any pool.
pub const MAX_COINBASE: usize = 512 * 1024;
/// Longest job id, in characters. The longest seen are 39 digits.
pub const MAX_JOB_ID: usize = 128;
/// Characters of a wrong value that an error shows.
const SHOWN: usize = 60;
/// Characters of the JSON parser's words: they may quote a text of the line, and a line may be 1 MiB.
const MAX_WHY: usize = 120;

/// What is wrong with a line. The text names the field, what stood there and what belongs there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// No JSON object.
    #[error("a line that is not a JSON object: {shown:?} ({why})")]
    NotJson {
        /// Its beginning.
        shown: String,
        /// The parser's words.
        why: String,
    },
    /// Nested or filled beyond any message.
    #[error("a line nested deeper than {MAX_DEPTH} or with more than {MAX_VALUES} values")]
    Excessive,
    /// A field that is missing or wrong.
    #[error("{method}: {field} is {found}, expected {expected}")]
    Field {
        /// The method, or the request that was answered.
        method: &'static str,
        /// The field.
        field: &'static str,
        /// What stood there, shortened.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
}

impl MessageError {
    fn field(method: &'static str, field: &'static str, found: &Value, expected: &'static str) -> Self {
        let found = match found {
            Value::Null => "missing".to_owned(),
            value => printable(&value.to_string(), SHOWN),
        };
        Self::Field { method, field, found, expected }
    }
}

/// One line from the pool.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The answer to a request of ours.
    Response(Response),
    /// A notification, or a request when it carries an id to answer.
    Call {
        /// To be copied into the answer; `None` for a notification.
        id: Option<Value>,
        /// What the pool says or asks.
        call: Call,
    },
}

/// An answer. Which request it belongs to only the id tells: answers come in any order.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Our id; `None` when the pool sent none that we could have sent.
    pub id: Option<u64>,
    /// The member `result`.
    pub result: Value,
    error: Value,
    reject_reason: Option<String>,
}

/// What a pool says or asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// A job.
    Notify(Box<Notify>),
    /// The number of `mining.set_difficulty`, not yet checked.
    SetDifficulty(f64),
    /// Another mask.
    SetVersionMask(VersionMask),
    /// Other extranonces from the next job on; a missing part stays.
    SetExtranonce(Option<Extranonce1>, Option<Extranonce2Size>),
    /// Go elsewhere.
    Reconnect(RedirectRequest),
    /// A text for the operator, not yet made printable.
    ShowMessage(String),
    /// What are you?
    GetVersion,
    /// Are you there?
    Ping,
    /// Something else; its name, printable.
    Unknown(String),
}

/// The nine parameters of `mining.notify`.
#[derive(Debug, Clone, PartialEq)]
pub struct Notify {
    /// The pool's name for the job.
    pub id: JobId,
    /// Its header fields.
    pub header: JobHeader,
    /// Coinbase before the extranonces.
    pub coinb1: Vec<u8>,
    /// Coinbase after the extranonces.
    pub coinb2: Vec<u8>,
    /// Merkle branch, header order.
    pub branch: Vec<[u8; 32]>,
    /// Whether older jobs are void.
    pub clean: bool,
}

/// The members of a line that have a meaning; a repeated one makes the line ambiguous and therefore void.
#[derive(Default)]
struct Envelope {
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
    reject_reason: Option<Value>,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Envelope;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(key) = map.next_key::<String>()? {
                    let place = match key.as_str() {
                        "id" => &mut envelope.id,
                        "method" => &mut envelope.method,
                        "params" => &mut envelope.params,
                        "result" => &mut envelope.result,
                        "error" => &mut envelope.error,
                        "reject-reason" => &mut envelope.reject_reason,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if place.replace(map.next_value()?).is_some() {
                        return Err(serde::de::Error::custom(format_args!(
                            "the member {key:?} stands there twice"
                        )));
                    }
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Message {
    /// Reads one line: a non-empty `method` makes it a call, anything else an answer. Errors: not JSON, excessive, or a
    /// field that cannot be right.
    pub fn parse(line: &str) -> Result<Self, MessageError> {
        check_shape(line)?;
        let envelope: Envelope = serde_json::from_str(line).map_err(|error| MessageError::NotJson {
            shown: printable(line, SHOWN),
            why: printable(&error.to_string(), MAX_WHY),
        })?;
        match envelope.method.as_ref().and_then(Value::as_str).filter(|method| !method.is_empty()) {
            Some(method) => {
                let params = envelope.params.unwrap_or(Value::Null);
                let call = Call::parse(method, &params)?;
                Ok(Self::Call { id: envelope.id.filter(|id| !id.is_null()), call })
            }
            None => Ok(Self::Response(Response {
                id: envelope.id.as_ref().and_then(our_id),
                result: envelope.result.unwrap_or(Value::Null),
                error: envelope.error.unwrap_or(Value::Null),
                reject_reason: envelope.reject_reason.and_then(|reason| reason.as_str().map(str::to_owned)),
            })),
        }
    }
}

/// Our ids are whole numbers; some servers send them back as text.
fn our_id(id: &Value) -> Option<u64> {
    id.as_u64().or_else(|| id.as_str()?.parse().ok())
}

/// Bounds nesting and number of values before anything is built from the line.
fn check_shape(line: &str) -> Result<(), MessageError> {
    let (mut depth, mut values, mut in_string, mut escaped) = (0usize, 0usize, false, false);
    for byte in line.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            _ => {}
        }
        if depth > MAX_DEPTH || values > MAX_VALUES {
            return Err(MessageError::Excessive);
        }
    }
    Ok(())
}

impl Response {
    /// For a submit: accepted if and only if the result is exactly true and the error null, absent or false. Everything
    /// else is a refusal.
    pub fn accepted(&self) -> Result<(), Reject> {
        if self.result == Value::Bool(true) && matches!(self.error, Value::Null | Value::Bool(false)) {
            return Ok(());
        }
        Err(self.reject())
    }

    /// For an authorize: p2pool answers null without an error and means yes.
    pub fn authorized(&self) -> Result<(), Reject> {
        if self.result.is_null() && self.error.is_null() { Ok(()) } else { self.accepted() }
    }

    fn reject(&self) -> Reject {
        // Some servers put their words into the result (a user-agent whitelist, a node that is starting).
        let reason = self.reject_reason.as_deref().or(self.result.as_str());
        read_error(&self.error, reason)
    }

    /// The mask that the answer to `mining.configure` grants; none when rolling is refused, missing or unreadable.
    pub fn version_mask(&self) -> VersionMask {
        let granted = self.result.get("version-rolling") == Some(&Value::Bool(true));
        let mask = self.result.get("version-rolling.mask").and_then(mask);
        if granted { mask.map_or(VersionMask::NONE, VersionMask::new) } else { VersionMask::NONE }
    }

    /// The answer to `mining.subscribe`: `[subscriptions, extranonce1, extranonce2 size]`. Errors: `Ok(Err)` when the
    /// pool refused, `Err` when a field cannot be right.
    pub fn subscribed(&self) -> Result<Result<Subscribed, Reject>, MessageError> {
        const METHOD: &str = "answer to mining.subscribe";
        let Some(parts) = self.result.as_array() else { return Ok(Err(self.reject())) };
        let part = |index: usize| parts.get(index).unwrap_or(&Value::Null);
        let extranonce1 = extranonce1(METHOD, part(1))?;
        let extranonce2_size = extranonce2_size(METHOD, part(2))?;
        let session_id = session_id(part(0)).filter(|id| id.len() <= MAX_JOB_ID).map(str::to_owned);
        let subscriptions =
            part(0).as_array().map_or(0, |list| list.iter().filter(|pair| pair.is_array()).count());
        Ok(Ok(Subscribed { session_id, subscriptions, extranonce1, extranonce2_size }))
    }
}

/// What a pool gave us on subscribing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribed {
    /// To be sent when subscribing again, so that the pool may resume.
    pub session_id: Option<String>,
    /// How many pairs of a method and an id there are; 0 where one stands flat.
    pub subscriptions: usize,
    /// The pool's part of the extranonce.
    pub extranonce1: Extranonce1,
    /// How many bytes are ours.
    pub extranonce2_size: Extranonce2Size,
}

/// The id beside "mining.notify", in a list of pairs or in one flat pair (p2pool, NOMP).
fn session_id(subscriptions: &Value) -> Option<&str> {
    let of_pair = |pair: &'_ [Value]| match pair {
        [name, id, ..] if name == "mining.notify" => Some(id.clone()),
        _ => None,
    };
    let list = subscriptions.as_array()?;
    of_pair(list)
        .is_some()
        .then(|| list[1].as_str())
        .or_else(|| {
            let pair = list.iter().filter_map(Value::as_array).find(|pair| of_pair(pair).is_some())?;
            Some(pair[1].as_str())
        })
        .flatten()
}

impl Call {
    fn parse(method: &str, params: &Value) -> Result<Self, MessageError> {
        let param = |index: usize| params.get(index).unwrap_or(&Value::Null);
        Ok(match method {
            "mining.notify" => Self::Notify(Box::new(Notify::parse(params)?)),
            "mining.set_difficulty" => {
                let number = number(param(0));
                Self::SetDifficulty(number.ok_or_else(|| {
                    MessageError::field(
                        "mining.set_difficulty",
                        "the difficulty",
                        param(0),
                        "a number above 0",
                    )
                })?)
            }
            // One server crate announces the second name and means the first.
            "mining.set_version_mask" | "mining.set_version" => {
                let mask = mask(param(0));
                Self::SetVersionMask(VersionMask::new(mask.ok_or_else(|| {
                    MessageError::field("mining.set_version_mask", "the mask", param(0), "1 to 8 hex digits")
                })?))
            }
            "mining.set_extranonce" => {
                const METHOD: &str = "mining.set_extranonce";
                let given = |value: &Value| (!value.is_null()).then(|| value.clone());
                Self::SetExtranonce(
                    given(param(0)).map(|value| extranonce1(METHOD, &value)).transpose()?,
                    given(param(1)).map(|value| extranonce2_size(METHOD, &value)).transpose()?,
                )
            }
            "client.reconnect" => Self::Reconnect(RedirectRequest {
                host: host(param(0))?,
                port: whole(param(1)).and_then(|port| port.try_into().ok()).filter(|port| *port != 0),
                wait: whole(param(2)).and_then(|wait| wait.try_into().ok()),
            }),
            "client.show_message" => Self::ShowMessage(param(0).as_str().unwrap_or_default().to_owned()),
            "client.get_version" => Self::GetVersion,
            "mining.ping" => Self::Ping,
            other => Self::Unknown(printable(other, SHOWN)),
        })
    }
}

impl Notify {
    fn parse(params: &Value) -> Result<Self, MessageError> {
        let param = |index: usize| params.get(index).unwrap_or(&Value::Null);
        let error =
            |field, index, expected| MessageError::field("mining.notify", field, param(index), expected);
        let unpadded = |field, index| {
            let number = param(index).as_str().and_then(unpadded);
            number.ok_or_else(|| error(field, index, "1 to 8 hex digits"))
        };
        let bytes = |field, index| {
            let bytes = param(index).as_str().and_then(|text| hex::decode(text).ok());
            bytes.ok_or_else(|| error(field, index, "an even number of hex digits"))
        };

        let id = job_id(param(0)).ok_or_else(|| error("the job id", 0, "a text of 1 to 128 characters"))?;
        let mut prev_hash = hash(param(1)).ok_or_else(|| error("prevhash", 1, "64 hex digits"))?;
        // Stratum reverses the bytes inside each of the eight words; the words keep their order.
        prev_hash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
        let (coinb1, coinb2) = (bytes("coinb1", 2)?, bytes("coinb2", 3)?);
        if coinb1.len() + coinb2.len() > MAX_COINBASE {
            return Err(error("coinb1 and coinb2 together", 3, "at most 524288 bytes"));
        }
        let branch = param(4).as_array().ok_or_else(|| error("the merkle branch", 4, "a list"))?;
        if branch.len() > MAX_BRANCHES {
            let found = format!("a list of {}", branch.len());
            let expected = "at most 32 entries";
            return Err(MessageError::Field {
                method: "mining.notify",
                field: "the merkle branch",
                found,
                expected,
            });
        }
        let branch = branch.iter().map(|entry| {
            let wrong = || MessageError::field("mining.notify", "a merkle branch", entry, "64 hex digits");
            hash(entry).ok_or_else(wrong)
        });
        let branch = branch.collect::<Result<_, _>>()?;
        let header = JobHeader {
            version: unpadded("the version", 5)?,
            prev_hash,
            nbits: unpadded("nbits", 6)?,
            // All times since 1978 have eight digits, padded or not.
            ntime: param(7)
                .as_str()
                .filter(|text| text.len() == 8)
                .and_then(self::unpadded)
                .ok_or_else(|| error("ntime", 7, "8 hex digits"))?,
        };
        let clean = match param(8) {
            Value::Bool(clean) => *clean,
            Value::Null => false, // a changed prevhash tells as much
            Value::Number(number) => number.as_u64() != Some(0),
            _ => return Err(error("clean_jobs", 8, "true or false")),
        };
        Ok(Self { id, header, coinb1, coinb2, branch, clean })
    }
}

fn job_id(value: &Value) -> Option<JobId> {
    match value {
        Value::String(id) => {
            let length = id.chars().count();
            (1..=MAX_JOB_ID).contains(&length).then(|| JobId::Text(id.as_str().into()))
        }
        Value::Number(id) if !id.is_f64() => Some(JobId::Number(id.to_string().into())),
        _ => None,
    }
}

fn hash(value: &Value) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(value.as_str()?, &mut bytes).ok()?;
    Some(bytes)
}

/// A mask: with or without 0x, padded or not.
fn mask(value: &Value) -> Option<u32> {
    let text = value.as_str()?;
    unpadded(text.strip_prefix("0x").unwrap_or(text))
}

/// 1 to 8 hex digits of any case: not every server pads (DECISIONS.md, 35).
fn unpadded(digits: &str) -> Option<u32> {
    let well_formed =
        (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    well_formed.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

/// A number, or a text that holds one.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A whole number, or a text that holds one.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// The host of a redirect, `None` where it stays the same. It reaches logs and screens, so it has to look like one.
fn host(value: &Value) -> Result<Option<String>, MessageError> {
    /// Longest name of the DNS.
    const LONGEST: usize = 253;
    let Some(host) = value.as_str() else { return Ok(None) };
    let fits =
        host.len() <= LONGEST && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-_".contains(&b));
    let wrong = || MessageError::field("client.reconnect", "the host", value, "a host name or address");
    fits.then(|| Some(host.to_owned())).ok_or_else(wrong)
}

fn extranonce1(method: &'static str, value: &Value) -> Result<Extranonce1, MessageError> {
    let bytes = value.as_str().and_then(|text| hex::decode(text).ok());
    let extranonce1 = bytes.and_then(|bytes| Extranonce1::new(bytes).ok());
    extranonce1.ok_or_else(|| {
        MessageError::field(method, "extranonce1", value, "0 to 32 bytes as hex digits in pairs")
    })
}

fn extranonce2_size(method: &'static str, value: &Value) -> Result<Extranonce2Size, MessageError> {
    let size = whole(value).and_then(|size| Extranonce2Size::new(size).ok());
    size.ok_or_else(|| {
        MessageError::field(method, "the extranonce2 size", value, "a whole number from 0 to 32")
    })
}
