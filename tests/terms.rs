//! Our reader and printer of terms against `erl` itself, over thousands of generated terms.

use std::fs;
use std::process::Command;

use eetf::{Atom, BigInteger, Binary, BitBinary, FixInteger, Float, List, Map, Term, Tuple};
use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rendez::term::{parse, show};

mod support;

use support::beam_is_installed;

const TERMS: usize = 3000;

/// Reads every term of a file, and writes for each its external format in hexadecimal (atoms in UTF-8) and what `erl` makes of it
/// as text, with a tab between them.
const SCRIPT: &str = r#"
    [In, Out] = init:get_plain_arguments(),
    {ok, Terms} = file:consult(In),
    Line = fun(Term) ->
        Hex = [io_lib:format("~2.16.0b", [Byte]) || <<Byte>> <= term_to_binary(Term, [{minor_version, 2}])],
        [Hex, $\t, unicode:characters_to_binary(io_lib:format("~0tp", [Term])), $\n]
    end,
    ok = file:write_file(Out, lists:map(Line, Terms)),
    halt(0).
"#;

fn terms() -> impl Strategy<Value = Term> {
    let integer = |value: BigInt| match i32::try_from(&value) {
        Ok(value) => Term::from(FixInteger { value }),
        Err(_) => BigInteger { value }.into(),
    };
    let floats = prop_oneof![
        any::<f64>(),
        (any::<i32>(), -20..20_i32)
            .prop_map(|(digits, power)| f64::from(digits) * 10_f64.powi(power)),
        any::<i64>().prop_map(|whole| whole as f64),
    ];
    let atoms = prop_oneof![
        "[a-zß-ÿ][a-zA-Z0-9_@À-ÿ]{0,6}",
        "\\PC{0,6}",
        "[\u{1}-\u{ff}]{0,6}"
    ];
    let leaves = prop_oneof![
        atoms.prop_map(|name| Term::from(Atom::from(name))),
        any::<i128>().prop_map(move |value| integer(value.into())),
        (-300..300_i32).prop_map(|value| FixInteger { value }.into()),
        floats
            .prop_filter("a float of the BEAM is finite", |value| value.is_finite())
            .prop_map(|value| Term::Float(Float { value })),
        "\\PC{0,9}".prop_map(|text| Binary::from(text.into_bytes()).into()),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| Binary::from(bytes).into()),
        (
            proptest::collection::vec(any::<u8>(), 0..3),
            1..8_u8,
            any::<u8>()
        )
            .prop_map(|(mut bytes, bits, last)| {
                bytes.push(last >> (8 - bits));
                BitBinary::from((bytes, bits)).into()
            }),
        "[ -ÿ\n\t\u{1b}]{0,9}".prop_map(|text| {
            let characters = text.chars().map(|c| FixInteger { value: c as i32 }.into());
            List::from(characters.collect::<Vec<Term>>()).into()
        }),
    ];
    leaves.prop_recursive(4, 24, 4, |inner| {
        let several = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            several.clone().prop_map(|items| List::from(items).into()),
            several.prop_map(|items| Tuple::from(items).into()),
            ("[a-z]{1,3}", inner).prop_map(|(key, value)| Map::from([(
                Atom::from(key).into(),
                value
            )])
            .into()),
        ]
    })
}

/// The same term whichever way its lists are held.
fn plain(term: Term) -> Term {
    match term {
        Term::ByteList(list) => List::from(list).into(),
        Term::List(list) => {
            List::from(list.elements.into_iter().map(plain).collect::<Vec<_>>()).into()
        }
        Term::Tuple(tuple) => {
            Tuple::from(tuple.elements.into_iter().map(plain).collect::<Vec<_>>()).into()
        }
        Term::Map(map) => {
            let entries = map
                .map
                .into_iter()
                .map(|(key, value)| (plain(key), plain(value)));
            Map::from(entries.collect::<std::collections::HashMap<_, _>>()).into()
        }
        other => other,
    }
}

/// Terms that `erl` shows in exactly our way. Lists of characters above Latin-1 it shows as text when it was told
/// to (`+pc unicode`, as here for the sake of binaries), we do not.
fn is_shown_alike(term: &Term) -> bool {
    match term {
        Term::List(list) => list
            .elements
            .iter()
            .all(|item| matches!(item, Term::FixInteger(n) if n.value < 256)),
        Term::Tuple(tuple) => tuple.elements.iter().all(is_shown_alike),
        Term::Map(map) => map.map.values().all(is_shown_alike),
        _ => true,
    }
}

#[test]
fn erl_reads_what_we_print_and_we_read_what_it_prints() {
    if !beam_is_installed("terms as text against erl") {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let strategy = terms();
    let terms: Vec<Term> = (0..TERMS)
        .map(|_| strategy.new_tree(&mut runner).expect("a term").current())
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let text: String = terms
        .iter()
        .map(|term| format!("{} .\n", show(term)))
        .collect();
    fs::write(&ours, format!("%% coding: utf-8\n{text}")).expect("ours is written");

    let output = Command::new("erl")
        .args(["+pc", "unicode", "-noinput", "-eval", SCRIPT, "-extra"])
        .args([&ours, &theirs])
        .output()
        .expect("erl runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let theirs = fs::read_to_string(theirs).expect("erl wrote");
    let lines: Vec<&str> = theirs.lines().collect();
    assert_eq!(lines.len(), terms.len());
    let mut alike = 0;
    for (line, term) in lines.iter().zip(terms) {
        let shown = show(&term).to_string();
        let term = plain(term);
        let (hex, text) = line.split_once('\t').expect("two columns");
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let understood = Term::decode(bytes.as_slice()).expect("the external format");
        assert_eq!(plain(understood), term, "erl understood {shown} otherwise");
        assert_eq!(
            parse(text).map(plain),
            Ok(term.clone()),
            "we understood {text} otherwise"
        );
        if is_shown_alike(&term) {
            alike += 1;
            assert_eq!(shown, text);
        }
    }
    assert!(
        alike > TERMS / 2,
        "only {alike} were compared letter by letter"
    );
}
