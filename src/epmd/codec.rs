//! The packets of the EPMD protocol, both directions, as plain bytes.
//!
//! Source of the formats: "EPMD Protocol" in the ERTS user's guide,
//! <https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#epmd-protocol>. All integers are
//! big-endian. A request is preceded by its length in two bytes, a response by nothing, so each
//! decoder of a response says by itself whether it has seen enough.
//!
//! Nothing here reads a socket. Every decoder is bounded: it refuses what is longer than EPMD could
//! say before the bytes have to be kept.

use std::fmt;
use std::sync::Arc;

/// The port of EPMD where nothing else is said.
pub const DEFAULT_PORT: u16 = 4369;

/// The longest request without its two length bytes. OTP's `epmd` closes the connection at more.
pub const MAX_REQUEST: usize = 3057;

/// The longest `Extra` field that is read or written, in bytes. OTP's `epmd` refuses a longer one.
pub const MAX_EXTRA: usize = Name::MAX_BYTES;

/// The longest answer to `ALIVE2_REQ`, in bytes.
pub const MAX_ALIVE_RESPONSE: usize = 6;

/// The longest answer to `PORT_PLEASE2_REQ`, in bytes.
pub const MAX_PORT_RESPONSE: usize = 12 + Name::MAX_BYTES + 2 + MAX_EXTRA;

/// The longest answer to `NAMES_REQ` and `DUMP_REQ` that is read, in bytes: room for 10,000 names of
/// a hundred characters, where a host has a few.
pub const MAX_LISTING: usize = 1 << 20;

const ALIVE2_REQ: u8 = 120;
const ALIVE2_RESP: u8 = 121;
const ALIVE2_X_RESP: u8 = 118;
const PORT_PLEASE2_REQ: u8 = 122;
const PORT2_RESP: u8 = 119;
const NAMES_REQ: u8 = 110;
const DUMP_REQ: u8 = 100;
const KILL_REQ: u8 = 107;
const STOP_REQ: u8 = 115;

/// The `Creation` that OTP's `epmd` puts into a refusal.
const REFUSED_CREATION: u16 = 99;

/// Why bytes are not a packet of the protocol, or a packet cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The first byte names no packet that was expected here.
    #[error("tag {0} is not one that EPMD uses here; does something else listen on that port?")]
    UnknownTag(u8),
    /// The packet ends before its fields do, or goes on after them.
    #[error("the packet's length does not fit its fields")]
    WrongLength,
    /// A field is longer than EPMD allows.
    #[error("a field is longer than EPMD allows")]
    TooLong,
    /// The stream ended inside an answer.
    #[error("the answer was cut off")]
    CutOff,
    /// A name that EPMD does not keep: see [`Name`].
    #[error("a registered name has 1 to 255 characters of UTF-8 without control characters")]
    InvalidName,
}

/// A name as EPMD keeps it: the part of a node name before the `@`.
///
/// 1 to 255 characters of UTF-8. OTP's `epmd` refuses only the character 0. Here all control
/// characters are refused, since a line break in a name would forge a line in a listing and an escape
/// sequence would reach somebody's terminal.
///
/// ```
/// use rendez::epmd::codec::Name;
/// assert_eq!(Name::new("shop").unwrap().as_str(), "shop");
/// assert!(Name::new("a\nb").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// The most bytes a name can have: 255 characters of at most four bytes.
    pub const MAX_BYTES: usize = 255 * 4;

    /// Checks a name.
    ///
    /// # Errors
    /// [`CodecError::InvalidName`] as told at [`Name`].
    pub fn new(text: &str) -> Result<Self, CodecError> {
        // The byte bound comes first, so that hostile input is not walked for its length.
        if text.is_empty()
            || text.len() > Self::MAX_BYTES
            || text.chars().count() > 255
            || text.chars().any(char::is_control)
        {
            return Err(CodecError::InvalidName);
        }
        Ok(Self(text.into()))
    }

    /// Checks a name that came as bytes.
    ///
    /// # Errors
    /// [`CodecError::InvalidName`] as told at [`Name`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        std::str::from_utf8(bytes)
            .map_err(|_| CodecError::InvalidName)
            .and_then(Self::new)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What kind of node registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeType {
    /// 77: an Erlang node that `nodes()` shows.
    Normal,
    /// 72: a hidden node, as C nodes are.
    Hidden,
    /// A kind that the protocol's page does not name.
    Other(u8),
}

