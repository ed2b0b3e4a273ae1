//! The packets of the handshake: a length of two bytes, big-endian, then a letter and what belongs to it.
//!
//! Names are Latin-1 on the wire, save the one that is given to a node with the status `named:`, which is
//! UTF-8. After a name there may be more, which is left for what OTP may put there one day.

use std::fmt;

use super::digest::Digest;
use super::error::HandshakeError;
use crate::dist::flags::Flags;
use crate::name::{InvalidName, NodeName};

/// The longest packet that is taken, in bytes: four times what the longest name needs.
pub const MAX_PACKET: usize = 2048;

/// A version of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// The one of OTP 22 and earlier, with 32 flags and no creations.
    V5,
    /// The one that came with OTP 23, and the only one since OTP 25.
    V6,
}

/// What kind of packet it is, by the name that OTP's documentation gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `send_name`: who connects.
    Name,
    /// `send_status`: whether it may.
    Status,
    /// `send_challenge`: who is connected to, and a number.
    Challenge,
    /// `send_complement`: what version 5 had no room for.
    Complement,
    /// `send_challenge_reply`: the digest of that number, and another number.
    Reply,
    /// `send_challenge_ack`: the digest of that.
    Ack,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "send_name",
            Self::Status => "send_status",
            Self::Challenge => "send_challenge",
            Self::Complement => "send_complement",
            Self::Reply => "send_challenge_reply",
            Self::Ack => "send_challenge_ack",
        })
    }
}

/// What a connecting node calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// Its name.
    Name(NodeName),
    /// The host part of a name that the other is to give it: see [`Flags::NAME_ME`].
    Host(String),
}

/// The first packet, from the node that connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendName {
    /// In which form.
    pub version: Version,
    /// What it can do.
    pub flags: Flags,
    /// Tells this run of it from an earlier one; version 5 has none here.
    pub creation: Option<u32>,
    /// Who it is.
    pub name: Claimed,
}

/// What the node that is connected to answers, and what is answered to `alive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Go on.
    Ok,
    /// Go on; the other attempt, of the node that answers, is given up.
    OkSimultaneous,
    /// Give up; the other attempt goes on.
    Nok,
    /// Such a node may not connect.
    NotAllowed,
    /// There is a connection already; does the node that connects still mean it?
    Alive,
    /// The answer to that: yes, the other connection is dead.
    True,
    /// The answer to that: no.
    False,
    /// Go on, under this name.
    Named {
        /// The name.
        name: NodeName,
        /// Tells this run of a node of that name from an earlier one.
        creation: u32,
    },
}

/// The challenge, from the node that is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// In which form.
    pub version: Version,
    /// What it can do.
    pub flags: Flags,
    /// The number whose digest it wants.
    pub challenge: u32,
    /// Tells this run of it from an earlier one; version 5 has none.
    pub creation: Option<u32>,
    /// Who it is, as it says: bytes that are compared with the expected name.
    pub name: String,
}

/// What a node that began with version 5 adds once it learnt that the other speaks version 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Complement {
    /// The upper half of its flags.
    pub flags: u32,
    /// Its creation.
    pub creation: u32,
}

/// The answer to the challenge, from the node that connects.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    /// The number whose digest it wants itself.
    pub challenge: u32,
    /// The digest of the other's.
    pub digest: Digest,
}

/// Reads what the first two bytes of a packet say: how many follow.
///
/// # Errors
/// [`HandshakeError::Tls`], [`HandshakeError::TooLong`], [`HandshakeError::Empty`]: what comes is not a packet
/// of a handshake.
pub fn length(head: [u8; 2]) -> Result<usize, HandshakeError> {
    let length = usize::from(u16::from_be_bytes(head));
    match head {
        // A TLS record: an alert or a handshake, of major version 3. As a length both are far too long.
        [0x15 | 0x16, 3] => Err(HandshakeError::Tls),
        _ if length > MAX_PACKET => Err(HandshakeError::TooLong(head)),
        [0, 0] => Err(HandshakeError::Empty),
        _ => Ok(length),
    }
}

/// As [`length`], where lengths have four bytes.
///
/// # Errors
/// As those of [`length`], except [`HandshakeError::Tls`].
pub fn long_length(head: [u8; 4]) -> Result<usize, HandshakeError> {
    match u32::from_be_bytes(head) {
        0 => Err(HandshakeError::Empty),
        length => usize::try_from(length)
            .ok()
            .filter(|&length| length <= MAX_PACKET)
            .ok_or(HandshakeError::TooLong([head[0], head[1]])),
    }
}

