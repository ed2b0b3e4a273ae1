//! The terms that calls consist of, built and taken apart.

use eetf::{Atom, List, Pid, Reference, Term, Tuple};

pub(crate) fn atom(name: &str) -> Term {
    Term::from(Atom::from(name))
}

pub(crate) fn tuple<const N: usize>(elements: [Term; N]) -> Term {
    Term::from(Tuple::from(elements.to_vec()))
}

pub(crate) fn list(elements: Vec<Term>) -> Term {
    Term::from(List::from(elements))
}

/// The elements of a tuple of `N`.
pub(crate) fn elements<const N: usize>(term: Term) -> Option<[Term; N]> {
    match term {
        Term::Tuple(tuple) => tuple.elements.try_into().ok(),
        _ => None,
    }
}

pub(crate) fn is_atom(term: &Term, name: &str) -> bool {
    atom_name(term) == Some(name)
}

/// The name in an atom.
pub(crate) fn atom_name(term: &Term) -> Option<&str> {
    match term {
        Term::Atom(atom) => Some(&atom.name),
        _ => None,
    }
}

/// A request to a `gen_server`: `{'$gen_call', {From, Tag}, Request}`. OTP's `gen` module gives it this form.
pub(super) fn gen_call(from: Pid, tag: Reference, request: Term) -> Term {
    let from = tuple([from.into(), tag.into()]);
    tuple([atom("$gen_call"), from, request])
}

/// Who asks, under which tag, and what, if the term is a request to a `gen_server`. The tag of OTP 24 and
/// later is `[alias | Reference]`, so it is kept as it came.
pub(super) fn as_gen_call(term: Term) -> Option<(Pid, Term, Term)> {
    let [label, from, request] = elements(term)?;
    let [Term::Pid(pid), tag] = elements(from)? else {
        return None;
    };
    is_atom(&label, "$gen_call").then_some((pid, tag, request))
}

/// `{Tag, Answer}`, as a `gen_server` answers a tag that is a reference.
pub(super) fn as_answer(term: Term) -> Option<(Reference, Term)> {
    let [tag, answer] = elements(term)?;
    match tag {
        Term::Reference(tag) => Some((*tag, answer)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_apart_as_it_was_put_together() {
        let pid = Pid::new("a@b", 1, 2, 3);
        let tag = Reference::from(("a@b", vec![1, 2, 3]));
        let call = gen_call(pid.clone(), tag.clone(), atom("hello"));
        let taken = as_gen_call(call.clone());
        assert_eq!(taken, Some((pid, tag.clone().into(), atom("hello"))));
        for other in [atom("x"), tuple([atom("x"), atom("y"), atom("z")])] {
            assert_eq!(as_gen_call(other), None);
        }
        let answer = tuple([tag.clone().into(), atom("fine")]);
        assert_eq!(as_answer(answer), Some((tag, atom("fine"))));
        assert_eq!(as_answer(call), None);
    }
}
