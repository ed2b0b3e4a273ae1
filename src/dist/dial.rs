//! Connecting to a node, from its name to the end of the handshake.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::error::ConnectError;
use super::handshake::{self, Identity, Lengths, Named, Peer, Version};
use super::locate::{host_of, locate_at};
use super::stream::Stream;
use super::tls::Tls;
use crate::epmd::DEFAULT_PORT;
use crate::happy_eyeballs::{self, Unconnected};
use crate::name::NodeName;

/// The step in which the port of the peer is opened, as [`ConnectError::Timeout`] tells it.
pub(crate) const OPENING_PORT: &str = "a TCP connection was opened to its distribution port";

/// How long a node that answers gets to see what it lost. It may have woken a moment ago.
const AWAKE: Duration = Duration::from_millis(500);

/// How a node is connected to.
#[derive(Debug, Clone)]
pub struct DialOptions {
    /// The port on which EPMD listens on every host: usually [`crate::epmd::port_from_env`].
    pub epmd_port: u16,
    /// The peer's port, if EPMD is not to be asked.
    pub port: Option<u16>,
    /// How TLS is spoken, if it is: as all nodes of a cluster do, or none.
    pub tls: Option<Tls>,
    /// How long it may take from the name to the end of the handshake. OTP's `net_setuptime`.
    pub setup_time: Duration,
}

impl Default for DialOptions {
    fn default() -> Self {
        Self {
            epmd_port: DEFAULT_PORT,
            port: None,
            tls: None,
            setup_time: super::DEFAULT_SETUP_TIME,
        }
    }
}

/// Connects to `peer` and does the handshake. `still_wanted` is asked if the peer has a connection to this node
/// already, whose place this one would take: see [`handshake::connect`].
///
/// # Errors
/// See [`ConnectError`].
pub async fn dial(
    own: &Identity,
    peer: &NodeName,
    options: &DialOptions,
    still_wanted: impl Fn() -> bool,
) -> Result<(Stream, Peer), ConnectError> {
    if own.name == *peer {
        return Err(ConnectError::OwnName { peer: peer.clone() });
    }
    if own.name.is_long() != peer.is_long() {
        return Err(ConnectError::NameKind {
            own: own.name.clone(),
            peer: peer.clone(),
        });
    }
    within(peer, options, async |progress| {
        let (stream, lengths, version) = reach(peer, options, progress).await?;
        handshake::connect(stream, lengths, own, peer, version, still_wanted).await
    })
    .await
}

/// Connects to `peer` as a node without a name, which the peer gives to it: `own` says at which host, what stands
/// before the `@` is of no matter, and neither is its creation.
///
/// # Errors
/// See [`ConnectError`].
pub async fn dial_for_name(
    own: &Identity,
    peer: &NodeName,
    options: &DialOptions,
) -> Result<(Stream, Peer, Named), ConnectError> {
    if own.name.is_long() != peer.is_long() {
        return Err(ConnectError::NameKind {
            own: own.name.clone(),
            peer: peer.clone(),
        });
    }
    within(peer, options, async |progress| {
        let (stream, lengths, _) = reach(peer, options, progress).await?;
        handshake::ask_for_name(stream, lengths, own, peer).await
    })
    .await
}

/// Waits until `peer`, a node whose connection was lost, can be connected to without harm to others.
///
/// It may sleep (SIGSTOP, a paused virtual machine): the kernel of its host takes connections for it, and it goes on with
/// their handshakes the moment it wakes, before it has seen that all of its old connections are closed. Of each of these
/// its `global` then tells the nodes at the other end of the new ones, and these cut their own, healthy connections to
/// the nodes that it lost. So it is first asked under a name that no node has, and when it answers, it gets time to
/// see what it lost.
///
/// # Errors
/// See [`ConnectError`]; an answer to the handshake, whatever it says, is not an error here.
pub(crate) async fn until_awake(
    own: &Identity,
    peer: &NodeName,
    options: &DialOptions,
) -> Result<(), ConnectError> {
    within(peer, options, async |progress| {
        let (mut stream, lengths, version) = reach(peer, options, progress).await?;
        handshake::ask_for_status(&mut stream, lengths, own.name.host(), version).await;
        Ok(())
    })
    .await?;
    sleep(AWAKE).await;
    Ok(())
}

