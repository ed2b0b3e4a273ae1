//! Certificates for nodes that speak TLS, and what OTP reads of them.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType,
    SigningKey,
};

/// A key of these tests, as OpenSSL writes it: without a password, and with the password `secret`.
pub const PLAIN_KEY: &str = include_str!("keys/plain.pem");
/// The ways in which it is encrypted, each with the file of that name.
pub const ENCRYPTED_KEYS: &[(&str, &str)] = &[
    ("pkcs8_aes", include_str!("keys/pkcs8_aes.pem")),
    ("pkcs8_des3", include_str!("keys/pkcs8_des3.pem")),
    ("sec1_aes128", include_str!("keys/sec1_aes128.pem")),
    ("sec1_aes256", include_str!("keys/sec1_aes256.pem")),
    ("sec1_des3", include_str!("keys/sec1_des3.pem")),
];

/// An authority of the test's own, with the files that its nodes read.
pub struct DistAuthority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

/// A certificate and its key, in files.
pub struct Papers {
    /// The certificate, as PEM.
    pub certificate: PathBuf,
    /// Its key, as PEM.
    pub key: PathBuf,
}

impl DistAuthority {
    /// Makes one, under which its certificate stands.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        // A node in a chroot may run as whoever.
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, directory }
    }

    /// The file with its certificate.
    pub fn file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// A certificate for a node at `host`.
    pub fn papers(&self, host: &str) -> Papers {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, format!("a node at {host}"));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let papers = Papers {
            certificate: self.path(&format!("{host}.pem")),
            key: self.path(&format!("{host}.key")),
        };
        std::fs::write(&papers.certificate, certificate.pem()).expect("a file");
        std::fs::write(&papers.key, key.serialize_pem()).expect("a file");
        papers
    }

    /// A certificate under the name of a file, for a key and these names: DNS names, which may look like addresses, and
    /// addresses (`IP:127.0.0.1`).
    pub fn papers_as(&self, file: &str, names: &[&str], key: &KeyPair) -> Papers {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        let names = names.iter().map(|name| match name.strip_prefix("IP:") {
            Some(address) => SanType::IpAddress(address.parse().expect("an address")),
            None => SanType::DnsName((*name).to_owned().try_into().expect("a name")),
        });
        params.subject_alt_names = names.collect();
        let certificate = params.signed_by(key, &self.issuer).expect("a certificate");
        self.write(file, &certificate.pem(), key)
    }

    /// A certificate behind that of an authority that this one signed.
    pub fn papers_of_a_second(&self, file: &str, host: &str) -> Papers {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority between");
        let key = KeyPair::generate().expect("a key");
        let second = CertifiedIssuer::signed_by(params, key, &self.issuer).expect("a certificate");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![host.to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &second).expect("a certificate");
        let chain = format!("{}{}", certificate.pem(), second.pem());
        self.write(file, &chain, &key)
    }

    /// A certificate of version 1, as `openssl x509 -req` makes them if it is not told more.
    pub fn papers_of_version_1(&self, file: &str) -> Papers {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(Vec::new()).expect("parameters");
        let modern = params.signed_by(&key, &self.issuer).expect("a certificate");
        // The same without the number of the version and without extensions, signed again.
        let [to_sign, algorithm, _] = &elements(contents(modern.der()))[..] else {
            panic!("a certificate has three parts");
        };
        let fields = elements(contents(to_sign));
        let kept = fields
            .iter()
            .filter(|field| !matches!(field[0], 0xa0 | 0xa3));
        let to_sign = sequence(&kept.copied().collect::<Vec<_>>().concat());
        let signature = self.issuer.key().sign(&to_sign).expect("a signature");
        let mut bits = vec![0];
        bits.extend(signature);
        let whole = [to_sign, algorithm.to_vec(), element(0x03, &bits)].concat();
        let base64 =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sequence(&whole));
        let pem = format!("-----BEGIN CERTIFICATE-----\n{base64}\n-----END CERTIFICATE-----\n");
        self.write(file, &pem, &key)
    }

    fn write(&self, file: &str, certificate: &str, key: &KeyPair) -> Papers {
        let papers = Papers {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
        };
        std::fs::write(&papers.certificate, certificate).expect("a file");
        std::fs::write(&papers.key, key.serialize_pem()).expect("a file");
        papers
    }

    /// The file for `-kernel inetrc`, by which a node knows `localhost` even in a chroot that does not.
    pub fn inetrc(&self) -> String {
        let path = self.path("inetrc");
        let known = "{host, {127,0,0,1}, [\"localhost\"]}. {lookup, [file, native]}.";
        std::fs::write(&path, known).expect("a file");
        format!("{:?}", path.display().to_string())
    }

    /// The file for `-ssl_dist_optfile` of a node with these papers: what it checks of others that it connects
    /// to, and of others that connect to it.
    pub fn options(&self, papers: &Papers, client: &str, server: &str) -> PathBuf {
        let common = format!(
            "{{certfile, {:?}}}, {{keyfile, {:?}}}, {{cacertfile, {:?}}}",
            papers.certificate,
            papers.key,
            self.file()
        );
        let path = papers.certificate.with_extension("conf");
        let options =
            format!("[{{client, [{common}, {client}]}}, {{server, [{common}, {server}]}}].");
        std::fs::write(&path, options).expect("a file");
        path
    }

    /// A file beside the others.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::join(self.directory.path(), name)
    }
}

/// The elements that stand one after the other in DER.
fn elements(mut der: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !der.is_empty() {
        let (one, rest) = der.split_at(header(der) + length(der));
        found.push(one);
        der = rest;
    }
    found
}

fn contents(der: &[u8]) -> &[u8] {
    &der[header(der)..]
}

fn header(der: &[u8]) -> usize {
    match der[1] {
        0..=0x7f => 2,
        long => 2 + usize::from(long & 0x7f),
    }
}

fn length(der: &[u8]) -> usize {
    match der[1] {
        short @ 0..=0x7f => usize::from(short),
        _ => {
            let bytes = der[2..header(der)].iter();
            bytes.fold(0, |sum, &byte| sum << 8 | usize::from(byte))
        }
    }
}

fn sequence(contents: &[u8]) -> Vec<u8> {
    element(0x30, contents)
}

fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).expect("a short one");
    let [high, low] = length.to_be_bytes();
    let header = match (high, low) {
        (0, ..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [&header, contents].concat()
}
