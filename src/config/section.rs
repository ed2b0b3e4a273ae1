//! The options of one provider, or of the cluster, as they were given; read one by one, by name.
//!
//! Reading collects problems instead of stopping at the first.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::duration::{LONGEST, duration};
use super::error::{Problem, nearest};
use super::options::CLUSTER;
use super::place::Place;
use super::schema::{Default, Opt, Takes};
use super::value::Value;
use crate::cluster::{OnRemoved, Pattern};
use crate::discovery::multicast::{InterfaceChoice, InvalidInterface};
use crate::discovery::subnet::range::Cidr;
use crate::name::NodeName;
use crate::secret::{Secret, SecretUrl};

/// An option as it was given.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The option's name: `dns_name`.
    pub name: String,
    /// How the user wrote it, for messages: `via.dns.dns_name`, `RENDEZ_DNS_NAME`, `--dns-name`.
    pub at: String,
    /// Its value.
    pub value: Value,
}

/// What is said of a value that is an empty text, mostly because the environment variable behind it is empty.
pub(super) fn empty_text(place: &Place) -> String {
    let off = off_switch(place);
    format!("an empty text; if a variable is empty where it should have a value, set it{off}")
}

/// How the one who gave nothing can say that he means it.
pub(super) fn off_switch(place: &Place) -> &'static str {
    // A command that was asked to look must look: only a configuration can turn the cluster off.
    match place {
        Place::Tree(_) => "; to start without a cluster, give nil or :ignore",
        _ => "",
    }
}

/// Whether the value is an empty text where a text is needed. In Erlang an empty text is the empty list; a list of nodes may be empty.
fn is_blank(value: &Value, takes: Takes) -> bool {
    match value {
        Value::Text(text) => text.trim().is_empty(),
        Value::List(items) => items.is_empty() && takes != Takes::Nodes,
        _ => false,
    }
}

/// A name to look up, and the name part of the nodes behind it if it is not the general one.
pub(crate) type DnsPair = (Option<String>, String);

/// Options of one table of [`Opt`]s, being read.
pub(crate) struct Section {
    entries: Vec<Entry>,
    options: &'static [Opt],
    /// Where an option that is not there would stand.
    place: Place,
    problems: Vec<Problem>,
    /// The options that were given as nothing, as the user wrote them, and what was given.
    absent: Vec<Entry>,
    /// An option that is needed was given as nothing, so that there is nothing to be done: in the user's words.
    off: Option<String>,
}

impl Section {
    /// Takes the entries; unknown names and names given twice become problems.
    ///
    /// `whose` says who takes the options, for the message about an unknown one; `elsewhere` may know
    /// where an unknown one belongs.
    pub fn new(
        whose: &str,
        place: &Place,
        options: &'static [Opt],
        given: Vec<Entry>,
        elsewhere: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut section = Self {
            entries: Vec::with_capacity(given.len()),
            options,
            place: place.clone(),
            problems: Vec::new(),
            absent: Vec::new(),
            off: None,
        };
        for entry in given {
            if !options.iter().any(|option| option.name == entry.name) {
                let problem = match elsewhere(&entry.name) {
                    Some(owners) => Problem::Misplaced {
                        at: entry.at,
                        whose: whose.to_owned(),
                        owners,
                    },
                    None => Problem::Unknown {
                        at: entry.at,
                        remedy: spelling(&entry.name, whose, place, options),
                    },
                };
                section.problems.push(problem);
            } else if section.entries.iter().any(|other| other.name == entry.name) {
                section.problems.push(Problem::Twice { at: entry.at });
            } else if entry.value.is_absent() || is_ignore(&entry.value) {
                section.absent.push(entry);
            } else {
                section.entries.push(entry);
            }
        }
        section
    }

    /// Ends the reading.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Why there is nothing to be done: an option that is needed was given as `nil` or `:ignore`.
    pub fn off(&self) -> Option<String> {
        self.off.clone()
    }

    /// Whether the option was given.
    pub fn is_given(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }

