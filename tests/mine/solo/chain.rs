//! Blocks that a real node takes: to every kind of address, with empty and full mempools, through reorganisations.

use serde_json::{Value, json};

use super::node::Node;
use super::spend;
use crate::support::{Miner, good_job};

/// An address of each kind on regtest. The first two are those of coins that anybody can spend.
fn addresses() -> [String; 5] {
    [
        spend::segwit().to_string(),
        spend::legacy().to_string(),
        "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn".to_owned(),
        "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080".to_owned(),
        "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6".to_owned(),
    ]
}

pub(super) fn arguments<'a>(node: &'a [String; 3], payout: &'a str) -> Vec<&'a str> {
    let [url, cookie, zmq] = node;
    vec!["--solo", url, "--rpc-cookie", cookie, "--zmq", zmq, "--payout", payout]
}

pub(super) fn access(node: &Node) -> [String; 3] {
    [node.url(), node.cookie(), node.zmq_url()]
}

/// Mines so many blocks to an address and gives what the miner told.
fn mine(node: &Node, payout: &str, blocks: u32) -> Vec<Value> {
    let (access, blocks) = (access(node), blocks.to_string());
    let miner = Miner::run(&[&arguments(&access, payout)[..], &["--blocks", &blocks]].concat(), &[]);
    let ended = miner.end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let summary = ended.summary();
    assert_eq!(
        (&summary["end"], summary["blocks"].as_u64()),
        (&json!("blocks"), blocks.parse().ok()),
        "{summary}"
    );
    ended.events
}

/// What a block pays to an address, in satoshi.
fn paid(block: &Value, address: &str) -> u64 {
    let outputs = block["tx"][0]["vout"].as_array().unwrap();
    let to = |output: &&Value| output["scriptPubKey"]["address"] == *address;
    outputs.iter().filter(to).map(|output| (output["value"].as_f64().unwrap() * 1e8).round() as u64).sum()
}

#[test]
fn a_hundred_blocks_in_a_row_are_taken_whoever_is_paid_and_whatever_is_in_the_mempool() {
    let Some(node) = Node::start("a hundred blocks in a row", &[]) else { return };
    let addresses = addresses();
    // Coins of both kinds, then a hundred blocks that let them mature.
    for (nth, address) in addresses.iter().enumerate() {
        let before = node.height();
        mine(&node, address, 20);
        assert!(node.height() >= before + 20, "each block is one of the chain");
        for height in before + 1..=node.height() {
            let block = node.block(height);
            let subsidy = 5_000_000_000 >> (height / 150);
            assert_eq!(
                (paid(&block, address), block["nTx"].as_u64()),
                (subsidy, Some(1)),
                "{nth} at {height}"
            );
        }
    }
    node.generate(40);

    // One transaction, then many, of both kinds.
    let coins: Vec<_> = (1..=40).filter_map(|height| spend::of_block(&node, height)).collect();
    assert!(coins.len() >= 25);
    let (segwit, legacy) = (spend::split(&node, coins[0], 300), coins[24]);
    node.wait_for_template(1);
    let first = node.height() + 1;
    mine(&node, &addresses[3], 1);
    let legacy = spend::split(&node, legacy, 300);
    node.wait_for_template(1);
    let second = node.height() + 1;
    mine(&node, &addresses[4], 1);
    assert_eq!([first, second].map(|height| node.block(height)["nTx"].as_u64()), [Some(2); 2]);
    for coin in segwit.into_iter().chain(legacy) {
        spend::pass_on(&node, coin);
    }
    node.wait_for_template(600);
    let third = node.height() + 1;
    let told = mine(&node, &addresses[2], 1);
    let block = node.block(third);
    let fees = 600 * 2_000;
    assert_eq!(block["nTx"].as_u64(), Some(601));
    assert_eq!(paid(&block, &addresses[2]), (5_000_000_000 >> (third / 150)) + fees);
    let template = told.iter().find(|event| event["event"] == "template").unwrap();
    assert_eq!((template["transactions"].as_u64(), template["fees"].as_u64()), (Some(600), Some(fees)));
}

