//! Names for nodes that ask for one.

use std::collections::HashMap;

use super::acceptor::Named;
use crate::name::{InvalidName, NodeName};

/// Gives names to nodes that ask for one, and gives them again with another creation once they are free: each
/// name is an atom on every node that meets it, for ever.
#[derive(Debug, Default)]
pub struct Names {
    /// By host, the names that were given back.
    free: HashMap<String, Vec<Named>>,
}

impl Names {
    /// A name at `host`. `random` is for the case that a new one is needed: 64 bits for the name, as OTP takes,
    /// and 32 for the creation.
    ///
    /// # Errors
    /// The host is none.
    pub fn give(&mut self, host: &str, random: (u64, u32)) -> Result<Named, InvalidName> {
        if let Some(named) = self.free.get_mut(host).and_then(Vec::pop) {
            return Ok(named);
        }
        Ok(Named {
            name: NodeName::new(&base36(random.0), host)?,
            creation: usable(random.1),
        })
    }

    /// Takes a name back, of which no connection is left.
    pub fn take_back(&mut self, named: Named) {
        let free = self.free.entry(named.name.host().to_owned()).or_default();
        free.push(Named {
            creation: usable(named.creation.wrapping_add(1)),
            name: named.name,
        });
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
}
