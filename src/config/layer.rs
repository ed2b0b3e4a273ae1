//! The forms in which `via` and its options can be given, and how several sources add up.
//!
//! A source becomes a [`Layer`]: which providers it names, what it says about each of them, what it says
//! about the cluster, and what it says about whichever provider takes it. Layers are put one over the other:
//! the highest that names providers decides which there are; of each option the highest value counts.

use super::error::{Problem, nearest};
use super::options::{CLUSTER, PROVIDERS, group_of};
use super::place::{Place, variable, variable_of};
use super::schema::Group;
use super::section::Entry;
use super::value::Value;

/// What `via` takes in that place, in words.
pub(super) fn via_takes(place: &Place) -> String {
    let words: Vec<_> = PROVIDERS.iter().map(|group| group.name).collect();
    match place {
        // A module can only be given where there is a BEAM to run it.
        Place::Flags => return format!("one of {}; repeat it for several", words.join(", ")),
        Place::Environment(_) => {
            return format!("{}, or several with commas between them", words.join(", "));
        }
        Place::Tree(_) => {}
    }
    format!(
        "{}, a module, a list of these, or [provider: options]",
        words.join(", ")
    )
}

/// A provider that `via` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<S> {
    /// One of ours.
    Known(&'static str),
    /// A module of the user's, which the BEAM runs.
    External(S),
}

/// A provider that a layer names, and the options given to it.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub kind: Kind<String>,
    pub place: Place,
    pub entries: Vec<Entry>,
}

impl Chosen {
    fn group(&self) -> Option<&'static Group> {
        match self.kind {
            Kind::Known(name) => PROVIDERS.iter().find(|group| group.name == name),
            Kind::External(_) => None,
        }
    }

    fn name(&self) -> &str {
        match &self.kind {
            Kind::Known(name) => name,
            Kind::External(module) => module.strip_prefix("Elixir.").unwrap_or(module),
        }
    }
}

/// What one source says.
#[derive(Debug, Clone)]
pub struct Layer {
    chosen: Vec<Chosen>,
    /// `via` says that there is to be no cluster, in the user's words: `via is :ignore`.
    off: Option<String>,
    /// The providers whose options are nothing on purpose, in the user's words: `via.dns is :ignore`.
    left_out: Vec<String>,
    cluster: Vec<Entry>,
    /// Options for whichever of the chosen providers takes them.
    loose: Vec<Entry>,
    /// Whether a loose option that no chosen provider takes is a mistake.
    strict: bool,
    place: Place,
    problems: Vec<Problem>,
}

impl Layer {
    fn new(place: Place, strict: bool) -> Self {
        Self {
            chosen: Vec::new(),
            off: None,
            left_out: Vec::new(),
            cluster: Vec::new(),
            loose: Vec::new(),
            strict,
            place,
            problems: Vec::new(),
        }
    }

    /// Says in which file all this stands, for messages.
    #[must_use]
    pub fn of_file(mut self, file: &str) -> Self {
        let chosen = self.chosen.iter_mut();
        let chosen = chosen.flat_map(|chosen| {
            if let Place::Tree(path) = &mut chosen.place {
                path.insert_str(0, &format!("{file}: "));
            }
            &mut chosen.entries
        });
        for entry in chosen.chain(&mut self.cluster).chain(&mut self.loose) {
            entry.at.insert_str(0, &format!("{file}: "));
        }
        for problem in &mut self.problems {
            problem.in_file(file);
        }
        self
    }

    /// Reads a tree of values: the options of the package, or a TOML file.
    #[must_use]
    pub fn from_value(value: &Value) -> Self {
        let mut layer = Self::new(Place::Tree(String::new()), true);
        let Some(entries) = value.table() else {
            layer.problems.push(Problem::Refused {
                at: "the configuration".into(),
                takes: "options by name, for example [via: :dns, dns_name: \"myapp.internal\"]"
                    .into(),
                got: value.kind().into(),
            });
            return layer;
        };
        let mut given_via = false;
        for (name, value) in entries {
            let entry = Entry {
                name: name.clone(),
                at: name.clone(),
                value: value.clone(),
            };
            if name == "via" {
                if given_via {
                    layer.problems.push(Problem::Twice { at: entry.at });
                } else {
                    given_via = true;
                    layer.read_via(value);
                }
            } else {
                layer.sort(entry);
            }
        }
        layer.settle_loose();
        layer
    }

