//! Bytes to messages: framing, distribution headers, fragments and control messages. Pure.
//!
//! Whoever reads puts the bytes where [`Decoder::space`] says. What is small is collected, many frames
//! at a time, and read from there. A frame that is large goes to a buffer of its own, and a fragment
//! straight to the end of its message, so a large binary is where it is to stay as soon as the kernel
//! has copied it; the term shares that buffer.

use bytes::buf::Limit;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::assembly::{Assemblies, Assembly, BEGINNING};
use super::malformed::Malformed;
use super::receiver::Lost;
use super::{ChannelOptions, Incoming, kind};
use crate::dist::control::Control;
use crate::dist::header::Received;
use crate::etf::{self, Atom, DecodeError, Limits};

/// How much is read at once on a connection that is at rest, and on one that is busy.
const READ_IDLE: usize = 4 * 1024;
const READ_BUSY: usize = 64 * 1024;
/// After how many short reads a busy connection counts as being at rest.
const SHORT_READS: u8 = 16;
/// A frame of this many bytes that has not come whole gets a buffer of its own.
const LARGE: usize = 16 * 1024;
/// How much is read beyond the end of a large frame: the length and the header of a fragment. So the
/// next frame is known with no read of its own, and hardly a byte of it has to be moved.
const BEYOND: usize = 4 + FRAGMENT_HEADER;
/// How much is read at once after a large message, as long as nothing of the next is there: it is likely to be
/// large again, and what is read of it now has to be moved.
const AFTER_LARGE: usize = 256;
/// Two bytes of kind, a sequence id and a fragment id of eight each.
const FRAGMENT_HEADER: usize = 18;
/// How much room a message that has only been announced gets.
const FIRST_ROOM: usize = 65 * 1024;
/// How many times as much room a message gets as has come of it: then a binary of 1 MiB, in 17
/// fragments, is never moved, and a lie costs no more than this.
const ROOM_FACTOR: usize = 32;
/// The same when many messages are under way.
const LITTLE_ROOM_FACTOR: usize = 2;
/// Up to how much room is given on announcement to one who has sent as large a message before.
const MAX_TRUST: usize = 4 * 1024 * 1024;

/// Reads what a peer sends.
#[derive(Debug)]
pub struct Decoder {
    inbox: BytesMut,
    /// How much of the inbox has been read.
    read: usize,
    /// How much is still to come of a frame that is too long, and is read over.
    skip: usize,
    short_reads: u8,
    large: Option<Large>,
    /// The last frame had a buffer of its own.
    after_large: bool,
    assemblies: Assemblies,
    messages: Messages,
    max_message: usize,
    /// The size of the largest message that came whole.
    trust: usize,
}

/// A frame on its way to a buffer of its own.
#[derive(Debug)]
struct Large {
    to: Destination,
    /// How long the buffer will be when the frame is whole.
    end: usize,
    /// How long the buffer will be when the message is whole, if the peer is right.
    promised: usize,
    /// How long the frame is, if that is too long: then the buffer is for its beginning only.
    too_long: Option<usize>,
}

#[derive(Debug)]
enum Destination {
    /// A new frame, without its length.
    Frame(BytesMut),
    /// A message that has begun.
    Fragment { sequence: u64, assembly: Assembly },
}

impl Destination {
    fn buffer(&mut self) -> &mut BytesMut {
        match self {
            Self::Frame(buffer) => buffer,
            Self::Fragment { assembly, .. } => &mut assembly.buffer,
        }
    }
}

impl Decoder {
    /// A decoder for a connection on which nothing has come yet.
    #[must_use]
    pub fn new(options: &ChannelOptions) -> Self {
        Self {
            inbox: BytesMut::new(),
            read: 0,
            skip: 0,
            short_reads: 0,
            large: None,
            after_large: false,
            assemblies: Assemblies::new(options.max_message, options.max_assembly),
            messages: Messages {
                cache: options.atom_cache().then(Received::default),
                fragments: options.fragments(),
                limits: options.limits,
            },
            max_message: options.max_message,
            trust: 0,
        }
    }

