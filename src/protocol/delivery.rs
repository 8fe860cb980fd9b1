//! One block on its way to the nodes: submitted to all of them, again until each has given its last word, and watched
//! until it is in the chain. Pure: the shell makes the calls.

use std::time::{Duration, Instant};

use super::node_answers::{Doubt, Standing, Verdict};
use crate::work::BlockHash;

/// Waits between attempts grow from the first of these to the second: a node that starts takes seconds.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long after a node took a block its place in the chain is looked up first, and then again and again.
const LOOK_AFTER: Duration = Duration::from_millis(100);
const LOOK_EVERY: Duration = Duration::from_secs(20);
/// How long a block is watched. One that lost its race may still win within the next blocks; a node that was killed
/// before it wrote its index needs the block again.
const WATCHED_FOR: Duration = Duration::from_secs(3600);
/// Different answers of a node that are told.
const MOST_SAID: usize = 8;
/// Blocks on top, itself included, after which it is left alone.
const ENOUGH_CONFIRMATIONS: u32 = 3;
/// How long the others are tried as often as before once one node has the block, and how often after that: they mostly
/// get it from their peers, but one that comes back alone may be the one with peers.
const OTHERS_SOON_FOR: Duration = Duration::from_secs(60);
const OTHERS_WAIT: Duration = Duration::from_secs(60);

/// What to ask a node now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// submitblock.
    Submit,
    /// getblockheader.
    Look,
}

/// What is worth keeping or telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryNews {
    /// A node's words on it; `node` counts in the order of the nodes.
    Answer {
        /// Whose.
        node: usize,
        /// What it said.
        text: String,
    },
    /// A node has taken it.
    Accepted {
        /// Which.
        node: usize,
    },
    /// It has been found in a node's chain.
    InChain,
    /// A node has it beside its chain: another block was there first.
    Beside,
    /// No node takes it, and why.
    Refused(String),
}

/// Something about a found block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockNews {
    /// Its hash.
    pub hash: BlockHash,
    /// Its height.
    pub height: u32,
    /// What.
    pub event: BlockEvent,
}

/// What happened to a found block.
#[derive(Debug, Clone, PartialEq)]
pub enum BlockEvent {
    /// It was found just now.
    Found,
    /// It was found in a run before and had no end yet.
    Again,
    /// A node does not have it, though one had taken it, and gets it again.
    Forgotten {
        /// Which.
        node: String,
    },
    /// It could not be written to the journal, and why; it is sent all the same.
    NotKept(String),
    /// What a node will refuse it for, as far as can be told here; it is sent all the same.
    Faulty(Vec<String>),
    /// A node said something; printable.
    Answer {
        /// Which.
        node: String,
        /// What.
        text: String,
    },
    /// A node took it.
    Accepted {
        /// Which.
        node: String,
        /// Since it was found, or sent again.
        after: Duration,
    },
    /// It is in the chain.
    InChain,
    /// Another block was there first.
    Beside,
    /// No node takes it, and why; printable.
    Refused(String),
}

#[derive(Debug)]
struct Node {
    /// What to ask next.
    call: Call,
    /// When; `None` while it is being asked, and when nothing is to be asked any more.
    due: Option<Instant>,
    is_asked: bool,
    wait: Duration,
    refusal: Option<String>,
    is_in_chain: bool,
    said: Vec<String>,
}

/// A block's way.
#[derive(Debug)]
pub struct Delivery {
    started: Instant,
    nodes: Vec<Node>,
    taken_at: Option<Instant>,
    told: Option<Told>,
    news: Vec<DeliveryNews>,
}

/// What was told of it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Accepted,
    InChain,
    Beside,
    Refused,
}

impl Delivery {
    /// To so many nodes, all at once.
    pub fn new(nodes: usize, now: Instant) -> Self {
        let node = || Node {
            call: Call::Submit,
            due: Some(now),
            is_asked: false,
            wait: FIRST_WAIT,
            refusal: None,
            is_in_chain: false,
            said: Vec::new(),
        };
        let nodes = std::iter::repeat_with(node).take(nodes).collect();
        Self { started: now, nodes, taken_at: None, told: None, news: Vec::new() }
    }

