//! What stands after the `@` of nodes, made of an address or a host name by a template.

use std::fmt;
use std::net::IpAddr;

use crate::name::NodeName;

/// The placeholders, as the user writes them between braces.
const PLACEHOLDERS: &[(&str, Part)] = &[
    ("ip", Part::Ip),
    ("ip-dashed", Part::IpDashed),
    ("label", Part::Label),
    ("host", Part::Host),
];

/// A template for what stands after the `@` of a node name: `{ip-dashed}.prod.pod.cluster.local`.
///
/// | placeholder | stands for | for `10.1.2.3` alias `web-0.web.prod.svc.cluster.local` |
/// | --- | --- | --- |
/// | `{ip}` | the address | `10.1.2.3` |
/// | `{ip-dashed}` | the address with dashes in place of its dots and colons | `10-1-2-3` |
/// | `{label}` | the host name up to its first dot | `web-0` |
/// | `{host}` | the host name | `web-0.web.prod.svc.cluster.local` |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Ip,
    IpDashed,
    Label,
    Host,
}

impl HostTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence for the user that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err("a { has no }".into());
            };
            let Some((_, part)) = PLACEHOLDERS.iter().find(|(known, _)| *known == name) else {
                let known: Vec<_> = PLACEHOLDERS
                    .iter()
                    .map(|(name, _)| format!("{{{name}}}"))
                    .collect();
                return Err(format!(
                    "there is no placeholder {{{name}}}; there are {}",
                    known.join(", ")
                ));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(part.clone());
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let template = Self { parts };
        if template.parts.iter().any(|part| match part {
            Part::Text(text) => text.contains('}'),
            _ => false,
        }) {
            return Err("a } has no {".into());
        }
        if !template.needs_address() && !template.needs_host() {
            return Err(
                "it has no placeholder, so that all nodes would have the same name; give one such as {ip}"
                    .into(),
            );
        }
        let sample = template.expand(Some([10, 0, 0, 1].into()), Some("a.example"));
        let sample = sample.unwrap_or_default();
        NodeName::new("a", &sample)
            .map_err(|invalid| format!("{sample} cannot stand after the @: {invalid}"))?;
        Ok(template)
    }

    /// Whether it has a placeholder for the address.
    pub fn needs_address(&self) -> bool {
        let of_address = |part: &Part| matches!(part, Part::Ip | Part::IpDashed);
        self.parts.iter().any(of_address)
    }

    /// Whether it has a placeholder for the host name.
    pub fn needs_host(&self) -> bool {
        let of_host = |part: &Part| matches!(part, Part::Label | Part::Host);
        self.parts.iter().any(of_host)
    }

    /// Fills it in. `None` if what it needs is not given.
    pub fn expand(&self, address: Option<IpAddr>, host: Option<&str>) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Ip => text.push_str(&address?.to_string()),
                Part::IpDashed => text.push_str(&dashed(address?)),
                Part::Label => text.push_str(first_label(host?)),
                Part::Host => text.push_str(host?),
            }
        }
        Some(text)
    }
}

impl fmt::Display for HostTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Text(text) => f.write_str(text)?,
                known => {
                    let name = PLACEHOLDERS.iter().find(|(_, part)| part == known);
                    write!(f, "{{{}}}", name.map_or("", |(name, _)| name))?;
                }
            }
        }
        Ok(())
    }
}

/// An address with dashes in place of its dots and colons, as Kubernetes names pods: `10-1-2-3`.
pub(super) fn dashed(address: IpAddr) -> String {
    address.to_string().replace(['.', ':'], "-")
}

/// The address that a host is, or that its first label is made of as [`dashed`] does it.
pub(super) fn address_in(host: &str) -> Option<IpAddr> {
    let label = first_label(host);
    let label = label.strip_prefix("ip-").unwrap_or(label);
    let of_label = |separator: &str| label.replace('-', separator).parse().ok();
    let address: Option<IpAddr> = host.parse().ok();
    address
        .or_else(|| of_label("."))
        .or_else(|| of_label(":").filter(|_| label.contains('-')))
        .map(|address| address.to_canonical())
}

/// A host name up to its first dot, which is what stands in the name of a node that was started with `-sname`.
pub(super) fn first_label(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_placeholder_stands_for_its_part() {
        let host = "web-0.web.prod.svc.cluster.local";
        for (template, expected) in [
            (
                "{ip-dashed}.prod.pod.cluster.local",
                "10-1-2-3.prod.pod.cluster.local",
            ),
            ("{ip}", "10.1.2.3"),
            ("{label}", "web-0"),
            ("node-{label}.example.org", "node-web-0.example.org"),
            ("{host}", host),
            ("{label}.{ip-dashed}", "web-0.10-1-2-3"),
        ] {
            let read = HostTemplate::parse(template).unwrap();
            let expanded = read.expand(Some([10, 1, 2, 3].into()), Some(host));
            assert_eq!(expanded.as_deref(), Some(expected));
            assert_eq!(read.to_string(), template);
        }
        let six = "fdaa::3".parse().unwrap();
        assert_eq!(dashed(six), "fdaa--3");
        for (host, address) in [
            ("10.1.2.3", Some("10.1.2.3")),
            ("10-1-2-3.prod.pod.cluster.local", Some("10.1.2.3")),
            (
                "ip-10-1-2-3.eu-central-1.compute.internal",
                Some("10.1.2.3"),
            ),
            ("fdaa--3.prod.pod.cluster.local", Some("fdaa::3")),
            ("::ffff:10.1.2.3", Some("10.1.2.3")),
            ("web-0.test", None),
            ("web", None),
            ("10-1-2.test", None),
        ] {
            let found = address_in(host).map(|address| address.to_string());
            assert_eq!(found.as_deref(), address, "{host}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        let read = HostTemplate::parse("{label}.x").unwrap();
        assert_eq!(read.expand(Some([10, 1, 2, 3].into()), None), None);
        assert!(read.needs_host() && !read.needs_address());
    }

    #[test]
    fn a_wrong_template_is_rejected_with_what_is_wrong() {
        for (text, part) in [
            ("", "no placeholder"),
            ("web.example.org", "no placeholder"),
            ("{ip", "has no }"),
            ("ip}{ip}", "has no {"),
            (
                "{ip_dashed}",
                "there are {ip}, {ip-dashed}, {label}, {host}",
            ),
            ("{}", "no placeholder {}"),
            ("{ip}@x", "cannot stand after the @"),
            ("{ip} x", "cannot stand after the @"),
        ] {
            let why = HostTemplate::parse(text).unwrap_err();
            assert!(why.contains(part), "{text:?}: {why}");
        }
    }
}
