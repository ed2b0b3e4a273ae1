//! What decoding reserves, whatever it is given: counted by the allocator, in a process of its own.
#![cfg(feature = "etf")]

#[path = "support/seed.rs"]
mod seed;

use std::alloc::System;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rendez::etf::{DecodeError, Limits, Term, decode, decode_with, encode};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const VECTORS: [&str; 3] = [
    include_str!("data/etf-otp25.jsonl"),
    include_str!("data/etf-otp27.jsonl"),
    include_str!("data/etf-otp29.jsonl"),
];

/// The size of a hostile input.
const INPUT: usize = 1024;
/// What it may not reserve.
const MOST: usize = 1 << 20;

/// How much was reserved while these bytes were decoded, all reservations together.
fn reserved(bytes: &Bytes) -> usize {
    let region = Region::new(ALLOCATOR);
    drop(decode(bytes));
    let change = region.change();
    change.bytes_allocated + usize::try_from(change.bytes_reallocated.max(0)).unwrap_or(0)
}

fn golden() -> Vec<Vec<u8>> {
    let lines = VECTORS.iter().flat_map(|file| file.lines());
    let vectors = lines.map(|line| {
        let vector: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let hex = vector["hex"].as_str().unwrap_or_default();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect()
    });
    vectors
        .filter(|bytes: &Vec<u8>| !bytes.is_empty())
        .collect()
}

/// A term in the compressed form.
fn compressed(term: &Term, declared: Option<u32>) -> Vec<u8> {
    use std::io::Write;
    let plain = encode(term).expect("a term").split_off(1);
    let length = u32::try_from(plain.len()).expect("small");
    let mut bytes = vec![131, 80];
    bytes.extend(declared.unwrap_or(length).to_be_bytes());
    let mut deflater = flate2::write::ZlibEncoder::new(bytes, flate2::Compression::best());
    deflater.write_all(&plain).expect("written");
    deflater.finish().expect("finished")
}

/// Inputs that were made to cost much.
fn bombs() -> Vec<Vec<u8>> {
    let zeros = |count| Term::binary(vec![0; count]);
    let list = |count| Term::List(vec![Term::List(Vec::new()); count]);
    let mut bombs = vec![
        compressed(&zeros(200_000), None),
        compressed(&zeros(10_000_000), None),
        compressed(&zeros(10_000_000), Some(1000)),
        compressed(&zeros(100), Some(u32::MAX)),
        compressed(&list(200_000), None),
        compressed(&list(5_000), None),
        compressed(&Term::string(&"x".repeat(60_000)), None),
    ];
    // Each level declares as many elements as there are bytes left.
    for (tag, size) in [(105_u8, 5_usize), (108, 5), (116, 5)] {
        let mut bytes = vec![131];
        while bytes.len() + size < INPUT {
            let left = u32::try_from(INPUT - bytes.len() - size).expect("small");
            bytes.push(tag);
            bytes.extend(left.to_be_bytes());
        }
        bombs.push(bytes);
        for declared in [100, 900, 65_536, u32::MAX] {
            let mut bytes = vec![131, tag];
            bytes.extend(u32::to_be_bytes(declared));
            bytes.resize(INPUT, 106);
            bombs.push(bytes);
        }
    }
    for tag in [104_u8, 107, 109, 110, 111, 112, 114, 90, 77, 118, 100] {
        let mut bytes = vec![131, tag];
        bytes.resize(INPUT, 255);
        bombs.push(bytes);
    }
    // Lists whose tails are lists, of one element and of many.
    bombs.push([vec![131], [108, 0, 0, 0, 1, 106].repeat(170)].concat());
    bombs.push(
        [
            vec![131, 108, 0, 0, 1, 200],
            vec![106; 456],
            [108, 0, 0, 0, 1, 106].repeat(80),
        ]
        .concat(),
    );
    // Deep, beyond where terms are read by calls.
    bombs.push([vec![131], [104, 1].repeat(511)].concat());
    bombs.push([vec![131], [116, 0, 0, 0, 1].repeat(204)].concat());
    // Strings take 40 bytes for each of theirs.
    let mut strings = vec![131, 107, 3, 252];
    strings.resize(INPUT, b'x');
    bombs.push(strings);
    bombs
}

fn no_message_takes_more_than_half_a_gibibyte() {
    // Lists of `[]`, of which each byte takes 40 bytes of memory: 128 MiB of them would take 5 GiB.
    const LIST: usize = 1 << 20;
    let mut list = vec![108];
    list.extend(u32::try_from(LIST).expect("small").to_be_bytes());
    list.resize(5 + LIST + 1, 106);
    let mut bytes = vec![131, 104, 127];
    (0..127).for_each(|_| bytes.extend_from_slice(&list));
    let bytes = Bytes::from(bytes);
    let region = Region::new(ALLOCATOR);
    assert_eq!(decode(&bytes), Err(DecodeError::Memory));
    let reserved = region.change().bytes_allocated;
    assert!(reserved <= 512 << 20, "{reserved} bytes were reserved");
    // A binary of any size shares its input.
    let binary = Bytes::from(encode(&Term::binary(vec![0; 1 << 20])).expect("a term"));
    let small = Limits {
        max_memory: 1000,
        ..Limits::default()
    };
    assert!(decode_with(&binary, small).is_ok());
}

/// One test: what is counted is the process.
#[test]
fn what_a_message_makes_of_the_memory_is_bounded() {
    a_kibibyte_of_anything_never_reserves_a_mebibyte();
    no_message_takes_more_than_half_a_gibibyte();
}

fn a_kibibyte_of_anything_never_reserves_a_mebibyte() {
    let mut worst = 0;
    let mut decoded = 0;
    let mut hold = |bytes: Vec<u8>| {
        let bytes = Bytes::from(bytes);
        let reserved = reserved(&bytes);
        assert!(
            reserved < MOST,
            "{reserved} bytes were reserved for {} bytes that begin with {:02x?}",
            bytes.len(),
            &bytes[..bytes.len().min(24)]
        );
        worst = worst.max(reserved);
        decoded += 1;
    };
    for mut bomb in bombs() {
        bomb.truncate(INPUT);
        hold(bomb);
    }
    let mut rng = StdRng::seed_from_u64(seed::seed(3));
    for vector in golden() {
        for _ in 0..200 {
            let mut bytes = vector.clone();
            // Whatever follows, lengths may reach into it.
            bytes.resize_with(INPUT, || rng.random());
            for _ in 0..rng.random_range(0..6) {
                let at = rng.random_range(1..INPUT.min(vector.len() + 8));
                bytes[at] = rng.random();
            }
            hold(bytes);
        }
    }
    println!("{decoded} inputs, at most {worst} bytes reserved");
    // It counts: a list of a thousand small terms takes 40 bytes for each.
    assert!(worst > 40_000, "nothing is counted");
}
