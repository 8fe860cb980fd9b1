//! When a chip finds what: the sweep over counter and versions, its results as a Poisson process, and its repetition.
//!
//! A batch of versions, one for each small core, is swept for 2 x HCN + 132 ticks of the 25 MHz crystal; then comes the
//! next batch, and after the last one the first again, with the same results. Source: logs of a real BM1366 (ESP-Miner
//! pull request 167), which fit this to 0.1 %.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bitcoin::hashes::{Hash, HashEngine, sha256};

use super::{
    hash::{Found, Hasher, Search, Ticket},
    kinds::{ChipKind, Form},
    work::{SolvedHeader, Work},
};
use crate::chance::Chance;

/// Shorter cycles are taken to be this long, so that no register value makes the host spin.
const SHORTEST_CYCLE: f64 = 0.01;
/// Searches that may wait for hashes. A budget that is too small for the rate loses the rest.
const SEARCHES: usize = 16;
/// Ticks of a batch besides twice the hash counting number. Source: the logs above.
const BATCH_OVERHEAD: f64 = 132.0;
const CRYSTAL: f64 = 25e6;

/// What of a chip's registers decides on its results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    /// Hertz.
    pub(super) clock: f64,
    /// Register 0x10; `None` if it was never written, which makes a sweep over all that the chip can reach.
    pub(super) counting_number: Option<u32>,
    /// Where the counter starts.
    pub(super) start: u32,
    /// Version bits that the chip rolls.
    pub(super) version_mask: u16,
    pub(super) ticket: Ticket,
    /// Results a second.
    pub(super) rate: f64,
    /// Two chips with the same registers find the same, on one board.
    pub(super) seed: u64,
}

/// One job being swept by one chip.
#[derive(Debug)]
pub(super) struct Sweep {
    kind: &'static ChipKind,
    pub(super) work: Arc<Work>,
    pub(super) plan: Plan,
    started: Duration,
    cycles: u64,
    chance: Chance,
    /// Seconds into the cycle.
    next: f64,
    found_in_cycle: bool,
    /// Solved headers in this sweep, by their time.
    replays: Vec<(f64, Found)>,
    replayed: usize,
    searches: VecDeque<Search>,
    pub(super) lost: u64,
}

impl Sweep {
    pub(super) fn new(
        kind: &'static ChipKind,
        work: Arc<Work>,
        plan: Plan,
        solved: &[SolvedHeader],
        now: Duration,
    ) -> Self {
        let mut sweep = Self {
            kind,
            work,
            plan,
            started: now,
            cycles: 0,
            chance: Chance::new(0),
            next: 0.0,
            found_in_cycle: false,
            replays: Vec::new(),
            replayed: 0,
            searches: VecDeque::new(),
            lost: 0,
        };
        sweep.replays = solved.iter().filter_map(|solved| sweep.place(solved)).collect();
        sweep.replays.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        sweep.begin_cycle();
        sweep
    }

    /// Counter values in the window of a batch.
    fn window(&self) -> f64 {
        let all = (1_u64 << self.kind.core_shift()) as f64;
        let counted = |number: u32| (2.0 * f64::from(number) + BATCH_OVERHEAD) * self.plan.clock / CRYSTAL;
        self.plan.counting_number.map_or(all, counted)
    }

    fn batch_seconds(&self) -> f64 {
        self.window() / self.plan.clock
    }

    /// Versions that are tried. BM1397 has its four midstates and rolls nothing.
    fn versions(&self) -> u32 {
        match self.kind.form {
            Form::Midstates => self.kind.small_cores,
            Form::Header => 1 << self.plan.version_mask.count_ones(),
        }
    }

    fn batches(&self) -> u32 {
        self.versions().div_ceil(self.kind.small_cores)
    }

    fn cycle_seconds(&self) -> f64 {
        (self.batch_seconds() * f64::from(self.batches())).max(SHORTEST_CYCLE)
    }

    fn begin_cycle(&mut self) {
        self.chance = Chance::new(self.fingerprint());
        self.next = self.chance.wait(self.plan.rate);
        self.found_in_cycle = false;
        self.replayed = 0;
    }

