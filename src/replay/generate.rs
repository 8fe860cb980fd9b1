//! Worlds made by seeded chance: blocks, pools that hear of them late, and what goes wrong with pools.

use std::time::Duration;

use super::chance::Chance;
use super::world::{Check, Device, Line, Notify, Parent, Rules, Truth, Upstream, What, World};
use crate::decision::{Scheme, Terms};

/// Seconds of a day.
pub const DAY: f64 = 86_400.0;
/// Mean seconds between blocks. Source: Bitcoin Core, `consensus.nPowTargetSpacing`.
const BLOCK: f64 = 600.0;
/// Height of the first block of a generated world, in the fifth period of the subsidy.
const FIRST_HEIGHT: u32 = 957_000;
/// Fees of a template straight after a block, their growth a second, and their limit, satoshi: mempools in quiet times.
const FEES: (f64, f64, f64) = (600_000.0, 3_000.0, 4_000_000.0);
/// Notifies come this much earlier or later than the beat, seconds. All pools have the same beat: who follows each job of
/// anybody then meets several at almost the same time, which for such a rule is the kindest world.
const JITTER: f64 = 1.0;
/// How long a pool that sends an empty job first takes for a full one, seconds.
const EMPTY: f64 = 3.0;
/// Seconds between two troubles of one upstream, at least.
const APART: f64 = 60.0;
/// Attempts to place a trouble where there is none yet.
const ATTEMPTS: usize = 1000;

/// How to make a world.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The upstreams, in the operator's order.
    pub pools: Vec<PoolPlan>,
    /// Seconds of the device's L, L_x and B.
    pub device: (f64, f64, f64),
    /// How many days it lasts, and after how many of them figures count.
    pub days: (f64, f64),
    /// Seconds between notifies.
    pub notify_every: f64,
    /// Shares a second.
    pub shares_per_second: f64,
}

/// How to make an upstream.
#[derive(Debug, Clone)]
pub struct PoolPlan {
    /// How it pays.
    pub terms: Terms,
    /// Part of the shares that it refuses at all times.
    pub rejects: f64,
    /// When it hears of a block.
    pub lag: Lag,
    /// Its jobs.
    pub jobs: Jobs,
    /// What goes wrong.
    pub troubles: Vec<Trouble>,
}

/// How late an upstream hears of a block: lognormal, and sometimes later.
#[derive(Debug, Clone, Copy)]
pub struct Lag {
    /// Median, seconds.
    pub median: f64,
    /// Deviation of the logarithm.
    pub sigma: f64,
    /// How often it is later, and the mean of what is added then, seconds.
    pub late: (f64, f64),
}

/// What an upstream's jobs are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jobs {
    /// Clean at a new block only.
    Usual,
    /// After a new block an empty one first, and a full one 3 s later.
    EmptyFirst,
    /// Each of them clean; shares of older ones are taken all the same.
    AllClean,
    /// Each of them clean, and shares of older ones are refused.
    AllCleanStrict,
}

/// What goes wrong, how often and for how long.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// What.
    pub kind: TroubleKind,
    /// When it begins.
    pub starts: Starts,
    /// How long it lasts.
    pub lasts: Lasts,
}

/// What may go wrong with an upstream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TroubleKind {
    /// The connection is closed and cannot be opened.
    Drop,
    /// The connection stays and nothing comes.
    Silence,
    /// This part of the shares is refused.
    Rejects(f64),
    /// Jobs pay a stranger.
    BadPay,
    /// Jobs are on a branch that never becomes the best.
    BadBranch,
    /// Jobs are on a block that nobody else names and that is good all the same.
    Unknown,
}

