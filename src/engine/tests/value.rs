//! The strategy `value`: whom the value rule has the engine hash for, and when boards change over.

use super::*;
use crate::decision::{JobKey, Reason, Scheme, Terms};
use crate::engine::advice::AskTerms;
use crate::model::advisor::Advised;
use crate::model::learned;
use crate::model::output::Word;
use crate::validate::Level;
use crate::work::{Outcome, Reject, RejectKind};

impl Mine {
    /// Pools that pay for each share, with these fees.
    fn of_value(fees: &[f64]) -> Self {
        let mut mine = Self::new();
        let pool = |fee: &f64| UpstreamTerms {
            value: Terms { fee: *fee, payout_factor: 1.0, scheme: Scheme::Pps, kappa: None, vouches: false },
            ..UpstreamTerms::pool(1)
        };
        let terms: Vec<_> = fees.iter().map(pool).collect();
        // Made-up jobs would fail every check.
        let validation = Level::new(0).unwrap();
        let policy = Policy { strategy: Strategy::Value, validation, ..Policy::default() };
        mine.engine = Engine::new(policy, &terms, mine.now);
        mine.add_board(CPU);
        mine
    }

    fn goes_on(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.passes(1);
            self.engine.handle_timeout(self.now);
            self.drain();
        }
    }

    fn chosen(&self) -> Vec<usize> {
        self.engine.active.iter().map(|id| id.0).collect()
    }

    /// The id of the job that a board has.
    fn hashed_by(&self, board: BoardId) -> String {
        self.engine.in_flight.newest(board).unwrap().work.job().id.to_string()
    }
}

/// A job of this name on this parent; `tip` grows when older ones are void.
fn on(id: &str, parent: u8, tip: u64) -> Job {
    let mut job = job(id);
    job.header.prev_hash = [parent; 32];
    job.epoch = Epoch { session: 0, tip };
    job
}

#[test]
fn the_pool_that_pays_most_is_moved_to_once_it_has_been_usable() {
    let mut mine = Mine::of_value(&[0.02, 0.005]);
    mine.job(POOL, &on("a", 1, 0));
    assert_eq!(mine.chosen(), [0]);
    mine.goes_on(10);
    mine.job(SPARE, &on("b", 1, 0));
    mine.goes_on(15);
    assert_eq!(mine.chosen(), [0], "it has given work for 15 s");
    mine.goes_on(10);
    assert_eq!((mine.chosen(), mine.hashed_by(CPU)), (vec![1], "b".to_owned()));
}

#[test]
fn a_new_block_is_taken_up_at_once_and_a_newer_job_at_the_boundary() {
    let mut mine = Mine::of_value(&[0.0]);
    mine.add_board(BoardId(1));
    mine.job(POOL, &on("a", 1, 0));
    // One board works its jobs up every ten seconds, the other never.
    for _ in 0..2 {
        mine.goes_on(10);
        let ending = mine.chip_job(BoardId(1)).id;
        mine.says(BoardId(1), BoardEvent::JobEnding(ending));
    }
    mine.job(POOL, &on("b", 1, 0));
    assert_eq!((mine.hashed_by(CPU), mine.hashed_by(BoardId(1))), ("b".to_owned(), "a".to_owned()));
    let ending = mine.chip_job(BoardId(1)).id;
    mine.says(BoardId(1), BoardEvent::JobEnding(ending));
    assert_eq!(mine.hashed_by(BoardId(1)), "b");
    mine.job(POOL, &on("c", 2, 1));
    assert_eq!((mine.hashed_by(CPU), mine.hashed_by(BoardId(1))), ("c".to_owned(), "c".to_owned()));
}