    /// Equal for equal work and registers, so that each cycle and each chip of the same address finds the same.
    fn fingerprint(&self) -> u64 {
        let Plan { clock, counting_number, start, version_mask, ticket, rate, seed } = self.plan;
        let mut engine = sha256::HashEngine::default();
        engine.input(&self.work.midstate(0, 0));
        engine.input(&self.work.tail);
        engine.input(format!("{clock} {counting_number:?} {start} {version_mask} {rate} {seed}").as_bytes());
        engine.input(&[ticket.bits() as u8]);
        let hash = sha256::Hash::from_engine(engine).to_byte_array();
        u64::from_le_bytes(hash[..8].try_into().expect("eight of 32 bytes"))
    }

    /// The counter where the sweep of a batch begins; the job may move it.
    fn start(&self) -> u32 {
        self.plan.start.wrapping_add(self.work.start_nonce)
    }

    /// The versions of a batch, one for each small core.
    fn batch_versions(&self, batch: u32) -> Vec<u16> {
        let first = batch * self.kind.small_cores;
        let all = first..(first + self.kind.small_cores).min(self.versions());
        all.map(|count| spread(count as u16, self.plan.version_mask)).collect()
    }

    /// Where in the cycle the chip comes upon a header that is known to be solved, if it does.
    fn place(&self, solved: &SolvedHeader) -> Option<(f64, Found)> {
        let (slot, version) = self.work.leads_to(solved)?;
        let count = match self.kind.form {
            Form::Midstates => slot as u32,
            Form::Header => gather(version, self.plan.version_mask)?,
        };
        let (batch, small_core) = (count / self.kind.small_cores, count % self.kind.small_cores);
        let nonce = u32::from_be_bytes(solved.nonce);
        if nonce.checked_shr(self.kind.core_shift()).unwrap_or(0) >= self.kind.cores {
            return None;
        }
        let reach = (1_u32 << self.kind.core_shift()) - 1;
        let place = f64::from(nonce.wrapping_sub(self.start()) & reach);
        let hasher = Hasher::new(self.work.midstate(slot, version), self.work.tail);
        let zero_bits = hasher.judge(solved.nonce, self.plan.ticket)?;
        let at = f64::from(batch) * self.batch_seconds() + place / self.plan.clock;
        let found = Found { nonce: solved.nonce, version, small_core: small_core as u8, zero_bits };
        (place < self.window()).then_some((at, found))
    }

    /// When `advance` is due; `None` when nothing will ever be found.
    pub(super) fn due(&self) -> Option<Duration> {
        let replay = self.replays.get(self.replayed).map_or(f64::INFINITY, |(at, _)| *at);
        let next = self.next.min(replay);
        if next >= self.cycle_seconds() && self.cycles > 0 && !self.found_in_cycle {
            return None;
        }
        let seconds = self.cycles as f64 * self.cycle_seconds() + next.min(self.cycle_seconds());
        Duration::try_from_secs_f64(seconds).ok().map(|seconds| self.started.saturating_add(seconds))
    }

    /// Moves on to `now`: begins searches, and returns what is played back.
    pub(super) fn advance(&mut self, now: Duration) -> Vec<Found> {
        let mut found = Vec::new();
        while self.due().is_some_and(|due| due <= now) {
            let cycle = self.cycle_seconds();
            let replay = self.replays.get(self.replayed).filter(|(at, _)| *at < cycle && *at <= self.next);
            if let Some((_, replay)) = replay {
                found.push(replay.clone());
                self.replayed += 1;
                self.found_in_cycle = true;
            } else if self.next < cycle {
                self.begin_search(self.next);
                self.next += self.chance.wait(self.plan.rate);
                self.found_in_cycle = true;
            } else {
                self.cycles += 1;
                self.begin_cycle();
            }
        }
        found
    }

    fn begin_search(&mut self, at: f64) {
        if self.searches.len() == SEARCHES {
            self.lost += 1;
            return;
        }
        let batch = (at / self.batch_seconds()) as u32 % self.batches();
        let place = at % self.batch_seconds() * self.plan.clock;
        let counter = self.start().wrapping_add(place as u32);
        let versions = self.batch_versions(batch);
        self.searches.push_back(Search::new(self.kind, &self.work, &versions, counter, self.plan.ticket));
    }

    pub(super) fn is_searching(&self) -> bool {
        !self.searches.is_empty()
    }

