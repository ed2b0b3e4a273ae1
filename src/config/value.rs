//! A configuration value, wherever it came from.

use std::fmt::{self, Write as _};

/// A configuration value: what an Erlang term, a TOML value, an environment variable and a flag on the
/// command line have in common.
///
/// Whoever makes one keeps what the source says (an atom is a [`Word`](Self::Word), an Erlang string a
/// list of numbers). Leniency belongs to the one who reads: see [`Value::text`].
///
/// Its `Debug` shows names and kinds only. [`Value::shown`] is for error messages about values that are
/// no secrets.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text: an Elixir string, a UTF-8 binary, a TOML string, a flag's value.
    Text(String),
    /// An atom. Elixir's module `My.Peers` is the word `Elixir.My.Peers`.
    Word(String),
    /// Bytes that are not UTF-8.
    Binary(Vec<u8>),
    /// A list that is no table.
    List(Vec<Value>),
    /// An Erlang tuple.
    Tuple(Vec<Value>),
    /// Names and values in the order in which they were given: a keyword list, a proplist, a map, a TOML table.
    Table(Vec<(String, Value)>),
    /// Something that no option takes, in words: "a pid".
    Other(&'static str),
}

impl Value {
    /// Whether the value says "nothing given": Elixir's `nil`, Erlang's `undefined`. So
    /// `secret: System.get_env("SECRET")` leaves the default where the variable is not set.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Word(word) if word == "nil" || word == "undefined")
    }

    /// The value as text where that is natural: text, an atom, or an Erlang string (a list of characters).
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Word(word) if !self.is_absent() => Some(word.clone()),
            Self::List(items) if !items.is_empty() => items.iter().map(Self::character).collect(),
            _ => None,
        }
    }

    fn character(&self) -> Option<char> {
        match self {
            // Control characters are in no name, address or path that an option takes, but a list of small
            // numbers is an address or a list of ports given wrongly: telling it as such helps more.
            Self::Int(code) => {
                char::from_u32(u32::try_from(*code).ok()?).filter(|c| !c.is_control())
            }
            _ => None,
        }
    }

    /// The value as names and values: a table, or the empty list, which may stand for an empty one.
    #[must_use]
    pub fn table(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Table(entries) => Some(entries),
            Self::List(items) if items.is_empty() => Some(&[]),
            _ => None,
        }
    }

    /// The value for an error message: as its source would write it, and cut where it is long.
    #[must_use]
    pub fn shown(&self) -> String {
        const MOST: usize = 60;
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out, 3);
        if out.chars().count() > MOST {
            out = out.chars().take(MOST).chain("...".chars()).collect();
        }
        out
    }

    /// What kind of value it is, for the message about one that must not be shown.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "true or false",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Word(_) => "a word",
            Self::Binary(_) => "bytes that are not UTF-8",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Table(_) => "a table",
            Self::Other(what) => what,
        }
    }

    fn write(&self, out: &mut String, depth: usize) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(out, "{value}"),
            Self::Int(value) => write!(out, "{value}"),
            Self::Float(value) => write!(out, "{value:?}"),
            Self::Text(text) => write!(out, "{text:?}"),
            Self::Word(word) => match word.strip_prefix("Elixir.") {
                Some(module) => out.write_str(module),
                None => write!(out, ":{word}"),
            },
            Self::Binary(bytes) => write!(out, "{} bytes that are not UTF-8", bytes.len()),
            Self::List(_) | Self::Tuple(_) | Self::Table(_) if depth == 0 => out.write_str("..."),
            Self::List(items) => match self.text() {
                Some(text) => write!(out, "{text:?}"),
                None => write_items(out, '[', items, ']', depth),
            },
            Self::Tuple(items) => write_items(out, '{', items, '}', depth),
            Self::Table(entries) => {
                out.push('[');
                for (index, (name, _)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    // What stands under a name may be a secret, whatever the name of the whole is.
                    write!(out, "{name}: ...")?;
                }
                out.push(']');
                Ok(())
            }
            Self::Other(what) => out.write_str(what),
        }
    }
}

fn write_items(
    out: &mut String,
    open: char,
    items: &[Value],
    close: char,
    depth: usize,
) -> fmt::Result {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        item.write(out, depth - 1)?;
    }
    out.push(close);
    Ok(())
}

/// Shows no values: a table may hold a secret.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(entries) => f
                .debug_list()
                .entries(entries.iter().map(|(name, _)| name))
                .finish(),
            other => f.write_str(other.kind()),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Self::List(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charlist(text: &str) -> Value {
        Value::List(
            text.chars()
                .map(|c| Value::Int(i64::from(u32::from(c))))
                .collect(),
        )
    }

    #[test]
    fn text_atoms_and_charlists_are_text() {
        for value in [
            Value::from("höst"),
            Value::Word("höst".into()),
            charlist("höst"),
        ] {
            assert_eq!(value.text().as_deref(), Some("höst"));
        }
        for value in [
            Value::Int(5),
            Value::List(vec![]),
            Value::Word("nil".into()),
            Value::List(vec![Value::Int(1), Value::Int(2)]),
            Value::List(vec![Value::Int(-1)]),
        ] {
            assert_eq!(value.text(), None, "{}", value.shown());
        }
    }

    #[test]
    fn shown_as_the_source_would_write_it_and_cut() {
        let value = Value::Table(vec![
            ("via".into(), Value::Word("Elixir.My.Peers".into())),
            (
                "ip".into(),
                Value::Tuple(vec![Value::Int(230), Value::Word("x".into())]),
            ),
            ("name".into(), charlist("abc")),
        ]);
        assert_eq!(value.shown(), "[via: ..., ip: ..., name: ...]");
        let value = Value::Tuple(vec![
            Value::Word("Elixir.My.Peers".into()),
            Value::Tuple(vec![Value::Int(230), Value::Word("x".into())]),
            charlist("abc"),
        ]);
        assert_eq!(value.shown(), r#"{My.Peers, {230, :x}, "abc"}"#);
        let long = Value::from("x".repeat(100)).shown();
        assert!(long.len() < 70 && long.ends_with("..."), "{long}");
        let mut deep = Value::List(vec![]);
        for _ in 0..10_000 {
            deep = Value::List(vec![deep]);
        }
        assert_eq!(deep.shown(), "[[[...]]]");
        // Dropping a value recurses as deep as the value is; whoever makes one bounds its depth.
        while let Value::List(mut items) = deep {
            deep = items.pop().unwrap_or(Value::Bool(true));
        }
    }

    #[test]
    fn debug_shows_names_but_no_values() {
        let value = Value::Table(vec![("secret".into(), "monster".into())]);
        assert_eq!(format!("{value:?}"), r#"["secret"]"#);
    }
}
