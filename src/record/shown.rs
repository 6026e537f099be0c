//! Foreign text made fit to be looked at.

/// A foreign text as it can be shown: what a terminal would obey, hide or reorder is written out.
///
/// The log keeps what attackers wrote, in order that people look at it. It must not be able to move
/// the cursor, forge a line of output, or turn the text that a reader sees around.
pub fn shown(text: &str) -> String {
    escape(text, |character| format!("\\u{{{:x}}}", u32::from(character)))
}

/// An error and its causes on one line, for a log.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// JSON with the same characters escaped. They stand in strings only, so the value stays the same;
/// line feeds are those between the members.
pub fn shown_json(json: &str) -> String {
    escape(json, |character| {
        if character == '\n' {
            return "\n".to_owned();
        }
        let mut units = [0; 2];
        let units = character.encode_utf16(&mut units).iter();
        let escaped: Vec<_> = units.map(|unit| format!("\\u{unit:04x}")).collect();
        escaped.concat()
    })
}

/// The first `characters` of a text on one line: white space becomes single spaces, the rest is as
/// [`shown`] has it, and an ellipsis says that there is more.
pub fn excerpt(text: &str, characters: usize) -> String {
    let mut short = String::new();
    let (mut count, mut space) = (0, false);
    for character in text.trim().chars() {
        if count == characters {
            short.push('…');
            break;
        }
        if character.is_whitespace() {
            if !space {
                short.push(' ');
                count += 1;
            }
        } else {
            short.push(character);
            count += 1;
        }
        space = character.is_whitespace();
    }
    shown(&short)
}

fn escape(text: &str, written: impl Fn(char) -> String) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_unsafe(character) {
            escaped.push_str(&written(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// Control and format characters (Unicode Cc, Cf, Zl, Zp), and the variation selectors and tags in
/// which text can be hidden.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}'
            | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey_hide_or_reorder() {
        let poison = "a\u{1b}[2J\u{7}\r\nb\u{9b}1m\u{202e}c\u{200b}\u{e0041}d";
        assert_eq!(shown(poison), r"a\u{1b}[2J\u{7}\u{d}\u{a}b\u{9b}1m\u{202e}c\u{200b}\u{e0041}d");
        let plain = "Grüße “你好” └ 😀";
        assert_eq!(shown(plain), plain);
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({ "a": "\u{202e}x\u{9b}\u{e0041}" });
        let text = shown_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.is_ascii() && text.contains('\n'), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn an_excerpt_is_one_line_and_says_that_there_is_more() {
        assert_eq!(excerpt("  pay\n\tthe\u{2028} bill \u{1b}[2J ", 80), r"pay the bill \u{1b}[2J");
        assert_eq!(excerpt("abcdef", 6), "abcdef");
        assert_eq!(excerpt("abcdefg", 6), "abcdef…");
        assert_eq!(excerpt(&"\u{1b}".repeat(10), 2), r"\u{1b}\u{1b}…");
    }
}
