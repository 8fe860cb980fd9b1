//! Real nonces: double SHA-256 over the candidates that a chip would try at one moment of its sweep, until one is good
//! enough. A chip needs 32 zero bits; at a lower number an ordinary computer keeps up with it.

use bitcoin::hashes::{Hash, HashEngine, sha256};

use super::{kinds::ChipKind, work::Work};

/// Which hashes are reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// Bits at the top that have to be zero; 32 in silicon.
    pub(super) zero_bits: u32,
    /// Bit 0 stands for the bit behind those, bit 1 for the next one; where a bit is set, the hash has to have a zero.
    pub(super) mask: u32,
}

impl Ticket {
    /// From register 0x14, in which the bits of each byte are in reverse order.
    pub(super) fn new(zero_bits: u32, register: u32) -> Self {
        Self { zero_bits, mask: u32::from_be_bytes(register.to_be_bytes().map(u8::reverse_bits)) }
    }

    /// Bits that a reported hash has at zero.
    pub(super) fn bits(self) -> u32 {
        self.zero_bits + self.mask.count_ones()
    }

    /// `hash` in the order of SHA-256, so the number that it stands for is little-endian.
    pub(super) fn takes(self, hash: &[u8; 32]) -> bool {
        let top = u64::from_le_bytes(hash[24..].try_into().expect("eight of 32 bytes"));
        let behind = (top << self.zero_bits >> 32) as u32;
        top.leading_zeros() >= self.zero_bits && behind.reverse_bits() & self.mask == 0
    }
}

/// Zero bits at the top of the number.
fn leading_zeros(hash: &[u8; 32]) -> u32 {
    let zero_bytes = hash.iter().rev().take_while(|byte| **byte == 0).count();
    let next = hash.iter().rev().nth(zero_bytes).map_or(0, |byte| byte.leading_zeros());
    zero_bytes as u32 * 8 + next
}

/// A nonce that meets a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Header bytes 76 to 79.
    pub(super) nonce: [u8; 4],
    /// What was put into version bits 28 to 13.
    pub(super) version: u16,
    pub(super) small_core: u8,
    /// Of the hash.
    pub(super) zero_bits: u32,
}

/// Midstates and the bytes behind them, hashed with any nonce.
#[derive(Debug)]
pub(super) struct Hasher {
    midstate: sha256::Midstate,
    tail: [u8; 12],
}

impl Hasher {
    pub(super) fn new(midstate: [u8; 32], tail: [u8; 12]) -> Self {
        Self { midstate: sha256::Midstate::from_byte_array(midstate), tail }
    }

    fn hash(&self, nonce: [u8; 4]) -> [u8; 32] {
        let mut engine = sha256::HashEngine::from_midstate(self.midstate, 64);
        engine.input(&self.tail);
        engine.input(&nonce);
        sha256::Hash::hash(&sha256::Hash::from_engine(engine).to_byte_array()).to_byte_array()
    }

    /// Zero bits of the hash with this nonce, `None` if the ticket does not take it.
    pub(super) fn judge(&self, nonce: [u8; 4], ticket: Ticket) -> Option<u32> {
        let hash = self.hash(nonce);
        ticket.takes(&hash).then(|| leading_zeros(&hash))
    }
}

/// The nonces of a chip around one place of its sweep: for each place of the counter all cores with all small cores.
#[derive(Debug)]
pub(super) struct Search {
    lanes: Vec<(u16, Hasher)>,
    cores: u32,
    core_shift: u32,
    counter: u32,
    core: u32,
    lane: usize,
    ticket: Ticket,
}

impl Search {
    /// `versions` are those of the batch, one for each small core; the counter of all cores stands at `counter`.
    pub(super) fn new(kind: &ChipKind, work: &Work, versions: &[u16], counter: u32, ticket: Ticket) -> Self {
        let lane =
            |(at, version): (usize, &u16)| (*version, Hasher::new(work.midstate(at, *version), work.tail));
        Self {
            lanes: versions.iter().enumerate().map(lane).collect(),
            cores: kind.cores,
            core_shift: kind.core_shift(),
            counter,
            core: 0,
            lane: 0,
            ticket,
        }
    }

    /// One range without cores and versions, from `counter` on: what an FPGA does.
    pub(super) fn plain(midstate: [u8; 32], tail: [u8; 12], counter: u32, ticket: Ticket) -> Self {
        let lanes = vec![(0, Hasher::new(midstate, tail))];
        Self { lanes, cores: 1, core_shift: 32, counter, core: 0, lane: 0, ticket }
    }

    /// Goes on for `budget` hashes at most and takes those done from it.
    pub(super) fn advance(&mut self, budget: &mut u64) -> Option<Found> {
        while *budget > 0 {
            *budget -= 1;
            let low = (u64::from(self.counter) & ((1 << self.core_shift) - 1)) as u32;
            let nonce = (low | self.core.checked_shl(self.core_shift).unwrap_or(0)).to_be_bytes();
            let (version, hasher) = &self.lanes[self.lane];
            let (version, small_core) = (*version, self.lane as u8);
            let zero_bits = hasher.judge(nonce, self.ticket);
            self.step();
            if let Some(zero_bits) = zero_bits {
                return Some(Found { nonce, version, small_core, zero_bits });
            }
        }
        None
    }

    fn step(&mut self) {
        self.lane = (self.lane + 1) % self.lanes.len();
        if self.lane == 0 {
            self.core = (self.core + 1) % self.cores;
            if self.core == 0 {
                self.counter = self.counter.wrapping_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_wants_the_zero_bits_and_those_of_its_mask() {
        let hash = |top: u64| {
            let mut hash = [0xff; 32];
            hash[24..].copy_from_slice(&top.to_le_bytes());
            hash
        };
        let ticket = Ticket::new(8, 0x0000_80ff); // difficulty 512 on the wire
        assert_eq!((ticket.mask, ticket.bits()), (511, 17));
        assert!(ticket.takes(&hash(0x0000_7fff_ffff_ffff)));
        assert!(!ticket.takes(&hash(0x0000_8000_0000_0000)), "bit 17 is set");
        assert!(!ticket.takes(&hash(0x0100_0000_0000_0000)), "bit 8 is set");
        assert!(Ticket::new(0, 0).takes(&hash(u64::MAX)));
        assert!(Ticket::new(32, u32::MAX).takes(&hash(0)));
        assert_eq!(leading_zeros(&hash(0x0000_7fff_ffff_ffff)), 17);
        assert_eq!(leading_zeros(&[0; 32]), 256);
    }
}
