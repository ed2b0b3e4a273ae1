//! Drops messages that have no receiver.

use tokio::runtime::Handle;

use crate::etf::Term;

/// How many parts a term may have that is dropped at once.
const AT_ONCE: usize = 20_000;

/// Drops a term; one of very many parts on a thread for blocking work, since that takes as long as making it did.
pub(super) fn discard(term: Term) {
    if has_more_parts_than(AT_ONCE, &term)
        && let Ok(runtime) = Handle::try_current()
    {
        runtime.spawn_blocking(move || drop(term));
    }
}

/// Looks at so many parts at most.
fn has_more_parts_than(most: usize, term: &Term) -> bool {
    let mut left = most;
    let mut open = vec![term];
    while let Some(term) = open.pop() {
        let parts = match term {
            Term::List(parts) | Term::Tuple(parts) => parts.len(),
            Term::ImproperList(list) => list.elements.len() + 1,
            Term::Map(map) => 2 * map.len(),
            Term::Fun(fun) => fun.free.len(),
            _ => 0,
        };
        let Some(less) = left.checked_sub(parts) else {
            return true;
        };
        left = less;
        match term {
            Term::List(parts) | Term::Tuple(parts) => open.extend(parts),
            Term::ImproperList(list) => {
                open.extend(&list.elements);
                open.push(&list.tail);
            }
            Term::Map(map) => open.extend(map.iter().flat_map(|(key, value)| [key, value])),
            Term::Fun(fun) => open.extend(&fun.free),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_term_are_counted_at_every_depth() {
        let pair = Term::Tuple(vec![Term::Int(1), Term::NIL]);
        let list = Term::List(vec![pair; 10]);
        assert!(!has_more_parts_than(30, &list));
        assert!(has_more_parts_than(29, &list));
        let mut deep = Term::NIL;
        for _ in 0..4000 {
            deep = Term::Tuple(vec![deep]);
        }
        assert!(!has_more_parts_than(4000, &deep));
        assert!(has_more_parts_than(3999, &deep));
        assert!(!has_more_parts_than(0, &Term::binary(vec![0; 1 << 20])));
    }
}
