//! Devices as their line shows them.

use std::time::{Duration, Instant};

use super::*;
use crate::scanner::Device as _;
use crate::{BoardEvent, BoardState, ChipJob, ChipJobId};

const GOLDEN: [u8; 4] = [0x00, 0x01, 0x87, 0xa2];
/// Of block 125552, for the job of [`job`].
const NONCE: [u8; 4] = 0x9546_a142_u32.to_le_bytes();

/// Block 125552 of the main chain.
fn job(id: u64, version_mask: u32) -> ChipJob {
    let bytes = |digits: &str| -> [u8; 32] { hex::decode(digits).unwrap().try_into().unwrap() };
    ChipJob {
        id: ChipJobId(id),
        version: 1,
        prev_hash: bytes("81cd02ab7e569e8bcd9317e2fe99f2de44d49ab2b8851ba4a308000000000000"),
        merkle_root: bytes("e320b6c2fffc8d750423db8b1eb942ae710e951ed797f7affc8892b0f1fc122b"),
        ntime: 0x4dd7_f5c7,
        nbits: 0x1a44_b9f2,
        version_mask,
        target: [0xff; 32],
    }
}

/// A device and its clock.
struct Bench {
    device: Icarus,
    now: Instant,
}

impl Bench {
    fn new(model: &str) -> Self {
        let now = Instant::now();
        let config = IcarusConfig { model: Model::named(model).unwrap(), frequency: None, zero_bits: 32 };
        Self { device: Icarus::new(&config, now).unwrap(), now }
    }

    /// One that is found: it answers to the golden work with this behind the nonce.
    fn found(model: &str, behind: &[u8], division: Option<[u8; 4]>) -> Self {
        let mut bench = Self::new(model);
        assert_eq!(bench.written().len(), 1);
        bench.hear(&[&GOLDEN, behind].concat());
        bench.pass(Duration::from_millis(40));
        if let Some(nonce) = division {
            assert_eq!(bench.written().len(), 1);
            bench.hear(&nonce);
        }
        bench
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.device.handle_bytes(bytes, self.now);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.device.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.device.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn set_job(&mut self, job: Option<ChipJob>) {
        self.device.set_job(job, self.now);
    }

    fn written(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.device.poll_transmit()).collect()
    }

    fn told(&mut self) -> Vec<IcarusEvent> {
        std::iter::from_fn(|| self.device.poll_event()).collect()
    }

    /// Without the reports of hashes.
    fn board_told(&mut self) -> Vec<BoardEvent> {
        let of_board = |event| match event {
            IcarusEvent::Board(BoardEvent::Hashes(_)) => None,
            IcarusEvent::Board(event) => Some(event),
            _ => None,
        };
        self.told().into_iter().filter_map(of_board).collect()
    }
}

#[test]
fn a_device_is_found_by_its_answer_and_its_range_by_another() {
    let mut bench = Bench::found("icarus", &[], Some([0x82, 0x54, 0x0e, 0x46]));
    assert_eq!(bench.told(), [IcarusEvent::Ready { answer_size: 4, devices: 2 }]);
    let mut bench = Bench::found("icarus", &[], Some([1, 2, 3, 4]));
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.told(), [IcarusEvent::Ready { answer_size: 4, devices: 1 }], "none of the known nonces");
    let mut bench = Bench::found("block-erupter", &[0; 4], None);
    assert_eq!(bench.told(), [IcarusEvent::Ready { answer_size: 8, devices: 1 }], "a Rockminer");
}

#[test]
fn a_stick_with_a_clock_gets_it_before_its_first_work() {
    let mut bench = Bench::found("antminer-u2", &[0x80], None);
    assert_eq!(bench.written(), [vec![0x82, 0x07, 0x82, 0x11]]);
    bench.set_job(Some(job(1, 0)));
    assert_eq!(bench.written(), [] as [Vec<u8>; 0]);
    bench.pass(Duration::from_millis(500));
    assert_eq!(bench.written().len(), 1);
    assert_eq!(
        bench.told()[..2],
        [
            IcarusEvent::Ready { answer_size: 5, devices: 1 },
            IcarusEvent::Board(BoardEvent::Started { job: ChipJobId(1), at: bench.now })
        ]
    );
}

