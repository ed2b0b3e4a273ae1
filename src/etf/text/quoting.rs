//! Which atoms need quotes, and how text inside quotes is written.

/// Words that Erlang keeps for itself in OTP 25 or later (`maybe` and `else` since OTP 27): an atom of that
/// name is quoted. <https://www.erlang.org/doc/system/reference_manual.html#reserved-words>
const RESERVED: [&str; 29] = [
    "after", "and", "andalso", "band", "begin", "bnot", "bor", "bsl", "bsr", "bxor", "case",
    "catch", "cond", "div", "else", "end", "fun", "if", "let", "maybe", "not", "of", "or",
    "orelse", "receive", "rem", "try", "when", "xor",
];

/// Whether the character can begin an atom without quotes: a lower-case letter of Latin-1.
pub(super) fn begins_atom(c: char) -> bool {
    matches!(c, 'a'..='z' | 'ß'..='ö' | 'ø'..='ÿ')
}

/// Whether the character can stand in an atom without quotes.
pub(super) fn continues_atom(c: char) -> bool {
    begins_atom(c) || matches!(c, 'A'..='Z' | '0'..='9' | '_' | '@' | 'À'..='Ö' | 'Ø'..='Þ')
}

/// Whether the atom is written without quotes.
pub(super) fn is_plain(name: &str) -> bool {
    name.chars().next().is_some_and(begins_atom)
        && name.chars().all(continues_atom)
        && !RESERVED.contains(&name)
}

/// Writes text between quotes of that kind.
pub(super) fn write_quoted(
    out: &mut (impl std::fmt::Write + ?Sized),
    text: impl Iterator<Item = char>,
    quote: char,
) -> std::fmt::Result {
    out.write_char(quote)?;
    for c in text {
        match c {
            '\n' => out.write_str("\\n")?,
            '\t' => out.write_str("\\t")?,
            '\r' => out.write_str("\\r")?,
            '\u{b}' => out.write_str("\\v")?,
            '\u{8}' => out.write_str("\\b")?,
            '\u{c}' => out.write_str("\\f")?,
            '\u{1b}' => out.write_str("\\e")?,
            '\u{7f}' => out.write_str("\\d")?,
            '\\' => out.write_str("\\\\")?,
            c if c == quote => write!(out, "\\{c}")?,
            c if c.is_control() => write!(out, "\\{:03o}", u32::from(c))?,
            c => out.write_char(c)?,
        }
    }
    out.write_char(quote)
}

/// Whether a list of this character is shown as text: what `io_lib:printable_latin1_list/1` takes.
pub(super) fn is_printable_latin1(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{ff}' | '\n' | '\r' | '\t' | '\u{b}' | '\u{8}' | '\u{c}' | '\u{1b}')
}

/// Whether UTF-8 with this character is shown as text: what `io_lib:printable_unicode_list/1` takes.
pub(super) fn is_printable(c: char) -> bool {
    is_printable_latin1(c) || c > '\u{ff}' && !matches!(c, '\u{fffe}' | '\u{ffff}')
}
