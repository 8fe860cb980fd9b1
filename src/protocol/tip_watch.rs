//! Who tells of new blocks first, and whether a publisher has fallen silent: each tip counts once, however many sources
//! name it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::solo_session::TipSource;

/// Tips remembered: sources are apart by seconds at most.
const TIPS: usize = 16;
/// How long ZMQ may be silent about a tip that another source has named: it is the quickest of all on a healthy line.
const ZMQ_PATIENCE: Duration = Duration::from_secs(2);

/// What one source has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceFigures {
    /// Tips that it named before all others.
    pub first: u64,
    /// Tips that another one had named before.
    pub later: u64,
    /// How long it took longer than the first, all of these together.
    pub behind: Duration,
}

impl SourceFigures {
    /// Mean delay behind the first, over all tips that it named; `None` before it named any.
    pub fn mean_delay(&self) -> Option<Duration> {
        let tips = u32::try_from(self.first + self.later).ok().filter(|tips| *tips > 0)?;
        Some(self.behind / tips)
    }
}

#[derive(Debug)]
struct Tip {
    hash: [u8; 32],
    at: Instant,
    heard: [bool; SOURCES],
    /// When ZMQ has been silent about it for too long.
    zmq_due: Option<Instant>,
}

const SOURCES: usize = 3;

fn index(source: TipSource) -> usize {
    match source {
        TipSource::Zmq => 0,
        TipSource::Wait => 1,
        TipSource::Poll => 2,
    }
}

/// The tips of one node as its sources name them.
#[derive(Debug, Default)]
pub struct TipWatch {
    tips: VecDeque<Tip>,
    figures: [SourceFigures; SOURCES],
    is_zmq_up: bool,
}

impl TipWatch {
    /// Whether a ZMQ publisher is connected, so that it can be held to its word.
    pub fn set_zmq(&mut self, is_up: bool) {
        self.is_zmq_up = is_up;
        if !is_up {
            self.tips.iter_mut().for_each(|tip| tip.zmq_due = None);
        }
    }

    /// A source has named a tip, hash in header order. True when it is the first to do so.
    pub fn hear(&mut self, hash: [u8; 32], source: TipSource, at: Instant) -> bool {
        let place = index(source);
        if let Some(tip) = self.tips.iter_mut().find(|tip| tip.hash == hash) {
            if source == TipSource::Zmq {
                tip.zmq_due = None;
            }
            if !std::mem::replace(&mut tip.heard[place], true) {
                self.figures[place].later += 1;
                self.figures[place].behind += at.saturating_duration_since(tip.at);
            }
            return false;
        }
        // The one at the start is no news.
        let is_start = self.tips.is_empty();
        let mut heard = [is_start; SOURCES];
        heard[place] = true;
        let is_due = self.is_zmq_up && source != TipSource::Zmq && !is_start;
        self.figures[place].first += u64::from(!is_start);
        if self.tips.len() == TIPS {
            self.tips.pop_front();
        }
        self.tips.push_back(Tip { hash, at, heard, zmq_due: is_due.then(|| at + ZMQ_PATIENCE) });
        true
    }

    /// When [`Self::is_zmq_silent`] may become true.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.tips.iter().filter_map(|tip| tip.zmq_due).min()
    }

    /// Whether ZMQ has let a tip pass without a word; once for each.
    pub fn is_zmq_silent(&mut self, now: Instant) -> bool {
        let mut is_silent = false;
        for tip in &mut self.tips {
            if tip.zmq_due.is_some_and(|due| now >= due) {
                tip.zmq_due = None;
                is_silent = true;
            }
        }
        is_silent
    }

    /// What a source has done.
    pub fn figures(&self, source: TipSource) -> SourceFigures {
        self.figures[index(source)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TipSource::{Poll, Wait, Zmq};

    #[test]
    fn a_tip_counts_once_and_its_first_source_is_kept() {
        let (mut watch, start) = (TipWatch::default(), Instant::now());
        let ms = |n| start + Duration::from_millis(n);
        assert!(watch.hear([0; 32], Poll, ms(0)), "the tip at the start has to be looked at too");
        assert!(!watch.hear([0; 32], Wait, ms(1)));
        assert_eq!(watch.figures(Wait), SourceFigures::default(), "but it is no race");
        assert!(watch.hear([1; 32], Zmq, ms(10)));
        assert!(!watch.hear([1; 32], Zmq, ms(11)), "two topics name the same block");
        assert!(!watch.hear([1; 32], Wait, ms(14)));
        assert!(!watch.hear([1; 32], Poll, ms(260)));
        assert!(watch.hear([2; 32], Wait, ms(300)));
        assert_eq!((watch.figures(Zmq).first, watch.figures(Zmq).later), (1, 0));
        assert_eq!(watch.figures(Wait).mean_delay(), Some(Duration::from_millis(2)));
        assert_eq!(watch.figures(Poll).mean_delay(), Some(Duration::from_millis(250)));
    }

    #[test]
    fn a_publisher_that_lets_a_tip_pass_is_silent_once() {
        let (mut watch, now) = (TipWatch::default(), Instant::now());
        watch.set_zmq(true);
        watch.hear([0; 32], Poll, now);
        assert_eq!(watch.poll_timeout(), None, "it may have connected after that one");
        watch.hear([1; 32], Wait, now);
        let due = watch.poll_timeout().unwrap();
        assert!(!watch.is_zmq_silent(now));
        assert!(watch.is_zmq_silent(due) && !watch.is_zmq_silent(due));
        watch.hear([2; 32], Wait, now);
        watch.hear([2; 32], Zmq, now);
        assert_eq!(watch.poll_timeout(), None);
        watch.hear([3; 32], Wait, now);
        watch.set_zmq(false);
        assert_eq!(watch.poll_timeout(), None, "one that is away is known to be silent");
    }

    #[test]
    fn any_number_of_tips_takes_bounded_room() {
        let (mut watch, now) = (TipWatch::default(), Instant::now());
        for n in 0..1000u32 {
            let mut hash = [0; 32];
            hash[..4].copy_from_slice(&n.to_le_bytes());
            watch.hear(hash, Poll, now);
        }
        assert_eq!((watch.tips.len(), watch.figures(Poll).first), (TIPS, 999));
    }
}
