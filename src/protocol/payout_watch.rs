//! Whether the jobs of a pool pay whom they should: a payout that is swapped on the way is the quietest theft. Check 11000 of
//! the staged ones, here because the session leaves the pool for it.

use std::collections::BTreeSet;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network};
use sha2::{Digest, Sha256};

use crate::work::Coinbase;
use crate::work::payout::{CoinbaseError, Expected, Payouts, network};

/// Scripts that are remembered of a pool, as hashes: 128 KiB. A pool that shares each block among its miners may have a
/// thousand in each job; past this the newest job's alone are kept.
const MAX_SCRIPTS: usize = 4096;
/// What may stand behind an address in a user name: the worker, or what the pool shall do.
const ENDS_OF_ADDRESS: [char; 3] = ['.', '_', '+'];

/// Whom the operator expects a pool's jobs to pay.
#[derive(Debug, Clone, PartialEq)]
pub struct PayoutTerms {
    /// Any of these; empty when nobody was named.
    pub addresses: Vec<Address>,
    /// The part of the outputs that has to go there. Unit: above 0, at most 1.
    pub min_share: f64,
}

impl PayoutTerms {
    /// The network of the addresses: of those named, or of that in the user name.
    pub fn network(&self, user: &str) -> Network {
        self.addresses
            .first()
            .map(network)
            .or_else(|| Some(network(&address_of(user)?)))
            .unwrap_or(Network::Bitcoin)
    }
}

/// Why a job is refused, and its pool left.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PayoutError {
    /// It pays others.
    #[error(
        "quarantined: its job pays {}, so {} % to {expected}, who shall get {} %",
        seen.shown(expected.network()),
        percent(expected.part_of(seen)),
        percent(expected.min_part())
    )]
    Elsewhere {
        /// Whom it pays.
        seen: Payouts,
        /// Whom it should.
        expected: Expected,
    },
    /// Whom it pays cannot be told.
    #[error("quarantined: nobody can tell whether its job pays {expected}: {error}")]
    Unreadable {
        /// Why.
        error: CoinbaseError,
        /// Whom it should pay.
        expected: Expected,
    },
}

/// What the operator is to hear about a job that is mined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// Whom the pool pays, where that is kept an eye on.
    Pays(String),
    /// Something is strange.
    Complaint(String),
}

/// What a remark is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    Pays,
    Unreadable,
    Strangers,
}

#[derive(Debug)]
enum Rule {
    /// Every job has to pay them.
    Bound(Expected),
    /// Whoever is paid, it should be somebody known.
    Known {
        /// The user by the address in the name, until the first job: a pool that pays it is a solo pool, and stays one.
        solo: Option<Expected>,
        /// Hashes of the scripts seen; empty before the first job.
        scripts: BTreeSet<[u8; 32]>,
    },
}

/// The watch over one pool, over all its connections.
#[derive(Debug)]
pub(super) struct PayoutWatch {
    rule: Rule,
    network: Network,
    /// What this connection has had told of it: once each says enough.
    told: Vec<Topic>,
}

impl PayoutWatch {
    pub(super) fn new(terms: &PayoutTerms, user: &str) -> Self {
        let expected = |addresses| Expected::new(addresses, terms.min_share);
        let rule = if terms.addresses.is_empty() {
            let solo = address_of(user).map(|address| expected(vec![address]));
            Rule::Known { solo, scripts: BTreeSet::new() }
        } else {
            Rule::Bound(expected(terms.addresses.clone()))
        };
        Self { rule, network: terms.network(user), told: Vec::new() }
    }

    /// A new connection. What is known of the pool stays: that somebody else answers for it is what we watch for.
    pub(super) fn connected(&mut self) {
        self.told.clear();
    }

    /// Judges the next job. Errors: it must not be mined.
    pub(super) fn judge(&mut self, coinbase: &Coinbase) -> Result<Option<Remark>, PayoutError> {
        let payouts = Payouts::of(coinbase);
        if let Rule::Known { solo, .. } = &mut self.rule
            && let Some(user) = solo.take()
            && payouts.as_ref().is_ok_and(|payouts| user.are_met_by(payouts))
        {
            self.rule = Rule::Bound(user);
        }
        let remark = match &mut self.rule {
            Rule::Bound(expected) => Some((Topic::Pays, Remark::Pays(bound(expected, payouts)?))),
            Rule::Known { scripts, .. } => known(scripts, payouts, self.network)
                .map(|(topic, complaint)| (topic, Remark::Complaint(complaint))),
        };
        let Some((topic, remark)) = remark.filter(|(topic, _)| !self.told.contains(topic)) else {
            return Ok(None);
        };
        self.told.push(topic);
        Ok(Some(remark))
    }
}

/// What to say of a job that pays those it has to. Errors: it does not.
fn bound(expected: &Expected, payouts: Result<Payouts, CoinbaseError>) -> Result<String, PayoutError> {
    let seen = payouts.map_err(|error| PayoutError::Unreadable { error, expected: expected.clone() })?;
    if !expected.are_met_by(&seen) {
        return Err(PayoutError::Elsewhere { seen, expected: expected.clone() });
    }
    let (part, least) = (percent(expected.part_of(&seen)), percent(expected.min_part()));
    Ok(format!("pays {part} % of {} to {expected}; a job with less than {least} % is refused", seen.total()))
}

/// What is strange about a job that may pay anybody known; its scripts are known from now on.
fn known(
    scripts: &mut BTreeSet<[u8; 32]>,
    payouts: Result<Payouts, CoinbaseError>,
    network: Network,
) -> Option<(Topic, String)> {
    let seen = match payouts {
        Ok(seen) => seen,
        Err(error) => {
            return Some((Topic::Unreadable, format!("whom its job pays cannot be told: {error}")));
        }
    };
    let paid = seen.paid_scripts().take(MAX_SCRIPTS);
    let paid: Vec<[u8; 32]> = paid.map(|script| Sha256::digest(script.as_bytes()).into()).collect();
    let is_strange = !scripts.is_empty() && !paid.iter().any(|script| scripts.contains(script));
    if scripts.len() + paid.len() > MAX_SCRIPTS {
        scripts.clear();
    }
    scripts.extend(paid);
    is_strange.then(|| {
        (
            Topic::Strangers,
            format!("its job pays nobody whom its jobs paid before, but {}", seen.shown(network)),
        )
    })
}

/// The address that a user name begins with.
pub(super) fn address_of(user: &str) -> Option<Address> {
    let address = user.split(ENDS_OF_ADDRESS).next()?;
    Some(address.parse::<Address<NetworkUnchecked>>().ok()?.assume_checked())
}

/// A part of one in percent, to a hundredth and never more than it is.
fn percent(part: f64) -> f64 {
    // Nine digits hide what the arithmetic adds: 0.07 * 1e4 is more than 700.
    let hundredths = (part * 1e13).round() / 1e9;
    hundredths.floor() / 1e2
}

#[cfg(test)]
mod tests;