/// What is being waited for, and at which addresses, for the error if it takes too long.
struct Progress(Mutex<(&'static str, Vec<SocketAddr>)>);

impl Progress {
    fn now_at(&self, next: &'static str, addresses: Vec<SocketAddr>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (next, addresses);
    }
}

/// Bounds the time of the whole.
async fn within<T>(
    peer: &NodeName,
    options: &DialOptions,
    whole: impl AsyncFnOnce(&Progress) -> Result<T, ConnectError>,
) -> Result<T, ConnectError> {
    let progress = Progress(Mutex::new(("its host was resolved", Vec::new())));
    match timeout(options.setup_time, whole(&progress)).await {
        Ok(done) => done,
        Err(_) => {
            let progress = progress.0.into_inner();
            let (step, addresses) = progress.unwrap_or_else(PoisonError::into_inner);
            Err(ConnectError::Timeout {
                peer: peer.clone(),
                step,
                addresses,
                after: options.setup_time,
            })
        }
    }
}

/// Finds the peer and opens a connection to it, up to where the handshake begins.
async fn reach(
    peer: &NodeName,
    options: &DialOptions,
    progress: &Progress,
) -> Result<(Stream, Lengths, Version), ConnectError> {
    // Each part is bounded by the whole, which says better what was waited for.
    let forever = options.setup_time * 2;
    let host = host_of(peer, forever).await?;
    if options.port.is_none() {
        let endpoint = |address: &IpAddr| SocketAddr::new(*address, options.epmd_port);
        progress.now_at(
            "EPMD was asked for its port",
            host.iter().map(endpoint).collect(),
        );
    }
    let located = locate_at(peer, host, options.epmd_port, options.port, forever).await?;
    progress.now_at(OPENING_PORT, located.addresses.clone());
    let tcp = open(peer, &located.addresses, options.port.is_some()).await?;
    let at: Vec<_> = tcp.peer_addr().ok().into_iter().collect();
    let (stream, lengths) = match &options.tls {
        None => (Stream::Plain(tcp), Lengths::Two),
        Some(tls) => {
            // A node without TLS waits for the rest of what it takes for a long packet.
            progress.now_at(
                "the TLS handshake was under way (without -proto_dist inet_tls it does not answer one)",
                at.clone(),
            );
            (tls.connect(tcp, peer).await?, Lengths::Four)
        }
    };
    progress.now_at("the handshake was under way", at);
    Ok((stream, lengths, located.version))
}

/// Opens a TCP connection to the first of the addresses that takes one.
async fn open(
    peer: &NodeName,
    addresses: &[SocketAddr],
    port_given: bool,
) -> Result<TcpStream, ConnectError> {
    match happy_eyeballs::connect(addresses).await {
        Ok(stream) => {
            // Messages are small, and someone waits for each. It is no reason to fail.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Err(failed) => Err(cannot_open(peer, &failed, port_given)),
    }
}

fn cannot_open(peer: &NodeName, failed: &Unconnected, port_given: bool) -> ConnectError {
    let peer = peer.clone();
    let Some((addr, error)) = failed.main() else {
        let detail = "it has none".into();
        return ConnectError::UnknownHost { peer, detail };
    };
    let addr = *addr;
    match error.kind() {
        io::ErrorKind::ConnectionRefused if port_given => ConnectError::PortClosed { peer, addr },
        io::ErrorKind::ConnectionRefused => ConnectError::Refused { peer, addr },
        _ => ConnectError::Unreachable {
            peer,
            addr,
            detail: failed.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::secret::Secret;

    /// Asks a peer that does this with a connection.
    async fn asked(
        setup_time: Duration,
        behave: impl AsyncFnOnce(&mut TcpStream),
    ) -> Result<(), ConnectError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let own = "own@127.0.0.1".parse().expect("a name");
        let own = Identity::new(own, 1, Secret::new("cookie"));
        let options = DialOptions {
            port: Some(port),
            setup_time,
            ..DialOptions::default()
        };
        let peer = "peer@127.0.0.1".parse().expect("a name");
        let accept = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            behave(&mut stream).await;
            stream
        };
        let (answer, _stream) = tokio::join!(until_awake(&own, &peer, &options), accept);
        answer
    }

    #[tokio::test]
    async fn a_peer_that_sleeps_is_not_connected_to() {
        let answer = asked(Duration::from_millis(300), async |_| {}).await;
        assert!(
            matches!(answer, Err(ConnectError::Timeout { .. })),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn a_peer_that_answers_anything_is_awake_and_knows_no_node_by_the_question() {
        let answer = asked(Duration::from_secs(300), async |stream| {
            let mut question = vec![0; 2 + 15 + 22];
            stream.read_exact(&mut question).await.expect("a question");
            assert!(
                question.ends_with(b"rendez-probe@127.0.0.1"),
                "{question:?}"
            );
            stream
                .write_all(b"\0\x0csnot_allowed")
                .await
                .expect("an answer");
        })
        .await;
        assert_eq!(answer, Ok(()));
    }
}
