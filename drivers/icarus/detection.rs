//! Finding out what is at the line: work whose nonce is known, and work whose nonce tells over how many devices the range
//! is divided. Source: cgminer `driver-icarus.c`, `icarus_detect_one` and `get_options`.

use crate::scanner::work::SIZE;

/// Block 171874 of the main chain, whose nonce comes within a millisecond of hashing.
const GOLDEN: Known = Known {
    midstate: "4679ba4ec99876bf4bfe086082b400254df6c356451471139a3afa71e48f544a",
    tail: "87320b1a1426674f2fa722ce",
};
const GOLDEN_NONCE: [u8; 4] = [0x00, 0x01, 0x87, 0xa2];
/// Four nonces of one work; which of them comes first tells how many devices share the range.
const DIVISION: Known = Known {
    midstate: "2e4c8f91fd595d2d7ea20aaacb64a2a04382860277cf26b6a1ee04c56a5b504a",
    tail: "6461011ac906a951fb9b3c73",
};
const DIVISION_NONCES: [([u8; 4], u32); 4] = [
    ([0x04, 0xc0, 0xfd, 0xb4], 1),
    ([0x82, 0x54, 0x0e, 0x46], 2),
    ([0x41, 0x7c, 0x0f, 0x36], 4),
    ([0x60, 0xc9, 0x94, 0xd5], 8),
];

struct Known {
    midstate: &'static str,
    tail: &'static str,
}

impl Known {
    fn bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        hex::decode_to_slice(self.midstate, &mut bytes[..32]).expect("32 bytes in hexadecimal");
        hex::decode_to_slice(self.tail, &mut bytes[52..]).expect("12 bytes in hexadecimal");
        bytes
    }
}

/// The work that everybody knows the nonce of.
pub(super) fn golden() -> [u8; SIZE] {
    GOLDEN.bytes()
}

/// The size of the device's answers, from what came after the golden work; `None` while the nonce is not there. What
/// stands before it is of work that the device had before.
pub(super) fn answer_size(heard: &[u8]) -> Option<usize> {
    let at = heard.windows(4).position(|bytes| bytes == GOLDEN_NONCE)?;
    Some(match heard.len() - at {
        4 => 4,
        5..=7 => 5,
        _ => 8,
    })
}

/// The work that tells how the range is divided.
pub(super) fn division() -> [u8; SIZE] {
    DIVISION.bytes()
}

/// Over how many devices the range is divided, from what came; `None` while none of the nonces is there.
pub(super) fn devices(heard: &[u8]) -> Option<u32> {
    let is_there = |nonce: &[u8; 4]| heard.windows(4).any(|bytes| bytes == nonce);
    DIVISION_NONCES.iter().find(|(nonce, _)| is_there(nonce)).map(|(_, devices)| *devices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::proof;

    /// Double SHA-256 of a work's header with this nonce, as it is shown.
    fn hash(work: &[u8; SIZE], nonce: [u8; 4]) -> String {
        let word = |at: usize| u32::from_be_bytes(work[at..at + 4].try_into().unwrap());
        let midstate = std::array::from_fn(|index| word(28 - 4 * index));
        let tail = [word(60), word(56), word(52)];
        let mut hash = proof::hash(midstate, tail, u32::from_le_bytes(nonce));
        hash.reverse();
        hex::encode(hash)
    }

    #[test]
    fn the_known_nonces_are_right_and_the_works_those_on_record() {
        assert_eq!(
            hash(&golden(), GOLDEN_NONCE),
            "00000000000004b64108a8e4168cfaa890d62b8c061c6b74305b7f6cb2cf9fda"
        );
        for (nonce, _) in DIVISION_NONCES {
            assert!(hash(&division(), nonce).starts_with("00000000"), "{nonce:02x?}");
        }
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/asic-vectors.json")).unwrap();
        let ours = |vector: &&serde_json::Value| vector["chip"] == "Icarus";
        let recorded: Vec<_> = vectors.as_array().unwrap().iter().filter(ours).collect();
        assert_eq!(recorded.len(), 4);
        for vector in recorded {
            let bytes = hex::decode(vector["hex"].as_str().unwrap().replace(' ', "")).unwrap();
            assert!(bytes == golden() || bytes == division());
            let nonce = hex::decode(vector["fields"]["nonce_wire"].as_str().unwrap()).unwrap();
            let nonce: [u8; 4] = nonce.try_into().unwrap();
            assert!(nonce == GOLDEN_NONCE || DIVISION_NONCES.iter().any(|(known, _)| *known == nonce));
        }
    }

    #[test]
    fn the_answer_tells_its_size_and_the_division_whatever_came_before() {
        let with = |before: &[u8], after: &[u8]| [before, &GOLDEN_NONCE, after].concat();
        assert_eq!(answer_size(&GOLDEN_NONCE[..3]), None);
        assert_eq!(answer_size(&with(&[], &[])), Some(4));
        assert_eq!(answer_size(&with(&[1, 2, 3, 4], &[])), Some(4));
        assert_eq!(answer_size(&with(&[], &[0x80])), Some(5));
        assert_eq!(answer_size(&with(&[], &[0; 4])), Some(8));
        assert_eq!(devices(&[0x60, 0xc9, 0x94]), None);
        assert_eq!(devices(&[0xff, 0x82, 0x54, 0x0e, 0x46]), Some(2));
    }
}
