//! What boards find: hashes to the account of whom they were done for, nonces to shares.

use std::time::Instant;

use signalcore_drivers::ChipJobId;

use super::gate::origin;
use super::{Action, BoardId, BoardReport, Engine, Report, UpstreamId};
use crate::validate::digest::intact;
use crate::work::{Answered, NotAShare, Outcome, Share};

impl Engine {
    pub(super) fn handle_hashes(&mut self, board: BoardId, hashes: u64, now: Instant) {
        let Some(place) = self.boards.get_mut(&board) else { return };
        place.counts.hashes += hashes;
        place.rate.count(hashes, now);
        if let Some(upstream) = place.hashing_for {
            self.ledger.count(upstream, hashes);
            self.upstreams.find_mut(upstream).account.hashes += hashes;
            self.count_chances(board, upstream, hashes, now);
        }
    }

    pub(super) fn handle_nonce(
        &mut self,
        board: BoardId,
        job: ChipJobId,
        nonce: u32,
        version: u32,
        now: Instant,
    ) {
        let Some(dispatched) = self.in_flight.find(board, job) else {
            self.count(board, |counts| counts.unknown += 1);
            return;
        };
        if !dispatched.is_new(nonce, version) {
            self.count(board, |counts| counts.duplicates += 1);
            return;
        }
        let upstream = dispatched.upstream;
        let stamp = dispatched.stamp;
        let verdict = dispatched.work.verify(version, nonce);
        let chip_target = dispatched.chip_target;
        let is_of_board = match &verdict {
            Ok(_) => true,
            Err(NotAShare::AboveTarget(hash)) => chip_target.is_met_by(hash),
            Err(_) => false,
        };
        if let Some(place) = self.boards.get_mut(&board).filter(|_| is_of_board) {
            let a_second = place.likely_rate(now).finds(&chip_target);
            place.flush.found(job, a_second, now);
        }
        match verdict {
            Ok(share) => {
                let job = share.job();
                let changed = stamp.and_then(|stamp| intact(job, origin(upstream, job), &stamp).err());
                let solves_block = share.solves_block();
                if let Some(changed) = &changed {
                    self.distrust(upstream, changed, now);
                }
                if solves_block {
                    self.count_block(board, upstream, &share, now);
                }
                // A block is worth sending also with a fault: nothing is lost by it.
                if changed.is_none() || solves_block {
                    self.handle_share(board, upstream, Box::new(share), now);
                }
            }
            // Good enough for the board's own target: it shows that the board works, no more.
            Err(NotAShare::AboveTarget(_)) if is_of_board => {}
            Err(error) => {
                self.count(board, |counts| counts.hardware_errors += 1);
                self.report(Report::Board(board, BoardReport::HardwareError(error)));
            }
        }
    }

    pub(super) fn handle_share(
        &mut self,
        board: BoardId,
        upstream: UpstreamId,
        mut share: Box<Share>,
        now: Instant,
    ) {
        self.count(board, |counts| counts.shares += 1);
        let is_stale = self.upstreams.find(upstream).is_stale(share.job().epoch);
        if self.upstreams.find(upstream).tolerates(share.job().epoch) {
            share.tolerate();
        }
        if is_stale && !share.solves_block() {
            self.upstreams.sent(upstream, *share.hash(), board, now);
            self.handle_answer(upstream, Answered { share, outcome: Outcome::Stale, latency: None }, now);
        } else if share.solves_block() || self.throttle.allows(now) {
            self.upstreams.sent(upstream, *share.hash(), board, now);
            self.value_sent(upstream, &share, now);
            self.review_at = self.upstreams.next_change(now);
            self.outbox.push_back(Action::Submit(upstream, share));
        } else {
            self.count(board, |counts| counts.filtered += 1);
        }
    }
}
