//! What a model is told: numbers about candidates, nothing that a pool has written.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::whole;

/// Largest input. Unit: bytes of JSON.
pub const MAX_BYTES: usize = 16 * 1024;
/// Most candidates in one input.
pub const MAX_CANDIDATES: usize = 16;
/// Version of the form below, told as `v`.
pub const VERSION: u32 = 1;

/// Longest time in milliseconds that is told; 46 days.
const MOST_MS: u64 = 4_000_000_000;
const MOST_THS: f64 = 1e9;
const MOST_DEVICE_MS: f64 = 60_000.0;
/// Digits of a state id.
const STATE_ID_DIGITS: usize = 12;

/// One question. The JSON Schema of the same is `schema/model-input.schema.json` beside this file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInput {
    /// [`VERSION`].
    #[serde(deserialize_with = "whole::number")]
    pub v: u32,
    /// Names the moment that an answer belongs to: see [`ModelInput::sign`].
    pub state_id: String,
    /// Why it is asked.
    pub event: Occasion,
    /// An answer is of use for so long.
    #[serde(deserialize_with = "whole::number")]
    pub deadline_ms: u64,
    /// When it is asked.
    pub clock: Clock,
    /// What is known of the chain.
    pub chain: Chain,
    /// What hashes.
    pub device: Device,
    /// What is hashed.
    pub running: Running,
    /// What mathematics does by itself.
    pub baseline: Baseline,
    /// What may still be amended.
    pub budget: Budget,
    /// What may be hashed for: 1 to [`MAX_CANDIDATES`], the highest index first, named `c0`, `c1`, …
    pub candidates: Vec<CandidateFacts>,
}

/// Why a model is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Occasion {
    /// Something happened that may be weighed otherwise.
    Soft,
    /// A minute has passed.
    Periodic,
    /// Whether it answers at all.
    Health,
}

/// When the question is asked. Not part of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Since this program started.
    #[serde(deserialize_with = "whole::number")]
    pub uptime_ms: u64,
    /// Minute of the day, UTC, 0 to 1439.
    #[serde(deserialize_with = "whole::number")]
    pub utc_minute: u16,
}

/// What is known of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Chain {
    /// Since the newest block was first heard of.
    #[serde(deserialize_with = "whole::number")]
    pub tip_age_ms: u64,
    /// How many sources name it.
    #[serde(deserialize_with = "whole::number")]
    pub tip_sources: u32,
    /// How many there are.
    #[serde(deserialize_with = "whole::number")]
    pub sources: u32,
    /// Branches of equal height that are alive.
    #[serde(deserialize_with = "whole::number")]
    pub fork_sides: u32,
    /// Mean time between blocks.
    #[serde(deserialize_with = "whole::number")]
    pub block_mean_s: u32,
}

/// What hashes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// All boards together, in TH/s.
    pub hash_ths: f64,
    /// How many there are.
    #[serde(deserialize_with = "whole::number")]
    pub boards: u32,
    /// What a flush costs.
    pub flush_ms: f64,
    /// What a move to another upstream costs.
    pub cross_ms: f64,
    /// Between two natural changes of work.
    pub boundary_ms: f64,
    /// Nonces that did not verify, per nonce.
    pub hw_error_rate: f64,
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its name in this question.
    pub candidate: String,
    /// For how long it has been.
    #[serde(deserialize_with = "whole::number")]
    pub since_ms: u64,
    /// Its value rate: the share of an ideal second's revenue.
    pub value: f64,
}

/// What mathematics does by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// `PROCEED` when it stays, `SWITCH` when it moves.
    pub decision: String,
    /// Where it is then.
    pub target: String,
    /// How far its choice is ahead of the second best, in index.
    pub margin: f64,
}

/// What may still be amended.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Amendments within the next hour.
    #[serde(deserialize_with = "whole::number")]
    pub amends_left_hour: u32,
    /// Share of this day's ideal revenue that amendments may still cost.
    pub regret_left: f64,
}