    /// Reads environment variables. `RENDEZ_VIA` names the providers, commas between them; `RENDEZ_DNS_NAME`
    /// is the option `dns_name` of the provider that takes it; `RENDEZ_DNS__INTERVAL`, with two underscores,
    /// is the option `interval` of `dns`.
    ///
    /// Variables that have nothing to do with options are left alone, among them those that Kubernetes and
    /// Docker set for a service called `rendez`. The second result are names that start with `RENDEZ_` and are
    /// no option: to warn about, not to stop for.
    pub fn from_environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> (Self, Vec<Problem>) {
        let mut layer = Self::new(Place::Environment(None), false);
        let mut unknown = Vec::new();
        let mut variables: Vec<_> = variables
            .into_iter()
            .filter(|(name, value)| name.starts_with("RENDEZ_") && !value.is_empty())
            .collect();
        // The environment has no order of its own; messages should have one.
        variables.sort();
        for (at, text) in variables {
            let name = at["RENDEZ_".len()..].to_lowercase();
            if name == "via" {
                layer.read_via(&text.into());
                for chosen in &mut layer.chosen {
                    chosen.place = Place::Environment(None);
                }
                continue;
            }
            if OTHER_VARIABLES.contains(&name.as_str()) || is_service_link(&name, &text) {
                continue;
            }
            if let Some((provider, option)) = name.split_once("__") {
                match group_of(provider)
                    .and_then(|group| group.option(option).map(|option| (group, option)))
                {
                    Some((group, option)) => layer.loose.push(Entry {
                        name: format!("{}.{}", group.name, option.name),
                        at,
                        value: text.into(),
                    }),
                    None => unknown.push(unknown_variable(at, &name)),
                }
                continue;
            }
            if CLUSTER.iter().any(|option| option.name == name)
                || PROVIDERS.iter().any(|group| group.option(&name).is_some())
            {
                layer.sort(Entry {
                    name,
                    at,
                    value: text.into(),
                });
            } else {
                unknown.push(unknown_variable(at, &name));
            }
        }
        (layer, unknown)
    }

    /// Takes flags of the command line: the providers with the options given to each, and the options that
    /// stand with none.
    #[must_use]
    pub fn from_flags(
        providers: Vec<(String, Vec<(String, Value)>)>,
        others: Vec<(String, Value)>,
    ) -> Self {
        let entry = |(name, value): (String, Value)| Entry {
            at: Place::Flags.of(&name),
            name,
            value,
        };
        let mut layer = Self::new(Place::Flags, true);
        for (word, options) in providers {
            if word == IGNORE {
                layer.turn_off(&Value::Text(word));
                continue;
            }
            let Some(kind) = layer.provider(&Value::Text(word), "--via") else {
                continue;
            };
            layer.chosen.push(Chosen {
                kind,
                place: Place::Flags,
                entries: options.into_iter().map(entry).collect(),
            });
        }
        for option in others {
            layer.sort(entry(option));
        }
        layer
    }

    fn sort(&mut self, entry: Entry) {
        if CLUSTER.iter().any(|option| option.name == entry.name) {
            self.cluster.push(entry);
        } else {
            self.loose.push(entry);
        }
    }

    /// Options beside `via` belong to its provider, if it is one.
    fn settle_loose(&mut self) {
        let loose = std::mem::take(&mut self.loose);
        match self.chosen.as_mut_slice() {
            [] => self.loose = loose,
            [one] => {
                if one.entries.is_empty() && one.place == Place::Tree("via".into()) {
                    one.place = Place::Tree(String::new());
                }
                one.entries.extend(loose);
            }
            several => {
                let providers: Vec<_> = several
                    .iter()
                    .map(|chosen| chosen.name().to_owned())
                    .collect();
                let groups: Vec<_> = several.iter().filter_map(Chosen::group).collect();
                for entry in loose {
                    let owner = groups
                        .iter()
                        .find(|group| group.option(&entry.name).is_some());
                    self.problems.push(match owner {
                        Some(owner) => Problem::Ambiguous {
                            at: entry.at,
                            providers: providers.join(", "),
                            remedy: format!("via: [{}: [{}: ...], ...]", owner.name, entry.name),
                        },
                        None => unknown(entry, &groups),
                    });
                }
            }
        }
    }

