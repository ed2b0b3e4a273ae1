//! What the global name server of a visible node knows, and what it does about what it hears. Pure.
//!
//! OTP documents no protocol between global name servers. This is version 8 of it, which OTP 25 to 29 speak,
//! as it follows from what they send one another:
//!
//! 1. Two nodes that see each other come up send each other `init_connect`, with a tag of their own by which
//!    later messages say which attempt they belong to, and acknowledge it (`init_connect_ack`).
//! 2. The [`locker`](super::locker) of one of them takes the lock of the names at both nodes and at all that
//!    either knows, and says so by `lock_set`; the other takes the same lock too.
//! 3. Both send their names (`exchange`), find out what follows for each (`resolved`) and then know each
//!    other. The nodes that each knew hear of it by `new_nodes`, connect, and say `in_sync`.
//!
//! A node that loses a connection says so to all (`lost_connection`), and each that hears of it parts from
//! the node at the other end (`remove_connection`), so that a cluster never holds two nodes that know a
//! third but not each other: `prevent_overlapping_partitions`.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::etf::{Atom, Pid, Term};

use super::locker::{Candidate, Locker};
use super::registrar::{Registrar, Request};
use super::tables::{Authority, LockId, Named, Tables};

/// The version of the protocol that is spoken.
pub(super) const VERSION: i64 = 8;
/// How long a lost connection is remembered, so that the news of it ends.
const LOST_KEPT: Duration = Duration::from_secs(3600);
/// The least integer of 60 bits, which OTP takes away from what follows.
const MIN_SMALL: i64 = -(1 << 59);

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// Send a message to the global name server of a node, if there is a connection.
    Send(Atom, Term),
    /// Answer a `gen_server:call`.
    Reply(Term, Term),
    /// Call the global name server of a node; [`State::answered`] gets the answer.
    Call {
        /// Comes back with the answer.
        id: u64,
        /// In whose name.
        asker: Asker,
        /// Whom.
        node: Atom,
        /// What.
        request: Term,
    },
    /// As `Call`, but the answer is of no interest.
    Tell {
        /// In whose name.
        asker: Asker,
        /// Whom.
        node: Atom,
        /// What.
        request: Term,
    },
    /// Monitor a process; it is reported by [`State::down`].
    Monitor(Pid),
    /// Monitor it no more.
    Demonitor(Pid),
    /// Connect to a node unless there is a connection; [`State::connected`] is told whether there is.
    Connect(Atom),
    /// End the connection to a node.
    Disconnect(Atom),
    /// Ask the node of a process which of two is to have a name; [`State::chosen`] gets the answer.
    Choose(Conflict),
    /// Say [`State::wake`] after that time.
    Wake(Duration, Wake),
    /// A local request is done.
    Done(u64, bool),
    /// Say so in the log, as a warning.
    Warn(String),
}

/// In whose name a global name server is called: a lock belongs to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// The process that locks for nodes that synchronise.
    Locker,
    /// The process that locks to register a name.
    Registrar,
}

/// What is to be woken up for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The locker tries the next node.
    Locker,
    /// The registrar tries again.
    Registrar,
    /// A lost connection is forgotten.
    Lost(Atom, Atom, i64),
    /// Somebody asked for a name while names were changing.
    Whereis(Term, Term),
}

/// Two processes have the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// The node that it turned out with.
    pub with: Atom,
    /// Which attempt to synchronise with it.
    pub tag: i64,
    /// The name.
    pub name: Term,
    /// The process that has it there.
    pub theirs: Pid,
    /// What that was registered with.
    pub their_method: Term,
    /// The process that has it here, whose node is to decide.
    pub ours: Pid,
    /// The fun that decides: `Method(Name, Theirs, Ours)`.
    pub method: Term,
}

/// What synchronising with a node has come to.
#[derive(Debug, Default)]
struct Sync {
    my_tag: Option<i64>,
    his_tag: Option<Term>,
    /// `init_connect` came before the connection was reported.
    early: Option<(Term, Term)>,
    /// It was answered, and the version that he speaks.
    pending: Option<i64>,
    resolver: Option<Resolver>,
    exchange: Exchange,
    lock: Option<LockId>,
    mine: Option<Vec<Term>>,
    his: Option<Resolved>,
}

#[derive(Debug, Default)]
enum Exchange {
    #[default]
    Nothing,
    Locked,
    Names(Vec<Term>),
}

#[derive(Debug)]
struct Resolved {
    ops: Vec<Term>,
    known: Vec<Term>,
    external: Term,
}

/// Goes through his names.
#[derive(Debug)]
struct Resolver {
    tag: i64,
    rest: VecDeque<Term>,
    ops: Vec<Term>,
    his_ops: Vec<Term>,
    asked: Option<Conflict>,
}

/// What is to become of the answers of several nodes.
#[derive(Debug)]
pub(super) struct Asked {
    pub asker: Asker,
    /// The lock that was asked for, to be given back where it was had in vain.
    pub lock: Option<LockId>,
    waiting: HashSet<Atom>,
    answers: Vec<(Atom, Term)>,
}

/// A request to wait until all nodes are synchronised.
#[derive(Debug)]
struct Waiting {
    id: u64,
    nodes: HashSet<Atom>,
}

/// How a global name server behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Whether to part from nodes that others have lost.
    pub prevent_overlapping_partitions: bool,
    /// Which life of the node this is.
    pub creation: u32,
    /// Seeds what is to be random.
    pub seed: u64,
}

