//! Jobs as chips have them: a [`ChipJob`] to its frame, and the ring in which the answers find it again.

use std::collections::HashSet;

use super::chip::{Chip, JobForm};
use super::frame::be32;
use super::job_frame::{HeaderJob, JobFrame, LengthByte, MOST_MIDSTATES, MidstateJob};
use super::register::{ROLLABLE, ROLLABLE_SHIFT};
use super::sweep::ALL_VERSIONS;
use super::ticket::Ticket;
use crate::ChipJob;
use crate::cpu::proof;

/// Nonces of a job that are remembered: more than a chain reports before the job's space is used up. Beyond it the memory
/// starts anew; a nonce that comes twice is then found by who takes it.
const MOST_SEEN: usize = 8192;

/// A job on a chain.
#[derive(Debug)]
pub struct SentJob {
    /// As it came from above.
    pub job: ChipJob,
    /// How hard the chips report it.
    pub ticket: Ticket,
    /// Version bits that the chips roll: those of the job's mask that they can.
    version_mask: u32,
    /// Midstates of the frame; 0 in header form.
    midstates: usize,
    seen: HashSet<(u32, u32)>,
}

impl SentJob {
    /// A job for this kind of chip.
    ///
    /// A chip that rolls by itself can do so with version bits 28 to 13: a wider mask is narrowed to them. The BM1397 gets
    /// a midstate for each of four versions, whichever their bits are, or a single one where the mask has not two.
    pub fn new(chip: &Chip, job: ChipJob, ticket: Ticket) -> Self {
        let (version_mask, midstates) = match chip.layout.form {
            JobForm::Header => (job.version_mask & ROLLABLE, 0),
            JobForm::Midstates if job.version_mask.count_ones() < 2 => (0, 1),
            JobForm::Midstates => (job.version_mask, MOST_MIDSTATES),
        };
        Self { job, ticket, version_mask, midstates, seen: HashSet::new() }
    }

    /// Versions that the chips try, 1 at least.
    pub fn versions(&self) -> u32 {
        match self.midstates {
            0 => 1 << self.version_mask.count_ones().min(ALL_VERSIONS.ilog2()),
            midstates => midstates as u32,
        }
    }

    /// Version bits that the chips roll by themselves, for their register: none in midstate form.
    pub fn rolled_by_chip(&self) -> u32 {
        if self.midstates == 0 { self.version_mask } else { 0 }
    }

    /// The frame that brings it to the chips.
    pub fn frame(&self, job_byte: u8) -> JobFrame {
        let ChipJob { prev_hash, merkle_root, ntime, nbits, .. } = self.job;
        let start_nonce = [0; 4];
        if self.midstates == 0 {
            return JobFrame::Header(HeaderJob {
                job_byte,
                midstates: 1,
                start_nonce,
                nbits,
                ntime,
                merkle_root,
                prev_hash,
                version: self.base_version(),
                length: LengthByte::True,
            });
        }
        let [.., a, b, c, d] = merkle_root;
        let midstates =
            (0..self.midstates).map(|index| proof::midstate(self.first_block(self.version(index))));
        JobFrame::Midstates(MidstateJob {
            job_byte,
            start_nonce,
            nbits,
            ntime,
            merkle_tail: [a, b, c, d],
            midstates: midstates.collect(),
        })
    }

    /// The header version that a nonce was found with. Shape: the version bits that the chip says it rolled, and the
    /// sub-core, which on a BM1397 names the midstate. `None` when the chip rolled what it had no leave to.
    pub fn version_of(&self, rolled: Option<u16>, sub_core: u8) -> Option<u32> {
        match self.midstates {
            0 => {
                let bits = u32::from(rolled.unwrap_or(0)) << ROLLABLE_SHIFT;
                (bits & !self.version_mask == 0).then_some(self.base_version() | bits)
            }
            // Sub-cores share a single midstate.
            1 => Some(self.version(0)),
            midstates => (usize::from(sub_core) < midstates).then(|| self.version(sub_core.into())),
        }
    }

    /// Double SHA-256 of the header with this version and nonce, as it comes out.
    pub fn hash(&self, version: u32, nonce: u32) -> [u8; 32] {
        let [.., a, b, c, d] = self.job.merkle_root;
        let tail =
            [u32::from_be_bytes([a, b, c, d]), self.job.ntime.swap_bytes(), self.job.nbits.swap_bytes()];
        proof::hash(proof::midstate(self.first_block(version)), tail, nonce)
    }

