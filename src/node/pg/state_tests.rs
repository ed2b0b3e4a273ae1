use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

fn pid(node: usize, id: u32) -> Pid {
    Pid {
        node: node_name(node),
        id,
        serial: 0,
        creation: 1,
    }
}

fn node_name(node: usize) -> Atom {
    Atom::try_from(format!("n{node}@host").as_str()).unwrap()
}

fn group(name: &'static str) -> Term {
    Term::atom(name)
}

fn tuple<const N: usize>(elements: [Term; N]) -> Term {
    Term::Tuple(elements.into())
}

fn list(pids: &[Pid]) -> Term {
    Term::List(pids.iter().cloned().map(Term::from).collect())
}

fn read(term: &Term) -> Message {
    Message::from_term(term).expect("a message of pg")
}

/// What OTP 25 sends and expects: written down by hand, after pg.erl.
#[test]
fn the_exchange_with_a_beam() {
    let (me, beam) = (pid(0, 1), pid(1, 200));
    let mut state = State::new(me.clone());
    let rust = pid(0, 7);
    state.join(group("workers"), vec![rust.clone()]);

    let discover = tuple([Term::atom("discover"), me.clone().into()]);
    assert_eq!(
        state.node_up(node_name(1)),
        [Output::SendNode(node_name(1), discover.clone())]
    );

    // The answer: its members, and the question back.
    let theirs = pid(1, 300);
    let sync = tuple([
        Term::atom("$gen_cast"),
        tuple([
            Term::atom("sync"),
            beam.clone().into(),
            Term::List(vec![tuple([
                group("workers"),
                list(std::slice::from_ref(&theirs)),
            ])]),
        ]),
    ]);
    assert_eq!(
        state.message(read(&sync)),
        [
            Output::Monitor(beam.clone()),
            Output::Event(PgEvent {
                group: group("workers"),
                kind: PgEventKind::Join,
                pids: vec![theirs.clone()]
            })
        ]
    );
    let question = tuple([Term::atom("discover"), beam.clone().into()]);
    let ours = tuple([
        Term::atom("$gen_cast"),
        tuple([
            Term::atom("sync"),
            me.clone().into(),
            Term::List(vec![tuple([
                group("workers"),
                list(std::slice::from_ref(&rust)),
            ])]),
        ]),
    ]);
    assert_eq!(
        state.message(read(&question)),
        [Output::Send(beam.clone(), ours)]
    );
    assert_eq!(
        state.members(&group("workers")),
        [rust.clone(), theirs.clone()]
    );
    assert_eq!(
        state.local_members(&group("workers")),
        std::slice::from_ref(&rust)
    );

    // One pid or a list of them, as pg:join was called.
    let other = pid(1, 301);
    for (pids, expected) in [
        (Term::from(other.clone()), vec![other.clone()]),
        (list(&[other.clone(), theirs.clone()]), vec![other, theirs]),
    ] {
        let join = tuple([
            Term::atom("join"),
            beam.clone().into(),
            group("cooks"),
            pids,
        ]);
        let out = state.message(read(&join));
        let [Output::Event(event)] = out.as_slice() else {
            panic!("{out:?}")
        };
        assert_eq!(event.pids, expected);
    }

    // What it is told.
    let leave = tuple([
        Term::atom("leave"),
        me.clone().into(),
        list(std::slice::from_ref(&rust)),
        Term::List(vec![group("workers")]),
    ]);
    let (left, out) = state.leave(&group("workers"), std::slice::from_ref(&rust));
    assert!(left);
    assert_eq!(out[0], Output::Demonitor(rust.clone()));
    assert_eq!(out[1], Output::Send(beam.clone(), leave));
    let (left, out) = state.leave(&group("workers"), &[rust]);
    assert_eq!((left, out), (false, vec![]), "it is no member any more");

    // Its scope process ends: its members go with it, and the scope is looked for again.
    assert_eq!(state.look_again(), []);
    assert_eq!(state.down(&beam).len(), 2, "an event for each group");
    assert_eq!(state.groups().count(), 0);
    assert_eq!(
        state.look_again(),
        [Output::SendNode(node_name(1), discover)]
    );
    state.node_down(&node_name(1));
    assert_eq!(state.look_again(), []);
}

