//! Text from strangers, made safe to show.

/// `text` without anything that could steer a terminal, a log or a reader's eye: control characters (C0, C1, DEL),
/// bidirectional overrides and invisible format characters become nothing; at most `max` characters remain.
pub fn printable(text: &str, max: usize) -> String {
    let mut safe = text.chars().filter(|c| !is_hidden(*c));
    let mut shown: String = safe.by_ref().take(max).collect();
    if safe.next().is_some() {
        shown.push('…');
    }
    shown
}

/// Source: Unicode categories Cc and the members of Cf that reorder or hide text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_line_breaks_and_overrides_vanish_and_the_rest_stays() {
        assert_eq!(printable("a\x1b[31mb\r\nc\u{9b}d\u{202e}e", 100), "a[31mbcde");
        assert_eq!(printable("grüße ⛏", 100), "grüße ⛏");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
    }
}