    /// Reports something that only several options together show.
    pub fn problem(&mut self, name: &str, message: String) {
        let at = self
            .entries
            .iter()
            .find(|entry| entry.name == name)
            .map_or_else(|| self.place.of(name), |entry| entry.at.clone());
        self.problems.push(Problem::Other { at, message });
    }

    /// Reads one option. `None` if it is not given, or given wrongly, which becomes a problem.
    ///
    /// The reader says what is wrong with the value where that is more than that it is of the wrong kind.
    fn read<T>(
        &mut self,
        name: &str,
        fits: impl Fn(Takes) -> bool,
        reader: impl Fn(&Value, Takes) -> Result<T, Option<String>>,
    ) -> Option<T> {
        let Some(option) = self.options.iter().find(|option| option.name == name) else {
            debug_assert!(false, "{name} is read but is not in the table of options");
            return None;
        };
        debug_assert!(
            fits(option.takes),
            "{name} is read as something else than the table of options says"
        );
        let Some(entry) = self.entries.iter().find(|entry| entry.name == name) else {
            if option.default == Default::Required {
                if let Some(entry) = self.absent.iter().find(|entry| entry.name == name) {
                    self.off
                        .get_or_insert(format!("{} is {}", entry.at, entry.value.shown()));
                    return None;
                }
                self.problems.push(Problem::Missing {
                    at: self.place.of(name),
                    takes: option.takes.words().into_owned(),
                    example: option.example.to_owned(),
                });
            }
            return None;
        };
        let is_needed = option.default == Default::Required;
        let read = if is_needed && is_blank(&entry.value, option.takes) {
            Err(Some(empty_text(&self.place)))
        } else {
            reader(&entry.value, option.takes)
        };
        read.map_err(|why| {
            let got = match why {
                None if option.takes.is_secret() => entry.value.kind().to_owned(),
                None => entry.value.shown(),
                Some(why) => why,
            };
            self.problems.push(Problem::Refused {
                at: entry.at.clone(),
                takes: option.takes.words().into_owned(),
                got,
            });
        })
        .ok()
    }

