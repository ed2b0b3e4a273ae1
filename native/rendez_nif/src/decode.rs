//! Erlang terms as what the engine's crate takes. No atom is made here.

use rendez::NodeName;
use rendez::cluster::ConnectError;
use rendez::config::Value;
use rendez::discovery::Observation;
use rustler::types::map::MapIterator;
use rustler::types::tuple::get_tuple;
use rustler::{Atom, Binary, Term, TermType};
use std::time::Duration;

use crate::atoms;

/// The most terms that options have, nested ones counted: a node list of a hundred thousand fits.
const MOST_TERMS: usize = 400_000;
/// The deepest that options are nested.
const MOST_DEPTH: usize = 16;
/// The most names that one snapshot has.
const MOST_NAMES: usize = 1_000_000;
/// The longest text that a message for people has, in bytes.
const MOST_TEXT: usize = 2_000;

/// Reads options: maps, keyword lists and proplists become tables.
///
/// # Errors
/// A sentence for people.
pub fn options(term: Term) -> Result<Value, String> {
    if !term.is_map() {
        return Err("the options have to be a map".into());
    }
    let mut left = MOST_TERMS;
    value(term, MOST_DEPTH, &mut left)
}

fn value(term: Term, depth: usize, left: &mut usize) -> Result<Value, String> {
    *left = left.checked_sub(1).ok_or_else(|| {
        format!("the options hold more than {MOST_TERMS} terms; make them smaller")
    })?;
    let deeper = || {
        depth.checked_sub(1).ok_or_else(|| {
            format!("the options are nested more than {MOST_DEPTH} deep; make them flatter")
        })
    };
    Ok(match term.get_type() {
        TermType::Atom => atom(term),
        TermType::Binary => bytes(term),
        TermType::Integer => term
            .decode()
            .map_or(Value::Other("a number too large"), Value::Int),
        TermType::Float => term.decode().map_or(Value::Other("a number"), Value::Float),
        TermType::List => list(term, deeper()?, left)?,
        TermType::Tuple => {
            let deeper = deeper()?;
            let items = get_tuple(term).map_err(|_| "a tuple cannot be read")?;
            Value::Tuple(
                items
                    .into_iter()
                    .map(|item| value(item, deeper, left))
                    .collect::<Result<_, _>>()?,
            )
        }
        TermType::Map => {
            let deeper = deeper()?;
            let pairs = MapIterator::new(term).ok_or("a map cannot be read")?;
            let mut entries = Vec::new();
            for (key, item) in pairs {
                match name(key) {
                    Some(key) => entries.push((key, value(item, deeper, left)?)),
                    None => {
                        return Ok(Value::Other(
                            "a map whose keys are not all atoms or strings",
                        ));
                    }
                }
            }
            // A map has no order of its own; messages should have one.
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Table(entries)
        }
        TermType::Fun => Value::Other("a function"),
        TermType::Pid => Value::Other("a pid"),
        TermType::Port => Value::Other("a port"),
        TermType::Ref => Value::Other("a reference"),
        TermType::Unknown => Value::Other("a term of an unknown kind"),
    })
}

/// A list of names with values is a table; every other proper one is a list.
fn list(term: Term, depth: usize, left: &mut usize) -> Result<Value, String> {
    let mut items = Vec::new();
    let mut rest = term;
    while let Ok((head, tail)) = rest.list_get_cell() {
        items.push(head);
        if items.len() > *left {
            return Err(format!(
                "the options hold more than {MOST_TERMS} terms; make them smaller"
            ));
        }
        rest = tail;
    }
    if !rest.is_empty_list() {
        return Ok(Value::Other("an improper list"));
    }
    if !items.is_empty()
        && let Some(pairs) = items.iter().copied().map(pair).collect::<Option<Vec<_>>>()
    {
        let entries = pairs
            .into_iter()
            .map(|(key, item)| Ok((key, value(item, depth, left)?)));
        return Ok(Value::Table(entries.collect::<Result<_, String>>()?));
    }
    Ok(Value::List(
        items
            .into_iter()
            .map(|item| value(item, depth, left))
            .collect::<Result<_, _>>()?,
    ))
}

fn pair(item: Term<'_>) -> Option<(String, Term<'_>)> {
    match get_tuple(item).ok()?.as_slice() {
        [key, value] if key.is_atom() => Some((name(*key)?, *value)),
        _ => None,
    }
}

fn atom(term: Term) -> Value {
    match term.atom_to_string().as_deref() {
        Ok("true") => Value::Bool(true),
        Ok("false") => Value::Bool(false),
        Ok(word) => Value::Word(word.to_owned()),
        Err(_) => Value::Other("an atom with characters that no option has"),
    }
}

fn bytes(term: Term) -> Value {
    match term.decode::<Binary>() {
        Ok(binary) => match std::str::from_utf8(binary.as_slice()) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Binary(binary.as_slice().to_vec()),
        },
        Err(_) => Value::Other("a bit string"),
    }
}