impl From<u8> for NodeType {
    fn from(byte: u8) -> Self {
        match byte {
            77 => Self::Normal,
            72 => Self::Hidden,
            other => Self::Other(other),
        }
    }
}

impl From<NodeType> for u8 {
    fn from(node_type: NodeType) -> Self {
        match node_type {
            NodeType::Normal => 77,
            NodeType::Hidden => 72,
            NodeType::Other(other) => other,
        }
    }
}

/// What a node tells EPMD of itself, and EPMD tells others of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The name before the `@`.
    pub name: Name,
    /// The TCP port on which the node takes connections.
    pub port: u16,
    /// The kind of node.
    pub node_type: NodeType,
    /// 0 is TCP over IPv4, the only one that OTP sends, also for IPv6.
    pub protocol: u8,
    /// The highest version of the distribution protocol that it speaks: 6 since OTP 23.
    pub highest_version: u16,
    /// The lowest version that it speaks: 6 since OTP 25, 5 before.
    pub lowest_version: u16,
    /// Bytes without a meaning to EPMD; empty in OTP.
    pub extra: Vec<u8>,
}

impl Registration {
    /// A hidden node that speaks version 6 as OTP 25 and later do.
    #[must_use]
    pub fn hidden(name: Name, port: u16) -> Self {
        Self {
            name,
            port,
            node_type: NodeType::Hidden,
            protocol: 0,
            highest_version: 6,
            lowest_version: 6,
            extra: Vec::new(),
        }
    }

    /// A visible node, else the same.
    #[must_use]
    pub fn visible(name: Name, port: u16) -> Self {
        Self {
            node_type: NodeType::Normal,
            ..Self::hidden(name, port)
        }
    }

    /// The fields that `ALIVE2_REQ` and `PORT2_RESP` share, from the port on.
    fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        if self.extra.len() > MAX_EXTRA {
            return Err(CodecError::TooLong);
        }
        out.extend(self.port.to_be_bytes());
        out.push(self.node_type.into());
        out.push(self.protocol);
        out.extend(self.highest_version.to_be_bytes());
        out.extend(self.lowest_version.to_be_bytes());
        out.extend(length(self.name.as_str().as_bytes())?);
        out.extend(self.name.as_str().as_bytes());
        out.extend(length(&self.extra)?);
        out.extend(&self.extra);
        Ok(())
    }

    /// Reads those fields; `Ok(None)` while there are too few bytes.
    fn decode(cursor: &mut Cursor<'_>) -> Result<Option<Self>, CodecError> {
        let Some(port) = cursor.u16() else {
            return Ok(None);
        };
        let (Some(node_type), Some(protocol)) = (cursor.u8(), cursor.u8()) else {
            return Ok(None);
        };
        let (Some(highest_version), Some(lowest_version)) = (cursor.u16(), cursor.u16()) else {
            return Ok(None);
        };
        let Some(name) = cursor.bytes(Name::MAX_BYTES)? else {
            return Ok(None);
        };
        let name = Name::from_bytes(name)?;
        let Some(extra) = cursor.bytes(MAX_EXTRA)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            name,
            port,
            node_type: node_type.into(),
            protocol,
            highest_version,
            lowest_version,
            extra: extra.to_vec(),
        }))
    }
}

