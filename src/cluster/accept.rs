//! Which named nodes a cluster takes: patterns such as `shop-*@10.0.?.*` on the whole node name.

use std::fmt;
use std::str::FromStr;

use crate::name::{MAX_CHARS, NodeName};

/// A filter of node names: a name passes if any of the patterns matches. Without patterns all names pass.
///
/// ```
/// use rendez::cluster::Accept;
/// let accept = Accept::new(["shop-?@*", "admin@10.0.0.1"]).unwrap();
/// assert!(accept.accepts(&"shop-3@10.0.0.9".parse().unwrap()));
/// assert!(!accept.accepts(&"shop-12@10.0.0.9".parse().unwrap()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accept(Vec<Pattern>);

impl Accept {
    /// The filter that lets every name pass.
    #[must_use]
    pub fn everything() -> Self {
        Self::default()
    }

    /// A filter of the patterns, which are alternatives.
    ///
    /// # Errors
    /// The first pattern that is none: see [`InvalidPattern`].
    pub fn new<T: AsRef<str>>(
        patterns: impl IntoIterator<Item = T>,
    ) -> Result<Self, InvalidPattern> {
        let parsed = patterns.into_iter().map(|text| text.as_ref().parse());
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the name passes.
    #[must_use]
    pub fn accepts(&self, node: &NodeName) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(node))
    }

    /// The patterns, in the order given.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.0
    }
}

impl From<Vec<Pattern>> for Accept {
    fn from(patterns: Vec<Pattern>) -> Self {
        Self(patterns)
    }
}

/// A pattern on a whole node name: `*` stands for any run of characters, `?` for any one character, and
/// everything else for itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it matches the whole of the name.
    ///
    /// It takes at most as many steps as the name has characters times the pattern has, whatever both are:
    /// only the last `*` is ever taken back, because what an earlier one left is as good as anything else
    /// it could leave.
    #[must_use]
    pub fn matches(&self, node: &NodeName) -> bool {
        let mut pattern = self.0.chars();
        let mut name = node.as_str().chars();
        // Where to go on when a try fails: after the last `*`, and after what it has swallowed so far.
        let mut retry = None;
        loop {
            let name_here = name.clone();
            match (pattern.next(), name.next()) {
                (Some('*'), _) => {
                    retry = Some((pattern.clone(), name_here.clone()));
                    name = name_here;
                }
                (None, None) => return true,
                (Some('?'), Some(_)) => {}
                (Some(p), Some(n)) if p == n => {}
                // The rest of the name is too short, however much the `*` swallows.
                (Some(_), None) => return false,
                (_, Some(_)) => {
                    let Some((after_star, swallowed)) = &mut retry else {
                        return false;
                    };
                    swallowed.next();
                    pattern = after_star.clone();
                    name = swallowed.clone();
                }
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let invalid = |why: fn(String) -> InvalidPattern| Err(why(text.to_owned()));
        if text.is_empty() {
            return Err(InvalidPattern::Empty);
        }
        if text.chars().filter(|&c| c != '*').count() > MAX_CHARS || text.len() > MAX_CHARS * 4 {
            return Err(InvalidPattern::TooLong);
        }
        match text.matches('@').count() {
            0 if !text.contains(['*', '?']) => invalid(InvalidPattern::NoHost),
            0 | 1 => Ok(Self(text.into())),
            _ => invalid(InvalidPattern::TwoHosts),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a text is no pattern that could match a node name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// It is empty, and would match nothing.
    #[error("an empty pattern matches no node; to accept every node, give no pattern or `*`")]
    Empty,
    /// It asks for more characters than a node name can have.
    #[error("a pattern longer than the {MAX_CHARS} characters of a node name matches no node")]
    TooLong,
    /// It has neither an `@` nor a `*` that could stand for one.
    #[error(
        "the pattern {0:?} matches no node, since it is matched against the whole of name@host; \
         write {0:?} followed by `@*`"
    )]
    NoHost(String),
    /// It has more than one `@`.
    #[error("the pattern {0:?} matches no node, since a node name has one `@`")]
    TwoHosts(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern
            .parse::<Pattern>()
            .unwrap()
            .matches(&name.parse().unwrap())
    }

    #[test]
    fn stars_question_marks_and_literals() {
        for (pattern, name, expected) in [
            ("*", "a@b", true),
            ("a@b", "a@b", true),
            ("a@b", "a@bc", false),
            ("a@bc", "a@b", false),
            ("a@*", "a@b", true),
            ("a@b*", "a@b", true),
            ("*@b", "shop@b", true),
            ("*@b", "shop@bb", false),
            ("?@?", "a@b", true),
            ("?@?", "ab@b", false),
            ("a?b", "a@b", true),
            ("s*p@*.*.0.1", "shop@10.0.0.1", true),
            ("s*p@*.1.0.1", "shop@10.0.0.1", false),
            ("*ab*ab@h", "abab@h", true),
            ("*ab*ab@h", "xabaab@h", true),
            ("*ab*ab@h", "aab@h", false),
            ("a@h?st", "a@höst", true),
            ("A@b", "a@b", false),
            ("a@[b]", "a@[b]", true),
            ("**@**", "a@b", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_is_done_in_no_time() {
        // A matcher that takes back every `*` needs 2^40 steps or more for this one.
        let pattern = format!("{}b@h", "a*".repeat(100));
        let name = format!("{}@h", "a".repeat(250));
        assert!(!matches(&pattern, &name));
    }

    #[test]
    fn without_patterns_every_name_passes_and_patterns_are_alternatives() {
        let node = "a@b".parse().unwrap();
        assert!(Accept::everything().accepts(&node));
        assert!(Accept::new(["x@*", "a@*"]).unwrap().accepts(&node));
        assert!(!Accept::new(["x@*", "y@*"]).unwrap().accepts(&node));
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_refused() {
        use InvalidPattern::*;
        for (text, why) in [
            ("", Empty),
            ("shop", NoHost("shop".into())),
            ("a@b@c", TwoHosts("a@b@c".into())),
            (&"a".repeat(256), TooLong),
        ] {
            assert_eq!(Accept::new([text]), Err(why), "{text:?}");
        }
    }

    /// The definition, with all its taking back.
    fn by_definition(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some(('*', rest)) => (0..=name.len()).any(|n| by_definition(rest, &name[n..])),
            Some((p, rest)) => name
                .split_first()
                .is_some_and(|(n, more)| (*p == '?' || p == n) && by_definition(rest, more)),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab?*]{0,6}[@*?][ab?*]{0,6}", name in "[ab]{1,7}@[ab]{1,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &name), by_definition(&chars(&pattern), &chars(&name)));
        }
    }
}
