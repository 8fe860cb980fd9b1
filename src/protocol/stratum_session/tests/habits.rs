//! What a pool's verdicts teach of its ways.

use super::*;
use crate::protocol::lessons::ConfigureHabit;
use crate::work::RejectKind;

/// A job whose own version has a bit inside the mask.
fn signalling(pair: &mut Pair) -> Arc<Job> {
    pair.says(json!({"id": null, "method": "mining.notify",
        "params": ["bits", "01".repeat(32), "01", "02", [], "20004000", "1d00ffff", "60000000", false]}));
    pair.jobs().pop().unwrap()
}

fn lessons(events: Vec<Event>) -> Vec<String> {
    let lesson = |event| if let Event::Learnt(lesson) = event { Some(lesson.to_string()) } else { None };
    events.into_iter().filter_map(lesson).collect()
}

fn refuse(pair: &mut Pair, id: u64) {
    pair.says(json!({"id": id, "result": null, "error": [23, "Difficulty too low", null]}));
}

/// The version bits of the submits since the last look.
fn bits(pair: &mut Pair) -> Vec<Value> {
    pair.sent().iter().map(|line| line["params"][5].clone()).collect()
}

#[test]
fn a_refusal_where_the_conventions_differ_teaches_the_other_one_and_says_so_once() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = signalling(&mut pair);
    pair.submit(&job);
    pair.submit(&job);
    assert_eq!(bits(&mut pair), ["00004000", "00004000"]);
    refuse(&mut pair, 4);
    let events = pair.events();
    assert_eq!(
        lessons(events),
        [
            "it reads version bits as the difference to the job's (XOR): shares name those from now on (switch 1)"
        ]
    );
    refuse(&mut pair, 5);
    assert!(lessons(pair.events()).is_empty(), "it was on its way");
    pair.submit(&job);
    assert_eq!(bits(&mut pair), ["00000000"]);
    pair.says(json!({"id": 6, "result": true, "error": null}));
    pair.session.handle_disconnected(true);
    pair.mining("0c0d");
    let job = signalling(&mut pair);
    pair.submit(&job);
    assert_eq!(bits(&mut pair), ["00000000"], "the next connection knows it");
    pair.session.handle_disconnected(true);
    pair.session.handle_moved();
    pair.mining("0e0f");
    let job = signalling(&mut pair);
    pair.submit(&job);
    assert_eq!(bits(&mut pair), ["00004000"], "another host does not");
}

#[test]
fn refusals_that_say_nothing_of_the_version_teach_nothing() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let plain = pair.jobs().remove(0);
    pair.submit(&plain);
    refuse(&mut pair, 4);
    let job = signalling(&mut pair);
    pair.submit(&job);
    pair.says(json!({"id": 5, "result": null, "error": [21, "Job not found", null]}));
    pair.submit(&job);
    pair.says(json!({"id": 6, "result": null, "error": [20, "Worker mismatch", null]}));
    pair.submit(&job);
    pair.says(json!({"method": "mining.set_difficulty", "params": [1e60]}));
    refuse(&mut pair, 7);
    let events = pair.events();
    let rejected =
        |event: &&Event| matches!(event, Event::Answered(Answered { outcome: Outcome::Rejected(_), .. }));
    assert_eq!(events.iter().filter(rejected).count(), 3);
    assert!(lessons(events).is_empty());
}

#[test]
fn a_refusal_without_a_word_counts_as_one_for_difficulty() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = signalling(&mut pair);
    pair.submit(&job);
    pair.says(json!({"id": 4, "result": false, "error": null}));
    let events = pair.events();
    assert!(matches!(&events[1], Event::Answered(Answered { outcome: Outcome::Rejected(reject), .. })
        if reject.kind == RejectKind::Other));
    assert_eq!(lessons(events).len(), 1);
}

fn set_difficulty(pair: &mut Pair, difficulty: f64) {
    pair.says(json!({"id": null, "method": "mining.set_difficulty", "params": [difficulty]}));
}

#[test]
fn a_share_that_misses_a_difficulty_raised_since_its_job_is_withheld_and_one_that_meets_it_is_sent() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    set_difficulty(&mut pair, 1e-7);
    let shares: Vec<_> = std::iter::repeat_with(|| pair.share(&job)).take(2000).collect();
    let meets = |share: &Share| share.difficulty().value() >= 1e-7;
    let (good, low) = (shares.iter().find(|share| meets(share)), shares.iter().find(|share| !meets(share)));
    pair.session.submit(low.unwrap().clone(), pair.now);
    assert_eq!((pair.sent().len(), pair.outcomes()), (0, vec![Outcome::Withheld]));
    pair.session.submit(good.unwrap().clone(), pair.now);
    assert_eq!(methods(&pair.sent()), ["mining.submit"]);
    set_difficulty(&mut pair, 1e-12);
    pair.session.submit(low.unwrap().clone(), pair.now);
    assert_eq!(methods(&pair.sent()), ["mining.submit"], "what is in force now counts");
}

