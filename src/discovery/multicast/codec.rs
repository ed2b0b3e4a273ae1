//! The native announcement: bytes to meaning and back, with no socket, clock or memory of its own.
//!
//! `docs/announcement.md` describes the layout. Everything but the last 32 bytes is authenticated by
//! them, an HMAC-SHA256 ([RFC 2104](https://www.rfc-editor.org/rfc/rfc2104),
//! [FIPS 180-4](https://csrc.nist.gov/pubs/fips/180-4/upd1/final)) under a key derived from the
//! cluster's secret.
//!
//! [`decode`] borrows from the datagram and allocates nothing. What is too short, too long, not ours or
//! another cluster's is refused before anything is hashed; a forged datagram costs one hash.

use std::fmt;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// The longest announcement, in bytes: what an IPv6 packet of the least MTU (1,280 bytes,
/// [RFC 8200](https://www.rfc-editor.org/rfc/rfc8200#section-5)) holds, and a little less, for tunnels.
pub const MAX_DATAGRAM: usize = 1200;

/// The version of the layout.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"RNDZ";
const HEADER: usize = 50;
const MAC: usize = 32;
const MENTION_HEADER: usize = 14;

/// The shortest announcement, in bytes: one without a name.
pub const MIN_DATAGRAM: usize = HEADER + MAC;

/// The most bytes a node name takes: 255 characters, of which those after the `@` can take two each.
const MAX_NAME: usize = 510;

/// What authenticates a cluster's announcements, derived from its secret, and the cluster's tag.
#[derive(Clone)]
pub struct Key {
    mac: Hmac<Sha256>,
    cluster: [u8; 8],
}

impl Key {
    /// Derives the key from a secret (or the cookie) and names the cluster.
    ///
    /// The cookie itself never keys an announcement, so a digest seen here is of no use in the
    /// distribution's handshake.
    #[must_use]
    pub fn derive(secret: &Secret, cluster: &str) -> Self {
        let derived = keyed(secret.expose())
            .chain_update(b"rendez announcement key 1")
            .finalize()
            .into_bytes();
        let mut digest = Sha256::new();
        digest.update(b"rendez cluster 1\0");
        digest.update(cluster.as_bytes());
        let mut tag = [0; 8];
        tag.copy_from_slice(&digest.finalize()[..8]);
        Self {
            mac: keyed(&derived),
            cluster: tag,
        }
    }
}

impl Key {
    /// `body` and the code that authenticates it: what only a member can make, whatever `body` says.
    ///
    /// For tests and fuzzing; an announcement is made with [`Draft`].
    #[must_use]
    pub fn authenticate(&self, body: &[u8]) -> Vec<u8> {
        let mac = self.mac.clone().chain_update(body).finalize();
        [body, &mac.into_bytes()].concat()
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length")
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// What an announcement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The sender has just started, or wants to know at once who is there.
    Hello,
    /// The sender lives.
    Announce,
    /// The sender lives, and tells someone who asked whom it knows.
    Answer,
    /// The sender leaves.
    Goodbye,
}

impl Kind {
    fn to_byte(self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Announce => 2,
            Self::Answer => 3,
            Self::Goodbye => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Hello,
            2 => Self::Announce,
            3 => Self::Answer,
            4 => Self::Goodbye,
            _ => return None,
        })
    }
}

/// What an announcement says of its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// What it is for.
    pub kind: Kind,
    /// Which start of the node this is; a later start has a greater number.
    pub boot: u64,
    /// The place of this announcement among those of the boot.
    pub sequence: u64,
    /// When it was made by the sender's clock, since 1970-01-01 UTC. Carried in milliseconds.
    pub time: Duration,
    /// How long it holds. Carried in milliseconds, at most some 49 days.
    pub ttl: Duration,
    /// How many other nodes the sender knows.
    pub known: u32,
    /// The sender's node name; empty in the hello of one that only looks. Not yet validated.
    pub name: &'a str,
}

/// Another node that the sender knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mention<'a> {
    /// The boot that the sender knows of.
    pub boot: u64,
    /// For how much longer the sender takes the node to live, in whole milliseconds; zero: it said
    /// goodbye.
    pub remaining: Duration,
    /// Its node name. Not yet validated.
    pub name: &'a str,
}

/// An authentic announcement of our cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement<'a> {
    /// What it says of its sender.
    pub header: Header<'a>,
    /// The other nodes that it names.
    pub mentions: Mentions<'a>,
}

