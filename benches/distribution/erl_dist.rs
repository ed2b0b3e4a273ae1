//! The works, done over the channel of the crate `erl_dist`.
//!
//! It reads and writes through what it is given. Here that is a plain socket that blocks, which spares
//! it a runtime.

use std::net::TcpStream;
use std::time::Instant;

use eetf::{Atom, Binary, FixInteger, Float, List, Pid, Reference, Term, Tuple};
use erl_dist::handshake::ClientSideHandshake;
use erl_dist::message::{Message, Receiver, Sender, channel};
use erl_dist::node::{Creation, LocalNode};
use futures::executor::block_on;
use futures::io::AllowStdIo;
use rendez::dist::locate;

use crate::support::Epmd;
use crate::{COOKIE, MIB, Work, report};

type Io = Shared;

/// A socket that a sender and a receiver can have at once.
#[derive(Clone)]
struct Shared(std::sync::Arc<TcpStream>);

impl std::io::Read for Shared {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        (&*self.0).read(bytes)
    }
}

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Client {
    sender: Sender<AllowStdIo<Io>>,
    receiver: Receiver<AllowStdIo<Io>>,
    own: Pid,
}

pub fn run(epmd: &Epmd, own: &str, peer: &str, work: Work, count: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let located = runtime.expect("a runtime").block_on(locate(
        &peer.parse().expect("a name"),
        epmd.port,
        None,
        std::time::Duration::from_secs(10),
    ));
    let stream = TcpStream::connect(located.expect("it is registered").addresses[0]);
    let stream = stream.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let io = AllowStdIo::new(Shared(std::sync::Arc::new(stream)));
    let local = LocalNode::new(own.parse().expect("a name"), Creation::new(1));
    let flags = local.flags;
    let mut handshake = ClientSideHandshake::new(io, local, COOKIE);
    block_on(handshake.execute_send_name(erl_dist::LOWEST_DISTRIBUTION_PROTOCOL_VERSION))
        .expect("a handshake");
    let (io, peer) = block_on(handshake.execute_rest(true)).expect("a handshake");
    let (sender, receiver) = channel(io, flags & peer.flags);
    let own = Pid::new(own.to_owned(), 1, 0, 1);
    let mut client = Client {
        sender,
        receiver,
        own,
    };
    client.request("ping", 0);
    client.next();
    let start = (Instant::now(), crate::cpu());
    client.work(work, count);
    report(start);
}

fn atom(name: &str) -> Term {
    Atom::from(name).into()
}

fn tuple(elements: Vec<Term>) -> Term {
    Tuple::from(elements).into()
}

fn small() -> Term {
    let list = List::from(vec![atom("a"), atom("b"), Float { value: 1.5 }.into()]);
    let user = vec![
        atom("user"),
        FixInteger::from(42).into(),
        Binary::from(b"hello".to_vec()).into(),
        list.into(),
    ];
    tuple(vec![atom("m"), tuple(user)])
}

impl Client {
    fn to(&mut self, name: &str, message: Term) {
        let message = Message::reg_send(self.own.clone(), Atom::from(name), message);
        block_on(self.sender.send(message)).expect("the connection stands");
    }

    fn request(&mut self, what: &str, count: u64) {
        let count = FixInteger::from(i32::try_from(count).expect("a count"));
        let own = self.own.clone().into();
        self.to("bench", tuple(vec![atom(what), own, count.into()]));
    }

    fn next(&mut self) -> Term {
        loop {
            match block_on(self.receiver.recv()).expect("the connection stands") {
                Message::Send(message) => return message.message,
                Message::SendSender(message) => return message.message,
                _ => {}
            }
        }
    }

    fn work(&mut self, work: Work, count: u64) {
        match work {
            Work::Roundtrips => {
                for n in 0..count {
                    self.request("ping", n);
                    self.next();
                }
            }
            Work::Sends => {
                self.request("count", count);
                for _ in 0..count {
                    self.to("bench", small());
                }
                self.next();
            }
            Work::Receives => {
                self.request("flood", count);
                let expected = small();
                for _ in 0..count {
                    assert!(self.next() == expected);
                }
            }
            Work::BinariesOut => {
                self.request("count_binaries", count);
                let binary = Binary::from(vec![7; MIB]);
                for _ in 0..count {
                    self.to("bench", tuple(vec![atom("b"), binary.clone().into()]));
                }
                self.next();
            }
            Work::BinariesIn => {
                self.request("flood_binaries", count);
                for _ in 0..count {
                    let Term::Tuple(message) = self.next() else {
                        panic!("a tuple")
                    };
                    let Term::Binary(binary) = &message.elements[1] else {
                        panic!("a binary")
                    };
                    assert_eq!(binary.bytes.len(), MIB);
                }
            }
            Work::RpcOne => {
                for n in 0..count {
                    self.call(n);
                    self.answer();
                }
            }
            Work::Rpc64 => {
                for _ in 0..count / 64 {
                    for n in 0..64 {
                        self.call(n);
                    }
                    for _ in 0..64 {
                        self.answer();
                    }
                }
            }
        }
    }

    fn call(&mut self, n: u64) {
        let reference = Reference {
            node: self.own.node.clone(),
            id: vec![u32::try_from(n).expect("a number"), 1, 1],
            creation: 1,
        };
        let from = tuple(vec![self.own.clone().into(), reference.into()]);
        let arguments = List::from(vec![FixInteger::from(700).into()]);
        let call = vec![
            atom("call"),
            atom("erlang"),
            atom("abs"),
            arguments.into(),
            atom("user"),
        ];
        self.to("rex", tuple(vec![atom("$gen_call"), from, tuple(call)]));
    }

    fn answer(&mut self) {
        let Term::Tuple(answer) = self.next() else {
            panic!("a tuple")
        };
        assert_eq!(answer.elements[1], FixInteger::from(700).into());
    }
}
