//! Version rolling: which bits may change, and how a submit names them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Version bits that an upstream lets us roll (BIP 310). Never holds bits that BIP 323 leaves to others.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionMask(u32);

/// Bits that no pool may hand out: 31 to 29 carry 001 for BIP 9 signalling, and a negative version is invalid; 4 to 0 are
/// outside what BIP 323 gives to miners, the widest there is.
const NEVER_ROLLED: u32 = 0xe000_001f;

impl VersionMask {
    /// No rolling.
    pub const NONE: Self = Self(0);

    /// What we ask a pool for: the 16 bits of BIP 320.
    pub const BIP320: Self = Self(0x1fff_e000);

    /// The mask less the bits that must never be rolled.
    pub fn new(mask: u32) -> Self {
        Self(mask & !NEVER_ROLLED)
    }

    /// The bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The bits that may be set on top of a job's version: those of the mask that are 0 there. Setting only such bits
    /// means the same header to pools that OR, XOR or replace.
    pub fn rollable(self, job_version: u32) -> u32 {
        self.0 & !job_version
    }

    /// The sixth parameter of a submit for a header version, as the pool reads it.
    pub fn submitted(self, convention: VersionConvention, job_version: u32, header_version: u32) -> u32 {
        match convention {
            VersionConvention::Field => header_version & self.0,
            VersionConvention::Delta => (header_version ^ job_version) & self.0,
        }
    }

    /// Whether the conventions differ for a job of this version.
    pub fn tells_conventions_apart(self, job_version: u32) -> bool {
        self.0 & job_version != 0
    }
}

impl fmt::Display for VersionMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for VersionMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VersionMask({self})")
    }
}

/// What a submit says of the version. All pools read both alike while the job's own version is 0 inside the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionConvention {
    /// The header's bits inside the mask, as BIP 310 says. Right for pools that replace the masked bits or OR them in.
    #[default]
    Field,
    /// The bits that differ from the job's. Right for pools that XOR them in, or OR.
    Delta,
}

impl VersionConvention {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Field => Self::Delta,
            Self::Delta => Self::Field,
        }
    }
}

/// How a pool puts the version bits of a submit into the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionRule {
    /// Header version = job version: rolling was not agreed.
    None,
    /// Job OR bits.
    Or,
    /// Job XOR bits.
    Xor,
    /// (Job AND NOT mask) OR (bits AND mask), as BIP 310 says.
    Replace,
}

impl VersionRule {
    /// The header version that a pool with this rule rebuilds.
    pub fn header_version(self, job_version: u32, mask: VersionMask, bits: u32) -> u32 {
        match self {
            Self::None => job_version,
            Self::Or => job_version | bits,
            Self::Xor => job_version ^ bits,
            Self::Replace => (job_version & !mask.bits()) | (bits & mask.bits()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_pool_rebuilds_the_header_we_hashed_from_what_its_convention_says(job in any::<u32>(), mask in any::<u32>(), roll in any::<u32>()) {
            let mask = VersionMask::new(mask);
            let header = job | (roll & mask.rollable(job));
            let [field, delta] = [VersionConvention::Field, VersionConvention::Delta]
                .map(|convention| mask.submitted(convention, job, header));
            prop_assert_eq!((field | delta) & !mask.bits(), 0);
            for rule in [VersionRule::Or, VersionRule::Replace] {
                prop_assert_eq!(rule.header_version(job, mask, field), header);
            }
            for rule in [VersionRule::Or, VersionRule::Xor] {
                prop_assert_eq!(rule.header_version(job, mask, delta), header);
            }
            prop_assert_eq!(field != delta, mask.tells_conventions_apart(job));
        }

        #[test]
        fn only_the_bits_of_bip_323_are_ever_rolled(mask in any::<u32>(), job in any::<u32>()) {
            prop_assert_eq!(VersionMask::new(mask).rollable(job) & !0x1fff_ffe0, 0);
        }
    }
}
