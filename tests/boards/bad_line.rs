//! Bare chains, played by one hand and driven by another, with seeded chance and time that is only counted: bring-up over a
//! line which flips one byte in a hundred both ways, the longest chain there can be, and a chip that fails at work and comes back.

use std::time::{Duration, Instant};

use signalcore_drivers::bm13xx::bring_up::{BM1366_LIST, BM1370_LIST, BM1397_LIST, BringUp, RESET_BAUD};
use signalcore_drivers::bm13xx::chain::{Chain, ChainConfig, ChainEvent};
use signalcore_drivers::bm13xx::pll::Frequency;
use signalcore_drivers::{BoardEvent, ChipJob, ChipJobId};
use signalcore_hil::virtual_board::{Board, BoardConfig, BoardKind, Event, Port};

/// So few that a nonce costs next to nothing.
const ZERO_BITS: u32 = 2;
/// From the first reset until every chip hashes the job that it was given, a ramp to 200 MHz included.
const WITHIN: Duration = Duration::from_secs(10);
/// From then on until the driver has a proved nonce of every chip, of which each reports one or more a second.
const PROOF: Duration = Duration::from_secs(10);
const RUNS: u64 = 100;

struct Bench {
    chain: Chain,
    played: Board,
    start: Instant,
    now: Duration,
    baud: u32,
    jobs: u64,
    chips: usize,
    hashing: usize,
    resets: usize,
    faults: Vec<String>,
}

