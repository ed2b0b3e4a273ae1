//! What a node can do, as it tells its peers in the handshake.
//!
//! Source: [distribution flags](https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#distribution-flags).

use std::fmt;

use super::handshake::Version;

bitflags::bitflags! {
    /// A set of distribution flags. Bits that have no name here are kept as they came.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub struct Flags: u64 {
        /// The node is visible: `nodes()` lists it and `global` counts on it.
        const PUBLISHED = 1;
        /// The atom cache of long ago.
        const ATOM_CACHE = 1 << 1;
        /// References of more than one word.
        const EXTENDED_REFERENCES = 1 << 2;
        /// Monitors of processes by pid.
        const DIST_MONITOR = 1 << 3;
        /// Funs have a tag of their own.
        const FUN_TAGS = 1 << 4;
        /// Monitors of processes by name.
        const DIST_MONITOR_NAME = 1 << 5;
        /// The atom cache of long ago, for hidden nodes.
        const HIDDEN_ATOM_CACHE = 1 << 6;
        /// `NEW_FUN_EXT`.
        const NEW_FUN_TAGS = 1 << 7;
        /// Pids and ports of more than 15 and 18 bits.
        const EXTENDED_PIDS_PORTS = 1 << 8;
        /// `EXPORT_EXT`, as of `fun m:f/1`.
        const EXPORT_PTR_TAG = 1 << 9;
        /// `BIT_BINARY_EXT`.
        const BIT_BINARIES = 1 << 10;
        /// `NEW_FLOAT_EXT`.
        const NEW_FLOATS = 1 << 11;
        /// Characters beyond Latin-1 in the I/O protocol.
        const UNICODE_IO = 1 << 12;
        /// Messages may begin with a distribution header, whose atoms are cached.
        const DIST_HDR_ATOM_CACHE = 1 << 13;
        /// `SMALL_ATOM_EXT`.
        const SMALL_ATOM_TAGS = 1 << 14;
        /// Atoms in UTF-8.
        const UTF8_ATOMS = 1 << 16;
        /// `MAP_EXT`.
        const MAP_TAG = 1 << 17;
        /// Creations of 32 bits: `NEW_PID_EXT`, `NEW_PORT_EXT`, `NEWER_REFERENCE_EXT`.
        const BIG_CREATION = 1 << 18;
        /// `SEND_SENDER` in place of `SEND`.
        const SEND_SENDER = 1 << 19;
        /// Any term as the label of a sequential trace.
        const BIG_SEQTRACE_LABELS = 1 << 20;
        /// Exit reasons are payloads: `PAYLOAD_EXIT` and its like.
        const EXIT_PAYLOAD = 1 << 22;
        /// Long messages come in fragments, between which others may come.
        const FRAGMENTS = 1 << 23;
        /// The handshake of version 6.
        const HANDSHAKE_23 = 1 << 24;
        /// `UNLINK_ID` and `UNLINK_ID_ACK`.
        const UNLINK_ID = 1 << 25;
        /// Everything that OTP 25 demands, [`Flags::MANDATORY_25`], in one bit.
        const MANDATORY_25_DIGEST = 1 << 26;
        /// `SPAWN_REQUEST` and `SPAWN_REPLY`.
        const SPAWN = 1 << 32;
        /// The node asks for a name, or can give one.
        const NAME_ME = 1 << 33;
        /// `V4_PORT_EXT`, and references of up to five words.
        const V4_NC = 1 << 34;
        /// `ALIAS_SEND`.
        const ALIAS = 1 << 35;
        /// `ALTACT_SIG_SEND`, since OTP 28.
        const ALTACT_SIG = 1 << 37;

        const _ = !0;
    }
}

