//! Our reader and printer of terms against `erl` itself, over thousands of generated terms.
#![cfg(feature = "etf")]

use std::fs;
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rendez::etf::{BitString, Term, decode};

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
        atoms.prop_map(|name| Term::Atom(name.as_str().try_into().expect("short"))),
        any::<i128>().prop_map(Term::integer),
        (-300..300_i64).prop_map(Term::Int),
        floats
            .prop_filter("a float of the BEAM is finite", |value| value.is_finite())
            .prop_map(Term::Float),
        "\\PC{0,9}".prop_map(|text| Term::binary(text.into_bytes())),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(Term::binary),
        (
            proptest::collection::vec(any::<u8>(), 0..3),
            1..8_u8,
            any::<u8>()
        )
            .prop_map(|(mut bytes, bits, last)| {
                bytes.push(last << (8 - bits));
                let (bytes, last_bits) = (bytes.into(), bits);
                Term::BitString(Box::new(BitString { bytes, last_bits }))
            }),
        "[ -ÿ\n\t\u{1b}]{0,9}".prop_map(|text| Term::string(&text)),
    ];
    leaves.prop_recursive(4, 24, 4, |inner| {
        let several = proptest::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            several.clone().prop_map(Term::List),
            several.prop_map(Term::Tuple),
            ("[a-z]{1,3}", inner).prop_map(|(key, value)| {
                let key = Term::Atom(key.as_str().try_into().expect("short"));
                Term::Map([(key, value)].into_iter().collect())
            }),
        ]
    })
}

/// Terms that `erl` shows in exactly our way. Lists of characters above Latin-1 it shows as text when it was told
/// to (`+pc unicode`, as here for the sake of binaries), we do not.
fn is_shown_alike(term: &Term) -> bool {
    match term {
        Term::List(elements) => elements
            .iter()
            .all(|item| matches!(item, Term::Int(number) if *number < 256)),
        Term::Tuple(elements) => elements.iter().all(is_shown_alike),
        Term::Map(map) => map.iter().all(|(_, value)| is_shown_alike(value)),
        _ => true,
    }
}

#[test]
fn erl_reads_what_we_print_and_we_read_what_it_prints() {
    if !beam_is_installed("terms as text against erl") {
        return;
    }
    // Its seed is PROPTEST_RNG_SEED.
    let mut runner = TestRunner::default();
    let strategy = terms();
    let terms: Vec<Term> = (0..TERMS)
        .map(|_| strategy.new_tree(&mut runner).expect("a term").current())
        .collect();
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    let text: String = terms.iter().map(|term| format!("{} .\n", term)).collect();
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
        let shown = term.to_string();
        let (hex, text) = line.split_once('\t').expect("two columns");
        let bytes: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal"))
            .collect();
        let understood = decode(&bytes.into()).expect("the external format");
        assert_eq!(understood, term, "erl understood {shown} otherwise");
        assert_eq!(
            text.parse(),
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