#[test]
fn a_lost_pool_is_left_at_once_and_with_none_left_boards_idle_after_half_a_minute() {
    let mut mine = Mine::of_value(&[0.01, 0.02]);
    mine.job(POOL, &on("a", 1, 0));
    mine.job(SPARE, &on("b", 1, 0));
    mine.lost(POOL);
    assert_eq!((mine.chosen(), mine.hashed_by(CPU)), (vec![1], "b".to_owned()));
    mine.lost(SPARE);
    mine.goes_on(25);
    assert!(mine.chip_jobs[&CPU].is_some(), "the last job is worth something yet");
    mine.goes_on(10);
    assert_eq!((mine.chosen(), mine.chip_jobs[&CPU].is_none()), (vec![], true));
    mine.job(POOL, &on("c", 1, 0));
    assert_eq!((mine.chosen(), mine.hashed_by(CPU)), (vec![0], "c".to_owned()));
}

#[test]
fn a_jump_in_rejects_is_fled_from() {
    let mut mine = Mine::of_value(&[0.01, 0.02]);
    mine.job(POOL, &on("a", 1, 0));
    mine.job(SPARE, &on("b", 1, 0));
    mine.goes_on(30);
    assert_eq!(mine.chosen(), [0]);
    let reject = Reject { kind: RejectKind::Other, code: Some(20), text: String::new() };
    for nth in 0..12 {
        mine.goes_on(1);
        let nonce = Mine::nonces(&mine.chip_job(CPU), true).nth(nth).unwrap();
        mine.says(CPU, nonce);
        let (upstream, share) = mine.submitted.pop().unwrap();
        let outcome = Outcome::Rejected(reject.clone());
        let answered = Answered { share, outcome, latency: Some(Duration::from_millis(5)) };
        mine.engine.handle_answer(upstream, answered, mine.now);
        mine.drain();
        if mine.chosen() == [1] {
            break;
        }
    }
    assert_eq!((mine.chosen(), mine.hashed_by(CPU)), (vec![1], "b".to_owned()));
}

/// An upstream on these terms.
fn on_terms(scheme: Scheme, fee: f64) -> UpstreamTerms {
    UpstreamTerms {
        value: Terms { fee, payout_factor: 1.0, scheme, kappa: None, vouches: false },
        ..UpstreamTerms::pool(1)
    }
}

#[test]
fn a_canary_of_a_fiftieth_hashes_for_the_runner_up_ten_minutes_an_hour() {
    let mut mine = Mine::of_value(&[0.0, 0.01, 0.02]);
    let policy =
        Policy { strategy: Strategy::Value, validation: Level::NONE, canary: true, ..Policy::default() };
    let terms = [0.0, 0.01, 0.02].map(|fee| on_terms(Scheme::Pps, fee));
    mine.engine = Engine::new(policy, &terms, mine.now);
    for (board, rate) in [(CPU, 1e6), (BoardId(1), 1e4)] {
        let about = BoardAbout { name: "b".into(), detail: "made up".into(), expected_rate: HashRate(rate) };
        mine.engine.add_board(board, about, mine.now);
    }
    for (upstream, id) in
        [(POOL, "a"), (SPARE, "old"), (SPARE, "b"), (UpstreamId(2), "old"), (UpstreamId(2), "c")]
    {
        mine.job(upstream, &on(id, 1, 0));
    }
    mine.passes(30);
    assert_eq!((mine.hashed_by(CPU), mine.hashed_by(BoardId(1))), ("a".to_owned(), "b".to_owned()));
    mine.job(SPARE, &on("b 2", 1, 0));
    assert_eq!(mine.hashed_by(BoardId(1)), "b 2", "it follows its own pool");
    let nonce = Mine::nonces(&mine.chip_job(BoardId(1)), true).next().unwrap();
    mine.says(BoardId(1), nonce);
    assert_eq!(mine.submitted.last().unwrap().0, SPARE);
    mine.lost(SPARE);
    assert_eq!(mine.hashed_by(BoardId(1)), "c", "the next one");
    mine.passes(600);
    assert_eq!((mine.hashed_by(BoardId(1)), mine.chosen()), ("a".to_owned(), vec![0]));
    mine.passes(2_980);
    assert_eq!(mine.hashed_by(BoardId(1)), "c", "out again");
}

