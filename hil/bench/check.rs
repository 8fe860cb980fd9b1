//! The checks, by name: from what was seen to a verdict with its figure and its limit.

use serde_json::{Map, Value, json};

use super::{
    evidence::{Counts, Evidence, Run},
    spec::Board,
};
use crate::pool::rate_text;

/// What has to be done for a check. Several checks share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// `signalcore devices`.
    Listing,
    /// A job whose nonce is known.
    KnownNonce,
    /// Mining for the practice pool.
    Load,
    /// Unplugging and plugging in.
    Replug,
    /// Mining for long.
    Soak,
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// As `--check` and bench files name it.
    pub name: &'static str,
    /// What it finds out.
    pub about: &'static str,
    /// What it needs.
    pub phase: Phase,
    judge: fn(&Board, &Evidence) -> Finding,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed,
    /// Not made.
    Skipped,
}

/// A verdict with its reasons.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The verdict.
    pub status: Status,
    /// What was measured, for a person.
    pub measured: String,
    /// What it was held against.
    pub limit: String,
    /// Why it failed or was skipped.
    pub reason: String,
    /// The same for programs.
    pub figures: Map<String, Value>,
}

/// All checks, in the order in which they are reported.
pub static CHECKS: &[Check] = &[
    Check {
        name: "enumerate",
        about: "the miner lists the ports of the board",
        phase: Phase::Listing,
        judge: enumerate,
    },
    Check {
        name: "identify",
        about: "the driver finds the chips that the bench file names",
        phase: Phase::Load,
        judge: identify,
    },
    Check {
        name: "known-nonce",
        about: "a job that leads to the genesis block brings the nonce of 2009",
        phase: Phase::KnownNonce,
        judge: known_nonce,
    },
    Check {
        name: "hash-rate",
        about: "the shares that the pool took prove the nominal hash rate",
        phase: Phase::Load,
        judge: |board, evidence| run(evidence.load.as_ref(), |run| hash_rate(board, run)),
    },
    Check {
        name: "hardware-errors",
        about: "few nonces of the board hash to nothing, and few answers come damaged",
        phase: Phase::Load,
        judge: |board, evidence| run(evidence.load.as_ref(), |run| hardware_errors(board, run)),
    },
    Check {
        name: "thermal",
        about: "the chips stay cool enough under load, and keep their power and their frequency",
        phase: Phase::Load,
        judge: |board, evidence| run(evidence.load.as_ref(), |run| thermal(board, run)),
    },
    Check {
        name: "pool-shares",
        about: "the pool hashes every share again and finds none invalid",
        phase: Phase::Load,
        judge: |_, evidence| run(evidence.load.as_ref(), pool_shares),
    },
    Check {
        name: "replug",
        about: "a board that leaves the bus is missed, and mines again when it is back",
        phase: Phase::Replug,
        judge: replug,
    },
    Check {
        name: "soak",
        about: "all of this holds for long: rate, shares, no silence, no loss of the board",
        phase: Phase::Soak,
        judge: |board, evidence| run(evidence.soak.as_ref(), |run| soak(board, run)),
    },
];

impl Check {
    /// The check of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        CHECKS.iter().find(|check| check.name == name)
    }

    /// All names.
    pub fn names() -> String {
        CHECKS.iter().map(|check| check.name).collect::<Vec<_>>().join(", ")
    }

    /// The verdict.
    pub fn judge(&self, board: &Board, evidence: &Evidence) -> Finding {
        (self.judge)(board, evidence)
    }
}

impl Finding {
    fn new(good: bool, measured: impl Into<String>, limit: impl Into<String>) -> Self {
        let status = if good { Status::Passed } else { Status::Failed };
        Self {
            status,
            measured: measured.into(),
            limit: limit.into(),
            reason: String::new(),
            figures: Map::new(),
        }
    }

