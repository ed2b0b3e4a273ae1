//! What the nodes wrote down: who came and went, when and why.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Something that a member saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, in milliseconds.
    pub at: u64,
    /// The number of the member that saw it.
    pub member: u8,
    pub what: What,
}

/// What a member saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A connection to this node ended, for this reason.
    Down(String, String),
    /// `global` said this of overlapping partitions.
    Log(String),
}

/// The file of one life of a node, read as it grows.
pub struct Trail {
    member: u8,
    path: PathBuf,
    read: u64,
    /// What is read of a line that is not complete yet.
    rest: String,
    /// Who is connected, as far as it was read.
    pub connected: BTreeSet<String>,
    news: Vec<Event>,
}

impl Trail {
    pub fn new(member: u8, path: PathBuf) -> Self {
        Self {
            member,
            path,
            read: 0,
            rest: String::new(),
            connected: BTreeSet::new(),
            news: Vec::new(),
        }
    }

    /// Reads what is new.
    pub fn read(&mut self) {
        let mut file = File::open(&self.path).expect("the file of events");
        file.seek(SeekFrom::Start(self.read)).expect("a file");
        let mut bytes = Vec::new();
        let read = file.read_to_end(&mut bytes).expect("a file");
        self.read += u64::try_from(read).expect("a length");
        let text = format!("{}{}", self.rest, String::from_utf8_lossy(&bytes));
        let (lines, rest) = text.rsplit_once('\n').unwrap_or(("", &text));
        self.rest = rest.to_owned();
        for line in lines.lines() {
            self.line(line);
        }
    }

    fn line(&mut self, line: &str) {
        let mut words = line.splitn(3, ' ');
        let (Some(at), Some(kind)) = (words.next().and_then(|at| at.parse().ok()), words.next())
        else {
            return;
        };
        let rest = words.next().unwrap_or_default();
        let what = match kind {
            "up" => {
                self.connected.insert(rest.to_owned());
                return;
            }
            "down" => {
                let (node, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                self.connected.remove(node);
                What::Down(node.to_owned(), reason.to_owned())
            }
            "log" => What::Log(rest.to_owned()),
            _ => return,
        };
        self.news.push(Event {
            at,
            member: self.member,
            what,
        });
    }

    /// What was read since this was called last.
    pub fn take(&mut self) -> Vec<Event> {
        self.read();
        std::mem::take(&mut self.news)
    }
}