    /// Goes on with the oldest search for `budget` hashes at most and takes those done from it.
    pub(super) fn hash(&mut self, budget: &mut u64) -> Option<Found> {
        let found = self.searches.front_mut()?.advance(budget)?;
        self.searches.pop_front();
        Some(found)
    }
}

/// The bits of `count` put where `mask` has ones, lowest first.
fn spread(count: u16, mask: u16) -> u16 {
    let places = (0..16).filter(|place| mask >> place & 1 == 1);
    places.enumerate().fold(0, |version, (at, place)| version | (count >> at & 1) << place)
}

/// The count that `spread` makes `version` of, `None` if it has bits outside the mask.
fn gather(version: u16, mask: u16) -> Option<u32> {
    let places = (0..16).filter(|place| mask >> place & 1 == 1);
    let count =
        places.enumerate().fold(0, |count, (at, place)| count | u32::from(version >> place & 1) << at);
    (version & !mask == 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::super::kinds::{BM1366, BM1370};
    use super::*;
    use crate::virtual_board::work::FirstPart;

    fn sweep(kind: &'static ChipKind, clock: f64, counting_number: u32) -> Sweep {
        let plan = Plan {
            clock,
            counting_number: Some(counting_number),
            start: 0,
            version_mask: 0xffff,
            ticket: Ticket::new(6, 0),
            rate: 20.0,
            seed: 1,
        };
        let work = Work { number: 3, start_nonce: 0, first_part: FirstPart::Bytes([7; 64]), tail: [9; 12] };
        Sweep::new(kind, Arc::new(work), plan, &[], Duration::ZERO)
    }

    /// All that is found up to `until`, with its time.
    fn results(sweep: &mut Sweep, until: Duration) -> Vec<(Duration, Found)> {
        let mut results = Vec::new();
        while let Some(due) = sweep.due().filter(|due| *due < until) {
            sweep.advance(due);
            let mut budget = u64::MAX;
            results.extend(sweep.hash(&mut budget).map(|found| (due, found)));
        }
        results
    }

    #[test]
    fn a_sweep_lasts_as_long_as_a_real_bm1366_took() {
        assert!((sweep(BM1366, 550e6, 0xf_ffff).cycle_seconds() - 687.24).abs() < 0.1);
        assert!((sweep(BM1366, 550e6, 0x151c).cycle_seconds() - 3.585).abs() < 0.01);
        assert!((sweep(BM1370, 525e6, 0x15a4).cycle_seconds() - 1.84).abs() < 0.01);
    }

    #[test]
    fn after_all_versions_the_same_results_come_again_at_the_same_places() {
        let mut sweep = sweep(BM1370, 525e6, 0x15a4);
        let cycle = Duration::from_secs_f64(sweep.cycle_seconds());
        let results = results(&mut sweep, cycle * 2);
        let (first, second) = results.split_at(results.len() / 2);
        assert!((15..70).contains(&first.len()), "20 a second were ordered, {} came", first.len());
        for ((at, found), (again_at, again)) in first.iter().zip(second) {
            assert_eq!(found, again);
            assert!(again_at.saturating_sub(*at).abs_diff(cycle) < Duration::from_micros(1));
        }
    }

    #[test]
    fn versions_come_in_the_order_of_the_counter_and_name_their_small_core() {
        let mut sweep = sweep(BM1366, 485e6, 0x151c);
        let cycle = sweep.cycle_seconds();
        for (at, found) in results(&mut sweep, Duration::from_secs(3)) {
            let expected = at.as_secs_f64() / cycle * 65536.0;
            assert!((f64::from(found.version) - expected).abs() <= 8.0, "{at:?} {found:?}");
            assert_eq!(u16::from(found.small_core), found.version % 8);
            assert!(found.nonce[0] >> 1 < 112, "core of {found:?}");
            assert!(found.zero_bits >= 6);
        }
    }

    #[test]
    fn a_mask_with_holes_is_filled_from_its_lowest_bit_on() {
        assert_eq!(spread(0b101, 0b1101_0000), 0b1001_0000);
        assert_eq!(gather(0b1001_0000, 0b1101_0000), Some(0b101));
        assert_eq!(gather(0b1, 0b1101_0000), None);
        assert_eq!((0..=u16::MAX).find(|count| spread(*count, 0xffff) != *count), None);
    }
}
