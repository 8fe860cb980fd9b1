//! What refused jobs bring upon their upstream, and for how long.

use super::*;

#[test]
fn three_refused_jobs_within_ten_minutes_quarantine_a_pool_for_a_time_that_doubles() {
    let mut mine = Mine::checking();
    mine.gives(SPARE, &named("spare", &real()));
    mine.gives(POOL, &named("a", &real()));
    mine.passes(200);
    assert_eq!(mine.newest_job().as_deref(), Some("a"));
    for minutes in [10, 20] {
        for id in ["b", "c"] {
            mine.gives(POOL, &impossible(id));
            assert_eq!(*mine.verdict(POOL), Verdict::Fine);
        }
        mine.passes(601);
        mine.gives(POOL, &impossible("d"));
        assert_eq!(*mine.verdict(POOL), Verdict::Fine, "the first two are forgotten");
        mine.gives(POOL, &impossible("e"));
        mine.gives(POOL, &impossible("f"));
        let Verdict::Quarantine(reason) = mine.verdict(POOL) else { panic!("{:?}", mine.verdict(POOL)) };
        assert!(reason.contains(&format!("left alone for {minutes} minutes: check 3000")), "{reason}");
        assert_eq!(mine.newest_job().as_deref(), Some("spare"));
        mine.passes(60 * minutes - 1);
        assert!(matches!(mine.verdict(POOL), Verdict::Quarantine(_)));
        mine.passes(1);
        assert_eq!(*mine.verdict(POOL), Verdict::Fine);
    }
}

#[test]
fn a_quarantine_ends_when_it_was_said_to_whatever_the_pool_sends_meanwhile() {
    let mut mine = Mine::checking();
    mine.gives(SPARE, &named("spare", &real()));
    let refused = |mine: &mut Mine| mine.gives(POOL, &impossible("a"));
    (0..3).for_each(|_| refused(&mut mine));
    let told = |report: &Report| matches!(report, Report::Judged(POOL, Verdict::Quarantine(_)));
    assert!(mine.reports.iter().any(told), "though it never gave work");
    for _ in 0..599 {
        mine.passes(1);
        refused(&mut mine);
        let Verdict::Quarantine(reason) = mine.verdict(POOL) else { panic!("{:?}", mine.verdict(POOL)) };
        assert!(reason.contains("left alone for 10 minutes"), "{reason}");
    }
    mine.passes(1);
    assert_eq!(*mine.verdict(POOL), Verdict::Fine);
    (0..2).for_each(|_| refused(&mut mine));
    assert_eq!(*mine.verdict(POOL), Verdict::Fine, "those of the quarantine are no strikes");
    refused(&mut mine);
    let Verdict::Quarantine(reason) = mine.verdict(POOL) else { panic!("{:?}", mine.verdict(POOL)) };
    assert!(reason.contains("left alone for 20 minutes"), "{reason}");
}