    /// Not made, and why.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self { status: Status::Skipped, reason: reason.into(), ..Self::new(true, "", "") }
    }

    fn failed(reason: impl Into<String>, measured: impl Into<String>, limit: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..Self::new(false, measured, limit) }
    }

    /// The reason counts only for what failed.
    fn because(mut self, reason: impl FnOnce() -> String) -> Self {
        if self.status == Status::Failed && self.reason.is_empty() {
            self.reason = reason();
        }
        self
    }

    fn with(mut self, figures: Value) -> Self {
        if let Value::Object(figures) = figures {
            self.figures.extend(figures);
        }
        self
    }
}

/// A judgement of a run that took place and was not cut short.
fn run(run: Option<&Run>, judge: impl FnOnce(&Run) -> Finding) -> Finding {
    match run {
        None => Finding::skipped("it was not come to: a signal ended the run"),
        Some(run) if run.interrupted && run.measured_seconds <= 0.0 => {
            Finding::skipped("nothing was measured before a signal ended the run")
        }
        Some(run) => judge(run).with(json!({ "interrupted": run.interrupted })),
    }
}

fn enumerate(board: &Board, evidence: &Evidence) -> Finding {
    if board.played().is_some() {
        return Finding::skipped("virtual: pseudo-terminals are no serial ports");
    }
    let Some(listing) = &evidence.listing else {
        return Finding::skipped("it was not come to: a signal ended the run");
    };
    let (listed, missing): (Vec<_>, Vec<_>) =
        board.ports().iter().partition(|port| listing.listed.contains(port.as_path()));
    let measured = format!("{} of {} ports listed", listed.len(), board.ports().len());
    Finding::new(missing.is_empty(), measured, "all").because(|| match (&listing.fault, missing.first()) {
        (Some(fault), _) => format!("`signalcore devices` failed: {fault}"),
        (None, Some(port)) => {
            format!("`signalcore devices` does not list {}: plug the board in", port.display())
        }
        (None, None) => String::new(),
    })
}

fn identify(board: &Board, evidence: &Evidence) -> Finding {
    run(evidence.load.as_ref(), |run| {
        let detail = run.detail.as_deref().unwrap_or("no board");
        let chips = board.played().map_or(0, |played| played.config.chips);
        // A device of the Icarus family shows no chips.
        let addressed = run.chips.len();
        let all_addressed = addressed == 0 && run.accepted > 0 || addressed >= chips;
        let is_it = detail.contains(&board.identity);
        let answers = run.accepted > 0;
        let measured = match (answers, addressed) {
            (false, 0) => format!("{detail}; no nonce"),
            (false, addressed) => format!("{detail}; {addressed} chips addressed, no nonce"),
            (true, 0) => detail.to_owned(),
            (true, addressed) => format!("{detail}; {addressed} chips addressed"),
        };
        let limit =
            if chips > 1 { format!("{}, {chips} chips", board.identity) } else { board.identity.clone() };
        Finding::new(is_it && answers && all_addressed, measured, limit).because(|| {
            if !is_it {
                format!("the miner does not find a {}: {}", board.identity, run.trouble())
            } else if answers {
                format!("{addressed} of {chips} chips took an address")
            } else {
                format!("the board answered with no nonce: {}", run.trouble())
            }
        })
    })
}

fn known_nonce(board: &Board, evidence: &Evidence) -> Finding {
    let Some(known) = &evidence.known else {
        return Finding::skipped("it was not come to: a signal ended the run");
    };
    let limit = format!("nonce 7c2bac1d within {:.0} s", board.limits.known_nonce_seconds);
    let figures = json!({ "attempts": known.attempts, "seconds": known.found_after });
    let wrong = known.wrong.first();
    let finding = match (known.found_after, wrong) {
        (_, Some(wrong)) => {
            Finding::failed(format!("the miner sent a wrong share: {wrong}"), "a wrong share", limit)
        }
        (Some(after), None) => {
            Finding::new(true, format!("found after {after:.1} s, attempt {}", known.attempts), limit)
        }
        (None, None) => {
            let said = known.complaints.last().map_or("the miner complained of nothing".to_owned(), |said| {
                format!("the miner says: {said}")
            });
            let reason = format!("the board did not find what stands in the genesis block; {said}");
            Finding::failed(reason, format!("not found in {} attempts", known.attempts), limit)
        }
    };
    finding.with(figures)
}

