//! Which jobs the staged checks let in, and what becomes of upstreams whose jobs may not be hashed.

mod clock;
mod strikes;

use super::*;
use crate::decision::{Scheme, Terms};
use crate::validate::context::{NodeAnswer, NodeQuestion};
use crate::validate::digest::Stamp;
use crate::validate::{Finding, Outcome as Found};
use crate::work::Extranonce2Allocator;
use crate::work::template::Template;
use crate::work::vectors;

/// A time at which clocks have been set.
const CLOCK: u64 = 1_790_000_000;

/// The job of a real block, of the present, at a difficulty that a test can meet.
fn real() -> Job {
    let all = vectors::stratum();
    let vector = all.iter().find(|vector| vector.name == "block-881423-ckpool-layout").unwrap();
    let job = Job::from(vector);
    let mut header = job.header;
    header.ntime = CLOCK as u32;
    Job {
        header,
        difficulty: Difficulty::new(1e-7).unwrap(),
        version_mask: VersionMask::BIP320,
        epoch: Epoch { session: 1, tip: 1 },
        ..job
    }
}

fn named(id: &str, job: &Job) -> Job {
    Job { id: JobId::Text(id.into()), ..job.clone() }
}

/// A job that no block can be made of: its time is three hours ahead.
fn impossible(id: &str) -> Job {
    let mut job = named(id, &real());
    job.header.ntime += 3 * 3600;
    job
}

/// A job that may be one of the past.
fn far_behind(id: &str) -> Job {
    let mut job = named(id, &real());
    job.header.ntime -= 3700;
    job
}

impl Mine {
    fn checking() -> Self {
        let mut mine = Self::with_checks(Policy::default(), &[1, 1]);
        mine.add_board(CPU);
        mine
    }

    fn gives(&mut self, upstream: UpstreamId, job: &Job) {
        self.engine.handle_job(upstream, Arc::new(job.clone()), self.now, self.now, CLOCK);
        self.drain();
    }

    fn newest_job(&self) -> Option<String> {
        let newest = self.engine.in_flight.newest(CPU)?;
        self.chip_jobs.get(&CPU)?.as_ref()?;
        Some(newest.work.job().id.to_string())
    }

    fn found(&self) -> Vec<(usize, &Finding)> {
        let checked = self.reports.iter().filter_map(|report| match report {
            Report::Checked(upstream, finding) => Some((upstream.0, finding)),
            _ => None,
        });
        checked.collect()
    }

    fn verdict(&self, upstream: UpstreamId) -> &Verdict {
        &self.engine.upstreams.find(upstream).verdict
    }
}

#[test]
fn a_job_that_fails_a_check_is_never_dispatched_and_told_once() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &named("a", &real()));
    mine.gives(POOL, &impossible("b"));
    mine.gives(POOL, &impossible("c"));
    assert_eq!(mine.newest_job().as_deref(), Some("a"));
    let found = mine.found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].0, found[0].1.level, found[0].1.code), (0, 3000, "time-too-new"));
    let checks = mine.engine.snapshot(mine.now).upstreams[0].checks;
    assert_eq!((checks.executed, checks.rejected, checks.held), (40, 2, 0));
    mine.gives(POOL, &named("d", &real()));
    assert_eq!(mine.newest_job().as_deref(), Some("d"));
}

#[test]
fn a_pool_whose_first_job_is_refused_is_no_reason_to_wait_for_it() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &impossible("a"));
    assert_eq!(mine.newest_job(), None);
    assert_eq!(mine.wanted.get(&SPARE), Some(&true));
    mine.gives(SPARE, &named("b", &real()));
    assert_eq!(mine.newest_job().as_deref(), Some("b"));
}

#[test]
fn a_job_that_is_held_waits_until_its_grace_ends() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &named("a", &real()));
    mine.gives(POOL, &far_behind("b"));
    assert_eq!(mine.newest_job().as_deref(), Some("a"));
    mine.passes(20);
    mine.gives(POOL, &far_behind("c"));
    assert_eq!(mine.engine.poll_timeout(), Some(mine.now + Duration::from_secs(10)));
    mine.passes(9);
    assert_eq!(mine.newest_job().as_deref(), Some("a"), "a newer job does not begin the grace anew");
    mine.passes(1);
    assert_eq!(mine.newest_job().as_deref(), Some("c"));
    mine.gives(POOL, &far_behind("d"));
    assert_eq!(mine.newest_job().as_deref(), Some("d"), "the running one has the same fault");
    assert_eq!(mine.found().iter().filter(|(_, found)| found.outcome == Found::Hold).count(), 1);
}

