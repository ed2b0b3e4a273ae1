//! The handshake, version 6: both sides prove that they know the cookie.
//!
//! Source: [distribution handshake](https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#distribution-handshake).

use std::io;

use erl_dist::DistributionFlags;
use erl_dist::handshake::{
    ClientSideHandshake, HandshakeError, HandshakeStatus, ServerSideHandshake,
};
use erl_dist::node::{Creation, LocalNode};
use futures::io::AsyncWriteExt as _;
use tokio::io::{AsyncRead, AsyncWrite};

use super::error::ConnectError;
use super::tap::{Seen, Tap};
use crate::name::NodeName;
use crate::secret::Secret;

/// Who this node is to its peers.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its name.
    pub name: NodeName,
    /// Tells this run of the node from an earlier one of the same name.
    pub creation: u32,
    /// The cookie, which both sides have to have.
    pub cookie: Secret,
}

impl Identity {
    /// What this node can do, as told to its peers. Only what is handled is promised: no fragments and
    /// no atom cache, so frames carry whole messages; no exit payloads, no aliases. It is not `PUBLISHED`:
    /// a hidden node, which `nodes()` leaves out and which `global` does not wait for.
    fn flags() -> DistributionFlags {
        DistributionFlags::mandatory()
            | DistributionFlags::DIST_MONITOR
            | DistributionFlags::DIST_MONITOR_NAME
            | DistributionFlags::SMALL_ATOM_TAGS
            | DistributionFlags::UNICODE_IO
    }

    fn local(&self) -> Result<LocalNode, String> {
        let name = self.name.as_str().parse();
        let name = name.map_err(|error| format!("{error}"))?;
        let mut local = LocalNode::new(name, Creation::new(self.creation));
        local.flags = Self::flags();
        Ok(local)
    }

    /// The cookie as `erl_dist` takes it. It hashes UTF-8 where OTP hashes Latin-1: the same for ASCII only.
    fn cookie(&self) -> Result<&str, ConnectError> {
        std::str::from_utf8(self.cookie.expose())
            .ok()
            .filter(|cookie| cookie.is_ascii())
            .ok_or(ConnectError::CookieNotAscii)
    }
}

/// Who the peer said it is, once both sides had proved the cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub name: NodeName,
    /// Tells this run of it from an earlier one.
    pub creation: Option<u32>,
    /// Whether it stays out of `nodes()`.
    pub hidden: bool,
}

/// What to answer to a node that wants to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let it go on.
    Accept,
    /// Let it go on: this node had begun to connect to it too, and gives up on that.
    AcceptSimultaneous,
    /// Tell it that this node's own attempt to connect to it goes first.
    OursGoesFirst,
}

/// Does the handshake as the one who connects.
///
/// # Errors
/// Those of [`ConnectError`] that concern the handshake.
pub async fn connect<T>(
    io: T,
    own: &Identity,
    expected: &NodeName,
) -> Result<(T, Peer), ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let tap = Tap::new(io);
    let fail = |detail: String| ConnectError::Handshake {
        peer: expected.clone(),
        detail,
    };
    let local = own.local().map_err(fail)?;
    let mut handshake = ClientSideHandshake::new(tap.clone(), local, own.cookie()?);
    let status = handshake
        .execute_send_name(erl_dist::LOWEST_DISTRIBUTION_PROTOCOL_VERSION)
        .await
        .map_err(|error| explain(error, own, expected, tap.seen(), None))?;
    if status == HandshakeStatus::Alive {
        // The peer has not noticed yet that an earlier connection of ours is gone. Going on closes it.
        // `erl_dist` prepares this answer but does not send it.
        let sent = tap.clone().write_all(b"\0\x05strue").await;
        sent.map_err(|error| fail(error.to_string()))?;
    }
    let mark = tap.seen();
    let (stream, peer) = handshake
        .execute_rest(true)
        .await
        .map_err(|error| explain(error, own, expected, tap.seen(), Some(mark)))?;
    drop(tap);
    let peer = described(&peer).map_err(fail)?;
    if peer.name != *expected {
        return Err(ConnectError::OtherNode {
            peer: expected.clone(),
            found: peer.name.to_string(),
        });
    }
    let io = stream.into_inner();
    let io = io.ok_or_else(|| fail("the stream is still shared".into()))?;
    Ok((io, peer))
}

