//! A pool that does all that pools may do, in any order, and holds the miner to what it was told.

use std::collections::HashSet;
use std::ops::AddAssign;
use std::time::Instant;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::job_book::{
    DIFFICULTY_PARTS, Extranonces, Header, JobBook, NTIME, Notify, Owed, Submit, Terms, Verdict,
};

/// The last holds a bit that masks have too: under changing masks such a job and a plain one can come to the same header.
const VERSIONS: [u32; 4] = [0x2000_0000, 0x2000_0000, 0x2000_0000, 0x2000_2000];
const MASKS: [u32; 3] = [0, 0xe000, 0x1fff_e000];

/// One pool over all its connections.
pub(crate) struct Pool {
    /// Part of its coinbases, so that no two pools give the same work.
    number: u8,
    link: Option<Link>,
    book: JobBook,
    /// All that were in force, the newest job's last: a miner that gets those again resumes.
    extranonces: Vec<Extranonces>,
    extranonce2_sizes: &'static [usize],
    shares: Shares,
    jobs_named: u64,
    pub(crate) seen: Seen,
}

/// How often what the test is about came up; a test that saw none of it proves nothing.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) submits: usize,
    pub(crate) resubmits: usize,
    pub(crate) rolled: usize,
    pub(crate) late_ntimes: usize,
    pub(crate) stale_blocks: usize,
}

/// One connection.
struct Link {
    requests: Requests,
    stage: Stage,
    terms: Terms,
    rolling: bool,
    /// What replaces the extranonces from the next notify on.
    next: Option<Extranonces>,
}

/// Requests without an answer.
#[derive(Default)]
struct Requests {
    configure: Option<u64>,
    subscribe: Option<u64>,
    authorize: Option<u64>,
    submits: Vec<Open>,
    /// A submit that was answered, to answer it again.
    answered: Option<u64>,
}

struct Open {
    request: u64,
    header: Header,
    again: bool,
}

enum Stage {
    /// The newest notify so far becomes a job once the extranonces are known.
    Connected { early: Option<Notify> },
    /// `greets`: the next notify is the first after a resumption.
    Subscribed { greets: bool, authorized: bool },
}

/// The shares of all connections.
#[derive(Default)]
struct Shares {
    submitted: HashSet<Header>,
    accepted: HashSet<Header>,
    /// Without an answer when their connection ended: once the session is resumed each may come once more.
    may_return: HashSet<Header>,
}

