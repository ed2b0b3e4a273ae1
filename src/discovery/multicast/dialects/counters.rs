//! What became of every datagram in a dialect.

/// How many datagrams came and went, and why those that were passed over were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DialectCounters {
    /// Announcements made.
    pub sent: u64,
    /// Copies of announcements, for a further group or interface, that the system did not send.
    pub send_errors: u64,
    /// Announcements of others that were taken in.
    pub heard: u64,
    /// Announcements of our own name: copies of our own.
    pub own: u64,
    /// Datagrams longer than an announcement can be.
    pub oversized: u64,
    /// Datagrams that are no announcements in this dialect.
    pub foreign: u64,
    /// Datagrams that were not made with our secret or cookie.
    pub forged: u64,
    /// Authentic announcements whose time is too far from this host's clock, replays among them.
    pub clock: u64,
    /// Datagrams that begin as announcements and go on as none, or name no node.
    pub malformed: u64,
    /// Announcements of nodes that make hidden connections themselves.
    pub hidden: u64,
    /// Announcements of nodes that `accept` refuses.
    pub not_accepted: u64,
    /// Names that were not taken in because too many new ones came.
    pub rate_limited: u64,
    /// Names that were not taken in because as many are known as are kept.
    pub full: u64,
}

impl DialectCounters {
    /// Every counter and its name, for status and metrics.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 13] {
        [
            ("sent", self.sent),
            ("send_errors", self.send_errors),
            ("heard", self.heard),
            ("own", self.own),
            ("oversized", self.oversized),
            ("foreign", self.foreign),
            ("forged", self.forged),
            ("clock", self.clock),
            ("malformed", self.malformed),
            ("hidden", self.hidden),
            ("not_accepted", self.not_accepted),
            ("rate_limited", self.rate_limited),
            ("full", self.full),
        ]
    }
}
