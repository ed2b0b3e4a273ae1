//! The answer: XML, of which a few fields matter.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>

use serde::Deserialize;

/// One page of instances.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The instances.
    pub instances: Vec<Instance>,
    /// What to ask for the next page with.
    pub next: Option<String>,
}

/// Where an instance is.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Instance {
    /// Its private IPv4 address.
    pub private_ip_address: Option<String>,
    /// Its public IPv4 address.
    pub ip_address: Option<String>,
    /// Its IPv6 address.
    pub ipv6_address: Option<String>,
    /// Its private DNS name.
    pub private_dns_name: Option<String>,
    network_interface_set: Items<Interface>,
    tag_set: Items<Tag>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Tag {
    key: String,
    value: String,
}

impl Instance {
    /// The value of a tag, if it has the tag.
    pub fn tag(&self, name: &str) -> Option<&str> {
        let found = self.tag_set.item.iter().find(|tag| tag.key == name);
        found.map(|tag| tag.value.as_str())
    }

    /// Its IPv6 address, of the instance or of its first network interface that has one.
    pub fn ipv6(&self) -> Option<&str> {
        let of_interfaces = || {
            let mut interfaces = self.network_interface_set.item.iter();
            interfaces.find_map(|interface| interface.ipv6_addresses_set.item.first())
        };
        filled(&self.ipv6_address)
            .or_else(|| of_interfaces().and_then(|first| filled(&first.ipv6_address)))
    }
}

/// The text, if there is some: EC2 writes an empty element for what an instance does not have.
pub(super) fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Items<T> {
    #[serde(default = "Vec::new")]
    item: Vec<T>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { item: Vec::new() }
    }
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Interface {
    ipv6_addresses_set: Items<Ipv6>,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ipv6 {
    ipv6_address: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    // Not optional: some other document must not read as "there is no instance".
    reservation_set: Items<Reservation>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    #[serde(default)]
    instances_set: Items<Instance>,
}

impl Page {
    /// Reads a whole answer.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn read(xml: &[u8]) -> Result<Self, String> {
        let xml = std::str::from_utf8(xml).map_err(|_| "it is no UTF-8 text".to_owned())?;
        let response: Response = quick_xml::de::from_str(xml).map_err(|why| why.to_string())?;
        let instances = response.reservation_set.item.into_iter();
        Ok(Self {
            instances: instances
                .flat_map(|reservation| reservation.instances_set.item)
                .collect(),
            next: response.next_token.filter(|token| !token.is_empty()),
        })
    }
}

