use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn node_name(node: usize) -> Atom {
    Atom::try_from(format!("n{node}@host").as_str()).unwrap()
}

fn pid(node: usize, id: u32) -> Pid {
    Pid {
        node: node_name(node),
        id,
        serial: 0,
        creation: 1,
    }
}

fn index(node: &Atom) -> usize {
    node.as_str()[1..2].parse().unwrap()
}

const LOCKER: u32 = 1;
const REGISTRAR: u32 = 2;

#[derive(Debug)]
enum Signal {
    Message(Term),
    Call(Term, Term),
    Answer(u64, Term),
    Down(Pid),
}

/// Nodes, what is under way between them in order, and time.
struct World {
    states: Vec<State>,
    links: BTreeMap<(usize, usize), VecDeque<Signal>>,
    monitors: BTreeSet<(usize, usize, u32)>,
    ended: HashSet<Pid>,
    timers: BTreeMap<(Duration, usize), (usize, Wake)>,
    now: Duration,
    done: HashMap<(usize, u64), bool>,
    /// What was left out of a call's request to be put into its answer.
    calls: usize,
    warnings: Vec<String>,
    random: u64,
}

impl World {
    fn new(nodes: usize, prevent_overlapping_partitions: bool) -> Self {
        let state = |node| {
            let settings = Settings {
                prevent_overlapping_partitions,
                creation: 1,
                seed: 77 + node as u64,
            };
            State::new(
                node_name(node),
                pid(node, LOCKER),
                pid(node, REGISTRAR),
                settings,
            )
        };
        Self {
            states: (0..nodes).map(state).collect(),
            links: BTreeMap::new(),
            monitors: BTreeSet::new(),
            ended: HashSet::new(),
            timers: BTreeMap::new(),
            now: Duration::ZERO,
            done: HashMap::new(),
            calls: 0,
            warnings: Vec::new(),
            random: 1,
        }
    }

    fn put(&mut self, from: usize, to: usize, signal: Signal) {
        if let Some(link) = self.links.get_mut(&(from, to)) {
            link.push_back(signal);
        }
    }

    fn perform(&mut self, node: usize, out: Vec<Output>) {
        let mut later = Vec::new();
        for output in out {
            match output {
                Output::Send(to, message) => self.put(node, index(&to), Signal::Message(message)),
                Output::Reply(from, answer) => {
                    // `{Pid, {Id, Node}}`
                    let caller = from.as_tuple().unwrap()[0].as_pid().unwrap().clone();
                    let tag = from.as_tuple().unwrap()[1].as_int().unwrap();
                    let signal = Signal::Answer(u64::try_from(tag).unwrap(), answer);
                    self.put(node, index(&caller.node), signal);
                }
                Output::Call {
                    id,
                    asker,
                    node: to,
                    request,
                } => {
                    // A send connects.
                    self.connect(node, index(&to));
                    if self.links.contains_key(&(node, index(&to))) {
                        let tag = i64::try_from(id).unwrap();
                        self.call(node, asker, &to, request, tag);
                    } else {
                        later.push((id, to));
                    }
                }
                Output::Tell {
                    asker,
                    node: to,
                    request,
                } => self.call(node, asker, &to, request, 0),
                Output::Monitor(pid) => {
                    let home = index(&pid.node);
                    let there = home == node || self.links.contains_key(&(home, node));
                    assert!(self.monitors.insert((node, home, pid.id)), "one monitor");
                    if self.ended.contains(&pid) || !there {
                        self.monitors.remove(&(node, home, pid.id));
                        let out = self.states[node].down(&pid);
                        self.perform(node, out);
                    }
                }
                Output::Demonitor(pid) => {
                    self.monitors.remove(&(node, index(&pid.node), pid.id));
                }
                Output::Connect(to) => {
                    self.connect(node, index(&to));
                    let out = self.states[node].connected(&to, true);
                    self.perform(node, out);
                }
                Output::Disconnect(to) => self.disconnect(node, index(&to)),
                Output::Choose(conflict) => {
                    // As global:random_exit_name/3 does.
                    let (ours, theirs) = (conflict.ours.clone(), conflict.theirs.clone());
                    let (kept, ended) = if ours.node.as_str() < theirs.node.as_str() {
                        (ours, theirs)
                    } else {
                        (theirs, ours)
                    };
                    let out = self.states[node].chosen(&conflict, Some(&kept.into()));
                    self.perform(node, out);
                    self.end(&ended);
                }
                Output::Wake(after, wake) => {
                    let serial = self.timers.len() + self.calls;
                    self.calls += 1;
                    self.timers.insert((self.now + after, serial), (node, wake));
                }
                Output::Done(id, result) => {
                    assert!(self.done.insert((node, id), result).is_none(), "done once");
                }
                Output::Warn(text) => self.warnings.push(text),
            }
        }
        for (id, to) in later {
            let out = self.states[node].answered(id, &to, None);
            self.perform(node, out);
        }
    }

