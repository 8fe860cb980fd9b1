//! What holds for every log of events.

use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::*;
use crate::decision::acceptance::Acceptance;

const UPSTREAMS: usize = 4;

/// One line of a log: what happens how many milliseconds after the one before.
#[derive(Debug, Clone, Copy)]
struct Line {
    wait: u64,
    upstream: usize,
    what: What,
}

#[derive(Debug, Clone, Copy)]
enum What {
    Job { name: u8, height: u32, clean: bool, fees: u32, connection: u64, checked: u8 },
    Alive,
    Lost,
    Submitted,
    Answered { accepted: bool, code: i64, weight: f64 },
    NodeTip { name: u8 },
    NodeRefused { name: u8 },
    Device { flush: u16, boundary: u16 },
    Advice { hold: bool, confidence: f64 },
    Pass,
}

fn line() -> impl Strategy<Value = Line> {
    let job = (0..12u8, any::<bool>(), 0..10_000_000u32, 0..2u64, 0..12u8, any::<bool>());
    let job = job.prop_map(|(name, clean, fees, connection, checked, lies)| {
        let height = 1000 + u32::from(name / 2) + if lies && name > 9 { 3_000_000_000 } else { 0 };
        What::Job { name, height, clean, fees, connection, checked }
    });
    let answered = (any::<bool>(), 19..27i64, prop_oneof![Just(1.0), any::<f64>()])
        .prop_map(|(accepted, code, weight)| What::Answered { accepted, code, weight });
    let what = prop_oneof![
        8 => job,
        2 => Just(What::Alive),
        1 => Just(What::Lost),
        4 => Just(What::Submitted),
        4 => answered,
        1 => (0..12u8).prop_map(|name| What::NodeTip { name }),
        1 => (0..12u8).prop_map(|name| What::NodeRefused { name }),
        1 => (0..2000u16, 0..11_000u16).prop_map(|(flush, boundary)| What::Device { flush, boundary }),
        1 => (any::<bool>(), 0.0..1.0).prop_map(|(hold, confidence)| What::Advice { hold, confidence }),
        3 => Just(What::Pass),
    ];
    let wait = prop_oneof![4 => 0..2000u64, 1 => 0..200_000u64];
    (wait, 0..UPSTREAMS, what).prop_map(|(wait, upstream, what)| Line { wait, upstream, what })
}

fn log() -> impl Strategy<Value = Vec<Line>> {
    prop::collection::vec(line(), 1..150)
}

fn mixed() -> [Terms; UPSTREAMS] {
    [
        terms(Scheme::Pps, 0.011),
        terms(Scheme::Pplns, 0.013),
        terms(Scheme::SoloPool, 0.007),
        Terms { kappa: Some(0.3), ..terms(Scheme::Pplns, 0.002) },
    ]
}

/// Plays a log with upstream `n` of the log at place `places[n]`. Calls `look` after every line.
fn play(
    log: &[Line],
    places: [usize; UPSTREAMS],
    start: Instant,
    mut look: impl FnMut(&Decider, &Decision, Option<&JobFacts>, Instant),
) -> Vec<(Action, u8)> {
    let mut all = mixed();
    for (from, to) in places.iter().enumerate() {
        all[*to] = mixed()[from];
    }
    let mut decider = Decider::new(Settings::default(), &all, 7, start);
    let (mut now, mut shares, mut decisions) = (start, 0, Vec::new());
    for (at, line) in log.iter().enumerate() {
        now += Duration::from_millis(line.wait);
        let upstream = UpstreamId(places[line.upstream]);
        let mut told = None;
        let decision = match event(line, upstream, JobKey(at as u64 + 1), &mut shares) {
            Some(event) => {
                if let Event::Job(_, facts) = event {
                    told = Some(facts);
                }
                decider.handle(event, now)[0]
            }
            None => match line.what {
                What::Advice { hold, confidence } => {
                    let seen = decider.moment();
                    let until = now + Duration::from_secs(100);
                    let advice =
                        Advice { target: upstream, hold, confidence, until, seen, seen_soft: u64::MAX - 1 };
                    decider.advise(advice, now).unwrap_or_else(|_| decider.handle_timeout(now))[0]
                }
                _ => decider.handle_timeout(now)[0],
            },
        };
        look(&decider, &decision, told.as_ref(), now);
        decisions.push((decision.action, decision.line));
    }
    decisions
}

