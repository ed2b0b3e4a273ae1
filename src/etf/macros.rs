//! Terms written as in Erlang, in the middle of Rust.

/// A [`Term`](crate::etf::Term) in Erlang's syntax.
///
/// ```
/// use rendez::term;
///
/// let (name, pids) = ("Åsa", vec![1, 2]);
/// let reply = term!({ok, [1, -2.5, "text"], #{name => <<"x", 0>>, (pids) => (name)}});
/// assert_eq!(
///     reply.to_string(),
///     r#"{ok,[1,-2.5,"text"],#{name => <<120,0>>,[1,2] => <<"Åsa"/utf8>>}}"#
/// );
/// ```
///
/// | written | is |
/// | --- | --- |
/// | `ok`, `true`, `'a'` | an atom, an atom, the number of the character |
/// | `@"Elixir.Enum"` | an atom that is no word of Rust |
/// | `5`, `-2.5` | numbers; larger integers than 64 bits go between parentheses |
/// | `"text"` | a string: the list of its characters |
/// | `<<"text", 0, (bytes)>>` | a binary: texts in UTF-8, bytes, and whatever is `AsRef<[u8]>` |
/// | `[a, b]`, `[a \| b]` | lists |
/// | `{a, b}` | a tuple |
/// | `#{key => value}` | a map |
/// | `fun lists:map/2` | a fun that names a function |
/// | `(expression)` | a value of Rust that is `Into<Term>`: numbers, texts (as binaries), bytes, `bool`, pids, terms, vectors of these (as lists) |
///
/// Any other value can be put in through serde: `(to_term(&value)?)`. A key that is a binary needs a space before its
/// `=>`, because Rust takes `>>=` for one word.
#[macro_export]
macro_rules! term {
    // One token. Collections whose elements are one token each need no recursion, and so may be long.
    (@one [$($element:tt),* $(,)?]) => {
        $crate::etf::Term::List(::std::vec![$($crate::term!(@one $element)),*])
    };
    (@one [$($rest:tt)*]) => { $crate::term!(@value list [] $($rest)*) };
    (@one {$($element:tt),* $(,)?}) => {
        $crate::etf::Term::Tuple(::std::vec![$($crate::term!(@one $element)),*])
    };
    (@one {$($rest:tt)*}) => { $crate::term!(@value tuple [] $($rest)*) };
    (@one ($value:expr)) => { $crate::etf::Term::from($value) };
    (@one $literal:literal) => { $crate::etf::macros::Literal::term($literal) };
    (@one $name:ident) => { const { $crate::etf::Term::atom(::core::stringify!($name)) } };
    (@one $other:tt) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($other), "` begins no term; Rust goes between parentheses"
        ))
    };
    (@map $($key:tt => $value:tt),* $(,)?) => {
        $crate::etf::macros::map(::std::vec![
            $(($crate::term!(@one $key), $crate::term!(@one $value))),*
        ])
    };
    (@map $($rest:tt)*) => { $crate::term!(@value key [] $($rest)*) };

    // One value of any number of tokens, which is put behind those that are done.
    (@value $of:ident [$($done:expr,)*]) => { $crate::term!(@end $of [$($done,)*]) };
    (@value $of:ident [$($done:expr,)*] #{$($pairs:tt)*} $($rest:tt)*) => {
        $crate::term!(@then $of [$($done,)* $crate::term!(@map $($pairs)*),] $($rest)*)
    };
    (@value $of:ident [$($done:expr,)*] << $($rest:tt)*) => {
        $crate::term!(@bytes $of [$($done,)*] [] $($rest)*)
    };
    (@value $of:ident [$($done:expr,)*] @$name:literal $($rest:tt)*) => {
        $crate::term!(@then $of [$($done,)* const { $crate::etf::Term::atom($name) },] $($rest)*)
    };
    (@value $of:ident [$($done:expr,)*]
        fun $module:ident : $function:ident / $arity:literal $($rest:tt)*) => {
        $crate::term!(@then $of [$($done,)* $crate::etf::Term::Export(::std::boxed::Box::new(
            $crate::etf::Export {
                module: const { $crate::etf::Atom::new(::core::stringify!($module)) },
                function: const { $crate::etf::Atom::new(::core::stringify!($function)) },
                arity: $arity,
            },
        )),] $($rest)*)
    };
    (@value $of:ident [$($done:expr,)*] - $number:literal $($rest:tt)*) => {
        $crate::term!(@then $of [$($done,)* $crate::etf::macros::Literal::term(-$number),] $($rest)*)
    };
    (@value $of:ident [$($done:expr,)*] $value:tt $($rest:tt)*) => {
        $crate::term!(@then $of [$($done,)* $crate::term!(@one $value),] $($rest)*)
    };

    // What may stand after a value.
    (@then $of:ident [$($done:expr,)*]) => { $crate::term!(@end $of [$($done,)*]) };
    (@then list [$($done:expr,)*] , $($rest:tt)*) => {
        $crate::term!(@value list [$($done,)*] $($rest)*)
    };
    (@then list [$($done:expr,)*] | $($rest:tt)+) => {
        $crate::etf::macros::with_tail(::std::vec![$($done),*], $crate::term!(@value one [] $($rest)+))
    };
    (@then tuple [$($done:expr,)*] , $($rest:tt)*) => {
        $crate::term!(@value tuple [$($done,)*] $($rest)*)
    };
    (@then key [$($done:expr,)*] => $($rest:tt)+) => {
        $crate::term!(@value field [$($done,)*] $($rest)+)
    };
    (@then field [$($done:expr,)*] , $($rest:tt)*) => {
        $crate::term!(@value key [$($done,)*] $($rest)*)
    };
    (@then $of:ident [$($done:expr,)*] $wrong:tt $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "`", ::core::stringify!($wrong), "` cannot stand after a term here"
        ))
    };

    // The parts of a binary.
    (@bytes $of:ident [$($done:expr,)*] [$($part:expr,)*] >> $($rest:tt)*) => {
        $crate::term!(@then $of [$($done,)* {
            #[allow(unused_mut)]
            let mut bytes = ::std::vec::Vec::<u8>::new();
            $($crate::etf::macros::Part::push_to($part, &mut bytes);)*
            $crate::etf::Term::binary(bytes)
        },] $($rest)*)
    };
    (@bytes $of:ident $done:tt [$($part:expr,)*] ($value:expr), $($rest:tt)*) => {
        $crate::term!(@bytes $of $done [$($part,)* ::core::convert::AsRef::<[u8]>::as_ref(&$value),] $($rest)*)
    };
    (@bytes $of:ident $done:tt [$($part:expr,)*] ($value:expr) >> $($rest:tt)*) => {
        $crate::term!(@bytes $of $done [$($part,)* ::core::convert::AsRef::<[u8]>::as_ref(&$value),] >> $($rest)*)
    };
    (@bytes $of:ident $done:tt [$($part:expr,)*] $value:literal, $($rest:tt)*) => {
        $crate::term!(@bytes $of $done [$($part,)* $value,] $($rest)*)
    };
    (@bytes $of:ident $done:tt [$($part:expr,)*] $value:literal >> $($rest:tt)*) => {
        $crate::term!(@bytes $of $done [$($part,)* $value,] >> $($rest)*)
    };
    (@bytes $($wrong:tt)*) => {
        ::core::compile_error!("a binary consists of texts, bytes and (expressions), with commas between them, and ends with >>")
    };

    (@end list [$($done:expr,)*]) => { $crate::etf::Term::List(::std::vec![$($done),*]) };
    (@end tuple [$($done:expr,)*]) => { $crate::etf::Term::Tuple(::std::vec![$($done),*]) };
    (@end one [$done:expr,]) => { $done };
    (@end $map:ident [$($key:expr, $value:expr,)*]) => {
        $crate::etf::macros::map(::std::vec![$(($key, $value)),*])
    };
    (@end $($wrong:tt)*) => { ::core::compile_error!("`=>` and a value must follow a key") };

    ($($term:tt)+) => { $crate::term!(@value one [] $($term)+) };
}

