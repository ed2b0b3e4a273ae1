//! The side that connects.

use super::digest::Digest;
use super::error::HandshakeError;
use super::packet::{self, Challenge, Claimed, Complement, Kind, Reply, SendName, Status, Version};
use super::{Named, Peer};
use crate::dist::flags::Flags;
use crate::name::NodeName;
use crate::secret::Secret;

/// What an [`Initiator`] needs to know.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Who this node is: its name, or the host part of the name that the peer is to give it.
    pub own: Claimed,
    /// Tells this run of the node from an earlier one. Nothing if it asks for a name: the peer gives both.
    pub creation: u32,
    /// What this node can do: see [`Flags::claimed`].
    pub flags: Flags,
    /// The node that is to be connected to.
    pub peer: NodeName,
    /// The cookie that it is to have.
    pub cookie: Secret,
    /// The version to begin with. EPMD knows what the peer speaks.
    pub version: Version,
    /// A random number that was not used before.
    pub challenge: u32,
}

/// What comes next in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next packet.
    Packet,
    /// The peer has a connection to this node already. Is this one still wanted? See
    /// [`Initiator::still_wanted`].
    Wanted,
    /// Nothing: both sides have proved the cookie.
    Done(Box<Agreed>),
}

/// What a handshake came to, on the side that connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Who the peer is.
    pub peer: Peer,
    /// The name that the peer gave to this node, if it had asked for one.
    pub named: Option<Named>,
}

/// The handshake on the side that connects. It reads no clock and does no input or output: packets without
/// their lengths go in, bytes to be sent come out.
#[derive(Debug)]
pub struct Initiator {
    attempt: Attempt,
    named: Option<Named>,
    due: Due,
}

#[derive(Debug)]
enum Due {
    Status,
    /// Not a packet, but an answer from this side.
    Wanted,
    Challenge,
    Ack(Box<Agreed>),
    Nothing,
}

impl Initiator {
    /// Begins, with a `send_name` in `out`.
    pub fn start(mut attempt: Attempt, out: &mut Vec<u8>) -> Self {
        if matches!(attempt.own, Claimed::Host(_)) {
            // Who asks for a name is hidden, has no creation, and needs flags beyond the 32nd.
            attempt.flags = attempt.flags.difference(Flags::PUBLISHED) | Flags::NAME_ME;
            attempt.creation = 0;
            attempt.version = Version::V6;
        }
        let name = SendName {
            version: attempt.version,
            flags: attempt.flags,
            creation: Some(attempt.creation),
            name: attempt.own.clone(),
        };
        name.encode(out);
        Self {
            attempt,
            named: None,
            due: Due::Status,
        }
    }

    /// Which packet has to come next, if one has.
    #[must_use]
    pub fn due(&self) -> Option<Kind> {
        match self.due {
            Due::Status => Some(Kind::Status),
            Due::Challenge => Some(Kind::Challenge),
            Due::Ack(_) => Some(Kind::Ack),
            Due::Wanted | Due::Nothing => None,
        }
    }

    /// Takes the next packet. What is to be sent is appended to `out`, also before an error.
    ///
    /// # Errors
    /// See [`HandshakeError`]; after any of them the handshake is over.
    pub fn handle(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<Step, HandshakeError> {
        match std::mem::replace(&mut self.due, Due::Nothing) {
            Due::Status => self.status(Status::decode(packet)?),
            Due::Challenge => self.challenge(&Challenge::decode(packet)?, out),
            Due::Ack(agreed) => {
                let right = Digest::answer(&self.attempt.cookie, self.attempt.challenge);
                if packet::decode_ack(packet)?.matches(&right) {
                    Ok(Step::Done(agreed))
                } else {
                    Err(HandshakeError::Cookie)
                }
            }
            Due::Wanted | Due::Nothing => Err(HandshakeError::Over),
        }
    }

    /// Answers [`Step::Wanted`]: whether this attempt is still to become the connection. It is not when the
    /// peer has connected to this node meanwhile.
    ///
    /// # Errors
    /// [`HandshakeError::Connected`] if it is not; `out` tells the peer.
    pub fn still_wanted(
        &mut self,
        wanted: bool,
        out: &mut Vec<u8>,
    ) -> Result<Step, HandshakeError> {
        match std::mem::replace(&mut self.due, Due::Nothing) {
            Due::Wanted if wanted => {
                Status::True.encode(out);
                self.due = Due::Challenge;
                Ok(Step::Packet)
            }
            Due::Wanted => {
                Status::False.encode(out);
                Err(HandshakeError::Connected)
            }
            _ => Err(HandshakeError::Over),
        }
    }

    fn status(&mut self, status: Status) -> Result<Step, HandshakeError> {
        match (status, &self.attempt.own) {
            (Status::NotAllowed, _) => Err(HandshakeError::NotAllowed),
            (Status::Nok, _) => Err(HandshakeError::TheirsGoesFirst),
            (Status::Named { name, creation }, Claimed::Host(host)) => {
                if name.host() != host {
                    return Err(HandshakeError::OtherHost(name));
                }
                self.named = Some(Named { name, creation });
                self.due = Due::Challenge;
                Ok(Step::Packet)
            }
            (Status::Ok | Status::OkSimultaneous | Status::Alive, Claimed::Host(_)) => {
                Err(HandshakeError::NoName)
            }
            (Status::Ok | Status::OkSimultaneous, Claimed::Name(_)) => {
                self.due = Due::Challenge;
                Ok(Step::Packet)
            }
            (Status::Alive, Claimed::Name(_)) => {
                self.due = Due::Wanted;
                Ok(Step::Wanted)
            }
            (Status::Named { .. }, Claimed::Name(_)) => Err(HandshakeError::Status("named".into())),
            (Status::True, _) => Err(HandshakeError::Status("true".into())),
            (Status::False, _) => Err(HandshakeError::Status("false".into())),
        }
    }

    fn challenge(&mut self, theirs: &Challenge, out: &mut Vec<u8>) -> Result<Step, HandshakeError> {
        let own = &self.attempt;
        if theirs.name != own.peer.as_str() {
            return Err(HandshakeError::OtherNode {
                expected: own.peer.clone(),
                found: theirs.name.clone(),
            });
        }
        let missing = Flags::required(theirs.version).difference(theirs.flags);
        if !missing.is_empty() {
            return Err(HandshakeError::Missing(missing));
        }
        // Version 5 has room for half of our flags, so no more is agreed on with a peer that stays with it.
        let flags = match theirs.version {
            Version::V5 => Flags::from_bits_retain(own.flags.low().into()),
            Version::V6 => own.flags,
        };
        if own.version == Version::V5 && theirs.version == Version::V6 {
            let complement = Complement {
                flags: own.flags.high(),
                creation: own.creation,
            };
            complement.encode(out);
        }
        let reply = Reply {
            challenge: own.challenge,
            digest: Digest::answer(&own.cookie, theirs.challenge),
        };
        reply.encode(out);
        self.due = Due::Ack(Box::new(Agreed {
            peer: Peer {
                name: own.peer.clone(),
                creation: theirs.creation,
                hidden: !theirs.flags.contains(Flags::PUBLISHED),
                flags: flags & theirs.flags,
            },
            named: self.named.take(),
        }));
        Ok(Step::Packet)
    }
}