    /// Where the next bytes belong. [`Decoder::next`] has to have said `None` before.
    pub fn space(&mut self) -> Limit<&mut BytesMut> {
        let belief = self.belief();
        if let Some(large) = &mut self.large {
            return large.space(belief);
        }
        self.inbox.advance(self.read);
        self.read = 0;
        let busy = self.inbox.capacity() > READ_IDLE;
        let room = if busy { READ_BUSY } else { READ_IDLE };
        if busy && self.inbox.is_empty() && self.short_reads >= SHORT_READS {
            self.inbox = BytesMut::with_capacity(READ_IDLE);
        } else if self.inbox.len() >= room {
            self.inbox.reserve(READ_BUSY);
        } else {
            self.inbox.reserve(room - self.inbox.len());
        }
        let free = self.inbox.capacity() - self.inbox.len();
        let free = if self.after_large {
            free.min(AFTER_LARGE)
        } else {
            free
        };
        (&mut self.inbox).limit(free)
    }

    /// Tells that `count` bytes have been put into [`Decoder::space`].
    pub fn filled(&mut self, count: usize) {
        if self.large.is_some() {
            return;
        }
        if count < READ_IDLE / 2 {
            self.short_reads = self.short_reads.saturating_add(1);
        } else {
            self.short_reads = 0;
            if self.inbox.capacity() <= READ_IDLE && self.inbox.len() == self.inbox.capacity() {
                self.inbox.reserve(READ_BUSY);
            }
        }
    }

    /// The next message, or `None` when more bytes are needed for it. Ticks are read over.
    ///
    /// # Errors
    /// See [`Malformed`]. Nothing can be read after one.
    #[allow(clippy::should_implement_trait)] // it is none: `None` is not the end
    pub fn next(&mut self) -> Result<Option<Incoming>, Malformed> {
        match self.step()? {
            Some(Step::Message(message)) => Ok(Some(message)),
            Some(Step::Slow(slow)) => slow.read().map(Some),
            None => Ok(None),
        }
    }

    /// As [`Decoder::next`], but leaves a message that takes long to be read to the caller: it has to be
    /// [read](Slow::read) before this is called again.
    pub(super) fn step(&mut self) -> Result<Option<Step>, Malformed> {
        loop {
            if let Some(large) = self.large.take_if(|large| large.is_whole())
                && let Some(message) = self.large_frame(large)?
            {
                return Ok(Some(message));
            }
            if self.large.is_some() {
                return Ok(None);
            }
            if self.skip > 0 {
                let skipped = self.skip.min(self.inbox.len() - self.read);
                self.skip -= skipped;
                self.read += skipped;
                if self.skip > 0 {
                    return Ok(None);
                }
            }
            let unread = &self.inbox[self.read..];
            let Some(length) = unread.first_chunk::<4>() else {
                return Ok(None);
            };
            let length = u32::from_be_bytes(*length) as usize;
            if length == 0 {
                self.read += 4;
                continue;
            }
            let rest = &unread[4..];
            if length > self.max_message {
                if rest.len() < length.min(FRAGMENT_HEADER) {
                    return Ok(None);
                }
                if let Some(message) = self.start_too_long(length)? {
                    return Ok(Some(message));
                }
                continue;
            }
            if let Some(body) = rest.get(..length) {
                self.read += 4 + length;
                self.after_large = false;
                let message = small_frame(body, &mut self.messages, &mut self.assemblies)?;
                if let Some(message) = message {
                    return Ok(Some(message));
                }
            } else if goes_on_its_own(length, rest) {
                self.start_large(length)?;
            } else {
                return Ok(None);
            }
        }
    }

    /// Moves what has come of a large frame to where the rest of it is to go.
    fn start_large(&mut self, length: usize) -> Result<(), Malformed> {
        let rest = &self.inbox[self.read + 4..];
        let (to, end, promised, begun) = match self.messages.fragment(rest)? {
            Some((kind::FRAGMENT, sequence, id)) => {
                let body = length - FRAGMENT_HEADER;
                let assembly = self.assemblies.take(sequence, id, body)?;
                let end = assembly.buffer.len() + body;
                // Fragments are of one size, as far as they are OTP's or ours; the last may be shorter.
                let promised = end.saturating_add(body.saturating_mul(capped(id - 1)));
                let to = Destination::Fragment { sequence, assembly };
                (to, end, promised, &rest[FRAGMENT_HEADER..])
            }
            Some((_, _, id)) => {
                let promised = length.saturating_mul(capped(id));
                (Destination::Frame(BytesMut::new()), length, promised, rest)
            }
            None => (Destination::Frame(BytesMut::new()), length, length, rest),
        };
        let mut large = Large {
            to,
            end,
            promised: promised.min(self.max_message),
            too_long: None,
        };
        large.make_room(self.belief());
        large.to.buffer().extend_from_slice(begun);
        self.large = Some(large);
        self.inbox.clear();
        self.read = 0;
        Ok(())
    }

