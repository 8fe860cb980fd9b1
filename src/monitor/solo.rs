//! What solo mining has to tell: templates, found blocks, and the figures of its nodes.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::plain::Tone;
use crate::protocol::delivery::{BlockEvent, BlockNews};
use crate::protocol::solo_session::TemplateNews;
use crate::upstream::node::tips::SourceReport;
use crate::upstream::solo::{NodeFigures, SoloFigures};
use crate::work::HashRate;
use crate::work::hashrate::HASHES_PER_DIFFICULTY;

/// Satoshi of a bitcoin.
const BITCOIN: f64 = 1e8;
const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.25 * DAY;

/// Blocks a day that a rate finds on average.
fn blocks_a_day(rate: HashRate, difficulty: f64) -> f64 {
    rate.0 * DAY / (difficulty * HASHES_PER_DIFFICULTY)
}

/// How long a block takes on average, in words.
fn wait_for_a_block(rate: HashRate, difficulty: f64) -> Option<String> {
    long_time(DAY / blocks_a_day(rate, difficulty))
}

/// Seconds in words; `None` for what never ends.
pub(super) fn long_time(seconds: f64) -> Option<String> {
    match seconds {
        s if !s.is_finite() => None,
        s if s < 120.0 => Some(format!("{s:.1} s")),
        s if s < 2.0 * DAY => Some(format!("{:.1} hours", s / 3600.0)),
        s if s < 2.0 * YEAR => Some(format!("{:.0} days", s / DAY)),
        s if s < 1e6 * YEAR => Some(format!("{:.0} years", s / YEAR)),
        s => Some(format!("{:.1e} years", s / YEAR)),
    }
}

pub(super) fn template_text(news: &TemplateNews, rate: HashRate) -> (Tone, String) {
    let TemplateNews { node, chain, clean, height, transactions, fees, value, .. } = news;
    let (fees, value) = (*fees as f64 / BITCOIN, *value as f64 / BITCOIN);
    let mut text = format!(
        "Solo: block {height} of {chain} pays {value:.8} BTC, {fees:.8} of it fees of {transactions} transactions"
    );
    if !clean {
        write!(text, ", template of {node} renewed").expect("to a string");
        return (Tone::Quiet, text);
    }
    write!(text, ", difficulty {}", news.difficulty).expect("to a string");
    if let Some(wait) = wait_for_a_block(rate, news.difficulty.value()) {
        write!(text, ": one every {wait} at {rate}").expect("to a string");
    }
    if let Some((source, ago)) = news.notice {
        write!(text, "; {:.1} ms after the notice by {}", ms(ago), source.word()).expect("to a string");
    }
    (Tone::Usual, text)
}

pub(super) fn block_text(news: &BlockNews) -> (Tone, String) {
    let BlockNews { hash, height, event } = news;
    let (tone, what) = match event {
        BlockEvent::Found => (Tone::Good, format!("BLOCK FOUND: {hash}")),
        BlockEvent::Again => (Tone::Usual, format!("{hash} of a run before is sent again")),
        BlockEvent::Forgotten { node } => {
            (Tone::Usual, format!("{hash}: node {node} does not have it and gets it again"))
        }
        BlockEvent::NotKept(reason) => {
            (Tone::Bad, format!("{hash} is NOT in the journal: {reason}; it is sent all the same"))
        }
        BlockEvent::Faulty(faults) => {
            (Tone::Bad, format!("{hash} has faults: {}; it is sent all the same", faults.join(", ")))
        }
        BlockEvent::Answer { node, text } => (Tone::Quiet, format!("node {node} says: {text}")),
        BlockEvent::Accepted { node, after } => {
            (Tone::Good, format!("{hash} accepted by node {node} after {:.1} ms", ms(*after)))
        }
        BlockEvent::InChain => (Tone::Good, format!("{hash} is in the chain")),
        BlockEvent::Beside => (Tone::Bad, format!("{hash} is beside the chain: another block was first")),
        BlockEvent::Refused(reason) => (Tone::Bad, format!("{hash} is refused by every node: {reason}")),
    };
    (tone, format!("Block {height}: {what}"))
}