fn name(key: Term) -> Option<String> {
    match if key.is_atom() { atom(key) } else { bytes(key) } {
        Value::Word(name) | Value::Text(name) => Some(name),
        Value::Bool(name) => Some(name.to_string()),
        _ => None,
    }
}

/// Reads a node's name.
///
/// # Errors
/// A sentence for people.
pub fn node(term: Term) -> Result<NodeName, String> {
    let binary: Binary = term
        .decode()
        .map_err(|_| "a node name has to be a binary")?;
    NodeName::from_bytes(binary.as_slice()).map_err(|why| {
        format!(
            "{:?} is no node name: {why}",
            excerpt(binary.as_slice(), 80)
        )
    })
}

/// Reads what a provider learnt.
///
/// # Errors
/// A sentence for people. One bad name spoils a snapshot: without it the answer would not be complete.
pub fn observation(term: Term) -> Result<Observation, String> {
    let parts = get_tuple(term).map_err(|_| NO_OBSERVATION)?;
    let (kind, arguments) = parts.split_first().ok_or(NO_OBSERVATION)?;
    let kind: Atom = kind.decode().map_err(|_| NO_OBSERVATION)?;
    match arguments {
        [names] if kind == atoms::snapshot() => {
            let mut nodes = Vec::new();
            let mut rest = *names;
            while let Ok((head, tail)) = rest.list_get_cell() {
                if nodes.len() >= MOST_NAMES {
                    return Err(format!("a snapshot has at most {MOST_NAMES} names"));
                }
                nodes.push(node(head)?);
                rest = tail;
            }
            if !rest.is_empty_list() {
                return Err("a snapshot is a list of node names".into());
            }
            Ok(Observation::Snapshot(nodes))
        }
        [message] if kind == atoms::failed() => Ok(Observation::Failed(text(*message)?)),
        [name, ttl] if kind == atoms::seen() => {
            let ttl: u64 = ttl.decode().map_err(
                |_| "the time that a node is seen for is a whole number of milliseconds",
            )?;
            // Longer than a year is a unit mistaken.
            let ttl = ttl.min(365 * 24 * 3_600_000);
            Ok(Observation::Seen(node(*name)?, Duration::from_millis(ttl)))
        }
        [name] if kind == atoms::gone() => Ok(Observation::Gone(node(*name)?)),
        _ => Err(NO_OBSERVATION.into()),
    }
}

const NO_OBSERVATION: &str =
    "an observation is {snapshot, Names}, {failed, Text}, {seen, Name, TtlMs} or {gone, Name}";

/// What became of a connection.
pub enum Report {
    /// It exists, whoever made it.
    Up(NodeName),
    /// It exists, and the node is hidden.
    UpHidden(NodeName),
    /// It ended, and why as far as that is known.
    Down(NodeName, Option<String>),
    /// An attempt came to its end.
    Attempt(NodeName, Result<(), ConnectError>),
}

/// Reads what became of a connection.
///
/// # Errors
/// A sentence for people.
pub fn report(term: Term) -> Result<Report, String> {
    const NONE: &str = "a report is {up, Name}, {up_hidden, Name}, {down, Name}, {down, Name, Reason}, {connected, Name} or {failed, Name, Reason, Message}";
    let parts = get_tuple(term).map_err(|_| NONE)?;
    let (kind, arguments) = parts.split_first().ok_or(NONE)?;
    let kind: Atom = kind.decode().map_err(|_| NONE)?;
    match arguments {
        [name] if kind == atoms::up() => Ok(Report::Up(node(*name)?)),
        [name] if kind == atoms::up_hidden() => Ok(Report::UpHidden(node(*name)?)),
        [name] if kind == atoms::down() => Ok(Report::Down(node(*name)?, None)),
        [name, reason] if kind == atoms::down() => {
            Ok(Report::Down(node(*name)?, Some(text(*reason)?)))
        }
        [name] if kind == atoms::connected() => Ok(Report::Attempt(node(*name)?, Ok(()))),
        [name, reason, message] if kind == atoms::failed() => {
            let error = ConnectError {
                reason: reason.atom_to_string().map_err(|_| NONE)?,
                message: text(*message)?,
            };
            Ok(Report::Attempt(node(*name)?, Err(error)))
        }
        _ => Err(NONE.into()),
    }
}

/// A text for people: cut where it is long, and made readable where it is not UTF-8.
fn text(term: Term) -> Result<String, String> {
    let binary: Binary = term.decode().map_err(|_| "a message has to be a binary")?;
    Ok(excerpt(binary.as_slice(), MOST_TEXT))
}

fn excerpt(bytes: &[u8], most: usize) -> String {
    let cut = &bytes[..bytes.len().min(most)];
    let mut text = String::from_utf8_lossy(cut).into_owned();
    if cut.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

/// An atom or a binary as text.
pub fn word(term: Term) -> Option<String> {
    name(term)
}