    /// Begins a frame that is longer than a message may be. Where it ends is known, so it is read over and the
    /// connection goes on. Its beginning is kept, which says what it was for.
    fn start_too_long(&mut self, length: usize) -> Result<Option<Step>, Malformed> {
        let rest = &self.inbox[self.read + 4..];
        let rest = &rest[..rest.len().min(length)];
        if let Some((kind::FRAGMENT, sequence, id)) = self.messages.fragment(rest)? {
            self.after_large = false;
            self.read += 4 + FRAGMENT_HEADER;
            self.skip = length - FRAGMENT_HEADER;
            let whole = self.assemblies.skip(sequence, id, self.skip)?;
            let whole = whole.map(|whole| whole_message(whole, self.messages.limits));
            return whole.transpose();
        }
        let end = length.min(BEGINNING);
        let begun = &rest[..rest.len().min(end)];
        self.read += 4 + begun.len();
        let mut buffer = BytesMut::with_capacity(end + BEYOND);
        buffer.extend_from_slice(begun);
        // What follows it in the inbox is of the same frame or of the next, and stays there.
        self.large = Some(Large {
            to: Destination::Frame(buffer),
            end,
            promised: end,
            too_long: Some(length),
        });
        Ok(None)
    }

    fn belief(&self) -> Belief {
        if self.assemblies.are_few() {
            Belief {
                factor: ROOM_FACTOR,
                trust: self.trust,
            }
        } else {
            Belief {
                factor: LITTLE_ROOM_FACTOR,
                trust: 0,
            }
        }
    }

    fn large_frame(&mut self, mut large: Large) -> Result<Option<Step>, Malformed> {
        self.after_large = large.too_long.is_none();
        let buffer = large.to.buffer();
        self.inbox.extend_from_slice(&buffer[large.end..]);
        buffer.truncate(large.end);
        if let Some(length) = large.too_long {
            self.skip = length - large.end;
        }
        let whole = match large.to {
            Destination::Fragment { sequence, assembly } => {
                self.assemblies.put_back(sequence, assembly)
            }
            Destination::Frame(body) => {
                let Opened { start, first } = self.messages.open(&body)?;
                let length = large.too_long;
                if let Some((sequence, id)) = first {
                    let atoms = self.messages.take_atoms();
                    let assemblies = &mut self.assemblies;
                    match length {
                        None => assemblies.start(sequence, id, body, start, atoms)?,
                        Some(length) => {
                            assemblies.start_too_long(sequence, id, body, start, atoms, length)?
                        }
                    }
                } else if let Some(length) = length {
                    let (atoms, versions) = (self.messages.atoms(), self.messages.versions());
                    let decoder = etf::Decoder::new(&body[start..], atoms, self.messages.limits);
                    let limit = self.max_message;
                    return beginning(decoder, versions, length, limit).map(Some);
                } else {
                    self.trust = self.trust.max(body.len()).min(MAX_TRUST);
                    let mut body = body.freeze();
                    body.advance(start);
                    return self.messages.read_shared(body).map(Some);
                }
            }
        };
        let Some(whole) = whole else {
            return Ok(None);
        };
        self.trust = self.trust.max(whole.buffer.len()).min(MAX_TRUST);
        whole_message(whole, self.messages.limits).map(Some)
    }
}

/// How far the peer is believed about what is still to come.
#[derive(Clone, Copy)]
struct Belief {
    /// How many times as much as has come.
    factor: usize,
    /// How many bytes, whatever has come.
    trust: usize,
}

impl Large {
    fn is_whole(&mut self) -> bool {
        self.to.buffer().len() >= self.end
    }

    fn space(&mut self, belief: Belief) -> Limit<&mut BytesMut> {
        self.make_room(belief);
        let end = self.end;
        let buffer = self.to.buffer();
        let left = end + BEYOND - buffer.len();
        buffer.limit(left)
    }

    /// Makes room for what comes next, and for the rest of the message as far as the peer is believed.
    fn make_room(&mut self, belief: Belief) {
        let (end, promised) = (self.end, self.promised);
        let buffer = self.to.buffer();
        let length = buffer.len();
        if buffer.capacity() > length && buffer.capacity() >= end + BEYOND {
            return;
        }
        let believed = FIRST_ROOM
            .max(length.saturating_mul(belief.factor))
            .max(belief.trust);
        let target = promised.max(end).min(believed) + BEYOND;
        if target > buffer.capacity() {
            buffer.reserve(target - length);
        }
    }
}