fn event(line: &Line, upstream: UpstreamId, key: JobKey, shares: &mut u64) -> Option<Event> {
    Some(match line.what {
        What::Job { name, height, clean, fees, connection, checked } => {
            let checked = match checked {
                0 => Checked::Rejected("bad"),
                1 => Checked::Hold("slow"),
                _ => Checked::Passed,
            };
            let facts = JobFacts {
                key,
                parent: [name; 32],
                height: Some(height),
                clean,
                fees: Some(fees.into()),
                connection,
                proven_parent: name % 3 != 0,
                checked,
            };
            Event::Job(upstream, facts)
        }
        What::Alive => Event::Alive(upstream),
        What::Lost => Event::Lost(upstream),
        What::Submitted => {
            *shares += 1;
            Event::Submitted(upstream, *shares)
        }
        What::Answered { accepted, code, weight } => Event::Answered {
            upstream,
            share: *shares,
            job: JobKey(key.0 / 2),
            accepted,
            code: Some(code),
            weight,
        },
        What::NodeTip { name } => Event::NodeTip { parent: [name; 32], height: 999 + u32::from(name / 2) },
        What::NodeRefused { name } => Event::NodeRefused { parent: [name; 32] },
        What::Device { flush, boundary } => Event::Device(DeviceFigures {
            flush: Duration::from_millis(flush.into()),
            cross: Duration::from_millis(flush.into()),
            boundary: Duration::from_millis(boundary.into()),
            next_boundary: None,
        }),
        What::Advice { .. } | What::Pass => return None,
    })
}

const IN_ORDER: [usize; UPSTREAMS] = [0, 1, 2, 3];

