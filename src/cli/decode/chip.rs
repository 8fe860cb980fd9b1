//! `signalcore decode frame` and `decode nonce`: what goes over the line of BM13xx chips.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};
use signalcore::work::{Header, Target};
use signalcore_drivers::bm13xx::answer::{Answer, RawNonce};
use signalcore_drivers::bm13xx::chip::{CHIPS, Chip, JobForm};
use signalcore_drivers::bm13xx::dissect::{Content, Piece, dissect};
use signalcore_drivers::bm13xx::frame::{Frame, Recipient};
use signalcore_drivers::bm13xx::job_frame::{JobFrame, MidstateJob};
use signalcore_drivers::bm13xx::register::{ROLLABLE_SHIFT, Register};

use super::read;

const FRAME_EXAMPLES: &str = "\
Examples:
  signalcore decode frame --chip bm1370 55AA520500000A AA55137000000000000010
  xxd -p capture.bin | signalcore decode frame --chip bm1366 -

A nonce is printed as mining.submit carries it; nonce_wire are its four bytes as they went over the line. What belongs to
no frame is listed as skipped, with what was wrong.

Exit codes: 0 printed, 1 the input is not hex or names no chip.";

const NONCE_EXAMPLES: &str = "\
Examples:
  signalcore decode nonce --chip bm1366 --job 55AA215608... --nonce AA55178560D2240B54B383
  signalcore decode nonce --chip bm1366 --job 55AA215608... --nonce 178560D254B3

The second form is what logs have: 4 bytes of the nonce and 2 of the version as on the wire. A BM1397 is told midstates
instead of headers: of its nonces there is a hash, but no header.

Exit codes: 0 decoded, 1 the input cannot be decoded.";

/// Print every frame in bytes of the line between host and chips.
#[derive(Debug, clap::Args)]
#[command(after_help = FRAME_EXAMPLES)]
pub(super) struct FrameArgs {
    /// Kind of chip: bm1397, bm1362, bm1366, bm1368 or bm1370.
    #[arg(long, value_name = "NAME", value_parser = chip)]
    chip: &'static Chip,
    /// Bytes in hex; several are read as one stream, `-` is the standard input.
    #[arg(required = true, value_name = "HEX")]
    bytes: Vec<String>,
}

/// Rebuild the header that a chip found a nonce for.
#[derive(Debug, clap::Args)]
#[command(after_help = NONCE_EXAMPLES)]
pub(super) struct NonceArgs {
    /// Kind of chip: bm1397, bm1362, bm1366, bm1368 or bm1370.
    #[arg(long, value_name = "NAME", value_parser = chip)]
    chip: &'static Chip,
    /// The frame that brought the job to the chip.
    #[arg(long, value_name = "HEX")]
    job: String,
    /// The chip's answer, or the nonce and version bytes of a log.
    #[arg(long, value_name = "HEX")]
    nonce: String,
}

fn chip(name: &str) -> Result<&'static Chip, String> {
    CHIPS.into_iter().find(|chip| chip.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let known = CHIPS.map(|chip| chip.name.to_lowercase()).join(", ");
        format!("no such chip, choose one of {known}")
    })
}

/// The stream as JSON.
pub(super) fn frames(args: &FrameArgs) -> anyhow::Result<Value> {
    let mut bytes = Vec::new();
    for text in &args.bytes {
        let text = if text == "-" { read(Path::new("-"))? } else { text.clone() };
        bytes.extend(hex_bytes("the stream", &text)?);
    }
    let pieces = dissect(args.chip, &bytes);
    let skipped = pieces.iter().filter(|piece| matches!(piece.content, Content::Skipped(_)));
    let skipped: usize = skipped.map(|piece| piece.size).sum();
    let frames: Vec<_> = pieces.iter().map(|piece| piece_json(args.chip, piece, &bytes)).collect();
    Ok(json!({ "chip": args.chip.name, "frames": frames, "skipped_bytes": skipped }))
}

