//! What one lookup of 3, 100 and 1,000 addresses takes, beside OTP's `inet_res` on the same server.
//!
//! Both sides look the same names up in turns, one lookup after the other, and ours makes node names of the
//! addresses as well. 1 and less in the last column means: not slower than `inet_res`. Without `erl` only our
//! side is measured, and a line says so.
//!
//! Then what 1,000 SRV targets take, each of which has to be resolved, beside one lookup of one address. The
//! server waits before each answer, as a network would. What it takes by itself for as many questions is
//! measured with bare sockets and subtracted: 3 and less in the last column means that the targets are
//! resolved side by side.

#[path = "../tests/support/dns_server.rs"]
#[allow(dead_code)]
mod dns_server;

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use dns_server::{DnsServer, Reply};
use hickory_server::proto::op::{Message, MessageType, OpCode, Query};
use hickory_server::proto::rr;
use rendez::discovery::Context;
use rendez::discovery::dns::{Dns, DnsConfig, RecordType, SystemFiles};
use rendez::discovery::polling::Poll;
use tokio::runtime::Runtime;

/// How many addresses a name has, and how often it is looked up in one turn.
const SIZES: [(u32, u32); 3] = [(3, 200), (100, 100), (1000, 40)];

/// Turns of each side; the median turn counts.
const TURNS: usize = 15;

fn main() {
    let server = DnsServer::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    let mut theirs = Erlang::start(server.address());
    println!("one DNS lookup, median of {TURNS} turns");
    println!("addresses   rendez µs   inet_res µs   rendez/inet_res");
    for (size, lookups) in SIZES {
        let name = format!("n{size}.bench.test");
        let addresses = (0..size).map(|i| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + i)));
        server.set(&name, Reply::Addresses(addresses.collect()));
        let mut ours = Ours::new(&runtime, server.address(), &name);
        let mut turns = [Vec::new(), Vec::new()];
        for turn in 0..=TURNS {
            let our_time = ours.look_up(size, lookups);
            let their_time = theirs.as_mut().map(|erl| erl.look_up(&name, size, lookups));
            // The first turn warms both up.
            if turn > 0 {
                turns[0].push(our_time);
                turns[1].extend(their_time);
            }
        }
        let [ours, theirs] = turns.map(median);
        let ours = ours.expect("there are turns");
        match theirs {
            Some(theirs) => println!(
                "{size:>9}   {ours:>9.0}   {theirs:>11.0}   {:>15.2}",
                ours / theirs
            ),
            None => println!("{size:>9}   {ours:>9.0}   {:>11}   {:>15}", "-", "-"),
        }
    }
    if theirs.is_none() {
        println!("skipped: erl is not installed, so there is nothing to compare with");
    }
    many_targets(&runtime);
}

/// How many SRV targets there are, how long the server waits before each answer, how often it is measured.
const TARGETS: u32 = 1000;
const DELAY: Duration = Duration::from_millis(50);
const TARGET_TURNS: usize = 7;

fn many_targets(runtime: &Runtime) {
    let server = DnsServer::start();
    // So that every lookup asks for every target.
    server.set_ttl(0);
    let targets: Vec<_> = (0..TARGETS)
        .map(|i| (format!("t{i}.bench.test"), 9100))
        .collect();
    for (i, (target, _)) in (0u32..).zip(&targets) {
        let address = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + i));
        server.set(target, Reply::Addresses(vec![address]));
    }
    let names: Vec<String> = targets.iter().map(|(name, _)| name.clone()).collect();
    server.set("srv.bench.test", Reply::Services(targets));
    let mut one = Ours::new(runtime, server.address(), "t1.bench.test");
    let mut many = Ours::of(runtime, server.address(), "srv.bench.test", RecordType::Srv);
    let mut turns = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..=TARGET_TURNS {
        server.set_delay(Duration::ZERO);
        let server_time = server_alone(server.address(), &names);
        server.set_delay(DELAY);
        let one_time = one.look_up(1, 1);
        let many_time = many.look_up(TARGETS, 1);
        if turn > 0 {
            turns[0].push(one_time);
            turns[1].push(server_time);
            turns[2].push(many_time);
        }
    }
    let [one, server, many] = turns.map(|turns| median(turns).expect("there are turns") / 1e3);
    println!(
        "\n{TARGETS} SRV targets, a server that waits {DELAY:?}, median of {TARGET_TURNS} turns"
    );
    println!("one lookup ms   server alone ms   targets ms   (targets - server)/one");
    println!(
        "{one:>13.1}   {server:>15.1}   {many:>10.1}   {:>22.2}",
        (many - server) / one
    );
}