#[test]
fn a_held_job_goes_when_a_better_one_comes_or_its_pool_does() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &named("a", &real()));
    mine.gives(POOL, &far_behind("b"));
    mine.gives(POOL, &named("c", &real()));
    mine.passes(60);
    assert_eq!(mine.newest_job().as_deref(), Some("c"));
    mine.gives(POOL, &far_behind("d"));
    mine.lost(POOL);
    mine.passes(29);
    assert_eq!(mine.newest_job().as_deref(), Some("c"), "its last job lives on as the last resort");
    assert_eq!(mine.engine.gate.due(), None);
}

#[test]
fn a_held_job_is_taken_up_when_another_upstream_clears_its_cause() {
    let mut mine = Mine::checking();
    let lower = |job: &Job| {
        let mut job = named("lower", job);
        let mut coinb1 = job.coinbase.coinb1.to_vec();
        coinb1[43] -= 1;
        job.coinbase.coinb1 = coinb1.into();
        job
    };
    mine.gives(POOL, &named("a", &real()));
    mine.gives(POOL, &lower(&real()));
    assert_eq!(mine.newest_job().as_deref(), Some("a"), "{:?}", mine.found());
    let mut spare = lower(&named("spare", &real()));
    spare.coinbase.extranonce1 = Extranonce1::new(vec![1, 2, 3, 4]).unwrap();
    mine.gives(SPARE, &spare);
    assert_eq!(mine.newest_job().as_deref(), Some("lower"));
}

#[test]
fn a_job_without_a_running_one_is_taken_up_though_it_would_be_held() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &far_behind("a"));
    assert_eq!(mine.newest_job().as_deref(), Some("a"));
}

#[test]
fn a_job_that_changes_in_memory_is_dropped_before_a_board_or_a_pool_sees_it() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &named("a", &real()));
    mine.find_share(CPU);
    assert_eq!(mine.submitted.len(), 1, "a job as it came");
    // A bit of the stamp is as good as one of the job.
    let source = mine.engine.upstreams.find_mut(POOL).source.as_mut().unwrap();
    source.verdict.stamp = Some(Stamp::from_bytes([1; 64]));
    let ending = BoardEvent::JobEnding(mine.chip_job(CPU).id);
    mine.says(CPU, ending);
    assert_eq!(mine.newest_job(), None);
    let found = mine.found();
    assert_eq!((found.last().unwrap().1.level, found.last().unwrap().1.code), (15_000, "job-changed"));
    assert!(!mine.wanted[&POOL], "it shall connect anew");
    mine.passes(1);
    assert!(mine.wanted[&POOL]);
}

#[test]
fn a_share_of_a_job_that_has_changed_in_memory_is_not_sent() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &named("a", &real()));
    let nonce = Mine::nonces(&mine.chip_job(CPU), true).next().unwrap();
    let id = mine.chip_job(CPU).id;
    mine.engine.in_flight.find(CPU, id).unwrap().stamp = Some(Stamp::from_bytes([1; 64]));
    mine.says(CPU, nonce);
    assert!(mine.submitted.is_empty());
    assert_eq!(mine.found()[0].1.code, "job-changed");
}

#[test]
fn a_block_of_a_job_that_has_changed_in_memory_is_sent_all_the_same() {
    let mut mine = Mine::checking();
    let easy = real();
    mine.gives(POOL, &Job { network_target: Some(easy.difficulty.target()), ..named("a", &easy) });
    let nonce = Mine::nonces(&mine.chip_job(CPU), true).next().unwrap();
    let id = mine.chip_job(CPU).id;
    mine.engine.in_flight.find(CPU, id).unwrap().stamp = Some(Stamp::from_bytes([1; 64]));
    mine.says(CPU, nonce);
    assert_eq!(mine.submitted.len(), 1, "nothing is lost by it");
    assert_eq!(mine.found()[0].1.code, "job-changed");
}

#[test]
fn at_level_0_any_job_is_hashed() {
    let mut mine = Mine::with_checks(Policy { validation: Level::NONE, ..Policy::default() }, &[1, 1]);
    mine.add_board(CPU);
    mine.gives(POOL, &impossible("a"));
    assert_eq!(mine.newest_job().as_deref(), Some("a"));
    assert_eq!(mine.engine.snapshot(mine.now).upstreams[0].checks.executed, 0);
    assert_eq!(*mine.verdict(POOL), Verdict::Fine, "nor is its time held against the pool");
}

