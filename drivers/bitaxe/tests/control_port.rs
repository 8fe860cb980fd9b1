//! Packets and calls: recorded requests, replies of both forms, and what a line does to them.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::super::link::{CallError, Link, LinkEvent};
use super::super::packet::{Command, Dialect, Refusal, Reply, ReplyDecoder, Request};

const VECTORS: &str = include_str!("../../../tests/vectors/asic-vectors.json");

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What the published requests mean, in the order of the file.
fn published() -> [(u8, Command); 7] {
    [
        (1, Command::I2cSpeed(400_000)),
        (1, Command::I2cWrite { address: 0x4f, bytes: vec![0xde] }),
        (1, Command::I2cRead { address: 0x4c, count: 1 }),
        (1, Command::I2cWriteRead { address: 0x32, bytes: vec![0xfe], count: 2 }),
        (0, Command::SetPin { pin: 0, high: true }),
        (0, Command::CoreVoltage),
        (0, Command::Led([0xff, 0, 0xff])),
    ]
}

#[test]
fn every_published_request_is_read_and_written_to_the_byte() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let requests = vectors.iter().filter(|vector| vector["kind"] == "control-request");
    let hex: Vec<_> = requests.map(|vector| vector["hex"].as_str().unwrap().replace(' ', "")).collect();
    assert_eq!(hex.len(), published().len());
    for (hex, (id, command)) in hex.iter().zip(published()) {
        let bytes = hex::decode(hex).unwrap();
        let request = Request { id, command };
        assert_eq!(Request::parse(&bytes), Ok(request.clone()), "{hex}");
        assert_eq!(request.emit(), bytes, "{hex}");
    }
}

#[test]
fn what_is_no_request_is_refused_with_what_is_wrong() {
    for (bytes, said) in [
        (&[][..], "its length says 6 bytes, it has 0"),
        (&[7, 0, 0, 0, 7, 0x50], "its length says 7 bytes, it has 6"),
        (&[6, 0, 0, 0, 7, 0x52], "there is no command 0x52 on page 0x07 with 0 bytes of data"),
        (&[7, 0, 0, 0, 6, 0, 2], "there is no command 0x00 on page 0x06 with 1 bytes of data"),
    ] {
        assert_eq!(Request::parse(bytes).unwrap_err().to_string(), said);
    }
}

/// The replies in this stream to requests with these ids and sizes of their data.
fn replies(requests: &[(u8, u8)], stream: &[u8]) -> Vec<Reply> {
    let now = Instant::now();
    let mut decoder = ReplyDecoder::default();
    for (id, count) in requests {
        decoder.expect(&Request { id: *id, command: Command::I2cRead { address: 0, count: *count } });
    }
    decoder.feed(stream, now);
    std::iter::from_fn(|| decoder.next_reply(now + ms(50))).collect()
}

fn ok(id: u8, data: &[u8]) -> Reply {
    Reply { id: Some(id), outcome: Ok(data.to_vec()) }
}

fn refused(id: Option<u8>, refusal: Refusal) -> Reply {
    Reply { id, outcome: Err(refusal) }
}

#[test]
fn both_forms_of_replies_are_understood_without_being_told_which() {
    assert_eq!(replies(&[(3, 2)], &[2, 0, 3, 0x48, 0x50]), [ok(3, &[0x48, 0x50])]);
    assert_eq!(replies(&[(3, 2)], &[6, 0, 3, 0, 0x48, 0x50]), [ok(3, &[0x48, 0x50])]);
    let mut decoder = ReplyDecoder::default();
    let now = Instant::now();
    decoder.expect(&Request { id: 0, command: Command::Pin(0) });
    decoder.feed(&[5, 0, 0, 0, 1], now);
    assert!(decoder.next_reply(now).is_some());
    assert_eq!(decoder.dialect(), Some(Dialect::V1));
    // In this form a reply of the other one is noise.
    decoder.expect(&Request { id: 1, command: Command::Pin(0) });
    decoder.feed(&[1, 0, 1, 1], now);
    assert_eq!(decoder.next_reply(now + ms(50)), None);
    assert_eq!(decoder.skipped(), 4);
}

