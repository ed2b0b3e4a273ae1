//! The handshake over a stream.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::acceptor::{self, Acceptor, Named, Stranger, Verdict};
use super::error::HandshakeError;
use super::initiator::{self, Agreed, Attempt, Initiator};
use super::packet::{self, Claimed, Kind, Version};
use super::{Identity, Peer};
use crate::dist::error::ConnectError;
use crate::dist::flags::Flags;
use crate::dist::tls;
use crate::name::NodeName;

/// How many bytes the lengths of packets have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lengths {
    /// As over TCP, until the handshake is over.
    Two,
    /// As over TLS, where OTP has lengths of four bytes from the start on.
    Four,
}

/// Does the handshake as the one who connects. `still_wanted` is asked if the peer has a connection to this node
/// already: whether this one is to take its place, or the peer has connected meanwhile.
///
/// # Errors
/// Those of [`ConnectError`] that concern the handshake.
pub async fn connect<T>(
    io: T,
    lengths: Lengths,
    own: &Identity,
    expected: &NodeName,
    version: Version,
    still_wanted: impl Fn() -> bool,
) -> Result<(T, Peer), ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let attempt = Attempt {
        own: Claimed::Name(own.name.clone()),
        creation: own.creation,
        flags: Flags::claimed(own.visible),
        peer: expected.clone(),
        cookie: own.cookie_for(expected).clone(),
        version,
        challenge: rand::random(),
    };
    let (io, agreed) = drive(io, lengths, attempt, &own.name, still_wanted).await?;
    Ok((io, agreed.peer))
}

/// Begins a handshake under a name that no node has, and waits for the peer to say anything to it, or to end it.
pub async fn ask_for_status<T>(io: &mut T, lengths: Lengths, host: &str, version: Version)
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(name) = NodeName::new("rendez-probe", host) else {
        return;
    };
    let mut packet = Vec::new();
    let question = packet::SendName {
        version,
        flags: Flags::claimed(false),
        creation: Some(1),
        name: Claimed::Name(name),
    };
    question.encode(&mut packet);
    if lengths == Lengths::Four {
        packet = packet::with_long_lengths(&packet);
    }
    if io.write_all(&packet).await.is_ok() && io.flush().await.is_ok() {
        let _ = io.read(&mut [0]).await;
    }
}

/// Does the handshake as the one who connects and has no name yet: the peer gives it one at the host of `own`,
/// whose name and creation stand for nothing else.
///
/// # Errors
/// Those of [`ConnectError`] that concern the handshake.
pub async fn ask_for_name<T>(
    io: T,
    lengths: Lengths,
    own: &Identity,
    expected: &NodeName,
) -> Result<(T, Peer, Named), ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let attempt = Attempt {
        own: Claimed::Host(own.name.host().to_owned()),
        creation: 0,
        flags: Flags::claimed(false),
        peer: expected.clone(),
        cookie: own.cookie_for(expected).clone(),
        version: Version::V6,
        challenge: rand::random(),
    };
    let (io, agreed) = drive(io, lengths, attempt, &own.name, || true).await?;
    match agreed.named {
        Some(named) => Ok((io, agreed.peer, named)),
        None => Err(explain(
            HandshakeError::NoName.into(),
            None,
            &own.name,
            expected,
        )),
    }
}

async fn drive<T>(
    mut io: T,
    lengths: Lengths,
    attempt: Attempt,
    own: &NodeName,
    still_wanted: impl Fn() -> bool,
) -> Result<(T, Agreed), ConnectError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let peer = attempt.peer.clone();
    let mut out = Vec::new();
    let mut machine = Initiator::start(attempt, &mut out);
    loop {
        let due = machine.due();
        let fail = |why| explain(why, due, own, &peer);
        let packet = exchange(&mut io, lengths, &mut out).await.map_err(fail)?;
        let mut step = machine.handle(&packet, &mut out);
        if step == Ok(initiator::Step::Wanted) {
            step = machine.still_wanted(still_wanted(), &mut out);
        }
        match step {
            Ok(initiator::Step::Done(agreed)) => return Ok((io, *agreed)),
            Ok(_) => {}
            Err(error) => {
                // What the peer is told of it; it is no matter if it is gone.
                let _ = write(&mut io, lengths, &mut out).await;
                return Err(fail(error.into()));
            }
        }
    }
}

/// Does the handshake as the one who is connected to. `judge` decides when the peer has said its name, before
/// anything is proved.
///
/// # Errors
/// [`AcceptError`], for the log.
pub async fn accept<T>(
    io: T,
    lengths: Lengths,
    own: &Identity,
    judge: impl FnOnce(&Stranger) -> Verdict,
) -> Result<(T, Peer), AcceptError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    accept_if(io, lengths, own, judge, |_| true).await
}