/// Iterates over the nodes that an announcement names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mentions<'a> {
    left: u16,
    bytes: &'a [u8],
}

impl<'a> Mentions<'a> {
    fn read(&mut self) -> Option<Mention<'a>> {
        self.left = self.left.checked_sub(1)?;
        let boot = u64::from_be_bytes(take(&mut self.bytes)?);
        let remaining = millis(u32::from_be_bytes(take(&mut self.bytes)?).into());
        let name = take_name(&mut self.bytes).filter(|name| !name.is_empty())?;
        Some(Mention {
            boot,
            remaining,
            name,
        })
    }
}

impl<'a> Iterator for Mentions<'a> {
    type Item = Mention<'a>;

    fn next(&mut self) -> Option<Mention<'a>> {
        self.read()
    }
}

/// Why a datagram is no announcement for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Shorter than the shortest announcement.
    #[error("it is shorter than an announcement can be")]
    Truncated,
    /// Longer than [`MAX_DATAGRAM`].
    #[error("it is longer than an announcement can be")]
    Oversized,
    /// It does not begin as announcements do.
    #[error("it is no announcement of Rendez")]
    Foreign,
    /// A layout that this release does not know.
    #[error("it is of version {0}; this release reads version {VERSION}")]
    Version(u8),
    /// Another cluster's.
    #[error("it belongs to another cluster")]
    OtherCluster,
    /// The code at its end is not what the secret gives.
    #[error("it is forged, or made with another secret")]
    Forged,
    /// Authentic, and still not what the layout says.
    #[error("it is authentic, and malformed")]
    Malformed,
}

/// Reads a datagram.
///
/// # Errors
/// [`DecodeError`], the cheapest cause first; only the last two cost a hash.
pub fn decode<'a>(key: &Key, datagram: &'a [u8]) -> Result<Announcement<'a>, DecodeError> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(DecodeError::Oversized);
    }
    let Some((body, mac)) = datagram
        .split_last_chunk::<MAC>()
        .filter(|(body, _)| body.len() >= HEADER)
    else {
        // What is too short to be ours need not be ours at all: say so if its beginning tells.
        return Err(if datagram.starts_with(&MAGIC) {
            DecodeError::Truncated
        } else {
            DecodeError::Foreign
        });
    };
    if !body.starts_with(&MAGIC) {
        return Err(DecodeError::Foreign);
    }
    if body[4] != VERSION {
        return Err(DecodeError::Version(body[4]));
    }
    if body[8..16] != key.cluster {
        return Err(DecodeError::OtherCluster);
    }
    key.mac
        .clone()
        .chain_update(body)
        .verify_slice(mac)
        .map_err(|_| DecodeError::Forged)?;
    parse(body).ok_or(DecodeError::Malformed)
}

/// The boot id and the name in what looks like an announcement, unverified: enough to pass over one's own.
#[must_use]
pub fn peek_sender(datagram: &[u8]) -> Option<(u64, &[u8])> {
    if !datagram.starts_with(&MAGIC) || datagram.len() < MIN_DATAGRAM {
        return None;
    }
    let boot = take(&mut datagram.get(16..)?).map(u64::from_be_bytes)?;
    let length = usize::from(u16::from_be_bytes(take(&mut datagram.get(48..)?)?));
    Some((boot, datagram.get(HEADER..)?.get(..length)?))
}

