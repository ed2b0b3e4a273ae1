use super::*;

use proptest::prelude::*;

use crate::etf::{Atom, Pid, Reference};

fn pid(node: &'static str, id: u32) -> Pid {
    Pid {
        node: Atom::new(node),
        id,
        serial: 0,
        creation: 1,
    }
}

fn reference(id: u32) -> Reference {
    Reference {
        node: Atom::new("a@h"),
        creation: 1,
        id: vec![id, 0, 0],
    }
}

#[test]
fn a_link_is_asked_for_once_and_taken_back_once() {
    let mut own = Relations::default();
    let other = pid("b@h", 1);
    assert!(own.link(&other));
    assert!(!own.link(&other), "there is one");
    let id = own.unlink(&other).unwrap();
    assert_eq!(own.unlink(&other), None, "that is under way");
    assert!(!own.link_broke(&other), "it does not count any more");
    assert!(own.is_empty());
    // An acknowledgement of another unlink changes nothing.
    assert!(own.link(&other));
    let next = own.unlink(&other).unwrap();
    assert_ne!(id, next);
    own.unlink_acknowledged(&other, id);
    own.linked(&other);
    assert!(
        !own.is_linked(&other),
        "the peer does not know of the unlink yet"
    );
    own.unlink_acknowledged(&other, next);
    own.linked(&other);
    assert!(own.is_linked(&other));
}

#[test]
fn only_who_set_a_monitor_takes_it_back() {
    let mut own = Relations::default();
    let (one, another) = (pid("b@h", 1), pid("b@h", 2));
    let watcher = Watcher {
        pid: one.clone(),
        monitored: control::Process::Name(Atom::new("name")),
    };
    own.watched(reference(1), watcher.clone());
    assert!(!own.unwatched(&reference(1), &another));
    assert_eq!(own.len(), 1);
    assert_eq!(own.end().watchers, [(reference(1), watcher.clone())]);
    own.watched(reference(1), watcher);
    assert!(own.unwatched(&reference(1), &one));
    assert!(own.is_empty());
}

#[test]
fn the_end_of_a_connection_fires_what_went_over_it_and_nothing_else() {
    let mut own = Relations::default();
    let (b, c) = (Atom::new("b@h"), Atom::new("c@h"));
    assert!(own.link(&pid("b@h", 1)));
    assert!(own.link(&pid("c@h", 1)));
    assert!(own.link(&pid("b@h", 2)));
    let _ = own.unlink(&pid("b@h", 2));
    own.monitor(reference(1), Monitored::Pid(pid("b@h", 3)));
    own.monitor(reference(2), Monitored::Name(Atom::new("x"), b.clone()));
    own.monitor(reference(3), Monitored::Name(Atom::new("x"), c.clone()));
    for (id, node) in [(4, "b@h"), (5, "c@h")] {
        let watcher = Watcher {
            pid: pid(node, 9),
            monitored: control::Process::Pid(pid("a@h", 1)),
        };
        own.watched(reference(id), watcher);
    }
    let mut lost = own.lose(&b);
    lost.monitors.sort_by_key(|(reference, _)| reference.id[0]);
    assert_eq!(lost.links, [pid("b@h", 1)]);
    assert_eq!(lost.monitors.len(), 2);
    assert_eq!(own.lose(&b), Lost::default());
    let rest = own.end();
    assert_eq!(rest.links, [pid("c@h", 1)]);
    assert_eq!(rest.monitors[0].0, reference(3));
    assert_eq!(rest.watchers[0].0, reference(5));
}

/// What one of two processes does next, or that a signal on the way to it arrives.
#[derive(Debug, Clone, Copy)]
enum Step {
    Link(usize),
    Unlink(usize),
    Arrive(usize),
}

#[derive(Debug)]
enum Signal {
    Link,
    Unlink(u64),
    Ack(u64),
}

/// Two processes with an ordered way in each direction, as two nodes have it.
#[derive(Default)]
struct Pair {
    relations: [Relations; 2],
    /// What is on the way to each.
    ways: [std::collections::VecDeque<Signal>; 2],
}

impl Pair {
    fn pid(side: usize) -> Pid {
        [pid("a@h", 1), pid("b@h", 1)][side].clone()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Link(side) => {
                if self.relations[side].link(&Self::pid(1 - side)) {
                    self.ways[1 - side].push_back(Signal::Link);
                }
            }
            Step::Unlink(side) => {
                if let Some(id) = self.relations[side].unlink(&Self::pid(1 - side)) {
                    self.ways[1 - side].push_back(Signal::Unlink(id));
                }
            }
            Step::Arrive(side) => {
                let from = Self::pid(1 - side);
                match self.ways[side].pop_front() {
                    Some(Signal::Link) => self.relations[side].linked(&from),
                    Some(Signal::Unlink(id)) => {
                        self.relations[side].unlinked(&from);
                        self.ways[1 - side].push_back(Signal::Ack(id));
                    }
                    Some(Signal::Ack(id)) => {
                        self.relations[side].unlink_acknowledged(&from, id);
                    }
                    None => {}
                }
            }
        }
    }

    fn linked(&self) -> [bool; 2] {
        [0, 1].map(|side| self.relations[side].is_linked(&Self::pid(1 - side)))
    }
}

proptest! {
    /// Whatever the two do and however slowly signals travel: when all have arrived, both say the same.
    #[test]
    fn two_processes_agree_in_the_end(
        steps in proptest::collection::vec(
            (0..3, 0..2_usize).prop_map(|(what, side)| match what {
                0 => Step::Link(side),
                1 => Step::Unlink(side),
                _ => Step::Arrive(side),
            }),
            0..60,
        )
    ) {
        let mut pair = Pair::default();
        for step in steps {
            pair.step(step);
        }
        while let Some(side) = [0, 1].into_iter().find(|&side| !pair.ways[side].is_empty()) {
            pair.step(Step::Arrive(side));
        }
        let [a, b] = pair.linked();
        prop_assert_eq!(a, b);
        // Nothing is left behind of links that are gone.
        if !a {
            prop_assert!(pair.relations.iter().all(Relations::is_empty));
        }
    }

    /// The end of a process tells each of its links and watchers once, and takes each monitor back.
    #[test]
    fn an_end_is_told_to_everyone(
        links in proptest::collection::hash_set(0..20_u32, 0..10),
        monitors in proptest::collection::hash_set(0..20_u32, 0..10),
        watchers in proptest::collection::hash_set(20..40_u32, 0..10),
    ) {
        let mut own = Relations::default();
        for &id in &links {
            prop_assert!(own.link(&pid("b@h", id)));
        }
        for &id in &monitors {
            own.monitor(reference(id), Monitored::Pid(pid("b@h", id)));
        }
        for &id in &watchers {
            let monitored = control::Process::Pid(pid("a@h", 0));
            own.watched(reference(id), Watcher { pid: pid("b@h", id), monitored });
        }
        prop_assert_eq!(own.len(), links.len() + monitors.len() + watchers.len());
        let ended = own.end();
        prop_assert!(own.is_empty());
        prop_assert_eq!(ended.links.iter().map(|pid| pid.id).collect::<std::collections::HashSet<_>>(), links);
        prop_assert_eq!(ended.monitors.iter().map(|(r, _)| r.id[0]).collect::<std::collections::HashSet<_>>(), monitors);
        prop_assert_eq!(ended.watchers.iter().map(|(r, _)| r.id[0]).collect::<std::collections::HashSet<_>>(), watchers);
    }
}