#[test]
fn what_is_silent_is_tried_three_times_three_and_then_left_alone_for_a_while() {
    let mut bench = Bench::new("block-erupter");
    bench.hear(&[1; 1000]);
    bench.pass(Duration::from_secs(5));
    assert_eq!(bench.written().len(), 9);
    let told = bench.told();
    assert_eq!(told[..2], [const { IcarusEvent::Failed(IcarusFault::NoAnswer) }; 2]);
    assert!(matches!(told[2], IcarusEvent::Parked { reason: IcarusFault::NoAnswer, .. }) && told.len() == 3);
    bench.pass(Duration::from_secs(300));
    assert!(!bench.written().is_empty(), "and tried again");
}

#[test]
fn a_nonce_goes_up_when_it_is_proved_once_and_a_wrong_one_never() {
    let mut bench = Bench::found("block-erupter", &[], None);
    bench.set_job(Some(job(1, 0)));
    bench.told();
    bench.hear(&NONCE[..3]);
    bench.hear(&[NONCE[3], 1, 2, 3, 4]);
    bench.hear(&NONCE);
    let nonce = BoardEvent::Nonce { job: ChipJobId(1), nonce: 0x9546_a142, version: 1 };
    assert_eq!(bench.board_told(), [nonce]);
    let counts = bench.device.counts();
    assert_eq!((counts.nonces, counts.hardware_errors, counts.duplicates), (1, 1, 1));
}

#[test]
fn the_rest_of_a_damaged_answer_does_not_shift_the_next() {
    let mut bench = Bench::found("block-erupter", &[], None);
    bench.set_job(Some(job(1, 0)));
    bench.told();
    bench.hear(&[9, 9, 9]);
    bench.pass(Duration::from_millis(41));
    bench.hear(&NONCE);
    assert_eq!(bench.board_told().len(), 1);
    assert_eq!(bench.device.counts().dropped_bytes, 3);
}

#[test]
fn a_nonce_of_the_work_before_is_known_as_such() {
    let mut bench = Bench::found("block-erupter", &[], None);
    bench.set_job(Some(job(1, 0)));
    bench.set_job(Some(ChipJob { ntime: 0x4dd7_f5c8, ..job(2, 0) }));
    bench.told();
    bench.hear(&NONCE);
    let nonce = BoardEvent::Nonce { job: ChipJobId(1), nonce: 0x9546_a142, version: 1 };
    assert_eq!(bench.board_told(), [nonce]);
}

#[test]
fn an_antminers_answer_names_its_work_and_a_damaged_name_costs_nothing() {
    let mut bench = Bench::found("antminer-u1", &[0x80], None);
    bench.pass(Duration::from_millis(500));
    bench.written();
    for id in 1..=20 {
        bench.set_job(Some(if id == 4 { job(4, 0) } else { ChipJob { ntime: id as u32, ..job(id, 0) } }));
    }
    let numbers: Vec<_> = bench.written().iter().map(|work| work[51]).collect();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    bench.told();
    bench.hear(&[&NONCE[..], &[0xe0 | 3]].concat());
    bench.hear(&[&NONCE[..], &[0xe0 | 9]].concat());
    assert!(matches!(bench.board_told()[..], [BoardEvent::Nonce { job: ChipJobId(4), .. }]));
    assert_eq!(bench.device.counts().duplicates, 1, "found under another number too");
}

#[test]
fn versions_follow_each_other_within_the_mask_and_then_the_job_is_used_up() {
    let mut bench = Bench::found("block-erupter", &[], None);
    bench.set_job(Some(job(1, 0x0000_a000)));
    let mut versions = vec![bench.device.newest().unwrap().1];
    for _ in 0..3 {
        bench.pass(Duration::from_millis(12_700));
        versions.push(bench.device.newest().unwrap().1);
    }
    assert_eq!(versions, [1, 0x2001, 0x8001, 0xa001]);
    assert_eq!(bench.board_told().len(), 1, "only that it began");
    bench.pass(Duration::from_millis(12_000));
    assert_eq!(bench.board_told(), [BoardEvent::JobEnding(ChipJobId(1))]);
    bench.written();
    bench.pass(Duration::from_secs(5));
    assert!(bench.written().is_empty(), "no version is tried twice");
    bench.set_job(Some(job(2, 0)));
    assert_eq!(bench.written().len(), 1);
}