impl Bench {
    fn new(list: &'static BringUp, chips: usize, baud: u32, faults: &[&str], seed: u64) -> Self {
        let start = Instant::now();
        let frequency = Frequency::from_mhz(200.0);
        let config = ChainConfig { bring_up: list, chips, frequency, baud, zero_bits: ZERO_BITS };
        let kind = BoardKind::named(list.name).unwrap();
        let faults = faults.iter().map(|text| text.parse().unwrap()).collect();
        let played = BoardConfig { zero_bits: ZERO_BITS, chips, faults, seed, ..BoardConfig::new(kind) };
        let mut bench = Self {
            chain: Chain::new(&config, start).unwrap(),
            played: Board::new(played).unwrap(),
            start,
            now: Duration::ZERO,
            baud: RESET_BAUD,
            jobs: 0,
            chips,
            hashing: 0,
            resets: 0,
            faults: Vec::new(),
        };
        bench.give_job();
        bench
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn give_job(&mut self) {
        self.jobs += 1;
        let job = ChipJob {
            id: ChipJobId(self.jobs),
            version: 0x2000_0000,
            prev_hash: [7; 32],
            merkle_root: [self.jobs as u8; 32],
            ntime: 1_700_000_000 + self.jobs as u32,
            nbits: 0x1703_4219,
            version_mask: 0x1fff_e000,
            target: [0; 32],
        };
        self.chain.set_job(Some(job), self.instant());
    }

    /// Whether all chips have something to hash and all that they need for it: they say so when a job arrives, and a nonce
    /// of each shows it as well.
    fn all_hash(&self) -> bool {
        self.hashing == self.chips || self.all_have_reported()
    }

    /// Whether the driver has seen all of them hash.
    fn all_have_reported(&self) -> bool {
        self.chain.stats(self.instant()).chips.iter().all(|chip| chip.counts.nonces > 0)
    }

    /// Lets time pass. Shape: when this held, if it did within so much time.
    fn until(&mut self, within: Duration, holds: impl Fn(&Self) -> bool) -> Option<Duration> {
        while self.now < within {
            self.carry();
            if holds(self) {
                return Some(self.now);
            }
            let due = self.chain.poll_timeout().map(|at| at.saturating_duration_since(self.start));
            let next = due.into_iter().chain(self.played.poll_timeout()).min().unwrap_or(within);
            self.now = next.max(self.now + Duration::from_micros(100)).min(within);
            self.played.handle_timeout(self.now);
            self.chain.handle_timeout(self.instant());
        }
        None
    }

    fn carry(&mut self) {
        loop {
            let mut is_quiet = true;
            while let Some(event) = self.chain.poll_event() {
                is_quiet = false;
                match event {
                    // A stick is reset when its port is closed.
                    ChainEvent::ResetLine { held: true } => {
                        self.resets += 1;
                        self.played.handle_close(Port::Data, self.now);
                    }
                    ChainEvent::HostSpeed(baud) => self.baud = baud,
                    ChainEvent::Failed(fault) => self.faults.push(fault.to_string()),
                    ChainEvent::Board(BoardEvent::Fault(text) | BoardEvent::Recovered(text)) => {
                        self.faults.push(text);
                    }
                    ChainEvent::Board(BoardEvent::JobEnding(_)) => self.give_job(),
                    _ => {}
                }
            }
            while let Some(bytes) = self.chain.poll_transmit() {
                is_quiet = false;
                self.played.receive(Port::Data, &bytes, self.baud, self.now);
            }
            while self.played.is_searching() {
                self.played.hash(u64::MAX, self.now);
            }
            while let Some((_, bytes)) = self.played.poll_transmit() {
                is_quiet = false;
                self.chain.handle_bytes(&bytes, self.instant());
            }
            while let Some(event) = self.played.poll_event() {
                match event {
                    Event::Job { hashing, .. } => self.hashing = hashing,
                    Event::Reset { .. } => self.hashing = 0,
                    _ => {}
                }
            }
            if is_quiet {
                return;
            }
        }
    }
}

/// Brings up a hundred chains, of which 95 at least have to be at work in time.
fn bring_up(list: &'static BringUp, chips: usize, baud: u32) {
    let (mut times, mut resets, mut late) = (Vec::new(), 0, Vec::new());
    for seed in 0..RUNS {
        let mut bench = Bench::new(list, chips, baud, &["flipped=0.01"], seed);
        match bench.until(WITHIN, Bench::all_hash) {
            Some(time) if bench.until(time + PROOF, Bench::all_have_reported).is_some() => times.push(time),
            _ => late.push((seed, bench.faults)),
        }
        resets += bench.resets - 1;
    }
    times.sort();
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    let (median, worst) = (at(times.len() / 2), at(times.len().saturating_sub(1)));
    let name = list.name;
    println!(
        "{name} x {chips}: {} of {RUNS}, median {median:.1?}, worst {worst:.1?}, {resets} resets",
        times.len()
    );
    assert!(times.len() >= 95, "late: {late:?}");
}

#[test]
fn four_bm1370_on_a_line_that_flips_a_byte_in_a_hundred_are_at_work_within_ten_seconds() {
    bring_up(&BM1370_LIST, 4, RESET_BAUD);
}

#[test]
fn a_single_bm1366_on_a_line_that_flips_a_byte_in_a_hundred_is_at_work_within_ten_seconds() {
    bring_up(&BM1366_LIST, 1, RESET_BAUD);
}

#[test]
fn four_bm1397_on_a_line_that_flips_a_byte_in_a_hundred_are_at_work_within_ten_seconds() {
    bring_up(&BM1397_LIST, 4, 1_500_000);
}

/// Each chip has an address of its own, step 1, and its nonces name it: found by the driver's count of each.
#[test]
fn a_chain_of_256_chips_is_addressed_hashes_and_each_nonce_names_its_chip() {
    let mut bench = Bench::new(&BM1370_LIST, 256, RESET_BAUD, &[], 1);
    bench.until(Duration::from_secs(28), |_| false);
    assert_eq!((bench.hashing, bench.resets), (256, 1), "{:?}", bench.faults);
    let stats = bench.chain.stats(bench.instant());
    assert_eq!(stats.nowhere.nonces, 0);
    assert!(stats.chips.iter().all(|chip| chip.counts.hardware_errors + chip.counts.duplicates == 0));
    let reported: Vec<_> = stats.chips.iter().map(|chip| chip.counts.nonces > 0).collect();
    assert!(reported.chunks(64).all(|quarter| quarter.contains(&true)), "{reported:?}");
}

/// Of some two nonces a second of each, whose own times are chance's.
#[test]
fn a_chip_that_fails_in_a_chain_at_work_is_told_once_and_so_is_its_return() {
    let mut bench = Bench::new(&BM1370_LIST, 4, RESET_BAUD, &["dead-chip=3@30+60"], 1);
    bench.until(Duration::from_secs(30), |_| false);
    assert!(bench.all_have_reported() && bench.faults.is_empty(), "{:?}", bench.faults);
    let fault = "chip 3 of 4 gives no nonces, counted from 0; check its power and the line to it";
    let told = bench.until(Duration::from_secs(60), |bench| !bench.faults.is_empty()).unwrap();
    println!("it fails after 30 s and is told after {told:.1?}");
    assert_eq!(bench.faults, [fault]);
    bench.until(Duration::from_secs(90), |_| false);
    assert_eq!(bench.faults, [fault], "it is said once");
    bench.until(Duration::from_secs(120), |_| false);
    assert_eq!(bench.faults, [fault, "chip 3 of 4 gives nonces again, counted from 0"]);
    assert_eq!(bench.resets, 1, "nobody else is disturbed");
}

/// 25 minutes of well chains: some 12 000 nonces each.
#[test]
fn chips_that_are_well_are_never_told_to_be_silent() {
    for seed in 0..4 {
        let mut bench = Bench::new(&BM1370_LIST, 8, RESET_BAUD, &[], seed);
        bench.until(Duration::from_secs(1_500), |_| false);
        assert_eq!(bench.faults, [""; 0]);
    }
}