pub(super) fn template_members(news: &TemplateNews, rate: HashRate) -> Value {
    json!({
        "node": news.node,
        "chain": news.chain,
        "clean": news.clean,
        "height": news.height,
        "transactions": news.transactions,
        "fees": news.fees,
        "value": news.value,
        "network_difficulty": news.difficulty.value(),
        "blocks_a_day": Some(blocks_a_day(rate, news.difficulty.value())).filter(|blocks| *blocks > 0.0),
        "source": news.notice.map(|(source, _)| source.word()),
        "notice_ms": news.notice.map(|(_, ago)| rounded(ago)),
        "fetch_ms": rounded(news.fetch),
        "decode_ms": rounded(news.decode),
        "build_ms": rounded(news.build),
    })
}

pub(super) fn block_members(news: &BlockNews) -> Value {
    let (state, reason, node) = match &news.event {
        BlockEvent::Found => ("found", None, None),
        BlockEvent::Again => ("again", None, None),
        BlockEvent::Forgotten { node } => ("forgotten", None, Some(node)),
        BlockEvent::NotKept(reason) => ("not_kept", Some(reason.clone()), None),
        BlockEvent::Faulty(faults) => ("faulty", Some(faults.join(", ")), None),
        BlockEvent::Answer { node, text } => ("answer", Some(text.clone()), Some(node)),
        BlockEvent::Accepted { node, .. } => ("accepted", None, Some(node)),
        BlockEvent::InChain => ("in_chain", None, None),
        BlockEvent::Beside => ("beside", None, None),
        BlockEvent::Refused(reason) => ("refused", Some(reason.clone()), None),
    };
    let after =
        if let BlockEvent::Accepted { after, .. } = &news.event { Some(rounded(*after)) } else { None };
    json!({
        "state": state,
        "reason": reason,
        "node": node,
        "height": news.height,
        "hash": news.hash.to_string(),
        "latency_ms": after,
    })
}

/// The figures of solo mining, for programs.
pub(super) fn figures(solo: &SoloFigures, rate: HashRate) -> Value {
    let difficulty = solo.difficulty;
    json!({
        "chain": solo.chain,
        "height": solo.height,
        "network_difficulty": difficulty,
        "blocks_a_day": difficulty.map(|difficulty| blocks_a_day(rate, difficulty)),
        "template_age_seconds": solo.template_age.map(|age| age.as_secs_f64()),
        "transactions": solo.transactions,
        "fees": solo.fees,
        "fetch_ms": solo.fetch.map(rounded),
        "decode_ms": solo.decode.map(rounded),
        "nodes": solo.nodes.iter().map(node_figures).collect::<Vec<_>>(),
    })
}

fn node_figures(node: &NodeFigures) -> Value {
    let SourceReport { zmq, wait, poll, zmq_up, zmq_silent, zmq_ignored, zmq_missed } = node.sources;
    let source = |figures: crate::protocol::tip_watch::SourceFigures| json!({ "first": figures.first, "later": figures.later, "mean_delay_ms": figures.mean_delay().map(rounded) });
    json!({
        "node": node.name,
        "state": match (&node.trouble, node.is_chosen, node.blocks) {
            (Some(_), ..) => "down",
            (None, true, _) => "active",
            (None, false, Some(_)) => "ready",
            (None, false, None) => "connecting",
        },
        "reason": node.trouble,
        "blocks": node.blocks,
        "behind": node.behind,
        "peers": node.peers,
        "sources": { "zmq": source(zmq), "wait": source(wait), "poll": source(poll) },
        "zmq_connected": zmq_up,
        "zmq_silent": zmq_silent,
        "zmq_ignored": zmq_ignored,
        "zmq_missed": zmq_missed,
    })
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_for_a_block_is_told_in_a_unit_that_suits_it() {
        let wait = |rate, difficulty| wait_for_a_block(HashRate(rate), difficulty).unwrap();
        assert_eq!(wait(1e8, 1.0), "43.0 s");
        assert_eq!(wait(1e8, 1e6), "497 days");
        assert_eq!(wait(1e12, 1e6), "1.2 hours");
        assert_eq!(wait(1e12, 1e14), "13610 years");
        assert_eq!(wait_for_a_block(HashRate(0.0), 1.0), None);
    }
}
