//! What a hostile peer says: frames made by a grammar of terms, control messages and fragments, and spoilt in places.
//!
//! Everything is written as bytes, so that what no encoder would write can be said too. The same seed gives the same
//! bytes.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The process names that a node has in every case, and those that the victim of these tests has.
const NAMES: [&str; 12] = [
    "rex",
    "net_kernel",
    "global_name_server",
    "pg",
    "echo",
    "server",
    "deaf",
    "trapping",
    "user",
    "init",
    "",
    "nobody",
];

/// Functions that the victim offers, and some that it does not.
const FUNCTIONS: [(&str, &str, usize); 20] = [
    ("erlang", "node", 0),
    ("erlang", "nodes", 0),
    ("erlang", "nodes", 1),
    ("erlang", "whereis", 1),
    ("erlang", "registered", 0),
    ("erlang", "is_process_alive", 1),
    ("erlang", "function_exported", 3),
    ("erlang", "system_info", 1),
    ("erlang", "apply", 2),
    ("erlang", "apply", 3),
    ("net_kernel", "get_net_ticktime", 0),
    ("net_kernel", "connect_node", 1),
    ("net_adm", "ping", 1),
    ("os", "getpid", 0),
    ("erpc", "execute_call", 4),
    ("erpc", "execute_cast", 3),
    ("hostile", "sleep", 1),
    ("hostile", "panic", 0),
    ("hostile", "echo", 1),
    ("nobody", "knows", 2),
];

/// A process identifier, as its parts.
#[derive(Debug, Clone)]
pub struct Id {
    pub node: String,
    pub id: u32,
    pub serial: u32,
    pub creation: u32,
}

impl From<&rendez::etf::Pid> for Id {
    fn from(pid: &rendez::etf::Pid) -> Self {
        Self {
            node: pid.node.as_str().to_owned(),
            id: pid.id,
            serial: pid.serial,
            creation: pid.creation,
        }
    }
}

/// How frames are written on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// With distribution headers, and in fragments where that is wanted.
    Headers,
    /// As nodes without headers speak.
    PassThrough,
}

/// Makes what one peer says.
pub struct Grammar {
    rng: StdRng,
    /// The peer's own name.
    own: String,
    victim: String,
    /// Processes of the victim.
    targets: Vec<Id>,
    /// References of the victim that the peer has seen, to answer what it was not asked.
    heard: Vec<(String, u32, Vec<u32>)>,
    form: Form,
    /// Whether all that it says keeps to the protocol, so that the connection lasts.
    correct: bool,
    sequence: u64,
}

/// A term, bit by bit.
pub mod put {
    use super::Id;

    pub fn atom(out: &mut Vec<u8>, text: &str) {
        if let Ok(length) = u8::try_from(text.len()) {
            out.extend([119, length]);
        } else {
            out.push(118);
            out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
        out.extend_from_slice(text.as_bytes());
    }

    pub fn int(out: &mut Vec<u8>, value: i32) {
        out.push(98);
        out.extend(value.to_be_bytes());
    }

    pub fn tuple(out: &mut Vec<u8>, arity: u8) {
        out.extend([104, arity]);
    }

    pub fn list(out: &mut Vec<u8>, length: u32) {
        out.push(108);
        out.extend(length.to_be_bytes());
    }

    pub fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
        out.push(109);
        out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(bytes);
    }

    pub fn pid(out: &mut Vec<u8>, id: &Id) {
        out.push(88);
        atom(out, &id.node);
        for number in [id.id, id.serial, id.creation] {
            out.extend(number.to_be_bytes());
        }
    }

    pub fn reference(out: &mut Vec<u8>, node: &str, creation: u32, words: &[u32]) {
        out.push(90);
        out.extend(u16::try_from(words.len()).unwrap_or(u16::MAX).to_be_bytes());
        atom(out, node);
        out.extend(creation.to_be_bytes());
        words.iter().for_each(|word| out.extend(word.to_be_bytes()));
    }

    /// Maps nested in maps, each key twice as wide as one would want to compare.
    pub fn nested_map(out: &mut Vec<u8>, depth: usize, first: &str, second: &str) {
        for _ in 0..depth {
            out.extend([116, 0, 0, 0, 3]);
            atom(out, "x");
        }
        atom(out, "end");
        for _ in 0..depth {
            for key in [first, second] {
                atom(out, key);
                out.extend([97, 0]);
            }
        }
    }
}

