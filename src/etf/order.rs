//! The order of terms, and with it their equality and their hash.
//!
//! All three walk through terms with a stack of their own, not with the thread's: a term may nest deeper than a
//! thread has stack. Each part is looked at once. What is compared and hashed is a sequence of tokens, which is
//! made so that Erlang's order of two terms is the order of the first two tokens that differ.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};
use std::slice;

use num_bigint::{BigInt, ToBigInt};

use super::term::{Fun, Pid, Port, Term};

/// A part of a term.
#[derive(Clone, Copy)]
enum Token<'a> {
    /// A term that holds no other.
    Leaf(&'a Term),
    /// A fun, before the values of its free variables.
    Fun(&'a Fun),
    /// A tuple of so many elements, which follow.
    Tuple(usize),
    /// A map of so many pairs: all keys follow, then all values.
    Map(usize),
    /// The end of a proper list.
    Nil,
    /// A list has one more element, which follows.
    Cons,
}

/// What is still to be walked through of a term that has begun.
enum Rest<'a> {
    Terms(slice::Iter<'a, Term>),
    List(slice::Iter<'a, Term>, Option<&'a Term>),
    Keys(slice::Iter<'a, (Term, Term)>),
    Values(slice::Iter<'a, (Term, Term)>),
}

/// The tokens of a term.
struct Walk<'a> {
    next: Option<&'a Term>,
    rest: Vec<Rest<'a>>,
}

impl<'a> Walk<'a> {
    fn new(term: &'a Term) -> Self {
        Self {
            next: Some(term),
            rest: Vec::new(),
        }
    }

    /// The tokens of a term, or of its first token if it holds others.
    fn begin(&mut self, term: &'a Term) -> Option<Token<'a>> {
        Some(match term {
            Term::List(elements) => {
                self.rest.push(Rest::List(elements.iter(), None));
                return None;
            }
            Term::ImproperList(list) => {
                let rest = Rest::List(list.elements.iter(), Some(&list.tail));
                self.rest.push(rest);
                return None;
            }
            Term::Tuple(elements) => {
                self.rest.push(Rest::Terms(elements.iter()));
                Token::Tuple(elements.len())
            }
            Term::Map(map) => {
                self.rest.push(Rest::Values(map.iter()));
                self.rest.push(Rest::Keys(map.iter()));
                Token::Map(map.len())
            }
            Term::Fun(fun) => {
                self.rest.push(Rest::Terms(fun.free.iter()));
                Token::Fun(fun)
            }
            leaf => Token::Leaf(leaf),
        })
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            if let Some(term) = self.next.take()
                && let Some(token) = self.begin(term)
            {
                return Some(token);
            }
            match self.rest.last_mut()? {
                Rest::Terms(terms) => self.next = terms.next(),
                Rest::Keys(pairs) => self.next = pairs.next().map(|(key, _)| key),
                Rest::Values(pairs) => self.next = pairs.next().map(|(_, value)| value),
                Rest::List(elements, tail) => {
                    self.next = elements.next();
                    if self.next.is_some() {
                        return Some(Token::Cons);
                    }
                    self.next = *tail;
                    if self.next.is_none() {
                        self.rest.pop();
                        return Some(Token::Nil);
                    }
                    self.rest.pop();
                    continue;
                }
            }
            if self.next.is_none() {
                self.rest.pop();
            }
        }
    }
}

/// Where a kind of term stands in Erlang's order. A closure comes before a fun that names a function.
fn rank(token: Token<'_>) -> u8 {
    match token {
        Token::Fun(_) => 3,
        Token::Tuple(_) => 7,
        Token::Map(_) => 8,
        Token::Nil => 9,
        Token::Cons => 10,
        Token::Leaf(term) => match term {
            Term::Int(_) | Term::BigInt(_) | Term::Float(_) => 0,
            Term::Atom(_) => 1,
            Term::Reference(_) => 2,
            Term::Export(_) => 4,
            Term::Port(_) => 5,
            Term::Pid(_) => 6,
            Term::Binary(_) | Term::BitString(_) => 11,
            // These are no leaves.
            Term::List(_)
            | Term::ImproperList(_)
            | Term::Tuple(_)
            | Term::Map(_)
            | Term::Fun(_) => 12,
        },
    }
}

fn compare_tokens(a: Token<'_>, b: Token<'_>) -> Ordering {
    #[cfg(test)]
    tests::COMPARED.set(tests::COMPARED.get() + 1);
    match (a, b) {
        (Token::Leaf(a), Token::Leaf(b)) => compare_leaves(a, b),
        (Token::Tuple(a), Token::Tuple(b)) | (Token::Map(a), Token::Map(b)) => a.cmp(&b),
        (Token::Fun(a), Token::Fun(b)) => head_of_fun(a).cmp(&head_of_fun(b)),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

fn compare_leaves(a: &Term, b: &Term) -> Ordering {
    match (a, b) {
        (Term::Atom(a), Term::Atom(b)) => a.cmp(b),
        (Term::Int(a), Term::Int(b)) => a.cmp(b),
        (Term::Binary(a), Term::Binary(b)) => a.cmp(b),
        (Term::Pid(a), Term::Pid(b)) => key_of_pid(a).cmp(&key_of_pid(b)),
        (Term::Port(a), Term::Port(b)) => key_of_port(a).cmp(&key_of_port(b)),
        (Term::Reference(a), Term::Reference(b)) => {
            let (node_a, node_b) = ((&a.node, a.creation), (&b.node, b.creation));
            // The wire has the least significant word first.
            let words = || a.id.iter().rev().cmp(b.id.iter().rev());
            node_a.cmp(&node_b).then_with(words)
        }
        (Term::Export(a), Term::Export(b)) => {
            (&a.module, &a.function, a.arity).cmp(&(&b.module, &b.function, b.arity))
        }
        (Term::BitString(_) | Term::Binary(_), Term::BitString(_) | Term::Binary(_)) => {
            // Unused bits are zero, so that the shorter one comes first if it begins the other.
            bits(a).cmp(&bits(b))
        }
        (
            Term::Int(_) | Term::BigInt(_) | Term::Float(_),
            Term::Int(_) | Term::BigInt(_) | Term::Float(_),
        ) => compare_numbers(a, b),
        (a, b) => rank(Token::Leaf(a)).cmp(&rank(Token::Leaf(b))),
    }
}

fn key_of_pid(pid: &Pid) -> impl Ord + Hash + '_ {
    (pid.serial, pid.id, &pid.node, pid.creation)
}

fn key_of_port(port: &Port) -> impl Ord + Hash + '_ {
    (port.id, &port.node, port.creation)
}

/// All of a fun but the values of its free variables.
fn head_of_fun(fun: &Fun) -> impl Ord + Hash + '_ {
    let numbers = (fun.old_index, fun.old_uniq, fun.arity, fun.free.len());
    let code = (&fun.module, fun.index, &fun.uniq);
    (code, numbers, key_of_pid(&fun.pid))
}

/// The bytes of a binary or bit string, and how many bits of the last one count.
fn bits(term: &Term) -> (&[u8], u8) {
    match term {
        Term::Binary(bytes) => (bytes, 8),
        Term::BitString(bits) => (&bits.bytes, bits.last_bits),
        _ => (&[], 0),
    }
}

/// By their values, exactly. An integer comes before the float of the same value: they are not equal.
fn compare_numbers(a: &Term, b: &Term) -> Ordering {
    match (a, b) {
        // Bits, not values: -0.0 is another term than 0.0.
        (Term::Float(a), Term::Float(b)) => a.total_cmp(b),
        (Term::Float(a), b) => compare_with_float(b, *a).reverse(),
        (a, Term::Float(b)) => compare_with_float(a, *b),
        (Term::BigInt(a), Term::BigInt(b)) => a.cmp(b),
        (Term::BigInt(a), Term::Int(b)) => (**a).cmp(&BigInt::from(*b)).then(Ordering::Greater),
        (Term::Int(a), Term::BigInt(b)) => BigInt::from(*a).cmp(b).then(Ordering::Less),
        (Term::Int(a), Term::Int(b)) => a.cmp(b),
        _ => Ordering::Equal,
    }
}

fn compare_with_float(int: &Term, float: f64) -> Ordering {
    let Some(whole) = float.to_bigint() else {
        // Infinite or no number: nothing that could be encoded, but it has its place.
        return 0.0_f64.total_cmp(&float);
    };
    let wholes = match int {
        Term::Int(int) => BigInt::from(*int).cmp(&whole),
        Term::BigInt(int) => (**int).cmp(&whole),
        _ => Ordering::Equal,
    };
    let fraction = float.fract();
    let by_fraction = if fraction < 0.0 {
        Ordering::Greater
    } else {
        Ordering::Less
    };
    wholes.then(by_fraction)
}

/// Compares a term with an atom of this name.
pub(super) fn with_atom(term: &Term, name: &str) -> Ordering {
    match term {
        Term::Atom(atom) => atom.as_str().cmp(name),
        Term::Int(_) | Term::BigInt(_) | Term::Float(_) => Ordering::Less,
        _ => Ordering::Greater,
    }
}

fn holds_others(term: &Term) -> bool {
    matches!(
        term,
        Term::List(_) | Term::ImproperList(_) | Term::Tuple(_) | Term::Map(_) | Term::Fun(_)
    )
}

impl Ord for Term {
    /// Erlang's order: number < atom < reference < fun < port < pid < tuple < map < nil < list < bit string. As
    /// between the keys of a map in Erlang, `1` and `1.0` are not equal; the integer comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        if !holds_others(self) && !holds_others(other) {
            return compare_leaves(self, other);
        }
        let (mut a, mut b) = (Walk::new(self), Walk::new(other));
        loop {
            match (a.next(), b.next()) {
                (Some(a), Some(b)) => match compare_tokens(a, b) {
                    Ordering::Equal => {}
                    differ => return differ,
                },
                (None, None) => return Ordering::Equal,
                (None, Some(_)) => return Ordering::Less,
                (Some(_), None) => return Ordering::Greater,
            }
        }
    }
}