    /// Whether this nonce comes for the first time.
    pub fn is_new(&mut self, version: u32, nonce: u32) -> bool {
        if self.seen.len() == MOST_SEEN {
            self.seen.clear();
        }
        self.seen.insert((version, nonce))
    }

    fn base_version(&self) -> u32 {
        self.job.version & !self.version_mask
    }

    /// The base version incremented so many times within the mask. Source: ESP-Miner `bm1397.c`, `increment_bitmask`.
    fn version(&self, index: usize) -> u32 {
        let mask = self.version_mask;
        let increment = |version: u32| (version & !mask) | ((version | !mask).wrapping_add(1) & mask);
        (0..index).fold(self.base_version(), |version, _| increment(version))
    }

    /// The first 64 bytes of the header as big-endian words.
    fn first_block(&self, version: u32) -> [u32; 16] {
        let hashes = self.job.prev_hash.chunks_exact(4).chain(self.job.merkle_root.chunks_exact(4));
        let mut words = std::iter::once(version.swap_bytes()).chain(hashes.map(be32));
        std::array::from_fn(|_| words.next().unwrap_or_default())
    }
}

/// The last jobs of a chain by their numbers: for each number the job that has it and the one that had it before.
///
/// Cores go on with a job for a moment after the next one, and an answer may wait on the line for longer than it takes
/// sixteen jobs to pass when jobs are short. The hash tells which of the two an answer is for.
#[derive(Debug)]
pub struct JobRing {
    chip: &'static Chip,
    /// The number of the newest job.
    number: u8,
    slots: Vec<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    now: Option<SentJob>,
    before: Option<SentJob>,
}

impl JobRing {
    /// Without a job.
    pub fn new(chip: &'static Chip) -> Self {
        let slots = std::iter::repeat_with(Slot::default).take(chip.job_numbers().into()).collect();
        Self { chip, number: 0, slots }
    }

