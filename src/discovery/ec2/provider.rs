//! The provider itself.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use http::Uri;
use tokio::time::{Instant, sleep_until};

use super::answer::{Instance, Page, Refusal, filled};
use super::config::{Ec2Config, Filter, HostType};
use super::credentials::{Chain, Credentials};
use super::environment::Environment;
use super::failure::Kind;
use super::metadata::Metadata;
use super::profile::Profile;
use super::request::{describe_instances, signed};
use crate::discovery::Context;
use crate::discovery::address::plain;
use crate::discovery::app_name::app_name;
use crate::discovery::host_template::first_label;
use crate::discovery::http::client::{Client, Limits};
use crate::discovery::polling::{Answer, Poll, PollError, Polling, jitter};
use crate::name::NodeName;
use crate::secret::SecretUrl;

/// The most bytes of a page. One of 500 instances has about 3 million.
const PAGE_BYTES: usize = 16 << 20;

/// Pages that are asked for; more instances than that are no cluster.
const MAX_PAGES: usize = 40;

/// The wait after EC2 said the first time that it is asked too often. Each further time doubles it.
const THROTTLED: Duration = Duration::from_secs(5);

/// What that wait never grows above.
const THROTTLED_MOST: Duration = Duration::from_secs(300);

/// Makes the provider.
///
/// # Errors
/// A sentence for the user if nothing tells which instances are peers, the region or endpoint cannot be
/// one, or there is no `app_name`.
pub fn ec2(config: &Ec2Config, context: &Context) -> Result<Polling<Ec2>, String> {
    let source = Ec2::new(config, context, Environment::Process)?;
    Ok(Polling::new(source, config.interval).keeping(config.keep_for))
}

/// Asks EC2; see [`ec2`].
pub struct Ec2 {
    filters: Vec<Filter>,
    /// The tags that an instance must have in common with the own one, and once they are known, as filters.
    own_tags: Vec<String>,
    own_filters: Option<Vec<Filter>>,
    app: String,
    host_type: HostType,
    /// The own node has a short name, and so have its peers.
    short: bool,
    client: Client,
    limits: Limits,
    environment: Environment,
    metadata: Metadata,
    chain: Chain,
    region: Option<String>,
    endpoint: Option<Uri>,
    /// Until when EC2 is left alone, and for how long that is next time.
    hold: Option<Instant>,
    patience: Duration,
}

