//! How many blocks there were against those to be expected.

use super::*;
use crate::decision::luck::Luck;

/// A block in 2^17 hashes, at the boards' 10,000 a second one in 13 s.
fn easy(id: &str) -> Job {
    let nbits = 0x1f00_8000;
    let network_target = Some(Target::from_nbits(nbits).unwrap());
    let job = job(id);
    Job { header: JobHeader { nbits, ..job.header }, network_target, ..job }
}

const A_BLOCK: u64 = 1 << 17;

impl Mine {
    /// A board hashes as much as there is a block in, a hundred times.
    fn hashes_for_a_hundred_blocks(&mut self) {
        let job = self.chip_job(CPU).id;
        self.says(CPU, BoardEvent::Started { job, at: self.now });
        for _ in 0..1600 {
            self.now += Duration::from_secs(1);
            self.says(CPU, BoardEvent::Hashes(A_BLOCK / 16));
        }
    }

    fn unlucky(&self) -> Vec<(UpstreamId, Luck)> {
        let told = self.reports.iter().filter_map(|report| match report {
            Report::Unlucky(upstream, luck) => Some((*upstream, *luck)),
            _ => None,
        });
        told.collect()
    }

    fn luck(&self, upstream: UpstreamId) -> Luck {
        self.engine.snapshot(self.now).upstreams[upstream.0].odds.luck
    }
}

#[test]
fn hashes_without_the_blocks_that_belong_in_them_are_told_once_and_change_nothing() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &easy("a"));
    let before = (mine.chip_job(CPU), mine.engine.active.clone());
    mine.hashes_for_a_hundred_blocks();
    let [(upstream, luck)] = mine.unlucky()[..] else { panic!("{:?}", mine.unlucky()) };
    assert_eq!((upstream, luck.found), (POOL, 0));
    assert!((luck.expected - 34.06).abs() < 0.01 && luck.chance() < 1e-14, "{luck:?}");
    assert!((mine.luck(POOL).expected - 100.0).abs() < 0.01);
    assert_eq!((mine.chip_job(CPU), mine.engine.active.clone()), before);
}

#[test]
fn a_block_is_counted_for_whom_it_was_found() {
    let mut mine = Mine::with_board();
    mine.job(POOL, &easy("a"));
    let block =
        ChipJob { target: Target::from_nbits(0x1f00_8000).unwrap().to_le_bytes(), ..mine.chip_job(CPU) };
    let nonce = Mine::nonces(&block, true).next().unwrap();
    mine.says(CPU, nonce);
    assert_eq!((mine.luck(POOL).found, mine.luck(SPARE).found), (1, 0));
    let seconds = mine.engine.snapshot(mine.now).upstreams[POOL.0].odds.seconds.unwrap();
    assert!((seconds / 13.1 - 1.0).abs() < 0.01, "{seconds}");
    mine.hashes_for_a_hundred_blocks();
    mine.engine.stop();
    mine.engine.remove_board(CPU);
    let odds = mine.engine.snapshot(mine.now).upstreams[POOL.0].odds;
    assert!((odds.seconds.unwrap() / 16.0 - 1.0).abs() < 0.01, "what it was is told at the end: {odds:?}");
}

#[test]
fn where_blocks_come_thick_they_are_not_counted() {
    let mut mine = Mine::with_board();
    let job = Job { network_target: Some(Target::from_nbits(0x207f_ffff).unwrap()), ..job("a") };
    mine.job(POOL, &job);
    mine.hashes_for_a_hundred_blocks();
    assert_eq!((mine.luck(POOL), mine.unlucky()), (Luck::default(), vec![]));
}