/// When a trouble begins, each day anew.
#[derive(Debug, Clone)]
pub enum Starts {
    /// So many times at even chance.
    AtRandom(usize),
    /// At these hours.
    AtHours(&'static [f64]),
}

/// How long a trouble lasts, seconds.
#[derive(Debug, Clone, Copy)]
pub enum Lasts {
    /// Always as long.
    Exactly(f64),
    /// Without memory, with this mean.
    Exponential(f64),
    /// Lognormal with this median and deviation.
    Lognormal(f64, f64),
}

impl Lasts {
    fn draw(self, chance: &mut Chance) -> f64 {
        match self {
            Self::Exactly(seconds) => seconds,
            Self::Exponential(mean) => chance.exponential(mean),
            Self::Lognormal(median, sigma) => chance.lognormal(median, sigma),
        }
    }
}

impl Plan {
    /// The world of a seed, of `days` days where they are given: figures then count from the same part of it on.
    pub fn world(&self, seed: u64, days: Option<f64>) -> World {
        let length = days.unwrap_or(self.days.0);
        let end = length * DAY;
        let blocks = blocks(&mut Chance::new(seed, 0), end);
        let truth = |block: &Block| line(block.found, What::Truth(Truth::Block(block.parent, block.height)));
        let mut lines: Vec<_> = blocks.iter().map(truth).collect();
        for (at, pool) in self.pools.iter().enumerate() {
            let mut chance = Chance::new(seed, 1 + at as u64);
            let mut causes = troubles(pool, length, &mut chance);
            causes.extend(arrivals(pool.lag, &blocks[1..], &mut chance));
            causes.retain(|(time, _)| *time < end);
            causes.sort_by(|a, b| a.0.total_cmp(&b.0));
            lines.extend(Timeline::new(self, at, blocks[0], chance).lines(causes, end));
        }
        lines.sort_by_key(|line| (line.at, !matches!(line.what, What::Truth(_))));
        let notifies = lines.iter_mut().filter_map(|line| match &mut line.what {
            What::Notify(_, notify) => Some(notify),
            _ => None,
        });
        for (job, notify) in notifies.enumerate() {
            notify.job = job as u64;
        }
        let upstream =
            |(at, pool): (usize, &PoolPlan)| Upstream { name: name(at), terms: pool.terms, patience: None };
        let (flush, cross, boundary) = self.device;
        World {
            rules: Rules::default(),
            upstreams: self.pools.iter().enumerate().map(upstream).collect(),
            device: Device {
                flush: Duration::from_secs_f64(flush),
                cross: Duration::from_secs_f64(cross),
                boundary: Duration::from_secs_f64(boundary),
            },
            lines,
            end: Duration::from_secs_f64(end),
            measured_from: Duration::from_secs_f64(end * self.days.1 / self.days.0),
            shares_per_second: self.shares_per_second,
        }
    }
}

/// A, B, C and on, as in the tables of pools.
fn name(at: usize) -> String {
    char::from(b'A' + (at % 26) as u8).to_string()
}

/// A log has whole milliseconds, and so have worlds.
fn line(seconds: f64, what: What) -> Line {
    Line { at: Duration::from_millis((seconds * 1e3).round() as u64), what }
}

/// A block of a generated world.
#[derive(Debug, Clone, Copy)]
struct Block {
    parent: Parent,
    height: u32,
    /// Seconds since the start.
    found: f64,
}

/// All blocks; one is there at the start.
fn blocks(chance: &mut Chance, end: f64) -> Vec<Block> {
    let (mut found, mut blocks) = (0.0, Vec::new());
    while found < end {
        let at = blocks.len() as u32;
        blocks.push(Block { parent: named('h', at), height: FIRST_HEIGHT + at, found });
        found += chance.exponential(BLOCK);
    }
    blocks
}

fn named(letter: char, number: u32) -> Parent {
    format!("{letter}{number}").parse().expect("a letter and a number are a name")
}

/// When an upstream hears of which block.
fn arrivals(lag: Lag, blocks: &[Block], chance: &mut Chance) -> Vec<(f64, Cause)> {
    let mut arrivals: Vec<(f64, Cause)> = Vec::new();
    for block in blocks {
        let mut late = chance.lognormal(lag.median, lag.sigma);
        if chance.happens(lag.late.0) {
            late += chance.exponential(lag.late.1);
        }
        // A block that overtakes the one before it makes that one old news.
        while arrivals.last().is_some_and(|(time, _)| *time >= block.found + late) {
            arrivals.pop();
        }
        arrivals.push((block.found + late, Cause::Heard(*block)));
    }
    arrivals
}

/// When each trouble of an upstream begins and ends; no two at the same time.
fn troubles(pool: &PoolPlan, days: f64, chance: &mut Chance) -> Vec<(f64, Cause)> {
    let mut taken: Vec<(f64, f64)> = Vec::new();
    let mut edges = Vec::new();
    for trouble in &pool.troubles {
        for day in 0..days.ceil() as usize {
            let starts_of_day = match &trouble.starts {
                Starts::AtRandom(times) => vec![None; *times],
                Starts::AtHours(hours) => hours.iter().map(|hour| Some(hour * 3600.0)).collect(),
            };
            for start_in_day in starts_of_day {
                let lasts = trouble.lasts.draw(chance).min(DAY / 2.0);
                let place = |chance: &mut Chance| {
                    let start = start_in_day.unwrap_or_else(|| chance.between(0.0, DAY - lasts));
                    let start = day as f64 * DAY + start;
                    (start, start + lasts)
                };
                let is_free = |(start, end): &(f64, f64)| {
                    taken.iter().all(|(from, to)| *end + APART < *from || to + APART < *start)
                };
                let mut places = (0..ATTEMPTS).map(|_| place(chance));
                if let Some((start, end)) = places.find(is_free) {
                    taken.push((start, end));
                    edges.push((start, Cause::Trouble(trouble.kind, true)));
                    edges.push((end, Cause::Trouble(trouble.kind, false)));
                }
            }
        }
    }
    edges
}

/// Why a pool does something besides its notifies.
#[derive(Debug, Clone, Copy)]
enum Cause {
    /// It hears of a block.
    Heard(Block),
    /// A trouble begins, or ends.
    Trouble(TroubleKind, bool),
}

/// What a pool's jobs depend on.
#[derive(Debug, Clone, Copy)]
struct Situation {
    /// The block that it builds on when nothing is wrong.
    block: Block,
    /// What it builds on while it is on a branch of its own.
    branch: Option<Block>,
    trouble: Option<TroubleKind>,
    connection: u64,
}

/// One upstream from the start to the end.
struct Timeline<'a> {
    plan: &'a Plan,
    upstream: usize,
    chance: Chance,
    now: f64,
    next_notify: f64,
    situation: Situation,
    lines: Vec<Line>,
}

