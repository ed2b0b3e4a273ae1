//! Text as a term.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::{CharIndices, FromStr};

use num_bigint::BigInt;

use super::quoting;
use crate::etf::{Atom, BitString, Export, ImproperList, Map, Term};

/// How deep a term can nest. The reader, the encoder and whoever drops a term go as deep as it does.
pub const MAX_DEPTH: usize = 256;

/// Why and where a text is no term.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct SyntaxError {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters, from 1.
    pub column: usize,
    /// What was expected and what was found, or what else is off.
    pub message: String,
}

impl FromStr for Term {
    type Err = SyntaxError;

    /// Reads one term.
    ///
    /// Spaces and `%` comments are skipped, and a full stop may end the term.
    ///
    /// # Errors
    /// [`SyntaxError`] with the place. Pids, ports, references and closures are told as what they are.
    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let mut reader = Reader {
            text,
            chars: text.char_indices().peekable(),
            depth: 0,
        };
        reader.whole().map_err(|Fault { at, message }| {
            let before = text.get(..at).unwrap_or(text);
            SyntaxError {
                line: before.matches('\n').count() + 1,
                column: before.chars().rev().take_while(|&c| c != '\n').count() + 1,
                message,
            }
        })
    }
}

/// What is off, and where, in bytes.
struct Fault {
    at: usize,
    message: String,
}

type Read<T> = Result<T, Fault>;

struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
    depth: usize,
}

