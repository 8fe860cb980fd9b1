//! Older sticks of GekkoScience, driven and played in memory.

use std::time::{Duration, Instant};

use signalcore_drivers::gekko::{Gekko, GekkoConfig, GekkoFault, Model};
use signalcore_drivers::scanner::{Device, ScannerEvent};
use signalcore_drivers::{BoardEvent, ChipJob, ChipJobId};
use signalcore_hil::virtual_board::{Board, BoardConfig, BoardKind, Event, Port};

/// Of a virtual stick's nonces: they cost next to nothing.
const ZERO_BITS: u32 = 4;
/// The longest that the bench looks away.
const LOOK_EVERY: Duration = Duration::from_millis(5);

struct Bench {
    driver: Gekko,
    played: Board,
    start: Instant,
    now: Duration,
    nonces: u64,
    hashes: u64,
    faults: Vec<GekkoFault>,
    ready: Vec<(usize, u32)>,
    events: Vec<Event>,
}

impl Bench {
    fn new(name: &str, mhz: Option<f64>, chips: Option<usize>, faults: &[&str]) -> Self {
        let (kind, model) = (BoardKind::named(name).unwrap(), Model::named(name).unwrap());
        let faults = faults.iter().map(|text| text.parse().unwrap()).collect();
        let config = BoardConfig { zero_bits: ZERO_BITS, faults, ..BoardConfig::new(kind) };
        let config = BoardConfig { chips: chips.unwrap_or(config.chips), ..config };
        let start = Instant::now();
        let settings = GekkoConfig { model, frequency: mhz, zero_bits: ZERO_BITS };
        let mut driver = Gekko::new(&settings, start).unwrap();
        let job = ChipJob {
            id: ChipJobId(1),
            version: 0x2000_0000,
            prev_hash: [7; 32],
            merkle_root: [1; 32],
            ntime: 1_700_000_000,
            nbits: 0x1703_4219,
            version_mask: 0x1fff_e000,
            target: [0xff; 32],
        };
        driver.set_job(Some(job), start);
        Self {
            driver,
            played: Board::new(config).unwrap(),
            start,
            now: Duration::ZERO,
            nonces: 0,
            hashes: 0,
            faults: Vec::new(),
            ready: Vec::new(),
            events: Vec::new(),
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while self.now < end {
            self.carry();
            let due = self.driver.poll_timeout().map(|at| at.saturating_duration_since(self.start));
            let next = due.into_iter().chain(self.played.poll_timeout()).min().unwrap_or(end);
            self.now = next.clamp(self.now + Duration::from_micros(100), self.now + LOOK_EVERY);
            self.played.handle_timeout(self.now);
            self.driver.handle_timeout(self.start + self.now);
        }
        self.carry();
    }

    fn carry(&mut self) {
        while let Some(bytes) = self.driver.poll_transmit() {
            self.played.receive(Port::Data, &bytes, 115_200, self.now);
        }
        while self.played.is_searching() {
            self.played.hash(u64::MAX, self.now);
        }
        while let Some((_, bytes)) = self.played.poll_transmit() {
            self.driver.handle_bytes(&bytes, self.start + self.now);
        }
        self.events.extend(std::iter::from_fn(|| self.played.poll_event()));
        while let Some(event) = self.driver.poll_event() {
            match event {
                ScannerEvent::Board(BoardEvent::Nonce { .. }) => self.nonces += 1,
                ScannerEvent::Board(BoardEvent::Hashes(hashes)) => self.hashes += hashes,
                ScannerEvent::Failed(fault) | ScannerEvent::Parked { reason: fault, .. } => {
                    self.faults.push(fault);
                }
                ScannerEvent::Ready { answer_size, devices } => self.ready.push((answer_size, devices)),
                _ => {}
            }
        }
    }

    /// The last frequency that the chips were told.
    fn megahertz(&self) -> Option<u32> {
        self.events.iter().rev().find_map(|event| match event {
            Event::Frequency { megahertz } => Some(*megahertz),
            _ => None,
        })
    }
}

#[test]
fn every_older_stick_is_counted_woken_and_hashes_without_an_error() {
    for (name, mhz, answer_size, chips) in [("compac", 200, 5, 1), ("2pac", 125, 5, 2), ("newpac", 150, 7, 2)]
    {
        let mut bench = Bench::new(name, Some(f64::from(mhz)), None, &[]);
        bench.run(60);
        assert_eq!(
            (bench.ready.as_slice(), &bench.faults[..]),
            (&[(answer_size, chips)][..], &[][..]),
            "{name}"
        );
        assert_eq!(bench.megahertz(), Some(mhz), "{name}");
        let refused = |event: &&Event| matches!(event, Event::Ignored { .. } | Event::Garbled { .. });
        assert_eq!(bench.events.iter().find(refused), None, "{name}");
        // Three a second are found by the slowest.
        let counts = bench.driver.counts();
        assert!(bench.nonces >= 80 && bench.nonces == counts.nonces, "{name}: {counts:?}");
        assert_eq!((counts.dropped_bytes, counts.duplicates), (0, 0), "{name}");
        let idle = |event: &&Event| matches!(event, Event::Job { missing, .. } if !missing.is_empty());
        assert_eq!(bench.events.iter().find(idle), None, "{name}");
        // A nonce stands for 16 hashes.
        let ratio = bench.hashes as f64 / (16.0 * bench.nonces as f64);
        assert!((0.7..1.4).contains(&ratio), "{name}: {ratio}");
    }
}

#[test]
fn a_line_that_loses_and_damages_bytes_costs_nonces_and_nothing_else() {
    for name in ["2pac", "newpac"] {
        let mut bench = Bench::new(name, None, None, &["lost=0.005@10", "flipped=0.005@10"]);
        bench.run(60);
        let counts = bench.driver.counts();
        assert!(bench.nonces >= 60 && counts.dropped_bytes > 0, "{name}: {} of {counts:?}", bench.nonces);
        assert_eq!(bench.faults, [], "{name}");
    }
}

#[test]
fn a_stick_with_a_dead_chip_is_refused_and_told_with_what_to_do() {
    let mut bench = Bench::new("newpac", None, Some(1), &[]);
    bench.run(20);
    let few = GekkoFault::Chips { chip: "BM1387", found: 1, expected: 2 };
    assert_eq!(bench.faults, [few.clone(), few.clone(), few.clone()]);
    assert!(few.to_string().contains("unplug it and plug it in again"));
    assert_eq!((bench.nonces, bench.megahertz()), (0, None), "and never given a frequency");
}
