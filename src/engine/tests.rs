mod gate;
mod luck;
mod upstreams;
mod value;

use signalcore_drivers::ChipJobId;

use super::policy::GRACE;
use super::*;
use crate::validate::Level;
use crate::work::{BlockHash, HashRate, Outcome, VersionMask};
use crate::work::{
    Coinbase, Difficulty, Epoch, Extranonce1, Extranonce2Size, Header, JobHeader, JobId, LostReason, Target,
};

/// An engine, boards that answer what the test tells them to, and a clock that only the test moves.
struct Mine {
    engine: Engine,
    now: Instant,
    submitted: Vec<(UpstreamId, Box<Share>)>,
    chip_jobs: BTreeMap<BoardId, Option<ChipJob>>,
    reports: Vec<Report>,
    wanted: BTreeMap<UpstreamId, bool>,
    questions: Vec<Question>,
    moments: Vec<u64>,
    asked: Vec<NodeQuestion>,
}

const POOL: UpstreamId = UpstreamId(0);
const SPARE: UpstreamId = UpstreamId(1);
const CPU: BoardId = BoardId(0);

impl Mine {
    fn new() -> Self {
        Self::with_policy(Policy::default(), &[1, 1])
    }

    fn with_policy(policy: Policy, weights: &[u32]) -> Self {
        // These jobs are of no chain, so they are held against each other and not judged at the door; the tests of the gate have others.
        let mut mine = Self::with_checks(policy, weights);
        mine.engine.gate.level = Level::NONE;
        mine
    }

    fn with_checks(policy: Policy, weights: &[u32]) -> Self {
        let terms: Vec<_> = weights.iter().copied().map(UpstreamTerms::pool).collect();
        Self::with_terms(policy, &terms)
    }

    fn with_terms(policy: Policy, terms: &[UpstreamTerms]) -> Self {
        let now = Instant::now();
        let engine = Engine::new(policy, terms, now);
        Self {
            engine,
            now,
            submitted: vec![],
            chip_jobs: BTreeMap::new(),
            reports: vec![],
            wanted: BTreeMap::new(),
            questions: vec![],
            moments: vec![],
            asked: vec![],
        }
    }

    fn with_board() -> Self {
        let mut mine = Self::new();
        mine.add_board(CPU);
        mine
    }

    fn add_board(&mut self, board: BoardId) {
        let name = format!("board-{}", board.0);
        let about = BoardAbout { name, detail: "made up".into(), expected_rate: HashRate(1e4) };
        self.engine.add_board(board, about, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::Dispatch(board, job) => drop(self.chip_jobs.insert(board, job)),
                Action::Submit(upstream, share) => self.submitted.push((upstream, share)),
                Action::Want(upstream, is_wanted) => drop(self.wanted.insert(upstream, is_wanted)),
                Action::Report(report) => self.reports.push(report),
                Action::Ask(question) => self.questions.push(*question),
                Action::Moment(moment) => self.moments.push(moment),
                Action::AskNode(question) => self.asked.push(question),
                Action::Record(_) => {}
            }
        }
    }

    fn job(&mut self, upstream: UpstreamId, job: &Job) {
        self.engine.handle_job(upstream, Arc::new(job.clone()), self.now, self.now, 1_700_000_000);
        self.drain();
    }

    fn lost(&mut self, upstream: UpstreamId) {
        self.engine.handle_upstream_lost(upstream, None, self.now);
        self.drain();
    }

    fn says(&mut self, board: BoardId, event: BoardEvent) {
        self.engine.handle_board(board, event, self.now);
        self.drain();
    }

    fn passes(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            // Pools that give work speak now and then.
            self.now = end.min(self.now + Duration::from_secs(10));
            for index in 0..self.engine.paces.len() {
                if self.engine.upstreams.find(UpstreamId(index)).is_live() {
                    self.engine.handle_alive(UpstreamId(index), self.now);
                }
            }
        }
        self.engine.handle_timeout(self.now);
        self.drain();
    }

    fn chip_job(&self, board: BoardId) -> ChipJob {
        self.chip_jobs[&board].clone().expect("the board has a job")
    }

    /// Nonces from `start` on that meet the chip job's target (or miss it), as the board would find them.
    fn nonces(chip_job: &ChipJob, good: bool) -> impl Iterator<Item = BoardEvent> + use<> {
        let chip_job = chip_job.clone();
        let target = Target::from_le_bytes(chip_job.target);
        let header = move |nonce| Header {
            version: chip_job.version,
            prev_hash: chip_job.prev_hash,
            merkle_root: chip_job.merkle_root,
            ntime: chip_job.ntime,
            nbits: chip_job.nbits,
            nonce,
        };
        let (job, version) = (chip_job.id, chip_job.version);
        (0..)
            .filter(move |nonce| target.is_met_by(&header(*nonce).hash()) == good)
            .map(move |nonce| BoardEvent::Nonce { job, nonce, version })
    }

    fn find_share(&mut self, board: BoardId) {
        let nonce = Self::nonces(&self.chip_job(board), true).next().unwrap();
        self.says(board, nonce);
    }

    fn board_counts(&self, board: BoardId) -> BoardCounts {
        self.engine.boards[&board].counts
    }
}

