//! The side that is connected to.

use super::digest::Digest;
use super::error::HandshakeError;
use super::packet::{self, Challenge, Claimed, Complement, Kind, Reply, SendName, Status, Version};
use super::{Identity, Peer};
use crate::dist::flags::Flags;
use crate::name::NodeName;
use crate::secret::Secret;

/// Who wants to connect, by its own words: nothing is proved yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// Its name, or its host if it asks for a name.
    pub name: Claimed,
    /// Tells this run of it from an earlier one.
    pub creation: Option<u32>,
    /// What it can do.
    pub flags: Flags,
}

/// What to answer to a node that wants to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Let it go on.
    Accept,
    /// Let it go on: this node had begun to connect to it too, and gives up on that. So the protocol has it when
    /// the name of the other is the greater one.
    AcceptSimultaneous,
    /// Tell it that this node's own attempt to connect to it goes first.
    OursGoesFirst,
    /// Ask it whether it still means it: there is a connection to it already. That one is closed once the
    /// newcomer has proved the cookie.
    Connected,
    /// Do not let it in.
    Refuse,
    /// Let it go on under this name, which it asked for.
    Name(Named),
}

/// A name that one node gives to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: NodeName,
    /// Tells this run of a node of that name from an earlier one.
    pub creation: u32,
}

/// What comes next in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The next packet.
    Packet,
    /// A verdict on who knocks: see [`Acceptor::judged`].
    Judge(Box<Stranger>),
    /// Nothing: both sides have proved the cookie.
    Done(Box<Peer>),
}

/// The handshake on the side that is connected to. It reads no clock and does no input or output: packets
/// without their lengths go in, bytes to be sent come out.
#[derive(Debug)]
pub struct Acceptor {
    own: Identity,
    challenge: u32,
    due: Due,
}

#[derive(Debug)]
enum Due {
    Name,
    /// Not a packet, but a verdict from this side.
    Verdict(Version, Box<Stranger>),
    /// The answer to `alive`.
    Alive(Box<Begun>),
    Complement(Box<Begun>),
    Reply(Box<Begun>),
    Nothing,
}

/// A handshake whose other side has a name.
#[derive(Debug)]
struct Begun {
    version: Version,
    name: NodeName,
    creation: Option<u32>,
    theirs: Flags,
    ours: Flags,
    cookie: Secret,
}

impl Acceptor {
    /// Begins, with a random `challenge` that was not used before.
    #[must_use]
    pub fn start(own: Identity, challenge: u32) -> Self {
        Self {
            own,
            challenge,
            due: Due::Name,
        }
    }

    /// Which packet has to come next, if one has.
    #[must_use]
    pub fn due(&self) -> Option<Kind> {
        match self.due {
            Due::Name => Some(Kind::Name),
            Due::Alive(_) => Some(Kind::Status),
            Due::Complement(_) => Some(Kind::Complement),
            Due::Reply(_) => Some(Kind::Reply),
            Due::Verdict(..) | Due::Nothing => None,
        }
    }