impl Reader<'_> {
    fn whole(&mut self) -> Read<Term> {
        let term = self.term()?;
        self.space();
        if self.eat('.') {
            self.space();
        }
        match self.peek() {
            None => Ok(term),
            Some(_) => Err(self.unexpected("the end of the term")),
        }
    }

    fn peek(&mut self) -> Option<char> {
        self.chars.peek().map(|&(_, c)| c)
    }

    /// The character after the next one.
    fn peek_second(&self) -> Option<char> {
        let mut ahead = self.chars.clone();
        ahead.next();
        ahead.next().map(|(_, c)| c)
    }

    fn next(&mut self) -> Option<char> {
        self.chars.next().map(|(_, c)| c)
    }

    fn eat(&mut self, wanted: char) -> bool {
        self.chars.next_if(|&(_, c)| c == wanted).is_some()
    }

    fn at(&mut self) -> usize {
        self.chars.peek().map_or(self.text.len(), |&(at, _)| at)
    }

    fn fault(&mut self, message: impl Into<String>) -> Fault {
        Fault {
            at: self.at(),
            message: message.into(),
        }
    }

    fn unexpected(&mut self, wanted: &str) -> Fault {
        let found = match self.peek() {
            Some(c) => format!("{c:?}"),
            None => "the end of the text".to_owned(),
        };
        self.fault(format!("expected {wanted}, found {found}"))
    }

    fn expect(&mut self, wanted: char, words: &str) -> Read<()> {
        if self.eat(wanted) {
            Ok(())
        } else {
            Err(self.unexpected(words))
        }
    }

    /// Skips spaces and comments.
    fn space(&mut self) {
        while let Some(c) = self.peek() {
            if c == '%' {
                while self.chars.next_if(|&(_, c)| c != '\n').is_some() {}
            } else if c.is_whitespace() {
                self.next();
            } else {
                return;
            }
        }
    }

    fn term(&mut self) -> Read<Term> {
        if self.depth == MAX_DEPTH {
            return Err(self.fault(format!("the term nests deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let term = self.inner();
        self.depth -= 1;
        term
    }

    fn inner(&mut self) -> Read<Term> {
        self.space();
        match self.peek() {
            Some('[') => self.list(),
            Some('{') => {
                self.next();
                Ok(Term::Tuple(self.items('}')?))
            }
            Some('#') => self.map(),
            Some('<') => self.binary(),
            Some('"') => {
                let text = self.strings()?;
                Ok(Term::string(&text))
            }
            Some('\'') => Ok(self.atom()?.into()),
            Some('$' | '+' | '-' | '0'..='9') => self.number(),
            Some(c) if quoting::begins_atom(c) => {
                let at = self.at();
                let name = self.atom()?;
                if name == "fun" {
                    self.fun(at)
                } else {
                    Ok(name.into())
                }
            }
            Some(c) if c.is_uppercase() || c == '_' => Err(self.fault(format!(
                "{c:?} begins a variable, and there is nothing to bind one to; an atom such as 'Elixir.Enum' needs quotes"
            ))),
            Some(':') => Err(self.fault("terms are written as in Erlang: the atom :ok is ok here")),
            _ => Err(self.unexpected("a term")),
        }
    }

    /// Terms with commas between them, up to `close`, which is read too.
    fn items(&mut self, close: char) -> Read<Vec<Term>> {
        let mut items = Vec::new();
        self.space();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(self.term()?);
            self.space();
            if self.eat(close) {
                return Ok(items);
            }
            self.expect(',', &format!("',' or '{close}'"))?;
        }
    }

    fn list(&mut self) -> Read<Term> {
        self.next();
        self.space();
        if self.eat(']') {
            return Ok(Term::NIL);
        }
        let mut items = Vec::new();
        loop {
            items.push(self.term()?);
            self.space();
            if self.eat(']') {
                return Ok(Term::List(items));
            }
            if self.eat('|') {
                break;
            }
            self.expect(',', "',', '|' or ']'")?;
        }
        let tail = self.term()?;
        self.space();
        self.expect(']', "']' after the tail of the list")?;
        // A list as tail makes the whole a plain list: [a|[b]] is [a,b].
        Ok(match tail {
            Term::List(tail) => {
                items.extend(tail);
                Term::List(items)
            }
            Term::ImproperList(tail) => {
                let ImproperList { elements, tail } = *tail;
                items.extend(elements);
                improper(items, tail)
            }
            tail => improper(items, tail),
        })
    }

    fn map(&mut self) -> Read<Term> {
        let at = self.at();
        self.next();
        if self.peek() != Some('{') {
            let rest = &self.text[at..];
            for (opaque, what) in [
                ("#Port<", "a port"),
                ("#Ref<", "a reference"),
                ("#Fun<", "a closure"),
            ] {
                if rest.starts_with(opaque) {
                    return Err(Fault {
                        at,
                        message: format!("{what} cannot be given as text"),
                    });
                }
            }
            if self
                .peek()
                .is_some_and(|c| quoting::begins_atom(c) || c == '\'')
            {
                return Err(Fault {
                    at,
                    message:
                        "a record has to be written as the tuple that it is: {name, Field, ...}"
                            .into(),
                });
            }
        }
        self.expect('{', "'{' after '#', as in #{key => value}")?;
        let (mut pairs, mut places) = (Vec::new(), Vec::new());
        self.space();
        if self.eat('}') {
            return Ok(Term::Map(Map::new()));
        }
        loop {
            self.space();
            let at = self.at();
            let key = self.term()?;
            self.space();
            self.expect('=', "'=>' after the key")?;
            self.expect('>', "'=>' after the key")?;
            let value = self.term()?;
            pairs.push((key, value));
            places.push(at);
            self.space();
            if self.eat('}') {
                let mut keys = BTreeSet::new();
                for ((key, _), at) in pairs.iter().zip(places) {
                    if !keys.insert(key) {
                        return Err(Fault {
                            at,
                            message: "this key is in the map already".into(),
                        });
                    }
                }
                return Ok(Term::Map(pairs.into_iter().collect()));
            }
            self.expect(',', "',' or '}'")?;
        }
    }

    fn atom(&mut self) -> Read<Atom> {
        let at = self.at();
        let name = if self.peek() == Some('\'') {
            self.quoted('\'')?
        } else {
            let mut name = String::new();
            while let Some((_, c)) = self.chars.next_if(|&(_, c)| quoting::continues_atom(c)) {
                name.push(c);
            }
            name
        };
        if name.is_empty() && self.text[at..].starts_with("''") || !name.is_empty() {
            return Atom::try_from(name.as_str()).map_err(|error| Fault {
                at,
                message: error.to_string(),
            });
        }
        Err(self.unexpected("an atom"))
    }

    /// `fun module:function/arity`, after the `fun`.
    fn fun(&mut self, at: usize) -> Read<Term> {
        self.space();
        if !self
            .peek()
            .is_some_and(|c| quoting::begins_atom(c) || c == '\'')
        {
            return Err(Fault {
                at,
                message: "of funs, only fun module:function/arity can be given as text; the atom is 'fun'".into(),
            });
        }
        let module = self.atom()?;
        self.expect(':', "':' after the module of a fun")?;
        let function = self.atom()?;
        self.expect('/', "'/' after the function's name")?;
        let at = self.at();
        let mut digits = String::new();
        while let Some((_, c)) = self.chars.next_if(|(_, c)| c.is_ascii_digit()) {
            digits.push(c);
        }
        let arity = digits.parse().map_err(|_| Fault {
            at,
            message: "expected the fun's arity, a number from 0 to 255".into(),
        })?;
        Ok(Term::Export(Box::new(Export {
            module,
            function,
            arity,
        })))
    }

    /// Strings one after the other are one string.
    fn strings(&mut self) -> Read<String> {
        let mut text = self.quoted('"')?;
        loop {
            self.space();
            if self.peek() != Some('"') {
                return Ok(text);
            }
            text.push_str(&self.quoted('"')?);
        }
    }

    /// Text between quotes of that kind, the first of which comes next.
    fn quoted(&mut self, quote: char) -> Read<String> {
        let at = self.at();
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some(c) if c == quote => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some(c) => text.push(c),
                None => {
                    return Err(Fault {
                        at,
                        message: format!("this {quote} has no end"),
                    });
                }
            }
        }
    }

    /// What follows a backslash: <https://www.erlang.org/doc/system/data_types.html#escape-sequences>.
    fn escaped(&mut self) -> Read<char> {
        let at = self.at();
        let no_character = |at| Fault {
            at,
            message: "this escape sequence is no character".into(),
        };
        let Some(c) = self.next() else {
            return Err(self.unexpected("a character after the backslash"));
        };
        Ok(match c {
            'b' => '\u{8}',
            'd' => '\u{7f}',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            's' => ' ',
            't' => '\t',
            'v' => '\u{b}',
            '^' => match self.next() {
                // Control characters: the letter without its upper bits.
                Some(letter @ ('@'..='_' | 'a'..='z')) => {
                    char::from(u8::try_from(letter).unwrap_or(0) & 31)
                }
                Some('?') => '\u{7f}',
                _ => return Err(no_character(at)),
            },
            'x' => {
                let braces = self.eat('{');
                let mut code: u32 = 0;
                let mut digits = 0;
                while digits < if braces { 8 } else { 2 } {
                    let Some((_, c)) = self.chars.next_if(|(_, c)| c.is_ascii_hexdigit()) else {
                        break;
                    };
                    code = code * 16 + c.to_digit(16).unwrap_or(0);
                    digits += 1;
                }
                if digits == 0 || braces && !self.eat('}') || !braces && digits != 2 {
                    return Err(no_character(at));
                }
                char::from_u32(code).ok_or_else(|| no_character(at))?
            }
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    if let Some((_, c)) = self.chars.next_if(|(_, c)| c.is_digit(8)) {
                        code = code * 8 + c.to_digit(8).unwrap_or(0);
                    }
                }
                char::from_u32(code).ok_or_else(|| no_character(at))?
            }
            other => other,
        })
    }

    fn number(&mut self) -> Read<Term> {
        let sign = if self.eat('-') {
            "-"
        } else {
            self.eat('+');
            ""
        };
        if self.eat('$') {
            let c = match self.next() {
                Some('\\') => self.escaped()?,
                Some(c) => c,
                None => return Err(self.unexpected("a character after '$'")),
            };
            let code = BigInt::from(u32::from(c));
            return Ok(Term::integer(if sign.is_empty() { code } else { -code }));
        }
        let start = self.at();
        let digits = self.digits(10)?;
        if self.eat('#') {
            let base = digits
                .parse()
                .ok()
                .filter(|base| (2..=36).contains(base))
                .ok_or(Fault {
                    at: start,
                    message: "the base of a number is from 2 to 36".into(),
                })?;
            let digits = self.digits(base)?;
            return self.integer(sign, &digits, base, start);
        }
        if self.peek() == Some('.') && self.peek_second().is_some_and(|c| c.is_ascii_digit()) {
            self.next();
            let mut text = format!("{sign}{digits}.{}", self.digits(10)?);
            if matches!(self.peek(), Some('e' | 'E')) {
                self.next();
                text.push('e');
                if let Some((_, sign)) = self.chars.next_if(|&(_, c)| c == '-' || c == '+') {
                    text.push(sign);
                }
                text.push_str(&self.digits(10)?);
            }
            return match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Term::Float(value)),
                _ => Err(Fault {
                    at: start,
                    message: "the number is too large for a float".into(),
                }),
            };
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            return Err(self.fault("a float needs a point before its exponent: 1.0e5"));
        }
        self.integer(sign, &digits, 10, start)
    }

    fn integer(&mut self, sign: &str, digits: &str, base: u32, at: usize) -> Read<Term> {
        if self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
            return Err(self.unexpected("the end of the number"));
        }
        let text = format!("{sign}{digits}");
        BigInt::parse_bytes(text.as_bytes(), base)
            .map(Term::integer)
            .ok_or(Fault {
                at,
                message: "this is no number".into(),
            })
    }

    /// Digits, which single underscores may separate.
    fn digits(&mut self, base: u32) -> Read<String> {
        let mut digits = String::new();
        loop {
            match self.peek() {
                Some(c) if c.is_digit(base) => {
                    digits.push(c);
                    self.next();
                }
                Some('_')
                    if !digits.is_empty()
                        && self.peek_second().is_some_and(|c| c.is_digit(base)) =>
                {
                    self.next();
                }
                _ if digits.is_empty() => return Err(self.unexpected("a digit")),
                _ => return Ok(digits),
            }
        }
    }

    fn binary(&mut self) -> Read<Term> {
        let at = self.at();
        self.next();
        if !self.eat('<') {
            return Err(Fault {
                at,
                message: "a pid cannot be given as text; name a process by its registered name"
                    .into(),
            });
        }
        let mut bits = Bits::default();
        self.space();
        if self.eat('>') {
            self.expect('>', "'>>'")?;
            return Ok(bits.into_term());
        }
        loop {
            self.segment(&mut bits)?;
            self.space();
            if self.eat('>') {
                self.expect('>', "'>>'")?;
                return Ok(bits.into_term());
            }
            self.expect(',', "',' or '>>'")?;
        }
    }

    /// A part of a binary: a number, perhaps with a size in bits, or text, perhaps as UTF-8.
    fn segment(&mut self, bits: &mut Bits) -> Read<()> {
        self.space();
        let at = self.at();
        if self.peek() == Some('"') {
            let text = self.strings()?;
            if self.eat('/') {
                let at = self.at();
                if self.atom()? != "utf8" {
                    return Err(Fault {
                        at,
                        message: "text in a binary is Latin-1, or UTF-8 with /utf8; other types are not read".into(),
                    });
                }
                text.bytes().for_each(|byte| bits.push(byte.into(), 8));
                return Ok(());
            }
            for c in text.chars() {
                let byte = u8::try_from(u32::from(c)).map_err(|_| Fault {
                    at,
                    message: format!(
                        "{c:?} is no byte; put /utf8 after the text: <<\"...\"/utf8>>"
                    ),
                })?;
                bits.push(byte.into(), 8);
            }
            return Ok(());
        }
        if !matches!(self.peek(), Some('0'..='9' | '$')) {
            return Err(self.unexpected("a number from 0 to 255 or \"text\""));
        }
        let value = match self.number()? {
            Term::Int(number) => u64::try_from(number).ok(),
            Term::BigInt(number) => u64::try_from(&*number).ok(),
            _ => None,
        };
        let mut size = 8;
        if self.eat(':') {
            let at = self.at();
            size = self
                .digits(10)?
                .parse()
                .ok()
                .filter(|size| (1..=64).contains(size))
                .ok_or(Fault {
                    at,
                    message: "the size of a number in a binary is from 1 to 64 bits".into(),
                })?;
        }
        if self.peek() == Some('/') {
            return Err(self.fault("of types in a binary, only /utf8 after text is read"));
        }
        match value.filter(|value| size == 64 || value >> size == 0) {
            Some(value) => {
                bits.push(value, size);
                Ok(())
            }
            None => Err(Fault {
                at,
                message: format!("the number does not fit {size} bits"),
            }),
        }
    }
}

/// Bits, the first in the upper end of the first byte.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// How many bits of the last byte are used; 0 if all of them are.
    used: u32,
}

impl Bits {
    /// Adds the lower `size` bits of `value`, at most 64.
    fn push(&mut self, value: u64, size: u32) {
        for index in (0..size).rev() {
            let bit = u8::from(value >> index & 1 == 1);
            if self.used == 0 {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= bit << (7 - self.used);
            }
            self.used = (self.used + 1) % 8;
        }
    }

    fn into_term(self) -> Term {
        match u8::try_from(self.used) {
            Ok(last_bits @ 1..=7) => Term::BitString(Box::new(BitString {
                bytes: self.bytes.into(),
                last_bits,
            })),
            _ => Term::binary(self.bytes),
        }
    }
}

fn improper(elements: Vec<Term>, tail: Term) -> Term {
    Term::ImproperList(Box::new(ImproperList { elements, tail }))
}