/// A time that was kept to two digits.
fn about_ms(time: Option<Duration>) -> f64 {
    (time.unwrap().as_secs_f64() * 1e4).round() / 10.0
}

fn job(id: &str) -> Job {
    Job {
        id: JobId::Text(id.into()),
        epoch: Epoch { session: 1, tip: 1 },
        header: JobHeader {
            version: 0x2000_0000,
            prev_hash: [3; 32],
            ntime: 1_700_000_000,
            nbits: 0x1702_355e,
        },
        coinbase: Coinbase {
            coinb1: id.as_bytes().into(),
            extranonce1: Extranonce1::new(vec![1]).unwrap(),
            extranonce2_size: Extranonce2Size::new(4).unwrap(),
            coinb2: Box::default(),
        },
        branch: Box::default(),
        version_mask: VersionMask::BIP320,
        difficulty: Difficulty::new(1e-7).unwrap(),
        network_target: Target::from_nbits(0x1702_355e).ok(),
    }
}

fn at_tip(id: &str, tip: u64) -> Job {
    Job { epoch: Epoch { session: 1, tip }, ..job(id) }
}

#[test]
fn a_nonce_that_verifies_is_submitted_to_whom_its_job_came_from_once() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &job("a"));
    let nonce = Mine::nonces(&mine.chip_job(CPU), true).next().unwrap();
    mine.says(CPU, nonce.clone());
    mine.says(CPU, nonce);
    assert_eq!(mine.submitted.len(), 1);
    assert_eq!((mine.submitted[0].0, mine.submitted[0].1.job().id.to_string().as_str()), (POOL, "a"));
    assert_eq!(mine.board_counts(CPU).duplicates, 1);
}

#[test]
fn a_nonce_that_does_not_verify_is_a_hardware_error_of_its_board() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &job("a"));
    let bad = Mine::nonces(&mine.chip_job(CPU), false).next().unwrap();
    mine.says(CPU, bad);
    let BoardEvent::Nonce { job, nonce, .. } = Mine::nonces(&mine.chip_job(CPU), true).next().unwrap() else {
        panic!()
    };
    mine.says(CPU, BoardEvent::Nonce { job, nonce, version: 0x6000_0000 });
    mine.says(CPU, BoardEvent::Nonce { job: ChipJobId(999), nonce, version: 0 });
    assert!(mine.submitted.is_empty());
    assert_eq!((mine.board_counts(CPU).hardware_errors, mine.board_counts(CPU).unknown), (2, 1));
}

