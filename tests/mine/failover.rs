//! Several pools over real sockets: who is mined for when one fails, and that nothing is lost on the way.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::support::{Ended, Miner, ScriptedConnection, ScriptedPool, good_job};

/// A pool that serves by itself: every connection gets a job, and every share is accepted.
struct ServingPool {
    address: SocketAddr,
    url: String,
    is_over: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    thread: JoinHandle<()>,
}

impl ServingPool {
    fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let streams = Arc::new(Mutex::new(Vec::new()));
        let (over, kept) = (Arc::clone(&is_over), Arc::clone(&streams));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                kept.lock().unwrap().push(stream.try_clone().unwrap());
                std::thread::spawn(move || serve(ScriptedConnection::over(stream)));
            }
        });
        Self { address, url: format!("stratum+tcp://{address}"), is_over, streams, thread }
    }

    /// Cuts all connections and takes no further one.
    fn kill(self) {
        self.is_over.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).unwrap();
        self.thread.join().unwrap();
        for stream in self.streams.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }
}

/// Greets and accepts what is submitted until the miner hangs up.
pub(crate) fn serve(mut connection: ScriptedConnection) -> Option<()> {
    connection.greet()?;
    loop {
        let id = connection.request("mining.submit")?["id"].clone();
        connection.say(json!({"id": id, "result": true, "error": null}));
    }
}

fn is_switch_to(pool: usize) -> impl Fn(&Value) -> bool {
    move |event| event["state"] == "switched" && event["pool"] == pool
}

fn is_share_of(pool: usize) -> impl Fn(&Value) -> bool {
    move |event| event["result"] == "accepted" && event["pool"] == pool
}

/// The pools' figures in the summary.
fn upstreams(ended: &Ended) -> Vec<Value> {
    assert_eq!(ended.code, Some(0), "{}", ended.errors);
    ended.events.last().unwrap()["upstreams"].as_array().unwrap().clone()
}

const BACK_AFTER_A_SECOND: (&str, &str) = ("SIGNALCORE_UPSTREAMS_RETURN_AFTER", "1");

#[test]
fn a_killed_pool_gives_way_to_the_standby_and_takes_over_again_after_the_set_time() {
    let (first, second) = (ServingPool::start(), ServingPool::start());
    let address = first.address.to_string();
    let mut miner = Miner::start_with(&first.url, &["--pool", &second.url], &[BACK_AFTER_A_SECOND]);
    miner.wait_for("a share for the first", is_share_of(0));
    miner.wait_for("the standby", |event| event["state"] == "mining" && event["pool"] == 1);
    first.kill();
    let is_because = |event: &Value| event["reason"] == "pool 0: the pool closed the connection";
    miner.wait_for("the switch", |event| is_switch_to(1)(event) && is_because(event));
    miner.wait_for("a share for the second", is_share_of(1));
    let _again = ServingPool::start_at(&address);
    let back = miner.wait_for("the way back", |event| {
        event["reason"] == "pool 0 has been healthy for 1 s" && event["pool"] == 0
    });
    assert_eq!((&back["from_pools"], &back["to_pools"]), (&json!([1]), &json!([0])));
    let ended = miner.stop();
    let figures = upstreams(&ended);
    assert_eq!(figures[0]["connections"], 2);
    let summary = ended.events.last().unwrap();
    assert_eq!(summary["failovers"], 1);
    assert!(summary["failover_ms"]["max"].as_f64() > Some(0.0), "{summary:#}");
    for figures in &figures {
        assert!(figures["answer_ms"]["p99"].as_f64() > Some(0.0), "{figures:#}");
        assert!(
            figures["hashes"].as_u64() > Some(0) && figures["bytes_read"].as_u64() > Some(100),
            "{figures:#}"
        );
    }
}

