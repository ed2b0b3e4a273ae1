//! Who is registered: the memory of an EPMD, without sockets.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::codec::{Name, Names, Registration};

/// Names that are remembered after their node went, so that the next node of the name gets another
/// creation. As many as OTP's `epmd` remembers.
const MAX_FORMER: usize = 1000;

/// Creations 0 to 3 are those of nodes that speak version 5 only.
const FIRST_WIDE_CREATION: u32 = 4;

/// Why a node was not registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotRegistered {
    #[error("the name is taken")]
    Taken,
    #[error("the most nodes that this server takes are registered")]
    Full,
}

/// A node that is registered, and whatever holds its registration.
#[derive(Debug)]
struct Entry<T> {
    registration: Registration,
    creation: u32,
    hold: T,
}

/// The nodes that are registered and the names of those that were.
#[derive(Debug)]
pub(super) struct Registry<T> {
    /// By the number of their registration, so that a listing has the latest first as `epmd`'s has.
    nodes: BTreeMap<u64, Entry<T>>,
    numbers: HashMap<Name, u64>,
    /// The oldest first.
    former: VecDeque<Former>,
    next: u64,
    max_nodes: usize,
}

#[derive(Debug)]
struct Former {
    name: Name,
    creation: u32,
    port: u16,
    number: u64,
}

impl<T> Registry<T> {
    pub(super) fn new(max_nodes: usize) -> Self {
        Self {
            nodes: BTreeMap::new(),
            numbers: HashMap::new(),
            former: VecDeque::new(),
            next: 0,
            max_nodes,
        }
    }

    /// Registers a node: the number of the registration, and the creation. `seed` is the creation of a
    /// name that is not remembered; the time in seconds, so that it differs after the server was restarted.
    pub(super) fn register(
        &mut self,
        registration: Registration,
        seed: u32,
        hold: T,
    ) -> Result<(u64, u32), NotRegistered> {
        if self.numbers.contains_key(&registration.name) {
            return Err(NotRegistered::Taken);
        }
        if self.nodes.len() >= self.max_nodes {
            return Err(NotRegistered::Full);
        }
        let former = self
            .former
            .iter()
            .position(|former| former.name == registration.name)
            .and_then(|index| self.former.remove(index));
        let creation = match former {
            Some(former) => former.creation.wrapping_add(1),
            None => seed,
        }
        .max(FIRST_WIDE_CREATION);
        let number = self.next;
        self.next += 1;
        self.numbers.insert(registration.name.clone(), number);
        let told = match registration.highest_version {
            6.. => creation,
            // 16 bits on the wire, of which nodes use two: 1 to 3.
            _ => creation % 3 + 1,
        };
        self.nodes.insert(
            number,
            Entry {
                registration,
                creation,
                hold,
            },
        );
        Ok((number, told))
    }

    /// Ends a registration; one that has ended already is let be.
    pub(super) fn unregister(&mut self, number: u64) -> Option<T> {
        let entry = self.nodes.remove(&number)?;
        let Registration { name, port, .. } = entry.registration;
        self.numbers.remove(&name);
        if self.former.len() >= MAX_FORMER {
            self.former.pop_front();
        }
        self.former.push_back(Former {
            name,
            creation: entry.creation,
            port,
            number,
        });
        Some(entry.hold)
    }

    /// Ends the registration of a name.
    pub(super) fn unregister_name(&mut self, name: &Name) -> Option<T> {
        self.unregister(*self.numbers.get(name)?)
    }

