//! The jobs made of templates: when a new template is worth a new job, and the old ones, of which blocks may still come.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::work::block::{JobLabel, SoloJob, SoloJobError};
use crate::work::coinbase_builder::CoinbasePlan;
use crate::work::template::Template;
use crate::work::{Difficulty, Epoch, HashRate, Job, JobId};

/// Jobs kept, each with its whole template: more than boards can have work of.
const KEPT: usize = 12;
/// How long a job is kept after the next one: boards hand in within seconds.
const KEPT_FOR: Duration = Duration::from_secs(600);
/// The age at which a template of the same tip is replaced whatever it pays: transactions vanish, clocks move on.
const MAX_AGE: Duration = Duration::from_secs(120);
/// Mean time between shares. They are counted, not sent, so they only have to be many enough to measure by.
const SHARE_INTERVAL: f64 = 6.0;
/// Share difficulty while no board has said how fast it is: the first shares of the smallest come within seconds.
const FIRST_DIFFICULTY: f64 = 0.01;
/// A share difficulty further off than this factor is set anew.
const OFF_BY: f64 = 4.0;

/// A job with what is known of its making.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) solo: SoloJob,
    made_at: Instant,
    /// When the next one came.
    replaced_at: Option<Instant>,
}

/// What became of a template.
#[derive(Debug)]
pub(super) enum Made {
    /// A job; `clean` when its tip is new.
    Job { clean: bool },
    /// The running one is as good.
    None,
}

/// The newest job last.
#[derive(Debug)]
pub(super) struct Jobs {
    plan: CoinbasePlan,
    /// What a template of the same tip must pay more. Unit: satoshi.
    fee_gain: u64,
    rate: HashRate,
    kept: VecDeque<Kept>,
    /// The running job would bring no block: any template is better.
    is_refused: bool,
    tips: u64,
    made: u64,
}

impl Jobs {
    pub(super) fn new(plan: CoinbasePlan, fee_gain: u64) -> Self {
        let (rate, kept) = (HashRate::default(), VecDeque::new());
        Self { plan, fee_gain, rate, kept, is_refused: false, tips: 0, made: 0 }
    }

    pub(super) fn current(&self) -> Option<&Kept> {
        self.kept.back()
    }

    /// Makes a job of a template if it is worth one. Errors: the coinbase does not fit; the template is of no use.
    pub(super) fn take(&mut self, template: Arc<Template>, now: Instant) -> Result<Made, SoloJobError> {
        let clean = match self.current().map(|kept| kept.solo.template()) {
            Some(old) if old.header().prev_hash == template.header().prev_hash => {
                if !self.is_worth_it(&template, now) {
                    return Ok(Made::None);
                }
                false
            }
            _ => true,
        };
        self.make(template, clean, now)?;
        Ok(Made::Job { clean })
    }

    /// The rate of the boards: the share difficulty follows it. True when the running job was made anew for it.
    pub(super) fn take_rate(&mut self, rate: HashRate, now: Instant) -> bool {
        self.rate = rate;
        let Some(kept) = self.current().filter(|_| !self.is_refused) else { return false };
        let (is, wanted) = (kept.solo.job().difficulty, self.difficulty(kept.solo.template()));
        let factor = wanted.value() / is.value();
        if (OFF_BY.recip()..=OFF_BY).contains(&factor) {
            return false;
        }
        let template = Arc::clone(kept.solo.template());
        self.make(template, false, now).is_ok()
    }

    /// The running job is not to be hashed any more. It is kept: what was found of it by then is still worth sending.
    pub(super) fn refuse(&mut self) {
        self.is_refused = true;
    }

    /// The job with its template, while it is kept.
    pub(super) fn of(&self, job: &Arc<Job>) -> Option<&SoloJob> {
        self.kept.iter().rev().map(|kept| &kept.solo).find(|solo| Arc::ptr_eq(solo.job(), job))
    }

    fn make(&mut self, template: Arc<Template>, clean: bool, now: Instant) -> Result<(), SoloJobError> {
        let difficulty = self.difficulty(&template);
        let label = JobLabel {
            id: JobId::Text(format!("{:x}", self.made + 1).into()),
            epoch: Epoch { session: 0, tip: self.tips + u64::from(clean) },
            difficulty,
        };
        let solo = SoloJob::new(template, &self.plan, label)?;
        self.made += 1;
        self.is_refused = false;
        self.tips += u64::from(clean);
        if let Some(last) = self.kept.back_mut() {
            last.replaced_at = Some(now);
        }
        self.kept.push_back(Kept { solo, made_at: now, replaced_at: None });
        while self.kept.len() > KEPT || self.kept.front().is_some_and(|kept| kept.is_old(now)) {
            self.kept.pop_front();
        }
        Ok(())
    }

    /// Whether a template of the running job's tip is better than it.
    fn is_worth_it(&self, new: &Template, now: Instant) -> bool {
        let Some(kept) = self.current() else { return true };
        let old = kept.solo.template();
        let fixed = |template: &Template| {
            (template.header().version, template.header().nbits, template.version_mask())
        };
        let is_empty = |template: &Template| template.transactions().txids().is_empty();
        self.is_refused
            || fixed(old) != fixed(new)
            // One without transactions may have been ours, to begin with.
            || is_empty(old) && !is_empty(new)
            || new.reward().value >= old.reward().value.saturating_add(self.fee_gain.max(1))
            || now.duration_since(kept.made_at) >= MAX_AGE
    }

    /// Never harder than a block.
    fn difficulty(&self, template: &Template) -> Difficulty {
        let network = template.target().difficulty();
        let per_interval =
            |rate: HashRate| rate.0 * SHARE_INTERVAL / crate::work::hashrate::HASHES_PER_DIFFICULTY;
        let wanted = if self.rate.0 > 0.0 { per_interval(self.rate) } else { FIRST_DIFFICULTY };
        Difficulty::new(wanted.min(network.value())).unwrap_or(network)
    }
}

impl Kept {
    fn is_old(&self, now: Instant) -> bool {
        self.replaced_at.is_some_and(|at| now.duration_since(at) >= KEPT_FOR)
    }

    /// How long ago its template came.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.made_at)
    }
}
