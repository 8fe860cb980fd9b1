//! Worlds written by hand, as logs, and exactly what math makes of them.

use std::collections::HashMap;
use std::time::Instant;

use signalcore::decision::{Action, Advice, Decider, Event, JobKey, UpstreamId};
use signalcore::replay::policy::{Counsel, Mathematics};
use signalcore::replay::scenario::named;
use signalcore::replay::world::Parent;
use signalcore::replay::{log, simulation};

use crate::watched::{Watch, Watched};

/// What is decided, as milliseconds, action, upstream and block.
struct Notes {
    start: Instant,
    jobs: HashMap<JobKey, Parent>,
    lines: Vec<String>,
}

impl<P> Watch<P> for Notes {
    fn told(&mut self, event: Event, _: Instant) {
        if let Event::Job(_, facts) = event {
            self.jobs.insert(facts.key, Parent(facts.parent));
        }
    }

    fn did(&mut self, _: &P, action: Action, now: Instant) {
        let ms = (now - self.start).as_millis();
        let mut job = |word: &str, UpstreamId(upstream): UpstreamId, job: JobKey| {
            let name = char::from(b'A' + upstream as u8);
            self.lines.push(format!("{ms} {word} {name} {}", self.jobs[&job]));
        };
        match action {
            Action::Keep => {}
            Action::Boundary(upstream, key) => job("boundary", upstream, key),
            Action::Flush(upstream, key) => job("flush", upstream, key),
            Action::Close(_) | Action::Idle => self.lines.push(format!("{ms} idle")),
        }
    }
}

fn job(seconds: f64, upstream: char, parent: &str, height: u32) -> String {
    let t_ms = seconds * 1e3;
    format!(
        r#"{{"t_ms":{t_ms},"k":"notify","u":"{upstream}","parent":"{parent}","height":{},"clean":true,"fees":1000000}}"#,
        height + 1
    )
}