    pub(super) fn find(&self, name: &Name) -> Option<&Registration> {
        let entry = self.nodes.get(self.numbers.get(name)?)?;
        Some(&entry.registration)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn names(&self, epmd_port: u16) -> Names {
        let registrations = self.nodes.values().rev().map(|entry| &entry.registration);
        Names {
            epmd_port: epmd_port.into(),
            nodes: registrations.map(|r| (r.name.clone(), r.port)).collect(),
            skipped: 0,
        }
    }

    /// The answer to `DUMP_REQ`. Where `epmd` shows a file descriptor it has the number of the registration.
    /// Each line ends with a zero byte as well, which `epmd` sends though the protocol's page does not say so.
    pub(super) fn dump(&self, epmd_port: u16) -> Vec<u8> {
        let mut out = u32::from(epmd_port).to_be_bytes().to_vec();
        for (number, entry) in self.nodes.iter().rev() {
            let Registration { name, port, .. } = &entry.registration;
            let line = format!("active name     <{name}> at port {port}, fd = {number}\n\0");
            out.extend(line.into_bytes());
        }
        for former in &self.former {
            let Former {
                name, port, number, ..
            } = former;
            let line = format!("old/unused name <{name}>, port = {port}, fd = {number} \n\0");
            out.extend(line.into_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Registration {
        Registration::hidden(Name::new(name).unwrap(), 1234)
    }

    #[test]
    fn a_name_is_taken_until_its_node_goes_and_then_has_another_creation() {
        let mut registry = Registry::new(10);
        let (number, creation) = registry.register(node("a"), 1000, ()).unwrap();
        assert_eq!(creation, 1000);
        let taken = registry.register(node("a"), 1000, ());
        assert_eq!(taken, Err(NotRegistered::Taken));
        assert_eq!(registry.unregister(number), Some(()));
        assert_eq!(registry.unregister(number), None);
        assert!(registry.is_empty());
        let (_, creation) = registry.register(node("a"), 1000, ()).unwrap();
        assert_eq!(creation, 1001);
    }

    #[test]
    fn creations_of_version_5_are_1_to_3_and_differ_from_life_to_life() {
        let mut registry = Registry::new(10);
        let old = Registration {
            highest_version: 5,
            ..node("a")
        };
        let mut last = 0;
        for _ in 0..10 {
            let (number, creation) = registry.register(old.clone(), 1000, ()).unwrap();
            assert!((1..=3).contains(&creation) && creation != last);
            last = creation;
            registry.unregister(number);
        }
    }

    #[test]
    fn a_creation_that_overflows_is_still_a_wide_one() {
        let mut registry = Registry::new(10);
        for (seed, expected) in [(u32::MAX, u32::MAX), (0, 4), (0, 5)] {
            let (number, creation) = registry.register(node("a"), seed, ()).unwrap();
            assert_eq!(creation, expected);
            registry.unregister(number);
        }
    }

    #[test]
    fn it_has_room_for_so_many_nodes_and_former_names() {
        let mut registry = Registry::new(2);
        registry.register(node("a"), 9, ()).unwrap();
        let (number, _) = registry.register(node("b"), 9, ()).unwrap();
        let full = registry.register(node("c"), 9, ());
        assert_eq!(full, Err(NotRegistered::Full));
        registry.unregister(number);
        for index in 0..MAX_FORMER {
            let name = format!("n{index}");
            let (number, _) = registry.register(node(&name), 9, ()).unwrap();
            registry.unregister(number);
        }
        assert_eq!(registry.former.len(), MAX_FORMER);
        let (_, creation) = registry.register(node("b"), 70, ()).unwrap();
        assert_eq!(creation, 70, "b is no longer remembered");
    }

    #[test]
    fn listings_have_the_latest_first() {
        let mut registry = Registry::new(10);
        for name in ["a", "b", "c"] {
            registry.register(node(name), 9, ()).unwrap();
        }
        registry.unregister_name(&Name::new("b").unwrap()).unwrap();
        let names = registry.names(4369).encode();
        assert_eq!(&names[4..], b"name c at port 1234\nname a at port 1234\n");
        assert_eq!(
            &registry.dump(4369)[4..],
            b"active name     <c> at port 1234, fd = 2\n\0\
              active name     <a> at port 1234, fd = 0\n\0\
              old/unused name <b>, port = 1234, fd = 1 \n\0"
        );
    }
}
