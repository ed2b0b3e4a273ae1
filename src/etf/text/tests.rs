//! Against what OTP wrote, and reader against printer.

use num_bigint::BigInt;
use proptest::prelude::*;

use super::{MAX_DEPTH, SyntaxError};
use crate::etf::{Atom, BitString, Export, ImproperList, Map, Pid, Term, decode};

fn parse(text: &str) -> Result<Term, SyntaxError> {
    text.parse()
}

/// Terms that OTP encoded, with the text that it made of them: `io_lib:format("~0tp", [Term])`.
const VECTORS: [&str; 3] = [
    include_str!("../../../tests/data/etf-otp25.jsonl"),
    include_str!("../../../tests/data/etf-otp27.jsonl"),
    include_str!("../../../tests/data/etf-otp29.jsonl"),
];

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// What has no syntax in Erlang.
fn is_opaque(text: &str) -> bool {
    ["<0.", "#Ref<", "#Port<", "#Fun<"]
        .iter()
        .any(|opaque| text.contains(opaque))
}

#[test]
fn every_golden_vector_is_shown_as_otp_showed_it_and_read_back() {
    let mut compared = 0;
    for line in VECTORS.iter().flat_map(|file| file.lines()) {
        let vector: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| vector[name].as_str().unwrap_or_default();
        // The vectors' JSON lost the upper bits of the one character above U+FFFF.
        let erlang = field("erlang").replace('\u{f600}', "\u{1f600}");
        let name = field("name");
        if vector["size"].as_u64() != Some(field("hex").len() as u64 / 2) || erlang.ends_with("...")
        {
            println!("{name}: the vector is cut");
            continue;
        }
        let term = decode(&bytes(field("hex")).into()).unwrap();
        compared += 1;
        let shown = term.shown_at("vectors@127.0.0.1").to_string();
        // OTP 26 and later order the keys of a map by chance, 25 does so for more than 32 keys.
        if !erlang.contains("#{") {
            assert_eq!(shown, erlang, "{name}");
        }
        if is_opaque(&erlang) {
            assert!(parse(&erlang).is_err(), "{name}");
        } else {
            assert_eq!(parse(&erlang).as_ref(), Ok(&term), "{name}");
            assert_eq!(parse(&shown).as_ref(), Ok(&term), "{name}");
        }
    }
    assert!(compared > 90, "only {compared} vectors were compared");
}

#[test]
fn every_syntax_is_read() {
    let int = Term::Int;
    let big = |text: &str| Term::integer(text.parse::<BigInt>().unwrap());
    let atom = |name: &str| Term::Atom(name.try_into().unwrap());
    let float = Term::Float;
    let binary = |bytes: &[u8]| Term::binary(bytes.to_vec());
    let list = Term::List;
    let improper = |elements, tail| Term::ImproperList(Box::new(ImproperList { elements, tail }));
    let bits = |bytes: &'static [u8], last_bits| {
        let bytes = bytes.into();
        Term::BitString(Box::new(BitString { bytes, last_bits }))
    };
    for (text, term) in [
        (" ok . % a comment", atom("ok")),
        ("'Elixir.Enum'", atom("Elixir.Enum")),
        ("''", atom("")),
        (r"'it\'s'", atom("it's")),
        ("åäö@Å_1", atom("åäö@Å_1")),
        ("'λ'", atom("λ")),
        ("'fun'", atom("fun")),
        ("end", atom("end")),
        ("0", int(0)),
        ("-0", int(0)),
        ("+5", int(5)),
        ("1_000", int(1000)),
        ("16#ff", int(255)),
        ("-16#FF", int(-255)),
        ("2#1010_1010", int(170)),
        ("36#z", int(35)),
        ("$a", int(97)),
        (r"$\n", int(10)),
        (r"$\s", int(32)),
        (r"$\\", int(92)),
        ("$ü", int(252)),
        ("-$a", int(-97)),
        ("2147483647", int(i32::MAX.into())),
        ("2147483648", big("2147483648")),
        ("-2147483648", int(i32::MIN.into())),
        ("-2147483649", big("-2147483649")),
        (
            "123456789012345678901234567890",
            big("123456789012345678901234567890"),
        ),
        ("1.5", float(1.5)),
        ("-1.5e-3", float(-0.0015)),
        ("1.0E+2", float(100.0)),
        ("[]", list(vec![])),
        ("\"\"", list(vec![])),
        ("\"ab\" \"c\"", list(vec![int(97), int(98), int(99)])),
        ("[97|\"bc\"]", list(vec![int(97), int(98), int(99)])),
        ("[a|[b|[]]]", list(vec![atom("a"), atom("b")])),
        (
            r#""\x41\x{1F600}\101\^A\b\d""#,
            list([65, 0x1f600, 65, 1, 8, 127].map(int).into()),
        ),
        ("\"日\"", list(vec![int(26_085)])),
        ("[a,b|c]", improper(vec![atom("a"), atom("b")], atom("c"))),
        ("[a|[b|c]]", improper(vec![atom("a"), atom("b")], atom("c"))),
        ("{}", Term::Tuple(vec![])),
        (
            "{ a , {1} }",
            Term::Tuple(vec![atom("a"), Term::Tuple(vec![int(1)])]),
        ),
        ("<<>>", binary(b"")),
        ("<<1, 255>>", binary(&[1, 255])),
        ("<<\"ab\",0,$c>>", binary(b"ab\0c")),
        ("<<\"ü\">>", binary(&[252])),
        ("<<\"ü\"/utf8>>", binary("ü".as_bytes())),
        ("<<258:16>>", binary(&[1, 2])),
        ("<<1:4,2:4>>", binary(&[0x12])),
        ("<<5:3>>", bits(&[0b1010_0000], 3)),
        ("<<1,1:1>>", bits(&[1, 0x80], 1)),
        ("#{}", Term::Map(Map::new())),
        (
            "#{a=>1, \"b\" => #{}}",
            Term::Map(Map::from_iter([
                (atom("a"), int(1)),
                (list(vec![int(98)]), Term::Map(Map::new())),
            ])),
        ),
        (
            "fun lists:map/2",
            Term::Export(Box::new(Export {
                module: Atom::new("lists"),
                function: Atom::new("map"),
                arity: 2,
            })),
        ),
    ] {
        assert_eq!(parse(text), Ok(term), "{text}");
    }
}

