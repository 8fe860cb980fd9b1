//! Some hundred things that happen to an engine, drawn from a seed and on a clock of their own, with a real model beside it
//! or without one: all that the engine does about them, as text.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use signalcore::decision::{Bounds, Scheme, Terms};
use signalcore::engine::advice::AskTerms;
use signalcore::engine::policy::{Policy, Strategy, UpstreamTerms};
use signalcore::engine::{Action, BoardAbout, BoardId, Engine, Report, UpstreamId};
use signalcore::model::advisor::{Advised, Question};
use signalcore::model::statistics::Figures;
use signalcore::model::task::ModelHandle;
use signalcore::validate::Level;
use signalcore::work::{
    Answered, Coinbase, Difficulty, Epoch, Extranonce1, Extranonce2Size, HashRate, Header, Job, JobHeader,
    JobId, Outcome, Reject, RejectKind, Share, Target, VersionMask,
};
use signalcore_drivers::{BoardEvent, ChipJob};

/// How much happens.
const STEPS: usize = 400;
const UPSTREAMS: u64 = 3;
const BOARDS: u64 = 2;
/// Every so many questions one is handed to the model, so that what it does is spread over the script.
const HANDED: usize = 10;
/// Time of day at which it begins, the first second of a day: no budget ends in the middle.
const UNIX: u64 = 1_700_006_400;
/// Longest wait for a model.
const PATIENCE: Duration = Duration::from_secs(60);

/// What came of a script.
#[derive(Debug)]
pub(crate) struct Played {
    /// All that the engine did but for what is for models alone.
    pub(crate) told: Vec<String>,
    /// Questions that it made.
    pub(crate) asked: usize,
    /// Pieces of advice that came, of whatever use.
    pub(crate) advised: usize,
    /// What became of advice, and why.
    pub(crate) ends: Vec<String>,
}

/// How a script is played.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) strategy: Strategy,
    /// The clock's beginning, the same for all that is compared.
    pub(crate) start: Instant,
    /// Part of a day's revenue that advice may cost.
    pub(crate) regret_a_day: f64,
}

/// Plays the script.
pub(crate) async fn play(terms: Setting, mut model: Option<&mut ModelHandle>) -> Played {
    let mut script = Script::new(terms, model.is_some());
    let mut unsettled = None;
    for _ in 0..STEPS {
        script.step();
        tokio::task::yield_now().await;
        while let Some(action) = script.engine.poll_action() {
            let Some(question) = script.take(action, &mut model) else { continue };
            let Some(model) = model.as_mut().filter(|_| script.played.asked % HANDED == 1) else { continue };
            settle(model, unsettled.take()).await;
            let calls = figures(model).map_or(0, |figures| taken(&figures));
            model.questions.send_replace(Some(*question));
            unsettled = Some(calls);
            // Every other one is still on its way while things go on happening.
            if script.played.asked % (2 * HANDED) == 1 {
                settle(model, unsettled.take()).await;
            }
        }
        while let Some(advised) = model.as_mut().and_then(|model| model.advice.try_recv().ok()) {
            script.advise(&advised);
        }
    }
    if let Some(model) = model {
        settle(model, unsettled).await;
    }
    script.played
}

fn figures(model: &ModelHandle) -> Option<Figures> {
    model.condition.borrow().figures.clone()
}

/// Questions that were asked, or answered without.
fn taken(figures: &Figures) -> u64 {
    figures.calls + figures.cache_hits
}

/// Waits until the question that came after so many others has ended, by an answer or without, or is not asked at all.
async fn settle(model: &mut ModelHandle, calls: Option<u64>) {
    let Some(calls) = calls else { return };
    let is_settled = |figures: &Figures| {
        let ended = figures.answered + figures.failures.values().sum::<u64>();
        figures.breaker_open || taken(figures) > calls && figures.calls == ended
    };
    let settled = model.condition.wait_for(|condition| condition.figures.as_ref().is_some_and(is_settled));
    let waited = tokio::time::timeout(PATIENCE, settled).await.map(|settled| settled.map(drop));
    assert!(matches!(waited, Ok(Ok(()))), "after {calls} calls: {:?}", model.condition.borrow());
}

struct Script {
    engine: Engine,
    now: Instant,
    start: Instant,
    state: u64,
    tip: u64,
    jobs: u64,
    chip_jobs: BTreeMap<BoardId, ChipJob>,
    shares: VecDeque<(UpstreamId, Box<Share>)>,
    played: Played,
}

impl Script {
    fn new(terms: Setting, with_model: bool) -> Self {
        let Setting { strategy, start, regret_a_day } = terms;
        let bounds = Bounds { regret_a_day, ..Bounds::default() };
        // Made-up jobs would fail every check.
        let policy = Policy { strategy, bounds, validation: Level::NONE, ..Policy::default() };
        let pool = |fee| {
            let value = Terms { fee, payout_factor: 1.0, scheme: Scheme::Pps, kappa: None, vouches: false };
            UpstreamTerms { value, ..UpstreamTerms::pool(1) }
        };
        let engine = Engine::new(policy, &[pool(0.01), pool(0.015), pool(0.012)], start).recorded();
        let ask = AskTerms { every: Duration::from_secs(5), deadline: Duration::from_secs(2) };
        let mut script = Self {
            engine: if with_model { engine.with_model(ask) } else { engine },
            now: start,
            start,
            state: 1,
            tip: 0,
            jobs: 0,
            chip_jobs: BTreeMap::new(),
            shares: VecDeque::new(),
            played: Played { told: Vec::new(), asked: 0, advised: 0, ends: Vec::new() },
        };
        for board in 0..BOARDS {
            let about =
                BoardAbout { name: "b".into(), detail: "made up".into(), expected_rate: HashRate(1.0) };
            script.engine.add_board(BoardId(board as usize), about, start);
        }
        script
    }

