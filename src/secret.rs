//! Cookies and other secrets, kept out of logs and debug prints.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A cookie or a shared secret. Its `Debug` never shows the bytes, and it has no `Display`.
///
/// Two are compared in a time that does not depend on where they differ, and the bytes are overwritten when the last
/// clone is dropped.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Wraps the bytes of a secret.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.as_ref().to_vec())))
    }

    /// The bytes, for the one place that hashes or sends a digest of them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A URL as it was given. Its `Debug` shows scheme, host and port only: user, password, path and query may be
/// credentials.
///
/// ```
/// let url = rendez::SecretUrl::from("https://me:hush@peers.internal/t0k3n?key=k");
/// assert_eq!(format!("{url:?}"), "https://peers.internal/..");
/// assert!(url.ends_with("?key=k"));
/// ```
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretUrl(String);

impl Deref for SecretUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for SecretUrl {
    fn from(url: T) -> Self {
        Self(url.into())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            // Where the host ends is not known.
            return f.write_str("..");
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        // A password that is not escaped may hold an @, and everything after the last one may still be a part of it.
        let host = authority.rsplit('@').next().unwrap_or_default();
        let rest = match rest {
            "" | "/" => "",
            _ if rest.contains('@') => return write!(f, "{scheme}://.."),
            _ => "/..",
        };
        write!(f, "{scheme}://{host}{rest}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Secret, SecretUrl};

    #[test]
    fn debug_hides_the_bytes() {
        let shown = format!("{:?}", Some(Secret::new("monster")));
        assert_eq!(shown, "Some(Secret(..))");
    }

    #[test]
    fn equal_bytes_are_equal_secrets() {
        let secret = Secret::new("monster");
        assert_eq!(secret, Secret::new(b"monster"));
        for other in ["", "monste", "monsters", "Monster"] {
            assert_ne!(secret, Secret::new(other));
        }
    }

    #[test]
    fn of_a_url_only_the_server_is_shown() {
        for (url, shown) in [
            ("https://peers.internal", "https://peers.internal"),
            ("http://[fd00::1]:8080/", "http://[fd00::1]:8080"),
            ("https://hush:hush@h:1/hush", "https://h:1/.."),
            ("https://h?key=hush#hush", "https://h/.."),
            ("https://hush/hush@h", "https://.."),
            ("https://a:hu@hush@h", "https://h"),
            ("hush", ".."),
            ("https:/hush@h", ".."),
        ] {
            let shown_as = format!("{:?}", SecretUrl::from(url));
            assert_eq!(shown_as, shown, "{url}");
            assert!(!shown_as.contains("hush"));
        }
    }
}
