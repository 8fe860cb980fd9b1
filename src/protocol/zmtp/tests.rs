use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

static RECORDED: LazyLock<Value> = LazyLock::new(|| {
    let vectors: Value =
        serde_json::from_str(include_str!("../../../tests/vectors/gbt-vectors.json")).unwrap();
    vectors["zmtp"].clone()
});

fn recorded(name: &str) -> Vec<u8> {
    hex::decode(RECORDED[name].as_str().unwrap()).unwrap()
}

/// What the other side says until the subscription stands.
fn welcome() -> Vec<u8> {
    [recorded("server_greeting_seen"), recorded("server_ready_seen")].concat()
}

fn subscribed(now: Instant) -> Subscriber {
    let mut subscriber = Subscriber::new(now);
    assert_eq!(subscriber.handle_bytes(&welcome(), now), Ok(vec![ZmtpEvent::Subscribed]));
    subscriber.take_output();
    subscriber
}

fn message(parts: &[&[u8]]) -> Vec<u8> {
    let last = parts.len() - 1;
    let frame = |(index, part): (usize, &&[u8])| {
        let more = u8::from(index < last);
        let mut frame = match u8::try_from(part.len()) {
            Ok(length) => vec![more, length],
            Err(_) => [&[more | LONG], &(part.len() as u64).to_be_bytes()[..]].concat(),
        };
        frame.extend_from_slice(part);
        frame
    };
    parts.iter().enumerate().flat_map(frame).collect()
}

#[test]
fn our_bytes_and_those_of_a_real_node_are_the_recorded_ones() {
    let now = Instant::now();
    let mut subscriber = Subscriber::new(now);
    assert_eq!(subscriber.take_output(), recorded("client_greeting"));
    assert_eq!(subscriber.handle_bytes(&recorded("server_greeting_seen"), now), Ok(vec![]));
    assert_eq!(subscriber.take_output(), recorded("client_ready"));
    let events = subscriber.handle_bytes(&recorded("server_ready_seen"), now);
    assert_eq!(events, Ok(vec![ZmtpEvent::Subscribed]));
    let subscriptions = subscriber.take_output();
    assert!(subscriptions.starts_with(&recorded("client_subscribe_hashblock_message_form")));
    assert_eq!(subscriptions[12..], *b"\x00\x09\x01sequence");
    let events = subscriber.handle_bytes(&recorded("message_hashblock_seen"), now).unwrap();
    let [ZmtpEvent::Message(parts)] = &events[..] else { panic!("{events:?}") };
    let means = &RECORDED["message_hashblock_means"];
    assert_eq!(parts[0].bytes, means["topic"].as_str().unwrap().as_bytes());
    assert_eq!(hex::encode(&parts[1].bytes), means["block_hash_display"].as_str().unwrap());
    assert_eq!(parts[2].bytes, [1, 0, 0, 0]);
}

#[test]
fn a_sign_of_life_is_asked_for_in_silence_and_its_lack_is_the_end() {
    let start = Instant::now();
    let mut subscriber = subscribed(start);
    let asked = subscriber.poll_timeout().unwrap();
    assert_eq!(asked, start + QUIET);
    assert_eq!(subscriber.handle_timeout(asked), Ok(()));
    assert_eq!(subscriber.take_output(), b"\x04\x07\x04PING\x00\x00");
    let answered = asked + Duration::from_millis(1);
    subscriber.handle_bytes(b"\x04\x05\x04PONG", answered).unwrap();
    assert_eq!(subscriber.poll_timeout(), Some(answered + QUIET));
    subscriber.handle_timeout(answered + QUIET).unwrap();
    let end = subscriber.poll_timeout().unwrap();
    assert_eq!(subscriber.handle_timeout(end), Err(ZmtpError::Silent));
}

#[test]
fn a_sign_of_life_that_is_asked_of_us_is_given() {
    let now = Instant::now();
    let mut subscriber = subscribed(now);
    subscriber.handle_bytes(&recorded("client_ping"), now).unwrap();
    assert_eq!(subscriber.take_output(), recorded("server_pong_seen"));
    for _ in 0..10_000 {
        subscriber.handle_bytes(&recorded("client_ping"), now).unwrap();
    }
    assert!(subscriber.take_output().len() < 2 * MAX_OUTPUT, "a flood takes no memory");
}

