//! Runs what the checks need: miners, pools, virtual boards. Every wait has its deadline, and Ctrl-C ends all of them.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{
        Mutex,
        broadcast::{self, error::RecvError},
        mpsc, watch,
    },
    task::JoinSet,
    time::sleep_until,
};

use super::{
    check::Phase,
    evidence::{Evidence, KnownNonce, MinerEnd, Replug, Run, keep},
    known::{KnownSession, Submitted},
    known_pool::KnownPool,
    miner::{JobsAre, Miner, list},
    player::Player,
    report::Row,
    spec::{Bench, Board, Limits},
};
use crate::{
    pool::{Event as PoolEvent, PoolConfig, PoolEvent as TimedEvent, PracticePool, VardiffConfig},
    virtual_board::{Event as BoardEvent, SolvedHeader},
};

/// Miners that are started for the known nonce: the first one's answer may be lost on its way.
const ATTEMPTS: u32 = 3;
/// Events of a virtual board that may wait to be read.
const BOARD_EVENTS: usize = 1024;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(500);
/// Blocks make all older jobs stale, and a board that is told late hashes for nothing: on a real network that is rare.
const BLOCK_EVERY: Duration = Duration::from_secs(60);

/// What all boards of a run share.
#[derive(Debug)]
pub struct Setup {
    /// The miner.
    pub program: PathBuf,
    /// An empty folder for names of virtual ports, and the miner's home.
    pub folder: PathBuf,
    /// Whether somebody is there who can unplug a real board.
    pub attended: bool,
}

/// How far a board is.
#[derive(Debug)]
pub struct Progress {
    /// Its place in the bench.
    pub board: usize,
    /// What is being done.
    pub doing: String,
    /// Of `planned_seconds`.
    pub seconds: f64,
}

/// About how long the checks of a board take. Unit: seconds.
pub fn planned_seconds(board: &Board) -> f64 {
    phases(board).into_iter().map(|phase| planned(phase, &board.limits)).sum()
}

fn phases(board: &Board) -> Vec<Phase> {
    let mut phases: Vec<_> = board.checks.iter().map(|check| check.phase).collect();
    phases.sort();
    phases.dedup();
    phases
}

fn planned(phase: Phase, limits: &Limits) -> f64 {
    // From a miner's start to a share.
    const START: f64 = 5.0;
    match phase {
        Phase::Listing => 0.5,
        Phase::KnownNonce => START,
        Phase::Load => START + limits.warm_up_seconds + limits.load_seconds,
        Phase::Replug => 3.0 * START,
        Phase::Soak => START + limits.warm_up_seconds + limits.soak_seconds,
    }
}

/// Makes the checks of all boards, the boards beside each other. Shape: a row for each check of each board, in order.
/// `stop` ends what runs, and what was measured until then is judged.
pub async fn run(
    bench: Bench,
    setup: Setup,
    stop: watch::Receiver<bool>,
    progress: mpsc::UnboundedSender<Progress>,
) -> Vec<Row> {
    let (setup, hands) = (Arc::new(setup), Arc::new(Mutex::new(())));
    let mut tasks = JoinSet::new();
    for (index, board) in bench.boards.into_iter().enumerate() {
        let runner = Runner {
            board,
            index,
            setup: Arc::clone(&setup),
            hands: Arc::clone(&hands),
            stop: stop.clone(),
            progress: progress.clone(),
            done: 0.0,
        };
        tasks.spawn(async move { (index, runner.run().await) });
    }
    let mut rows = tasks.join_all().await;
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().flat_map(|(_, rows)| rows).collect()
}

struct Runner {
    board: Board,
    index: usize,
    setup: Arc<Setup>,
    /// Of the person who unplugs boards: one at a time.
    hands: Arc<Mutex<()>>,
    stop: watch::Receiver<bool>,
    progress: mpsc::UnboundedSender<Progress>,
    done: f64,
}

/// A miner on the practice pool, with its board if that is a virtual one.
struct Mine {
    pool: PracticePool,
    shares: broadcast::Receiver<TimedEvent>,
    miner: Miner,
    player: Option<Player>,
    events: mpsc::Receiver<BoardEvent>,
    stop: watch::Receiver<bool>,
    tick: tokio::time::Interval,
}