const NODE: UpstreamId = UpstreamId(2);

/// A coinbase of the real height that claims so much.
fn small_coinbase(sats: u64) -> Coinbase {
    let (coinb1, coinb2) = vectors::coinbase_parts(881_423, sats);
    Coinbase {
        coinb1,
        extranonce1: Extranonce1::new(vec![1, 2, 3, 4]).unwrap(),
        extranonce2_size: Extranonce2Size::new(4).unwrap(),
        coinb2,
    }
}

/// Two connections to one pool and a node of our own, in this order.
/// One block lower.
fn lower(id: &str) -> Job {
    let mut job = named(id, &real());
    let mut coinb1 = job.coinbase.coinb1.to_vec();
    coinb1[43] -= 1;
    job.coinbase.coinb1 = coinb1.into();
    job
}

#[test]
fn two_pools_that_go_back_to_one_block_are_believed_once_both_have() {
    let pays = Terms { fee: 0.01, payout_factor: 1.0, scheme: Scheme::Pps, kappa: None, vouches: false };
    let terms = UpstreamTerms { value: pays, ..UpstreamTerms::pool(1) };
    let mut mine = Mine::with_terms(Policy::default(), &[terms, terms]);
    mine.add_board(CPU);
    let back = |id: &str| {
        let job = lower(id);
        let mut prev_hash = job.header.prev_hash;
        prev_hash[0] ^= 1; // another block, whose hash has its work at the other end
        let header = JobHeader { prev_hash, ..job.header };
        Job { header, epoch: Epoch { session: 1, tip: 2 }, ..job }
    };
    let of_spare = |job: Job| {
        let extranonce1 = Extranonce1::new(vec![9, 9, 9, 9]).unwrap();
        Job { coinbase: Coinbase { extranonce1, ..job.coinbase.clone() }, ..job }
    };
    mine.gives(POOL, &named("a", &real()));
    mine.gives(SPARE, &of_spare(named("b", &real())));
    mine.gives(POOL, &back("c"));
    let hashed = |mine: &Mine| mine.engine.in_flight.newest(CPU).unwrap().work.job().id.to_string();
    assert_eq!(hashed(&mine), "b", "it may be wrong, and its shares on the old block are stale");
    mine.gives(SPARE, &of_spare(back("d")));
    assert!(["c", "d"].contains(&hashed(&mine).as_str()), "{} is stale at both", hashed(&mine));
    assert_eq!(mine.engine.upstreams.find(POOL).newest_job().unwrap().id, JobId::Text("c".into()));
}

fn two_of_one_pool() -> Mine {
    let pool = UpstreamTerms { pool: Some(0), ..UpstreamTerms::pool(1) };
    let node = UpstreamTerms::own_node(1, Duration::ZERO);
    let policy = Policy { strategy: Strategy::LoadBalance, ..Policy::default() };
    let mut mine = Mine::with_terms(policy, &[pool, pool, node]);
    mine.add_board(CPU);
    mine
}

#[test]
fn of_two_connections_to_one_pool_with_one_extranonce1_the_less_wanted_is_refused() {
    let mut mine = two_of_one_pool();
    mine.gives(POOL, &named("a", &real()));
    mine.gives(SPARE, &named("b", &real()));
    assert_eq!(
        mine.found().iter().map(|(id, found)| (*id, found.code)).collect::<Vec<_>>(),
        [(1, "extranonce1-twice")]
    );
    assert!(mine.engine.upstreams.find(SPARE).newest_job().is_none());
    let mut other = named("c", &real());
    other.coinbase.extranonce1 = Extranonce1::new(vec![1, 2, 3, 4]).unwrap();
    mine.gives(SPARE, &other);
    assert!(mine.engine.upstreams.find(SPARE).is_live(), "another extranonce1 is other work");
}

#[test]
fn a_less_wanted_connection_that_was_first_with_the_work_of_another_loses_it_and_connects_anew() {
    let mut mine = two_of_one_pool();
    mine.gives(SPARE, &named("b", &real()));
    assert_eq!(mine.newest_job().as_deref(), Some("b"));
    mine.gives(POOL, &named("a", &real()));
    assert_eq!(mine.found().last().map(|(id, found)| (*id, found.level)), Some((1, 7000)));
    assert_eq!(mine.newest_job().as_deref(), Some("a"));
    assert!(!mine.wanted[&SPARE], "a new connection brings another extranonce1");
    mine.passes(1);
    assert!(mine.wanted[&SPARE]);
}

