//! Connecting to a node, from its name to the end of the handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::error::ConnectError;
use super::handshake::{self, Identity, Lengths, Named, Peer, Version};
use super::locate::locate;
use super::stream::Stream;
use super::tls::Tls;
use crate::epmd::DEFAULT_PORT;
use crate::name::NodeName;

/// The step in which the port of the peer is opened, as [`ConnectError::Timeout`] tells it.
pub(crate) const OPENING_PORT: &str = "a TCP connection was opened to its distribution port";

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

/// What is being waited for, for the error if it takes too long.
struct Progress(Mutex<&'static str>);

impl Progress {
    fn now_at(&self, next: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

/// Bounds the time of the whole.
async fn within<T>(
    peer: &NodeName,
    options: &DialOptions,
    whole: impl AsyncFnOnce(&Progress) -> Result<T, ConnectError>,
) -> Result<T, ConnectError> {
    let progress = Progress(Mutex::new(
        "its host was resolved and EPMD asked for its port",
    ));
    match timeout(options.setup_time, whole(&progress)).await {
        Ok(done) => done,
        Err(_) => Err(ConnectError::Timeout {
            peer: peer.clone(),
            step: progress
                .0
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
            after: options.setup_time,
        }),
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
    let located = locate(peer, options.epmd_port, options.port, forever).await?;
    progress.now_at(OPENING_PORT);
    let tcp = open(peer, &located.addresses).await?;
    let (stream, lengths) = match &options.tls {
        None => (Stream::Plain(tcp), Lengths::Two),
        Some(tls) => {
            // A node without TLS waits for the rest of what it takes for a long packet.
            progress.now_at(
                "the TLS handshake was under way (without -proto_dist inet_tls it does not answer one)",
            );
            (tls.connect(tcp, peer).await?, Lengths::Four)
        }
    };
    progress.now_at("the handshake was under way");
    Ok((stream, lengths, located.version))
}

/// Opens a TCP connection to the first of the addresses that takes one.
async fn open(peer: &NodeName, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut failure = None;
    for &addr in addresses {
        match TcpStream::connect(addr).await {
            Ok(stream) => {
                // Messages are small, and someone waits for each. It is no reason to fail.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            // The first address is the likeliest, and so is its failure.
            Err(error) => failure = failure.or(Some(cannot_open(peer, addr, &error))),
        }
    }
    Err(failure.unwrap_or_else(|| ConnectError::UnknownHost {
        peer: peer.clone(),
        detail: "it has none".into(),
    }))
}

fn cannot_open(peer: &NodeName, addr: SocketAddr, error: &io::Error) -> ConnectError {
    let peer = peer.clone();
    if error.kind() == io::ErrorKind::ConnectionRefused {
        ConnectError::Refused { peer, addr }
    } else {
        ConnectError::Unreachable {
            peer,
            addr,
            detail: error.to_string(),
        }
    }
}