#[test]
fn refusals_are_told_from_data_of_the_same_length() {
    assert_eq!(replies(&[(3, 4)], &[4, 0, 3, 0x10, 2, 3, 4]), [ok(3, &[0x10, 2, 3, 4])]);
    assert_eq!(replies(&[(3, 4)], &[4, 0, 3, 0x10]), [refused(Some(3), Refusal::Timeout)]);
    assert_eq!(replies(&[(3, 1)], &[4, 0, 3, 0x11]), [refused(Some(3), Refusal::Invalid)]);
    assert_eq!(replies(&[], &[4, 0, 0xff, 0x12]), [refused(None, Refusal::Overflow)]);
    let text = [&[11, 0, 3, 0xff], &b"no \x1bbus"[..]].concat();
    assert_eq!(replies(&[(3, 1)], &text), [refused(Some(3), Refusal::Text("no ?bus".to_owned()))]);
    let garbage = [&[10, 0, 3, 0xff][..], &[0x80, b'a', 0x81, 0x82, b'b', 0xfe]].concat();
    assert_eq!(replies(&[(3, 1)], &garbage), [refused(Some(3), Refusal::Garbage(6))]);
    assert_eq!(replies(&[(3, 4)], &[4, 0, 3, 0x77]), [], "a code that nobody knows");
}

#[test]
fn a_refusal_among_noise_is_noise_until_the_line_was_silent() {
    let now = Instant::now();
    let mut decoder = ReplyDecoder::default();
    decoder.expect(&Request { id: 3, command: Command::Pin(0) });
    let refusal = [4, 0, 0xff, 0x11];
    decoder.feed(&[&[9, 9, 9][..], &refusal, &[4, 0, 3, 0x10]].concat(), now);
    assert_eq!(decoder.next_reply(now), None);
    decoder.feed(&refusal, now + ms(49));
    assert_eq!((decoder.next_reply(now + ms(49)), decoder.skipped()), (None, 13));
    assert_eq!(decoder.next_reply(now + ms(99)), None, "what is left is no beginning of anything");
    decoder.feed(&refusal, now + ms(99));
    assert_eq!(decoder.next_reply(now + ms(99)), Some(refused(None, Refusal::Invalid)));
}

#[test]
fn four_bytes_that_may_be_data_or_a_refusal_are_waited_for() {
    let now = Instant::now();
    let mut decoder = ReplyDecoder::default();
    decoder.expect(&Request { id: 3, command: Command::I2cSpeed(1) });
    decoder.feed(&[4, 0, 3, 0x10], now);
    assert_eq!(decoder.next_reply(now + ms(49)), None);
    assert_eq!(decoder.poll_timeout(), Some(now + ms(50)));
    assert_eq!(decoder.next_reply(now + ms(50)), Some(refused(Some(3), Refusal::Timeout)));
    assert_eq!(decoder.poll_timeout(), None);
}

