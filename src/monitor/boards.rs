//! How boards stand, as lines, as members and as a table.

use serde_json::{Value, json};
use signalcore_drivers::status::{BoardState, BoardStatus, ChipStatus, ClockStatus};

use super::plain::Tone;
use super::summary::table;
use crate::engine::snapshot::BoardSnapshot;
use crate::work::HashRate;

/// The line of a change of state; `None` where it is nothing for a person, or another line says it.
pub(super) fn state_text(
    board: &str,
    before: Option<&BoardState>,
    status: &BoardStatus,
) -> Option<(Tone, String)> {
    let clock = megahertz(status.clock.megahertz);
    let (tone, text) = match (&status.state, before) {
        (BoardState::Starting | BoardState::Idle, _) | (_, Some(BoardState::Idle)) => return None,
        (BoardState::Hashing, Some(BoardState::Tuning)) => {
            (Tone::Good, format!("is tuned, its best point is {clock}{}", millivolts(status)))
        }
        (BoardState::Hashing | BoardState::Tuning, Some(BoardState::Throttled)) => {
            (Tone::Good, format!("is back at {clock}{}", measures(status)))
        }
        (BoardState::Hashing, _) => (Tone::Usual, format!("hashes at {clock}")),
        (BoardState::Tuning, _) => {
            (Tone::Usual, "hashes, and looks for its best frequency and voltage".into())
        }
        (BoardState::Throttled, _) => {
            let ClockStatus { set_megahertz, .. } = status.clock;
            let set = megahertz(set_megahertz);
            (Tone::Warning, format!("is throttled to {clock} of {set}{}", measures(status)))
        }
        // Why is told by the fault.
        (BoardState::CutOff { .. }, _) => (Tone::Bad, "its power is cut off".into()),
        (BoardState::Parked { .. }, _) => (Tone::Bad, "is parked, and tried again later".into()),
    };
    Some((tone, format!("{board}: {text}")))
}

fn megahertz(value: Option<f64>) -> String {
    value.map_or("an unknown frequency".to_owned(), |value| format!("{value:.0} MHz"))
}

fn millivolts(status: &BoardStatus) -> String {
    status.power.set_millivolts.map_or(String::new(), |value| format!(" and {value:.0} mV"))
}

/// What throttling goes by.
fn measures(status: &BoardStatus) -> String {
    let celsius = status.heat.chip_celsius.map(|celsius| format!("{celsius:.1} °C"));
    let watts = status.power.watts.map(|watts| format!("{watts:.1} W"));
    let all: Vec<_> = celsius.into_iter().chain(watts).collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join(", ")) }
}

/// The object of a status. `drivers/status.rs` lists the names.
pub(super) fn status_members(status: &BoardStatus) -> Value {
    let BoardStatus { state, heat, power, clock, chips, line } = status;
    json!({
        "state": state.word(),
        "reason": state.reason(),
        "temperature_c": heat.chip_celsius,
        "regulator_temperature_c": heat.regulator_celsius,
        "board_temperature_c": heat.board_celsius,
        "fan_rpm": heat.fan_rpm,
        "fan_percent": heat.fan_percent,
        "power_w": power.watts,
        "input_v": power.input_volts,
        "core_mv": power.core_millivolts,
        "core_set_mv": power.set_millivolts,
        "frequency_mhz": clock.megahertz,
        "frequency_set_mhz": clock.set_megahertz,
        "chips": (!chips.is_empty()).then(|| chips.iter().map(chip_members).collect::<Vec<_>>()),
        "line": {
            "crc_errors": line.crc_errors,
            "dropped_bytes": line.dropped_bytes,
            "stale": line.stale,
            "duplicates": line.duplicates,
            "below_ticket": line.below_ticket,
            "unplaced": line.unplaced,
        },
    })
}

fn chip_members(chip: &ChipStatus) -> Value {
    json!({
        "address": chip.address,
        "nonces": chip.nonces,
        "hardware_errors": chip.hardware_errors,
        "rate_hs": chip.rate.map(|rate| rate.hashes_per_second),
        "rate_low_hs": chip.rate.map(|rate| rate.low),
        "rate_high_hs": chip.rate.map(|rate| rate.high),
    })
}

/// Chips of a board that the summary lists. Of longer chains it lists the slowest.
const MOST_CHIPS: usize = 16;