/// Gives packets lengths of four bytes, in place of two.
#[must_use]
pub fn with_long_lengths(packets: &[u8]) -> Vec<u8> {
    let mut long = Vec::with_capacity(packets.len() + 8);
    for packet in super::packets(packets) {
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        long.extend_from_slice(&length.to_be_bytes());
        long.extend_from_slice(packet);
    }
    long
}

impl SendName {
    /// Appends it with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let name = match &self.name {
            Claimed::Name(name) => name.as_str(),
            Claimed::Host(host) => host,
        };
        framed(out, |out| match self.version {
            Version::V5 => {
                out.push(b'n');
                out.extend_from_slice(&5u16.to_be_bytes());
                out.extend_from_slice(&self.flags.low().to_be_bytes());
                put_latin1(out, name);
            }
            Version::V6 => {
                out.push(b'N');
                out.extend_from_slice(&self.flags.bits().to_be_bytes());
                out.extend_from_slice(&self.creation.unwrap_or(0).to_be_bytes());
                put_name(out, name);
            }
        });
    }

    /// Reads it.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(Kind::Name, packet);
        let version = match reader.letter()? {
            b'n' => Version::V5,
            b'N' => Version::V6,
            _ => return Err(reader.unexpected()),
        };
        let (flags, creation, name) = match version {
            Version::V5 => {
                let number = reader.u16()?;
                if number < 5 {
                    return Err(HandshakeError::Version(number));
                }
                let flags = Flags::from_wire(reader.u32()?.into());
                (flags, None, latin1(reader.rest()))
            }
            Version::V6 => {
                let flags = Flags::from_wire(reader.u64()?);
                (flags, Some(reader.u32()?), reader.name()?)
            }
        };
        let name = if flags.contains(Flags::NAME_ME) {
            // The host is valid if a name at it is.
            let valid = NodeName::new("x", &name);
            valid.map_err(|why| HandshakeError::Name {
                name: name.clone(),
                why,
            })?;
            Claimed::Host(name)
        } else {
            Claimed::Name(node_name(name)?)
        };
        Ok(Self {
            version,
            flags,
            creation,
            name,
        })
    }
}

impl Status {
    /// Appends it with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let word: &[u8] = match self {
            Self::Ok => b"ok",
            Self::OkSimultaneous => b"ok_simultaneous",
            Self::Nok => b"nok",
            Self::NotAllowed => b"not_allowed",
            Self::Alive => b"alive",
            Self::True => b"true",
            Self::False => b"false",
            Self::Named { .. } => b"named:",
        };
        framed(out, |out| {
            out.push(b's');
            out.extend_from_slice(word);
            if let Self::Named { name, creation } = self {
                let name = name.as_str().as_bytes();
                // A node name has at most 255 characters, so at most 1,020 bytes.
                let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(name);
                out.extend_from_slice(&creation.to_be_bytes());
            }
        });
    }

    /// Reads it.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(Kind::Status, packet);
        if reader.letter()? != b's' {
            return Err(reader.unexpected());
        }
        Ok(match reader.rest() {
            b"ok" => Self::Ok,
            b"ok_simultaneous" => Self::OkSimultaneous,
            b"nok" => Self::Nok,
            b"not_allowed" => Self::NotAllowed,
            b"alive" => Self::Alive,
            b"true" => Self::True,
            b"false" => Self::False,
            named if named.starts_with(b"named:") => {
                reader.skip(b"named:".len())?;
                let length = reader.u16()?;
                let bytes = reader.take(length.into())?;
                let name = NodeName::from_bytes(bytes).map_err(|why| HandshakeError::Name {
                    name: String::from_utf8_lossy(bytes).into_owned(),
                    why,
                })?;
                let creation = reader.u32()?;
                Self::Named { name, creation }
            }
            unknown => {
                // No status is longer; what is shown of an unknown one is bounded.
                let shown = &unknown[..unknown.len().min(32)];
                return Err(HandshakeError::Status(latin1(shown)));
            }
        })
    }
}

impl Challenge {
    /// Appends it with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        framed(out, |out| match self.version {
            Version::V5 => {
                out.push(b'n');
                out.extend_from_slice(&5u16.to_be_bytes());
                out.extend_from_slice(&self.flags.low().to_be_bytes());
                out.extend_from_slice(&self.challenge.to_be_bytes());
                put_latin1(out, &self.name);
            }
            Version::V6 => {
                out.push(b'N');
                out.extend_from_slice(&self.flags.bits().to_be_bytes());
                out.extend_from_slice(&self.challenge.to_be_bytes());
                out.extend_from_slice(&self.creation.unwrap_or(0).to_be_bytes());
                put_name(out, &self.name);
            }
        });
    }

    /// Reads it.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(Kind::Challenge, packet);
        match reader.letter()? {
            b'n' => {
                let number = reader.u16()?;
                if number < 5 {
                    return Err(HandshakeError::Version(number));
                }
                Ok(Self {
                    version: Version::V5,
                    flags: Flags::from_wire(reader.u32()?.into()),
                    challenge: reader.u32()?,
                    creation: None,
                    name: latin1(reader.rest()),
                })
            }
            b'N' => Ok(Self {
                version: Version::V6,
                flags: Flags::from_wire(reader.u64()?),
                challenge: reader.u32()?,
                creation: Some(reader.u32()?),
                name: reader.name()?,
            }),
            _ => Err(reader.unexpected()),
        }
    }
}

