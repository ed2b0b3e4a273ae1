//! The distribution header and its atom cache, both directions. Pure.
//!
//! A header lists the atoms of its message. An atom that the receiver has in its cache is named by
//! its place there; one that it has not is written out and put into a place for the next time. Each
//! direction of a connection has a cache of 2,048 places, which the sender alone decides about.
//!
//! <https://www.erlang.org/doc/apps/erts/erl_ext_dist.html#distribution-header>

use crate::etf::Atom;

/// How many places a cache has.
const PLACES: usize = 2048;
/// How many atoms a header can list.
const MAX_REFERENCES: usize = 255;
/// The bit of a reference's half byte that says that the atom is written out.
const NEW: u8 = 8;

/// The receiving side's cache, and the list of the message that is being read.
///
/// Places are few bytes until they are used: a connection that is idle costs 4 KiB for them.
#[derive(Debug)]
pub struct Received {
    /// For each place, where its atom is in `cached`, plus one.
    places: Box<[u16]>,
    cached: Vec<Atom>,
    /// The atoms of the message at hand.
    atoms: Vec<Atom>,
    /// The header of the message at hand if it had no new atoms: who sends the same kind of message
    /// again and again sends the same header, and then the list stands already.
    header: Vec<u8>,
}

/// Why a header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// It ends too early.
    #[error("a distribution header ends too early")]
    Truncated,
    /// It names a place that no atom was put into.
    #[error("a distribution header names place {0} of the atom cache, which is empty")]
    Empty(u16),
    /// An atom that is not UTF-8 or too long.
    #[error("a distribution header has an atom that is not UTF-8 or has more than 255 characters")]
    Atom,
}

impl Default for Received {
    fn default() -> Self {
        Self {
            places: vec![0; PLACES].into(),
            cached: Vec::new(),
            atoms: Vec::new(),
            header: Vec::new(),
        }
    }
}

impl Received {
    /// Reads a header's list of atoms, from the count of its references on, and gives the number of bytes
    /// that it took. [`Received::atoms`] has them then.
    ///
    /// # Errors
    /// See [`HeaderError`]. The connection cannot go on after one: the caches differ from then on.
    pub fn read(&mut self, bytes: &[u8]) -> Result<usize, HeaderError> {
        if !self.header.is_empty() && bytes.starts_with(&self.header) {
            return Ok(self.header.len());
        }
        self.header.clear();
        self.atoms.clear();
        let mut any_new = false;
        let mut reader = Reader { bytes, position: 0 };
        let count = usize::from(reader.u8()?);
        if count == 0 {
            return Ok(reader.position);
        }
        // Half a byte a reference, and half a byte of flags for all.
        let halves = reader.take(count / 2 + 1)?;
        let half = |index: usize| (halves[index / 2] >> (4 * (index % 2))) & 0xf;
        let long_atoms = half(count) & 1 != 0;
        for index in 0..count {
            let flags = half(index);
            let place = u16::from(flags & 7) << 8 | u16::from(reader.u8()?);
            let atom = if flags & NEW == 0 {
                self.get(place)?
            } else {
                let length = if long_atoms {
                    usize::from(reader.u16()?)
                } else {
                    usize::from(reader.u8()?)
                };
                let text = std::str::from_utf8(reader.take(length)?);
                let atom = text.ok().and_then(|text| Atom::try_from(text).ok());
                let atom = atom.ok_or(HeaderError::Atom)?;
                self.put(place, atom.clone());
                any_new = true;
                atom
            };
            self.atoms.push(atom);
        }
        if !any_new {
            self.header.extend_from_slice(&bytes[..reader.position]);
        }
        Ok(reader.position)
    }

    /// The atoms of the message at hand.
    #[must_use]
    pub fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    /// Takes the atoms of the message at hand, for one that is to be read later.
    pub fn take_atoms(&mut self) -> Vec<Atom> {
        self.header.clear();
        std::mem::take(&mut self.atoms)
    }

    fn get(&self, place: u16) -> Result<Atom, HeaderError> {
        let index = usize::from(self.places[usize::from(place)]);
        let atom = index
            .checked_sub(1)
            .and_then(|index| self.cached.get(index));
        atom.cloned().ok_or(HeaderError::Empty(place))
    }

