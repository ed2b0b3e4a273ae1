//! Private keys in PEM files, with a password or without.

use std::path::Path;

use aes::{Aes128, Aes192, Aes256};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;
use md5::{Digest as _, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};

use super::TlsError;
use crate::secret::Secret;

/// Reads the first private key of a PEM file. Without encryption the password does not matter.
pub(super) fn private_key(
    file: &Path,
    password: Option<&Secret>,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let file = file.to_owned();
    let text = match std::fs::read(&file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return Err(TlsError::Read { file, error }),
    };
    let Some(block) = Block::find(&text) else {
        return Err(TlsError::NoKey { file });
    };
    let bytes = match block.bytes() {
        Ok(bytes) => bytes,
        Err(detail) => return Err(TlsError::Pem { file, detail }),
    };
    let bytes = if block.is_encrypted() {
        let Some(password) = password else {
            return Err(TlsError::EncryptedKey { file });
        };
        match block.decrypt(bytes, password.expose()) {
            Ok(bytes) => bytes,
            Err(detail) => return Err(TlsError::Password { file, detail }),
        }
    } else {
        bytes
    };
    match block.label {
        "RSA PRIVATE KEY" => Ok(PrivateKeyDer::Pkcs1(bytes.into())),
        "EC PRIVATE KEY" => Ok(PrivateKeyDer::Sec1(bytes.into())),
        "PRIVATE KEY" | ENCRYPTED => Ok(PrivateKeyDer::Pkcs8(bytes.into())),
        _ => Err(TlsError::NoKey { file }),
    }
}

/// The label of an encrypted key of PKCS #8. The others say in a header that they are encrypted.
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// A block of a PEM file.
struct Block<'a> {
    label: &'a str,
    /// Lines with a name and a value before the base64.
    headers: Vec<(&'a str, &'a str)>,
    base64: Vec<&'a str>,
}

impl<'a> Block<'a> {
    /// The first one with a private key.
    fn find(text: &'a str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let label = lines.by_ref().find_map(|line| {
            let label = line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?;
            label.ends_with("PRIVATE KEY").then_some(label)
        })?;
        let (mut headers, mut base64) = (Vec::new(), Vec::new());
        for line in lines.take_while(|line| !line.starts_with("-----END ")) {
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.trim(), value.trim())),
                None => base64.push(line),
            }
        }
        Some(Self {
            label,
            headers,
            base64,
        })
    }

    /// The reader of rustls takes no headers, and no key that is encrypted.
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let base64 = self.base64.join("\n");
        let plain = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n");
        let read = <(SectionKind, Vec<u8>)>::from_pem_slice(plain.as_bytes());
        read.map(|(_, bytes)| bytes)
            .map_err(|error| error.to_string())
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        let mut headers = self.headers.iter();
        headers
            .find(|header| header.0 == name)
            .map(|header| header.1)
    }

    fn is_encrypted(&self) -> bool {
        self.label == ENCRYPTED
            || self
                .header("Proc-Type")
                .is_some_and(|kind| kind.ends_with("ENCRYPTED"))
    }

    fn decrypt(&self, bytes: Vec<u8>, password: &[u8]) -> Result<Vec<u8>, String> {
        let wrong = || "it is another password".to_owned();
        if self.label == ENCRYPTED {
            let key = EncryptedPrivateKeyInfoRef::try_from(bytes.as_slice());
            let key = key.map_err(|error| error.to_string())?;
            return match key.decrypt(password) {
                Ok(key) => Ok(key.as_bytes().to_vec()),
                Err(pkcs8::Error::EncryptedPrivateKey(
                    pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. }
                    | pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. },
                )) => Err("it is encrypted in a way that is not known here".to_owned()),
                Err(_) => Err(wrong()),
            };
        }
        let info = self.header("DEK-Info").unwrap_or_default();
        let (cipher, iv) = info.split_once(',').unwrap_or((info, ""));
        let iv = hex(iv).ok_or("its DEK-Info has no initialisation vector")?;
        let decrypted = match cipher {
            "AES-128-CBC" => decrypt::<cbc::Decryptor<Aes128>>(bytes, password, &iv),
            "AES-192-CBC" => decrypt::<cbc::Decryptor<Aes192>>(bytes, password, &iv),
            "AES-256-CBC" => decrypt::<cbc::Decryptor<Aes256>>(bytes, password, &iv),
            "DES-EDE3-CBC" => decrypt::<cbc::Decryptor<TdesEde3>>(bytes, password, &iv),
            other => return Err(format!("{other} is not known here")),
        };
        // A wrong password has the right padding once in 256 times; then no key is found in what it gives.
        decrypted
            .filter(|key| key.first() == Some(&0x30))
            .ok_or_else(wrong)
    }
}

/// Decrypts as OpenSSL's PEM files without PKCS #8 have it: the key is made of the password and the first eight bytes
/// of the initialisation vector by MD5 (`EVP_BytesToKey`).
fn decrypt<C>(mut bytes: Vec<u8>, password: &[u8], iv: &[u8]) -> Option<Vec<u8>>
where
    C: KeyIvInit + BlockModeDecrypt,
{
    let (wanted, salt) = (C::key_size(), iv.get(..8)?);
    let mut key = Vec::new();
    let mut last = Vec::new();
    while key.len() < wanted {
        last = Md5::new()
            .chain_update(&last)
            .chain_update(password)
            .chain_update(salt)
            .finalize()
            .to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(wanted);
    let cipher = C::new_from_slices(&key, iv).ok()?;
    let length = cipher.decrypt_padded::<Pkcs7>(&mut bytes).ok()?.len();
    bytes.truncate(length);
    Some(bytes)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