#[test]
fn a_clean_job_drops_every_nonce_of_the_job_before_it() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &at_tip("a", 1));
    let mut old = Mine::nonces(&mine.chip_job(CPU), true);
    mine.job(POOL, &at_tip("b", 1));
    mine.says(CPU, old.next().unwrap());
    assert_eq!(mine.submitted.len(), 1, "a job that is not clean leaves older work good");
    mine.job(POOL, &at_tip("c", 2));
    mine.says(CPU, old.next().unwrap());
    assert_eq!(mine.submitted.len(), 1);
    assert_eq!(mine.engine.snapshot(mine.now).totals().stale, 1);
}

#[test]
fn a_stale_nonce_that_solves_a_block_is_submitted() {
    let mut mine = Mine::with_board();
    let easy = Job { network_target: Some(Difficulty::new(1e-7).unwrap().target()), ..at_tip("a", 1) };
    mine.job(POOL, &easy);
    let block = Mine::nonces(&mine.chip_job(CPU), true).next().unwrap();
    mine.job(POOL, &at_tip("b", 2));
    mine.says(CPU, block);
    assert!(mine.submitted[0].1.solves_block());
}

#[test]
fn boards_share_a_job_by_extranonces_of_their_own_and_a_late_one_gets_its_own_too() {
    let mut mine = Mine::with_board();
    mine.add_board(BoardId(1));
    mine.job(POOL, &job("a"));
    mine.add_board(BoardId(2));
    for _ in 0..5 {
        for board in 0..3 {
            let ending = mine.chip_job(BoardId(board)).id;
            mine.says(BoardId(board), BoardEvent::JobEnding(ending));
            mine.find_share(BoardId(board));
        }
    }
    let mut extranonces: Vec<_> =
        mine.submitted.iter().map(|(_, share)| share.extranonce2().to_string()).collect();
    extranonces.sort_unstable();
    extranonces.dedup();
    assert_eq!(extranonces.len(), 15);
}

#[test]
fn a_job_sent_again_under_the_same_id_brings_no_share_twice() {
    let mut mine = Mine::with_board();
    for _ in 0..4 {
        mine.job(POOL, &job("a"));
        mine.find_share(CPU);
    }
    let mut headers: Vec<_> = mine.submitted.iter().map(|(_, share)| share.header().to_bytes()).collect();
    headers.sort_unstable();
    headers.dedup();
    assert_eq!(headers.len(), 4);
}

#[test]
fn a_board_that_is_gone_takes_no_work_from_the_others() {
    let mut mine = Mine::with_board();
    mine.add_board(BoardId(1));
    mine.engine.remove_board(CPU);
    mine.drain();
    let mut tight = job("a");
    tight.coinbase.extranonce2_size = Extranonce2Size::new(0).unwrap();
    mine.job(POOL, &tight);
    assert!(mine.chip_jobs[&BoardId(1)].is_some(), "the only work goes to the board that is there");
    assert!(!mine.chip_jobs.contains_key(&CPU));
}

#[test]
fn an_old_ending_job_asks_for_nothing() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &job("a"));
    let old = mine.chip_job(CPU).id;
    mine.job(POOL, &job("b"));
    let newest = mine.chip_job(CPU).id;
    mine.says(CPU, BoardEvent::JobEnding(old));
    assert_eq!(mine.chip_job(CPU).id, newest);
}

#[test]
fn a_space_of_one_value_moves_ntime_only_as_seconds_pass_and_pauses_in_between() {
    let mut mine = Mine::with_board();
    let mut tight = job("a");
    tight.coinbase.extranonce2_size = Extranonce2Size::new(0).unwrap();
    mine.job(POOL, &tight);
    let first = mine.chip_job(CPU);
    mine.says(CPU, BoardEvent::JobEnding(first.id));
    assert_eq!(mine.chip_jobs[&CPU], None, "nothing is hashed twice");
    assert_eq!(mine.engine.poll_timeout(), Some(mine.now + Duration::from_secs(1)));
    mine.passes(1);
    let second = mine.chip_job(CPU);
    assert_eq!((second.ntime, second.merkle_root), (first.ntime + 1, first.merkle_root));
    mine.passes(1000);
    for _ in 0..700 {
        if let Some(chip_job) = mine.chip_jobs[&CPU].clone() {
            assert!(chip_job.ntime <= first.ntime + 600);
            mine.says(CPU, BoardEvent::JobEnding(chip_job.id));
        }
    }
    assert_eq!(mine.chip_jobs[&CPU], None);
    mine.passes(0); // nobody else has work either
    assert!(mine.engine.poll_timeout().is_none_or(|at| at > mine.now), "nothing is tried again at once");
}

