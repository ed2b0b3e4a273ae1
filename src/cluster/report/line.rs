//! A line of the log.

use std::fmt;
use std::time::Duration;

use crate::name::NodeName;

/// The `event` of every line that a [`super::Reporter`] makes.
pub const EVENTS: [&str; 16] = [
    "discovered",
    "withdrawn",
    "names_summary",
    "refused",
    "connecting",
    "joined",
    "left",
    "connect_failed",
    "connect_failed_summary",
    "connect_recovered",
    "provider_answered",
    "provider_failed",
    "provider_recovered",
    "provider_warning",
    "time_jump",
    "no_goodbye",
];

/// The longest text of a foreign error in a line. Log daemons cut longer lines, or split them.
const LONGEST: usize = 1000;
/// How many of many names a line shows.
const SHOWN: usize = 3;

/// How much a line matters. `tracing` has no notice, so that becomes its info.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// For those who look for a cause.
    Debug,
    /// What goes as it should.
    Info,
    /// A change that ends or corrects an earlier warning.
    Notice,
    /// What does not go as it should.
    Warning,
}

impl Level {
    /// OTP's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
        }
    }
}

/// One line of the log: a sentence for people, and what programs look for in fields of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it is about, one of [`EVENTS`].
    pub event: &'static str,
    /// The same phrase in all lines of the kind, without names and numbers.
    pub phrase: &'static str,
    /// The sentence.
    pub text: String,
    /// The node that it is about.
    pub node: Option<NodeName>,
    /// The provider that it is about.
    pub provider: Option<String>,
    /// Why, in one word; of a summary the most frequent one, of a connection that ended what the distribution says.
    pub reason: Option<String>,
    /// Failed attempts in a row.
    pub attempts: Option<u32>,
    /// When the next attempt comes.
    pub retry_in: Option<Duration>,
    /// How long it took.
    pub after: Option<Duration>,
    /// How many nodes a summary is about.
    pub count: Option<usize>,
}

impl Line {
    pub(super) fn new(
        level: Level,
        event: &'static str,
        phrase: &'static str,
        text: impl Into<String>,
    ) -> Self {
        Self {
            level,
            event,
            phrase,
            text: text.into(),
            node: None,
            provider: None,
            reason: None,
            attempts: None,
            retry_in: None,
            after: None,
            count: None,
        }
    }

    pub(super) fn node(mut self, node: &NodeName) -> Self {
        self.node = Some(node.clone());
        self
    }

    pub(super) fn provider(mut self, provider: &str) -> Self {
        self.provider = Some(provider.to_owned());
        self
    }

    pub(super) fn reason(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    pub(super) fn count(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// Writes it through `tracing`, with the node for which the cluster runs as the field `attached`.
    pub fn trace(&self, attached: Option<&NodeName>) {
        macro_rules! write {
            ($level:expr) => {
                tracing::event!(
                    target: "rendez",
                    $level,
                    event = self.event,
                    phrase = self.phrase,
                    attached = attached.map(NodeName::as_str),
                    node = self.node.as_ref().map(NodeName::as_str),
                    provider = self.provider.as_deref(),
                    reason = self.reason.as_deref(),
                    attempts = self.attempts,
                    retry_ms = self.retry_in.map(millis),
                    after_ms = self.after.map(millis),
                    count = self.count.map(|count| count as u64),
                    "{}",
                    self.text
                )
            };
        }
        match self.level {
            Level::Debug => write!(tracing::Level::DEBUG),
            Level::Info | Level::Notice => write!(tracing::Level::INFO),
            Level::Warning => write!(tracing::Level::WARN),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A span of time as people read it: `5 ms`, `3.5 s`, `12 min`, `7 h`.
pub(super) fn span(span: Duration) -> String {
    match span.as_secs() {
        0 => format!("{} ms", span.as_millis()),
        1..60 => format!("{} s", (span.as_secs_f64() * 10.0).round() / 10.0),
        60..7200 => format!("{} min", span.as_secs() / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// Some of the names, and how many more there are.
pub(super) fn some_of(mut names: Vec<&NodeName>) -> String {
    names.sort_unstable();
    let all = names.len();
    // "and 1 more" is as long as a name.
    let shown = if all <= SHOWN + 1 { all } else { SHOWN };
    let texts: Vec<&str> = names[..shown].iter().map(|name| name.as_str()).collect();
    match all - shown {
        0 => texts.join(", "),
        more => format!("{} and {more} more", texts.join(", ")),
    }
}

/// A foreign text that is cut where it is too long for a line.
pub(super) fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = (0..=LONGEST).rev().find(|&end| text.is_char_boundary(end));
    let end = end.unwrap_or(0);
    format!(
        "{} ... ({} more bytes, which the status has)",
        &text[..end],
        text.len() - end
    )
}

/// The text without its numbers: ports, times and counters change while the cause stays.
pub(super) fn without_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if !character.is_ascii_digit() {
            plain.push(character);
        } else if !plain.ends_with('#') {
            plain.push('#');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_well() {
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (3547, "3.5 s"),
            (60_000, "1 min"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "ä".repeat(LONGEST);
        let text = cut(&long);
        assert!(
            text.starts_with("ä") && text.contains("1000 more bytes"),
            "{text}"
        );
        let odd = format!("x{long}");
        assert!(cut(&odd).contains("1002 more bytes"), "{}", cut(&odd));
    }

    #[test]
    fn the_same_cause_with_other_numbers_is_the_same() {
        assert_eq!(
            without_numbers("127.0.0.1, port 37219"),
            without_numbers("127.0.0.1, port 4")
        );
        assert_ne!(
            without_numbers("port 5 refuses"),
            without_numbers("port 5 is silent")
        );
    }
}
