//! How TLS is spoken, as options of OTP's `ssl` say it: versions, ciphers, groups, signatures, depth.

use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SignatureScheme, SupportedProtocolVersion};

use crate::etf::{Map, Term};

/// What is allowed on one side; `None` is everything that is known here.
#[derive(Debug, Clone, Default)]
pub(super) struct Policy {
    versions: Option<Vec<&'static SupportedProtocolVersion>>,
    ciphers: Option<Vec<CipherSuite>>,
    /// Of TLS 1.3.
    groups: Option<Vec<NamedGroup>>,
    /// Of TLS 1.2.
    curves: Option<Vec<NamedGroup>>,
    schemes: Option<Vec<SignatureScheme>>,
    certificate_schemes: Option<Vec<SignatureScheme>>,
    pub(super) depth: Option<usize>,
}

/// A cipher suite, as the IANA, OpenSSL and OTP (key exchange and cipher) call it.
type Suite = (CipherSuite, &'static str, &'static str, [&'static str; 2]);

const SUITES: &[Suite] = &[
    (
        CipherSuite::TLS13_AES_256_GCM_SHA384,
        "TLS_AES_256_GCM_SHA384",
        "TLS_AES_256_GCM_SHA384",
        ["any", "aes_256_gcm"],
    ),
    (
        CipherSuite::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_128_GCM_SHA256",
        ["any", "aes_128_gcm"],
    ),
    (
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_CHACHA20_POLY1305_SHA256",
        ["any", "chacha20_poly1305"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        ["ecdhe_ecdsa", "aes_256_gcm"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        ["ecdhe_ecdsa", "aes_128_gcm"],
    ),
    (
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        ["ecdhe_ecdsa", "chacha20_poly1305"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        ["ecdhe_rsa", "aes_256_gcm"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        ["ecdhe_rsa", "aes_128_gcm"],
    ),
    (
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
        ["ecdhe_rsa", "chacha20_poly1305"],
    ),
];

const GROUPS: &[(&str, NamedGroup)] = &[
    ("x25519", NamedGroup::X25519),
    ("secp256r1", NamedGroup::secp256r1),
    ("secp384r1", NamedGroup::secp384r1),
];

/// With the names of TLS 1.3 and the pairs of TLS 1.2.
const SCHEMES: &[(&str, [&str; 2], SignatureScheme)] = &[
    (
        "ecdsa_secp256r1_sha256",
        ["sha256", "ecdsa"],
        SignatureScheme::ECDSA_NISTP256_SHA256,
    ),
    (
        "ecdsa_secp384r1_sha384",
        ["sha384", "ecdsa"],
        SignatureScheme::ECDSA_NISTP384_SHA384,
    ),
    ("eddsa_ed25519", ["", ""], SignatureScheme::ED25519),
    (
        "rsa_pss_rsae_sha256",
        ["sha256", "rsa_pss_rsae"],
        SignatureScheme::RSA_PSS_SHA256,
    ),
    (
        "rsa_pss_rsae_sha384",
        ["sha384", "rsa_pss_rsae"],
        SignatureScheme::RSA_PSS_SHA384,
    ),
    (
        "rsa_pss_rsae_sha512",
        ["sha512", "rsa_pss_rsae"],
        SignatureScheme::RSA_PSS_SHA512,
    ),
    (
        "rsa_pkcs1_sha256",
        ["sha256", "rsa"],
        SignatureScheme::RSA_PKCS1_SHA256,
    ),
    (
        "rsa_pkcs1_sha384",
        ["sha384", "rsa"],
        SignatureScheme::RSA_PKCS1_SHA384,
    ),
    (
        "rsa_pkcs1_sha512",
        ["sha512", "rsa"],
        SignatureScheme::RSA_PKCS1_SHA512,
    ),
];

impl Policy {
    /// Reads an option, if it is one of those here.
    pub(super) fn read(&mut self, name: &str, value: &Term) -> Option<Result<(), String>> {
        let read = match name {
            "versions" => chosen(value, version, "TLS 1.2 and TLS 1.3 are spoken here")
                .map(|it| self.versions = it),
            // An empty list is the default.
            "ciphers" if *value == Term::NIL => Ok(()),
            "ciphers" => ciphers(value).map(|it| self.ciphers = it),
            "supported_groups" => group(value).map(|it| self.groups = it),
            "eccs" => group(value).map(|it| self.curves = it),
            "signature_algs" => signatures(value).map(|it| self.schemes = it),
            "signature_algs_cert" => signatures(value).map(|it| self.certificate_schemes = it),
            "depth" => match value.as_int().map(usize::try_from) {
                Some(Ok(depth)) => {
                    self.depth = Some(depth);
                    Ok(())
                }
                _ => Err("it takes a number from 0 on".to_owned()),
            },
            _ => return None,
        };
        Some(read)
    }

    pub(super) fn versions(&self) -> &[&'static SupportedProtocolVersion] {
        const ALL: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
        self.versions.as_deref().unwrap_or(ALL)
    }

    /// How the other node may sign the handshake.
    pub(super) fn schemes(&self) -> Option<&[SignatureScheme]> {
        self.schemes.as_deref()
    }

    /// How certificates may be signed: as the handshake, unless something else is said.
    pub(super) fn chain_schemes(&self) -> Option<&[SignatureScheme]> {
        self.certificate_schemes.as_deref().or(self.schemes())
    }

    /// The parts that rustls is made of, with what is allowed of them.
    pub(super) fn provider(&self) -> Result<CryptoProvider, String> {
        let mut provider = ring::default_provider();
        if let Some(ciphers) = &self.ciphers {
            let known = std::mem::take(&mut provider.cipher_suites);
            let wanted = ciphers.iter();
            // The order says what is liked best.
            provider.cipher_suites = wanted
                .filter_map(|wanted| known.iter().find(|suite| suite.suite() == *wanted).copied())
                .collect();
        }
        let versions = self.versions();
        let speaks = |version: ProtocolVersion| versions.iter().any(|it| it.version == version);
        let usable = |it: &rustls::SupportedCipherSuite| speaks(it.version().version);
        if !provider.cipher_suites.iter().any(usable) {
            return Err("none of its ciphers is of one of its versions".to_owned());
        }
        let (tls12, tls13) = (
            speaks(ProtocolVersion::TLSv1_2),
            speaks(ProtocolVersion::TLSv1_3),
        );
        // Where both versions can come about, a group has to be allowed in both: rustls has one list.
        for groups in [
            self.groups.as_ref().filter(|_| tls13),
            self.curves.as_ref().filter(|_| tls12),
        ]
        .into_iter()
        .flatten()
        {
            let allowed = |group: &&'static dyn rustls::crypto::SupportedKxGroup| {
                groups.contains(&group.name())
            };
            provider.kx_groups.retain(allowed);
        }
        if provider.kx_groups.is_empty() {
            return Err(
                "its supported_groups and eccs have none in common that is known here".to_owned(),
            );
        }
        Ok(provider)
    }
}

/// Those of a list that are known here; which, if there are none.
fn chosen<T>(
    value: &Term,
    known: impl Fn(&Term) -> Option<T>,
    which: &str,
) -> Result<Option<Vec<T>>, String> {
    let list = value.as_list().ok_or("it takes a list")?;
    let chosen: Vec<_> = list.iter().filter_map(known).collect();
    if chosen.is_empty() {
        return Err(which.to_owned());
    }
    Ok(Some(chosen))
}

fn atom(term: &Term) -> Option<&str> {
    Some(term.as_atom()?.as_str())
}

fn version(term: &Term) -> Option<&'static SupportedProtocolVersion> {
    match atom(term)? {
        "tlsv1.2" => Some(&TLS12),
        "tlsv1.3" => Some(&TLS13),
        _ => None,
    }
}

fn group(value: &Term) -> Result<Option<Vec<NamedGroup>>, String> {
    let known = |term: &Term| {
        let name = atom(term)?;
        GROUPS.iter().find(|it| it.0 == name).map(|it| it.1)
    };
    chosen(
        value,
        known,
        "x25519, secp256r1 and secp384r1 are known here",
    )
}

fn signatures(value: &Term) -> Result<Option<Vec<SignatureScheme>>, String> {
    let known = |term: &Term| {
        let found = match term.as_tuple() {
            Some([hash, key]) => {
                let pair = [atom(hash)?, atom(key)?];
                SCHEMES.iter().find(|it| it.1 == pair)
            }
            _ => {
                let name = atom(term)?;
                SCHEMES.iter().find(|it| it.0 == name)
            }
        };
        found.map(|it| it.2)
    };
    let names: Vec<_> = SCHEMES.iter().map(|it| it.0).collect();
    let which = format!("{} are known here", names.join(", "));
    chosen(value, known, &which)
}

fn ciphers(value: &Term) -> Result<Option<Vec<CipherSuite>>, String> {
    let names: Vec<_> = SUITES.iter().map(|it| it.2).collect();
    let which = format!("{} are known here", names.join(", "));
    let named = |name: &str| SUITES.iter().find(|it| it.1 == name || it.2 == name);
    let found: Vec<_> = if let Some(text) = text(value) {
        text.split(':').filter_map(named).map(|it| it.0).collect()
    } else {
        let known = |term: &Term| {
            if let Some(text) = text(term) {
                return named(&text).map(|it| it.0);
            }
            let get = |map: &Map, key: &str| Some(atom(map.get_atom(key)?)?.to_owned());
            let pair = match term {
                Term::Map(map) => [get(map, "key_exchange")?, get(map, "cipher")?],
                _ => {
                    let tuple = term.as_tuple()?;
                    [atom(tuple.first()?)?, atom(tuple.get(1)?)?].map(str::to_owned)
                }
            };
            SUITES.iter().find(|it| it.3 == pair).map(|it| it.0)
        };
        return chosen(value, known, &which);
    };
    if found.is_empty() {
        return Err(which);
    }
    Ok(Some(found))
}

/// A string, which is a list of characters.
fn text(term: &Term) -> Option<String> {
    let characters = term.as_list()?.iter();
    characters
        .map(|it| char::from_u32(u32::try_from(it.as_int()?).ok()?))
        .collect()
}