impl PartialOrd for Term {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Atom(a), Self::Atom(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Binary(a), Self::Binary(b)) => a == b,
            (Self::Tuple(a), Self::Tuple(b)) if a.len() != b.len() => false,
            (Self::List(a), Self::List(b)) if a.len() != b.len() => false,
            (Self::Map(a), Self::Map(b)) if a.len() != b.len() => false,
            (a, b) => a.cmp(b) == Ordering::Equal,
        }
    }
}

impl Eq for Term {}

impl Hash for Term {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for token in Walk::new(self) {
            rank(token).hash(state);
            match token {
                Token::Leaf(term) => hash_leaf(term, state),
                Token::Fun(fun) => head_of_fun(fun).hash(state),
                Token::Tuple(size) | Token::Map(size) => size.hash(state),
                Token::Nil | Token::Cons => {}
            }
        }
    }
}

fn hash_leaf<H: Hasher>(term: &Term, state: &mut H) {
    match term {
        Term::Atom(atom) => atom.hash(state),
        Term::Int(int) => int.hash(state),
        Term::BigInt(int) => int.hash(state),
        Term::Float(float) => float.to_bits().hash(state),
        Term::Binary(_) | Term::BitString(_) => bits(term).hash(state),
        Term::Pid(pid) => key_of_pid(pid).hash(state),
        Term::Port(port) => key_of_port(port).hash(state),
        Term::Reference(reference) => reference.hash(state),
        Term::Export(export) => export.hash(state),
        Term::List(_) | Term::ImproperList(_) | Term::Tuple(_) | Term::Map(_) | Term::Fun(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::etf::Map;

    thread_local! {
        /// How many tokens this thread has compared.
        pub(super) static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    fn compared<T>(run: impl FnOnce() -> T) -> (T, usize) {
        COMPARED.set(0);
        let result = run();
        (result, COMPARED.get())
    }

    fn size(term: &Term) -> usize {
        Walk::new(term).count()
    }

    fn any_term() -> impl Strategy<Value = Term> {
        let leaf = prop_oneof![
            (0..3_i64).prop_map(Term::Int),
            prop::sample::select(vec!["a", "b", "x"]).prop_map(Term::atom),
            (0..2_u8).prop_map(|byte| Term::Float(byte.into())),
        ];
        leaf.prop_recursive(6, 200, 6, |inner| {
            let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..6);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Term::Tuple),
                prop::collection::vec(inner, 0..6).prop_map(Term::List),
                pairs.prop_map(|pairs| Term::Map(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_pair_is_compared_twice(a in any_term(), b in any_term()) {
            let most = size(&a).min(size(&b)) + 1;
            prop_assert!(compared(|| a == b).1 <= most);
            prop_assert!(compared(|| a == a.clone()).1 <= size(&a));
            // Sorting looks at a key once for each doubling of their number.
            let Term::Map(map) = a else { return Ok(()) };
            let mut pairs = map.pairs().to_vec();
            pairs.reverse();
            let keys: usize = map.keys().map(size).sum();
            let (again, count) = compared(|| Map::unique(pairs));
            prop_assert_eq!(again.as_ref(), Ok(&map));
            let doublings = map.len().next_power_of_two().ilog2() as usize;
            prop_assert!(count <= 4 * keys * (doublings + 1), "{} for {}", count, keys);
        }
    }
}
