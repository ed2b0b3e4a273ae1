//! What is checked of the certificate of the other node.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{
    CertificateDer, ServerName, SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    RootCertStore, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity, VerifiedPath};

use super::policy::Policy;
use super::{Servers, x509};

/// What is checked on either side.
#[derive(Debug)]
struct Checks {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
    /// How the other node may sign the handshake.
    schemes: Vec<SignatureScheme>,
    /// How the certificates of its chain may be signed.
    chain: Vec<&'static dyn SignatureVerificationAlgorithm>,
    /// How many certificates may stand between that of the other node and the authority's.
    depth: Option<usize>,
}

impl Checks {
    fn new(policy: &Policy, roots: Arc<RootCertStore>, with: &CryptoProvider) -> Self {
        let algorithms = with.signature_verification_algorithms;
        let allowed = |schemes: Option<&[SignatureScheme]>, scheme: SignatureScheme| {
            schemes.is_none_or(|schemes| schemes.contains(&scheme))
        };
        let chain = match policy.chain_schemes() {
            None => algorithms.all.to_vec(),
            schemes => {
                let mapping = algorithms.mapping.iter();
                let mapping = mapping.filter(|(scheme, _)| allowed(schemes, *scheme));
                mapping.flat_map(|(_, how)| how.iter().copied()).collect()
            }
        };
        let mut schemes = algorithms.supported_schemes();
        schemes.retain(|&scheme| allowed(policy.schemes(), scheme));
        Self {
            roots,
            algorithms,
            schemes,
            chain,
            depth: policy.depth,
        }
    }

    /// Checks that an authority signed the certificate.
    fn chain(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        usage: KeyUsage,
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = EndEntityCert::try_from(certificate).map_err(refused)?;
        let deep = |path: &VerifiedPath<'_>| match self.depth {
            Some(most) if path.intermediate_certificates().count() > most => {
                Err(webpki::Error::MaximumPathDepthExceeded)
            }
            _ => Ok(()),
        };
        let roots = &self.roots.roots;
        certificate
            .verify_for_usage(
                &self.chain,
                roots,
                intermediates,
                now,
                usage,
                None,
                Some(&deep),
            )
            .map(drop)
            .map_err(refused)
    }

    /// Checks that the other node has the key of its certificate: in any case, and with certificates of version 1
    /// too, which webpki does not read.
    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
        tls13: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !self.schemes.contains(&signed.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let key = x509::public_key(certificate)
            .map(SubjectPublicKeyInfoDer::from)
            .ok_or(CertificateError::BadEncoding)?;
        if tls13 {
            let algorithms = &self.algorithms;
            return rustls::crypto::verify_tls13_signature_with_raw_key(
                message, &key, signed, algorithms,
            );
        }
        let key = RawPublicKeyEntity::try_from(&key).map_err(refused)?;
        let mut mapping = self.algorithms.mapping.iter();
        let how = mapping.find(|(scheme, _)| *scheme == signed.scheme);
        // In TLS 1.2 the name of an algorithm does not say the kind of key.
        let mut how = how.map_or(&[][..], |(_, how)| how).iter();
        let verified = how.any(|&how| {
            let verified = key.verify_signature(how, message, signed.signature());
            verified.is_ok()
        });
        match verified {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }
}

/// What rustls makes of an error, so that the alert for the other side is the right one.
fn refused(error: webpki::Error) -> Error {
    use webpki::Error as E;
    Error::InvalidCertificate(match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertNotValidYet { time, not_before } => {
            CertificateError::NotValidYetContext { time, not_before }
        }
        E::CertExpired { time, not_after } => CertificateError::ExpiredContext { time, not_after },
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    })
}

/// Whether webpki refused a certificate for this.
pub(super) fn is_about(error: &CertificateError, what: &webpki::Error) -> bool {
    match error {
        CertificateError::Other(OtherError(error)) => {
            error.downcast_ref::<webpki::Error>() == Some(what)
        }
        _ => false,
    }
}

/// Checks as much as [`Servers`] says.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    check: Servers,
    checks: Checks,
}

impl ServerVerifier {
    pub(super) fn new(
        check: Servers,
        policy: &Policy,
        roots: Arc<RootCertStore>,
        with: &CryptoProvider,
    ) -> Self {
        Self {
            check,
            checks: Checks::new(policy, roots, with),
        }
    }
}

/// Whether the certificate is for that host. OTP 25 takes the address of a host as a DNS name alone (`DNS:10.0.0.7`), so
/// the certificates of its clusters have it so.
fn is_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let failed = match verify_server_name(&ParsedCertificate::try_from(certificate)?, name) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if let ServerName::IpAddress(address) = name {
        let address = IpAddr::from(*address);
        let mut names = x509::dns_names(certificate).into_iter();
        let parsed = |name| std::str::from_utf8(name).ok()?.parse().ok();
        if names.any(|name| parsed(name) == Some(address)) {
            return Ok(());
        }
    }
    Err(failed)
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.check != Servers::Unverified {
            let usage = KeyUsage::server_auth();
            self.checks.chain(certificate, intermediates, usage, now)?;
        }
        if self.check == Servers::Verified {
            is_for(certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.signature(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.signature(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.schemes.clone()
    }
}

/// Checks that an authority signed the certificates of those who connect.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    required: bool,
    subjects: Vec<DistinguishedName>,
    checks: Checks,
}

impl ClientVerifier {
    /// `required`: one without a certificate is refused.
    pub(super) fn new(
        required: bool,
        policy: &Policy,
        roots: Arc<RootCertStore>,
        with: &CryptoProvider,
    ) -> Self {
        Self {
            required,
            subjects: roots.subjects(),
            checks: Checks::new(policy, roots, with),
        }
    }
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.subjects
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let usage = KeyUsage::client_auth();
        self.checks.chain(certificate, intermediates, usage, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.signature(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.checks.signature(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.checks.schemes.clone()
    }
}
