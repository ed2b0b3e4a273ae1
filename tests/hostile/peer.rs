//! A peer that knows the cookie and means no good.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::RngExt as _;
use rendez::Secret;
use rendez::dist::Flags;
use rendez::dist::handshake::initiator::Step;
use rendez::dist::handshake::{Attempt, Claimed, Initiator, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::grammar::{Form, Grammar, Id, frame, put};

pub const COOKIE: &str = "rendez-tests";
/// How long a write may wait for a victim that does not read.
const STUCK: Duration = Duration::from_millis(300);

/// The victim, as the peer sees it.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub name: String,
    /// Processes that are there.
    pub pids: Arc<Mutex<Vec<Id>>>,
}

/// Connects and proves the cookie. `None` if the victim ends it before.
pub async fn shake_hands(target: &Target, own: &str, flags: Flags) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(target.address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let attempt = Attempt {
        own: Claimed::Name(own.parse().expect("a name")),
        creation: 77,
        flags,
        peer: target.name.parse().expect("a name"),
        cookie: Secret::new(COOKIE),
        version: Version::V6,
        challenge: 1,
    };
    let mut out = Vec::new();
    let mut machine = Initiator::start(attempt, &mut out);
    loop {
        stream.write_all(&out).await.ok()?;
        out.clear();
        let length = stream.read_u16().await.ok()?;
        let mut packet = vec![0; length.into()];
        stream.read_exact(&mut packet).await.ok()?;
        let mut step = machine.handle(&packet, &mut out).ok()?;
        if step == Step::Wanted {
            step = machine.still_wanted(true, &mut out).ok()?;
        }
        if let Step::Done(_) = step {
            stream.write_all(&out).await.ok()?;
            return Some(stream);
        }
    }
}

/// What was done, for the summary.
#[derive(Debug, Default, Clone, Copy)]
pub struct Done {
    pub connections: u64,
    pub bytes: u64,
    /// How often the victim ended the connection.
    pub ended: u64,
}

/// Attacks until `end`. What it does follows from `seed` alone.
pub async fn attack(target: Target, number: u64, seed: u64, end: Instant) -> Done {
    let mut done = Done::default();
    let mut episode = 0;
    while Instant::now() < end {
        episode += 1;
        let seed = seed ^ (number << 48) ^ (episode << 16);
        let mut this = Episode::new(&target, number, seed, end);
        // Each begins with another way to be a nuisance, so that a short attack has them all.
        this.run((episode == 1).then_some(number)).await;
        done.connections += u64::from(this.connected);
        done.bytes += this.written;
        done.ended += u64::from(this.ended);
    }
    done
}

/// Sends a node terms of some megabytes.
pub async fn send_large_terms(target: &Target, end: Instant) -> Done {
    let mut this = Episode::new(target, 0, 7, end);
    (this.until, this.patience) = (end, end - Instant::now());
    this.run(Some(1)).await;
    Done {
        connections: u64::from(this.connected),
        bytes: this.written,
        ended: u64::from(this.ended),
    }
}

/// Takes back `count` monitors by a name that no process has, and waits until the node has read them all.
pub async fn take_back_monitors(target: &Target, count: u32) {
    let own = "hostile9@127.0.0.1";
    let stream = shake_hands(target, own, Flags::claimed(false)).await;
    let mut stream = stream.expect("a connection");
    let me = Id {
        node: own.to_owned(),
        id: 1,
        serial: 0,
        creation: 77,
    };
    let mut bytes = Vec::new();
    for number in 0..count {
        let mut body = vec![131, 68, 0];
        put::tuple(&mut body, 4);
        put::int(&mut body, 20);
        put::pid(&mut body, &me);
        put::atom(&mut body, "nobody");
        put::reference(&mut body, own, 77, &[number, 1, 1]);
        frame(&mut bytes, &body);
    }
    let mut payload = Vec::new();
    put::tuple(&mut payload, 3);
    put::atom(&mut payload, "$gen_call");
    put::tuple(&mut payload, 2);
    put::pid(&mut payload, &me);
    put::reference(&mut payload, own, 77, &[1, 2, 3]);
    put::tuple(&mut payload, 2);
    put::atom(&mut payload, "is_auth");
    put::atom(&mut payload, own);
    let mut grammar = Grammar::new(1, own, &target.name, Vec::new(), Form::Headers);
    bytes.extend(grammar.send_to("net_kernel", &payload));
    stream.write_all(&bytes).await.expect("it reads");
    // `yes`, written out or in the header of atoms.
    let mut heard = Vec::new();
    while !heard.windows(3).any(|it| it == b"yes") {
        assert!(stream.read_buf(&mut heard).await.expect("it answers") > 0);
    }
}