/// As [`accept`]. `still_wanted` is asked once the peer has proved the cookie, and before it is told that it is let in:
/// meanwhile another connection to it may have come about, of which both sides know.
///
/// # Errors
/// [`AcceptError`], for the log.
pub async fn accept_if<T>(
    mut io: T,
    lengths: Lengths,
    own: &Identity,
    judge: impl FnOnce(&Stranger) -> Verdict,
    still_wanted: impl FnOnce(&Peer) -> bool,
) -> Result<(T, Peer), AcceptError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = Vec::new();
    let mut machine = Acceptor::start(own.clone(), rand::random());
    let mut judge = Some(judge);
    let mut still_wanted = Some(still_wanted);
    let mut who = None;
    loop {
        let due = machine.due();
        let fail = |who: &Option<Claimed>, why| AcceptError {
            who: who.clone(),
            due,
            why,
        };
        let packet = exchange(&mut io, lengths, &mut out).await;
        let packet = packet.map_err(|why| fail(&who, why))?;
        let mut step = machine.handle(&packet, &mut out);
        if let Ok(acceptor::Step::Judge(stranger)) = &step {
            who = Some(stranger.name.clone());
            let verdict = judge.take().map(|judge| judge(stranger));
            step = machine.judged(verdict.unwrap_or(Verdict::Refuse), &mut out);
        }
        match step {
            Ok(acceptor::Step::Done(peer)) => {
                if !still_wanted.take().is_some_and(|wanted| wanted(&peer)) {
                    // This node made a connection to it meanwhile.
                    return Err(fail(&who, HandshakeError::OursGoesFirst.into()));
                }
                let written = write(&mut io, lengths, &mut out).await;
                written.map_err(|why| fail(&who, why))?;
                return Ok((io, *peer));
            }
            Ok(_) => {}
            Err(error) => {
                // What the peer is told of it; it is no matter if it is gone.
                let _ = write(&mut io, lengths, &mut out).await;
                return Err(fail(&who, error.into()));
            }
        }
    }
}

/// Why a node that connected was not let in: who it was, and what was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptError {
    /// Who it said it is, if it came to that.
    pub who: Option<Claimed>,
    due: Option<Kind>,
    why: Broken,
}

impl AcceptError {
    /// What the peer did, if it was not that it went away.
    #[must_use]
    pub fn handshake(&self) -> Option<&HandshakeError> {
        match &self.why {
            Broken::Handshake(error) => Some(error),
            Broken::Closed | Broken::Io(_) | Broken::Tls(_) => None,
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.who {
            Some(Claimed::Name(name)) => write!(f, "{name}: ")?,
            Some(Claimed::Host(host)) => write!(f, "a node at {host} that asks for a name: ")?,
            None => {}
        }
        match (&self.why, self.due) {
            (Broken::Handshake(error), _) => error.fmt(f),
            (Broken::Closed, Some(due)) => {
                write!(f, "it closed the connection where {due} was due")
            }
            (Broken::Closed, None) => f.write_str("it closed the connection"),
            (Broken::Io(error) | Broken::Tls(error), _) => f.write_str(error),
        }
    }
}

impl std::error::Error for AcceptError {}

/// Why there is no next packet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Broken {
    Closed,
    Io(String),
    Tls(String),
    Handshake(HandshakeError),
}

impl From<HandshakeError> for Broken {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        if tls::tls_error(&error).is_some() {
            return Self::Tls(tls::explain(&error));
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error.to_string()),
        }
    }
}

/// Writes what is to be sent, and reads the next packet. Not a byte more is read: the stream goes on with frames.
async fn exchange<T>(io: &mut T, lengths: Lengths, out: &mut Vec<u8>) -> Result<Vec<u8>, Broken>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let written = write(io, lengths, out).await;
    // A peer that hung up may have said why before.
    if written.is_err() && written != Err(Broken::Closed) {
        written?;
    }
    let length = match lengths {
        Lengths::Two => {
            let mut head = [0; 2];
            io.read_exact(&mut head).await?;
            packet::length(head)?
        }
        Lengths::Four => {
            let mut head = [0; 4];
            io.read_exact(&mut head).await?;
            packet::long_length(head)?
        }
    };
    let mut packet = vec![0; length];
    io.read_exact(&mut packet).await?;
    Ok(packet)
}

async fn write<T>(io: &mut T, lengths: Lengths, out: &mut Vec<u8>) -> Result<(), Broken>
where
    T: AsyncWrite + Unpin,
{
    match lengths {
        Lengths::Two => io.write_all(out).await?,
        Lengths::Four => io.write_all(&packet::with_long_lengths(out)).await?,
    }
    out.clear();
    io.flush().await?;
    Ok(())
}

/// Says what a failed handshake means to the one who connects.
fn explain(why: Broken, due: Option<Kind>, own: &NodeName, peer: &NodeName) -> ConnectError {
    let (own, peer) = (own.clone(), peer.clone());
    match why {
        Broken::Handshake(error) => match error {
            HandshakeError::Tls => ConnectError::Tls { peer },
            HandshakeError::Cookie => ConnectError::Cookie { peer },
            HandshakeError::NotAllowed => ConnectError::NotAllowed { own, peer },
            HandshakeError::TheirsGoesFirst | HandshakeError::Connected => {
                ConnectError::Simultaneous { own, peer }
            }
            HandshakeError::Version(_) => ConnectError::TooOld { peer },
            HandshakeError::OtherNode { found, .. } => ConnectError::OtherNode { peer, found },
            error => ConnectError::Handshake {
                peer,
                detail: error.to_string(),
            },
        },
        // OTP hangs up without a word on a digest that is not right.
        Broken::Closed if due == Some(Kind::Ack) => ConnectError::Cookie { peer },
        Broken::Closed => ConnectError::Handshake {
            peer,
            detail: match due {
                Some(due) => format!("it closed the connection where {due} was due"),
                None => "it closed the connection".into(),
            },
        },
        // With TLS 1.3, what the other side makes of our certificate comes this late.
        Broken::Tls(detail) => ConnectError::TlsHandshake { peer, detail },
        Broken::Io(detail) => ConnectError::Handshake { peer, detail },
    }
}
