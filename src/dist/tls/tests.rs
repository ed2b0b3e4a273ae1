//! Options that do not go together, and files that are not what they should be.

use std::path::PathBuf;

use super::*;

/// A directory with a certificate authority's certificate, a node's one and its key.
fn papers() -> (tempfile::TempDir, PathBuf, PathBuf, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["h".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let ca = write("ca.pem", authority.pem());
    let certificate = write("node.pem", certificate.pem());
    let key = write("node.key", key.serialize_pem());
    (directory, ca, certificate, key)
}

#[test]
fn what_does_not_go_together_is_named() {
    let (directory, ca, certificate, key) = papers();
    let said = |result: Result<Tls, TlsError>| result.unwrap_err().to_string();
    assert!(said(TlsOptions::new().build()).contains("that this one connects to"));
    let options = TlsOptions::new().servers(Servers::Unverified);
    let tls = options.clone().build().unwrap();
    assert!(!tls.accepts());
    let with_certificate = options.certificate_files(&certificate, &key).unwrap();
    let text = said(with_certificate.clone().build());
    assert!(text.contains("is connected to by"), "{text}");
    let tls = with_certificate.clients(Clients::Unverified).build();
    assert!(tls.unwrap().accepts());

    let missing = directory.path().join("missing.pem");
    let error = TlsOptions::new().authorities_file(&missing).unwrap_err();
    assert!(matches!(error, TlsError::Read { .. }), "{error}");
    let error = TlsOptions::new().authorities_file(&key).unwrap_err();
    assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
    let error = TlsOptions::new().certificate_files(&certificate, &ca);
    let error = error.unwrap_err();
    assert!(matches!(error, TlsError::NoKey { .. }), "{error}");
    let locked = directory.path().join("locked.key");
    let text = include_str!("../../../tests/support/keys/pkcs8_aes.pem");
    std::fs::write(&locked, text).unwrap();
    let error = TlsOptions::new().certificate_files(&certificate, &locked);
    let error = error.unwrap_err();
    assert!(matches!(error, TlsError::EncryptedKey { .. }), "{error}");
    // The key of another certificate.
    let (_directory, _, _, other) = papers();
    let options = TlsOptions::new().authorities_file(&ca).unwrap();
    let options = options.certificate_files(&certificate, &other).unwrap();
    assert!(matches!(options.build(), Err(TlsError::Refused(_))));
}

#[test]
fn the_file_of_otp_is_read_as_otp_reads_it() {
    let (directory, ca, certificate, key) = papers();
    let file = directory.path().join("ssl_dist.conf");
    let read = |text: &str| {
        let text = text
            .replace("CA", &format!("{{cacertfile, {ca:?}}}"))
            .replace(
                "OWN",
                &format!("{{certfile, {certificate:?}}}, {{keyfile, {key:?}}}"),
            );
        std::fs::write(&file, text).unwrap();
        TlsOptions::optfile(&file)
    };
    let checks = |text: &str| {
        let options = read(text).unwrap();
        options.clone().build().unwrap();
        (options.servers, options.clients)
    };
    assert_eq!(
        checks("[{client, [OWN, CA]},\n %% who connects\n {server, [OWN, CA]}].\n"),
        (Servers::Verified, Clients::Unverified)
    );
    assert_eq!(
        checks(
            "[{server, [OWN, CA, {verify, verify_peer}, {fail_if_no_peer_cert, true}, {secure_renegotiate, true}]}, \
             {client, [CA, {verify, verify_peer}, {server_name_indication, disable}]}]."
        ),
        (Servers::SignedForAnyHost, Clients::Required)
    );
    assert_eq!(
        checks(
            "[{server, [OWN, CA, {verify, verify_peer}, {fail_if_no_peer_cert, false}]}, {client, [{verify, verify_none}]}]."
        ),
        (Servers::Unverified, Clients::IfShown)
    );
    for (text, why) in [
        ("", "cannot be used"),
        ("{server, []}.", "no list"),
        ("[{servant, []}].", "neither client nor server"),
        (
            "[{client, [{verify_fun, x}]}].",
            "client: the option verify_fun: it is not supported: an Erlang function",
        ),
        (
            "[{client, [{verify, perhaps}]}].",
            "perhaps is not supported; verify_peer and verify_none are",
        ),
        ("[{client, [OWN]}].", "verify_none"),
        (
            "[{client, [{verify, verify_none}, {password, 1}]}].",
            "it takes a text",
        ),
        ("[{client, [{certfile, 1}]}].", "no path"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    // Nobody is trusted.
    let text = "[{client, [OWN, {verify, verify_peer}]}].";
    let error = read(text).unwrap().build().unwrap_err();
    assert!(matches!(error, TlsError::NoAuthorities { .. }), "{error}");
}

#[test]
fn the_key_is_not_shown() {
    let (_directory, ca, certificate, key) = papers();
    let options = TlsOptions::new().authorities_file(&ca).unwrap();
    let options = options.certificate_files(&certificate, &key).unwrap();
    let shown = format!("{options:?} {:?}", options.clone().build().unwrap());
    assert!(shown.len() < 300, "{shown}");
}

#[test]
fn a_key_is_read_with_its_password_and_with_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("node.key");
    let plain = include_str!("../../../tests/support/keys/plain.pem");
    let pair = rcgen::KeyPair::from_pem(plain).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["h".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&pair).unwrap();
    let of = directory.path().join("node.pem");
    std::fs::write(&of, certificate.pem()).unwrap();
    for text in [
        plain,
        include_str!("../../../tests/support/keys/pkcs8_aes.pem"),
        include_str!("../../../tests/support/keys/pkcs8_des3.pem"),
        include_str!("../../../tests/support/keys/sec1_aes128.pem"),
        include_str!("../../../tests/support/keys/sec1_aes256.pem"),
        include_str!("../../../tests/support/keys/sec1_des3.pem"),
    ] {
        std::fs::write(&file, text).unwrap();
        let with = |password: &str| {
            let options = TlsOptions::new()
                .servers(Servers::Unverified)
                .clients(Clients::Unverified);
            options.encrypted_certificate_files(&of, &file, Secret::new(password))
        };
        assert!(with("secret").unwrap().build().unwrap().accepts(), "{text}");
        if text == plain {
            continue;
        }
        let error = with("guessed").unwrap_err();
        assert!(matches!(error, TlsError::Password { .. }), "{error}");
        assert!(!error.to_string().contains("guessed"), "{error}");
        let error = TlsOptions::new().certificate_files(&of, &file).unwrap_err();
        assert!(matches!(error, TlsError::EncryptedKey { .. }), "{error}");
    }
}