/// The lines of the summary about boards that have told how they stand, none without such a board: a table of them, one of
/// their chips, and the chips that are slower than chance explains.
pub(super) fn summary(boards: &[BoardSnapshot]) -> Vec<String> {
    let told: Vec<_> = boards.iter().filter_map(|board| Some((board, board.status.as_ref()?))).collect();
    if told.is_empty() {
        return Vec::new();
    }
    let (mut lines, mut has_chips) = (Vec::new(), false);
    let mut by_chip = table(&["board", "chip", "hash rate", "19 times in 20", "nonces", "HW errors"]);
    let mut standing = table(&["board", "state", "chips", "power", "J/TH", "frequency", "fan"]);
    for (board, status) in told {
        standing.add_row([
            board.name.clone(),
            status.state.word().replace('_', " "),
            shown(status.heat.chip_celsius, 1, "°C"),
            shown(status.power.watts, 1, "W"),
            shown(joules_per_terahash(status, board.mean_rate), 1, ""),
            shown(status.clock.megahertz, 0, "MHz"),
            shown(status.heat.fan_rpm, 0, "rpm"),
        ]);
        let (shown, left_out) = listed(&status.chips);
        has_chips |= !shown.is_empty();
        for (place, chip) in shown {
            by_chip.add_row(chip_row(&board.name, place, chip));
        }
        if left_out > 0 {
            lines.push(format!("{}: {left_out} chips are faster than these and not listed", board.name));
        }
        let weak = status.weak_chips();
        lines.extend(weak.iter().map(|chip| weak_text(&board.name, status, chip)));
    }
    let tables = [Some(standing), has_chips.then_some(by_chip)];
    tables.into_iter().flatten().map(|table| table.to_string()).chain(lines).collect()
}

/// The chips of a board to list, in the order of the chain. Shape: each with its place counted from 0, and how many are left
/// out.
fn listed(chips: &[ChipStatus]) -> (Vec<(usize, &ChipStatus)>, usize) {
    let rate = |chip: &ChipStatus| chip.rate.map_or(0.0, |rate| rate.hashes_per_second);
    let mut all: Vec<_> = chips.iter().enumerate().collect();
    let left_out = all.len().saturating_sub(MOST_CHIPS);
    if left_out > 0 {
        all.sort_by(|(_, one), (_, other)| rate(one).total_cmp(&rate(other)));
        all.truncate(MOST_CHIPS);
        all.sort_by_key(|(place, _)| *place);
    }
    (all, left_out)
}

fn chip_row(board: &str, place: usize, chip: &ChipStatus) -> [String; 6] {
    let rate = chip.rate.map(|rate| HashRate(rate.hashes_per_second).to_string());
    let range = chip.rate.map(|rate| format!("{} to {}", HashRate(rate.low), HashRate(rate.high)));
    let unknown = || "–".to_owned();
    [
        board.to_owned(),
        place.to_string(),
        rate.unwrap_or_else(unknown),
        range.unwrap_or_else(unknown),
        chip.nonces.to_string(),
        chip.hardware_errors.to_string(),
    ]
}

fn shown(value: Option<f64>, digits: usize, unit: &str) -> String {
    let text = |value| format!("{value:.digits$} {unit}").trim_end().to_owned();
    value.map_or("–".to_owned(), text)
}

/// By the rate of the last minutes as the chips' nonces tell it, or else by the mean.
fn joules_per_terahash(status: &BoardStatus, mean: HashRate) -> Option<f64> {
    let of_chips: f64 =
        status.chips.iter().filter_map(|chip| chip.rate).map(|rate| rate.hashes_per_second).sum();
    let rate = if of_chips > 0.0 { of_chips } else { mean.0 };
    Some(status.power.watts? / (rate / 1e12)).filter(|joules| joules.is_finite())
}

fn weak_text(board: &str, status: &BoardStatus, weak: &ChipStatus) -> String {
    let rate = |chip: &ChipStatus| chip.rate.map_or(0.0, |rate| rate.hashes_per_second);
    let others = status.chips.iter().map(rate).sum::<f64>() - rate(weak);
    let mean = HashRate(others / (status.chips.len() - 1) as f64);
    let (own, address) = (HashRate(rate(weak)), weak.address);
    format!("{board}: the chip at address {address} does {own}, the others {mean} on average")
}

#[cfg(test)]
mod tests {
    use signalcore_drivers::bm13xx::meter::RateEstimate;
    use signalcore_drivers::status::ChipRate;

    use super::*;
    use crate::engine::BoardId;
    use crate::engine::meter::{BoardCounts, ShareCounts};

