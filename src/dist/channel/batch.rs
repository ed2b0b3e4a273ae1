//! Bytes on their way to a socket, in order, some of them where their owner has them. Pure.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};

/// How much room an empty batch may keep on a connection at rest.
const KEEP: usize = 4 * 1024;

/// Bytes to be written. Small ones are in one buffer; large binaries are referred to, not copied.
///
/// It is written by its [`Buf`] side, best with vectored writes.
#[derive(Debug, Default)]
pub struct Batch {
    own: Vec<u8>,
    /// How much of `own` has been written.
    written: usize,
    /// What stands between the bytes of `own`, and before which of them.
    shared: VecDeque<(usize, Bytes)>,
    remaining: usize,
}

impl Batch {
    /// Gives a place to append bytes at; [`Batch::appended`] has to be told afterwards.
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Counts what was put into [`Batch::own`] since it was `before` bytes long.
    pub(super) fn appended(&mut self, before: usize) {
        self.remaining += self.own.len() - before;
    }

    /// Appends bytes by copying them.
    pub(super) fn copy(&mut self, bytes: &[u8]) {
        self.own.extend_from_slice(bytes);
        self.remaining += bytes.len();
    }

    /// Appends bytes by referring to them.
    pub(super) fn share(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.remaining += bytes.len();
            self.shared.push_back((self.own.len(), bytes));
        }
    }

    /// Empties it, but keeps the room that it took.
    pub(super) fn clear(&mut self) {
        self.own.clear();
        self.shared.clear();
        (self.written, self.remaining) = (0, 0);
    }

    /// Gives back the room that it does not need.
    pub(super) fn shrink(&mut self) {
        if self.remaining == 0 {
            self.clear();
        }
        self.own.shrink_to(KEEP);
        self.shared.shrink_to(0);
    }

    #[cfg(test)]
    pub(super) fn shared_parts(&self) -> impl Iterator<Item = &Bytes> {
        self.shared.iter().map(|(_, shared)| shared)
    }

    /// How much of `own` comes before the next shared bytes.
    fn own_end(&self) -> usize {
        self.shared.front().map_or(self.own.len(), |(at, _)| *at)
    }
}

impl Buf for Batch {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        let own = &self.own[self.written..self.own_end()];
        match self.shared.front() {
            Some((_, shared)) if own.is_empty() => shared,
            _ => own,
        }
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut put = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                return true;
            }
            let Some(slice) = slices.get_mut(count) else {
                return false;
            };
            *slice = IoSlice::new(bytes);
            count += 1;
            true
        };
        let mut from = self.written;
        for (at, shared) in &self.shared {
            if !put(&self.own[from..*at]) || !put(shared) {
                return count;
            }
            from = *at;
        }
        put(&self.own[from..]);
        count
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.remaining, "no more than there is");
        self.remaining -= count;
        while count > 0 {
            let own = (self.own_end() - self.written).min(count);
            self.written += own;
            count -= own;
            if count == 0 {
                break;
            }
            let Some((_, shared)) = self.shared.front_mut() else {
                break;
            };
            if count < shared.len() {
                shared.advance(count);
                break;
            }
            count -= shared.len();
            self.shared.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            parts in proptest::collection::vec((any::<bool>(), "[a-z]{0,9}"), 0..20),
            steps in proptest::collection::vec((1_usize..12, 0_usize..9), 1..90),
        ) {
            let (mut batch, mut whole) = (Batch::default(), Vec::new());
            for (shared, text) in parts {
                whole.extend_from_slice(text.as_bytes());
                if shared {
                    batch.share(Bytes::from(text));
                } else {
                    batch.copy(text.as_bytes());
                }
            }
            let mut out: Vec<u8> = Vec::new();
            for (slices, taken) in steps.into_iter().cycle() {
                prop_assert_eq!(out.len() + batch.remaining(), whole.len());
                if !batch.has_remaining() {
                    break;
                }
                let mut vectored = vec![IoSlice::new(&[]); slices];
                let count = batch.chunks_vectored(&mut vectored);
                let seen: Vec<u8> = vectored[..count].iter().flat_map(|slice| slice.to_vec()).collect();
                prop_assert!(seen.starts_with(batch.chunk()) && !batch.chunk().is_empty());
                let taken = taken.clamp(1, seen.len());
                out.extend_from_slice(&seen[..taken]);
                batch.advance(taken);
            }
            prop_assert_eq!(out, whole);
        }
    }
}
