//! The line of settings: what a miner's decider was told to do otherwise, as far as it differs from the defaults.

use std::time::Duration;

use serde_json::{Map, Value};

use super::entry::Body;
use super::{Fault, from_millis, millis, within};
use crate::decision::{Settings, StalePolicy, Strategy};
use crate::replay::world::Rules;

/// The longest time that a setting may be, milliseconds: a year, as of a log.
const MOST: f64 = super::MOST_MS;
/// The shortest turn, and the shortest time by which anything is divided, milliseconds.
const LEAST: f64 = 1.0;
/// More of anything is no setting but a mistake.
const MANY: f64 = 1e6;
/// All satoshi there will ever be.
const COINS: f64 = 21e14;

/// A number among the settings: its name, its least and greatest value as a log has it, and its place.
struct Row(&'static str, f64, f64, Place);

enum Place {
    /// As it is.
    Number(fn(&mut Settings) -> &mut f64),
    /// In milliseconds.
    Span(fn(&mut Settings) -> &mut Duration),
    Count(fn(&mut Settings) -> &mut usize),
    Satoshi(fn(&mut Settings) -> &mut u64),
}

use Place::{Count, Number, Satoshi, Span};

/// Ranges are those within which the decider's formulas mean something; those of the configuration are narrower.
const ROWS: &[Row] = &[
    Row("mean_fees", 0.0, COINS, Satoshi(|s| &mut s.mean_fees)),
    Row("horizon_ms", LEAST, MOST, Span(|s| &mut s.moves.horizon)),
    Row("min_gain", 0.0, 1.0, Number(|s| &mut s.moves.min_gain)),
    Row("flush_margin", 0.0, MANY, Number(|s| &mut s.moves.flush_margin)),
    Row("return_after_ms", 0.0, MOST, Span(|s| &mut s.moves.return_after)),
    Row("dwell_ms", 0.0, MOST, Span(|s| &mut s.moves.dwell)),
    Row("usable_after_ms", 0.0, MOST, Span(|s| &mut s.moves.usable_after)),
    Row("optimism", 0.0, MANY, Number(|s| &mut s.moves.optimism)),
    Row("risk_aversion", 0.0, 1.0, Number(|s| &mut s.moves.risk_aversion)),
    Row("prior_accepted", 1e-3, MANY, Number(|s| &mut s.learning.prior_accepted)),
    Row("prior_rejected", 1e-3, MANY, Number(|s| &mut s.learning.prior_rejected)),
    Row("half_life_ms", LEAST, MOST, Span(|s| &mut s.learning.half_life)),
    Row("alarm", 0.0, MANY, Number(|s| &mut s.alarms.alarm)),
    Row("failed", 0.0, MANY, Number(|s| &mut s.alarms.failed)),
    Row("cleared", -MANY, 0.0, Number(|s| &mut s.alarms.cleared)),
    Row("first_probe_ms", LEAST, MOST, Span(|s| &mut s.alarms.first_probe)),
    Row("last_probe_ms", LEAST, MOST, Span(|s| &mut s.alarms.last_probe)),
    Row("silence_least_ms", LEAST, MOST, Span(|s| &mut s.deadlines.silence_least)),
    Row("silence_most_ms", LEAST, MOST, Span(|s| &mut s.deadlines.silence_most)),
    Row("unanswered", 1.0, MANY, Count(|s| &mut s.deadlines.unanswered)),
    Row("unanswered_after_ms", 0.0, MOST, Span(|s| &mut s.deadlines.unanswered_after)),
    Row("rivalled_ms", 0.0, MOST, Span(|s| &mut s.graces.rivalled)),
    Row("alone_ms", 0.0, MOST, Span(|s| &mut s.graces.alone)),
    Row("pps_behind_ms", 0.0, MOST, Span(|s| &mut s.graces.pps_behind)),
    Row("idle_after_ms", 0.0, MOST, Span(|s| &mut s.graces.idle_after)),
    Row("epsilon", 0.0, 0.05, Number(|s| &mut s.bounds.epsilon)),
    Row("min_confidence", 0.0, 1.0, Number(|s| &mut s.bounds.min_confidence)),
    Row("amend_every_ms", 0.0, MOST, Span(|s| &mut s.bounds.amend_every)),
    Row("amends_an_hour", 0.0, MANY, Count(|s| &mut s.bounds.amends_an_hour)),
    Row("regret_a_day", 0.0, 1.0, Number(|s| &mut s.bounds.regret_a_day)),
];

const STRATEGIES: [(&str, Strategy); 6] = [
    ("failover", Strategy::Failover),
    ("load_balance", Strategy::LoadBalance),
    ("quota", Strategy::Quota),
    ("round_robin", Strategy::RoundRobin),
    ("rotate", Strategy::Rotate(Duration::ZERO)), // and rotate_ms
    ("value", Strategy::Value),
];
const STALE_POLICIES: [(&str, StalePolicy); 2] =
    [("own_revenue", StalePolicy::OwnRevenue), ("network", StalePolicy::Network)];

const STRATEGY: &str = "strategy";
const ROTATE: &str = "rotate_ms";
const STALE_POLICY: &str = "stale_policy";
const MOST_UPSTREAMS_A_DAY: &str = "max_upstreams_per_day";
const LEARNED: &str = "learned";
const TAKEN_AT_ONCE: &str = "taken_at_once";

impl Place {
    fn take(&self, settings: &mut Settings) -> f64 {
        match self {
            Number(place) => *place(settings),
            Span(place) => millis(*place(settings)),
            Count(place) => *place(settings) as f64,
            Satoshi(place) => *place(settings) as f64,
        }
    }

    fn put(&self, settings: &mut Settings, number: f64) {
        match self {
            Number(place) => *place(settings) = number,
            Span(place) => *place(settings) = from_millis(number),
            Count(place) => *place(settings) = number as usize,
            Satoshi(place) => *place(settings) = number as u64,
        }
    }
}

/// The line for these rules; `None` for the defaults.
pub(super) fn line(rules: &Rules) -> Option<Body> {
    let Rules { mut settings, learned, taken_at_once } = *rules;
    let mut usual = Settings::default();
    let mut members = Map::new();
    if settings.strategy != usual.strategy {
        let same_kind = |other: &Strategy| match (other, settings.strategy) {
            (Strategy::Rotate(_), Strategy::Rotate(_)) => true,
            (other, ours) => *other == ours,
        };
        let name = STRATEGIES.iter().find(|(_, other)| same_kind(other)).map(|(name, _)| *name);
        members.extend(name.map(|name| (STRATEGY.to_owned(), name.into())));
    }
    if let Strategy::Rotate(every) = settings.strategy {
        members.insert(ROTATE.to_owned(), millis(every).into());
    }
    if settings.stale_policy != usual.stale_policy {
        let name = STALE_POLICIES.iter().find(|(_, policy)| *policy == settings.stale_policy);
        members.extend(name.map(|(name, _)| (STALE_POLICY.to_owned(), (*name).into())));
    }
    if let Some(most) = settings.moves.max_upstreams_per_day {
        members.insert(MOST_UPSTREAMS_A_DAY.to_owned(), (most as f64).into());
    }
    for Row(name, _, _, place) in ROWS {
        let number = place.take(&mut settings);
        if number != place.take(&mut usual) {
            members.insert((*name).to_owned(), number.into());
        }
    }
    for (name, flag) in [(LEARNED, learned), (TAKEN_AT_ONCE, taken_at_once)] {
        members.extend(flag.then(|| (name.to_owned(), true.into())));
    }
    (!members.is_empty()).then_some(Body::Settings(members))
}

/// The rules of a line; what it does not say is as by default. Errors: a member that is not what its name asks for.
pub(super) fn read(members: &Map<String, Value>) -> Result<Rules, Fault> {
    let mut settings = Settings::default();
    settings.strategy = match word(members, STRATEGY, &STRATEGIES)?.unwrap_or(settings.strategy) {
        Strategy::Rotate(_) => {
            let every = number(members, ROTATE, LEAST, MOST)?;
            Strategy::Rotate(from_millis(every.ok_or_else(|| setting(ROTATE, &Value::Null, NUMBER))?))
        }
        strategy => strategy,
    };
    settings.stale_policy = word(members, STALE_POLICY, &STALE_POLICIES)?.unwrap_or(settings.stale_policy);
    let most = number(members, MOST_UPSTREAMS_A_DAY, 1.0, MANY)?;
    settings.moves.max_upstreams_per_day = most.map(|most| most as usize);
    for Row(name, least, most, place) in ROWS {
        if let Some(number) = number(members, name, *least, *most)? {
            place.put(&mut settings, number);
        }
    }
    let (learned, taken_at_once) = (flag(members, LEARNED)?, flag(members, TAKEN_AT_ONCE)?);
    Ok(Rules { settings, learned, taken_at_once })
}

/// How long an upstream's last job is kept. Errors: out of range.
pub(super) fn patience(millis: f64) -> Result<Duration, Fault> {
    within("patience_ms", millis, 0.0, MOST).map(from_millis)
}

const NUMBER: &str = "a number";

fn setting(field: &'static str, found: &Value, expected: &'static str) -> Fault {
    Fault::Setting { field, found: found.to_string().chars().take(80).collect(), expected }
}

fn number(
    members: &Map<String, Value>,
    name: &'static str,
    least: f64,
    most: f64,
) -> Result<Option<f64>, Fault> {
    let Some(found) = members.get(name) else { return Ok(None) };
    let number = found.as_f64().ok_or_else(|| setting(name, found, NUMBER))?;
    within(name, number, least, most).map(Some)
}

fn flag(members: &Map<String, Value>, name: &'static str) -> Result<bool, Fault> {
    let Some(found) = members.get(name) else { return Ok(false) };
    found.as_bool().ok_or_else(|| setting(name, found, "true or false"))
}

fn word<T: Copy>(
    members: &Map<String, Value>,
    name: &'static str,
    words: &[(&'static str, T)],
) -> Result<Option<T>, Fault> {
    let Some(found) = members.get(name) else { return Ok(None) };
    let known = words.iter().find(|(word, _)| found.as_str() == Some(word));
    known.map(|(_, meant)| Some(*meant)).ok_or_else(|| setting(name, found, expected(name)))
}

fn expected(name: &str) -> &'static str {
    if name == STRATEGY {
        "\"failover\", \"load_balance\", \"quota\", \"round_robin\", \"rotate\" or \"value\""
    } else {
        "\"own_revenue\" or \"network\""
    }
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, prop_compose, proptest};

    use super::*;
    use crate::replay::log::{read as read_log, write};
    use crate::replay::scenario;

    const HEAD: &str = r#"{"t_ms":0,"k":"device","flush_ms":20,"cross_ms":20,"boundary_ms":500}
{"t_ms":0,"k":"upstream","u":"A","scheme":"pps","fee":0.01,"patience_ms":90000}
{"t_ms":0,"k":"notify","u":"A","parent":"h1","height":2,"clean":true,"fees":1}
"#;

    #[test]
    fn a_log_without_a_line_of_settings_means_the_defaults() {
        let world = read_log(HEAD).unwrap();
        assert_eq!(world.rules, Rules::default());
        assert_eq!(world.upstreams[0].patience, Some(Duration::from_secs(90)));
        assert!(line(&Rules::default()).is_none(), "and the defaults need none");
    }

    #[test]
    fn a_setting_that_cannot_be_is_named_with_what_could() {
        for (members, said) in [
            (r#""strategy":"best""#, r#"strategy: found "best", expected "failover""#),
            (r#""strategy":"rotate""#, "rotate_ms: found null, expected a number"),
            (r#""strategy":"rotate","rotate_ms":0"#, "rotate_ms: found 0, expected 1 to"),
            (r#""strategy":7"#, "strategy: found 7, expected"),
            (r#""stale_policy":"none""#, r#"expected "own_revenue" or "network""#),
            (r#""risk_aversion":-1"#, "risk_aversion: found -1, expected 0 to 1"),
            (r#""min_gain":"much""#, r#"min_gain: found "much", expected a number"#),
            (r#""half_life_ms":0"#, "half_life_ms: found 0, expected 1 to"),
            (r#""epsilon":0.5"#, "epsilon: found 0.5, expected 0 to 0.05"),
            (r#""unanswered":1e7"#, "unanswered: found 10000000, expected 1 to 1000000"),
            (r#""learned":1"#, "learned: found 1, expected true or false"),
        ] {
            let found = read_log(&format!("{{\"t_ms\":0,\"k\":\"settings\",{members}}}\n{HEAD}"));
            let fault = found.unwrap_err().to_string();
            assert!(fault.starts_with("line 1: ") && fault.contains(said), "{fault} does not say {said}");
        }
        let fault = read_log(&HEAD.replace("90000", "-1")).unwrap_err().to_string();
        assert!(fault.contains("line 2: patience_ms: found -1, expected 0 to"), "{fault}");
        let variance = r#"{"t_ms":1,"k":"variance","u":"A","variance":1e19}"#;
        let fault = read_log(&format!("{HEAD}{variance}")).unwrap_err().to_string();
        assert!(fault.contains("line 4: variance: found 10000000000000000000, expected 0 to"), "{fault}");
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let told = r#"{"t_ms":0,"k":"settings","mood":"good","min_gain":0.5}"#;
        let world = read_log(&format!("{told}\n{HEAD}")).unwrap();
        assert_eq!(world.rules.settings.moves.min_gain, 0.5);
    }

    prop_compose! {
        /// Any rules within the ranges.
        fn any_rules()(
            parts in proptest::collection::vec(proptest::option::of(0.0..=1.0), ROWS.len()),
            strategy in 0..STRATEGIES.len(),
            rotate in 1_u64..1_000_000_000,
            network: bool,
            most in proptest::option::of(1_usize..100),
            learned: bool,
            taken_at_once: bool,
        ) -> Rules {
            let mut settings = Settings::default();
            for (Row(_, least, most, place), part) in ROWS.iter().zip(parts) {
                if let Some(part) = part {
                    let number: f64 = least + part * (most - least);
                    // A log has nanoseconds for the first hundred days.
                    place.put(&mut settings, if matches!(place, Span(_)) { number.round() } else { number });
                }
            }
            settings.strategy = match STRATEGIES[strategy].1 {
                Strategy::Rotate(_) => Strategy::Rotate(Duration::from_millis(rotate)),
                strategy => strategy,
            };
            settings.stale_policy = STALE_POLICIES[usize::from(network)].1;
            settings.moves.max_upstreams_per_day = most;
            Rules { settings, learned, taken_at_once }
        }
    }

    proptest! {
        #[test]
        fn rules_and_patience_are_read_as_they_were_written(
            rules in any_rules(), patience in proptest::option::of(0_u64..86_400_000_000)
        ) {
            let mut world = scenario::named("S2").unwrap().plan().world(1, Some(0.01));
            world.rules = rules;
            world.upstreams[0].patience = patience.map(Duration::from_micros);
            prop_assert_eq!(read_log(&write(&world)).unwrap(), world);
        }
    }
}