/// What happened next.
enum Happened {
    Pool(PoolEvent),
    Miner(serde_json::Value),
    Board(BoardEvent),
    Tick,
    Deadline,
    /// The miner ended by itself.
    Ended,
    /// Ctrl-C.
    Stopped,
}

impl Mine {
    async fn next(&mut self, deadline: Instant) -> Happened {
        loop {
            return tokio::select! {
                biased;
                () = stopped(&mut self.stop) => Happened::Stopped,
                told = self.shares.recv() => match told {
                    Ok(told) => Happened::Pool(told.event),
                    // 4096 events are minutes; what was lost lacks in the rate, and nowhere else.
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => Happened::Deadline,
                },
                line = self.miner.line() => line.map_or(Happened::Ended, Happened::Miner),
                Some(event) = self.events.recv() => Happened::Board(event),
                () = sleep_until(deadline.into()) => Happened::Deadline,
                _ = self.tick.tick() => Happened::Tick,
            };
        }
    }

    /// Ends the miner, then the pool. Shape: how the miner ended, and what it complained of.
    async fn end(self, has_ended: bool, take: impl FnMut(&serde_json::Value)) -> (MinerEnd, Vec<String>) {
        let end = if has_ended { self.miner.ended().await } else { self.miner.end(take).await };
        self.pool.stop().await;
        end
    }
}

/// Ready when all has to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is there any more who could say so.
        std::future::pending::<()>().await;
    }
}

