//! The works, done over this crate's own channel.

use std::time::Instant;

use rendez::dist::channel::{Incoming, Receiver, Sender};
use rendez::dist::control::Control;
use rendez::etf::{Atom, Pid, Reference, Term};

use crate::support::Epmd;
use crate::support::wire::{self, WHOLE};
use crate::{MIB, Work, report};

struct Client {
    sender: Sender,
    receiver: Receiver,
    own: Pid,
}

pub fn run(epmd: &Epmd, own: &str, peer: &str, work: Work, count: u64) {
    // On one thread, as libei works and as erl_dist does here.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let (sender, receiver) = wire::connect(epmd, own, peer, WHOLE).await;
        let own = wire::pid(own, 1);
        let client = Client {
            sender,
            receiver,
            own,
        };
        client.run(work, count).await;
    });
}

/// `{m, {user, 42, <<"hello">>, [a, b, 1.5]}}`
pub fn small() -> Term {
    let list = vec![Term::atom("a"), Term::atom("b"), Term::Float(1.5)];
    let user = [
        Term::atom("user"),
        Term::Int(42),
        Term::binary(&b"hello"[..]),
        list.into(),
    ];
    Term::Tuple(vec![Term::atom("m"), Term::Tuple(user.into())])
}

impl Client {
    async fn run(mut self, work: Work, count: u64) {
        self.request("ping", 0).await;
        self.next().await;
        let start = (Instant::now(), crate::cpu());
        self.work(work, count).await;
        report(start);
    }

    async fn to(&mut self, name: &'static str, message: &Term) {
        let control = Control::RegSend {
            from: self.own.clone(),
            to: Atom::new(name),
        };
        let sent = self.sender.send(&control, Some(message)).await;
        sent.expect("the connection stands");
    }

    async fn request(&mut self, what: &'static str, count: u64) {
        let count = Term::Int(count.try_into().expect("a count"));
        let own = Term::from(self.own.clone());
        self.to("bench", &Term::Tuple(vec![Term::atom(what), own, count]))
            .await;
    }

    async fn next(&mut self) -> Term {
        loop {
            let Incoming {
                control, payload, ..
            } = self.receiver.next().await.expect("the connection stands");
            // net_kernel and its like talk to us too.
            if matches!(control, Control::Send { .. } | Control::SendSender { .. }) {
                return payload.expect("a message");
            }
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
                    // Made anew each time, as a program has something new to say.
                    self.to("bench", &small()).await;
                }
                self.next().await;
            }
            Work::Receives => {
                self.request("flood", count).await;
                let expected = small();
                for _ in 0..count {
                    assert!(self.next().await == expected);
                }
            }
            Work::BinariesOut => {
                self.request("count_binaries", count).await;
                let binary = bytes::Bytes::from(vec![7; MIB]);
                for _ in 0..count {
                    let message = [Term::atom("b"), Term::Binary(binary.clone())];
                    self.to("bench", &Term::Tuple(message.into())).await;
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
                for n in 0..count {
                    self.call(n).await;
                    self.answer().await;
                }
            }
            Work::Rpc64 => {
                for _ in 0..count / 64 {
                    for n in 0..64 {
                        self.call(n).await;
                    }
                    for _ in 0..64 {
                        self.answer().await;
                    }
                }
            }
        }
    }

    /// Asks `rex` for `erlang:abs(700)`, as `rpc:call` did before there was erpc.
    async fn call(&mut self, n: u64) {
        let reference = Reference {
            node: self.own.node.clone(),
            creation: self.own.creation,
            id: vec![u32::try_from(n).expect("a number"), 1, 1],
        };
        let from = Term::Tuple(vec![Term::from(self.own.clone()), Term::from(reference)]);
        let arguments = Term::List(vec![Term::Int(700)]);
        let call = vec![
            Term::atom("call"),
            Term::atom("erlang"),
            Term::atom("abs"),
            arguments,
            Term::atom("user"),
        ];
        let message = vec![Term::atom("$gen_call"), from, Term::Tuple(call)];
        self.to("rex", &Term::Tuple(message)).await;
    }

    async fn answer(&mut self) {
        let answer = self.next().await;
        let answer = answer.as_tuple().and_then(|tuple| tuple.get(1));
        assert_eq!(answer.and_then(Term::as_int), Some(700));
    }
}
