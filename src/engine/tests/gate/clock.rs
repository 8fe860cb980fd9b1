//! A clock of ours that all pools contradict, and a pool that would have us believe so.

use super::*;

/// The third pool.
const LAST: UpstreamId = UpstreamId(2);
/// By how much our clock is slow, seconds: a job of the present is then refused.
const SLOW: u32 = 8_000;

/// A job of so many seconds ahead of our clock.
fn ahead(id: &str, seconds: u32) -> Job {
    let mut job = named(id, &real());
    job.header.ntime += seconds;
    job
}

fn three(terms: [UpstreamTerms; 3]) -> Mine {
    let mut mine = Mine::with_terms(Policy { hot_standbys: 2, ..Policy::default() }, &terms);
    mine.add_board(CPU);
    mine
}

fn three_pools() -> Mine {
    three([UpstreamTerms::pool(1); 3])
}

impl Mine {
    fn of_newest(&self, upstream: UpstreamId) -> Option<String> {
        self.engine.upstreams.find(upstream).newest_job().map(|job| job.id.to_string())
    }

    fn is_quarantined(&self, upstream: UpstreamId) -> bool {
        matches!(self.verdict(upstream), Verdict::Quarantine(_))
    }
}

#[test]
fn a_clock_of_ours_that_is_slow_stops_nobody_once_two_pools_say_so() {
    let mut mine = three_pools();
    for nth in 0..10 {
        mine.gives(POOL, &ahead(&format!("a {nth}"), SLOW));
        mine.passes(10);
    }
    assert_eq!(mine.of_newest(POOL), None, "it may be the pool's clock");
    assert!(!mine.is_quarantined(POOL), "and as well ours");
    let last = ahead("a", SLOW);
    mine.gives(POOL, &last);
    mine.gives(SPARE, &ahead("b", SLOW + 100));
    assert_eq!((mine.of_newest(POOL).as_deref(), mine.of_newest(SPARE).as_deref()), (Some("a"), Some("b")));
    assert_eq!(mine.newest_job().as_deref(), Some("a"), "it has not failed");
    mine.gives(LAST, &ahead("c", SLOW));
    assert_eq!(mine.of_newest(LAST).as_deref(), Some("c"));
    let told = mine.found();
    let about_clock = told.iter().filter(|(_, found)| found.code == "clock-is-off").count();
    assert_eq!(about_clock, 3, "{told:?}");
    let found = mine.found().last().unwrap().1.found.clone();
    assert!(found.starts_with("this machine's clock 80"), "{found}");
}

#[test]
fn a_pool_alone_moves_no_clock_and_is_quarantined_when_the_others_contradict_it() {
    let mut mine = three_pools();
    mine.gives(SPARE, &ahead("b", 0));
    for id in ["a", "a 2", "a 3"] {
        assert!(!mine.is_quarantined(POOL));
        mine.gives(POOL, &ahead(id, SLOW));
    }
    assert!(mine.is_quarantined(POOL));
    mine.gives(LAST, &ahead("c", 0));
    mine.gives(SPARE, &ahead("b 2", 1));
    assert_eq!((mine.of_newest(POOL), mine.newest_job().as_deref()), (None, Some("b 2")));
    assert!(mine.found().iter().all(|(_, found)| found.code == "time-too-new"), "{:?}", mine.found());
}

#[test]
fn many_connections_to_pools_of_one_operator_have_one_voice() {
    let two = UpstreamTerms { operator: Some(0), ..UpstreamTerms::pool(1) };
    let mut mine = three([two, two, UpstreamTerms::pool(1)]);
    let of = |id: &str, extranonce1: u8| {
        let extranonce1 = Extranonce1::new(vec![extranonce1; 4]).unwrap();
        let job = ahead(id, SLOW);
        Job { coinbase: Coinbase { extranonce1, ..job.coinbase.clone() }, ..job }
    };
    mine.gives(POOL, &of("a", 1));
    mine.gives(SPARE, &of("b", 2));
    mine.gives(POOL, &of("a 2", 1));
    assert_eq!((mine.of_newest(POOL), mine.of_newest(SPARE)), (None, None));
    mine.gives(LAST, &ahead("c", 0));
    assert_eq!(mine.newest_job().as_deref(), Some("c"));
    assert_eq!(
        (mine.of_newest(POOL), mine.of_newest(SPARE)),
        (None, None),
        "two connections are no majority"
    );
}

#[test]
fn a_pool_in_quarantine_for_something_else_has_no_voice() {
    let mut mine = three_pools();
    let wrong = || {
        let mut job = ahead("wrong", SLOW);
        job.coinbase.coinb2 = Box::default();
        job
    };
    mine.gives(LAST, &ahead("c", 0));
    for _ in 0..3 {
        mine.gives(POOL, &wrong());
    }
    assert!(mine.is_quarantined(POOL), "{:?}", mine.found());
    mine.lost(LAST);
    mine.gives(SPARE, &ahead("b", SLOW));
    assert_eq!(mine.of_newest(SPARE), None);
    mine.gives(LAST, &ahead("c", SLOW));
    assert_eq!((mine.of_newest(SPARE).as_deref(), mine.of_newest(LAST).as_deref()), (Some("b"), Some("c")));
}

#[test]
fn what_was_held_against_a_pool_for_its_time_is_taken_back_when_others_say_the_same() {
    let mut mine = three_pools();
    mine.gives(SPARE, &ahead("b", 0)); // its clock is as slow as ours
    for id in ["a", "a 2", "a 3"] {
        mine.gives(POOL, &ahead(id, SLOW));
    }
    assert!(mine.is_quarantined(POOL));
    mine.gives(LAST, &ahead("c", SLOW));
    assert_eq!((mine.of_newest(POOL).as_deref(), mine.of_newest(LAST).as_deref()), (Some("a 3"), Some("c")));
    assert!(!mine.is_quarantined(POOL));
}

#[test]
fn a_clock_that_is_set_back_while_mining_turns_nobody_away() {
    let mut mine = three_pools();
    mine.gives(POOL, &ahead("a", 0));
    mine.gives(SPARE, &ahead("b", 0));
    mine.passes(30);
    let slow = CLOCK - u64::from(SLOW) + 30;
    mine.engine.handle_job(POOL, Arc::new(ahead("a 2", 30)), mine.now, mine.now, slow);
    mine.drain();
    assert_eq!(mine.newest_job().as_deref(), Some("a 2"));
    assert_eq!(mine.found().last().map(|(id, found)| (*id, found.code)), Some((0, "clock-is-off")));
}

#[test]
fn a_standby_that_rests_is_still_heard_until_one_of_our_clocks_has_jumped() {
    let mut mine = three_pools();
    mine.gives(POOL, &ahead("a", SLOW));
    mine.gives(SPARE, &ahead("b", SLOW));
    mine.lost(SPARE);
    let gives = |mine: &mut Mine, id, ntime, unix| {
        let job = Arc::new(ahead(id, ntime));
        mine.engine.handle_job(POOL, job, mine.now, mine.now, unix);
        mine.drain();
    };
    mine.now += Duration::from_secs(7_000);
    gives(&mut mine, "a 2", SLOW + 7_000, CLOCK + 7_000);
    assert_eq!(mine.of_newest(POOL).as_deref(), Some("a 2"));
    // The machine sleeps for three hours, which its time of day alone has noticed.
    gives(&mut mine, "a 3", SLOW + 18_000, CLOCK + 18_000);
    assert_eq!(mine.of_newest(POOL).as_deref(), Some("a 2"), "nobody else is known to say so");
}