fn piece_json(chip: &Chip, Piece { at, size, content }: &Piece, stream: &[u8]) -> Value {
    let bytes = &stream[*at..at + size];
    let (kind, fields, crc) = match content {
        Content::ToChip(frame) => {
            let crc = if matches!(frame, Frame::Job(_)) { 2 } else { 1 };
            let (kind, fields) = frame_json(chip, frame);
            (kind, fields, Some(hex::encode(&bytes[size - crc..])))
        }
        Content::FromChip(Answer::Nonce(raw)) => {
            let crc = format!("{:02x}", bytes[size - 1] & 0x1f);
            ("nonce", nonce_json(chip, raw), Some(crc))
        }
        Content::FromChip(Answer::Register { value, chip_address, register }) => {
            let mut fields = register_json(*register);
            fields["value"] = json!(format!("{value:08x}"));
            fields["chip_address"] = json!(chip_address);
            ("register", fields, Some(format!("{:02x}", bytes[size - 1] & 0x1f)))
        }
        Content::Skipped(damage) => {
            ("skipped", json!({ "reason": damage.as_ref().map(ToString::to_string) }), None)
        }
    };
    let direction = match content {
        Content::ToChip(_) => Some("to chip"),
        Content::FromChip(_) => Some("from chip"),
        Content::Skipped(_) => None,
    };
    let mut piece = Map::new();
    let head = [("at", json!(at)), ("bytes", json!(hex::encode(bytes))), ("kind", json!(kind))];
    piece.extend(head.map(|(name, value)| (name.to_owned(), value)));
    let optional = [("direction", direction.map(str::to_owned)), ("crc", crc)];
    let present = optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value?))));
    piece.extend(present);
    if let Value::Object(fields) = fields {
        piece.extend(fields);
    }
    Value::Object(piece)
}

fn frame_json(chip: &Chip, frame: &Frame) -> (&'static str, Value) {
    let to = |to: &Recipient| match to {
        Recipient::All => json!("all"),
        Recipient::One(address) => json!(address),
    };
    match frame {
        Frame::SetAddress(address) => ("set_address", json!({ "chip_address": address })),
        Frame::ChainInactive => ("chain_inactive", json!({})),
        Frame::Write { to: whom, register, value } => {
            let mut fields = register_json(*register);
            fields["to"] = to(whom);
            fields["value"] = json!(format!("{value:08x}"));
            ("write", fields)
        }
        Frame::Read { to: whom, register } => {
            let mut fields = register_json(*register);
            fields["to"] = to(whom);
            ("read", fields)
        }
        Frame::Job(JobFrame::Header(job)) => {
            let fields = json!({
                "job_number": job.job_byte >> chip.layout.job_shift,
                "job_byte": format!("{:02x}", job.job_byte),
                "start_nonce": hex::encode(job.start_nonce),
                "version": format!("{:08x}", job.version),
                "prev_hash": hex::encode(job.prev_hash),
                "merkle_root": hex::encode(job.merkle_root),
                "ntime": format!("{:08x}", job.ntime),
                "nbits": format!("{:08x}", job.nbits),
            });
            ("job", fields)
        }
        Frame::Job(JobFrame::Midstates(job)) => ("job", midstate_json(chip, job)),
    }
}

fn midstate_json(chip: &Chip, job: &MidstateJob) -> Value {
    let words =
        |state: &[u32; 8]| hex::encode(state.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>());
    json!({
        "job_number": job.job_byte >> chip.layout.job_shift,
        "job_byte": format!("{:02x}", job.job_byte),
        "start_nonce": hex::encode(job.start_nonce),
        "midstates": job.midstates.iter().map(words).collect::<Vec<_>>(),
        "merkle_tail": hex::encode(job.merkle_tail),
        "ntime": format!("{:08x}", job.ntime),
        "nbits": format!("{:08x}", job.nbits),
    })
}

fn register_json(register: Register) -> Value {
    json!({ "register": format!("{:02x}", register.0), "register_name": register.name() })
}

