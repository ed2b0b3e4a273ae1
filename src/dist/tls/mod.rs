//! Distribution over TLS, as `-proto_dist inet_tls` does it.
//!
//! [`TlsOptions::optfile`] reads the file of `-ssl_dist_optfile`. What stands there is in [`TlsOptions`] here: `cacertfile` is [`TlsOptions::authorities`],
//! `certfile` and `keyfile` are [`TlsOptions::certificate`], the client's `verify` is [`TlsOptions::servers`], and the
//! server's `verify` with `fail_if_no_peer_cert` is [`TlsOptions::clients`].
//!
//! Source: [TLS for Erlang distribution](https://www.erlang.org/doc/apps/ssl/ssl_distribution.html).

mod keys;
mod optfile;
mod policy;
#[cfg(test)]
mod tests;
mod verify;
mod watched;
mod x509;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, IpAddr, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::error::ConnectError;
use super::stream::Stream;
use crate::name::NodeName;
use crate::secret::Secret;
use policy::Policy;
use watched::Watched;

/// How often it is looked whether the files have changed, where nothing else is said.
const REREAD_EVERY: Duration = Duration::from_secs(10);

/// What a node that connects checks of the one that it connects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Servers {
    /// That an authority signed its certificate, and that this is for the host of its name: `verify_peer`.
    #[default]
    Verified,
    /// That an authority signed its certificate, for whatever host: `verify_peer` with
    /// `{server_name_indication, disable}`, for certificates that are of the cluster and not of one host.
    SignedForAnyHost,
    /// Nothing: `verify_none`. Who stands in between can read and change everything.
    Unverified,
}

/// What a node that is connected to wants of the one that connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clients {
    /// A certificate that an authority signed: `verify_peer` and `fail_if_no_peer_cert`.
    #[default]
    Required,
    /// That an authority signed its certificate, if it shows one: `verify_peer` alone.
    IfShown,
    /// Nothing: `verify_none`. The cookie alone keeps strangers out.
    Unverified,
}

/// What [`Tls`] is made of.
#[derive(Clone)]
pub struct TlsOptions {
    /// What counts where this node connects.
    client: Side,
    /// What counts where it is connected to.
    server: Side,
    servers: Servers,
    clients: Clients,
    /// The name that the certificates of all nodes are for, instead of that of their host.
    server_name: Option<ServerName<'static>>,
    /// `{server_name_indication, disable}`
    send_no_name: bool,
    reread_every: Duration,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            client: Side::default(),
            server: Side::default(),
            servers: Servers::default(),
            clients: Clients::default(),
            server_name: None,
            send_no_name: false,
            reread_every: REREAD_EVERY,
        }
    }
}

#[derive(Clone, Default)]
struct Side {
    authorities: Vec<Authorities>,
    /// Of several the first is shown that the other node can check.
    certificates: Vec<Certificate>,
    policy: Policy,
}

/// Who is trusted.
#[derive(Clone)]
enum Authorities {
    Given(CertificateDer<'static>),
    File(PathBuf),
}

/// A certificate with those behind it that lead to an authority, and its key.
#[derive(Clone)]
enum Certificate {
    Given(Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>),
    Files {
        certificate: PathBuf,
        key: PathBuf,
        password: Option<Secret>,
    },
}

impl TlsOptions {
    /// Nothing yet: nobody is trusted, and this node shows no certificate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities whose certificates are in a PEM file.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Pem`], [`TlsError::NoCertificate`].
    pub fn authorities_file(mut self, file: impl AsRef<Path>) -> Result<Self, TlsError> {
        let file = file.as_ref();
        certificates(file)?;
        for side in [&mut self.client, &mut self.server] {
            side.authorities.push(Authorities::File(file.to_owned()));
        }
        Ok(self)
    }

    /// Trusts these authorities too.
    #[must_use]
    pub fn authorities(
        mut self,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        for certificate in certificates {
            let given = Authorities::Given(certificate);
            self.client.authorities.push(given.clone());
            self.server.authorities.push(given);
        }
        self
    }

