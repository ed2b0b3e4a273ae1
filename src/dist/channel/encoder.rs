//! Messages to bytes: control messages, distribution headers and fragments. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

use super::batch::Batch;
use super::{ChannelOptions, kind};
use crate::dist::Flags;
use crate::dist::control::Control;
use crate::dist::header::Sent;
use crate::etf::{Aside, Atom, EncodeError, Term, encode_into};

/// How much of a message a fragment carries: as much as OTP's.
pub(super) const FRAGMENT: usize = 64 * 1024;
/// Up to how much of a message goes whole as long as the peer reads fast: the operating system's own
/// buffers hold as much, and it has no way to let anything pass. The BEAM takes a binary that came whole
/// for its own; one that came in pieces it has to put together first.
const WHOLE: usize = 2 * 1024 * 1024;
/// Binaries from this size on are written from where they are.
const SHARED: usize = 8 * 1024;
/// How much room for a message is kept on a connection at rest.
const KEEP: usize = 1024;

/// Writes what is sent to a peer.
#[derive(Debug)]
pub(super) struct Encoder {
    /// The atoms that the peer keeps, if that was agreed on.
    atoms: Option<Sent>,
    fragments: bool,
    /// Whether the peer knows ports and references of more words than OTP 23 had.
    wide_numbers: bool,
    /// From how many bytes on messages are divided.
    divide_from: usize,
    /// The message at hand, without the binaries in `shared`.
    message: Vec<u8>,
    /// Binaries of the message at hand, and where in `message` they stand.
    shared: Vec<(usize, Bytes)>,
    last_sequence: u64,
}

/// What is left of a message whose first fragment has been written.
#[derive(Debug)]
pub(super) struct Rest {
    sequence: u64,
    /// How many fragments are left; the id of the next one.
    left: u64,
    data: VecDeque<Bytes>,
}

impl Encoder {
    pub(super) fn new(options: &ChannelOptions) -> Self {
        Self {
            atoms: options.atom_cache().then(Sent::default),
            fragments: options.fragments(),
            wide_numbers: options.flags.contains(Flags::V4_NC),
            divide_from: WHOLE,
            message: Vec::new(),
            shared: Vec::new(),
            last_sequence: 0,
        }
    }

    /// Appends a message to `out`, or its first fragment: then the others have to follow it.
    ///
    /// Nothing is appended, and the peer is owed nothing, if it fails.
    pub(super) fn encode(
        &mut self,
        control: &Control,
        payload: Option<&Term>,
        out: &mut Batch,
    ) -> Result<Option<Rest>, EncodeError> {
        self.message.clear();
        self.shared.clear();
        let result = self.encode_message(control, payload).and_then(|end| {
            let length =
                self.message.len() + self.shared.iter().map(|(_, b)| b.len()).sum::<usize>();
            match payload {
                Some(_) if self.fragments && length > self.divide_from => {
                    Ok(Some(self.first_fragment(end, length, out)))
                }
                _ => self.frame(length, out).map(|()| None),
            }
        });
        if let (Err(_), Some(atoms)) = (&result, &mut self.atoms) {
            atoms.cancel();
        }
        self.shared.clear();
        result
    }

    /// Whether the peer reads so slowly that others should not have to wait for a long message.
    pub(super) fn set_slow(&mut self, slow: bool) {
        self.divide_from = if slow { FRAGMENT } else { WHOLE };
    }

    /// Gives back room that a connection at rest does not need.
    pub(super) fn shrink(&mut self) {
        self.message.clear();
        self.message.shrink_to(KEEP);
        self.shared.shrink_to(0);
    }

    /// Writes the message at hand, and says where its control message ends.
    fn encode_message(
        &mut self,
        control: &Control,
        payload: Option<&Term>,
    ) -> Result<usize, EncodeError> {
        let versions = self.atoms.is_none();
        if let Some(atoms) = &mut self.atoms {
            atoms.start();
        }
        let aside = &mut Shelf {
            atoms: self.atoms.as_mut(),
            shared: &mut self.shared,
            wide_numbers: self.wide_numbers,
        };
        if versions {
            self.message.push(kind::VERSION);
        }
        control.encode_into(&mut self.message, aside)?;
        let end = self.message.len();
        if let Some(payload) = payload {
            if versions {
                self.message.push(kind::VERSION);
            }
            encode_into(payload, &mut self.message, aside)?;
        }
        Ok(end)
    }