/// Whether a frame of which not more than `begun` has come gets a buffer of its own. A small fragment
/// does too: it is the end of something large, and what follows it is likely to be large again.
fn goes_on_its_own(length: usize, begun: &[u8]) -> bool {
    let fragment = begun.starts_with(&[kind::VERSION, kind::FRAGMENT]);
    (length >= LARGE || fragment) && begun.len() >= FRAGMENT_HEADER
}

/// A count of fragments as far as it matters for making room.
fn capped(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Step {
    /// A message.
    Message(Incoming),
    /// A message that takes long to be read.
    Slow(Slow),
}

/// How much memory a message may take that is read at once: some ten thousand terms, which takes about a millisecond.
/// Large binaries count as nothing.
const AT_ONCE: usize = 2 << 20;

/// A message of so many terms that reading it would hold its thread for long: 16 MiB of empty lists are 16 million.
#[derive(Debug)]
pub(super) struct Slow {
    bytes: Bytes,
    atoms: Vec<Atom>,
    versions: Versions,
    limits: Limits,
}

impl Slow {
    /// Reads it.
    pub(super) fn read(self) -> Result<Incoming, Malformed> {
        let decoder = etf::Decoder::sharing(&self.bytes, &self.atoms, self.limits);
        incoming(decoder, self.versions)
    }

    /// Reads it if that does not take long.
    fn begin(self) -> Result<Step, Malformed> {
        let limits = Limits {
            max_memory: self.limits.max_memory.min(AT_ONCE),
            ..self.limits
        };
        let decoder = etf::Decoder::sharing(&self.bytes, &self.atoms, limits);
        match incoming(decoder, self.versions) {
            Ok(Incoming {
                lost: Some(Lost::Limits(DecodeError::Memory)),
                ..
            })
            | Err(Malformed::Term {
                error: DecodeError::Memory,
                ..
            }) if self.limits.max_memory > AT_ONCE => Ok(Step::Slow(self)),
            read => read.map(Step::Message),
        }
    }
}

/// A frame that came whole with others.
fn small_frame(
    body: &[u8],
    messages: &mut Messages,
    assemblies: &mut Assemblies,
) -> Result<Option<Step>, Malformed> {
    if let Some((kind::FRAGMENT, sequence, id)) = messages.fragment(body)? {
        let data = &body[FRAGMENT_HEADER..];
        let mut assembly = assemblies.take(sequence, id, data.len())?;
        assembly.buffer.extend_from_slice(data);
        return match assemblies.put_back(sequence, assembly) {
            Some(whole) => whole_message(whole, messages.limits).map(Some),
            None => Ok(None),
        };
    }
    let Opened { start, first } = messages.open(body)?;
    let Some((sequence, id)) = first else {
        let message = messages.read(&body[start..])?;
        return Ok(Some(Step::Message(message)));
    };
    let atoms = messages.take_atoms();
    let data = BytesMut::from(&body[start..]);
    match assemblies.start(sequence, id, data, 0, atoms)? {
        Some(whole) => whole_message(whole, messages.limits).map(Some),
        None => Ok(None),
    }
}

fn whole_message(whole: Assembly, limits: Limits) -> Result<Step, Malformed> {
    let too_long = whole.too_long();
    let mut bytes = whole.buffer.freeze();
    bytes.advance(whole.start);
    let Some((length, limit)) = too_long else {
        let message = Slow {
            bytes,
            atoms: whole.atoms,
            versions: Versions::None,
            limits,
        };
        return message.begin();
    };
    let decoder = etf::Decoder::sharing(&bytes, &whole.atoms, limits);
    beginning(decoder, Versions::None, length, limit)
}

/// A message of which only the beginning was kept, to know what it was for.
fn beginning(
    mut decoder: etf::Decoder<'_>,
    versions: Versions,
    length: usize,
    limit: usize,
) -> Result<Step, Malformed> {
    match control(&mut decoder, versions) {
        Ok(control) if control.has_payload() => Ok(Step::Message(Incoming {
            control,
            payload: None,
            lost: Some(Lost::TooLong { length, limit }),
            bytes: 0,
        })),
        _ => Err(Malformed::TooLarge { length, limit }),
    }
}

/// What reads frames that hold a message, or the start of one.
#[derive(Debug)]
struct Messages {
    /// The atoms that the peer keeps here, if that was agreed on.
    cache: Option<Received>,
    fragments: bool,
    limits: Limits,
}

/// Where the control message of a frame starts, and, if the frame is the first of several fragments, the
/// message's sequence id and the fragment's own.
struct Opened {
    start: usize,
    first: Option<(u64, u64)>,
}

impl Messages {
    /// The kind, sequence id and fragment id of a fragment, the first or a later one.
    fn fragment(&self, body: &[u8]) -> Result<Option<(u8, u64, u64)>, Malformed> {
        let &[
            kind::VERSION,
            kind @ (kind::FIRST_FRAGMENT | kind::FRAGMENT),
            ..,
        ] = body
        else {
            return Ok(None);
        };
        if !self.fragments {
            return Err(Malformed::Kind([kind::VERSION, kind]));
        }
        let number = |at: usize| body.get(at..)?.first_chunk::<8>().copied();
        match (number(2), number(10)) {
            (Some(sequence), Some(id)) => Ok(Some((
                kind,
                u64::from_be_bytes(sequence),
                u64::from_be_bytes(id),
            ))),
            _ => Err(Malformed::Short(body.len())),
        }
    }

    /// Reads what stands before the control message.
    fn open(&mut self, body: &[u8]) -> Result<Opened, Malformed> {
        let wrong = || {
            let second = body.get(1).copied().unwrap_or_default();
            Malformed::Kind([body.first().copied().unwrap_or_default(), second])
        };
        let (start, first) = match (body, self.fragment(body)?) {
            (_, Some((_, sequence, id))) => (FRAGMENT_HEADER, Some((sequence, id))),
            ([kind::VERSION, kind::MESSAGE, ..], None) => (2, None),
            ([kind::PASS_THROUGH, ..], None) if self.cache.is_none() => (1, None),
            _ => return Err(wrong()),
        };
        let header = match &mut self.cache {
            Some(cache) => cache.read(&body[start..])?,
            None if start == 1 => 0,
            None => return Err(wrong()),
        };
        Ok(Opened {
            start: start + header,
            first,
        })
    }

    fn atoms(&self) -> &[Atom] {
        self.cache.as_ref().map_or(&[], Received::atoms)
    }

    fn take_atoms(&mut self) -> Vec<Atom> {
        let cache = self.cache.as_mut();
        cache.map(Received::take_atoms).unwrap_or_default()
    }

    fn read(&self, data: &[u8]) -> Result<Incoming, Malformed> {
        let decoder = etf::Decoder::new(data, self.atoms(), self.limits);
        incoming(decoder, self.versions())
    }

    fn read_shared(&mut self, bytes: Bytes) -> Result<Step, Malformed> {
        let message = Slow {
            bytes,
            versions: self.versions(),
            limits: self.limits,
            atoms: self.take_atoms(),
        };
        message.begin()
    }

    fn versions(&self) -> Versions {
        if self.cache.is_some() {
            Versions::None
        } else {
            Versions::Each
        }
    }
}

/// Whether terms start with a version byte, as they do in messages without a distribution header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Versions {
    None,
    Each,
}

