//! The term codec against what OTP 25, 27 and 29 wrote, and against bytes that nobody should write.
#![cfg(feature = "etf")]

use bytes::Bytes;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rendez::etf::{
    Aside, Atom, BitString, DecodeError, DuplicateKey, EncodeError, Fun, ImproperList, Limits, Map,
    Pid, Port, Reference, Term, decode, decode_with, encode, encode_into,
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
            // Which order a map has on the wire is an accident of the node that wrote it.
            if is_compressed(&vector) || term.to_string().contains("#{") {
                if !is_compressed(&vector) {
                    assert_eq!(again.len(), vector.bytes.len(), "{}", vector.name);
                }
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
    let map = |pairs: &[(Term, Term)]| Term::Map(Map::unique(pairs.to_vec()).unwrap());
    let one = map(&[pair(1, 2), pair(3, 4)]);
    assert_eq!(one, map(&[pair(3, 4), pair(1, 2)]));
    assert_ne!(one, map(&[pair(1, 2), pair(3, 5)]));
    assert_ne!(one, map(&[pair(1, 2)]));
    assert_ne!(Term::Int(1), Term::Float(1.0));
}

#[test]
fn a_large_map_has_no_key_twice_either() {
    let pairs = |count: i64| (0..count).map(|key| (Term::Int(key), Term::NIL));
    let large = Term::Map(pairs(1000).collect());
    let mut bytes = encode(&large).unwrap();
    let reversed = Term::Map(pairs(1000).rev().collect());
    assert_eq!(decode(&bytes.clone().into()), Ok(reversed));
    // The last pair is 999 => []; now it is 998 => [].
    let last = bytes.len() - 2;
    bytes[last] -= 1;
    assert_eq!(decode(&bytes.into()), Err(DecodeError::DuplicateKey));
    let twice = pairs(1000).chain(pairs(1)).collect();
    assert_eq!(Map::unique(twice), Err(DuplicateKey(Term::Int(0))));
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
        (vec![131, 105, 255, 255, 255, 255], TooLarge("a tuple")),
        (vec![131, 105, 0, 255, 255, 255], Declared),
        (vec![131, 108, 255, 255, 255, 255], Declared),
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
        (deep(4200), Depth),
        (funs, Tag(112)),
        (vec![131, 80, 255, 255, 255, 255, 1], Memory),
        (vec![131, 80, 0, 0, 0, 9, 1, 2, 3], Compressed),
    ] {
        let shown = format!("{:?}", &bytes[..bytes.len().min(12)]);
        assert_eq!(decode(&bytes.into()), Err(why), "{shown}");
    }
    assert!(decode(&deep(4000).into()).is_ok());
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

/// What runs on a thread with that much stack, and has ended within a time that no load makes long.
fn within<T: Send + 'static>(stack: usize, run: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, wait) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().stack_size(stack);
    let thread = thread.spawn(move || drop(done.send(run()))).unwrap();
    let result = wait.recv_timeout(std::time::Duration::from_secs(60));
    match result {
        Ok(result) => {
            thread.join().unwrap();
            result
        }
        Err(error) => panic!("no answer: {error}"),
    }
}

/// `#{x => Before, a => 0, b => 0}`, and so on, with the second and third pair in either order.
fn nested_maps(levels: usize, turned: bool) -> Vec<u8> {
    let mut bytes = vec![106];
    let (a, b) = ([119, 1, b'a', 97, 0], [119, 1, b'b', 97, 0]);
    for _ in 0..levels {
        let mut outer = vec![116, 0, 0, 0, 3, 119, 1, b'x'];
        outer.append(&mut bytes);
        let [second, third] = if turned { [b, a] } else { [a, b] };
        outer.extend([second, third].concat());
        bytes = outer;
    }
    bytes
}

#[test]
fn two_kilobytes_of_nested_maps_are_compared_at_once() {
    let (a, b) = (nested_maps(64, false), nested_maps(64, true));
    let message = [&[131, 116, 0, 0, 0, 2][..], &a, &[97, 0], &b, &[97, 0]].concat();
    assert!(message.len() < 2500);
    let result = within(1 << 20, move || decode(&message.into()));
    assert_eq!(result, Err(DecodeError::DuplicateKey));
    // As they come from two nodes that keep their atoms in different orders.
    let equal = within(1 << 20, move || {
        let read = |bytes: &[u8]| decode(&[&[131], bytes].concat().into()).unwrap();
        let (a, b) = (read(&a), read(&b));
        let set: std::collections::HashSet<_> = [a.clone(), b.clone()].into_iter().collect();
        a == b && set.len() == 1
    });
    assert!(equal);
}

