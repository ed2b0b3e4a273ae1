//! A bare connection to a real node: the handshake, and then the channel, with no node around them.

use std::time::Duration;

use rendez::Secret;
use rendez::dist::channel::{ChannelOptions, Receiver, Sender, open_tcp};
use rendez::dist::handshake::initiator::Step;
use rendez::dist::handshake::{Attempt, Claimed, Initiator, Version};
use rendez::dist::{Flags, locate};
use rendez::etf::{Atom, Pid};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Epmd;

/// What a whole connection needs.
pub const WHOLE: Flags = Flags::DIST_HDR_ATOM_CACHE
    .union(Flags::FRAGMENTS)
    .union(Flags::EXIT_PAYLOAD)
    .union(Flags::SEND_SENDER);

/// Connects to `peer` as the hidden node `own`, with those of [`WHOLE`] that `flags` has.
pub async fn connect(epmd: &Epmd, own: &str, peer: &str, flags: Flags) -> (Sender, Receiver) {
    connect_with(epmd, own, peer, flags, ChannelOptions::default()).await
}

/// As [`connect`], with options for the channel.
pub async fn connect_with(
    epmd: &Epmd,
    own: &str,
    peer: &str,
    flags: Flags,
    options: ChannelOptions,
) -> (Sender, Receiver) {
    let (stream, flags) = shake_hands(epmd, own, peer, flags).await;
    open_tcp(stream, ChannelOptions { flags, ..options })
}

/// As [`connect`], and leaves it at the handshake: the stream, and the flags that both have.
pub async fn shake_hands(epmd: &Epmd, own: &str, peer: &str, flags: Flags) -> (TcpStream, Flags) {
    let peer = peer.parse().expect("a name");
    let located = locate(&peer, epmd.port, None, Duration::from_secs(10)).await;
    let address = located.expect("the node is registered").addresses[0];
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let attempt = Attempt {
        own: Claimed::Name(own.parse().expect("a name")),
        creation: CREATION,
        flags: Flags::claimed(false).difference(WHOLE) | flags,
        peer,
        cookie: Secret::new("rendez-tests"),
        version: Version::V6,
        challenge: 1,
    };
    let mut out = Vec::new();
    let mut machine = Initiator::start(attempt, &mut out);
    let agreed = loop {
        stream.write_all(&out).await.expect("it reads");
        out.clear();
        let length = stream.read_u16().await.expect("it answers");
        let mut packet = vec![0; length.into()];
        stream.read_exact(&mut packet).await.expect("it answers");
        let step = machine.handle(&packet, &mut out).expect("a handshake");
        if let Step::Done(agreed) = step {
            break agreed;
        }
    };
    (stream, agreed.peer.flags)
}

/// The creation of the nodes that [`connect`] makes.
pub const CREATION: u32 = 77;

/// A pid of the node `own`.
pub fn pid(own: &str, id: u32) -> Pid {
    Pid {
        node: Atom::try_from(own).expect("an atom"),
        id,
        serial: 0,
        creation: CREATION,
    }
}
