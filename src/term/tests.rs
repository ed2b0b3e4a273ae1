//! Against what OTP wrote, and reader against printer.

use std::collections::HashMap;

use eetf::{
    Atom, BigInteger, Binary, BitBinary, ExternalFun, FixInteger, Float, ImproperList, Map, Tuple,
};
use num_bigint::BigInt;
use proptest::prelude::*;

use super::*;

/// Terms that OTP encoded, with the text that it made of them: `io_lib:format("~0tp", [Term])`.
const VECTORS: [&str; 3] = [
    include_str!("../../tests/data/etf-otp25.jsonl"),
    include_str!("../../tests/data/etf-otp27.jsonl"),
    include_str!("../../tests/data/etf-otp29.jsonl"),
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
        let term = match Term::decode(bytes(field("hex")).as_slice()) {
            Ok(term) => term,
            Err(error) => {
                println!("{name}: eetf does not decode it: {error}");
                continue;
            }
        };
        compared += 1;
        let shown = show(&term).at("vectors@127.0.0.1").to_string();
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
    let int = |value: i32| Term::from(FixInteger { value });
    let big = |text: &str| {
        Term::from(BigInteger {
            value: text.parse::<BigInt>().unwrap(),
        })
    };
    let atom = |name: &str| Term::from(Atom::from(name));
    let float = |value: f64| Term::from(Float { value });
    let binary = |bytes: &[u8]| Term::from(Binary::from(bytes));
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
        ("2147483647", int(i32::MAX)),
        ("2147483648", big("2147483648")),
        ("-2147483648", int(i32::MIN)),
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
        (
            "[a,b|c]",
            ImproperList::from((vec![atom("a"), atom("b")], atom("c"))).into(),
        ),
        (
            "[a|[b|c]]",
            ImproperList::from((vec![atom("a"), atom("b")], atom("c"))).into(),
        ),
        ("{}", Tuple::from(vec![]).into()),
        (
            "{ a , {1} }",
            Tuple::from(vec![atom("a"), Tuple::from(vec![int(1)]).into()]).into(),
        ),
        ("<<>>", binary(b"")),
        ("<<1, 255>>", binary(&[1, 255])),
        ("<<\"ab\",0,$c>>", binary(b"ab\0c")),
        ("<<\"ü\">>", binary(&[252])),
        ("<<\"ü\"/utf8>>", binary("ü".as_bytes())),
        ("<<258:16>>", binary(&[1, 2])),
        ("<<1:4,2:4>>", binary(&[0x12])),
        ("<<5:3>>", BitBinary::from((vec![0b101], 3)).into()),
        ("<<1,1:1>>", BitBinary::from((vec![1, 1], 1)).into()),
        ("#{}", Map::from([]).into()),
        (
            "#{a=>1, \"b\" => #{}}",
            Map::from([
                (atom("a"), int(1)),
                (list(vec![int(98)]), Map::from([]).into()),
            ])
            .into(),
        ),
        (
            "fun lists:map/2",
            ExternalFun {
                module: "lists".into(),
                function: "map".into(),
                arity: 2,
            }
            .into(),
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
    assert_eq!(show(&deepest).to_string(), nested(MAX_DEPTH));
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
    let pid = Term::from(eetf::Pid::new("shop@10.0.0.7", 9, 1, 5));
    assert_eq!(show(&pid).at("shop@10.0.0.7").to_string(), "<0.9.1>");
    assert_eq!(show(&pid).at("other@h").to_string(), "<shop@10.0.0.7.9.1>");
    assert_eq!(show(&pid).to_string(), "<shop@10.0.0.7.9.1>");
}

#[test]
fn maps_are_shown_in_the_order_of_their_keys() {
    let text = "#{-1 => a,1 => b,1.5 => c,2 => d,10000000000000000000000 => e,a => f,b => g,\"x\" => h,{1} => i}";
    for _ in 0..10 {
        // Every parse makes a hash map with an order of its own.
        assert_eq!(show(&parse(text).unwrap()).to_string(), text);
    }
}

/// Terms in the form in which they come off the wire. Maps are no keys here: eetf hashes the entries of a map in
/// the order of its hash map, so that equal maps are not found.
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
    let integers = integers.prop_map(|value| match i32::try_from(&value) {
        Ok(value) => FixInteger { value }.into(),
        Err(_) => BigInteger { value }.into(),
    });
    let floats = any::<f64>()
        .prop_filter("a float of the BEAM is finite", |value| value.is_finite())
        .prop_map(|value| Term::Float(Float { value }));
    let atoms = atoms.prop_map(|name| Term::from(Atom::from(name)));
    let bits =
        (proptest::collection::vec(any::<u8>(), 1..5), 1..8_u8).prop_map(|(mut bytes, bits)| {
            if let Some(last) = bytes.last_mut() {
                *last >>= 8 - bits;
            }
            Term::from(BitBinary::from((bytes, bits)))
        });
    let leaves = prop_oneof![
        atoms.clone(),
        integers.clone(),
        floats,
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Binary::from(bytes).into()),
        "\\PC{0,9}".prop_map(|text| Binary::from(text.into_bytes()).into()),
        bits,
        "[ -~\n\té]{0,9}".prop_map(|text| list(
            text.chars()
                .map(|c| FixInteger { value: c as i32 }.into())
                .collect()
        )),
        ("[a-z]{1,3}", "[a-z]{1,3}", any::<u8>()).prop_map(|(module, function, arity)| {
            ExternalFun {
                module: module.into(),
                function: function.into(),
                arity,
            }
            .into()
        }),
    ];
    let keys = prop_oneof![atoms, integers];
    leaves.prop_recursive(5, 64, 6, move |inner| {
        let several = proptest::collection::vec(inner.clone(), 0..6);
        let tails = inner
            .clone()
            .prop_filter("another list as tail makes a plain list", |tail| {
                !matches!(
                    tail,
                    Term::List(_) | Term::ByteList(_) | Term::ImproperList(_)
                )
            });
        prop_oneof![
            several.clone().prop_map(list),
            several.clone().prop_map(|items| Tuple::from(items).into()),
            (proptest::collection::vec(inner.clone(), 1..4), tails)
                .prop_map(|pair| ImproperList::from(pair).into()),
            proptest::collection::vec((keys.clone(), inner), 0..4)
                .prop_map(
                    |entries| Map::from(entries.into_iter().collect::<HashMap<_, _>>()).into()
                ),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(term in term()) {
        let text = show(&term).to_string();
        prop_assert_eq!(parse(&text), Ok(term), "{}", text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[\\[\\]{}<>#|,.$'\"\\\\a-z0-9=:/_ \\PC]{0,40}") {
        let _ = parse(&text);
    }
}
