//! A ceiling on what one pool may make the operator read.

use std::time::{Duration, Instant};

/// Texts that pass within [`WINDOW`]: a pool has no business saying more.
const MOST: usize = 20;
/// See [`MOST`]; a text that was passed on is not passed on again for as long.
const WINDOW: Duration = Duration::from_secs(60);

/// What to do with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Pass it on.
    Tell,
    /// It is one too many: say once that there are more.
    TellOfMore,
    /// Keep it back: it was told, or there are too many.
    Keep,
}

/// The texts of the last minute.
#[derive(Debug, Default)]
pub struct Remarks {
    told: Vec<(Instant, String)>,
    told_of_more: Option<Instant>,
}

impl Remarks {
    /// Whether the operator shall read `text` now.
    pub fn judge(&mut self, text: &str, now: Instant) -> Verdict {
        let is_recent = |at: Instant| now.duration_since(at) < WINDOW;
        self.told.retain(|(at, _)| is_recent(*at));
        if self.told.iter().any(|(_, known)| known == text) {
            Verdict::Keep
        } else if self.told.len() < MOST {
            self.told.push((now, text.to_owned()));
            Verdict::Tell
        } else if self.told_of_more.is_some_and(is_recent) {
            Verdict::Keep
        } else {
            self.told_of_more = Some(now);
            Verdict::TellOfMore
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_told_once_a_minute_and_twenty_at_most_with_a_word_on_the_rest() {
        let start = Instant::now();
        let mut remarks = Remarks::default();
        assert_eq!(remarks.judge("0", start), Verdict::Tell);
        assert_eq!(remarks.judge("0", start), Verdict::Keep);
        for nth in 1..20 {
            assert_eq!(remarks.judge(&nth.to_string(), start), Verdict::Tell);
        }
        assert_eq!(remarks.judge("20", start), Verdict::TellOfMore);
        assert_eq!(remarks.judge("21", start), Verdict::Keep);
        let later = start + WINDOW;
        assert_eq!(remarks.judge("0", later), Verdict::Tell);
    }
}
