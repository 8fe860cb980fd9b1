//! Sticks as their line shows them.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::frame::Form;
use super::*;
use crate::cpu::proof;
use crate::scanner::Device as _;
use crate::{BoardEvent, BoardState, ChipJob, ChipJobId};

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

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

/// A stick and its clock.
struct Bench {
    stick: Gekko,
    now: Instant,
}

impl Bench {
    fn new(model: &str, frequency: Option<f64>) -> Self {
        let now = Instant::now();
        let config = GekkoConfig { model: Model::named(model).unwrap(), frequency, zero_bits: 32 };
        Self { stick: Gekko::new(&config, now).unwrap(), now }
    }

    /// One whose ids have come, and that has found a known nonce.
    fn started(model: &str) -> Self {
        let mut bench = Self::new(model, None);
        bench.hear(&bytes(if model == "newpac" { "13870000000005 13870000000005" } else { "1384000000" }));
        bench.pass(Duration::from_millis(1_500));
        bench.hear(&bytes("7203ea83 80"));
        bench.pass(Duration::from_secs(5));
        assert!(matches!(bench.told()[..], [GekkoEvent::Ready { .. }]));
        bench.written();
        bench
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.stick.handle_bytes(bytes, self.now);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.stick.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.stick.handle_timeout(self.now);
        }
        self.now = end;
    }

    fn written(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.stick.poll_transmit()).collect()
    }

    fn told(&mut self) -> Vec<GekkoEvent> {
        std::iter::from_fn(|| self.stick.poll_event()).collect()
    }

    fn nonces(&mut self) -> Vec<BoardEvent> {
        let nonce = |event| match event {
            GekkoEvent::Board(event @ BoardEvent::Nonce { .. }) => Some(event),
            _ => None,
        };
        self.told().into_iter().filter_map(nonce).collect()
    }
}

#[test]
fn commands_are_the_recorded_ones_to_the_byte() {
    for (sent, recorded) in [
        (Form::Bm1384.read_id(), "84 00 00 11"),
        (Form::Bm1384.inactive(), "85 00 00 0F"),
        (Form::Bm1384.set_frequency(200.0), "82 07 82 11"),
        (Form::Bm1387.read_id(), "54 05 00 00 19"),
        (Form::Bm1387.inactive(), "55 05 00 00 10"),
        (Form::Bm1387.set_address(0), "41 05 00 00 15"),
        (Form::Bm1387.set_address(0x80), "41 05 80 00 19"),
        (Form::Bm1387.set_frequency(250.0), "58 09 00 0C 00 50 02 41 0C"),
        (Form::Bm1387.gate().unwrap(), "58 09 00 1C 40 20 99 80 01"),
    ] {
        assert_eq!(hex::encode(sent), hex::encode(bytes(recorded)));
    }
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../tests/vectors/asic-vectors.json")).unwrap();
    let ours = |vector: &&serde_json::Value| ["BM1384", "BM1387"].iter().any(|chip| vector["chip"] == *chip);
    assert_eq!(vectors.as_array().unwrap().iter().filter(ours).count(), 8, "all of them stand above");
}

#[test]
fn the_known_nonces_of_the_first_work_are_right() {
    for (nonce, shown) in [
        ("7203ea83", "0000000080533c9a5121b771b28f8f32fbd389e10d4509390b17bab096c851a5"),
        ("e16bf809", "00000000a2899847b03b2b08381f005ce46a85e0734c443b755b7218d7c386d9"),
    ] {
        let nonce = u32::from_le_bytes(bytes(nonce).try_into().unwrap());
        let mut hash = proof::hash([0; 8], [u32::MAX; 3], nonce);
        hash.reverse();
        assert_eq!(hex::encode(hash), shown);
    }
    let work = Form::Bm1384.busy_work();
    assert_eq!((work.len(), &work[..52], &work[52..]), (64, &[0; 52][..], &[0xff; 12][..]));
}

#[test]
fn a_newpac_is_counted_addressed_woken_and_raised_to_its_frequency() {
    let mut bench = Bench::new("newpac", Some(112.5));
    assert_eq!(bench.written(), [bytes("54 05 00 00 19")]);
    bench.hear(&bytes("13870000000005 13870000000005"));
    bench.pass(Duration::from_millis(1_200));
    bench.hear(&bytes("e16bf809 00 00 80"));
    bench.pass(Duration::from_secs(3));
    let written = bench.written();
    assert_eq!(written[..3], [const { [0x55, 5, 0, 0, 0x10] }; 3]);
    assert_eq!(written[3..5], [bytes("41 05 00 00 15"), bytes("41 05 80 00 19")]);
    assert_eq!(written[5][5..8], [32, 0x02, 0x41], "100 MHz");
    assert_eq!(written[6], bytes("58 09 00 1C 40 20 99 80 01"));
    assert_eq!(written[7..121], vec![Form::Bm1387.busy_work(); 114]);
    let raised: Vec<_> = written[121..].iter().map(|command| command[5]).collect();
    assert_eq!(raised, [34, 36], "106.25 and 112.5 MHz");
    assert_eq!(bench.told(), [GekkoEvent::Ready { answer_size: 7, devices: 2 }]);
    assert!((bench.stick.expected_rate() / (228.0 * 112.5e6) - 1.0).abs() < 1e-9);
}

