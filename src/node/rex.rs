//! The terms of `rpc`, as its server `rex` takes and gives them. Pure.
//!
//! <https://www.erlang.org/doc/apps/kernel/rpc.html>. Since OTP 23, `rpc:call` and its like go through
//! `erpc`; `rex` is asked by `rpc:block_call`, by older releases and by C nodes (`ei_rpc`).

use crate::etf::{Atom, Pid, Term};

use super::erpc::Apply;
use super::exception::Exception;

/// The name that the server is registered under.
pub(super) const NAME: Atom = Atom::new("rex");

/// A request that `rex` gets as a `gen_server:call` or as a cast.
#[derive(Debug, PartialEq)]
pub(super) enum Request {
    /// `{call, Module, Function, Arguments, GroupLeader}`
    Call(Apply, Option<Pid>),
    /// `{block_call, Module, Function, Arguments, GroupLeader}`: one after the other.
    BlockCall(Apply, Option<Pid>),
    /// `{cast, Module, Function, Arguments, GroupLeader}`
    Cast(Apply, Option<Pid>),
}

impl Request {
    /// Reads a request; gives the term back if it is none.
    pub(super) fn read(term: Term) -> Result<Self, Term> {
        let elements: [Term; 5] = match term {
            Term::Tuple(elements) => elements.try_into().map_err(Term::Tuple)?,
            term => return Err(term),
        };
        let kind = match elements[0].as_atom().map(Atom::as_str) {
            Some("call") => Self::Call,
            Some("block_call") => Self::BlockCall,
            Some("cast") => Self::Cast,
            _ => return Err(Term::Tuple(elements.into())),
        };
        let [_, module, function, arguments, leader] = elements;
        let apply = Apply {
            module,
            function,
            arguments,
        };
        // Or an atom: `user`, for callers that want no output.
        let leader = match leader {
            Term::Pid(leader) => Some(*leader),
            _ => None,
        };
        Ok(kind(apply, leader))
    }
}

/// A message that `rex` gets plainly, from whom it says.
#[derive(Debug, PartialEq)]
pub(super) enum Note {
    /// `{From, {call, ...}}`, from a C node: answered with `{rex, Answer}`.
    Call(Pid, Apply),
    /// `{From, features_request}`: answered with `{features_reply, node(), [erpc]}`.
    Features(Pid),
    /// `{From, {sbcast, Name, Message}}`: the message is passed on, and `From` told whether to somebody.
    Sbcast(Pid, Atom, Term),
    /// `{From, {send, Name, Message}}`: `{From, Message}` is passed on, and who gets it answers.
    Send(Pid, Atom, Term),
}

impl Note {
    /// Reads a message; whatever else comes is left alone, as `rex` does.
    pub(super) fn read(term: Term) -> Option<Self> {
        let [from, rest]: [Term; 2] = match term {
            Term::Tuple(elements) => elements.try_into().ok()?,
            _ => return None,
        };
        let Term::Pid(from) = from else { return None };
        let from = *from;
        if matches!(&rest, Term::Atom(what) if *what == "features_request") {
            return Some(Self::Features(from));
        }
        let rest = match Request::read(rest) {
            Ok(Request::Call(apply, _)) => return Some(Self::Call(from, apply)),
            Ok(_) => return None,
            Err(rest) => rest,
        };
        let [what, name, message]: [Term; 3] = match rest {
            Term::Tuple(elements) => elements.try_into().ok()?,
            _ => return None,
        };
        match (what.as_atom()?.as_str(), name) {
            ("sbcast", Term::Atom(name)) => Some(Self::Sbcast(from, name, message)),
            ("send", Term::Atom(name)) => Some(Self::Send(from, name, message)),
            _ => None,
        }
    }
}

/// `{call, Module, Function, Arguments, user}`: what is printed meanwhile goes to the peer's `user`.
pub(super) fn call(module: Atom, function: Atom, arguments: Vec<Term>) -> Term {
    Term::Tuple(vec![
        Term::atom("call"),
        module.into(),
        function.into(),
        Term::List(arguments),
        Term::atom("user"),
    ])
}

/// `{cast, Module, Function, Arguments, user}`
pub(super) fn cast(module: Atom, function: Atom, arguments: Vec<Term>) -> Term {
    let mut cast = call(module, function, arguments);
    if let Term::Tuple(elements) = &mut cast {
        elements[0] = Term::atom("cast");
    }
    cast
}

/// The exception that the reason of a `{badrpc, Reason}` tells of. Exits and errors look alike there, unless
/// there is a stack trace.
pub(super) fn read_badrpc(reason: Term) -> Exception {
    let reason = match reason {
        Term::Tuple(mut elements) if elements.len() == 2 && elements[0] == Term::atom("EXIT") => {
            elements.swap_remove(1)
        }
        reason => return Exception::Exit(reason),
    };
    match reason {
        Term::Tuple(elements) => match <[Term; 2]>::try_from(elements) {
            Ok([reason, Term::List(stack)]) if !stack.is_empty() => {
                Exception::Error { reason, stack }
            }
            Ok(other) => Exception::Exit(Term::Tuple(other.into())),
            Err(other) => Exception::Exit(Term::Tuple(other)),
        },
        reason => Exception::Exit(reason),
    }
}

/// `{badrpc, Reason}`
pub(super) fn badrpc(reason: Term) -> Term {
    Term::Tuple(vec![Term::atom("badrpc"), reason])
}

/// What `rex` answers: the value, or `{badrpc, {'EXIT', Reason}}`. What is thrown counts as returned.
pub(super) fn answer(outcome: Result<Term, Exception>) -> Term {
    match outcome {
        Ok(value) | Err(Exception::Throw(value)) => value,
        Err(exception) => badrpc(exit(exception.into_exit_reason())),
    }
}