/// OTP 29 says its version, and is then spoken to in it.
#[test]
fn the_exchange_with_otp_29() {
    let (me, beam, rust) = (pid(0, 1), pid(1, 200), pid(0, 7));
    let mut state = State::new(me.clone());
    state.join(group("workers"), vec![rust.clone()]);
    let discover = tuple([Term::atom("discover"), beam.clone().into(), Term::Int(1)]);
    let map = [(group("workers"), list(std::slice::from_ref(&rust)))];
    let data = tuple([
        Term::atom("$gen_cast"),
        tuple([
            Term::atom("local_data"),
            me.clone().into(),
            Term::Int(1),
            Term::Map(map.into_iter().collect()),
        ]),
    ]);
    let back = tuple([Term::atom("discover"), me.clone().into(), Term::Int(1)]);
    assert_eq!(
        state.message(read(&discover)),
        [
            Output::Monitor(beam.clone()),
            Output::Send(beam.clone(), data),
            Output::Send(beam.clone(), back)
        ]
    );
    let update = |from: &Pid, joined: &[Pid], left: &[Pid]| {
        let change = tuple([group("workers"), list(joined), list(left)]);
        tuple([
            Term::atom("update"),
            from.clone().into(),
            Term::List(vec![change]),
        ])
    };
    let (_, out) = state.leave(&group("workers"), std::slice::from_ref(&rust));
    assert_eq!(
        out[1],
        Output::Send(beam.clone(), update(&me, &[], &[rust]))
    );
    let (a, b) = (pid(1, 1), pid(1, 2));
    state.message(read(&update(&beam, std::slice::from_ref(&a), &[])));
    state.message(read(&update(&beam, std::slice::from_ref(&b), &[a])));
    assert_eq!(state.members(&group("workers")), [b]);
}

#[test]
fn what_has_no_meaning_changes_nothing() {
    let (me, beam, stranger) = (pid(0, 1), pid(1, 200), pid(2, 200));
    let mut state = State::new(me.clone());
    let sync = |from: &Pid| Message::Sync {
        peer: from.clone(),
        version: Version::Plain,
        groups: vec![(group("g"), vec![pid(1, 1)])],
    };
    let change = |joined: &[Pid], left: &[Pid]| Change {
        group: group("g"),
        joined: joined.to_vec(),
        left: left.to_vec(),
    };
    let update = |peer: &Pid, changes| Message::Update {
        peer: peer.clone(),
        changes,
    };
    state.message(sync(&beam));
    // Of somebody who never said who it is; of somebody who was not there; of itself.
    let of_stranger = update(&stranger, vec![change(&[pid(2, 1)], &[])]);
    assert_eq!(state.message(of_stranger), []);
    let unknown = update(&beam, vec![change(&[], &[pid(1, 9)])]);
    assert_eq!(state.message(unknown), []);
    assert_eq!(state.message(sync(&me)), []);
    assert_eq!(state.members(&group("g")), [pid(1, 1)]);
    for nonsense in [
        Term::NIL,
        Term::atom("discover"),
        tuple([Term::atom("discover"), Term::Int(1)]),
        tuple([
            Term::atom("join"),
            beam.clone().into(),
            group("g"),
            Term::Int(1),
        ]),
        tuple([Term::atom("leave"), beam.into(), Term::NIL, group("g")]),
        tuple([Term::atom("$gen_cast"), Term::Int(1)]),
    ] {
        assert_eq!(Message::from_term(&nonsense), None, "{nonsense:?}");
    }
}

