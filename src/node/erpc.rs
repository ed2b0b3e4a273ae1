//! The terms of `erpc`: a call is a process that is spawned and monitored, and its exit reason is the
//! answer. Pure.
//!
//! <https://www.erlang.org/doc/apps/kernel/erpc.html>; the protocol between the two sides is the spawn
//! request of a function that every OTP from 23 on has, `erpc:execute_call/4`.

use crate::etf::{Atom, Reference, Term};

use super::exception::Exception;

/// The module that both functions are in.
pub(super) const MODULE: Atom = Atom::new("erpc");
/// `execute_call(Reference, Module, Function, Arguments)`
pub(super) const EXECUTE_CALL: Atom = Atom::new("execute_call");
/// `execute_cast(Module, Function, Arguments)`
pub(super) const EXECUTE_CAST: Atom = Atom::new("execute_cast");

/// A function by name, with its arguments as they came, which may be no list.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Apply {
    pub(super) module: Term,
    pub(super) function: Term,
    pub(super) arguments: Term,
}

impl Apply {
    pub(super) fn new(module: Atom, function: Atom, arguments: Vec<Term>) -> Self {
        Self {
            module: module.into(),
            function: function.into(),
            arguments: Term::List(arguments),
        }
    }
}

/// What a spawn request asks to run.
#[derive(Debug, PartialEq)]
pub(super) enum Job {
    /// The function, as the process itself: it ends with what the function raises.
    Spawn(Apply),
    /// The function, with its outcome as the exit reason, marked with this reference.
    Call(Term, Apply),
    /// The function, whose outcome interests nobody.
    Cast(Apply),
}

impl Job {
    /// What `Module:Function(Arguments...)` stands for: two functions of `erpc` take a function to run.
    pub(super) fn new(module: Atom, function: Atom, arguments: Term) -> Self {
        let arguments = match arguments {
            Term::List(list) if module == MODULE => list,
            arguments => {
                return Self::Spawn(Apply {
                    module: module.into(),
                    function: function.into(),
                    arguments,
                });
            }
        };
        let takes = |name: Atom, arity: usize| function == name && arguments.len() == arity;
        let (is_call, is_cast) = (takes(EXECUTE_CALL, 4), takes(EXECUTE_CAST, 3));
        if !is_call && !is_cast {
            return Self::Spawn(Apply {
                module: module.into(),
                function: function.into(),
                arguments: Term::List(arguments),
            });
        }
        let mut arguments = arguments.into_iter();
        let mut next = || arguments.next().unwrap_or(Term::NIL);
        let reference = is_call.then(&mut next);
        let apply = Apply {
            module: next(),
            function: next(),
            arguments: next(),
        };
        match reference {
            Some(reference) => Self::Call(reference, apply),
            None => Self::Cast(apply),
        }
    }
}

/// The exit reason that tells the caller what came of its call.
pub(super) fn exit_reason(reference: Term, outcome: Result<Term, Exception>) -> Term {
    let (class, rest) = match outcome {
        Ok(value) => ("return", vec![value]),
        Err(Exception::Throw(value)) => ("throw", vec![value]),
        Err(Exception::Exit(reason)) => ("exit", vec![reason]),
        Err(Exception::Error { reason, stack }) => ("error", vec![reason, Term::List(stack)]),
    };
    let mut elements = vec![reference, Term::atom(class)];
    elements.extend(rest);
    Term::Tuple(elements)
}

/// The arguments of `execute_call/4`.
pub(super) fn call_arguments(
    reference: Reference,
    module: Atom,
    function: Atom,
    arguments: Vec<Term>,
) -> Term {
    Term::List(vec![
        reference.into(),
        module.into(),
        function.into(),
        Term::List(arguments),
    ])
}

/// The arguments of `execute_cast/3`.
pub(super) fn cast_arguments(module: Atom, function: Atom, arguments: Vec<Term>) -> Term {
    Term::List(vec![module.into(), function.into(), Term::List(arguments)])
}

/// How the process of a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Returned(Term),
    Raised(Exception),
    /// By an exit signal of somebody, and not by what the function did.
    Signal(Term),
}

