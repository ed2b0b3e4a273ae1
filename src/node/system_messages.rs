//! The messages with which OTP's `sys` asks about a process and stops it, for a [`GenServer`](super::GenServer).
//!
//! `sys:get_state/1` and its like send `{system, From, Request}` and wait for an answer as to a call. What is answered here
//! is what a `gen_server` of OTP answers, but for what needs a fun to run: `replace_state`, and what `debug` turns on.
//!
//! <https://www.erlang.org/doc/apps/stdlib/sys.html>

use crate::etf::{Pid, Term};

use super::received::{ExitReason, Received};

/// Whether a message of `sys` came.
pub(super) fn is_system(received: &Received) -> bool {
    match received {
        Received::Message(Term::Tuple(elements)) => {
            matches!(elements.as_slice(), [Term::Atom(label), from, _]
                if *label == *"system" && matches!(from.as_tuple(), Some([Term::Pid(_), _])))
        }
        _ => false,
    }
}

/// What is answered, and what comes of it.
#[derive(Debug, PartialEq)]
pub(super) struct Answered {
    pub reply: Term,
    pub then: Then,
}

/// What becomes of the process.
#[derive(Debug, PartialEq)]
pub(super) enum Then {
    /// It goes on as it is.
    GoesOn,
    /// It takes only messages of `sys` until it is resumed.
    Suspends,
    /// It takes all messages again.
    Resumes,
    /// It ends.
    Ends(ExitReason),
}

/// Answers a request of `sys` to the process `pid`. `state` makes what is shown of its state.
pub(super) fn answer(
    request: &Term,
    pid: &Pid,
    suspended: bool,
    state: impl FnOnce() -> Term,
) -> Answered {
    let goes_on = |reply| Answered {
        reply,
        then: Then::GoesOn,
    };
    let ok = || Term::atom("ok");
    let then = |then| Answered { reply: ok(), then };
    let word = match request {
        Term::Atom(word) => Some(word.as_str()),
        _ => None,
    };
    match (word, request.as_tuple()) {
        (Some("get_state"), _) => goes_on(state()),
        (Some("get_status"), _) => goes_on(status(pid, suspended, state())),
        (Some("suspend"), _) => then(Then::Suspends),
        (Some("resume"), _) => then(Then::Resumes),
        (_, Some([Term::Atom(word), reason])) if *word == *"terminate" => {
            then(Then::Ends(ExitReason(reason.clone())))
        }
        (_, Some([Term::Atom(word), what])) if *word == *"debug" => goes_on(debug(what)),
        (_, Some([Term::Atom(word), _])) if *word == *"replace_state" => {
            // As where the callback fails: a fun of a BEAM cannot run here.
            let callback = pair_of("gen_server", "system_replace_state");
            let failed = Term::Tuple(vec![
                Term::atom("callback_failed"),
                callback,
                pair_of("error", "undef"),
            ]);
            goes_on(pair("error", failed))
        }
        _ => goes_on(pair("error", pair("unknown_system_msg", request.clone()))),
    }
}

/// Nothing is traced, logged or counted: asking for what there is, and turning it off, is answered as OTP does.
fn debug(what: &Term) -> Term {
    let words = what.as_tuple().and_then(|pair| match pair {
        [Term::Atom(what), Term::Atom(how)] => Some((what.as_str(), how.as_str())),
        _ => None,
    });
    match (what, words) {
        (Term::Atom(word), _) if *word == *"no_debug" => Term::atom("ok"),
        (_, Some(("log", "get"))) => pair("ok", Term::NIL),
        (_, Some(("statistics", "get"))) => pair_of("ok", "no_statistics"),
        (_, Some(("trace" | "log" | "statistics" | "log_to_file", "false") | ("log", "print"))) => {
            Term::atom("ok")
        }
        (_, Some(("remove", _))) => Term::atom("ok"),
        _ => Term::atom("unknown_debug"),
    }
}

/// `{status, Pid, {module, Module}, [Dictionary, State, Parent, Debug, Misc]}`, as a `gen_server` formats it.
fn status(pid: &Pid, suspended: bool, state: Term) -> Term {
    let pid = || Term::from(pid.clone());
    let sys_state = Term::atom(if suspended { "suspended" } else { "running" });
    let named = |name: &str, value: Term| Term::Tuple(vec![text(name), value]);
    let header = text(&format!("Status for generic server {}", pid()));
    let about = Term::List(vec![
        named("Status", sys_state.clone()),
        named("Parent", pid()),
        named("Logged events", Term::NIL),
    ]);
    let misc = Term::List(vec![
        pair("header", header),
        pair("data", about),
        pair("data", Term::List(vec![named("State", state)])),
    ]);
    Term::Tuple(vec![
        Term::atom("status"),
        pid(),
        pair_of("module", "gen_server"),
        Term::List(vec![Term::NIL, sys_state, pid(), Term::NIL, misc]),
    ])
}

/// An Erlang string.
fn text(text: &str) -> Term {
    Term::List(text.bytes().map(|byte| Term::Int(byte.into())).collect())
}

fn pair(first: &'static str, second: Term) -> Term {
    Term::Tuple(vec![Term::atom(first), second])
}

fn pair_of(first: &'static str, second: &'static str) -> Term {
    pair(first, Term::atom(second))
}