    fn call(&mut self, node: usize, asker: Asker, to: &Atom, request: Term, tag: i64) {
        let caller = pid(
            node,
            match asker {
                Asker::Locker => LOCKER,
                Asker::Registrar => REGISTRAR,
            },
        );
        let from = tuple([caller.into(), Term::Int(tag)]);
        self.put(node, index(to), Signal::Call(from, request));
    }

    fn end(&mut self, pid: &Pid) {
        self.ended.insert(pid.clone());
        let home = index(&pid.node);
        for node in 0..self.states.len() {
            if !self.monitors.contains(&(node, home, pid.id)) {
                continue;
            }
            if node == home {
                self.monitors.remove(&(node, home, pid.id));
                let out = self.states[node].down(pid);
                self.perform(node, out);
            } else {
                self.put(home, node, Signal::Down(pid.clone()));
            }
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        if a == b || self.links.contains_key(&(a, b)) {
            return;
        }
        self.links.insert((a, b), VecDeque::new());
        self.links.insert((b, a), VecDeque::new());
        for (here, there) in [(a, b), (b, a)] {
            let out = self.states[here].node_up(node_name(there));
            self.perform(here, out);
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        if self.links.remove(&(a, b)).is_none() {
            return;
        }
        self.links.remove(&(b, a));
        let mut outs = Vec::new();
        for (here, there) in [(a, b), (b, a)] {
            let of_there = |(n, home, _): &&(usize, usize, u32)| (*n, *home) == (here, there);
            let lost: Vec<_> = self.monitors.iter().filter(of_there).copied().collect();
            for (_, _, id) in lost {
                self.monitors.remove(&(here, there, id));
                outs.push((here, self.states[here].down(&pid(there, id))));
            }
            outs.push((here, self.states[here].node_down(&node_name(there))));
        }
        for (here, out) in outs {
            self.perform(here, out);
        }
    }

    fn deliver_one(&mut self) -> bool {
        let full: Vec<_> = self
            .links
            .iter()
            .filter(|(_, link)| !link.is_empty())
            .map(|(key, _)| *key)
            .collect();
        if full.is_empty() {
            return false;
        }
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (from, to) = full[usize::try_from(self.random >> 33).unwrap() % full.len()];
        let Some(signal) = self
            .links
            .get_mut(&(from, to))
            .and_then(VecDeque::pop_front)
        else {
            return false;
        };
        let out = match signal {
            Signal::Message(message) => {
                let (understood, out) = self.states[to].message(&message);
                assert!(understood, "{message:?}");
                out
            }
            Signal::Call(from, request) => self.states[to].called(from, &request),
            Signal::Answer(id, answer) => {
                self.states[to].answered(id, &node_name(from), Some(answer))
            }
            Signal::Down(pid) => {
                if self.monitors.remove(&(to, from, pid.id)) {
                    self.states[to].down(&pid)
                } else {
                    Vec::new()
                }
            }
        };
        self.perform(to, out);
        true
    }

    /// Lets time pass until nothing is under way any more, and no locker or registrar waits.
    fn settle(&mut self) {
        for _ in 0..200_000 {
            if self.deliver_one() {
                continue;
            }
            let due = self
                .timers
                .iter()
                .find(|(_, (_, wake))| !matches!(wake, Wake::Lost(..)));
            let Some((&key, _)) = due else {
                return;
            };
            let (node, wake) = self.timers.remove(&key).unwrap();
            self.now = key.0;
            let out = self.states[node].wake(wake);
            self.perform(node, out);
        }
        panic!("the nodes never come to rest");
    }

    fn request(&mut self, node: usize, id: u64, request: Request) {
        let out = self.states[node].request(id, request);
        self.perform(node, out);
    }

    fn names(&self, node: usize) -> BTreeMap<String, String> {
        let names = self.states[node].names();
        names
            .map(|(name, pid)| (format!("{name:?}"), format!("{pid:?}")))
            .collect()
    }

    fn check(&self, names: bool) {
        let all = 0..self.states.len();
        for node in all.clone() {
            let state = &self.states[node];
            let known: BTreeSet<usize> = state.known().map(index).collect();
            let expected: BTreeSet<usize> = all.clone().filter(|other| *other != node).collect();
            assert_eq!(known, expected, "whom node {node} knows");
            if names {
                assert_eq!(self.names(node), self.names(0), "names at node {node}");
            }
            assert!(
                !state.tables.global_lock_is_set(),
                "no lock is held at node {node}"
            );
            assert!(state.asked.is_empty() && state.waiting.is_empty());
            for (name, pid) in state.names() {
                assert!(!self.ended.contains(pid), "{name:?} is the name of nobody");
            }
        }
    }
}

fn name(number: i64) -> Term {
    Term::Int(number)
}

#[test]
fn nodes_that_meet_share_their_names() {
    let mut world = World::new(4, true);
    world.request(0, 1, Request::Register(name(1), pid(0, 10)));
    world.request(3, 1, Request::Register(name(3), pid(3, 10)));
    // Two pairs, which then meet over one connection only.
    world.connect(0, 1);
    world.connect(2, 3);
    world.settle();
    assert_eq!(world.names(1), world.names(0));
    assert_eq!(world.names(1).len(), 1);
    let out = world.states[1].sync(9);
    world.perform(1, out);
    assert!(world.done[&(1, 9)], "all that it is connected to");
    world.connect(1, 2);
    let out = world.states[1].sync(10);
    world.perform(1, out);
    assert!(!world.done.contains_key(&(1, 10)));
    world.settle();
    assert!(world.done.contains_key(&(1, 10)));
    world.check(true);
    assert_eq!(world.names(1).len(), 2);
    assert_eq!(world.links.len(), 12, "all are connected to all");

    world.request(2, 2, Request::Register(name(1), pid(2, 11)));
    world.request(2, 3, Request::Register(name(2), pid(2, 11)));
    world.request(2, 4, Request::Register(name(4), pid(2, 11)));
    world.settle();
    world.request(0, 2, Request::Unregister(name(1)));
    world.settle();
    world.check(true);
    assert!(!world.done[&(2, 2)], "node 0 had it");
    assert!(world.done[&(2, 3)]);
    assert!(!world.done[&(2, 4)], "one name each");
    assert_eq!(world.names(1).len(), 2);
    world.end(&pid(2, 11));
    world.settle();
    assert_eq!(world.names(1).len(), 1);
    assert!(world.warnings.is_empty(), "{:?}", world.warnings);
}

#[test]
fn of_two_with_the_same_name_one_stays() {
    let mut world = World::new(2, true);
    world.request(0, 1, Request::Register(name(1), pid(0, 10)));
    world.request(1, 1, Request::Register(name(1), pid(1, 10)));
    world.settle();
    world.connect(0, 1);
    world.settle();
    world.check(true);
    assert_eq!(world.states[1].whereis(&name(1)), Some(&pid(0, 10)));
    assert!(world.ended.contains(&pid(1, 10)));
}

#[test]
fn who_was_lost_by_one_is_left_by_all() {
    let mut world = World::new(4, true);
    for node in 1..4 {
        world.connect(0, node);
        world.settle();
    }
    world.check(true);
    world.disconnect(1, 3);
    world.settle();
    // Either of the two is left by the others; here both say the same of each other.
    for (a, b) in [(0, 3), (1, 3), (2, 3)] {
        let alone = |node: usize| world.states[node].known().count() == 0;
        assert!(
            !world.links.contains_key(&(a, b)) || alone(1),
            "{a} and {b}"
        );
    }
    assert!(!world.warnings.is_empty());

    let mut world = World::new(4, false);
    for node in 1..4 {
        world.connect(0, node);
        world.settle();
    }
    world.disconnect(1, 3);
    world.settle();
    assert_eq!(world.links.len(), 10, "unless that is not wanted");
}

/// Nodes that are all connected to one another.
fn mesh(nodes: usize) -> World {
    let mut world = World::new(nodes, true);
    for a in 0..nodes {
        for b in 0..a {
            world.connect(a, b);
            world.settle();
        }
    }
    world.check(true);
    world
}

#[test]
fn who_disconnects_one_node_ends_no_other_connection() {
    let mut world = mesh(5);
    let out = world.states[1].part(&node_name(3));
    let [told @ Output::Send(..), Output::Disconnect(_)] = out.as_slice() else {
        panic!("the other is told before the connection ends: {out:?}");
    };
    // What waits is written before a connection ends; here the other one is the first to end it.
    world.perform(1, vec![told.clone()]);
    world.settle();
    assert_eq!(world.links.len(), 5 * 4 - 2, "{:?}", world.links.keys());
    assert!(!world.links.contains_key(&(1, 3)));
    // Connected again, they share all names again.
    world.connect(1, 3);
    world.settle();
    world.check(true);
}

#[test]
fn a_node_that_leaves_ends_its_own_connections_only() {
    let mut world = mesh(5);
    let out = world.states[2].part_from_all();
    world.perform(2, out);
    world.settle();
    assert_eq!(world.links.len(), 4 * 3, "{:?}", world.links.keys());
    assert!(world.links.keys().all(|(a, b)| *a != 2 && *b != 2));
    // It can come back.
    world.connect(2, 0);
    world.settle();
    world.check(true);
}

#[test]
fn a_lock_excludes_others_until_its_holder_ends() {
    let mut state = World::new(1, true).states.remove(0);
    let id = |requester| tuple([name(7), name(requester)]);
    let set = |requester| tuple([Term::atom("set_lock"), id(requester)]);
    let from = |caller: &Pid| tuple([caller.clone().into(), name(0)]);
    let (a, b) = (pid(1, 1), pid(1, 2));
    let yes = |caller: &Pid| Output::Reply(from(caller), true.into());
    assert_eq!(
        state.called(from(&a), &set(1)),
        [Output::Monitor(a.clone()), yes(&a)]
    );
    assert_eq!(
        state.called(from(&b), &set(2)),
        [Output::Reply(from(&b), false.into())]
    );
    assert_eq!(
        state.called(from(&b), &set(1)),
        [Output::Monitor(b.clone()), yes(&b)],
        "the same requester shares it"
    );
    assert_eq!(state.down(&a), []);
    let del = tuple([Term::atom("del_lock"), id(2)]);
    assert_eq!(
        state.called(from(&b), &del),
        [yes(&b)],
        "not his to give back"
    );
    assert_eq!(state.down(&b), []);
    assert_eq!(
        state.called(from(&a), &set(2)),
        [Output::Monitor(a.clone()), yes(&a)]
    );
}

fn word() -> impl Strategy<Value = Term> {
    let words = [
        "$gen_cast",
        "init_connect",
        "init_connect_ack",
        "cancel_connect",
        "lock_set",
        "exchange",
        "resolved",
        "new_nodes",
        "in_sync",
        "lost_connection",
        "remove_connection",
        "whereis",
        "set_lock",
        "del_lock",
        "register",
        "unregister",
        "insert",
        "delete",
        "locker",
        "lock",
        "global",
        "true",
    ];
    let leaf = prop_oneof![
        3 => prop::sample::select(words.to_vec()).prop_map(Term::atom),
        2 => (0..3_usize).prop_map(|node| Term::Atom(node_name(node))),
        2 => (0..3_usize, 1..4_u32).prop_map(|(node, id)| pid(node, id).into()),
        2 => (1..9_i64).prop_map(Term::Int),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let several = prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            5 => several.clone().prop_map(Term::Tuple),
            3 => several.prop_map(Term::List),
        ]
    })
}

