//! `decode frame` and `decode nonce` against what was recorded on real boards.

use serde_json::Value;
use signalcore_drivers::bm13xx::answer::{Answer, AnswerSize, RawNonce};
use signalcore_drivers::bm13xx::chip::{BM1366, BM1397};
use signalcore_drivers::bm13xx::frame::Frame;
use signalcore_drivers::bm13xx::job::SentJob;
use signalcore_drivers::bm13xx::ticket::Ticket;
use signalcore_drivers::{ChipJob, ChipJobId};

use crate::support::signalcore;

fn vectors() -> Vec<Value> {
    let text = include_str!("../vectors/asic-vectors.json");
    let all: Vec<Value> = serde_json::from_str(text).unwrap();
    let is_ours = |vector: &Value| {
        let chip = vector["chip"].as_str().unwrap();
        (chip.starts_with("BM13") && !chip.contains("1384") && !chip.contains("1387")) || chip == "any"
    };
    all.into_iter().filter(is_ours).collect()
}

fn decode(arguments: &[&str]) -> Value {
    let output = signalcore(&[&["decode"], arguments].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refusal(arguments: &[&str]) -> String {
    let output = signalcore(&[&["decode"], arguments].concat()).output().unwrap();
    assert_ne!(output.status.code(), Some(0), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn expect_proof(decoded: &Value, vector: &Value) {
    assert_eq!(decoded["hash"], vector["fields"]["block_hash"], "{vector}");
    let header = &vector["fields"]["header"];
    let header =
        if header.is_null() { vector["hex"].as_str().unwrap().replace(' ', "") } else { text(header) };
    if !decoded["header"].is_null() {
        assert_eq!(decoded["header"].as_str().unwrap(), header.to_lowercase(), "{vector}");
    }
    let recorded = vector["fields"]["difficulty"].as_f64().unwrap();
    let difficulty = decoded["difficulty"].as_f64().unwrap();
    assert!((difficulty / recorded - 1.0).abs() < 1e-9, "{difficulty}: {vector}");
    if let Some(core) = vector["fields"]["core"].as_u64() {
        assert_eq!(decoded["core"], core, "{vector}");
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn every_recorded_nonce_is_rebuilt_to_the_hash_that_proves_it() {
    let vectors = vectors();
    let of_kind =
        |kind: &str| vectors.iter().filter(move |vector| vector["kind"] == kind).collect::<Vec<_>>();
    let jobs = of_kind("job");
    let proved = |vector: &&Value| text(&vector["level"]).starts_with("hash");
    let mut count = 0;
    for vector in vectors.iter().filter(proved) {
        let kind = text(&vector["kind"]);
        let is_its_job = |job: &&&Value| {
            let root = job["fields"]["merkle_root_header"].as_str();
            root.is_some_and(|root| vector["fields"]["header"].as_str().unwrap().contains(root))
        };
        if kind.starts_with("nonce-") {
            let job = jobs.iter().filter(|job| job["chip"] == vector["chip"]).find(is_its_job).unwrap();
            let chip = text(&vector["chip"]);
            let decoded = decode(&[
                "nonce",
                "--chip",
                &chip,
                "--job",
                &text(&job["hex"]),
                "--nonce",
                &text(&vector["hex"]),
            ]);
            expect_proof(&decoded, vector);
            assert_eq!(decoded["verified"], true, "{vector}");
            if kind != "nonce-result" {
                assert_eq!(decoded["is_for_job"], true, "{vector}");
            }
            count += 1;
        } else if kind == "header-check" {
            expect_proof(&of_header(vector), vector);
            count += 1;
        } else if vector["chip"] == "BM1397" {
            let nonce = hex::decode(text(&vector["fields"]["expected_nonce_wire"])).unwrap();
            let index = vector["fields"]["expected_midstate_index"].as_u64().unwrap() as u8;
            let number =
                vector["fields"]["expected_job_byte"].as_u64().unwrap() as u8 >> BM1397.layout.job_shift;
            let raw = RawNonce {
                nonce: nonce.try_into().unwrap(),
                tag: BM1397.tag(index, number, 0),
                version: None,
            };
            let answer = hex::encode(Answer::Nonce(raw).emit(AnswerSize::Nine));
            let decoded =
                decode(&["nonce", "--chip", "bm1397", "--job", &text(&vector["hex"]), "--nonce", &answer]);
            assert_eq!(decoded["hash"], vector["fields"]["block_hash"]);
            assert_eq!(decoded["is_for_job"], true);
            count += 1;
        }
    }
    assert_eq!(count, 7 + 53 + 3 + 1);
}

/// A header goes to a chip as a job and comes back as an answer.
fn of_header(vector: &Value) -> Value {
    let header = hex::decode(text(&vector["hex"]).replace(' ', "")).unwrap();
    let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
    let job = ChipJob {
        id: ChipJobId(1),
        version: number(0),
        prev_hash: header[4..36].try_into().unwrap(),
        merkle_root: header[36..68].try_into().unwrap(),
        ntime: number(68),
        nbits: number(72),
        version_mask: 0,
        target: [0; 32],
    };
    let chip = if vector["chip"] == "any" { &BM1366 } else { &BM1397 };
    let frame = SentJob::new(chip, job, Ticket::ONE).frame(chip.job_byte(3)).emit();
    let is_header = vector["chip"] == "any";
    let nonce = header[76..].try_into().unwrap();
    let raw = RawNonce { nonce, tag: chip.tag(0, 3, 0), version: is_header.then_some(0) };
    let answer = hex::encode(Answer::Nonce(raw).emit(AnswerSize::Nine));
    decode(&["nonce", "--chip", chip.name, "--job", &hex::encode(frame), "--nonce", &answer])
}

#[test]
fn every_recorded_frame_is_printed_whole_and_as_what_it_is() {
    let mut count = 0;
    for vector in vectors() {
        let chip = text(&vector["chip"]).split('/').next().unwrap().to_lowercase();
        let kind = match vector["kind"].as_str().unwrap() {
            "job" => &["job"][..],
            "register-response" => &["register"],
            "nonce-response" | "nonce-response-constructed" => &["nonce"],
            "command" | "command-constructed" => &["write", "read", "set_address", "chain_inactive"],
            _ => continue,
        };
        let chip = if chip.starts_with("bm13") && !chip.contains("xx") { chip } else { "bm1370".to_owned() };
        let decoded = decode(&["frame", "--chip", &chip, &text(&vector["hex"])]);
        let frames = decoded["frames"].as_array().unwrap();
        assert_eq!((frames.len(), &decoded["skipped_bytes"]), (1, &Value::from(0)), "{vector} {decoded}");
        assert!(kind.contains(&frames[0]["kind"].as_str().unwrap()), "{vector} {decoded}");
        if let Some(nonce) = vector["fields"]["nonce_header_le"].as_str() {
            assert_eq!(format!("0x{}", text(&frames[0]["nonce"])).to_lowercase(), nonce.to_lowercase());
        }
        count += 1;
    }
    assert!(count > 150, "{count}");
}

#[test]
fn a_damaged_stream_shows_its_frames_and_what_was_skipped_with_the_reason() {
    let job = Frame::ChainInactive.emit();
    let decoded = decode(&["frame", "--chip", "bm1370", "00 ", &hex::encode(job), "AA55137000000000000011"]);
    assert_eq!(decoded["skipped_bytes"], 12);
    let kinds: Vec<_> =
        decoded["frames"].as_array().unwrap().iter().map(|piece| text(&piece["kind"])).collect();
    assert_eq!(kinds, ["skipped", "chain_inactive", "skipped"]);
    let reason = text(&decoded["frames"][2]["reason"]);
    assert!(reason.starts_with("from a chip: checksum leaves"), "{reason}");
}

#[test]
fn input_that_cannot_be_decoded_is_refused_with_what_is_wrong() {
    for (arguments, said) in [
        (&["frame", "--chip", "bm1387", "00"][..], "no such chip, choose one of bm1397, bm1362"),
        (&["frame", "--chip", "bm1370", "0g"], "the stream is \"0g\", expected an even number of hex digits"),
        (&["nonce", "--chip", "bm1370", "--job", "55AA5305000003", "--nonce", "00"], "--job is a command"),
        (&["nonce", "--chip", "bm1370", "--job", "55AA", "--nonce", "00"], "--job is no job frame"),
    ] {
        let refusal = refusal(arguments);
        assert!(refusal.contains(said), "{refusal}");
    }
}

#[test]
fn a_nonce_that_is_of_another_job_is_shown_as_not_verified_and_is_a_failure() {
    let vectors = vectors();
    let nonce = vectors.iter().find(|vector| vector["kind"] == "nonce-result");
    let nonce = nonce.unwrap();
    let root = |job: &Value| job["fields"]["merkle_root_header"].as_str().map(str::to_owned);
    let header = text(&nonce["fields"]["header"]);
    let is_other = |job: &&Value| {
        job["kind"] == "job"
            && job["chip"] == nonce["chip"]
            && root(job).is_some_and(|root| !header.contains(&root))
    };
    let job = vectors.iter().find(is_other).unwrap();
    let (chip, job, nonce) = (text(&nonce["chip"]), text(&job["hex"]), text(&nonce["hex"]));
    let arguments = ["decode", "nonce", "--chip", &chip, "--job", &job, "--nonce", &nonce];
    let output = signalcore(&arguments).output().unwrap();
    let (decoded, said): (Value, _) =
        (serde_json::from_slice(&output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!((output.status.code(), &decoded["verified"]), (Some(1), &Value::Bool(false)), "{decoded}");
    assert!(said.contains("does not even meet difficulty 1: --nonce is not of --job"), "{said}");
}
