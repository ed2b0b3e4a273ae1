//! What the `ec2` provider can be told.

use std::time::Duration;

use crate::discovery::polling::KEEP_FOR;
use crate::secret::SecretUrl;

/// Which instances are peers, and what their nodes are called.
///
/// ```
/// use rendez::discovery::ec2::{Ec2Config, Filter};
/// let config = Ec2Config {
///     tags: vec![Filter::new("cluster", ["shop"])],
///     ..Ec2Config::default()
/// };
/// assert_eq!(config.interval.as_secs(), 15);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Config {
    /// The region; `None`: `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's, the own instance's.
    pub region: Option<String>,
    /// Tags that an instance must have, all of them. One without values has to be there, whatever its
    /// value.
    pub tags: Vec<Filter>,
    /// Names of tags of which an instance must have the same value as the own instance.
    pub own_tags: Vec<String>,
    /// Filters of the API's, all of which hold: `instance.group-name`, `vpc-id`, `instance-state-name`
    /// (`running` unless given).
    /// <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html>
    pub filters: Vec<Filter>,
    /// What stands after the `@` of the nodes.
    pub host_type: HostType,
    /// What stands before it; `None`: as in the own node's name.
    pub app_name: Option<String>,
    /// The URL of the API; `None`: `AWS_ENDPOINT_URL_EC2`, `AWS_ENDPOINT_URL`, the region's.
    pub endpoint: Option<SecretUrl>,
    /// The longest time between two looks.
    pub interval: Duration,
    /// How long a name is kept that the answers leave out. Default: [`KEEP_FOR`].
    pub keep_for: Duration,
    /// How long one request may take.
    pub timeout: Duration,
}

impl Default for Ec2Config {
    fn default() -> Self {
        Self {
            region: None,
            tags: Vec::new(),
            own_tags: Vec::new(),
            filters: Vec::new(),
            host_type: HostType::default(),
            app_name: None,
            endpoint: None,
            interval: Duration::from_secs(15),
            keep_for: KEEP_FOR,
            timeout: Duration::from_secs(5),
        }
    }
}

/// A name and the values of which one has to match. `*` and `?` in a value stand for any characters and
/// for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The name of the tag or filter.
    pub name: String,
    /// The values.
    pub values: Vec<String>,
}

impl Filter {
    /// Puts a name and its values together.
    pub fn new<V: Into<String>>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        Self {
            name: name.into(),
            values: values.into_iter().map(Into::into).collect(),
        }
    }
}

/// What stands after the `@` of the nodes. An instance that has no such address is no peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HostType {
    /// The private IPv4 address of the first network interface.
    #[default]
    Ip,
    /// The public IPv4 address.
    PublicIp,
    /// The IPv6 address.
    Ipv6,
    /// The private DNS name; its first label where the own node has a short name.
    Hostname,
}

impl Ec2Config {
    /// The filters as the API takes them.
    ///
    /// # Errors
    /// A sentence for the user if nothing tells which instances are peers, or a filter cannot be asked for.
    #[cfg_attr(not(feature = "ec2"), allow(dead_code))]
    pub(super) fn api_filters(&self) -> Result<Vec<Filter>, String> {
        /// The API takes no more values in one filter.
        const MOST_VALUES: usize = 200;
        const STATE: &str = "instance-state-name";
        let tags = self.tags.len() + self.own_tags.len();
        if tags == 0 && self.filters.iter().all(|filter| filter.name == STATE) {
            return Err(
                "neither tags nor own_tags nor filters tell which instances are peers, and without them every instance of the \
                 account would be one; give tags, for example cluster=shop"
                    .into(),
            );
        }
        let mut filters = Vec::new();
        for tag in &self.tags {
            let values = match tag.values.as_slice() {
                [] => vec!["*".to_owned()],
                values => values.to_owned(),
            };
            filters.push(Filter::new(format!("tag:{}", tag.name), values));
        }
        filters.extend(self.filters.iter().cloned());
        if self.filters.iter().all(|filter| filter.name != STATE) {
            filters.push(Filter::new(STATE, ["running"]));
        }
        for filter in &filters {
            let count = filter.values.len();
            if count == 0 {
                return Err(format!(
                    "filters: {0} has no value; give one, as in {0}=value",
                    filter.name
                ));
            }
            if count > MOST_VALUES {
                return Err(format!(
                    "filters: {} has {count} values; EC2 takes at most {MOST_VALUES}",
                    filter.name
                ));
            }
        }
        Ok(filters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_filters_and_only_running_instances_are_asked_for() {
        let mut config = Ec2Config {
            tags: vec![
                Filter::new("cluster", ["shop", "till"]),
                Filter::new("beam", [""; 0]),
            ],
            filters: vec![Filter::new("vpc-id", ["vpc-1"])],
            ..Ec2Config::default()
        };
        let expected = [
            Filter::new("tag:cluster", ["shop", "till"]),
            Filter::new("tag:beam", ["*"]),
            Filter::new("vpc-id", ["vpc-1"]),
        ];
        let running = Filter::new("instance-state-name", ["running"]);
        let filters = config.api_filters().unwrap();
        assert_eq!(filters[..3], expected);
        assert_eq!(filters[3..], [running]);

        let state = Filter::new("instance-state-name", ["running", "pending"]);
        config.filters.push(state.clone());
        let filters = config.api_filters().unwrap();
        assert_eq!(filters[3..], [state]);
    }

    #[test]
    fn what_would_name_the_whole_account_or_nothing_is_refused() {
        let state = Filter::new("instance-state-name", ["running"]);
        for (filters, part) in [
            (vec![], "neither tags nor own_tags"),
            (vec![state], "neither tags nor own_tags"),
            (vec![Filter::new("vpc-id", [""; 0])], "vpc-id has no value"),
            (vec![Filter::new("vpc-id", vec!["x"; 201])], "at most 200"),
        ] {
            let config = Ec2Config {
                filters,
                ..Ec2Config::default()
            };
            let error = config.api_filters().unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
