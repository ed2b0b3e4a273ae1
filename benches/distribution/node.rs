//! The works, done by a process of a whole node: what a program that uses this crate has.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rendez::etf::{Atom, Term};
use rendez::node::{Process, Received, Registration};
use rendez::{Node, NodeName};

use crate::support::Epmd;
use crate::{COOKIE, MIB, Work, ours, report};

struct Client {
    node: Node,
    process: Process,
    peer: NodeName,
    node_of_peer: Atom,
}

pub fn run(epmd: &Epmd, own: &str, peer: &str, work: Work, count: u64) {
    // On one thread, as libei works and as erl_dist does here.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let builder = Node::builder(own).cookie(COOKIE).epmd_port(epmd.port);
        let node = builder.registration(Registration::None).start().await;
        let node = node.expect("the node starts");
        let client = Client {
            process: node.process(),
            node,
            peer: peer.parse().expect("a name"),
            node_of_peer: Atom::try_from(peer).expect("an atom"),
        };
        // In a task, where the code of a process runs.
        let done = tokio::spawn(client.run(work, count)).await;
        done.expect("the work is done");
    });
}

impl Client {
    async fn run(mut self, work: Work, count: u64) {
        self.request("ping", 0).await;
        self.next().await;
        let start = (Instant::now(), crate::cpu());
        self.work(work, count).await;
        report(start);
    }

    async fn send(&mut self, message: Term) {
        let to = (Atom::new("bench"), self.node_of_peer.clone());
        let sent = self.process.send(to, message).await;
        sent.expect("the connection stands");
    }

    async fn request(&mut self, what: &'static str, count: u64) {
        let count = Term::Int(count.try_into().expect("a count"));
        let own = Term::from(self.process.pid().clone());
        self.send(Term::Tuple(vec![Term::atom(what), own, count]))
            .await;
    }

    async fn next(&mut self) -> Term {
        match self.process.receive().await {
            Received::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    async fn work(&mut self, work: Work, count: u64) {
        match work {
            Work::Roundtrips => {
                for n in 0..count {
                    self.request("ping", n).await;
                    self.next().await;
                }
            }
            Work::Sends => {
                self.request("count", count).await;
                for _ in 0..count {
                    self.send(ours::small()).await;
                }
                self.next().await;
            }
            Work::Receives => {
                self.request("flood", count).await;
                let expected = ours::small();
                for _ in 0..count {
                    assert!(self.next().await == expected);
                }
            }
            Work::BinariesOut => {
                self.request("count_binaries", count).await;
                let binary = bytes::Bytes::from(vec![7; MIB]);
                for _ in 0..count {
                    let message = vec![Term::atom("b"), Term::Binary(binary.clone())];
                    self.send(Term::Tuple(message)).await;
                }
                self.next().await;
            }
            Work::BinariesIn => {
                self.request("flood_binaries", count).await;
                for _ in 0..count {
                    let message = self.next().await;
                    let binary = message.as_tuple().and_then(|tuple| tuple[1].as_binary());
                    assert_eq!(binary.map(bytes::Bytes::len), Some(MIB));
                }
            }
            Work::RpcOne => {
                for _ in 0..count {
                    self.call().await;
                }
            }
            Work::Rpc64 => {
                for _ in 0..count / 64 {
                    join_all((0..64).map(|_| self.call())).await;
                }
            }
        }
    }

    async fn call(&self) {
        let arguments = vec![Term::Int(700)];
        let patience = Duration::from_secs(60);
        let answer = self
            .node
            .rpc(&self.peer, "erlang", "abs", arguments, patience)
            .await;
        assert_eq!(answer.expect("an answer"), Term::Int(700));
    }
}