#[test]
fn a_block_is_sent_however_high_the_difficulty_has_become() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    pair.says(json!({"method": "mining.notify",
        "params": ["easy", "00".repeat(32), "01", "02", [], "20000000", "207fffff", "60000000", true]}));
    let job = pair.jobs().pop().unwrap();
    set_difficulty(&mut pair, 1e60);
    let block = std::iter::repeat_with(|| pair.share(&job)).find(|share| share.solves_block()).unwrap();
    pair.session.submit(block, pair.now);
    assert_eq!(methods(&pair.sent()), ["mining.submit"]);
}

#[test]
fn ckpool_gets_every_share_that_meets_its_own_job_until_it_refuses_one() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    pair.says_text(r#"{"params": [1e60], "id": null, "method": "mining.set_difficulty"}"#).unwrap();
    let job = pair.jobs().remove(0);
    pair.submit(&job);
    pair.submit(&job);
    assert_eq!(pair.sent().len(), 2);
    pair.says(json!({"id": 4, "result": true, "error": null}));
    assert_eq!(pair.outcomes(), [Outcome::Accepted]);
    refuse(&mut pair, 5);
    let learnt = "a new difficulty counts at once there: shares of the running job are held to a higher one from now on";
    assert_eq!(lessons(pair.events()), [learnt]);
    pair.submit(&job);
    assert_eq!((pair.sent().len(), pair.outcomes()), (0, vec![Outcome::Withheld]));
}

#[test]
fn a_pool_that_took_shares_without_answering_configure_is_not_asked_at_every_other_connection() {
    let mut pair = Pair::new(config());
    let mut opens = |answers: bool| {
        pair.connect();
        let asked = methods(&pair.sent()).contains(&"mining.configure");
        let ids = if asked { [2, 3, 4] } else { [1, 2, 3] };
        pair.says(json!({"id": ids[0], "result": [[], "0a0b", 4], "error": null}));
        pair.says(json!({"id": ids[1], "result": true, "error": null}));
        set_difficulty(&mut pair, 1e-9);
        pair.notify("a", 1, true);
        let job = pair.jobs().pop().unwrap();
        pair.submit(&job);
        pair.says(json!({"id": ids[2], "result": true, "error": null}));
        if answers {
            pair.says(json!({"id": 1, "result": {"version-rolling": false}, "error": null}));
        }
        let lessons = pair.session.lessons();
        pair.session.handle_disconnected(true);
        (asked, lessons.configure)
    };
    assert_eq!(opens(false), (true, ConfigureHabit::Silent), "a program that ends now remembers it");
    assert_eq!(opens(false), (false, ConfigureHabit::Silent));
    assert_eq!(opens(true), (true, ConfigureHabit::Answers), "it was only slow");
    assert_eq!(opens(true), (true, ConfigureHabit::Answers));
}

#[test]
fn ten_refusals_in_a_row_end_the_connection_as_a_refusal_and_an_accepted_share_forgives_them() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    let mut answers = |verdicts: &[bool]| {
        let line = |pair: &mut Pair, accepted| {
            pair.submit(&job);
            let id = pair.sent()[0]["id"].clone();
            let error = if accepted { Value::Null } else { json!([20, "Unacceptable", null]) };
            pair.says_text(&json!({"id": id, "result": accepted, "error": error}).to_string())
        };
        verdicts.iter().map(|accepted| line(&mut pair, *accepted)).collect::<Vec<_>>()
    };
    assert!(answers(&[false; 9]).iter().all(Result::is_ok));
    assert!(answers(&[true]).iter().all(Result::is_ok));
    let last = answers(&[false; 10]).pop().unwrap().unwrap_err();
    assert_eq!(last.to_string(), "the pool refuses 10 shares in a row, the last: Unacceptable");
    assert!(last.is_refusal());
    assert_eq!(pair.outcomes().len(), 20, "the last one has its outcome too");
}

#[test]
fn refusals_of_what_was_overtaken_on_its_way_do_not_count() {
    let mut pair = Pair::new(config());
    pair.mining("0a0b");
    let job = pair.jobs().remove(0);
    (0..12).for_each(|_| pair.submit(&job));
    pair.notify("clean", 1, true);
    for id in 4..16 {
        pair.says(json!({"id": id, "result": null, "error": [21, "Stale", null]}));
    }
    let job = signalling(&mut pair);
    (0..12).for_each(|_| pair.submit(&job));
    (16..28).for_each(|id| refuse(&mut pair, id));
    (0..9).for_each(|_| pair.submit(&job));
    set_difficulty(&mut pair, 1e60);
    (28..37).for_each(|id| refuse(&mut pair, id));
}

#[test]
fn public_pool_gets_the_difference_from_the_first_share_on() {
    let mut pair = Pair::connected();
    pair.says(json!({"id": 1, "result": {"version-rolling": true, "version-rolling.mask": "1fffe000"}}));
    pair.says(json!({"id": 2, "result": [[["mining.notify", "0a0b0c0d"]], "0a0b0c0d", 4], "error": null}));
    pair.says(json!({"id": 3, "result": true, "error": null}));
    pair.says(json!({"method": "mining.set_difficulty", "params": [1e-9]}));
    let job = signalling(&mut pair);
    pair.sent();
    pair.submit(&job);
    assert_eq!(bits(&mut pair), ["00000000"]);
}
