//! nodefinder: the sender's name, the time and a MAC under the cookie.
//!
//! | version | layout, a space after each part | key | MAC | time |
//! | --- | --- | --- | --- | --- |
//! | 5 (2.0) | `ERLANG/NODEFINDER 5`, MAC, time, connection, name | SHA-256 of the cookie | HMAC-SHA256 | Unix |
//! | 4 (1.8) | `ERLANG/NODEFINDER 4`, MAC, time, name | SHA-256 of the cookie | HMAC-SHA256 | Unix |
//! | 3 (1.7.3) | `ERLANG/NODEFINDER 3`, MAC, time, name | SHA-256 of the cookie's term | HMAC-SHA256 | Unix |
//! | 2 (1.7.2 and before) | `DISCOVERV2`, MAC, time, name | SHA-1 of the cookie's term | HMAC-SHA1 | Gregorian |
//!
//! The time is 8 bytes of seconds, the connection one byte: 1 visible, 2 hidden. The MAC covers the time and
//! the name, not the connection. The cookie's term is that of `term_to_binary/1`, which differs between
//! releases of OTP, so versions 3 and 2 have two keys each. Only version 5 is sent.

use std::time::Duration;

use hmac::digest::{FixedOutput, Update};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Heard, Refused, term};
use crate::name::NodeName;
use crate::secret::Secret;

const V5: &[u8] = b"ERLANG/NODEFINDER 5 ";
const V4: &[u8] = b"ERLANG/NODEFINDER 4 ";
const V3: &[u8] = b"ERLANG/NODEFINDER 3 ";
const V2: &[u8] = b"DISCOVERV2 ";

/// Between the years 0 and 1970: what `calendar:datetime_to_gregorian_seconds/1` says of the latter.
const GREGORIAN: u64 = 62_167_219_200;

/// How far the time of an announcement may be from ours.
pub const WINDOW: Duration = Duration::from_secs(300);

const VISIBLE: u8 = 1;
const HIDDEN: u8 = 2;

/// Writes and reads nodefinder's announcements.
#[derive(Clone)]
pub struct Nodefinder {
    v4: Hmac<Sha256>,
    v3: Vec<Hmac<Sha256>>,
    v2: Vec<Hmac<Sha1>>,
    hidden: bool,
}

impl Nodefinder {
    /// With the cookie, and with `hidden` for a node that only wants hidden connections.
    #[must_use]
    pub fn new(cookie: &Secret, hidden: bool) -> Self {
        let text = String::from_utf8_lossy(cookie.expose());
        let terms: Vec<Vec<u8>> = term::old_atom_term(&text)
            .into_iter()
            .chain([term::new_atom_term(&text)])
            .collect();
        Self {
            v4: keyed(&Sha256::digest(cookie.expose())),
            v3: terms
                .iter()
                .map(|term| keyed(&Sha256::digest(term)))
                .collect(),
            v2: terms
                .iter()
                .map(|term| keyed(&Sha1::digest(term)))
                .collect(),
            hidden,
        }
    }

    /// An announcement of `node` at the time `unix`, in version 5.
    #[must_use]
    pub fn encode(&self, node: &NodeName, unix: Duration) -> Vec<u8> {
        let time = unix.as_secs().to_be_bytes();
        let name = node.as_str().as_bytes();
        let mut mac = self.v4.clone();
        Update::update(&mut mac, &time);
        Update::update(&mut mac, name);
        let connection = [if self.hidden { HIDDEN } else { VISIBLE }];
        let parts: [&[u8]; 8] = [
            V5,
            &mac.finalize_fixed(),
            b" ",
            &time,
            b" ",
            &connection,
            b" ",
            name,
        ];
        parts.concat()
    }

    /// The sender of an announcement that arrives at the time `unix`, in any of the four versions.
    ///
    /// # Errors
    /// [`Refused`]. [`Refused::Hidden`] is for one who wants hidden connections, which are its own to make,
    /// unless this node is hidden too.
    pub fn decode(&self, unix: Duration, datagram: &[u8]) -> Result<Heard, Refused> {
        let now = unix.as_secs();
        if let Some(rest) = datagram.strip_prefix(V5) {
            let (mac, time, rest) = split::<32>(rest)?;
            let [connection, b' ', name @ ..] = rest else {
                return Err(Refused::Malformed);
            };
            authentic([&self.v4], time, name, mac)?;
            let heard = heard(time, now, NodeName::from_bytes(name).ok())?;
            match *connection {
                VISIBLE => Ok(heard),
                HIDDEN if self.hidden => Ok(heard),
                HIDDEN => Err(Refused::Hidden),
                _ => Err(Refused::Malformed),
            }
        } else if let Some(rest) = datagram.strip_prefix(V4) {
            let (mac, time, name) = split::<32>(rest)?;
            authentic([&self.v4], time, name, mac)?;
            heard(time, now, NodeName::from_bytes(name).ok())
        } else if let Some(rest) = datagram.strip_prefix(V3) {
            let (mac, time, name) = split::<32>(rest)?;
            authentic(&self.v3, time, name, mac)?;
            heard(time, now, NodeName::from_bytes(name).ok())
        } else if let Some(rest) = datagram.strip_prefix(V2) {
            let (mac, time, name) = split::<20>(rest)?;
            authentic(&self.v2, time, name, mac)?;
            heard(time, now + GREGORIAN, term::latin1(name).parse().ok())
        } else {
            Err(Refused::Foreign)
        }
    }
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    M::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// The MAC, the time, and what comes after.
type Parts<'a, const MAC: usize> = (&'a [u8; MAC], &'a [u8; 8], &'a [u8]);

fn split<const MAC: usize>(bytes: &[u8]) -> Result<Parts<'_, MAC>, Refused> {
    let space = |bytes: &'_ [u8]| matches!(bytes, [b' ', ..]);
    let (mac, rest) = bytes
        .split_first_chunk::<MAC>()
        .filter(|(_, rest)| space(rest))
        .ok_or(Refused::Malformed)?;
    let (time, rest) = rest[1..]
        .split_first_chunk::<8>()
        .filter(|(_, rest)| space(rest))
        .ok_or(Refused::Malformed)?;
    Ok((mac, time, &rest[1..]))
}

/// Compares in constant time.
fn authentic<'a, M: Mac + Clone + 'a>(
    keys: impl IntoIterator<Item = &'a M>,
    time: &[u8; 8],
    name: &[u8],
    mac: &[u8],
) -> Result<(), Refused> {
    let is_right = keys.into_iter().any(|key| {
        let mut ours = key.clone();
        Mac::update(&mut ours, time);
        Mac::update(&mut ours, name);
        ours.verify_slice(mac).is_ok()
    });
    is_right.then_some(()).ok_or(Refused::Forged)
}

fn heard(time: &[u8; 8], now: u64, node: Option<NodeName>) -> Result<Heard, Refused> {
    let time = u64::from_be_bytes(*time);
    if now.abs_diff(time) > WINDOW.as_secs() {
        return Err(Refused::Clock);
    }
    Ok(Heard {
        node: node.ok_or(Refused::Malformed)?,
        age: Duration::from_secs(now.saturating_sub(time)),
    })
}
