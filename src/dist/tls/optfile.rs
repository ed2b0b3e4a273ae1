//! The file that `-ssl_dist_optfile` names.
//!
//! What each option does here stands in docs/distribution.md, "Options for TLS".

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::policy::Policy;
use super::{Authorities, Certificate, Clients, Servers, TlsError, TlsOptions};
use crate::etf::{Map, Term};
use crate::secret::Secret;

/// Options that change neither who is let in nor how it is encrypted: sessions, buffers, processes of OTP, what rustls
/// never does.
const IGNORED: &[&str] = &[
    "allow_any_ca_purpose",
    "beast_mitigation",
    "buffer",
    "cb_info",
    "certificate_authorities",
    "client_renegotiation",
    "crl_cache",
    "delay_send",
    "dh",
    "dhfile",
    "hibernate_after",
    "high_watermark",
    "honor_cipher_order",
    "honor_ecc_order",
    "keep_secrets",
    "keepalive",
    "key_update_at",
    "ktls",
    "linger",
    "log_alert",
    "log_level",
    "low_watermark",
    "max_handshake_size",
    "middlebox_comp_mode",
    "nodelay",
    "padding_check",
    "priority",
    "receiver_spawn_opts",
    "recbuf",
    "reuse_session",
    "reuse_sessions",
    "secure_renegotiate",
    "send_timeout",
    "send_timeout_close",
    "sender_spawn_opts",
    "session_tickets",
    "sndbuf",
    "tos",
];

/// Options that say who is let in, in a way that is not had here: with what can be done instead.
const REFUSED: &[(&[&str], &str)] = &[
    (
        &["verify_fun", "partial_chain", "sni_fun", "user_lookup_fun"],
        "an Erlang function cannot be called here; give Rendez a file of its own without it, whose verify and cacertfile \
         say enough",
    ),
    (
        &["crl_check", "ocsp_stapling", "stapling"],
        "whether a certificate was revoked is not checked here; give Rendez a file of its own without it, and have \
         certificates end soon or sign them by an authority of the cluster alone",
    ),
    (
        &["psk_identity", "srp_identity"],
        "only certificates are taken here; give both sides certfile and keyfile",
    ),
    (
        &["sni_hosts"],
        "one certificate serves all names here; give it as certfile and keyfile",
    ),
    (
        &["cert_policy_opts", "customize_hostname_check"],
        "it is not known here; leave it out of the file for Rendez if verify and cacertfile say enough",
    ),
];

/// What is said of one side.
#[derive(Default)]
struct Side {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    password: Option<Secret>,
    given_certificate: Option<Vec<CertificateDer<'static>>>,
    given_key: Option<PrivateKeyDer<'static>>,
    /// `certs_keys`, which OTP prefers to the above.
    several: Vec<Certificate>,
    authorities: Option<Authority>,
    verify: Option<bool>,
    fail_without: Option<bool>,
    name: Option<Name>,
    policy: Policy,
}

enum Authority {
    File(PathBuf),
    Given(Vec<CertificateDer<'static>>),
}

/// What `server_name_indication` says.
enum Name {
    Disabled,
    Of(ServerName<'static>),
}

impl TlsOptions {
    /// Reads the file that nodes are given with `-ssl_dist_optfile`, and does as they do. Where releases of OTP differ it
    /// does as the newest: a client's `verify` that is not said is `verify_peer`, and so a server with `verify_peer` wants
    /// a certificate of those who connect unless `fail_if_no_peer_cert` is false.
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
        let shape = "it must hold [{client, Options}, {server, Options}].";
        let term: Term = text
            .strip_suffix('.')
            .unwrap_or(text)
            .parse()
            .map_err(|error| wrong(format!("{error}; {shape}")))?;
        let (mut client, mut server) = (Side::default(), Side::default());
        let sides = list(&term).ok_or_else(|| wrong(format!("it holds no list; {shape}")))?;
        for side in sides {
            let (to, name, options) = match pair(side) {
                Some(("client", options)) => (&mut client, "client", options),
                Some(("server", options)) => (&mut server, "server", options),
                // OTP reads over it. But it may be a misspelt one, with all that it says.
                _ => {
                    return Err(wrong(format!(
                        "{side} is neither client nor server; {shape}"
                    )));
                }
            };
            *to = Side::read(options).map_err(|why| wrong(format!("{name}: {why}")))?;
            let usable = to.policy.provider();
            usable.map_err(|why| wrong(format!("{name}: {why}")))?;
        }
        if client.verify.is_none() && client.authorities.is_none() {
            return Err(wrong(
                "its client part has neither verify nor cacertfile: OTP before 26 does not verify the certificates of nodes \
                 then, and later ones refuse it; write {cacertfile, File} to have them verified, or {verify, verify_none} if \
                 they must not be"
                    .to_owned(),
            ));
        }
        if server.verify != Some(true) && server.fail_without == Some(true) {
            return Err(wrong(
                "server: {fail_if_no_peer_cert, true} takes {verify, verify_peer}, as it does for OTP; write both"
                    .to_owned(),
            ));
        }

