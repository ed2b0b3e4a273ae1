//! libcluster's Gossip: `heartbeat::` and a map of `node` to the sender's name, or, with a secret, an IV of
//! 16 bytes and the same in AES-256-CBC with PKCS#7 padding under the SHA-256 of the secret.
//!
//! The format is that of `Cluster.Strategy.Gossip` in libcluster 3.

use aes::Aes256;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use sha2::{Digest, Sha256};

use super::{MAX_DATAGRAM, Refused, term};
use crate::name::NodeName;
use crate::secret::Secret;

const PRELUDE: &[u8] = b"heartbeat::";
const BLOCK: usize = 16;

/// Writes and reads libcluster's heartbeats.
#[derive(Clone)]
pub struct Gossip {
    key: Option<[u8; 32]>,
}

impl Gossip {
    /// With the secret that libcluster was given, or none.
    #[must_use]
    pub fn new(secret: Option<&Secret>) -> Self {
        Self {
            key: secret.map(|secret| Sha256::digest(secret.expose()).into()),
        }
    }

    /// Whether a heartbeat shows that its sender has the secret.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.key.is_some()
    }

    /// A heartbeat of `node`. `iv` has to be random, and another each time, if there is a secret.
    #[must_use]
    pub fn encode(&self, node: &NodeName, iv: [u8; BLOCK]) -> Vec<u8> {
        let mut plain = PRELUDE.to_vec();
        term::write_map_term(&mut plain, node);
        self.seal(&plain, iv)
    }

    /// Encrypts what a datagram is to say, if there is a secret.
    #[must_use]
    pub fn seal(&self, plain: &[u8], iv: [u8; BLOCK]) -> Vec<u8> {
        let mut plain = plain.to_vec();
        let Some(key) = &self.key else {
            return plain;
        };
        let length = plain.len();
        // Room for the padding: at least a byte, at most a block.
        plain.resize(length / BLOCK * BLOCK + BLOCK, 0);
        let cipher = cbc::Encryptor::<Aes256>::new(key.into(), &iv.into());
        let sealed = cipher.encrypt_padded::<Pkcs7>(&mut plain, length);
        let mut datagram = iv.to_vec();
        datagram.extend_from_slice(sealed.expect("there is room for the padding"));
        datagram
    }

    /// The sender of a heartbeat.
    ///
    /// # Errors
    /// [`Refused`]. With a secret, everything that does not decrypt to a heartbeat is forged.
    pub fn decode(&self, datagram: &[u8]) -> Result<NodeName, Refused> {
        let Some(key) = &self.key else {
            return heartbeat(datagram.strip_prefix(PRELUDE).ok_or(Refused::Foreign)?);
        };
        let (iv, sealed) = datagram
            .split_first_chunk::<BLOCK>()
            .ok_or(Refused::Foreign)?;
        if sealed.is_empty() || sealed.len() % BLOCK != 0 {
            return Err(Refused::Foreign);
        }
        let mut buffer = [0; MAX_DATAGRAM];
        let buffer = buffer.get_mut(..sealed.len()).ok_or(Refused::Oversized)?;
        buffer.copy_from_slice(sealed);
        let cipher = cbc::Decryptor::<Aes256>::new(key.into(), iv.into());
        let plain = cipher
            .decrypt_padded::<Pkcs7>(buffer)
            .map_err(|_| Refused::Forged)?;
        heartbeat(plain.strip_prefix(PRELUDE).ok_or(Refused::Forged)?)
    }
}

fn heartbeat(term: &[u8]) -> Result<NodeName, Refused> {
    let atom = term::node_of_map(term).ok_or(Refused::Malformed)?;
    atom.to_name().map_err(|_| Refused::Malformed)
}
