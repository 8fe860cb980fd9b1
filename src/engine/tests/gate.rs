//! Which jobs the staged checks let in, and what becomes of upstreams whose jobs may not be hashed.

use super::*;
use crate::validate::digest::Stamp;
use crate::validate::{Finding, Outcome as Found};
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
    assert_eq!((checks.executed, checks.rejected, checks.held), (39, 2, 0));
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
fn at_level_0_any_job_is_hashed() {
    let mut mine = Mine::with_board();
    mine.gives(POOL, &impossible("a"));
    assert_eq!(mine.newest_job().as_deref(), Some("a"));
    assert_eq!(mine.engine.snapshot(mine.now).upstreams[0].checks.executed, 0);
}