/// Attacks over a connection that the victim made, for as long as it lasts.
pub async fn answer(
    target: &Target,
    own: &str,
    mut stream: TcpStream,
    form: Form,
    seed: u64,
) -> Done {
    let mut this = Episode::new(target, 0, seed, Instant::now() + Duration::from_secs(2));
    this.own = own.to_owned();
    this.form = form;
    this.grammar = Grammar::new(seed, own, &target.name, Vec::new(), form);
    let me = Id {
        node: target.name.clone(),
        id: 1,
        serial: 0,
        creation: 1,
    };
    this.grammar.meet(me);
    // First it hears what is asked of it.
    let kind = this.grammar.rng().random_range(0..10);
    if kind > 4 {
        sleep(Duration::from_millis(50)).await;
    }
    this.nuisance(&mut stream, kind).await;
    Done {
        connections: 1,
        bytes: this.written,
        ended: u64::from(this.ended),
    }
}

/// One connection, from its beginning to its end.
struct Episode {
    target: Target,
    own: String,
    form: Form,
    grammar: Grammar,
    until: Instant,
    /// How long a write may wait.
    patience: Duration,
    connected: bool,
    written: u64,
    ended: bool,
}

impl Episode {
    fn new(target: &Target, number: u64, seed: u64, end: Instant) -> Self {
        let pids = target.pids.lock().expect("no panic under it").clone();
        // One name for several connections, so that one takes the place of another.
        let own = format!("hostile{}@127.0.0.1", number % 3);
        let form = if seed >> 16 & 3 == 0 {
            Form::PassThrough
        } else {
            Form::Headers
        };
        let grammar = Grammar::new(seed, &own, &target.name, pids, form);
        Self {
            target: target.clone(),
            own,
            form,
            grammar,
            patience: STUCK,
            until: end.min(Instant::now() + Duration::from_secs(2)),
            connected: false,
            written: 0,
            ended: false,
        }
    }

    /// Connects, and does what `kind` says, or anything.
    async fn run(&mut self, kind: Option<u64>) {
        if kind.is_some() {
            self.form = Form::Headers;
            self.grammar.speak(Form::Headers);
        }
        let visible = self.grammar.rng().random_range(0..2) == 0;
        let mut flags = Flags::claimed(visible);
        if self.form == Form::PassThrough {
            flags -= Flags::DIST_HDR_ATOM_CACHE | Flags::FRAGMENTS;
        }
        if self.grammar.rng().random_range(0..8) == 0 {
            flags -= Flags::EXIT_PAYLOAD | Flags::UNLINK_ID | Flags::SEND_SENDER;
        }
        let own = self.own.clone();
        let shaken = timeout(
            Duration::from_secs(5),
            shake_hands(&self.target, &own, flags),
        );
        let Ok(Some(mut stream)) = shaken.await else {
            sleep(Duration::from_millis(20)).await;
            return;
        };
        self.connected = true;
        let any = self.grammar.rng().random_range(0..12);
        self.nuisance(&mut stream, kind.unwrap_or(any)).await;
    }

