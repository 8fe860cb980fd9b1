//! Events as JSON objects for programs, one a line. README.md lists the members; they are a contract.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bitcoin::Network;
use serde_json::{Map, Value, json};

use super::{Context, boards, decisions, outcome_reason, outcome_word, solo};
use crate::decision::luck::Luck;
use crate::engine::account::Times;
use crate::engine::advice::AdviceEnd;
use crate::engine::crosscheck::Verdict;
use crate::engine::meter::ShareCounts;
use crate::engine::odds::Odds;
use crate::engine::snapshot::{BoardSnapshot, Snapshot, UpstreamSnapshot};
use crate::engine::task::{End, Finish, Notice, NoticeEvent};
use crate::engine::{BoardReport, Report, UpstreamId};
use crate::protocol::text::printable;
use crate::upstream::UpstreamNews;
use crate::upstream::solo::SoloFigures;
use crate::validate::Finding;
use crate::work::coinbase::height;
use crate::work::payout::{Payout, Payouts};
use crate::work::{Answered, HashRate, Job};

/// Outputs of a job that a line lists, the largest ones. A pool that pays a thousand miners in each block would make
/// lines of 100 KB otherwise.
const MAX_PAYOUTS: usize = 16;

/// The line of a notice.
pub fn line(context: &Context, notice: &Notice) -> String {
    let pool = |id: UpstreamId| json!({ "pool": id.0, "url": context.upstream(id) });
    let (event, members) = match &notice.event {
        NoticeEvent::Engine(Report::Job { upstream, job, clean }) => {
            ("job", [pool(*upstream), job_members(job, *clean, context.network(*upstream))])
        }
        NoticeEvent::Engine(Report::Switched { from, to, reason }) => {
            let name = |ids: &[UpstreamId]| ids.first().map(|id| context.upstream(*id).to_owned());
            let all = |ids: &[UpstreamId]| ids.iter().map(|id| id.0).collect::<Vec<_>>();
            let state = json!({ "state": "switched", "from": name(from), "to": name(to), "reason": reason });
            let numbers = json!({ "from_pools": all(from), "to_pools": all(to) });
            let to = json!({ "pool": to.first().map(|id| id.0), "url": name(to) });
            return with_rate("upstream", [state, numbers, to], notice);
        }
        NoticeEvent::Engine(Report::Judged(upstream, verdict)) => {
            let members = json!({ "state": verdict.word(), "reason": verdict.reason() });
            ("upstream", [pool(*upstream), members])
        }
        NoticeEvent::Engine(Report::Warned(warning)) => {
            let members = json!({ "state": "warning", "reason": warning.to_string() });
            ("upstream", [pool(warning.upstream()), members])
        }
        NoticeEvent::Engine(Report::Unlucky(upstream, luck)) => {
            let mut members = json!({ "state": "unlucky" });
            merge(&mut members, luck_members(luck));
            ("upstream", [pool(*upstream), members])
        }
        NoticeEvent::Engine(Report::Advice { upstream, word, reason, end }) => {
            let (result, refused) = match end {
                AdviceEnd::Applied => ("applied", None),
                AdviceEnd::Shadowed => ("shadow", None),
                AdviceEnd::Refused(why) => ("refused", Some(why)),
            };
            let members =
                json!({ "decision": word.name(), "result": result, "refused": refused, "reason": reason });
            ("advice", [pool(*upstream), members])
        }
        NoticeEvent::Engine(Report::Checked(upstream, finding)) => {
            ("check", [pool(*upstream), check_members(finding)])
        }
        NoticeEvent::Stats(snapshot, solo) => {
            let members = [share_counts(&snapshot.totals()), figures(context, snapshot, solo.as_deref())];
            return with_rate("stats", members, notice);
        }
        NoticeEvent::Reviewed(reviewed) => {
            return with_rate("review", [decisions::review(reviewed)], notice);
        }
        NoticeEvent::Upstream(upstream, UpstreamNews::Template(news)) => {
            ("template", [pool(*upstream), solo::template_members(news, notice.rate)])
        }
        NoticeEvent::Upstream(upstream, UpstreamNews::Block(news)) => {
            ("block", [pool(*upstream), solo::block_members(news)])
        }
        NoticeEvent::Engine(Report::Share(upstream, answered)) => {
            ("share", [pool(*upstream), share_members(answered)])
        }
        NoticeEvent::Engine(Report::Board(board, report)) => {
            ("board", [json!({ "board": context.board(*board) }), board_members(report)])
        }
        NoticeEvent::Upstream(upstream, event) => ("upstream", [pool(*upstream), upstream_members(event)]),
    };
    with_rate(event, members, notice)
}

fn with_rate(event: &str, members: impl IntoIterator<Item = Value>, notice: &Notice) -> String {
    let rate = json!({ "hash_rate": known(notice.rate) });
    object(event, members.into_iter().chain([rate]))
}

/// Before the first report of a board there is no rate, not a rate of zero.
fn known(rate: HashRate) -> Option<f64> {
    Some(rate.0).filter(|rate| *rate > 0.0)
}