#[test]
fn the_most_wanted_upstream_that_has_work_is_mined_for_and_the_others_stand_by() {
    let mut mine = Mine::with_board();
    mine.job(SPARE, &job("spare"));
    assert_eq!(mine.engine.active, [SPARE]);
    let spare_nonce = Mine::nonces(&mine.chip_job(CPU), true).next().unwrap();
    mine.job(POOL, &job("a"));
    assert_eq!(mine.engine.active, [POOL]);
    mine.says(CPU, spare_nonce);
    assert_eq!(mine.submitted[0].0, SPARE, "what was found for the old one is still sent there");
    mine.job(SPARE, &job("spare 2"));
    mine.lost(POOL);
    assert_eq!(mine.engine.active, [SPARE]);
    mine.find_share(CPU);
    assert_eq!(mine.submitted[1].1.job().id.to_string(), "spare 2");
}

#[test]
fn without_any_upstream_the_last_job_is_hashed_on_for_thirty_seconds() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &job("a"));
    mine.lost(POOL);
    assert_eq!(mine.engine.poll_timeout(), Some(mine.now + GRACE));
    mine.passes(29);
    mine.find_share(CPU);
    assert_eq!(mine.submitted.len(), 1);
    mine.passes(1);
    assert_eq!(mine.chip_jobs[&CPU], None);
    mine.job(POOL, &job("b"));
    assert!(mine.chip_jobs[&CPU].is_some());
}

#[test]
fn an_easy_difficulty_floods_neither_the_board_nor_the_pool() {
    let mut mine = Mine::with_board();
    let flood = Job { difficulty: Difficulty::new(1e-10).unwrap(), ..job("a") };
    mine.job(POOL, &flood);
    let chip_job = mine.chip_job(CPU);
    let per_second = 1e4 / (Target::from_le_bytes(chip_job.target).difficulty().value() * 4_295_032_833.0);
    assert!((29.0..31.0).contains(&per_second), "{per_second}");
    let told = |report: &Report| matches!(report, Report::Board(_, BoardReport::Ceiling { asked, .. }) if asked.value() == 1e-10);
    assert_eq!(mine.reports.iter().filter(|report| told(report)).count(), 1);
    let mut nonces = Mine::nonces(&ChipJob { target: [0xff; 32], ..chip_job }, true);
    (0..300).for_each(|_| mine.says(CPU, nonces.next().unwrap()));
    let sent = mine.submitted.len();
    assert!((90..=100).contains(&sent), "{sent} of a burst of 100");
    mine.passes(1);
    (0..300).for_each(|_| mine.says(CPU, nonces.next().unwrap()));
    assert!((40..=50).contains(&(mine.submitted.len() - sent)), "50 a second after that");
    assert!(mine.board_counts(CPU).filtered > 300);
}

#[test]
fn a_pool_harder_than_the_network_hears_of_blocks_all_the_same() {
    let mut mine = Mine::with_board();
    let hard = Job {
        difficulty: Difficulty::new(1e12).unwrap(),
        network_target: Some(Difficulty::new(1e-3).unwrap().target()),
        ..job("a")
    };
    mine.job(POOL, &hard);
    assert_eq!(Target::from_le_bytes(mine.chip_job(CPU).target), Difficulty::new(1e-3).unwrap().target());
}