/// What a client asks of EPMD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `ALIVE2_REQ`: register a node for as long as the connection lasts.
    Alive2(Registration),
    /// `PORT_PLEASE2_REQ`: where does the node of this name listen?
    PortPlease2(Name),
    /// `NAMES_REQ`: which nodes are registered?
    Names,
    /// `DUMP_REQ`: everything, for people who debug.
    Dump,
    /// `KILL_REQ`: end the EPMD.
    Kill,
    /// `STOP_REQ`: forget a node that is still there.
    Stop(Name),
}

impl Request {
    /// The bytes to send, the two length bytes among them.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if they would be more than [`MAX_REQUEST`], which EPMD refuses.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let mut body = Vec::new();
        match self {
            Self::Alive2(registration) => {
                body.push(ALIVE2_REQ);
                registration.encode_into(&mut body)?;
            }
            Self::PortPlease2(name) => {
                body.push(PORT_PLEASE2_REQ);
                body.extend(name.as_str().as_bytes());
            }
            Self::Names => body.push(NAMES_REQ),
            Self::Dump => body.push(DUMP_REQ),
            Self::Kill => body.push(KILL_REQ),
            Self::Stop(name) => {
                body.push(STOP_REQ);
                body.extend(name.as_str().as_bytes());
            }
        }
        if body.len() > MAX_REQUEST {
            return Err(CodecError::TooLong);
        }
        let mut packet = length(&body)?.to_vec();
        packet.append(&mut body);
        Ok(packet)
    }

    /// The length of the body that two length bytes announce.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] past [`MAX_REQUEST`], [`CodecError::WrongLength`] for an empty body.
    pub fn body_length(header: [u8; 2]) -> Result<usize, CodecError> {
        match usize::from(u16::from_be_bytes(header)) {
            0 => Err(CodecError::WrongLength),
            length if length > MAX_REQUEST => Err(CodecError::TooLong),
            length => Ok(length),
        }
    }

    /// Reads the body of a request, without its length bytes.
    ///
    /// # Errors
    /// Any [`CodecError`] but [`CodecError::CutOff`].
    pub fn decode(body: &[u8]) -> Result<Self, CodecError> {
        if body.len() > MAX_REQUEST {
            return Err(CodecError::TooLong);
        }
        let (&tag, rest) = body.split_first().ok_or(CodecError::WrongLength)?;
        let alone = |request| match rest {
            [] => Ok(request),
            _ => Err(CodecError::WrongLength),
        };
        match tag {
            ALIVE2_REQ => {
                let mut cursor = Cursor(rest);
                // What follows the fields is let be, as OTP's epmd does: old nodes padded here.
                Registration::decode(&mut cursor)?
                    .map(Self::Alive2)
                    .ok_or(CodecError::WrongLength)
            }
            // Old clients end the name with a zero byte.
            PORT_PLEASE2_REQ => {
                Name::from_bytes(rest.strip_suffix(&[0]).unwrap_or(rest)).map(Self::PortPlease2)
            }
            STOP_REQ => Name::from_bytes(rest.strip_suffix(&[0]).unwrap_or(rest)).map(Self::Stop),
            NAMES_REQ => alone(Self::Names),
            DUMP_REQ => alone(Self::Dump),
            KILL_REQ => alone(Self::Kill),
            tag => Err(CodecError::UnknownTag(tag)),
        }
    }
}

/// The highest version in an `ALIVE2_REQ` that is whole, but has a name or an `Extra` field that EPMD does not keep.
/// OTP's `epmd` answers such a request with a refusal, whose form depends on that version; any other request that is
/// not one of the protocol has its connection closed.
#[must_use]
pub fn version_of_refused_alive2(body: &[u8]) -> Option<u16> {
    let mut cursor = Cursor(body);
    let tag = cursor.u8()?;
    let _port_type_protocol = cursor.array::<4>()?;
    let highest_version = cursor.u16()?;
    let _lowest_version = cursor.u16()?;
    let name = cursor.bytes(MAX_REQUEST).ok()??;
    let _extra = cursor.bytes(MAX_REQUEST).ok()??;
    (tag == ALIVE2_REQ && !name.is_empty() && !name.contains(&0)).then_some(highest_version)
}

