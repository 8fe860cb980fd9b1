//! Statistics as the pool saw them, counted from its own events.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::{
    difficulty::HASHES_PER_DIFFICULTY,
    event::{Event, Finder, PoolEvent},
    judge::{Reject, Verdict},
};

/// Ended connections that stay in the report.
const MOST_ENDED: usize = 64;

/// Counts of one connection, or of all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Shares that counted.
    pub accepted: u64,
    /// The sum of their jobs' difficulties.
    pub accepted_difficulty: f64,
    /// Shares that did not count, by reason.
    pub rejected: BTreeMap<Reject, u64>,
    /// The best share's own difficulty.
    pub best_share_difficulty: f64,
    /// Blocks found by the miner.
    pub blocks: u64,
    /// Jobs that made earlier ones stale.
    pub clean_jobs: u64,
    /// The other jobs.
    pub other_jobs: u64,
    /// Messages that set the difficulty, the first included.
    pub difficulty_changes: u64,
}

impl Tally {
    /// Shares of all reasons that did not count.
    pub fn rejected_shares(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Shares that a correct miner would not have sent: all rejected ones but the stale.
    pub fn invalid_shares(&self) -> u64 {
        self.rejected.iter().filter(|(reason, _)| reason.is_invalid()).map(|(_, count)| count).sum()
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::Share { verdict: Verdict::Accepted { difficulty, share_difficulty, .. }, .. } => {
                self.accepted += 1;
                self.accepted_difficulty += difficulty.value();
                self.best_share_difficulty = self.best_share_difficulty.max(share_difficulty.value());
            }
            Event::Share { verdict: Verdict::Rejected { reason }, .. } => {
                *self.rejected.entry(*reason).or_default() += 1;
            }
            Event::Block { finder: Finder::Miner, .. } => self.blocks += 1,
            Event::Job { clean: true, .. } => self.clean_jobs += 1,
            Event::Job { clean: false, .. } => self.other_jobs += 1,
            Event::Difficulty { .. } => self.difficulty_changes += 1,
            _ => {}
        }
    }

    /// Hashes per second, for work done from `first_job` to `end`.
    fn hash_rate(&self, first_job: Option<f64>, end: f64) -> f64 {
        match first_job {
            Some(start) if end > start => self.accepted_difficulty * HASHES_PER_DIFFICULTY / (end - start),
            _ => 0.0,
        }
    }
}

/// One connection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConnectionReport {
    /// Its number, counted from 1.
    pub connection: u64,
    /// The name the miner's program gave.
    pub agent: String,
    /// The first user that was authorized.
    pub user: Option<String>,
    /// Hashes per second since its first job, from the accepted shares.
    pub hash_rate: f64,
    /// Why it ended, if it did.
    pub ended: Option<String>,
    /// Its counts.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The whole pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolReport {
    /// Seconds since the pool started.
    pub seconds: f64,
    /// Hashes per second since the first job, from the accepted shares of all connections.
    pub hash_rate: f64,
    /// Blocks of "another miner".
    pub blocks_by_others: u64,
    /// Connections since the pool started, those that ended and are forgotten included.
    pub connected: u64,
    /// The counts of all connections.
    pub total: Tally,
    /// The present connections, and the last 64 that ended.
    pub connections: Vec<ConnectionReport>,
}

impl fmt::Display for PoolReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.total;
        write!(
            f,
            "{:.0} s, {} as measured from the accepted shares",
            self.seconds,
            rate_text(self.hash_rate)
        )?;
        if total.accepted > 0 {
            // Shares come at random: n of them tell a rate with a standard error of 1/√n.
            write!(f, " (± {:.0} %)", 100.0 / (total.accepted as f64).sqrt())?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "shares: {} accepted (difficulty {:.6}), {} rejected, best {:.3e}",
            total.accepted,
            total.accepted_difficulty,
            total.rejected_shares(),
            total.best_share_difficulty
        )?;
        for (reason, count) in &total.rejected {
            writeln!(f, "  {count} × {reason}")?;
        }
        writeln!(f, "blocks: {} found, {} by another miner", total.blocks, self.blocks_by_others)?;
        write!(f, "jobs: {} clean, {} not; ", total.clean_jobs, total.other_jobs)?;
        write!(f, "difficulty set {} times; connections: {}", total.difficulty_changes, self.connected)
    }
}

/// A hash rate in the unit that suits it.
pub(crate) fn rate_text(rate: f64) -> String {
    let units = ["H/s", "kH/s", "MH/s", "GH/s", "TH/s", "PH/s"];
    let (mut scaled, mut unit) = (rate, 0);
    while scaled >= 999.5 && unit + 1 < units.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", units[unit])
}

#[derive(Debug, Default)]
struct Entry {
    agent: String,
    user: Option<String>,
    first_job: Option<f64>,
    ended: Option<(f64, String)>,
    tally: Tally,
}

/// Reads the pool's events and can be asked for a report at any time.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: BTreeMap<u64, Entry>,
    total: Tally,
    first_job: Option<f64>,
    blocks_by_others: u64,
    connected: u64,
}