    fn status(state: BoardState) -> BoardStatus {
        let mut status = BoardStatus::new(state);
        status.heat.chip_celsius = Some(68.04);
        status.power.watts = Some(14.25);
        status.power.set_millivolts = Some(1000.0);
        status.clock = ClockStatus { megahertz: Some(462.5), set_megahertz: Some(525.0) };
        let chip = |address, rate| ChipStatus {
            address,
            nonces: 100,
            hardware_errors: 0,
            rate: ChipRate::new(RateEstimate { hashes_per_second: rate, standard_error: rate / 10.0 }),
        };
        status.chips = vec![chip(0, 5e11), chip(64, 5e11), chip(128, 5e11), chip(192, 1e11)];
        status
    }

    fn said(before: Option<BoardState>, state: BoardState) -> Option<String> {
        state_text("gamma", before.as_ref(), &status(state)).map(|(_, text)| text)
    }

    #[test]
    fn each_change_of_state_that_concerns_a_person_is_one_line() {
        use BoardState::{CutOff, Hashing, Idle, Parked, Starting, Throttled, Tuning};
        let reason = String::from("x");
        for (before, state, text) in [
            (None, Starting, None),
            (Some(Starting), Hashing, Some("gamma: hashes at 462 MHz")),
            (Some(Hashing), Throttled, Some("gamma: is throttled to 462 MHz of 525 MHz (68.0 °C, 14.2 W)")),
            (Some(Throttled), Hashing, Some("gamma: is back at 462 MHz (68.0 °C, 14.2 W)")),
            (Some(Throttled), CutOff { reason: reason.clone() }, Some("gamma: its power is cut off")),
            (Some(Starting), Parked { reason }, Some("gamma: is parked, and tried again later")),
            (Some(Hashing), Idle, None),
            (Some(Idle), Hashing, None),
            (Some(Tuning), Hashing, Some("gamma: is tuned, its best point is 462 MHz and 1000 mV")),
        ] {
            assert_eq!(said(before, state).as_deref(), text);
        }
    }

    #[test]
    fn the_summary_shows_what_a_board_takes_and_its_weak_chips() {
        let board = |status| BoardSnapshot {
            id: BoardId(0),
            name: "gamma".to_owned(),
            recent_rate: HashRate(0.0),
            mean_rate: HashRate(0.0),
            counts: BoardCounts::default(),
            shares: ShareCounts::default(),
            is_gone: true,
            status,
        };
        assert_eq!(summary(&[board(None)]), [""; 0]);
        let lines = summary(&[board(None), board(Some(status(BoardState::Hashing)))]);
        for figure in ["68.0 °C", "14.2 W", "8.9", "462 MHz", "hashing", "–"] {
            assert!(lines[0].contains(figure), "{figure}: {}", lines[0]);
        }
        for figure in ["500 GH/s", "400 GH/s to 600 GH/s", "100 GH/s", "80.0 GH/s to 120 GH/s"] {
            assert!(lines[1].contains(figure), "{figure}: {}", lines[1]);
        }
        let weak = "gamma: the chip at address 192 does 100 GH/s, the others 500 GH/s on average";
        assert_eq!(lines[2..], [weak]);
        let lines = summary(&[board(Some(BoardStatus::new(BoardState::Starting)))]);
        assert_eq!(lines.len(), 1, "no chips are known yet: {lines:?}");
    }

    #[test]
    fn of_a_long_chain_the_slowest_chips_are_listed_and_the_others_counted() {
        let chip = |place: usize| ChipStatus {
            address: place as u8,
            nonces: 9,
            hardware_errors: 0,
            rate: (place != 64).then_some(ChipRate {
                hashes_per_second: 1e9 * place as f64,
                low: 0.0,
                high: 1e12,
            }),
        };
        let chips: Vec<_> = (0..65).map(chip).collect();
        let (shown, left_out) = listed(&chips);
        let places: Vec<_> = shown.iter().map(|(place, _)| *place).collect();
        assert_eq!(
            (places, left_out),
            ((0..15).chain([64]).collect(), 49),
            "one without a nonce is the slowest"
        );
    }

    #[test]
    fn a_status_has_every_member_and_null_for_what_is_not_known() {
        let members = status_members(&BoardStatus::new(BoardState::Parked { reason: "x".to_owned() }));
        assert_eq!((&members["state"], &members["reason"]), (&json!("parked"), &json!("x")));
        for name in
            ["temperature_c", "power_w", "input_v", "core_mv", "fan_rpm", "fan_percent", "frequency_mhz"]
        {
            assert_eq!(members.get(name), Some(&Value::Null), "{name}");
        }
        assert_eq!(members["chips"], Value::Null, "no zeros before they have had work");
        let chips = &status_members(&status(BoardState::Hashing))["chips"];
        assert_eq!((&chips[1]["address"], &chips[1]["rate_low_hs"]), (&json!(64), &json!(4e11)));
    }
}