#[test]
fn what_is_no_term_is_refused_with_the_place_and_the_remedy() {
    for (text, message) in [
        (
            "",
            "line 1, column 1: expected a term, found the end of the text",
        ),
        (
            "{a,\n  b",
            "line 2, column 4: expected ',' or '}', found the end of the text",
        ),
        (
            "[a b]",
            "line 1, column 4: expected ',', '|' or ']', found 'b'",
        ),
        ("[a|b,c]", "column 5: expected ']' after the tail"),
        ("a b", "column 3: expected the end of the term, found 'b'"),
        ("'abc", "column 1: this ' has no end"),
        ("{\"ü\", \"abc}", "column 7: this \" has no end"),
        ("Foo", "'F' begins a variable"),
        ("_", "'_' begins a variable"),
        (":ok", "the atom :ok is ok here"),
        ("<0.9.0>", "a pid cannot be given as text"),
        (
            "[#Ref<0.1.2.3>]",
            "column 2: a reference cannot be given as text",
        ),
        ("#Port<0.5>", "a port cannot"),
        ("#Fun<a.1.2>", "a closure cannot"),
        ("#user{}", "a record has to be written as the tuple"),
        ("fun", "only fun module:function/arity"),
        ("fun a:b/256", "a number from 0 to 255"),
        ("#{a 1}", "'=>' after the key"),
        (
            "#{a => 1, a => 2}",
            "column 11: this key is in the map already",
        ),
        ("1e5", "a float needs a point"),
        ("1.0e999", "too large for a float"),
        ("1.", "found the end"),
        ("1__0", "expected the end of the number, found '_'"),
        ("12a", "expected the end of the number, found 'a'"),
        ("16#", "expected a digit"),
        ("1#1", "the base of a number is from 2 to 36"),
        ("99#1", "the base of a number is from 2 to 36"),
        ("2#12", "expected the end of the number"),
        ("<<256>>", "does not fit 8 bits"),
        ("<<8:3>>", "does not fit 3 bits"),
        ("<<1:65>>", "from 1 to 64 bits"),
        ("<<-1>>", "a number from 0 to 255"),
        ("<<1.0>>", "does not fit"),
        ("<<1/integer>>", "only /utf8"),
        ("<<\"a\"/utf16>>", "or UTF-8 with /utf8"),
        ("<<\"日\">>", "put /utf8 after the text"),
        ("<<1", "expected ',' or '>>'"),
        (r"$\x{110000}", "no character"),
        (r"$\x{d800}", "no character"),
        (r"$\x1", "no character"),
        ("$", "a character after '$'"),
        ("\u{0}", "expected a term, found '\\0'"),
    ] {
        match parse(text) {
            Ok(_) if text == "1." => {}
            Ok(term) => panic!("{text:?} was read as {term:?}"),
            Err(error) => {
                let shown = error.to_string();
                assert!(
                    shown.contains(message),
                    "{text:?}: {shown:?} has no {message:?}"
                );
            }
        }
    }
    let long = "a".repeat(256);
    assert!(
        parse(&long)
            .unwrap_err()
            .message
            .contains("at most 255 characters")
    );
    assert!(parse(&format!("'{}'", "λ".repeat(255))).is_ok());
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deepest = parse(&nested(MAX_DEPTH)).unwrap();
    assert_eq!(deepest.to_string(), nested(MAX_DEPTH));
    for open in ["[", "{", "#{", "[a|", "{a,"] {
        let error = parse(&open.repeat(1_000_000)).unwrap_err();
        assert!(
            error.message.contains("deeper than 256")
                || open == "#{" && error.message.contains("a term"),
            "{open}: {error}"
        );
    }
}

