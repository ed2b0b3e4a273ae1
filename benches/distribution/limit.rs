//! How fast the BEAM is at the other end, on a connection such as ours: bytes that were made before are
//! written to it, and what it sends is counted and forgotten. Nobody who makes and reads terms can be faster.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Buf as _;
use rendez::dist::channel::{Batch, ChannelOptions, Outbox, Urgency};
use rendez::dist::control::Control;
use rendez::etf::{Atom, Pid, Term};

use crate::support::Epmd;
use crate::support::wire::{self, WHOLE};
use crate::{MIB, Work, ours, report};

/// How much is written or read at once: as much as stays in the processor's cache.
const PIECE: usize = 64 * 1024;
/// After a read that gave less than this it waits a while for more.
const LITTLE: usize = 4 * 1024;
const PAUSE: Duration = Duration::from_micros(100);

pub fn run(epmd: &Epmd, own: &str, peer: &str, work: Work, count: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let shaken = runtime.expect("a runtime").block_on(async {
        let (stream, flags) = wire::shake_hands(epmd, own, peer, WHOLE).await;
        (stream.into_std().expect("a socket"), flags)
    });
    let (stream, flags) = shaken;
    stream.set_nonblocking(false).expect("a socket");
    let options = ChannelOptions {
        flags,
        high_water: usize::MAX,
        ..ChannelOptions::default()
    };
    let mut limit = Limit {
        stream,
        outbox: Outbox::new(&options),
        own: wire::pid(own, 1),
        in_frame: 0,
        head: Vec::new(),
    };
    limit.request("ping", 0);
    limit.write();
    limit.read_until(|frames, _| frames == 1);
    limit.work(work, count);
}

struct Limit {
    stream: TcpStream,
    outbox: Outbox,
    own: Pid,
    /// How much is still to come of the frame at hand, and what has come of its length.
    in_frame: usize,
    head: Vec<u8>,
}

impl Limit {
    fn put(&mut self, message: &Term) {
        let control = Control::RegSend {
            from: self.own.clone(),
            to: Atom::new("bench"),
        };
        let put = self.outbox.push(&control, Some(message), Urgency::Message);
        put.expect("there is room");
    }

    fn request(&mut self, what: &'static str, count: u64) {
        let count = Term::Int(count.try_into().expect("a count"));
        let own = Term::from(self.own.clone());
        self.put(&Term::Tuple(vec![Term::atom(what), own, count]));
    }

    fn take(&mut self) -> Vec<u8> {
        let (mut all, mut batch) = (Vec::new(), Batch::default());
        loop {
            self.outbox.take(&mut batch);
            if !batch.has_remaining() {
                return all;
            }
            all.extend(batch.copy_to_bytes(batch.remaining()));
        }
    }

    fn write(&mut self) {
        let bytes = self.take();
        self.stream.write_all(&bytes).expect("it reads");
    }

    fn work(&mut self, work: Work, count: u64) {
        match work {
            Work::Sends => {
                self.request("count", count);
                for _ in 0..count {
                    self.put(&ours::small());
                }
                let bytes = self.take();
                let start = (Instant::now(), crate::cpu());
                for piece in bytes.chunks(PIECE) {
                    self.stream.write_all(piece).expect("it reads");
                }
                self.read_until(|frames, _| frames == 1);
                report(start);
            }
            Work::BinariesOut => {
                // Always the same one: a thousand would not fit.
                self.request("count_binaries", count);
                let message = [Term::atom("b"), Term::Binary(vec![7; MIB].into())];
                self.put(&Term::Tuple(message.to_vec()));
                let first = self.take();
                self.put(&Term::Tuple(message.into()));
                let again = self.take();
                let start = (Instant::now(), crate::cpu());
                self.stream.write_all(&first).expect("it reads");
                for _ in 1..count {
                    self.stream.write_all(&again).expect("it reads");
                }
                self.read_until(|frames, _| frames == 1);
                report(start);
            }
            Work::Receives => {
                self.request("flood", count);
                let start = (Instant::now(), crate::cpu());
                self.write();
                self.read_until(|frames, _| frames == count);
                report(start);
            }
            Work::BinariesIn => {
                self.request("flood_binaries", count);
                let start = (Instant::now(), crate::cpu());
                self.write();
                let all = count * MIB as u64;
                self.read_until(|_, bytes| bytes >= all);
                report(start);
            }
            Work::Roundtrips | Work::RpcOne | Work::Rpc64 => unreachable!("nobody waits here"),
        }
    }

    /// Reads frames and forgets them, ticks aside, until `done` says so of their count and their bytes.
    fn read_until(&mut self, done: impl Fn(u64, u64) -> bool) {
        let (mut frames, mut bytes) = (0, 0);
        let mut buffer = vec![0; PIECE];
        while !done(frames, bytes) {
            let count = self.stream.read(&mut buffer).expect("it writes");
            assert!(count > 0, "the connection stands");
            if count < LITTLE {
                // Who is not woken for each message cannot hold up the peer by that.
                std::thread::sleep(PAUSE);
            }
            let mut rest = &buffer[..count];
            while !rest.is_empty() {
                if self.in_frame == 0 {
                    let wanted = (4 - self.head.len()).min(rest.len());
                    self.head.extend(&rest[..wanted]);
                    rest = &rest[wanted..];
                    if let Ok(length) = <[u8; 4]>::try_from(&self.head[..]) {
                        self.in_frame = u32::from_be_bytes(length) as usize;
                        self.head.clear();
                    }
                } else {
                    let skipped = self.in_frame.min(rest.len());
                    rest = &rest[skipped..];
                    self.in_frame -= skipped;
                    bytes += skipped as u64;
                    frames += u64::from(self.in_frame == 0);
                }
            }
        }
    }
}