    pub fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(
            name,
            |takes| takes == Takes::Flag,
            |value, _| flag(value).ok_or(None),
        )
    }

    pub fn count<N: TryFrom<u64>>(&mut self, name: &str) -> Option<N> {
        self.read(
            name,
            |takes| matches!(takes, Takes::Count { .. }),
            |value, takes| match takes {
                Takes::Count { min, max } => count(value)
                    .filter(|number| (min..=max).contains(number))
                    .and_then(|number| N::try_from(number).ok())
                    .ok_or(None),
                _ => Err(None),
            },
        )
    }

    /// `Some(None)` is infinity.
    #[allow(clippy::option_option)]
    pub fn count_or_infinity<N: TryFrom<u64>>(&mut self, name: &str) -> Option<Option<N>> {
        self.read(
            name,
            |takes| matches!(takes, Takes::CountOrInfinity { .. }),
            |value, takes| match takes {
                _ if is_infinity(value) => Ok(None),
                Takes::CountOrInfinity { min } => count(value)
                    .filter(|&number| number >= min)
                    .and_then(|number| N::try_from(number).ok())
                    .map(Some)
                    .ok_or(None),
                _ => Err(None),
            },
        )
    }

    pub fn span(&mut self, name: &str) -> Option<Duration> {
        self.read(
            name,
            |takes| matches!(takes, Takes::Span | Takes::SpanOrZero),
            |value, takes| {
                duration(value)
                    .filter(|span| takes == Takes::SpanOrZero || !span.is_zero())
                    .ok_or(None)
            },
        )
    }

    pub fn removal(&mut self, name: &str) -> Option<OnRemoved> {
        self.read(
            name,
            |takes| takes == Takes::Removal,
            |value, _| removal(value),
        )
    }

    pub fn text(&mut self, name: &str) -> Option<String> {
        self.read(
            name,
            |takes| takes == Takes::Text,
            |value, _| value.text().filter(|text| !text.is_empty()).ok_or(None),
        )
    }

    pub fn url(&mut self, name: &str) -> Option<SecretUrl> {
        self.read(
            name,
            |takes| takes == Takes::Url,
            |value, _| {
                let text = value.text().filter(|text| !text.is_empty());
                text.map(SecretUrl::from).ok_or(None)
            },
        )
    }

    pub fn path(&mut self, name: &str) -> Option<PathBuf> {
        self.read(
            name,
            |takes| takes == Takes::Path,
            |value, _| {
                let text = value.text().filter(|text| !text.is_empty());
                text.map(PathBuf::from).ok_or(None)
            },
        )
    }

    pub fn command(&mut self, name: &str) -> Option<Vec<String>> {
        self.read(
            name,
            |takes| takes == Takes::Command,
            |value, _| {
                let words = match value.text() {
                    // Without what a shell would do to `$`, `*` or `|`: there is no shell.
                    Some(text) => shlex::split(&text)
                        .ok_or_else(|| Some("text in which a quote does not close".to_owned()))?,
                    None => match value {
                        Value::List(items) => items
                            .iter()
                            .map(Value::text)
                            .collect::<Option<_>>()
                            .ok_or(None)?,
                        _ => return Err(None),
                    },
                };
                match words.first() {
                    Some(program) if !program.is_empty() => Ok(words),
                    _ => Err(Some("no program".to_owned())),
                }
            },
        )
    }

    pub fn texts(&mut self, name: &str) -> Option<Vec<String>> {
        self.read(
            name,
            |takes| takes == Takes::Texts,
            |value, _| texts(value).ok_or(None),
        )
    }

    /// Each name once, with all its values.
    pub fn pairs(&mut self, name: &str) -> Option<Vec<(String, Vec<String>)>> {
        self.read(
            name,
            |takes| takes == Takes::Pairs,
            |value, _| pairs(value).map(together),
        )
    }

    pub fn choice(&mut self, name: &str) -> Option<&'static str> {
        self.read(
            name,
            |takes| matches!(takes, Takes::Choice(_)),
            |value, takes| match takes {
                Takes::Choice(words) => value
                    .text()
                    .and_then(|text| choose(&text, words))
                    .ok_or(None),
                _ => Err(None),
            },
        )
    }

    pub fn choices(&mut self, name: &str) -> Option<Vec<&'static str>> {
        self.read(
            name,
            |takes| matches!(takes, Takes::Choices(_)),
            |value, takes| match takes {
                Takes::Choices(words) => texts(value)
                    .filter(|texts| !texts.is_empty())
                    .ok_or(None)?
                    .iter()
                    .map(|text| choose(text, words).ok_or_else(|| Some(format!("{text:?}"))))
                    .collect(),
                _ => Err(None),
            },
        )
    }

    pub fn nodes(&mut self, name: &str) -> Option<Vec<NodeName>> {
        self.parsed(name, Takes::Nodes)
    }

    pub fn cidrs(&mut self, name: &str) -> Option<Vec<Cidr>> {
        self.parsed(name, Takes::Cidrs)
    }

    pub fn patterns(&mut self, name: &str) -> Option<Vec<Pattern>> {
        self.parsed(name, Takes::Patterns)
    }

    /// Texts that are read as something whose own error says what is wrong.
    fn parsed<T>(&mut self, name: &str, takes: Takes) -> Option<Vec<T>>
    where
        T: FromStr<Err: Display>,
    {
        let kind = |wanted: Takes| move |found: Takes| found == wanted;
        self.read(name, kind(takes), |value, _| {
            texts(value)
                .ok_or(None)?
                .iter()
                .map(|text| text.parse().map_err(|why| Some(format!("{text:?}: {why}"))))
                .collect()
        })
    }

    pub fn dns_names(&mut self, name: &str) -> Option<Vec<DnsPair>> {
        self.read(
            name,
            |takes| takes == Takes::DnsNames,
            |value, _| dns_names(value),
        )
    }

    pub fn addresses(&mut self, name: &str) -> Option<Vec<IpAddr>> {
        self.read(
            name,
            |takes| takes == Takes::Addresses,
            |value, _| several(value, address).ok_or(None),
        )
    }

    pub fn interfaces(&mut self, name: &str) -> Option<Vec<InterfaceChoice>> {
        self.read(
            name,
            |takes| takes == Takes::Interfaces,
            |value, _| {
                let by_name = |text: &str| {
                    text.parse()
                        .map_err(|why: InvalidInterface| Some(why.to_string()))
                };
                if let Some(addresses) = several(value, address) {
                    return addresses
                        .iter()
                        .map(|ip| by_name(&ip.to_string()))
                        .collect();
                }
                texts(value)
                    .ok_or(None)?
                    .iter()
                    .map(|text| by_name(text))
                    .collect()
            },
        )
    }

    pub fn nameservers(&mut self, name: &str) -> Option<Vec<SocketAddr>> {
        self.read(
            name,
            |takes| takes == Takes::Nameservers,
            |value, _| several(value, nameserver).ok_or(None),
        )
    }

    pub fn endpoints(&mut self, name: &str) -> Option<Vec<SocketAddr>> {
        self.read(
            name,
            |takes| matches!(takes, Takes::Endpoints { .. }),
            |value, takes| match takes {
                Takes::Endpoints { port } => {
                    several(value, |value| endpoint(value, port)).ok_or(None)
                }
                _ => Err(None),
            },
        )
    }

    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        self.read(
            name,
            |takes| takes == Takes::Secret,
            |value, _| match value {
                Value::Binary(bytes) => Ok(Secret::new(bytes)),
                other => other
                    .text()
                    .filter(|text| !text.is_empty())
                    .map(Secret::new)
                    .ok_or_else(|| match other {
                        Value::Text(_) => Some("empty text".to_owned()),
                        _ => None,
                    }),
            },
        )
    }
}