/// The line of the end.
pub fn summary(context: &Context, finish: &Finish, dropped: u64) -> String {
    let snapshot = &finish.snapshot;
    let members = json!({
        "end": match finish.end {
            End::Asked => "asked",
            End::Time => "seconds",
            End::Shares => "shares",
            End::Blocks => "blocks",
            End::NoUpstream => "no_upstream",
            End::NoBoard => "no_board",
        },
        "hash_rate": snapshot.mean_rate.0,
        "lines_dropped": dropped,
    });
    object(
        "summary",
        [share_counts(&snapshot.totals()), figures(context, snapshot, finish.solo.as_ref()), members],
    )
}

/// All that has been counted and measured.
fn figures(context: &Context, snapshot: &Snapshot, solo: Option<&SoloFigures>) -> Value {
    let upstream = |(index, upstream): (usize, &UpstreamSnapshot)| {
        let id = UpstreamId(index);
        let mut members = share_counts(&upstream.account.shares);
        let is_active = snapshot.active.contains(&id);
        merge(&mut members, json!({ "pool": index, "url": context.upstream(id), "active": is_active }));
        merge(&mut members, upstream_figures(upstream));
        members
    };
    json!({
        "seconds": snapshot.uptime.as_secs_f64(),
        "mean_hash_rate": known(snapshot.mean_rate),
        "job_switches": snapshot.switches.count(),
        "switch_ms": milliseconds_of(&snapshot.switches),
        "failovers": snapshot.failovers.count(),
        "failover_ms": milliseconds_of(&snapshot.failovers),
        "upstreams": snapshot.upstreams.iter().enumerate().map(upstream).collect::<Vec<_>>(),
        "decisions": decisions::figures(snapshot),
        "model": snapshot.model.as_ref().map(|model| decisions::model(model, snapshot)),
        "solo": solo.map(|solo| solo::figures(solo, snapshot.recent_rate)),
        "boards": snapshot.boards.iter().map(board_figures).collect::<Vec<_>>(),
    })
}

fn upstream_figures(upstream: &UpstreamSnapshot) -> Value {
    let account = &upstream.account;
    let (state, reason) = match (&upstream.verdict, &upstream.failure) {
        (Verdict::Fine, Some(failure)) => ("down", Some(failure.as_str())),
        (Verdict::Fine, None) if !upstream.is_live => ("resting", None),
        (verdict, _) => (verdict.word(), verdict.reason()),
    };
    let seconds = |fraction| account.job_gaps.quantile(fraction).map(|gap| gap.as_secs_f64());
    json!({
        "state": state,
        "reason": reason,
        "value": upstream.value,
        "odds": odds_members(&upstream.odds),
        "hashes": account.hashes,
        "jobs": account.jobs,
        "job_gap_seconds": { "p50": seconds(0.5), "p95": seconds(0.95), "p99": seconds(0.99), "max": seconds(1.0) },
        "answer_ms": milliseconds_of(&account.answers),
        "checks": {
            "executed": upstream.checks.executed,
            "warned": upstream.checks.warned,
            "held": upstream.checks.held,
            "rejected": upstream.checks.rejected,
        },
        "search_space_bits": upstream.search_space_bits,
        "stale_rate": account.shares.stale_rate(),
        "connections": account.connections,
        "connected_seconds": upstream.connected_for.as_secs_f64(),
        "bytes_read": upstream.bytes_read,
        "bytes_written": upstream.bytes_written,
    })
}

fn luck_members(luck: &Luck) -> Value {
    json!({ "blocks_found": luck.found, "blocks_expected": luck.expected, "chance_of_so_few": luck.chance() })
}

fn odds_members(odds: &Odds) -> Value {
    let mut members = json!({ "block_seconds": odds.seconds, "chance_a_day": odds.within_a_day() });
    merge(&mut members, luck_members(&odds.luck));
    members
}

fn check_members(finding: &Finding) -> Value {
    json!({
        "result": finding.outcome.word(),
        "level": finding.level,
        "check": finding.name,
        "code": finding.code,
        "found": finding.found,
        "expected": finding.expected,
    })
}

fn board_figures(board: &BoardSnapshot) -> Value {
    let mut members = json!({
        "board": board.name,
        "hash_rate": known(board.mean_rate),
        "hashes": board.counts.hashes,
        "shares": board.counts.shares,
        "hardware_errors": board.counts.hardware_errors,
        "duplicates": board.counts.duplicates,
        "unknown": board.counts.unknown,
        "filtered": board.counts.filtered,
        "overflowed": board.counts.overflowed,
        "gone": board.is_gone,
        "status": board.status.as_ref().map(boards::status_members),
    });
    merge(&mut members, share_counts(&board.shares));
    members
}