/// What math does in a world of PPLNS pools with fees of 1 %, 2 % and on, on a device that flushes in 20 ms; it ends after
/// `end` seconds.
fn decided(pools: usize, lines: &[String], end: f64) -> Vec<String> {
    let mut text = r#"{"t_ms":0,"k":"device","flush_ms":20,"cross_ms":20,"boundary_ms":500}"#.to_owned();
    for at in 0..pools {
        let (name, fee) = (char::from(b'A' + at as u8), (at + 1) as f64 / 100.0);
        let upstream = format!(r#"{{"t_ms":0,"k":"upstream","u":"{name}","scheme":"pplns","fee":{fee}}}"#);
        text = [text, upstream].join("\n");
    }
    text = [text, lines.join("\n"), format!("{{\"t_ms\":{},\"k\":\"end\"}}", end * 1e3)].join("\n");
    let world = log::read(&text).unwrap();
    let start = Instant::now();
    let math = Mathematics::new(&world, 0, start);
    let watch = Notes { start, jobs: HashMap::new(), lines: Vec::new() };
    let mut watched = Watched { policy: math, watch };
    simulation::run(&world, &mut watched, 0, start);
    watched.watch.lines
}

/// All pools build on h1 from the start on.
fn together(pools: usize) -> Vec<String> {
    (0..pools).map(|at| job(0.0, char::from(b'A' + at as u8), "h1", 1)).collect()
}

fn with(mut lines: Vec<String>, more: &[String]) -> Vec<String> {
    lines.extend_from_slice(more);
    lines
}

#[test]
fn a_stale_parent_is_never_dispatched_after_a_clean_new_one() {
    let lines = [job(10.0, 'A', "h2", 2), job(10.1, 'B', "h1", 1), job(10.2, 'A', "h1", 1)];
    assert_eq!(decided(2, &with(together(2), &lines), 15.0), ["0 flush A h1", "10000 flush A h2"]);
}

#[test]
fn a_fork_of_equal_height_changes_nothing() {
    let lines =
        [job(10.0, 'A', "h2", 2), job(10.1, 'B', "h2", 2), job(10.2, 'C', "x2", 2), job(10.3, 'D', "x2", 2)];
    assert_eq!(decided(4, &with(together(4), &lines), 29.0), ["0 flush A h1", "10000 flush A h2"]);
}

#[test]
fn a_parent_that_becomes_known_after_four_seconds_moves_nothing() {
    let lines = [job(10.0, 'A', "h2", 2), job(14.0, 'B', "h2", 2), job(14.1, 'C', "h2", 2)];
    assert_eq!(decided(3, &with(together(3), &lines), 29.0), ["0 flush A h1", "10000 flush A h2"]);
}

#[test]
fn a_parent_unknown_for_half_a_minute_above_all_others_is_left() {
    let alive = |seconds: f64| job(seconds, 'B', "h1", 1);
    let lines =
        [job(10.0, 'A', "x2", 2), alive(25.0), job(26.0, 'A', "x2", 2), alive(39.0), job(41.0, 'A', "x2", 2)];
    let decided = decided(2, &with(together(2), &lines), 42.0);
    let moves: Vec<_> = decided.iter().filter(|note| note.contains("B h1")).collect();
    assert_eq!(moves, ["40000 flush B h1"], "{decided:?}");
    assert_eq!(decided.last().unwrap(), "40000 flush B h1");
}

#[test]
fn a_clean_job_on_the_same_parent_with_another_extranonce1_is_flushed_for() {
    let with_extranonce1 = |seconds, extranonce1: &str| {
        job(seconds, 'A', "h1", 1).replace('}', &format!(r#","ex1":"{extranonce1}"}}"#))
    };
    let lines = [with_extranonce1(0.0, "01"), with_extranonce1(10.0, "02")];
    assert_eq!(decided(1, &lines, 15.0), ["0 flush A h1", "10000 flush A h1"]);
}

#[test]
fn a_block_that_the_node_calls_invalid_is_left_at_once() {
    let refused = r#"{"t_ms":12000,"k":"node_refused","parent":"x2"}"#.to_owned();
    let lines = [job(10.0, 'A', "x2", 2), refused];
    let expected = ["0 flush A h1", "10000 flush A x2", "12000 flush B h1"];
    assert_eq!(decided(2, &with(together(2), &lines), 15.0), expected);
}

#[test]
fn with_all_upstreams_dead_the_boards_idle_after_half_a_minute_and_are_back_with_the_first_job() {
    let drop = |upstream| format!(r#"{{"t_ms":10000,"k":"drop","u":"{upstream}"}}"#);
    let up = r#"{"t_ms":60000,"k":"up","u":"B"}"#.to_owned();
    let lines = [drop("B"), drop("A"), up, job(60.0, 'B', "h1", 1)];
    let expected = ["0 flush A h1", "40000 idle", "60000 flush B h1"];
    assert_eq!(decided(2, &with(together(2), &lines), 65.0), expected);
}

#[test]
fn a_job_that_pays_a_stranger_is_never_dispatched() {
    let stolen = job(10.0, 'A', "h2", 2).replace('}', r#","pay_ok":false}"#);
    let decided = decided(2, &with(together(2), &[stolen, job(10.5, 'B', "h2", 2)]), 15.0);
    assert_eq!(decided.first().unwrap(), "0 flush A h1");
    assert!(!decided.contains(&"10000 flush A h2".to_owned()), "{decided:?}");
    assert_eq!(decided.last().unwrap(), "10500 flush B h2");
}

#[test]
fn advice_older_than_a_hard_event_changes_nothing() {
    let world = named("S8").unwrap().plan().world(0, Some(0.1));
    let start = Instant::now();
    let worst = |decider: &Decider, now: Instant| {
        let (candidates, seen) = (decider.candidates(now), decider.moment());
        let target = candidates.last()?.upstream;
        let until = now + std::time::Duration::from_secs(60);
        let (seen, seen_soft) = (seen.checked_sub(1)?, decider.soft_moment());
        Some(Counsel::Advice(Advice { target, hold: false, confidence: 1.0, until, seen, seen_soft }))
    };
    let figures = |mut math: Mathematics| simulation::run(&world, &mut math, 0, start);
    let alone = figures(Mathematics::new(&world, 0, start));
    let advised = figures(Mathematics::new(&world, 0, start).with_adviser(Box::new(worst), start));
    assert_eq!(
        (alone.flushes, alone.boundaries, alone.dead),
        (advised.flushes, advised.boundaries, advised.dead)
    );
    // Summed up in other steps, for the adviser was asked between them.
    assert!((alone.revenue - advised.revenue).abs() < 1e-6);
}