/// Why EC2 refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The code: `AuthFailure`. Empty if the answer has none.
    pub code: String,
    /// What EC2 says about it.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorResponse {
    errors: Errors,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Errors {
    error: Vec<ErrorItem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ErrorItem {
    code: String,
    #[serde(default)]
    message: String,
}

impl Refusal {
    /// Reads an answer that is no success, whatever it is.
    pub fn read(status: u16, xml: &[u8]) -> Self {
        let read = std::str::from_utf8(xml)
            .ok()
            .and_then(|xml| quick_xml::de::from_str::<ErrorResponse>(xml).ok());
        let first = read.and_then(|response| response.errors.error.into_iter().next());
        let (code, message) = first
            .map(|error| (error.code, error.message))
            .unwrap_or_default();
        Self {
            status,
            code,
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As EC2 writes it, shortened; the last instance is one that was just stopped.
    const ANSWER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
    <requestId>8f7724cf-496f-496e-8fe3-example</requestId>
    <reservationSet>
        <item>
            <reservationId>r-1234567890abcdef0</reservationId>
            <groupSet/>
            <instancesSet>
                <item>
                    <instanceId>i-1</instanceId>
                    <instanceState><code>16</code><name>running</name></instanceState>
                    <privateDnsName>ip-10-0-0-7.ec2.internal</privateDnsName>
                    <dnsName/>
                    <privateIpAddress>10.0.0.7</privateIpAddress>
                    <ipAddress>54.194.252.215</ipAddress>
                    <tagSet><item><key>Name</key><value>a &amp; b</value></item></tagSet>
                    <networkInterfaceSet>
                        <item>
                            <privateIpAddress>10.0.0.70</privateIpAddress>
                            <ipv6AddressesSet><item><ipv6Address>2a05::7</ipv6Address></item></ipv6AddressesSet>
                            <privateIpAddressesSet><item><privateIpAddress>10.0.0.71</privateIpAddress></item></privateIpAddressesSet>
                        </item>
                    </networkInterfaceSet>
                </item>
                <item>
                    <instanceId>i-2</instanceId>
                    <privateIpAddress>10.0.0.8</privateIpAddress>
                    <networkInterfaceSet/>
                </item>
            </instancesSet>
        </item>
        <item>
            <instancesSet>
                <item><instanceId>i-3</instanceId><privateDnsName/></item>
            </instancesSet>
        </item>
    </reservationSet>
    <nextToken>a&lt;b==</nextToken>
</DescribeInstancesResponse>"#;

    #[test]
    fn the_addresses_of_every_instance_are_read() {
        let page = Page::read(ANSWER.as_bytes()).unwrap();
        assert_eq!(page.next.as_deref(), Some("a<b=="));
        let private: Vec<_> = page
            .instances
            .iter()
            .map(|instance| filled(&instance.private_ip_address))
            .collect();
        assert_eq!(private, [Some("10.0.0.7"), Some("10.0.0.8"), None]);
        let first = &page.instances[0];
        assert_eq!(filled(&first.ip_address), Some("54.194.252.215"));
        assert_eq!(first.ipv6(), Some("2a05::7"));
        assert_eq!(
            (first.tag("Name"), first.tag("name")),
            (Some("a & b"), None)
        );
        let name = filled(&first.private_dns_name);
        assert_eq!(name, Some("ip-10-0-0-7.ec2.internal"));
        assert_eq!(filled(&page.instances[2].private_dns_name), None);
    }

    #[test]
    fn no_instance_is_an_answer_but_another_document_is_none() {
        let none =
            b"<DescribeInstancesResponse><reservationSet/><nextToken/></DescribeInstancesResponse>";
        let page = Page::read(none).unwrap();
        assert_eq!(
            page,
            Page {
                instances: vec![],
                next: None
            }
        );
        for other in [
            &b"<html><body>Welcome to the proxy</body></html>"[..],
            b"",
            b"{}",
            b"\xff",
            b"<DescribeInstancesResponse><reservationSet><item><instancesSet><item>",
            &ANSWER.as_bytes()[..ANSWER.len() - 40],
        ] {
            assert!(
                Page::read(other).is_err(),
                "{:?}",
                String::from_utf8_lossy(other)
            );
        }
    }

    #[test]
    fn a_document_of_nothing_but_depth_does_no_harm() {
        let deep = "<a>".repeat(200_000);
        assert!(Page::read(deep.as_bytes()).is_err());
        let deep = format!(
            "<r><reservationSet/>{}{}</r>",
            "<a>".repeat(100_000),
            "</a>".repeat(100_000)
        );
        let _ = Page::read(deep.as_bytes());
        // Entities of a document's own are not taken, so that none can grow without end.
        let laughs =
            "<!DOCTYPE r [<!ENTITY a \"aaaa\">]><r><reservationSet/><nextToken>&a;</nextToken></r>";
        assert!(Page::read(laughs.as_bytes()).is_err());
    }

    #[test]
    fn a_refusal_is_read_whatever_it_is() {
        let text = b"<?xml version=\"1.0\"?><Response><Errors><Error><Code>AuthFailure</Code><Message>AWS was not able \
            to validate the provided access credentials</Message></Error></Errors><RequestID>x</RequestID></Response>";
        let refusal = Refusal::read(401, text);
        assert_eq!(refusal.code, "AuthFailure");
        assert!(refusal.message.starts_with("AWS was not able"));
        assert_eq!(Refusal::read(502, b"<html>Bad Gateway").code, "");
    }
}