/// Something that has the form of a message, filled with anything.
fn message() -> impl Strategy<Value = Term> {
    let fields = [
        ("init_connect", 3_usize, true),
        ("lock_set", 4, true),
        ("exchange", 4, true),
        ("resolved", 6, true),
        ("new_nodes", 5, true),
        ("in_sync", 2, true),
        ("init_connect_ack", 3, false),
        ("cancel_connect", 2, false),
        ("lost_connection", 4, false),
        ("remove_connection", 1, false),
        ("whereis", 2, false),
        ("set_lock", 1, false),
        ("register", 3, false),
    ];
    let message = prop::sample::select(fields.to_vec()).prop_flat_map(|(tag, count, cast)| {
        prop::collection::vec(word(), count).prop_map(move |mut fields| {
            fields.insert(0, Term::atom(tag));
            let content = Term::Tuple(fields);
            if cast {
                tuple([Term::atom("$gen_cast"), content])
            } else {
                content
            }
        })
    });
    prop_oneof![4 => message, 1 => word()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is said by whomever, in the middle of anything, nothing panics.
    #[test]
    fn nobody_can_break_it(
        said in prop::collection::vec((any::<bool>(), word(), message()), 0..60),
    ) {
        let mut world = World::new(3, true);
        world.connect(0, 1);
        world.connect(0, 2);
        world.request(0, 1, Request::Register(name(1), pid(0, 10)));
        for (call, from, message) in said {
            let state = &mut world.states[0];
            if call {
                state.called(from, &message);
            } else {
                state.message(&message);
            }
            world.deliver_one();
        }
    }
}

#[test]
fn nodes_that_ask_each_other_to_part_do_so() {
    let mut world = World::new(3, true);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        world.connect(a, b);
        world.settle();
    }
    world.check(true);
    // 0 hears that 2 lost 1 while 1 hears that 2 lost 0: each asks the other, and forgets it.
    let lost = |operation, node| {
        let from = Term::Atom(node_name(2));
        let of = Term::Atom(node_name(node));
        tagged(
            "lost_connection",
            [from, Term::Int(1), Term::Int(operation), of],
        )
    };
    let (_, from_0) = world.states[0].message(&lost(1, 1));
    let (_, from_1) = world.states[1].message(&lost(2, 0));
    world.perform(0, from_0);
    world.perform(1, from_1);
    world.settle();
    assert!(!world.links.contains_key(&(0, 1)), "they have parted");
    for (asker, warning) in world.warnings[..2].iter().enumerate() {
        let expected = format!(
            "global at n{asker}@host requested disconnect from n{}@host",
            1 - asker
        );
        assert!(warning.starts_with(&expected), "{warning}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Connect(usize, usize),
    Disconnect(usize, usize),
    Register(usize, u32, i64),
    Unregister(usize, i64),
    End(usize, u32),
    Deliver(usize),
    Settle,
}

const NODES: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        4 => (node.clone(), node.clone()).prop_map(|(a, b)| Step::Connect(a, b)),
        1 => (node.clone(), node.clone()).prop_map(|(a, b)| Step::Disconnect(a, b)),
        3 => (node.clone(), 10..14_u32, 0..4_i64).prop_map(|(n, p, name)| Step::Register(n, p, name)),
        1 => (node.clone(), 0..4_i64).prop_map(|(n, name)| Step::Unregister(n, name)),
        1 => (node, 10..14_u32).prop_map(|(n, p)| Step::End(n, p)),
        6 => (1..30_usize).prop_map(Step::Deliver),
        1 => Just(Step::Settle),
    ]
}

