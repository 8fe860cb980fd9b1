//! Hexadecimal. A template has megabytes of it between a new block and the first hash on it: it is decoded without a
//! branch and without a table, so that the compiler makes vector instructions of it.

/// The bytes that a text stands for; `None` when there is something else in it, or half a byte.
pub(in crate::work) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![0; text.len() / 2];
    decode_to(text, &mut bytes).then_some(bytes)
}

/// Fills `bytes` with what a text stands for. False, and nothing to be relied on in `bytes`, when there is something
/// else in it or it is not twice as long.
pub(super) fn decode_to(text: &str, bytes: &mut [u8]) -> bool {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut others = !rest.is_empty() | (pairs.len() != bytes.len());
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        others |= !(is_digit(*high) & is_digit(*low));
        *byte = value(*high) << 4 | value(*low) & 0x0f;
    }
    !others
}

fn is_digit(letter: u8) -> bool {
    (letter.wrapping_sub(b'0') < 10) | ((letter | 0x20).wrapping_sub(b'a') < 6)
}

/// The value of a digit. In ASCII, a to f and A to F are the letters 1 to 6 with bit 6 set.
fn value(digit: u8) -> u8 {
    (digit & 0x0f) + 9 * (digit >> 6)
}

/// Appends the digits of `bytes`, lower-case.
pub(in crate::work) fn push_digits(text: &mut String, bytes: &[u8]) {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value)]);
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_is_decoded_as_other_code_does(text in prop_oneof!["[0-9a-fA-F]{0,140}", "[0-9a-g]{0,6}", "[0-9a-f]{0,40}.[0-9a-f]{0,40}", ".{0,6}"]) {
            prop_assert_eq!(decode(&text), hex::decode(&text).ok());
        }

        #[test]
        fn bytes_of_another_length_are_not_filled(length in 0_usize..40, pairs in 0_usize..40) {
            prop_assert_eq!(decode_to(&"a5".repeat(pairs), &mut vec![0; length]), length == pairs);
        }

        #[test]
        fn bytes_are_written_as_other_code_does(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut text = String::new();
            push_digits(&mut text, &bytes);
            prop_assert_eq!(text, hex::encode(&bytes));
        }
    }

    #[test]
    fn every_byte_is_a_digit_or_none_as_other_code_has_it() {
        for first in 0..=0x7f_u8 {
            for second in 0..=0x7f_u8 {
                let text = String::from_utf8(vec![first, second]).unwrap();
                assert_eq!(decode(&text), hex::decode(&text).ok(), "{text:?}");
            }
        }
    }
}
