//! Virtual time: a world, a device and a policy, step by step, without ever waiting.

use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use super::chance::Chance;
use super::policy::Policy;
use super::revenue::{Running, Standing};
use super::world::{self, Answer, Check, Notify, REPLY, What, World};
use crate::decision::{Action, Checked, DeviceFigures, Event, JobFacts, JobKey, UpstreamId};

/// A policy that wants to be called at once, again and again, is called so much later: no replay stands still.
const LEAST_WAIT: Duration = Duration::from_millis(1);
/// A miner looks again a little later than it means to, or not at all when something happens before it does. Where a log
/// says when it looked, a policy that wants to look waits so long for a line.
const LATE: Duration = Duration::from_millis(100);
/// Shares that were not recorded are counted from here on, beyond the numbers of those that were.
const MADE_UP: u64 = 1 << 63;
/// Stratum's code for "job not found".
const STALE: i64 = 21;
/// Stratum's code for any other reason.
const OTHER: i64 = 20;

/// What a policy made of a world, from `measured_from` on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figures {
    /// Ideal seconds earned.
    pub revenue: f64,
    /// Seconds of hashing that earned nothing.
    pub waste: f64,
    /// Seconds without a job.
    pub idle: f64,
    /// Seconds lost to flushes.
    pub dead: f64,
    /// Flushes to another upstream.
    pub moves: u64,
    /// All flushes.
    pub flushes: u64,
    /// Jobs taken up at a boundary.
    pub boundaries: u64,
}

/// Drives a policy through a world. `seed` draws the device's shares; virtual time counts on from `start`.
pub fn run(world: &World, policy: &mut dyn Policy, seed: u64, start: Instant) -> Figures {
    let mut run = Run::new(world, seed, start);
    let device = figures(&world.device);
    // What is taken for granted is told to nobody, neither here nor by the engine.
    if device != DeviceFigures::default() {
        run.tell(policy, Event::Device(device));
    }
    while run.step(policy) {}
    run.figures
}

fn figures(device: &world::Device) -> DeviceFigures {
    let world::Device { flush, cross, boundary } = *device;
    DeviceFigures { flush, cross, boundary, next_boundary: None }
}

struct Run<'a> {
    world: &'a World,
    /// What changing over costs now.
    costs: world::Device,
    start: Instant,
    now: Duration,
    standing: Standing,
    /// All jobs so far, by their numbers.
    jobs: HashMap<u64, Running>,
    device: Hashing,
    shares: Shares,
    lines_taken: usize,
    /// Whether the lines say when the recorded miner looked again.
    has_wakes: bool,
    figures: Figures,
}

/// What the device does.
struct Hashing {
    job: Option<u64>,
    /// It produces nothing before.
    flushing_until: Duration,
    /// A job to take up at a boundary.
    pending: Option<(Duration, u64)>,
    /// When the policy wants to be called.
    wake_after: Duration,
}

/// Shares on their way.
struct Shares {
    chance: Chance,
    mean_gap: f64,
    /// When chance finds the next one; `None` where the lines tell when there was one.
    next: Option<Duration>,
    /// The last number that was given to a share. Recorded ones keep theirs.
    submitted: u64,
    /// Recorded ones that were sent to the same upstream here, which is told what became of them, and how often each: a
    /// board may find one twice.
    recorded: HashMap<u64, u32>,
    /// The earliest is the greatest.
    unanswered: BinaryHeap<std::cmp::Reverse<Reply>>,
}

impl Shares {
    /// A recorded share was sent.
    fn owe(&mut self, share: u64) {
        *self.recorded.entry(share).or_default() += 1;
    }