fn hash_rate(board: &Board, run: &Run) -> Finding {
    let (nominal, percent) = (board.expected_rate(), board.limits.hash_rate_percent);
    let limit = format!("{} ± {percent} %", rate_text(nominal));
    let Some(rate) = run.rate().filter(|_| run.measured_shares > 0) else {
        return Finding::failed(format!("no share while measuring: {}", run.trouble()), "no share", limit);
    };
    let part = |value: f64| 100.0 * value / nominal;
    let (low, high) = (part(rate.interval.low), part(rate.interval.high));
    let measured = format!("{} = {:.0} % [{low:.0}, {high:.0}]", rate_text(rate.rate), part(rate.rate));
    let figures = json!({
        "hash_rate": rate.rate, "low": rate.interval.low, "high": rate.interval.high, "nominal": nominal,
        "shares": run.measured_shares, "seconds": run.measured_seconds,
    });
    let blur = rate.blur_percent(nominal);
    let finding = if !rate.may_be_within(percent, nominal) {
        let reason = format!(
            "the whole 95 % interval of {} shares in {:.0} s lies outside; {}",
            run.measured_shares,
            run.measured_seconds,
            run.trouble()
        );
        Finding::failed(reason, measured, limit)
    } else if blur > percent {
        let reason = format!(
            "{} shares tell a rate to ± {blur:.0} % only; raise limits.load_seconds",
            run.measured_shares
        );
        Finding::failed(reason, measured, limit)
    } else {
        Finding::new(true, measured, limit)
    };
    finding.with(figures)
}

fn hardware_errors(board: &Board, run: &Run) -> Finding {
    let limit = format!("{} %", board.limits.hardware_error_percent);
    let Some(counts) = run.counts else {
        return Finding::failed(
            format!("the miner gave no figures of the board: {}", run.trouble()),
            "",
            limit,
        );
    };
    let (wrong, all) = (counts.wrong(), counts.answers());
    if all == 0 {
        return Finding::failed(format!("the board reported no nonce: {}", run.trouble()), "no nonce", limit);
    }
    let percent = 100.0 * wrong as f64 / all as f64;
    let Counts { hardware_errors, damaged, .. } = counts;
    let measured = format!("{percent:.2} %: {hardware_errors} wrong, {damaged} damaged of {all} answers");
    Finding::new(percent <= board.limits.hardware_error_percent, measured, limit)
        .because(|| {
            if damaged > hardware_errors {
                "too many answers come damaged: look at the line, its speed and its ground, and for a chip that says nonsense".to_owned()
            } else {
                "too many nonces hash to nothing: look at voltage, frequency, heat and the line".to_owned()
            }
        })
        .with(json!({
            "hardware_errors": hardware_errors, "damaged": damaged, "answers": all, "percent": percent,
        }))
}

fn thermal(board: &Board, run: &Run) -> Finding {
    let heat = &run.heat;
    if heat.readings == 0 {
        return Finding::skipped("nobody tells its temperature");
    }
    let limit = format!("{:.0} °C", board.limits.celsius);
    let fan = heat.fan_percent.map_or(String::new(), |percent| format!(", fan up to {percent:.0} %"));
    let measured = format!("{:.0} °C at most{fan}", heat.hottest);
    let is_cool = heat.hottest <= board.limits.celsius;
    Finding::new(is_cool && heat.cut.is_none() && heat.told.is_empty(), measured, limit)
        .because(|| {
            let cut = heat.cut.iter().map(|cut| format!("the chips lost their power under load: {cut}"));
            let told = heat.told.iter().map(|told| format!("the miner says: {told}"));
            let hot = (!is_cool).then(|| "hotter than the limit: look at the fan and the heat sink".to_owned());
            cut.chain(told).chain(hot).collect::<Vec<_>>().join("; ")
        })
        .with(json!({ "hottest_celsius": heat.hottest, "fan_percent": heat.fan_percent, "readings": heat.readings,
            "told": heat.told }))
}

