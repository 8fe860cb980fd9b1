use proptest::prelude::*;

use super::{
    super::{
        kernel::{Hit, Hits, Kernel},
        self_test::KNOWN_BLOCKS,
        sha256::{Prepared, meets_target, top_limit},
    },
    double_sha256, supported, top_word,
};

/// Headers with other first words, as many as the kernel tries with each nonce.
fn first_words(header: &[u32; 19], kernel: &Kernel) -> Vec<u32> {
    (0..kernel.midstates as u32).map(|i| header[0] ^ i.wrapping_mul(0x9e37_79b9)).collect()
}

/// What a scan of the range must find, nonce by nonce. Shape: the midstates among the hits of each nonce.
fn expected(header: &[u32; 19], first_words: &[u32], start: u32, count: u32, limit: u32) -> Vec<Vec<Hit>> {
    let headers: Vec<_> = first_words
        .iter()
        .map(|first_word| {
            let mut header = *header;
            header[0] = *first_word;
            header
        })
        .collect();
    let is_hit = |hit: &Hit| top_word(double_sha256(&headers[usize::from(hit.midstate)], hit.nonce)) <= limit;
    (0..count)
        .map(|i| {
            let nonce = start.wrapping_add(i);
            let all = (0..headers.len() as u8).map(|midstate| Hit { midstate, nonce });
            all.filter(is_hit).collect()
        })
        .collect()
}

/// Scans the range, going on where the kernel stopped because its hits were full.
fn found(kernel: &Kernel, header: &[u32; 19], start: u32, count: u32, limit: u32) -> Vec<Hit> {
    let prepared = Prepared::from_words(header, first_words(header, kernel));
    let mut found = Vec::new();
    let mut done = 0;
    loop {
        let mut hits = Hits::new();
        let left = count - done;
        let now = (kernel.scan)(&prepared, start.wrapping_add(done), left, limit, &mut hits);
        found.extend(hits.as_slice());
        done += now;
        if now == left {
            return found;
        }
        assert!(hits.room() < kernel.midstates, "{} stopped without a reason", kernel.name);
    }
}

/// Where a range may begin: anywhere, at the first nonces, or so near the last ones that it goes through the wrap.
fn start() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), 0u32..9, (u32::MAX - 200)..=u32::MAX]
}

/// No candidate, few, many, all.
fn limit() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), (1u32..8).prop_map(|bits| u32::MAX >> bits), any::<u32>(), Just(u32::MAX)]
}

proptest! {
    #[test]
    fn every_kernel_finds_what_plain_double_sha256_finds(
        header in any::<[u32; 19]>(), start in start(), hashes in 0u32..300, limit in limit(),
    ) {
        for kernel in supported() {
            // Of the kernels with many midstates a part of the cases has whole groups of nonces, too.
            let count = if header[0] % 2 == 0 { hashes } else { hashes / kernel.midstates as u32 };
            let expected = expected(&header, &first_words(&header, kernel), start, count, limit).concat();
            prop_assert_eq!(&found(kernel, &header, start, count, limit), &expected, "{}", kernel.name);
        }
    }

    #[test]
    fn every_kernel_stops_before_the_first_nonce_whose_candidates_do_not_fit(
        header in any::<[u32; 19]>(), start in start(), count in 100u32..300, held in 0usize..=Hits::CAPACITY,
    ) {
        let limit = u32::MAX / 2;
        for kernel in supported() {
            let first_words = first_words(&header, kernel);
            let candidates = expected(&header, &first_words, start, count, limit);
            let mut hits = Hits::new();
            for _ in 0..held {
                let has_room = hits.push(Hit { midstate: 0, nonce: 0 });
                prop_assert!(has_room);
            }
            let headers = Prepared::from_words(&header, first_words);
            let done = (kernel.scan)(&headers, start, count, limit, &mut hits) as usize;
            let kept = candidates[..done].concat();
            prop_assert_eq!(&hits.as_slice()[held..], &kept, "{}", kernel.name);
            let next = candidates.get(done).map_or(Hits::CAPACITY + 1, Vec::len);
            prop_assert!(kept.len() + next > Hits::CAPACITY - held, "{} stopped early", kernel.name);
        }
    }

    #[test]
    fn the_portable_hash_is_the_plain_double_sha256(header in any::<[u32; 19]>(), nonce in any::<u32>()) {
        let headers = Prepared::from_words(&header, [!header[0], header[0]]);
        prop_assert_eq!(headers.hash(1, nonce), double_sha256(&header, nonce));
    }
}

#[test]
fn the_whole_target_counts_not_only_its_top_word() {
    let target = std::array::from_fn(|i| i as u8);
    assert_eq!(top_limit(&target), 0x1f1e_1d1c);
    assert!(meets_target(&target, &target));
    for byte in 0..32 {
        let mut hash = target;
        hash[byte] += 1;
        assert!(!meets_target(&hash, &target), "byte {byte}");
        if byte > 0 {
            hash[byte] -= 2;
            hash[..byte].fill(0xff);
            assert!(meets_target(&hash, &target), "byte {byte}");
        }
    }
}

#[test]
fn no_nonce_and_one_nonce_are_ranges_too_at_every_place_in_a_group() {
    let header = KNOWN_BLOCKS[0].header;
    for kernel in supported() {
        for start in (0..20).chain(u32::MAX - 20..=u32::MAX) {
            assert!(found(kernel, &header, start, 0, u32::MAX).is_empty(), "{}", kernel.name);
            let all: Vec<_> =
                (0..kernel.midstates as u8).map(|midstate| Hit { midstate, nonce: start }).collect();
            assert_eq!(found(kernel, &header, start, 1, u32::MAX), all, "{}", kernel.name);
        }
    }
}

#[test]
fn the_known_blocks_are_found_with_the_strictest_limit() {
    for block in &KNOWN_BLOCKS {
        for kernel in supported() {
            for midstate in 0..kernel.midstates {
                let headers = block.prepared(midstate, kernel.midstates);
                let mut hits = Hits::new();
                let nonces = 10_000 / kernel.midstates as u32;
                let done = (kernel.scan)(&headers, block.nonce - nonces / 2, nonces, 0, &mut hits);
                let hit = Hit { midstate: midstate as u8, nonce: block.nonce };
                assert_eq!((done, hits.as_slice()), (nonces, &[hit][..]), "{}", kernel.name);
            }
        }
    }
}

#[test]
fn every_kernel_finds_the_nonces_of_the_captured_shares_and_blocks() {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/stratum-vectors.json"));
    let vectors: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let bytes = hex::decode(vector["header"].as_str().unwrap()).unwrap();
        let header = std::array::from_fn(|i| u32::from_be_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap()));
        let nonce = u32::from_str_radix(vector["nonce"].as_str().unwrap(), 16).unwrap();
        let hash = Prepared::from_words(&header, [header[0]]).hash(0, nonce);
        let displayed: Vec<u8> = hash.iter().rev().copied().collect();
        assert_eq!(hex::encode(displayed), vector["hash"].as_str().unwrap(), "{}", vector["name"]);
        for kernel in supported() {
            let hits = found(kernel, &header, nonce.wrapping_sub(7), 23, top_word(hash));
            assert!(hits.contains(&Hit { midstate: 0, nonce }), "{} of {}", kernel.name, vector["name"]);
        }
    }
}