impl Complement {
    /// Appends it with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        framed(out, |out| {
            out.push(b'c');
            out.extend_from_slice(&self.flags.to_be_bytes());
            out.extend_from_slice(&self.creation.to_be_bytes());
        });
    }

    /// Reads it.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(Kind::Complement, packet);
        if reader.letter()? != b'c' {
            return Err(reader.unexpected());
        }
        Ok(Self {
            flags: reader.u32()?,
            creation: reader.u32()?,
        })
    }
}

impl Reply {
    /// Appends it with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        framed(out, |out| {
            out.push(b'r');
            out.extend_from_slice(&self.challenge.to_be_bytes());
            out.extend_from_slice(self.digest.as_bytes());
        });
    }

    /// Reads it.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub fn decode(packet: &[u8]) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(Kind::Reply, packet);
        if reader.letter()? != b'r' {
            return Err(reader.unexpected());
        }
        let challenge = reader.u32()?;
        let digest = reader.digest()?;
        Ok(Self { challenge, digest })
    }
}

/// Appends a `send_challenge_ack` with its length.
pub fn encode_ack(digest: &Digest, out: &mut Vec<u8>) {
    framed(out, |out| {
        out.push(b'a');
        out.extend_from_slice(digest.as_bytes());
    });
}

/// Reads a `send_challenge_ack`.
///
/// # Errors
/// See [`HandshakeError`].
pub fn decode_ack(packet: &[u8]) -> Result<Digest, HandshakeError> {
    let mut reader = Reader::new(Kind::Ack, packet);
    if reader.letter()? != b'a' {
        return Err(reader.unexpected());
    }
    reader.digest()
}

/// Appends what `body` writes, behind its length.
fn framed(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 2]);
    body(out);
    // No packet comes near to 64 KiB: names are bounded.
    let length = u16::try_from(out.len() - start - 2).unwrap_or(u16::MAX);
    out[start..start + 2].copy_from_slice(&length.to_be_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    // A node name has at most 255 characters, each of which is a byte in Latin-1.
    let length = u16::try_from(name.chars().count()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    put_latin1(out, name);
}

/// [`NodeName`] lets no characters in that Latin-1 does not have.
fn put_latin1(out: &mut Vec<u8>, text: &str) {
    out.extend(text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')));
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn node_name(name: String) -> Result<NodeName, HandshakeError> {
    name.parse()
        .map_err(|why: InvalidName| HandshakeError::Name { name, why })
}

/// Reads a packet from its start on.
struct Reader<'a> {
    kind: Kind,
    whole: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(kind: Kind, packet: &'a [u8]) -> Self {
        Self {
            kind,
            whole: packet,
            rest: packet,
        }
    }

    fn letter(&mut self) -> Result<u8, HandshakeError> {
        match self.rest.split_first() {
            Some((&letter, rest)) => {
                self.rest = rest;
                Ok(letter)
            }
            None => Err(HandshakeError::Empty),
        }
    }

    fn unexpected(&self) -> HandshakeError {
        HandshakeError::Unexpected {
            due: self.kind,
            letter: self.whole.first().copied().unwrap_or(0),
        }
    }

    fn short(&self) -> HandshakeError {
        HandshakeError::Length {
            kind: self.kind,
            length: self.whole.len(),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], HandshakeError> {
        let split = self.rest.split_at_checked(length);
        let (taken, rest) = split.ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip(&mut self, length: usize) -> Result<(), HandshakeError> {
        self.take(length).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], HandshakeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or_else(|| self.short())?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, HandshakeError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, HandshakeError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, HandshakeError> {
        self.array().map(u64::from_be_bytes)
    }

    fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// A name behind its length.
    fn name(&mut self) -> Result<String, HandshakeError> {
        let length = self.u16()?;
        self.take(length.into()).map(latin1)
    }

    /// A digest, with which a packet ends.
    fn digest(&mut self) -> Result<Digest, HandshakeError> {
        let digest = self.array().map(Digest::from_wire)?;
        if self.rest.is_empty() {
            Ok(digest)
        } else {
            Err(self.short())
        }
    }
}
