//! Ways to a pool: who is believed over TLS and who is not, and what goes through a proxy.

use std::net::TcpListener;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::identity::{Authority, Identity};
use crate::socks::SocksProxy;
use crate::support::{Miner, ScriptedConnection, ScriptedPool, signalcore, skipped};

const HERE: &[&str] = &["127.0.0.1"];

fn tls_pool(identity: Identity) -> ScriptedPool {
    ScriptedPool::listen_at("127.0.0.1:0", Some(identity)).unwrap()
}

/// A miner that leaves the processor to other tests: a share is a matter of a few thousand hashes.
fn start_with(url: &str, more: &[&str], environment: &[(&str, &str)]) -> Miner {
    Miner::start_with(url, more, &[&[("SIGNALCORE_CPU_DUTY_PERCENT", "10")], environment].concat())
}

/// A miner for which the authorities of the system are those of a file.
fn start(url: &str, more: &[&str], system: &str) -> Miner {
    start_with(url, more, &[("SSL_CERT_FILE", system)])
}

/// A share comes through and is accepted.
fn gets_a_share_accepted(miner: &mut Miner, connection: &mut ScriptedConnection) {
    connection.answer("mining.submit", json!(true));
    miner.wait_for_shares(1);
}

fn mines(pool: &ScriptedPool, mut miner: Miner) {
    let mut connection = pool.accept_mining();
    gets_a_share_accepted(&mut miner, &mut connection);
    assert_eq!(miner.stop().code, Some(0));
}

fn is_down(event: &Value) -> bool {
    event["state"] == "down"
}

/// The miner connects, but says nothing; its reason has these parts. Each miner has a pool of its own, for it may
/// have tried again before it is stopped.
fn refused(identity: &Identity, more: &[&str], system: &str, parts: &[&str]) {
    let pool = tls_pool(identity.clone());
    let mut miner = start(&pool.url, more, system);
    assert_eq!(pool.accept().request("mining.subscribe"), None, "no line may come");
    says_why(&mut miner, &[&[format!("no TLS with {}: ", pool.address()).as_str()], parts].concat());
    assert_eq!(miner.stop().code, Some(0));
}

fn says_why(miner: &mut Miner, parts: &[&str]) {
    let down = miner.wait_for("a failure to connect", is_down);
    let reason = down["reason"].as_str().unwrap();
    for part in parts {
        assert!(reason.contains(part), "{part} is not in: {reason}");
    }
}

#[test]
fn every_way_to_trust_a_pool_lets_it_pass() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let pool = tls_pool(authority.vouch(HERE));
    let pin = pool.identity.as_ref().unwrap().pin.clone();
    let base64 = BASE64_STANDARD.encode(hex::decode(&pin).unwrap());
    mines(&pool, start(&pool.url, &[], authority.path()));
    mines(&pool, start(&pool.url, &["--tls-ca", authority.path()], stranger.path()));
    mines(&pool, start(&pool.url, &["--tls-pin", &base64], stranger.path()));
    mines(&pool, start(&pool.url, &["--tls-ca", authority.path(), "--tls-pin", &pin], stranger.path()));
    let pool = tls_pool(Identity::self_signed(&["elsewhere.example.com"]));
    let pin = pool.identity.as_ref().unwrap().pin.clone();
    mines(&pool, start(&pool.url, &["--tls-pin", &pin], stranger.path()));
}

#[test]
fn every_scheme_for_tls_is_tls() {
    let authority = Authority::new();
    let pool = tls_pool(authority.vouch(HERE));
    for scheme in ["stratum+tls", "stratum+tcps", "ssl", "TLS"] {
        let url = format!("{scheme}://{}/path", pool.address());
        mines(&pool, start(&url, &["--tls-ca", authority.path()], authority.path()));
    }
}

/// Attack 6.
#[test]
fn a_certificate_that_proves_nothing_is_refused_with_the_remedy_and_the_pin_found() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ca = ["--tls-ca", authority.path()];
    for (identity, more, fault) in [
        (
            Identity::self_signed(HERE),
            &[][..],
            "signed by nobody who is trusted here; if the pool has an authority",
        ),
        (stranger.vouch(HERE), &ca, "signed by nobody who is trusted here; if the pool has an authority"),
        (authority.vouched_long_ago(HERE), &ca, "has run out 2"),
        (
            authority.vouch(&["pool.example.com"]),
            &ca,
            "is for pool.example.com, not for 127.0.0.1; write the host as the pool names it",
        ),
    ] {
        let confirm = "only if the pool confirms by another way that its key is the one found, set tls_pin";
        let confirm = format!("{confirm} = \"{}\"", identity.pin);
        refused(&identity, more, authority.path(), &["its certificate ", fault, &confirm]);
    }
}

