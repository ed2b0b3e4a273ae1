//! The syntax of `.hosts.erlang`: Erlang atoms and strings, each ended by a full stop.
//!
//! What OTP reads such a file with, `file:consult/1`, takes every term; here a term is an atom or a
//! string, as nothing else can name a host. The format is described at
//! <https://www.erlang.org/doc/apps/kernel/net_adm.html#module-files>, the characters of atoms and strings at
//! <https://www.erlang.org/doc/system/data_types.html>. Bytes that are not UTF-8 are taken for Latin-1 if the
//! file says so in a comment of its first two lines, as
//! <https://www.erlang.org/doc/apps/stdlib/epp.html#module-encoding> has it.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use crate::discovery::names::{line_of, shown};

/// A term of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The characters of the atom or string.
    pub text: String,
    /// The line that it begins on, from 1.
    pub line: usize,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The cause and the remedy.
    pub why: String,
}

/// Reads the terms of a file.
///
/// # Errors
/// [`SyntaxError`] at the first thing that is neither an atom nor a string with a full stop after it.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, SyntaxError> {
    let text = decode(bytes)?;
    let mut reader = Reader {
        chars: text.chars().peekable(),
        line: 1,
    };
    let mut entries = Vec::new();
    while reader.skip_blank() {
        let line = reader.line;
        let text = reader.term()?;
        reader.full_stop(line)?;
        entries.push(Entry { text, line });
    }
    Ok(entries)
}

/// Writes a host or node name as a line of the file.
#[must_use]
pub fn line(text: &str) -> impl fmt::Display {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
    format!("'{escaped}'.")
}

fn decode(bytes: &[u8]) -> Result<String, SyntaxError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) if says_latin1(bytes) => Ok(bytes.iter().map(|&byte| char::from(byte)).collect()),
        Err(error) => Err(SyntaxError {
            line: line_of(bytes, error.valid_up_to()),
            why: "it is not UTF-8; save it as UTF-8, or say `%% coding: latin-1` in the first line"
                .into(),
        }),
    }
}

fn says_latin1(bytes: &[u8]) -> bool {
    bytes.split(|&byte| byte == b'\n').take(2).any(|line| {
        let line = String::from_utf8_lossy(line).to_ascii_lowercase();
        let said = line.split_once("coding").map(|(before, said)| {
            before.trim_start().starts_with('%')
                && said
                    .trim_start_matches([':', '=', ' '])
                    .starts_with("latin-1")
        });
        said == Some(true)
    })
}

struct Reader<'a> {
    chars: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    fn error<T>(&self, why: impl Into<String>) -> Result<T, SyntaxError> {
        self.error_at(self.line, why)
    }

    fn error_at<T>(&self, line: usize, why: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError {
            line,
            why: why.into(),
        })
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    /// Passes white space and comments, and says whether anything is left.
    fn skip_blank(&mut self) -> bool {
        while let Some(&next) = self.chars.peek() {
            if next == '%' {
                while self.chars.peek().is_some_and(|&c| c != '\n') {
                    self.next();
                }
            } else if is_blank(next) {
                self.next();
            } else {
                return true;
            }
        }
        false
    }

    fn term(&mut self) -> Result<String, SyntaxError> {
        match self.chars.peek() {
            Some(&quote @ ('\'' | '"')) => {
                self.next();
                self.quoted(quote)
            }
            Some(c) if is_lower(*c) => Ok(self.word()),
            _ => {
                let word = self.rest_of_word();
                self.error(format!(
                    "{} is no host; a host or node name stands in quotes, with a full stop after it: '10.0.0.7'.",
                    shown(&word)
                ))
            }
        }
    }

    /// An atom without quotes.
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(&c) = self.chars.peek() {
            if !(is_lower(c) || c.is_alphanumeric() || c == '_' || c == '@') {
                break;
            }
            word.extend(self.next());
        }
        word
    }

    /// What stands there up to the next blank, for a message.
    fn rest_of_word(&mut self) -> String {
        let mut word = String::new();
        while self.chars.peek().is_some_and(|&c| !is_blank(c)) && word.len() < 100 {
            word.extend(self.chars.next());
        }
        word
    }

    /// The rest of an atom or string in quotes.
    fn quoted(&mut self, quote: char) -> Result<String, SyntaxError> {
        let line = self.line;
        let mut text = String::new();
        loop {
            match self.next() {
                Some('\\') => text.extend(self.escape()?),
                Some(c) if c == quote => return Ok(text),
                // No name has a line break, so the quote is missing where the line ends.
                Some('\n') | None => {
                    return self.error_at(
                        line,
                        format!("the closing {quote} of {} is missing", shown(&text)),
                    );
                }
                Some(c) => text.push(c),
            }
        }
    }

    /// What stands after a backslash: one character, or none for a line break.
    fn escape(&mut self) -> Result<Option<char>, SyntaxError> {
        Ok(Some(match self.next() {
            Some('b') => '\u{8}',
            Some('d') => '\u{7f}',
            Some('e') => '\u{1b}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('s') => ' ',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some('^') => match self.next() {
                Some(c @ '@'..='_') => char::from(c as u8 - b'@'),
                Some(c @ 'a'..='z') => char::from(c as u8 - b'`'),
                _ => return self.error("after \\^ stands a letter"),
            },
            Some('x') => return self.hexadecimal().map(Some),
            Some(digit @ '0'..='7') => {
                let mut code = digit.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(more) = self.chars.peek().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    self.next();
                    code = code * 8 + more;
                }
                return self.character(code).map(Some);
            }
            Some('\n') => return Ok(None),
            Some(c) => c,
            None => return self.error("the file ends after a backslash"),
        }))
    }

    fn hexadecimal(&mut self) -> Result<char, SyntaxError> {
        let braces = self.chars.next_if_eq(&'{').is_some();
        let mut digits = String::new();
        while digits.len() < if braces { 6 } else { 2 } {
            match self.chars.next_if(char::is_ascii_hexdigit) {
                Some(digit) => digits.push(digit),
                None => break,
            }
        }
        let closed = !braces || self.chars.next_if_eq(&'}').is_some();
        match u32::from_str_radix(&digits, 16) {
            Ok(code) if closed && (braces || digits.len() == 2) => self.character(code),
            _ => self.error("after \\x stand two hexadecimal digits, or up to six in braces"),
        }
    }

    fn character(&self, code: u32) -> Result<char, SyntaxError> {
        match char::from_u32(code) {
            Some(c) => Ok(c),
            None => self.error(format!("there is no character with the code {code:#x}")),
        }
    }

    /// A full stop is one that white space, a comment or the end of the file follows.
    fn full_stop(&mut self, began: usize) -> Result<(), SyntaxError> {
        if !self.skip_blank() {
            return self.error_at(began, "the full stop after the name is missing");
        }
        let line = self.line;
        if self.chars.next_if_eq(&'.').is_none() {
            let word = self.rest_of_word();
            return self.error_at(
                began,
                format!(
                    "a full stop has to come after the name, and {} does (in line {line})",
                    shown(&word)
                ),
            );
        }
        match self.chars.peek() {
            Some(&c) if !is_blank(c) && c != '%' => {
                let word = self.rest_of_word();
                self.error_at(
                    line,
                    format!(
                        "a name with a dot has to stand in quotes, and a full stop has to end the line; \
                         {} comes after the first dot",
                        shown(&word)
                    ),
                )
            }
            _ => Ok(()),
        }
    }
}