impl Grammar {
    pub fn new(seed: u64, own: &str, victim: &str, targets: Vec<Id>, form: Form) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Self {
            correct: rng.random_range(0..3) > 0,
            rng,
            own: own.to_owned(),
            victim: victim.to_owned(),
            targets,
            heard: Vec::new(),
            form,
            sequence: 0,
        }
    }

    pub fn speak(&mut self, form: Form) {
        self.form = form;
    }

    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    fn chance(&mut self, of_a_thousand: u32) -> bool {
        self.rng.random_range(0..1000) < of_a_thousand
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.rng.random_range(0..of.len())]
    }

    /// A process of the victim that was spoken of on the connection.
    pub fn meet(&mut self, id: Id) {
        if self.targets.len() >= 64 {
            self.targets.remove(0);
        }
        self.targets.push(id);
    }

    /// A reference of the victim that came over the connection.
    pub fn hear(&mut self, node: &str, creation: u32, words: &[u32]) {
        if self.heard.len() >= 64 {
            self.heard.remove(0);
        }
        self.heard
            .push((node.to_owned(), creation, words.to_owned()));
    }

    // Terms.

    fn own_pid(&mut self) -> Id {
        Id {
            node: self.own.clone(),
            id: self.rng.random_range(1..50),
            serial: 0,
            creation: 77,
        }
    }

    fn third_pid(&mut self) -> Id {
        let node = format!("third{}@127.0.0.1", self.rng.random_range(0..5));
        Id {
            node,
            ..self.own_pid()
        }
    }

    /// Who speaks: mostly a process of the peer's, since anything else ends the connection.
    fn speaker(&mut self) -> Id {
        match self.rng.random_range(0..400) {
            _ if self.correct => self.own_pid(),
            0 => self.third_pid(),
            1 => self.target(),
            _ => self.own_pid(),
        }
    }

    /// A process of the victim: one that is there, one that may be, one of an earlier life.
    fn target(&mut self) -> Id {
        let mut id = self.pick(&self.targets.clone()).clone();
        match self.rng.random_range(0..20) {
            0..3 => id.id = self.rng.random_range(0..100),
            3 => id.creation = self.rng.random(),
            4 => id.serial = self.rng.random(),
            _ => {}
        }
        id
    }

    fn any_pid(&mut self) -> Id {
        match self.rng.random_range(0..4) {
            0 => self.own_pid(),
            1 => self.third_pid(),
            _ => self.target(),
        }
    }

    fn put_reference(&mut self, out: &mut Vec<u8>) {
        if !self.heard.is_empty() && self.chance(300) {
            let (node, creation, mut words) = self.pick(&self.heard.clone()).clone();
            // The next one, which the victim will give to somebody else.
            if self.chance(300)
                && let Some(word) = words.first_mut()
            {
                *word = word.wrapping_add(self.rng.random_range(1..4));
            }
            put::reference(out, &node, creation, &words);
            return;
        }
        let words = match self.rng.random_range(0..30) {
            _ if self.correct => 3,
            0 => 0,
            1 => 6,
            2 => 5,
            3 => 1,
            _ => 3,
        };
        let words: Vec<u32> = (0..words).map(|_| self.rng.random_range(0..64)).collect();
        let own = self.own.clone();
        put::reference(out, &own, 77, &words);
    }

    fn put_name(&mut self, out: &mut Vec<u8>) {
        let name = match self.rng.random_range(0..10) {
            0 => format!("name{}", self.rng.random_range(0..100_000)),
            1 => "é".repeat(255),
            _ => (*self.pick(&NAMES)).to_owned(),
        };
        put::atom(out, &name);
    }

    /// A node's name. None that would have a name server asked.
    fn put_node(&mut self, out: &mut Vec<u8>) {
        let node = match self.rng.random_range(0..8) {
            0 => self.victim.clone(),
            1 => format!("third{}@127.0.0.1", self.rng.random_range(0..50)),
            2 => "no_name".to_owned(),
            3 => "@".to_owned(),
            _ => self.own.clone(),
        };
        put::atom(out, &node);
    }

    /// Any term, of about `budget` bytes.
    pub fn put_term(&mut self, out: &mut Vec<u8>, budget: usize) {
        let end = out.len() + budget;
        self.put_term_before(out, end, 0);
    }

    fn put_term_before(&mut self, out: &mut Vec<u8>, end: usize, depth: usize) {
        let left = end.saturating_sub(out.len());
        let kind = if left < 16 || depth > 40 {
            self.rng.random_range(0..8)
        } else {
            self.rng.random_range(0..26)
        };
        match kind {
            0 => out.extend([97, self.rng.random()]),
            1 => put::int(out, self.rng.random()),
            2 => out.push(106),
            3 => self.put_name(out),
            4 => {
                out.push(70);
                let floats = [0.0, -0.0, 1e300, 1.5, f64::NAN, f64::INFINITY];
                let float = *self.pick(&floats[..if self.correct { 4 } else { 6 }]);
                out.extend(f64::to_be_bytes(float));
            }
            5 => {
                let pid = self.any_pid();
                put::pid(out, &pid);
            }
            6 => self.put_reference(out),
            7 => {
                let bits = [1, 3, 7, 0, 8, 9, 255];
                let bits = *self.pick(&bits[..if self.correct { 3 } else { 7 }]);
                out.extend([77, 0, 0, 0, 1, bits, 0xA8]);
            }
            8..12 => {
                let arity = self.rng.random_range(0..6);
                put::tuple(out, arity);
                (0..arity).for_each(|_| self.put_term_before(out, end, depth + 1));
            }
            12..15 => {
                let length = self.rng.random_range(1..8);
                put::list(out, length);
                (0..length).for_each(|_| self.put_term_before(out, end, depth + 1));
                if self.chance(100) {
                    self.put_term_before(out, end, depth + 1);
                } else {
                    out.push(106);
                }
            }
            15 => {
                let size = self.rng.random_range(0..left.max(1));
                let bytes = vec![self.rng.random(); size];
                put::binary(out, &bytes);
            }
            16 => {
                let length = u16::try_from(left.min(60_000)).unwrap_or(u16::MAX);
                out.push(107);
                out.extend(length.to_be_bytes());
                out.resize(out.len() + usize::from(length), b'x');
            }
            17 => {
                // A big integer.
                let size = self.rng.random_range(0..left.clamp(1, 1 << 16));
                out.push(111);
                out.extend(u32::try_from(size).unwrap_or(0).to_be_bytes());
                out.push(self.rng.random_range(0..2));
                out.resize(out.len() + size, self.rng.random());
            }
            18 => {
                let pairs = self.rng.random_range(0..6_u32);
                out.push(116);
                out.extend(pairs.to_be_bytes());
                for key in 0..pairs {
                    // Sometimes a key twice.
                    let key = if !self.correct && self.chance(10) {
                        0
                    } else {
                        key
                    };
                    put::int(out, i32::try_from(key).unwrap_or(0));
                    self.put_term_before(out, end, depth + 1);
                }
            }
            19 => {
                // Conses, as libei's manual has them.
                let count = self.rng.random_range(0..left / 8 + 1);
                for _ in 0..count {
                    out.extend([108, 0, 0, 0, 1, 97, 1]);
                }
                out.push(106);
            }
            20 => {
                // Deep: beyond what is taken now and then.
                let deepest = left.min(6000);
                let levels = self.rng.random_range(0..deepest.max(1));
                for _ in 0..levels {
                    put::tuple(out, 1);
                }
                out.push(106);
            }
            21 => {
                // Two equal maps whose pairs are in other orders, side by side or as the keys of one map.
                let levels = self.rng.random_range(0..(left / 32).clamp(1, 120));
                let as_keys = !self.correct && self.chance(100);
                if as_keys {
                    out.extend([116, 0, 0, 0, 2]);
                } else {
                    put::tuple(out, 4);
                }
                put::nested_map(out, levels, "a", "b");
                out.extend([97, 0]);
                put::nested_map(out, levels, "b", "a");
                out.extend([97, 0]);
            }
            22 => {
                // Atoms that no one has seen yet.
                let count = u8::try_from((left / 24).min(255)).unwrap_or(255);
                put::tuple(out, count);
                for _ in 0..count {
                    let atom = format!("flood_{}", self.rng.random::<u32>());
                    put::atom(out, &atom);
                }
            }
            23 => {
                out.push(113);
                self.put_name(out);
                self.put_name(out);
                out.extend([97, self.rng.random()]);
            }
            24 => {
                out.push(120);
                self.put_node(out);
                out.extend(self.rng.random::<u64>().to_be_bytes());
                out.extend(77_u32.to_be_bytes());
            }
            _ => {
                // Lengths that lie.
                if !self.correct && self.chance(30) {
                    out.push(*self.pick(&[104, 105, 107, 108, 109, 111, 116, 90, 112, 80, 255]));
                    out.extend([self.rng.random(), self.rng.random(), 255, 255]);
                } else {
                    out.push(106);
                }
            }
        }
    }

    /// A message that a process of OTP would understand, or nearly.
    fn put_message(&mut self, out: &mut Vec<u8>) {
        let me = self.own_pid();
        let kind = self.rng.random_range(0..16);
        match kind {
            0 => {
                put::tuple(out, 3);
                put::atom(out, "$gen_call");
                self.put_from(out, &me);
                self.put_request(out);
            }
            1 => {
                put::tuple(out, 2);
                put::atom(out, "$gen_cast");
                self.put_request(out);
            }
            2 => {
                put::tuple(out, 4);
                put::atom(out, "io_request");
                put::pid(out, &me);
                self.put_reference(out);
                self.put_io(out, 0);
            }
            3 => {
                put::tuple(out, 3);
                put::atom(out, "system");
                self.put_from(out, &me);
                put::atom(out, "get_state");
            }
            4 => {
                put::tuple(out, 2);
                put::pid(out, &me);
                self.put_request(out);
            }
            5..9 => self.put_pg(out, &me),
            9..12 => self.put_global(out, &me),
            12 => {
                put::tuple(out, 3);
                put::atom(out, "EXIT");
                let who = self.any_pid();
                put::pid(out, &who);
                put::atom(out, "kill");
            }
            13 => {
                put::tuple(out, 5);
                put::atom(out, "DOWN");
                self.put_reference(out);
                put::atom(out, "process");
                let who = self.any_pid();
                put::pid(out, &who);
                put::atom(out, "noproc");
            }
            14 => {
                put::tuple(out, 2);
                put::atom(out, self.node_event());
                self.put_node(out);
            }
            _ => self.put_request(out),
        }
    }

    fn node_event(&mut self) -> &'static str {
        self.pick::<&'static str>(&["nodeup", "nodedown"])
    }

    /// `{Pid, Tag}`, with an alias or without.
    fn put_from(&mut self, out: &mut Vec<u8>, me: &Id) {
        put::tuple(out, 2);
        put::pid(out, me);
        if self.chance(500) {
            put::list(out, 1);
            put::atom(out, "alias");
        }
        self.put_reference(out);
    }

    fn put_request(&mut self, out: &mut Vec<u8>) {
        match self.rng.random_range(0..7) {
            0..3 => {
                let kind = *self.pick(&["call", "block_call", "cast"]);
                let (module, function, arity) = *self.pick(&FUNCTIONS);
                put::tuple(out, 5);
                put::atom(out, kind);
                put::atom(out, module);
                put::atom(out, function);
                self.put_arguments(out, function, arity);
                let leader = self.own_pid();
                put::pid(out, &leader);
            }
            3 => {
                put::tuple(out, 3);
                put::atom(out, "is_auth");
                self.put_node(out);
                out.push(106);
            }
            4 => {
                put::tuple(out, 3);
                let kind = *self.pick(&["sbcast", "send", "set_lock", "register"]);
                put::atom(out, kind);
                self.put_name(out);
                self.put_term(out, 200);
            }
            5 => {
                let kind = *self.pick(&["set_lock", "del_lock"]);
                put::tuple(out, 2);
                put::atom(out, kind);
                put::tuple(out, 2);
                self.put_term(out, 30);
                let me = self.own_pid();
                put::pid(out, &me);
            }
            _ => self.put_term(out, 300),
        }
    }

    fn put_arguments(&mut self, out: &mut Vec<u8>, function: &str, arity: usize) {
        if function == "nodes" && arity == 1 && self.chance(300) {
            // Many kinds at once.
            put::list(out, 1);
            put::list(out, 2000);
            (0..2000).for_each(|_| put::atom(out, "known"));
            out.extend([106, 106]);
            return;
        }
        if arity == 0 {
            out.push(106);
            return;
        }
        put::list(out, u32::try_from(arity).unwrap_or(0));
        for _ in 0..arity {
            if function == "connect_node" || function == "ping" {
                self.put_node(out);
            } else {
                self.put_term(out, 60);
            }
        }
        out.push(106);
    }

    fn put_io(&mut self, out: &mut Vec<u8>, depth: usize) {
        match self.rng.random_range(0..4) {
            0 if depth < 200 => {
                put::tuple(out, 2);
                put::atom(out, "requests");
                put::list(out, 1);
                self.put_io(out, depth + 1);
                out.push(106);
            }
            1 => {
                put::tuple(out, 5);
                put::atom(out, "put_chars");
                put::atom(out, "unicode");
                put::atom(out, "io_lib");
                put::atom(out, "format");
                put::list(out, 2);
                put::binary(out, b"~p~n");
                put::list(out, 1);
                self.put_term(out, 20_000);
                out.extend([106, 106]);
            }
            2 => {
                put::tuple(out, 3);
                put::atom(out, "put_chars");
                put::atom(out, "unicode");
                self.put_term(out, 2000);
            }
            _ => self.put_term(out, 100),
        }
    }

    /// What the scopes of `pg` tell each other.
    fn put_pg(&mut self, out: &mut Vec<u8>, me: &Id) {
        let peer = if self.chance(50) {
            self.any_pid()
        } else {
            me.clone()
        };
        let pids = self.rng.random_range(0..50_u32);
        let groups = self.rng.random_range(0..20_u32);
        let put_pids = |this: &mut Self, out: &mut Vec<u8>| {
            put::list(out, pids.max(1));
            for _ in 0..pids.max(1) {
                let pid = if this.chance(50) {
                    this.any_pid()
                } else {
                    this.own_pid()
                };
                put::pid(out, &pid);
            }
            out.push(106);
        };
        let put_group = |this: &mut Self, out: &mut Vec<u8>| {
            if this.chance(100) {
                this.put_term(out, 100);
            } else {
                let group = format!("group{}", this.rng.random_range(0..500));
                put::atom(out, &group);
            }
        };
        match self.rng.random_range(0..6) {
            0 => {
                put::tuple(out, 2);
                put::atom(out, "discover");
                put::pid(out, &peer);
            }
            1 => {
                put::tuple(out, 3);
                put::atom(out, "discover");
                put::pid(out, &peer);
                put::int(out, 1);
            }
            2 => {
                put::tuple(out, 2);
                put::atom(out, "$gen_cast");
                put::tuple(out, 3);
                put::atom(out, "sync");
                put::pid(out, &peer);
                put::list(out, groups.max(1));
                for _ in 0..groups.max(1) {
                    put::tuple(out, 2);
                    put_group(self, out);
                    put_pids(self, out);
                }
                out.push(106);
            }
            3 => {
                put::tuple(out, 4);
                put::atom(out, "join");
                put::pid(out, &peer);
                put_group(self, out);
                put_pids(self, out);
            }
            4 => {
                put::tuple(out, 4);
                put::atom(out, "leave");
                put::pid(out, &peer);
                put_pids(self, out);
                put::list(out, groups.max(1));
                (0..groups.max(1)).for_each(|_| put_group(self, out));
                out.push(106);
            }
            _ => {
                put::tuple(out, 3);
                put::atom(out, "update");
                put::pid(out, &peer);
                put::list(out, groups.max(1));
                for _ in 0..groups.max(1) {
                    put::tuple(out, 3);
                    put_group(self, out);
                    put_pids(self, out);
                    put_pids(self, out);
                }
                out.push(106);
            }
        }
    }

    /// What global name servers tell each other.
    fn put_global(&mut self, out: &mut Vec<u8>, me: &Id) {
        let tag = self.rng.random_range(-5..50);
        match self.rng.random_range(0..9) {
            0 => {
                put::tuple(out, 2);
                put::atom(out, "$gen_cast");
                put::tuple(out, 4);
                put::atom(out, "init_connect");
                put::tuple(out, 2);
                put::int(out, *self.pick(&[8, 8, 8, 5, 7, 9, -1]));
                put::int(out, tag);
                self.put_node(out);
                put::tuple(out, 4);
                put::atom(out, "locker");
                put::pid(out, me);
                out.push(106);
                put::pid(out, me);
            }
            1 => {
                put::tuple(out, 5);
                put::atom(out, "lost_connection");
                self.put_node(out);
                put::int(out, tag);
                put::int(out, self.rng.random());
                let lost = format!("third{}@127.0.0.1", self.rng.random_range(0..100_000));
                put::atom(out, &lost);
            }
            2 => {
                put::tuple(out, 2);
                put::atom(out, "remove_connection");
                self.put_node(out);
            }
            3 => {
                put::tuple(out, 3);
                put::atom(out, "whereis");
                self.put_term(out, 20);
                self.put_from(out, me);
            }
            4 => {
                put::tuple(out, 2);
                put::atom(out, "$gen_cast");
                put::tuple(out, 5);
                put::atom(out, "exchange");
                self.put_node(out);
                self.put_term(out, 500);
                out.push(106);
                put::int(out, tag);
            }
            5 => {
                put::tuple(out, 2);
                put::atom(out, "$gen_cast");
                put::tuple(out, 6);
                put::atom(out, "new_nodes");
                self.put_node(out);
                self.put_term(out, 200);
                out.push(106);
                put::list(out, 3);
                (0..3).for_each(|_| self.put_node(out));
                out.push(106);
                out.push(106);
            }
            6 => {
                put::tuple(out, 2);
                put::atom(out, "$gen_cast");
                put::tuple(out, 3);
                put::atom(out, "in_sync");
                self.put_node(out);
                out.push(106);
            }
            7 => {
                put::tuple(out, 3);
                put::atom(out, "$gen_call");
                self.put_from(out, me);
                match self.rng.random_range(0..3) {
                    0 => {
                        put::tuple(out, 4);
                        put::atom(out, "register");
                        self.put_term(out, 40);
                        let pid = self.any_pid();
                        put::pid(out, &pid);
                        put::tuple(out, 2);
                        put::atom(out, "global");
                        put::atom(out, "random_exit_name");
                    }
                    1 => {
                        put::tuple(out, 2);
                        put::atom(out, "unregister");
                        self.put_term(out, 40);
                    }
                    _ => {
                        put::tuple(out, 2);
                        put::atom(out, "set_lock");
                        put::tuple(out, 2);
                        put::atom(out, "global");
                        put::pid(out, me);
                    }
                }
            }
            _ => {
                put::tuple(out, 2);
                put::atom(out, "$gen_cast");
                put::tuple(out, 5);
                put::atom(out, "lock_set");
                put::pid(out, me);
                put::atom(out, "true");
                self.put_term(out, 40);
                put::int(out, tag);
            }
        }
    }

    // Control messages.

    /// A control message and its payload, without version bytes.
    fn message(&mut self, size: usize) -> (Vec<u8>, Vec<u8>) {
        let mut control = Vec::new();
        let mut payload = Vec::new();
        let out = &mut control;
        let me = self.speaker();
        let to = self.target();
        match self.rng.random_range(0..32) {
            0 => self.two(out, 1, &me, &to),
            1 => self.two(out, 4, &me, &to),
            2 => self.two(out, 7, &me, &to),
            3 => {
                put::tuple(out, 4);
                put::int(out, *self.pick(&[3, 8]));
                put::pid(out, &me);
                put::pid(out, &to);
                self.put_reason(out, 100);
            }
            4 => {
                let operation = *self.pick(&[24, 26]);
                self.two(out, operation, &me, &to);
                self.put_reason(&mut payload, size);
            }
            5..8 => {
                put::tuple(out, 4);
                put::int(out, *self.pick(&[19, 19, 20]));
                put::pid(out, &me);
                if self.chance(500) {
                    put::pid(out, &to);
                } else {
                    self.put_name(out);
                }
                self.put_reference(out);
            }
            8 => {
                put::tuple(out, 5);
                put::int(out, 21);
                put::pid(out, &me);
                put::pid(out, &to);
                self.put_reference(out);
                self.put_reason(out, 100);
            }
            9 => {
                put::tuple(out, 4);
                put::int(out, 28);
                if self.chance(700) {
                    put::pid(out, &me);
                } else {
                    self.put_name(out);
                }
                put::pid(out, &to);
                self.put_reference(out);
                self.put_reason(&mut payload, size);
            }
            10..13 => {
                put::tuple(out, 6);
                put::int(out, 29);
                self.put_reference(out);
                put::pid(out, &me);
                let leader = self.any_pid();
                put::pid(out, &leader);
                let (module, function, arity) = *self.pick(&FUNCTIONS);
                put::tuple(out, 3);
                put::atom(out, module);
                put::atom(out, function);
                put::int(out, i32::try_from(arity).unwrap_or(0));
                self.put_options(out);
                self.put_arguments(&mut payload, function, arity);
            }
            13 => {
                put::tuple(out, 5);
                put::int(out, 31);
                self.put_reference(out);
                put::pid(out, &to);
                let flags = [0, 1, 2, 3, i32::MAX, -1];
                put::int(out, *self.pick(&flags[..if self.correct { 5 } else { 6 }]));
                if self.chance(500) {
                    put::pid(out, &me);
                } else {
                    self.put_term(out, 30);
                }
            }
            14 => {
                put::tuple(out, 3);
                put::int(out, 33);
                put::pid(out, &me);
                self.put_reference(out);
                self.put_message(&mut payload);
            }
            15 => {
                put::tuple(out, 4);
                put::int(out, *self.pick(&[35, 36]));
                put::int(out, *self.pick(&[1, 2, 3, 1000, i32::MAX]));
                put::pid(out, &me);
                put::pid(out, &to);
            }
            16..18 => {
                self.two(out, 22, &me, &to);
                self.put_payload(&mut payload, size);
            }
            18 => {
                put::tuple(out, 3);
                put::int(out, 2);
                put::atom(out, "");
                put::pid(out, &to);
                self.put_payload(&mut payload, size);
            }
            19 if !self.correct && self.chance(60) => {
                // An operation that there is not, or whose flag was not agreed on, or odd fields.
                let arity = self.rng.random_range(0..7);
                put::tuple(out, arity + 1);
                put::int(out, self.rng.random_range(0..64));
                (0..arity).for_each(|_| self.put_term(out, 30));
                self.put_term(&mut payload, 100);
            }
            _ => {
                put::tuple(out, 4);
                put::int(out, 6);
                put::pid(out, &me);
                put::atom(out, "");
                self.put_name(out);
                self.put_payload(&mut payload, size);
            }
        }
        (control, payload)
    }

    fn two(&mut self, out: &mut Vec<u8>, operation: i32, from: &Id, to: &Id) {
        put::tuple(out, 3);
        put::int(out, operation);
        put::pid(out, from);
        put::pid(out, to);
    }

    fn put_payload(&mut self, out: &mut Vec<u8>, size: usize) {
        if self.chance(700) {
            self.put_message(out);
        } else {
            self.put_term(out, size);
        }
    }

    fn put_reason(&mut self, out: &mut Vec<u8>, size: usize) {
        if self.chance(300) {
            // What `erpc` waits for.
            let kind = *self.pick(&["return", "throw", "exit", "error"]);
            put::tuple(out, 3);
            self.put_reference(out);
            put::atom(out, kind);
            self.put_term(out, size);
        } else if self.chance(500) {
            let reason = *self.pick(&["kill", "normal", "noconnection", "shutdown", "boom"]);
            put::atom(out, reason);
        } else {
            self.put_term(out, size);
        }
    }

    fn put_options(&mut self, out: &mut Vec<u8>) {
        let count = self.rng.random_range(0..5_u32);
        if count == 0 {
            out.push(106);
            return;
        }
        put::list(out, count);
        for _ in 0..count {
            match self.rng.random_range(0..6) {
                0 => put::atom(out, "link"),
                1 => put::atom(out, "monitor"),
                2 => {
                    put::tuple(out, 2);
                    put::atom(out, "reply");
                    let reply = *self.pick(&["yes", "no", "error_only", "success_only", "perhaps"]);
                    put::atom(out, reply);
                }
                3 => {
                    put::tuple(out, 2);
                    put::atom(out, "priority");
                    self.put_term(out, 10);
                }
                _ => self.put_term(out, 30),
            }
        }
        if self.chance(100) {
            put::atom(out, "improper");
        } else {
            out.push(106);
        }
    }

    // Frames.

    /// The next frames, with their lengths.
    pub fn frames(&mut self) -> Vec<u8> {
        let size = match self.rng.random_range(0..100) {
            0 => 64 << 10,
            1..10 => 8 << 10,
            _ => 200,
        };
        let mut out = Vec::new();
        if self.chance(10) {
            // Ticks.
            out.resize(4 * self.rng.random_range(1..500), 0);
        }
        let (control, payload) = self.message(size);
        let fragmented = self.form == Form::Headers && self.chance(60);
        if fragmented {
            self.fragments(&mut out, &control, &payload);
        } else {
            let body = self.whole(&control, &payload);
            frame(&mut out, &body);
        }
        if !self.correct && self.chance(4) {
            self.spoil(&mut out);
        }
        out
    }

    fn whole(&mut self, control: &[u8], payload: &[u8]) -> Vec<u8> {
        let version: &[u8] = if payload.is_empty() { &[] } else { &[131] };
        match self.form {
            Form::Headers => [&[131, 68, 0], control, payload].concat(),
            Form::PassThrough => [&[112, 131], control, version, payload].concat(),
        }
    }

    fn fragments(&mut self, out: &mut Vec<u8>, control: &[u8], payload: &[u8]) {
        self.sequence += 1;
        let sequence = self.sequence;
        let size = self.rng.random_range(1..200);
        let mut parts: Vec<&[u8]> = vec![control];
        parts.extend(payload.chunks(size));
        let count = parts.len() as u64;
        let mut frames: Vec<Vec<u8>> = parts
            .iter()
            .zip((1..=count).rev())
            .map(|(part, id)| {
                let kind = if id == count { 69 } else { 70 };
                let (sequence, id) = (sequence.to_be_bytes(), id.to_be_bytes());
                let mut body = [&[131, kind][..], &sequence, &id].concat();
                if kind == 69 {
                    body.push(0);
                }
                body.extend_from_slice(part);
                body
            })
            .collect();
        match self.rng.random_range(0..60) {
            0 => {
                // Never to be ended.
                frames.pop();
            }
            _ if self.correct => {}
            1 => frames.push(frames[0].clone()),
            2 => frames.reverse(),
            3 => {
                let at = self.rng.random_range(0..frames.len());
                frames.insert(at, frames[at].clone());
            }
            4 => {
                frames.remove(0);
            }
            _ => {}
        }
        frames.iter().for_each(|body| frame(out, body));
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self.rng.random_range(0..4) {
            0 => {
                for _ in 0..self.rng.random_range(1..5) {
                    let at = self.rng.random_range(0..bytes.len());
                    bytes[at] = self.rng.random();
                }
            }
            1 => bytes.truncate(self.rng.random_range(0..bytes.len())),
            2 => {
                let from = self.rng.random_range(0..bytes.len());
                let piece = bytes[from..].to_vec();
                bytes.extend_from_slice(&piece);
            }
            _ => {
                // A length that lies.
                let length: u32 = *self.pick(&[1, 17, 100_000, 1 << 27, u32::MAX]);
                bytes.extend(length.to_be_bytes());
                bytes.extend([131, 70, 0]);
            }
        }
    }

    /// `REG_SEND` to `name` with a payload that is there already.
    pub fn send_to(&mut self, name: &str, payload: &[u8]) -> Vec<u8> {
        let mut control = Vec::new();
        let me = self.own_pid();
        put::tuple(&mut control, 4);
        put::int(&mut control, 6);
        put::pid(&mut control, &me);
        put::atom(&mut control, "");
        put::atom(&mut control, name);
        let body = self.whole(&control, payload);
        let mut out = Vec::new();
        frame(&mut out, &body);
        out
    }
}

/// A frame: its length, and what is in it.
pub fn frame(out: &mut Vec<u8>, body: &[u8]) {
    out.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(body);
}
