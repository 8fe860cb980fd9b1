//! What makes chips hash as little as can be, at once, whatever they are at: for a line that is about to be left alone.

use super::super::chip::{Chip, JobForm};
use super::super::frame::{Frame, Recipient};
use super::super::pll::AFTER_RESET;
use super::super::register::Register;

/// How often all of it is said: nobody asks whether it was heard.
const TIMES: usize = 3;

/// Writes to all chips: a sweep of no length, which ends their hashing (mujina `REFERENCE.md`, of chips that take headers),
/// then the clock that they have after a reset, without a ramp, as a reset sets it. Should the first be missed or mean
/// something else, a tenth of the power is left.
pub fn halt(chip: &Chip) -> Vec<Frame> {
    let sweep = (chip.layout.form == JobForm::Header).then_some((Register::HASH_COUNTING_NUMBER, 0));
    let clock = chip.pll.writes(AFTER_RESET).expect("chips have this frequency after every reset");
    let once = sweep.into_iter().chain(clock);
    let frames = once.map(|(register, value)| Frame::Write { to: Recipient::All, register, value });
    let frames: Vec<_> = frames.collect();
    std::iter::repeat_n(frames, TIMES).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::chip::{BM1370, BM1397};
    use super::*;

    #[test]
    fn chips_lose_their_sweep_and_their_clock_three_times_over() {
        let hex = |chip| halt(chip).iter().map(|frame| hex::encode(frame.emit())).collect::<Vec<_>>();
        let (of_headers, of_midstates) = (hex(&BM1370), hex(&BM1397));
        assert_eq!(of_headers.len(), 6);
        assert!(of_headers[0].starts_with("55aa5109001000000000"), "{of_headers:?}");
        assert!(of_headers[1].starts_with("55aa51090008") && of_headers[1][12..].starts_with("40a80265"));
        assert!(of_midstates.iter().all(|frame| !frame.starts_with("55aa51090010")), "{of_midstates:?}");
        assert!(
            of_midstates.iter().any(|frame| frame.starts_with("55aa51090008403c0253")),
            "{of_midstates:?}"
        );
    }
}