fn failed(part: &'static str) -> impl Fn(DecodeError) -> Malformed {
    move |error| Malformed::Term { part, error }
}

fn control(decoder: &mut etf::Decoder<'_>, versions: Versions) -> Result<Control, Malformed> {
    let in_control = failed("the control message");
    if versions == Versions::Each {
        decoder.version().map_err(&in_control)?;
    }
    match Control::read_send(decoder) {
        Some(control) => Ok(control),
        None => Ok(Control::from_term(decoder.term().map_err(&in_control)?)?),
    }
}

fn incoming(mut decoder: etf::Decoder<'_>, versions: Versions) -> Result<Incoming, Malformed> {
    let control = control(&mut decoder, versions)?;
    let (mut bytes, mut lost) = (0, None);
    let payload = if control.has_payload() {
        let in_payload = failed("the payload");
        if versions == Versions::Each {
            decoder.version().map_err(&in_payload)?;
        }
        // Large binaries stay where they came, smaller ones are copied.
        let (wire, memory) = (decoder.remaining(), decoder.memory_left());
        match decoder.term() {
            Ok(term) => {
                decoder.finish().map_err(&in_payload)?;
                bytes = wire + memory - decoder.memory_left();
                Some(term)
            }
            // Its frame has been read, so that what follows can be read as well.
            Err(error) if error.is_limit() => {
                lost = Some(Lost::Limits(error));
                None
            }
            Err(error) => return Err(in_payload(error)),
        }
    } else {
        match decoder.remaining() {
            0 => None,
            more => return Err(Malformed::Payload(more)),
        }
    };
    Ok(Incoming {
        control,
        payload,
        lost,
        bytes,
    })
}
