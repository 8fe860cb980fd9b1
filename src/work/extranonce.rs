//! The extranonces: the upstream's part, ours, and the allocator that never gives the same one twice.
//!
//! Version bits, nonce, extranonce2 and ntime are the four dimensions of the search space. The board rolls the first
//! two within a `ChipJob`; each `ChipJob` gets one extranonce2 from here; ntime moves only when all else is used up.

use std::collections::VecDeque;
use std::fmt;

/// The upstream's part of the extranonce, 0 to 32 bytes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Extranonce1(Box<[u8]>);

/// Why bytes are no extranonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExtranonceError {
    /// Longer than any pool's and than a coinbase's scriptSig allows beside its height.
    #[error("extranonce1 has {0} bytes, at most {max} are possible", max = Extranonce1::MAX_LEN)]
    Extranonce1TooLong(usize),
    /// More bytes than any hardware can need.
    #[error("extranonce2 size {0} is outside 0 to {max}", max = Extranonce2Size::MAX)]
    Extranonce2Size(i64),
}

impl Extranonce1 {
    /// Longest extranonce1 accepted. Source: translators in front of pools with long prefixes hand out 24 bytes.
    pub const MAX_LEN: usize = 32;

    /// Checks the length. Errors: more than [`Self::MAX_LEN`] bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, ExtranonceError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(ExtranonceError::Extranonce1TooLong(bytes.len()));
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes as they stand in the coinbase.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Extranonce1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for Extranonce1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extranonce1({self})")
    }
}

/// How many bytes of the extranonce are ours, 0 to 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extranonce2Size(u8);

impl Extranonce2Size {
    /// Largest size accepted. Source: the scriptSig of a coinbase holds 100 bytes, and as much is allowed for extranonce1.
    pub const MAX: usize = 32;

    /// Values outlast every miner with as many bytes; those before them stay zero.
    const COUNTED: usize = size_of::<u128>();

    /// Checks a size. Errors: outside 0 to [`Self::MAX`].
    pub fn new(size: i64) -> Result<Self, ExtranonceError> {
        match u8::try_from(size) {
            Ok(checked) if usize::from(checked) <= Self::MAX => Ok(Self(checked)),
            _ => Err(ExtranonceError::Extranonce2Size(size)),
        }
    }

    /// The number of bytes.
    pub fn bytes(self) -> usize {
        self.0.into()
    }

    /// How many values there are; `None` for 2^128 and more.
    fn values(self) -> Option<u128> {
        1u128.checked_shl(8 * u32::from(self.0))
    }
}

/// Our part of the extranonce, at most 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extranonce2 {
    bytes: [u8; Extranonce2Size::MAX],
    len: u8,
}

impl Extranonce2 {
    /// The value of `counter` modulo the space, most significant byte first, in exactly `size` bytes.
    pub fn from_counter(counter: u128, size: Extranonce2Size) -> Self {
        let mut bytes = [0; Extranonce2Size::MAX];
        let counted = size.bytes().min(Extranonce2Size::COUNTED);
        let digits = &counter.to_be_bytes()[Extranonce2Size::COUNTED - counted..];
        bytes[size.bytes() - counted..size.bytes()].copy_from_slice(digits);
        Self { bytes, len: size.0 }
    }

    /// From the bytes of a submit. Errors: more than 32.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ExtranonceError> {
        let size = Extranonce2Size::new(bytes.len() as i64)?;
        let mut padded = [0; Extranonce2Size::MAX];
        padded[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { bytes: padded, len: size.0 })
    }

    /// The bytes as they stand in the coinbase.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for Extranonce2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Extranonce2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Extranonce2({self})")
    }
}

/// Identifies what a value must not repeat within: the hash of all that a header takes from a job but extranonce2,
/// version bits and nonce. Two jobs of the same text share it, whatever their ids.
pub type WorkDigest = [u8; 32];

/// Hands out extranonce2 values that never repeat for the same work while the upstream lives: one counter that is
/// never reset, not by a clean job, a repeated job id, a new extranonce1 or a new connection. (Miners that reset it
/// per job sent duplicates whenever a pool repeated a job.)
///
/// A space that the counter has gone round entirely gives nothing more for that work.
#[derive(Debug, Default)]
pub struct Extranonce2Allocator {
    next: u128,
    /// Where the counter stood when each recent work was first served.
    first: VecDeque<(WorkDigest, u128)>,
}

/// Works remembered at once: more than the 16 jobs a pool keeps, times the ntime steps of a space of one value.
const WORKS_REMEMBERED: usize = 1024;

impl Extranonce2Allocator {
    /// An allocator whose first value is `start`: a random one keeps a session that a pool resumes for us after a
    /// restart from giving again what the run before has sent.
    pub fn starting_at(start: u128) -> Self {
        Self { next: start, ..Self::default() }
    }

    /// The next value for `work`, or `None` when its whole space has been handed out.
    pub fn allocate(&mut self, work: &WorkDigest, size: Extranonce2Size) -> Option<Extranonce2> {
        let first = self.first.iter().find(|(known, _)| known == work).map(|(_, first)| *first);
        let served = self.next.wrapping_sub(first.unwrap_or(self.next));
        if size.values().is_some_and(|values| served >= values) {
            return None;
        }
        if first.is_none() {
            if self.first.len() == WORKS_REMEMBERED {
                self.first.pop_front();
            }
            self.first.push_back((*work, self.next));
        }
        let value = Extranonce2::from_counter(self.next, size);
        self.next = self.next.wrapping_add(1);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_space_of_one_value_serves_one_board_once() {
        let mut allocator = Extranonce2Allocator::default();
        let none = Extranonce2Size::new(0).unwrap();
        assert_eq!(allocator.allocate(&[1; 32], none).unwrap().as_bytes(), b"");
        assert_eq!(allocator.allocate(&[1; 32], none), None);
        assert!(allocator.allocate(&[2; 32], none).is_some());
        assert_eq!(allocator.allocate(&[1; 32], none), None, "the first work comes back");
    }

    #[test]
    fn sizes_outside_0_to_32_are_refused() {
        assert_eq!(Extranonce2Size::new(33), Err(ExtranonceError::Extranonce2Size(33)));
        assert_eq!(Extranonce2Size::new(-1), Err(ExtranonceError::Extranonce2Size(-1)));
        assert!(Extranonce1::new(vec![0; 33]).is_err());
    }

    proptest! {
        #[test]
        fn no_value_repeats_within_a_work_however_jobs_alternate(
            size in 0i64..=2, picks in proptest::collection::vec(0u8..4, 1..900)
        ) {
            let size = Extranonce2Size::new(size).unwrap();
            let mut allocator = Extranonce2Allocator::default();
            let mut given = HashSet::new();
            for pick in picks {
                if let Some(value) = allocator.allocate(&[pick; 32], size) {
                    prop_assert!(given.insert((pick, value)), "{value} given twice for work {pick}");
                    prop_assert_eq!(value.as_bytes().len(), size.bytes());
                }
            }
        }

        #[test]
        fn a_value_survives_the_way_to_bytes_and_back(size in 0i64..=32, counter in any::<u128>()) {
            let value = Extranonce2::from_counter(counter, Extranonce2Size::new(size).unwrap());
            prop_assert_eq!(Extranonce2::from_bytes(value.as_bytes()).unwrap(), value);
        }
    }
}
