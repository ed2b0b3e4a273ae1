//! The term codec against what OTP 25, 27 and 29 wrote, and against bytes that nobody should write.
#![cfg(feature = "etf")]

use bytes::Bytes;
use proptest::prelude::*;
use rendez::etf::{
    Atom, BitString, DecodeError, Limits, Map, Pid, Reference, Term, decode, decode_with, encode,
};
use sha2::{Digest, Sha256};

struct Vector {
    name: String,
    bytes: Bytes,
}

fn vectors(file: &str) -> Vec<Vector> {
    let vectors: Vec<Vector> = file
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"))
        .map(|json| Vector {
            name: json["name"].as_str().expect("a name").to_owned(),
            bytes: unhex(json["hex"].as_str().expect("hex")).into(),
        })
        // The largest are kept as a digest only.
        .filter(|vector| !vector.bytes.is_empty())
        .collect();
    assert!(vectors.len() > 45, "the vectors are whole");
    vectors
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex"))
        .collect()
}

const OTP_25: &str = include_str!("data/etf-otp25.jsonl");
const OTP_27: &str = include_str!("data/etf-otp27.jsonl");
const OTP_29: &str = include_str!("data/etf-otp29.jsonl");

/// What a peer chose to compress is written plain, so only the terms can be compared.
fn is_compressed(vector: &Vector) -> bool {
    vector.name.starts_with("compressed")
}

#[test]
fn what_otp_27_and_29_wrote_decodes_and_encodes_to_the_same_bytes() {
    for file in [OTP_27, OTP_29] {
        for vector in vectors(file) {
            let term = decode(&vector.bytes).unwrap_or_else(|why| panic!("{}: {why}", vector.name));
            let again = encode(&term).expect("it came from bytes");
            if is_compressed(&vector) {
                assert_eq!(decode(&again.into()), Ok(term), "{}", vector.name);
            } else {
                assert_eq!(again, vector.bytes, "{}", vector.name);
            }
        }
    }
}

#[test]
fn what_otp_25_wrote_decodes_to_the_terms_that_otp_27_wrote() {
    // OTP 25 writes atoms in Latin-1 where it can; ours, like OTP 26 and later, writes UTF-8, which
    // OTP 25 reads. Identifiers belong to one run of a node.
    let differs = [
        "pid",
        "port",
        "ref",
        "gen_call",
        "gen_call_alias",
        "fun_local",
    ];
    for (old, new) in vectors(OTP_25).iter().zip(vectors(OTP_27)) {
        assert_eq!(old.name, new.name);
        let term = decode(&old.bytes).unwrap_or_else(|why| panic!("{}: {why}", old.name));
        let again = Bytes::from(encode(&term).expect("it came from bytes"));
        if differs.contains(&old.name.as_str()) {
            assert_eq!(decode(&again), Ok(term), "{}", old.name);
            continue;
        }
        assert_eq!(Ok(&term), decode(&new.bytes).as_ref(), "{}", old.name);
        // The order of a map is another in each release.
        let has_map = term.to_string().contains("#{");
        if again != old.bytes && !is_compressed(old) && !has_map {
            assert_eq!(again, new.bytes, "{}", old.name);
        }
    }
}