#[test]
fn a_pin_that_does_not_fit_is_refused_whoever_vouches() {
    let authority = Authority::new();
    let identity = authority.vouch(HERE);
    let found = format!("set tls_pin = \"{}\"", identity.pin);
    let other = Identity::self_signed(HERE).pin;
    let wrong = ["--tls-pin", &other, "--tls-ca", authority.path()];
    let fault =
        "its public key is not the one of tls_pin: it has a new one, or somebody else answers in its place";
    refused(&identity, &wrong, authority.path(), &[fault, &found]);
    refused(&identity, &wrong[..2], authority.path(), &[fault, &found]);
    let whole = ["--tls-pin", &identity.fingerprint];
    let fault =
        "tls_pin is the fingerprint of the whole certificate, and that of the public key in it is wanted";
    refused(&identity, &whole, authority.path(), &[fault, &found]);
}

#[test]
fn a_pin_does_not_stand_in_for_the_authority_that_is_named_too() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let identity = stranger.vouch(HERE);
    let more = ["--tls-pin", &identity.pin, "--tls-ca", authority.path()];
    refused(&identity, &more, stranger.path(), &["signed by nobody who is trusted here"]);
}

/// Attack 1.
#[test]
fn a_certificate_that_changes_between_connections_is_refused_until_the_old_one_is_back() {
    let old = Identity::self_signed(HERE);
    let mut pool = tls_pool(old.clone());
    let mut miner = start_with(&pool.url, &["--tls-pin", &old.pin], &[]);
    gets_a_share_accepted(&mut miner, &mut pool.accept_mining());
    pool.identity = Some(Identity::self_signed(HERE));
    assert_eq!(pool.accept().request("mining.subscribe"), None, "no line may come");
    miner.wait_for("the new key", |event| {
        event["reason"].as_str().is_some_and(|reason| reason.contains("is not the one of tls_pin"))
    });
    pool.identity = Some(old);
    let mut connection = pool.accept_mining();
    connection.answer("mining.submit", json!(true));
    miner.wait_for_shares(2);
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn without_any_authority_the_miner_does_not_start_and_says_what_to_do() {
    let mut command = signalcore(&["mine", "--pool", "ssl://127.0.0.1:1", "--user", "u"]);
    let output = command.env("SSL_CERT_FILE", "/no/such/file").output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.starts_with("signalcore: pool stratum+ssl://127.0.0.1:1: this system has no certificates of"),
        "{text}"
    );
    assert!(
        text.contains("ca-certificates") && text.contains("tls_ca") && text.contains("tls_pin"),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(78));
}

/// Attack 5.
#[test]
fn a_pool_in_plain_text_behind_a_url_for_tls_gets_no_line() {
    let pin = Identity::self_signed(HERE).pin;
    let tells = |answer: fn(ScriptedConnection) -> Option<ScriptedConnection>, part: &str| {
        let pool = ScriptedPool::listen();
        let time = [("SIGNALCORE_STRATUM_CONNECT_TIMEOUT", "1")];
        let mut miner = start_with(&pool.url.replace("tcp", "ssl"), &["--tls-pin", &pin], &time);
        let _connection = answer(pool.accept());
        says_why(&mut miner, &[part]);
        assert_eq!(miner.stop().code, Some(0));
    };
    let speaks = |mut connection: ScriptedConnection| {
        connection.say(json!({"id": null, "result": null, "error": "what is that?"}));
        Some(connection)
    };
    tells(speaks, "what answers there does not speak TLS; check the port, or write stratum+tcp://");
    tells(Some, "within 1 s: it does not answer the TLS handshake; check that the pool has TLS on this port");
    tells(|_| None, "it hangs up during the handshake; check that the pool has TLS on this port");
}

#[test]
fn a_pool_over_tls_behind_a_url_in_plain_text_is_told() {
    let pool = tls_pool(Identity::self_signed(HERE));
    let mut miner = start_with(&pool.url.replace("ssl", "tcp"), &[], &[]);
    assert_eq!(pool.accept().request("mining.subscribe"), None);
    says_why(&mut miner, &["the pool speaks TLS on this port; write stratum+ssl:// for it"]);
    assert_eq!(miner.stop().code, Some(0));
}

/// Attack 26.
#[test]
fn shares_come_through_a_proxy_which_hears_the_name_of_the_pool() {
    let pool = ScriptedPool::listen();
    let proxy = SocksProxy::start(None, pool.address());
    let miner = start_with("pool.example.com:3333", &["--proxy", &proxy.url()], &[]);
    mines(&pool, miner);
    assert_eq!(proxy.asked(), "name pool.example.com:3333");
    // cgminer's spelling.
    let miner = start_with(&format!("socks5:{}|stratum+tcp://192.0.2.7:1", proxy.address), &[], &[]);
    mines(&pool, miner);
    assert_eq!(proxy.asked(), "address 192.0.2.7:1");
}

#[test]
fn shares_come_over_tls_through_a_proxy_with_user_and_password_which_nobody_prints() {
    let authority = Authority::new();
    let pool = tls_pool(authority.vouch_behind_its_name("pool.example.com"));
    let proxy = SocksProxy::start(Some(("alice", "hun:ter@2")), pool.address());
    let url = format!("socks5://alice:hun:ter@2@{}", proxy.address);
    let more = ["--proxy", &url, "--tls-ca", authority.path()];
    let mut miner = start_with("ssl://pool.example.com:4333", &more, &[("SIGNALCORE_LOG", "trace")]);
    gets_a_share_accepted(&mut miner, &mut pool.accept_mining());
    let ended = miner.stop();
    assert_eq!((ended.code, proxy.asked().as_str()), (Some(0), "name pool.example.com:4333"));
    let printed = format!("{}{}", ended.errors, json!(ended.events));
    assert!(!printed.contains("alice") && !printed.contains("ter@2"), "{printed}");
}