/// Whether the value is the atom `ignore`, as in `dns_name: System.get_env("PEERS") || :ignore`.
fn is_ignore(value: &Value) -> bool {
    matches!(value, Value::Word(word) if word == super::layer::IGNORE)
}

/// Names with values: a table, `{name, value}` pairs, or text: `name=value,name=value,name`.
fn pairs(value: &Value) -> Result<Vec<(String, Vec<String>)>, Option<String>> {
    let refuse_unnamed =
        |pairs: Vec<(String, Vec<String>)>| match pairs.iter().any(|(name, _)| name.is_empty()) {
            true => Err(Some("a value without a name".to_owned())),
            false => Ok(pairs),
        };
    let found = match value {
        Value::Table(entries) => entries
            .iter()
            .map(|(name, value)| Some((name.clone(), pair_values(value)?)))
            .collect::<Option<Vec<_>>>()
            .ok_or(None)?,
        Value::Tuple(items) => match items.as_slice() {
            [name, value] => vec![(name.text().ok_or(None)?, pair_values(value).ok_or(None)?)],
            _ => return Err(None),
        },
        Value::List(items) if value.text().is_none() => {
            let mut found = Vec::new();
            for item in items.iter().filter(|item| !item.is_absent()) {
                found.extend(pairs(item)?);
            }
            found
        }
        other => split(&other.text().ok_or(None)?)
            .map(|part| match part.split_once('=') {
                Some((name, value)) => (name.trim().to_owned(), vec![value.trim().to_owned()]),
                None => (part.to_owned(), Vec::new()),
            })
            .collect(),
    };
    refuse_unnamed(found)
}

/// The values of one name. Unlike elsewhere a comma in one of them is a part of it, since a list can be given.
fn pair_values(value: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(number) => Some(number.to_string()),
        other => other.text(),
    };
    match value {
        Value::List(items) if value.text().is_none() => items.iter().map(one).collect(),
        other => one(other).map(|text| vec![text]),
    }
}

/// Puts the values of names that are there several times together, in the order of the names.
fn together(pairs: Vec<(String, Vec<String>)>) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (name, values) in pairs {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => known.extend(values),
            None => all.push((name, values)),
        }
    }
    all
}