#[test]
fn connections_to_two_pools_may_have_the_same_extranonce1() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &named("a", &real()));
    mine.gives(SPARE, &named("b", &real()));
    assert!(mine.found().is_empty(), "{:?}", mine.found());
}

#[test]
fn work_that_a_board_has_had_is_never_given_again() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &named("a", &real()));
    mine.engine.upstreams.find_mut(POOL).extranonces = Extranonce2Allocator::default(); // as if set back in memory
    let ending = BoardEvent::JobEnding(mine.chip_job(CPU).id);
    mine.says(CPU, ending);
    assert_eq!(mine.found().last().map(|(_, found)| (found.level, found.code)), Some((7000, "work-twice")));
    assert_eq!(mine.newest_job(), None);
}

#[test]
fn a_job_that_was_held_and_turns_out_wrong_is_refused_with_a_strike_and_told() {
    let mut mine = two_of_one_pool();
    mine.gives(POOL, &named("a", &real()));
    mine.gives(POOL, &lower("b"));
    assert_eq!(mine.found().last().map(|(_, found)| found.code), Some("height-fell"));
    let mut by_node = lower("n");
    by_node.header.nbits -= 1;
    mine.gives(NODE, &by_node);
    assert_eq!(mine.found().last().map(|(id, found)| (*id, found.code)), Some((0, "bits-not-of-node")));
    assert_eq!(mine.engine.snapshot(mine.now).upstreams[0].checks.rejected, 1);
    mine.passes(60);
    assert_eq!(mine.engine.upstreams.find(POOL).newest_job().unwrap().id, JobId::Text("a".into()));
    mine.gives(POOL, &lower("c"));
    assert_eq!(*mine.verdict(POOL), Verdict::Fine);
    mine.gives(POOL, &lower("d"));
    assert!(
        matches!(mine.verdict(POOL), Verdict::Quarantine(_)),
        "the third strike: {:?}",
        mine.verdict(POOL)
    );
}

/// The template of a node on the main chain, on the parent of the real job.
fn template(change: impl FnOnce(&mut serde_json::Value)) -> Arc<Template> {
    let job = real();
    let vectors = vectors::gbt();
    let is_empty =
        |template: &&serde_json::Value| template["transactions"].as_array().is_some_and(Vec::is_empty);
    let mut json = vectors.templates.values().find(is_empty).unwrap().clone();
    let (mut parent, mut target) = (job.header.prev_hash, job.network_target.unwrap().to_le_bytes());
    parent.reverse();
    target.reverse();
    json["previousblockhash"] = hex::encode(parent).into();
    json["target"] = hex::encode(target).into();
    json["bits"] = format!("{:08x}", job.header.nbits).into();
    json["height"] = 881_423.into();
    json["coinbasevalue"] = 312_500_000.into();
    json["mintime"] = (CLOCK - 3000).into();
    json["curtime"] = CLOCK.into();
    change(&mut json);
    Arc::new(Template::parse(&json.to_string()).unwrap())
}

/// The job of a node that has the real one's parent.
fn of_node() -> Job {
    Job { branch: Box::default(), coinbase: small_coinbase(312_500_000), ..named("node", &real()) }
}

#[test]
fn a_nodes_template_tells_of_pools_jobs_what_no_job_does() {
    let mut mine = two_of_one_pool();
    mine.engine.handle_template(NODE, "main", template(|json| json["mintime"] = (CLOCK - 10).into()));
    mine.gives(NODE, &of_node());
    assert_eq!(mine.found(), [], "its own job is judged by it too, and passes");
    let mut early = named("early", &real());
    early.header.ntime -= 11;
    mine.gives(POOL, &early);
    assert_eq!(mine.found().last().map(|(id, found)| (*id, found.code)), Some((0, "time-too-old")));
    let mut greedy = named("greedy", &real());
    greedy.coinbase = small_coinbase(478_750_001);
    mine.gives(POOL, &greedy);
    assert!(
        mine.found().iter().any(|(id, found)| (*id, found.code) == (0, "more-than-node")),
        "{:?}",
        mine.found()
    );
    let mut own = of_node();
    own.header.ntime -= 11;
    mine.gives(NODE, &own);
    assert_eq!(mine.found().last().map(|(id, found)| (*id, found.code)), Some((2, "time-too-old")));
}