    /// The next call that is due; each is to be answered by [`Self::handle_verdict`] or [`Self::handle_standing`].
    pub fn poll_call(&mut self, now: Instant) -> Option<(usize, Call)> {
        let is_over = now.duration_since(self.started) >= WATCHED_FOR && self.taken_at.is_some();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if node.due.is_none_or(|due| due > now) {
                continue;
            }
            node.due = None;
            if !is_over {
                node.is_asked = true;
                return Some((index, node.call));
            }
        }
        None
    }

    /// When [`Self::poll_call`] has something again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.nodes.iter().filter_map(|node| node.due).min()
    }

    /// What has happened since the last time.
    pub fn take_news(&mut self) -> Vec<DeliveryNews> {
        std::mem::take(&mut self.news)
    }

    /// Whether nothing is left to ask.
    pub fn is_over(&self) -> bool {
        self.nodes.iter().all(|node| node.due.is_none() && !node.is_asked)
    }

    /// A node has answered submitblock, or could not be asked: then it is [`Verdict::Again`].
    pub fn handle_verdict(&mut self, node: usize, verdict: Verdict, now: Instant) {
        self.nodes[node].is_asked = false;
        let text = verdict.to_string();
        let waited = now.duration_since(self.started);
        match verdict {
            // The parent may come from peers, and the chain may tell more than a word that is not known; not for ever.
            Verdict::NoParent | Verdict::AskChain(Doubt::Unknown(_)) if waited >= WATCHED_FOR => {
                self.refused(node, format!("{text}, for an hour"));
            }
            Verdict::Refused { .. } => self.refused(node, text),
            Verdict::Accepted => {
                self.note(node, text);
                self.taken(node, now);
                self.next(node, Call::Look, LOOK_AFTER, now);
            }
            Verdict::AskChain(_) => {
                self.note(node, text);
                self.next(node, Call::Look, Duration::ZERO, now);
            }
            Verdict::Again { .. } => {
                self.note(node, text);
                self.again(node, Call::Submit, now);
            }
            Verdict::NoParent => {
                self.note(node, text);
                self.again_within(node, Call::Submit, OTHERS_WAIT, now);
            }
        }
    }

    /// A node has been given the block before all this began, and said so.
    pub fn begin_with(&mut self, node: usize, verdict: Verdict, now: Instant) {
        self.nodes[node].due = None;
        self.handle_verdict(node, verdict, now);
    }

    /// A node has answered getblockheader, or why it could not be asked; printable.
    pub fn handle_standing(&mut self, node: usize, standing: Result<Standing, String>, now: Instant) {
        self.nodes[node].is_asked = false;
        self.nodes[node].is_in_chain = matches!(standing, Ok(Standing::Active { .. }));
        match standing {
            Ok(Standing::Active { confirmations }) => {
                self.taken(node, now);
                self.tell(Told::InChain, DeliveryNews::InChain);
                if confirmations < ENOUGH_CONFIRMATIONS {
                    self.next(node, Call::Look, LOOK_EVERY, now);
                }
            }
            Ok(Standing::Beside) => {
                // Nodes may be of two minds; the block is not lost as long as one has it in its chain.
                if self.nodes.iter().all(|node| !node.is_in_chain) {
                    self.tell(Told::Beside, DeliveryNews::Beside);
                }
                self.taken_at.get_or_insert(now);
                self.next(node, Call::Look, LOOK_EVERY, now);
            }
            Ok(Standing::Unknown) => self.again(node, Call::Submit, now),
            Err(reason) => {
                self.note(node, reason);
                self.again(node, Call::Look, now);
            }
        }
    }

    fn tell(&mut self, told: Told, news: DeliveryNews) {
        if self.told != Some(told) {
            self.told = Some(told);
            self.news.push(news);
        }
    }

    fn taken(&mut self, node: usize, now: Instant) {
        self.taken_at.get_or_insert(now);
        self.nodes[node].wait = FIRST_WAIT;
        if self.told != Some(Told::InChain) {
            self.tell(Told::Accepted, DeliveryNews::Accepted { node });
        }
    }

    fn refused(&mut self, node: usize, text: String) {
        self.note(node, text.clone());
        self.nodes[node].refusal = Some(text);
        self.judge();
    }

    /// Keeps what a node said, unless it has said so before.
    fn note(&mut self, node: usize, text: String) {
        let said = &mut self.nodes[node].said;
        if said.len() < MOST_SAID && !said.contains(&text) {
            said.push(text.clone());
            self.news.push(DeliveryNews::Answer { node, text });
        }
    }

    fn next(&mut self, node: usize, call: Call, wait: Duration, now: Instant) {
        let node = &mut self.nodes[node];
        (node.call, node.due) = (call, Some(now + wait));
    }

    fn again(&mut self, node: usize, call: Call, now: Instant) {
        let is_late = self.taken_at.is_some_and(|at| now.duration_since(at) >= OTHERS_SOON_FOR);
        self.again_within(node, call, if is_late { OTHERS_WAIT } else { LONGEST_WAIT }, now);
    }

    fn again_within(&mut self, node: usize, call: Call, longest: Duration, now: Instant) {
        let wait = self.nodes[node].wait;
        self.nodes[node].wait = (2 * wait).min(longest);
        self.next(node, call, wait, now);
    }

    /// Lost when all have refused it.
    fn judge(&mut self) {
        let reasons: Option<Vec<_>> = self.nodes.iter().map(|node| node.refusal.as_deref()).collect();
        if let Some(reasons) = reasons {
            let first = reasons.first().copied().unwrap_or_default().to_owned();
            self.tell(Told::Refused, DeliveryNews::Refused(first));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(reason: &str) -> Verdict {
        Verdict::Again { reason: reason.to_owned() }
    }

    fn refusal() -> Verdict {
        Verdict::Refused { reason: "bad-cb-amount".into(), explanation: "it pays too much" }
    }

    fn in_chain(confirmations: u32) -> Standing {
        Standing::Active { confirmations }
    }

    fn calls(delivery: &mut Delivery, now: Instant) -> Vec<(usize, Call)> {
        std::iter::from_fn(|| delivery.poll_call(now)).collect()
    }

    #[test]
    fn all_nodes_are_asked_at_once_and_one_that_takes_it_is_enough() {
        let now = Instant::now();
        let mut delivery = Delivery::new(2, now);
        assert_eq!(calls(&mut delivery, now), [(0, Call::Submit), (1, Call::Submit)]);
        assert_eq!(calls(&mut delivery, now), []);
        delivery.handle_verdict(0, again("refused"), now);
        delivery.handle_verdict(1, Verdict::Accepted, now);
        let told = delivery.take_news();
        assert!(told.contains(&DeliveryNews::Accepted { node: 1 }), "{told:?}");
        assert_eq!(calls(&mut delivery, now + FIRST_WAIT), [(0, Call::Submit)]);
        delivery.handle_verdict(0, Verdict::AskChain(Doubt::Duplicate), now);
        assert_eq!(calls(&mut delivery, now), [(0, Call::Look)]);
        delivery.handle_standing(0, Ok(in_chain(ENOUGH_CONFIRMATIONS)), now);
        assert!(delivery.take_news().contains(&DeliveryNews::InChain));
        assert_eq!(calls(&mut delivery, now + LOOK_AFTER), [(1, Call::Look)]);
        delivery.handle_standing(1, Ok(in_chain(ENOUGH_CONFIRMATIONS)), now);
        assert!(delivery.is_over());
        assert!(delivery.take_news().is_empty(), "nothing is told twice");
    }

    #[test]
    fn a_node_out_of_reach_is_asked_for_ever_at_growing_intervals() {
        let mut now = Instant::now();
        let mut delivery = Delivery::new(1, now);
        let mut waits = Vec::new();
        for _ in 0..2000 {
            assert_eq!(calls(&mut delivery, now), [(0, Call::Submit)]);
            delivery.handle_verdict(0, again("connection refused"), now);
            let due = delivery.poll_timeout().unwrap();
            waits.push(due - now);
            now = due;
        }
        assert_eq!(waits[..4], [50, 100, 200, 400].map(Duration::from_millis));
        assert_eq!(*waits.last().unwrap(), LONGEST_WAIT);
        assert_eq!(delivery.take_news().len(), 1, "the same words are kept once");
        assert!(!delivery.is_over());
    }

    #[test]
    fn a_block_that_a_killed_node_forgot_is_sent_again() {
        let now = Instant::now();
        let mut delivery = Delivery::new(1, now);
        calls(&mut delivery, now);
        delivery.handle_verdict(0, Verdict::Accepted, now);
        let later = now + LOOK_AFTER;
        assert_eq!(calls(&mut delivery, later), [(0, Call::Look)]);
        delivery.handle_standing(0, Err("connection refused".into()), later);
        let later = delivery.poll_timeout().unwrap();
        assert_eq!(calls(&mut delivery, later), [(0, Call::Look)]);
        delivery.handle_standing(0, Ok(Standing::Unknown), later);
        let later = delivery.poll_timeout().unwrap();
        assert_eq!(calls(&mut delivery, later), [(0, Call::Submit)]);
        delivery.handle_verdict(0, Verdict::Accepted, later);
        delivery.handle_standing(0, Ok(in_chain(1)), later);
        assert!(delivery.take_news().contains(&DeliveryNews::InChain));
    }

    #[test]
    fn what_a_node_said_before_the_beginning_counts_and_it_is_not_asked_twice() {
        let now = Instant::now();
        let mut delivery = Delivery::new(2, now);
        delivery.begin_with(1, Verdict::AskChain(Doubt::Duplicate), now);
        assert_eq!(calls(&mut delivery, now), [(0, Call::Submit), (1, Call::Look)]);
    }

    #[test]
    fn different_answers_are_told_once_each_and_not_without_end() {
        let now = Instant::now();
        let mut delivery = Delivery::new(1, now);
        calls(&mut delivery, now);
        for round in 0..100 {
            let reason = if round < 10 { "busy".to_owned() } else { format!("busy {round}") };
            delivery.handle_verdict(0, again(&reason), now);
            delivery.handle_verdict(0, Verdict::NoParent, now);
        }
        assert_eq!(delivery.take_news().len(), MOST_SAID);
    }

    #[test]
    fn a_block_is_refused_only_when_no_node_takes_it() {
        let now = Instant::now();
        let mut delivery = Delivery::new(2, now);
        calls(&mut delivery, now);
        delivery.handle_verdict(0, refusal(), now);
        let refused = |news: Vec<DeliveryNews>| news.iter().any(|n| matches!(n, DeliveryNews::Refused(_)));
        assert!(!refused(delivery.take_news()));
        delivery.handle_verdict(1, refusal(), now);
        let news = delivery.take_news();
        let explained = "bad-cb-amount: it pays too much".to_owned();
        assert!(news.contains(&DeliveryNews::Refused(explained)), "{news:?}");
        assert!(delivery.is_over());
    }

    #[test]
    fn a_missing_parent_and_words_that_nobody_knows_are_tried_again_for_an_hour_and_no_longer() {
        for (verdict, word) in [
            (Verdict::NoParent, "prev-blk-not-found"),
            (Verdict::AskChain(Doubt::Unknown("bad-novelty".into())), "bad-novelty"),
        ] {
            let started = Instant::now();
            let (mut now, mut delivery) = (started, Delivery::new(1, started));
            while !delivery.is_over() {
                assert!(now < started + WATCHED_FOR + OTHERS_WAIT, "{word}");
                for (node, call) in calls(&mut delivery, now) {
                    match call {
                        Call::Submit => delivery.handle_verdict(node, verdict.clone(), now),
                        Call::Look => delivery.handle_standing(node, Ok(Standing::Unknown), now),
                    }
                }
                now = delivery.poll_timeout().unwrap_or(now);
            }
            assert!(now >= started + WATCHED_FOR, "{word}");
            let refused = DeliveryNews::Refused(format!("{word}, for an hour"));
            assert_eq!(delivery.take_news().last(), Some(&refused));
        }
    }

    #[test]
    fn a_lost_race_is_watched_and_its_turn_is_told() {
        let now = Instant::now();
        let mut delivery = Delivery::new(1, now);
        calls(&mut delivery, now);
        delivery.handle_verdict(0, Verdict::AskChain(Doubt::Inconclusive), now);
        calls(&mut delivery, now);
        delivery.handle_standing(0, Ok(Standing::Beside), now);
        assert!(delivery.take_news().contains(&DeliveryNews::Beside));
        let later = now + LOOK_EVERY;
        assert_eq!(calls(&mut delivery, later), [(0, Call::Look)]);
        delivery.handle_standing(0, Ok(Standing::Beside), later);
        assert!(delivery.take_news().is_empty());
        calls(&mut delivery, later + LOOK_EVERY);
        delivery.handle_standing(0, Ok(in_chain(2)), later + LOOK_EVERY);
        let told = delivery.take_news();
        assert_eq!(told, [DeliveryNews::Accepted { node: 0 }, DeliveryNews::InChain]);
        let end = now + WATCHED_FOR;
        assert_eq!(calls(&mut delivery, end), []);
        assert!(delivery.is_over(), "after an hour it is left alone");
    }

    #[test]
    fn a_node_that_comes_back_long_after_another_took_the_block_gets_it() {
        let start = Instant::now();
        let mut delivery = Delivery::new(2, start);
        calls(&mut delivery, start);
        delivery.handle_verdict(1, Verdict::Accepted, start);
        delivery.handle_verdict(0, again("connection refused"), start);
        let (mut now, mut asked) = (start, 0);
        while now < start + Duration::from_secs(600) {
            now = delivery.poll_timeout().unwrap();
            for (node, call) in calls(&mut delivery, now) {
                if node == 1 {
                    delivery.handle_standing(1, Ok(in_chain(1)), now);
                } else {
                    assert_eq!(call, Call::Submit);
                    delivery.handle_verdict(0, again("connection refused"), now);
                    asked += 1;
                }
            }
        }
        assert!((20..60).contains(&asked), "{asked}");
        let due = delivery.poll_timeout().unwrap() + OTHERS_WAIT;
        assert!(calls(&mut delivery, due).contains(&(0, Call::Submit)));
    }
}