fn milliseconds_of(times: &Times) -> Value {
    let at = |fraction| times.quantile(fraction).map(milliseconds);
    json!({ "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0) })
}

fn job_members(job: &Job, clean: bool, network: Network) -> Value {
    let mut prev_hash = job.header.prev_hash;
    prev_hash.reverse();
    let payouts = Payouts::of(&job.coinbase).ok();
    json!({
        "job": printable(&job.id.to_string(), usize::MAX),
        "clean": clean,
        "height": height(&job.coinbase.coinb1),
        "difficulty": job.difficulty.value(),
        "network_difficulty": job.network_target.map(|target| target.difficulty().value()),
        "prev_hash": hex::encode(prev_hash),
        "ntime": job.header.ntime,
        "version_mask": job.version_mask.to_string(),
        "extranonce2_size": job.coinbase.extranonce2_size.bytes(),
        "payouts": payouts.as_ref().map(|payouts| {
            let shown = payouts.outputs().iter().take(MAX_PAYOUTS);
            shown.map(|payout| payout_members(payout, network)).collect::<Vec<_>>()
        }),
        "payout_total": payouts.map(|payouts| payouts.total().to_sat()),
    })
}

fn payout_members(payout: &Payout, network: Network) -> Value {
    let amount = payout.amount.to_sat();
    match payout.address(network) {
        Some(address) => json!({ "address": address.to_string(), "amount": amount }),
        None => json!({ "script": payout.script_hex(), "amount": amount }),
    }
}

fn share_members(answered: &Answered) -> Value {
    let share = &answered.share;
    json!({
        "result": outcome_word(&answered.outcome),
        "reason": outcome_reason(&answered.outcome),
        "job": printable(&share.job().id.to_string(), usize::MAX),
        "difficulty": share.difficulty().value(),
        "job_difficulty": share.job().difficulty.value(),
        "hash": share.hash().to_string(),
        "block": share.solves_block(),
        "latency_ms": answered.latency.map(milliseconds),
    })
}

fn board_members(report: &BoardReport) -> Value {
    match report {
        BoardReport::Joined(about) => {
            json!({ "state": "joined", "detail": about.detail, "expected_rate": about.expected_rate.0 })
        }

        BoardReport::Gone => json!({ "state": "gone" }),
        BoardReport::Ceiling { asked, reported } => {
            json!({ "state": "ceiling", "difficulty": asked.value(), "reported_difficulty": reported.value() })
        }
        BoardReport::Fault(fault) => json!({ "state": "fault", "reason": fault }),
        BoardReport::Recovered(text) => json!({ "state": "recovered", "reason": text }),
        BoardReport::State { status, .. } => json!({
            "state": status.state.word(),
            "reason": status.state.reason(),
            "status": boards::status_members(status),
        }),
        BoardReport::HardwareError(error) => {
            json!({ "state": "hardware_error", "reason": error.to_string() })
        }
    }
}

fn upstream_members(event: &UpstreamNews) -> Value {
    match event {
        UpstreamNews::Connecting(to) => json!({ "state": "connecting", "to": to }),
        UpstreamNews::Mining => json!({ "state": "mining" }),
        UpstreamNews::Resting => json!({ "state": "resting" }),
        UpstreamNews::Difficulty(difficulty) => {
            json!({ "state": "difficulty", "difficulty": difficulty.value() })
        }
        UpstreamNews::Message(text) => json!({ "state": "message", "reason": text }),
        UpstreamNews::Payout(text) => json!({ "state": "payout", "reason": text }),
        UpstreamNews::Complaint(text) => json!({ "state": "complaint", "reason": text }),
        UpstreamNews::Learnt(lesson) => json!({ "state": "learnt", "reason": lesson.to_string() }),
        // They have events of their own.
        UpstreamNews::Template(_) | UpstreamNews::Block(_) => json!({}),
        UpstreamNews::Redirected(to) => json!({ "state": "redirected", "to": to }),
        UpstreamNews::Down { reason, retry_in, refused } => {
            let seconds = retry_in.as_secs_f64();
            json!({ "state": "down", "reason": reason, "retry_seconds": seconds, "refused": refused })
        }
    }
}

fn share_counts(counts: &ShareCounts) -> Value {
    let rejected: Map<_, _> = counts
        .rejected
        .iter()
        .map(|(kind, count)| (kind.to_string().replace(' ', "_"), json!(count)))
        .collect();
    let lost: Map<_, _> =
        counts.lost.iter().map(|(reason, count)| (reason.word().to_owned(), json!(count))).collect();
    json!({
        "accepted": counts.accepted,
        "rejected": counts.rejected_total(),
        "rejected_by_reason": rejected,
        "stale": counts.stale,
        "withheld": counts.withheld,
        "lost": counts.lost_total(),
        "lost_by_reason": lost,
        "accepted_difficulty": counts.accepted_difficulty,
        "rejected_difficulty": counts.rejected_difficulty,
        "stale_difficulty": counts.stale_difficulty,
        "withheld_difficulty": counts.withheld_difficulty,
        "lost_difficulty": counts.lost_difficulty,
        "best_difficulty": counts.best,
        "blocks": counts.blocks,
    })
}

fn object(event: &str, members: impl IntoIterator<Item = Value>) -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut object = json!({ "event": event, "time": (time.as_secs_f64() * 1e3).round() / 1e3 });
    members.into_iter().for_each(|more| merge(&mut object, more));
    object.to_string()
}

fn merge(object: &mut Value, more: Value) {
    if let (Value::Object(members), Value::Object(more)) = (object, more) {
        members.extend(more);
    }
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