/// What the server takes for questions about the addresses of `names` that come as fast as it takes them.
fn server_alone(server: SocketAddr, names: &[String]) -> Duration {
    let start = Instant::now();
    // As many at once as its receive buffer surely holds.
    for names in names.chunks(100) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.connect(server).expect("a socket connects");
        let again = Some(Duration::from_secs(10));
        socket
            .set_read_timeout(again)
            .expect("a socket has a timeout");
        for (id, name) in (0u16..).zip(names) {
            let mut query = Message::new(id, MessageType::Query, OpCode::Query);
            let name = format!("{name}.").parse().expect("a name");
            query.add_query(Query::query(name, rr::RecordType::A));
            let packet = query.to_vec().expect("a question");
            socket.send(&packet).expect("a question goes out");
        }
        let mut buffer = [0; 1500];
        for _ in names {
            socket
                .recv(&mut buffer)
                .expect("an answer to each question");
        }
    }
    start.elapsed()
}

/// The middle one, in microseconds.
fn median(mut turns: Vec<Duration>) -> Option<f64> {
    turns.sort_unstable();
    let middle = turns.get(turns.len() / 2)?;
    Some(middle.as_secs_f64() * 1e6)
}

/// The provider, polled as its pace would.
struct Ours<'a> {
    runtime: &'a Runtime,
    dns: Dns,
}

impl<'a> Ours<'a> {
    fn new(runtime: &'a Runtime, server: SocketAddr, name: &str) -> Self {
        Self::of(runtime, server, name, RecordType::Ip)
    }

    fn of(runtime: &'a Runtime, server: SocketAddr, name: &str, record_type: RecordType) -> Self {
        let config = DnsConfig {
            nameservers: vec![server],
            record_type: vec![record_type],
            files: SystemFiles {
                resolv_conf: "/dev/null".into(),
                hosts: "/dev/null".into(),
            },
            ..DnsConfig::new([format!("{name}.").as_str().into()])
        };
        let context = Context {
            own: Some("bench@10.0.0.1".parse().expect("a node name")),
            cookie: None,
        };
        let dns = Dns::new(&config, &context).expect("the configuration is valid");
        Self { runtime, dns }
    }

    /// The mean time of `lookups` lookups that have to find `size` nodes each.
    fn look_up(&mut self, size: u32, lookups: u32) -> Duration {
        let start = Instant::now();
        for _ in 0..lookups {
            let answer = self.runtime.block_on(self.dns.poll()).expect("an answer");
            assert_eq!(answer.nodes.len(), size as usize, "the answer is whole");
        }
        start.elapsed() / lookups
    }
}

/// An `erl` that looks names up when told to.
struct Erlang {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Erlang {
    /// `None` if there is no `erl`.
    fn start(server: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = server.ip() else {
            unreachable!("the server listens on IPv4");
        };
        let [a, b, c, d] = ip.octets();
        let program = format!(
            r#"
            Options = [{{nameservers, [{{{{{a},{b},{c},{d}}}, {port}}}]}}],
            Times = fun Times(_, _, 0) -> ok;
                        Times(Name, Size, N) ->
                            Size = length(inet_res:lookup(Name, in, a, Options, 5000)),
                            Times(Name, Size, N - 1)
                    end,
            Serve = fun Serve() ->
                case io:get_line("") of
                    eof -> halt(0);
                    Line ->
                        [Name, Size, N] = string:lexemes(string:trim(Line), " "),
                        {{Micros, ok}} = timer:tc(Times, [Name, list_to_integer(Size), list_to_integer(N)]),
                        io:format("~b~n", [Micros]),
                        Serve()
                end
            end,
            Serve().
            "#,
            port = server.port(),
        );
        let mut child = Command::new("erl")
            .args(["-noshell", "-eval", &program])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let input = child.stdin.take()?;
        let output = BufReader::new(child.stdout.take()?);
        Some(Self {
            child,
            input,
            output,
        })
    }

    /// As [`Ours::look_up`].
    fn look_up(&mut self, name: &str, size: u32, lookups: u32) -> Duration {
        writeln!(self.input, "{name} {size} {lookups}").expect("erl listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("erl answers");
        let micros = line.trim().parse().expect("erl says microseconds");
        Duration::from_micros(micros) / lookups
    }
}

impl Drop for Erlang {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
