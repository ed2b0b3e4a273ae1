//! What a call ends with when it does not return: Erlang's three classes of exceptions. Pure.

use std::any::Any;
use std::fmt;

use crate::etf::{Atom, Term};

/// How many bytes of a term the text of an error shows.
pub(super) const MOST_SHOWN: usize = 1000;

/// An exception of Erlang: what a function raises instead of returning.
///
/// A function that the node offers ends with one (see [`super::Functions`]), and one comes back from a
/// function that was called on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exception {
    /// `error:Reason`, with the stack trace as Erlang has it: `{Module, Function, ArityOrArguments, Location}`,
    /// innermost first. A function of Rust may leave it empty; then the function itself is put in.
    Error {
        /// What went wrong: `badarg`, `undef`, `{badmatch, Value}` and so on.
        reason: Term,
        /// Where.
        stack: Vec<Term>,
    },
    /// `exit:Reason`
    Exit(Term),
    /// `throw:Value`
    Throw(Term),
}

impl Exception {
    /// `error:Reason`, raised here.
    pub fn error(reason: impl Into<Term>) -> Self {
        let (reason, stack) = (reason.into(), Vec::new());
        Self::Error { reason, stack }
    }

    /// `error:badarg`: the arguments are not what the function takes.
    #[must_use]
    pub fn badarg() -> Self {
        Self::error(Term::atom("badarg"))
    }

    /// `error:undef`, as a BEAM raises it for a function that it does not have.
    #[must_use]
    pub fn undef(module: Term, function: Term, arguments: Term) -> Self {
        let frame = Term::Tuple(vec![module, function, arguments, Term::NIL]);
        Self::Error {
            reason: Term::atom("undef"),
            stack: vec![frame],
        }
    }

    /// `error:undef` for a fun that only its own node can run.
    #[must_use]
    pub(super) fn undef_fun(fun: Term, arguments: Vec<Term>) -> Self {
        let frame = Term::Tuple(vec![fun, Term::List(arguments), Term::NIL]);
        Self::Error {
            reason: Term::atom("undef"),
            stack: vec![frame],
        }
    }

    /// `error:{panic, Message}`: what a function that panicked ends with.
    pub(super) fn panic(payload: &(dyn Any + Send)) -> Self {
        let words = crate::panics::words(payload).to_owned();
        Self::error(Term::Tuple(vec![Term::atom("panic"), Term::binary(words)]))
    }

    /// `error:{unsendable, Why}`: what a function returned or raised cannot be sent to its caller.
    pub(super) fn unsendable(why: &str) -> Self {
        let why = Term::binary(why.to_owned());
        Self::error(Term::Tuple(vec![Term::atom("unsendable"), why]))
    }

    /// The class: `error`, `exit` or `throw`.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::Exit(_) => "exit",
            Self::Throw(_) => "throw",
        }
    }

    /// What was raised, without its class and without a stack trace.
    #[must_use]
    pub fn reason(&self) -> &Term {
        match self {
            Self::Error { reason, .. } | Self::Exit(reason) | Self::Throw(reason) => reason,
        }
    }

    /// Puts the function into a stack trace that has nothing else.
    pub(super) fn raised_in(mut self, module: &Atom, function: &Atom, arity: u8) -> Self {
        if let Self::Error { stack, .. } = &mut self
            && stack.is_empty()
        {
            let frame = vec![
                Term::Atom(module.clone()),
                Term::Atom(function.clone()),
                Term::Int(i64::from(arity)),
                Term::NIL,
            ];
            stack.push(Term::Tuple(frame));
        }
        self
    }

    /// The reason with which a process ends that did not catch the exception.
    #[must_use]
    pub fn into_exit_reason(self) -> Term {
        match self {
            Self::Error { reason, stack } => Term::Tuple(vec![reason, Term::List(stack)]),
            Self::Exit(reason) => reason,
            Self::Throw(value) => {
                let uncaught = Term::Tuple(vec![Term::atom("nocatch"), value]);
                Term::Tuple(vec![uncaught, Term::NIL])
            }
        }
    }
}

impl fmt::Display for Exception {
    /// At most 1,000 bytes of the reason and as many of the innermost place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason().shown_in(MOST_SHOWN);
        write!(f, "{}:{reason}", self.class())?;
        if let Self::Error { stack, .. } = self
            && let Some(innermost) = stack.first()
        {
            write!(f, " in {}", innermost.shown_in(MOST_SHOWN))?;
        }
        Ok(())
    }
}

impl std::error::Error for Exception {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_did_not_catch_it_ends_as_on_a_beam() {
        let (m, f) = (Atom::new("m"), Atom::new("f"));
        let raised = Exception::badarg().raised_in(&m, &f, 2);
        let frame = vec![m.into(), f.into(), Term::Int(2), Term::NIL];
        let stack = Term::List(vec![Term::Tuple(frame)]);
        let reason = Term::Tuple(vec![Term::atom("badarg"), stack]);
        assert_eq!(raised.clone().into_exit_reason(), reason);
        // A trace that is there stays.
        let again = raised
            .clone()
            .raised_in(&Atom::new("x"), &Atom::new("y"), 0);
        assert_eq!(again, raised);

        let gone = Exception::Exit(Term::atom("gone"));
        assert_eq!(gone.into_exit_reason(), Term::atom("gone"));
        let thrown = Exception::Throw(Term::Int(1)).into_exit_reason();
        let uncaught = Term::Tuple(vec![Term::atom("nocatch"), Term::Int(1)]);
        assert_eq!(thrown, Term::Tuple(vec![uncaught, Term::NIL]));
    }

    #[test]
    fn it_says_what_was_raised_and_where() {
        let undef = Exception::undef(Term::atom("m"), Term::atom("f"), Term::NIL);
        assert_eq!(undef.to_string(), "error:undef in {m,f,[],[]}");
        assert_eq!(Exception::badarg().to_string(), "error:badarg");
        assert_eq!(Exception::Exit(Term::Int(1)).to_string(), "exit:1");
    }

    #[test]
    fn a_panic_keeps_its_message() {
        let said = |message: &str| {
            let message = Term::binary(message.as_bytes().to_vec());
            Exception::error(Term::Tuple(vec![Term::atom("panic"), message]))
        };
        assert_eq!(Exception::panic(&"oh"), said("oh"));
        assert_eq!(Exception::panic(&"oh no".to_owned()), said("oh no"));
        assert_eq!(Exception::panic(&7), said(crate::panics::words(&7)));
    }
}
