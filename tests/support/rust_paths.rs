//! Reads Rust sources as far as the paths they name: no more of the language than that takes.

use std::ops::Range;

/// A path as the source writes it, with groups of `use` taken apart.
pub(crate) struct Named<'a> {
    pub(crate) segments: Vec<&'a str>,
    pub(crate) line: usize,
    /// In code compiled for tests alone.
    pub(crate) test: bool,
    /// The modules inside the file around it.
    pub(crate) inner: Vec<&'a str>,
}

/// The paths in a source; a clock read through the method `elapsed` counts as one.
pub(crate) fn named(text: &str) -> Vec<Named<'_>> {
    let tokens = tokens(text);
    let tests = test_items(&tokens);
    let mut found = Vec::new();
    let mut blocks = Vec::new(); // the open braces, each with the name of the module it opens
    let mut at = 0;
    while at < tokens.len() {
        let mut paths = Vec::new();
        let next = match word(&tokens, at) {
            "{" => {
                let opens_module = at >= 2 && word(&tokens, at - 2) == "mod";
                blocks.push(opens_module.then(|| word(&tokens, at - 1)));
                at + 1
            }
            "}" => {
                blocks.pop();
                at + 1
            }
            "." if word(&tokens, at + 1) == "elapsed" && word(&tokens, at + 2) == "(" => {
                paths.push((vec![".", "elapsed"], at));
                at + 2
            }
            "use" => use_tree(&tokens, at + 1, &[], &mut paths),
            first if is_identifier(first) => {
                let (segments, next) = segments(&tokens, at);
                paths.extend((segments.len() > 1).then_some((segments, at)));
                next
            }
            _ => at + 1,
        };
        let test = tests.iter().any(|item| item.contains(&at));
        for (segments, first) in paths {
            let inner = blocks.iter().copied().flatten().collect();
            found.push(Named { segments, line: tokens[first].line, test, inner });
        }
        at = next;
    }
    found
}

/// The segments of a path from its first identifier on, and the place after them.
fn segments<'a>(tokens: &[Token<'a>], mut at: usize) -> (Vec<&'a str>, usize) {
    let mut segments = vec![word(tokens, at)];
    while word(tokens, at + 1) == "::" && is_identifier(word(tokens, at + 2)) {
        at += 2;
        segments.push(word(tokens, at));
    }
    (segments, at + 1)
}

/// Adds each path of the `use` tree at this place with the place of its own first token; says where the tree ends.
fn use_tree<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &[&'a str],
    paths: &mut Vec<(Vec<&'a str>, usize)>,
) -> usize {
    let first = at;
    let mut path = prefix.to_vec();
    if word(tokens, at) == "::" {
        at += 1;
    }
    if is_identifier(word(tokens, at)) {
        let (segments, next) = segments(tokens, at);
        path.extend(segments);
        at = next;
        if word(tokens, at) != "::" {
            paths.push((path, first));
            return if word(tokens, at) == "as" { at + 2 } else { at };
        }
        at += 1;
    }
    match word(tokens, at) {
        "{" => {
            at += 1;
            while !["}", ""].contains(&word(tokens, at)) {
                at = use_tree(tokens, at, &path, paths);
                at += usize::from(word(tokens, at) == ",");
            }
        }
        "*" => {
            path.push("*");
            paths.push((path, first));
        }
        _ => {} // `use<'a>`, which imports nothing
    }
    at + 1
}

/// The items compiled for tests alone, as ranges of tokens from their attribute on.
fn test_items(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let starts = |at: &usize| {
        let attribute: String = (*at..at + 8).map(|at| word(tokens, at)).collect();
        ["#[test]", "#[cfg(test)]", "#[cfg(all(test,", "#![cfg(test)]"]
            .iter()
            .any(|test| attribute.starts_with(test))
    };
    let end = |start: usize| {
        let mut depth = 0;
        let ends = |at: &usize| {
            match word(tokens, *at) {
                "{" | "[" | "(" => depth += 1,
                "}" | "]" | ")" => depth -= 1,
                _ => {}
            }
            depth < 0 || depth == 0 && ["}", ";"].contains(&word(tokens, *at))
        };
        (start..tokens.len()).find(ends).map_or(tokens.len(), |last| last + 1)
    };
    let whole_file = |at: usize| word(tokens, at + 1) == "!";
    let item = |at: usize| at..if whole_file(at) { tokens.len() } else { end(at) };
    (0..tokens.len()).filter(|at| word(tokens, *at) == "#").filter(starts).map(item).collect()
}

/// The modules in files of their own that a source declares for tests alone.
pub(crate) fn test_modules(text: &str) -> Vec<&str> {
    let tokens = tokens(text);
    let declared = |at: &usize| word(&tokens, *at) == "mod" && word(&tokens, at + 2) == ";";
    let name = |at: usize| word(&tokens, at + 1);
    test_items(&tokens).into_iter().flatten().filter(declared).map(name).collect()
}

struct Token<'a> {
    text: &'a str,
    line: usize,
}

fn word<'a>(tokens: &[Token<'a>], at: usize) -> &'a str {
    tokens.get(at).map_or("", |token| token.text)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Identifiers, `::` and single characters; white space, comments, literals and lifetimes are left out.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let in_word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (length, counts) = match (left_out(rest), in_word) {
            (Some(length), _) => (length, false),
            (None, 0) if rest.starts_with("::") => (2, true),
            (None, 0) => (first.len_utf8(), !first.is_whitespace()),
            (None, length) => (length, true),
        };
        if counts {
            found.push(Token { text: &rest[..length], line });
        }
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// The length of the comment, literal or lifetime that a text begins with, if it does.
fn left_out(text: &str) -> Option<usize> {
    let until = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    let raw = text.trim_start_matches(['b', 'c']).strip_prefix('r').filter(|_| text.len() > 1);
    if let Some(quoted) = raw {
        let hashes = quoted.len() - quoted.trim_start_matches('#').len();
        if quoted[hashes..].starts_with('"') {
            let body = text.len() - quoted.len() + hashes + 1;
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()));
        }
    }
    match text.as_bytes() {
        [b'/', b'/', ..] => Some(until("\n")),
        [b'/', b'*', ..] => Some(block_comment(text)),
        [b'"', ..] => Some(closing(text, b'"')),
        [b'\'', b'\\', ..] => Some(closing(text, b'\'')),
        [b'\'', ..] => {
            let mut characters = text.char_indices().skip(2);
            let closed = characters.next().filter(|(_, c)| *c == '\'');
            Some(closed.map_or(1, |(at, _)| at + 1)) // of a lifetime the quote alone; its name is a lone word
        }
        _ => None,
    }
}

/// The length of a quoted literal, with its escapes.
fn closing(text: &str, quote: u8) -> usize {
    let mut bytes = text.bytes().enumerate().skip(1);
    while let Some((at, byte)) = bytes.next() {
        if byte == b'\\' {
            bytes.next();
        } else if byte == quote {
            return at + 1;
        }
    }
    text.len()
}

/// The length of a block comment, with those inside it.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}