proptest! {
    #[test]
    fn every_value_is_a_number_within_what_is_paid_and_no_index_is_below_it(log in log()) {
        play(&log, IN_ORDER, Instant::now(), |decider, _, _, now| {
            for candidate in decider.candidates(now) {
                let Candidate { value, index, pay, r, v, avail, acc_mean, acc_sd, .. } = candidate;
                assert!(0.0 <= value && value <= pay * r && index >= value, "{candidate:?}");
                assert!([v, avail, acc_mean, acc_sd].iter().all(|part| (0.0..=1.0).contains(part)), "{candidate:?}");
                assert_eq!(decider.value(candidate.upstream, now), value);
            }
            assert!(decider.poll_timeout().is_none_or(|due| due > now), "a deadline is ahead");
        });
    }

    #[test]
    fn the_same_log_gives_the_same_decisions_and_the_order_of_upstreams_changes_none(
        log in log(),
        places in Just(IN_ORDER).prop_shuffle(),
    ) {
        let start = Instant::now();
        let nothing = |_: &Decider, _: &Decision, _: Option<&JobFacts>, _: Instant| ();
        let first = play(&log, IN_ORDER, start, nothing);
        prop_assert_eq!(&first, &play(&log, IN_ORDER, start, nothing));
        let moved = |action: &Action| match *action {
            Action::Flush(upstream, job) => Action::Flush(UpstreamId(places[upstream.0]), job),
            Action::Boundary(upstream, job) => Action::Boundary(UpstreamId(places[upstream.0]), job),
            other => other,
        };
        let expected: Vec<_> = first.iter().map(|(action, line)| (moved(action), *line)).collect();
        prop_assert_eq!(expected, play(&log, places, start, nothing));
    }

    #[test]
    fn only_the_newest_job_that_passed_is_ever_dispatched_and_none_on_a_refused_parent(log in log()) {
        let mut told: Vec<(UpstreamId, JobFacts)> = Vec::new();
        let mut refused: Vec<ParentHash> = Vec::new();
        let mut at = 0;
        play(&log, IN_ORDER, Instant::now(), |_, decision, facts, _| {
            let line = log[at];
            at += 1;
            if let What::NodeRefused { name } = line.what {
                refused.push([name; 32]);
            }
            told.extend(facts.map(|facts| (UpstreamId(line.upstream), *facts)));
            let (Action::Flush(upstream, key) | Action::Boundary(upstream, key)) = decision.action else { return };
            let own = told.iter().filter(|(of, _)| *of == upstream).map(|(_, facts)| facts);
            let job = own.clone().find(|facts| facts.key == key).expect("only what was told is dispatched");
            assert!(!matches!(job.checked, Checked::Rejected(_)), "{job:?}");
            let newer = own.filter(|facts| facts.key > key && facts.checked == Checked::Passed);
            assert_eq!(newer.count(), 0, "{job:?}");
            let is_flush = matches!(decision.action, Action::Flush(..));
            assert!(!is_flush || !refused.contains(&job.parent), "{job:?}");
        });
    }

    #[test]
    fn after_a_clean_new_parent_of_our_upstream_none_of_its_older_jobs_is_dispatched(log in log()) {
        let mut clean_since = [JobKey(0); UPSTREAMS];
        let mut at = 0;
        play(&log, IN_ORDER, Instant::now(), |_, decision, facts, _| {
            let upstream = log[at].upstream;
            at += 1;
            if let Some(facts) = facts.filter(|facts| facts.clean && facts.checked == Checked::Passed) {
                clean_since[upstream] = facts.key;
            }
            if let Action::Flush(upstream, key) | Action::Boundary(upstream, key) = decision.action {
                assert!(key >= clean_since[upstream.0]);
            }
        });
    }

    #[test]
    fn one_more_reject_never_raises_the_acceptance(
        shares in prop::collection::vec((any::<bool>(), 0..1000u64), 1..200),
        turned: prop::sample::Index,
    ) {
        let start = Instant::now();
        let mean = |turned: Option<usize>| {
            let (mut acceptance, mut now) = (Acceptance::new(Learning::default(), start), start);
            for (at, (accepted, wait)) in shares.iter().enumerate() {
                now += Duration::from_secs(*wait);
                acceptance.count(*accepted && turned != Some(at), 1.0, now);
            }
            acceptance.mean_and_sd(now).0
        };
        prop_assert!(mean(Some(turned.index(shares.len()))) <= mean(None));
    }
}

#[test]
fn income_grows_with_the_hash_rate_and_no_choice_depends_on_it() {
    // Nothing that a decider is told holds a hash rate; what is earned is proportional to it.
    let reward = Reward { subsidy: 3e8, mean_fees: 2e6 };
    let income = |rate| reward.income(crate::work::HashRate(rate), 5e23);
    assert!((income(2e14) / income(1e14) - 2.0).abs() < 1e-12);
}

#[test]
fn upstreams_that_nobody_named_change_nothing() {
    let now = Instant::now();
    let mut decider = Decider::new(Settings::default(), &[], 1, now);
    let nobody = UpstreamId(usize::MAX);
    let answered = Event::Answered {
        upstream: nobody,
        share: 1,
        job: JobKey(1),
        accepted: false,
        code: None,
        weight: 1.0,
    };
    for event in [Event::Alive(nobody), Event::Lost(nobody), Event::Submitted(nobody, 1), answered] {
        assert_eq!(decider.handle(event, now)[0].action, Action::Keep);
    }
    decider.set_probe_plan(nobody, now);
    assert_eq!(
        (decider.value(nobody, now), decider.spells(nobody).len(), decider.candidates(now).len()),
        (0.0, 0, 0)
    );
}
