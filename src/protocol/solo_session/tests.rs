use std::sync::LazyLock;

use bitcoin::Address;
use bitcoin::address::NetworkUnchecked;
use serde_json::{Value, json};

use super::*;
use crate::protocol::node_answers::ChainWork;
use crate::work::coinbase_builder::{Payee, Tag};
use crate::work::vectors;
use crate::work::{BlockHash, Extranonce2, Extranonce2Size, Work};

const PAYOUT: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
const FIRST: NodeId = NodeId(0);
const SECOND: NodeId = NodeId(1);

/// An empty template of regtest.
static TEMPLATE: LazyLock<Value> = LazyLock::new(|| {
    let vectors = vectors::gbt();
    let is_empty = |template: &&Value| template["transactions"].as_array().is_some_and(Vec::is_empty);
    vectors.templates.values().find(is_empty).unwrap().clone()
});

struct Bench {
    session: SoloSession,
    now: Instant,
}

impl Bench {
    fn new(nodes: usize) -> Self {
        Self::with(nodes, PAYOUT, false)
    }

    fn with(nodes: usize, payout: &str, check_proposal: bool) -> Self {
        let address = payout.parse::<Address<NetworkUnchecked>>().unwrap().assume_checked();
        let payee = Payee::new(&address, 1).unwrap();
        let size = Extranonce2Size::new(8).unwrap();
        let terms = SoloTerms {
            plan: CoinbasePlan::new(vec![payee], Tag::default(), size).unwrap(),
            chain: ChainTerms { addresses: vec![address], require_peers: true },
            fee_gain: 1000,
            check_proposal,
        };
        let names = (0..nodes).map(|n| format!("http://node{n}")).collect();
        Self { session: SoloSession::new(terms, names), now: Instant::now() }
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    fn jobs(&mut self) -> Vec<Arc<Job>> {
        let job = |event| if let Event::Job(job, _) = event { Some(job) } else { None };
        self.events().into_iter().filter_map(job).collect()
    }

    fn look(&mut self, node: NodeId, view: NodeView) -> Vec<Event> {
        self.session.handle_view(node, view, self.now);
        self.events()
    }

    fn template(&mut self, node: NodeId, template: &Value) {
        let template = Arc::new(Template::parse(&template.to_string()).unwrap());
        let (asked, answered, checked) = (self.now, self.now, self.now);
        let fetched = Fetched { template, asked, answered, checked, notice: None };
        self.session.handle_template(node, fetched, self.now);
    }

    /// Up and mining on the template of the first node.
    fn mining(&mut self) -> Arc<Job> {
        self.look(FIRST, view(1, 1));
        self.template(FIRST, &TEMPLATE);
        self.jobs().pop().unwrap()
    }
}

/// A node of regtest at a tip of that name with that much work.
fn view(tip: u8, work: u8) -> NodeView {
    let mut all = [0; 32];
    all[31] = work;
    NodeView {
        chain: "regtest".into(),
        blocks: 5,
        headers: 5,
        tip: [tip; 32],
        work: ChainWork::from_be_bytes(all),
        is_downloading: true,
        peers: Some(0),
    }
}

fn on_tip(tip: u8) -> Value {
    let mut template = TEMPLATE.clone();
    template["previousblockhash"] = hex::encode([tip; 32]).into();
    template
}

/// The first share of a job that solves a block, from this extranonce2 on.
fn block(job: &Arc<Job>, extranonce2: u128) -> Box<Share> {
    let extranonce2 = Extranonce2::from_counter(extranonce2, job.coinbase.extranonce2_size);
    let work = Work::new(Arc::clone(job), extranonce2, job.header.ntime);
    let share =
        (0..).find_map(|nonce| work.verify(job.header.version, nonce).ok().filter(Share::solves_block));
    Box::new(share.unwrap())
}

fn sent(events: &[Event]) -> Vec<BlockHash> {
    events
        .iter()
        .filter_map(|event| if let Event::Block(found) = event { Some(found.hash) } else { None })
        .collect()
}

fn outcomes(events: Vec<Event>) -> Vec<Outcome> {
    let outcome = |event| if let Event::Answered(answered) = event { Some(answered.outcome) } else { None };
    events.into_iter().filter_map(outcome).collect()
}

fn downs(events: Vec<Event>) -> Vec<String> {
    events
        .into_iter()
        .filter_map(|event| if let Event::Down(reason) = event { Some(reason) } else { None })
        .collect()
}

#[test]
fn a_node_that_is_ready_is_wanted_and_its_template_becomes_a_job() {
    let mut bench = Bench::new(1);
    let events = bench.look(FIRST, view(1, 1));
    assert!(events.iter().any(|event| matches!(event, Event::Want(FIRST, true))), "{events:?}");
    bench.template(FIRST, &on_tip(1));
    let events = bench.events();
    assert!(
        matches!(&events[..], [Event::Job(..), Event::Message(_), Event::Template(news)] if news.clean),
        "{events:?}"
    );
}

#[test]
fn only_a_new_tip_makes_a_clean_job_and_the_same_one_has_to_pay_more() {
    let mut bench = Bench::new(1);
    let first = bench.mining();
    bench.template(FIRST, &TEMPLATE);
    assert_eq!(bench.jobs().len(), 0, "the same again");
    bench.now += Duration::from_secs(120);
    bench.template(FIRST, &TEMPLATE);
    let second = bench.jobs().pop().expect("after two minutes it is renewed");
    assert_eq!((second.epoch, second.id != first.id), (first.epoch, true));
    bench.template(FIRST, &on_tip(9));
    let third = bench.jobs().pop().unwrap();
    assert!(third.epoch > first.epoch);
}

#[test]
fn a_template_of_the_same_tip_that_pays_enough_more_is_mined_on() {
    let vectors = vectors::gbt();
    // The recorded templates come in runs on one tip.
    let full = vectors.templates.values().find(|t| t["transactions"].as_array().unwrap().len() > 2).unwrap();
    let mut empty = full.clone();
    let fees: u64 = full["transactions"].as_array().unwrap().iter().map(|t| t["fee"].as_u64().unwrap()).sum();
    empty["transactions"] = json!([]);
    empty["coinbasevalue"] = (full["coinbasevalue"].as_u64().unwrap() - fees).into();
    empty.as_object_mut().unwrap().remove("default_witness_commitment");
    let mut bench = Bench::new(1);
    bench.look(FIRST, view(1, 1));
    bench.template(FIRST, &empty);
    let first = bench.jobs().pop().unwrap();
    bench.template(FIRST, full);
    let second = bench.jobs().pop().expect("it pays more");
    assert_eq!(second.epoch, first.epoch);
    bench.template(FIRST, &empty);
    assert_eq!(bench.jobs().len(), 0, "less is not worth a switch");
}

#[test]
fn a_payout_of_another_network_is_refused_before_anything_is_mined() {
    let mut bench = Bench::with(1, "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", false);
    let told = downs(bench.look(FIRST, view(1, 1)));
    assert!(told[0].contains("on chain regtest") && told[0].contains("--payout"), "{told:?}");
    bench.template(FIRST, &TEMPLATE);
    assert_eq!(bench.jobs().len(), 0);
}

#[test]
fn a_node_that_is_behind_or_alone_on_a_test_network_is_told_apart_from_a_ready_one() {
    let payout = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
    let ready = NodeView { chain: "testnet4".into(), is_downloading: false, peers: Some(3), ..view(1, 1) };
    let cases = [
        (NodeView { is_downloading: true, ..ready.clone() }, "still fetching the chain: block 5 of 5"),
        (NodeView { headers: 7, ..ready.clone() }, "it is behind: it has block 5 and knows of 7"),
        (NodeView { peers: Some(0), ..ready.clone() }, "no peers"),
        (NodeView { chain: "signet2".into(), ..ready.clone() }, "not known here"),
    ];
    for (view, expected) in cases {
        let told = downs(Bench::with(1, payout, false).look(FIRST, view));
        assert!(told[0].contains(expected), "{told:?}");
    }
    assert!(downs(Bench::with(1, payout, false).look(FIRST, ready)).is_empty());
}

#[test]
fn the_node_with_the_most_work_gives_the_templates_and_the_better_placed_one_gets_them_back() {
    let mut bench = Bench::new(2);
    bench.mining();
    bench.look(SECOND, view(1, 1));
    assert_eq!(bench.session.chosen(), Some(FIRST));
    bench.look(SECOND, view(2, 2));
    assert_eq!(bench.session.chosen(), Some(SECOND));
    bench.template(SECOND, &on_tip(2));
    assert_eq!(bench.jobs().len(), 1);
    bench.template(FIRST, &on_tip(2));
    assert_eq!(bench.jobs().len(), 0, "nobody asked it");
    bench.look(FIRST, view(2, 2));
    assert_eq!(bench.session.chosen(), Some(SECOND), "no hurry");
    bench.now = bench.session.poll_timeout(bench.now).unwrap();
    bench.session.handle_timeout(bench.now);
    assert_eq!(bench.session.chosen(), Some(FIRST));
}

#[test]
fn a_template_that_is_ahead_of_the_looks_moves_nothing_to_a_node_on_the_same_tip() {
    let mut bench = Bench::new(2);
    bench.mining();
    bench.look(SECOND, view(1, 1));
    bench.template(FIRST, &on_tip(2));
    let events = bench.look(SECOND, view(2, 2));
    assert_eq!(bench.session.chosen(), Some(FIRST), "{events:?}");
}

#[test]
fn nodes_that_disagree_for_long_are_told_once() {
    let mut bench = Bench::new(2);
    bench.mining();
    bench.look(FIRST, view(1, 1));
    bench.look(SECOND, view(2, 1));
    bench.now = bench.session.poll_timeout(bench.now).unwrap();
    let mut complaints = 0;
    for _ in 0..3 {
        bench.session.handle_timeout(bench.now);
        let told = bench.events();
        complaints += told
            .iter()
            .filter(|event| matches!(event, Event::Complaint(text) if text.contains("disagreed")))
            .count();
        bench.now += Duration::from_secs(30);
    }
    assert_eq!(complaints, 1);
}

#[test]
fn losing_the_last_node_is_told_once_with_all_reasons_and_the_way_back_gives_the_job_again() {
    let mut bench = Bench::new(2);
    let job = bench.mining();
    bench.session.handle_trouble(SECOND, "connection refused".into(), bench.now);
    assert!(downs(bench.events()).is_empty());
    for _ in 0..2 {
        bench.session.handle_trouble(FIRST, "is warming up".into(), bench.now);
    }
    let told = downs(bench.events());
    assert_eq!(told, ["node http://node0: is warming up; node http://node1: connection refused"]);
    bench.look(FIRST, view(1, 1));
    bench.template(FIRST, &TEMPLATE);
    assert_eq!(bench.jobs(), [job]);
}

#[test]
fn shares_count_and_the_first_block_of_a_parent_is_sent_while_the_others_wait() {
    let mut bench = Bench::new(1);
    let job = bench.mining();
    let [first, second] = [1, 2].map(|extranonce2| block(&job, extranonce2));
    let hashes = [*first.hash(), *second.hash()];
    bench.session.submit(first, bench.now);
    assert_eq!(sent(&bench.events()), hashes[..1]);
    bench.session.submit(second, bench.now);
    assert!(bench.events().is_empty(), "it waits");
    assert!(!bench.session.is_settled());
    bench.session.handle_fate(&hashes[0], BlockFate::Refused("bad-cb-height".into()), bench.now);
    let events = bench.events();
    assert_eq!(sent(&events), hashes[1..]);
    assert!(matches!(&outcomes(events)[..], [Outcome::Rejected(reject)] if reject.text == "bad-cb-height"));
    bench.session.submit(block(&job, 3), bench.now);
    bench.session.handle_fate(&hashes[1], BlockFate::Accepted, bench.now);
    bench.session.submit(block(&job, 4), bench.now);
    assert_eq!(outcomes(bench.events()), [Outcome::Accepted, Outcome::Stale, Outcome::Stale]);
    assert!(bench.session.is_settled());
}

#[test]
fn a_block_of_an_older_job_is_whole_and_sent_all_the_same() {
    let mut bench = Bench::new(1);
    let job = bench.mining();
    bench.template(FIRST, &on_tip(9));
    bench.events();
    bench.session.submit(block(&job, 1), bench.now);
    let events = bench.events();
    let [Event::Block(found)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((found.block.faults(), found.chain.as_str()), (Vec::new(), "regtest"));
}

#[test]
fn of_blocks_on_their_way_at_the_end_the_first_is_kept_and_its_rivals_were_in_vain() {
    let mut bench = Bench::new(1);
    let job = bench.mining();
    bench.session.submit(block(&job, 1), bench.now);
    bench.session.submit(block(&job, 2), bench.now);
    bench.events();
    bench.session.give_up(|_| true);
    assert_eq!(outcomes(bench.events()), [Outcome::Lost(LostReason::Kept), Outcome::Stale]);
    assert!(bench.session.is_settled());
}

#[test]
fn without_a_journal_a_block_on_its_way_at_the_end_is_lost() {
    let mut bench = Bench::new(1);
    let job = bench.mining();
    bench.session.submit(block(&job, 1), bench.now);
    bench.events();
    bench.session.give_up(|_| false);
    assert_eq!(outcomes(bench.events()), [Outcome::Lost(LostReason::Stopped)]);
}

#[test]
fn a_node_that_would_refuse_our_blocks_is_not_mined_on_until_it_was_asked_again() {
    let mut bench = Bench::with(1, PAYOUT, true);
    bench.look(FIRST, view(1, 1));
    bench.template(FIRST, &TEMPLATE);
    assert!(bench.events().iter().any(|event| matches!(event, Event::Propose(FIRST, _))));
    let refusal = Proposal::Refused { reason: "bad-cb-amount".into(), explanation: Some("it pays too much") };
    bench.session.handle_proposal(FIRST, Some(refusal), bench.now);
    let told = downs(bench.events());
    assert!(told[0].contains("bad-cb-amount, it pays too much"), "{told:?}");
    bench.look(FIRST, view(1, 1));
    bench.template(FIRST, &TEMPLATE);
    assert_eq!(bench.jobs().len(), 0);
    bench.now += RECHECK_AFTER;
    bench.look(FIRST, view(1, 1));
    bench.template(FIRST, &TEMPLATE);
    let events = bench.events();
    assert!(events.iter().any(|event| matches!(event, Event::Propose(FIRST, _))), "{events:?}");
    bench.session.handle_proposal(FIRST, Some(Proposal::Sound), bench.now);
    bench.template(FIRST, &on_tip(2));
    let events = bench.events();
    assert!(!events.iter().any(|event| matches!(event, Event::Propose(..))), "asked once a run");
}

#[test]
fn a_refused_job_is_dropped_and_no_longer_the_running_one_for_a_node_that_takes_over() {
    let mut bench = Bench::with(2, PAYOUT, true);
    bench.look(FIRST, view(1, 1));
    bench.look(SECOND, view(1, 1));
    bench.template(FIRST, &TEMPLATE);
    assert_eq!(bench.jobs().len(), 1);
    let refusal = |reason: &str| Some(Proposal::Refused { reason: reason.into(), explanation: None });
    bench.session.handle_proposal(SECOND, refusal("bad-version"), bench.now);
    let is_refused = |event: &Event| matches!(event, Event::BlockRefused(_));
    assert!(
        !bench.events().iter().any(is_refused),
        "that of a node that is not mined on says nothing of the job"
    );
    bench.now += RECHECK_AFTER;
    bench.look(SECOND, view(1, 1));
    bench.events();
    bench.session.handle_proposal(FIRST, refusal("bad-cb-amount"), bench.now);
    let events = bench.events();
    assert!(events.iter().any(|event| matches!(event, Event::BlockRefused(why) if why == "bad-cb-amount")));
    assert!(events.iter().any(|event| matches!(event, Event::Want(SECOND, true))), "{events:?}");
    bench.session.handle_rate(HashRate(1e12), bench.now);
    assert_eq!(bench.jobs().len(), 0, "nor is it made anew for another hash rate");
    bench.template(SECOND, &TEMPLATE);
    assert_eq!(bench.jobs().len(), 1, "the same template of another node is better than the refused one");
    bench.template(SECOND, &TEMPLATE);
    assert_eq!(bench.jobs().len(), 0, "and then the running one as usual");
}

#[test]
fn the_share_difficulty_follows_the_hash_rate_but_is_never_above_the_networks() {
    let mut bench = Bench::new(1);
    let job = bench.mining();
    let network = job.network_target.unwrap().difficulty();
    assert_eq!(job.difficulty, network, "regtest is easier than any share");
    bench.session.handle_rate(HashRate(1e6), bench.now);
    assert_eq!(bench.jobs().len(), 0);

    let mut hard = TEMPLATE.clone();
    hard["bits"] = "1d00ffff".into();
    hard["target"] = format!("{:0>8}{:f<4}{:0<52}", "", "", "").into();
    bench.template(FIRST, &hard);
    let job = bench.jobs().pop().unwrap();
    bench.session.handle_rate(HashRate(1e8), bench.now);
    let faster = bench.jobs().pop().unwrap();
    assert!(faster.difficulty > job.difficulty && faster.difficulty.value() <= 1.0, "{}", faster.difficulty);
    assert_eq!(faster.epoch, job.epoch);
    let seconds = HashRate(1e6).expected_seconds(job.difficulty);
    assert!(seconds < 30.0, "first shares come soon: {seconds}");
}

#[test]
fn a_trouble_whose_figures_move_is_told_once_a_minute_and_another_one_at_once() {
    let mut bench = Bench::new(1);
    let mut told = Vec::new();
    for block in 0..13 {
        bench.session.handle_trouble(FIRST, format!("block {block} of 900"), bench.now);
        told.extend(downs(bench.events()));
        bench.now += Duration::from_secs(10);
    }
    assert_eq!(told.len(), 3, "{told:?}");
    bench.session.handle_trouble(FIRST, "connection refused".into(), bench.now);
    assert_eq!(downs(bench.events()).len(), 1);
}

#[test]
fn a_parent_that_the_chain_comes_back_to_is_mined_on_as_if_for_the_first_time() {
    let mut bench = Bench::new(1);
    let job = bench.mining();
    let (first, second) = (block(&job, 1), block(&job, 2));
    let hash = *first.hash();
    bench.session.submit(first, bench.now);
    bench.session.handle_fate(&hash, BlockFate::Accepted, bench.now);
    bench.template(FIRST, &on_tip(9));
    bench.events();
    bench.session.submit(second, bench.now);
    assert_eq!(outcomes(bench.events()), [Outcome::Stale]);
    // The node has lost our block, or has been set back.
    bench.template(FIRST, &TEMPLATE);
    let job = bench.jobs().pop().unwrap();
    let third = block(&job, 3);
    let hash = *third.hash();
    bench.session.submit(third, bench.now);
    assert_eq!(sent(&bench.events()), [hash]);
    // One that has no end yet does not hold up those after the chain came back.
    bench.template(FIRST, &on_tip(9));
    bench.template(FIRST, &TEMPLATE);
    let job = bench.jobs().pop().unwrap();
    let fourth = block(&job, 4);
    let other = *fourth.hash();
    bench.session.submit(fourth, bench.now);
    assert_eq!(sent(&bench.events()), [other]);
    bench.session.handle_fate(&hash, BlockFate::Refused("x".into()), bench.now);
    bench.session.handle_fate(&other, BlockFate::Accepted, bench.now);
    assert_eq!(outcomes(bench.events()).len(), 2);
    assert!(bench.session.is_settled());
}

#[test]
fn a_block_that_is_found_while_no_node_answers_knows_its_chain() {
    let mut bench = Bench::new(1);
    let job = bench.mining();
    bench.session.handle_trouble(FIRST, "connection refused".into(), bench.now);
    bench.events();
    bench.session.submit(block(&job, 1), bench.now);
    let events = bench.events();
    let [Event::Block(found)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(found.chain, "regtest");
}

#[test]
fn a_block_that_came_second_takes_those_on_its_parent_with_it() {
    let mut bench = Bench::new(1);
    let job = bench.mining();
    let first = block(&job, 1);
    let hash = *first.hash();
    bench.session.submit(first, bench.now);
    bench.session.submit(block(&job, 2), bench.now);
    bench.events();
    bench.session.handle_fate(&hash, BlockFate::Beside("another was first".into()), bench.now);
    let events = bench.events();
    assert_eq!(sent(&events), []);
    assert!(matches!(&outcomes(events)[..], [Outcome::Rejected(_), Outcome::Stale]));
}