impl<'a> Timeline<'a> {
    fn new(plan: &'a Plan, upstream: usize, first: Block, chance: Chance) -> Self {
        let situation = Situation { block: first, branch: None, trouble: None, connection: 0 };
        let next_notify = plan.notify_every;
        Self { plan, upstream, chance, now: 0.0, next_notify, situation, lines: Vec::new() }
    }

    fn pool(&self) -> &'a PoolPlan {
        &self.plan.pools[self.upstream]
    }

    fn lines(mut self, causes: Vec<(f64, Cause)>, end: f64) -> Vec<Line> {
        self.truth(Truth::RejectRate(self.upstream, self.pool().rejects));
        self.truth(Truth::OldShares(self.upstream, self.pool().jobs != Jobs::AllCleanStrict));
        self.notify(true, false);
        for (time, cause) in causes.into_iter().map(|(time, cause)| (time, Some(cause))).chain([(end, None)])
        {
            while self.next_notify < time {
                self.now = self.next_notify;
                self.next_notify = self.after_beat();
                self.notify(matches!(self.pool().jobs, Jobs::AllClean | Jobs::AllCleanStrict), false);
            }
            self.now = time;
            match cause {
                Some(Cause::Heard(block)) => self.heard(block),
                Some(Cause::Trouble(kind, begins)) => self.trouble(kind, begins),
                None => {}
            }
        }
        self.lines
    }

    fn push(&mut self, what: What) {
        self.lines.push(line(self.now, what));
    }

    fn truth(&mut self, truth: Truth) {
        self.push(What::Truth(truth));
    }

    fn heard(&mut self, block: Block) {
        self.situation.block = block;
        if self.situation.trouble == Some(TroubleKind::BadBranch) {
            return; // it does not take the block for valid
        }
        self.situation.branch = None;
        let is_empty = self.pool().jobs == Jobs::EmptyFirst;
        self.notify(true, is_empty);
        if is_empty {
            self.next_notify = self.now + EMPTY;
        }
    }

    /// When the notify of the next beat comes.
    fn after_beat(&mut self) -> f64 {
        let every = self.plan.notify_every;
        let beat = (self.now / every + 0.5).floor() + 1.0;
        beat * every + self.chance.between(-JITTER, JITTER)
    }

    fn notify(&mut self, clean: bool, is_empty: bool) {
        let Situation { block, branch, trouble, connection } = self.situation;
        if matches!(trouble, Some(TroubleKind::Drop | TroubleKind::Silence)) {
            return;
        }
        let parent = branch.unwrap_or(block);
        let (first, growth, most) = FEES;
        let fees = (first + growth * (self.now - parent.found)).min(most) as u64;
        let notify = Notify {
            job: 0, // numbered when the lines of all upstreams are in order
            parent: parent.parent,
            height: Some(parent.height + 1),
            clean,
            fees: Some(if is_empty { 0 } else { fees }),
            check: if trouble == Some(TroubleKind::BadPay) { Check::Failed } else { Check::Passed },
            known: branch.is_none(),
            connection,
        };
        self.push(What::Notify(self.upstream, notify));
    }

    fn trouble(&mut self, kind: TroubleKind, begins: bool) {
        self.situation.trouble = begins.then_some(kind);
        let upstream = self.upstream;
        match kind {
            TroubleKind::Drop => {
                self.truth(Truth::Outage(upstream, begins));
                self.push(if begins { What::Drop(upstream) } else { What::Up(upstream) });
                self.situation.connection += u64::from(!begins);
            }
            TroubleKind::Silence => self.truth(Truth::Outage(upstream, begins)),
            TroubleKind::Rejects(rate) => {
                let rate = if begins { rate } else { self.pool().rejects };
                return self.truth(Truth::RejectRate(upstream, rate));
            }
            TroubleKind::BadPay => self.truth(Truth::BadPay(upstream, begins)),
            TroubleKind::BadBranch => {
                self.truth(Truth::BadBranch(upstream, begins));
                self.situation.branch = begins.then(|| self.sibling());
            }
            TroubleKind::Unknown => {
                self.situation.branch = begins.then(|| self.sibling());
                if let Some(block) = self.situation.branch {
                    self.truth(Truth::Block(block.parent, block.height));
                }
            }
        }
        self.notify(true, false);
    }

    /// A block beside the one that the pool builds on.
    fn sibling(&self) -> Block {
        let number = self.upstream * 1_000_000 + self.lines.len();
        Block { parent: named('x', number as u32), ..self.situation.block }
    }
}

