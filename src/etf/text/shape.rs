//! What a term is made of, without its values.

use std::fmt::{self, Display, Write as _};

use crate::etf::{Map, Term};

/// How deep a shape goes.
const DEPTH: usize = 3;
/// How many elements of a tuple or pairs of a map it shows.
const WIDTH: usize = 8;

/// The shape of a term: see [`Term::shape`].
#[derive(Debug, Clone, Copy)]
pub struct Shape<'a>(&'a Term);

impl Term {
    /// Shows what the term is made of, and none of its values: for logs, since messages may hold secrets.
    ///
    /// A tuple shows the atom that it begins with, a map the atoms that are its keys, and a lone atom itself.
    /// Numbers, texts and other atoms are named, not shown. It is short whatever the term.
    ///
    /// ```
    /// # use rendez::etf::Term;
    /// let term: Term = r#"{login,<<"Åsa"/utf8>>,#{password => "secret", tries => 3},[a,b]}"#.parse().unwrap();
    /// assert_eq!(
    ///     term.shape().to_string(),
    ///     "{login,binary of 4 bytes,#{password => list of 6,tries => integer},list of 2}"
    /// );
    /// ```
    #[must_use]
    pub const fn shape(&self) -> Shape<'_> {
        Shape(self)
    }
}

impl Display for Shape<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Term::Atom(atom) => write!(f, "{atom}"),
            term => write_shape(f, term, DEPTH),
        }
    }
}

fn write_shape(f: &mut fmt::Formatter<'_>, term: &Term, depth: usize) -> fmt::Result {
    match term {
        Term::Atom(_) => f.write_str("atom"),
        Term::Int(_) => f.write_str("integer"),
        Term::BigInt(number) => write!(f, "integer of {} bits", number.bits()),
        Term::Float(_) => f.write_str("float"),
        Term::Binary(bytes) => write!(f, "binary of {} bytes", bytes.len()),
        Term::BitString(bits) => write!(f, "bit string of {} bytes", bits.bytes.len()),
        Term::List(elements) => write!(f, "list of {}", elements.len()),
        Term::ImproperList(list) => write!(f, "improper list of {}", list.elements.len()),
        Term::Tuple(elements) => write_tuple(f, elements, depth),
        Term::Map(map) => write_map(f, map, depth),
        Term::Pid(pid) => write!(f, "{pid}"),
        Term::Port(port) => write!(f, "{port}"),
        Term::Reference(reference) => write!(f, "{reference}"),
        Term::Export(export) => write!(f, "{export}"),
        Term::Fun(fun) => write!(f, "{fun}"),
    }
}

fn write_tuple(f: &mut fmt::Formatter<'_>, elements: &[Term], depth: usize) -> fmt::Result {
    if depth == 0 {
        return write!(f, "tuple of {}", elements.len());
    }
    f.write_char('{')?;
    for (index, element) in elements.iter().enumerate().take(WIDTH) {
        match (index, element) {
            (0, Term::Atom(tag)) => write!(f, "{tag}")?,
            (0, element) => write_shape(f, element, depth - 1)?,
            (_, element) => {
                f.write_char(',')?;
                write_shape(f, element, depth - 1)?;
            }
        }
    }
    f.write_str(if elements.len() > WIDTH { ",...}" } else { "}" })
}

fn write_map(f: &mut fmt::Formatter<'_>, map: &Map, depth: usize) -> fmt::Result {
    if depth == 0 {
        return write!(f, "map of {}", map.len());
    }
    f.write_str("#{")?;
    for (index, (key, value)) in map.iter().enumerate().take(WIDTH) {
        if index > 0 {
            f.write_char(',')?;
        }
        match key {
            Term::Atom(name) => write!(f, "{name}")?,
            key => write_shape(f, key, depth - 1)?,
        }
        f.write_str(" => ")?;
        write_shape(f, value, depth - 1)?;
    }
    f.write_str(if map.len() > WIDTH { ",...}" } else { "}" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_shown_and_no_shape_is_long() {
        let shape = |text: &str| text.parse::<Term>().unwrap().shape().to_string();
        assert_eq!(shape("reload"), "reload");
        assert_eq!(shape("{set_cookie,secret}"), "{set_cookie,atom}");
        assert_eq!(
            shape("{a,{b,{c,{d,e}}},[x|y],<<5:3>>,1.5}"),
            "{a,{b,{c,tuple of 2}},improper list of 1,bit string of 1 bytes,float}"
        );
        assert_eq!(
            shape("#{<<\"key\">> => 18446744073709551616}"),
            "#{binary of 3 bytes => integer of 65 bits}"
        );
        let around = |term: Term| Term::Tuple(vec![term; 30]);
        let wide = around(around(around(Term::NIL)));
        assert!(wide.shape().to_string().len() < 10_000);
    }
}