/// The answer to `ALIVE2_REQ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AliveResponse {
    /// The node is registered.
    Registered {
        /// Tells this life of the node from an earlier one of the same name. 1 to 3 from an EPMD
        /// or for a node that speaks version 5 only, else 32 bits.
        creation: u32,
    },
    /// The name is taken, or EPMD does not like it; the protocol does not tell which.
    Refused {
        /// Greater than 0.
        result: u8,
    },
}

impl AliveResponse {
    /// The bytes for a node that registered with this highest version: `ALIVE2_X_RESP` from 6 on,
    /// `ALIVE2_RESP`, whose creation has 16 bits, below.
    #[must_use]
    pub fn encode(self, highest_version: u16) -> Vec<u8> {
        let (result, creation) = match self {
            Self::Registered { creation } => (0, creation),
            Self::Refused { result } => (result, REFUSED_CREATION.into()),
        };
        if highest_version >= 6 {
            let mut out = vec![ALIVE2_X_RESP, result];
            out.extend(creation.to_be_bytes());
            out
        } else {
            let [.., high, low] = creation.to_be_bytes();
            vec![ALIVE2_RESP, result, high, low]
        }
    }

    /// Reads the answer from what has arrived; `Ok(None)` while it is too short.
    ///
    /// # Errors
    /// [`CodecError::UnknownTag`].
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, CodecError> {
        let mut cursor = Cursor(bytes);
        let wide = match cursor.u8() {
            None => return Ok(None),
            Some(ALIVE2_X_RESP) => true,
            Some(ALIVE2_RESP) => false,
            Some(tag) => return Err(CodecError::UnknownTag(tag)),
        };
        let Some(result) = cursor.u8() else {
            return Ok(None);
        };
        let creation = if wide {
            cursor.u32()
        } else {
            cursor.u16().map(u32::from)
        };
        Ok(creation.map(|creation| match result {
            0 => Self::Registered { creation },
            result => Self::Refused { result },
        }))
    }
}

/// The answer to `PORT_PLEASE2_REQ`: the node, or that there is none of that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortResponse(pub Option<Registration>);

impl PortResponse {
    /// The bytes to send.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] if the `Extra` field is longer than [`MAX_EXTRA`].
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        match &self.0 {
            None => Ok(vec![PORT2_RESP, 1]),
            Some(registration) => {
                let mut out = vec![PORT2_RESP, 0];
                registration.encode_into(&mut out)?;
                Ok(out)
            }
        }
    }

    /// Reads the answer from what has arrived; `Ok(None)` while it is too short.
    ///
    /// # Errors
    /// [`CodecError::UnknownTag`], [`CodecError::TooLong`], [`CodecError::InvalidName`].
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, CodecError> {
        let mut cursor = Cursor(bytes);
        match cursor.u8() {
            None => return Ok(None),
            Some(PORT2_RESP) => {}
            Some(tag) => return Err(CodecError::UnknownTag(tag)),
        }
        match cursor.u8() {
            None => Ok(None),
            Some(0) => Ok(Registration::decode(&mut cursor)?.map(|found| Self(Some(found)))),
            Some(_) => Ok(Some(Self(None))),
        }
    }
}

/// The answer to `NAMES_REQ`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The port on which that EPMD says it listens.
    pub epmd_port: u32,
    /// Who is registered, and the TCP port on which each takes connections, in EPMD's order.
    pub nodes: Vec<(Name, u16)>,
    /// Lines that were no such entry and were left out. A node with an odd name cannot hide others.
    pub skipped: usize,
}

impl Names {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.epmd_port.to_be_bytes().to_vec();
        for (name, port) in &self.nodes {
            out.extend(format!("name {name} at port {port}\n").into_bytes());
        }
        out
    }
}

