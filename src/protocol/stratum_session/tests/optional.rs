//! The requests that no pool needs to know.

use super::*;
use crate::work::HashRate;

/// Finds ten shares of difficulty 1024 a minute.
const RATE: HashRate = HashRate(1024.0 * 4.295e9 / 6.0);

/// A session that suggests difficulties by its rate, mining at difficulty 1e-9.
fn wishing() -> Pair {
    let mut pair = Pair::new(SessionConfig { suggest_difficulty: Suggestion::Auto, ..config() });
    pair.session.handle_rate(RATE, pair.now);
    pair.mining("0a0b");
    pair
}

/// Lets the time come that the session waits for.
fn waits(pair: &mut Pair) {
    pair.now = pair.session.poll_timeout().unwrap();
    pair.session.handle_timeout(pair.now).unwrap();
}

fn hangs_up(pair: &mut Pair) {
    pair.session.handle_disconnected(true);
}

#[test]
fn a_difficulty_that_suits_the_rate_is_suggested_after_a_minute_and_not_before_the_worker_is_authorised() {
    let mut pair = Pair::new(SessionConfig { suggest_difficulty: Suggestion::Auto, ..config() });
    pair.connect();
    pair.sent();
    pair.session.handle_rate(RATE, pair.now);
    pair.says(json!({"id": 2, "result": [[], "0a0b", 4], "error": null}));
    pair.notify("early", 1, true);
    assert_eq!(methods(&pair.sent()), ["mining.authorize"]);
    pair.passes(10).unwrap();
    pair.says(json!({"id": 3, "result": true, "error": null}));
    assert_eq!(pair.session.poll_timeout(), Some(pair.now + Duration::from_secs(60)));
    pair.passes(59).unwrap();
    assert!(pair.sent().is_empty());
    pair.passes(1).unwrap();
    assert_eq!(pair.sent(), [json!({"id": 4, "method": "mining.suggest_difficulty", "params": [512]})]);
    pair.says(json!({"method": "mining.set_difficulty", "params": [512]}));
    pair.notify("next", 1, true);
    pair.passes(179).unwrap();
    assert!(pair.sent().is_empty(), "it suits now");
}

#[test]
fn a_pool_that_refuses_a_suggestion_gets_no_other() {
    let mut pair = wishing();
    waits(&mut pair);
    let id = pair.sent()[0]["id"].clone();
    pair.says(json!({"id": id, "result": null, "error": [-3, "Method not found", null]}));
    for _ in 0..20 {
        pair.notify("n", 1, false);
        pair.passes(100).unwrap();
    }
    assert!(pair.sent().is_empty());
    assert!(pair.session.lessons().hangs_up_on.is_empty());
}

#[test]
fn a_pool_that_hangs_up_on_a_suggestion_is_remembered_for_it() {
    let mut pair = wishing();
    waits(&mut pair);
    pair.sent();
    pair.events();
    hangs_up(&mut pair);
    let events = pair.events();
    assert!(matches!(&events[..], [Event::Learnt(lesson)]
        if lesson.to_string() == "it hangs up on mining.suggest_difficulty, which it is not sent any more"));
    let lessons = pair.session.lessons();
    let mut later = Pair::new(SessionConfig { suggest_difficulty: Suggestion::Auto, ..config() });
    later.session.recall(lessons);
    later.session.handle_rate(RATE, later.now);
    later.mining("0c0d");
    later.passes(100).unwrap();
    assert!(later.sent().is_empty());
}

#[test]
fn a_pool_that_hangs_up_later_than_that_has_another_reason() {
    let mut pair = wishing();
    waits(&mut pair);
    pair.passes(5).unwrap();
    hangs_up(&mut pair);
    assert!(pair.session.lessons().hangs_up_on.is_empty());
}

#[test]
fn what_the_operator_wants_sent_is_kept_back_after_two_hang_ups_until_one_comes_without_it() {
    let wanted = Suggestion::Fixed(Difficulty::new(0.5).unwrap());
    let mut pair = Pair::new(SessionConfig { suggest_difficulty: wanted, ..config() });
    let mut opens = |outlives: bool| {
        pair.connect();
        pair.sent();
        pair.says(json!({"id": 1, "result": {"version-rolling": false}}));
        pair.says(json!({"id": 2, "result": [[], "0a0b", 4], "error": null}));
        pair.says(json!({"id": 3, "result": true, "error": null}));
        let asked = methods(&pair.sent()) == ["mining.authorize", "mining.suggest_difficulty"];
        if outlives {
            pair.passes(5).unwrap();
        }
        hangs_up(&mut pair);
        asked
    };
    assert!(opens(false));
    assert!(opens(true), "it may have been a restart");
    assert!(opens(false) && opens(false), "two in a row count");
    assert!(!opens(true) && !opens(false));
    assert!(opens(true), "it hangs up without it too");
}