/// The endpoint may hold a secret.
impl fmt::Debug for Ec2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ec2")
            .field("filters", &self.filters)
            .field("app", &self.app)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Ec2 {
    pub(super) fn new(
        config: &Ec2Config,
        context: &Context,
        environment: Environment,
    ) -> Result<Self, String> {
        let filters = config.api_filters()?;
        let app = app_name(config.app_name.as_deref(), context)?;
        let region = config.region.clone();
        if let Some(region) = &region {
            check_region(region).map_err(|why| format!("region: {why}"))?;
        }
        let endpoint = match &config.endpoint {
            Some(given) => Some(check_endpoint("endpoint", given)?),
            None => ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"]
                .iter()
                .find_map(|name| Some((name, environment.get(name)?)))
                .map(|(name, given)| check_endpoint(name, &given))
                .transpose()?,
        };
        let client = Client::new();
        let timeout = config.timeout;
        Ok(Self {
            filters,
            own_tags: config.own_tags.clone(),
            own_filters: None,
            app,
            host_type: config.host_type,
            short: context.own.as_ref().is_some_and(|own| !own.is_long()),
            metadata: Metadata::new(client.clone(), &environment, timeout),
            chain: Chain::new(client.clone(), environment.clone(), timeout),
            client,
            limits: Limits {
                timeout,
                body: PAGE_BYTES,
            },
            environment,
            region,
            endpoint,
            hold: None,
            patience: THROTTLED,
        })
    }

    /// The region, which does not change once it is known.
    async fn region(&mut self) -> Result<String, String> {
        if let Some(region) = &self.region {
            return Ok(region.clone());
        }
        let given = self
            .environment
            .first(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
        let found = match given {
            Some(region) => region,
            None => {
                let environment = self.environment.clone();
                let profile = tokio::task::spawn_blocking(move || Profile::read(&environment))
                    .await
                    .map_err(|why| format!("reading the AWS profile failed: {why}"))??;
                match profile.get("region") {
                    Some(region) => region.to_owned(),
                    None => self.region_of_instance().await?,
                }
            }
        };
        check_region(&found)?;
        Ok(self.region.insert(found).clone())
    }

    async fn region_of_instance(&mut self) -> Result<String, String> {
        let why = match self.metadata.get("placement/region").await {
            Ok(Some(region)) => return Ok(region.trim().to_owned()),
            Ok(None) => "instance metadata tells none".to_owned(),
            Err(why) => why,
        };
        Err(format!(
            "no AWS region: none in the option region, in AWS_REGION or in the profile, and {why}; set the option region"
        ))
    }

    /// Until when EC2 is left alone.
    #[cfg(test)]
    pub(super) fn held(&self) -> Option<Instant> {
        self.hold
    }

    async fn look(&mut self) -> Result<Vec<Instance>, String> {
        let region = self.region().await?;
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => check_endpoint("region", &default_endpoint(&region))?,
        };
        self.chain.in_region(&region);
        let now = SystemTime::now();
        let credentials = self.chain.credentials(&mut self.metadata, now).await?;
        let aws = (&endpoint, region.as_str(), &credentials);
        let mut filters = self.filters.clone();
        if !self.own_tags.is_empty() {
            if self.own_filters.is_none() {
                self.own_filters = Some(self.find_own(aws).await?);
            }
            filters.extend(self.own_filters.iter().flatten().cloned());
        }
        let instances = self.ask(&filters, aws).await?;
        self.patience = THROTTLED;
        Ok(instances)
    }

    /// The filters that the own instance's tags make.
    async fn find_own(&mut self, aws: (&Uri, &str, &Credentials)) -> Result<Vec<Filter>, String> {
        let found = self.metadata.get("instance-id").await;
        let id = found.map_err(|why| format!("own_tags: {why}; give tags instead"))?;
        let id = id.ok_or(
            "own_tags: instance metadata tells no id of the own instance; give tags instead",
        )?;
        let id = id.trim().to_owned();
        let own = self
            .ask(&[Filter::new("instance-id", [id.clone()])], aws)
            .await?;
        let own = own.first();
        let own = own.ok_or_else(|| {
            format!(
                "own_tags: EC2 in {} does not know the own instance {id}",
                aws.1
            )
        })?;
        let filter = |name: &String| {
            let value = own.tag(name).ok_or_else(|| {
                format!("own_tags: the own instance {id} has no tag {name}: give it one, as its peers have it")
            })?;
            Ok(Filter::new(format!("tag:{name}"), [literal(value)]))
        };
        self.own_tags.iter().map(filter).collect()
    }

    /// All pages of the instances that pass the filters.
    async fn ask(
        &mut self,
        filters: &[Filter],
        (endpoint, region, credentials): (&Uri, &str, &Credentials),
    ) -> Result<Vec<Instance>, String> {
        let mut instances = Vec::new();
        let mut next: Option<String> = None;
        let mut asked = HashSet::new();
        loop {
            if asked.len() == MAX_PAGES {
                return Err(format!(
                    "more than {} instances in {region} match: narrow tags and filters down to one cluster",
                    instances.len()
                ));
            }
            if !asked.insert(next.clone()) {
                return Err(format!(
                    "EC2 in {region} names the same page as the next one again; see that the endpoint is EC2's"
                ));
            }
            let body = describe_instances(filters, next.as_deref());
            let request = signed(
                endpoint,
                "ec2",
                region,
                credentials,
                SystemTime::now(),
                body,
            )?;
            let answer = self
                .client
                .send(request, self.limits)
                .await
                .map_err(|why| format!("EC2 in {region}: {why}"))?;
            let status = answer.status();
            if !status.is_success() {
                let refusal = Refusal::read(status.as_u16(), answer.body());
                return Err(self.refused(&refusal, region, &credentials.source));
            }
            let page = Page::read(answer.body()).map_err(|why| {
                format!(
                    "the answer of {:?} is not a list of instances ({why}): check that the endpoint is EC2's",
                    SecretUrl::from(endpoint.to_string())
                )
            })?;
            instances.extend(page.instances);
            match page.next {
                Some(token) => next = Some(token),
                None => break,
            }
        }
        Ok(instances)
    }

    fn refused(&mut self, refusal: &Refusal, region: &str, source: &str) -> String {
        let mut text = refusal.explain(region, source);
        match refusal.kind() {
            Kind::Other => {}
            Kind::Credentials => self.chain.forget(),
            Kind::Throttled => {
                let wait = jitter(self.patience, rand::random());
                self.hold = Some(Instant::now() + wait);
                self.patience = (self.patience * 2).min(THROTTLED_MOST);
                text.push_str(&format!("; it is left alone for {} s", wait.as_secs()));
            }
        }
        text
    }

    /// The name of the node on an instance, if the instance has such an address.
    fn node(&self, instance: &Instance) -> Option<NodeName> {
        let host = match self.host_type {
            HostType::Ip => filled(&instance.private_ip_address),
            HostType::PublicIp => filled(&instance.ip_address),
            HostType::Ipv6 => instance.ipv6(),
            HostType::Hostname => filled(&instance.private_dns_name).map(|name| match self.short {
                true => first_label(name),
                false => name,
            }),
        };
        NodeName::new(&self.app, &plain(host?)).ok()
    }
}

