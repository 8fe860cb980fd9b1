//! Events as JSON objects for programs, one a line. README.md lists the members; they are a contract.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{Context, outcome_reason, outcome_word};
use crate::engine::meter::ShareCounts;
use crate::engine::snapshot::BoardSnapshot;
use crate::engine::task::{End, Finish, Notice, NoticeEvent};
use crate::engine::{BoardReport, Report, UpstreamId};
use crate::protocol::text::printable;
use crate::upstream::UpstreamNews;
use crate::work::coinbase::height;
use crate::work::{Answered, Job};

/// The line of a notice.
pub fn line(context: &Context, notice: &Notice) -> String {
    let pool = |id: UpstreamId| json!({ "pool": id.0, "url": context.upstream(id) });
    let (event, members) = match &notice.event {
        NoticeEvent::Engine(Report::Job { upstream, job, clean }) => {
            ("job", [pool(*upstream), job_members(job, *clean)])
        }
        NoticeEvent::Engine(Report::Switched { from, to }) => {
            let name = |id: &Option<UpstreamId>| id.map(|id| context.upstream(id).to_owned());
            let state = json!({ "state": "switched", "from": name(from), "to": name(to) });
            ("upstream", [state, json!({ "pool": to.map(|id| id.0), "url": name(to) })])
        }
        NoticeEvent::Engine(Report::Share(upstream, answered)) => {
            ("share", [pool(*upstream), share_members(answered)])
        }
        NoticeEvent::Engine(Report::Board(board, report)) => {
            ("board", [json!({ "board": context.board(*board) }), board_members(report)])
        }
        NoticeEvent::Upstream(upstream, event) => ("upstream", [pool(*upstream), upstream_members(event)]),
    };
    let rate = json!({ "hash_rate": Some(notice.rate.0).filter(|rate| *rate > 0.0) });
    object(event, members.into_iter().chain([rate]))
}

/// The line of the end.
pub fn summary(context: &Context, finish: &Finish, dropped: u64) -> String {
    let snapshot = &finish.snapshot;
    let upstream = |(index, counts): (usize, &ShareCounts)| {
        let mut members = share_counts(counts);
        merge(&mut members, json!({ "pool": index, "url": context.upstream(UpstreamId(index)) }));
        members
    };
    let board = |board: &BoardSnapshot| {
        json!({
            "board": board.name,
            "hash_rate": board.mean_rate.0,
            "hashes": board.counts.hashes,
            "shares": board.counts.shares,
            "hardware_errors": board.counts.hardware_errors,
            "duplicates": board.counts.duplicates,
            "unknown": board.counts.unknown,
            "filtered": board.counts.filtered,
            "overflowed": board.counts.overflowed,
        })
    };
    let quantile = |fraction| snapshot.switches.quantile(fraction).map(milliseconds);
    let members = json!({
        "end": match finish.end {
            End::Asked => "asked",
            End::Time => "seconds",
            End::Shares => "shares",
            End::NoUpstream => "no_upstream",
            End::NoBoard => "no_board",
        },
        "seconds": snapshot.uptime.as_secs_f64(),
        "hash_rate": snapshot.mean_rate.0,
        "job_switches": snapshot.switches.count,
        "switch_ms": { "p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99), "max": quantile(1.0) },
        "upstreams": snapshot.upstreams.iter().enumerate().map(upstream).collect::<Vec<_>>(),
        "boards": snapshot.boards.iter().map(board).collect::<Vec<_>>(),
        "lines_dropped": dropped,
    });
    object("summary", [share_counts(&snapshot.totals()), members])
}

fn job_members(job: &Job, clean: bool) -> Value {
    let mut prev_hash = job.header.prev_hash;
    prev_hash.reverse();
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
    })
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
        BoardReport::HardwareError(error) => {
            json!({ "state": "hardware_error", "reason": error.to_string() })
        }
    }
}

fn upstream_members(event: &UpstreamNews) -> Value {
    match event {
        UpstreamNews::Connecting(to) => json!({ "state": "connecting", "to": to }),
        UpstreamNews::Mining => json!({ "state": "mining" }),
        UpstreamNews::Difficulty(difficulty) => {
            json!({ "state": "difficulty", "difficulty": difficulty.value() })
        }
        UpstreamNews::Message(text) => json!({ "state": "message", "reason": text }),
        UpstreamNews::Complaint(text) => json!({ "state": "complaint", "reason": text }),
        UpstreamNews::Redirected(to) => json!({ "state": "redirected", "to": to }),
        UpstreamNews::Down { reason, retry_in, .. } => {
            json!({ "state": "down", "reason": reason, "retry_seconds": retry_in.as_secs_f64() })
        }
    }
}

fn share_counts(counts: &ShareCounts) -> Value {
    let rejected: Map<_, _> = counts
        .rejected
        .iter()
        .map(|(kind, count)| (kind.to_string().replace(' ', "_"), json!(count)))
        .collect();
    json!({
        "accepted": counts.accepted,
        "rejected": counts.rejected_total(),
        "rejected_by_reason": rejected,
        "stale": counts.stale,
        "lost": counts.lost,
        "accepted_difficulty": counts.accepted_difficulty,
        "rejected_difficulty": counts.rejected_difficulty,
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

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
