//! `signalcore decode`: what a submitted share really says, for when a pool and a miner disagree; and what chips and their
//! driver say to each other.

mod chip;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use signalcore::protocol::job_feed::JobFeed;
use signalcore::protocol::stratum_message::{Call, Message};
use signalcore::work::version::VersionRule;
use signalcore::work::{Extranonce1, Extranonce2, Extranonce2Size, Target, VersionMask, Work};

use super::{exit, print};

const EXAMPLES: &str = "\
Examples:
  signalcore decode share share.json
  echo '{\"notify\": [...], \"extranonce1\": \"08000002\", \"extranonce2\": \"00000001\",
         \"ntime\": \"504e86ed\", \"nonce\": \"b2957c02\"}' | signalcore decode share -
  signalcore decode frame --chip bm1370 55AA520500000A AA55137000000000000010
  signalcore decode nonce --chip bm1366 --job 55AA2156... --nonce AA55083928A9032B000396

Members of a share: notify (the parameters of mining.notify), extranonce1, extranonce2, ntime, nonce (hex, as submitted), and where
version rolling was agreed version_bits, version_mask and version_rule (none, or, xor, replace). Others are ignored.
A list of such objects gives a list of answers.

Exit codes: 0 decoded, 1 the input cannot be decoded, or the nonce is none of the job.";

/// Rebuild what was hashed from what was said.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Print coinbase txid, merkle root, header, hash and difficulty of a share.
    #[command(after_help = EXAMPLES)]
    Share {
        /// JSON file; `-`, or nothing, is the standard input.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    Frame(chip::FrameArgs),
    Nonce(chip::NonceArgs),
}

/// A share as a pool's log has it.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with the members that --help lists")]
struct ShareText {
    notify: Vec<Value>,
    extranonce1: String,
    extranonce2: String,
    ntime: String,
    nonce: String,
    version_bits: Option<String>,
    version_mask: Option<String>,
    version_rule: Option<String>,
}

/// Longest input read: far above any share, well below what hurts.
const MAX_INPUT: u64 = 16 << 20;

/// Runs `signalcore decode`; gives the exit code.
pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let answer = match args.what {
        What::Share { file } => shares(&file)?,
        What::Frame(args) => chip::frames(&args)?,
        What::Nonce(args) => {
            let (answer, is_verified) = chip::nonce(&args)?;
            print(&format!("{answer:#}\n"))?;
            if is_verified {
                return Ok(exit::DONE);
            }
            eprintln!(
                "signalcore: the hash does not even meet difficulty 1: --nonce is not of --job, or it is of a virtual board"
            );
            return Ok(exit::FAILURE);
        }
    };
    print(&format!("{answer:#}\n"))?;
    Ok(exit::DONE)
}

fn shares(file: &Path) -> anyhow::Result<Value> {
    let input: Value = serde_json::from_str(&read(file)?).context("the input is not JSON")?;
    Ok(match input {
        Value::Array(shares) => {
            let decoded = shares.into_iter().enumerate();
            let decoded =
                decoded.map(|(index, share)| decode(share).with_context(|| format!("share {index}")));
            Value::Array(decoded.collect::<anyhow::Result<_>>()?)
        }
        share => decode(share)?,
    })
}

/// The text of a file, or of the standard input where it is `-`, up to the longest input.
pub(super) fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin().take(MAX_INPUT).read_to_string(&mut text).context("read the standard input")?;
    } else {
        let opened = std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?;
        opened
            .take(MAX_INPUT)
            .read_to_string(&mut text)
            .with_context(|| format!("read {}", file.display()))?;
    }
    Ok(text)
}

fn decode(share: Value) -> anyhow::Result<Value> {
    let share: ShareText = serde_json::from_value(share).context("the input is not a share")?;
    let extranonce1 = Extranonce1::new(bytes("extranonce1", &share.extranonce1)?).context("extranonce1")?;
    let extranonce2 =
        Extranonce2::from_bytes(&bytes("extranonce2", &share.extranonce2)?).context("extranonce2")?;
    let (ntime, nonce) = (number("ntime", &share.ntime)?, number("nonce", &share.nonce)?);
    let mask = share.version_mask.as_deref().map(|mask| number("version_mask", mask)).transpose()?;
    let bits = share.version_bits.as_deref().map(|bits| number("version_bits", bits)).transpose()?;
    let rule = version_rule(share.version_rule.as_deref(), bits)?;
    ensure!(
        rule != VersionRule::Replace || mask.is_some(),
        "version_mask is missing, and the rule replace needs it"
    );

    let line = json!({ "method": "mining.notify", "params": share.notify }).to_string();
    let Message::Call { call: Call::Notify(notify), .. } = Message::parse(&line)? else {
        bail!("notify does not hold the parameters of mining.notify");
    };
    let mut feed = JobFeed::default();
    feed.subscribed(extranonce1, Extranonce2Size::new(extranonce2.as_bytes().len() as i64)?);
    let job = feed.notify(*notify).context("the job")?;
    let mask = VersionMask::new(mask.unwrap_or(0));
    let version = rule.header_version(job.header.version, mask, bits.unwrap_or(0));
    let mut txid = job.coinbase.hash(&extranonce2);
    txid.reverse();
    let header = Work::new(Arc::clone(&job), extranonce2, ntime).header(version, nonce);
    let hash = header.hash();
    Ok(json!({
        "coinbase_txid": hex::encode(txid),
        "merkle_root": hex::encode(header.merkle_root),
        "header": hex::encode(header.to_bytes()),
        "hash": hash.to_string(),
        "difficulty": Target::from_le_bytes(hash.0).difficulty().value(),
    }))
}

fn version_rule(name: Option<&str>, bits: Option<u32>) -> anyhow::Result<VersionRule> {
    Ok(match name {
        Some("none") => VersionRule::None,
        Some("or") => VersionRule::Or,
        Some("xor") => VersionRule::Xor,
        Some("replace") => VersionRule::Replace,
        Some(other) => bail!("version_rule is {other:?}, expected none, or, xor or replace"),
        None if bits.is_some() => {
            bail!("version_rule is missing beside version_bits: none, or, xor or replace")
        }
        None => VersionRule::None,
    })
}

fn bytes(field: &str, text: &str) -> anyhow::Result<Vec<u8>> {
    hex::decode(text).with_context(|| format!("{field} is {text:?}, expected an even number of hex digits"))
}

fn number(field: &str, text: &str) -> anyhow::Result<u32> {
    let fits = (1..=8).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    ensure!(fits, "{field} is {text:?}, expected 1 to 8 hex digits");
    Ok(u32::from_str_radix(text, 16)?)
}
