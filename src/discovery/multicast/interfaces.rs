//! Which interfaces there are, and which of them to use.

use std::io;
use std::net::IpAddr;

use super::config::InterfaceChoice;

/// An address of an interface: one way to the link behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Link {
    /// The interface's name.
    pub name: String,
    /// The interface's index.
    pub index: u32,
    /// An address that the interface has.
    pub addr: IpAddr,
}

impl Link {
    fn is_same_way(&self, other: &Self) -> bool {
        self.index == other.index && self.addr.is_ipv4() == other.addr.is_ipv4()
    }
}

/// The addresses of all interfaces that are up and can multicast, the loopback's among them.
///
/// # Errors
/// Whatever the system says against listing them.
pub(super) fn present() -> io::Result<Vec<Link>> {
    Ok(if_addrs::get_if_addrs()?
        .into_iter()
        .filter(|interface| interface.is_loopback() || can_multicast(&interface.name))
        .filter_map(|interface| {
            Some(Link {
                index: interface.index?,
                addr: interface.ip(),
                name: interface.name,
            })
        })
        .collect())
}

/// Whether the interface is up and can multicast, by Linux's account; other systems are believed to.
///
/// The flags are those of `netdevice(7)`.
fn can_multicast(name: &str) -> bool {
    const UP: u32 = 0x1;
    const MULTICAST: u32 = 0x1000;
    let flags = std::fs::read_to_string(format!("/sys/class/net/{name}/flags")).ok();
    flags
        .as_deref()
        .and_then(|text| text.trim().strip_prefix("0x"))
        .and_then(|hex| u32::from_str_radix(hex, 16).ok())
        .is_none_or(|flags| flags & (UP | MULTICAST) == UP | MULTICAST)
}

/// The links to use, one for each interface and family, and the choices that nothing here answers to.
///
/// Without a choice that is every link, or with `loopback_only` those of the loopback.
pub(super) fn choose<'a>(
    present: &[Link],
    choices: &'a [InterfaceChoice],
    loopback_only: bool,
) -> (Vec<Link>, Vec<&'a InterfaceChoice>) {
    let mut chosen: Vec<Link> = Vec::new();
    let mut choose = |link: &Link| {
        if !chosen.iter().any(|other| other.is_same_way(link)) {
            chosen.push(link.clone());
        }
    };
    let mut missing = Vec::new();
    for choice in choices {
        let mut links = present
            .iter()
            .filter(|link| match choice {
                InterfaceChoice::Name(name) => link.name == *name,
                InterfaceChoice::Addr(addr) => link.addr == *addr,
            })
            .peekable();
        if links.peek().is_none() {
            missing.push(choice);
        }
        links.for_each(&mut choose);
    }
    if choices.is_empty() {
        let loopback: Vec<_> = present
            .iter()
            .filter(|link| link.addr.is_loopback())
            .collect();
        present
            .iter()
            .filter(|link| !loopback_only || loopback.iter().any(|other| other.index == link.index))
            .for_each(choose);
    }
    (chosen, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present() -> Vec<Link> {
        [
            ("lo", 1, "127.0.0.1"),
            ("eth0", 2, "10.0.0.7"),
            ("eth0", 2, "10.0.0.8"),
            ("lo", 1, "::1"),
            ("eth0", 2, "fe80::7"),
            ("eth1", 3, "192.0.2.7"),
        ]
        .map(|(name, index, addr)| Link {
            name: name.into(),
            index,
            addr: addr.parse().unwrap(),
        })
        .to_vec()
    }

    fn chosen(choices: &[&str], loopback_only: bool) -> (Vec<String>, usize) {
        let choices: Vec<InterfaceChoice> = choices.iter().map(|c| c.parse().unwrap()).collect();
        let present = present();
        let (links, missing) = choose(&present, &choices, loopback_only);
        let links = links.iter().map(|link| link.addr.to_string()).collect();
        (links, missing.len())
    }

    #[test]
    fn one_link_for_each_interface_and_family() {
        let all = ["127.0.0.1", "10.0.0.7", "::1", "fe80::7", "192.0.2.7"];
        assert_eq!(chosen(&[], false), (all.map(String::from).to_vec(), 0));
    }

    #[test]
    fn by_name_both_families_by_address_that_address() {
        for (choice, links) in [
            ("eth0", vec!["10.0.0.7", "fe80::7"]),
            ("10.0.0.8", vec!["10.0.0.8"]),
            ("127.0.0.1", vec!["127.0.0.1"]),
        ] {
            let links = links.into_iter().map(String::from).collect();
            assert_eq!(chosen(&[choice], false), (links, 0));
        }
        let (links, missing) = chosen(&["eth7", "eth1"], true);
        assert_eq!((links, missing), (vec!["192.0.2.7".to_owned()], 1));
    }

    #[test]
    fn a_node_of_the_loopback_stays_on_it() {
        let links = ["127.0.0.1", "::1"].map(String::from).to_vec();
        assert_eq!(chosen(&[], true), (links, 0));
    }

    #[test]
    fn this_machine_has_a_loopback() {
        let present = super::present().unwrap();
        assert!(present.iter().any(|link| link.addr.is_loopback()));
    }
}
