//! What a chip reports, proved: only a nonce whose hash was computed here goes up.

use super::answer::RawNonce;
use super::job::JobRing;
use super::ticket::Ticket;
use crate::ChipJobId;
use crate::cpu::proof;

/// What became of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its hash is what its chip was asked for.
    Good(Proved),
    /// Its hash is of difficulty 1, but easier than the chip was asked for: it has missed a write of the ticket mask.
    BelowTicket(Proved),
    /// No job with its number makes such a hash: the chip has computed wrongly, or its answer was damaged in a way that
    /// the checksum does not show.
    HardwareError,
    /// No job with its number is known any more.
    Stale,
    /// It was here before. When all that come are, the job is used up; when those of several chips are the same, they
    /// share an address.
    Duplicate,
}

/// A nonce whose hash was computed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proved {
    job: ChipJobId,
    nonce: u32,
    version: u32,
    hash: [u8; 32],
    ticket: Ticket,
    meets_target: bool,
}

impl Proved {
    /// The job that it is for.
    pub fn job(&self) -> ChipJobId {
        self.job
    }

    /// Number at header offset 76.
    pub fn nonce(&self) -> u32 {
        self.nonce
    }

    /// Header version, rolled bits included.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The header's hash, as it comes out.
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// How hard it had to be to be reported: each such nonce stands for [`Ticket::hashes`].
    pub fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// Whether its job asks for it.
    pub fn meets_target(&self) -> bool {
        self.meets_target
    }
}

/// Judges a nonce. Shape: the jobs of the chain, and its ticket of the moment. Where that is easier than the job's own was,
/// it counts: the chips report by the newest.
pub fn judge(ring: &mut JobRing, raw: &RawNonce, ticket: Ticket) -> Verdict {
    let origin = ring.chip().origin(raw.nonce, raw.tag);
    let nonce = u32::from_le_bytes(raw.nonce);
    let mut is_known = false;
    for sent in ring.with_number(origin.job_number) {
        is_known = true;
        let Some(version) = sent.version_of(raw.version, origin.sub_core) else { continue };
        let hash = sent.hash(version, nonce);
        if !ticket.is_ever_met_by(&hash) {
            continue;
        }
        if !sent.is_new(version, nonce) {
            return Verdict::Duplicate;
        }
        let ticket = ticket.min(sent.ticket);
        let meets_target = proof::meets_target(&hash, &sent.job.target);
        let proved = Proved { job: sent.job.id, nonce, version, hash, ticket, meets_target };
        let is_good = ticket.is_met_by(&hash);
        return if is_good { Verdict::Good(proved) } else { Verdict::BelowTicket(proved) };
    }
    if is_known { Verdict::HardwareError } else { Verdict::Stale }
}
