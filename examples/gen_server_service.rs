//! A service in Rust that processes of a BEAM cluster call as they call each other: an index of texts.
//!
//!     cargo run --example gen_server_service -- search@127.0.0.1 COOKIE
//!
//! and in an `iex --name app@127.0.0.1 --cookie COOKIE`:
//!
//!     search = {:search, :"search@127.0.0.1"}
//!     GenServer.cast(search, {:add, 1, "the quick brown fox"})
//!     GenServer.call(search, {:find, "fox"})
//!     # => {:ok, [1]}

use std::collections::{BTreeSet, HashMap};

use rendez::epmd::port_from_env;
use rendez::etf::{Atom, Term, from_term};
use rendez::node::{Answer, Caller, ExitReason, GenServer, Next, Process, SpawnOptions};
use rendez::{Node, term};
use serde::Deserialize;

/// `{:add, id, text}`
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cast {
    Add(i64, String),
}

/// `{:find, words}`
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    Find(String),
}

/// For each word, the texts that it is in.
#[derive(Default)]
struct Index(HashMap<String, BTreeSet<i64>>);

impl Index {
    fn add(&mut self, id: i64, text: &str) {
        for word in text.split_whitespace() {
            self.0.entry(word.to_lowercase()).or_default().insert(id);
        }
    }

    /// The texts that have all of the words.
    fn find(&self, words: &str) -> Vec<i64> {
        let none = BTreeSet::new();
        let words = words.split_whitespace().map(str::to_lowercase);
        let mut sets = words.map(|word| self.0.get(&word).unwrap_or(&none));
        let first = sets.next().cloned().unwrap_or_default();
        let found = sets.fold(first, |found, set| &found & set);
        found.into_iter().collect()
    }
}

impl GenServer for Index {
    /// What is not understood ends the service, as a clause that does not match would.
    async fn handle_cast(&mut self, request: Term, _: &mut Process) -> Next {
        match from_term(&request) {
            Ok(Cast::Add(id, text)) => {
                self.add(id, &text);
                Next::Continue
            }
            Err(_) => Next::Stop(ExitReason(term!({bad_cast, (request)}))),
        }
    }

    /// What is not understood is told to the caller.
    async fn handle_call(&mut self, request: Term, _: Caller, _: &mut Process) -> Answer {
        Answer::Reply(match from_term(&request) {
            Ok(Call::Find(words)) => term!({ok, (self.find(&words))}),
            Err(why) => term!({error, (why.to_string())}),
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(cookie)) = (arguments.next(), arguments.next()) else {
        return Err("usage: gen_server_service NAME@HOST COOKIE".into());
    };
    let node = Node::builder(name.as_str())
        .cookie(cookie)
        .epmd_port(port_from_env()?)
        .start()
        .await?;
    let options = SpawnOptions::new().name(Atom::new("search"));
    node.serve(options, Index::default()).await?;
    println!("{} serves `search`", node.name());
    tokio::signal::ctrl_c().await?;
    node.stop().await;
    Ok(())
}