#[test]
fn a_list_that_was_written_element_by_element_is_one_list() {
    let cons = |count: usize, end: &[u8]| {
        let elements = [108, 0, 0, 0, 1, 97, 7].repeat(count);
        Bytes::from([&[131], elements.as_slice(), end].concat())
    };
    let sevens = |count| vec![Term::Int(7); count];
    for count in [1, 2, 3, 100, 100_000] {
        assert_eq!(decode(&cons(count, &[106])), Ok(Term::List(sevens(count))));
        let improper = Term::ImproperList(Box::new(ImproperList {
            elements: sevens(count),
            tail: Term::atom("x"),
        }));
        assert_eq!(decode(&cons(count, &[119, 1, b'x'])), Ok(improper));
        // The last piece is a string, or a list of several.
        let nine = [sevens(count), vec![Term::Int(9)]].concat();
        assert_eq!(decode(&cons(count, &[107, 0, 1, 9])), Ok(Term::List(nine)));
    }
    assert_eq!(
        decode(
            &[
                131, 108, 0, 0, 0, 1, 97, 1, 108, 0, 0, 0, 2, 97, 2, 97, 3, 106
            ]
            .to_vec()
            .into()
        ),
        Ok(vec![1, 2, 3].into())
    );
    // `[]` with a tail is the tail.
    assert_eq!(
        decode(&vec![131, 108, 0, 0, 0, 0, 97, 1].into()),
        Ok(Term::Int(1))
    );
    // The last element holds such a list again, and so on: deep, but each list is one.
    let mut bytes = vec![131];
    bytes.extend([108, 0, 0, 0, 1, 106, 108, 0, 0, 0, 1].repeat(1000));
    bytes.push(106);
    bytes.extend([106].repeat(1000));
    let mut term = &decode(&bytes.into()).unwrap();
    for _ in 0..1000 {
        let [Term::List(empty), inner] = term.as_list().unwrap() else {
            panic!("two elements")
        };
        assert!(empty.is_empty());
        term = inner;
    }
    assert_eq!(*term, Term::NIL);
    // What is declared counts, at each piece.
    let lie = cons(3, &[108, 0, 0, 1, 0, 106]);
    assert_eq!(decode(&lie), Err(DecodeError::Declared));
}

/// A term of each kind that holds others, around the other in turn.
fn deep_term(levels: usize) -> Vec<u8> {
    let mut bytes = vec![131];
    let mut ends: Vec<&[u8]> = Vec::new();
    for level in 0..levels {
        let (begin, end): (&[u8], &[u8]) = match level % 5 {
            0 => (&[104, 2, 97, 1], &[]),
            1 => (&[108, 0, 0, 0, 1], &[106]),
            2 => (&[116, 0, 0, 0, 1, 97, 1], &[]),
            3 => (&[108, 0, 0, 0, 1], &[97, 1]),
            _ => (&[116, 0, 0, 0, 1], &[97, 1]),
        };
        bytes.extend(begin);
        ends.push(end);
    }
    bytes.push(106);
    ends.into_iter().rev().for_each(|end| bytes.extend(end));
    bytes
}

#[test]
fn a_term_as_deep_as_the_limit_needs_no_more_stack_than_a_thread_has() {
    let depth = Limits::default().depth;
    for bytes in [
        deep_term(depth.into()),
        [&[131][..], &[104, 1].repeat(depth.into()), &[106]].concat(),
    ] {
        // Half of what a thread of tokio has, in a build that is not optimised.
        within(1 << 20, move || {
            let term = decode(&bytes.clone().into()).unwrap();
            let clone = term.clone();
            assert!(term == clone && term.cmp(&clone).is_eq());
            let set: std::collections::HashSet<_> = [&term, &clone].into_iter().collect();
            assert_eq!(set.len(), 1);
            assert_eq!(encode(&clone).unwrap(), bytes);
            assert!(term.to_string().len() > usize::from(depth));
            assert!(format!("{term:?}").len() < 5000);
            let too_deep = [&[131, 104, 1], &bytes[1..]].concat();
            assert_eq!(decode(&too_deep.into()), Err(DecodeError::Depth));
        });
    }
}

