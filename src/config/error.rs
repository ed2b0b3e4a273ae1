//! What is wrong with a configuration: every problem at once, each with its remedy.

use std::fmt;

/// Why a configuration is refused. Its `Display` is one line that names every problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// Puts problems together. There has to be at least one, or there is no error.
    pub(crate) fn from_problems(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self { problems })
        }
    }

    /// The problems, in the order in which they were found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// One thing that is wrong with a configuration. It never holds a secret's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There is no such option.
    #[error("{at}: there is no such option; {remedy}")]
    Unknown {
        /// The option as the user wrote it: `via.dns.dns_nam`, `RENDEZ_DNS_NAM`, `--dns-nam`.
        at: String,
        /// The nearest right spelling, where the option belongs, or what there is.
        remedy: String,
    },
    /// The option is one of another provider's, or of the cluster's.
    #[error("{at} is no option of {whose}, but of {owners}")]
    Misplaced {
        /// The option as the user wrote it.
        at: String,
        /// For whom it was given.
        whose: String,
        /// Whose it is.
        owners: String,
    },
    /// The option has a value that it does not take.
    #[error("{at} takes {takes}; got {got}")]
    Refused {
        /// The option as the user wrote it.
        at: String,
        /// What it takes, in words.
        takes: String,
        /// What it got; of a secret only what kind of value it is.
        got: String,
    },
    /// An option that is needed is not given.
    #[error("{at} is missing; it takes {takes}, for example {example}")]
    Missing {
        /// The option.
        at: String,
        /// What it takes, in words.
        takes: String,
        /// An example.
        example: String,
    },
    /// The option is given twice in one place.
    #[error("{at} is given twice; leave one of them out")]
    Twice {
        /// The option as the user wrote it.
        at: String,
    },
    /// The option stands where it could be meant for several providers.
    #[error(
        "{at} stands beside several providers ({providers}); put it inside the one that it is for: {remedy}"
    )]
    Ambiguous {
        /// The option as the user wrote it.
        at: String,
        /// The providers.
        providers: String,
        /// How to write it.
        remedy: String,
    },
    /// Anything else, with its remedy.
    #[error("{at}: {message}")]
    Other {
        /// The option or the place.
        at: String,
        /// The cause and the remedy.
        message: String,
    },
}

impl Problem {
    /// Says in which file the option stands.
    pub(crate) fn in_file(&mut self, file: &str) {
        match self {
            Self::Unknown { at, .. }
            | Self::Misplaced { at, .. }
            | Self::Refused { at, .. }
            | Self::Missing { at, .. }
            | Self::Twice { at }
            | Self::Ambiguous { at, .. }
            | Self::Other { at, .. } => at.insert_str(0, &format!("{file}: ")),
        }
    }
}

/// The candidate that `word` most likely means, if one is near.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let word = plain(word);
    // A third of the letters may be off; the bound also keeps hostile input cheap.
    let most = (word.chars().count() / 3).max(1);
    if word.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word, &plain(candidate)),
                candidate,
            )
        })
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_spelling_is_found_and_far_ones_are_not() {
        let names = ["dns_name", "interval", "port", "nameservers"];
        for (typed, meant) in [
            ("dns_nam", Some("dns_name")),
            ("dns-name", Some("dns_name")),
            ("dsn_name", Some("dns_name")),
            ("DNS_NAME", Some("dns_name")),
            ("intreval", Some("interval")),
            ("nameserver", Some("nameservers")),
            ("prot", Some("port")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
        assert_eq!(nearest(&"x".repeat(1_000_000), names), None);
    }

    #[test]
    fn several_problems_are_one_line() {
        let error = ConfigError {
            problems: vec![
                Problem::Twice { at: "port".into() },
                Problem::Refused {
                    at: "ttl".into(),
                    takes: "a number".into(),
                    got: "\"x\"".into(),
                },
            ],
        };
        assert_eq!(
            error.to_string(),
            "port is given twice; leave one of them out; ttl takes a number; got \"x\""
        );
    }
}