impl Runner {
    async fn run(mut self) -> Vec<Row> {
        let (mut evidence, mut seconds) = (Evidence::default(), BTreeMap::new());
        for phase in phases(&self.board) {
            if *self.stop.borrow() {
                break;
            }
            let started = Instant::now();
            match phase {
                Phase::Listing => {
                    self.tell("listing ports", 0.0);
                    evidence.listing =
                        Some(list(&self.setup.program, &self.setup.folder, self.board.ports()).await);
                }
                Phase::KnownNonce => evidence.known = self.known_nonce().await,
                Phase::Load => evidence.load = Some(self.mine("load", self.board.limits.load_seconds).await),
                Phase::Replug => evidence.replug = self.replug().await,
                Phase::Soak => evidence.soak = Some(self.mine("soak", self.board.limits.soak_seconds).await),
            }
            seconds.insert(phase, started.elapsed().as_secs_f64());
            self.done += planned(phase, &self.board.limits);
        }
        self.tell("done", 0.0);
        let row = |check: &&'static super::check::Check| Row {
            board: self.board.name.clone(),
            check,
            finding: check.judge(&self.board, &evidence),
            seconds: seconds.get(&check.phase).copied().unwrap_or_default(),
        };
        self.board.checks.iter().map(row).collect()
    }

    fn tell(&self, doing: &str, seconds: f64) {
        let told = Progress { board: self.index, doing: doing.to_owned(), seconds: self.done + seconds };
        // Whoever showed it may have gone.
        _ = self.progress.send(told);
    }

    /// A virtual board begins to play. Shape: `None` for a real one.
    fn play(
        &self,
        solved: Vec<SolvedHeader>,
        events: mpsc::Sender<BoardEvent>,
    ) -> Result<Option<Player>, String> {
        let prefix = self.setup.folder.join(&self.board.name);
        self.board.played().map(|place| Player::start(place, &prefix, solved, events)).transpose()
    }

    fn start_miner(&self, pool: &str, player: Option<&Player>, jobs: JobsAre) -> Result<Miner, String> {
        let device = self.board.device(player.map_or(self.board.ports(), Player::ports));
        let started = Miner::start(&self.setup.program, &self.setup.folder, pool, &device, jobs);
        started.map_err(|error| error.to_string())
    }

    async fn start(&self) -> Result<(Mine, mpsc::Sender<BoardEvent>), String> {
        let difficulty = self.board.difficulty();
        let default = PoolConfig::default();
        let fixed =
            VardiffConfig { start: difficulty, lowest: difficulty, highest: difficulty, ..default.vardiff };
        let config = PoolConfig { vardiff: fixed, block_every: BLOCK_EVERY, ..default };
        let pool = PracticePool::start(config).await.map_err(|error| format!("practice pool: {error}"))?;
        let shares = pool.events();
        let (sender, events) = mpsc::channel(BOARD_EVENTS);
        let player = self.play(Vec::new(), sender.clone())?;
        let miner = self.start_miner(&pool.address().to_string(), player.as_ref(), JobsAre::Usual)?;
        let tick = tokio::time::interval(TICK);
        Ok((Mine { pool, shares, miner, player, events, stop: self.stop.clone(), tick }, sender))
    }

    /// Mines for `seconds` from the end of the warm-up on.
    async fn mine(&self, name: &str, seconds: f64) -> Run {
        let mut run = Run::default();
        let (mut mine, _events) = match self.start().await {
            Ok(started) => started,
            Err(why) => return Run { miner: MinerEnd::NotStarted(why), ..run },
        };
        let limits = &self.board.limits;
        let give_up_at = after(Instant::now(), limits.start_seconds);
        let mut last_share: Option<Instant> = None;
        let mut measured: Option<(Instant, Instant)> = None;
        let has_ended = loop {
            let deadline = measured.map_or(give_up_at, |(_, end)| end);
            let happened = mine.next(deadline).await;
            let now = Instant::now();
            match happened {
                Happened::Pool(event) => {
                    let is_measuring = measured.is_some_and(|(start, end)| start <= now && now < end);
                    if run.note_pool(&event, is_measuring) {
                        let silence = last_share.map_or(0.0, |last| now.duration_since(last).as_secs_f64());
                        run.longest_silence = run.longest_silence.max(silence);
                        last_share = Some(now);
                        measured.get_or_insert_with(|| {
                            let start = after(now, limits.warm_up_seconds);
                            (start, after(start, seconds))
                        });
                    }
                }
                Happened::Miner(line) => run.note_miner(&line),
                Happened::Board(event) => run.note_board(&event),
                Happened::Tick => {
                    let passed = measured.map_or(0.0, |(start, _)| now.duration_since(start).as_secs_f64());
                    let doing = if measured.is_some() {
                        format!("{name}: {passed:.0} of {seconds:.0} s, {} shares", run.accepted)
                    } else {
                        format!("{name}: waits for the first share")
                    };
                    self.tell(&doing, passed);
                }
                Happened::Deadline => break false,
                Happened::Ended => break true,
                Happened::Stopped => {
                    run.interrupted = true;
                    break false;
                }
            }
        };
        if let Some((start, end)) = measured {
            let now = Instant::now().min(end);
            run.measured_seconds = now.duration_since(start).as_secs_f64();
            let silence = last_share.map_or(0.0, |last| now.duration_since(last).as_secs_f64());
            run.longest_silence = run.longest_silence.max(silence);
        }
        // What the board does when its miner ends, such as losing its power, is no finding.
        let mut summary = None;
        let keep_summary = |line: &serde_json::Value| {
            if line["event"] == "summary" {
                summary = Some(line.clone());
            }
        };
        (run.miner, run.complaints) = mine.end(has_ended, keep_summary).await;
        if let Some(line) = summary {
            run.note_miner(&line);
        }
        run
    }

    /// The job with the known nonce. `None` after Ctrl-C.
    async fn known_nonce(&self) -> Option<KnownNonce> {
        let mut known = KnownNonce::default();
        while known.attempts < ATTEMPTS && known.found_after.is_none() && known.wrong.is_empty() {
            known.attempts += 1;
            self.tell(&format!("known nonce, attempt {}", known.attempts), 0.0);
            match self.attempt(&mut known).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(why) => keep(&mut known.complaints, &why),
            }
        }
        Some(known)
    }

    /// One miner for it. Shape: whether nobody has stopped it. Errors: what could not be started.
    async fn attempt(&self, known: &mut KnownNonce) -> Result<bool, String> {
        let mut pool = KnownPool::start().await.map_err(|error| format!("pool: {error}"))?;
        let solved = SolvedHeader::from_header(&KnownSession::default().header());
        let (sender, _events) = mpsc::channel(1);
        let player = self.play(vec![solved], sender)?;
        let mut miner = self.start_miner(&pool.address.to_string(), player.as_ref(), JobsAre::Ancient)?;
        let (started, mut stop) = (Instant::now(), self.stop.clone());
        let give_up_at = after(started, self.board.limits.known_nonce_seconds / f64::from(ATTEMPTS));
        let mut faults = Run::default();
        let goes_on = loop {
            tokio::select! {
                () = stopped(&mut stop) => break false,
                Some(share) = pool.shares.recv() => match share {
                    Submitted::Genesis => {
                        known.found_after = Some(started.elapsed().as_secs_f64());
                        break true;
                    }
                    Submitted::Other => {}
                    Submitted::Wrong(why) => {
                        keep(&mut known.wrong, &why);
                        break true;
                    }
                },
                line = miner.line() => match line {
                    Some(line) => faults.note_miner(&line),
                    None => break true,
                },
                () = sleep_until(give_up_at.into()) => break true,
            }
        };
        let said = miner.complaints().iter().chain(&faults.faults).chain(&faults.jobs.lost);
        said.for_each(|text| keep(&mut known.complaints, text));
        // The next attempt needs the ports.
        miner.end(|_| {}).await;
        Ok(goes_on)
    }

    /// Lets the board leave the bus and come back while it is mined with. `None` after Ctrl-C.
    async fn replug(&self) -> Option<Replug> {
        let mut seen = Replug::default();
        if self.board.played().is_none() && !self.setup.attended {
            return Some(Replug { nobody: true, ..seen });
        }
        let hands = if self.board.played().is_none() { Some(self.hands.lock().await) } else { None };
        let (mut mine, events) = match self.start().await {
            Ok(started) => started,
            Err(why) => return Some(Replug { miner: MinerEnd::NotStarted(why), ..seen }),
        };
        let is_share = |happened: &Happened| {
            let mut run = Run::default();
            matches!(happened, Happened::Pool(event) if run.note_pool(event, false))
        };
        let is_gone = |happened: &Happened| matches!(happened, Happened::Miner(line) if line["event"] == "board" && line["state"] == "gone");
        let limits = &self.board.limits;
        let doing = "replug: waits for the first share";
        let mut wait = self.wait(&mut mine, limits.start_seconds, doing, is_share).await;
        seen.mined_before = wait.came().is_some();
        if let Wait::Came(_) = wait {
            mine.player = None;
            let doing = format!("UNPLUG {}", self.board.name);
            wait = self.wait(&mut mine, limits.replug_seconds, &doing, is_gone).await;
            seen.missed_after = wait.came();
        }
        if let Wait::Came(_) = wait {
            match self.play(Vec::new(), events) {
                Ok(player) => mine.player = player,
                Err(why) => return Some(Replug { miner: MinerEnd::NotStarted(why), ..seen }),
            }
            let doing = format!("PLUG {} IN again", self.board.name);
            wait = self.wait(&mut mine, limits.replug_seconds, &doing, is_share).await;
            seen.back_after = wait.came();
        }
        (seen.miner, _) = mine.end(matches!(wait, Wait::Ended), |_| {}).await;
        drop(hands);
        (!matches!(wait, Wait::Stopped)).then_some(seen)
    }

    async fn wait(
        &self,
        mine: &mut Mine,
        seconds: f64,
        doing: &str,
        wanted: impl Fn(&Happened) -> bool,
    ) -> Wait {
        let started = Instant::now();
        let deadline = after(started, seconds);
        loop {
            let happened = mine.next(deadline).await;
            let passed = started.elapsed().as_secs_f64();
            match happened {
                Happened::Deadline => return Wait::TooLong,
                Happened::Ended => return Wait::Ended,
                Happened::Stopped => return Wait::Stopped,
                Happened::Tick => self.tell(&format!("{doing}, {:.0} s left", seconds - passed), passed),
                happened if wanted(&happened) => return Wait::Came(passed),
                Happened::Pool(_) | Happened::Miner(_) | Happened::Board(_) => {}
            }
        }
    }
}

/// How waiting for something ended.
enum Wait {
    /// It came, after so many seconds.
    Came(f64),
    TooLong,
    Ended,
    Stopped,
}

impl Wait {
    fn came(&self) -> Option<f64> {
        match self {
            Self::Came(seconds) => Some(*seconds),
            _ => None,
        }
    }
}

fn after(time: Instant, seconds: f64) -> Instant {
    time + Duration::from_secs_f64(seconds)
}
