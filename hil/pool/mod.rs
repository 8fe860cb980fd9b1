//! The practice pool: a strict Stratum V1 pool on a loopback port, with a chain of its own, that judges a miner
//! from outside. Its arithmetic is of another hand than the miner's: nothing here depends on signalcore.
//!
//! A share's way: `server` (sockets) → `line` → `session` → `book` → `judge` → `practice` (the chain moves, the
//! others get work) → `session` → `server`; `report` counts what passes.

mod book;
mod chain;
mod difficulty;
mod event;
mod judge;
pub(crate) mod line;
mod message;
mod practice;
mod report;
mod retarget;
mod server;
mod session;
mod template;
mod vardiff;

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

pub use difficulty::{Difficulty, HASHES_PER_DIFFICULTY, NotADifficulty};
pub use event::{Event, Finder, PoolEvent};
pub use judge::{Reject, Verdict};
pub(crate) use report::rate_text;
pub use report::{ConnectionReport, PoolReport, Tally};
pub use server::PracticePool;
pub use vardiff::VardiffConfig;

/// Settings of the practice pool; the default suits a demonstration on one computer.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolConfig {
    /// Where to listen; a loopback address, port 0 for any free one.
    pub listen: SocketAddr,
    /// A job with new transactions comes this often.
    pub job_every: Duration,
    /// The chain's difficulty aims at a block this often; "another miner" finds one after twice that without any.
    pub block_every: Duration,
    /// Share difficulty.
    pub vardiff: VardiffConfig,
    /// Bytes of extranonce2, 2 to 16.
    pub extranonce2_size: usize,
    /// User names that are not let in.
    pub refused_users: Vec<String>,
    /// Shares are answered this much later.
    pub answer_delay: Duration,
    /// The same seed makes the same chain, and on the same port of `listen` the same session ids and extranonces.
    pub seed: u64,
}

impl Default for PoolConfig {
    fn default() -> Self {
        let difficulty = |value| Difficulty::new(value).expect("a positive constant");
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            job_every: Duration::from_secs(3),
            block_every: Duration::from_secs(10),
            vardiff: VardiffConfig {
                start: difficulty(0.001),
                lowest: difficulty(1e-8),
                highest: difficulty(1e12),
                share_every: Duration::from_millis(1500),
            },
            extranonce2_size: 4,
            refused_users: Vec::new(),
            answer_delay: Duration::ZERO,
            seed: 1,
        }
    }
}

/// Settings that make no pool.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PoolConfigError {
    /// The practice pool is not for other computers.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// An extranonce2 that a miner could not roll, or that no scriptSig could hold.
    #[error("an extranonce2 of {0} bytes: it has to be 2 to 16")]
    Extranonce2Size(usize),
    /// Jobs, blocks or shares without a pause between them.
    #[error("jobs, blocks and shares have to be at least 10 ms apart, and at most a day")]
    Interval,
    /// An answer that nobody would wait for.
    #[error("answers delayed by {0:?}: a day is the most")]
    AnswerDelay(Duration),
    /// No difficulty lies between the limits.
    #[error("the lowest difficulty {lowest} is above the highest {highest}")]
    Limits {
        /// As configured.
        lowest: Difficulty,
        /// As configured.
        highest: Difficulty,
    },
}

impl PoolConfig {
    /// Errors: `PoolConfigError` for the first setting that is out of its range.
    pub fn check(&self) -> Result<(), PoolConfigError> {
        let intervals = Duration::from_millis(10)..=Duration::from_hours(24);
        let VardiffConfig { lowest, highest, share_every, .. } = self.vardiff;
        if !self.listen.ip().is_loopback() {
            return Err(PoolConfigError::NotLoopback(self.listen));
        }
        if !(2..=16).contains(&self.extranonce2_size) {
            return Err(PoolConfigError::Extranonce2Size(self.extranonce2_size));
        }
        if ![self.job_every, self.block_every, share_every].iter().all(|every| intervals.contains(every)) {
            return Err(PoolConfigError::Interval);
        }
        if self.answer_delay > *intervals.end() {
            return Err(PoolConfigError::AnswerDelay(self.answer_delay));
        }
        if lowest > highest {
            return Err(PoolConfigError::Limits { lowest, highest });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_fit_and_each_limit_is_watched() {
        let good = PoolConfig::default();
        assert_eq!(good.check(), Ok(()));
        let listen = SocketAddr::from(([192, 168, 0, 1], 3333));
        assert_eq!(
            PoolConfig { listen, ..good.clone() }.check(),
            Err(PoolConfigError::NotLoopback(listen)),
            "the pool stays on this computer"
        );
        let sized = |extranonce2_size| PoolConfig { extranonce2_size, ..PoolConfig::default() }.check();
        assert_eq!((sized(1), sized(16)), (Err(PoolConfigError::Extranonce2Size(1)), Ok(())));
        let idle = PoolConfig { job_every: Duration::ZERO, ..good };
        assert_eq!(idle.check(), Err(PoolConfigError::Interval));
    }
}