/// One candidate in figures.
#[allow(clippy::struct_excessive_bools)] // they are the form on the wire
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateFacts {
    /// `c0` to `c15`, for this question alone.
    pub id: String,
    /// `pps`, `pplns`, `solo_pool` or `solo_node`.
    pub scheme: String,
    /// Part of a block's worth that is paid out, after fees.
    pub pay: f64,
    /// Mean of what is believed of its acceptance rate.
    pub acc_mean: f64,
    /// Its standard deviation.
    pub acc_sd: f64,
    /// Share of the time that it is there.
    pub avail: f64,
    /// Chance that its job's parent is good.
    pub v: f64,
    /// What its template brings, a usual one being 1.
    pub r: f64,
    /// Product of these.
    pub value: f64,
    /// The same with the benefit of the doubt.
    pub index: f64,
    /// How late it names new blocks, median.
    #[serde(deserialize_with = "whole::number")]
    pub lag_p50_ms: u64,
    /// The same, nine of ten.
    #[serde(deserialize_with = "whole::number")]
    pub lag_p90_ms: u64,
    /// How long answers to shares take, median.
    #[serde(deserialize_with = "whole::number")]
    pub reply_p50_ms: u64,
    /// The same, nine of ten.
    #[serde(deserialize_with = "whole::number")]
    pub reply_p90_ms: u64,
    /// Age of its newest job.
    #[serde(deserialize_with = "whole::number")]
    pub job_age_ms: u64,
    /// Blocks it is behind the tip.
    #[serde(deserialize_with = "whole::number")]
    pub height_behind: u32,
    /// Share of the upstreams with a job that build on the same parent, itself among them.
    pub agree: f64,
    /// Whether its newest job voids older ones.
    pub clean: bool,
    /// Whether its newest job has no transactions.
    pub empty: bool,
    /// Fees of its newest job less the mean fees of blocks, as a part of a block's mean worth; 0 where they are not known.
    pub fee_rel: f64,
    /// Shares judged within ten minutes.
    #[serde(deserialize_with = "whole::number")]
    pub shares_10m: u32,
    /// Those rejected.
    #[serde(deserialize_with = "whole::number")]
    pub rejects_10m: u32,
    /// Whether its rejects have jumped.
    pub alarm: bool,
    /// Until it is tried again after such a jump.
    #[serde(deserialize_with = "whole::number")]
    pub probe_in_ms: u64,
    /// For how long it has been usable.
    #[serde(deserialize_with = "whole::number")]
    pub usable_ms: u64,
    /// Whether the envelope lets it be chosen now.
    pub allowed: bool,
}

/// A field that is out of its bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {found} is not {expected}")]
pub struct InputError {
    /// Where it stands.
    pub field: String,
    /// What stands there.
    pub found: String,
    /// What may.
    pub expected: String,
}

impl ModelInput {
    /// The name of a candidate in questions.
    pub fn name(place: usize) -> String {
        format!("c{place}")
    }

    /// The place of a candidate by its name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.candidates.iter().position(|candidate| candidate.id == name)
    }

    /// The place of the running candidate.
    pub fn running_place(&self) -> Option<usize> {
        self.place(&self.running.candidate)
    }

    /// Its JSON as a value.
    ///
    /// # Panics
    /// Never: all keys are text.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("structs of numbers and text have a JSON form")
    }

    /// Its JSON on one line.
    ///
    /// # Panics
    /// Never: all keys are text.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).expect("structs of numbers and text have a JSON form")
    }

    /// Sets the state id: the first 12 hex digits of SHA-256 over its JSON with sorted keys and without spaces, without
    /// the id itself and without the clock. Equal states have equal ids whenever they occur.
    #[must_use]
    pub fn sign(mut self) -> Self {
        self.state_id = self.computed_id();
        self
    }

    fn computed_id(&self) -> String {
        let mut value = self.to_value();
        if let Value::Object(map) = &mut value {
            map.remove("clock");
            map.remove("state_id");
        }
        let mut id = hex::encode(Sha256::digest(canonical(&value)));
        id.truncate(STATE_ID_DIGITS);
        id
    }

    /// Only its two best candidates and the running one: what is asked when the whole was too much.
    #[must_use]
    pub fn cut(&self) -> Self {
        let mut cut = self.clone();
        let running = &self.running.candidate;
        let mut place = 0;
        cut.candidates.retain(|candidate| {
            place += 1;
            place <= 2 || candidate.id == *running || candidate.id == self.baseline.target
        });
        cut
    }

    /// Errors: the first field that is out of its bounds, or the size.
    pub fn check(&self) -> Result<(), InputError> {
        let wrong = |field: &str, found: &dyn std::fmt::Display, expected: &str| {
            Err(InputError {
                field: field.to_owned(),
                found: found.to_string(),
                expected: expected.to_owned(),
            })
        };
        if self.v != VERSION {
            return wrong("v", &self.v, "1");
        }
        let is_id =
            self.state_id.len() == STATE_ID_DIGITS && self.state_id.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_id {
            return wrong("state_id", &format!("{:?}", self.state_id), "12 hex digits");
        }
        if self.clock.utc_minute > 1439 {
            return wrong("clock.utc_minute", &self.clock.utc_minute, "0 to 1439");
        }
        if self.candidates.is_empty() || self.candidates.len() > MAX_CANDIDATES {
            return wrong("candidates", &self.candidates.len(), "1 to 16 entries");
        }
        self.check_numbers()?;
        if self.running_place().is_none() {
            return wrong("running.candidate", &self.running.candidate, "the id of a candidate");
        }
        if self.place(&self.baseline.target).is_none() {
            return wrong("baseline.target", &self.baseline.target, "the id of a candidate");
        }
        if !["PROCEED", "SWITCH"].contains(&self.baseline.decision.as_str()) {
            return wrong("baseline.decision", &self.baseline.decision, "PROCEED or SWITCH");
        }
        let bytes = self.to_line().len();
        if bytes > MAX_BYTES {
            return wrong("the whole", &format_args!("{bytes} bytes"), "at most 16384 bytes of JSON");
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), InputError> {
        let Device { hash_ths, flush_ms, cross_ms, boundary_ms, hw_error_rate, .. } = self.device;
        let ms = |ms: u64| ms as f64;
        let most_ms = ms(MOST_MS);
        let whole = [
            ("deadline_ms", ms(self.deadline_ms), 0.0, most_ms),
            ("clock.uptime_ms", ms(self.clock.uptime_ms), 0.0, most_ms),
            ("chain.tip_age_ms", ms(self.chain.tip_age_ms), 0.0, most_ms),
            ("device.hash_ths", hash_ths, 0.0, MOST_THS),
            ("device.flush_ms", flush_ms, 0.0, MOST_DEVICE_MS),
            ("device.cross_ms", cross_ms, 0.0, MOST_DEVICE_MS),
            ("device.boundary_ms", boundary_ms, 0.0, MOST_DEVICE_MS),
            ("device.hw_error_rate", hw_error_rate, 0.0, 1.0),
            ("running.since_ms", ms(self.running.since_ms), 0.0, most_ms),
            ("running.value", self.running.value, 0.0, 2.0),
            ("baseline.margin", self.baseline.margin, -2.0, 2.0),
            ("budget.regret_left", self.budget.regret_left, 0.0, 1.0),
        ];
        for (field, found, least, most) in whole {
            bounds(field, found, least, most)?;
        }
        for (place, candidate) in self.candidates.iter().enumerate() {
            candidate.check(place)?;
        }
        Ok(())
    }
}