fn word() -> impl Strategy<Value = Term> {
    let words = [
        "$gen_cast",
        "discover",
        "sync",
        "local_data",
        "join",
        "leave",
        "update",
        "g",
    ];
    let leaf = prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(Term::atom),
        3 => (0..3_usize, 0..3_u32).prop_map(|(node, id)| pid(node, id).into()),
        1 => (-1..3_i64).prop_map(Term::Int),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let several = prop::collection::vec(inner.clone(), 0..5);
        prop_oneof![
            4 => several.clone().prop_map(Term::Tuple),
            2 => several.prop_map(Term::List),
            1 => prop::collection::vec((inner.clone(), inner), 0..3)
                .prop_map(|pairs| Term::Map(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    /// Whatever is said by whomever: nothing panics, what is local stays, and when the others are gone there
    /// is nothing else.
    #[test]
    fn nobody_can_break_it(terms in prop::collection::vec(word(), 0..40)) {
        let mut state = State::new(pid(0, 0));
        state.join(group("g"), vec![pid(0, 7)]);
        let mut monitored = HashSet::new();
        for term in terms {
            if let Some(message) = Message::from_term(&term) {
                for output in state.message(message) {
                    if let Output::Monitor(pid) = output {
                        prop_assert!(monitored.insert(pid), "one monitor each");
                    }
                }
            }
        }
        prop_assert_eq!(state.local_members(&group("g")), &[pid(0, 7)]);
        for pid in monitored {
            state.down(&pid);
        }
        prop_assert_eq!(state.members(&group("g")), &[pid(0, 7)]);
        prop_assert_eq!(state.groups().count(), 1);
    }
}

/// Nodes with processes, and what is under way between them: in order from one node to another, as the
/// protocol has it, and in any order otherwise.
struct World {
    states: Vec<State>,
    /// How often each process is in each group, by the node of the process: the truth.
    truth: Vec<BTreeMap<(u32, usize), usize>>,
    links: BTreeMap<(usize, usize), VecDeque<Signal>>,
    monitors: HashSet<(usize, Pid)>,
    /// What the followers of each node have been told, added up.
    told: Vec<HashMap<(Term, Pid), i64>>,
    /// Which nodes say the version of OTP 29 when they discover.
    newer: Vec<bool>,
    starts: u32,
}

#[derive(Debug)]
enum Signal {
    /// For a scope process, or whichever is there.
    Message(Option<Pid>, Term),
    /// For a scope process: somebody ended.
    Down(Pid, Pid),
}

#[derive(Debug, Clone)]
enum Step {
    Join(usize, u32, usize),
    Leave(usize, u32, usize),
    End(usize, u32),
    Connect(usize, usize),
    Disconnect(usize, usize),
    /// The scope process ends, its members leave with it, and another starts.
    Restart(usize),
    Deliver(usize),
    LookAgain,
}

const NODES: usize = 3;
const GROUPS: [&str; 3] = ["a", "b", "c"];

impl World {
    fn new(newer: Vec<bool>) -> Self {
        Self {
            states: (0..NODES).map(|node| State::new(pid(node, 0))).collect(),
            truth: vec![BTreeMap::new(); NODES],
            links: BTreeMap::new(),
            monitors: HashSet::new(),
            told: vec![HashMap::new(); NODES],
            newer,
            starts: 1000,
        }
    }

    fn index(node: &Atom) -> usize {
        node.as_str()[1..2].parse().unwrap()
    }

    fn put(&mut self, from: usize, to: usize, signal: Signal) {
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.push_back(signal);
        }
    }

    fn alive(&self, pid: &Pid) -> bool {
        let node = Self::index(&pid.node);
        pid.id < 1000 && pid.id != 0 || self.states[node].me == *pid
    }

    fn perform(&mut self, node: usize, out: Vec<Output>) {
        let mut down = Vec::new();
        for output in out {
            match output {
                Output::Send(to, term) => {
                    let target = Self::index(&to.node);
                    self.put(node, target, Signal::Message(Some(to), term));
                }
                Output::SendNode(to, term) => {
                    let term = match (self.newer[node], term) {
                        (true, Term::Tuple(mut fields)) => {
                            fields.truncate(2);
                            fields.push(Term::Int(1));
                            Term::Tuple(fields)
                        }
                        (_, term) => term,
                    };
                    self.put(node, Self::index(&to), Signal::Message(None, term));
                }
                Output::Monitor(pid) => {
                    let target = Self::index(&pid.node);
                    if target != node
                        && (!self.alive(&pid) || !self.links.contains_key(&(target, node)))
                    {
                        down.push(pid);
                    } else {
                        self.monitors.insert((node, pid));
                    }
                }
                Output::Demonitor(pid) => assert!(self.monitors.remove(&(node, pid))),
                Output::Event(event) => {
                    let sign = if event.kind == PgEventKind::Join {
                        1
                    } else {
                        -1
                    };
                    for pid in event.pids {
                        let count = self.told[node]
                            .entry((event.group.clone(), pid))
                            .or_insert(0);
                        *count += sign;
                        assert!(*count >= 0, "somebody left who had not joined");
                    }
                }
            }
        }
        for pid in down {
            let out = self.states[node].down(&pid);
            self.perform(node, out);
        }
    }

    fn ended(&mut self, pid: &Pid) {
        let home = Self::index(&pid.node);
        let watching: Vec<usize> = (0..NODES)
            .filter(|node| self.monitors.remove(&(*node, pid.clone())))
            .collect();
        for node in watching {
            if node == home {
                let out = self.states[node].down(pid);
                self.perform(node, out);
            } else {
                let watcher = self.states[node].me.clone();
                self.put(home, node, Signal::Down(watcher, pid.clone()));
            }
        }
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::Join(node, id, g) => {
                *self.truth[node].entry((id, g)).or_insert(0) += 1;
                let out = self.states[node].join(group(GROUPS[g]), vec![pid(node, id)]);
                self.perform(node, out);
            }
            Step::Leave(node, id, g) => {
                let was = self.truth[node].remove(&(id, g)).unwrap_or(0);
                if was > 1 {
                    self.truth[node].insert((id, g), was - 1);
                }
                let (left, out) = self.states[node].leave(&group(GROUPS[g]), &[pid(node, id)]);
                assert_eq!(left, was > 0);
                self.perform(node, out);
            }
            Step::End(node, id) => {
                self.truth[node].retain(|(member, _), _| *member != id);
                self.ended(&pid(node, id));
            }
            Step::Connect(a, b) => {
                if a != b && !self.links.contains_key(&(a, b)) {
                    self.links.insert((a, b), VecDeque::new());
                    self.links.insert((b, a), VecDeque::new());
                    for (here, there) in [(a, b), (b, a)] {
                        let out = self.states[here].node_up(node_name(there));
                        self.perform(here, out);
                    }
                }
            }
            Step::Disconnect(a, b) => {
                for (here, there) in [(a, b), (b, a)] {
                    let Some(under_way) = self.links.remove(&(there, here)) else {
                        return;
                    };
                    self.states[here].node_down(&node_name(there));
                    // A connection that ends reports what it would have reported.
                    let of_there =
                        |(node, pid): &&(usize, Pid)| *node == here && pid.node == node_name(there);
                    let mut lost: Vec<Pid> = under_way
                        .into_iter()
                        .filter_map(|signal| match signal {
                            Signal::Down(to, pid) if to == self.states[here].me => Some(pid),
                            _ => None,
                        })
                        .collect();
                    let rest = self.monitors.iter().filter(of_there);
                    lost.extend(rest.map(|(_, pid)| pid.clone()));
                    for pid in lost {
                        self.monitors.remove(&(here, pid.clone()));
                        let out = self.states[here].down(&pid);
                        self.perform(here, out);
                    }
                }
            }
            Step::Restart(node) => {
                let old = self.states[node].me.clone();
                self.starts += 1;
                self.states[node] = State::new(pid(node, self.starts));
                self.monitors.retain(|(watching, _)| *watching != node);
                self.truth[node].clear();
                self.told[node].clear();
                self.ended(&old);
                for other in 0..NODES {
                    if self.links.contains_key(&(node, other)) {
                        let out = self.states[node].node_up(node_name(other));
                        self.perform(node, out);
                    }
                }
            }
            Step::Deliver(link) => {
                let full: Vec<_> = self
                    .links
                    .iter()
                    .filter(|(_, l)| !l.is_empty())
                    .map(|(k, _)| *k)
                    .collect();
                if let Some(&(from, to)) = full.get(link % full.len().max(1)) {
                    self.deliver(from, to);
                }
            }
            Step::LookAgain => {
                for node in 0..NODES {
                    let out = self.states[node].look_again();
                    self.perform(node, out);
                }
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let Some(signal) = self
            .links
            .get_mut(&(from, to))
            .and_then(VecDeque::pop_front)
        else {
            return;
        };
        let out = match signal {
            // What is for a process that has ended is dropped where it arrives.
            Signal::Message(Some(pid), _) | Signal::Down(pid, _) if pid != self.states[to].me => {
                return;
            }
            Signal::Message(_, term) => self.states[to].message(read(&term)),
            Signal::Down(_, pid) => self.states[to].down(&pid),
        };
        self.perform(to, out);
    }

    fn settle(&mut self) {
        for _ in 0..10_000 {
            let Some((&(from, to), _)) = self.links.iter().find(|(_, link)| !link.is_empty())
            else {
                return;
            };
            self.deliver(from, to);
        }
        panic!("the nodes never come to rest");
    }

    fn check(&self) {
        for here in 0..NODES {
            for (g, name) in GROUPS.iter().enumerate() {
                let mut expected: Vec<Pid> = Vec::new();
                for there in 0..NODES {
                    if here == there || self.links.contains_key(&(here, there)) {
                        for ((id, _), count) in
                            self.truth[there].iter().filter(|((_, of), _)| *of == g)
                        {
                            expected.extend(std::iter::repeat_n(pid(there, *id), *count));
                        }
                    }
                }
                let key = |pid: &Pid| (pid.node.as_str().to_owned(), pid.id);
                let mut found = self.states[here].members(&group(name)).to_vec();
                found.sort_by_key(key);
                expected.sort_by_key(key);
                assert_eq!(found, expected, "{name} as node {here} sees it");
                let local = self.states[here].local_members(&group(name));
                let expected = found.iter().filter(|pid| pid.node == node_name(here));
                assert_eq!(local.len(), expected.count());
                for pid in &found {
                    let count = found.iter().filter(|other| *other == pid).count();
                    let told = self.told[here][&(group(name), pid.clone())];
                    assert_eq!(
                        told,
                        i64::try_from(count).unwrap(),
                        "what followers were told"
                    );
                }
            }
            let groups = self.states[here].groups();
            assert!(
                groups
                    .into_iter()
                    .all(|g| !self.states[here].members(g).is_empty())
            );
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        4 => (node.clone(), 1..4_u32, 0..3_usize).prop_map(|(n, p, g)| Step::Join(n, p, g)),
        2 => (node.clone(), 1..4_u32, 0..3_usize).prop_map(|(n, p, g)| Step::Leave(n, p, g)),
        1 => (node.clone(), 1..4_u32).prop_map(|(n, p)| Step::End(n, p)),
        3 => (node.clone(), node.clone()).prop_map(|(a, b)| Step::Connect(a, b)),
        1 => (node.clone(), node.clone()).prop_map(|(a, b)| Step::Disconnect(a, b)),
        1 => node.prop_map(Step::Restart),
        8 => any::<usize>().prop_map(Step::Deliver),
        1 => Just(Step::LookAgain),
    ]
}

proptest! {
    /// Whatever happens, and in whichever order it is heard of: once all is delivered, everybody sees the
    /// members of the nodes that it is connected to, and its followers have been told the same.
    #[test]
    fn all_views_come_to_the_truth(
        newer in prop::collection::vec(any::<bool>(), NODES),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(newer);
        for step in steps {
            world.take_step(step);
        }
        world.settle();
        world.take_step(Step::LookAgain);
        world.settle();
        world.check();
    }
}