/// Reads the part whose MAC was right.
fn parse(body: &[u8]) -> Option<Announcement<'_>> {
    let kind = Kind::from_byte(body[5])?;
    let mut rest = &body[6..];
    let left = u16::from_be_bytes(take(&mut rest)?);
    let _cluster: [u8; 8] = take(&mut rest)?;
    let boot = u64::from_be_bytes(take(&mut rest)?);
    let sequence = u64::from_be_bytes(take(&mut rest)?);
    let time = millis(u64::from_be_bytes(take(&mut rest)?));
    let ttl = millis(u32::from_be_bytes(take(&mut rest)?).into());
    let known = u32::from_be_bytes(take(&mut rest)?);
    let name = take_name(&mut rest)?;
    if name.is_empty() && kind != Kind::Hello {
        return None;
    }
    let mentions = Mentions { left, bytes: rest };
    // Walked once here, so that nobody who iterates over them has to think of a broken one.
    let mut walk = mentions;
    for _ in 0..left {
        walk.read()?;
    }
    walk.bytes.is_empty().then_some(Announcement {
        header: Header {
            kind,
            boot,
            sequence,
            time,
            ttl,
            known,
            name,
        },
        mentions,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_name<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let length = usize::from(u16::from_be_bytes(take(bytes)?));
    if length > MAX_NAME {
        return None;
    }
    let (name, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    std::str::from_utf8(name).ok()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An announcement in the making.
#[derive(Debug)]
pub struct Draft<'a> {
    key: &'a Key,
    bytes: Vec<u8>,
    mentions: u16,
}

impl<'a> Draft<'a> {
    /// Begins with what is said of the sender. A time or ttl too long for its field is shortened.
    #[must_use]
    pub fn new(key: &'a Key, header: &Header<'_>) -> Self {
        let mut bytes = Vec::with_capacity(MAX_DATAGRAM);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(VERSION);
        bytes.push(header.kind.to_byte());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&key.cluster);
        bytes.extend_from_slice(&header.boot.to_be_bytes());
        bytes.extend_from_slice(&header.sequence.to_be_bytes());
        let time = u64::try_from(header.time.as_millis()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&time.to_be_bytes());
        bytes.extend_from_slice(&short_millis(header.ttl).to_be_bytes());
        bytes.extend_from_slice(&header.known.to_be_bytes());
        push_name(&mut bytes, header.name);
        Self {
            key,
            bytes,
            mentions: 0,
        }
    }

    /// Names another node. Answers whether it still fitted.
    pub fn mention(&mut self, mention: &Mention<'_>) -> bool {
        let longer = self.bytes.len() + MENTION_HEADER + mention.name.len();
        if longer + MAC > MAX_DATAGRAM {
            return false;
        }
        self.bytes.extend_from_slice(&mention.boot.to_be_bytes());
        self.bytes
            .extend_from_slice(&short_millis(mention.remaining).to_be_bytes());
        push_name(&mut self.bytes, mention.name);
        self.mentions += 1;
        true
    }

    /// Ends with the code that authenticates it, and hands the datagram out.
    #[must_use]
    pub fn seal(mut self) -> Vec<u8> {
        self.bytes[6..8].copy_from_slice(&self.mentions.to_be_bytes());
        self.key.authenticate(&self.bytes)
    }
}

fn short_millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn push_name(bytes: &mut Vec<u8>, name: &str) {
    debug_assert!(name.len() <= MAX_NAME, "a NodeName is never longer");
    let name = &name.as_bytes()[..name.len().min(MAX_NAME)];
    #[allow(clippy::cast_possible_truncation)] // at most MAX_NAME
    bytes.extend_from_slice(&(name.len() as u16).to_be_bytes());
    bytes.extend_from_slice(name);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        Key::derive(&Secret::new("monster"), "")
    }

    fn header() -> Header<'static> {
        Header {
            kind: Kind::Announce,
            boot: 0x0102_0304_0506_0708,
            sequence: 9,
            time: Duration::from_millis(1_795_249_545_123),
            ttl: Duration::from_secs(30),
            known: 3,
            name: "shop@10.0.0.7",
        }
    }

    fn datagram() -> Vec<u8> {
        let key = key();
        let mut draft = Draft::new(&key, &header());
        assert!(draft.mention(&Mention {
            boot: 7,
            remaining: Duration::from_millis(1500),
            name: "a@b",
        }));
        draft.seal()
    }

    /// The bytes as `docs/announcement.md` shows them, with a MAC that OpenSSL made.
    #[test]
    fn the_documented_bytes() {
        let hex: String = datagram().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            concat!(
                "524e445a",         // RNDZ
                "01",               // version
                "02",               // announce
                "0001",             // one mention
                "de196b0de339666e", // cluster
                "0102030405060708", // boot
                "0000000000000009", // sequence
                "000001a1fd361fa3", // time
                "00007530",         // ttl
                "00000003",         // known
                "000d",
                "73686f704031302e302e302e37", // shop@10.0.0.7
                "0000000000000007",
                "000005dc",
                "0003",
                "614062", // a@b
                "433741e5d00c08cb69f544c3aa3fb980d420742e498eb8dbbdffcad1afc776bd",
            )
        );
    }

    #[test]
    fn what_was_sealed_is_read_back() {
        let datagram = datagram();
        let read = decode(&key(), &datagram).unwrap();
        assert_eq!(read.header, header());
        let mentions: Vec<_> = read.mentions.collect();
        assert_eq!(
            mentions,
            [Mention {
                boot: 7,
                remaining: Duration::from_millis(1500),
                name: "a@b",
            }]
        );
        assert_eq!(
            peek_sender(&datagram),
            Some((header().boot, header().name.as_bytes()))
        );
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let datagram = datagram();
        for bit in 0..datagram.len() * 8 {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&key(), &changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn each_refusal_has_its_cause() {
        let good = datagram();
        let changed = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            bytes
        };
        for (bytes, why) in [
            (Vec::new(), DecodeError::Foreign),
            (b"Peer:alpha@127.0.0.1".to_vec(), DecodeError::Foreign),
            (good[..MIN_DATAGRAM - 1].to_vec(), DecodeError::Truncated),
            (good[..good.len() - 1].to_vec(), DecodeError::Forged),
            (vec![0; MAX_DATAGRAM + 1], DecodeError::Oversized),
            (changed(0), DecodeError::Foreign),
            (changed(4), DecodeError::Version(0xfe)),
            (changed(8), DecodeError::OtherCluster),
            (changed(16), DecodeError::Forged),
            (changed(good.len() - 1), DecodeError::Forged),
        ] {
            assert_eq!(decode(&key(), &bytes), Err(why), "{bytes:?}");
        }
        let other = Key::derive(&Secret::new("other"), "");
        assert_eq!(decode(&other, &good), Err(DecodeError::Forged));
        let cluster = Key::derive(&Secret::new("monster"), "blue");
        assert_eq!(decode(&cluster, &good), Err(DecodeError::OtherCluster));
    }

    /// A member with a fault of its own: the code at the end is right, what it covers is not.
    #[test]
    fn authentic_nonsense_is_malformed() {
        let seal = |change: &dyn Fn(&mut Vec<u8>)| {
            let key = key();
            let mut draft = Draft::new(&key, &header());
            change(&mut draft.bytes);
            draft.seal()
        };
        for (what, bytes) in [
            ("a kind without a meaning", seal(&|b| b[5] = 9)),
            ("a name past the end", seal(&|b| b[48] = 1)),
            ("a name that is not UTF-8", seal(&|b| b[50] = 0xff)),
            ("an announcement of nobody", {
                let key = key();
                Draft::new(
                    &key,
                    &Header {
                        name: "",
                        ..header()
                    },
                )
                .seal()
            }),
            ("bytes after the last mention", seal(&|b| b.push(0))),
            ("half a mention", {
                let key = key();
                let mut draft = Draft::new(&key, &header());
                draft.mentions = 1;
                draft.bytes.extend_from_slice(&[0; 9]);
                draft.seal()
            }),
        ] {
            assert_eq!(
                decode(&key(), &bytes),
                Err(DecodeError::Malformed),
                "{what}"
            );
        }
    }

    #[test]
    fn a_draft_never_outgrows_a_datagram() {
        let key = key();
        let longest = format!("a@{}", "ö".repeat(253));
        let mut draft = Draft::new(
            &key,
            &Header {
                name: &longest,
                ..header()
            },
        );
        let mention = Mention {
            boot: 1,
            remaining: Duration::ZERO,
            name: &longest,
        };
        let mut fitted = 0;
        while draft.mention(&mention) {
            fitted += 1;
        }
        let datagram = draft.seal();
        assert!(datagram.len() <= MAX_DATAGRAM);
        assert_eq!(decode(&key, &datagram).unwrap().mentions.count(), fitted);
        assert_eq!(fitted, 1);
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", key()), "Key(..)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1400)) {
            prop_assert!(decode(&key(), &bytes).is_err());
        }

        #[test]
        fn any_authentic_bytes_are_read_or_refused(tail in prop::collection::vec(any::<u8>(), 0..300), kind in 0..6u8, mentions in 0..4u16) {
            let key = key();
            let mut draft = Draft::new(&key, &header());
            draft.bytes[5] = kind;
            draft.mentions = mentions;
            draft.bytes.truncate(48);
            draft.bytes.extend_from_slice(&tail);
            let datagram = draft.seal();
            if let Ok(read) = decode(&key, &datagram) {
                // What is read makes the same bytes again: there is one way to say a thing.
                let mut again = Draft::new(&key, &read.header);
                for mention in read.mentions {
                    prop_assert!(again.mention(&mention));
                }
                prop_assert_eq!(again.seal(), datagram);
            }
        }
    }
}