    /// Takes the next packet. What is to be sent is appended to `out`, also before an error.
    ///
    /// # Errors
    /// See [`HandshakeError`]; after any of them the handshake is over.
    pub fn handle(&mut self, packet: &[u8], out: &mut Vec<u8>) -> Result<Step, HandshakeError> {
        match std::mem::replace(&mut self.due, Due::Nothing) {
            Due::Name => {
                let said = SendName::decode(packet)?;
                let required = Flags::required(said.version);
                let missing = required.difference(said.flags);
                if !missing.is_empty() {
                    Status::NotAllowed.encode(out);
                    return Err(HandshakeError::Missing(missing));
                }
                let stranger = Box::new(Stranger {
                    name: said.name,
                    creation: said.creation,
                    flags: said.flags,
                });
                self.due = Due::Verdict(said.version, stranger.clone());
                Ok(Step::Judge(stranger))
            }
            Due::Alive(begun) => match Status::decode(packet)? {
                Status::True => Ok(self.send_challenge(begun, out)),
                Status::False => Err(HandshakeError::Connected),
                _ => Err(HandshakeError::Status(
                    String::from_utf8_lossy(&packet[1..]).into_owned(),
                )),
            },
            Due::Complement(mut begun) => {
                let complement = Complement::decode(packet)?;
                let high = u64::from(complement.flags) << 32;
                begun.theirs |= Flags::from_bits_retain(high);
                begun.creation = Some(complement.creation);
                self.due = Due::Reply(begun);
                Ok(Step::Packet)
            }
            Due::Reply(begun) => {
                let reply = Reply::decode(packet)?;
                let right = Digest::answer(&begun.cookie, self.challenge);
                if !reply.digest.matches(&right) {
                    return Err(HandshakeError::Cookie);
                }
                let digest = Digest::answer(&begun.cookie, reply.challenge);
                packet::encode_ack(&digest, out);
                Ok(Step::Done(Box::new(Peer {
                    name: begun.name,
                    creation: begun.creation,
                    hidden: !begun.theirs.contains(Flags::PUBLISHED),
                    flags: begun.ours & begun.theirs,
                })))
            }
            Due::Verdict(..) | Due::Nothing => Err(HandshakeError::Over),
        }
    }

    /// Answers [`Step::Judge`].
    ///
    /// # Errors
    /// Those that say that the handshake is over by this verdict; `out` tells the peer.
    pub fn judged(&mut self, verdict: Verdict, out: &mut Vec<u8>) -> Result<Step, HandshakeError> {
        let Due::Verdict(version, stranger) = std::mem::replace(&mut self.due, Due::Nothing) else {
            return Err(HandshakeError::Over);
        };
        let mut creation = stranger.creation;
        let mut ours = Flags::claimed(self.own.visible);
        let name = match (stranger.name, &verdict) {
            (_, Verdict::Refuse) => {
                Status::NotAllowed.encode(out);
                return Err(HandshakeError::Refused);
            }
            (_, Verdict::OursGoesFirst) => {
                Status::Nok.encode(out);
                return Err(HandshakeError::OursGoesFirst);
            }
            (Claimed::Name(name), _) => name,
            (Claimed::Host(_), Verdict::Name(named)) => {
                creation = Some(named.creation);
                // OTP takes a name only from a node that says it gave it, and only as a hidden one.
                ours = ours.difference(Flags::PUBLISHED) | Flags::NAME_ME;
                named.name.clone()
            }
            // To let a node in that has no name makes no sense.
            (Claimed::Host(_), _) => {
                Status::NotAllowed.encode(out);
                return Err(HandshakeError::Refused);
            }
        };
        let begun = Box::new(Begun {
            version,
            cookie: self.own.cookie_for(&name).clone(),
            name,
            creation,
            theirs: stranger.flags,
            ours,
        });
        let status = match verdict {
            Verdict::Connected => {
                Status::Alive.encode(out);
                self.due = Due::Alive(begun);
                return Ok(Step::Packet);
            }
            Verdict::AcceptSimultaneous => Status::OkSimultaneous,
            Verdict::Name(Named { name, creation }) if begun.ours.contains(Flags::NAME_ME) => {
                Status::Named { name, creation }
            }
            // The rest has been answered above.
            _ => Status::Ok,
        };
        status.encode(out);
        Ok(self.send_challenge(begun, out))
    }

    fn send_challenge(&mut self, mut begun: Box<Begun>, out: &mut Vec<u8>) -> Step {
        // A node of OTP 23 or 24 may begin with version 5 when it does not know better.
        let new = begun.theirs.contains(Flags::HANDSHAKE_23);
        let challenge = Challenge {
            version: if new { Version::V6 } else { Version::V5 },
            flags: begun.ours,
            challenge: self.challenge,
            creation: Some(self.own.creation),
            name: self.own.name.to_string(),
        };
        challenge.encode(out);
        self.due = match (begun.version, new) {
            (Version::V5, true) => Due::Complement(begun),
            (_, true) => Due::Reply(begun),
            (_, false) => {
                // Half of our flags went out.
                begun.ours = Flags::from_bits_retain(begun.ours.low().into());
                Due::Reply(begun)
            }
        };
        Step::Packet
    }
}