    fn read_via(&mut self, via: &Value) {
        let before = self.problems.len();
        self.read_via_form(via);
        let off = self.off.is_some() || !self.left_out.is_empty();
        if self.chosen.is_empty() && self.problems.len() == before && !off {
            let got = match via {
                Value::Text(_) => super::section::empty_text(&self.place),
                // An empty text in Erlang is one too.
                _ => format!("none{}", super::section::off_switch(&self.place)),
            };
            self.refuse_via("via", got);
        }
    }

    /// Takes in that `via`, or one of several, is nothing on purpose.
    fn turn_off(&mut self, said: &Value) {
        let at = match self.place {
            Place::Tree(_) => "via".to_owned(),
            _ => self.place.of("via"),
        };
        self.off.get_or_insert(format!("{at} is {}", said.shown()));
    }

    fn read_via_form(&mut self, via: &Value) {
        if via.is_absent() || via.text().is_some_and(|text| text.trim() == IGNORE) {
            self.turn_off(via);
            return;
        }
        // `via: :dns` has its options beside it; "via" alone as a place says so to `settle_loose`.
        if let Some(text) = via.text() {
            for word in text
                .split(',')
                .map(str::trim)
                .filter(|word| !word.is_empty())
            {
                let value = match via {
                    Value::Word(_) => Value::Word(word.to_owned()),
                    _ => Value::Text(word.to_owned()),
                };
                if let Some(kind) = self.provider(&value, "via") {
                    self.choose(kind, Place::Tree("via".into()), None);
                }
            }
            return;
        }
        match via {
            Value::Table(entries) => {
                for (word, options) in entries {
                    self.read_pair(&Value::Word(word.clone()), options);
                }
            }
            Value::List(items) => {
                for item in items {
                    match item {
                        Value::List(_) if item.text().is_none() => {
                            self.refuse_via("via", item.kind().into())
                        }
                        _ if item.text().is_some_and(|text| text == IGNORE) => self.turn_off(item),
                        // A word in a list cannot have its options beside it.
                        _ if item.text().is_some() => {
                            if let Some(kind) = self.provider(item, "via") {
                                self.choose_in_list(kind, None);
                            }
                        }
                        _ => self.read_via_form(item),
                    }
                }
            }
            Value::Tuple(items) => match items.as_slice() {
                [word, options] => self.read_pair(word, options),
                _ => self.refuse_via("via", via.kind().into()),
            },
            _ => self.refuse_via("via", via.kind().into()),
        }
    }

    fn read_pair(&mut self, word: &Value, options: &Value) {
        // What the Erlang side makes of a module once it has found that there is one.
        if word.text().as_deref() == Some("external") {
            match options.text() {
                _ if is_off(options) => self.turn_off(options),
                Some(module) => self.choose_in_list(Kind::External(module), None),
                None => self.refuse_via("via.external", options.kind().into()),
            }
            return;
        }
        if let Some(kind) = self.provider(word, "via") {
            self.choose_in_list(kind, Some(options));
        }
    }

    fn choose_in_list(&mut self, kind: Kind<String>, options: Option<&Value>) {
        let name = match &kind {
            Kind::Known(name) => (*name).to_owned(),
            Kind::External(module) => module.clone(),
        };
        self.choose(kind, Place::Tree(format!("via.{name}")), options);
    }

    fn choose(&mut self, kind: Kind<String>, place: Place, options: Option<&Value>) {
        if let Some(said) = options.filter(|options| is_off(options)) {
            let at = place.of("");
            let at = at.trim_end_matches('.');
            return self.left_out.push(format!("{at} is {}", said.shown()));
        }
        let mut entries = Vec::new();
        // What a module of the user's is given is its own affair.
        if let (Kind::Known(_), Some(options)) = (&kind, options) {
            match options.table() {
                Some(given) => {
                    entries.extend(given.iter().map(|(name, value)| Entry {
                        name: name.clone(),
                        at: place.of(name),
                        value: value.clone(),
                    }));
                }
                None => self.problems.push(Problem::Refused {
                    at: place.of("").trim_end_matches('.').to_owned(),
                    takes: "options by name, or an empty list".into(),
                    got: options.kind().into(),
                }),
            }
        }
        self.chosen.push(Chosen {
            kind,
            place,
            entries,
        });
    }

