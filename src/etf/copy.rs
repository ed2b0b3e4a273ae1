//! Cloning a term with a stack of its own: a term may nest deeper than a thread has stack.

use std::slice;

use super::map::Map;
use super::term::{Fun, ImproperList, Term};

/// A term of which some parts have been copied.
enum Open<'a> {
    List(Items<'a>),
    Improper(Items<'a>, &'a Term),
    Tail(Vec<Term>),
    Tuple(Items<'a>),
    Map {
        rest: slice::Iter<'a, (Term, Term)>,
        value: Option<&'a Term>,
        key: Option<Term>,
        pairs: Vec<(Term, Term)>,
    },
    Fun(Items<'a>, &'a Fun),
}

struct Items<'a> {
    rest: slice::Iter<'a, Term>,
    copied: Vec<Term>,
}

impl<'a> Items<'a> {
    fn new(terms: &'a [Term]) -> Self {
        Self {
            rest: terms.iter(),
            copied: Vec::with_capacity(terms.len()),
        }
    }
}

impl<'a> Open<'a> {
    /// Begins a term, or copies it if it holds no others.
    fn begin(term: &'a Term) -> Result<Self, Term> {
        Err(match term {
            Term::List(elements) if !elements.is_empty() => {
                return Ok(Self::List(Items::new(elements)));
            }
            Term::ImproperList(list) => {
                return Ok(Self::Improper(Items::new(&list.elements), &list.tail));
            }
            Term::Tuple(elements) => return Ok(Self::Tuple(Items::new(elements))),
            Term::Map(map) => {
                return Ok(Self::Map {
                    rest: map.iter(),
                    value: None,
                    key: None,
                    pairs: Vec::with_capacity(map.len()),
                });
            }
            Term::Fun(fun) => return Ok(Self::Fun(Items::new(&fun.free), fun)),
            Term::List(_) => Term::NIL,
            Term::Atom(atom) => Term::Atom(atom.clone()),
            Term::Int(int) => Term::Int(*int),
            Term::BigInt(int) => Term::BigInt(int.clone()),
            Term::Float(float) => Term::Float(*float),
            Term::Binary(bytes) => Term::Binary(bytes.clone()),
            Term::BitString(bits) => Term::BitString(bits.clone()),
            Term::Pid(pid) => Term::Pid(pid.clone()),
            Term::Port(port) => Term::Port(port.clone()),
            Term::Reference(reference) => Term::Reference(reference.clone()),
            Term::Export(export) => Term::Export(export.clone()),
        })
    }

    /// The part that is copied next, or `None` when all have been.
    fn next(&mut self) -> Option<&'a Term> {
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Fun(items, _) => items.rest.next(),
            Self::Improper(items, tail) => match items.rest.next() {
                Some(element) => Some(element),
                None => {
                    let (copied, tail) = (std::mem::take(&mut items.copied), *tail);
                    *self = Self::Tail(copied);
                    Some(tail)
                }
            },
            // Its only part has been asked for before.
            Self::Tail(_) => None,
            Self::Map { rest, value, .. } => value.take().or_else(|| {
                let (key, after) = rest.next()?;
                *value = Some(after);
                Some(key)
            }),
        }
    }

    /// Takes the copy of a part. A tail completes its list.
    fn take(&mut self, term: Term) -> Option<Term> {
        match self {
            Self::List(items)
            | Self::Tuple(items)
            | Self::Fun(items, _)
            | Self::Improper(items, _) => items.copied.push(term),
            Self::Tail(elements) => {
                return Some(Term::ImproperList(Box::new(ImproperList {
                    elements: std::mem::take(elements),
                    tail: term,
                })));
            }
            Self::Map { key, pairs, .. } => match key.take() {
                Some(key) => pairs.push((key, term)),
                None => *key = Some(term),
            },
        }
        None
    }

    fn whole(self) -> Term {
        match self {
            Self::List(items) => Term::List(items.copied),
            Self::Tuple(items) => Term::Tuple(items.copied),
            Self::Improper(Items { copied, .. }, _) | Self::Tail(copied) => Term::List(copied),
            Self::Map { pairs, .. } => Term::Map(Map::in_order(pairs)),
            Self::Fun(items, fun) => Term::Fun(Box::new(Fun {
                module: fun.module.clone(),
                pid: fun.pid.clone(),
                free: items.copied,
                ..*fun
            })),
        }
    }
}

impl Clone for Term {
    fn clone(&self) -> Self {
        let mut current = match Open::begin(self) {
            Ok(open) => open,
            Err(leaf) => return leaf,
        };
        let mut outer = Vec::new();
        loop {
            let mut done = match current.next() {
                Some(part) => match Open::begin(part) {
                    Ok(open) => {
                        outer.push(std::mem::replace(&mut current, open));
                        continue;
                    }
                    Err(leaf) => current.take(leaf),
                },
                None => Some(std::mem::replace(&mut current, Open::Tail(Vec::new())).whole()),
            };
            while let Some(term) = done {
                match outer.pop() {
                    Some(before) => current = before,
                    None => return term,
                }
                done = current.take(term);
            }
        }
    }
}
