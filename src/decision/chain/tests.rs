use super::*;

/// A chain that upstreams 0, 1, ... speak of.
struct World {
    chain: Chain,
    builders: Vec<Builder>,
    start: Instant,
}

impl World {
    fn new(upstreams: usize) -> Self {
        let chain = Chain::new(upstreams, Graces::default());
        Self { chain, builders: Vec::new(), start: Instant::now() }
    }

    /// At a second, an upstream builds on a block of this name and height.
    fn builds(&mut self, second: f64, upstream: usize, name: u8, height: u32) -> Option<Duration> {
        let (upstream, parent) = (UpstreamId(upstream), [name; 32]);
        let previous = self.builders.iter().find(|(id, _)| *id == upstream).map(|(_, hash)| *hash);
        let word =
            Testimony { upstream, parent, height: Some(height), proven: true, vouches: false, previous };
        self.builders.retain(|(id, _)| *id != upstream);
        self.builders.push((upstream, parent));
        self.chain.testify(word, self.at(second)).1
    }

    fn at(&self, second: f64) -> Instant {
        self.start + Duration::from_secs_f64(second)
    }

    fn judge(&mut self, second: f64, upstream: usize, held_to_tip: bool) -> Judgement {
        let (now, upstream) = (self.at(second), UpstreamId(upstream));
        self.chain.advance(&self.builders, now);
        let hash = self.builders.iter().find(|(id, _)| *id == upstream).unwrap().1;
        self.chain.survey(&self.builders, now).judge(upstream, &hash, held_to_tip)
    }

    fn v(&mut self, second: f64, upstream: usize) -> f64 {
        self.judge(second, upstream, true).v
    }
}

#[test]
fn a_branch_wins_by_its_part_of_the_hash_rate() {
    for (q, behind, chance) in
        [(0.2, 1, 0.25), (0.2, 2, 0.0625), (0.4, 2, 0.444_444), (0.01, 0, 1.0), (0.9, 7, 1.0), (0.2, 3, 0.0)]
    {
        assert!((chance_to_win(q, behind) - chance).abs() < 1e-6, "{q} {behind}");
    }
    assert_eq!(
        [chance_to_win(f64::NAN, 1), chance_to_win(-1.0, u32::MAX), chance_to_win(2.0, 9)],
        [0.0, 0.0, 1.0]
    );
}

#[test]
fn who_has_not_the_new_block_yet_is_late_and_pay_per_share_lasts_a_minute() {
    let mut world = World::new(3);
    for upstream in 0..3 {
        world.builds(0.0, upstream, 1, 100);
    }
    assert_eq!(world.builds(10.0, 1, 2, 101), Some(Duration::ZERO));
    let late = world.judge(10.5, 0, true);
    assert_eq!((late.v, late.behind, late.late_since), (0.0, 1, Some(world.at(10.0))));
    assert_eq!(world.v(10.5, 1), 1.0);
    assert_eq!(world.judge(10.5, 0, false).v, 1.0);
    assert_eq!(world.builds(11.0, 2, 2, 101), Some(Duration::from_secs(1)));
    assert_eq!(world.judge(69.9, 0, false).changes_at, Some(world.at(70.0)));
    assert_eq!(world.judge(70.0, 0, false).v, 0.0);
    assert_eq!(world.builds(71.0, 0, 2, 101), Some(Duration::from_secs(61)));
    assert_eq!([0, 1, 2].map(|upstream| world.v(71.0, upstream)), [1.0; 3]);
}

#[test]
fn two_blocks_of_one_height_are_worth_the_same() {
    let mut world = World::new(4);
    for upstream in 0..4 {
        world.builds(0.0, upstream, 1, 100);
    }
    for (upstream, name) in [(0, 2), (1, 2), (2, 3), (3, 3)] {
        world.builds(10.0, upstream, name, 101);
    }
    assert_eq!([0, 1, 2, 3].map(|upstream| world.v(1000.0, upstream)), [1.0; 4]);
    // When one side gets ahead, the other is a branch with half of the upstreams, and then with a quarter of them.
    world.builds(1000.0, 0, 4, 102);
    world.builds(1001.0, 1, 4, 102);
    assert_eq!([2, 3].map(|upstream| world.v(1002.0, upstream)), [1.0; 2]);
    world.builds(1003.0, 3, 4, 102);
    assert!((world.v(1003.0, 2) - 1.0 / 3.0).abs() < 1e-9);
}

