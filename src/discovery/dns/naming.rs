//! Which of several names of an address is that of the node: a pure rule.

use std::cmp::Reverse;
use std::net::IpAddr;

use crate::discovery::host_template::{address_in, dashed, first_label};

/// What distinguishes a name that fits from one that does not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fitting<'a> {
    /// The own node's host, if there is an own node.
    pub own_host: Option<&'a str>,
    /// The name that was looked up.
    pub looked_up: &'a str,
}

impl Fitting<'_> {
    /// The name that fits best. In Kubernetes an address has a name for each service that selects the pod, and
    /// only one of them is the name that the pod has for itself.
    ///
    /// 1. A name that is made of the address (`10-1-2-3.…`) comes after all others, unless the own node has such
    ///    a name itself.
    /// 2. A name in the own node's domain comes first.
    /// 3. Then one below the name that was looked up.
    /// 4. Then the one that has most in common with the own node's name, from its end.
    /// 5. Then the first in alphabetical order, which is always the same.
    pub fn best<'n>(
        &self,
        address: IpAddr,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Option<&'n str> {
        let own = self.own_host.map(str::to_lowercase);
        let own = own.filter(|own| own.parse::<IpAddr>().is_err());
        let own_domain = own.as_deref().and_then(domain);
        let own_is_dashed = own
            .as_deref()
            .is_some_and(|own| own.parse::<IpAddr>().is_err() && address_in(own).is_some());
        let looked_up = self.looked_up.trim_end_matches('.').to_lowercase();
        names.into_iter().min_by_key(|name| {
            let lower = name.to_lowercase();
            let other_domain = own_domain.is_none() || domain(&lower) != own_domain;
            let below = lower
                .strip_suffix(&looked_up)
                .is_some_and(|start| start.ends_with('.'));
            let shared = own.as_deref().map_or(0, |own| shared_labels(own, &lower));
            (
                is_made_of(&lower, address) != own_is_dashed,
                other_domain,
                !below,
                Reverse(shared),
                lower,
            )
        })
    }
}

/// What follows the first dot.
fn domain(name: &str) -> Option<&str> {
    Some(name.split_once('.')?.1)
}

/// Whether the first label is the address with dashes, as Kubernetes (`10-1-2-3`) and EC2 (`ip-10-1-2-3`) name
/// hosts that have no name of their own.
fn is_made_of(name: &str, address: IpAddr) -> bool {
    let label = first_label(name);
    let dashed = dashed(address);
    label == dashed || label.strip_prefix("ip-") == Some(dashed.as_str())
}

/// How many labels two names have in common at their ends.
fn shared_labels(one: &str, other: &str) -> usize {
    let pairs = one.rsplit('.').zip(other.rsplit('.'));
    pairs.take_while(|(one, other)| one == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DASHED: &str = "10-244-0-6.web.prod.svc.cluster.local";
    const STATEFUL: &str = "web-0.web-nodes.prod.svc.cluster.local";
    const OTHER: &str = "web-0.admin.prod.svc.cluster.local";

    fn best<'n>(own: Option<&str>, names: &[&'n str]) -> &'n str {
        let fitting = Fitting {
            own_host: own,
            looked_up: "web-nodes.prod.svc.cluster.local.",
        };
        let address = "10.244.0.6".parse().unwrap();
        let mut reversed = names.to_vec();
        reversed.reverse();
        let first = fitting.best(address, names.iter().copied()).unwrap();
        assert_eq!(fitting.best(address, reversed), Some(first), "in any order");
        first
    }

    #[test]
    fn a_name_made_of_the_address_comes_last() {
        assert_eq!(best(None, &[DASHED, STATEFUL]), STATEFUL);
        assert_eq!(best(None, &[DASHED]), DASHED);
        let ec2 = "ip-10-244-0-6.eu-central-1.compute.internal";
        assert_eq!(best(None, &[ec2, "a.zone"]), "a.zone");
        // Not even the own node's domain outweighs that.
        let own = Some("web-1.web.prod.svc.cluster.local");
        assert_eq!(best(own, &[DASHED, STATEFUL]), STATEFUL);
    }

    #[test]
    fn unless_the_own_node_has_such_a_name() {
        let own = Some("10-244-0-9.web.prod.svc.cluster.local");
        assert_eq!(best(own, &[DASHED, STATEFUL]), DASHED);
    }

    #[test]
    fn the_own_domain_comes_before_the_name_that_was_looked_up() {
        assert_eq!(best(None, &[OTHER, STATEFUL]), STATEFUL);
        let own = Some("web-1.admin.prod.svc.cluster.local");
        assert_eq!(best(own, &[OTHER, STATEFUL]), OTHER);
        let own = Some("web-1.Web-Nodes.prod.svc.cluster.local");
        assert_eq!(best(own, &["A.b", STATEFUL]), STATEFUL);
    }

    #[test]
    fn without_anything_else_the_nearest_and_then_the_first_in_the_alphabet() {
        let own = Some("a.rack-1.example.org");
        assert_eq!(
            best(own, &["b.aws", "b.rack-2.example.org"]),
            "b.rack-2.example.org"
        );
        assert_eq!(best(None, &["b.aws", "A.zone"]), "A.zone");
        assert_eq!(best(Some("10.0.0.1"), &["b.aws", "c.0.0.1"]), "b.aws");
    }
}
