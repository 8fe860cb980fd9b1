//! Jobs that pay others than they should.

use super::*;
use crate::protocol::payout_watch::{PayoutError, address_of};
use crate::work::vectors;

/// A session that expects 98 % to this address; it has subscribed with the extranonces of the synthetic vectors.
fn expecting(address: &str) -> Pair {
    let addresses = vec![address_of(address).unwrap()];
    let mut pair =
        Pair::new(SessionConfig { payout: PayoutTerms { addresses, min_share: 0.98 }, ..config() });
    pair.connect();
    pair.says(json!({"id": 2, "result": [[], "a1b2c3d4", 4], "error": null}));
    pair.sent();
    pair
}

/// The address that the synthetic vectors pay.
const POOL: &str = "bc1q3udk7r26qs32ltf9nmqrjaaa7tr55qmkuh5n07";
const OTHER: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";

fn notify() -> Value {
    let vector =
        vectors::stratum().into_iter().find(|vector| vector.name == "synthetic-above-target").unwrap();
    json!({"id": null, "method": "mining.notify", "params": vector.notify})
}

#[test]
fn a_job_that_pays_those_named_is_mined_and_said_once() {
    let mut pair = expecting(POOL);
    pair.says(json!({"id": 3, "result": true, "error": null}));
    pair.says(notify());
    pair.says(notify());
    let events = pair.events();
    let payouts: Vec<_> = events.iter().filter(|event| matches!(event, Event::Payout(_))).collect();
    assert_eq!((payouts.len(), events.iter().filter(|event| matches!(event, Event::Job(_))).count()), (1, 2));
}

#[test]
fn a_job_that_pays_others_never_becomes_an_event_and_ends_the_session_as_a_refusal() {
    let mut pair = expecting(OTHER);
    pair.says(json!({"id": 3, "result": true, "error": null}));
    let error = pair.says_text(&notify().to_string()).unwrap_err();
    assert!(matches!(error, SessionError::Payout(PayoutError::Elsewhere { .. })), "{error}");
    assert!(
        error.is_refusal() && error.is_quarantine() && error.to_string().starts_with("quarantined: "),
        "{error}"
    );
    assert_eq!(pair.jobs(), []);
}

#[test]
fn a_job_that_came_before_the_authorisation_is_judged_too() {
    let mut pair = expecting(OTHER);
    pair.says(notify());
    let authorized = json!({"id": 3, "result": true, "error": null}).to_string();
    assert!(matches!(pair.says_text(&authorized), Err(SessionError::Payout(_))));
    assert_eq!(pair.jobs(), []);
}