#[test]
fn pids_are_shown_as_their_own_node_shows_them_or_with_its_name() {
    let pid = Term::from(Pid {
        node: Atom::new("shop@10.0.0.7"),
        id: 9,
        serial: 1,
        creation: 5,
    });
    assert_eq!(pid.shown_at("shop@10.0.0.7").to_string(), "<0.9.1>");
    assert_eq!(pid.shown_at("other@h").to_string(), "<shop@10.0.0.7.9.1>");
    assert_eq!(pid.to_string(), "<shop@10.0.0.7.9.1>");
}

#[test]
fn no_name_of_a_node_makes_a_pid_look_like_something_else() {
    for (node, shown) in [
        ("<1>>@h", "<'<1>>@h'.9.1>"),
        ("a\n@h", "<'a\\n@h'.9.1>"),
        ("a'b@h", "<'a\\'b@h'.9.1>"),
        ("shop-1@db.example-2.org", "<shop-1@db.example-2.org.9.1>"),
    ] {
        let pid = Term::from(Pid {
            node: Atom::new(node),
            id: 9,
            serial: 1,
            creation: 5,
        });
        assert_eq!(pid.to_string(), shown);
        let refused = parse(shown).unwrap_err();
        assert!(
            refused.message.contains("a pid cannot be given"),
            "{refused}"
        );
    }
}

#[test]
fn maps_are_shown_in_the_order_of_their_keys() {
    let text = "#{-1 => a,1 => b,1.5 => c,2 => d,10000000000000000000000 => e,a => f,b => g,{1} => i,\"x\" => h}";
    let Ok(Term::Map(map)) = parse(text) else {
        panic!("{text} is a map")
    };
    let mut pairs = map.pairs().to_vec();
    for _ in 0..pairs.len() {
        pairs.rotate_left(1);
        let map = Map::unique(pairs.clone()).unwrap();
        assert_eq!(Term::Map(map).to_string(), text);
    }
}

fn term() -> impl Strategy<Value = Term> {
    let atoms = prop_oneof![
        "[a-z][a-zA-Z0-9_@]{0,8}",
        "\\PC{0,8}",
        "[a-zß-ÿ][a-zÀ-ÿ]{0,3}",
        proptest::sample::select(vec![
            "fun",
            "end",
            "maybe",
            "''",
            "a'b\\c",
            "\u{7f}\u{1}\u{9b}"
        ])
        .prop_map(String::from),
    ];
    let integers = prop_oneof![
        any::<i32>().prop_map(BigInt::from),
        any::<i128>().prop_map(BigInt::from),
        (0..256_i32).prop_map(BigInt::from),
    ];
    let integers = integers.prop_map(Term::integer);
    let floats = any::<f64>()
        .prop_filter("a float of the BEAM is finite", |value| value.is_finite())
        .prop_map(Term::Float);
    let atoms = atoms.prop_map(|name| Term::Atom(name.as_str().try_into().unwrap()));
    let bits =
        (proptest::collection::vec(any::<u8>(), 1..5), 1..8_u8).prop_map(|(mut bytes, bits)| {
            if let Some(last) = bytes.last_mut() {
                *last <<= 8 - bits;
            }
            let (bytes, last_bits) = (bytes.into(), bits);
            Term::BitString(Box::new(BitString { bytes, last_bits }))
        });
    let leaves = prop_oneof![
        atoms.clone(),
        integers.clone(),
        floats,
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Term::binary),
        "\\PC{0,9}".prop_map(|text| Term::binary(text.into_bytes())),
        bits,
        "[ -~\n\té]{0,9}".prop_map(|text| Term::string(&text)),
        ("[a-z]{1,3}", "[a-z]{1,3}", any::<u8>()).prop_map(|(module, function, arity)| {
            Term::Export(Box::new(Export {
                module: module.as_str().try_into().unwrap(),
                function: function.as_str().try_into().unwrap(),
                arity,
            }))
        }),
    ];
    leaves.prop_recursive(5, 64, 6, move |inner| {
        let several = proptest::collection::vec(inner.clone(), 0..6);
        let tails = inner
            .clone()
            .prop_filter("another list as tail makes a plain list", |tail| {
                !matches!(tail, Term::List(_) | Term::ImproperList(_))
            });
        prop_oneof![
            several.clone().prop_map(Term::List),
            several.clone().prop_map(Term::Tuple),
            (proptest::collection::vec(inner.clone(), 1..4), tails).prop_map(|(elements, tail)| {
                Term::ImproperList(Box::new(ImproperList { elements, tail }))
            }),
            proptest::collection::hash_map(inner.clone(), inner, 0..4)
                .prop_map(|pairs| Term::Map(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(term in term()) {
        let text = term.to_string();
        prop_assert_eq!(parse(&text), Ok(term), "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]{}<>#|,.$'\"\\\\a-z0-9=:/_ \\PC]{0,40}") {
        let _ = parse(&text);
    }
}