        let mut options = Self::new();
        options.client.certificates = client.certificates().map_err(wrong)?;
        options.server.certificates = server.certificates().map_err(wrong)?;
        for (side, read) in [
            (&mut options.client, &client),
            (&mut options.server, &server),
        ] {
            side.authorities = match &read.authorities {
                None => Vec::new(),
                Some(Authority::File(file)) => vec![Authorities::File(file.clone())],
                Some(Authority::Given(given)) => {
                    given.iter().cloned().map(Authorities::Given).collect()
                }
            };
            side.policy = read.policy.clone();
        }
        let disabled = matches!(client.name, Some(Name::Disabled));
        options.send_no_name = disabled;
        if let Some(Name::Of(name)) = client.name {
            options.server_name = Some(name);
        }
        let options = options
            .servers(match (client.verify, disabled) {
                (Some(false), _) => Servers::Unverified,
                (_, true) => Servers::SignedForAnyHost,
                (_, false) => Servers::Verified,
            })
            .clients(match (server.verify, server.fail_without) {
                (Some(true), Some(false)) => Clients::IfShown,
                (Some(true), _) => Clients::Required,
                _ => Clients::Unverified,
            });
        // The files are read now, so that what is wrong with them is said with their names.
        for side in [&options.client, &options.server] {
            side.roots()?;
            side.shown()?;
        }
        Ok(options)
    }
}

impl Side {
    fn read(options: &Term) -> Result<Self, String> {
        let mut side = Self::default();
        let options = list(options).ok_or_else(|| format!("{options} is no list of options"))?;
        for option in options {
            let (name, value) = pair(option)
                .ok_or_else(|| format!("{option} is no option for TLS; leave it out"))?;
            // The value may be a password.
            side.take(name, value)
                .map_err(|why| format!("the option {name}: {why}"))?;
        }
        Ok(side)
    }

    /// Of an option that is there twice the last counts, as for OTP.
    fn take(&mut self, name: &str, value: &Term) -> Result<(), String> {
        let atom = value.as_atom().map(crate::etf::Atom::as_str);
        if let Some(read) = self.policy.read(name, value) {
            return read.map_err(|why| format!("{value} is not supported; {why}"));
        }
        match (name, atom) {
            ("certfile", _) => self.certificate = Some(path(value)?),
            ("keyfile", _) => self.key = Some(path(value)?),
            ("password", _) => self.password = Some(password(value)?),
            ("cert", _) => self.given_certificate = Some(ders(value)?),
            ("key", _) => self.given_key = Some(key(value)?),
            ("certs_keys", _) => {
                let list = value.as_list().ok_or("it takes a list of maps")?;
                self.several = list.iter().map(one_of_several).collect::<Result<_, _>>()?;
            }
            ("cacertfile", _) => self.authorities = Some(Authority::File(path(value)?)),
            ("cacerts", _) => self.authorities = Some(Authority::Given(ders(value)?)),
            ("verify", Some("verify_peer")) => self.verify = Some(true),
            ("verify", Some("verify_none")) => self.verify = Some(false),
            ("verify", _) => {
                return Err(format!(
                    "{value} is not supported; verify_peer and verify_none are"
                ));
            }
            ("fail_if_no_peer_cert", Some(said @ ("true" | "false"))) => {
                self.fail_without = Some(said == "true");
            }
            ("server_name_indication", Some("disable")) => self.name = Some(Name::Disabled),
            ("server_name_indication", _) => {
                let name = ServerName::try_from(text(value).ok_or("it takes disable or a host")?);
                let name = name.map_err(|_| format!("{value} is no host"))?;
                self.name = Some(Name::Of(name));
            }
            // What it takes to say that there is none of it.
            ("crl_check" | "ocsp_stapling", Some("false"))
            | ("stapling", Some("no_staple"))
            | ("partial_chain" | "verify_fun", Some("undefined")) => {}
            ("customize_hostname_check" | "cert_policy_opts", _) if *value == Term::NIL => {}
            (ignored, _) if IGNORED.contains(&ignored) => {}
            (name, _) => {
                let refused = REFUSED.iter().find(|(names, _)| names.contains(&name));
                // Who is let in must not depend on what is left out here.
                let why = refused.map_or(
                    "it is not known here; leave it out of the file for Rendez if it says nothing of who is let in",
                    |(_, why)| why,
                );
                return Err(format!("it is not supported: {why}"));
            }
        }
        Ok(())
    }

