//! Text from a device, made safe to show.

/// Printable ASCII of it; a question mark for all else.
pub(super) fn shown(bytes: &[u8]) -> String {
    let printable = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '?' };
    bytes.iter().map(printable).collect()
}
