//! The answer within what a program printed: models think aloud, colour their words, and add some.

use super::failure::Failure;
use super::input::ModelInput;
use super::output::{Binding, ModelOutput};

/// What ends a model's thinking.
const THOUGHT: &str = "</think>";
/// What begins it.
const THINKING: &str = "<think>";

/// Finds the answer to `question` in `text`: after the last `</think>` and before a `<think>` that never ends, without ANSI
/// sequences, the first balanced JSON object; or else a line that is exactly `DECISION: WORD [cN]`. A word within other words is no answer: "do not PROCEED"
/// holds one. Errors: `Empty` when there is no text, `Unreadable` when there is no answer in it, and those of
/// [`ModelOutput::parse`].
pub fn answer_in(text: &str, question: &ModelInput) -> Result<ModelOutput, Failure> {
    let plain = without_ansi(text);
    let said = plain.rfind(THOUGHT).map_or(plain.as_str(), |at| &plain[at + THOUGHT.len()..]);
    let aloud = said.find(THINKING).map_or(said, |at| &said[..at]);
    if aloud.trim().is_empty() {
        return Err(Failure::Empty);
    }
    // One that begins before may have that word in a text of its own.
    if let Some(object) = first_object(said).filter(|_| aloud.contains('{')) {
        return ModelOutput::parse(object, question, Binding::Implied);
    }
    let line = aloud.lines().find_map(|line| ModelOutput::of_line(line, question));
    line.unwrap_or_else(|| {
        Err(Failure::Unreadable("there is no JSON object and no DECISION line in it".to_owned()))
    })
}

/// The first `{` with the `}` that closes it; braces in strings do not count.
fn first_object(text: &str) -> Option<&str> {
    let start = text.find('{')?;
    let (mut depth, mut in_string, mut is_escaped) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate().skip(start) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'{' if !in_string => depth += 1,
            b'}' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return Some(&text[start..=at]);
                }
            }
            _ => {}
        }
    }
    None
}

/// `text` without terminal control sequences: CSI up to its final byte, OSC up to its end, and lone escapes.
/// Source: ECMA-48, 5.4 and 8.3.89.
fn without_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
                Some(']') => skip_osc(&mut chars),
                _ => {}
            },
            '\u{9b}' => while chars.next().is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c)) {},
            '\u{9d}' => skip_osc(&mut chars),
            c => plain.push(c),
        }
    }
    plain
}

fn skip_osc(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next() {
        if c == '\u{7}' || c == '\u{9c}' {
            return;
        }
        if c == '\u{1b}' {
            chars.next_if_eq(&'\\');
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::health;
    use super::super::output::Word;
    use super::*;
    use proptest::prelude::*;

    fn word(text: &str) -> Result<Word, Failure> {
        answer_in(text, &health::question(2000)).map(|answer| answer.word)
    }

    #[test]
    fn the_answer_is_found_behind_thoughts_colours_and_words() {
        let json = r#"{"decision":"SWITCH","target":"c0","confidence":0.9,"reason":"a } in { text"}"#;
        for text in [
            json.to_owned(),
            format!("Here it is:\n```json\n{json}\n```\nGood luck! {{}}"),
            format!("<think>{{\"decision\":\"HOLD\"}} no</think>\n{json}"),
            format!("\u{1b}[1;32m{}\u{1b}[0m", json.replace("SWITCH", "SW\u{1b}[31mITCH")),
            format!("\u{1b}]0;title\u{7}{json}"),
            "I think:\nDECISION: SWITCH c0\n".to_owned(),
        ] {
            assert_eq!(word(&text), Ok(Word::Switch), "{text}");
        }
    }

    #[test]
    fn what_is_thought_and_never_ends_is_no_answer() {
        let json = r#"{"decision":"PROCEED","reason":"no <think> here"}"#;
        for text in [
            format!("<think>perhaps {json}"),
            format!("<think>a</think>\n<think>or {json}"),
            "<think>\nDECISION: PROCEED\n".to_owned(),
        ] {
            assert_eq!(word(&text), Err(Failure::Empty), "{text}");
        }
        let begun = format!("Let me see. <think>perhaps {json}\nDECISION: PROCEED");
        assert!(matches!(word(&begun), Err(Failure::Unreadable(_))));
        for text in
            [json.to_owned(), format!("{json}\n<think>was that right?"), format!("<think>a</think>{json}")]
        {
            assert_eq!(word(&text), Ok(Word::Proceed), "{text}");
        }
    }

    #[test]
    fn words_that_only_contain_an_answer_are_none() {
        for text in [
            "do not PROCEED",
            "DECISION: PROCEED with care now",
            "My DECISION: PROCEED",
            "DECISION: proceed",
            "DECISION:",
            "{\"decision\":\"PROCEED\"",
        ] {
            assert!(matches!(word(text), Err(Failure::Unreadable(_))), "{text}: {:?}", word(text));
        }
        assert_eq!(word(" \n"), Err(Failure::Empty));
        assert_eq!(word("<think>PROCEED</think>"), Err(Failure::Empty));
        assert_eq!(word("DECISION: PROCEED"), Ok(Word::Proceed));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(?s).{0,200}") {
            let _ = word(&text);
            let _ = word(&format!("\u{1b}{text}{{{text}"));
        }
    }
}