impl Ledger {
    pub(crate) fn note(&mut self, told: &PoolEvent) {
        self.total.count(&told.event);
        let is_job = matches!(told.event, Event::Job { .. });
        let first_job = is_job.then_some(told.seconds);
        self.first_job = self.first_job.or(first_job);
        let Some(connection) = told.connection else {
            self.blocks_by_others += u64::from(matches!(told.event, Event::Block { .. }));
            return;
        };
        let entry = self.entries.entry(connection).or_default();
        entry.first_job = entry.first_job.or(first_job);
        entry.tally.count(&told.event);
        match &told.event {
            Event::Connect => self.connected += 1,
            Event::Subscribe { agent, .. } => entry.agent.clone_from(agent),
            Event::Authorize { user, accepted: true } => _ = entry.user.get_or_insert_with(|| user.clone()),
            Event::Disconnect { reason } => {
                entry.ended = Some((told.seconds, reason.clone()));
                self.forget_the_oldest();
            }
            _ => {}
        }
    }

    fn forget_the_oldest(&mut self) {
        let ended =
            || self.entries.iter().filter(|(_, entry)| entry.ended.is_some()).map(|(&number, _)| number);
        if ended().count() > MOST_ENDED
            && let Some(oldest) = ended().next()
        {
            self.entries.remove(&oldest);
        }
    }

    pub(crate) fn report(&self, seconds: f64) -> PoolReport {
        let connections = self.entries.iter().map(|(&connection, entry)| {
            let end = entry.ended.as_ref().map_or(seconds, |(end, _)| *end);
            ConnectionReport {
                connection,
                agent: entry.agent.clone(),
                user: entry.user.clone(),
                hash_rate: entry.tally.hash_rate(entry.first_job, end),
                ended: entry.ended.as_ref().map(|(_, reason)| reason.clone()),
                tally: entry.tally.clone(),
            }
        });
        PoolReport {
            seconds,
            hash_rate: self.total.hash_rate(self.first_job, seconds),
            blocks_by_others: self.blocks_by_others,
            connected: self.connected,
            total: self.total.clone(),
            connections: connections.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_written_in_the_unit_that_suits_it() {
        let texts = [0.0, 999.4, 12_345.0, 999_600.0, 4.816e6, 1.2e12].map(rate_text);
        assert_eq!(texts, ["0.0 H/s", "999.4 H/s", "12.3 kH/s", "1.0 MH/s", "4.8 MH/s", "1.2 TH/s"]);
    }
    use crate::pool::difficulty::Difficulty;

    fn told(seconds: f64, connection: u64, event: Event) -> PoolEvent {
        PoolEvent { seconds, connection: Some(connection), event }
    }

    fn job() -> Event {
        Event::Job { job_id: "a".to_owned(), height: 1, clean: true, branches: 0 }
    }

    fn share(verdict: Verdict) -> Event {
        Event::Share { job_id: "a".to_owned(), verdict }
    }

    #[test]
    fn the_hash_rate_counts_from_the_first_job_to_now_or_to_the_end_of_the_connection() {
        let difficulty = Difficulty::ONE;
        let accepted = Verdict::Accepted { difficulty, share_difficulty: difficulty, block: false };
        let mut ledger = Ledger::default();
        ledger.note(&told(10.0, 1, job()));
        ledger.note(&told(12.0, 1, share(accepted)));
        ledger.note(&told(14.0, 1, Event::Disconnect { reason: "gone".to_owned() }));
        let report = ledger.report(20.0);
        assert!((report.hash_rate - HASHES_PER_DIFFICULTY / 10.0).abs() < 1.0);
        assert!((report.connections[0].hash_rate - HASHES_PER_DIFFICULTY / 4.0).abs() < 1.0);
    }

    #[test]
    fn a_stale_share_is_rejected_but_not_invalid_and_reasons_are_written_as_words() {
        let mut ledger = Ledger::default();
        for reason in [Reject::Stale, Reject::Stale, Reject::LowDifficulty] {
            ledger.note(&told(1.0, 1, share(Verdict::Rejected { reason })));
        }
        let total = ledger.report(2.0).total;
        assert_eq!((total.rejected_shares(), total.invalid_shares()), (3, 1));
        let written = serde_json::to_value(&total).unwrap();
        assert_eq!(written["rejected"], serde_json::json!({ "stale": 2, "low_difficulty": 1 }));
    }

    #[test]
    fn ended_connections_are_forgotten_one_by_one_and_the_total_remembers() {
        let mut ledger = Ledger::default();
        for connection in 1..=100 {
            ledger.note(&told(0.0, connection, Event::Connect));
            ledger.note(&told(1.0, connection, job()));
            ledger.note(&told(2.0, connection, Event::Disconnect { reason: String::new() }));
        }
        let report = ledger.report(3.0);
        assert_eq!((report.connections.len(), report.total.clean_jobs), (MOST_ENDED, 100));
        assert_eq!(report.connections[0].connection, 37);
        assert!(report.to_string().ends_with("connections: 100"), "{report}");
    }
}