/// Terms of a pool without anything special.
pub fn terms(scheme: Scheme, fee: f64) -> Terms {
    Terms { fee, payout_factor: 1.0, scheme, kappa: None, vouches: scheme == Scheme::SoloNode }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::scenario::{SCENARIOS, named};

    #[test]
    fn a_seed_always_makes_the_same_world_and_its_lines_are_in_order() {
        for scenario in SCENARIOS {
            let world = scenario.plan().world(5, Some(0.3));
            assert_eq!(world, scenario.plan().world(5, Some(0.3)), "{}", scenario.name);
            assert_ne!(world, scenario.plan().world(6, Some(0.3)), "{}", scenario.name);
            assert!(world.lines.is_sorted_by_key(|line| line.at), "{}", scenario.name);
            assert!(world.lines.iter().all(|line| line.at <= world.end), "{}", scenario.name);
        }
    }

    #[test]
    fn blocks_come_every_ten_minutes_in_the_mean_and_pools_hear_of_them_later() {
        let world = named("S12").unwrap().plan().world(1, None);
        let truth = |line: &&Line| matches!(line.what, What::Truth(Truth::Block(..)));
        let blocks = world.lines.iter().filter(truth).count() as f64;
        assert!((blocks / (7.0 * 144.0) - 1.0).abs() < 0.1, "{blocks}");
        let at =
            |wanted: &dyn Fn(&What) -> bool| world.lines.iter().find(|line| wanted(&line.what)).unwrap().at;
        let parent = named_block(40);
        let found = at(&|what| matches!(what, What::Truth(Truth::Block(block, _)) if *block == parent));
        let heard = at(&|what| matches!(what, What::Notify(0, notify) if notify.parent == parent));
        let lag = heard.saturating_sub(found).as_secs_f64();
        assert!(lag > 0.01 && lag < 5.0, "{lag}");
    }

    fn named_block(number: u32) -> Parent {
        super::named('h', number)
    }

    #[test]
    fn troubles_are_as_many_and_as_long_as_planned_and_never_two_at_once() {
        let world = named("S4").unwrap().plan().world(2, None);
        let mut began = None;
        let mut lengths = Vec::new();
        for line in &world.lines {
            match line.what {
                What::Truth(Truth::Outage(0, true)) => assert_eq!(began.replace(line.at), None),
                What::Truth(Truth::Outage(0, false)) => {
                    let began = began.take().unwrap();
                    lengths.push(line.at.saturating_sub(began).as_millis());
                }
                What::Notify(0, _) => assert_eq!(began, None, "a pool that is away sends nothing"),
                _ => {}
            }
        }
        let near = |length: u128| lengths.iter().filter(|other| other.abs_diff(length) <= 1).count();
        assert_eq!((near(600_000), near(20_000), lengths.len()), (6, 10, 16), "{lengths:?}");
    }
}
