//! What one lookup of 3, 100 and 1,000 addresses takes, beside OTP's `inet_res` on the same server.
//!
//! Both sides look the same names up in turns, one lookup after the other, and ours makes node names of the
//! addresses as well. 1 and less in the last column means: not slower than `inet_res`. Without `erl` only our
//! side is measured, and a line says so.

#[path = "../tests/support/dns_server.rs"]
#[allow(dead_code)]
mod dns_server;

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use dns_server::{DnsServer, Reply};
use rendez::discovery::Context;
use rendez::discovery::dns::{Dns, DnsConfig, SystemFiles};
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
        let config = DnsConfig {
            nameservers: vec![server],
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
