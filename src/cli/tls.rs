//! How TLS is spoken with nodes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rendez::dist::tls::{Clients, Servers, TlsError};
use rendez::dist::{Tls, TlsOptions};

use super::logging::variable;
use super::output::Failure;

/// What is checked of the nodes that are connected to.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Verify {
    /// That an authority signed their certificate, and that it is for their host
    Host,
    /// That an authority signed their certificate
    Signed,
    /// Nothing
    None,
}

/// TLS, for nodes that were started with -proto_dist inet_tls.
#[derive(Debug, Args)]
pub struct TlsArgs {
    /// Speak TLS as nodes with -ssl_dist_optfile FILE do [default: RENDEZ_TLS_OPTFILE]
    #[arg(long, value_name = "FILE", help_heading = "TLS", conflicts_with_all = ["tls_ca", "tls_cert", "tls_key", "tls_verify"])]
    tls_optfile: Option<PathBuf>,
    /// Speak TLS, and trust the authorities in this PEM file
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    tls_ca: Option<PathBuf>,
    /// Speak TLS, and show the certificate in this PEM file
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate [default: it is in the same file]
    #[arg(long, value_name = "FILE", help_heading = "TLS", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Speak TLS, and check so much of the nodes that are connected to [default: host]
    #[arg(long, value_name = "WHAT", help_heading = "TLS")]
    tls_verify: Option<Verify>,
}

impl TlsArgs {
    /// How TLS is to be spoken, if it is.
    pub fn find(&self) -> Result<Option<Tls>, Failure> {
        let failed = |error: TlsError| Failure::because("tls", error.to_string());
        self.options()
            .map_err(failed)?
            .map(TlsOptions::build)
            .transpose()
            .map_err(failed)
    }

    fn options(&self) -> Result<Option<TlsOptions>, TlsError> {
        if let Some(file) = &self.tls_optfile {
            return TlsOptions::optfile(file).map(Some);
        }
        if self.tls_ca.is_none() && self.tls_cert.is_none() && self.tls_verify.is_none() {
            let file = variable("RENDEZ_TLS_OPTFILE");
            return file.map(TlsOptions::optfile).transpose();
        }
        let mut options = TlsOptions::new();
        if let Some(file) = &self.tls_ca {
            options = options.authorities_file(file)?;
        }
        if let Some(file) = &self.tls_cert {
            options = options.certificate_files(file, self.tls_key.as_ref().unwrap_or(file))?;
        }
        // Who connects to a sidecar is checked as those are to whom it connects.
        let (servers, clients) = match self.tls_verify {
            None | Some(Verify::Host) => (Servers::Verified, Clients::Required),
            Some(Verify::Signed) => (Servers::SignedForAnyHost, Clients::Required),
            Some(Verify::None) => (Servers::Unverified, Clients::Unverified),
        };
        Ok(Some(options.servers(servers).clients(clients)))
    }
}