/// The state of a global name server.
#[derive(Debug)]
pub(crate) struct State {
    pub(super) me: Atom,
    pub(super) locker_pid: Pid,
    pub(super) registrar_pid: Pid,
    settings: Settings,
    pub(super) tables: Tables,
    /// The nodes that share all names with this one, and their version.
    pub(super) known: BTreeMap<Atom, i64>,
    synced: HashSet<Atom>,
    /// Nodes from which this one parts, of whose loss nobody is to be told.
    removing: HashSet<Atom>,
    up: HashSet<Atom>,
    syncs: HashMap<Atom, Sync>,
    waiting: Vec<Waiting>,
    lost: HashMap<(Atom, Atom), (i64, i64)>,
    next: i64,
    random: u64,
    next_call: u64,
    pub(super) asked: HashMap<u64, Asked>,
    pub(super) locker: Locker,
    pub(super) registrar: Registrar,
    leaving: bool,
}

impl State {
    pub fn new(me: Atom, locker_pid: Pid, registrar_pid: Pid, settings: Settings) -> Self {
        Self {
            me,
            locker_pid,
            registrar_pid,
            settings,
            tables: Tables::default(),
            known: BTreeMap::new(),
            synced: HashSet::new(),
            removing: HashSet::new(),
            up: HashSet::new(),
            syncs: HashMap::new(),
            waiting: Vec::new(),
            lost: HashMap::new(),
            next: 1,
            // Zero would stay zero.
            random: settings.seed | 1,
            next_call: 1,
            asked: HashMap::new(),
            locker: Locker::default(),
            registrar: Registrar::default(),
            leaving: false,
        }
    }

