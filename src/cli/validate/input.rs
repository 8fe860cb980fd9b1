//! A job and its context as JSON. It may come from a stranger: all of it is bounded and checked.

use std::time::Duration;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network};
use serde::Deserialize;
use serde_json::{Value, json};
use signalcore::protocol::job_feed::JobFeed;
use signalcore::protocol::stratum_message::{Call, Message, MessageError};
use signalcore::validate::context::{
    After, Chain, Context, LastJob, Machine, NodeView, OtherJob, Proposal, Sent, WorkItem,
};
use signalcore::validate::digest::{Origin, Stamp};
use signalcore::work::payout::Expected;
use signalcore::work::{
    Difficulty, Extranonce1, Extranonce2, Extranonce2Size, HashRate, Header, Job, VersionMask,
};

/// Most entries of a list in the context.
const MAX_LIST: usize = 4096;
/// Characters of a wrong value that an error shows.
const SHOWN: usize = 40;
/// The part of the outputs that has to go to the payout's addresses, where none is given.
const MIN_SHARE: f64 = 0.97;
/// Most seconds that a time may be given as: a hundred years.
const MAX_SECONDS: f64 = 3_155_760_000.0;

/// A job to be judged.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) job: Job,
    pub(super) origin: Origin,
    pub(super) context: Context,
}

/// Why the input is no job.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    /// Not the expected JSON; serde's words name the member.
    #[error("not a job as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The notify is none.
    #[error(transparent)]
    Notify(#[from] MessageError),
    /// A member that cannot be right.
    #[error("{field} is {found:?}, expected {expected}")]
    Field {
        /// Which.
        field: &'static str,
        /// What stands there, shortened.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
}

type Result<T> = std::result::Result<T, InputError>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the members that --help lists")]
struct CaseText {
    notify: Vec<Value>,
    extranonce1: String,
    extranonce2_size: i64,
    version_mask: Option<String>,
    difficulty: Option<f64>,
    #[serde(default)]
    upstream: u64,
    #[serde(default)]
    connection: u64,
    #[serde(default)]
    context: ContextText,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "an object with the members of a context")]