#[test]
fn a_board_that_stops_at_a_nonce_gets_the_next_work_at_once() {
    let mut bench = Bench::found("lancelot", &[], Some([0x04, 0xc0, 0xfd, 0xb4]));
    bench.set_job(Some(job(1, 0x2000)));
    assert_eq!(bench.written().len(), 1);
    bench.hear(&NONCE);
    assert_eq!(bench.written().len(), 1);
    assert_eq!(bench.device.newest(), Some((ChipJobId(1), 0x2001)));
    bench.hear(&NONCE);
    assert!(bench.written().is_empty(), "it came from the work before, and the new one goes on");
}

#[test]
fn a_device_that_finds_nothing_for_too_long_is_begun_anew() {
    let mut bench = Bench::found("antminer-u3", &[0x80], None);
    bench.set_job(Some(job(1, 0x1fff_e000)));
    bench.pass(Duration::from_secs(9));
    let failed = |event: &IcarusEvent| matches!(event, IcarusEvent::Failed(IcarusFault::Silent { .. }));
    assert!(!bench.told().iter().any(failed));
    bench.pass(Duration::from_secs(2));
    assert!(bench.told().iter().any(failed));
    bench.written();
    bench.pass(Duration::from_secs(1));
    bench.hear(&[&GOLDEN[..], &[0x80]].concat());
    bench.pass(Duration::from_secs(1));
    assert!(bench.written().len() > 10, "it hashes again");
}

#[test]
fn hashes_are_reported_as_time_passes_and_none_without_work() {
    let mut bench = Bench::found("block-erupter", &[], None);
    bench.pass(Duration::from_secs(3));
    bench.set_job(Some(job(1, 0x2000)));
    bench.pass(Duration::from_secs(10));
    let hashes = |told: Vec<IcarusEvent>| -> u64 {
        let of = |event: &IcarusEvent| match event {
            IcarusEvent::Board(BoardEvent::Hashes(hashes)) => *hashes,
            _ => 0,
        };
        told.iter().map(of).sum()
    };
    let done = hashes(bench.told()) as f64;
    assert!((done / (10.0 * 336e6) - 1.0).abs() < 0.03, "{done}");
    bench.set_job(None);
    bench.told();
    bench.pass(Duration::from_secs(10));
    assert_eq!(hashes(bench.told()), 0);
}

#[test]
fn a_device_tells_its_state_its_counts_and_its_rate_by_its_nonces() {
    let mut bench = Bench::new("block-erupter");
    assert_eq!(bench.device.state(), BoardState::Starting);
    bench.pass(Duration::from_secs(10));
    let parked = bench.device.state();
    assert!(parked.reason().unwrap().contains("does not find the known nonce"), "{parked:?}");
    let mut bench = Bench::found("block-erupter", &[], None);
    assert_eq!(
        (bench.device.state(), bench.device.status().chips),
        (BoardState::Idle, vec![]),
        "nothing is known yet"
    );
    bench.set_job(Some(job(1, 0)));
    bench.pass(Duration::from_secs(5));
    bench.hear(&NONCE);
    bench.hear(&NONCE);
    bench.hear(&[1, 2, 3, 4]);
    bench.pass(Duration::from_secs(5));
    let status = bench.device.status();
    assert_eq!((status.state, status.line.duplicates), (BoardState::Hashing, 1));
    let chip = status.chips[0];
    assert_eq!((chip.nonces, chip.hardware_errors), (1, 1));
    let rate = chip.rate.unwrap().hashes_per_second;
    assert!((rate / (2f64.powi(32) / 10.0) - 1.0).abs() < 0.05, "{rate}");
}