proptest! {
    #[test]
    fn a_reply_is_found_behind_any_noise_without_its_id(
        noise in proptest::collection::vec(any::<u8>(), 0..300), data in proptest::collection::vec(any::<u8>(), 1..40)
    ) {
        let noise: Vec<u8> = noise.into_iter().filter(|byte| ![7, 0xff].contains(byte)).collect();
        let size = data.len() as u8;
        let stream = [noise.as_slice(), &[size, 0, 7], &data].concat();
        let found = replies(&[(7, size)], &stream);
        prop_assert_eq!(found.last(), Some(&ok(7, &data)));
        prop_assert_eq!(found.len(), 1);
    }

    #[test]
    fn no_noise_at_all_outlasts_fifty_milliseconds_of_silence(
        noise in proptest::collection::vec(any::<u8>(), 0..3000), cut in 0usize..3000
    ) {
        let mut now = Instant::now();
        let mut decoder = ReplyDecoder::default();
        for id in 0..=254 {
            decoder.expect(&Request { id, command: Command::I2cRead { address: 0, count: id } });
        }
        let (first, second) = noise.split_at(cut.min(noise.len()));
        for part in [first, second] {
            decoder.feed(part, now);
            while decoder.next_reply(now).is_some() {}
        }
        now += ms(50);
        while decoder.next_reply(now).is_some() {}
        decoder.forget_dialect();
        decoder.expect(&Request { id: 9, command: Command::CoreVoltage });
        decoder.feed(&[2, 0, 9, 0x7e, 0x04], now);
        prop_assert_eq!(decoder.next_reply(now), Some(ok(9, &[0x7e, 0x04])));
    }

    #[test]
    fn cutting_the_stream_elsewhere_changes_no_reply(cuts in proptest::collection::vec(0usize..12, 0..6)) {
        let stream = [1, 0, 0, 1, 0x42, 2, 0, 1, 8, 9];
        let now = Instant::now();
        let mut decoder = ReplyDecoder::default();
        for (id, count) in [(0, 1), (1, 2)] {
            decoder.expect(&Request { id, command: Command::I2cRead { address: 0, count } });
        }
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut found = Vec::new();
        for pair in cuts.windows(2) {
            decoder.feed(&stream[pair[0]..pair[1]], now);
            found.extend(std::iter::from_fn(|| decoder.next_reply(now)));
        }
        prop_assert_eq!(found, [ok(0, &[1]), ok(1, &[8, 9])]);
    }
}

/// A link with calls for a pin under these names, and the request that has left.
fn calling(names: &[u8], now: Instant) -> (Link<u8>, Request) {
    let mut link = Link::default();
    for name in names {
        link.call(*name, Command::Pin(*name), now);
    }
    let request = sent(&mut link).unwrap();
    (link, request)
}

fn sent(link: &mut Link<u8>) -> Option<Request> {
    link.poll_transmit().map(|bytes| Request::parse(&bytes).unwrap())
}

fn events(link: &mut Link<u8>) -> Vec<LinkEvent<u8>> {
    std::iter::from_fn(|| link.poll_event()).collect()
}

fn level(id: u8, level: u8) -> [u8; 4] {
    [1, 0, id, level]
}

fn answered(call: u8, level: u8) -> LinkEvent<u8> {
    LinkEvent::Ended { call, outcome: Ok(vec![level]) }
}

#[test]
fn one_call_is_under_way_at_a_time_and_each_gets_its_own_reply() {
    let now = Instant::now();
    let (mut link, first) = calling(&[1, 2], now);
    assert_eq!((first.command, sent(&mut link)), (Command::Pin(1), None));
    link.handle_bytes(&level(first.id, 1), now);
    let second = sent(&mut link).unwrap();
    assert_eq!(second.command, Command::Pin(2));
    link.handle_bytes(&level(second.id, 0), now);
    assert_eq!(events(&mut link), [answered(1, 1), answered(2, 0)]);
    assert!(link.is_idle() && link.poll_timeout().is_none());
}

#[test]
fn a_late_reply_is_dropped_and_confuses_no_call_after_it() {
    let now = Instant::now();
    let (mut link, first) = calling(&[1], now);
    assert_eq!(link.poll_timeout(), Some(now + ms(1000)));
    link.handle_timeout(now + ms(1000));
    let again = sent(&mut link).unwrap();
    assert_eq!(again.command, first.command);
    assert_ne!(again.id, first.id);
    link.handle_bytes(&level(first.id, 0), now + ms(1001));
    assert_eq!((events(&mut link), link.late_replies()), (vec![], 1));
    link.handle_bytes(&level(again.id, 1), now + ms(1002));
    assert_eq!(events(&mut link), [answered(1, 1)]);
}