    fn put(&mut self, place: u16, atom: Atom) {
        let index = &mut self.places[usize::from(place)];
        if let Some(used) = usize::from(*index).checked_sub(1) {
            self.cached[used] = atom;
        } else {
            self.cached.push(atom);
            // There are at most 2,048 places, so at most as many atoms.
            *index = u16::try_from(self.cached.len()).unwrap_or(u16::MAX);
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], HeaderError> {
        let taken = self.bytes.get(self.position..self.position + length);
        self.position += length;
        taken.ok_or(HeaderError::Truncated)
    }

    fn u8(&mut self) -> Result<u8, HeaderError> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, HeaderError> {
        let taken = self.take(2)?;
        Ok(u16::from_be_bytes([taken[0], taken[1]]))
    }
}

/// The sending side's cache, and the list of the message that is being written.
#[derive(Debug)]
pub struct Sent {
    /// For each place, where its atom is in `entries`, plus one.
    places: Box<[u16]>,
    entries: Vec<Entry>,
    /// The references of the message at hand, in their order.
    message: Vec<Reference>,
    /// Which message is at hand. It never comes round.
    turn: u64,
}

#[derive(Debug)]
struct Entry {
    atom: Atom,
    /// Whether the receiver has it: a message that was given up was never sent.
    sent: bool,
    /// The last message that had the atom.
    turn: u64,
    /// The atom's index in that message.
    index: u8,
}

#[derive(Debug)]
struct Reference {
    place: u16,
    entry: u16,
    new: bool,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            places: vec![0; PLACES].into(),
            entries: Vec::new(),
            message: Vec::new(),
            turn: 0,
        }
    }
}

impl Sent {
    /// Starts the list of a new message. What the last one put into the cache stays there, so its
    /// header has to be sent, or given up by [`Sent::cancel`].
    pub fn start(&mut self) {
        self.turn += 1;
        self.message.clear();
    }

    /// Gives up the message at hand, whose header will not be sent.
    pub fn cancel(&mut self) {
        for reference in self.message.drain(..) {
            if reference.new {
                self.entries[usize::from(reference.entry)].sent = false;
            }
        }
    }

    /// The index of an atom in the message's list, which it joins if it is not there; `None` when it
    /// has to be written in place, since the list is full or another atom of the message has its place.
    pub fn index(&mut self, atom: &Atom) -> Option<u8> {
        let place = place_of(atom.as_str());
        let slot = &mut self.places[usize::from(place)];
        let known = usize::from(*slot).checked_sub(1);
        if let Some(entry) = known.and_then(|known| self.entries.get_mut(known)) {
            let in_message = entry.turn == self.turn;
            let same = entry.atom == *atom;
            if in_message {
                return same.then_some(entry.index);
            }
            let index = next_index(&self.message)?;
            let new = !same || !entry.sent;
            if !same {
                entry.atom = atom.clone();
            }
            (entry.turn, entry.index, entry.sent) = (self.turn, index, true);
            self.message.push(Reference {
                place,
                entry: *slot - 1,
                new,
            });
            return Some(index);
        }
        let index = next_index(&self.message)?;
        let entry = u16::try_from(self.entries.len()).ok()?;
        self.entries.push(Entry {
            atom: atom.clone(),
            sent: true,
            turn: self.turn,
            index,
        });
        *slot = entry + 1;
        self.message.push(Reference {
            place,
            entry,
            new: true,
        });
        Some(index)
    }