/// Does the handshake as the one who is connected to. `judge` decides when the peer has said its name,
/// before anything is proved.
///
/// # Errors
/// A text for the log: who tried, and what was wrong.
pub async fn accept<T>(
    io: T,
    own: &Identity,
    judge: impl FnOnce(&NodeName) -> Verdict,
) -> Result<(T, Peer), String>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let tap = Tap::new(io);
    let cookie = own.cookie().map_err(|error| error.to_string())?;
    let mut handshake = ServerSideHandshake::new(tap, own.local()?, cookie);
    let said = handshake.execute_recv_name().await;
    let said = said.map_err(|error| format!("no name was told: {error}"))?;
    let Some(said) = said else {
        // A node without a name of its own asks for one. Nodes that hand out names are visible ones.
        let refused = handshake.execute_rest(HandshakeStatus::NotAllowed).await;
        return Err(format!(
            "a node asked for a name, which this one does not give ({})",
            refused
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        ));
    };
    let name: NodeName = said
        .to_string()
        .parse()
        .map_err(|error| format!("{:?} is no node name: {error}", said.to_string()))?;
    let status = match judge(&name) {
        Verdict::Accept => HandshakeStatus::Ok,
        Verdict::AcceptSimultaneous => HandshakeStatus::OkSimultaneous,
        Verdict::OursGoesFirst => HandshakeStatus::Nok,
    };
    let done = handshake.execute_rest(status).await;
    let (stream, peer) = done.map_err(|error| match error {
        HandshakeError::CookieMismatch => format!("{name} has another cookie"),
        error => format!("{name}: {error}"),
    })?;
    let io = stream.into_inner();
    let io = io.ok_or_else(|| "the stream is still shared".to_owned())?;
    Ok((io, described(&peer)?))
}

fn described(peer: &erl_dist::node::PeerNode) -> Result<Peer, String> {
    let name = peer.name.to_string();
    Ok(Peer {
        name: name
            .parse()
            .map_err(|error| format!("{name:?} is no node name: {error}"))?,
        creation: peer.creation.map(Creation::get),
        hidden: !peer.flags.contains(DistributionFlags::PUBLISHED),
    })
}

/// Says what a failed handshake means. `mark` is what had gone through when the name had been answered.
fn explain(
    error: HandshakeError,
    own: &Identity,
    peer: &NodeName,
    seen: Seen,
    mark: Option<Seen>,
) -> ConnectError {
    let (own, peer) = (own.name.clone(), peer.clone());
    // A TLS record begins with its type, alert or handshake, and the major version 3.
    if matches!(seen.first, [0x15 | 0x16, 3, _]) {
        return ConnectError::Tls { peer };
    }
    match error {
        HandshakeError::OngoingHandshake => ConnectError::Simultaneous { own, peer },
        HandshakeError::NotAllowed => ConnectError::NotAllowed { own, peer },
        HandshakeError::CookieMismatch => ConnectError::Cookie { peer },
        HandshakeError::InvalidVersionValue { .. } => ConnectError::TooOld { peer },
        HandshakeError::Io(error) if hung_up(&error) => match mark {
            // OTP hangs up without a word on a digest that is not right.
            Some(mark) if seen.read > mark.read && seen.written > mark.written => {
                ConnectError::Cookie { peer }
            }
            _ => ConnectError::Handshake {
                peer,
                detail: "it closed the connection".into(),
            },
        },
        error => ConnectError::Handshake {
            peer,
            detail: error.to_string(),
        },
    }
}