#[test]
fn who_minds_uneven_income_leaves_solo_mining_for_a_pool_that_pays_less() {
    for (risk_aversion, chosen) in [(0.0, 0), (1.0, 1)] {
        let mut mine = Mine::of_value(&[0.0]);
        let policy =
            Policy { strategy: Strategy::Value, validation: Level::NONE, risk_aversion, ..Policy::default() };
        let all = [on_terms(Scheme::SoloPool, 0.0), on_terms(Scheme::Pps, 0.05)];
        mine.engine = Engine::new(policy, &all, mine.now);
        mine.add_board(CPU);
        mine.job(POOL, &on("a", 1, 0));
        mine.job(SPARE, &on("b", 1, 0));
        for _ in 0..20 {
            mine.goes_on(10);
        }
        assert_eq!(mine.chosen(), [chosen]);
    }
}

fn advised(word: Word, target: usize, moment: u64, now: Instant) -> Advised {
    Advised {
        word,
        target: Some(target),
        confidence: 0.9,
        until: now + Duration::from_secs(60),
        moment,
        soft_moment: u64::MAX - 1,
        is_cached: false,
        may_apply: true,
        reason: "because".to_owned(),
    }
}

/// Two pools half a per cent apart, and the question that was asked of a model.
fn asked() -> (Mine, Question) {
    let mut mine = Mine::of_value(&[0.01, 0.015]);
    let engine = std::mem::replace(&mut mine.engine, Engine::new(Policy::default(), &[], mine.now));
    mine.engine =
        engine.with_model(AskTerms { every: Duration::from_secs(60), deadline: Duration::from_secs(2) });
    mine.job(POOL, &on("a", 1, 0));
    mine.job(SPARE, &on("b", 1, 0));
    mine.goes_on(70);
    let question = mine.questions.last().unwrap().clone();
    (mine, question)
}

#[test]
fn a_model_is_asked_in_figures_and_its_advice_is_followed_inside_the_envelope() {
    let (mut mine, question) = asked();
    assert_eq!(question.upstreams, [0, 1]);
    assert_eq!((question.input.baseline.target.as_str(), question.input.candidates[0].pay), ("c0", 0.99));
    let advice = advised(Word::Switch, 1, question.moment, mine.now);
    mine.engine.handle_advice(&Advised { may_apply: false, ..advice.clone() }, mine.now);
    assert_eq!(mine.chosen(), [0], "a shadow");
    mine.engine.handle_advice(&Advised { confidence: 0.5, ..advice.clone() }, mine.now);
    assert_eq!(mine.chosen(), [0], "not sure enough");
    mine.engine.handle_advice(&advice, mine.now);
    mine.drain();
    assert_eq!((mine.chosen(), mine.hashed_by(CPU)), (vec![1], "b".to_owned()));
    let agrees = Advised { word: Word::Proceed, ..advice.clone() };
    mine.engine.handle_advice(&Advised { may_apply: false, ..agrees.clone() }, mine.now);
    assert!(
        mine.engine.value.decider().records().last().unwrap().decision.line == 12,
        "a shadow takes nothing back"
    );
    mine.engine.handle_advice(&agrees, mine.now);
    mine.engine.handle_advice(&agrees, mine.now);
    mine.drain();
    let taken_back =
        mine.reports.iter().filter(|report| matches!(report, Report::Advice { word: Word::Proceed, .. }));
    assert_eq!(taken_back.count(), 1);
    mine.goes_on(121);
    assert_eq!(mine.chosen(), [0], "mathematics goes back when it may move again");
    let counts = mine.engine.advice_counts();
    assert_eq!((counts.applied, counts.shadowed, counts.refused[4]), (2, 1, 1));
}

#[test]
fn a_model_is_asked_about_a_job_once_the_boards_have_it() {
    let (mut mine, _) = asked();
    let before = mine.questions.len();
    mine.job(POOL, &on("c", 2, 1));
    assert_eq!((mine.hashed_by(CPU), mine.questions.len()), ("c".to_owned(), before));
    let due = mine.engine.poll_timeout().unwrap();
    assert!((1..=20).contains(&due.duration_since(mine.now).as_millis()), "it is not in the same turn");
    mine.now += Duration::from_millis(20);
    mine.engine.handle_timeout(mine.now);
    mine.drain();
    assert_eq!(mine.questions.len(), before + 1);
}

