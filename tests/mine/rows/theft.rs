//! Attacks on the operator's earnings and secrets, by the pool or by somebody in between.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use super::play::{GENTLE, Play};
use crate::identity::Identity;
use crate::support::{Miner, PATIENCE, ScriptedPool};

/// Somebody on the path to `pool` who keeps all that goes by. Gives the address to connect to, and what was kept.
fn tapped(pool: &ScriptedPool) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, to) = (listener.local_addr().unwrap().to_string(), pool.address());
    let kept = Arc::new(Mutex::new(Vec::new()));
    let tap = Arc::clone(&kept);
    thread::spawn(move || {
        for miner in listener.incoming().map_while(Result::ok) {
            let pool = TcpStream::connect(to).unwrap();
            let (miner_too, pool_too) = (miner.try_clone().unwrap(), pool.try_clone().unwrap());
            let (there, back) = (Arc::clone(&tap), Arc::clone(&tap));
            thread::spawn(move || listen_in(miner, pool, &there));
            thread::spawn(move || listen_in(pool_too, miner_too, &back));
        }
    });
    (address, kept)
}

fn listen_in(mut from: TcpStream, mut to: TcpStream, kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        kept.lock().unwrap().extend_from_slice(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

/// Attack 2.
#[test]
fn who_taps_a_connection_over_tls_reads_no_share_no_user_and_no_password() {
    for is_tls in [false, true] {
        let identity = Identity::self_signed(&["127.0.0.1"]);
        let pin = identity.pin.clone();
        let pool = ScriptedPool::listen_at("127.0.0.1:0", is_tls.then_some(identity)).unwrap();
        let (address, kept) = tapped(&pool);
        let url = format!("{}://{address}", if is_tls { "stratum+ssl" } else { "stratum+tcp" });
        let mut more = vec!["--password", "hunter2", "--user", "somebody.rig"];
        if is_tls {
            more.extend(["--tls-pin", &pin]);
        }
        let miner = Miner::run(&[&["--pool", &url], &more[..]].concat(), &[GENTLE]);
        let mut play = Play::with(pool, miner);
        "somebody.rig".clone_into(&mut play.book.user);
        play.greet();
        play.share();
        play.ends();
        let kept = kept.lock().unwrap();
        let text = String::from_utf8_lossy(&kept);
        for secret in ["mining.submit", "hunter2", "somebody.rig", "0a0b0c0d"] {
            // In plain text all of it is there, so the tap works.
            assert_eq!(text.contains(secret), !is_tls, "{secret}");
        }
    }
}

/// Attack 3.
#[test]
fn a_redirect_to_a_stranger_or_a_bare_address_is_told_and_the_mining_goes_on_where_it_was() {
    let mut play = Play::mining();
    for (host, reason) in [
        ("thief.example.com", "thief.example.com is not of this pool's domain"),
        ("127.0.0.2", "127.0.0.2 is a bare address"),
        ("::1", "::1 is a bare address"),
        ("pool.com\r\nevil", "the host is"),
    ] {
        play.notify("client.reconnect", json!([host, 3333, 0]));
        play.told("complaint", reason);
        play.share();
    }
    let other = ScriptedPool::listen();
    play.notify("client.reconnect", json!(["", other.address().port(), 0]));
    let Play { miner, .. } = play;
    let mut play = Play::with(other, miner);
    // Another session: this book knows nothing of the first one's shares.
    play.subscribe("ffeeddcc", 4);
    play.begin();
    // A second within the minute is a loop.
    play.notify("client.reconnect", json!(["", 1, 0]));
    play.told("complaint", "once a minute");
    play.shares(2);
    play.ends();
}

/// Attack 23.
#[test]
fn a_password_reaches_the_pool_alone_and_no_output_whatever_is_logged() {
    let mut play = Play::mining_with(
        &["--password", "hunter2,d=8"],
        &[("SIGNALCORE_LOG", "trace"), ("RUST_BACKTRACE", "1")],
    );
    assert!(play.heard.iter().any(|line| line.contains("hunter2")), "it is what authorises");
    play.notify("client.reconnect", json!(["thief.example.com", 3333, 0]));
    play.told("complaint", "thief.example.com is not of this pool's domain");
    play.refuse(json!({"result": false, "error": [24, "Unauthorized worker", null]}));
    let ended = play.ends_refused();
    let printed = format!("{}{}", ended.errors, json!(ended.events));
    assert!(printed.contains("mining.submit") && !printed.contains("hunter2"), "{printed}");
}

/// The versions of TLS that a ClientHello offers in the extension `supported_versions` (43). Source: RFC 8446, 4.1.2.
fn offered_versions(hello: &[u8]) -> BTreeSet<u16> {
    let number = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    let session = 5 + 4 + 2 + 32; // headers of record and handshake, version, random
    let suites = session + 1 + usize::from(hello[session]);
    let compression = suites + 2 + number(suites);
    let extensions = compression + 1 + usize::from(hello[compression]);
    let (mut at, end) = (extensions + 2, extensions + 2 + number(extensions));
    while at < end {
        let (kind, length) = (number(at), number(at + 2));
        if kind == 43 {
            let versions = &hello[at + 5..at + 4 + length];
            return versions.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        }
        at += 4 + length;
    }
    BTreeSet::new()
}

/// Attack 25.
#[test]
fn no_version_of_tls_below_1_2_is_offered_or_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ssl://{}", listener.local_addr().unwrap());
    let pin = Identity::self_signed(&["127.0.0.1"]).pin;
    let mut miner = Miner::start_with(&url, &["--tls-pin", &pin], &[GENTLE]);
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut header = [0; 5];
    stream.read_exact(&mut header).unwrap();
    let mut hello = vec![0; u16::from_be_bytes([header[3], header[4]]).into()];
    stream.read_exact(&mut hello).unwrap();
    let offered = offered_versions(&[&header[..], &hello].concat());
    assert_eq!(offered, BTreeSet::from([0x0303, 0x0304]), "TLS 1.2 and 1.3");
    // A ServerHello of TLS 1.1, with the suite 0x002f.
    let body = [&[3, 2][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
    let server_hello = [&[2, 0, 0, body.len() as u8][..], &body].concat();
    let record = [&[22, 3, 2, 0, server_hello.len() as u8][..], &server_hello].concat();
    stream.write_all(&record).unwrap();
    let told = miner.wait_for("the refusal", |event: &Value| event["state"] == "down");
    assert!(told["reason"].as_str().unwrap().contains("no TLS with"), "{told}");
    assert_eq!(miner.stop().code, Some(0));
}