fn pool_shares(run: &Run) -> Finding {
    let rejected: u64 = run.rejected.values().sum();
    let (invalid, stale) = (run.invalid(), rejected - run.invalid());
    let measured = format!("{} accepted, {stale} stale, {invalid} invalid", run.accepted);
    Finding::new(
        run.accepted > 0 && invalid == 0 && run.miner.trouble().is_none() && run.jobs.lost.is_empty(),
        measured,
        "some, 0 invalid",
    )
    .because(|| {
        let first = run.rejected.keys().find(|reason| reason.is_invalid());
        match (first, run.miner.trouble()) {
            (Some(reason), _) => format!("the pool refused shares: {reason}"),
            (None, Some(trouble)) if run.accepted > 0 => trouble,
            (None, None) if run.accepted > 0 => {
                let said = run.jobs.lost.last().map_or("", String::as_str);
                format!("the miner let jobs of the pool go: {said}")
            }
            (None, _) => format!("no share reached the pool: {}", run.trouble()),
        }
    })
    .with(json!({ "accepted": run.accepted, "stale": stale, "invalid": invalid, "jobs_lost": run.jobs.lost,
        "jobs_strange": run.jobs.strange }))
}

fn replug(board: &Board, evidence: &Evidence) -> Finding {
    let Some(replug) = &evidence.replug else {
        return Finding::skipped("it was not come to: a signal ended the run");
    };
    if replug.nobody {
        return Finding::skipped("nobody is there to unplug it: run this on a terminal, without --yes");
    }
    let limit = format!("{:.0} s each", board.limits.replug_seconds);
    let text = |after: Option<f64>| after.map_or("never".to_owned(), |after| format!("after {after:.1} s"));
    let measured = format!("missed {}, mined again {}", text(replug.missed_after), text(replug.back_after));
    let good = replug.missed_after.is_some() && replug.back_after.is_some();
    Finding::new(good, measured, limit)
        .because(|| {
            let told = match (replug.mined_before, replug.missed_after) {
                (false, _) => "there was no share before it was unplugged",
                (true, None) => "the miner did not tell that the board was gone",
                (true, Some(_)) => "no share came after it was plugged in",
            };
            replug.miner.trouble().map_or(told.to_owned(), |trouble| format!("{told}; {trouble}"))
        })
        .with(json!({ "missed_after_seconds": replug.missed_after, "back_after_seconds": replug.back_after }))
}

fn soak(board: &Board, run: &Run) -> Finding {
    let rate = hash_rate(board, run);
    let shares = pool_shares(run);
    let (silence, longest) = (run.longest_silence, board.limits.silence_seconds);
    let is_whole = run.interrupted || run.measured_seconds >= board.limits.soak_seconds * 0.99;
    let measured = format!(
        "{:.0} s: {}; {}; silent {silence:.1} s, gone {} times",
        run.measured_seconds, rate.measured, shares.measured, run.gone
    );
    let limit = format!(
        "{:.0} s: {}; 0 invalid; silent {longest:.0} s, gone 0",
        board.limits.soak_seconds, rate.limit
    );
    let figures = json!({ "longest_silence_seconds": silence, "gone": run.gone });
    let reasons = [
        (rate.status == Status::Failed).then(|| format!("{} ({})", rate.reason, rate.measured)),
        (shares.status == Status::Failed).then(|| shares.reason.clone()),
        (silence > longest).then(|| format!("no share for {silence:.1} s")),
        (run.gone > 0).then(|| "the miner lost the board".to_owned()),
        (!is_whole).then(|| format!("it ended early: {}", run.trouble())),
    ];
    let reasons: Vec<_> = reasons.into_iter().flatten().collect();
    Finding::new(reasons.is_empty(), measured, limit)
        .because(|| reasons.join("; "))
        .with(Value::Object(rate.figures))
        .with(figures)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