/// What an option that does not exist may be meant to be.
fn spelling(name: &str, whose: &str, place: &Place, options: &[Opt]) -> String {
    if let Some(ours) = former(name, options) {
        return ours;
    }
    let beside = if place.is_top() { CLUSTER } else { &[] };
    let names = || options.iter().map(|option| option.name);
    if let Some(meant) = nearest(name, names().chain(beside.iter().map(|option| option.name))) {
        return format!("did you mean {meant}?");
    }
    match options {
        [] => format!("{whose} takes none of its own"),
        _ => format!("{whose} takes {}", names().collect::<Vec<_>>().join(", ")),
    }
}

/// The names that Peerage, libcluster and dns_cluster have for options of ours.
fn former(name: &str, options: &[Opt]) -> Option<String> {
    const NAMES: &[(&str, &str, &str)] = &[
        ("query", "dns_name", ""),
        ("node_basename", "app_name", ""),
        ("app_prefix", "app_name", ""),
        ("ec2_tagname", "tags", ", as tags: [name: \"value\"]"),
        ("ec2_tagvalue", "tags", ", as tags: [name: \"value\"]"),
        ("ip_type", "host_type", ""),
        // Theirs is in milliseconds; copied as it is, it would be a wait of hours.
        ("polling_interval", "interval", ", in seconds"),
        ("ip", "interface", ""),
        ("if_addr", "interface", ""),
        ("multicast_if", "interface", ""),
        ("multicast_ttl", "ttl", ""),
    ];
    NAMES
        .iter()
        .filter(|(theirs, _, _)| *theirs == name)
        .find(|(_, ours, _)| options.iter().any(|option| option.name == *ours))
        .map(|(_, ours, unit)| format!("what it says is said by {ours} here{unit}"))
}

fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        // The environment knows only text.
        other => match other.text()?.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        },
    }
}

fn count(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Text(text) => text.trim().replace('_', "").parse().ok(),
        _ => None,
    }
}

fn is_infinity(value: &Value) -> bool {
    value.text().as_deref() == Some("infinity")
}

/// `keep`, `{disconnect, 30000}` with the grace in milliseconds, or as text `disconnect:30s`.
fn removal(value: &Value) -> Result<OnRemoved, Option<String>> {
    let (word, grace) = match value {
        Value::Tuple(items) | Value::List(items) if items.len() == 2 => {
            (items[0].text(), Some(items[1].clone()))
        }
        Value::Table(entries) if entries.len() == 1 => {
            (Some(entries[0].0.clone()), Some(entries[0].1.clone()))
        }
        other => {
            let text = other.text().ok_or(None)?;
            match text.split_once(':') {
                Some((word, grace)) => (Some(word.trim().to_owned()), Some(grace.trim().into())),
                None => (Some(text), None),
            }
        }
    };
    let lacks = |what: &str| {
        let shown = value.shown();
        Some(format!(
            "{shown}, which {what}; write {{disconnect, 30000}}, or as text disconnect:30s"
        ))
    };
    match (word.as_deref(), grace) {
        (Some("keep"), None) => Ok(OnRemoved::Keep),
        (Some("disconnect"), None) => Err(lacks("does not say after how long")),
        (Some("disconnect"), Some(grace)) => {
            let span = match &grace {
                Value::Int(millis) => u64::try_from(*millis).ok().map(Duration::from_millis),
                // A bare number would be seconds elsewhere and milliseconds here.
                Value::Text(text) if text.parse::<f64>().is_ok_and(|number| number != 0.0) => {
                    return Err(lacks("gives the grace no unit"));
                }
                Value::Text(_) => duration(&grace),
                _ => None,
            };
            let span = span.filter(|span| *span <= LONGEST);
            span.map(|grace| OnRemoved::Disconnect { grace })
                .ok_or(None)
        }
        _ => Err(None),
    }
}

fn choose(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words
        .iter()
        .copied()
        .find(|word| word.eq_ignore_ascii_case(text))
}