impl Poll for Ec2 {
    fn kind(&self) -> &'static str {
        "ec2"
    }

    async fn poll(&mut self) -> Result<Answer, PollError> {
        // Not even a refresh asks sooner: that would lengthen what EC2 makes everyone wait.
        if let Some(hold) = self.hold {
            sleep_until(hold).await;
            self.hold = None;
        }
        let instances = self.look().await.map_err(PollError)?;
        let nodes = instances
            .iter()
            .filter_map(|instance| self.node(instance))
            .collect();
        Ok(Answer::new(nodes, None))
    }
}

/// A value as it is: in a filter `*` and `?` stand for others, unless a backslash is before them.
fn literal(value: &str) -> String {
    let mut literal = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '*' | '?' | '\\') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal
}

/// The region becomes a part of a host name and of what is signed.
fn check_region(region: &str) -> Result<(), String> {
    let well_formed = !region.is_empty()
        && region.len() <= 63
        && region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    match well_formed {
        true => Ok(()),
        false => Err(format!(
            "{region:?} is no AWS region; one is written eu-central-1"
        )),
    }
}

/// <https://docs.aws.amazon.com/general/latest/gr/ec2-service.html>
fn default_endpoint(region: &str) -> String {
    format!("https://ec2.{region}.{}", domain(region))
}

/// The domain of AWS's services in a region.
pub(super) fn domain(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "amazonaws.com.cn",
        _ if region.starts_with("us-iso-") => "c2s.ic.gov",
        _ if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        _ if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    }
}

pub(super) fn check_endpoint(option: &str, given: &str) -> Result<Uri, String> {
    let refused = |why: String| {
        // What is more than a server may be a password.
        let given = SecretUrl::from(given);
        format!(
            "{option}: {given:?} is no endpoint ({why}); one is written https://ec2.eu-central-1.amazonaws.com"
        )
    };
    let uri: Uri = given.parse().map_err(|why| refused(format!("{why}")))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refused("it has to begin with https:// or http://".into()));
    }
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        // Not shown: what stands before the @ may be a password.
        return Err(format!(
            "{option} has a user name in it, for which EC2 has no use"
        ));
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_its_endpoint() {
        for (region, endpoint) in [
            ("eu-central-1", "https://ec2.eu-central-1.amazonaws.com"),
            ("cn-north-1", "https://ec2.cn-north-1.amazonaws.com.cn"),
            ("us-gov-west-1", "https://ec2.us-gov-west-1.amazonaws.com"),
        ] {
            check_region(region).unwrap();
            assert_eq!(default_endpoint(region), endpoint);
            check_endpoint("endpoint", endpoint).unwrap();
        }
    }

    #[test]
    fn what_is_no_region_or_endpoint_is_refused() {
        for region in ["", "EU", "eu-west-1.evil.example", "a/b", "a b"] {
            assert!(check_region(region).is_err(), "{region:?}");
        }
        for endpoint in [
            "",
            "ec2.example",
            "ftp://a",
            "https://",
            "https://a b",
            "https://u:p@h",
        ] {
            let error = check_endpoint("endpoint", endpoint).unwrap_err();
            assert!(error.starts_with("endpoint"), "{endpoint:?}: {error}");
            assert!(!error.contains("u:p"), "{error}");
        }
    }
}