#[test]
fn a_stick_with_too_few_chips_or_none_or_asleep_is_refused_and_tried_again() {
    let fault = |model: &str, ids: &str, awake: &str| {
        let mut bench = Bench::new(model, None);
        for _ in 0..3 {
            bench.hear(&bytes(ids));
            bench.pass(Duration::from_secs(1));
        }
        bench.hear(&bytes(awake));
        bench.pass(Duration::from_millis(3_500));
        bench.told().into_iter().next()
    };
    let newpac = "1387 0000000005";
    let failed = |fault| Some(GekkoEvent::Failed(fault));
    assert_eq!(fault("newpac", "", ""), failed(GekkoFault::NoAnswer("BM1387")));
    let few = GekkoFault::Chips { chip: "BM1387", found: 1, expected: 2 };
    assert_eq!(fault("newpac", newpac, ""), failed(few));
    let both = [newpac; 2].concat();
    assert_eq!(fault("newpac", &both, "01020304 000080"), failed(GekkoFault::Asleep));
    assert_eq!(fault("compac", "1384000000", ""), failed(GekkoFault::Asleep));
    let mut bench = Bench::new("2pac", None);
    bench.pass(Duration::from_secs(60));
    assert!(matches!(bench.told()[..], [_, _, GekkoEvent::Parked { reason: GekkoFault::NoAnswer(_), .. }]));
    assert_eq!(bench.written().len(), 9);
}

#[test]
fn work_of_each_chip_is_laid_out_as_it_reads_it() {
    let mut bench = Bench::started("newpac");
    bench.stick.set_job(Some(job(1, 0)), bench.now);
    let work = bench.written().remove(0);
    assert_eq!((work.len(), &work[..8]), (54, &[0x21, 0x36, 0, 1, 0, 0, 0, 0][..]));
    assert_eq!(hex::encode(&work[8..20]), "f2b9441ac7f5d74df1fc122b");
    let checksum = crate::bm13xx::crc::crc16(&work[..52]);
    assert_eq!(work[52..], checksum.to_be_bytes());
    let midstate = work[20..52].to_vec();
    let mut bench = Bench::started("compac");
    bench.stick.set_job(Some(job(1, 0)), bench.now);
    let work = bench.written().remove(0);
    assert_eq!((work.len(), &work[..32]), (64, midstate.as_slice()));
    assert!(work[32..51].iter().all(|byte| *byte == 0), "no ticket mask and no hash count");
}

#[test]
fn a_nonce_goes_up_when_it_is_proved_once_wherever_it_begins() {
    for (model, behind) in [("compac", "80"), ("newpac", "01 00 9f")] {
        let mut bench = Bench::started(model);
        bench.stick.set_job(Some(job(7, 0)), bench.now);
        bench.told();
        let answer = [NONCE.to_vec(), bytes(behind)].concat();
        bench.hear(&[&[1, 2, 3], answer.as_slice(), &answer[..3]].concat());
        bench.hear(&answer[3..]);
        let nonce = BoardEvent::Nonce { job: ChipJobId(7), nonce: 0x9546_a142, version: 1 };
        assert_eq!(bench.nonces(), [nonce], "{model}");
        let counts = bench.stick.counts();
        assert_eq!((counts.nonces, counts.duplicates, counts.dropped_bytes), (1, 1, 3), "{model}");
    }
}

#[test]
fn the_rest_of_a_damaged_answer_is_dropped_after_a_silence() {
    let mut bench = Bench::started("newpac");
    bench.stick.set_job(Some(job(1, 0x1fff_e000)), bench.now);
    bench.hear(&NONCE[..3]);
    bench.pass(Duration::from_millis(41));
    bench.hear(&[1, 2, 3]);
    assert_eq!(bench.stick.counts().dropped_bytes, 3);
}