fn nonce_json(chip: &Chip, raw: &RawNonce) -> Value {
    let origin = chip.origin(raw.nonce, raw.tag);
    json!({
        "nonce": format!("{:08x}", u32::from_le_bytes(raw.nonce)),
        "nonce_wire": hex::encode(raw.nonce),
        "version_bits": raw.version.map(|bits| format!("{:08x}", u32::from(bits) << ROLLABLE_SHIFT)),
        "job_number": origin.job_number,
        "core": origin.core,
        "sub_core": origin.sub_core,
        "chip_address": origin.address,
        "excess_zero_bits": origin.excess_zero_bits,
    })
}

/// The header, its hash, and where it was found, as JSON. Shape: that, and whether the hash is one that chips report.
pub(super) fn nonce(args: &NonceArgs) -> anyhow::Result<(Value, bool)> {
    let chip = args.chip;
    let job = hex_bytes("--job", &args.job)?;
    let Frame::Job(job) = Frame::parse(&job).context("--job is no job frame")? else {
        bail!("--job is a command, expected a job frame, which begins with 55 aa 21");
    };
    let (raw, has_tag) = answer(&hex_bytes("--nonce", &args.nonce)?)?;
    let origin = chip.origin(raw.nonce, raw.tag);
    let (header, hash) = match (&job, &chip.layout.form) {
        (JobFrame::Header(job), JobForm::Header) => {
            let header = Header {
                version: job.version | u32::from(raw.version.unwrap_or(0)) << ROLLABLE_SHIFT,
                prev_hash: job.prev_hash,
                merkle_root: job.merkle_root,
                ntime: job.ntime,
                nbits: job.nbits,
                nonce: u32::from_le_bytes(raw.nonce),
            };
            (Some(header), header.hash())
        }
        (JobFrame::Midstates(job), JobForm::Midstates) => {
            ensure!(has_tag, "--nonce has no midstate in it, expected the whole answer of 9 bytes");
            let index = if job.midstates.len() == 1 { 0 } else { usize::from(origin.sub_core) };
            let hash = job.hash(index, raw.nonce).context("the answer names a midstate that --job lacks")?;
            (None, signalcore::work::BlockHash(hash))
        }
        _ => bail!("a {} takes no job in the form of --job; check --chip", chip.name),
    };
    let job_byte = match &job {
        JobFrame::Header(job) => job.job_byte,
        JobFrame::Midstates(job) => job.job_byte,
    };
    let is_for_job = has_tag.then(|| origin.job_number == job_byte >> chip.layout.job_shift);
    let difficulty = Target::from_le_bytes(hash.0).difficulty().value();
    let is_verified = difficulty >= 1.0;
    let answer = json!({
        "chip": chip.name,
        "nonce": format!("{:08x}", u32::from_le_bytes(raw.nonce)),
        "version": header.map(|header| format!("{:08x}", header.version)),
        "header": header.map(|header| hex::encode(header.to_bytes())),
        "hash": hash.to_string(),
        "difficulty": difficulty,
        "verified": is_verified,
        "core": origin.core,
        "chip_address": origin.address,
        "is_for_job": is_for_job,
    });
    Ok((answer, is_verified))
}

/// A nonce, and whether job number and sub-core came with it.
fn answer(bytes: &[u8]) -> anyhow::Result<(RawNonce, bool)> {
    if let [a, b, c, d, high, low] = *bytes {
        let version = Some(u16::from_be_bytes([high, low]));
        return Ok((RawNonce { nonce: [a, b, c, d], tag: 0, version }, false));
    }
    match Answer::parse(bytes).context("--nonce is no answer of a chip, nor the 6 bytes of a log")? {
        Answer::Nonce(raw) => Ok((raw, true)),
        Answer::Register { register, .. } => {
            bail!("--nonce is an answer about {register}, expected one with a nonce")
        }
    }
}

/// Hex with or without blanks and line ends, as logs and capture programs write it.
fn hex_bytes(field: &str, text: &str) -> anyhow::Result<Vec<u8>> {
    let digits: String = text.split_whitespace().collect();
    hex::decode(&digits).with_context(|| {
        let shown: String = digits.chars().take(40).collect();
        format!("{field} is {shown:?}, expected an even number of hex digits")
    })
}
