//! Maps, kept in the order of their keys.

use std::cmp::Ordering;
use std::{slice, vec};

use super::order;
use super::term::Term;

/// A map of Erlang: pairs of a key and a value, each key once.
///
/// The pairs are kept in the order of their keys ([`Term`]'s `Ord`), whatever the order in which they came. So
/// equal maps have equal pairs, and comparing two maps costs no more than reading them.
///
/// ```
/// use rendez::etf::{Map, Term};
///
/// let mut map: Map = [("b", 1), ("a", 2)].into_iter().collect();
/// assert_eq!(map.insert(Term::atom("done"), true), None);
/// assert_eq!(map.get(&Term::from("a")), Some(&Term::Int(2)));
/// assert_eq!(map.get_atom("done"), Some(&Term::from(true)));
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Map {
    /// In the order of the keys, no key twice.
    pairs: Vec<(Term, Term)>,
}

/// A key that was given twice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a map cannot have the key {0:?} twice")]
pub struct DuplicateKey(pub Term);

fn by_key((a, _): &(Term, Term), (b, _): &(Term, Term)) -> Ordering {
    a.cmp(b)
}

impl Map {
    /// A map without pairs.
    #[must_use]
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// A map of these pairs. To have the last of several equal keys win, as Erlang's `maps:from_list/1` does,
    /// collect the pairs instead.
    ///
    /// # Errors
    /// [`DuplicateKey`] if a key is there twice.
    pub fn unique(mut pairs: Vec<(Term, Term)>) -> Result<Self, DuplicateKey> {
        if !pairs.is_sorted_by(|(a, _), (b, _)| a < b) {
            pairs.sort_unstable_by(by_key);
            let twice = |pair: &&[(Term, Term)]| matches!(pair, [(a, _), (b, _)] if a == b);
            if let Some([(key, _), ..]) = pairs.windows(2).find(twice) {
                return Err(DuplicateKey(key.clone()));
            }
        }
        Ok(Self { pairs })
    }

    /// A map of pairs that are in the order of their keys, none of which is there twice.
    pub(super) const fn in_order(pairs: Vec<(Term, Term)>) -> Self {
        Self { pairs }
    }

    /// How many pairs there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is no pair.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    fn place(&self, key: &Term) -> Result<usize, usize> {
        self.pairs.binary_search_by(|(k, _)| k.cmp(key))
    }

    /// The value under a key.
    #[must_use]
    pub fn get(&self, key: &Term) -> Option<&Term> {
        let at = self.place(key).ok()?;
        self.pairs.get(at).map(|(_, value)| value)
    }

    /// The value under a key, to be changed.
    #[must_use]
    pub fn get_mut(&mut self, key: &Term) -> Option<&mut Term> {
        let at = self.place(key).ok()?;
        self.pairs.get_mut(at).map(|(_, value)| value)
    }

    /// The value under an atom.
    #[must_use]
    pub fn get_atom(&self, key: &str) -> Option<&Term> {
        let compare = |(k, _): &(Term, Term)| order::with_atom(k, key);
        let at = self.pairs.binary_search_by(compare).ok()?;
        self.pairs.get(at).map(|(_, value)| value)
    }

    /// Puts a value under a key, and gives back the value that was there before.
    pub fn insert(&mut self, key: impl Into<Term>, value: impl Into<Term>) -> Option<Term> {
        let (key, value) = (key.into(), value.into());
        match self.place(&key) {
            Ok(at) => Some(std::mem::replace(&mut self.pairs.get_mut(at)?.1, value)),
            Err(at) => {
                self.pairs.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes a key and its value out, and gives the value.
    pub fn remove(&mut self, key: &Term) -> Option<Term> {
        let at = self.place(key).ok()?;
        Some(self.pairs.remove(at).1)
    }

    /// The pairs, in the order of their keys.
    #[must_use]
    pub fn pairs(&self) -> &[(Term, Term)] {
        &self.pairs
    }

    /// The pairs, in the order of their keys.
    pub fn iter(&self) -> slice::Iter<'_, (Term, Term)> {
        self.pairs.iter()
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &Term> {
        self.pairs.iter().map(|(key, _)| key)
    }

    /// The values in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &Term> {
        self.pairs.iter().map(|(_, value)| value)
    }
}

impl Ord for Map {
    fn cmp(&self, other: &Self) -> Ordering {
        let sizes = self.len().cmp(&other.len());
        sizes
            .then_with(|| self.keys().cmp(other.keys()))
            .then_with(|| self.values().cmp(other.values()))
    }
}

impl PartialOrd for Map {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Into<Term>, V: Into<Term>> FromIterator<(K, V)> for Map {
    /// Of several equal keys the last one counts, as in Erlang.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter().map(|(k, v)| (k.into(), v.into()));
        let mut pairs: Vec<(Term, Term)> = pairs.collect();
        if !pairs.is_sorted_by(|(a, _), (b, _)| a < b) {
            // Stable: equal keys stay in the order in which they came.
            pairs.sort_by(by_key);
            pairs.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Self { pairs }
    }
}

impl<K: Into<Term>, V: Into<Term>> Extend<(K, V)> for Map {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        let pairs = pairs.into_iter().map(|(k, v)| (k.into(), v.into()));
        *self = std::mem::take(self).into_iter().chain(pairs).collect();
    }
}

impl IntoIterator for Map {
    type Item = (Term, Term);
    type IntoIter = vec::IntoIter<(Term, Term)>;

    fn into_iter(self) -> Self::IntoIter {
        self.pairs.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a (Term, Term);
    type IntoIter = slice::Iter<'a, (Term, Term)>;

    fn into_iter(self) -> Self::IntoIter {
        self.pairs.iter()
    }
}
