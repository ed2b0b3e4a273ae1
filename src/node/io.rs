//! The I/O protocol, as far as a group leader needs it that only takes output. Pure.
//!
//! <https://www.erlang.org/doc/apps/stdlib/io_protocol.html>. A process that this node starts on a BEAM has
//! this node as its group leader, so what it prints comes here; somebody has to answer, or it would wait
//! forever.

use std::fmt;
use std::sync::Arc;

use crate::etf::{Atom, Pid, Reference, Term};

/// How many bytes of a text that a process prints come to the log.
const MOST_LOGGED: usize = 64 * 1024;

/// Takes a text and the process that printed it.
type Taker = dyn Fn(&Pid, &str) + Send + Sync;

/// What is done with a text that a process printed.
#[derive(Clone)]
pub(super) struct Printed(pub(super) Arc<Taker>);

impl Printed {
    pub(super) fn take(&self, from: &Pid, text: &str) {
        if !text.is_empty() {
            self.0(from, text);
        }
    }
}

impl Default for Printed {
    fn default() -> Self {
        Self(Arc::new(|from, text| {
            let logged = text.floor_char_boundary(MOST_LOGGED);
            for line in text.get(..logged).unwrap_or_default().lines() {
                tracing::info!(node = from.node.as_str(), "{line}");
            }
            if logged < text.len() {
                let left = text.len() - logged;
                tracing::info!(node = from.node.as_str(), "... and {left} bytes more");
            }
        }))
    }
}

impl fmt::Debug for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Printed")
    }
}

/// A request to a group leader.
#[derive(Debug, PartialEq)]
pub(super) struct Request {
    pub(super) from: Pid,
    reply_as: Term,
    request: Term,
}

impl Request {
    /// `{io_request, From, ReplyAs, Request}`
    pub(super) fn read(message: Term) -> Option<Self> {
        let [label, from, reply_as, request]: [Term; 4] = match message {
            Term::Tuple(elements) => elements.try_into().ok()?,
            _ => return None,
        };
        let Term::Pid(from) = from else { return None };
        (label == Term::atom("io_request")).then_some(Self {
            from: *from,
            reply_as,
            request,
        })
    }

    /// What was printed, and the message that answers the request.
    pub(super) fn answer(self) -> (String, Pid, Term) {
        let mut printed = String::new();
        let answer = answer(self.request, &mut printed, DEPTH);
        let message = vec![Term::atom("io_reply"), self.reply_as, answer];
        (printed, self.from, Term::Tuple(message))
    }
}

/// The request of a process that prints, under a reference that the answer will carry.
pub(super) fn put_chars(from: Pid, reference: Reference, text: &str) -> Term {
    let put = vec![
        Term::atom("put_chars"),
        Term::atom("unicode"),
        Term::binary(text.to_owned()),
    ];
    let request = vec![
        Term::atom("io_request"),
        from.into(),
        reference.into(),
        Term::Tuple(put),
    ];
    Term::Tuple(request)
}

/// Reads `{io_reply, Reference, Answer}`: whether what was asked under the reference was done.
pub(super) fn is_done(message: &Term, reference: &Reference) -> Option<bool> {
    match message.as_tuple()? {
        [label, Term::Reference(of), answer]
            if *label == Term::atom("io_reply") && **of == *reference =>
        {
            Some(*answer == Term::atom("ok"))
        }
        _ => None,
    }
}

/// How deeply requests may be nested in each other.
const DEPTH: u32 = 8;

