//! Our calls against servers that are no node, or one at its worst.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use signalcore::protocol::json_rpc::RpcFault;
use signalcore::protocol::node_answers::{Doubt, Verdict};
use signalcore::upstream::node::login::Login;
use signalcore::upstream::node::rpc::{Access, Rpc, RpcError};
use signalcore::work::BlockHash;

use super::false_node::{Asked, FalseNode};

const TIP: &str = "\"00000000000000000000000000000000000000000000000000000000000000aa\"";

fn client(node: &FalseNode) -> Rpc {
    Rpc::new(node.access(), Arc::default()).unwrap()
}

#[tokio::test]
async fn a_pooled_connection_that_ends_unanswered_is_tried_once_more_and_no_oftener() {
    let node = FalseNode::start(|before, mut asked: Asked| match before {
        0 | 2 => asked.result(TIP),
        _ => asked.hang_up(),
    });
    let rpc = client(&node);
    rpc.best_block_hash().await.unwrap();
    rpc.best_block_hash().await.unwrap(); // asked twice
    let error = rpc.best_block_hash().await.unwrap_err(); // asked twice
    assert!(matches!(error, RpcError::Io { .. }), "{error}");
    let connections: Vec<_> = node.seen.try_iter().map(|(connection, _)| connection).collect();
    assert_eq!(connections, [1, 1, 2, 3, 4]);
}

#[tokio::test]
async fn each_block_and_each_wait_has_a_fresh_connection_and_is_asked_once() {
    let node = FalseNode::start(|before, mut asked: Asked| match before {
        0 | 1 => asked.result("null"),
        2 => asked.result(&format!("{{\"hash\":{TIP},\"height\":1}}")),
        _ => asked.hang_up(),
    });
    let rpc = client(&node);
    assert_eq!(rpc.submit_block("00").await.unwrap(), Verdict::Accepted);
    assert_eq!(rpc.submit_block("00").await.unwrap(), Verdict::Accepted);
    rpc.wait_for_new_block(Duration::from_secs(1), BlockHash([1; 32])).await.unwrap();
    assert!(matches!(rpc.submit_block("00").await, Err(RpcError::Io { .. })));
    let connections: Vec<_> = node.seen.try_iter().map(|(connection, _)| connection).collect();
    assert_eq!(connections, [1, 2, 3, 4]);
}

#[tokio::test]
async fn an_answer_without_end_is_left_at_the_limit_announced_or_not() {
    let node = FalseNode::start(|before, mut asked: Asked| {
        if before == 0 {
            asked.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
            return;
        }
        asked.write(b"HTTP/1.1 200 OK\r\n\r\n");
        while asked.write(&[b' '; 16384]) {}
    });
    let rpc = client(&node);
    for _ in 0..2 {
        let error = rpc.best_block_hash().await.unwrap_err();
        assert!(matches!(error, RpcError::TooLarge { limit: 1_048_576, .. }), "{error}");
    }
    let error = rpc.block_template().await.unwrap_err();
    assert!(matches!(error, RpcError::TooLarge { limit: 67_108_864, .. }), "{error}");
}

