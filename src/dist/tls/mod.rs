//! Distribution over TLS, as `-proto_dist inet_tls` does it.
//!
//! [`TlsOptions::optfile`] reads the file of `-ssl_dist_optfile`. What stands there is in [`TlsOptions`] here: `cacertfile` is [`TlsOptions::authorities`],
//! `certfile` and `keyfile` are [`TlsOptions::certificate`], the client's `verify` is [`TlsOptions::servers`], and the
//! server's `verify` with `fail_if_no_peer_cert` is [`TlsOptions::clients`].
//!
//! Source: [TLS for Erlang distribution](https://www.erlang.org/doc/apps/ssl/ssl_distribution.html).

mod optfile;
#[cfg(test)]
mod tests;
mod verify;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::error::ConnectError;
use super::stream::Stream;
use crate::name::NodeName;

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
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// What counts where this node connects.
    client: Side,
    /// What counts where it is connected to.
    server: Side,
    servers: Servers,
    clients: Clients,
}

#[derive(Clone, Default)]
struct Side {
    authorities: Vec<CertificateDer<'static>>,
    certificate: Option<Certificate>,
}

/// A certificate, with those behind it that lead to an authority, and its key.
type Certificate = Arc<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>;

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
    pub fn authorities_file(self, file: impl AsRef<Path>) -> Result<Self, TlsError> {
        let file = file.as_ref();
        let certificates = certificates(file)?;
        Ok(self.authorities(certificates))
    }

    /// Trusts these authorities too.
    #[must_use]
    pub fn authorities(
        mut self,
        certificates: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Self {
        for certificate in certificates {
            self.client.authorities.push(certificate.clone());
            self.server.authorities.push(certificate);
        }
        self
    }

    /// Shows the certificate of a PEM file, with those behind it that lead to an authority. The key may be in
    /// the same file. It must not be encrypted.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Pem`], [`TlsError::NoCertificate`], [`TlsError::NoKey`],
    /// [`TlsError::EncryptedKey`].
    pub fn certificate_files(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let certificate = read_certificate(certificate.as_ref(), key.as_ref())?;
        self.client.certificate = Some(Arc::clone(&certificate));
        self.server.certificate = Some(certificate);
        Ok(self)
    }

    /// Shows this certificate, with those behind it that lead to an authority.
    #[must_use]
    pub fn certificate(
        mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Self {
        let certificate = Arc::new((chain, key));
        self.client.certificate = Some(Arc::clone(&certificate));
        self.server.certificate = Some(certificate);
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

    /// Checks that what was given goes together.
    ///
    /// # Errors
    /// [`TlsError::NoAuthorities`], [`TlsError::Refused`].
    pub fn build(self) -> Result<Tls, TlsError> {
        let connector = self.connector()?;
        let acceptor = self.acceptor()?;
        Ok(Tls {
            connector,
            acceptor,
        })
    }

    fn connector(&self) -> Result<TlsConnector, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = self.client.roots()?;
        if roots.is_empty() && self.servers != Servers::Unverified {
            return Err(TlsError::NoAuthorities { of: "connects to" });
        }
        let verifier = verify::ServerVerifier::new(self.servers, roots, &provider);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Refused)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match self.client.certificate.as_deref() {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(TlsError::Refused)?,
        };
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn acceptor(&self) -> Result<Option<TlsAcceptor>, TlsError> {
        let Some((chain, key)) = self.server.certificate.as_deref() else {
            return Ok(None);
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
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
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match self.clients {
                Clients::IfShown => verifier.allow_unauthenticated(),
                Clients::Required | Clients::Unverified => verifier,
            };
            let verifier = verifier.build();
            let verifier = verifier
                .map_err(|error| TlsError::Refused(rustls::Error::General(error.to_string())))?;
            config.with_client_cert_verifier(verifier)
        };
        let config = config.with_single_cert(chain.clone(), key.clone_key());
        let config = config.map_err(TlsError::Refused)?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }
}

impl Side {
    fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in &self.authorities {
            roots.add(certificate.clone()).map_err(TlsError::Refused)?;
        }
        Ok(Arc::new(roots))
    }
}

/// Hides the key.
impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("accepts", &self.server.certificate.is_some())
            .field("servers", &self.servers)
            .field("clients", &self.clients)
            .finish()
    }
}

/// How a node speaks TLS: see [`TlsOptions`]. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    /// None without a certificate to show.
    acceptor: Option<TlsAcceptor>,
}

impl Tls {
    /// Whether others can connect, for which this node has to have a certificate.
    #[must_use]
    pub fn accepts(&self) -> bool {
        self.acceptor.is_some()
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
        let host = peer.host().trim_matches(['[', ']']).to_owned();
        let server = ServerName::try_from(host)
            .map_err(|_| failed(format!("{:?} cannot stand in a certificate", peer.host())))?;
        match self.connector.connect(server, tcp).await {
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
        let Some(acceptor) = &self.acceptor else {
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
            Err(error) => Err(format!("the TLS handshake failed: {}", explain(&error))),
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
        "the private key in {} is encrypted, which is not supported; write it without a password (openssl pkey)",
        file.display()
    )]
    EncryptedKey {
        /// The file.
        file: PathBuf,
    },
    /// What should be the file of `-ssl_dist_optfile` is not, or has an option that is not supported.
    #[error(
        "{} cannot be used as -ssl_dist_optfile: {detail}; it holds [{{client, Options}}, {{server, Options}}].",
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

fn read_certificate(certificate: &Path, key: &Path) -> Result<Certificate, TlsError> {
    let chain = certificates(certificate)?;
    Ok(Arc::new((chain, private_key(key)?)))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let key = PrivateKeyDer::from_pem_file(file);
    key.map_err(|error| match error {
        pem::Error::NoItemsFound => {
            let encrypted = std::fs::read(file).is_ok_and(|bytes| {
                let marker = b"ENCRYPTED PRIVATE KEY";
                bytes.windows(marker.len()).any(|window| window == marker)
            });
            let file = file.to_owned();
            if encrypted {
                TlsError::EncryptedKey { file }
            } else {
                TlsError::NoKey { file }
            }
        }
        error => unreadable(file, error),
    })
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

/// What an error of TLS says, and what may help.
pub(super) fn explain(error: &io::Error) -> String {
    use rustls::{AlertDescription as Alert, Error};
    let Some(tls) = tls_error(error) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "it closed the connection".into()
            }
            _ => error.to_string(),
        };
    };
    let remedy = match tls {
        Error::InvalidCertificate(_) => {
            "; give the authority that signed its certificate, and a certificate for the host of its name there"
        }
        Error::NoCertificatesPresented
        | Error::AlertReceived(Alert::CertificateRequired | Alert::HandshakeFailure) => {
            "; a certificate that both sides' authorities signed may be wanted (fail_if_no_peer_cert)"
        }
        Error::AlertReceived(
            Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown,
        ) => "; the other side does not trust the certificate of this one (cacertfile)",
        _ => "",
    };
    format!("{tls}{remedy}")
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