/// One text, whose parts commas separate, or a list of texts. No list option takes text with a comma in it.
fn texts(value: &Value) -> Option<Vec<String>> {
    if let Some(text) = value.text() {
        return Some(split(&text).map(str::to_owned).collect());
    }
    match value {
        Value::List(items) => items
            .iter()
            .filter(|item| !item.is_absent())
            .map(|item| item.text().filter(|text| !text.is_empty()))
            .collect(),
        _ => None,
    }
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// One value or a list of them; in text, commas separate them.
fn several<T>(value: &Value, one: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    match value {
        Value::List(items) if value.text().is_none() => items.iter().map(one).collect(),
        other => match other.text() {
            Some(text) => split(&text).map(|part| one(&part.into())).collect(),
            None => one(other).map(|it| vec![it]),
        },
    }
}

/// An address as text or as the tuple that Erlang's `inet` uses, with four or eight numbers.
fn address(value: &Value) -> Option<IpAddr> {
    match value {
        Value::Tuple(items) => match items.len() {
            4 => numbers::<u8, 4>(items).map(|octets| Ipv4Addr::from(octets).into()),
            8 => numbers::<u16, 8>(items).map(|groups| Ipv6Addr::from(groups).into()),
            _ => None,
        },
        other => {
            let text = other.text()?;
            let text = text.trim();
            let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
            match bare {
                Some(bare) => bare.parse().ok().map(IpAddr::V6),
                None => text.parse().ok(),
            }
        }
    }
}

fn numbers<N: TryFrom<i64>, const LEN: usize>(items: &[Value]) -> Option<[N; LEN]> {
    let numbers: Option<Vec<N>> = items
        .iter()
        .map(|item| match item {
            Value::Int(number) => N::try_from(*number).ok(),
            _ => None,
        })
        .collect();
    numbers?.try_into().ok()
}

fn nameserver(value: &Value) -> Option<SocketAddr> {
    const DNS_PORT: u16 = 53;
    endpoint(value, DNS_PORT)
}

/// `10.0.0.2`, `10.0.0.2:5353`, `fd00::2`, `[fd00::2]`, `[fd00::2]:5353`, an address tuple, or `{Address, Port}`.
fn endpoint(value: &Value, default: u16) -> Option<SocketAddr> {
    if let Value::Tuple(items) = value
        && let [ip, Value::Int(port)] = items.as_slice()
    {
        let port = u16::try_from(*port).ok().filter(|&port| port > 0)?;
        return Some(SocketAddr::new(address(ip)?, port));
    }
    if let Some(ip) = address(value) {
        return Some(SocketAddr::new(ip, default));
    }
    value
        .text()?
        .trim()
        .parse()
        .ok()
        .filter(|server: &SocketAddr| server.port() > 0)
}

/// Names to look up. A name of its own for the nodes behind it stands in a pair, `{app_name, dns_name}`,
/// in a table, `app_name: dns_name`, or in text before an `@`: `app_name@dns_name`.
fn dns_names(value: &Value) -> Result<Vec<DnsPair>, Option<String>> {
    let pairs = match value {
        // TOML has no tuples; there a table says the same.
        Value::Tuple(items) => match items.as_slice() {
            [app, name] => vec![(Some(app.text().ok_or(None)?), name.text().ok_or(None)?)],
            _ => return Err(None),
        },
        Value::Table(entries) => {
            let mut pairs = Vec::new();
            for (app, names) in entries {
                for name in texts(names).ok_or(None)? {
                    pairs.push((Some(app.clone()), name));
                }
            }
            pairs
        }
        Value::List(items) if value.text().is_none() => {
            let mut pairs = Vec::new();
            for item in items.iter().filter(|item| !item.is_absent()) {
                pairs.extend(dns_names(item)?);
            }
            pairs
        }
        other => split(&other.text().ok_or(None)?)
            .map(|part| match part.split_once('@') {
                Some((app, name)) => (Some(app.to_owned()), name.to_owned()),
                None => (None, part.to_owned()),
            })
            .collect(),
    };
    if pairs.is_empty() {
        return Err(None);
    }
    match pairs
        .iter()
        .find(|(app, name)| name.is_empty() || app.as_deref() == Some(""))
    {
        Some(_) => Err(Some("an empty name".to_owned())),
        None => Ok(pairs),
    }
}
