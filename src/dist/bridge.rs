//! Between the crate's terms and `eetf`'s, for as long as the node speaks the latter.

use eetf::{
    BigInteger, Binary, BitBinary, ByteList, ExternalFun, FixInteger, Float, ImproperList,
    InternalFun, List, Map, Pid, Port, Reference, Tuple,
};
use num_bigint::BigInt;

use crate::etf::{self, Atom, Term};

/// A term of `eetf` as one of ours.
#[must_use]
pub fn ours(term: &eetf::Term) -> Term {
    let all = |terms: &[eetf::Term]| terms.iter().map(ours).collect::<Vec<_>>();
    match term {
        eetf::Term::Atom(name) => Term::Atom(atom(name)),
        eetf::Term::FixInteger(number) => Term::Int(number.value.into()),
        eetf::Term::BigInteger(number) => Term::integer(number.value.clone()),
        eetf::Term::Float(number) => Term::Float(number.value),
        eetf::Term::Pid(of) => Term::Pid(Box::new(pid(of))),
        eetf::Term::Port(of) => Term::Port(Box::new(etf::Port {
            node: atom(&of.node),
            id: of.id,
            creation: of.creation,
        })),
        eetf::Term::Reference(of) => Term::Reference(Box::new(etf::Reference {
            node: atom(&of.node),
            creation: of.creation,
            id: of.id.clone(),
        })),
        eetf::Term::ExternalFun(fun) => Term::Export(Box::new(etf::Export {
            module: atom(&fun.module),
            function: atom(&fun.function),
            arity: fun.arity,
        })),
        eetf::Term::InternalFun(fun) => match &**fun {
            InternalFun::New {
                module,
                arity,
                uniq,
                index,
                pid: owner,
                free_vars,
                old_index,
                old_uniq,
            } => Term::Fun(Box::new(etf::Fun {
                arity: *arity,
                uniq: *uniq,
                index: *index,
                module: atom(module),
                old_index: (*old_index).into(),
                old_uniq: (*old_uniq).into(),
                pid: pid(owner),
                free: all(free_vars),
            })),
            // No node since OTP R15 writes one, and ours has no place for it.
            InternalFun::Old { .. } => Term::atom("fun"),
        },
        eetf::Term::Binary(binary) => Term::binary(binary.bytes.clone()),
        eetf::Term::BitBinary(bits) => {
            let (mut bytes, last_bits) = (bits.bytes.clone(), bits.tail_bits_size);
            match (bytes.last_mut(), last_bits) {
                (Some(last), 1..=7) => *last <<= 8 - last_bits,
                _ => return Term::binary(bytes),
            }
            let bytes = bytes.into();
            Term::BitString(Box::new(etf::BitString { bytes, last_bits }))
        }
        eetf::Term::ByteList(list) => Term::List(
            list.bytes
                .iter()
                .map(|&byte| Term::Int(byte.into()))
                .collect(),
        ),
        eetf::Term::List(list) => Term::List(all(&list.elements)),
        eetf::Term::ImproperList(list) => Term::ImproperList(Box::new(etf::ImproperList {
            elements: all(&list.elements),
            tail: ours(&list.last),
        })),
        eetf::Term::Tuple(tuple) => Term::Tuple(all(&tuple.elements)),
        eetf::Term::Map(map) => Term::Map(etf::Map(
            map.map
                .iter()
                .map(|(key, value)| (ours(key), ours(value)))
                .collect(),
        )),
    }
}

fn atom(name: &eetf::Atom) -> Atom {
    let shortened = || name.name.chars().take(255).collect::<String>();
    Atom::try_from(name.name.as_str())
        .or_else(|_| Atom::try_from(shortened().as_str()))
        .unwrap_or(Atom::new("undefined"))
}

fn pid(pid: &Pid) -> etf::Pid {
    etf::Pid {
        node: atom(&pid.node),
        id: pid.id,
        serial: pid.serial,
        creation: pid.creation,
    }
}

/// A term of ours as one of `eetf`.
#[must_use]
pub fn theirs(term: &Term) -> eetf::Term {
    let all = |terms: &[Term]| terms.iter().map(theirs).collect::<Vec<_>>();
    let name = |atom: &Atom| eetf::Atom::from(atom.as_str());
    let their_pid = |pid: &etf::Pid| Pid {
        node: name(&pid.node),
        id: pid.id,
        serial: pid.serial,
        creation: pid.creation,
    };
    match term {
        Term::Atom(atom) => name(atom).into(),
        Term::Int(number) => match i32::try_from(*number) {
            Ok(value) => FixInteger { value }.into(),
            Err(_) => BigInteger {
                value: BigInt::from(*number),
            }
            .into(),
        },
        Term::BigInt(number) => BigInteger {
            value: BigInt::clone(number),
        }
        .into(),
        Term::Float(value) => eetf::Term::Float(Float { value: *value }),
        Term::Binary(bytes) => Binary::from(bytes.to_vec()).into(),
        Term::BitString(bits) => {
            let mut bytes = bits.bytes.to_vec();
            if let Some(last) = bytes.last_mut() {
                *last >>= 8 - bits.last_bits;
            }
            BitBinary::from((bytes, bits.last_bits)).into()
        }
        Term::List(elements) => {
            let byte = |term: &Term| u8::try_from(term.as_int()?).ok();
            match elements.iter().map(byte).collect::<Option<Vec<u8>>>() {
                Some(bytes) if !bytes.is_empty() => ByteList::from(bytes).into(),
                _ => List::from(all(elements)).into(),
            }
        }
        Term::ImproperList(list) => {
            ImproperList::from((all(&list.elements), theirs(&list.tail))).into()
        }
        Term::Tuple(elements) => Tuple::from(all(elements)).into(),
        Term::Map(map) => {
            let pairs = map
                .0
                .iter()
                .map(|(key, value)| (theirs(key), theirs(value)));
            Map {
                map: pairs.collect(),
            }
            .into()
        }
        Term::Pid(pid) => their_pid(pid).into(),
        Term::Port(port) => Port {
            node: name(&port.node),
            id: port.id,
            creation: port.creation,
        }
        .into(),
        Term::Reference(reference) => Reference {
            node: name(&reference.node),
            id: reference.id.clone(),
            creation: reference.creation,
        }
        .into(),
        Term::Export(fun) => ExternalFun {
            module: name(&fun.module),
            function: name(&fun.function),
            arity: fun.arity,
        }
        .into(),
        Term::Fun(fun) => InternalFun::New {
            module: name(&fun.module),
            arity: fun.arity,
            uniq: fun.uniq,
            index: fun.index,
            pid: their_pid(&fun.pid),
            free_vars: all(&fun.free),
            old_index: i32::try_from(fun.old_index).unwrap_or_default(),
            old_uniq: i32::try_from(fun.old_uniq).unwrap_or_default(),
        }
        .into(),
    }
}