impl Flags {
    /// What [`Flags::MANDATORY_25_DIGEST`] stands for: what OTP 25 demands of its peers.
    pub const MANDATORY_25: Self = Self::EXTENDED_REFERENCES
        .union(Self::FUN_TAGS)
        .union(Self::EXTENDED_PIDS_PORTS)
        .union(Self::NEW_FUN_TAGS)
        .union(Self::EXPORT_PTR_TAG)
        .union(Self::BIT_BINARIES)
        .union(Self::NEW_FLOATS)
        .union(Self::UTF8_ATOMS)
        .union(Self::MAP_TAG)
        .union(Self::BIG_CREATION)
        .union(Self::HANDSHAKE_23);

    /// What this library tells its peers that it can do, and it alone decides: no more than what is done.
    ///
    /// Not claimed: `ALTACT_SIG` and the labels of sequential traces, of which nothing is done here.
    #[must_use]
    pub fn claimed(visible: bool) -> Self {
        let claimed = Self::MANDATORY_25
            | Self::MANDATORY_25_DIGEST
            // OTP 26 demands these two.
            | Self::UNLINK_ID
            | Self::V4_NC
            | Self::DIST_MONITOR
            | Self::DIST_MONITOR_NAME
            | Self::SMALL_ATOM_TAGS
            | Self::UNICODE_IO
            | Self::DIST_HDR_ATOM_CACHE
            | Self::FRAGMENTS
            | Self::SEND_SENDER
            | Self::EXIT_PAYLOAD
            | Self::SPAWN
            | Self::ALIAS;
        if visible {
            claimed | Self::PUBLISHED
        } else {
            claimed
        }
    }

    /// What a peer must be able to do so that we can talk to it: the terms that are written here.
    #[must_use]
    pub fn required(version: Version) -> Self {
        match version {
            Version::V5 => Self::MANDATORY_25.difference(Self::HANDSHAKE_23),
            Version::V6 => Self::MANDATORY_25,
        }
    }

    /// Reads flags from the wire: the digest is taken for what it stands for.
    #[must_use]
    pub fn from_wire(bits: u64) -> Self {
        let flags = Self::from_bits_retain(bits);
        if flags.contains(Self::MANDATORY_25_DIGEST) {
            flags | Self::MANDATORY_25
        } else {
            flags
        }
    }

    /// The lower 32 bits, all that version 5 carries at first.
    #[must_use]
    pub fn low(self) -> u32 {
        let [_, _, _, _, low @ ..] = self.bits().to_be_bytes();
        u32::from_be_bytes(low)
    }

    /// The upper 32 bits, which a complement carries.
    #[must_use]
    pub fn high(self) -> u32 {
        let [high @ .., _, _, _, _] = self.bits().to_be_bytes();
        u32::from_be_bytes(high)
    }
}

/// The names as OTP's log has them: `EXIT_PAYLOAD, FRAGMENTS`.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = self.iter_names();
        let mut between = "";
        for (name, _) in names.by_ref() {
            write!(f, "{between}{name}")?;
            between = ", ";
        }
        if !names.remaining().is_empty() {
            write!(f, "{between}{:#x}", names.remaining().bits())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_stands_for_what_otp_25_demands() {
        let short = Flags::from_wire(1 << 26);
        assert!(short.contains(Flags::required(Version::V6)));
        assert!(!Flags::from_wire(1 << 25).contains(Flags::HANDSHAKE_23));
    }

    #[test]
    fn unknown_bits_are_kept() {
        let flags = Flags::from_wire(1 << 60 | 1);
        assert_eq!(flags.bits(), 1 << 60 | 1);
        assert_eq!(flags.to_string(), "PUBLISHED, 0x1000000000000000");
        assert_eq!((flags.high(), flags.low()), (1 << 28, 1));
    }

    #[test]
    fn only_a_visible_node_is_published() {
        assert!(!Flags::claimed(false).contains(Flags::PUBLISHED));
        assert!(Flags::claimed(true).contains(Flags::PUBLISHED));
        // What OTP 26 and later refuse a peer for.
        let otp26 = Flags::MANDATORY_25 | Flags::UNLINK_ID | Flags::V4_NC;
        assert!(Flags::claimed(false).contains(otp26));
    }
}
