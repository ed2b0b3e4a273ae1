//! Cookies and other secrets, kept out of logs and debug prints.

use std::fmt;
use std::sync::Arc;

/// A cookie or a shared secret. Its `Debug` never shows the bytes, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Wraps the bytes of a secret.
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(bytes.as_ref().into())
    }

    /// The bytes, for the one place that hashes or sends a digest of them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_hides_the_bytes() {
        let shown = format!("{:?}", Some(Secret::new("monster")));
        assert_eq!(shown, "Some(Secret(..))");
    }
}