/// Reads the answer to `NAMES_REQ` as it arrives. EPMD ends it by closing the connection.
///
/// ```
/// use rendez::epmd::codec::NamesDecoder;
/// let mut decoder = NamesDecoder::new();
/// decoder.push(b"\0\0\x11\x11name sh").unwrap();
/// decoder.push(b"op at port 4000\n").unwrap();
/// let names = decoder.finish().unwrap();
/// assert_eq!((names.epmd_port, names.nodes.len()), (4369, 1));
/// ```
#[derive(Debug, Default)]
pub struct NamesDecoder {
    header: Vec<u8>,
    line: Vec<u8>,
    /// The line is longer than an entry can be: the rest of it is dropped.
    overlong: bool,
    total: usize,
    names: Names,
}

impl NamesDecoder {
    /// The longest line that can be an entry, without its line break.
    const MAX_LINE: usize = "name ".len() + Name::MAX_BYTES + " at port 65535".len();

    /// Makes a decoder that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes what arrived.
    ///
    /// # Errors
    /// [`CodecError::TooLong`] once the whole answer is longer than [`MAX_LISTING`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.total = self.total.saturating_add(bytes.len());
        if self.total > MAX_LISTING {
            return Err(CodecError::TooLong);
        }
        let missing = (4 - self.header.len()).min(bytes.len());
        let (header, lines) = bytes.split_at(missing);
        self.header.extend(header);
        for piece in lines.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            if self.line.len() + text.len() > Self::MAX_LINE {
                self.overlong = true;
                self.line.clear();
            }
            if !self.overlong {
                self.line.extend(text);
            }
            if ended {
                self.end_line();
            }
        }
        Ok(())
    }

    fn end_line(&mut self) {
        match Self::entry(&self.line).filter(|_| !self.overlong) {
            Some(entry) => self.names.nodes.push(entry),
            None => self.names.skipped += 1,
        }
        self.line.clear();
        self.overlong = false;
    }

    fn entry(line: &[u8]) -> Option<(Name, u16)> {
        let text = std::str::from_utf8(line).ok()?;
        // From the right: a name may itself have " at port " in it.
        let (name, port) = text.strip_prefix("name ")?.rsplit_once(" at port ")?;
        Some((Name::new(name).ok()?, port.parse().ok()?))
    }

    /// Takes the end of the stream.
    ///
    /// # Errors
    /// [`CodecError::CutOff`] if it came inside the port or a line: such an answer is not complete,
    /// and must not pass for one.
    pub fn finish(mut self) -> Result<Names, CodecError> {
        let header: [u8; 4] = self
            .header
            .try_into()
            .map_err(|_: Vec<u8>| CodecError::CutOff)?;
        if !self.line.is_empty() || self.overlong {
            return Err(CodecError::CutOff);
        }
        self.names.epmd_port = u32::from_be_bytes(header);
        Ok(self.names)
    }
}

/// Walks over bytes that may still be incomplete: `None` means that more are needed.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Bytes after their length in two bytes. The length is judged before the bytes are waited for.
    fn bytes(&mut self, most: usize) -> Result<Option<&'a [u8]>, CodecError> {
        let Some(length) = self.u16().map(usize::from) else {
            return Ok(None);
        };
        if length > most {
            return Err(CodecError::TooLong);
        }
        if length > self.0.len() {
            return Ok(None);
        }
        let (bytes, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(Some(bytes))
    }
}