#[test]
fn a_fun_below_the_depth_of_calls_comes_back() {
    let fun = unhex(
        VECTOR_FUN
            .lines()
            .find(|line| line.contains("\"fun_local\""))
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .and_then(|json| json["hex"].as_str().map(str::to_owned))
            .unwrap()
            .as_str(),
    );
    let bytes = [&[131][..], &[104, 1].repeat(100), &fun[1..]].concat();
    let term = decode(&bytes.clone().into()).unwrap();
    assert_eq!(encode(&term).unwrap(), bytes);
    // Its size counts.
    let mut wrong = bytes;
    wrong[1 + 200 + 4] += 1;
    assert_eq!(
        decode(&wrong.into()),
        Err(DecodeError::Value("the size of a fun"))
    );
}

const VECTOR_FUN: &str = OTP_29;

#[test]
fn terms_are_in_erlangs_order() {
    // As lists:sort/1 has them, but for 1.0, which has its place after 1.
    let sorted = "[-1.5,-1,0,1,1.0,1.5,9223372036854775807,9223372036854775808,1.0e20,a,b,\
        fun a:b/1,{},{1},{2},{0,0},#{},#{a => 1},#{1 => 1,a => 0},#{1 => 0,b => 0},\
        [],[1],[1,1],[1|a],[2],<<>>,<<0>>,<<1:1>>,<<255>>]";
    let sorted: Term = sorted.parse().unwrap();
    let Term::List(sorted) = sorted else {
        panic!("a list")
    };
    let mut again = sorted.clone();
    again.reverse();
    again.sort();
    // An improper end comes before a longer list.
    let mut expected = sorted;
    let at = expected
        .iter()
        .position(|term| *term == "[1|a]".parse().unwrap());
    let improper = expected.remove(at.unwrap());
    let before = expected
        .iter()
        .position(|term| *term == "[1]".parse().unwrap());
    expected.insert(before.unwrap(), improper);
    assert_eq!(again, expected);
    assert!(Term::Float(-0.0) < Term::Float(0.0) && Term::Float(-0.0) > Term::Int(0));
}

