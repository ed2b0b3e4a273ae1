//! The proof that a node knows the cookie.

use std::fmt;

use md5::{Digest as _, Md5};
use subtle::ConstantTimeEq as _;

use crate::secret::Secret;

/// `md5(Cookie ++ Challenge)`, the challenge in decimal digits.
#[derive(Clone, Copy)]
pub struct Digest([u8; Digest::LENGTH]);

impl Digest {
    /// In bytes.
    pub const LENGTH: usize = 16;

    /// Answers a challenge.
    #[must_use]
    pub fn answer(cookie: &Secret, challenge: u32) -> Self {
        let hash = Md5::new()
            .chain_update(cookie.expose())
            .chain_update(challenge.to_string());
        Self(hash.finalize().into())
    }

    /// Takes what a peer sent.
    #[must_use]
    pub fn from_wire(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// Whether both are the same, in a time that does not say how much of them is.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Hides the bytes: a short cookie can be found by trying when digest and challenge are known.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(cookie: impl AsRef<[u8]>, challenge: u32) -> String {
        let digest = Digest::answer(&Secret::new(cookie), challenge);
        digest
            .as_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    }

    /// From `binary:encode_hex(erlang:md5([atom_to_list(Cookie) | integer_to_list(Challenge)]), lowercase)`,
    /// which is what OTP's `dist_util` computes.
    #[test]
    fn as_otp_computes_it() {
        assert_eq!(hex("monster", 0), "12b449de1b22903411908b8c56b73be3");
        assert_eq!(hex("monster", 42), "c59491df69fa3a50e5d6bb31ba9ecb8f");
        // 'öÿü' of a node is three bytes: the characters of an atom as Latin-1.
        assert_eq!(
            hex([246, 255, 252], u32::MAX),
            "f8acb0e8e9afb62553d60e891fd6906f"
        );
        assert_eq!(
            hex([b'x'; 255], 3_000_000_000),
            "4298b6a706e6d0f81ad0241c0e56473a"
        );
    }

    #[test]
    fn one_bit_makes_a_difference() {
        let digest = Digest::answer(&Secret::new("c"), 1);
        assert!(digest.matches(&Digest::from_wire(*digest.as_bytes())));
        for bit in 0..128 {
            let mut other = *digest.as_bytes();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!digest.matches(&Digest::from_wire(other)), "bit {bit}");
        }
    }
}
