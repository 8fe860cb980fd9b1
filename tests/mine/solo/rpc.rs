//! Our calls against a real node.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use signalcore::protocol::json_rpc::RpcFault;
use signalcore::protocol::node_answers::{Doubt, Proposal, Standing, Verdict};
use signalcore::protocol::session_config::Credentials;
use signalcore::upstream::Traffic;
use signalcore::upstream::node::login::{CookieError, Login};
use signalcore::upstream::node::rpc::{Access, Rpc, RpcError};
use signalcore::work::BlockHash;

use super::node::{Node, USER};

fn client(access: Access) -> Rpc {
    Rpc::new(access, Arc::default()).unwrap()
}

/// A hash from how it is shown.
fn hash(shown: &str) -> BlockHash {
    let mut bytes: [u8; 32] = hex::decode(shown).unwrap().try_into().unwrap();
    bytes.reverse();
    BlockHash(bytes)
}

fn fault<T: std::fmt::Debug>(answer: Result<T, RpcError>) -> RpcFault {
    match answer {
        Err(RpcError::Fault { fault, .. }) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[tokio::test]
async fn all_that_a_node_tells_is_read_as_the_node_tells_another_client() {
    let Some(node) = Node::start("node: all answers", &[]) else { return };
    let traffic = Arc::new(Traffic::default());
    let rpc = Rpc::new(node.access(), Arc::clone(&traffic)).unwrap();
    node.generate(3);
    let tip = hash(&node.tip());

    assert_eq!(rpc.best_block_hash().await.unwrap(), tip);
    let (info, told) = (rpc.chain_info().await.unwrap(), node.call("getblockchaininfo", json!([])));
    assert_eq!((info.chain.as_str(), info.blocks, info.headers, info.best_block), ("regtest", 3, 3, tip));
    assert_eq!(info.chainwork.to_string(), told["chainwork"]);
    assert_eq!(info.initial_download, told["initialblockdownload"]);
    let (header, told) =
        (rpc.block_header(tip).await.unwrap(), node.call("getblockheader", json!([node.tip()])));
    assert_eq!((header.hash, header.nbits, header.height), (tip, 0x207f_ffff, 3));
    assert_eq!(header.median_time, told["mediantime"]);
    assert_eq!(header.standing(), Standing::Active { confirmations: 1 });
    assert_eq!(rpc.network_info().await.unwrap().connections, 0);

    let template = rpc.block_template().await.unwrap();
    let parsed: Value = serde_json::from_str(&template.text).unwrap();
    assert_eq!(
        (&parsed["height"], parsed["previousblockhash"].as_str()),
        (&json!(4), Some(node.tip().as_str()))
    );
    assert!(template.asked <= template.answered);
    let (read, written) = (traffic.read.load(Ordering::Relaxed), traffic.written.load(Ordering::Relaxed));
    assert!(read > template.text.len() as u64 && written > 5 * 50, "{read} {written}");
}

#[tokio::test]
async fn a_block_is_taken_once_and_its_standing_tells_the_rest() {
    let Some(node) = Node::start("node: submit", &[]) else { return };
    let rpc = client(node.access());
    node.generate(1);
    let ((shown, block), (_, rival)) = (node.unsubmitted_block("51"), node.unsubmitted_block("52"));
    let ours = hash(&shown);
    assert_eq!(rpc.standing(ours).await.unwrap(), Standing::Unknown);
    assert_eq!(rpc.propose(&block).await.unwrap(), Proposal::Sound);
    assert_eq!(rpc.submit_block(&block).await.unwrap(), Verdict::Accepted);
    assert_eq!(rpc.standing(ours).await.unwrap(), Standing::Active { confirmations: 1 });
    assert_eq!(rpc.submit_block(&block).await.unwrap(), Verdict::AskChain(Doubt::Duplicate));
    assert_eq!(rpc.propose(&block).await.unwrap(), Proposal::Known);

    assert_eq!(rpc.propose(&rival).await.unwrap(), Proposal::NotOnTip);
    assert_eq!(rpc.submit_block(&rival).await.unwrap(), Verdict::AskChain(Doubt::Inconclusive));
    node.call("invalidateblock", json!([shown]));
    assert_eq!(rpc.standing(ours).await.unwrap(), Standing::Beside);
    let refused = |verdict| matches!(verdict, Verdict::Refused { .. });
    assert!(refused(rpc.submit_block(&block).await.unwrap()));
    assert!(refused(rpc.submit_block(&block[..160]).await.unwrap()));
    assert!(matches!(rpc.propose(&block[..160]).await.unwrap(), Proposal::Refused { .. }));
}

#[tokio::test]
async fn a_new_block_ends_the_wait_while_another_call_brings_it() {
    let Some(node) = Node::start("node: wait", &[]) else { return };
    let rpc = Arc::new(client(node.access()));
    node.generate(1);
    let old = hash(&node.tip());
    let (shown, block) = node.unsubmitted_block("51");

    let waiting = tokio::spawn({
        let rpc = Arc::clone(&rpc);
        async move { (rpc.wait_for_new_block(Duration::from_secs(50), old).await, Instant::now()) }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    let submitted = Instant::now();
    assert_eq!(rpc.submit_block(&block).await.unwrap(), Verdict::Accepted);
    let (tip, at) = waiting.await.unwrap();
    let tip = tip.unwrap();
    assert_eq!(tip, hash(&shown));
    assert!(at - submitted < Duration::from_secs(10), "{:?}", at - submitted);

    // A tip that has changed already is told at once; one that has not when the time is over.
    let begun = Instant::now();
    assert_eq!(rpc.wait_for_new_block(Duration::from_secs(50), old).await.unwrap(), tip);
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(rpc.wait_for_new_block(Duration::from_millis(100), tip).await.unwrap(), tip);
}

#[tokio::test]
async fn a_node_that_was_killed_ends_the_wait_and_its_next_start_is_met_with_its_new_cookie() {
    let Some(mut node) = Node::start("node: kill", &[]) else { return };
    let rpc = Arc::new(client(node.access()));
    node.generate(1);
    let tip = hash(&node.tip());
    assert_eq!(rpc.best_block_hash().await.unwrap(), tip);
    let old_cookie = std::fs::read(node.cookie()).unwrap();
    let waiting = tokio::spawn({
        let rpc = Arc::clone(&rpc);
        async move { rpc.wait_for_new_block(Duration::from_secs(300), tip).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    node.kill();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, RpcError::Io { .. }), "{error}");
    let error = rpc.best_block_hash().await.unwrap_err();
    assert!(matches!(error, RpcError::Connect { .. }), "{error}");

    assert_eq!(std::fs::read(node.cookie()).unwrap(), old_cookie, "a killed node leaves its cookie behind");
    node.launch();
    let found = until_it_answers(&rpc).await;
    assert!(found.iter().all(is_of_a_start), "{found:?}");
    assert_ne!(std::fs::read(node.cookie()).unwrap(), old_cookie);
}

fn is_warm_up(error: &RpcError) -> bool {
    matches!(error, RpcError::Fault { fault: RpcFault::WarmingUp(_), .. })
}

/// What a node may be met with that is not yet up.
fn is_of_a_start(error: &RpcError) -> bool {
    let is_access = matches!(error, RpcError::Cookie(_) | RpcError::CookieRefused { .. });
    is_access || is_warm_up(error) || matches!(error, RpcError::Connect { .. } | RpcError::Io { .. })
}

/// Calls until there is an answer; gives what was said until then.
async fn until_it_answers(rpc: &Rpc) -> Vec<RpcError> {
    let (due, mut found) = (Instant::now() + Duration::from_secs(60), Vec::new());
    while let Err(error) = rpc.best_block_hash().await {
        assert!(Instant::now() < due, "{error}");
        found.push(error);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    found
}

#[tokio::test]
async fn a_start_is_followed_from_nothing_over_the_warm_up_to_the_first_answer() {
    let Some(mut node) = Node::start("node: start", &[]) else { return };
    let rpc = client(node.access());
    node.generate(100);
    node.stop();
    let error = rpc.best_block_hash().await.unwrap_err();
    assert!(
        matches!(&error, RpcError::Cookie(CookieError::File { path, .. }) if *path == *node.cookie()),
        "{error}"
    );
    node.launch();
    let found = until_it_answers(&rpc).await;
    assert!(found.iter().all(is_of_a_start), "{found:?}");
    assert!(found.iter().any(is_warm_up), "{found:?}");
}

#[tokio::test]
async fn a_login_is_taken_or_refused_and_never_shown() {
    let Some(node) = Node::start("node: password", &[USER]) else { return };
    let right = Credentials { user: "miner".into(), password: "secret".into() };
    let right = client(Access { login: Login::Password(right), ..node.access() });
    assert!(right.best_block_hash().await.is_ok());
    assert!(!format!("{right:?}").contains("secret"));

    let wrong = Credentials { user: "miner".into(), password: "another-secret".into() };
    let wrong = client(Access { login: Login::Password(wrong), ..node.access() });
    let error = wrong.best_block_hash().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    assert_eq!(fault(Err::<(), _>(error)), RpcFault::Unauthorized);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "__cookie__:old-secret").unwrap();
    let cookie = client(Access { login: Login::Cookie(vec![file.path().to_owned()]), ..node.access() });
    let error = cookie.best_block_hash().await.unwrap_err();
    assert!(matches!(&error, RpcError::CookieRefused { path } if path == file.path()), "{error}");
    assert!(!format!("{error:?} {cookie:?}").contains("secret"));
    std::fs::write(file.path(), "miner:secret").unwrap();
    assert!(cookie.best_block_hash().await.is_ok(), "the file is read again after a refusal");
}

#[tokio::test]
async fn a_method_outside_the_whitelist_is_told_by_name() {
    let options = [USER, "-rpcwhitelist=miner:getbestblockhash", "-rpcwhitelistdefault=0"];
    let Some(node) = Node::start("node: whitelist", &options) else { return };
    let user = Credentials { user: "miner".into(), password: "secret".into() };
    let rpc = client(Access { login: Login::Password(user), ..node.access() });
    assert!(rpc.best_block_hash().await.is_ok());
    let error = rpc.block_template().await.unwrap_err();
    assert!(error.to_string().starts_with("getblocktemplate: "), "{error}");
    assert_eq!(fault(Err::<(), _>(error)), RpcFault::Forbidden);
    let verdict = rpc.submit_block("00").await.unwrap();
    assert!(matches!(verdict, Verdict::Again { .. }), "no block is given up for a whitelist");
}

#[tokio::test]
async fn a_connection_that_the_node_has_closed_meanwhile_costs_no_call() {
    let Some(node) = Node::start("node: idle", &["-rpcservertimeout=1"]) else { return };
    let rpc = client(node.access());
    for _ in 0..4 {
        rpc.best_block_hash().await.unwrap();
        // Blocking on purpose: our side sees nothing of the end before its next call.
        std::thread::sleep(Duration::from_millis(2500));
    }
}

#[tokio::test]
async fn a_node_tells_what_waits_in_its_mempool_and_which_blocks_are_invalid() {
    let Some(node) = Node::start("node: mempool and invalid blocks", &[]) else { return };
    let rpc = client(node.access());
    node.call("generatetoaddress", json!([101, super::spend::segwit().to_string()]));
    super::spend::pass_on(&node, super::spend::of_block(&node, 1).unwrap());
    let waiting = node.call("getrawmempool", json!([]))[0].as_str().unwrap().to_owned();
    assert!(rpc.has_in_mempool(hash(&waiting).0).await.unwrap());
    assert!(!rpc.has_in_mempool([7; 32]).await.unwrap());
    let tip = node.tip();
    assert!(!rpc.is_invalid(hash(&tip)).await.unwrap());
    node.call("invalidateblock", json!([tip]));
    assert!(rpc.is_invalid(hash(&tip)).await.unwrap());
    assert!(!rpc.is_invalid(hash(&node.tip())).await.unwrap());
}
