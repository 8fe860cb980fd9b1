//! The message parser: what it lets through is within the limits, and its complaints are short and harmless.

use signalcore::protocol::stratum_message::{
    Call, MAX_BRANCHES, MAX_COINBASE, MAX_JOB_ID, Message, Response,
};
use signalcore::protocol::text::printable;

/// Longest complaint, in characters: what is quoted is cut.
const MAX_COMPLAINT: usize = 1000;

pub(crate) fn run(input: &[u8]) {
    let line = String::from_utf8_lossy(input);
    match Message::parse(&line) {
        Ok(Message::Response(response)) => read(&response),
        Ok(Message::Call { call: Call::Notify(notify), .. }) => {
            let id = notify.id.to_string();
            assert!((1..=MAX_JOB_ID).contains(&id.chars().count()), "{id}");
            assert!(notify.coinb1.len() + notify.coinb2.len() <= MAX_COINBASE);
            assert!(notify.branch.len() <= MAX_BRANCHES);
        }
        Ok(Message::Call { .. }) => {}
        Err(error) => {
            let complaint = printable(&error.to_string(), usize::MAX);
            assert!(complaint.chars().count() <= MAX_COMPLAINT, "{complaint}");
        }
    }
}

/// An answer is read as each of the answers that it could be.
fn read(response: &Response) {
    assert_eq!(response.version_mask().bits() >> 29, 0);
    let verdict = response.accepted();
    assert_eq!(verdict.is_ok(), response.accepted().is_ok());
    _ = response.authorized();
    if let Ok(Ok(subscribed)) = response.subscribed() {
        assert!(subscribed.extranonce1.as_bytes().len() <= 32 && subscribed.extranonce2_size.bytes() <= 16);
    }
    for reject in [response.accepted().err(), response.authorized().err()].into_iter().flatten() {
        assert!(reject.to_string().chars().count() <= MAX_COMPLAINT, "{reject}");
    }
}
