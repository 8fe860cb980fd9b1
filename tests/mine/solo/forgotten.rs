//! A node that is killed forgets what it had not written yet, also blocks that it had taken. They come back.

use serde_json::Value;

use super::chain::{access, arguments};
use super::node::Node;
use super::outage::{is_block, is_in_chain};
use super::proxy::{Fate, RpcProxy};
use super::spend;
use crate::support::{Miner, signalcore};

fn hashes(told: &[Value], state: &str) -> Vec<String> {
    let of_state = told.iter().filter(|event| is_block(event, state));
    of_state.map(|event| event["hash"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn blocks_that_a_killed_node_had_taken_are_sent_again_by_the_running_miner_the_oldest_first() {
    let Some(mut node) = Node::start("blocks forgotten, the miner runs on", &[]) else { return };
    let payout = spend::segwit().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    let environment = [("SIGNALCORE_STATE_JOURNAL", path.to_str().unwrap())];
    let mut miner = Miner::run(&arguments(&access(&node), &payout), &environment);
    // So many that the new chain, which is mined on at once, does not outgrow the old one before it is back.
    miner.wait_for_several(40, "blocks in the chain", |event| is_block(event, "in_chain"));
    node.kill();
    let taken = hashes(miner.told(), "in_chain");
    node.launch();
    node.wait_until_ready();
    for hash in &taken {
        node.wait_for("a block that it had taken", |node| is_in_chain(node, hash));
    }
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0));
    assert!(!hashes(&ended.events, "forgotten").is_empty(), "the node has not forgotten any");
}

#[test]
fn blocks_that_a_node_forgot_between_two_runs_are_sent_again_by_the_next_run() {
    let Some(mut node) = Node::start("blocks forgotten between two runs", &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    let environment = [("SIGNALCORE_STATE_JOURNAL", path.to_str().unwrap())];
    let payout = spend::segwit().to_string();
    let mut miner = Miner::run(&arguments(&access(&node), &payout), &environment);
    // More than ever were read at the start.
    miner.wait_for_several(24, "blocks in the chain", |event| is_block(event, "in_chain"));
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0));
    let taken = hashes(&ended.events, "in_chain");
    node.kill();
    node.launch();
    node.wait_until_ready();
    assert_eq!(node.height(), 0, "it has forgotten all of them");
    let miner = Miner::run(&arguments(&access(&node), &payout), &environment);
    for hash in &taken {
        node.wait_for("a block that it had taken", |node| is_in_chain(node, hash));
    }
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0));
    let is_forgotten = |event: &&Value| is_block(event, "forgotten");
    let heights: Vec<_> =
        ended.events.iter().filter(is_forgotten).map(|event| event["height"].as_u64()).collect();
    assert!(heights.is_sorted(), "parents first: {heights:?}");
    assert!(heights.len() >= 20, "{} of {}", heights.len(), taken.len());
}

#[test]
fn a_node_without_the_parent_of_a_block_gets_that_from_us_before_its_own_delivery_is_due() {
    let Some(node) = Node::start("a parent of ours", &[]) else { return };
    let Some(other) = Node::start("a parent of ours, the other node", &[]) else { return };
    // The other one hears of no block until it is let in, and then of a child first.
    let wall =
        RpcProxy::start(other.rpc, |method, _| if method == "submitblock" { Fate::Drop } else { Fate::Pass });
    let payout = spend::segwit().to_string();
    let [url, cookie, zmq] = access(&node);
    let config = tempfile::tempdir().unwrap();
    let file = config.path().join("two.toml");
    let text = format!(
        "[[node]]\nurl = \"{url}\"\ncookie = \"{cookie}\"\nzmq = [\"{zmq}\"]\n[[node]]\nurl = \"{}\"\ncookie = \"{}\"\n[solo]\npayout = [\"{payout}\"]\n",
        wall.url(),
        other.cookie(),
    );
    std::fs::write(&file, text).unwrap();
    let mut miner = Miner::start_with_file(&file);
    miner.wait_for_several(6, "blocks in the chain", |event| is_block(event, "in_chain"));
    wall.judge_by(|_, _| Fate::Pass);
    let taken = hashes(miner.told(), "in_chain");
    for hash in &taken {
        other.wait_for("the blocks of the first node", |node| is_in_chain(node, hash));
    }
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_block_under_way_at_the_end_is_told_as_kept_and_its_rivals_as_stale() {
    let Some(node) = Node::start("blocks under way at the end", &[]) else { return };
    let proxy = RpcProxy::start(node.rpc, |method, body| {
        if method == "submitblock" && body.len() > 400 { Fate::Drop } else { Fate::Pass }
    });
    let [_, cookie, zmq] = access(&node);
    let payout = spend::segwit().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks.journal");
    let file = path.to_str().unwrap();
    let mut miner =
        Miner::run(&arguments(&[proxy.url(), cookie, zmq], &payout), &[("SIGNALCORE_STATE_JOURNAL", file)]);
    let found = miner.wait_for("a block", |event| is_block(event, "found"));
    std::thread::sleep(std::time::Duration::from_secs(1)); // for its rivals
    let ended = miner.stop();
    assert_eq!(ended.code, Some(0));
    let shares = ended.of("share");
    let share = shares.iter().find(|share| share["hash"] == found["hash"]).expect("an end of the share");
    let reason = share["reason"].as_str().unwrap();
    assert!(share["result"] == "lost" && reason.contains("it is in the journal"), "{share}");
    assert_eq!(shares.iter().filter(|share| share["result"] == "lost").count(), 1, "its rivals are stale");
    assert!(shares.iter().any(|share| share["result"] == "stale"));
    let listed = signalcore(&["blocks", "--json", "--journal", file]).output().unwrap();
    assert!(String::from_utf8(listed.stdout).unwrap().contains(found["hash"].as_str().unwrap()));
}