impl Pool {
    pub(crate) fn new(number: u8, extranonce2_sizes: &'static [usize]) -> Self {
        Self {
            number,
            link: None,
            book: JobBook::default(),
            extranonces: vec![],
            extranonce2_sizes,
            shares: Shares::default(),
            jobs_named: 0,
            seen: Seen::default(),
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    pub(crate) fn is_authorized(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| matches!(link.stage, Stage::Subscribed { authorized: true, .. }))
    }

    pub(crate) fn connect(&mut self) {
        self.link = Some(Link {
            requests: Requests::default(),
            stage: Stage::Connected { early: None },
            terms: Terms { extranonces: (vec![], 0), mask: 0, difficulty: DIFFICULTY_PARTS },
            rolling: false,
            next: None,
        });
    }

    pub(crate) fn disconnect(&mut self) {
        let open = self.link.take().into_iter().flat_map(|link| link.requests.submits);
        self.shares.may_return.extend(open.map(|open| open.header));
    }

    /// Another host, which knows nothing of the sessions of this one.
    pub(crate) fn forget(&mut self) {
        self.extranonces.clear();
        self.begin_anew();
    }

    /// Whether it has accepted this share; true once for each acceptance.
    pub(crate) fn take_acceptance(&mut self, header: &Header) -> bool {
        self.shares.accepted.remove(header)
    }

    /// A line from the miner, whose session owes these shares.
    pub(crate) fn read(&mut self, line: &str, owed: &Owed, now: Instant) {
        let message: Value = serde_json::from_str(line).unwrap();
        let id = message["id"].as_u64().unwrap();
        let link = self.link.as_mut().unwrap();
        match message["method"].as_str().unwrap() {
            "mining.configure" => link.requests.configure = Some(id),
            "mining.subscribe" => link.requests.subscribe = Some(id),
            "mining.authorize" => link.requests.authorize = Some(id),
            "mining.submit" => self.take_submit(&Submit::read(id, &message["params"]), owed, now),
            method => panic!("{method}"),
        }
    }

    fn take_submit(&mut self, submit: &Submit, owed: &Owed, now: Instant) {
        assert!(self.is_authorized(), "a submit before authorisation");
        let link = self.link.as_mut().unwrap();
        assert!(link.rolling || submit.version_bits.is_none(), "version bits were not agreed on: {submit:?}");
        let verdicts =
            self.book.judge(submit, owed, now).unwrap_or_else(|wrong| panic!("{wrong}: {submit:?}"));
        let Shares { submitted, may_return, .. } = &mut self.shares;
        let is_new =
            |verdict: &Verdict| !submitted.contains(&verdict.header) || may_return.contains(&verdict.header);
        let verdict = verdicts.into_iter().find(is_new);
        let Verdict { header, stale } = verdict.unwrap_or_else(|| panic!("submitted twice: {submit:?}"));
        let again = !submitted.insert(header);
        may_return.remove(&header);
        link.requests.submits.push(Open { request: submit.request, header, again });
        self.seen += Seen {
            submits: 1,
            resubmits: again.into(),
            rolled: submit.version_bits.is_some_and(|bits| bits != 0).into(),
            late_ntimes: (submit.ntime != NTIME).into(),
            stale_blocks: stale.into(),
        };
    }

    /// The next line of the pool, if there is anything to say.
    pub(crate) fn say(&mut self, chance: &mut Chance, now: Instant) -> Option<Value> {
        self.link.as_ref()?;
        match chance.below(24) {
            0 | 1 => self.answer_configure(chance),
            2..=5 => self.answer_subscribe(chance, now),
            6..=9 => self.answer_authorize(chance),
            10..=13 => self.notify(chance, now),
            14..=17 => self.set_difficulty(chance),
            18 => self.set_version_mask(chance),
            19 => self.set_extranonce(chance),
            _ => self.answer_submit(chance),
        }
    }

    fn answer_configure(&mut self, chance: &mut Chance) -> Option<Value> {
        let link = self.link.as_mut()?;
        let id = link.requests.configure.take()?;
        link.terms.mask = chance.pick(&[0, 0x1fff_e000, 0x1fff_e000, 0x1fff_e000]);
        link.rolling = link.terms.mask != 0;
        let mask = format!("{:08x}", link.terms.mask);
        Some(
            json!({"id": id, "result": {"version-rolling": link.rolling, "version-rolling.mask": mask}, "error": null}),
        )
    }

    fn answer_subscribe(&mut self, chance: &mut Chance, now: Instant) -> Option<Value> {
        let link = self.link.as_mut()?;
        let id = link.requests.subscribe.take()?;
        if chance.one_in(20) {
            return Some(json!({"id": id, "result": null, "error": [20, "Not now", null]}));
        }
        let extranonces = match chance.below(6) {
            0..=3 => self.extranonces.last().cloned(),
            // Those before a mining.set_extranonce, or before the last connection.
            4 => self.extranonces.iter().rev().nth(1).cloned(),
            _ => None,
        };
        let extranonces = extranonces.unwrap_or_else(|| any_extranonces(chance, self.extranonce2_sizes));
        let resumed = self.extranonces.last() == Some(&extranonces);
        self.extranonces.push(extranonces.clone());
        link.terms.extranonces = extranonces.clone();
        let stage = Stage::Subscribed { greets: resumed, authorized: false };
        let before = std::mem::replace(&mut link.stage, stage);
        if !resumed {
            self.begin_anew();
        }
        if let Stage::Connected { early: Some(notify) } = before {
            self.issue(notify, now);
        }
        let (extranonce1, size) = extranonces;
        let result = json!([[["mining.notify", "session"]], hex::encode(extranonce1), size]);
        Some(json!({"id": id, "result": result, "error": null}))
    }

    fn answer_authorize(&mut self, chance: &mut Chance) -> Option<Value> {
        let link = self.link.as_mut()?;
        let id = link.requests.authorize.take()?;
        let accepted = !chance.one_in(8);
        if let Stage::Subscribed { authorized, .. } = &mut link.stage {
            *authorized = accepted;
        }
        Some(json!({"id": id, "result": accepted, "error": null}))
    }

    fn notify(&mut self, chance: &mut Chance, now: Instant) -> Option<Value> {
        let notify = self.any_notify(chance)?;
        let line = json!({"id": null, "method": "mining.notify", "params": [
            notify.id, hex::encode(words_reversed(notify.prev_hash)), hex::encode(&notify.coinb1),
            hex::encode(&notify.coinb2), notify.branch.iter().map(hex::encode).collect::<Vec<_>>(),
            format!("{:08x}", notify.version), format!("{:08x}", notify.nbits), format!("{NTIME:08x}"), notify.clean,
        ]});
        match &mut self.link.as_mut()?.stage {
            Stage::Connected { early } => *early = Some(notify),
            Stage::Subscribed { .. } => self.issue(notify, now),
        }
        Some(line)
    }

    /// Few contents and few parents, so that the same work comes up again and again.
    fn any_notify(&mut self, chance: &mut Chance) -> Option<Notify> {
        self.link.as_ref()?;
        let version = chance.pick(&VERSIONS);
        let newest = self.book.newest();
        if let Some(newest) = newest.filter(|_| chance.one_in(6)) {
            return Some(Notify { version, clean: chance.one_in(4), ..newest.clone() });
        }
        let parent = newest.map(|newest| newest.prev_hash).filter(|_| !chance.one_in(4));
        self.jobs_named += 1;
        let name = if chance.one_in(4) { chance.below(3) } else { self.jobs_named };
        Some(Notify {
            id: format!("job-{name}"),
            prev_hash: parent.unwrap_or_else(|| distinct(chance.below(3) as u8)),
            coinb1: vec![1, chance.below(3) as u8],
            coinb2: vec![2, self.number],
            branch: (0..chance.below(3) as u8).map(|at| distinct(0x80 + at)).collect(),
            version,
            nbits: chance.pick(&[0x1d00_ffff, 0x1d00_ffff, 0x1d00_ffff, 0x207f_ffff]),
            clean: chance.one_in(4),
        })
    }

    fn issue(&mut self, notify: Notify, now: Instant) {
        let link = self.link.as_mut().unwrap();
        let Stage::Subscribed { greets, .. } = &mut link.stage else { unreachable!("early jobs wait") };
        if let Some(next) = link.next.take() {
            link.terms.extranonces = next.clone();
            self.extranonces.push(next);
        }
        self.book.issue(notify, link.terms.clone(), std::mem::take(greets), now);
    }

    fn set_difficulty(&mut self, chance: &mut Chance) -> Option<Value> {
        let parts = 1 + chance.below(8);
        self.link.as_mut()?.terms.difficulty = parts;
        Some(
            json!({"id": null, "method": "mining.set_difficulty", "params": [parts as f64 / DIFFICULTY_PARTS as f64]}),
        )
    }

    /// Where rolling is agreed on, or may yet be.
    fn set_version_mask(&mut self, chance: &mut Chance) -> Option<Value> {
        let link = self.link.as_mut().filter(|link| link.rolling || link.requests.configure.is_some())?;
        link.terms.mask = chance.pick(&MASKS);
        let mask = format!("{:08x}", link.terms.mask);
        Some(json!({"id": null, "method": "mining.set_version_mask", "params": [mask]}))
    }

    fn set_extranonce(&mut self, chance: &mut Chance) -> Option<Value> {
        let sizes = self.extranonce2_sizes;
        let link = self.link.as_mut()?;
        let Stage::Subscribed { greets, .. } = &mut link.stage else { return None };
        *greets = false;
        let (extranonce1, mut size) = any_extranonces(chance, sizes);
        let mut params = vec![json!(hex::encode(&extranonce1))];
        if chance.one_in(3) {
            size = link.next.as_ref().unwrap_or(&link.terms.extranonces).1;
        } else {
            params.push(json!(size));
        }
        link.next = Some((extranonce1, size));
        Some(json!({"id": null, "method": "mining.set_extranonce", "params": params}))
    }

    /// In any order, sometimes again, of the others never.
    fn answer_submit(&mut self, chance: &mut Chance) -> Option<Value> {
        let requests = &mut self.link.as_mut()?.requests;
        if let Some(answered) = requests.answered.take().filter(|_| chance.one_in(4)) {
            return Some(json!({"id": answered, "result": true, "error": null}));
        }
        if requests.submits.is_empty() {
            return None;
        }
        let open = requests.submits.swap_remove(chance.index(requests.submits.len()));
        requests.answered = Some(open.request);
        let (result, error) = match chance.below(4) {
            _ if open.again => (Value::Null, json!([22, "Duplicate", null])),
            0 => (json!(false), json!([21, "Stale", null])),
            _ => (json!(true), Value::Null),
        };
        if result == json!(true) {
            self.shares.accepted.insert(open.header);
        }
        Some(json!({"id": open.request, "result": result, "error": error}))
    }

    fn begin_anew(&mut self) {
        self.book = JobBook::default();
        self.shares.may_return.clear();
    }
}

impl AddAssign for Seen {
    fn add_assign(&mut self, more: Self) {
        self.submits += more.submits;
        self.resubmits += more.resubmits;
        self.rolled += more.rolled;
        self.late_ntimes += more.late_ntimes;
        self.stale_blocks += more.stale_blocks;
    }
}

/// Few, so that those of an earlier connection come up again.
fn any_extranonces(chance: &mut Chance, sizes: &[usize]) -> Extranonces {
    (vec![0xe1, chance.below(3) as u8], chance.pick(sizes))
}

/// 32 bytes of which no two are alike, so that a wrong order shows.
fn distinct(first: u8) -> [u8; 32] {
    std::array::from_fn(|at| first.wrapping_mul(7).wrapping_add(at as u8))
}

/// A previous hash as a notify words it: each four bytes reversed.
fn words_reversed(mut hash: [u8; 32]) -> [u8; 32] {
    hash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    hash
}