use super::term::{ImproperList, Term};

/// What literals are in a term. Each kind of literal has one type, so that its value need not name it.
pub trait Literal {
    /// The literal as a term.
    fn term(self) -> Term;
}

impl Literal for i64 {
    fn term(self) -> Term {
        Term::Int(self)
    }
}

impl Literal for f64 {
    fn term(self) -> Term {
        Term::Float(self)
    }
}

impl Literal for bool {
    fn term(self) -> Term {
        self.into()
    }
}

impl Literal for char {
    fn term(self) -> Term {
        Term::Int(u32::from(self).into())
    }
}

impl Literal for &str {
    fn term(self) -> Term {
        Term::string(self)
    }
}

/// What can be part of a binary.
pub trait Part {
    /// Appends its bytes.
    fn push_to(self, bytes: &mut Vec<u8>);
}

impl Part for u8 {
    fn push_to(self, bytes: &mut Vec<u8>) {
        bytes.push(self);
    }
}

impl Part for &str {
    fn push_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

impl Part for &[u8] {
    fn push_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }
}

impl<const N: usize> Part for &[u8; N] {
    fn push_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }
}

/// `#{key => value}`: of a key that is written twice the last value counts, as in Erlang.
#[must_use]
pub fn map(pairs: Vec<(Term, Term)>) -> Term {
    Term::Map(pairs.into_iter().collect())
}