#[test]
fn a_block_that_only_one_names_has_five_seconds_beside_a_known_one_of_its_height() {
    let mut world = World::new(3);
    for upstream in 0..3 {
        world.builds(0.0, upstream, 1, 100);
    }
    world.builds(10.0, 1, 2, 101);
    world.builds(10.5, 2, 2, 101);
    world.builds(11.0, 0, 3, 101);
    assert_eq!(world.judge(15.9, 0, true).changes_at, Some(world.at(16.0)));
    assert_eq!(world.v(15.9, 0), 1.0);
    assert_eq!(world.judge(16.0, 0, false).why, Some(Worthless::ParentUnknown));
    let hash = [3; 32];
    world.chain.node_tip(hash, 101, world.at(17.0));
    assert_eq!(world.v(17.0, 0), 1.0, "known now");
}

#[test]
fn of_two_upstreams_the_one_on_a_lost_branch_stays_lost_while_the_other_goes_on() {
    let mut world = World::new(2);
    for upstream in 0..2 {
        world.builds(0.0, upstream, 1, 100);
    }
    world.builds(10.0, 0, 9, 100);
    assert_eq!((world.v(14.9, 0), world.v(15.0, 0)), (1.0, 0.0));
    // Nobody else knows these blocks, for the only other one is lost.
    for (second, name) in [(600.0, 2), (1200.0, 3), (2400.0, 4)] {
        world.builds(second, 1, name, 99 + u32::from(name));
        for later in [0.0, 4.9, 29.9, 31.0, 500.0] {
            assert_eq!(
                (world.v(second + later, 0), world.v(second + later, 1)),
                (0.0, 1.0),
                "{second} {later}"
            );
        }
    }
    world.builds(3000.0, 0, 4, 103);
    assert_eq!((world.v(3000.0, 0), world.v(3000.0, 1)), (1.0, 1.0), "found back");
}

#[test]
fn a_block_above_all_others_has_thirty_seconds_and_a_lonely_upstream_all_time() {
    let mut world = World::new(2);
    world.builds(0.0, 0, 1, 100);
    assert_eq!(world.v(1e6, 0), 1.0, "nobody else could know it");
    let mut world = World::new(2);
    world.builds(0.0, 0, 1, 100);
    world.builds(0.0, 1, 1, 100);
    world.builds(10.0, 0, 2, 101);
    assert_eq!((world.v(39.9, 0), world.v(39.9, 1)), (1.0, 0.0));
    assert_eq!((world.v(40.0, 0), world.v(40.0, 1)), (0.0, 1.0), "what nobody confirms is the tip no longer");
    world.builds(41.0, 0, 4, 102);
    assert_eq!(world.v(41.0, 1), 1.0, "nor is the next one of the same upstream");
    world.builds(42.0, 1, 4, 102);
    world.builds(50.0, 0, 5, 103);
    assert_eq!(world.v(50.0, 1), 0.0, "a confirmed one clears it");
}

#[test]
fn a_height_made_up_by_one_upstream_moves_no_tip() {
    let mut world = World::new(3);
    for upstream in 0..3 {
        world.builds(0.0, upstream, 1, 100);
    }
    world.builds(10.0, 0, 2, 4_000_000_000);
    assert_eq!([1, 2].map(|upstream| world.v(10.0, upstream)), [1.0; 2]);
    // The true block under a false height: with a second word on it, the height that fits counts.
    world.builds(11.0, 1, 2, 101);
    assert_eq!(world.chain.height(&[2; 32]), Some(101));
    world.builds(11.5, 2, 2, 101);
    assert_eq!([0, 1, 2].map(|upstream| world.v(12.0, upstream)), [1.0; 3]);
}

#[test]
fn the_node_may_keep_to_a_branch_that_is_behind_and_refuse_a_block() {
    let mut world = World::new(3);
    for upstream in 0..3 {
        world.builds(0.0, upstream, 1, 100);
    }
    for (second, upstream, name, height) in
        [(10.0, 0, 2, 101), (10.0, 1, 3, 101), (10.0, 2, 3, 101), (20.0, 1, 4, 102), (20.0, 2, 4, 102)]
    {
        world.builds(second, upstream, name, height);
    }
    assert_eq!(world.v(20.0, 0), 0.0, "nobody else knows it");
    world.chain.node_tip([2; 32], 101, world.at(21.0));
    assert_eq!(world.v(21.0, 0), 1.0, "half of all words, the node's among them");
    world.chain.refuse([4; 32], world.at(22.0));
    assert_eq!(world.judge(22.0, 1, false).why, Some(Worthless::ParentRefused));
    assert_eq!(world.v(22.0, 0), 1.0);
}

#[test]
fn made_up_blocks_push_no_real_one_out_of_memory() {
    let mut world = World::new(3);
    for upstream in 0..2 {
        world.builds(0.0, upstream, 1, 100);
    }
    for name in 10..200 {
        world.builds(1.0, 2, name, 101);
        world.chain.advance(&world.builders.clone(), world.at(1.0));
    }
    assert!(world.chain.parents.len() <= REMEMBERED);
    assert_eq!(world.chain.height(&[1; 32]), Some(100));
}