    async fn nuisance(&mut self, stream: &mut TcpStream, kind: u64) {
        match kind {
            0 => self.slow_reader(stream).await,
            1 => self.large(stream).await,
            2 => self.floods_of_exits(stream).await,
            3 => self.unfinished(stream).await,
            4 => self.half_a_frame(stream).await,
            _ => self.talk(stream).await,
        }
    }

    /// Writes while what the victim says is read. Whether the connection is still there.
    async fn write(&mut self, stream: &mut TcpStream, bytes: &[u8]) -> bool {
        let (mut reader, mut writer) = stream.split();
        let mut heard = vec![0; 16 * 1024];
        let mut left = bytes;
        let stuck = sleep(self.patience);
        tokio::pin!(stuck);
        while !left.is_empty() {
            tokio::select! {
                written = writer.write(left) => match written {
                    Ok(written) => left = &left[written..],
                    Err(_) => { self.ended = true; return false; }
                },
                read = reader.read(&mut heard) => match read {
                    Ok(0) | Err(_) => { self.ended = true; return false; }
                    Ok(read) => listen(&mut self.grammar, &self.target.name, &heard[..read]),
                },
                () = &mut stuck => return false,
            }
        }
        self.written += bytes.len() as u64;
        // What has come by now.
        loop {
            match reader.try_read(&mut heard) {
                Ok(0) => {
                    self.ended = true;
                    return false;
                }
                Ok(read) => listen(&mut self.grammar, &self.target.name, &heard[..read]),
                Err(_) => return true,
            }
        }
    }

