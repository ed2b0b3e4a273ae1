//! The file that `-ssl_dist_optfile` names.

use std::path::{Path, PathBuf};

use super::{Clients, Servers, TlsError, TlsOptions};
use crate::etf::Term;

/// Options that change nothing about who is let in.
const IGNORED: &[&str] = &[
    "cb_info",
    "ciphers",
    "dhfile",
    "eccs",
    "hibernate_after",
    "honor_cipher_order",
    "honor_ecc_order",
    "ktls",
    "log_level",
    "reuse_session",
    "reuse_sessions",
    "secure_renegotiate",
    "session_tickets",
    "signature_algs",
    "supported_groups",
    // TLS 1.2 and 1.3 are offered, and the node chooses.
    "versions",
];

/// What is said of one side.
#[derive(Default)]
struct Side {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    authorities: Option<PathBuf>,
    verify: Option<bool>,
    fail_without: bool,
    any_host: bool,
}

impl TlsOptions {
    /// Reads the file that nodes are given with `-ssl_dist_optfile`, and does as they do. A client's `verify` that
    /// is not said is `verify_peer`, as in OTP since 26.
    ///
    /// # Errors
    /// [`TlsError::Read`], [`TlsError::Optfile`] for what is not such a file, and for an option that says who is let
    /// in and that is not known here; what the files that it names cause.
    pub fn optfile(file: impl AsRef<Path>) -> Result<Self, TlsError> {
        let file = file.as_ref();
        let wrong = |detail: String| TlsError::Optfile {
            file: file.to_owned(),
            detail,
        };
        let text = std::fs::read_to_string(file).map_err(|error| TlsError::Read {
            file: file.to_owned(),
            error,
        })?;
        let text = text.trim_end();
        let term: Term = text
            .strip_suffix('.')
            .unwrap_or(text)
            .parse()
            .map_err(|error| wrong(format!("{error}")))?;
        let (mut client, mut server) = (Side::default(), Side::default());
        for option in list(&term).ok_or_else(|| wrong("it holds no list".into()))? {
            match pair(option) {
                Some(("client", options)) => client = Side::read(options).map_err(wrong)?,
                Some(("server", options)) => server = Side::read(options).map_err(wrong)?,
                _ => return Err(wrong(format!("{option} is neither client nor server"))),
            }
        }

        let mut options = Self::new();
        options.client.fill(&client)?;
        options.server.fill(&server)?;
        Ok(options
            .servers(match (client.verify, client.any_host) {
                (Some(false), _) => Servers::Unverified,
                (_, true) => Servers::SignedForAnyHost,
                (_, false) => Servers::Verified,
            })
            .clients(match (server.verify, server.fail_without) {
                (Some(true), true) => Clients::Required,
                (Some(true), false) => Clients::IfShown,
                _ => Clients::Unverified,
            }))
    }
}

impl super::Side {
    fn fill(&mut self, read: &Side) -> Result<(), TlsError> {
        if let Some(authorities) = &read.authorities {
            self.authorities = super::certificates(authorities)?;
        }
        if let Some(certificate) = &read.certificate {
            // OTP looks for the key with the certificate if it is not told where it is.
            let key = read.key.as_ref().unwrap_or(certificate);
            self.certificate = Some(super::read_certificate(certificate, key)?);
        }
        Ok(())
    }
}

impl Side {
    fn read(options: &Term) -> Result<Self, String> {
        let mut side = Self::default();
        let options = list(options).ok_or_else(|| format!("{options} is no list of options"))?;
        for option in options {
            let (name, value) = pair(option).ok_or_else(|| format!("{option} is no option"))?;
            let atom = value.as_atom().map(crate::etf::Atom::as_str);
            match (name, atom) {
                ("certfile", _) => side.certificate = Some(path(value)?),
                ("keyfile", _) => side.key = Some(path(value)?),
                ("cacertfile", _) => side.authorities = Some(path(value)?),
                ("verify", Some("verify_peer")) => side.verify = Some(true),
                ("verify", Some("verify_none")) => side.verify = Some(false),
                ("fail_if_no_peer_cert", Some("true")) => side.fail_without = true,
                ("fail_if_no_peer_cert", Some("false")) => side.fail_without = false,
                ("server_name_indication", Some("disable")) => side.any_host = true,
                (ignored, _) if IGNORED.contains(&ignored) => {}
                // Who is let in must not depend on what is left out here.
                _ => return Err(format!("the option {option} is not supported")),
            }
        }
        Ok(side)
    }
}

fn list(term: &Term) -> Option<&[Term]> {
    if *term == Term::NIL {
        return Some(&[]);
    }
    term.as_list()
}

fn pair(term: &Term) -> Option<(&str, &Term)> {
    match term.as_tuple()? {
        [name, value] => Some((name.as_atom()?.as_str(), value)),
        _ => None,
    }
}

/// A path: a string, which is a list of characters, or a binary.
fn path(term: &Term) -> Result<PathBuf, String> {
    let text = match (term.as_binary(), term.as_list()) {
        (Some(bytes), _) => String::from_utf8(bytes.to_vec()).ok(),
        (None, Some(characters)) => characters
            .iter()
            .map(|character| char::from_u32(u32::try_from(character.as_int()?).ok()?))
            .collect(),
        (None, None) => None,
    };
    text.filter(|text| !text.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| format!("{term} is no path"))
}