#[test]
fn several_are_paid_by_their_parts_and_the_tag_stands_in_the_coinbase() {
    let Some(node) = Node::start("several are paid", &[]) else { return };
    let addresses = addresses();
    let (access, second) = (access(&node), format!("{}=3", addresses[4]));
    let more = ["--payout", &second, "--coinbase-tag", "/a test/", "--blocks", "2"];
    let ended = Miner::run(&[&arguments(&access, &addresses[3])[..], &more].concat(), &[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let block = node.block(2);
    assert_eq!([3, 4].map(|place| paid(&block, &addresses[place])), [1_250_000_000, 3_750_000_000]);
    let script = hex::decode(block["tx"][0]["vin"][0]["coinbase"].as_str().unwrap()).unwrap();
    assert!(script.ends_with(b"/a test/"), "{}", String::from_utf8_lossy(&script));
}

#[test]
fn empty_blocks_that_are_mined_until_a_template_is_there_are_taken_too() {
    let Some(node) = Node::start("an empty block first", &[]) else { return };
    let (access, payout) = (access(&node), addresses()[3].clone());
    let arguments = [&arguments(&access, &payout)[..], &["--blocks", "20"]].concat();
    let ended = Miner::run(&arguments, &[("SIGNALCORE_SOLO_EMPTY_FIRST", "true")]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    assert!(node.height() >= 20);
    assert_eq!(ended.summary()["rejected"], 0);
    // Each tip comes twice: made here of its header, and as the node's template, which is as good and changes nothing.
    let tips = ended.of("template").into_iter().filter(|event| event["clean"] == true).count();
    assert!(tips >= 20 && node.block(1)["nTx"] == 1, "{tips}");
}

#[test]
fn a_signet_of_our_own_is_mined_from_its_first_block_and_one_that_wants_signatures_is_refused_with_the_reason()
 {
    const PAYOUT: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
    let run = |node: &Node, require_peers: &str| {
        let more = ["--seconds", "120", "--blocks", "3"];
        let environment = [("SIGNALCORE_SOLO_REQUIRE_PEERS", require_peers)];
        Miner::run(&[&arguments(&access(node), PAYOUT)[..], &more].concat(), &environment)
    };
    let Some(node) = Node::start("a signet of our own", &["-signet", "-signetchallenge=51"]) else { return };
    let mut miner = run(&node, "true");
    let down = miner.wait_for("why there is no work", |event| event["state"] == "down");
    let reason = down["reason"].as_str().unwrap();
    assert!(reason.contains("solo.require_peers to false if this is a chain of your own"), "{reason}");
    assert_eq!(miner.stop().code, Some(0));
    let ended = run(&node, "false").end();
    assert_eq!((ended.code, &ended.summary()["end"]), (Some(0), &json!("blocks")), "{}", ended.errors);
    assert!(node.height() >= 3);
    assert!(paid(&node.block(1), PAYOUT) == 5_000_000_000);

    let key = "5121033b0b0b9a1a3a5fbb2e6ba0f2c7f2ffdd1d1b6e6c1e2a3d5f9f4d5a4f6a7b8c51ae";
    let challenge = format!("-signetchallenge={key}");
    let Some(node) = Node::start("a signet that is signed", &["-signet", &challenge]) else { return };
    let mut miner = run(&node, "false");
    let down = miner.wait_for("why there is no work", |event| event["state"] == "down");
    let reason = down["reason"].as_str().unwrap();
    assert!(reason.contains("wants its blocks signed") && reason.contains(key), "{reason}");
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn work_moves_to_the_new_tip_when_linked_nodes_reorganise() {
    let Some(ours) = Node::start("a reorganisation", &[]) else { return };
    let Some(other) = Node::start("a reorganisation", &[]) else { return };
    ours.generate(2);
    // A longer chain of its own, unknown to ours so far.
    other.generate(5);
    let access = access(&ours);
    let mut miner = Miner::run(&arguments(&access, &addresses()[3]), &[]);
    miner.wait_for("a block found", |event| event["event"] == "block" && event["state"] == "in_chain");
    while other.height() < ours.height() + 50 {
        other.generate(25);
    }
    let theirs = other.tip();
    ours.call("addnode", json!([format!("127.0.0.1:{}", other.p2p), "onetry"]));
    let is_on_theirs = |event: &Value| event["event"] == "job" && event["prev_hash"] == *theirs;
    let job = miner.wait_for("work on the other branch", is_on_theirs);
    assert_eq!(job["clean"], true);
    let height = job["height"].as_u64().unwrap();
    miner.wait_for("a block on that branch", |event| {
        event["event"] == "block" && event["state"] == "in_chain" && event["height"].as_u64() >= Some(height)
    });
    assert_eq!(ours.block(height)["previousblockhash"], *theirs);
    other.wait_for("our block", |node| node.height() >= height);
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_pool_takes_over_when_the_node_goes_and_the_node_gets_its_hashing_back() {
    let Some(mut node) = Node::start("a pool and a node", &[]) else { return };
    let pool = crate::support::ScriptedPool::listen();
    let access = access(&node);
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(&file, "[upstreams]\nreturn_after = 0\nhot_standbys = 0").unwrap();
    let more = ["--pool", &pool.url, "--user", "u", "--config", file.path().to_str().unwrap()];
    let mut miner = Miner::run(&[&arguments(&access, &addresses()[3])[..], &more].concat(), &[]);
    miner.wait_for("a block found", |event| event["event"] == "block" && event["state"] == "accepted");
    node.kill();
    let _connection = pool.accept_mining();
    let is_on = |event: &Value, pool: u64| {
        event["event"] == "upstream" && event["state"] == "switched" && event["to_pools"] == json!([pool])
    };
    miner.wait_for("the pool to be used", |event| is_on(event, 1));
    let accepted = |event: &Value| event["event"] == "block" && event["state"] == "accepted";
    let before = miner.told().iter().filter(|event| accepted(event)).count();
    node.launch();
    miner.wait_for_several(before + 1, "blocks on the node again", accepted);
    assert!(is_on(miner.last(|event| event["state"] == "switched"), 0));
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_pool_on_another_chain_than_our_own_node_is_quarantined_and_all_is_hashed_for_the_node() {
    let Some(node) = Node::start("a node vouches for the chain", &[]) else { return };
    let pool = crate::support::ScriptedPool::listen();
    let access = access(&node);
    let more = ["--pool", &pool.url, "--user", "u", "--strategy", "load-balance"];
    let checks = [("SIGNALCORE_VALIDATION_LEVEL", "16000")];
    let mut miner = Miner::run(&[&arguments(&access, &addresses()[3])[..], &more].concat(), &checks);
    let mut connection = pool.accept_mining();
    // One at a time: of several that wait only the newest is judged.
    for nth in 1..=3 {
        connection.say(good_job(&format!("elsewhere {nth}"), false));
        miner.wait_for_several(2 * nth, "blocks", |event| {
            event["event"] == "block" && event["state"] == "accepted"
        });
    }
    let is_about = |event: &Value, pool: u64, state: &str| event["pool"] == pool && event["state"] == state;
    let told = miner.wait_for("the quarantine", |event| is_about(event, 1, "quarantined"));
    assert!(told["reason"].as_str().unwrap().contains("3 of its jobs were refused"), "{told}");
    let before = miner.told().len();
    miner.wait_for_several(20, "blocks", |event| event["event"] == "block" && event["state"] == "accepted");
    let shares = miner.told()[before..].iter().filter(|event| event["event"] == "share");
    assert!(shares.clone().count() > 0 && shares.filter(|share| share["pool"] == 1).count() <= 1);
    assert_eq!(miner.stop().code, Some(0));
}
