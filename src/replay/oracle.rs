//! The most that could have been earned, by one who knows everything: what policies are measured against.

use std::time::Duration;

use super::revenue::Standing;
use super::world::{What, World};

/// Revenue of the best sequence of jobs from `measured_from` to the end, in ideal seconds. An upper bound: a dynamic
/// programme over all lines with one value an upstream, which takes newer jobs that void nothing without a loss.
pub fn revenue(world: &World) -> f64 {
    let mut standing = Standing::new(world);
    let (mut flush, mut cross) = (world.device.flush.as_secs_f64(), world.device.cross.as_secs_f64());
    // What the best way to be hashing for each upstream now has earned.
    let mut best = vec![0.0_f64; world.upstreams.len()];
    let mut now = Duration::ZERO;
    for line in world.lines.iter().take_while(|line| line.at < world.end) {
        earn(&mut best, &standing, now.max(world.measured_from), line.at);
        now = line.at;
        let voids = standing.take(line);
        let flushed = match line.what {
            What::Notify(upstream, _) if voids => Some(upstream),
            What::Device(device) => {
                (flush, cross) = (device.flush.as_secs_f64(), device.cross.as_secs_f64());
                None
            }
            _ => None,
        };
        if now < world.measured_from {
            continue;
        }
        let highest = best.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for (upstream, value) in best.iter_mut().enumerate() {
            let rate = standing.newest_rate(upstream);
            let stay = *value - if flushed == Some(upstream) { flush * rate } else { 0.0 };
            *value = stay.max(highest - cross * rate);
        }
    }
    earn(&mut best, &standing, now.max(world.measured_from), world.end);
    best.into_iter().fold(0.0, f64::max)
}

fn earn(best: &mut [f64], standing: &Standing, from: Duration, to: Duration) {
    let seconds = to.saturating_sub(from).as_secs_f64();
    for (upstream, value) in best.iter_mut().enumerate() {
        *value += standing.newest_rate(upstream) * seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::log;

    /// Pools A at 0 % and B at 10 % that pay by the share, on a device whose flushes take 1 s and whose moves take 2 s;
    /// 1000 s.
    fn possible(lines: &str) -> f64 {
        let world = format!(
            r#"{{"t_ms":0,"k":"device","flush_ms":1000,"cross_ms":2000,"boundary_ms":500}}
{{"t_ms":0,"k":"upstream","u":"A","scheme":"pps","fee":0}}
{{"t_ms":0,"k":"upstream","u":"B","scheme":"pps","fee":0.1}}
{{"t_ms":0,"k":"block","parent":"h1","height":1,"truth":true}}
{{"t_ms":0,"k":"notify","u":"A","parent":"h1","height":2,"clean":true,"fees":1}}
{{"t_ms":0,"k":"notify","u":"B","parent":"h1","height":2,"clean":true,"fees":1}}
{lines}{{"t_ms":1000000,"k":"end"}}"#
        );
        revenue(&log::read(&world).unwrap())
    }

    #[test]
    fn a_new_parent_costs_a_flush_and_nothing_else_does() {
        let notify = |parent, clean| {
            format!(
                r#"{{"t_ms":500000,"k":"notify","u":"A","parent":"{parent}","height":2,"clean":{clean},"fees":1}}"#
            ) + "\n"
        };
        assert_eq!(possible(""), 1000.0);
        assert_eq!(
            possible(&notify("h1", true)),
            1000.0,
            "old shares are taken unless the truth says otherwise"
        );
        assert_eq!(possible(&notify("h2", false)), 999.0);
    }

    #[test]
    fn an_outage_is_evaded_by_two_moves_when_it_lasts_and_sat_out_when_not() {
        let outage = |seconds: u64| {
            let edge = |at: u64, on| {
                format!(r#"{{"t_ms":{},"k":"outage","u":"A","on":{on},"truth":true}}"#, at * 1000)
            };
            format!("{}\n{}\n", edge(100, true), edge(100 + seconds, false))
        };
        // To B at 0.9 for 200 s less 2 s, and back less 2 s at 1.
        assert!((possible(&outage(200)) - (800.0 + 0.9 * 198.0 - 2.0)).abs() < 1e-9);
        assert!((possible(&outage(3)) - 997.0).abs() < 1e-9);
    }
}
