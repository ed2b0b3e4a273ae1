//! Names for nodes that ask for one.

use std::collections::{HashMap, HashSet};

use super::acceptor::Named;
use crate::name::{InvalidName, NodeName};

/// Gives names to nodes that ask for one, and gives them again with another creation once they are free: each
/// name is an atom on every node that meets it, for ever.
#[derive(Debug, Default)]
pub struct Names {
    /// By host, the names that were given back.
    free: HashMap<String, Vec<Named>>,
    /// Those of them that are given again and that no node has taken yet.
    offered: HashSet<NodeName>,
}

/// How many names of one host are kept for other nodes.
const KEPT: usize = 4096;

impl Names {
    /// A name at `host`. `random` is for the case that a new one is needed: 64 bits for the name, as OTP takes,
    /// and 32 for the creation.
    ///
    /// # Errors
    /// The host is none.
    pub fn give(&mut self, host: &str, random: (u64, u32)) -> Result<Named, InvalidName> {
        if let Some(named) = self.free.get_mut(host).and_then(Vec::pop) {
            self.offered.insert(named.name.clone());
            return Ok(named);
        }
        Ok(Named {
            name: NodeName::new(&base36(random.0), host)?,
            creation: usable(random.1),
        })
    }

    /// The node that was given this name proved nothing. A name that other nodes know is kept; of a new one nobody
    /// knows, and strangers can ask for any number.
    pub fn not_taken(&mut self, named: Named) {
        if self.offered.contains(&named.name) {
            self.take_back(named);
        }
    }

    /// Takes a name back, of which no connection is left.
    pub fn take_back(&mut self, named: Named) {
        self.offered.remove(&named.name);
        let free = self.free.entry(named.name.host().to_owned()).or_default();
        if free.len() < KEPT {
            free.push(Named {
                creation: usable(named.creation.wrapping_add(1)),
                name: named.name,
            });
        }
    }
}

/// Creations below 4 are those of nodes without a name and of old ones.
fn usable(creation: u32) -> u32 {
    creation.max(4)
}

/// Digits and capital letters, as OTP writes them.
fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or(0);
        digits.extend(char::from_digit(digit, 36));
        number /= 36;
        if number == 0 {
            break;
        }
    }
    digits.iter().rev().map(char::to_ascii_uppercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_free_again_gets_another_creation() {
        let mut names = Names::default();
        let first = names.give("h", (u64::MAX, 7)).unwrap();
        assert_eq!(first.name.as_str(), "3W5E11264SGSF@h");
        assert_eq!(names.give("h", (0, 0)).unwrap().name.as_str(), "0@h");
        names.take_back(first.clone());
        assert_ne!(names.give("other", (3, 7)).unwrap().name, first.name);
        let again = names.give("h", (3, 7)).unwrap();
        assert_eq!((again.name, again.creation), (first.name, 8));
        assert!(names.give("a b", (3, 7)).is_err());
    }

    #[test]
    fn strangers_use_up_no_names_and_leave_none_behind() {
        let mut names = Names::default();
        let known = names.give("h", (1, 7)).unwrap();
        names.take_back(known.clone());
        for number in 0..100 {
            let offered = names.give("h", (number, 7)).unwrap();
            assert_eq!(offered.name, known.name, "the one that others know");
            names.not_taken(offered);
            let host = format!("h{number}");
            let new = names.give(&host, (number, 7)).unwrap();
            names.not_taken(new);
        }
        assert_eq!((names.free.len(), names.offered.len()), (1, 0));
        // One that was taken after all.
        let taken = names.give("h", (3, 7)).unwrap();
        assert_ne!(names.give("h", (4, 7)).unwrap().name, taken.name);
        for number in 0..2 * KEPT as u64 {
            names.take_back(Named {
                name: NodeName::new(&number.to_string(), "h").unwrap(),
                creation: 4,
            });
        }
        assert_eq!(names.free["h"].len(), KEPT);
    }
}