#[test]
fn a_map_that_is_made_has_each_key_once() {
    let mut map: Map = [("b", 1), ("a", 2), ("b", 3)].into_iter().collect();
    assert_eq!(
        Term::Map(map.clone()).to_string(),
        r#"#{<<"a">> => 2,<<"b">> => 3}"#
    );
    assert_eq!(map.insert("a", 5), Some(Term::Int(2)));
    assert_eq!(map.insert(Term::atom("z"), true), None);
    assert_eq!(map.get_atom("z"), Some(&Term::from(true)));
    assert_eq!(map.remove(&"a".into()), Some(Term::Int(5)));
    assert_eq!((map.len(), map.get(&"a".into())), (2, None));
    map.extend([("b", 9)]);
    assert_eq!(map.get(&"b".into()), Some(&Term::Int(9)));
    assert_eq!(rendez::term!(#{a => 1, a => 2}).to_string(), "#{a => 2}");
}

#[test]
fn what_no_beam_could_read_is_not_written() {
    let reference = |id| {
        Term::from(Reference {
            node: Atom::new("a@b"),
            creation: 1,
            id,
        })
    };
    let large = num_bigint::BigInt::from(1) << 4_194_240_u32;
    let fun = |old_index| {
        let pid = Pid {
            node: Atom::new("a@b"),
            id: 1,
            serial: 1,
            creation: 1,
        };
        Term::Fun(Box::new(Fun {
            arity: 1,
            uniq: [0; 16],
            index: 1,
            module: Atom::new("m"),
            old_index,
            old_uniq: 1,
            pid,
            free: vec![],
        }))
    };
    for term in [
        bits(&[1], 0),
        bits(&[1], 8),
        bits(&[1], 9),
        bits(&[], 1),
        reference(vec![]),
        reference(vec![1; 6]),
        Term::BigInt(Box::new(7.into())),
        Term::BigInt(Box::new(i64::MIN.into())),
        Term::integer(large.clone()),
        fun(i64::MAX),
    ] {
        let error = encode(&Term::Tuple(vec![term.clone()]));
        assert!(
            matches!(error, Err(EncodeError::Value(_) | EncodeError::TooLarge)),
            "{term:?}: {error:?}"
        );
    }
    assert!(encode(&fun(1)).is_ok());
    // Bits that do not count are written as zeros.
    let bytes = encode(&bits(&[0xff], 3)).unwrap();
    assert_eq!(decode(&bytes.into()), Ok(bits(&[0b1110_0000], 3)));
    // The largest integer comes back; one of a word more is refused when it comes.
    let largest = Term::integer(large - 1);
    let mut bytes = encode(&largest).unwrap();
    assert_eq!(decode(&bytes.clone().into()), Ok(largest));
    let size = u32::from_be_bytes(bytes[2..6].try_into().unwrap()) + 8;
    bytes[2..6].copy_from_slice(&size.to_be_bytes());
    bytes.extend([1; 8]);
    assert_eq!(
        decode(&bytes.into()),
        Err(DecodeError::TooLarge("an integer"))
    );
    // OTP has no larger tuples either.
    let tuple = vec![131, 105, 1, 0, 0, 0];
    assert_eq!(decode(&tuple.into()), Err(DecodeError::TooLarge("a tuple")));
}

#[test]
fn a_node_that_does_not_know_v4_nc_gets_ports_and_references_it_can_read() {
    struct Old;
    impl Aside for Old {
        fn atom(&mut self, _: &Atom) -> Option<u8> {
            None
        }
        fn binary(&mut self, _: &[u8], _: &Bytes) -> bool {
            false
        }
        fn reads_wide_numbers(&self) -> bool {
            false
        }
    }
    let port = |id| {
        Term::Port(Box::new(Port {
            node: Atom::new("a@b"),
            id,
            creation: 7,
        }))
    };
    let reference = |words| {
        Term::from(Reference {
            node: Atom::new("a@b"),
            creation: 1,
            id: vec![1; words],
        })
    };
    let written = |term: &Term| {
        let mut out = vec![131];
        encode_into(term, &mut out, &mut Old).map(|()| out)
    };
    let bytes = written(&port((1 << 28) - 1)).unwrap();
    assert_eq!(bytes[1], 89);
    assert_eq!(decode(&bytes.into()), Ok(port((1 << 28) - 1)));
    assert!(matches!(
        written(&port(1 << 28)),
        Err(EncodeError::Value(_))
    ));
    assert!(written(&reference(3)).is_ok());
    assert!(matches!(written(&reference(4)), Err(EncodeError::Value(_))));
    assert_eq!(encode(&port(1)).unwrap()[1], 120);
}

#[test]
fn a_term_of_any_size_is_shown_in_few_bytes_at_once() {
    let large = num_bigint::BigInt::from(1) << 100_000_000_u32;
    let binary = Term::binary(vec![b'x'; 16 << 20]);
    for (term, begins) in [
        (
            Term::integer(large.clone()),
            "16#8000000000000000...(100000001 bits)",
        ),
        (
            Term::integer(-large),
            "-16#8000000000000000...(100000001 bits)",
        ),
        (binary.clone(), "<<\"xxx"),
        (Term::List(vec![binary; 10]), "[<<\"xxx"),
        (Term::List(vec![Term::Int(7); 1 << 18]), "\"\u{7}"),
        (Term::List(vec![Term::NIL; 1 << 18]), "[[],[],"),
        (
            Term::Tuple(vec![Term::string("text"); 1 << 18]),
            "{\"text\",\"text\",",
        ),
    ] {
        let text = within(2 << 20, move || {
            let before = std::time::Instant::now();
            let text = format!("{term:?}");
            // The term may take long to drop.
            (text, before.elapsed(), term)
        });
        let (text, _, _) = text;
        let begins = begins.replace('\u{7}', "");
        assert!(text.len() <= 4096 + 3, "{}", text.len());
        assert!(
            text.starts_with(&begins) || text.starts_with("[7,7,"),
            "{:.60}",
            text
        );
    }
    // Without a bound it is whole; only the base is another, and it reads back.
    let thousands = Term::integer(num_bigint::BigInt::from(3) << 40_000_u32);
    let text = thousands.to_string();
    assert!(text.starts_with("16#3000"), "{text:.20}");
    assert_eq!(text.parse(), Ok(thousands));
    // What is cut within a character.
    let term = Term::from("ä".repeat(100));
    assert_eq!(term.shown_in(6).to_string(), "<<\"ä...");
    assert_eq!(term.shown_in(0).to_string(), "...");
}

#[test]
fn debug_is_erlangs_syntax() {
    let pid = Pid {
        node: Atom::new("a@b"),
        id: 1,
        serial: 2,
        creation: 3,
    };
    let shown = rendez::term!({ok, [(pid.clone()), "x", #{k => <<1>>}]});
    assert_eq!(
        format!("{:?}", Ok::<_, ()>(&shown)),
        "Ok({ok,[<a@b.1.2>,\"x\",#{k => <<1>>}]})"
    );
    assert_eq!(
        format!("{pid:?} {:?}", Atom::new("it's")),
        r"<a@b.1.2> 'it\'s'"
    );
    let list = ImproperList {
        elements: vec![Term::Int(1)],
        tail: Term::atom("x"),
    };
    let map: Map = [(1, 2)].into_iter().collect();
    assert_eq!(format!("{list:?} {map:?}"), "[1|x] #{1 => 2}");
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
                .prop_map(|pairs| Term::Map(pairs.into_iter().collect())),
        ]
    })
}

fn write_shuffled(term: &Term, out: &mut Vec<u8>, rng: &mut StdRng) {
    let mut all = |tag: u8, count: usize, terms: Vec<&Term>, rng: &mut StdRng| {
        out.push(tag);
        out.extend(u32::try_from(count).unwrap().to_be_bytes());
        for term in terms {
            write_shuffled(term, out, rng);
        }
    };
    match term {
        Term::Map(map) => {
            let mut pairs: Vec<_> = map.iter().collect();
            pairs.shuffle(rng);
            let terms = pairs.into_iter().flat_map(|(key, value)| [key, value]);
            all(116, map.len(), terms.collect(), rng);
        }
        Term::List(elements) if !elements.is_empty() => {
            all(108, elements.len(), elements.iter().collect(), rng);
            out.push(106);
        }
        Term::Tuple(elements) => all(105, elements.len(), elements.iter().collect(), rng),
        term => out.extend(encode(term).unwrap().split_off(1)),
    }
}

proptest! {
    #[test]
    fn every_term_comes_back(term in any_term()) {
        let bytes = Bytes::from(encode(&term).unwrap());
        let again = decode(&bytes).unwrap();
        prop_assert_eq!(encode(&again).unwrap(), bytes);
        prop_assert_eq!(again, term);
    }

    /// The canonical form is the bytes, which are written in the order of the keys.
    #[test]
    fn equality_order_and_hash_agree(terms in proptest::collection::vec(any_term(), 3)) {
        use std::hash::{BuildHasher, RandomState};
        let hasher = RandomState::new();
        let terms: Vec<_> = terms.iter().map(|term| (term, encode(term).unwrap())).collect();
        for (a, bytes_of_a) in &terms {
            for (b, bytes_of_b) in &terms {
                let equal = bytes_of_a == bytes_of_b;
                prop_assert_eq!(a == b, equal);
                prop_assert_eq!(a.cmp(b).is_eq(), equal);
                prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
                prop_assert!(!equal || hasher.hash_one(a) == hasher.hash_one(b));
                for (c, _) in &terms {
                    prop_assert!(!(a <= b && b <= c) || a <= c);
                }
            }
        }
    }

    /// The same map in another order is the same map.
    #[test]
    fn the_order_of_a_map_on_the_wire_does_not_count(term in any_term(), seed: u64) {
        let mut shuffled = vec![131];
        write_shuffled(&term, &mut shuffled, &mut StdRng::seed_from_u64(seed));
        prop_assert_eq!(decode(&shuffled.into()), Ok(term));
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
