//! What became of every datagram.

/// How many datagrams came and went, and why those that were passed over were.
///
/// A datagram is counted once for every copy that arrives: one that came by two interfaces is one
/// `heard` and one `duplicate`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Announcements made.
    pub sent: u64,
    /// Announcements, or copies of one for a further group or interface, that the system did not send.
    pub send_errors: u64,
    /// Announcements of others that were taken in.
    pub heard: u64,
    /// Copies of our own announcements.
    pub own: u64,
    /// Further copies of an announcement just heard, as by a second interface.
    pub duplicate: u64,
    /// Authentic announcements that are out of date: heard before, older than one heard before, or of an
    /// earlier start of their node.
    pub replayed: u64,
    /// Authentic announcements of a node not known yet whose time is too far from this host's clock.
    pub clock: u64,
    /// Datagrams whose authentication failed: forged, or made with another secret.
    pub forged: u64,
    /// Announcements of another cluster.
    pub other_cluster: u64,
    /// Announcements in a version of the layout that this release does not read.
    pub version: u64,
    /// Datagrams that are no announcements of Rendez.
    pub foreign: u64,
    /// Datagrams shorter than an announcement can be.
    pub truncated: u64,
    /// Datagrams longer than an announcement can be.
    pub oversized: u64,
    /// Authentic announcements that make no sense; each is a fault in a member of the cluster.
    pub malformed: u64,
    /// Names that were not taken in because as many are known as are kept.
    pub full: u64,
    /// Announcements of another node under this node's name.
    pub twin: u64,
}

impl Counters {
    /// Every counter and its name, for status and metrics.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 16] {
        [
            ("sent", self.sent),
            ("send_errors", self.send_errors),
            ("heard", self.heard),
            ("own", self.own),
            ("duplicate", self.duplicate),
            ("replayed", self.replayed),
            ("clock", self.clock),
            ("forged", self.forged),
            ("other_cluster", self.other_cluster),
            ("version", self.version),
            ("foreign", self.foreign),
            ("truncated", self.truncated),
            ("oversized", self.oversized),
            ("malformed", self.malformed),
            ("full", self.full),
            ("twin", self.twin),
        ]
    }
}
