//! Certificates for nodes that speak TLS, and what OTP reads of them.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

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

    fn path(&self, name: &str) -> PathBuf {
        Path::join(self.directory.path(), name)
    }
}
