//! Our lines to a pool: short, one member order, ids that are whole numbers, a bare line feed at the end.

use serde_json::{Value, json};

use crate::work::{Difficulty, JobId, Share, VersionConvention, VersionMask};

/// Longest line we send. ckpool closes at 1024 bytes.
pub const MAX_SENT: usize = 1000;

/// A request of ours. (Not `Debug`: one of them holds the password.)
pub enum Request {
    /// `mining.configure` for version rolling.
    Configure(VersionMask),
    /// `mining.subscribe`; without an agent the parameters stay empty, the form for old servers.
    Subscribe {
        /// Our name and version.
        user_agent: Option<String>,
        /// What an earlier subscription of the same pool returned.
        session_id: Option<String>,
    },
    /// `mining.authorize` with user and password.
    Authorize(String, String),
    /// `mining.extranonce.subscribe`.
    ExtranonceSubscribe,
    /// `mining.suggest_difficulty`.
    SuggestDifficulty(Difficulty),
    /// `mining.submit` for the user that was authorised.
    Submit(String, Box<Share>, VersionConvention),
}

impl Request {
    /// The line for this request, line feed included.
    pub fn line(&self, id: u64) -> String {
        let (method, params) = match self {
            Self::Configure(mask) => (
                "mining.configure",
                // Always with a count, a number, and 1: servers crash without it, refuse text, or enforce more.
                json!([["version-rolling"], {
                    "version-rolling.mask": mask.to_string(),
                    "version-rolling.min-bit-count": 1,
                }]),
            ),
            Self::Subscribe { user_agent, session_id } => {
                ("mining.subscribe", user_agent.iter().chain(session_id).map(String::as_str).collect())
            }
            Self::Authorize(user, password) => ("mining.authorize", json!([user, password])),
            Self::ExtranonceSubscribe => ("mining.extranonce.subscribe", json!([])),
            Self::SuggestDifficulty(difficulty) => {
                ("mining.suggest_difficulty", json!([whole_if_whole(*difficulty)]))
            }
            Self::Submit(user, share, convention) => {
                ("mining.submit", submit_params(user, share, *convention))
            }
        };
        let line = json!({ "id": id, "method": method, "params": params });
        format!("{line}\n")
    }
}

/// Our answer to a request of the pool; `id` is copied from it.
pub fn answer(id: &Value, result: Result<&str, (i64, &str)>) -> String {
    let (result, error) = match result {
        Ok(result) => (json!(result), Value::Null),
        Err((code, text)) => (Value::Null, json!([code, text, null])),
    };
    let line = json!({ "id": id, "result": result, "error": error });
    format!("{line}\n")
}

/// `[user, job id, extranonce2, ntime, nonce]` and the version bits where rolling was agreed: always then, even when
/// nothing was rolled, and never otherwise.
fn submit_params(user: &str, share: &Share, convention: VersionConvention) -> Value {
    let header = share.header();
    let job_id = match &share.job().id {
        JobId::Text(id) => json!(id),
        JobId::Number(digits) => serde_json::from_str(digits).expect("the digits came out of a JSON number"),
    };
    let mut params = vec![
        json!(user),
        job_id,
        json!(share.extranonce2().to_string()),
        json!(format!("{:08x}", header.ntime)),
        json!(format!("{:08x}", header.nonce)),
    ];
    params.extend(share.version_bits(convention).map(|bits| json!(format!("{bits:08x}"))));
    Value::Array(params)
}

/// Some servers parse whole numbers only.
fn whole_if_whole(difficulty: Difficulty) -> Value {
    let value = difficulty.value();
    if value.fract() == 0.0 && value < u64::MAX as f64 { json!(value as u64) } else { json!(value) }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::job_feed::JobFeed;
    use crate::protocol::stratum_message::{Call, Message};
    use crate::work::version::VersionRule;
    use crate::work::{Extranonce2, Job, Work, vectors};

    #[test]
    fn every_recorded_notify_gives_its_job_and_every_recorded_share_its_submit() {
        for vector in vectors::stratum() {
            let line = json!({"id": null, "method": "mining.notify", "params": vector.notify}).to_string();
            let Message::Call { call: Call::Notify(notify), .. } = Message::parse(&line).unwrap() else {
                panic!("{line}")
            };
            let expected = Job::from(&vector);
            let mut feed = JobFeed::default();
            feed.set_difficulty(expected.difficulty);
            feed.set_mask(expected.version_mask);
            feed.subscribed(expected.coinbase.extranonce1.clone(), expected.coinbase.extranonce2_size);
            let job = feed.notify(*notify).unwrap();
            assert_eq!(Job { epoch: expected.epoch, ..Job::clone(&job) }, expected, "{}", vector.name);

            let extranonce2 = Extranonce2::from_bytes(&hex::decode(&vector.extranonce2).unwrap()).unwrap();
            let work = Work::new(Arc::clone(&job), extranonce2, vectors::number(&vector.ntime));
            let version = vectors::number(&vector.header_version);
            if let Ok(share) = work.verify(version, vectors::number(&vector.nonce)) {
                let user = vector.submit[0].as_str().unwrap();
                let rule = vector.rule();
                let convention = match rule {
                    VersionRule::Xor => VersionConvention::Delta,
                    VersionRule::None | VersionRule::Or | VersionRule::Replace => VersionConvention::Field,
                };
                let submitted = submit_params(user, &share, convention);
                let submitted = submitted.as_array().unwrap();
                assert_eq!(submitted[..5], vector.submit[..5], "{}", vector.name);
                assert_eq!(submitted.len(), vector.submit.len(), "{}", vector.name);
                // Servers that OR take the delta as well as the field; either way the header comes out.
                if let Some(bits) = share.version_bits(convention) {
                    assert_eq!(submitted[5], json!(format!("{bits:08x}")));
                    let (base, mask) = (job.header.version, job.version_mask);
                    assert_eq!(rule.header_version(base, mask, bits), version, "{}", vector.name);
                }
            }
        }
    }

    #[test]
    fn a_job_id_that_came_as_a_number_goes_back_as_one() {
        let mut job = Job::from(&vectors::stratum()[0]);
        job.id = JobId::Number("18446744073709551615".into());
        job.difficulty = Difficulty::new(1e-12).unwrap();
        let extranonce2 = Extranonce2::from_counter(0, job.coinbase.extranonce2_size);
        let work = Work::new(Arc::new(job), extranonce2, 0);
        let share = (0..).find_map(|nonce| work.verify(2, nonce).ok()).unwrap();
        assert_eq!(
            submit_params("u", &share, VersionConvention::Field)[1],
            json!(18_446_744_073_709_551_615_u64)
        );
    }

    #[test]
    fn whole_difficulties_are_suggested_as_whole_numbers() {
        let line = |value| Request::SuggestDifficulty(Difficulty::new(value).unwrap()).line(1);
        assert!(line(512.0).contains("[512]"));
        assert!(line(0.5).contains("[0.5]"));
    }
}
