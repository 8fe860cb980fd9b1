//! The whole way in random worlds: one engine with boards, two sessions, and at the other end of each a pool that keeps
//! its own book of jobs and computes every share again. What must hold at every step is asserted where it happens, in
//! `world` and `pool`; a failure prints its seed and the last events.
#![allow(clippy::unwrap_used)] // all of this crate is tests, also what clippy does not see as one

#[path = "whole_way/chance.rs"]
mod chance;
#[path = "whole_way/job_book.rs"]
mod job_book;
#[path = "whole_way/pool.rs"]
mod pool;
#[path = "whole_way/replayed.rs"]
mod replayed;
#[path = "whole_way/world.rs"]
mod world;

use chance::Chance;
use pool::Seen;
use world::World;

const STEPS: usize = 300;

/// Lives through the worlds of these seeds, to the last settled share; what their pools saw in all.
fn live(seeds: std::ops::Range<u64>, extranonce2_sizes: &'static [usize]) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let mut world = World::new(seed, extranonce2_sizes);
        (0..STEPS).for_each(|_| world.step());
        seen += world.stop();
    }
    println!("{seen:?}");
    seen
}

#[test]
fn whatever_pools_and_boards_do_each_submit_is_right_and_each_share_ends_once() {
    let seen = live(0..400, &[0, 1, 2, 3, 4]);
    assert!(
        seen.submits > 2000 && seen.resubmits > 20 && seen.rolled > 700 && seen.stale_blocks > 100,
        "{seen:?}"
    );
}

#[test]
fn with_hardly_any_extranonce2_no_header_is_submitted_twice_either() {
    let seen = live(200..300, &[0, 1]);
    assert!(seen.submits > 800 && seen.late_ntimes > 300, "{seen:?}");
}

#[test]
fn the_same_seed_makes_the_same_world() {
    let first = live(7..8, &[0, 4]);
    assert_eq!(first, live(7..8, &[0, 4]));
    assert_ne!(Chance::new(7).below(1 << 40), Chance::new(8).below(1 << 40));
}