#[test]
fn a_proxy_that_does_not_help_is_told_apart_from_the_pool() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let closed = SocksProxy::start(Some(("alice", "right")), nobody);
    let with = |login: &str| format!("socks5://{login}{}", closed.address);
    let no_proxy = ScriptedPool::listen();
    for (proxy, part) in [
        (with("alice:hunter2@"), "it refuses the user or password; correct them in the pool's proxy"),
        (with(""), "it wants a user and password; write proxy = \"socks5://USER:PASSWORD@HOST:PORT\""),
        (
            with("alice:right@"),
            "it does not reach the pool (Connection refused); check the pool's host and port",
        ),
    ] {
        let mut miner = start_with("pool.example.com:3333", &["--proxy", &proxy], &[]);
        says_why(&mut miner, &[&format!("no way through the proxy {}: {part}", closed.address)]);
        let ended = miner.stop();
        assert!(!json!(ended.events).to_string().contains("hunter2"), "{:#?}", ended.events);
    }
    let mut miner = start_with("pool.example.com:3333", &["--proxy", &format!("socks5://{nobody}")], &[]);
    says_why(&mut miner, &["the proxy is out of reach: cannot connect to ", "refused"]);
    miner.stop();
    let mut miner =
        start_with("pool.example.com:3333", &["--proxy", &format!("socks5://{}", no_proxy.address())], &[]);
    no_proxy.accept().say(json!({"id": 1, "result": true, "error": null}));
    says_why(
        &mut miner,
        &["what answers there does not speak SOCKS5; check host and port of the pool's proxy"],
    );
    miner.stop();
}

#[test]
fn a_pool_at_an_ipv6_address_is_reached_in_plain_text_over_tls_and_through_a_proxy() {
    let authority = Authority::new();
    let Ok(plain) = ScriptedPool::listen_at("[::1]:0", None) else {
        return skipped("a_pool_at_an_ipv6_address", "this machine has no IPv6");
    };
    mines(&plain, start_with(&plain.url, &[], &[]));
    let pool = ScriptedPool::listen_at("[::1]:0", Some(authority.vouch(&["::1"]))).unwrap();
    let proxy = SocksProxy::start(None, pool.address());
    mines(&pool, start_with(&pool.url, &["--tls-ca", authority.path()], &[]));
    mines(&pool, start_with(&pool.url, &["--tls-ca", authority.path(), "--proxy", &proxy.url()], &[]));
    assert_eq!(proxy.asked(), format!("address {}", pool.address()));
}

#[test]
fn a_redirect_over_tls_stays_on_tls_and_the_proxy_and_may_leave_the_host_but_not_its_proof() {
    let authority = Authority::new();
    let pool = tls_pool(authority.vouch(&["eu.example.com", "us.example.com"]));
    let proxy = SocksProxy::start(None, pool.address());
    let more = ["--proxy", &proxy.url(), "--tls-ca", authority.path()];
    let mut miner = start_with("ssl://eu.example.com:4333", &more, &[]);
    let redirect = json!({"id": null, "method": "client.reconnect", "params": ["us.example.com", 4334, 0]});
    let mut connection = pool.accept_mining();
    connection.say(redirect.clone());
    let mut connection = pool.accept_mining();
    gets_a_share_accepted(&mut miner, &mut connection);
    assert_eq!([proxy.asked(), proxy.asked()], ["name eu.example.com:4333", "name us.example.com:4334"]);
    assert_eq!(miner.stop().code, Some(0));

    let pool = tls_pool(authority.vouch(&["eu.example.com"]));
    let proxy = SocksProxy::start(None, pool.address());
    let more = ["--proxy", &proxy.url(), "--tls-ca", authority.path()];
    let mut miner = start_with("ssl://eu.example.com:4333", &more, &[]);
    pool.accept_mining().say(redirect);
    assert_eq!(pool.accept().request("mining.subscribe"), None, "no line may come");
    says_why(
        &mut miner,
        &["no TLS with us.example.com:4334: its certificate is for eu.example.com, not for us"],
    );
    let mut connection = pool.accept_mining();
    gets_a_share_accepted(&mut miner, &mut connection);
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn xnsub_behind_the_url_asks_that_pool_for_new_extranonces() {
    let pool = ScriptedPool::listen();
    let miner = start_with(&format!("{}#xnsub", pool.url), &[], &[]);
    let mut connection = pool.accept();
    connection.subscribe(json!([[], "0a0b0c0d", 4]));
    connection.answer("mining.authorize", json!(true));
    assert!(connection.request("mining.extranonce.subscribe").is_some());
    assert_eq!(miner.stop().code, Some(0));
}