    fn provider(&mut self, word: &Value, at: &str) -> Option<Kind<String>> {
        let Some(text) = word.text() else {
            self.refuse_via(at, word.kind().into());
            return None;
        };
        if let Some(group) = group_of(&text) {
            return Some(Kind::Known(group.name));
        }
        if text.starts_with("Elixir.") {
            return Some(Kind::External(text));
        }
        let words = PROVIDERS
            .iter()
            .flat_map(|group| std::iter::once(&group.name).chain(group.aliases))
            .copied();
        let got = match nearest(&text, words) {
            Some(meant) => format!("{}, did you mean {meant}?", word.shown()),
            None if is_word(&text) => word.shown(),
            None => word.kind().into(),
        };
        self.refuse_via(at, got);
        None
    }

    fn refuse_via(&mut self, at: &str, got: String) {
        let at = match self.place {
            Place::Tree(_) => at.to_owned(),
            _ => self.place.of("via"),
        };
        self.problems.push(Problem::Refused {
            at,
            takes: via_takes(&self.place),
            got,
        });
    }
}

/// Whether a text that stands where a provider should may be shown. A URL or a secret in the wrong place may not.
fn is_word(text: &str) -> bool {
    const LONGEST_NAME: usize = 20;
    let is_name = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '-' | '.');
    text.len() <= LONGEST_NAME && text.chars().all(is_name)
}

/// What `via` is where there is to be no cluster; `nil` and `undefined` say the same.
pub(super) const IGNORE: &str = "ignore";

/// Whether the value in place of a provider's options turns the provider off.
fn is_off(options: &Value) -> bool {
    options.is_absent() || options.text().is_some_and(|text| text.trim() == IGNORE)
}

/// Variables that start with `RENDEZ_` and are no options: they have readers of their own.
const OTHER_VARIABLES: [&str; 4] = ["cookie", "config", "log", "log_format"];

/// Kubernetes and Docker give every container such variables for a service called `rendez`:
/// `RENDEZ_SERVICE_HOST`, `RENDEZ_PORT=tcp://10.0.0.1:80`, `RENDEZ_PORT_80_TCP_ADDR`.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_service_link(name: &str, text: &str) -> bool {
    name.starts_with("service_")
        || (name == "port" || name.starts_with("port_"))
            && (name.contains("_tcp") || name.contains("_udp") || text.contains("://"))
}

fn unknown_variable(at: String, name: &str) -> Problem {
    let names: Vec<String> = CLUSTER
        .iter()
        .chain(PROVIDERS.iter().flat_map(|group| group.options))
        .map(|option| option.name.to_owned())
        .chain(PROVIDERS.iter().flat_map(|group| {
            group
                .options
                .iter()
                .map(|option| format!("{}__{}", group.name, option.name))
        }))
        .chain(["via".to_owned()])
        .chain(OTHER_VARIABLES.map(str::to_owned))
        .collect();
    let remedy = match nearest(name, names.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean {}?", variable(meant)),
        None => "it is ignored".to_owned(),
    };
    Problem::Unknown { at, remedy }
}

/// Whose option it is that the chosen provider does not take.
pub(super) fn elsewhere(name: &str) -> Option<String> {
    let owners: Vec<_> = PROVIDERS
        .iter()
        .filter(|group| group.option(name).is_some())
        .map(|group| group.name)
        .collect();
    if !owners.is_empty() {
        return Some(owners.join(" and "));
    }
    CLUSTER
        .iter()
        .any(|option| option.name == name)
        .then(|| "the cluster, beside via".to_owned())
}