    async fn talk(&mut self, stream: &mut TcpStream) {
        while Instant::now() < self.until {
            let mut bytes = Vec::new();
            for _ in 0..self.grammar.rng().random_range(1..40) {
                bytes.extend(self.grammar.frames());
            }
            if !self.write(stream, &bytes).await {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Asks for much and reads nothing.
    async fn slow_reader(&mut self, stream: &mut TcpStream) {
        while Instant::now() < self.until {
            let bytes = self.grammar.frames();
            match timeout(STUCK, stream.write_all(&bytes)).await {
                Ok(Ok(())) => self.written += bytes.len() as u64,
                _ => return,
            }
        }
    }

    async fn half_a_frame(&mut self, stream: &mut TcpStream) {
        for _ in 0..5 {
            let bytes = self.grammar.frames();
            let half = self.grammar.rng().random_range(0..bytes.len().max(1));
            if !self.write(stream, &bytes[..half]).await {
                return;
            }
            sleep(Duration::from_millis(100)).await;
            if !self.write(stream, &bytes[half..]).await {
                return;
            }
        }
    }

    /// Exit signals with large reasons, for a process that traps exits and takes its time.
    async fn floods_of_exits(&mut self, stream: &mut TcpStream) {
        let pids = self.target.pids.lock().expect("no panic under it").clone();
        let reason = vec![7; 100_000];
        while Instant::now() < self.until {
            for pid in &pids {
                let mut control = Vec::new();
                put::tuple(&mut control, 3);
                put::int(&mut control, 26);
                let me = Id {
                    node: self.own.clone(),
                    id: 1,
                    serial: 0,
                    creation: 77,
                };
                put::pid(&mut control, &me);
                put::pid(&mut control, pid);
                let mut payload = Vec::new();
                put::binary(&mut payload, &reason);
                let body = self.body(&control, &payload);
                let mut bytes = Vec::new();
                frame(&mut bytes, &body);
                if !self.write(stream, &bytes).await {
                    return;
                }
            }
        }
    }

    fn body(&self, control: &[u8], payload: &[u8]) -> Vec<u8> {
        match self.form {
            Form::Headers => [&[131, 68, 0], control, payload].concat(),
            Form::PassThrough => [&[112, 131], control, &[131], payload].concat(),
        }
    }

    /// First fragments of messages that never end, each of many.
    async fn unfinished(&mut self, stream: &mut TcpStream) {
        if self.form == Form::PassThrough {
            return self.talk(stream).await;
        }
        let data = vec![0; 60_000];
        for sequence in 0..1000_u64 {
            let first = [
                &[131, 69][..],
                &sequence.to_be_bytes(),
                &u64::MAX.to_be_bytes(),
                &[0],
            ];
            let mut bytes = Vec::new();
            frame(&mut bytes, &[&first.concat()[..], &data].concat());
            if Instant::now() >= self.until || !self.write(stream, &bytes).await {
                return;
            }
        }
    }

    /// A few terms of a megabyte, to a server with the default handlers.
    async fn large(&mut self, stream: &mut TcpStream) {
        for kind in 0..8 {
            let mut payload = Vec::new();
            put::tuple(&mut payload, 2);
            put::atom(&mut payload, "$gen_cast");
            // Beyond what is decoded in one go.
            let size: u32 = 6 << 20;
            match kind {
                0 => {
                    put::list(&mut payload, size);
                    payload.resize(payload.len() + size as usize + 1, 106);
                }
                1 => {
                    put::list(&mut payload, size / 2);
                    for _ in 0..size / 2 {
                        payload.extend([104, 0]);
                    }
                    payload.push(106);
                }
                2 => {
                    payload.push(111);
                    payload.extend((size / 4).to_be_bytes());
                    payload.push(0);
                    payload.resize(payload.len() + size as usize / 4, 0xA7);
                }
                3 => put::nested_map(&mut payload, 4000, "a", "b"),
                4 => {
                    payload.extend([116, 0, 1, 0, 0]);
                    for key in 0..1 << 16 {
                        put::int(&mut payload, key);
                        payload.push(106);
                    }
                }
                5 => {
                    // Two equal lists as the keys of one map.
                    payload.extend([116, 0, 0, 0, 2]);
                    for _ in 0..2 {
                        put::list(&mut payload, 100_000);
                        payload.resize(payload.len() + 100_001, 106);
                        payload.push(106);
                    }
                }
                6 => put::binary(&mut payload, &vec![1; size as usize]),
                _ => {
                    for _ in 0..4000 {
                        payload.extend([104, 1]);
                    }
                    payload.push(106);
                }
            }
            let name = *["server", "rex", "pg", "global_name_server"]
                .get(self.grammar.rng().random_range(0..4_usize))
                .expect("one of four");
            let bytes = self.grammar.send_to(name, &payload);
            if Instant::now() >= self.until || !self.write(stream, &bytes).await {
                return;
            }
        }
    }
}

/// Finds processes and references of the victim in what it says.
fn listen(grammar: &mut Grammar, victim: &str, bytes: &[u8]) {
    let head = [
        &[119, u8::try_from(victim.len()).unwrap_or(0)],
        victim.as_bytes(),
    ]
    .concat();
    let mut at = 0;
    for (place, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == 88) {
        if let Some(rest) = bytes[place + 1..].strip_prefix(&head[..])
            && let Some(&[a, b, c, d, e, f, g, h, i, j, k, l]) = rest.first_chunk()
        {
            grammar.meet(Id {
                node: victim.to_owned(),
                id: u32::from_be_bytes([a, b, c, d]),
                serial: u32::from_be_bytes([e, f, g, h]),
                creation: u32::from_be_bytes([i, j, k, l]),
            });
        }
    }
    while let Some(found) = bytes[at..].windows(3).position(|it| it[..2] == [90, 0]) {
        at += found + 2;
        let words = usize::from(bytes[at]);
        let rest = &bytes[at + 1..];
        if words > 5 || !rest.starts_with(&head) {
            continue;
        }
        let numbers: Vec<u32> = rest[head.len()..]
            .chunks_exact(4)
            .take(words + 1)
            .map(|it| u32::from_be_bytes([it[0], it[1], it[2], it[3]]))
            .collect();
        if let [creation, words @ ..] = &numbers[..] {
            grammar.hear(victim, *creation, words);
        }
    }
}