#[test]
fn answers_are_counted_by_how_they_ended() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &job("a"));
    mine.find_share(CPU);
    let share = mine.submitted.remove(0).1;
    for outcome in [Outcome::Accepted, Outcome::Accepted, Outcome::Lost(LostReason::NoAnswer)] {
        let latency = Some(Duration::from_millis(3));
        mine.engine.handle_answer(POOL, Answered { share: share.clone(), outcome, latency }, mine.now);
    }
    let totals = mine.engine.snapshot(mine.now).totals();
    assert_eq!((totals.accepted, totals.lost_total(), totals.rejected_total()), (2, 1, 0));
    assert!(totals.best >= 1e-7);
    assert_eq!(mine.engine.tally().accepted, 2);
}

#[test]
fn the_time_of_a_job_switch_runs_from_its_line_to_its_first_batch() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &job("a"));
    let beginning = mine.chip_job(CPU).id;
    mine.says(CPU, BoardEvent::Started { job: beginning, at: mine.now + Duration::from_secs(5) });
    mine.job(POOL, &job("b"));
    let first = mine.chip_job(CPU).id;
    mine.says(CPU, BoardEvent::Started { job: first, at: mine.now + Duration::from_millis(2) });
    mine.says(CPU, BoardEvent::JobEnding(first));
    let second = mine.chip_job(CPU).id;
    mine.says(CPU, BoardEvent::Started { job: second, at: mine.now + Duration::from_secs(9) });
    let switches = mine.engine.snapshot(mine.now).switches;
    assert_eq!((switches.count(), about_ms(switches.quantile(1.0))), (1, 2.0));
}

#[test]
fn a_switch_to_an_upstream_that_stood_by_begins_with_the_turn_to_it() {
    let mut mine = Mine::with_board();
    mine.job(SPARE, &job("spare"));
    mine.job(POOL, &job("a"));
    mine.now += Duration::from_secs(100);
    mine.lost(POOL);
    let job = mine.chip_job(CPU).id;
    mine.says(CPU, BoardEvent::Started { job, at: mine.now + Duration::from_millis(1) });
    let snapshot = mine.engine.snapshot(mine.now);
    assert_eq!(
        (about_ms(snapshot.switches.quantile(1.0)), about_ms(snapshot.failovers.quantile(1.0))),
        (1.0, 1.0)
    );
}

#[test]
fn stopping_idles_the_boards_and_still_takes_what_is_on_its_way() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &job("a"));
    let late = Mine::nonces(&mine.chip_job(CPU), true).next().unwrap();
    mine.engine.stop();
    mine.drain();
    assert_eq!(mine.chip_jobs[&CPU], None);
    mine.says(CPU, late);
    assert_eq!(mine.submitted.len(), 1);
    assert_ne!(*mine.submitted[0].1.hash(), BlockHash([0; 32]));
}

#[test]
fn a_board_is_reported_when_its_state_changes_and_shown_as_it_stood_last() {
    use status::BoardState::{Hashing, Throttled};

    let mut mine = Mine::with_board();
    let tell = |mine: &mut Mine, state: status::BoardState, celsius: f64| {
        let mut status = BoardStatus::new(state);
        status.heat.chip_celsius = Some(celsius);
        mine.reports.clear();
        mine.says(CPU, BoardEvent::Status(Box::new(status)));
        mine.reports.len()
    };
    assert_eq!(tell(&mut mine, Hashing, 60.0), 1);
    assert_eq!(tell(&mut mine, Hashing, 61.0), 0);
    assert_eq!(tell(&mut mine, Throttled, 5000.0), 1);
    let [Report::Board(CPU, BoardReport::State { before: Some(Hashing), .. })] = &mine.reports[..] else {
        panic!("{:?}", mine.reports)
    };
    let shown = mine.engine.snapshot(mine.now).boards[0].status.clone().unwrap();
    assert_eq!((shown.state, shown.heat.chip_celsius), (Throttled, None), "no chip has 5000 °C");
    mine.says(CPU, BoardEvent::Recovered("it answers again".into()));
    assert!(matches!(mine.reports.last(), Some(Report::Board(CPU, BoardReport::Recovered(_)))));
}