#[test]
fn what_hashing_was_worth_is_counted_from_the_first_job_on() {
    let mut mine = Mine::of_value(&[0.01]);
    mine.goes_on(10);
    assert_eq!(mine.engine.snapshot(mine.now).earned.value_ratio(), None);
    mine.job(POOL, &on("a", 1, 0));
    mine.goes_on(20);
    let earned = mine.engine.snapshot(mine.now).earned;
    assert_eq!((earned.seconds, earned.wasted), (20.0, 0.0));
    assert!((0.96..0.99).contains(&earned.value_ratio().unwrap()), "{earned:?}");
    mine.job(POOL, &on("b", 2, 1));
    mine.lost(POOL);
    mine.goes_on(60);
    let earned = mine.engine.snapshot(mine.now).earned;
    assert_eq!(
        (earned.seconds, earned.wasted),
        (80.0, 60.0),
        "the last job is hashed on for nothing, then none is"
    );
    assert!((29.0..32.0).contains(&earned.idle) && earned.stale == 0.0, "{earned:?}");
    assert!((0.001..0.003).contains(&earned.dead), "one flush: {earned:?}");
    let (records, written) = mine.engine.decisions_after(0);
    assert_eq!(records.len() as u64, written);
    let (at, first) =
        records.iter().find(|(_, record)| record.decision.reason != Reason::NothingYet).unwrap();
    assert_eq!((*at, first.decision.reason), (Duration::from_secs(10), Reason::HadNothing(POOL)));
    assert_eq!(mine.engine.decisions_after(written), (vec![], written));
}

#[test]
fn what_advice_costs_is_told_as_regret_and_as_a_loss() {
    let (mut mine, question) = asked();
    mine.engine.handle_advice(&advised(Word::Switch, 1, question.moment, mine.now), mine.now);
    mine.goes_on(20);
    let snapshot = mine.engine.snapshot(mine.now);
    // Half a per cent for 20 s, and a move there and back of 2 ms each.
    assert!((0.08..0.12).contains(&snapshot.regret_spent), "{}", snapshot.regret_spent);
    let moves = snapshot.regret_spent + snapshot.earned.advice_gain;
    assert!((moves - 0.004).abs() < 1e-6, "{moves} {:?}", snapshot.earned);
}

#[test]
fn advice_from_before_a_hard_event_is_refused() {
    let (mut mine, question) = asked();
    mine.job(POOL, &on("c", 2, 1));
    mine.job(SPARE, &on("d", 2, 1));
    mine.engine.handle_advice(&advised(Word::Switch, 1, question.moment, mine.now), mine.now);
    assert_eq!((mine.chosen(), mine.engine.advice_counts().refused[1]), (vec![0], 1));
    assert!(mine.moments.last().copied().unwrap_or_default() > question.moment, "the model was told");
}