    /// The chips of this ring.
    pub fn chip(&self) -> &'static Chip {
        self.chip
    }

    /// Takes in a job under the next number. Returns its frame.
    pub fn push(&mut self, job: SentJob) -> JobFrame {
        self.number = self.chip.next_job_number(self.number);
        let frame = job.frame(self.chip.job_byte(self.number));
        let slot = &mut self.slots[usize::from(self.number)];
        slot.before = slot.now.replace(job);
        frame
    }

    /// The newest job.
    pub fn newest(&self) -> Option<&SentJob> {
        self.slots[usize::from(self.number)].now.as_ref()
    }

    /// The jobs that an answer with this number can be for, the newest first.
    pub fn with_number(&mut self, number: u8) -> impl Iterator<Item = &mut SentJob> {
        self.slots
            .get_mut(usize::from(number))
            .into_iter()
            .flat_map(|slot| slot.now.iter_mut().chain(&mut slot.before))
    }

    /// Forgets all jobs: the chips do not have them any more.
    pub fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::chip::{BM1370, BM1397, CHIPS};
    use super::*;
    use crate::ChipJobId;

    fn job(id: u64, version: u32, version_mask: u32) -> ChipJob {
        ChipJob {
            id: ChipJobId(id),
            version,
            prev_hash: [3; 32],
            merkle_root: [4; 32],
            ntime: 5,
            nbits: 6,
            version_mask,
            target: [0xff; 32],
        }
    }

    fn sent(chip: &Chip, version: u32, mask: u32) -> SentJob {
        SentJob::new(chip, job(1, version, mask), Ticket::ONE)
    }

    #[test]
    fn versions_of_midstates_are_increments_within_the_mask_as_in_esp_miner() {
        let job = sent(&BM1397, 0x2000_0004, 0x00ff_ff00);
        let versions: Vec<_> = (0..4).map(|index| job.version_of(None, index).unwrap()).collect();
        assert_eq!(versions, [0x2000_0004, 0x2000_0104, 0x2000_0204, 0x2000_0304]);
        let gaps = sent(&BM1397, 0x2000_0000, 0x1000_2000);
        let versions: Vec<_> = (0..4).map(|index| gaps.version_of(None, index).unwrap()).collect();
        assert_eq!(versions, [0x2000_0000, 0x2000_2000, 0x3000_0000, 0x3000_2000]);
    }

    #[test]
    fn a_mask_without_two_bits_gives_a_single_midstate_and_no_rolling() {
        for mask in [0, 0x2000] {
            let job = sent(&BM1397, 0x2000_0000, mask);
            assert_eq!((job.versions(), job.frame(4).emit().len()), (1, 56));
            assert!((0..4).all(|sub_core| job.version_of(None, sub_core) == Some(0x2000_0000)));
        }
    }

    #[test]
    fn a_chip_that_rolls_by_itself_gets_the_bits_it_can_roll_and_no_others() {
        for (mask, rolled, versions) in [
            (0x1fff_e000, 0x1fff_e000, 65536),
            (0xffff_ffff, 0x1fff_e000, 65536),
            (0x0000_ffe0, 0x0000_e000, 8),
            (0x0000_1fe0, 0, 1),
            (0, 0, 1),
        ] {
            let job = sent(&BM1370, 0x2000_0000 & !mask, mask);
            assert_eq!((job.rolled_by_chip(), job.versions()), (rolled, versions), "{mask:08x}");
        }
    }

    #[test]
    fn a_version_rolled_without_leave_is_none() {
        let job = sent(&BM1370, 0x2000_0000, 0x0000_e000);
        assert_eq!(job.version_of(Some(7), 0), Some(0x2000_e000));
        assert_eq!(job.version_of(Some(8), 0), None);
        assert_eq!(sent(&BM1370, 0x2000_0000, 0).version_of(Some(1), 0), None);
        assert_eq!(sent(&BM1370, 0x2000_0000, 0).version_of(None, 0), Some(0x2000_0000));
    }

    #[test]
    fn a_nonce_is_new_once_for_each_version_and_the_memory_has_an_end() {
        let mut job = sent(&BM1370, 0, ROLLABLE);
        assert!(job.is_new(1, 2) && job.is_new(2, 2) && !job.is_new(1, 2));
        for nonce in 0..2 * MOST_SEEN as u32 {
            job.is_new(3, nonce);
        }
        assert!(job.seen.len() <= MOST_SEEN);
    }

    proptest! {
        #[test]
        fn versions_stay_within_the_mask_and_none_comes_twice(version: u32, mask: u32, rolled: u16, sub_core in 0u8..16) {
            let version = version & !mask;
            for chip in CHIPS {
                let job = sent(chip, version, mask);
                if let Some(found) = job.version_of(Some(rolled), sub_core) {
                    prop_assert_eq!((found ^ version) & !mask, 0);
                }
                let mut versions: Vec<_> = (0..4).filter_map(|index| job.version_of(Some(index), index as u8)).collect();
                let count = versions.len();
                versions.sort_unstable();
                versions.dedup();
                prop_assert!(versions.len() == count || job.versions() == 1);
            }
        }

        #[test]
        fn the_ring_keeps_the_last_sixteen_jobs_at_least_and_each_under_the_number_of_its_frame(count in 0u64..200) {
            for chip in CHIPS {
                let mut ring = JobRing::new(chip);
                let mut numbers = Vec::new();
                for id in 0..count {
                    let frame = ring.push(SentJob::new(chip, job(id, 0x2000_0000, ROLLABLE), Ticket::ONE));
                    let job_byte = match frame {
                        JobFrame::Header(job) => job.job_byte,
                        JobFrame::Midstates(job) => job.job_byte,
                    };
                    prop_assert_eq!(ring.newest().unwrap().job.id, ChipJobId(id));
                    numbers.push((id, job_byte >> chip.layout.job_shift));
                }
                for (id, number) in numbers.iter().rev().take(2 * usize::from(chip.job_numbers())) {
                    prop_assert!(ring.with_number(*number).any(|job| job.job.id == ChipJobId(*id)));
                }
                prop_assert_eq!(ring.with_number(31).count() > 0, chip.job_numbers() == 32 && count > 30);
                prop_assert_eq!(ring.with_number(200).count(), 0);
                ring.clear();
                prop_assert!(ring.newest().is_none());
            }
        }
    }
}