    /// Shows the certificate of a PEM file, with those behind it that lead to an authority. The key may be in
    /// the same file. It must not be encrypted: see [`Self::encrypted_certificate_files`].
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Pem`], [`TlsError::NoCertificate`], [`TlsError::NoKey`],
    /// [`TlsError::EncryptedKey`].
    pub fn certificate_files(
        self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        self.files(certificate.as_ref(), key.as_ref(), None)
    }

    /// As [`Self::certificate_files`], with a key that has a password: PKCS #8, or the older form of OpenSSL with AES or
    /// triple DES.
    ///
    /// # Errors
    /// As [`Self::certificate_files`], and [`TlsError::Password`].
    pub fn encrypted_certificate_files(
        self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
        password: Secret,
    ) -> Result<Self, TlsError> {
        self.files(certificate.as_ref(), key.as_ref(), Some(password))
    }

    fn files(
        self,
        certificate: &Path,
        key: &Path,
        password: Option<Secret>,
    ) -> Result<Self, TlsError> {
        let files = Certificate::Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            password,
        };
        files.read()?;
        Ok(self.showing(files))
    }

    /// Shows this certificate, with those behind it that lead to an authority.
    #[must_use]
    pub fn certificate(
        self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        self.showing(Certificate::Given(Arc::new((chain, key))))
    }

    fn showing(mut self, certificate: Certificate) -> Self {
        self.client.certificates = vec![certificate.clone()];
        self.server.certificates = vec![certificate];
        self
    }

    /// What is checked of nodes that this one connects to.
    #[must_use]
    pub fn servers(mut self, servers: Servers) -> Self {
        self.servers = servers;
        self
    }

    /// What is wanted of nodes that connect to this one.
    #[must_use]
    pub fn clients(mut self, clients: Clients) -> Self {
        self.clients = clients;
        self
    }

    /// How often it is looked whether files have changed, when a connection is made: certificates, keys and authorities
    /// that were replaced count for connections from then on. [`Duration::MAX`] is never. Default: 10 s.
    ///
    /// While the new files cannot be used, the earlier ones count, and the log says so once.
    #[must_use]
    pub fn reread_every(mut self, every: Duration) -> Self {
        self.reread_every = every;
        self
    }

    /// Checks that what was given goes together.
    ///
    /// # Errors
    /// [`TlsError::NoAuthorities`], [`TlsError::Refused`], and what reading the files causes.
    pub fn build(self) -> Result<Tls, TlsError> {
        Watched::new(self).map(|watched| Tls(Arc::new(watched)))
    }

    fn make(&self) -> Result<Made, TlsError> {
        Ok(Made {
            connector: self.connector()?,
            acceptor: self.acceptor()?,
        })
    }

    fn connector(&self) -> Result<TlsConnector, TlsError> {
        let policy = &self.client.policy;
        let provider = Arc::new(policy.provider().map_err(TlsError::Policy)?);
        let roots = self.client.roots()?;
        if roots.is_empty() && self.servers != Servers::Unverified {
            return Err(TlsError::NoAuthorities { of: "connects to" });
        }
        let verifier = verify::ServerVerifier::new(self.servers, policy, roots, &provider);
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(policy.versions())
            .map_err(TlsError::Refused)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match self.client.shown()? {
            None => config.with_no_client_auth(),
            Some(shown) => config.with_client_cert_resolver(Arc::new(shown)),
        };
        config.enable_sni = !self.send_no_name && self.servers != Servers::SignedForAnyHost;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn acceptor(&self) -> Result<Option<TlsAcceptor>, TlsError> {
        let Some(shown) = self.server.shown()? else {
            return Ok(None);
        };
        let policy = &self.server.policy;
        let provider = Arc::new(policy.provider().map_err(TlsError::Policy)?);
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(policy.versions())
            .map_err(TlsError::Refused)?;
        let config = if self.clients == Clients::Unverified {
            config.with_no_client_auth()
        } else {
            let roots = self.server.roots()?;
            if roots.is_empty() {
                return Err(TlsError::NoAuthorities {
                    of: "is connected to by",
                });
            }
            let required = self.clients == Clients::Required;
            let verifier = verify::ClientVerifier::new(required, policy, roots, &provider);
            config.with_client_cert_verifier(Arc::new(verifier))
        };
        let config = config.with_cert_resolver(Arc::new(shown));
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }

    /// The files that it is made of.
    fn all_files(&self) -> Vec<&Path> {
        let mut files = Vec::new();
        for side in [&self.client, &self.server] {
            for authorities in &side.authorities {
                if let Authorities::File(file) = authorities {
                    files.push(file.as_path());
                }
            }
            for shown in &side.certificates {
                if let Certificate::Files {
                    certificate, key, ..
                } = shown
                {
                    files.extend([certificate.as_path(), key.as_path()]);
                }
            }
        }
        files.sort_unstable();
        files.dedup();
        files
    }
}

impl Side {
    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for authorities in &self.authorities {
            let found = match authorities {
                Authorities::Given(certificate) => vec![certificate.clone()],
                Authorities::File(file) => certificates(file)?,
            };
            for certificate in found {
                roots.add(certificate).map_err(TlsError::Refused)?;
            }
        }
        Ok(Arc::new(roots))
    }

    fn shown(&self) -> Result<Option<Shown>, TlsError> {
        let certified = self.certificates.iter().map(Certificate::certified);
        let certified: Vec<_> = certified.collect::<Result<_, _>>()?;
        Ok((!certified.is_empty()).then_some(Shown(certified)))
    }
}

impl Certificate {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        match self {
            Self::Given(given) => Ok((given.0.clone(), given.1.clone_key())),
            Self::Files {
                certificate,
                key,
                password,
            } => Ok((
                certificates(certificate)?,
                keys::private_key(key, password.as_ref())?,
            )),
        }
    }

    /// The certificate and the key, which belong together. The certificate may be of version 1: the peer decides whether
    /// it accepts that.
    fn certified(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let (chain, key) = self.read()?;
        let key =
            rustls::crypto::ring::sign::any_supported_type(&key).map_err(TlsError::Refused)?;
        let certificate = chain.first().and_then(|it| x509::public_key(it));
        let own = key.public_key();
        if own.is_some_and(|own| certificate != Some(own.as_ref())) {
            let mismatch = rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch);
            return Err(TlsError::Refused(mismatch));
        }
        Ok(Arc::new(CertifiedKey::new(chain, key)))
    }
}

/// The certificates to show.
#[derive(Debug)]
struct Shown(Vec<Arc<CertifiedKey>>);

impl Shown {
    fn pick(&self, schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let mut fitting = self.0.iter();
        let fitting = fitting.find(|it| it.key.choose_scheme(schemes).is_some());
        fitting.or(self.0.first()).cloned()
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.pick(schemes)
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.pick(hello.signature_schemes())
    }
}

/// Hides the key.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("accepts", &!self.server.certificates.is_empty())
            .field("servers", &self.servers)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// What does the handshakes.
#[derive(Clone)]
struct Made {
    connector: TlsConnector,
    /// None without a certificate to show.
    acceptor: Option<TlsAcceptor>,
}

/// How a node speaks TLS: see [`TlsOptions`]. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Watched>);

impl Tls {
    /// Whether others can connect, for which this node has to have a certificate.
    #[must_use]
    pub fn accepts(&self) -> bool {
        self.0.now().acceptor.is_some()
    }

    /// Reads its files again at once, for connections from now on. Without it, that is done some seconds after they
    /// changed: see [`TlsOptions::reread_every`].
    ///
    /// # Errors
    /// As [`TlsOptions::build`]; what was read before counts then.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.reload()
    }

    /// The name that the certificate of a node is checked for.
    fn server_name(&self, peer: &NodeName) -> Result<ServerName<'static>, String> {
        let options = self.0.options();
        if let Some(name) = &options.server_name {
            return Ok(name.clone());
        }
        let host = peer.host().trim_matches(['[', ']']).to_owned();
        match ServerName::try_from(host) {
            Ok(name) => Ok(name),
            // Whom a certificate is for does not matter, and an address is not sent to the other side.
            Err(_) if options.servers != Servers::Verified => {
                let unspecified = std::net::Ipv4Addr::UNSPECIFIED;
                Ok(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(
                    unspecified,
                ))))
            }
            Err(_) => Err(format!(
                "no certificate can be for the host {:?}; give the node another host name, or do not check what host \
                 certificates are for ({{server_name_indication, disable}}, --tls-verify signed)",
                peer.host()
            )),
        }
    }

    /// Does the TLS handshake as the one who connects.
    ///
    /// # Errors
    /// [`ConnectError::NotTls`], [`ConnectError::TlsHandshake`].
    pub(super) async fn connect(
        &self,
        tcp: TcpStream,
        peer: &NodeName,
    ) -> Result<Stream, ConnectError> {
        let failed = |detail: String| ConnectError::TlsHandshake {
            peer: peer.clone(),
            detail,
        };
        let server = self.server_name(peer).map_err(failed)?;
        let connector = self.0.fresh().await.connector;
        match connector.connect(server, tcp).await {
            Ok(tls) => Ok(Stream::Tls(Box::new(tls.into()))),
            Err(error) if speaks_no_tls(&error) => Err(ConnectError::NotTls { peer: peer.clone() }),
            Err(error) => Err(failed(explain(&error))),
        }
    }

    /// Does the TLS handshake as the one who is connected to.
    ///
    /// # Errors
    /// A text for the log.
    #[cfg_attr(
        not(feature = "node"),
        expect(dead_code, reason = "it is the node that listens")
    )]
    pub(crate) async fn accept(&self, tcp: TcpStream) -> Result<Stream, String> {
        let Some(acceptor) = self.0.fresh().await.acceptor else {
            return Err(
                "nobody can connect to this node over TLS, since it was given no certificate"
                    .into(),
            );
        };
        match acceptor.accept(tcp).await {
            Ok(tls) => Ok(Stream::Tls(Box::new(tls.into()))),
            Err(error) if speaks_no_tls(&error) => {
                Err("it does not speak TLS, which this node was \
                 told to speak; start it with -proto_dist inet_tls"
                    .into())
            }
            Err(error) => Err(format!(
                "the TLS handshake failed: {}",
                explain_accepted(&error)
            )),
        }
    }
}

/// Hides what it is made of.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("accepts", &self.accepts())
            .finish_non_exhaustive()
    }
}

/// Why TLS cannot be spoken as was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}; let this user read it", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// A file is not in the PEM format.
    #[error("{} is no PEM file: {detail}", file.display())]
    Pem {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A file should have certificates.
    #[error("{} holds no certificate: no block that begins with -----BEGIN CERTIFICATE-----", file.display())]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// A file should have a key.
    #[error("{} holds no private key that can be used: PKCS #8, PKCS #1 and SEC1 keys in PEM can", file.display())]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The key needs a password.
    #[error(
        "the private key in {} is encrypted, and no password is given; give an optfile with {{password, Text}}, or write \
         the key without a password (openssl pkey)",
        file.display()
    )]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// The password is not that of the key, or the key is encrypted in another way than is known here.
    #[error(
        "the private key in {} cannot be decrypted with the password given: {detail}; give its password, or write the key \
         without one (openssl pkey)",
        file.display()
    )]
    Password {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// What should be the file of `-ssl_dist_optfile` is not, or has an option that is not supported.
    #[error(
        "{} cannot be used as -ssl_dist_optfile: {detail}",
        file.display()
    )]
    Optfile {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Certificates are to be verified, and nobody is trusted.
    #[error(
        "no authority is given that signs the certificates of the nodes that this one {of}; give the file that \
         cacertfile names on the nodes, or do not verify them"
    )]
    NoAuthorities {
        /// In which direction.
        of: &'static str,
    },
    /// Versions, ciphers or groups that do not go together.
    #[error("no TLS connection could come about: {0}")]
    Policy(String),
    /// A certificate or a key cannot be used.
    #[error("a certificate or its key cannot be used: {0}")]
    Refused(rustls::Error),
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(file, error))?;
    if certificates.is_empty() {
        let file = file.to_owned();
        return Err(TlsError::NoCertificate { file });
    }
    Ok(certificates)
}

fn unreadable(file: &Path, error: pem::Error) -> TlsError {
    let file = file.to_owned();
    match error {
        pem::Error::Io(error) => TlsError::Read { file, error },
        error => TlsError::Pem {
            file,
            detail: error.to_string(),
        },
    }
}

/// The error of TLS in one of input and output.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What an error of TLS says, and what may help, on the side that connected.
pub(super) fn explain(error: &io::Error) -> String {
    use rustls::{AlertDescription as Alert, Error};
    let remedy = match tls_error(error) {
        Some(Error::InvalidCertificate(why)) => certificate_remedy(why),
        Some(
            Error::NoCertificatesPresented
            | Error::AlertReceived(Alert::CertificateRequired | Alert::HandshakeFailure),
        ) => {
            "; a certificate that both sides' authorities signed may be wanted (fail_if_no_peer_cert), or the two have no \
             version or cipher in common"
        }
        Some(Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown,
        )) => "; the other side does not trust the certificate of this one (cacertfile)",
        Some(Error::AlertReceived(Alert::ProtocolVersion | Alert::InsufficientSecurity)) => {
            "; the two have no version or cipher in common: compare versions, ciphers and signature_algs of both sides"
        }
        _ => "",
    };
    format!("{}{remedy}", said(error))
}

/// The same on the side that was connected to.
#[cfg_attr(
    not(feature = "node"),
    expect(dead_code, reason = "it is the node that listens")
)]
fn explain_accepted(error: &io::Error) -> String {
    use rustls::{AlertDescription as Alert, Error};
    let remedy = match tls_error(error) {
        Some(Error::InvalidCertificate(why)) => certificate_remedy(why),
        Some(Error::NoCertificatesPresented) => {
            "; it shows no certificate, and this node wants one (verify_peer, unless {fail_if_no_peer_cert, false} is said)"
        }
        Some(Error::AlertReceived(
            Alert::HandshakeFailure
            | Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown,
        )) => {
            "; it refuses the certificate of this node: an authority of its cacertfile must have signed it, and it must be \
             for the host of this node's name (of an address OTP 25 wants DNS:10.0.0.7 and OTP 27 IP:10.0.0.7: give both)"
        }
        Some(
            Error::PeerIncompatible(_)
            | Error::AlertReceived(Alert::ProtocolVersion | Alert::InsufficientSecurity),
        ) => {
            "; the two have no version or cipher in common: compare versions and ciphers of both sides"
        }
        _ => "",
    };
    format!("{}{remedy}", said(error))
}

fn said(error: &io::Error) -> String {
    match (tls_error(error), error.kind()) {
        (Some(tls), _) => tls.to_string(),
        (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
            "it closed the connection".into()
        }
        (None, _) => error.to_string(),
    }
}

/// What may help with a certificate that is refused here.
fn certificate_remedy(why: &rustls::CertificateError) -> &'static str {
    use rustls::CertificateError as Why;
    match why {
        Why::UnknownIssuer => "; give the authority that signed it (cacertfile, --tls-ca)",
        Why::NotValidForName | Why::NotValidForNameContext { .. } => {
            "; give that node a certificate for the host of its name (subjectAltName), or do not check what host \
             certificates are for ({server_name_indication, disable}, --tls-verify signed)"
        }
        Why::Expired
        | Why::ExpiredContext { .. }
        | Why::NotValidYet
        | Why::NotValidYetContext { .. } => "; renew it, or set the clocks of both hosts",
        why if verify::is_about(why, &webpki::Error::UnsupportedCertVersion) => {
            "; it is of version 1, and certificates that are verified must be of version 3: make one with extensions \
             (openssl x509 -req -extfile FILE with a subjectAltName), or do not verify it (verify_none)"
        }
        why if verify::is_about(why, &webpki::Error::MaximumPathDepthExceeded) => {
            "; more certificates stand between it and the authority than {depth, N} allows"
        }
        _ => "; look at it with openssl x509 -text",
    }
}

/// Whether what came was no TLS at all.
fn speaks_no_tls(error: &io::Error) -> bool {
    matches!(
        tls_error(error),
        Some(rustls::Error::InvalidMessage(
            rustls::InvalidMessage::InvalidContentType
                | rustls::InvalidMessage::UnknownProtocolVersion
                | rustls::InvalidMessage::MessageTooLarge
        ))
    )
}