/// An option that none of these providers takes.
fn unknown(entry: Entry, groups: &[&'static Group]) -> Problem {
    let at = entry.at;
    match elsewhere(&entry.name) {
        Some(owners) => {
            let names: Vec<_> = groups.iter().map(|group| group.name).collect();
            Problem::Misplaced {
                at,
                whose: names.join(" or "),
                owners,
            }
        }
        None => Problem::Unknown {
            at,
            remedy: spelling(&entry.name, groups),
        },
    }
}

fn spelling(name: &str, groups: &[&'static Group]) -> String {
    let names = groups
        .iter()
        .flat_map(|group| group.options)
        .chain(CLUSTER)
        .map(|option| option.name)
        .chain(["via"]);
    match nearest(name, names) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "docs/options.md lists all".to_owned(),
    }
}

/// Layers put together: the providers, each with its options, and the cluster's.
pub(super) struct Merged {
    pub chosen: Vec<Chosen>,
    /// The providers that the highest layer with an entry for them turns off, or that this layer turns the cluster off.
    pub off: Vec<String>,
    pub cluster: Vec<Entry>,
    pub place: Place,
    pub problems: Vec<Problem>,
}

/// Puts layers together, the highest first.
pub(super) fn merge(layers: Vec<Layer>) -> Merged {
    let mut problems = Vec::new();
    let choosing = layers.iter().position(|layer| {
        !layer.chosen.is_empty() || layer.off.is_some() || !layer.left_out.is_empty()
    });
    let off = choosing.map_or_else(Vec::new, |index| {
        let layer = &layers[index];
        let whole = layer.off.clone().filter(|_| layer.chosen.is_empty());
        layer.left_out.iter().cloned().chain(whole).collect()
    });
    let mut chosen: Vec<Chosen> = choosing.map_or_else(Vec::new, |index| {
        layers[index]
            .chosen
            .iter()
            .map(|chosen| Chosen {
                entries: Vec::new(),
                ..chosen.clone()
            })
            .collect()
    });
    let place = choosing
        .or(layers.len().checked_sub(1).map(|_| 0))
        .map_or(Place::Tree(String::new()), |index| {
            layers[index].place.clone()
        });
    let mut cluster = Vec::new();
    for (index, layer) in layers.into_iter().enumerate() {
        problems.extend(layer.problems);
        overlay(&mut cluster, layer.cluster);

        let mut additions: Vec<Vec<Entry>> = vec![Vec::new(); chosen.len()];
        if Some(index) == choosing {
            for (mine, theirs) in additions.iter_mut().zip(&layer.chosen) {
                mine.extend(theirs.entries.iter().cloned());
            }
        } else {
            for theirs in &layer.chosen {
                for (mine, wanted) in additions.iter_mut().zip(&chosen) {
                    if wanted.kind == theirs.kind {
                        mine.extend(theirs.entries.iter().cloned());
                    }
                }
            }
        }
        for entry in layer.loose {
            spread(
                entry,
                layer.strict,
                &layer.place,
                &chosen,
                &mut additions,
                &mut problems,
            );
        }
        for (mine, added) in chosen.iter_mut().zip(additions) {
            overlay(&mut mine.entries, added);
        }
    }
    Merged {
        chosen,
        off,
        cluster,
        place,
        problems,
    }
}

/// Adds what is not there yet. Two of a name in `lower` both stay, so that reading them says "twice".
fn overlay(higher: &mut Vec<Entry>, lower: Vec<Entry>) {
    let there = higher.len();
    for entry in lower {
        if !higher[..there].iter().any(|other| other.name == entry.name) {
            higher.push(entry);
        }
    }
}

/// Gives a loose option to the one chosen provider that takes it.
fn spread(
    entry: Entry,
    strict: bool,
    place: &Place,
    chosen: &[Chosen],
    additions: &mut [Vec<Entry>],
    problems: &mut Vec<Problem>,
) {
    let (only, name) = match entry.name.split_once('.') {
        Some((provider, name)) => (Some(provider.to_owned()), name.to_owned()),
        None => (None, entry.name.clone()),
    };
    let takers: Vec<usize> = (0..chosen.len())
        .filter(|&index| {
            chosen[index].group().is_some_and(|group| {
                group.option(&name).is_some()
                    && only.as_deref().is_none_or(|only| only == group.name)
            })
        })
        .collect();
    match takers.as_slice() {
        [] if strict && !chosen.is_empty() => {
            let groups: Vec<_> = chosen.iter().filter_map(Chosen::group).collect();
            problems.push(unknown(entry, &groups));
        }
        [] => {}
        // The same provider several times, and an option for it: all of them take it.
        several
            if several.len() == 1
                || several
                    .iter()
                    .all(|&index| chosen[index].kind == chosen[several[0]].kind) =>
        {
            for &index in several {
                additions[index].push(Entry {
                    name: name.clone(),
                    ..entry.clone()
                });
            }
        }
        several => {
            let names: Vec<_> = several.iter().map(|&index| chosen[index].name()).collect();
            let remedy = match place {
                Place::Flags => format!("--via {} {} ...", names[0], Place::Flags.of(&name)),
                Place::Environment(_) => variable_of(names[0], &name),
                Place::Tree(_) => format!("via: [{}: [{name}: ...], ...]", names[0]),
            };
            problems.push(Problem::Ambiguous {
                at: entry.at,
                providers: names.join(", "),
                remedy,
            });
        }
    }
}
