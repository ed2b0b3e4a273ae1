//! How an option is described. The descriptions themselves are in [`options`](super::options).

use std::borrow::Cow;

/// An option: its name, what it takes, and what people need to know about it.
#[derive(Debug)]
pub struct Opt {
    /// Its name, as in `config :rendez, dns_name: ...`. The flag is `--dns-name`, the variable `RENDEZ_DNS_NAME`.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// What holds where it is not given.
    pub default: Default,
    /// What it is for, in one sentence.
    pub doc: &'static str,
    /// A value that it takes, as text.
    pub example: &'static str,
}

/// What holds where an option is not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This value, as text that the option takes.
    Value(&'static str),
    /// Something that is no fixed value, in words.
    Words(&'static str),
    /// Nothing: the option has to be given.
    Required,
}

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Takes {
    /// `true` or `false`.
    Flag,
    /// A whole number between two bounds.
    Count {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A whole number that is at least `min`, or `infinity`.
    CountOrInfinity {
        /// The least.
        min: u64,
    },
    /// A span of time, above zero.
    Span,
    /// A span of time, or zero.
    SpanOrZero,
    /// What becomes of removed nodes: `keep`, or `disconnect` with a grace in milliseconds.
    Removal,
    /// One text.
    Text,
    /// A URL. Its user, password, path and query may be credentials.
    Url,
    /// The path of a file.
    Path,
    /// A program and its arguments.
    Command,
    /// One or several texts.
    Texts,
    /// Names with values, of which one name may have several or none.
    Pairs,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One or several of these words.
    Choices(&'static [&'static str]),
    /// One or several node names.
    Nodes,
    /// One or several patterns of node names.
    Patterns,
    /// One or several names to look up, each with the name part of its nodes if it is not `app_name`.
    DnsNames,
    /// One or several IP addresses.
    Addresses,
    /// One or several ranges of IP addresses.
    Cidrs,
    /// One or several network interfaces, by name or address.
    Interfaces,
    /// One or several name servers: an address, with a port if it is not 53.
    Nameservers,
    /// One or several IP addresses, with a port if it is not this one.
    Endpoints {
        /// The port where none is given.
        port: u16,
    },
    /// A secret text.
    Secret,
}

impl Takes {
    /// What the option takes, in words that stand after "takes".
    #[must_use]
    pub fn words(self) -> Cow<'static, str> {
        match self {
            Self::Flag => "true or false".into(),
            Self::Count { min, max: u64::MAX } => format!("a whole number, at least {min}").into(),
            Self::Count { min, max } => format!("a whole number from {min} to {max}").into(),
            Self::CountOrInfinity { min } => {
                format!("a whole number, at least {min}, or infinity").into()
            }
            Self::Span => {
                r#"a span of time above zero: a number of seconds, or text with a unit ("250ms", "5s", "2m")"#.into()
            }
            Self::SpanOrZero => {
                r#"a span of time: a number of seconds, or text with a unit ("250ms", "5s", "2m")"#.into()
            }
            Self::Removal => {
                r#"keep, or {disconnect, grace_ms} with a whole number of milliseconds, as text "disconnect:30s""#.into()
            }
            Self::Text => "text".into(),
            Self::Url => "a URL, https://host or http://host".into(),
            Self::Path => "the path of a file".into(),
            Self::Command => {
                "a program and its arguments: a list of texts, or one text, with spaces between and quotes around a text with spaces".into()
            }
            Self::Texts => "text or a list of texts".into(),
            Self::Pairs => {
                "name=value pairs: a table of values or lists of them, or text with commas between the pairs".into()
            }
            Self::Choice(words) => words.join(" or ").into(),
            Self::Choices(words) => format!("one or several of {}", words.join(", ")).into(),
            Self::Nodes => "a node name (name@host) or a list of them".into(),
            Self::Patterns => {
                "a pattern of node names, in which * stands for any characters and ? for one, or a list of them".into()
            }
            Self::DnsNames => "a name to look up, a list of them, or {app_name, dns_name} pairs".into(),
            Self::Addresses => "an IP address or a list of them".into(),
            Self::Cidrs => "a range of IP addresses (10.0.0.0/24) or a list of them".into(),
            Self::Interfaces => {
                "the name of a network interface, an address that it has, or a list of these".into()
            }
            Self::Nameservers => "the IP address of a name server, with a port if it is not 53, or a list of them".into(),
            Self::Endpoints { port } => {
                format!("an IP address, with a port if it is not {port}, or a list of them").into()
            }
            Self::Secret => "secret text".into(),
        }
    }

    /// What stands for the value in the help of a command: `<SECONDS>`.
    #[must_use]
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Flag => "BOOL",
            Self::Count { .. } | Self::CountOrInfinity { .. } => "NUMBER",
            Self::Span | Self::SpanOrZero => "SPAN",
            Self::Removal => "keep|disconnect:SPAN",
            Self::Text | Self::Texts => "TEXT",
            Self::Url => "URL",
            Self::Path => "FILE",
            Self::Command => "COMMAND",
            Self::Pairs => "NAME=VALUE",
            Self::Choice(_) | Self::Choices(_) => "WORD",
            Self::Nodes => "NODE",
            Self::Patterns => "PATTERN",
            Self::DnsNames => "NAME",
            Self::Addresses => "ADDRESS",
            Self::Cidrs => "CIDR",
            Self::Interfaces => "INTERFACE",
            Self::Nameservers | Self::Endpoints { .. } => "ADDRESS[:PORT]",
            Self::Secret => "SECRET",
        }
    }

    /// Whether a value is, or may hold, a secret. Nothing of such a value is shown: not in an error, a report, the log,
    /// the status or a debug print. The Erlang side seals these values, and those of options that are not in the table.
    #[must_use]
    pub fn is_secret(self) -> bool {
        matches!(self, Self::Secret | Self::Url | Self::Command)
    }

    /// Whether several values add up, so that the flag can be repeated.
    #[must_use]
    pub fn several(self) -> bool {
        matches!(
            self,
            Self::Texts
                | Self::Pairs
                | Self::Choices(_)
                | Self::Nodes
                | Self::Patterns
                | Self::DnsNames
                | Self::Addresses
                | Self::Cidrs
                | Self::Interfaces
                | Self::Nameservers
                | Self::Endpoints { .. }
        )
    }
}

/// A provider and its options.
#[derive(Debug)]
pub struct Group {
    /// The word after `via`.
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// Where its peers come from, in one sentence.
    pub doc: &'static str,
    /// Its options.
    pub options: &'static [Opt],
}

impl Group {
    /// The option of that name.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|option| option.name == name)
    }
}
