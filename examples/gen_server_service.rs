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

use rendez::Node;
use rendez::epmd::port_from_env;
use rendez::etf::{Atom, Term};
use rendez::node::{Answer, Caller, ExitReason, GenServer, Next, Process, SpawnOptions};

/// For each word, the texts that it is in.
#[derive(Default)]
struct Index(HashMap<String, BTreeSet<i64>>);

fn words(text: &Term) -> Option<Vec<String>> {
    let text = std::str::from_utf8(text.as_binary()?).ok()?;
    Some(text.split_whitespace().map(str::to_lowercase).collect())
}

impl GenServer for Index {
    /// `{:add, id, text}`. What is not understood ends the service, as a clause that does not match would.
    async fn handle_cast(&mut self, request: Term, _: &mut Process) -> Next {
        match request.as_tuple() {
            Some([add, Term::Int(id), text]) if *add == Term::atom("add") => {
                for word in words(text).unwrap_or_default() {
                    self.0.entry(word).or_default().insert(*id);
                }
                Next::Continue
            }
            _ => Next::Stop(ExitReason(Term::Tuple(vec![
                Term::atom("bad_cast"),
                request,
            ]))),
        }
    }

    /// `{:find, words}`: the texts that have all of the words.
    async fn handle_call(&mut self, request: Term, _: Caller, _: &mut Process) -> Answer {
        let Some([find, text]) = request.as_tuple() else {
            return Answer::Reply(Term::Tuple(vec![Term::atom("error"), request]));
        };
        let (true, Some(words)) = (*find == Term::atom("find"), words(text)) else {
            return Answer::Reply(Term::Tuple(vec![Term::atom("error"), request]));
        };
        let none = BTreeSet::new();
        let mut sets = words.iter().map(|word| self.0.get(word).unwrap_or(&none));
        let first = sets.next().cloned().unwrap_or_default();
        let found = sets.fold(first, |found, set| &found & set);
        let found = Term::List(found.into_iter().map(Term::Int).collect());
        Answer::Reply(Term::Tuple(vec![Term::atom("ok"), found]))
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