    /// Writes the message's list, from the count of its references on.
    pub fn write(&self, out: &mut Vec<u8>) {
        let count = self.message.len();
        // `next_index` lets no more than 255 in.
        out.push(u8::try_from(count).unwrap_or(u8::MAX));
        if count == 0 {
            return;
        }
        let text = |reference: &Reference| self.entries[usize::from(reference.entry)].atom.as_str();
        let new = self.message.iter().filter(|reference| reference.new);
        let long_atoms = new.map(text).any(|text| text.len() > usize::from(u8::MAX));

        let halves = out.len();
        out.resize(halves + count / 2 + 1, 0);
        let mut set = |index: usize, half: u8| out[halves + index / 2] |= half << (4 * (index % 2));
        for (index, reference) in self.message.iter().enumerate() {
            let segment = reference.place.to_be_bytes()[0];
            set(index, segment | if reference.new { NEW } else { 0 });
        }
        set(count, u8::from(long_atoms));

        for reference in &self.message {
            out.push(reference.place.to_be_bytes()[1]);
            if reference.new {
                let text = text(reference);
                // An atom has at most 255 characters, so at most 1,020 bytes.
                let length = u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes();
                out.extend_from_slice(if long_atoms { &length } else { &length[1..] });
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

fn next_index(message: &[Reference]) -> Option<u8> {
    (message.len() < MAX_REFERENCES)
        .then(|| u8::try_from(message.len()).ok())
        .flatten()
}

/// The place that an atom takes. Only our own side has to agree with itself, so it is a hash that takes
/// eight bytes at a time, of the kind that rustc uses.
fn place_of(text: &str) -> u16 {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut hash = text.len() as u64;
    for word in words.iter().chain([&last]) {
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
    }
    // The high bits are the well mixed ones.
    u16::try_from(hash >> (64 - PLACES.ilog2())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn send(sent: &mut Sent, atoms: &[Atom]) -> (Vec<u8>, Vec<Option<u8>>) {
        sent.start();
        let indices = atoms.iter().map(|atom| sent.index(atom)).collect();
        let mut bytes = Vec::new();
        sent.write(&mut bytes);
        (bytes, indices)
    }

    fn exchange(sent: &mut Sent, received: &mut Received, atoms: &[Atom]) -> usize {
        let (bytes, indices) = send(sent, atoms);
        assert_eq!(received.read(&bytes), Ok(bytes.len()));
        for (atom, index) in atoms.iter().zip(indices) {
            if let Some(index) = index {
                assert_eq!(received.atoms()[usize::from(index)], *atom);
            }
        }
        bytes.len()
    }

    fn atoms(names: &[&str]) -> Vec<Atom> {
        names
            .iter()
            .map(|name| Atom::try_from(*name).unwrap())
            .collect()
    }

    #[test]
    fn an_atom_is_written_out_once() {
        let (mut sent, mut received) = (Sent::default(), Received::default());
        let names = atoms(&["a@b", "user", "a@b", "ok"]);
        let first = exchange(&mut sent, &mut received, &names);
        let second = exchange(&mut sent, &mut received, &names);
        // Three references: a count, two bytes of halves, a place each; the first time also the texts.
        assert_eq!((first, second), (1 + 2 + 3 + 3 + 3 + 4 + 2, 1 + 2 + 3));
    }

    #[test]
    fn long_atoms_have_long_lengths() {
        let (mut sent, mut received) = (Sent::default(), Received::default());
        let long = "ö".repeat(200);
        exchange(&mut sent, &mut received, &atoms(&[&long, "short"]));
        exchange(&mut sent, &mut received, &atoms(&["short", &long]));
    }

    #[test]
    fn no_atoms_are_one_byte() {
        assert_eq!(send(&mut Sent::default(), &[]).0, [0]);
        assert_eq!(Received::default().read(&[0, 1]), Ok(1));
    }

    #[test]
    fn what_finds_no_place_is_written_where_it_stands() {
        let names: Vec<String> = (0..600).map(|number| format!("atom{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut sent = Sent::default();
        let (_, indices) = send(&mut sent, &atoms(&names));
        let placed = indices.iter().flatten().count();
        assert_eq!(placed, 255);
        exchange(&mut sent, &mut Received::default(), &[]);
    }

    #[test]
    fn a_header_that_comes_again_means_the_same() {
        let (mut sent, mut received) = (Sent::default(), Received::default());
        for names in [["a", "b"], ["a", "b"], ["a", "b"], ["b", "a"], ["a", "b"]] {
            exchange(&mut sent, &mut received, &atoms(&names));
        }
        assert_eq!(received.take_atoms(), atoms(&["a", "b"]));
        exchange(&mut sent, &mut received, &atoms(&["a", "b"]));
        // One more reference, so that the header only begins the same.
        exchange(&mut sent, &mut received, &atoms(&["a", "b", "c"]));
    }

    #[test]
    fn what_was_given_up_is_written_out_the_next_time() {
        let (mut sent, mut received) = (Sent::default(), Received::default());
        exchange(&mut sent, &mut received, &atoms(&["ok"]));
        sent.start();
        assert_eq!(sent.index(&Atom::new("ok")), Some(0));
        assert_eq!(sent.index(&Atom::new("lost")), Some(1));
        sent.cancel();
        exchange(&mut sent, &mut received, &atoms(&["lost", "ok"]));
    }

    #[test]
    fn damage_has_a_name() {
        let mut received = Received::default();
        let mut read = |bytes: &[u8]| received.read(bytes);
        assert_eq!(read(&[]), Err(HeaderError::Truncated));
        assert_eq!(read(&[1]), Err(HeaderError::Truncated));
        assert_eq!(read(&[1, 0x07, 5]), Err(HeaderError::Empty(0x705)));
        assert_eq!(read(&[1, 0x08, 5, 9, b'a']), Err(HeaderError::Truncated));
        assert_eq!(read(&[1, 0x08, 5, 1, 0xff]), Err(HeaderError::Atom));
    }

    proptest! {
        #[test]
        fn both_sides_stay_the_same(messages in proptest::collection::vec(
            proptest::collection::vec("[a-z]{0,3}", 0..300), 1..40)
        ) {
            let (mut sent, mut received) = (Sent::default(), Received::default());
            for names in messages {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                exchange(&mut sent, &mut received, &atoms(&names));
            }
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Received::default().read(&bytes);
        }
    }
}
