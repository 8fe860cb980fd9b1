//! A million nonces through the driver of a chain: bytes of the line, answers, the ring of jobs, header, hash, the counts of
//! each chip, and the event for the engine. Every nonce is good and wanted, which is the longest way through.
#![allow(clippy::unwrap_used)] // what fails here is a fault of the bench

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use signalcore_drivers::bm13xx::answer::{Answer, AnswerSize, RawNonce};
use signalcore_drivers::bm13xx::bring_up::{BM1370_LIST, RESET_BAUD};
use signalcore_drivers::bm13xx::chain::{Chain, ChainConfig, ChainEvent};
use signalcore_drivers::bm13xx::chip::BM1370;
use signalcore_drivers::bm13xx::frame::{Frame, Recipient};
use signalcore_drivers::bm13xx::job_frame::JobFrame;
use signalcore_drivers::bm13xx::pll::Frequency;
use signalcore_drivers::{BoardEvent, ChipJob, ChipJobId};

const CHIPS: usize = 4;
/// Fewer for each job than the driver remembers, and as many jobs as make their numbers come round.
const JOBS: u64 = 160;
const NONCES: u64 = 6250;

/// A chain that takes jobs, at no zero bits: any hash is good.
struct Bench {
    chain: Chain,
    now: Instant,
    jobs: u64,
    job_byte: u8,
    found: u64,
}

impl Bench {
    fn new() -> Self {
        let frequency = Frequency::from_mhz(525.0);
        let config =
            ChainConfig { bring_up: &BM1370_LIST, chips: CHIPS, frequency, baud: RESET_BAUD, zero_bits: 0 };
        let now = Instant::now();
        let chain = Chain::new(&config, now).unwrap();
        let mut bench = Self { chain, now, jobs: 0, job_byte: 0, found: 0 };
        let mut addresses = Vec::new();
        while !bench.chain.is_hashing() {
            while let Some(bytes) = bench.chain.poll_transmit() {
                match Frame::parse(&bytes).unwrap() {
                    Frame::SetAddress(address) => addresses.push(address),
                    Frame::Read { to: Recipient::All, register } => {
                        for chip in 0..CHIPS {
                            let address = addresses.get(chip).copied().unwrap_or(0);
                            let value = u32::from(BM1370.id) << 16;
                            let answer = Answer::Register { value, chip_address: address, register };
                            bench.chain.handle_bytes(&answer.emit(AnswerSize::Eleven), bench.now);
                        }
                    }
                    _ => {}
                }
            }
            bench.now = bench.chain.poll_timeout().unwrap();
            bench.chain.handle_timeout(bench.now);
        }
        bench
    }

    /// Gives the chips another job, and takes what the chain has to say and to tell.
    fn next_job(&mut self) {
        self.jobs += 1;
        self.now += Duration::from_millis(20); // the frame takes eight
        let job = ChipJob {
            id: ChipJobId(self.jobs),
            version: 0x2000_0000,
            prev_hash: [7; 32],
            merkle_root: [self.jobs as u8; 32],
            ntime: 1_700_000_000,
            nbits: 0x1703_4219,
            version_mask: 0x1fff_e000,
            target: [0xff; 32],
        };
        self.chain.set_job(Some(job), self.now);
        while let Some(bytes) = self.chain.poll_transmit() {
            if let Ok(Frame::Job(JobFrame::Header(job))) = Frame::parse(&bytes) {
                self.job_byte = job.job_byte;
            }
        }
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.chain.poll_event() {
            self.found += u64::from(matches!(event, ChainEvent::Board(BoardEvent::Nonce { .. })));
        }
    }
}

/// What the chips say for a job with this byte: other nonces and versions each time, from all chips.
fn answers(job_byte: u8) -> Vec<u8> {
    let number = job_byte >> BM1370.layout.job_shift;
    let answer = |index: u64| {
        let nonce = (index as u32).wrapping_mul(0x9e37_79b1).to_be_bytes();
        let version = Some(index as u16);
        let tag = BM1370.tag((index % 16) as u8, number, 0);
        Answer::Nonce(RawNonce { nonce, tag, version }).emit(AnswerSize::Eleven)
    };
    (0..NONCES).flat_map(answer).collect()
}

fn nonces(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    // By job number, of which there are 16.
    let mut said: Vec<(u8, Vec<u8>)> = Vec::new();
    for _ in 0..BM1370.job_numbers() {
        bench.next_job();
        said.push((bench.job_byte, answers(bench.job_byte)));
    }
    let mut group = criterion.benchmark_group("chain");
    group.sample_size(10).throughput(Throughput::Elements(JOBS * NONCES));
    group.bench_function("a million nonces", |bencher| {
        bencher.iter(|| {
            bench.found = 0;
            for _ in 0..JOBS {
                bench.next_job();
                let (_, bytes) = said.iter().find(|(job_byte, _)| *job_byte == bench.job_byte).unwrap();
                // As a port gives them: some 370 answers at once.
                for bytes in bytes.chunks(4096) {
                    bench.chain.handle_bytes(bytes, bench.now);
                    bench.drain();
                }
            }
            assert_eq!(bench.found, JOBS * NONCES, "every nonce is to go all the way");
        });
    });
    group.finish();
}

criterion_group!(benches, nonces);
criterion_main!(benches);