/// `{'EXIT', Reason}`
pub(super) fn exit(reason: Term) -> Term {
    Term::Tuple(vec![Term::atom("EXIT"), reason])
}

/// Reads what `rpc:call` gives: a value, or the reason of a `{badrpc, Reason}`.
pub(super) fn read_answer(answer: Term) -> Result<Term, Term> {
    match answer {
        Term::Tuple(mut elements) if elements.len() == 2 => {
            if elements[0] == Term::atom("badrpc") {
                return Err(elements.swap_remove(1));
            }
            // `catch` made this of an exception on the other side, in releases before 23.
            if elements[0] == Term::atom("EXIT") {
                return Err(Term::Tuple(elements));
            }
            Ok(Term::Tuple(elements))
        }
        answer => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple<const N: usize>(elements: [Term; N]) -> Term {
        Term::Tuple(elements.into())
    }

    fn apply() -> Apply {
        Apply {
            module: Term::atom("m"),
            function: Term::atom("f"),
            arguments: Term::List(vec![Term::Int(1)]),
        }
    }

    fn pid() -> Pid {
        Pid {
            node: Atom::new("a@b"),
            id: 1,
            serial: 2,
            creation: 3,
        }
    }

    #[test]
    fn requests_are_read_and_others_given_back() {
        let request = call(Atom::new("m"), Atom::new("f"), vec![Term::Int(1)]);
        assert_eq!(
            Request::read(request.clone()),
            Ok(Request::Call(apply(), None))
        );
        let note = tuple([pid().into(), request.clone()]);
        assert_eq!(Note::read(note), Some(Note::Call(pid(), apply())));
        for (kind, expected) in [
            ("block_call", Request::BlockCall(apply(), None)),
            ("cast", Request::Cast(apply(), None)),
        ] {
            let mut elements = request.as_tuple().unwrap().to_vec();
            elements[0] = Term::atom(kind);
            assert_eq!(Request::read(Term::Tuple(elements)), Ok(expected));
        }
        for other in [
            Term::atom("stop"),
            tuple([Term::atom("call")]),
            tuple([Term::NIL, Term::NIL, Term::NIL, Term::NIL, Term::NIL]),
        ] {
            assert_eq!(Request::read(other.clone()), Err(other));
        }
    }

    #[test]
    fn notes_are_read_and_others_left() {
        let from = || Term::from(pid());
        let features = tuple([from(), Term::atom("features_request")]);
        assert_eq!(Note::read(features), Some(Note::Features(pid())));
        let (name, message) = (Atom::new("shop"), Term::atom("hello"));
        let of = |what| tuple([Term::atom(what), name.clone().into(), message.clone()]);
        let sbcast = Note::Sbcast(pid(), name.clone(), message.clone());
        assert_eq!(Note::read(tuple([from(), of("sbcast")])), Some(sbcast));
        let send = Note::Send(pid(), name.clone(), message.clone());
        assert_eq!(Note::read(tuple([from(), of("send")])), Some(send));
        for other in [
            Term::NIL,
            tuple([Term::NIL, of("send")]),
            tuple([from(), of("else")]),
            tuple([from(), Term::NIL]),
        ] {
            assert_eq!(Note::read(other), None);
        }
    }

    #[test]
    fn answers_are_what_rpc_call_gives() {
        let exit = |reason| badrpc(tuple([Term::atom("EXIT"), reason]));
        let stack = || vec![Term::atom("frame")];
        let error = Exception::Error {
            reason: Term::atom("undef"),
            stack: stack(),
        };
        let undef = tuple([Term::atom("undef"), Term::List(stack())]);
        for (outcome, expected) in [
            (Ok(Term::Int(1)), Term::Int(1)),
            (Err(Exception::Throw(Term::Int(2))), Term::Int(2)),
            (Err(Exception::Exit(Term::Int(3))), exit(Term::Int(3))),
            (Err(error), exit(undef)),
        ] {
            assert_eq!(answer(outcome), expected);
        }
    }

    #[test]
    fn an_answer_is_read_as_a_value_or_a_reason() {
        let pair = |first: Term| tuple([first, Term::Int(1)]);
        assert_eq!(read_answer(Term::Int(1)), Ok(Term::Int(1)));
        let ok = pair(Term::atom("ok"));
        assert_eq!(read_answer(ok.clone()), Ok(ok));
        assert_eq!(read_answer(pair(Term::atom("badrpc"))), Err(Term::Int(1)));
        let exit = pair(Term::atom("EXIT"));
        assert_eq!(read_answer(exit.clone()), Err(exit));
    }

    #[test]
    fn an_exception_is_read_from_what_rpc_call_gives() {
        let error = Exception::undef(Term::atom("m"), Term::atom("f"), Term::NIL);
        for exception in [error, Exception::Exit(Term::Int(1))] {
            let reason = read_answer(answer(Err(exception.clone()))).unwrap_err();
            assert_eq!(read_badrpc(reason), exception);
        }
        let nodedown = Term::atom("nodedown");
        assert_eq!(read_badrpc(nodedown.clone()), Exception::Exit(nodedown));
        let pair = tuple([Term::atom("a"), Term::atom("b")]);
        let exit = super::exit(pair.clone());
        assert_eq!(read_badrpc(exit), Exception::Exit(pair));
        assert_eq!(
            Request::read(cast(Atom::new("m"), Atom::new("f"), vec![Term::Int(1)])),
            Ok(Request::Cast(apply(), None))
        );
    }
}