/// White space as Erlang's scanner has it.
fn is_blank(c: char) -> bool {
    matches!(c, '\0'..=' ' | '\u{80}'..='\u{a0}')
}

/// What an atom without quotes begins with.
fn is_lower(c: char) -> bool {
    c.is_ascii_lowercase() || matches!(c, 'ß'..='ÿ') && c != '÷'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let entries = parse(text.as_bytes()).unwrap();
        entries.into_iter().map(|entry| entry.text).collect()
    }

    #[test]
    fn the_example_of_net_adm_with_what_else_erlang_takes() {
        assert_eq!(
            texts(
                "%% the hosts\n'super.eua.ericsson.se'.\n'gauffin1.eua.ericsson.se' . % old\n\
                 \"10.0.0.7\". renat.\n  shop@box.\n'a b\\'\\x{e4}\\x41\\101\\\n'\n. % the end"
            ),
            [
                "super.eua.ericsson.se",
                "gauffin1.eua.ericsson.se",
                "10.0.0.7",
                "renat",
                "shop@box",
                "a b'äAA"
            ]
        );
        assert_eq!(texts(" \n% nothing\n"), Vec::<String>::new());
        let entries = parse(b"'a'.\n\n% x\n'b'.\n").unwrap();
        let lines: Vec<_> = entries.iter().map(|entry| entry.line).collect();
        assert_eq!(lines, [1, 4]);
    }

    #[test]
    fn what_is_written_is_read() {
        for text in ["10.0.0.7", "x'y\\z", "höst"] {
            assert_eq!(texts(&format!("{}\n", line(text))), [text]);
        }
    }

    #[test]
    fn latin_1_has_to_be_announced() {
        let said = b"%% -*- coding: latin-1 -*-\n'h\xf6st'.\n";
        assert_eq!(parse(said).unwrap()[0].text, "höst");
        let error = parse(&said[27..]).unwrap_err();
        assert_eq!(error.line, 1);
        assert!(error.why.contains("latin-1"), "{error}");
    }

    #[test]
    fn mistakes_are_told_with_their_line_and_a_remedy() {
        for (text, line, why) in [
            ("'a'.\n'b'\n'c'.\n", 2, "full stop"),
            ("'a'.\n'b'", 2, "full stop"),
            ("'a'.\n'b.\n'c'.\n", 2, "the closing ' of \"b.\""),
            ("\"a", 1, "the closing \" of"),
            ("'a'.\nhost.domain.\n", 2, "in quotes"),
            ("'a'.\n\n10.0.0.7.\n", 3, "'10.0.0.7'."),
            ("Host.\n", 1, "\"Host.\" is no host"),
            ("['a', 'b'].\n", 1, "is no host"),
            ("'a'. 'b\\", 1, "backslash"),
            ("'\\xg'.", 1, "hexadecimal"),
            ("'\\x{110000}'.", 1, "0x110000"),
            ("'\\x{d800}'.", 1, "0xd800"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error.line, line, "{text:?}: {error}");
            assert!(error.why.contains(why), "{text:?}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(0u8.., 0..100)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn near_misses_neither(text in "['\"a.%\\\\x{} \n]{0,40}") {
            let _ = parse(text.as_bytes());
        }
    }
}