/// `[elements | tail]`: one list, if the tail is one.
#[must_use]
pub fn with_tail(mut elements: Vec<Term>, tail: Term) -> Term {
    let tail = match tail {
        Term::List(more) => {
            elements.extend(more);
            return Term::List(elements);
        }
        Term::ImproperList(list) => {
            elements.extend(list.elements);
            list.tail
        }
        tail => tail,
    };
    Term::ImproperList(Box::new(ImproperList { elements, tail }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::etf::{Pid, Term};

    /// What the macro makes is what the reader makes of the same text.
    macro_rules! as_read {
        ($($text:literal: [$($term:tt)*];)*) => {$(
            assert_eq!(term!($($term)*), $text.parse::<Term>().unwrap(), "{}", $text);
        )*};
    }

    #[test]
    fn what_is_written_is_what_the_reader_reads() {
        as_read! {
            "ok": [ok];
            "true": [true];
            "'fn'": [fn];
            "'Elixir.Enum'": [@"Elixir.Enum"];
            "5": [5];
            "-5": [-5];
            "5000000000": [5_000_000_000];
            "2.5": [2.5];
            "-2.5": [-2.5];
            "$a": ['a'];
            "\"text\"": ["text"];
            "[]": [[]];
            "{}": [{}];
            "#{}": [#{}];
            "<<>>": [<<>>];
            "[a,b]": [[a, b,]];
            "[a,-1]": [[a, -1]];
            "[a|b]": [[a | b]];
            "[a,#{}|-1]": [[a, #{} | -1]];
            "[a,b,c]": [[a | [b | [c]]]];
            "[a,b|c]": [[a | [b | c]]];
            "{ok,[1,2.5,\"text\"],#{name => <<1,2>>}}": [{ok, [1, 2.5, "text"], #{name => <<1, 2>>}}];
            "#{a => 1,-2 => #{},<<\"b\">> => {}}": [#{a => 1, -2 => #{}, <<"b">> => {},}];
            "#{a => b,c => d}": [#{a => b, c => d}];
            "<<\"ab\",0,255,\"ü\"/utf8,1,2>>": [<<"ab", 0, 255, "ü", b"\x01\x02">>];
            "fun lists:map/2": [fun lists:map/2];
            "{fun lists:map/2,1}": [{fun lists:map/2, 1}];
            "{'fun',1}": [{fun, 1}];
        }
    }

    #[test]
    fn values_of_rust_are_put_in() {
        let pid = Pid {
            node: crate::etf::Atom::new("a@b"),
            id: 1,
            serial: 2,
            creation: 3,
        };
        let (count, text, bytes) = (3_usize, "åb".to_owned(), Bytes::from_static(b"cd"));
        let list = vec![1_u8, 2];
        let nested = term!({ x });
        assert_eq!(
            term!([
                (count + 1),
                (text.as_str()),
                (&nested),
                (list),
                (u64::MAX),
                (-1_i128)
            ])
            .to_string(),
            "[4,<<\"åb\"/utf8>>,{x},[1,2],18446744073709551615,-1]"
        );
        assert_eq!(
            term!({(pid.clone()), #{(text.as_str()) => <<(bytes), 0, (text)>>}}),
            Term::Tuple(vec![
                pid.into(),
                Term::Map([("åb", "cd\0åb")].into_iter().collect()),
            ])
        );
    }

    #[test]
    fn long_lists_are_no_matter() {
        let list = term!([
            0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8,
            9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7,
            8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6,
            7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5,
            6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
        ]);
        assert_eq!(list.as_list().map(<[Term]>::len), Some(140));
    }
}
