//! Who waits to be served, without sockets: so many connections, and none that is silent shuts out another host. It is
//! that of the server of EPMD and of a node's listener.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// The connections whose request is still to come or to be answered.
///
/// When all places are taken, a newcomer gets the place of the connection that has waited longest among those of the
/// source with the most. So a host that opens connections and says nothing takes places from itself.
#[derive(Debug)]
pub(crate) struct Waiting<T> {
    /// By the number of the connection, the oldest first.
    places: BTreeMap<u64, (IpAddr, T)>,
    by_source: HashMap<IpAddr, BTreeSet<u64>>,
    next: u64,
    most: usize,
}

impl<T> Waiting<T> {
    /// Room for `most` connections, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            places: BTreeMap::new(),
            by_source: HashMap::new(),
            next: 0,
            most: most.max(1),
        }
    }

    /// Takes a connection in: its number, and what was kept of the one that had to go for it.
    pub(crate) fn enter(&mut self, peer: IpAddr, hold: T) -> (u64, Option<T>) {
        let evicted = (self.places.len() >= self.most)
            .then(|| self.evict())
            .flatten();
        let (number, source) = (self.next, source(peer));
        self.next += 1;
        self.places.insert(number, (source, hold));
        self.by_source.entry(source).or_default().insert(number);
        (number, evicted)
    }

    /// The connection waits no longer. One that had to go already has no place to give back.
    pub(crate) fn leave(&mut self, number: u64) -> Option<T> {
        let (source, hold) = self.places.remove(&number)?;
        if let Some(numbers) = self.by_source.get_mut(&source) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.by_source.remove(&source);
            }
        }
        Some(hold)
    }

    fn evict(&mut self) -> Option<T> {
        let oldest = |numbers: &BTreeSet<u64>| numbers.first().copied();
        let (_, crowd) = self.by_source.iter().max_by_key(|(_, numbers)| {
            // Of sources with equally many, the one whose first connection is the oldest.
            (numbers.len(), std::cmp::Reverse(oldest(numbers)))
        })?;
        self.leave(oldest(crowd)?)
    }
}

/// What counts as one source: an IPv4 address, or the first 64 bits of an IPv6 address, since a host chooses the rest.
fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            Ipv6Addr::from_bits(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_host_that_opens_connections_and_says_nothing_takes_places_from_itself() {
        let mut waiting = Waiting::new(3);
        let (other, evicted) = waiting.enter(ip("10.0.0.9"), "other");
        assert_eq!(evicted, None);
        waiting.enter(ip("10.0.0.1"), "first");
        waiting.enter(ip("10.0.0.1"), "second");
        assert_eq!(waiting.enter(ip("10.0.0.1"), "third").1, Some("first"));
        assert_eq!(waiting.enter(ip("10.0.0.2"), "new").1, Some("second"));
        // Each has one now: the one that has waited longest goes.
        assert_eq!(waiting.enter(ip("10.0.0.3"), "newer").1, Some("other"));
        assert_eq!(waiting.leave(other), None);
    }

    #[test]
    fn two_thousand_connections_of_one_network_take_all_places_but_those_of_others() {
        let mut waiting = Waiting::new(256);
        let slow = waiting.enter(ip("10.0.0.1"), 0).0;
        let v6 = waiting.enter(ip("2001:db8::1"), 1).0;
        let evicted: Vec<_> = (2..2002_u32)
            .filter_map(|number| {
                let from = format!("2001:db8:0:7::{:x}", number % 100);
                waiting.enter(ip(&from), number).1
            })
            .collect();
        // The oldest of that network, in their order.
        assert_eq!(evicted, (2..2002 - 254).collect::<Vec<_>>());
        assert_eq!((waiting.leave(slow), waiting.leave(v6)), (Some(0), Some(1)));
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let mut waiting = Waiting::new(1);
        let (number, _) = waiting.enter(ip("10.0.0.1"), 1);
        assert_eq!(waiting.leave(number), Some(1));
        assert_eq!(waiting.enter(ip("10.0.0.2"), 2).1, None);
        assert!(waiting.by_source.len() == 1 && waiting.places.len() == 1);
    }

    #[test]
    fn a_host_is_one_source_whatever_address_of_its_network_it_takes() {
        assert_eq!(source(ip("fdaa::1")), source(ip("fdaa::ffff:2:3")));
        assert_ne!(source(ip("fdaa::1")), source(ip("fdaa:0:0:1::1")));
        assert_eq!(source(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
        assert_ne!(source(ip("10.0.0.1")), source(ip("10.0.0.2")));
    }
}