#[tokio::test]
async fn a_head_without_end_is_left_too() {
    let node = FalseNode::start(|_, mut asked: Asked| {
        asked.write(b"HTTP/1.1 200 OK\r\n");
        while asked.write(b"x-a: b\r\n") {}
    });
    let error = client(&node).chain_info().await.unwrap_err();
    assert!(matches!(error, RpcError::Io { .. }), "{error}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_drips_is_given_up() {
    let node = FalseNode::start(|before, mut asked: Asked| {
        if before > 0 {
            asked.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        }
        while before > 0 && asked.write(b" ") {
            sleep(Duration::from_millis(100));
        }
    });
    let rpc = client(&node);
    let begun = Instant::now();
    for _ in 0..2 {
        let error = rpc.best_block_hash().await.unwrap_err();
        assert!(matches!(error, RpcError::Timeout { .. }), "{error}");
    }
    let taken = begun.elapsed();
    assert!((Duration::from_secs(20)..Duration::from_secs(40)).contains(&taken), "{taken:?}");
}

#[tokio::test]
async fn a_redirect_is_not_followed_since_the_login_would_go_with_it() {
    let other = FalseNode::start(|_, mut asked: Asked| asked.result(TIP));
    let Access { host, port, .. } = other.access();
    let to = format!("HTTP/1.1 307 Moved\r\nLocation: http://{host}:{port}/\r\nContent-Length: 0\r\n\r\n");
    let node = FalseNode::start(move |_, mut asked: Asked| {
        asked.write(to.as_bytes());
    });
    let error = client(&node).best_block_hash().await.unwrap_err();
    assert!(matches!(error, RpcError::Fault { fault: RpcFault::Empty { status: 307 }, .. }), "{error}");
    assert!(other.seen.try_recv().is_err());
}

#[tokio::test]
async fn what_is_no_node_is_told_apart_from_one() {
    let header = format!(
        "{{\"hash\":{TIP},\"confirmations\":1,\"height\":1,\"time\":1,\"mediantime\":1,\"bits\":\"207fffff\",\"chainwork\":\"{}\"}}",
        "0".repeat(64)
    );
    let node = FalseNode::start(move |before, mut asked: Asked| match before {
        0 => asked.answer("200 OK", "<html>hello</html>"),
        1 => {
            asked.write(b"220 mail.example ESMTP\r\n");
            asked.hang_up();
        }
        2 => asked.result("{\"wrong\":\x22shape\x22}"),
        3 => asked.result(&header),
        _ => {
            asked.id += 1;
            asked.result("null");
        }
    });
    let rpc = client(&node);
    let error = rpc.best_block_hash().await.unwrap_err();
    assert!(matches!(error, RpcError::Fault { fault: RpcFault::NotJson { status: 200, .. }, .. }), "{error}");
    let error = rpc.submit_block("00").await.unwrap_err();
    assert!(matches!(error, RpcError::Io { .. }), "{error}");
    let error = rpc.submit_block("00").await.unwrap();
    assert!(matches!(error, Verdict::AskChain(Doubt::Unknown(_))), "{error:?}");
    let error = rpc.standing(BlockHash([1; 32])).await.unwrap_err();
    assert!(matches!(&error, RpcError::Answer { .. }), "the header of another block says nothing: {error}");
    let verdict = rpc.submit_block("00").await.unwrap();
    assert!(
        matches!(verdict, Verdict::Again { .. }),
        "the answer to another call accepts nothing: {verdict:?}"
    );
}

#[tokio::test]
async fn a_refused_cookie_is_read_anew_and_tried_once_more() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "u:old").unwrap();
    let path = file.path().to_owned();
    let node = FalseNode::start(move |before, mut asked: Asked| match before {
        1 => {
            std::fs::write(&path, "u:new").unwrap();
            asked.answer("401 Unauthorized", "");
        }
        _ => asked.result(TIP),
    });
    let login = Login::Cookie(vec![file.path().to_owned()]);
    let rpc = Rpc::new(Access { login, ..node.access() }, Arc::default()).unwrap();
    rpc.best_block_hash().await.unwrap();
    rpc.best_block_hash().await.unwrap();
    let logins: Vec<_> = node.seen.try_iter().map(|(_, login)| login).collect();
    assert_eq!(logins, ["Basic dTpvbGQ=", "Basic dTpvbGQ=", "Basic dTpuZXc="]);
}

#[tokio::test]
async fn a_node_that_takes_no_tip_to_wait_for_is_asked_to_wait_without_one() {
    let node = FalseNode::start(|_, mut asked: Asked| {
        if asked.params.as_array().unwrap().len() == 1 {
            return asked.result(&format!("{{\"hash\":{TIP},\"height\":7}}"));
        }
        let error = r#"{"code":-1,"message":"waitfornewblock ( timeout )"}"#;
        let body = format!(r#"{{"result":null,"error":{error},"id":{}}}"#, asked.id);
        asked.answer("500 Internal Server Error", &body);
    });
    let rpc = client(&node);
    for _ in 0..2 {
        let tip = rpc.wait_for_new_block(Duration::from_secs(1), BlockHash([1; 32])).await.unwrap();
        assert_eq!(format!("\"{tip}\""), TIP);
    }
    assert_eq!(node.seen.try_iter().count(), 3, "it is known the second time");
}

#[tokio::test]
async fn a_template_of_megabytes_comes_byte_for_byte() {
    let template = format!("{{\"data\": \"{}\"}}", "0a".repeat(4_000_000));
    let node = FalseNode::start({
        let template = template.clone();
        move |_, mut asked: Asked| asked.result(&template)
    });
    assert!(client(&node).block_template().await.unwrap().text == template);
}

#[test]
fn a_host_that_is_none_is_refused_before_any_call() {
    let login = || Login::Cookie(vec!["x".into()]);
    for host in ["", "a b", "user@host", "host/path", "host?", "host#", "[::1]", "1.2.3.4.5.6"] {
        let access = Access { host: host.to_owned(), port: 8332, login: login() };
        let error = Rpc::new(access, Arc::default()).unwrap_err();
        assert!(matches!(error, RpcError::Address { .. }), "{host}: {error}");
    }
    for host in ["localhost", "127.0.0.1", "::1", "bitcoin-node.lan"] {
        let access = Access { host: host.to_owned(), port: 8332, login: login() };
        assert!(Rpc::new(access, Arc::default()).is_ok(), "{host}");
    }
}