    /// Appends the message at hand, of `length` bytes, as a whole.
    fn frame(&mut self, length: usize, out: &mut Batch) -> Result<(), EncodeError> {
        let own = out.own();
        let before = own.len();
        own.extend_from_slice(&[0; 4]);
        match &self.atoms {
            Some(atoms) => {
                own.extend_from_slice(&[kind::VERSION, kind::MESSAGE]);
                atoms.write(own);
            }
            None => own.push(kind::PASS_THROUGH),
        }
        let Ok(framed) = u32::try_from(own.len() - before - 4 + length) else {
            own.truncate(before);
            return Err(EncodeError::TooLarge);
        };
        own[before..before + 4].copy_from_slice(&framed.to_be_bytes());
        if self.shared.is_empty() {
            own.extend_from_slice(&self.message);
            out.appended(before);
            return Ok(());
        }
        out.appended(before);
        let mut from = 0;
        for (at, shared) in self.shared.drain(..) {
            out.copy(&self.message[from..at]);
            out.share(shared);
            from = at;
        }
        out.copy(&self.message[from..]);
        Ok(())
    }

    /// Appends the first fragment of the message at hand, with the whole of its control message, which
    /// ends at `end`.
    fn first_fragment(&mut self, end: usize, length: usize, out: &mut Batch) -> Rest {
        let first = FRAGMENT.max(end);
        let left = (length - first.min(length)).div_ceil(FRAGMENT) as u64;
        self.last_sequence += 1;
        let mut rest = Rest {
            sequence: self.last_sequence,
            left,
            data: self.pieces(),
        };
        let own = out.own();
        let before = own.len();
        own.extend_from_slice(&[0; 4]);
        own.extend_from_slice(&[kind::VERSION, kind::FIRST_FRAGMENT]);
        own.extend_from_slice(&rest.sequence.to_be_bytes());
        own.extend_from_slice(&(left + 1).to_be_bytes());
        if let Some(atoms) = &self.atoms {
            atoms.write(own);
        }
        // A header has at most 255 atoms of at most 1,020 bytes, and the control message was made here.
        let framed = u32::try_from(own.len() - before - 4 + first.min(length)).unwrap_or(u32::MAX);
        own[before..before + 4].copy_from_slice(&framed.to_be_bytes());
        out.appended(before);
        rest.move_to(out, first);
        rest
    }

    /// The message at hand in pieces that can be divided without copying them.
    fn pieces(&mut self) -> VecDeque<Bytes> {
        let message = Bytes::from(std::mem::take(&mut self.message));
        let mut pieces = VecDeque::with_capacity(2 * self.shared.len() + 1);
        let mut from = 0;
        for (at, shared) in self.shared.drain(..) {
            pieces.push_back(message.slice(from..at));
            pieces.push_back(shared);
            from = at;
        }
        pieces.push_back(message.slice(from..));
        pieces
    }
}

impl Rest {
    /// Whether the last fragment has been written.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Appends the next fragment.
    pub(super) fn next_fragment(&mut self, out: &mut Batch) {
        let length = self.data.iter().map(Bytes::len).sum::<usize>();
        let length = length.min(FRAGMENT);
        let mut header = [0; 22];
        // At most 64 KiB and 18 bytes.
        let framed = u32::try_from(length + 18).unwrap_or(u32::MAX);
        header[..4].copy_from_slice(&framed.to_be_bytes());
        header[4..6].copy_from_slice(&[kind::VERSION, kind::FRAGMENT]);
        header[6..14].copy_from_slice(&self.sequence.to_be_bytes());
        header[14..].copy_from_slice(&self.left.to_be_bytes());
        out.copy(&header);
        self.move_to(out, length);
        self.left -= 1;
    }

    /// Moves up to `length` bytes of the message to `out`.
    fn move_to(&mut self, out: &mut Batch, mut length: usize) {
        while length > 0
            && let Some(mut piece) = self.data.pop_front()
        {
            if piece.len() > length {
                self.data.push_front(piece.split_off(length));
            }
            length -= piece.len();
            if piece.len() < SHARED {
                out.copy(&piece);
            } else {
                out.share(piece);
            }
        }
    }
}

/// Where an encoder puts what is not written in place.
struct Shelf<'a> {
    atoms: Option<&'a mut Sent>,
    shared: &'a mut Vec<(usize, Bytes)>,
    wide_numbers: bool,
}

impl Aside for Shelf<'_> {
    fn atom(&mut self, atom: &Atom) -> Option<u8> {
        self.atoms.as_mut()?.index(atom)
    }

    fn binary(&mut self, out: &[u8], bytes: &Bytes) -> bool {
        if bytes.len() < SHARED {
            return false;
        }
        self.shared.push((out.len(), bytes.clone()));
        true
    }

    fn reads_wide_numbers(&self) -> bool {
        self.wide_numbers
    }
}