fn hung_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    fn identity(name: &str, cookie: &str) -> Identity {
        Identity {
            name: name.parse().unwrap(),
            creation: 7,
            cookie: Secret::new(cookie),
        }
    }

    async fn both(
        client: &Identity,
        server: &Identity,
        verdict: Verdict,
    ) -> (Result<Peer, ConnectError>, Result<Peer, String>) {
        let (near, far) = duplex(64);
        let accepted = async {
            let accepted = accept(far, server, |_| verdict).await;
            accepted.map(|(_, peer)| peer)
        };
        let connected = async {
            let connected = connect(near, client, &server.name).await;
            connected.map(|(_, peer)| peer)
        };
        tokio::join!(connected, accepted)
    }

    #[tokio::test]
    async fn two_nodes_with_one_cookie_learn_who_the_other_is() {
        let (client, server) = (identity("a@h", "c"), identity("b@h", "c"));
        for verdict in [Verdict::Accept, Verdict::AcceptSimultaneous] {
            let (connected, accepted) = both(&client, &server, verdict).await;
            let connected = connected.unwrap();
            assert_eq!(connected.name, server.name);
            assert_eq!((connected.creation, connected.hidden), (Some(7), true));
            assert_eq!(accepted.unwrap().name, client.name);
        }
    }

    #[tokio::test]
    async fn another_cookie_is_told_on_both_sides() {
        let (client, server) = (identity("a@h", "c"), identity("b@h", "d"));
        let (connected, accepted) = both(&client, &server, Verdict::Accept).await;
        let peer = server.name.clone();
        assert_eq!(connected, Err(ConnectError::Cookie { peer }));
        assert_eq!(accepted, Err("a@h has another cookie".into()));
    }

    #[tokio::test]
    async fn the_peer_whose_attempt_goes_first_says_so() {
        let (client, server) = (identity("a@h", "c"), identity("b@h", "c"));
        let (connected, _) = both(&client, &server, Verdict::OursGoesFirst).await;
        assert!(matches!(connected, Err(ConnectError::Simultaneous { .. })));
    }

    #[tokio::test]
    async fn another_node_than_the_expected_one_is_refused() {
        let (client, server) = (identity("a@h", "c"), identity("b@h", "c"));
        let (near, far) = duplex(64);
        let expected: NodeName = "c@h".parse().unwrap();
        let (connected, _) = tokio::join!(
            connect(near, &client, &expected),
            accept(far, &server, |_| Verdict::Accept)
        );
        let found = "b@h".to_owned();
        let peer = expected;
        assert_eq!(
            connected.map(|(_, peer)| peer),
            Err(ConnectError::OtherNode { peer, found })
        );
    }

    /// What the peer at the other end of a client's stream says, and what the client makes of it.
    async fn client_hears(said: &[u8]) -> (ConnectError, Vec<u8>) {
        let (near, mut far) = duplex(1024);
        let client = identity("a@h", "c");
        let expected = "b@h".parse().unwrap();
        let heard = async {
            let mut name = [0; 2 + 1 + 8 + 4 + 2 + 3];
            far.read_exact(&mut name).await.unwrap();
            far.write_all(said).await.unwrap();
            far.shutdown().await.unwrap();
            let mut heard = Vec::new();
            far.read_to_end(&mut heard).await.unwrap();
            heard
        };
        let (connected, heard) = tokio::join!(connect(near, &client, &expected), heard);
        (connected.map(|(_, peer)| peer).unwrap_err(), heard)
    }

    #[tokio::test]
    async fn what_a_peer_that_breaks_off_meant() {
        let reason = |error: &ConnectError| error.to_string();
        let (error, _) = client_hears(b"").await;
        assert!(reason(&error).contains("closed the connection"), "{error}");
        let (error, _) = client_hears(b"\0\x0csnot_allowed").await;
        assert!(matches!(error, ConnectError::NotAllowed { .. }), "{error}");
        let (error, _) = client_hears(&[0x15, 3, 3, 0, 2, 2, 40]).await;
        assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
        // Hanging up after the name was answered, before any challenge, is not about the cookie.
        let (error, _) = client_hears(b"\0\x03sok").await;
        assert!(matches!(error, ConnectError::Handshake { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_earlier_connection_that_the_peer_still_has_is_given_up() {
        let (_, heard) = client_hears(b"\0\x06salive").await;
        assert_eq!(heard, b"\0\x05strue");
    }

    #[tokio::test]
    async fn a_stranger_that_sends_rubbish_is_turned_away() {
        for rubbish in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            &[0, 1, b'n'],
            &[0xff; 64],
            b"",
        ] {
            let (mut near, far) = duplex(1024);
            near.write_all(rubbish).await.unwrap();
            near.shutdown().await.unwrap();
            let server = identity("b@h", "c");
            assert!(accept(far, &server, |_| Verdict::Accept).await.is_err());
        }
    }

    #[test]
    fn the_cookie_is_not_shown() {
        let shown = format!("{:?}", identity("a@h", "monster"));
        assert!(!shown.contains("monster"), "{shown}");
    }
}
