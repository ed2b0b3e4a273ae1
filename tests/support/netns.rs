//! Several hosts on one machine: network namespaces on a bridge of their own, which end with the test.
//!
//! Nothing here touches an interface of the machine itself, and no route leads out of the bridge.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::ports::{reserve, shuffled};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The reservations of networks begin at this port.
const SUBNETS: u16 = 15_000;

/// A few hosts that see each other and nobody else.
pub struct Lan {
    bridge: String,
    tag: String,
    hosts: Vec<String>,
    /// The first three numbers of the hosts' addresses.
    prefix: String,
}

impl Lan {
    /// Makes a network of `size` hosts, or says on standard error why `what` is skipped.
    ///
    /// The machine itself has the address `PREFIX.254` on it, where a test can run a server.
    pub fn new(size: u8, what: &str) -> Option<Self> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // 15 characters is the longest name that an interface can have.
        let tag = format!("{:x}{count:x}", std::process::id() & 0xff_ffff);
        let mut lan = Self {
            bridge: format!("rdzb{tag}"),
            prefix: free_prefix(),
            tag,
            hosts: Vec::new(),
        };
        if let Err(why) = lan.build(size) {
            super::skip(what, &format!("cannot make network namespaces: {why}"));
            return None;
        }
        Some(lan)
    }

    fn build(&mut self, size: u8) -> Result<(), String> {
        let bridge = self.bridge.clone();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        // Without snooping a bridge passes multicast to every port, as a plain switch does.
        ip(&[
            "link",
            "set",
            &bridge,
            "type",
            "bridge",
            "mcast_snooping",
            "0",
        ])?;
        ip(&[
            "addr",
            "add",
            &format!("{}.254/24", self.prefix),
            "dev",
            &bridge,
        ])?;
        ip(&["link", "set", &bridge, "up"])?;
        for number in 1..=size {
            let host = format!("rdzh{}-{number}", self.tag);
            let (outside, inside) = (format!("rdzv{}{number}", self.tag), "eth0");
            ip(&["netns", "add", &host])?;
            self.hosts.push(host.clone());
            ip(&[
                "link", "add", &outside, "type", "veth", "peer", "name", inside, "netns", &host,
            ])?;
            ip(&["link", "set", &outside, "master", &bridge, "up"])?;
            ip(&["-n", &host, "link", "set", "lo", "up"])?;
            ip(&["-n", &host, "link", "set", inside, "up"])?;
            let address = format!("{}/24", self.address(number));
            ip(&["-n", &host, "addr", "add", &address, "dev", inside])?;
            ip(&["-n", &host, "route", "add", "224.0.0.0/4", "dev", inside])?;
        }
        Ok(())
    }

    /// The address of host `number`, from 1.
    pub fn address(&self, number: u8) -> String {
        format!("{}.{number}", self.prefix)
    }

    /// The machine's own address on the network.
    pub fn machine(&self) -> String {
        format!("{}.254", self.prefix)
    }

    /// The words that run a command on host `number`.
    pub fn enter(&self, number: u8) -> [&str; 4] {
        ["ip", "netns", "exec", &self.hosts[usize::from(number) - 1]]
    }

    /// Makes every host lose this share of what is sent to it.
    ///
    /// # Errors
    /// What `nft` and `tc` say, when the kernel can do it neither way.
    pub fn lose(&self, percent: u8) -> Result<(), String> {
        for host in &self.hosts {
            // Not every kernel has netem. A packet dropped as it comes in is as lost as one on the wire,
            // and the sender learns as little of it.
            lose_by_nft(host, percent).or_else(|first| {
                let loss = format!("{percent}%");
                run(
                    "tc",
                    &[
                        "-n", host, "qdisc", "replace", "dev", "eth0", "root", "netem", "loss",
                        &loss,
                    ],
                )
                .map_err(|second| format!("{first}; {second}"))
            })?;
        }
        Ok(())
    }

    /// Makes host `number` lose everything that it is sent and that it sends, without the hosts' kernels
    /// learning of it; `false` ends that.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn cut(&self, number: u8, cut: bool) -> Result<(), String> {
        let host = &self.hosts[usize::from(number) - 1];
        let nft = |words: &str| run("ip", &["netns", "exec", host, "nft", words]);
        nft("add table inet cut")?;
        nft("delete table inet cut")?;
        if cut {
            nft("add table inet cut")?;
            for (hook, interface) in [("input", "iifname"), ("output", "oifname")] {
                nft(&format!(
                    "add chain inet cut {hook} {{ type filter hook {hook} priority 0; }}"
                ))?;
                nft(&format!(
                    "add rule inet cut {hook} {interface} \"eth0\" drop"
                ))?;
            }
        }
        Ok(())
    }

    /// Makes host `number` lose everything that it sends to the `others` and gets from them, without the hosts'
    /// kernels learning of it; no others end that.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn part(&self, number: u8, others: &[u8]) -> Result<(), String> {
        let host = &self.hosts[usize::from(number) - 1];
        let nft = |words: &str| run("ip", &["netns", "exec", host, "nft", words]);
        nft("add table inet parted")?;
        nft("delete table inet parted")?;
        if !others.is_empty() {
            let others: Vec<_> = others.iter().map(|&other| self.address(other)).collect();
            let others = others.join(", ");
            nft("add table inet parted")?;
            for (hook, address) in [("input", "saddr"), ("output", "daddr")] {
                nft(&format!(
                    "add chain inet parted {hook} {{ type filter hook {hook} priority 0; }}"
                ))?;
                nft(&format!(
                    "add rule inet parted {hook} ip {address} {{ {others} }} drop"
                ))?;
            }
        }
        Ok(())
    }

    /// Takes host `number` off the network, or puts it back.
    pub fn plug(&self, number: u8, plugged: bool) {
        let outside = format!("rdzv{}{number}", self.tag);
        let state = if plugged { "up" } else { "down" };
        ip(&["link", "set", &outside, state]).expect("a link that this test made");
    }
}

/// The first three numbers of addresses that no interface of this machine has, and that no other test takes.
fn free_prefix() -> String {
    let known = run_for_output("ip", &["-o", "-4", "addr", "show"]).unwrap_or_default();
    // 10.200.0 to 10.213.255.
    for network in shuffled(200 * 256..214 * 256) {
        let prefix = format!("10.{}.{}", network / 256, network % 256);
        if !known.contains(&format!(" {prefix}.")) && reserve(SUBNETS + (network - 200 * 256)) {
            return prefix;
        }
    }
    panic!("no free network below 10.214.0.0");
}

impl Drop for Lan {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = ip(&["netns", "del", host]);
        }
        let _ = ip(&["link", "del", &self.bridge]);
    }
}

fn lose_by_nft(host: &str, percent: u8) -> Result<(), String> {
    let nft = |words: &str| run("ip", &["netns", "exec", host, "nft", words]);
    nft("add table inet loss")?;
    nft("add chain inet loss input { type filter hook input priority 0; }")?;
    nft("flush chain inet loss input")?;
    nft(&format!(
        "add rule inet loss input iifname \"eth0\" numgen random mod 100 < {percent} drop"
    ))
}

fn ip(args: &[&str]) -> Result<(), String> {
    run("ip", args)
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    run_for_output(program, args).map(|_| ())
}

fn run_for_output(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {}", args.join(" "), said.trim()))
}
