//! The few parts of an X.509 certificate that webpki does not give: it reads certificates of version 3 only.
//!
//! Source: RFC 5280, section 4.1.

/// `[0] EXPLICIT Version`, `[3] EXPLICIT Extensions`.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
/// A `dNSName` in a `GeneralName`.
const DNS_NAME: u8 = 0x82;
/// The extension `subjectAltName`, 2.5.29.17, as an `OBJECT IDENTIFIER`.
const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];

/// The `SubjectPublicKeyInfo` of a certificate of any version; `None` if it is not a certificate.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    Some(Fields::of(certificate)?.public_key)
}

/// The `dNSName`s of a certificate's `subjectAltName`, whatever they contain.
pub(super) fn dns_names(certificate: &[u8]) -> Vec<&[u8]> {
    let names = Fields::of(certificate).and_then(|fields| alternative_names(fields.after));
    let mut names = names.unwrap_or_default();
    let mut found = Vec::new();
    while let Some(name) = take(&mut names) {
        if name.tag == DNS_NAME {
            found.push(name.contents);
        }
    }
    found
}

struct Fields<'a> {
    public_key: &'a [u8],
    /// What follows the key: unique identifiers and extensions.
    after: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(mut certificate: &'a [u8]) -> Option<Self> {
        let mut outer = take(&mut certificate)?.of(SEQUENCE)?;
        let mut fields = take(&mut outer)?.of(SEQUENCE)?;
        if fields.first() == Some(&VERSION) {
            take(&mut fields)?;
        }
        // The serial number, the algorithm of the signature, the issuer, the validity, the subject.
        for _ in 0..5 {
            take(&mut fields)?;
        }
        let key = take(&mut fields)?;
        key.of(SEQUENCE)?;
        Some(Self {
            public_key: key.whole,
            after: fields,
        })
    }
}

fn alternative_names(mut after: &[u8]) -> Option<&[u8]> {
    let mut extensions = loop {
        let field = take(&mut after)?;
        if field.tag == EXTENSIONS {
            let mut explicit = field.contents;
            break take(&mut explicit)?.of(SEQUENCE)?;
        }
    };
    loop {
        let mut extension = take(&mut extensions)?.of(SEQUENCE)?;
        if take(&mut extension)?.whole != SUBJECT_ALT_NAME {
            continue;
        }
        // Whether it is critical may stand between.
        loop {
            let field = take(&mut extension)?;
            if let Some(mut value) = field.of(OCTET_STRING) {
                return take(&mut value)?.of(SEQUENCE);
            }
        }
    }
}

/// One element of DER.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    contents: &'a [u8],
    whole: &'a [u8],
}

impl<'a> Element<'a> {
    fn of(self, tag: u8) -> Option<&'a [u8]> {
        (self.tag == tag).then_some(self.contents)
    }
}

/// Takes the first element from `input`. Certificates have no tags of several bytes, and none is longer than
/// 16 MiB.
fn take<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            (length, rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    let (whole, _) = input.split_at_checked(input.len() - rest.len())?;
    *input = rest;
    Some(Element {
        tag,
        contents,
        whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> Vec<u8> {
        let names = vec!["10.0.0.7".to_owned(), "a.example".to_owned()];
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.subject_alt_names = names
            .into_iter()
            .map(|name| rcgen::SanType::DnsName(name.try_into().unwrap()))
            .collect();
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_key_and_the_names_are_found() {
        let certificate = certificate();
        assert!(public_key(&certificate).is_some());
        assert_eq!(dns_names(&certificate), [&b"10.0.0.7"[..], b"a.example"]);
    }

    #[test]
    fn nothing_makes_it_panic() {
        let certificate = certificate();
        for length in 0..certificate.len() {
            let cut = &certificate[..length];
            assert_eq!(public_key(cut), None);
            assert!(dns_names(cut).is_empty());
        }
        for at in 0..certificate.len() {
            for value in [0, 0x7f, 0x80, 0x81, 0x83, 0xff] {
                let mut changed = certificate.clone();
                changed[at] = value;
                let _ = (public_key(&changed), dns_names(&changed).len());
            }
        }
    }
}
