//! What goes down between a block and its node: the node, the miner, the line, the disk. The block arrives.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::chain::{access, arguments};
use super::node::{Node, USER};
use super::proxy::{Fate, Line, RpcProxy};
use super::spend;
use crate::support::{Miner, PATIENCE, signalcore};

pub(super) fn is_block(event: &Value, state: &str) -> bool {
    event["event"] == "block" && event["state"] == state
}

/// Whether a call hands over a block, and does not only try whether it may.
fn is_block_in(method: &str, body: &str) -> bool {
    method == "submitblock" && body.len() > 400
}

/// The hash of a block as it is submitted.
fn hash_of(body: &str) -> String {
    let call: Value = serde_json::from_str(body).unwrap();
    let block = hex::decode(&call["params"][0].as_str().unwrap()[..160]).unwrap();
    signalcore::work::Header::from_bytes(&block.try_into().unwrap()).hash().to_string()
}

pub(super) fn is_in_chain(node: &Node, hash: &str) -> bool {
    let header = node.try_call("getblockheader", &json!([hash]));
    header.is_ok_and(|header| header["confirmations"].as_i64().unwrap() >= 1)
}

#[test]
fn a_node_that_is_killed_just_before_the_submission_gets_the_block_when_it_is_back() {
    let Some(mut node) = Node::start("a node killed", &[]) else { return };
    let (told, submitted) = channel();
    let proxy = RpcProxy::start(node.rpc, move |method, body| {
        if !is_block_in(method, body) {
            return Fate::Pass;
        }
        told.send(hash_of(body)).ok();
        Fate::Drop
    });
    let [_, cookie, zmq] = access(&node);
    let miner = [proxy.url(), cookie, zmq];
    let journal = tempfile::tempdir().unwrap();
    let path = journal.path().join("blocks.journal");
    let file = path.to_str().unwrap();
    let payout = spend::segwit().to_string();
    let mut miner = Miner::run(&arguments(&miner, &payout), &[("SIGNALCORE_STATE_JOURNAL", file)]);
    let hash = submitted.recv_timeout(PATIENCE).unwrap();
    node.kill();
    assert!(std::fs::read_to_string(&path).unwrap().contains(&hash), "on the disk before it is sent");
    proxy.judge_by(|_, _| Fate::Pass);
    node.launch();
    miner.wait_for("the block in the chain", |event| is_block(event, "in_chain") && event["hash"] == *hash);
    assert!(is_in_chain(&node, &hash));
    assert_eq!(miner.stop().code, Some(0));
    let listed = signalcore(&["blocks", "--json", "--journal", file]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let first: Value =
        serde_json::from_str(listed.lines().find(|line| line.contains(&hash)).unwrap()).unwrap();
    assert_eq!(first["fate"], "accepted", "{first}");
}

#[test]
fn a_miner_that_is_killed_before_the_submission_sends_the_block_when_it_is_back() {
    let Some(node) = Node::start("a miner killed", &[]) else { return };
    let (told, submitted) = channel();
    let proxy = RpcProxy::start(node.rpc, move |method, body| {
        if !is_block_in(method, body) {
            return Fate::Pass;
        }
        told.send(hash_of(body)).ok();
        Fate::Drop
    });
    let [_, cookie, zmq] = access(&node);
    let at_proxy = [proxy.url(), cookie, zmq];
    let journal = tempfile::tempdir().unwrap();
    let path = journal.path().join("blocks.journal");
    let environment = [("SIGNALCORE_STATE_JOURNAL", path.to_str().unwrap())];
    let payout = spend::segwit().to_string();
    let miner = Miner::run(&arguments(&at_proxy, &payout), &environment);
    let hash = submitted.recv_timeout(PATIENCE).unwrap();
    miner.signal(Signal::KILL);
    drop(miner);
    assert_eq!(node.height(), 0);
    // Another block of the same height may be found before it; with the node reached directly that takes longer.
    let access = access(&node);
    let mut miner = Miner::run(&arguments(&access, &payout), &environment);
    miner.wait_for("the block sent again", |event| is_block(event, "again") && event["hash"] == *hash);
    miner.wait_for("the block in the chain", |event| is_block(event, "in_chain") && event["hash"] == *hash);
    assert_eq!(node.block(1)["hash"], *hash);
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn blocks_are_heard_of_without_zmq_and_over_it_again_when_it_returns() {
    let Some(node) = Node::start("ZMQ cut and restored", &[]) else { return };
    // With blocks of its own the miner would never have to hear of one: its chain is as hard as no CPU can mine.
    let line = Line::to(node.zmq);
    let zmq = format!("tcp://127.0.0.1:{}", line.port);
    let access = [node.url(), node.cookie(), zmq];
    let payout = spend::segwit().to_string();
    let mut miner = Miner::run(&arguments(&access, &payout), &[]);
    let by =
        |source: &'static str| move |event: &Value| event["event"] == "template" && event["source"] == source;
    miner.wait_for("a block over ZMQ", by("zmq"));
    line.cut();
    let count = |miner: &Miner, source| miner.told().iter().filter(|event| by(source)(event)).count();
    let others = |event: &Value| by("wait")(event) || by("poll")(event);
    let before = miner.told().iter().filter(|event| others(event)).count();
    miner.wait_for_several(before + 3, "blocks without ZMQ", others);
    miner.wait_for("the silence told", |event| {
        event["state"] == "complaint" && event["reason"].as_str().unwrap().contains("tcp://")
    });
    line.mend();
    let before = count(&miner, "zmq");
    miner.wait_for_several(before + 3, "blocks over ZMQ again", by("zmq"));
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_node_that_warms_up_for_long_is_waited_for() {
    let Some(node) = Node::start("a node that warms up", &[]) else { return };
    let ready_at = Instant::now() + Duration::from_secs(20);
    let proxy = RpcProxy::start(node.rpc, move |_, _| {
        let warming = r#"{"result":null,"error":{"code":-28,"message":"Loading block index…"},"id":ID}"#;
        if Instant::now() < ready_at { Fate::Answer(500, warming.into()) } else { Fate::Pass }
    });
    let [_, cookie, zmq] = access(&node);
    let access = [proxy.url(), cookie, zmq];
    let payout = spend::segwit().to_string();
    let mut miner = Miner::run(&[&arguments(&access, &payout)[..], &["--blocks", "1"]].concat(), &[]);
    let down = miner.wait_for("why there is no work", |event| event["state"] == "down");
    assert!(down["reason"].as_str().unwrap().contains("is starting: Loading block index"), "{down}");
    let ended = miner.end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let downs = ended.of("upstream").into_iter().filter(|event| event["state"] == "down").count();
    assert_eq!(downs, 1, "the same reason is told once");
}

#[test]
fn a_full_disk_keeps_no_block_from_its_node() {
    let Some(node) = Node::start("a full disk", &[]) else { return };
    if !std::path::Path::new("/dev/full").exists() {
        return crate::support::skipped("a full disk", "there is no /dev/full");
    }
    let access = access(&node);
    let payout = spend::segwit().to_string();
    let arguments = [&arguments(&access, &payout)[..], &["--blocks", "3"]].concat();
    let ended = Miner::run(&arguments, &[("SIGNALCORE_STATE_JOURNAL", "/dev/full")]).end();
    assert_eq!((ended.code, node.height()), (Some(0), 3), "{}", ended.errors);
    let told = ended.events.iter().find(|event| is_block(event, "not_kept")).expect("it is told");
    assert!(told["reason"].as_str().unwrap().contains("/dev/full"), "{told}");
}

#[test]
fn wrong_access_is_told_with_its_remedy_and_right_one_is_found_without_a_restart() {
    let Some(node) = Node::start("wrong access", &[USER]) else { return };
    let (url, payout) = (node.url(), spend::segwit().to_string());
    let access = ["--solo", &url, "--rpc-user", "miner", "--rpc-password", "other-word", "--payout", &payout];
    let mut miner = Miner::run(&access, &[]);
    let down = miner.wait_for("why there is no work", |event| event["state"] == "down");
    assert!(down["reason"].as_str().unwrap().contains("--rpc-password"), "{down}");
    let ended = miner.stop();
    assert!(!format!("{:?}{}", ended.events, ended.errors).contains("other-word"), "no secret is told");
}

#[test]
fn a_node_that_closes_idle_connections_and_allows_few_calls_is_mined_on() {
    // What README asks for.
    let calls = "getblocktemplate,submitblock,getbestblockhash,getblockchaininfo,getblockheader,getnetworkinfo,waitfornewblock";
    let whitelist = format!("-rpcwhitelist=miner:{calls}");
    let options = [USER, &whitelist, "-rpcwhitelistdefault=0", "-rpcservertimeout=1"];
    let Some(node) = Node::start("few calls and short connections", &options) else { return };
    let (url, payout) = (node.url(), spend::segwit().to_string());
    let access = ["--solo", &url, "--rpc-user", "miner", "--rpc-password", "secret", "--payout", &payout];
    let mut miner =
        Miner::run(&[&access[..], &["--seconds", "8"]].concat(), &[("SIGNALCORE_CPU_DUTY_PERCENT", "1")]);
    miner.wait_for("a template", |event| event["event"] == "template");
    let ended = miner.end();
    let downs = ended.of("upstream").into_iter().filter(|event| event["state"] == "down").count();
    assert_eq!((downs, ended.code), (0, Some(0)), "{}", ended.errors);

    // Without the calls that tell of new blocks, and of what became of ours.
    let options = [
        USER,
        "-rpcwhitelist=miner:getblocktemplate,submitblock,getblockchaininfo",
        "-rpcwhitelistdefault=0",
    ];
    let Some(node) = Node::start("the least calls", &options) else { return };
    let url = node.url();
    let access = ["--solo", &url, "--rpc-user", "miner", "--rpc-password", "secret", "--payout", &payout];
    // A node on the other side of a wall has no ZMQ either.
    let mut miner = Miner::run(&access, &[("SIGNALCORE_CPU_DUTY_PERCENT", "1")]);
    let complaint = miner.wait_for("what will not be known", |event| {
        event["state"] == "complaint" && event["reason"].as_str().unwrap().contains("getblockheader")
    });
    assert!(complaint["reason"].as_str().unwrap().contains("rpcwhitelist"), "{complaint}");
    let by_poll = |event: &Value| event["event"] == "template" && event["source"] == "poll";
    miner.wait_for("a new block", by_poll);
    let end = miner.stop();
    assert_eq!(end.code, Some(0));

    let options = [USER, "-rpcwhitelist=miner:getblocktemplate", "-rpcwhitelistdefault=0"];
    let Some(node) = Node::start("too few calls", &options) else { return };
    let url = node.url();
    let access = ["--solo", &url, "--rpc-user", "miner", "--rpc-password", "secret", "--payout", &payout];
    let mut miner = Miner::run(&access, &[]);
    let down = miner.wait_for("why there is no work", |event| event["state"] == "down");
    let reason = down["reason"].as_str().unwrap();
    assert!(reason.contains("submitblock") && reason.contains("rpcwhitelist"), "{reason}");
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_block_goes_to_every_node_and_one_that_is_cut_off_gets_it_later() {
    let Some(first) = Node::start("several nodes", &[]) else { return };
    let Some(mut second) = Node::start("several nodes", &[]) else { return };
    second.kill();
    let (urls, cookies) = ([first.url(), second.url()], [first.cookie(), second.cookie()]);
    let payout = spend::segwit().to_string();
    let arguments = [
        "--solo",
        &urls[0],
        "--rpc-cookie",
        &cookies[0],
        "--solo",
        &urls[1],
        "--rpc-cookie",
        &cookies[1],
        "--payout",
        &payout,
    ];
    let mut miner = Miner::run(&arguments, &[]);
    miner.wait_for_several(5, "blocks", |event| is_block(event, "accepted"));
    second.launch();
    second.wait_until_ready();
    // They are not linked: all that the second one has comes from the miner.
    second.wait_for("the blocks of the miner", |node| node.height() >= 3);
    let height = second.height();
    let hash = |node: &Node| node.call("getblockhash", json!([height]));
    assert_eq!(hash(&second), hash(&first));
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_node_that_looks_well_and_gives_no_template_is_told_once_and_asked_ever_more_seldom() {
    let Some(node) = Node::start("no template", &[]) else { return };
    let (asked, calls) = channel();
    let ready_at = Instant::now() + Duration::from_secs(8);
    let proxy = RpcProxy::start(node.rpc, move |method, _| {
        let refusal =
            r#"{"result":null,"error":{"code":-9,"message":"Bitcoin Core is not connected!"},"id":ID}"#;
        if method != "getblocktemplate" || Instant::now() > ready_at {
            return Fate::Pass;
        }
        asked.send(()).ok();
        Fate::Answer(500, refusal.into())
    });
    let [_, cookie, zmq] = access(&node);
    let access = [proxy.url(), cookie, zmq];
    let payout = spend::segwit().to_string();
    let ended = Miner::run(&[&arguments(&access, &payout)[..], &["--blocks", "1"]].concat(), &[]).end();
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    let told = ended.of("upstream").into_iter().filter(|event| event["state"] == "down").count();
    let calls = calls.try_iter().count();
    assert!(told == 1 && (3..=9).contains(&calls), "told {told} times, asked {calls} times");
}

#[test]
fn a_block_found_while_the_node_is_away_is_sent_by_the_next_run() {
    let Some(mut node) = Node::start("found while the node is away", &[]) else { return };
    let access = access(&node);
    let journal = tempfile::tempdir().unwrap();
    let path = journal.path().join("blocks.journal");
    let environment = [("SIGNALCORE_STATE_JOURNAL", path.to_str().unwrap())];
    let payout = spend::segwit().to_string();
    let mut miner = Miner::run(&arguments(&access, &payout), &environment);
    miner.wait_for_several(5, "blocks", |event| is_block(event, "in_chain"));
    node.stop();
    miner.wait_for("the node gone", |event| event["state"] == "down");
    // Found on the last template, before or after it was known that the node is away.
    let unsent = |event: &Value| is_block(event, "answer") && event["reason"] != "accepted";
    let hash = miner.wait_for("a block that nobody takes", unsent)["hash"].clone();
    miner.signal(Signal::KILL);
    drop(miner);
    node.launch();
    node.wait_until_ready();
    let mut miner = Miner::run(&arguments(&access, &payout), &environment);
    miner.wait_for("the block sent again", |event| is_block(event, "again") && event["hash"] == hash);
    miner.wait_for("what became of it", |event| {
        event["hash"] == hash && (event["state"] == "in_chain" || event["state"] == "beside")
    });
    assert!(node.try_call("getblockheader", &json!([hash])).is_ok(), "the node has it");
    assert_eq!(miner.stop().code, Some(0));
}