#[test]
fn a_silent_port_is_told_once_and_so_is_its_return() {
    let mut now = Instant::now();
    let (mut link, _) = calling(&[1, 2, 3], now);
    for _ in 0..5 {
        now += ms(1000);
        link.handle_timeout(now);
    }
    let failed = |call| LinkEvent::Ended { call, outcome: Err(CallError::NoAnswer) };
    assert_eq!(events(&mut link), [LinkEvent::Silent, failed(1), failed(2), failed(3)]);
    assert!(link.is_silent() && link.is_idle());
    link.call(4, Command::Pin(4), now);
    let request = std::iter::from_fn(|| sent(&mut link)).last().unwrap();
    link.handle_bytes(&level(request.id, 1), now);
    assert_eq!(events(&mut link), [LinkEvent::Back, answered(4, 1)]);
    assert!(!link.is_silent());
}

#[test]
fn a_refusal_is_asked_again_twice_and_then_told() {
    let now = Instant::now();
    let (mut link, mut request) = calling(&[1], now);
    for _ in 0..2 {
        link.handle_bytes(&[4, 0, request.id, 0x10], now);
        assert_eq!(events(&mut link), []);
        request = sent(&mut link).unwrap();
    }
    // Also when the firmware could not even tell whose it was.
    link.handle_bytes(&[4, 0, 0xff, 0x11], now);
    let error = Err(CallError::Refused(Refusal::Invalid));
    assert_eq!(events(&mut link), [LinkEvent::Ended { call: 1, outcome: error }]);
}

#[test]
fn orders_wait_for_no_reply_and_take_late_ones() {
    let start = Instant::now();
    let (mut link, _) = calling(&[1], start);
    link.drop_calls();
    for name in 2..5 {
        link.order(name, Command::Pin(name), start);
    }
    let mut ids = vec![sent(&mut link).unwrap().id];
    for at in [50, 100] {
        assert_eq!(link.poll_timeout(), Some(start + ms(at)));
        link.handle_timeout(start + ms(at - 1));
        assert_eq!(sent(&mut link), None);
        link.handle_timeout(start + ms(at));
        ids.push(sent(&mut link).unwrap().id);
    }
    link.handle_bytes(&level(ids[2], 1), start + ms(2900));
    link.handle_bytes(&[4, 0, 0xff, 0x11], start + ms(2950));
    assert_eq!(events(&mut link), [answered(4, 1)], "a refusal of nobody knows which order is of none");
    link.handle_bytes(&level(ids[0], 1), start + ms(2999));
    link.handle_timeout(start + ms(3050));
    let silent = LinkEvent::Ended { call: 3, outcome: Err(CallError::NoAnswer) };
    assert_eq!(events(&mut link), [answered(2, 1), silent], "each is written once");
    assert!(link.is_idle());
}

#[test]
fn dropped_calls_are_not_told_of_and_their_replies_are_late() {
    let now = Instant::now();
    let (mut link, first) = calling(&[1, 2], now);
    link.drop_calls();
    link.call(3, Command::Pin(3), now);
    let third = sent(&mut link).unwrap();
    link.handle_bytes(&level(first.id, 1), now);
    link.handle_bytes(&level(third.id, 1), now);
    assert_eq!(events(&mut link), [answered(3, 1)]);
}

#[test]
fn a_thousand_calls_never_have_the_id_of_a_refusal_of_nonsense() {
    let now = Instant::now();
    let mut link = Link::default();
    for _ in 0..1000 {
        link.call(0, Command::Pin(0), now);
        let request = sent(&mut link).unwrap();
        assert_ne!(request.id, 0xff);
        link.handle_bytes(&level(request.id, 1), now);
        assert_eq!(events(&mut link), [answered(0, 1)]);
    }
}