#[test]
fn a_cold_standby_is_connected_only_when_it_is_needed() {
    let (first, second) = (ServingPool::start(), ServingPool::start());
    let cold = [("SIGNALCORE_UPSTREAMS_HOT_STANDBYS", "0")];
    let mut miner = Miner::start_with(&first.url, &["--pool", &second.url], &cold);
    miner.wait_for_several(5, "shares for the first", is_share_of(0));
    assert!(second.streams.lock().unwrap().is_empty(), "{:#?}", miner.told());
    first.kill();
    miner.wait_for("the switch", is_switch_to(1));
    miner.wait_for("a share for the second", is_share_of(1));
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn a_pool_that_is_down_and_a_name_that_does_not_resolve_hold_nobody_up_at_the_start() {
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let pool = ServingPool::start();
    let nowhere = "stratum+tcp://no-such-host.invalid:3333";
    let down = format!("stratum+tcp://{down}");
    let mut miner = Miner::start_with(nowhere, &["--pool", &down, "--pool", &pool.url], &[]);
    miner.wait_for("a share for the third", is_share_of(2));
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn shares_on_their_way_when_hashing_goes_elsewhere_are_still_answered() {
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let slow = ScriptedPool::listen();
    let at_once = [("SIGNALCORE_UPSTREAMS_RETURN_AFTER", "0")];
    let better = format!("stratum+tcp://{down}");
    let mut miner = Miner::start_with(&better, &["--pool", &slow.url], &at_once);
    let mut connection = slow.accept_mining();
    let ids: Vec<_> = (0..5).map(|_| connection.request("mining.submit").unwrap()["id"].clone()).collect();
    let _better = ServingPool::start_at(&down);
    miner.wait_for("the switch", is_switch_to(0));
    for id in ids {
        connection.say(json!({"id": id, "result": true, "error": null}));
    }
    miner.wait_for_several(5, "shares for the slow one", is_share_of(1));
    let figures = upstreams(&miner.stop());
    assert_eq!((&figures[1]["accepted"], &figures[1]["connections"]), (&json!(5), &json!(1)));
}

#[test]
fn a_pool_that_takes_shares_and_answers_none_is_suspect_and_another_is_mined_for() {
    let (silent, answering) = (TcpListener::bind("127.0.0.1:0").unwrap(), ServingPool::start());
    let url = format!("stratum+tcp://{}", silent.local_addr().unwrap());
    let impatient = [("SIGNALCORE_UPSTREAMS_SLOW_ANSWER", "5")];
    let mut miner = Miner::start_with(&url, &["--pool", &answering.url], &impatient);
    let stream = silent.accept().unwrap().0;
    let mut answers = ScriptedConnection::over(stream.try_clone().unwrap());
    let (sender, ids) = channel();
    std::thread::spawn(move || {
        let mut connection = ScriptedConnection::over(stream);
        connection.greet()?;
        while let Some(share) = connection.request("mining.submit") {
            sender.send(share["id"].clone()).ok()?;
        }
        Some(())
    });
    let suspect = miner.wait_for("the suspicion", |event| event["state"] == "suspect");
    assert_eq!((&suspect["pool"], &suspect["reason"]), (&json!(0), &json!("no answer to a share for 5 s")));
    miner.wait_for("the switch", |event| is_switch_to(1)(event) && event["from_pools"] == json!([0]));
    miner.wait_for("a share for the other", is_share_of(1));
    for id in ids.try_iter() {
        answers.say(json!({"id": id, "result": true, "error": null}));
    }
    miner.wait_for("its good name", |event| event["state"] == "trusted" && event["pool"] == 0);
    assert_eq!(miner.stop().code, Some(0));
}

/// Attack 8.
#[test]
fn nbits_that_two_other_pools_contradict_put_a_pool_in_quarantine() {
    let pools: Vec<_> = (0..3).map(|_| ScriptedPool::listen()).collect();
    let hot = [("SIGNALCORE_UPSTREAMS_HOT_STANDBYS", "2"), ("SIGNALCORE_VALIDATION_LEVEL", "4000")];
    let others = ["--pool", &pools[1].url, "--pool", &pools[2].url];
    let mut miner = Miner::start_with(&pools[0].url, &others, &hot);
    let mut connections: Vec<_> = pools.iter().map(ScriptedPool::accept_mining).collect();
    for (connection, nbits) in connections.iter_mut().zip(["1d00ffff", "1702355e", "1702355e"]) {
        let mut job = good_job("on a block", false);
        // Height 900000 as BIP 34 writes it, in a coinbase that says so.
        job["params"][2] = format!("0100000001{}ffffffff0c03a0bb0d", "00".repeat(32)).into();
        job["params"][6] = nbits.into();
        connection.say(job);
        if nbits == "1d00ffff" {
            // Later its job would not be let in.
            miner.wait_for("the first job", |event| event["event"] == "job");
        }
    }
    let quarantined = miner.wait_for("the quarantine", |event| event["state"] == "quarantined");
    assert_eq!(quarantined["pool"], 0);
    let reason = quarantined["reason"].as_str().unwrap();
    assert!(reason.contains("nbits 1d00ffff") && reason.contains("2 other pools (1702355e)"), "{reason}");
    miner.wait_for("the switch", is_switch_to(1));
    assert_eq!(miner.stop().code, Some(0));
}

#[test]
fn hashing_is_split_among_pools_by_their_weights() {
    let (first, second) = (ServingPool::start(), ServingPool::start());
    let arguments =
        ["--pool", &second.url, "--pool-weight", "3", "--pool-weight", "1", "--strategy", "quota"];
    let miner = Miner::start_with(&first.url, &arguments, &[("SIGNALCORE_STOP_SECONDS", "10")]);
    let figures = upstreams(&miner.end());
    let hashes: Vec<_> = figures.iter().map(|figures| figures["hashes"].as_f64().unwrap()).collect();
    let part = hashes[1] / (hashes[0] + hashes[1]);
    // Slices of two seconds in ten: one slice more or less.
    assert!((0.05..0.48).contains(&part), "{hashes:?}");
    assert!(figures.iter().all(|figures| figures["accepted"].as_u64() > Some(0)), "{figures:?}");
}

#[test]
fn a_miner_that_was_asleep_goes_on() {
    let pool = ServingPool::start();
    let address = pool.address.to_string();
    let mut miner = Miner::start(&pool.url, &[]);
    miner.wait_for_shares(3);
    miner.signal(rustix::process::Signal::STOP);
    pool.kill();
    let _pool = ServingPool::start_at(&address);
    miner.signal(rustix::process::Signal::CONT);
    miner.wait_for("a new connection", |event| event["state"] == "down");
    miner.wait_for_shares(10);
    assert_eq!(miner.stop().code, Some(0));
}