fn answer(request: Term, printed: &mut String, depth: u32) -> Term {
    let ok = || Term::atom("ok");
    let error = |why| Term::Tuple(vec![Term::atom("error"), Term::atom(why)]);
    let Term::Tuple(elements) = request else {
        return error("request");
    };
    let name = elements.first().and_then(Term::as_atom).map(Atom::as_str);
    let options = |pairs: [(&'static str, Term); 2]| {
        let pair = |(name, value)| Term::Tuple(vec![Term::atom(name), value]);
        Term::List(pairs.map(pair).into())
    };
    match (name, elements.get(1..).unwrap_or_default()) {
        (Some("put_chars"), [_encoding, module, function, Term::List(arguments)]) => {
            match formatted(module, function, arguments) {
                Some(text) => {
                    printed.push_str(&text);
                    ok()
                }
                None => error("put_chars"),
            }
        }
        (Some("put_chars"), [chars] | [_, chars]) => match text(chars) {
            Some(text) => {
                printed.push_str(&text);
                ok()
            }
            None => error("put_chars"),
        },
        // Several requests as one; the first that fails is the last.
        (Some("requests"), [Term::List(requests)]) if depth > 0 => {
            let mut last = ok();
            for request in requests {
                last = answer(request.clone(), printed, depth - 1);
                if matches!(last.as_tuple(), Some([first, ..]) if *first == Term::atom("error")) {
                    break;
                }
            }
            last
        }
        // There is nothing to read.
        (Some("get_line" | "get_chars" | "get_until" | "get_password"), _) => Term::atom("eof"),
        (Some("setopts"), _) => ok(),
        (Some("getopts"), _) => {
            options([("binary", true.into()), ("encoding", Term::atom("unicode"))])
        }
        (Some("get_geometry"), _) => error("enotsup"),
        _ => error("request"),
    }
}

/// The text of `unicode:chardata()`: characters and binaries of UTF-8, nested.
fn text(chars: &Term) -> Option<String> {
    let mut text = String::new();
    let mut left = vec![chars];
    while let Some(term) = left.pop() {
        match term {
            Term::Binary(bytes) => text.push_str(&String::from_utf8_lossy(bytes)),
            Term::Int(character) => {
                text.push(u32::try_from(*character).ok().and_then(char::from_u32)?);
            }
            Term::List(terms) => left.extend(terms.iter().rev()),
            Term::ImproperList(list) => {
                left.push(&list.tail);
                left.extend(list.elements.iter().rev());
            }
            _ => return None,
        }
    }
    Some(text)
}

/// What `io_lib` would make of its arguments: the sender leaves that to the group leader.
fn formatted(module: &Term, function: &Term, arguments: &[Term]) -> Option<String> {
    if *module != Term::atom("io_lib") {
        return None;
    }
    match (function.as_atom()?.as_str(), arguments) {
        ("format" | "fwrite", [format, Term::List(arguments)]) => {
            let format = match format {
                Term::Atom(format) => format.as_str().to_owned(),
                format => text(format)?,
            };
            Some(format_text(&format, arguments))
        }
        ("write", [term, ..]) => Some(term.to_string()),
        _ => None,
    }
}

/// `io_lib:format/2` for the control sequences that print. Widths, precisions and line breaks in terms are
/// left out of account. What does not fit together is shown as it came, so that nothing is lost.
fn format_text(format: &str, arguments: &[Term]) -> String {
    let mut out = String::new();
    let mut left = arguments.iter();
    let unread = || {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        format!("{format} [{}]", arguments.join(","))
    };
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '~' {
            out.push(character);
            continue;
        }
        // F.P.PadModC: only the last character and a `*` mean something here.
        let control = loop {
            match characters.next() {
                Some('*') if left.next().is_some() => {}
                Some('0'..='9' | '.' | '-' | 't' | 'l' | 'k' | 'K') => {}
                Some(control) => break control,
                None => return unread(),
            }
        };
        match control {
            '~' => out.push('~'),
            'n' => out.push('\n'),
            _ => {
                let Some(argument) = left.next() else {
                    return unread();
                };
                let shown = match (control, argument) {
                    ('i', _) => String::new(),
                    ('s', Term::Atom(atom)) => atom.as_str().to_owned(),
                    ('s', chars) => match text(chars) {
                        Some(text) => text,
                        None => return unread(),
                    },
                    ('c', Term::Int(character)) => {
                        let character = u32::try_from(*character).ok();
                        character.and_then(char::from_u32).into_iter().collect()
                    }
                    ('W' | 'P', term) if left.next().is_some() => term.to_string(),
                    ('p' | 'w' | 'b' | 'B' | 'x' | 'X' | '#' | '+' | 'e' | 'f' | 'g', term) => {
                        term.to_string()
                    }
                    _ => return unread(),
                };
                out.push_str(&shown);
            }
        }
    }
    if left.next().is_some() {
        return unread();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple<const N: usize>(elements: [Term; N]) -> Term {
        Term::Tuple(elements.into())
    }

    fn asked(request: Term) -> (String, Term) {
        let from = Pid {
            node: Atom::new("a@b"),
            id: 1,
            serial: 2,
            creation: 3,
        };
        let message = [
            Term::atom("io_request"),
            from.clone().into(),
            Term::Int(7),
            request,
        ];
        let request = Request::read(tuple(message)).unwrap();
        let (printed, to, message) = request.answer();
        assert_eq!(to, from);
        let [label, reply_as, answer]: [Term; 3] = match message {
            Term::Tuple(elements) => elements.try_into().unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!((label, reply_as), (Term::atom("io_reply"), Term::Int(7)));
        (printed, answer)
    }

    fn put(format: &str, arguments: Vec<Term>) -> Term {
        tuple([
            Term::atom("put_chars"),
            Term::atom("unicode"),
            Term::atom("io_lib"),
            Term::atom("format"),
            Term::List(vec![Term::string(format), Term::List(arguments)]),
        ])
    }

    #[test]
    fn what_is_printed_is_taken() {
        let ok = |text: &str| (text.to_owned(), Term::atom("ok"));
        let chars = Term::List(vec![
            Term::string("hé"),
            Term::List(vec![Term::binary("llo".as_bytes()), Term::Int(10)]),
        ]);
        let unicode = || Term::atom("unicode");
        let put_chars = tuple([Term::atom("put_chars"), unicode(), chars.clone()]);
        assert_eq!(asked(put_chars.clone()), ok("héllo\n"));
        assert_eq!(
            asked(tuple([Term::atom("put_chars"), chars])),
            ok("héllo\n")
        );
        let both = Term::List(vec![put_chars, put("~~", vec![])]);
        assert_eq!(asked(tuple([Term::atom("requests"), both])), ok("héllo\n~"));

        let arguments = || vec![Term::atom("a"), Term::string("b"), Term::Int(99)];
        let formatted = put("~p and ~ts, ~c~n", arguments());
        assert_eq!(asked(formatted), ok("a and b, c\n"));
        assert_eq!(asked(put("~10w.", vec![Term::Int(7)])), ok("7."));
        // More or fewer than the format has room for: nothing is lost.
        for format in ["~p~p", "~p~p~p~p", "~p~p~p~", "~p~p~q"] {
            let (printed, answer) = asked(put(format, arguments()));
            assert_eq!(answer, Term::atom("ok"));
            assert!(printed.starts_with(format) && printed.contains("99"));
        }
    }

    #[test]
    fn what_one_side_asks_the_other_answers() {
        let pid = Pid {
            node: Atom::new("a@b"),
            id: 1,
            serial: 2,
            creation: 3,
        };
        let reference = |id| Reference {
            node: Atom::new("a@b"),
            creation: 3,
            id: vec![id, 2, 3],
        };
        let request = put_chars(pid.clone(), reference(1), "héllo");
        let (printed, to, answer) = Request::read(request.clone()).unwrap().answer();
        assert_eq!((printed.as_str(), to), ("héllo", pid));
        assert_eq!(is_done(&answer, &reference(1)), Some(true));
        assert_eq!(is_done(&answer, &reference(2)), None);
        assert_eq!(is_done(&request, &reference(1)), None);
    }

    #[test]
    fn nobody_waits_for_what_there_is_not() {
        let get = [Term::atom("get_line"), Term::atom("unicode"), Term::NIL];
        assert_eq!(asked(tuple(get)).1, Term::atom("eof"));
        let error = |why| tuple([Term::atom("error"), Term::atom(why)]);
        for (request, why) in [
            (Term::atom("what"), "request"),
            (tuple([]), "request"),
            (tuple([Term::atom("fly")]), "request"),
            (
                tuple([Term::atom("get_geometry"), Term::atom("rows")]),
                "enotsup",
            ),
            (
                tuple([Term::atom("put_chars"), Term::Float(1.0)]),
                "put_chars",
            ),
        ] {
            assert_eq!(asked(request), (String::new(), error(why)));
        }
        // Requests within requests without end.
        let mut nested = put("deep", vec![]);
        for _ in 0..100 {
            nested = tuple([Term::atom("requests"), Term::List(vec![nested])]);
        }
        assert_eq!(asked(nested), (String::new(), error("request")));
        assert_eq!(Request::read(Term::atom("hello")), None);
    }
}
