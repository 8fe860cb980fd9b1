use proptest::prelude::*;

use super::{
    super::{
        kernel::{Hits, Kernel},
        self_test::KNOWN_BLOCKS,
        sha256::{Prepared, meets_target, top_limit},
    },
    double_sha256, supported, top_word,
};

/// The nonces that a scan of the range must find, in order.
fn expected(header: &[u32; 19], start: u32, count: u32, limit: u32) -> Vec<u32> {
    (0..count)
        .map(|i| start.wrapping_add(i))
        .filter(|&nonce| top_word(double_sha256(header, nonce)) <= limit)
        .collect()
}

/// Scans the range, going on where the kernel stopped because its hits were full.
fn found(kernel: &Kernel, header: &[u32; 19], start: u32, count: u32, limit: u32) -> Vec<u32> {
    let prepared = Prepared::from_words(header);
    let mut nonces = Vec::new();
    let mut done = 0;
    loop {
        let mut hits = Hits::new();
        let left = count - done;
        let now = (kernel.scan)(&prepared, start.wrapping_add(done), left, limit, &mut hits);
        nonces.extend(hits.as_slice());
        done += now;
        if now == left {
            return nonces;
        }
        assert_eq!(hits.as_slice().len(), Hits::CAPACITY, "{} stopped without a reason", kernel.name);
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
        header in any::<[u32; 19]>(), start in start(), count in 0u32..300, limit in limit(),
    ) {
        let expected = expected(&header, start, count, limit);
        for kernel in supported() {
            prop_assert_eq!(&found(kernel, &header, start, count, limit), &expected, "{}", kernel.name);
        }
    }

    #[test]
    fn every_kernel_stops_before_the_first_candidate_that_does_not_fit(
        header in any::<[u32; 19]>(), start in start(), count in 100u32..300, held in 0usize..=Hits::CAPACITY,
    ) {
        let limit = u32::MAX / 2;
        let candidates = expected(&header, start, count, limit);
        for kernel in supported() {
            let mut hits = Hits::new();
            for _ in 0..held {
                prop_assert!(hits.push(0));
            }
            let done = (kernel.scan)(&Prepared::from_words(&header), start, count, limit, &mut hits);
            let room = Hits::CAPACITY - held;
            let stop = candidates.get(room).map_or(count, |nonce| nonce.wrapping_sub(start));
            prop_assert_eq!(done, stop, "{}", kernel.name);
            prop_assert_eq!(&hits.as_slice()[held..], &candidates[..room.min(candidates.len())]);
        }
    }

    #[test]
    fn the_portable_hash_is_the_plain_double_sha256(header in any::<[u32; 19]>(), nonce in any::<u32>()) {
        prop_assert_eq!(Prepared::from_words(&header).hash(nonce), double_sha256(&header, nonce));
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
            assert_eq!(found(kernel, &header, start, 1, u32::MAX), [start], "{}", kernel.name);
        }
    }
}

#[test]
fn the_known_blocks_are_found_with_the_strictest_limit() {
    for block in &KNOWN_BLOCKS {
        for kernel in supported() {
            let hits = found(kernel, &block.header, block.nonce - 5000, 10_000, 0);
            assert_eq!(hits, [block.nonce], "{}", kernel.name);
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
        let hash = Prepared::from_words(&header).hash(nonce);
        let displayed: Vec<u8> = hash.iter().rev().copied().collect();
        assert_eq!(hex::encode(displayed), vector["hash"].as_str().unwrap(), "{}", vector["name"]);
        for kernel in supported() {
            let hits = found(kernel, &header, nonce.wrapping_sub(7), 23, top_word(hash));
            assert!(hits.contains(&nonce), "{} of {}", kernel.name, vector["name"]);
        }
    }
}