impl CandidateFacts {
    fn check(&self, place: usize) -> Result<(), InputError> {
        let field = |name: &str| format!("candidates[{place}].{name}");
        let most_ms = MOST_MS as f64;
        let fields = [
            ("pay", self.pay, 0.0, 1.0),
            ("acc_mean", self.acc_mean, 0.0, 1.0),
            ("acc_sd", self.acc_sd, 0.0, 0.5),
            ("avail", self.avail, 0.0, 1.0),
            ("v", self.v, 0.0, 1.0),
            ("r", self.r, 0.9, 2.0),
            ("value", self.value, 0.0, 2.0),
            ("index", self.index, 0.0, 2.0),
            ("agree", self.agree, 0.0, 1.0),
            ("fee_rel", self.fee_rel, -1.0, 10.0),
            ("lag_p50_ms", self.lag_p50_ms as f64, 0.0, most_ms),
            ("lag_p90_ms", self.lag_p90_ms as f64, 0.0, most_ms),
            ("reply_p50_ms", self.reply_p50_ms as f64, 0.0, most_ms),
            ("reply_p90_ms", self.reply_p90_ms as f64, 0.0, most_ms),
            ("job_age_ms", self.job_age_ms as f64, 0.0, most_ms),
            ("probe_in_ms", self.probe_in_ms as f64, 0.0, most_ms),
            ("usable_ms", self.usable_ms as f64, 0.0, most_ms),
        ];
        for (name, found, least, most) in fields {
            bounds(&field(name), found, least, most)?;
        }
        if !["pps", "pplns", "solo_pool", "solo_node"].contains(&self.scheme.as_str()) {
            let expected = "pps, pplns, solo_pool or solo_node".to_owned();
            return Err(InputError { field: field("scheme"), found: format!("{:?}", self.scheme), expected });
        }
        let (id, expected) = (&self.id, ModelInput::name(place));
        if *id != expected {
            return Err(InputError { field: field("id"), found: format!("{id:?}"), expected });
        }
        Ok(())
    }
}

fn bounds(field: &str, found: f64, least: f64, most: f64) -> Result<(), InputError> {
    let fits = (least..=most).contains(&found);
    let error = || InputError {
        field: field.to_owned(),
        found: found.to_string(),
        expected: format!("a number from {least} to {most}"),
    };
    fits.then_some(()).ok_or_else(error)
}

/// JSON with sorted keys and no spaces.
pub(super) fn canonical(value: &Value) -> String {
    fn write(value: &Value, out: &mut String) {
        match value {
            Value::Object(map) => {
                let mut keys: Vec<_> = map.iter().collect();
                keys.sort_by_key(|(key, _)| *key);
                out.push('{');
                for (place, (key, value)) in keys.into_iter().enumerate() {
                    out.push_str(if place == 0 { "" } else { "," });
                    out.push_str(&Value::from(key.as_str()).to_string());
                    out.push(':');
                    write(value, out);
                }
                out.push('}');
            }
            Value::Array(list) => {
                out.push('[');
                for (place, value) in list.iter().enumerate() {
                    out.push_str(if place == 0 { "" } else { "," });
                    write(value, out);
                }
                out.push(']');
            }
            plain => out.push_str(&plain.to_string()),
        }
    }
    let mut out = String::new();
    write(value, &mut out);
    out
}

#[cfg(test)]
mod tests;
