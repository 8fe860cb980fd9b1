//! Text from a device, made safe to show.

/// Printable ASCII of it; a question mark for all else. `None` if most of it is else: that is no text.
pub(super) fn shown(bytes: &[u8]) -> Option<String> {
    let is_printable = |byte: &u8| (0x20..0x7f).contains(byte);
    let printable = bytes.iter().filter(|byte| is_printable(byte)).count();
    let shown = |byte: &u8| if is_printable(byte) { char::from(*byte) } else { '?' };
    (2 * printable >= bytes.len()).then(|| bytes.iter().map(shown).collect())
}