    fn certificates(&self) -> Result<Vec<Certificate>, String> {
        if !self.several.is_empty() {
            return Ok(self.several.clone());
        }
        let (given, key) = (&self.given_certificate, &self.given_key);
        if let (Some(chain), Some(key)) = (given, key) {
            let given = Arc::new((chain.clone(), key.clone_key()));
            return Ok(vec![Certificate::Given(given)]);
        }
        if given.is_some() || key.is_some() {
            return Err("cert and key go together, and so do certfile and keyfile".to_owned());
        }
        let files = self.certificate.as_ref().map(|certificate| {
            // OTP looks for the key with the certificate if it is not told where it is.
            let key = self.key.clone().unwrap_or_else(|| certificate.clone());
            Certificate::Files {
                certificate: certificate.clone(),
                key,
                password: self.password.clone(),
            }
        });
        Ok(files.into_iter().collect())
    }
}

/// One of `certs_keys`: `#{certfile => File, keyfile => File, password => Text}`, or `cert` and `key`.
fn one_of_several(term: &Term) -> Result<Certificate, String> {
    let map: &Map = term.as_map().ok_or("it takes a list of maps")?;
    let mut side = Side::default();
    for (name, value) in map {
        let name = name.as_atom().map(crate::etf::Atom::as_str);
        match name {
            Some(name @ ("certfile" | "keyfile" | "password" | "cert" | "key")) => {
                side.take(name, value)?;
            }
            _ => return Err("its maps take certfile, keyfile, password, cert and key".to_owned()),
        }
    }
    let mut found = side.certificates()?;
    found
        .pop()
        .ok_or_else(|| "one of its maps has no certificate".to_owned())
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

/// A text: a string, which is a list of characters, or a binary.
fn text(term: &Term) -> Option<String> {
    match (term.as_binary(), list(term)) {
        (Some(bytes), _) => String::from_utf8(bytes.to_vec()).ok(),
        (None, Some(characters)) => characters
            .iter()
            .map(|character| char::from_u32(u32::try_from(character.as_int()?).ok()?))
            .collect(),
        (None, None) => None,
    }
}

fn path(term: &Term) -> Result<PathBuf, String> {
    text(term)
        .filter(|text| !text.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| format!("{term} is no path"))
}

fn password(term: &Term) -> Result<Secret, String> {
    let text = text(term).ok_or("it takes a text; a function cannot be called here")?;
    Ok(Secret::new(text))
}

/// One certificate or several, as DER.
fn ders(term: &Term) -> Result<Vec<CertificateDer<'static>>, String> {
    let one = |term: &Term| Some(CertificateDer::from(term.as_binary()?.to_vec()));
    let found = match (one(term), term.as_list()) {
        (Some(one), _) => Some(vec![one]),
        (None, Some(list)) => list.iter().map(one).collect(),
        (None, None) => None,
    };
    found.ok_or_else(|| "it takes certificates as binaries (DER)".to_owned())
}

/// `{Type, Der}`
fn key(term: &Term) -> Result<PrivateKeyDer<'static>, String> {
    let wrong = || "it takes {'RSAPrivateKey' | 'ECPrivateKey' | 'PrivateKeyInfo', Der}".to_owned();
    let (kind, der) = pair(term).ok_or_else(wrong)?;
    let der = der.as_binary().ok_or_else(wrong)?.to_vec();
    match kind {
        "RSAPrivateKey" => Ok(PrivateKeyDer::Pkcs1(der.into())),
        "ECPrivateKey" => Ok(PrivateKeyDer::Sec1(der.into())),
        "PrivateKeyInfo" => Ok(PrivateKeyDer::Pkcs8(der.into())),
        _ => Err(wrong()),
    }
}
