//! Messages that came in fragments and are not whole yet. Pure.

use std::collections::HashMap;

use bytes::BytesMut;

use super::malformed::Malformed;
use crate::etf::Atom;

/// What a message that has begun costs beside its bytes, about.
const OVERHEAD: usize = 256;

/// How many messages are few.
const FEW: usize = 16;

/// A message of which some fragments have come.
#[derive(Debug)]
pub(super) struct Assembly {
    /// What has come.
    pub(super) buffer: BytesMut,
    /// Where in it the control message starts.
    pub(super) start: usize,
    /// The atoms of the message.
    pub(super) atoms: Vec<Atom>,
    /// The id of the fragment that is due; 0 when the message is whole.
    due: u64,
    /// How much of the total is its own.
    cost: usize,
    /// How many bytes of it have come, whether they were kept or not.
    length: usize,
    /// How long it may be, if it is longer: then only its beginning is kept.
    limit: Option<usize>,
}

/// How much is kept of a message that is too long, so that its control message can be read.
pub(super) const BEGINNING: usize = 64 * 1024;

impl Assembly {
    /// How long the message is and how long it may be, if it is too long.
    pub(super) fn too_long(&self) -> Option<(usize, usize)> {
        Some((self.length, self.limit?))
    }

    /// Drops what is not needed of a message that is too long. Says how much that was.
    fn drop_end(&mut self) -> usize {
        let kept = BEGINNING.max(self.start);
        let dropped = self.buffer.len().saturating_sub(kept);
        if self.limit.is_none() || dropped == 0 {
            return 0;
        }
        self.buffer = BytesMut::from(self.buffer.get(..kept).unwrap_or_default());
        self.cost -= dropped;
        dropped
    }
}

/// All messages of a connection of which some fragments have come. Those of several senders may come in
/// any mixture; each by itself comes in order.
#[derive(Debug)]
pub(super) struct Assemblies {
    begun: HashMap<u64, Assembly>,
    max_message: usize,
    max_total: usize,
    total: usize,
}

impl Assemblies {
    pub(super) fn new(max_message: usize, max_total: usize) -> Self {
        Self {
            begun: HashMap::new(),
            max_message,
            max_total,
            total: 0,
        }
    }

    /// Starts a message with its first fragment, whose id is the count of all. Gives it back if it is
    /// whole with that.
    pub(super) fn start(
        &mut self,
        sequence: u64,
        id: u64,
        buffer: BytesMut,
        start: usize,
        atoms: Vec<Atom>,
    ) -> Result<Option<Assembly>, Malformed> {
        if self.begun.contains_key(&sequence) {
            return Err(Malformed::SequenceReused(sequence));
        }
        let due = id.checked_sub(1).ok_or(Malformed::Fragment {
            sequence,
            got: id,
            due: 1,
        })?;
        let cost = buffer.len() + atoms.len() * size_of::<Atom>() + OVERHEAD;
        self.charge(cost)?;
        let assembly = Assembly {
            length: buffer.len(),
            limit: None,
            buffer,
            start,
            atoms,
            due,
            cost,
        };
        Ok(self.put_back(sequence, assembly))
    }

    /// As [`Assemblies::start`], for a first fragment that has `length` bytes, more than a message may have: of it
    /// `buffer` is kept.
    pub(super) fn start_too_long(
        &mut self,
        sequence: u64,
        id: u64,
        buffer: BytesMut,
        start: usize,
        atoms: Vec<Atom>,
        length: usize,
    ) -> Result<Option<Assembly>, Malformed> {
        let limit = self.max_message;
        let mark = |mut assembly: Assembly| {
            (assembly.length, assembly.limit) = (length, Some(limit));
            assembly
        };
        if let Some(whole) = self.start(sequence, id, buffer, start, atoms)? {
            return Ok(Some(mark(whole)));
        }
        if let Some(begun) = self.begun.remove(&sequence) {
            self.begun.insert(sequence, mark(begun));
        }
        Ok(None)
    }

    /// Counts a fragment of `length` bytes that is longer than a message may be, of which nothing is kept. Gives the
    /// message if it is whole with that.
    pub(super) fn skip(
        &mut self,
        sequence: u64,
        id: u64,
        length: usize,
    ) -> Result<Option<Assembly>, Malformed> {
        let mut assembly = self.take(sequence, id, 0)?;
        assembly.length = assembly.length.saturating_add(length);
        assembly.limit = Some(self.max_message);
        Ok(self.put_back(sequence, assembly))
    }

    /// Takes a message out so that `length` bytes, those of its fragment `id`, can be appended to it.
    pub(super) fn take(
        &mut self,
        sequence: u64,
        id: u64,
        length: usize,
    ) -> Result<Assembly, Malformed> {
        let unknown = Malformed::SequenceUnknown(sequence);
        let mut assembly = self.begun.remove(&sequence).ok_or(unknown)?;
        if id != assembly.due {
            return Err(Malformed::Fragment {
                sequence,
                got: id,
                due: assembly.due,
            });
        }
        assembly.due -= 1;
        assembly.length = assembly.length.saturating_add(length);
        if assembly.length > self.max_message {
            assembly.limit = Some(self.max_message);
            self.total -= assembly.drop_end();
        }
        self.charge(length)?;
        assembly.cost += length;
        Ok(assembly)
    }

    /// Puts a message back, or gives it if it is whole.
    pub(super) fn put_back(&mut self, sequence: u64, mut assembly: Assembly) -> Option<Assembly> {
        self.total -= assembly.drop_end();
        if assembly.due > 0 {
            self.begun.insert(sequence, assembly);
            return None;
        }
        self.total -= assembly.cost;
        if self.begun.is_empty() {
            // A connection at rest keeps nothing of what it once took.
            self.begun.shrink_to(0);
        }
        Some(assembly)
    }

    /// Whether few messages are under way, so that room given on trust does not add up.
    pub(super) fn are_few(&self) -> bool {
        self.begun.len() < FEW
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Malformed> {
        self.total = self.total.saturating_add(bytes);
        if self.total > self.max_total {
            return Err(Malformed::Assembling {
                length: self.total,
                limit: self.max_total,
            });
        }
        Ok(())
    }
}
