//! What was recorded while deciding gives the same decisions when it is replayed.

use std::time::{Duration, Instant};

use signalcore::decision::{Action, Call, Event, Record};
use signalcore::replay::log::{self, Recorder};
use signalcore::replay::policy::{FirstCome, Mathematics};
use signalcore::replay::scenario::named;
use signalcore::replay::world::{What, World};
use signalcore::replay::{oracle, simulation};

use crate::watched::{Watch, Watched};

/// All that a policy is told, written down as a miner writes it, and all that it does.
struct Recorded {
    start: Instant,
    recorder: Recorder,
    log: String,
    told: Vec<Event>,
    actions: Vec<(Duration, Action)>,
    records: Vec<Record>,
}

impl Watch<Mathematics> for Recorded {
    fn told(&mut self, event: Event, now: Instant) {
        self.log += &self.recorder.call(&Call::Event(event), now);
        self.told.push(event);
    }

    fn did(&mut self, math: &Mathematics, action: Action, now: Instant) {
        if action != Action::Keep {
            self.actions.push((now - self.start, action));
            self.records.extend(math.decider().records().last().cloned());
        }
    }
}

/// What math is told and does in a world, whose drawn shares are those of a seed.
fn run(world: &World, seed: u64, start: Instant) -> Recorded {
    let (recorder, log) = Recorder::new(world.upstreams.clone(), &world.rules, start);
    let watch = Recorded { start, recorder, log, told: vec![], actions: vec![], records: vec![] };
    let mut watched = Watched { policy: Mathematics::new(world, 5, start), watch };
    simulation::run(world, &mut watched, seed, start);
    watched.watch
}

/// What was made of a world, and the world that its record describes.
fn recorded(name: &str, days: f64, start: Instant) -> (Recorded, World) {
    let first = run(&named(name).unwrap().plan().world(1, Some(days)), 9, start);
    let again = log::read(&first.log).unwrap();
    (first, again)
}

#[test]
fn a_recorded_world_gives_the_same_decisions_bit_for_bit() {
    let start = Instant::now();
    // Moves, rejects, alarms and probes; outages and silence; branches; clean jobs and draws of lots; solo.
    for (name, days) in [("S5", 1.0), ("S4", 1.0), ("S7", 0.5), ("S10a", 0.2), ("S3b", 0.5), ("S1d", 0.1)] {
        let (first, world) = recorded(name, days, start);
        // Another seed for shares: none is drawn.
        let second = run(&world, 10, start);
        let before_end = |(at, _): &&(Duration, Action)| *at < world.end;
        let expected: Vec<_> = first.actions.iter().filter(before_end).collect();
        assert!(expected.len() > 20, "{name}: {} decisions", expected.len());
        assert_eq!(second.actions.iter().collect::<Vec<_>>(), expected, "{name}");
        assert_eq!(second.records, first.records[..expected.len()], "{name}: values and reasons too");
        let all_but_the_last = &first.told[..first.told.len() - 1];
        assert_eq!(second.told, all_but_the_last, "{name}: what it is told");
    }
}

#[test]
fn a_policy_that_goes_elsewhere_finds_shares_when_the_recorded_device_found_them_and_never_more() {
    struct Counted(u64);
    impl Watch<FirstCome> for Counted {
        fn told(&mut self, event: Event, _: Instant) {
            self.0 += u64::from(matches!(event, Event::Submitted(..)));
        }
        fn did(&mut self, _: &FirstCome, _: Action, _: Instant) {}
    }
    let start = Instant::now();
    let (_, world) = recorded("S5", 1.0, start);
    let sent = world.lines.iter().filter(|line| matches!(line.what, What::Submitted(..))).count() as u64;
    let mut stays = Watched { policy: FirstCome::new(2), watch: Counted(0) };
    simulation::run(&world, &mut stays, 1, start);
    let found = stays.watch.0;
    assert!(sent > 20_000 && found <= sent && found > sent * 99 / 100, "{found} of {sent}");
}

#[test]
fn silence_that_nobody_declared_earns_nothing_and_a_device_without_a_job_idles() {
    let mut log =
        r#"{"t_ms":0,"k":"device","flush_ms":20,"cross_ms":20,"boundary_ms":500,"shares_per_second":0}
{"t_ms":0,"k":"upstream","u":"A","scheme":"pps","fee":0}
{"t_ms":0,"k":"notify","u":"A","job":"1","parent":"h1","height":2,"clean":true,"fees":1}
"#
        .to_owned();
    let sent = |share: u64| {
        format!(r#"{{"t_ms":{},"k":"submitted","u":"A","share":{share}}}"#, 100_000 + share * 1000)
    };
    log += &(0..10).map(sent).collect::<Vec<_>>().join("\n");
    log += r#"
{"t_ms":400000,"k":"alive","u":"A"}
{"t_ms":500000,"k":"drop","u":"A"}
{"t_ms":1000000,"k":"end"}
"#;
    let world = log::read(&log).unwrap();
    // 100 s before the first share that nobody answered, and 100 s from the next line to the closed connection, both at the
    // usual rejects.
    assert!((oracle::revenue(&world) - 200.0 * 0.995).abs() < 0.05, "{}", oracle::revenue(&world));
    let start = Instant::now();
    let figures = simulation::run(&world, &mut Mathematics::new(&world, 0, start), 0, start);
    assert!(figures.idle > 450.0, "{figures:?}");
    assert!(
        (figures.revenue / 0.995 + figures.waste + figures.idle + figures.dead - 1000.0).abs() < 1e-6,
        "{figures:?}"
    );
}
