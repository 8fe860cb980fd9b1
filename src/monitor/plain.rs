//! Events as lines for a person. The words `Accepted`, `Rejected`, `Diff a/b`, `pool n`, `detected new block at height`,
//! `not responding!` and `Switching to pool` are those of cgminer, which operators' scripts look for.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{Context, boards, decisions, outcome_reason, solo};
use crate::decision::luck::Luck;
use crate::engine::advice::AdviceEnd;
use crate::engine::crosscheck::Verdict;
use crate::engine::snapshot::Tally;
use crate::engine::task::{Notice, NoticeEvent};
use crate::engine::{BoardReport, Report, UpstreamId};
use crate::upstream::UpstreamNews;
use crate::validate::{self, Finding};
use crate::work::coinbase::height;
use crate::work::{Answered, BlockHash, Difficulty, HashRate, Job, LostReason, Outcome};

/// A line and what it means to the eye.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// The text without time and colour.
    pub text: String,
    tone: Tone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Usual,
    Quiet,
    Good,
    Warning,
    Bad,
}

impl Line {
    /// With the time of day, and with colour if wanted.
    pub fn render(&self, colour: bool) -> String {
        let time = jiff::Zoned::now().strftime("[%F %T%.3f]").to_string();
        if !colour {
            return format!("{time} {}", self.text);
        }
        let style = match self.tone {
            Tone::Usual => Style::new(),
            Tone::Quiet => Style::new().dimmed(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warning => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default(),
        };
        let dim = Style::new().dimmed();
        format!("{dim}{time}{dim:#} {style}{}{style:#}", self.text)
    }
}

/// The line of a notice; `None` when there is nothing for a person in it.
pub fn line(context: &Context, notice: &Notice) -> Option<Line> {
    let (tone, text) = match &notice.event {
        NoticeEvent::Stats(..) => return None,
        NoticeEvent::Reviewed(reviewed) => (Tone::Usual, decisions::review_text(reviewed)),
        // Its template says more.
        NoticeEvent::Engine(Report::Job { upstream, .. }) if context.is_solo(*upstream) => return None,
        NoticeEvent::Engine(Report::Job { upstream, job, clean }) => job_text(*upstream, job, *clean),
        NoticeEvent::Engine(Report::Switched { from, to, reason }) => switch_text(context, from, to, reason),
        NoticeEvent::Engine(Report::Judged(upstream, verdict)) => {
            judged_text(*upstream, context.upstream(*upstream), verdict)
        }
        NoticeEvent::Engine(Report::Warned(warning)) => {
            let upstream = warning.upstream();
            (Tone::Warning, format!("Pool {} {}: {warning}", upstream.0, context.upstream(upstream)))
        }
        NoticeEvent::Engine(Report::Unlucky(upstream, luck)) => {
            let Luck { found, expected } = luck;
            let text = format!(
                "Pool {} {}: {found} blocks found where {expected:.1} are usual; the chance of so few is {:.1e}, so look \
                 whether the boards that hash for it find what they should",
                upstream.0,
                context.upstream(*upstream),
                luck.chance()
            );
            (Tone::Warning, text)
        }
        NoticeEvent::Engine(Report::Advice { upstream, word, reason, end }) => {
            advice_text(context.upstream(*upstream), word.name(), reason, end)?
        }
        NoticeEvent::Engine(Report::Checked(upstream, finding)) => {
            checked_text(*upstream, context.upstream(*upstream), finding)
        }
        NoticeEvent::Engine(Report::Share(upstream, answered)) => {
            share_text(notice, *upstream, context.is_solo(*upstream), answered)
        }
        NoticeEvent::Engine(Report::Board(board, report)) => board_text(context.board(*board), report)?,
        NoticeEvent::Upstream(_, UpstreamNews::Template(news)) => solo::template_text(news, notice.rate),
        NoticeEvent::Upstream(_, UpstreamNews::Block(news)) => solo::block_text(news),
        NoticeEvent::Upstream(upstream, UpstreamNews::Mining) if context.is_solo(*upstream) => return None,
        NoticeEvent::Upstream(upstream, UpstreamNews::Message(text)) if context.is_solo(*upstream) => {
            (Tone::Usual, format!("Solo: {text}"))
        }
        NoticeEvent::Upstream(upstream, UpstreamNews::Complaint(text)) if context.is_solo(*upstream) => {
            (Tone::Warning, format!("Solo: {text}"))
        }
        NoticeEvent::Upstream(upstream, UpstreamNews::Down { reason, .. }) if context.is_solo(*upstream) => {
            (Tone::Warning, format!("Solo: not responding! {reason}"))
        }
        NoticeEvent::Upstream(upstream, news) => {
            upstream_text(*upstream, context.upstream(*upstream), notice.rate, news)
        }
    };
    Some(Line { text, tone })
}

fn switch_text(context: &Context, from: &[UpstreamId], to: &[UpstreamId], reason: &str) -> (Tone, String) {
    let numbers = |ids: &[UpstreamId]| ids.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(", ");
    match to {
        [] => (
            Tone::Warning,
            format!("Waiting for work to be available from pools: the boards idle ({reason})"),
        ),
        // The first choice needs no reason.
        [one] if from.is_empty() => {
            (Tone::Usual, format!("Switching to pool {} {}", one.0, context.upstream(*one)))
        }
        [one] => (Tone::Usual, format!("Switching to pool {} {} ({reason})", one.0, context.upstream(*one))),
        several => (Tone::Usual, format!("Hashing is split among pools {} ({reason})", numbers(several))),
    }
}

/// A shadow's advice is for programs and figures alone.
fn advice_text(upstream: &str, word: &str, reason: &str, end: &AdviceEnd) -> Option<(Tone, String)> {
    match end {
        AdviceEnd::Shadowed => None,
        AdviceEnd::Applied => Some((Tone::Usual, format!("The model says {word} {upstream}: {reason}"))),
        AdviceEnd::Refused(why) => {
            Some((Tone::Usual, format!("The model says {word} {upstream}, and may not, by rule {why}")))
        }
    }
}

fn judged_text(id: UpstreamId, name: &str, verdict: &Verdict) -> (Tone, String) {
    let id = id.0;
    match verdict {
        Verdict::Fine => (Tone::Good, format!("Pool {id} {name} is above suspicion again")),
        Verdict::Flag(reason) => (Tone::Warning, format!("Pool {id} {name} is strange: {reason}")),
        Verdict::Suspect(reason) => {
            (Tone::Warning, format!("Pool {id} {name} is suspect: {reason}; others are preferred"))
        }
        Verdict::Quarantine(reason) => {
            (Tone::Bad, format!("Pool {id} {name} is in quarantine: {reason}; nothing is hashed for it"))
        }
    }
}

fn job_text(upstream: UpstreamId, job: &Job, clean: bool) -> (Tone, String) {
    let mut text = match height(&job.coinbase.coinb1).filter(|_| clean) {
        Some(height) => format!("Stratum from pool {} detected new block at height {height}: ", upstream.0),
        None => format!("Stratum from pool {}: ", upstream.0),
    };
    let clean = if clean { "clean " } else { "" };
    write!(text, "{clean}job {} at difficulty {}", shown(&job.id.to_string()), job.difficulty)
        .expect("to a string");
    match job.network_target.map(|target| target.difficulty()) {
        Some(network) if network.value() < job.difficulty.value() => {
            write!(text, ", harder than a block ({network})").expect("to a string");
            (Tone::Warning, text)
        }
        _ => (Tone::Quiet, text),
    }
}

fn share_text(notice: &Notice, upstream: UpstreamId, is_solo: bool, answered: &Answered) -> (Tone, String) {
    let share = &answered.share;
    let (tone, word) = match &answered.outcome {
        Outcome::Accepted => (Tone::Good, "Accepted"),
        Outcome::Rejected(_) => (Tone::Bad, "Rejected"),
        Outcome::Stale => (Tone::Warning, "Stale"),
        Outcome::Withheld => (Tone::Quiet, "Withheld"),
        Outcome::Lost(LostReason::Kept) => (Tone::Warning, "Kept"),
        Outcome::Lost(_) => (Tone::Bad, "Lost"),
    };
    let block = if share.solves_block() { " BLOCK!" } else { "" };
    let whose = if is_solo { "solo".to_owned() } else { format!("pool {}", upstream.0) };
    let mut text = format!(
        "{word} {} Diff {}/{} {whose}{block}",
        short(share.hash()),
        share.difficulty(),
        share.job().difficulty,
    );
    if let Some(reason) = outcome_reason(&answered.outcome) {
        write!(text, " ({reason})").expect("to a string");
    }
    let Tally { accepted, rejected, stale, lost } = notice.tally;
    write!(text, "  A:{accepted} R:{rejected} S:{stale} L:{lost}").expect("to a string");
    // Before the first report of a board there is no rate, not a rate of zero.
    if notice.rate.0 > 0.0 {
        write!(text, "  {}", notice.rate).expect("to a string");
    }
    if let Some(latency) = answered.latency {
        write!(text, "  {:.0} ms", latency.as_secs_f64() * 1e3).expect("to a string");
    }
    (tone, text)
}

/// Waits longer than this are worth a warning: a pool may take the miner for dead before its first share.
const LONG_WAIT: f64 = 3600.0;

fn difficulty_text(pool: usize, difficulty: Difficulty, rate: HashRate) -> (Tone, String) {
    let mut text = format!("Pool {pool} sets difficulty {difficulty}");
    let seconds = rate.expected_seconds(difficulty);
    if seconds.is_finite() {
        write!(text, ": a share every {} at {rate}", wait(seconds)).expect("to a string");
    }
    (if seconds.is_finite() && seconds > LONG_WAIT { Tone::Warning } else { Tone::Usual }, text)
}

/// A mean wait in the unit that suits it.
fn wait(seconds: f64) -> String {
    match seconds {
        s if s < 0.95 => format!("{:.0} ms", s * 1e3),
        s if s < 99.5 => format!("{s:.0} s"),
        s if s < 5_970.0 => format!("{:.0} minutes", s / 60.0),
        s if s < 171_000.0 => format!("{:.0} hours", s / 3_600.0),
        s => format!("{:.0} days", s / 86_400.0),
    }
}

fn board_text(board: &str, report: &BoardReport) -> Option<(Tone, String)> {
    Some(match report {
        BoardReport::State { before, status } => return boards::state_text(board, before.as_ref(), status),
        BoardReport::Joined(about) => {
            (Tone::Usual, format!("{board}: {} expected of {}", about.expected_rate, about.detail))
        }

        BoardReport::Gone => (Tone::Usual, format!("{board}: stopped")),
        BoardReport::Ceiling { asked, reported } => {
            let text = "is a flood at this rate; only shares from";
            (Tone::Warning, format!("{board}: difficulty {asked} {text} {reported} on are reported"))
        }
        BoardReport::Fault(fault) => (Tone::Warning, format!("{board}: {fault}")),
        BoardReport::Recovered(text) => (Tone::Good, format!("{board}: {text}")),
        BoardReport::HardwareError(error) => (Tone::Bad, format!("{board}: hardware error: {error}")),
    })
}

fn checked_text(id: UpstreamId, name: &str, finding: &Finding) -> (Tone, String) {
    let (tone, what) = match finding.outcome {
        validate::Outcome::Reject => (Tone::Bad, "its job is refused"),
        validate::Outcome::Hold => (Tone::Warning, "its job is held back"),
        _ => (Tone::Warning, "its job is strange"),
    };
    (tone, format!("Pool {} {name}: {what}: {finding}", id.0))
}

fn upstream_text(id: UpstreamId, name: &str, rate: HashRate, news: &UpstreamNews) -> (Tone, String) {
    let id = id.0;
    match news {
        UpstreamNews::Connecting(to) => (Tone::Quiet, format!("Connecting to pool {id} {to}")),
        UpstreamNews::Resting => (Tone::Quiet, format!("Pool {id} {name} rests until it is needed")),
        UpstreamNews::Mining => (Tone::Usual, format!("Pool {id} {name} alive, worker authorised")),
        UpstreamNews::Difficulty(difficulty) => difficulty_text(id, *difficulty, rate),
        UpstreamNews::Message(text) => (Tone::Usual, format!("Pool {id} {name} says: {text}")),
        UpstreamNews::Payout(text) => (Tone::Usual, format!("Pool {id} {name} {text}")),
        UpstreamNews::Complaint(text) => (Tone::Warning, format!("Pool {id} {name}: {text}")),
        UpstreamNews::Learnt(lesson) => (Tone::Usual, format!("Pool {id} {name}: learnt that {lesson}")),
        UpstreamNews::Template(news) => solo::template_text(news, rate),
        UpstreamNews::Block(news) => solo::block_text(news),
        UpstreamNews::Redirected(to) => (Tone::Warning, format!("Pool {id} {name} sends us to {to}")),
        UpstreamNews::Down { reason, retry_in, refused } => {
            let state = if *refused { "is of no use:" } else { "not responding!" };
            let seconds = retry_in.as_secs_f64();
            (Tone::Warning, format!("Pool {id} {name} {state} {reason}; next attempt in {seconds:.0} s"))
        }
    }
}

/// The first eight digits of a hash that are not leading zero bytes.
fn short(hash: &BlockHash) -> String {
    let digits = hash.to_string();
    let zeros = digits.bytes().take_while(|digit| *digit == b'0').count() / 2 * 2;
    digits.chars().skip(zeros).take(8).collect()
}

/// A pool's own name for a job, made harmless and short.
fn shown(id: &str) -> String {
    crate::protocol::text::printable(id, 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_shown_from_its_first_byte_that_is_not_zero() {
        let mut bytes = [0xab; 32];
        bytes[28..].fill(0);
        bytes[27] = 0x0c;
        assert_eq!(short(&BlockHash(bytes)), "0cababab");
        assert_eq!(short(&BlockHash([0; 32])), "");
    }

    #[test]
    fn a_difficulty_is_told_with_what_it_means_once_the_rate_is_known() {
        let told = |rate| difficulty_text(0, Difficulty::ONE, HashRate(rate));
        assert_eq!(told(0.0), (Tone::Usual, "Pool 0 sets difficulty 1".to_owned()));
        assert!(told(1e8).1.ends_with(": a share every 43 s at 100 MH/s"), "{}", told(1e8).1);
        assert_eq!(told(1e5).0, Tone::Warning);
        for (seconds, text) in
            [(0.05, "50 ms"), (61.0, "61 s"), (600.0, "10 minutes"), (7_200.0, "2 hours"), (8e5, "9 days")]
        {
            assert_eq!(wait(seconds), text);
        }
    }

    #[test]
    fn colour_wraps_the_text_and_can_be_left_out() {
        let line = Line { text: "Accepted".into(), tone: Tone::Good };
        assert!(line.render(true).contains("\x1b[32mAccepted\x1b[0m"));
        assert!(!line.render(false).contains('\x1b'));
    }
}