/// Reads the exit reason of a process that ran `execute_call/4` with this reference.
pub(super) fn ended(reference: &Reference, reason: Term) -> Ended {
    let elements = match reason {
        Term::Tuple(elements) if is_marked(&elements, reference) => elements,
        reason => return Ended::Signal(reason),
    };
    let class = elements[1].as_atom().map_or("", Atom::as_str).to_owned();
    let mut rest = elements.into_iter().skip(2);
    match (class.as_str(), rest.next(), rest.next(), rest.next()) {
        ("return", Some(value), None, None) => Ended::Returned(value),
        ("throw", Some(value), None, None) => Ended::Raised(Exception::Throw(value)),
        ("exit", Some(reason), None, None) => Ended::Raised(Exception::Exit(reason)),
        // `{erpc, system_limit}`: the arguments were too many, so that there is no trace.
        ("error", Some(reason), None, None) => Ended::Raised(Exception::error(reason)),
        ("error", Some(reason), Some(Term::List(stack)), None) => {
            Ended::Raised(Exception::Error { reason, stack })
        }
        // No release answers so; what it said is kept.
        (_, first, second, third) => {
            let kept = [first, second, third].into_iter().flatten();
            Ended::Signal(Term::Tuple(kept.collect()))
        }
    }
}

fn is_marked(elements: &[Term], reference: &Reference) -> bool {
    elements.len() >= 3 && matches!(&elements[0], Term::Reference(marked) if **marked == *reference)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(id: u32) -> Reference {
        Reference {
            node: Atom::new("a@b"),
            creation: 7,
            id: vec![id, 2, 3],
        }
    }

    fn apply() -> Apply {
        Apply {
            module: Term::atom("m"),
            function: Term::atom("f"),
            arguments: Term::List(vec![Term::Int(1)]),
        }
    }

    #[test]
    fn every_outcome_comes_back_from_the_exit_reason() {
        let stack = vec![Term::atom("frame")];
        for (outcome, class, arity) in [
            (Ok(Term::Int(1)), "return", 3),
            (Err(Exception::Throw(Term::Int(2))), "throw", 3),
            (Err(Exception::Exit(Term::Int(3))), "exit", 3),
            (
                Err(Exception::Error {
                    reason: Term::atom("badarg"),
                    stack,
                }),
                "error",
                4,
            ),
        ] {
            let reason = exit_reason(reference(1).into(), outcome.clone());
            let elements = reason.as_tuple().unwrap();
            assert_eq!(elements[0], reference(1).into());
            assert_eq!(elements[1], Term::atom(class));
            assert_eq!(elements.len(), arity);
            let expected = outcome.map_or_else(Ended::Raised, Ended::Returned);
            assert_eq!(ended(&reference(1), reason.clone()), expected);
            // Another call's answer is none.
            assert_eq!(ended(&reference(2), reason.clone()), Ended::Signal(reason));
        }
    }

    #[test]
    fn what_is_no_answer_is_an_exit_signal() {
        let marked = |rest: &[Term]| {
            let mut elements = vec![reference(1).into()];
            elements.extend_from_slice(rest);
            Term::Tuple(elements)
        };
        for reason in [Term::atom("killed"), Term::Tuple(vec![]), marked(&[])] {
            assert_eq!(ended(&reference(1), reason.clone()), Ended::Signal(reason));
        }
        for rest in [
            vec![Term::atom("return"), Term::NIL, Term::NIL],
            vec![Term::atom("else"), Term::NIL],
            vec![Term::Int(1), Term::NIL],
            vec![Term::atom("error"), Term::NIL, Term::Int(1)],
        ] {
            let ended = ended(&reference(1), marked(&rest));
            assert!(matches!(ended, Ended::Signal(_)), "{ended:?}");
        }
        let limit = Term::Tuple(vec![Term::atom("erpc"), Term::atom("system_limit")]);
        let reason = marked(&[Term::atom("error"), limit.clone()]);
        let expected = Ended::Raised(Exception::error(limit));
        assert_eq!(ended(&reference(1), reason), expected);
    }

    #[test]
    fn the_two_functions_of_erpc_are_looked_through() {
        let arguments =
            call_arguments(reference(1), Atom::new("m"), Atom::new("f"), vec![1.into()]);
        let job = Job::new(MODULE, EXECUTE_CALL, arguments);
        assert_eq!(job, Job::Call(reference(1).into(), apply()));
        let arguments = cast_arguments(Atom::new("m"), Atom::new("f"), vec![1.into()]);
        assert_eq!(
            Job::new(MODULE, EXECUTE_CAST, arguments),
            Job::Cast(apply())
        );

        let one = || Term::List(vec![Term::Int(1)]);
        let job = Job::new(Atom::new("m"), Atom::new("f"), one());
        assert_eq!(job, Job::Spawn(apply()));
        // With other arguments it is a function like any other, and there is none of that name.
        for (function, arguments) in [
            (EXECUTE_CALL, one()),
            (EXECUTE_CAST, one()),
            (EXECUTE_CAST, Term::Int(1)),
            (Atom::new("call"), one()),
        ] {
            let job = Job::new(MODULE, function, arguments);
            assert!(matches!(job, Job::Spawn(_)), "{job:?}");
        }
    }
}