#[test]
fn the_largest_vectors_encode_to_the_bytes_of_their_digests() {
    let large = [
        ("string_65535", Term::List(vec![Term::Int(120); 65_535])),
        ("list_65536", Term::List(vec![Term::Int(120); 65_536])),
        ("binary_70000", Term::binary(vec![1; 70_000])),
    ];
    let mut compared = 0;
    for line in [OTP_25, OTP_27, OTP_29]
        .iter()
        .flat_map(|file| file.lines())
    {
        let vector: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let Some(digest) = vector["sha256"].as_str() else {
            continue;
        };
        let named = large.iter().find(|(name, _)| vector["name"] == *name);
        let (name, term) = named.expect("what its name says");
        let bytes = encode(term).unwrap();
        assert_eq!(Sha256::digest(&bytes)[..], unhex(digest)[..], "{name}");
        assert_eq!(decode(&bytes.into()).as_ref(), Ok(term), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 9, "three of each release");
}

#[test]
fn named_values_are_what_their_names_say() {
    let vectors = vectors(OTP_29);
    let term = |name: &str| {
        let vector = vectors.iter().find(|vector| vector.name == name);
        decode(&vector.expect(name).bytes).expect(name)
    };
    assert_eq!(term("atom_latin1"), Term::atom("å"));
    assert_eq!(term("int_neg2p63"), Term::Int(i64::MIN));
    assert_eq!(term("int_2p63"), Term::integer(1_u64 << 63));
    assert_eq!(term("float_neg0"), Term::Float(-0.0));
    assert_eq!(term("string"), Term::string("hello"));
    assert_eq!(term("bitstring_1"), bits(&[0x80], 1));
    let map = term("map");
    let Term::Map(map) = map else {
        panic!("{map:?}")
    };
    assert_eq!(map.get_atom("a"), Some(&Term::Int(1)));
    assert_eq!(
        map.get(&Term::binary("b")),
        Some(&vec![Term::Int(2)].into())
    );
}

fn bits(bytes: &'static [u8], last_bits: u8) -> Term {
    Term::BitString(Box::new(BitString {
        bytes: Bytes::from_static(bytes),
        last_bits,
    }))
}

#[test]
fn a_large_binary_is_not_copied() {
    let binary = Bytes::from(vec![1; 70_000]);
    let bytes = Bytes::from(encode(&Term::Binary(binary.clone())).unwrap());
    let Ok(Term::Binary(again)) = decode(&bytes) else {
        panic!("a binary")
    };
    assert_eq!(again, binary);
    // It lies in the buffer that it came in.
    assert_eq!(again.as_ptr(), bytes[6..].as_ptr());
}

#[test]
fn a_map_is_equal_in_any_order_and_a_float_is_no_integer() {
    let pair = |key, value| (Term::Int(key), Term::Int(value));
    let one = Term::Map(Map(vec![pair(1, 2), pair(3, 4)]));
    assert_eq!(one, Term::Map(Map(vec![pair(3, 4), pair(1, 2)])));
    assert_ne!(one, Term::Map(Map(vec![pair(1, 2), pair(3, 5)])));
    assert_ne!(one, Term::Map(Map(vec![pair(1, 2)])));
    assert_ne!(Term::Int(1), Term::Float(1.0));
}

#[test]
fn a_large_map_has_no_key_twice_either() {
    let pairs = |count: i64| (0..count).map(|key| (Term::Int(key), Term::NIL));
    let large = Term::Map(Map(pairs(1000).collect()));
    let bytes = encode(&large).unwrap();
    let reversed = Term::Map(Map(pairs(1000).rev().collect()));
    assert_eq!(decode(&bytes.into()), Ok(reversed));
    let twice = Term::Map(Map(pairs(1000).chain(pairs(1)).collect()));
    let bytes = encode(&twice).unwrap();
    assert_eq!(decode(&bytes.into()), Err(DecodeError::DuplicateKey));
}

#[test]
fn damage_has_a_name() {
    use DecodeError::*;
    let deep = |depth: usize| {
        let mut bytes = vec![131];
        bytes.extend([104, 1].repeat(depth));
        bytes.push(106);
        bytes
    };
    // A fun in the place of a fun's number, and so on.
    let mut funs = vec![131];
    for _ in 0..100_000 {
        funs.extend([112, 0, 0, 0, 0, 0]);
        funs.extend([0; 16]);
        funs.extend([0, 0, 0, 0, 0, 0, 0, 0, 119, 0]);
    }
    let infinite = [&[131, 70][..], &f64::INFINITY.to_be_bytes()].concat();
    let long_atom = [&[131, 118, 1, 0][..], &[b'a'; 256]].concat();
    for (bytes, why) in [
        (vec![], Truncated),
        (vec![130, 106], Version(130)),
        (vec![131, 200], Tag(200)),
        (vec![131, 97], Truncated),
        (vec![131, 106, 0], Trailing(1)),
        (vec![131, 105, 255, 255, 255, 255], Declared),
        (vec![131, 116, 0, 0, 0, 2, 106, 106, 106], Declared),
        (
            vec![131, 116, 0, 0, 0, 2, 97, 1, 106, 97, 1, 106],
            DuplicateKey,
        ),
        (vec![131, 109, 255, 255, 255, 255], Truncated),
        (vec![131, 119, 1, 0xff], Atom),
        (long_atom, Atom),
        (vec![131, 82, 0], AtomCache(0)),
        (infinite, Value("a float")),
        (vec![131, 77, 0, 0, 0, 1, 9, 0], Value("a bit string")),
        (vec![131, 110, 1, 2, 0], Value("an integer")),
        (deep(600), Depth),
        (funs, Tag(112)),
        (vec![131, 80, 255, 255, 255, 255, 1], Memory),
        (vec![131, 80, 0, 0, 0, 9, 1, 2, 3], Compressed),
    ] {
        let shown = format!("{:?}", &bytes[..bytes.len().min(12)]);
        assert_eq!(decode(&bytes.into()), Err(why), "{shown}");
    }
    assert!(decode(&deep(500).into()).is_ok());
    let shallow = Limits {
        depth: 2,
        ..Limits::default()
    };
    assert_eq!(decode_with(&deep(3).into(), shallow), Err(Depth));
}

#[test]
fn elements_promised_by_outer_terms_count_against_inner_ones() {
    // Each level is honest about the bytes that follow it, but not together with the others.
    let mut bytes = vec![131];
    let total = 1024_u32;
    while bytes.len() < 1000 {
        bytes.push(105);
        let left = total - u32::try_from(bytes.len()).unwrap() - 4;
        bytes.extend(left.to_be_bytes());
    }
    bytes.resize(1024, 106);
    assert_eq!(decode(&bytes.into()), Err(DecodeError::Declared));
}

fn any_atom() -> impl Strategy<Value = Atom> {
    "[a-zA-Zäλ世@_ ]{0,40}".prop_map(|name| Atom::try_from(name.as_str()).expect("short"))
}

fn any_term() -> impl Strategy<Value = Term> {
    let leaf = prop_oneof![
        any_atom().prop_map(Term::Atom),
        any::<i64>().prop_map(Term::Int),
        any::<i128>().prop_map(Term::integer),
        any::<f64>()
            .prop_filter("finite", |float| float.is_finite())
            .prop_map(Term::Float),
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Term::binary),
        (any_atom(), any::<u32>(), any::<u32>(), any::<u32>()).prop_map(
            |(node, id, serial, creation)| Pid {
                node,
                id,
                serial,
                creation
            }
            .into()
        ),
        (
            any_atom(),
            any::<u32>(),
            proptest::collection::vec(any::<u32>(), 1..=5)
        )
            .prop_map(|(node, creation, id)| Reference { node, creation, id }.into()),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Term::List),
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Term::Tuple),
            proptest::collection::hash_map(inner.clone(), inner, 0..20)
                .prop_map(|pairs| Term::Map(Map(pairs.into_iter().collect()))),
        ]
    })
}

proptest! {
    #[test]
    fn every_term_comes_back(term in any_term()) {
        let bytes = Bytes::from(encode(&term).unwrap());
        let again = decode(&bytes).unwrap();
        prop_assert_eq!(encode(&again).unwrap(), bytes);
        prop_assert_eq!(again, term);
    }

    #[test]
    fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes.clone().into());
        bytes.insert(0, 131);
        let _ = decode(&bytes.into());
    }

    #[test]
    fn no_damage_to_a_term_panics(term in any_term(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = encode(&term).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode(&bytes.clone().into());
        bytes.truncate(at);
        let _ = decode(&bytes.into());
    }
}
