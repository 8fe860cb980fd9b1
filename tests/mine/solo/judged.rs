//! What a real node has to say of jobs, our own and those of pools: checks 3000, 10000 and 16000.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::chain::{access, arguments};
use super::node::Node;
use super::proxy::{Fate, RpcProxy};
use super::spend;
use crate::support::{Miner, ScriptedPool};

fn is_check(code: &str, upstream: u64) -> impl Fn(&Value) -> bool + use<'_> {
    move |event| event["event"] == "check" && event["code"] == code && event["pool"] == upstream
}

/// What a node says to a block whose height is one too many: it looks at the coinbase's lock time first.
const REASON: &str = "bad-txns-nonfinal";

#[test]
fn a_node_that_would_refuse_our_block_ends_the_hashing_at_once() {
    let Some(node) = Node::start("a node that would refuse our block", &[]) else { return };
    node.generate(1);
    // A template that passes every check of ours; that its height is wrong the node alone can tell.
    let mut template = node.call("getblocktemplate", json!([{"rules": ["segwit"]}]));
    template["height"] = json!(template["height"].as_u64().unwrap() + 1);
    let answer = json!({"result": template, "error": null, "id": "ID"}).to_string().replace("\"ID\"", "ID");
    let proxy = RpcProxy::start(node.rpc, move |method, body| match method {
        "getblocktemplate" if !body.contains("proposal") => Fate::Answer(200, answer.clone()),
        _ => Fate::Pass,
    });
    let [_, cookie, zmq] = access(&node);
    let mut miner = Miner::run(&arguments(&[proxy.url(), cookie, zmq], &spend::segwit().to_string()), &[]);
    let told = miner.wait_for("the check", is_check("proposal-refused", 0));
    assert!(told["found"].as_str().unwrap().contains(REASON), "{told}");
    assert_eq!((&told["result"], &told["level"]), (&json!("reject"), &json!(16_000)), "{told}");
    let down = miner.wait_for("why there is no work", |event| event["state"] == "down");
    assert!(down["reason"].as_str().unwrap().contains(REASON), "{down}");
    let before = miner.told().len();
    std::thread::sleep(Duration::from_secs(1)); // time for thousands of blocks
    let ended = miner.stop();
    assert_eq!((ended.code, node.height()), (Some(0), 1));
    let of_work = |event: &&Value| ["job", "template", "share"].iter().any(|kind| event["event"] == **kind);
    let mut late = ended.events[before..].iter().filter(of_work);
    assert_eq!(late.next(), None, "nothing is mined on its templates");
}

#[test]
fn a_real_node_has_nothing_against_jobs_of_its_templates() {
    let Some(node) = Node::start("a node likes our jobs", &[]) else { return };
    let access = access(&node);
    let payout = spend::segwit().to_string();
    let ended = Miner::run(&[&arguments(&access, &payout)[..], &["--blocks", "5"]].concat(), &[]).end();
    assert_eq!((ended.code, ended.of("check").len()), (Some(0), 0), "{:?}", ended.of("check"));
    let checks = &ended.summary()["upstreams"][0]["checks"];
    assert!(checks["executed"].as_u64() >= Some(13) && checks["rejected"] == 0, "{checks}");
}

/// A job on top of a chain's first block that claims so much, with one transaction.
fn on_first_block(node: &Node, id: &str, behind: u64, sats: u64, transaction: &str) -> Value {
    let mut parent = hex::decode(node.tip()).unwrap();
    parent.reverse();
    // Stratum turns each word of four bytes.
    parent.chunks_mut(4).for_each(<[u8]>::reverse);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let coinb1 = format!("0200000001{}ffffffff0951", "00".repeat(32));
    let coinb2 = format!("ffffffff01{}160014{}00000000", hex::encode(sats.to_le_bytes()), "07".repeat(20));
    let ntime = format!("{:08x}", now - behind);
    let params =
        json!([id, hex::encode(parent), coinb1, coinb2, [transaction], "20000000", "1d00ffff", ntime, true]);
    json!({"id": null, "method": "mining.notify", "params": params})
}

#[test]
fn a_node_of_our_own_has_its_say_on_a_pools_jobs() {
    let Some(node) = Node::start("a node's say on a pool's jobs", &["-testnet4"]) else { return };
    let pool = ScriptedPool::listen();
    let access = access(&node);
    let payout = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
    let more = ["--pool", &pool.url, "--user", "u", "--strategy", "load-balance"];
    let environment = [("SIGNALCORE_SOLO_REQUIRE_PEERS", "false"), ("SIGNALCORE_VALIDATION_LEVEL", "16000")];
    let mut miner = Miner::run(&[&arguments(&access, payout)[..], &more].concat(), &environment);
    miner.wait_for("the node's work", |event| event["event"] == "template");
    let mut connection = pool.accept();
    connection.subscribe(json!([[], "01020304", 4]));
    connection.answer("mining.authorize", json!(true));
    connection.say(json!({ "id": null, "method": "mining.set_difficulty", "params": [1e-6] }));
    let unknown = "ab".repeat(32);

    connection.say(on_first_block(&node, "usual", 0, 5_000_000_000, &unknown));
    let told = miner.wait_for("what the node does not know", is_check("transactions-unknown", 1));
    assert_eq!((&told["result"], &told["level"]), (&json!("warn"), &json!(16_000)), "{told}");
    miner.wait_for("the job all the same", |event| event["event"] == "job" && event["job"] == "usual");

    connection.say(on_first_block(&node, "greedy", 0, 7_510_000_001, &unknown));
    let told = miner.wait_for("what it claims", is_check("more-than-node", 1));
    assert!(told["expected"].as_str().unwrap().contains("by the node's 5000000000"), "{told}");

    // Before the first block of the chain, which is of May 2024.
    connection.say(on_first_block(&node, "old", 400_000_000, 5_000_000_000, &unknown));
    let told = miner.wait_for("the time", is_check("time-too-old", 1));
    assert!(told["expected"].as_str().unwrap().contains("at least 1714777861"), "{told}");
    let ended = miner.stop();
    let checks = &ended.summary()["upstreams"][1]["checks"];
    assert_eq!(
        (ended.code, &checks["rejected"], ended.of("check").len()),
        (Some(0), &json!(1), 4),
        "{checks}"
    );
}