/// Nonces of works that nobody gave: one alone, then two behind each other, then one whose checksum or number is wrong.
#[test]
fn a_whole_answer_that_is_wrong_is_a_hardware_error_and_a_damaged_one_is_the_line() {
    for (model, wrong, damaged) in
        [("compac", "01020304 9f", "01020304 a0"), ("newpac", "01020304 0007 80", "01020304 0007 9f")]
    {
        let mut bench = Bench::started(model);
        bench.stick.set_job(Some(job(1, 0x1fff_e000)), bench.now);
        let mut wrong = bytes(wrong);
        if model == "newpac" {
            wrong[6] |= crate::bm13xx::crc::crc5_of_bits(&wrong, 51);
        }
        let good = [&NONCE[..], if model == "newpac" { &[0, 0, 0x80] } else { &[0x80] }].concat();
        let counts = |bench: &Bench| {
            let counts = bench.stick.counts();
            (counts.nonces, counts.hardware_errors, counts.dropped_bytes)
        };
        bench.hear(&wrong);
        bench.pass(Duration::from_secs(1));
        bench.hear(&[&wrong[..], &wrong, &good].concat());
        assert_eq!(counts(&bench), (1, 3, 0), "{model}");
        bench.hear(&[&bytes(damaged)[..], &good].concat());
        assert_eq!(counts(&bench), (1, 3, wrong.len() as u64), "{model}");
        let status = bench.stick.status();
        assert_eq!(status.chips[0].hardware_errors, 3, "{model}");
    }
}

#[test]
fn a_range_of_a_newpac_lasts_as_long_as_its_cores_need_and_then_comes_the_next_version() {
    let mut bench = Bench::started("newpac");
    bench.stick.set_job(Some(job(1, 0x1fff_e000)), bench.now);
    bench.pass(Duration::from_secs(10));
    // 2^32 nonces at 22.8 GH/s are 188 ms, of which 1/8 is left.
    let works = bench.written();
    assert!((58..=62).contains(&works.len()), "{}", works.len());
    let numbers: Vec<_> = works.iter().take(40).map(|work| work[2]).collect();
    assert_eq!(numbers[30..34], [30, 31, 0, 1]);
}

#[test]
fn a_frequency_beyond_the_limits_is_refused_with_them() {
    let now = Instant::now();
    for (model, mhz, said) in [
        (
            "newpac",
            251.0,
            "frequency 251 MHz is not between 100 and 250 MHz, the limits of newpac; choose one of these",
        ),
        (
            "2pac",
            f64::NAN,
            "frequency NaN MHz is not between 100 and 200 MHz, the limits of 2pac; choose one of these",
        ),
    ] {
        let model = Model::named(model).unwrap();
        let refused =
            Gekko::new(&GekkoConfig { model, frequency: Some(mhz), zero_bits: 32 }, now).unwrap_err();
        assert_eq!(refused.to_string(), said);
    }
}

proptest! {
    #[test]
    fn nothing_that_comes_over_the_line_upsets_a_stick(heard: Vec<u8>, cuts in 1usize..9) {
        for model in MODELS {
            let mut bench = Bench::started(model.name.replace("2pac", "compac").as_str());
            bench.stick.set_job(Some(job(1, 0)), bench.now);
            for part in heard.chunks(cuts) {
                bench.hear(part);
            }
            prop_assert!(bench.nonces().is_empty());
        }
    }
}

#[test]
fn a_stick_tells_its_state_its_frequency_and_its_counts() {
    let mut bench = Bench::new("newpac", None);
    assert_eq!(bench.stick.state(), BoardState::Starting);
    bench.pass(Duration::from_secs(30));
    let parked = bench.stick.state();
    assert!(parked.reason().unwrap().contains("no BM1387 answers"), "{parked:?}");
    let mut bench = Bench::started("newpac");
    assert_eq!(bench.stick.state(), BoardState::Idle);
    bench.stick.set_job(Some(job(1, 0)), bench.now);
    bench.hear(&[&NONCE[..], &[0, 0, 0]].concat());
    bench.hear(&[&NONCE[..], &[0, 0, 0]].concat());
    let status = bench.stick.status();
    assert_eq!((status.state, status.line.duplicates), (BoardState::Hashing, 1));
    assert_eq!((status.chips[0].nonces, status.clock.megahertz), (1, Some(100.0)));
    bench.stick.set_job(None, bench.now);
    assert_eq!(bench.stick.state(), BoardState::Idle);
}

#[test]
fn a_stick_that_is_left_alone_is_told_its_lowest_frequency_three_times() {
    for (model, frequency, lowest) in [("2pac", 200.0, Form::Bm1384), ("newpac", 250.0, Form::Bm1387)] {
        let stick = Bench::new(model, Some(frequency)).stick;
        assert_eq!(stick.last_orders(), vec![lowest.set_frequency(100.0); 3], "{model}");
    }
}