/// What an engine does over an hour of jobs, losses, shares and rejects, with a model that is asked and never answers, or
/// with none.
fn output(strategy: Strategy, with_model: bool, seed: u64, start: Instant) -> Vec<String> {
    let mut mine = Mine::of_value(&[0.01, 0.015, 0.012]);
    let policy = Policy { strategy, validation: Level::NONE, ..Policy::default() };
    let terms = [UpstreamTerms::pool(1); 3];
    (mine.engine, mine.now) = (Engine::new(policy, &terms, start), start);
    if with_model {
        let engine = std::mem::replace(&mut mine.engine, Engine::new(policy, &[], start));
        mine.engine =
            engine.with_model(AskTerms { every: Duration::from_secs(5), deadline: Duration::from_secs(2) });
    }
    let mut told = Vec::new();
    let mut state = seed;
    let mut any = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut asked, mut tip, mut number) = (0, 0, 0);
    for board in 0..3 {
        let about = BoardAbout { name: "b".into(), detail: "made up".into(), expected_rate: HashRate(1e4) };
        mine.engine.add_board(BoardId(board), about, mine.now);
    }
    for _ in 0..600 {
        mine.now += Duration::from_millis(any(12_000));
        let upstream = UpstreamId(any(3) as usize);
        match any(8) {
            0 => mine.engine.handle_upstream_lost(upstream, None, mine.now),
            1 => {
                (tip, number) = (tip + 1, number + 1);
                let job = Arc::new(on(&number.to_string(), tip as u8, tip));
                mine.engine.handle_job(upstream, job, mine.now, mine.now, 1_700_000_000);
            }
            2..5 => {
                number += 1;
                let job = Arc::new(on(&number.to_string(), tip as u8, tip));
                mine.engine.handle_job(upstream, job, mine.now, mine.now, 1_700_000_000);
            }
            5 => {
                let board = BoardId(any(3) as usize);
                if let Some(job) = mine.engine.in_flight.newest_id(board) {
                    mine.engine.handle_board(board, BoardEvent::JobEnding(job), mine.now);
                }
            }
            _ => mine.engine.handle_timeout(mine.now),
        }
        while let Some(action) = mine.engine.poll_action() {
            match action {
                Action::Ask(_) => asked += 1,
                Action::Moment(_) => {}
                action => told.push(format!("{action:?}")),
            }
        }
    }
    assert_eq!(asked > 100, with_model, "asked {asked} times");
    told
}

#[test]
fn a_model_that_never_answers_changes_nothing_that_the_engine_does() {
    let start = Instant::now();
    for strategy in [Strategy::Value, Strategy::Failover, Strategy::Quota] {
        for seed in 0..5 {
            let without = output(strategy, false, seed, start);
            let with = output(strategy, true, seed, start);
            assert!(without.len() > 300, "{strategy:?} does {} things", without.len());
            assert!(with == without, "{strategy:?}, seed {seed}");
        }
    }
}

#[test]
fn after_some_bad_spells_a_probe_comes_when_they_usually_end() {
    let policy = Policy {
        strategy: Strategy::Value,
        learns_spells: true,
        validation: Level::NONE,
        ..Policy::default()
    };
    let mut mine = Mine::with_policy(policy, &[1, 1]);
    mine.add_board(CPU);
    mine.job(POOL, &on("a", 1, 0));
    mine.job(SPARE, &on("b", 1, 0));
    let judged = |mine: &mut Mine, shares: u64, accepted: bool| {
        for share in 0..shares {
            mine.now += Duration::from_secs(1);
            let job = JobKey(1);
            let code = (!accepted).then_some(20);
            let event = Event::Answered { upstream: POOL, share, job, accepted, code, weight: 1.0 };
            mine.engine.value_event(event, mine.now);
        }
    };
    let works = |mine: &Mine| mine.engine.value.decider().works(mine.now)[POOL.0];
    let until_probed = |mine: &mut Mine| {
        judged(mine, 300, true);
        assert!(works(mine));
        judged(mine, 12, false);
        assert!(!works(mine), "an alarm");
        let alarmed_at = mine.engine.value.decider().spells(POOL).last().unwrap().start;
        while !works(mine) {
            mine.goes_on(1);
        }
        mine.now.duration_since(alarmed_at).as_secs()
    };
    // A probe after ten minutes finds three of them over.
    for _ in 0..3 {
        assert!((600..=601).contains(&until_probed(&mut mine)));
    }
    judged(&mut mine, 300, true);
    let probed = until_probed(&mut mine);
    let spells = mine.engine.value.decider().spells(POOL);
    let planned = learned::not_before(spells).unwrap().duration_since(spells[3].start).as_secs();
    assert!(
        planned.abs_diff(600) > 60 && (planned..=planned + 1).contains(&probed),
        "{probed}, planned {planned}"
    );
}