struct ContextText {
    clock: Option<u64>,
    network: Option<String>,
    node: Option<NodeText>,
    others: Vec<OtherText>,
    before: Option<BeforeText>,
    parent_alone_seconds: Option<f64>,
    hash_rate: Option<f64>,
    ntime_rolling: bool,
    siblings: Vec<String>,
    used: Vec<UsedText>,
    payout: Option<PayoutText>,
    stamp: Option<String>,
    sent: Option<SentText>,
    proposal: Option<String>,
    first_branch_known: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeText {
    previousblockhash: String,
    height: u32,
    bits: String,
    mintime: Option<u32>,
    coinbasevalue: Option<u64>,
    #[serde(default)]
    parent_is_invalid: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherText {
    previousblockhash: String,
    height: Option<u32>,
    bits: String,
    ntime: u32,
    seen: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BeforeText {
    height: Option<u32>,
    bits: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsedText {
    board: usize,
    extranonce2: String,
    ntime: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PayoutText {
    addresses: Vec<String>,
    min_share: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SentText {
    header: String,
    extranonce2: String,
    elapsed_seconds: f64,
}

impl Case {
    /// Reads a job and its context; `unix` is the clock where the context names none. Errors: not that JSON, or a member that
    /// cannot be right.
    pub(super) fn parse(text: &str, unix: u64) -> Result<Self> {
        let given: CaseText = serde_json::from_str(text)?;
        let line = json!({ "method": "mining.notify", "params": given.notify }).to_string();
        let Message::Call { call: Call::Notify(notify), .. } = Message::parse(&line)? else {
            return Err(wrong("notify", "no notify", "the parameters of mining.notify"));
        };
        let extranonce1 = extranonce1("extranonce1", &given.extranonce1)?;
        let size = Extranonce2Size::new(given.extranonce2_size).map_err(|_| {
            wrong("extranonce2_size", &given.extranonce2_size.to_string(), "a whole number from 0 to 32")
        })?;
        let mut feed = JobFeed::default();
        feed.subscribed(extranonce1, size);
        if let Some(difficulty) = given.difficulty {
            let checked = Difficulty::new(difficulty);
            let number = || wrong("difficulty", &difficulty.to_string(), "a number above 0, at most 1.77e67");
            feed.set_difficulty(checked.map_err(|_| number())?);
        }
        if let Some(mask) = &given.version_mask {
            feed.set_mask(VersionMask::new(word("version_mask", mask)?));
        }
        let job = feed.notify(*notify).expect("the extranonces are known");
        let origin = Origin { upstream: given.upstream, connection: given.connection };
        Ok(Self { job: (*job).clone(), origin, context: context(given.context, unix)? })
    }
}

fn context(given: ContextText, unix: u64) -> Result<Context> {
    let unix = given.clock.unwrap_or(unix);
    let lists = [
        ("context.others", given.others.len()),
        ("context.siblings", given.siblings.len()),
        ("context.used", given.used.len()),
        ("context.payout.addresses", given.payout.as_ref().map_or(0, |payout| payout.addresses.len())),
    ];
    if let Some((field, length)) = lists.into_iter().find(|(_, length)| *length > MAX_LIST) {
        return Err(wrong(field, &format!("a list of {length}"), "at most 4096 entries"));
    }
    let chain = Chain {
        network: given.network.as_deref().map(network).transpose()?,
        node: given.node.as_ref().map(node).transpose()?,
        others: given.others.iter().map(other).collect::<Result<_>>()?,
        clocks: given.others.iter().map(|given| ahead(given, unix)).collect(),
        waiting: Vec::new(),
        before: given.before.as_ref().map(before).transpose()?,
        parent_alone: given
            .parent_alone_seconds
            .map(|alone| seconds("context.parent_alone_seconds", alone))
            .transpose()?,
    };
    let siblings = given.siblings.iter().map(|sibling| extranonce1("context.siblings", sibling));
    let hash_rate = given.hash_rate.unwrap_or(0.0);
    if !hash_rate.is_finite() || hash_rate < 0.0 {
        return Err(wrong("context.hash_rate", &hash_rate.to_string(), "hashes a second, 0 or above"));
    }
    let machine = Machine {
        hash_rate: HashRate(hash_rate),
        rolls_ntime: given.ntime_rolling,
        siblings: siblings.collect::<Result<_>>()?,
        used: given.used.iter().map(used).collect::<Result<_>>()?,
    };
    let proposal = given
        .proposal
        .map(|answer| if answer == "accepted" { Proposal::Accepted } else { Proposal::Refused(answer) });
    let after = After {
        stamp: given.stamp.as_deref().map(stamp).transpose()?,
        sent: given.sent.as_ref().map(sent).transpose()?,
        proposal,
        first_branch_known: given.first_branch_known,
    };
    let payout = given.payout.as_ref().map(payout).transpose()?;
    Ok(Context { unix, chain, machine, payout, after })
}

fn node(given: &NodeText) -> Result<NodeView> {
    Ok(NodeView {
        prev_hash: block_hash("context.node.previousblockhash", &given.previousblockhash)?,
        height: given.height,
        nbits: word("context.node.bits", &given.bits)?,
        mintime: given.mintime,
        coinbasevalue: given.coinbasevalue,
        parent_is_invalid: given.parent_is_invalid,
    })
}

fn other(given: &OtherText) -> Result<OtherJob> {
    Ok(OtherJob {
        prev_hash: block_hash("context.others.previousblockhash", &given.previousblockhash)?,
        height: given.height,
        nbits: word("context.others.bits", &given.bits)?,
        ntime: given.ntime,
    })
}

/// How far its clock is ahead, seconds.
fn ahead(given: &OtherText, unix: u64) -> i64 {
    i64::from(given.ntime).saturating_sub_unsigned(given.seen.unwrap_or(unix))
}

fn before(given: &BeforeText) -> Result<LastJob> {
    Ok(LastJob { height: given.height, nbits: word("context.before.bits", &given.bits)? })
}

fn used(given: &UsedText) -> Result<WorkItem> {
    let extranonce2 = extranonce2("context.used.extranonce2", &given.extranonce2)?;
    Ok(WorkItem { board: given.board, extranonce2, ntime: given.ntime })
}

fn payout(given: &PayoutText) -> Result<Expected> {
    let address = |text: &String| {
        let parsed = text.parse::<Address<NetworkUnchecked>>();
        let wrong = |_| wrong("context.payout.addresses", text, "an address");
        parsed.map(Address::assume_checked).map_err(wrong)
    };
    let addresses = given.addresses.iter().map(address).collect::<Result<Vec<_>>>()?;
    let share = given.min_share.unwrap_or(MIN_SHARE);
    if !(share > 0.0 && share <= 1.0) {
        return Err(wrong("context.payout.min_share", &share.to_string(), "a number above 0, at most 1"));
    }
    Ok(Expected::new(addresses, share))
}

fn sent(given: &SentText) -> Result<Sent> {
    let header = Header::from_bytes(&array("context.sent.header", &given.header, "160 hex digits")?);
    let extranonce2 = extranonce2("context.sent.extranonce2", &given.extranonce2)?;
    let elapsed = seconds("context.sent.elapsed_seconds", given.elapsed_seconds)?;
    Ok(Sent { header, extranonce2, elapsed })
}

fn stamp(text: &str) -> Result<Stamp> {
    array("context.stamp", text, "128 hex digits").map(Stamp::from_bytes)
}

fn network(name: &str) -> Result<Network> {
    Ok(match name {
        "main" => Network::Bitcoin,
        "test" => Network::Testnet,
        "testnet4" => Network::Testnet4,
        "signet" => Network::Signet,
        "regtest" => Network::Regtest,
        _ => return Err(wrong("context.network", name, "main, test, testnet4, signet or regtest")),
    })
}

/// A hash as explorers and Bitcoin Core print it, to header order.
fn block_hash(field: &'static str, text: &str) -> Result<[u8; 32]> {
    let mut hash: [u8; 32] = array(field, text, "64 hex digits, as Bitcoin Core prints a block hash")?;
    hash.reverse();
    Ok(hash)
}

fn word(field: &'static str, text: &str) -> Result<u32> {
    array(field, text, "8 hex digits").map(u32::from_be_bytes)
}

fn array<const N: usize>(field: &'static str, text: &str, expected: &'static str) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| wrong(field, text, expected))?;
    Ok(bytes)
}

fn extranonce1(field: &'static str, text: &str) -> Result<Extranonce1> {
    let bytes = hex::decode(text).ok().and_then(|bytes| Extranonce1::new(bytes).ok());
    bytes.ok_or_else(|| wrong(field, text, "0 to 32 bytes as hex digits in pairs"))
}

fn extranonce2(field: &'static str, text: &str) -> Result<Extranonce2> {
    let bytes = hex::decode(text).ok().and_then(|bytes| Extranonce2::from_bytes(&bytes).ok());
    bytes.ok_or_else(|| wrong(field, text, "0 to 32 bytes as hex digits in pairs"))
}

fn seconds(field: &'static str, value: f64) -> Result<Duration> {
    if (0.0..=MAX_SECONDS).contains(&value) {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(wrong(field, &value.to_string(), "seconds, 0 or above"))
    }
}

fn wrong(field: &'static str, found: &str, expected: &'static str) -> InputError {
    let mut shown: String = found.chars().take(SHOWN).collect();
    if shown.len() < found.len() {
        shown.push('…');
    }
    InputError::Field { field, found: shown, expected }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use signalcore::validate::{CHECKS, JobUnderTest};

    use super::*;

    const REAL: &str = include_str!("../../../tests/vectors/validate-real.json");

    fn with(change: impl FnOnce(&mut Value)) -> std::result::Result<Case, String> {
        let mut value: Value = serde_json::from_str(REAL).unwrap();
        change(&mut value);
        Case::parse(&value.to_string(), 1).map_err(|error| error.to_string())
    }

    #[test]
    fn a_member_that_is_wrong_is_named_with_what_belongs_there() {
        assert!(with(|_| {}).is_ok());
        let said = |change: fn(&mut Value)| with(change).unwrap_err();
        for (change, expected) in [
            (
                (|v| v["context"]["clock"] = json!("x")) as fn(&mut Value),
                "invalid type: string \"x\", expected u64",
            ),
            (|v| v["context"]["clok"] = json!(1), "unknown field `clok`"),
            (|v| drop(v.as_object_mut().unwrap().remove("extranonce1")), "missing field `extranonce1`"),
            (|v| v["notify"][1] = json!("00"), "mining.notify: prevhash is \"00\", expected 64 hex digits"),
            (
                |v| v["extranonce2_size"] = json!(33),
                "extranonce2_size is \"33\", expected a whole number from 0 to 32",
            ),
            (
                |v| v["difficulty"] = json!(0),
                "difficulty is \"0\", expected a number above 0, at most 1.77e67",
            ),
            (|v| v["version_mask"] = json!("1fff"), "version_mask is \"1fff\", expected 8 hex digits"),
            (
                |v| v["context"]["network"] = json!("maine"),
                "context.network is \"maine\", expected main, test,",
            ),
            (
                |v| v["context"]["node"]["bits"] = json!("zz"),
                "context.node.bits is \"zz\", expected 8 hex digits",
            ),
            (
                |v| v["context"]["hash_rate"] = json!(-1.0),
                "context.hash_rate is \"-1\", expected hashes a second",
            ),
            (|v| v["context"]["parent_alone_seconds"] = json!(1e300), "expected seconds, 0 or above"),
            (
                |v| v["context"]["siblings"] = json!(vec!["00"; 4097]),
                "context.siblings is \"a list of 4097\"",
            ),
            (
                |v| v["context"]["payout"] = json!({"addresses": ["nobody"]}),
                "addresses is \"nobody\", expected an address",
            ),
        ] {
            let said = said(change);
            assert!(said.contains(expected), "{said} lacks {expected}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>(), cut in any::<prop::sample::Index>()) {
            drop(Case::parse(&text, 1));
            drop(Case::parse(&REAL[..cut.index(REAL.len())], 1));
        }

        #[test]
        fn no_job_of_a_stranger_makes_a_check_panic(at in any::<prop::sample::Index>(), byte in b' '..b'~', clock in any::<u64>()) {
            let mut text = REAL.as_bytes().to_vec();
            let at = at.index(text.len());
            text[at] = byte;
            let text = String::from_utf8(text).unwrap();
            if let Ok(mut case) = Case::parse(&text, clock) {
                case.context.unix = clock;
                let test = JobUnderTest::new(&case.job, case.origin);
                for check in &CHECKS {
                    check.run(&test, &case.context);
                }
            }
        }
    }
}