    fn any(&mut self, below: u64) -> u64 {
        // Source: Knuth's MMIX.
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % below
    }

    /// Something happens, or only time passes.
    fn step(&mut self) {
        let pause = self.any(6000);
        self.now += Duration::from_millis(pause);
        let upstream = UpstreamId(self.any(UPSTREAMS) as usize);
        match self.any(40) {
            0 => {
                let reason = Some("the connection is closed".to_owned());
                self.engine.handle_upstream_lost(upstream, reason, self.now);
            }
            1 => {
                self.tip += 1;
                self.job(upstream);
            }
            2..=9 => self.job(upstream),
            10..=12 => {
                let board = BoardId(self.any(BOARDS) as usize);
                if let Some(job) = self.chip_jobs.get(&board) {
                    self.engine.handle_board(board, BoardEvent::JobEnding(job.id), self.now);
                }
            }
            13..=22 => self.nonce(),
            23..=32 => self.answer(),
            33..=37 => self.engine.handle_alive(upstream, self.now),
            _ => {}
        }
        self.engine.handle_timeout(self.now);
    }

    fn job(&mut self, upstream: UpstreamId) {
        self.jobs += 1;
        let job = Job {
            id: JobId::Text(self.jobs.to_string().into()),
            epoch: Epoch { session: 0, tip: self.tip },
            header: JobHeader {
                version: 0x2000_0000,
                prev_hash: [self.tip as u8; 32],
                ntime: 1_700_000_000,
                nbits: 0x1702_355e,
            },
            coinbase: Coinbase {
                coinb1: self.jobs.to_le_bytes().into(),
                extranonce1: Extranonce1::new(vec![1]).unwrap(),
                extranonce2_size: Extranonce2Size::new(4).unwrap(),
                coinb2: Box::default(),
            },
            branch: Box::default(),
            version_mask: VersionMask::BIP320,
            difficulty: Difficulty::new(1e-9).unwrap(),
            network_target: Target::from_nbits(0x1702_355e).ok(),
        };
        let unix = UNIX + self.now.duration_since(self.start).as_secs();
        self.engine.handle_job(upstream, Arc::new(job), self.now, self.now, unix);
    }

    /// A board finds a nonce good enough for it.
    fn nonce(&mut self) {
        let board = BoardId(self.any(BOARDS) as usize);
        let from = self.any(1 << 30) as u32;
        let Some(chip_job) = self.chip_jobs.get(&board) else { return };
        let &ChipJob { id, version, prev_hash, merkle_root, ntime, nbits, target, .. } = chip_job;
        let target = Target::from_le_bytes(target);
        let is_good = |nonce: &u32| {
            target.is_met_by(&Header { version, prev_hash, merkle_root, ntime, nbits, nonce: *nonce }.hash())
        };
        let nonce = (from..u32::MAX).find(is_good).expect("there is one in a few");
        self.engine.handle_board(board, BoardEvent::Nonce { job: id, nonce, version }, self.now);
    }

    /// A pool says what became of the oldest share, or never does.
    fn answer(&mut self) {
        let chance = self.any(16);
        let Some((upstream, share)) = self.shares.pop_front() else { return };
        let kind = if chance == 1 { RejectKind::Stale } else { RejectKind::Other };
        let outcome = match chance {
            0 => return,
            1 | 2 => Outcome::Rejected(Reject { kind, code: Some(20), text: "no".to_owned() }),
            _ => Outcome::Accepted,
        };
        let latency = Some(Duration::from_millis(20 + chance));
        self.engine.handle_answer(upstream, Answered { share, outcome, latency }, self.now);
    }

    /// Takes note of what the engine does. Gives back a question.
    fn take(&mut self, action: Action, model: &mut Option<&mut ModelHandle>) -> Option<Box<Question>> {
        match &action {
            Action::Report(Report::Advice { end, .. }) => {
                self.played.ends.push(format!("{end:?}"));
                return None;
            }
            Action::Dispatch(board, Some(job)) => drop(self.chip_jobs.insert(*board, job.clone())),
            Action::Dispatch(board, None) => drop(self.chip_jobs.remove(board)),
            Action::Moment(moment) => {
                if let Some(model) = model {
                    model.moment.send_replace(*moment);
                }
            }
            _ => {}
        }
        if let Action::Ask(question) = action {
            self.played.asked += 1;
            return Some(question);
        }
        self.played.told.push(format!("{action:?}"));
        if let Action::Submit(upstream, share) = action {
            self.shares.push_back((upstream, share));
        }
        None
    }

    /// Advice comes on the clock of the world, and counts on that of the script.
    fn advise(&mut self, advised: &Advised) {
        self.played.advised += 1;
        let until = self.now + advised.until.saturating_duration_since(Instant::now());
        self.engine.handle_advice(&Advised { until, ..advised.clone() }, self.now);
    }
}