fn length(bytes: &[u8]) -> Result<[u8; 2], CodecError> {
    u16::try_from(bytes.len())
        .map(u16::to_be_bytes)
        .map_err(|_| CodecError::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn body(packet: &[u8]) -> &[u8] {
        let (header, body) = packet.split_first_chunk().unwrap();
        assert_eq!(Request::body_length(*header), Ok(body.len()));
        body
    }

    #[test]
    fn requests_have_the_bytes_of_the_protocol_page() {
        let registration = Registration {
            lowest_version: 5,
            ..Registration::hidden(name("foo"), 1234)
        };
        for (request, bytes) in [
            (
                Request::Alive2(registration),
                &b"\x00\x10x\x04\xd2H\0\0\x06\0\x05\0\x03foo\0\0"[..],
            ),
            (Request::PortPlease2(name("foo")), b"\0\x04zfoo"),
            (Request::Names, b"\0\x01n"),
            (Request::Dump, b"\0\x01d"),
            (Request::Kill, b"\0\x01k"),
            (Request::Stop(name("foo")), b"\0\x04sfoo"),
        ] {
            assert_eq!(request.encode().unwrap(), bytes);
            assert_eq!(Request::decode(body(bytes)), Ok(request));
        }
        // As old clients end it.
        assert_eq!(
            Request::decode(b"zfoo\0"),
            Ok(Request::PortPlease2(name("foo")))
        );
    }

    /// Answers as OTP 25's epmd gave them to these requests.
    #[test]
    fn responses_of_otp_are_read() {
        use AliveResponse::*;
        for (bytes, answer) in [
            (
                &b"v\x00k\x01\\\xdc"[..],
                Registered {
                    creation: 0x6b01_5cdc,
                },
            ),
            (b"v\x01\0\0\0c", Refused { result: 1 }),
            (b"y\x00\0\x02", Registered { creation: 2 }),
            (b"y\x01\0c", Refused { result: 1 }),
        ] {
            assert_eq!(AliveResponse::decode(bytes), Ok(Some(answer)));
            assert_eq!(answer.encode(if bytes[0] == b'v' { 6 } else { 5 }), bytes);
        }
        let found = b"w\0\x04\xd2H\0\0\x06\0\x05\0\x03foo\0\0";
        let response = PortResponse::decode(found).unwrap().unwrap();
        assert_eq!(response.encode().unwrap(), found);
        let node = response.0.unwrap();
        assert_eq!((node.name.as_str(), node.port), ("foo", 1234));
        assert_eq!(node.node_type, NodeType::Hidden);
        assert_eq!(PortResponse::decode(b"w\x01"), Ok(Some(PortResponse(None))));

        let mut decoder = NamesDecoder::new();
        let listing = b"\0\0\xca\x16name bar at port 1234\nname foo at port 65535\n";
        decoder.push(listing).unwrap();
        let names = decoder.finish().unwrap();
        assert_eq!(names.epmd_port, 51734);
        assert_eq!(names.nodes, [(name("bar"), 1234), (name("foo"), 65535)]);
        assert_eq!(names.encode(), listing);
    }

    #[test]
    fn half_a_response_asks_for_more() {
        for whole in [&b"v\x00k\x01\\\xdc"[..], b"y\x00\0\x02"] {
            for end in 0..whole.len() {
                assert_eq!(AliveResponse::decode(&whole[..end]), Ok(None));
            }
        }
        let whole = b"w\0\x04\xd2H\0\0\x06\0\x05\0\x03foo\0\x02xy";
        for end in 0..whole.len() {
            assert_eq!(PortResponse::decode(&whole[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn lengths_are_judged_before_the_bytes_arrive() {
        assert_eq!(Request::body_length([0, 0]), Err(CodecError::WrongLength));
        assert_eq!(Request::body_length([0x0b, 0xf2]), Err(CodecError::TooLong));
        assert_eq!(Request::body_length([0x0b, 0xf1]), Ok(MAX_REQUEST));
        // A name of 65,535 bytes, an extra field of as many.
        let response = b"w\0\0\x01M\0\0\x06\0\x06\xff\xff";
        assert_eq!(PortResponse::decode(response), Err(CodecError::TooLong));
        let response = b"w\0\0\x01M\0\0\x06\0\x06\0\x01a\xff\xff";
        assert_eq!(PortResponse::decode(response), Err(CodecError::TooLong));
        let long = "x".repeat(255);
        let mut registration = Registration::hidden(name(&long), 1);
        assert!(Request::Alive2(registration.clone()).encode().is_ok());
        registration.extra = vec![0; MAX_EXTRA];
        assert!(Request::Alive2(registration.clone()).encode().is_ok());
        registration.extra.push(0);
        let encoded = Request::Alive2(registration).encode();
        assert_eq!(encoded, Err(CodecError::TooLong));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (bytes, why) in [
            (&b""[..], CodecError::WrongLength),
            (b"GET / HTTP/1.0", CodecError::UnknownTag(b'G')),
            (b"nn", CodecError::WrongLength),
            (b"z", CodecError::InvalidName),
            (b"zf\xff", CodecError::InvalidName),
            (b"zf\0o", CodecError::InvalidName),
            (
                b"x\x04\xd2H\0\0\x06\0\x05\0\x09foo\0\0",
                CodecError::WrongLength,
            ),
            (
                b"x\x04\xd2H\0\0\x06\0\x05\0\x00\0\0",
                CodecError::InvalidName,
            ),
        ] {
            assert_eq!(Request::decode(bytes), Err(why), "{bytes:?}");
        }
        assert_eq!(
            AliveResponse::decode(b"HTTP"),
            Err(CodecError::UnknownTag(b'H'))
        );
    }

    #[test]
    fn a_listing_is_whole_or_an_error() {
        for cut in [&b""[..], b"\0\0", b"\0\0\x11\x11name a at po"] {
            let mut decoder = NamesDecoder::new();
            decoder.push(cut).unwrap();
            assert_eq!(decoder.finish(), Err(CodecError::CutOff), "{cut:?}");
        }
        let mut decoder = NamesDecoder::new();
        decoder.push(b"\0\0\x11\x11").unwrap();
        assert_eq!(decoder.finish().unwrap().nodes, []);
    }

    #[test]
    fn odd_lines_hide_nobody() {
        let mut decoder = NamesDecoder::new();
        decoder.push(b"\0\0\x11\x11name a at port 1\nna").unwrap();
        decoder.push(b"me \x1b[31m at port 2\n\xff\n\n").unwrap();
        decoder.push(&vec![b'x'; 5000]).unwrap();
        decoder.push(b" at port 3\nname b at port 70000\n").unwrap();
        decoder.push(b"name x at port 1 at port 9\n").unwrap();
        let names = decoder.finish().unwrap();
        assert_eq!(names.nodes, [(name("a"), 1), (name("x at port 1"), 9)]);
        assert_eq!(names.skipped, 5);
    }

    #[test]
    fn an_endless_listing_is_refused() {
        let mut decoder = NamesDecoder::new();
        let line = b"name a at port 1\n".repeat(1000);
        let pushed = (0..1000).find_map(|_| decoder.push(&line).err());
        assert_eq!(pushed, Some(CodecError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            if let Ok(request) = Request::decode(&bytes) {
                // What was read can be said again, unless padding was dropped from it.
                let again = request.encode().unwrap();
                prop_assert_eq!(Request::decode(body(&again)), Ok(request));
            }
            let _ = AliveResponse::decode(&bytes);
            let _ = PortResponse::decode(&bytes);
        }

        #[test]
        fn where_a_listing_is_torn_makes_no_difference(
            text in "([a-z]{1,9}|\\PC{1,9})",
            ports in proptest::collection::vec(any::<u16>(), 0..20),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let nodes = ports.iter().map(|&port| (name(&text), port)).collect();
            let names = Names { epmd_port: 4369, nodes, skipped: 0 };
            let bytes = names.encode();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut decoder = NamesDecoder::new();
            for pair in cuts.windows(2) {
                decoder.push(&bytes[pair[0]..pair[1]]).unwrap();
            }
            prop_assert_eq!(decoder.finish().unwrap(), names);
        }
    }
}