    /// A recorded share came to its end; whether it was sent here.
    fn settle(&mut self, share: u64) -> bool {
        let Some(owed) = self.recorded.get_mut(&share) else { return false };
        *owed -= 1;
        if *owed == 0 {
            self.recorded.remove(&share);
        }
        true
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Reply {
    at: Duration,
    share: u64,
    job: u64,
    code: Option<i64>,
}

/// What comes next.
enum Next {
    Line,
    Boundary(u64),
    Reply,
    Share,
    Wake,
    End,
}

impl<'a> Run<'a> {
    fn new(world: &'a World, seed: u64, start: Instant) -> Self {
        let mut chance = Chance::new(seed, u64::MAX);
        let mean_gap = 1.0 / world.shares_per_second;
        let is_drawn = world.shares_per_second > 0.0;
        let next = is_drawn.then(|| Duration::from_secs_f64(chance.exponential(mean_gap)));
        let recorded = HashMap::new();
        Self {
            world,
            costs: world.device,
            start,
            now: Duration::ZERO,
            standing: Standing::new(world),
            jobs: HashMap::new(),
            device: Hashing {
                job: None,
                flushing_until: Duration::ZERO,
                pending: None,
                wake_after: Duration::ZERO,
            },
            shares: Shares {
                chance,
                mean_gap,
                next,
                submitted: MADE_UP,
                recorded,
                unanswered: BinaryHeap::new(),
            },
            lines_taken: 0,
            has_wakes: world.lines.iter().any(|line| line.what == What::Wake),
            figures: Figures::default(),
        }
    }

    /// One step; whether there is another one.
    fn step(&mut self, policy: &mut dyn Policy) -> bool {
        let (at, next) = self.next(policy);
        self.earn(at);
        self.now = at;
        match next {
            Next::Line => self.line(policy),
            Next::Boundary(job) => {
                self.device.pending = None;
                self.device.job = Some(job);
                self.figures.boundaries += u64::from(self.is_measured());
                policy.taken(JobKey(job), self.instant());
            }
            Next::Reply => self.reply(policy),
            Next::Share => self.share(policy),
            Next::Wake => self.wake(policy),
            Next::End => return false,
        }
        true
    }

    fn next(&self, policy: &dyn Policy) -> (Duration, Next) {
        let mut next = (self.world.end, Next::End);
        let mut consider = |at: Option<Duration>, what: Next| {
            if let Some(at) = at.filter(|at| *at < next.0) {
                next = (at, what);
            }
        };
        // At the same time the first of these comes first.
        consider(
            self.device.pending.map(|(at, _)| at),
            Next::Boundary(self.device.pending.map_or(0, |(_, job)| job)),
        );
        consider(self.world.lines.get(self.lines_taken).map(|line| line.at), Next::Line);
        consider(self.shares.unanswered.peek().map(|reply| reply.0.at), Next::Reply);
        consider(self.shares.next.filter(|_| self.device.job.is_some()), Next::Share);
        let wake = policy.poll_timeout().map(|at| at.saturating_duration_since(self.start));
        let wake = wake.map(|at| at.max(self.device.wake_after));
        consider(wake.filter(|at| !self.waits_for_line(*at)), Next::Wake);
        (next.0.max(self.now), next.1)
    }

    fn waits_for_line(&self, wake: Duration) -> bool {
        let next = self.world.lines.get(self.lines_taken);
        self.has_wakes && next.is_some_and(|line| line.at <= wake + LATE)
    }

    fn wake(&mut self, policy: &mut dyn Policy) {
        self.device.wake_after = self.now + LEAST_WAIT;
        let action = policy.handle_timeout(self.instant());
        self.act(action, policy);
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn is_measured(&self) -> bool {
        self.now >= self.world.measured_from
    }

    /// Revenue until a time. Nothing that decides about it changes before.
    fn earn(&mut self, to: Duration) {
        let from = self.now.max(self.world.measured_from);
        let hashing_from = self.device.flushing_until.clamp(from, to.max(from));
        self.figures.dead += hashing_from.saturating_sub(from).as_secs_f64();
        let seconds = to.saturating_sub(hashing_from).as_secs_f64();
        let Some(job) = self.device.job else {
            self.figures.idle += seconds;
            return;
        };
        let rate = self.standing.rate(&self.jobs[&job]);
        self.figures.revenue += rate * seconds;
        if rate == 0.0 {
            self.figures.waste += seconds;
        }
    }

    fn tell(&mut self, policy: &mut dyn Policy, event: Event) {
        let action = policy.handle(event, self.instant());
        self.act(action, policy);
    }

    fn act(&mut self, action: Action, policy: &mut dyn Policy) {
        match action {
            Action::Keep => {}
            Action::Boundary(_, JobKey(job)) => {
                let period = self.costs.boundary.as_nanos().max(1);
                let at = (self.now.as_nanos() / period + 1) * period;
                self.device.pending = Some((Duration::from_nanos(at as u64), job));
                if self.world.rules.taken_at_once {
                    policy.taken(JobKey(job), self.instant());
                }
            }
            Action::Flush(UpstreamId(upstream), JobKey(job)) => {
                let running = self.device.job.map(|job| self.jobs[&job].upstream);
                let is_move = running.is_some_and(|running| running != upstream);
                let lost = if is_move { self.costs.cross } else { self.costs.flush };
                self.device.flushing_until = self.now + lost;
                self.device.pending = None;
                self.device.job = Some(job);
                if self.is_measured() {
                    self.figures.flushes += 1;
                    self.figures.moves += u64::from(is_move);
                }
            }
            Action::Close(_) | Action::Idle => {
                self.device.pending = None;
                self.device.job = None;
            }
        }
    }

    fn line(&mut self, policy: &mut dyn Policy) {
        let line = &self.world.lines[self.lines_taken];
        self.lines_taken += 1;
        self.standing.take(line);
        let event = match &line.what {
            What::Notify(upstream, notify) => {
                let job = self.standing.newest(*upstream).expect("it was taken in").clone();
                self.jobs.insert(notify.job, job);
                Event::Job(UpstreamId(*upstream), facts(notify))
            }
            What::Alive(upstream) => Event::Alive(UpstreamId(*upstream)),
            What::Drop(upstream) => Event::Lost(UpstreamId(*upstream)),
            What::NodeTip(parent, height) => Event::NodeTip { parent: parent.0, height: *height },
            What::NodeRefused(parent) => Event::NodeRefused { parent: parent.0 },
            What::Submitted(upstream, share) => return self.recorded_share(*upstream, *share, policy),
            What::Aside(upstream, share) => {
                self.shares.owe(*share);
                Event::Submitted(UpstreamId(*upstream), *share)
            }
            What::Variance(upstream, variance) => Event::Variance(UpstreamId(*upstream), *variance),
            What::Wake => {
                if policy.poll_timeout().is_some_and(|at| at <= self.instant()) {
                    self.wake(policy);
                }
                return;
            }
            What::Repute(upstream, repute) => Event::Repute(UpstreamId(*upstream), *repute),
            // Also of one that was never sent, which changes nothing but is an occasion to look again.
            What::Ended(upstream, share) => {
                self.shares.settle(*share);
                Event::Ended(UpstreamId(*upstream), *share)
            }
            What::Answer(upstream, answer) => return self.recorded_answer(*upstream, answer, policy),
            What::Device(device) => {
                self.costs = *device;
                Event::Device(figures(device))
            }
            // A connection that is open again is worth nothing before its first job.
            What::Up(_) | What::Truth(_) => return,
        };
        self.tell(policy, event);
    }

    /// The device that recorded the log found a share here. Where this one hashes for the same upstream it finds it too,
    /// and the answer comes with its line. Where it hashes for another one it finds one there, whose answer is made up.
    fn recorded_share(&mut self, upstream: usize, share: u64, policy: &mut dyn Policy) {
        let Some(job) = self.device.job else { return };
        if self.jobs[&job].upstream == upstream {
            self.shares.owe(share);
            self.tell(policy, Event::Submitted(UpstreamId(upstream), share));
        } else {
            self.find(policy);
        }
    }

    /// The answer to a share of the recorded device, if it is one of this one too. An answer to nobody knows which share
    /// counts as one to a share that was sent just now.
    fn recorded_answer(&mut self, upstream: usize, answer: &Answer, policy: &mut dyn Policy) {
        let Answer { share, accepted, code, weight } = *answer;
        let (share, job) = match (share, self.device.job) {
            (Some((share, job)), _) if self.shares.settle(share) => (share, job),
            (None, Some(job)) if self.jobs[&job].upstream == upstream => {
                self.shares.submitted += 1;
                self.tell(policy, Event::Submitted(UpstreamId(upstream), self.shares.submitted));
                (self.shares.submitted, job)
            }
            (None, Some(_)) => return self.find(policy),
            _ => return,
        };
        let (upstream, job) = (UpstreamId(upstream), JobKey(job));
        self.tell(policy, Event::Answered { upstream, share, job, accepted, code, weight });
    }

    /// The next share that chance gives.
    fn share(&mut self, policy: &mut dyn Policy) {
        let gap = self.shares.chance.exponential(self.shares.mean_gap);
        self.shares.next = Some(self.now + Duration::from_secs_f64(gap));
        self.find(policy);
    }

    /// The device finds a share, unless it is in the middle of a flush, and its answer is drawn by what is true of the upstream.
    fn find(&mut self, policy: &mut dyn Policy) {
        let Some(job) = self.device.job.filter(|_| self.now >= self.device.flushing_until) else { return };
        let running = &self.jobs[&job];
        let upstream = running.upstream;
        self.shares.submitted += 1;
        let share = self.shares.submitted;
        if self.standing.answers(upstream) {
            let is_refused = self.shares.chance.happens(self.standing.reject_rate(upstream));
            let code = if self.standing.takes(running) { is_refused.then_some(OTHER) } else { Some(STALE) };
            let wait = Duration::from_secs_f64(self.shares.chance.lognormal(REPLY, 0.5));
            self.shares.unanswered.push(std::cmp::Reverse(Reply { at: self.now + wait, share, job, code }));
        }
        self.tell(policy, Event::Submitted(UpstreamId(upstream), share));
    }

    fn reply(&mut self, policy: &mut dyn Policy) {
        let Reply { share, job, code, .. } = self.shares.unanswered.pop().expect("it was looked at").0;
        let upstream = self.jobs[&job].upstream;
        if !self.standing.answers(upstream) {
            return; // it was lost with the connection
        }
        let job = JobKey(job);
        let accepted = code.is_none();
        let answered =
            Event::Answered { upstream: UpstreamId(upstream), share, job, accepted, code, weight: 1.0 };
        self.tell(policy, answered);
    }
}

fn facts(notify: &Notify) -> JobFacts {
    let checked = match notify.check {
        Check::Failed => Checked::Rejected("it pays a stranger"),
        Check::Held => Checked::Hold("a check has not ended"),
        Check::Passed => Checked::Passed,
    };
    JobFacts {
        key: JobKey(notify.job),
        parent: notify.parent.0,
        height: notify.height,
        clean: notify.clean,
        fees: notify.fees,
        connection: notify.connection,
        proven_parent: notify.known,
        checked,
    }
}
