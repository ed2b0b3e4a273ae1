//! Where the nodes find each other: a DNS server and a file, both of which a fault can make say less than is true.
//!
//! A node is called `a`, `b` or `c` on its host. The name server has an entry for each of these, and the file has
//! whole names.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use hickory_server::proto::op::ResponseCode;

use crate::settings::KEEP_FOR;
use crate::support::dns_server::{DnsServer, Reply, Transport};

/// What stands before the `@` of nodes: a node that is rolled or renamed takes the next one.
pub const LETTERS: [&str; 3] = ["a", "b", "c"];

/// A fault of all sources of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFault {
    /// The name server does not answer.
    DnsSilent,
    /// It answers with SERVFAIL.
    DnsFails,
    /// It gives half of the addresses, other ones each time.
    DnsPartial,
    /// Every name exists and has no address.
    DnsEmpty,
    /// The file ends in the middle of a name.
    FileTruncated,
    /// The file has its first lines only.
    FileCutShort,
    /// The file is empty.
    FileEmpty,
}

impl SourceFault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DnsSilent,
        Self::DnsFails,
        Self::DnsPartial,
        Self::DnsEmpty,
        Self::FileTruncated,
        Self::FileCutShort,
        Self::FileEmpty,
    ];

    /// How long it may last, in seconds. An answer without any name counts once it has lasted for `keep_for`, or a file
    /// for 2 s: then it says that all nodes are gone, and they are asked to leave.
    pub fn lasts(self) -> std::ops::Range<f64> {
        match self {
            Self::DnsEmpty => 0.5..3.5,
            Self::FileEmpty => 0.3..1.5,
            _ => 2.0..10.0,
        }
    }
}

/// The sources.
pub struct Sources {
    server: DnsServer,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: BTreeSet<String>,
    fault: Option<SourceFault>,
}

impl Sources {
    /// Starts them; nobody is named yet.
    pub fn start(machine: &str, folder: &Path) -> Self {
        let machine: IpAddr = machine.parse().expect("an address");
        let sources = Self {
            server: DnsServer::start_with(machine, Transport::Both),
            path: folder.join("peers"),
            state: Mutex::new(State::default()),
        };
        sources.write(&State::default());
        sources
    }

    /// Names these nodes, and no longer those.
    pub fn change(&self, added: &[String], removed: &[String]) {
        let mut state = self.state.lock().expect("no panic while it is held");
        state.names.extend(added.iter().cloned());
        state.names.retain(|name| !removed.contains(name));
        self.write(&state);
    }

    /// Begins a fault, or ends it.
    pub fn fault(&self, fault: Option<SourceFault>) {
        let mut state = self.state.lock().expect("no panic while it is held");
        state.fault = fault;
        self.write(&state);
    }

    /// The options of the package for one of the sources.
    pub fn environment(&self, dns: bool) -> String {
        let names: Vec<_> = LETTERS
            .iter()
            .map(|letter| format!("{{\"{letter}\",\"{letter}.soak.test.\"}}"))
            .collect();
        if dns {
            format!(
                "[{{dns,[{{dns_name,[{}]}},{{nameservers,[\"{}\"]}},{{interval,1}},{{keep_for,{KEEP_FOR}}}]}}]",
                names.join(","),
                self.server.address(),
            )
        } else {
            format!(
                "[{{file,[{{path,\"{}\"}},{{interval,1}}]}}]",
                self.path.display()
            )
        }
    }

    /// The same as a TOML file.
    pub fn toml(&self, dns: bool) -> String {
        if dns {
            let names: Vec<_> = LETTERS
                .iter()
                .map(|letter| format!("\"{letter}@{letter}.soak.test.\""))
                .collect();
            format!(
                "[via.dns]\ndns_name = [{}]\nnameservers = [\"{}\"]\ninterval = 1\nkeep_for = {KEEP_FOR}\n",
                names.join(", "),
                self.server.address(),
            )
        } else {
            format!(
                "[via.file]\npath = \"{}\"\ninterval = 1\n",
                self.path.display()
            )
        }
    }

    fn write(&self, state: &State) {
        for letter in LETTERS {
            let addresses: Vec<IpAddr> = state
                .names
                .iter()
                .filter_map(|name| name.split_once('@'))
                .filter(|(app, _)| *app == letter)
                .filter_map(|(_, host)| host.parse().ok())
                .collect();
            let reply = match state.fault {
                Some(SourceFault::DnsSilent) => Reply::Silence,
                Some(SourceFault::DnsFails) => Reply::Error(ResponseCode::ServFail),
                Some(SourceFault::DnsPartial) if addresses.len() > 1 => {
                    let half = addresses.len() / 2;
                    Reply::PartOf(addresses, half)
                }
                Some(SourceFault::DnsEmpty) => Reply::NoData,
                _ if addresses.is_empty() => Reply::NoData,
                _ => Reply::Addresses(addresses),
            };
            self.server.set(&format!("{letter}.soak.test"), reply);
        }
        let lines: Vec<_> = state.names.iter().map(|name| format!("{name}\n")).collect();
        let half = lines.len() / 2;
        let text = match state.fault {
            Some(SourceFault::FileTruncated) => {
                let mut text = lines[..half].concat();
                // Up to the host: no line that can be read.
                text.push_str(lines.get(half).map_or("", |line| &line[..2]));
                text
            }
            Some(SourceFault::FileCutShort) => lines[..half].concat(),
            Some(SourceFault::FileEmpty) => String::new(),
            _ => lines.concat(),
        };
        // In place and not by renaming: a reader can meet half of it, as it can with many an editor.
        std::fs::write(&self.path, text).expect("the file of names can be written");
    }
}