proptest! {
    /// Whatever happens: when all are connected again and nothing more happens, all know each other, and no
    /// lock is left behind. They have the same names too, unless partitions were let overlap or connections
    /// broke while names were registered: that is not promised by OTP's either.
    #[test]
    fn all_come_to_the_same_names(
        prevent in any::<bool>(),
        calm in any::<bool>(),
        random in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(NODES, prevent);
        world.random = random;
        let mut next = 0;
        for step in steps {
            next += 1;
            match step {
                Step::Connect(a, b) => world.connect(a, b),
                Step::Disconnect(a, b) if calm => {
                    world.settle();
                    world.disconnect(a, b);
                    world.settle();
                }
                Step::Disconnect(a, b) => world.disconnect(a, b),
                Step::Register(node, id, n) => {
                    if !world.ended.contains(&pid(node, id)) {
                        world.request(node, next, Request::Register(name(n), pid(node, id)));
                    }
                }
                Step::Unregister(node, n) => world.request(node, next, Request::Unregister(name(n))),
                Step::End(node, id) => world.end(&pid(node, id)),
                Step::Deliver(count) => {
                    for _ in 0..count {
                        world.deliver_one();
                    }
                }
                Step::Settle => world.settle(),
            }
        }
        // Parting takes its time; whoever was parted from is connected to again.
        for _ in 0..4 {
            world.settle();
            for a in 0..NODES {
                for b in 0..a {
                    world.connect(a, b);
                }
            }
        }
        world.settle();
        world.check(prevent && calm);
    }
}