#[test]
fn whoever_is_no_publisher_is_told_apart() {
    let now = Instant::now();
    let fails = |bytes: &[u8]| Subscriber::new(now).handle_bytes(bytes, now).unwrap_err();
    assert_eq!(fails(b"HTTP/1.1 400 Bad Request\r\n"), ZmtpError::NoGreeting);
    let with = |place: usize, bytes: &[u8]| {
        let mut greeting = recorded("server_greeting_seen");
        greeting[place..place + bytes.len()].copy_from_slice(bytes);
        greeting
    };
    assert_eq!(fails(&with(10, &[1])), ZmtpError::Version(1));
    assert_eq!(fails(&with(12, b"CURVE")), ZmtpError::Mechanism("CURVE".into()));
    let router = [
        recorded("server_greeting_seen"),
        b"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER".to_vec(),
    ];
    assert_eq!(fails(&router.concat()), ZmtpError::SocketType("ROUTER".into()));
    let refusal = [recorded("server_greeting_seen"), b"\x04\x0a\x05ERROR\x03no!".to_vec()];
    assert_eq!(fails(&refusal.concat()), ZmtpError::Refused("no!".into()));
    let mut mute = Subscriber::new(now);
    assert_eq!(mute.handle_timeout(mute.poll_timeout().unwrap()), Err(ZmtpError::Handshake));
}

#[test]
fn a_whole_block_is_passed_over_without_being_kept() {
    let now = Instant::now();
    let mut subscriber = subscribed(now);
    let block = vec![7; 4_000_000];
    let bytes = [message(&[b"rawblock", &block, &[0; 4]]), recorded("message_hashblock_seen")].concat();
    let mut events = Vec::new();
    for chunk in bytes.chunks(65_536) {
        events.extend(subscriber.handle_bytes(chunk, now).unwrap());
    }
    let [ZmtpEvent::Message(raw), ZmtpEvent::Message(hash)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((raw[1].bytes.len(), raw[1].length, raw[1].is_whole()), (MAX_KEPT, 4_000_000, false));
    assert!(hash[1].is_whole());
}

#[test]
fn lengths_that_cannot_be_end_the_connection_before_they_take_memory() {
    let now = Instant::now();
    let fails = |bytes: &[u8]| subscribed(now).handle_bytes(bytes, now).unwrap_err();
    for bytes in [
        &b"\x02\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x80\x00",
        b"\x05\x00",
        b"\x04\x00",
        b"\x04\x02\x09A",
    ] {
        assert!(matches!(fails(bytes), ZmtpError::Malformed(_)), "{bytes:02x?}");
    }
    assert_eq!(fails(&message(&[&b""[..]; 9])), ZmtpError::Malformed("a message of too many parts"));
}

proptest! {
    #[test]
    fn however_the_bytes_are_cut_the_same_comes_out(cuts in prop::collection::vec(1usize..40, 1..80)) {
        let now = Instant::now();
        let bytes = [
            welcome(), recorded("message_hashblock_seen"), message(&[b"sequence", &[9; 33], &[1; 4]]),
            message(&[b"", &[5; 300], b""]), recorded("client_ping"),
        ].concat();
        let mut whole = Subscriber::new(now);
        let expected = whole.handle_bytes(&bytes, now).unwrap();
        let (mut subscriber, mut events, mut rest) = (Subscriber::new(now), Vec::new(), &bytes[..]);
        for cut in cuts.iter().cycle() {
            let (chunk, more) = rest.split_at(rest.len().min(*cut));
            events.extend(subscriber.handle_bytes(chunk, now).unwrap());
            rest = more;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(events, expected);
        prop_assert_eq!(subscriber.take_output(), whole.take_output());
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600), is_welcomed in any::<bool>()) {
        let now = Instant::now();
        let mut subscriber = if is_welcomed { subscribed(now) } else { Subscriber::new(now) };
        for chunk in bytes.chunks(7) {
            if subscriber.handle_bytes(chunk, now).is_err() { break; }
        }
        prop_assert!(subscriber.parts.iter().all(|part| part.bytes.len() <= MAX_KEPT));
    }
}