    /// The process of that name.
    pub fn whereis(&self, name: &Term) -> Option<&Pid> {
        self.tables.whereis(name)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = (&Term, &Pid)> {
        self.tables.names().map(|(name, named)| (name, &named.pid))
    }

    /// The nodes that share all names with this one.
    pub fn known(&self) -> impl Iterator<Item = &Atom> {
        self.known.keys()
    }

    /// The nodes to which there is a visible connection.
    pub fn up(&self) -> impl Iterator<Item = &Atom> {
        self.up.iter()
    }

    /// Whether a node has still to answer a call.
    pub fn is_asked(&self, id: u64, node: &Atom) -> bool {
        let waits = |asked: &Asked| asked.waiting.contains(node);
        self.asked.get(&id).is_some_and(waits)
    }

    /// Whether a name or a lock depends on a process.
    pub fn is_watched(&self, pid: &Pid) -> bool {
        self.tables.is_watched(pid)
    }

    /// A local request, of which [`Output::Done`] will tell.
    pub fn request(&mut self, id: u64, request: Request) -> Vec<Output> {
        let mut out = Vec::new();
        self.registrar.push(id, request);
        self.registrar_next(&mut out);
        out
    }

    /// Waits until the connected nodes share all names; [`Output::Done`] tells when.
    pub fn sync(&mut self, id: u64) -> Vec<Output> {
        let nodes = self.up.difference(&self.synced).cloned().collect();
        self.waiting.push(Waiting { id, nodes });
        let mut out = Vec::new();
        self.not_waited_for(None, &mut out);
        out
    }

    /// The node is about to close its connections: nobody is to be told of each.
    pub fn leave(&mut self) {
        self.leaving = true;
    }

    /// Ends the connection to one node, and no other: both sides note that they part, so that neither tells the
    /// others of a loss.
    pub fn part(&mut self, node: &Atom) -> Vec<Output> {
        let mut out = Vec::new();
        if self.up.contains(node) {
            self.send(node, "remove_connection", [self.me_term()], &mut out);
            self.part_from(node, &mut out);
        }
        out.push(Output::Disconnect(node.clone()));
        out
    }

    /// Ends the connections to all nodes: no one is told of these losses, and the node goes on, as after
    /// `global:disconnect/0`.
    pub fn part_from_all(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        for node in self.up.iter().cloned().collect::<Vec<_>>() {
            self.part_from(&node, &mut out);
            out.push(Output::Disconnect(node));
        }
        out
    }

    /// A visible connection to a node exists.
    pub fn node_up(&mut self, node: Atom) -> Vec<Output> {
        let mut out = Vec::new();
        if self.up.insert(node.clone()) {
            self.begin(&node, &mut out);
        }
        out
    }

    /// It is gone.
    pub fn node_down(&mut self, node: &Atom) -> Vec<Output> {
        let mut out = Vec::new();
        if self.up.remove(node) {
            self.gone(node, &mut out);
        }
        out
    }

    /// Whether there is a connection to a node that was to be connected to.
    pub fn connected(&mut self, node: &Atom, is_connected: bool) -> Vec<Output> {
        let mut out = Vec::new();
        if is_connected {
            let in_sync = [self.me_term(), true.into()];
            self.cast(node, "in_sync", in_sync, &mut out);
        } else {
            let text = format!("global at {} failed to connect to {}", self.me, node);
            out.push(Output::Warn(text));
            self.not_waited_for(Some(node), &mut out);
            self.gone(node, &mut out);
            self.up.remove(node);
        }
        out
    }

    /// A monitored process ended, or its node is gone.
    pub fn down(&mut self, pid: &Pid) -> Vec<Output> {
        let mut out = Vec::new();
        self.tables.down(pid, &mut out);
        out
    }

    /// It is time.
    pub fn wake(&mut self, wake: Wake) -> Vec<Output> {
        let mut out = Vec::new();
        match wake {
            Wake::Locker => self.locker_wake(&mut out),
            Wake::Registrar => self.registrar_wake(&mut out),
            Wake::Lost(from, to, operation) => {
                let key = (from, to);
                if self.lost.get(&key).is_some_and(|lost| lost.1 == operation) {
                    self.lost.remove(&key);
                }
            }
            Wake::Whereis(name, from) => self.look_up(name, from, &mut out),
        }
        out
    }

    /// A node answered a call, or is gone before it could.
    pub fn answered(&mut self, id: u64, node: &Atom, answer: Option<Term>) -> Vec<Output> {
        let mut out = Vec::new();
        if let Some(asked) = self.asked.get_mut(&id)
            && asked.waiting.remove(node)
        {
            if let Some(answer) = answer {
                asked.answers.push((node.clone(), answer));
            }
            self.maybe_all_answered(id, &mut out);
        }
        out
    }

    /// The node of a process said who is to have a name; `None` if it could not be asked.
    pub fn chosen(&mut self, conflict: &Conflict, answer: Option<&Term>) -> Vec<Output> {
        let mut out = Vec::new();
        let resolver = self.resolver(&conflict.with, conflict.tag);
        let Some(resolver) = resolver.filter(|it| it.asked.as_ref() == Some(conflict)) else {
            return out;
        };
        resolver.asked = None;
        let theirs = || insert(&conflict.name, &conflict.theirs, &conflict.their_method);
        match answer.map(|answer| answer.as_pid()) {
            Some(Some(pid)) if *pid == conflict.theirs => resolver.ops.push(theirs()),
            Some(Some(pid)) if *pid == conflict.ours => {
                let ours = insert(&conflict.name, &conflict.ours, &conflict.method);
                resolver.his_ops.push(ours);
            }
            None => resolver.ops.push(theirs()),
            Some(_) => {
                let delete = tuple([Term::atom("delete"), conflict.name.clone()]);
                resolver.ops.push(delete.clone());
                resolver.his_ops.push(delete);
            }
        }
        self.resolve(&conflict.with, &mut out);
        out
    }

    /// Somebody called: `{'$gen_call', From, Request}`.
    pub fn called(&mut self, from: Term, request: &Term) -> Vec<Output> {
        let mut out = Vec::new();
        let answer = self.call(&from, request, &mut out);
        if let Some(answer) = answer {
            out.push(Output::Reply(from, answer));
        }
        out
    }

    fn call(&mut self, from: &Term, request: &Term, out: &mut Vec<Output>) -> Option<Term> {
        let caller = from.as_tuple()?.first()?.as_pid()?;
        if let Some(word) = request.as_atom() {
            return match word.as_str() {
                "get_known" => Some(self.known_term()),
                "get_synced" => {
                    let synced = self.synced.iter().cloned().map(Term::Atom);
                    Some(Term::List(synced.collect()))
                }
                "get_protocol_version" => Some(Term::Int(VERSION)),
                "get_names_ext" => Some(self.external_term()),
                _ => None,
            };
        }
        self.table_call(caller, request, out)
    }

    /// What changes the tables, by whoever it is asked for.
    fn table_call(&mut self, caller: &Pid, request: &Term, out: &mut Vec<Output>) -> Option<Term> {
        let [tag, fields @ ..] = request.as_tuple()? else {
            return None;
        };
        match (tag.as_atom()?.as_str(), fields) {
            ("set_lock", [id]) => {
                let set = self.tables.lock(&LockId::from_term(id)?, caller, out);
                Some(set.into())
            }
            ("del_lock", [id]) => {
                self.tables.unlock(&LockId::from_term(id)?, caller, out);
                Some(true.into())
            }
            ("register", [name, pid, method]) => {
                self.insert(name, pid, method, None, Authority::Holder(caller), out)?;
                Some(Term::atom("yes"))
            }
            ("register_ext", [name, pid, method, node]) => {
                let node = Some(node.as_atom()?.clone());
                self.insert(name, pid, method, node, Authority::Holder(caller), out)?;
                Some(Term::atom("yes"))
            }
            ("unregister", [name]) => {
                self.tables.delete(name, out);
                Some(Term::atom("ok"))
            }
            _ => None,
        }
    }

    fn insert(
        &mut self,
        name: &Term,
        pid: &Term,
        method: &Term,
        external: Option<Atom>,
        by: Authority<'_>,
        out: &mut Vec<Output>,
    ) -> Option<()> {
        let named = Named {
            pid: pid.as_pid()?.clone(),
            method: method.clone(),
            external,
        };
        self.tables.insert(name.clone(), named, by, out);
        Some(())
    }

    /// A message came that is no call. False if it has no meaning here.
    pub fn message(&mut self, message: &Term) -> (bool, Vec<Output>) {
        let mut out = Vec::new();
        let understood = self.read(message, &mut out).is_some();
        (understood, out)
    }

    fn read(&mut self, message: &Term, out: &mut Vec<Output>) -> Option<()> {
        let [tag, fields @ ..] = message.as_tuple()? else {
            return None;
        };
        match (tag.as_atom()?.as_str(), fields) {
            ("$gen_cast", [content]) => {
                let [tag, fields @ ..] = content.as_tuple()? else {
                    return None;
                };
                return self.read_cast(tag.as_atom()?.as_str(), fields, out);
            }
            ("init_connect_ack", [node, my_tag, his_tag]) => {
                let node = node.as_atom()?;
                let sync = self.syncs.get(node);
                let mine = sync.and_then(|sync| sync.my_tag);
                let his = sync.and_then(|sync| sync.his_tag.as_ref());
                if mine != my_tag.as_int() || his != Some(his_tag) {
                    self.send_cancel(node, his_tag, out);
                    self.restart(node, mine, out);
                }
            }
            ("cancel_connect", [node, my_tag]) => {
                let node = node.as_atom()?;
                if self.has_tag(node, my_tag) {
                    let tag = my_tag.as_int();
                    self.cancel(node, tag, None, out);
                    self.restart(node, tag, out);
                }
            }
            ("lost_connection", [from, life, operation, to]) => {
                let (from, to) = (from.as_atom()?, to.as_atom()?);
                let (life, operation) = (life.as_int()?, operation.as_int()?);
                self.others_lost(message, from, (life, operation), to, out);
            }
            ("remove_connection", [node]) => {
                let node = node.as_atom()?;
                if self.is_known(node) {
                    out.push(Output::Disconnect(node.clone()));
                    self.part_from(node, out);
                    out.push(Output::Warn(format!(
                        "global at {} disconnected {} to prevent overlapping partitions",
                        self.me, node
                    )));
                } else if self.removing.contains(node) {
                    // Both asked the other to part. Somebody has to: the connection would stay for good, with
                    // no names shared over it.
                    out.push(Output::Disconnect(node.clone()));
                }
            }
            ("whereis", [name, from]) => self.look_up(name.clone(), from.clone(), out),
            _ => return None,
        }
        Some(())
    }

    fn read_cast(&mut self, tag: &str, fields: &[Term], out: &mut Vec<Output>) -> Option<()> {
        match (tag, fields) {
            ("init_connect", [version, node, init]) => {
                self.init_connect(version, node.as_atom()?, init, out)?;
            }
            ("lock_set", [pid, set, _known, my_tag]) => {
                let pid = pid.as_pid()?;
                if self.has_tag(&pid.node, my_tag) {
                    let set = set.as_atom()?.as_str() == "true";
                    self.lock_set(pid.clone(), set, my_tag.as_int()?, out);
                }
            }
            ("exchange", [node, names, _external, my_tag]) => {
                let node = node.as_atom()?;
                if self.check_tag(node, my_tag, out) {
                    self.exchange(node, names.as_list()?.to_vec(), out);
                }
            }
            ("resolved", [node, ops, known, _unused, external, my_tag]) => {
                let node = node.as_atom()?;
                let resolved = Resolved {
                    ops: ops.as_list()?.to_vec(),
                    known: known.as_list()?.to_vec(),
                    external: external.clone(),
                };
                if self.check_tag(node, my_tag, out) {
                    self.sync_with(node).his = Some(resolved);
                    self.maybe_resolved(node, out);
                }
            }
            ("new_nodes", [node, ops, external, nodes, extra]) => {
                let added = self.add_known(nodes.as_list()?);
                for node in added {
                    out.push(Output::Connect(node));
                }
                let lock = extra_info("lock", extra).and_then(LockId::from_term);
                node.as_atom()?;
                self.apply(ops.as_list()?, external, lock.as_ref(), out);
                self.locker_arm(out);
            }
            ("in_sync", [node, _known]) => {
                let node = node.as_atom()?.clone();
                self.not_waited_for(Some(&node), out);
                self.synced.insert(node.clone());
                self.sync_with(&node).pending = None;
                let tag = self.syncs.get(&node).and_then(|sync| sync.my_tag);
                self.cancel(&node, tag, None, out);
                self.reset(&node);
            }
            // What older nodes said for themselves.
            ("async_del_name" | "async_del_lock", _) => {}
            _ => return None,
        }
        Some(())
    }

    // Synchronising with one node.

    /// A connection is there: unless its names are shared already, this begins.
    fn begin(&mut self, node: &Atom, out: &mut Vec<Output>) {
        let has_resolver = |sync: &Sync| sync.resolver.is_some();
        if self.known.contains_key(node) || self.syncs.get(node).is_some_and(has_resolver) {
            return;
        }
        let tag = self.unique();
        let sync = self.syncs.entry(node.clone()).or_default();
        let early = sync.early.take();
        sync.my_tag = Some(tag);
        sync.resolver = Some(Resolver {
            tag,
            rest: VecDeque::new(),
            ops: Vec::new(),
            his_ops: Vec::new(),
            asked: None,
        });
        let locker = tuple([
            Term::atom("locker"),
            Term::atom("no_longer_a_pid"),
            // Nobody looks at it.
            Term::Map(crate::etf::Map::default()),
            self.locker_pid.clone().into(),
        ]);
        let version = tuple([Term::Int(VERSION), Term::Int(tag)]);
        self.cast(node, "init_connect", [version, self.me_term(), locker], out);
        if let Some((version, init)) = early {
            // It was read when it came.
            let _ = self.init_connect(&version, node, &init, out);
        }
    }

    fn init_connect(
        &mut self,
        version: &Term,
        node: &Atom,
        init: &Term,
        out: &mut Vec<Output>,
    ) -> Option<()> {
        let [his_version, his_tag, ..] = version.as_tuple()? else {
            return None;
        };
        let his_version = his_version.as_int()?;
        let [_, _, _, locker] = init.as_tuple()? else {
            return None;
        };
        let locker = locker.as_pid()?.clone();
        if his_version < VERSION {
            out.push(Output::Warn(format!(
                "global at {node} speaks version {his_version}, which is older than OTP 25: its names are \
                 not shared"
            )));
            return Some(());
        }
        if self
            .syncs
            .get(node)
            .is_some_and(|sync| sync.pending.is_some())
        {
            // He begins again, and has not heard of what was under way.
            let my_tag = self.syncs.get(node).and_then(|sync| sync.my_tag);
            self.send_cancel(node, his_tag, out);
            self.restart(node, my_tag, out);
            return Some(());
        }
        let sync = self.syncs.entry(node.clone()).or_default();
        sync.his_tag = Some(his_tag.clone());
        let Some(tag) = sync.resolver.as_ref().map(|resolver| resolver.tag) else {
            sync.early = Some((version.clone(), init.clone()));
            return Some(());
        };
        sync.pending = Some(his_version.min(VERSION));
        let ack = [self.me_term(), his_tag.clone(), Term::Int(tag)];
        self.send(node, "init_connect_ack", ack, out);
        let candidate = Candidate {
            locker,
            my_tag: tag,
            his_tag: his_tag.clone(),
        };
        self.locker_add(candidate, out);
        Some(())
    }

    /// The locker has the lock, and so has his.
    pub(super) fn locked(&mut self, node: &Atom, tag: i64, lock: LockId, out: &mut Vec<Output>) {
        if !self.check_tag(node, &Term::Int(tag), out) {
            return;
        }
        let names = Term::List(self.names_terms());
        let sync = self.sync_with(node);
        sync.lock = Some(lock);
        let his_tag = sync.his_tag.clone().unwrap_or(Term::Int(0));
        let before = std::mem::replace(&mut sync.exchange, Exchange::Locked);
        self.cast(
            node,
            "exchange",
            [self.me_term(), names, Term::NIL, his_tag],
            out,
        );
        if let Exchange::Names(names) = before {
            self.exchange(node, names, out);
        }
    }

    /// His names came. They are looked at when the lock is held.
    fn exchange(&mut self, node: &Atom, names: Vec<Term>, out: &mut Vec<Output>) {
        let sync = self.sync_with(node);
        match std::mem::take(&mut sync.exchange) {
            Exchange::Locked => {
                if let Some(resolver) = &mut sync.resolver {
                    resolver.rest = names.into();
                    self.resolve(node, out);
                }
            }
            Exchange::Nothing | Exchange::Names(_) => sync.exchange = Exchange::Names(names),
        }
    }

    fn resolver(&mut self, node: &Atom, tag: i64) -> Option<&mut Resolver> {
        let resolver = self.syncs.get_mut(node)?.resolver.as_mut();
        resolver.filter(|resolver| resolver.tag == tag)
    }

    /// Goes on through his names until one has to be asked about.
    fn resolve(&mut self, node: &Atom, out: &mut Vec<Output>) {
        // The lesser node decides, so that one does.
        let decides = self.me.as_str() < node.as_str();
        let Some(Some(resolver)) = self.syncs.get_mut(node).map(|sync| &mut sync.resolver) else {
            return;
        };
        if resolver.asked.is_some() {
            return;
        }
        while let Some(entry) = resolver.rest.pop_front() {
            let Some([name, Term::Pid(theirs), method]) = entry.as_tuple() else {
                continue;
            };
            match self.tables.named(name) {
                None => resolver.ops.push(insert(name, theirs, method)),
                Some(named) if named.pid != **theirs && decides => {
                    let conflict = Conflict {
                        with: node.clone(),
                        tag: resolver.tag,
                        name: name.clone(),
                        theirs: (**theirs).clone(),
                        their_method: method.clone(),
                        ours: named.pid.clone(),
                        method: named.method.clone(),
                    };
                    resolver.asked = Some(conflict.clone());
                    out.push(Output::Choose(conflict));
                    return;
                }
                Some(_) => {}
            }
        }
        let ops = std::mem::take(&mut resolver.ops);
        let his_ops = std::mem::take(&mut resolver.his_ops);
        let known = self.known_term();
        let external = self.external_term();
        let sync = self.sync_with(node);
        let his_tag = sync.his_tag.clone().unwrap_or(Term::Int(0));
        sync.mine = Some(ops);
        let resolved = [
            self.me_term(),
            Term::List(his_ops),
            known,
            Term::atom("unused"),
            external,
            his_tag,
        ];
        self.cast(node, "resolved", resolved, out);
        self.maybe_resolved(node, out);
    }

    /// When both have said what follows from the other's names, both know each other.
    fn maybe_resolved(&mut self, node: &Atom, out: &mut Vec<Output>) {
        let sync = self.sync_with(node);
        if sync.mine.is_none() || sync.his.is_none() {
            return;
        }
        let (Some(mut ops), Some(his)) = (sync.mine.take(), sync.his.take()) else {
            return;
        };
        let version = sync.pending.unwrap_or(VERSION);
        let lock = sync.lock.clone();
        ops.extend(his.ops);
        let mut nodes = vec![tuple([Term::Atom(node.clone()), Term::Int(version)])];
        nodes.extend(his.known);
        let others: Vec<Atom> = nodes[1..].iter().filter_map(node_of).cloned().collect();
        for other in others.iter().filter(|other| **other != self.me) {
            out.push(Output::Connect(other.clone()));
        }
        self.apply(&ops, &his.external, lock.as_ref(), out);
        self.not_waited_for(Some(node), out);
        for other in &others {
            self.end_sync(other, Vec::new(), out);
        }
        // The others hear of it before the lock is given back.
        let lock = lock.map_or(Term::atom("undefined"), |lock| lock.to_term());
        let extra = Term::List(vec![
            tuple([Term::atom("vsn"), Term::Int(version)]),
            tuple([Term::atom("lock"), lock]),
        ]);
        let mut news = Vec::new();
        for other in self.known.keys() {
            let fields = [
                self.me_term(),
                Term::List(ops.clone()),
                his.external.clone(),
                Term::List(nodes.clone()),
                extra.clone(),
            ];
            self.cast(other, "new_nodes", fields, &mut news);
        }
        self.end_sync(node, news, out);
        self.add_known(&nodes);
        self.synced.insert(node.clone());
        self.locker_arm(out);
    }

    /// What was under way with a node has come to its end.
    fn end_sync(&mut self, node: &Atom, news: Vec<Output>, out: &mut Vec<Output>) {
        let tag = self.syncs.get(node).and_then(|sync| sync.my_tag);
        self.sync_with(node).pending = None;
        self.cancel(node, tag, Some(news), out);
        self.reset(node);
    }

    /// The locker and the resolver leave an attempt; he is told so if he believes in it.
    fn cancel(
        &mut self,
        node: &Atom,
        tag: Option<i64>,
        news: Option<Vec<Output>>,
        out: &mut Vec<Output>,
    ) {
        if let Some(tag) = tag {
            self.locker_cancel(node, tag, news, out);
        }
        let Some(sync) = self.syncs.get_mut(node) else {
            return;
        };
        let told = (sync.pending.is_some() && sync.my_tag == tag).then(|| sync.his_tag.clone());
        if sync.resolver.as_ref().map(|resolver| resolver.tag) == tag {
            sync.resolver = None;
        }
        if let Some(Some(his_tag)) = told {
            self.send_cancel(node, &his_tag, out);
        }
    }

    /// Forgets what an attempt came to.
    fn reset(&mut self, node: &Atom) {
        if let Some(sync) = self.syncs.remove(node) {
            let kept = Sync {
                pending: sync.pending,
                resolver: sync.resolver,
                ..Sync::default()
            };
            if kept.pending.is_some() || kept.resolver.is_some() {
                self.syncs.insert(node.clone(), kept);
            }
        }
    }

    /// Begins again with a node, if it had begun.
    fn restart(&mut self, node: &Atom, tag: Option<i64>, out: &mut Vec<Output>) {
        self.cancel(node, tag, None, out);
        self.syncs.remove(node);
        self.tables.forget_node(node, out);
        if tag.is_some() {
            self.begin(node, out);
        }
    }

    fn send_cancel(&self, node: &Atom, his_tag: &Term, out: &mut Vec<Output>) {
        let fields = [self.me_term(), his_tag.clone()];
        self.send(node, "cancel_connect", fields, out);
    }

    fn has_tag(&self, node: &Atom, tag: &Term) -> bool {
        let mine = self.syncs.get(node).and_then(|sync| sync.my_tag);
        mine.is_some() && mine == tag.as_int()
    }

    /// Whether a message belongs to the present attempt; what an older one holds is let go otherwise.
    fn check_tag(&mut self, node: &Atom, tag: &Term, out: &mut Vec<Output>) -> bool {
        let belongs = self.has_tag(node, tag);
        if !belongs {
            self.cancel(node, tag.as_int(), None, out);
        }
        belongs
    }

    fn sync_with(&mut self, node: &Atom) -> &mut Sync {
        self.syncs.entry(node.clone()).or_default()
    }

    // Names and nodes.

    fn apply(
        &mut self,
        ops: &[Term],
        external: &Term,
        lock: Option<&LockId>,
        out: &mut Vec<Output>,
    ) {
        let requester = lock.map(|lock| &lock.requester);
        let external = external.as_list().unwrap_or_default();
        for op in ops {
            if let Some([Term::Atom(word), what]) = op.as_tuple()
                && *word == "insert"
                && let Some([name, pid, method]) = what.as_tuple()
            {
                let registered_by = external.iter().find_map(|entry| match entry.as_tuple()? {
                    [n, p, node] if n == name && p == pid => node.as_atom().cloned(),
                    _ => None,
                });
                let by = Authority::LockId(requester);
                self.insert(name, pid, method, registered_by, by, out);
            }
        }
        for op in ops {
            if let Some([Term::Atom(word), name]) = op.as_tuple()
                && *word == "delete"
            {
                self.tables.delete(name, out);
            }
        }
    }

    /// Adds nodes, `Node` or `{Node, Version}`; says which were not known.
    fn add_known(&mut self, nodes: &[Term]) -> Vec<Atom> {
        let mut added = Vec::new();
        for entry in nodes {
            let Some(node) = node_of(entry).filter(|node| **node != self.me) else {
                continue;
            };
            let version = entry.as_tuple().and_then(|entry| entry[1].as_int());
            if self
                .known
                .insert(node.clone(), version.unwrap_or(0))
                .is_none()
            {
                added.push(node.clone());
            }
        }
        added
    }

    fn look_up(&self, name: Term, from: Term, out: &mut Vec<Output>) {
        if self.tables.global_lock_is_set() {
            out.push(Output::Wake(
                Duration::from_secs(1),
                Wake::Whereis(name, from),
            ));
            return;
        }
        let found = self.whereis(&name).cloned().map(Term::from);
        out.push(Output::Reply(
            from,
            found.unwrap_or(Term::atom("undefined")),
        ));
    }

    /// A connection is gone, or could not be made.
    fn gone(&mut self, node: &Atom, out: &mut Vec<Output>) {
        self.not_waited_for(Some(node), out);
        if !self.removing.remove(node) {
            self.tell_of_loss(node, out);
        }
        self.forget(node, out);
        // A call to it will not be answered.
        let calls = self
            .asked
            .iter()
            .filter(|(_, asked)| asked.waiting.contains(node));
        for id in calls.map(|(id, _)| *id).collect::<Vec<_>>() {
            out.extend(self.answered(id, node, None));
        }
    }

    fn part_from(&mut self, node: &Atom, out: &mut Vec<Output>) {
        self.removing.insert(node.clone());
        self.forget(node, out);
    }

    fn forget(&mut self, node: &Atom, out: &mut Vec<Output>) {
        let tag = self.syncs.get(node).and_then(|sync| sync.my_tag);
        self.cancel(node, tag, None, out);
        self.syncs.remove(node);
        self.known.remove(node);
        self.synced.remove(node);
    }

    fn is_known(&self, node: &Atom) -> bool {
        let pending = |sync: &Sync| sync.pending.is_some();
        self.known.contains_key(node) || self.syncs.get(node).is_some_and(pending)
    }

    fn prevents(&self) -> bool {
        self.settings.prevent_overlapping_partitions && !self.leaving
    }

    fn tell_of_loss(&mut self, node: &Atom, out: &mut Vec<Output>) {
        if !self.prevents() {
            return;
        }
        // A multiple of 2^32 that is another in each life of the node, and the creation.
        let life = i64::try_from(self.settings.seed >> 36).unwrap_or(0) << 32;
        let life = life + i64::from(self.settings.creation) - MIN_SMALL;
        let fields = [
            self.me_term(),
            Term::Int(life),
            Term::Int(self.unique()),
            Term::Atom(node.clone()),
        ];
        let message = tagged("lost_connection", fields);
        self.tell_others(&message, node, out);
    }

    fn tell_others(&self, message: &Term, except: &Atom, out: &mut Vec<Output>) {
        let pending = self.syncs.iter().filter(|(_, sync)| sync.pending.is_some());
        let nodes = self.known.keys().chain(pending.map(|(node, _)| node));
        let nodes: HashSet<_> = nodes.filter(|node| *node != except).collect();
        out.extend(
            nodes
                .into_iter()
                .map(|node| Output::Send(node.clone(), message.clone())),
        );
    }

    /// `from` lost its connection to `to`: all others are to part from `to`.
    fn others_lost(
        &mut self,
        message: &Term,
        from: &Atom,
        (life, operation): (i64, i64),
        to: &Atom,
        out: &mut Vec<Output>,
    ) {
        if !self.prevents() {
            return;
        }
        let key = (from.clone(), to.clone());
        if let Some(&(known_life, known_operation)) = self.lost.get(&key)
            && known_life == life
            && operation <= known_operation
        {
            return;
        }
        self.tell_others(message, from, out);
        self.lost.insert(key, (life, operation));
        let forget = Wake::Lost(from.clone(), to.clone(), operation);
        out.push(Output::Wake(LOST_KEPT, forget));
        let node = if *to == self.me { from } else { to };
        if self.is_known(node) {
            let node = node.clone();
            self.send(&node, "remove_connection", [self.me_term()], out);
            self.part_from(&node, out);
            out.push(Output::Warn(format!(
                "global at {} requested disconnect from {} to prevent overlapping partitions",
                self.me, node
            )));
        }
    }

    /// Who waits for all nodes waits for that one no longer.
    fn not_waited_for(&mut self, node: Option<&Atom>, out: &mut Vec<Output>) {
        self.waiting.retain_mut(|waiting| {
            if let Some(node) = node {
                waiting.nodes.remove(node);
            }
            let done = waiting.nodes.is_empty();
            if done {
                out.push(Output::Done(waiting.id, true));
            }
            !done
        });
    }

    // Calls.

    /// Asks several nodes, this one among them or not; the asker goes on when all have answered.
    pub(super) fn ask(
        &mut self,
        asker: Asker,
        nodes: &[Atom],
        request: &Term,
        lock: Option<LockId>,
        out: &mut Vec<Output>,
    ) {
        let id = self.next_call;
        self.next_call += 1;
        let mut asked = Asked {
            asker,
            lock,
            waiting: HashSet::new(),
            answers: Vec::new(),
        };
        for node in nodes {
            if *node == self.me {
                let answer = self.table_call(&self.pid_of(asker), request, out);
                let answer = answer.unwrap_or(Term::atom("undefined"));
                asked.answers.push((node.clone(), answer));
            } else if asked.waiting.insert(node.clone()) {
                out.push(Output::Call {
                    id,
                    asker,
                    node: node.clone(),
                    request: request.clone(),
                });
            }
        }
        self.asked.insert(id, asked);
        self.maybe_all_answered(id, out);
    }

    fn maybe_all_answered(&mut self, id: u64, out: &mut Vec<Output>) {
        let done = |asked: &Asked| asked.waiting.is_empty();
        if !self.asked.get(&id).is_some_and(done) {
            return;
        }
        let Some(Asked {
            asker,
            lock,
            answers,
            ..
        }) = self.asked.remove(&id)
        else {
            return;
        };
        let refused = |(_, answer): &(Atom, Term)| *answer != Term::from(true);
        let mut ok = true;
        if let Some(lock) = lock
            && answers.iter().any(refused)
        {
            ok = false;
            let given = answers.iter().filter(|answer| !refused(answer));
            let given: Vec<Atom> = given.map(|(node, _)| node.clone()).collect();
            self.unlock(asker, &given, &lock, out);
        }
        match asker {
            Asker::Locker => self.locker_answered(ok, out),
            Asker::Registrar => self.registrar_answered(ok, out),
        }
    }

    /// Asks several nodes for a lock. Where this node's own is asked for with others, it has to be free.
    pub(super) fn lock_at(
        &mut self,
        asker: Asker,
        nodes: &[Atom],
        lock: &LockId,
        out: &mut Vec<Output>,
    ) {
        let free = self.tables.can_lock(&lock.resource, &lock.requester);
        if nodes.len() > 1 && nodes.contains(&self.me) && !free {
            match asker {
                Asker::Locker => self.locker_answered(false, out),
                Asker::Registrar => self.registrar_answered(false, out),
            }
            return;
        }
        let request = tuple([Term::atom("set_lock"), lock.to_term()]);
        self.ask(asker, nodes, &request, Some(lock.clone()), out);
    }

    /// Gives a lock back, at the greatest node last: whoever wants it asks there first.
    pub(super) fn unlock(
        &mut self,
        asker: Asker,
        nodes: &[Atom],
        lock: &LockId,
        out: &mut Vec<Output>,
    ) {
        let mut nodes: Vec<&Atom> = nodes.iter().collect();
        nodes.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        nodes.dedup();
        let request = tuple([Term::atom("del_lock"), lock.to_term()]);
        for node in nodes {
            if *node == self.me {
                self.table_call(&self.pid_of(asker), &request, out);
            } else {
                out.push(Output::Tell {
                    asker,
                    node: node.clone(),
                    request: request.clone(),
                });
            }
        }
    }

    /// The node that is asked for a lock first: the greatest of all.
    pub(super) fn boss(&self) -> Atom {
        let nodes = self.known.keys().chain([&self.me]);
        let boss = nodes.max_by(|a, b| a.as_str().cmp(b.as_str()));
        boss.unwrap_or(&self.me).clone()
    }

    fn pid_of(&self, asker: Asker) -> Pid {
        match asker {
            Asker::Locker => self.locker_pid.clone(),
            Asker::Registrar => self.registrar_pid.clone(),
        }
    }

    // Small things.

    pub(super) fn me_term(&self) -> Term {
        Term::Atom(self.me.clone())
    }

    fn names_terms(&self) -> Vec<Term> {
        let names = self.tables.names();
        let names = names.map(|(name, named)| {
            let (pid, method) = (named.pid.clone().into(), named.method.clone());
            tuple([name.clone(), pid, method])
        });
        names.collect()
    }

    fn external_term(&self) -> Term {
        let names = self.tables.names();
        let names = names.filter_map(|(name, named)| {
            let node = named.external.clone()?;
            Some(tuple([
                name.clone(),
                named.pid.clone().into(),
                Term::Atom(node),
            ]))
        });
        Term::List(names.collect())
    }

    fn known_term(&self) -> Term {
        let known = self.known.iter();
        let known =
            known.map(|(node, version)| tuple([Term::Atom(node.clone()), Term::Int(*version)]));
        Term::List(known.collect())
    }

    fn unique(&mut self) -> i64 {
        self.next += 1;
        self.next
    }

    /// A number below `bound`, which has to be at least 1. (xorshift64)
    pub(super) fn random(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    pub(super) fn cast<const N: usize>(
        &self,
        node: &Atom,
        tag: &'static str,
        fields: [Term; N],
        out: &mut Vec<Output>,
    ) {
        let cast = tuple([Term::atom("$gen_cast"), tagged(tag, fields)]);
        out.push(Output::Send(node.clone(), cast));
    }

    fn send<const N: usize>(
        &self,
        node: &Atom,
        tag: &'static str,
        fields: [Term; N],
        out: &mut Vec<Output>,
    ) {
        out.push(Output::Send(node.clone(), tagged(tag, fields)));
    }
}

pub(super) fn tuple<const N: usize>(elements: [Term; N]) -> Term {
    Term::Tuple(elements.into())
}

fn tagged<const N: usize>(tag: &'static str, fields: [Term; N]) -> Term {
    let mut elements = Vec::with_capacity(N + 1);
    elements.push(Term::atom(tag));
    elements.extend(fields);
    Term::Tuple(elements)
}

fn insert(name: &Term, pid: &Pid, method: &Term) -> Term {
    let what = tuple([name.clone(), pid.clone().into(), method.clone()]);
    tuple([Term::atom("insert"), what])
}

/// The node of `Node` or `{Node, Version}`.
fn node_of(entry: &Term) -> Option<&Atom> {
    match entry {
        Term::Atom(node) => Some(node),
        Term::Tuple(fields) if fields.len() == 2 => fields[0].as_atom(),
        _ => None,
    }
}

fn extra_info<'a>(tag: &str, extra: &'a Term) -> Option<&'a Term> {
    extra
        .as_list()?
        .iter()
        .find_map(|entry| match entry.as_tuple()? {
            [Term::Atom(found), info] if *found == tag => Some(info),
            _ => None,
        })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