#[test]
fn a_pools_first_transaction_is_looked_for_in_the_template_and_then_asked_for() {
    let mut mine = two_of_one_pool();
    mine.engine.handle_template(NODE, "main", template(|_| {}));
    mine.gives(NODE, &of_node());
    assert_eq!(mine.asked, []);
    let job = named("a", &real());
    mine.gives(POOL, &job);
    let question = NodeQuestion::Mempool(job.branch[0]);
    assert_eq!(mine.asked, [question]);
    let answers = |mine: &mut Mine, answer| {
        mine.engine.handle_node_answer(NodeAnswer { question, answer }, mine.now);
        mine.drain();
        mine.found()
            .iter()
            .filter(|(_, found)| found.level == 16_000)
            .map(|(id, found)| (*id, found.code))
            .collect::<Vec<_>>()
    };
    assert_eq!(answers(&mut mine, None), [], "a node that could not be asked says nothing");
    mine.gives(POOL, &named("b", &real()));
    assert_eq!(answers(&mut mine, Some(true)), []);
    mine.gives(POOL, &named("c", &real()));
    assert_eq!(mine.asked.len(), 3);
    assert_eq!(answers(&mut mine, Some(false)), [(0, "transactions-unknown")]);
    assert_eq!(
        mine.engine.upstreams.find(POOL).newest_job().unwrap().id,
        JobId::Text("c".into()),
        "only a warning"
    );
    mine.gives(POOL, &named("d", &real()));
    assert_eq!(mine.asked.len(), 3, "it has been told");
}

#[test]
fn a_parent_that_the_node_calls_invalid_is_left_at_once_and_not_taken_again() {
    let mut mine = two_of_one_pool();
    mine.engine.handle_template(NODE, "main", template(|_| {}));
    mine.gives(NODE, &of_node());
    let mut job = named("a", &real());
    job.header.prev_hash[0] ^= 1;
    mine.gives(POOL, &job);
    let question = NodeQuestion::Invalid(job.header.prev_hash);
    assert_eq!(mine.asked, [question]);
    assert!(mine.engine.upstreams.find(POOL).is_live());
    mine.engine.handle_node_answer(NodeAnswer { question, answer: Some(true) }, mine.now);
    mine.drain();
    assert_eq!(mine.found().last().map(|(id, found)| (*id, found.code)), Some((0, "parent-invalid")));
    assert!(!mine.engine.upstreams.find(POOL).is_live());
    mine.gives(POOL, &Job { id: JobId::Text("again".into()), ..job });
    assert!(!mine.engine.upstreams.find(POOL).is_live());
    mine.gives(POOL, &named("better", &real()));
    assert!(mine.engine.upstreams.find(POOL).is_live());
}

#[test]
fn a_block_that_its_node_would_refuse_drops_the_job_at_once() {
    for strategy in [Strategy::Failover, Strategy::Value] {
        let node = UpstreamTerms::own_node(1, Duration::from_secs(600));
        let mut mine = Mine::with_terms(Policy { strategy, ..Policy::default() }, &[node]);
        mine.add_board(CPU);
        mine.engine.handle_template(POOL, "main", template(|_| {}));
        mine.gives(POOL, &of_node());
        assert_eq!(mine.newest_job().as_deref(), Some("node"));
        mine.engine.handle_block_refused(POOL, "bad-cb-height".to_owned(), mine.now);
        mine.drain();
        assert_eq!(mine.newest_job(), None, "also while the last job of a lost node would be hashed on");
        let found = mine.found();
        assert_eq!((found[0].1.code, found[0].1.found.as_str()), ("proposal-refused", "bad-cb-height"));
        mine.passes(2);
        mine.gives(POOL, &named("next", &of_node()));
        assert_eq!(mine.newest_job().as_deref(), Some("next"), "{strategy:?}");
    }
}

#[test]
fn a_fork_at_one_height_is_told_and_mined_on() {
    let mut mine = Mine::checking();
    mine.gives(POOL, &named("a", &real()));
    let mut rival = named("b", &real());
    rival.header.prev_hash[0] ^= 1;
    mine.gives(SPARE, &rival);
    assert_eq!(
        mine.found().iter().map(|(id, found)| (*id, found.level, found.code)).collect::<Vec<_>>(),
        [(1, 14_000, "fork")]
    );
    assert!(mine.engine.upstreams.find(SPARE).is_live());
}
