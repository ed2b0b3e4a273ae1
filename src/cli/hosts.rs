//! `rendez hosts`: which hosts of a network run an EPMD, as a `.hosts.erlang`.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rendez::discovery::hosts_file::syntax;
use rendez::discovery::subnet::SubnetConfig;
use rendez::discovery::subnet::range::Cidr;
use rendez::discovery::subnet::scan::{Event, connect, scan};
use rendez::epmd::{Client, EpmdError, port_from_env};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::output::{Failure, Output};
use super::peer;

/// EPMDs that are asked at once.
const QUESTIONS: usize = 128;

/// Find the hosts of a network that run an EPMD, and print them as a .hosts.erlang
///
/// Every address is tried once. The result is what `net_adm:world()` and `rendez discover --via hosts_file` read.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rendez hosts --subnet 10.0.0.0/24
  rendez hosts --subnet 10.0.0.0/24,10.0.7.0/24 --output .hosts.erlang

With --output the file is replaced as a whole, and only if every address could be tried.

With --json: {\"hosts\":[\"10.0.0.7\"],\"epmd_port\":4369,\"untried\":0}")]
pub struct Hosts {
    /// The networks to try, for example 10.0.0.0/24; together at most 65536 addresses
    #[arg(long, value_name = "CIDR", required = true, value_delimiter = ',', value_parser = cidr)]
    subnet: Vec<Cidr>,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The port of EPMD [default: ERL_EPMD_PORT, else 4369]
    #[arg(long, value_parser = value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// How many addresses are tried at one time; each takes a file descriptor
    #[arg(long, value_name = "NUMBER", default_value_t = 512, value_parser = value_parser!(u16).range(1..))]
    concurrency: u16,
    /// How many addresses are begun to be tried in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 1500, value_parser = value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// How long an address may take to accept a connection
    #[arg(long, value_name = "SPAN", default_value = "300ms", value_parser = peer::span)]
    connect_timeout: Duration,
    /// How long EPMD may take to answer
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = peer::span)]
    timeout: Duration,
    /// Print JSON
    #[arg(long, conflicts_with = "output")]
    pub json: bool,
}

fn cidr(text: &str) -> Result<Cidr, String> {
    text.parse()
        .map_err(|error: rendez::discovery::subnet::range::InvalidCidr| error.to_string())
}

impl Hosts {
    /// Does it.
    pub async fn run(self, output: &Output) -> Result<(), Failure> {
        let port = match self.port {
            Some(port) => port,
            None => port_from_env().map_err(|error| Failure::words(error.to_string()))?,
        };
        let mut config = SubnetConfig::new(self.subnet.iter().copied());
        config.limits.concurrency = usize::from(self.concurrency);
        config.limits.rate = self.rate;
        config.limits.connect_timeout = self.connect_timeout;
        let addresses = config.addresses().map_err(Failure::words)?;
        let all = addresses.len() as u64;

        let bar = progress(all);
        let mut listening = 0;
        let report = scan(
            addresses,
            config.limits,
            |address| connect(address, port),
            |event| match event {
                Event::Through => bar.inc(1),
                Event::Found(_) => {
                    listening += 1;
                    bar.set_message(listening.to_string());
                }
            },
        )
        .await;
        bar.finish_and_clear();

        let mut hosts = Vec::new();
        for (address, answer) in ask(&report.found, port, self.timeout).await {
            match answer {
                Ok(()) => hosts.push(address),
                Err(error) => output.warn(&format!("{address} is left out: {error}")),
            }
        }
        hosts.sort_unstable();
        let untried = report.reason.map(|reason| {
            let few = report.untried;
            Failure::failed(format!(
                "{few} of {all} addresses could not be tried: {reason}"
            ))
        });
        if hosts.is_empty() && untried.is_none() {
            output.warn(&format!(
                "no EPMD answers on port {port} of {all} addresses"
            ));
        }
        match (&self.output, untried) {
            (Some(_), Some(failure)) => return Err(failure),
            (Some(path), None) => {
                write(path, &self.file(&hosts, port)).map_err(|error| {
                    Failure::failed(format!("cannot write {}: {error}", path.display()))
                })?;
            }
            (None, untried) => {
                if output.is_json() {
                    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
                    let object =
                        json!({"hosts": hosts, "epmd_port": port, "untried": report.untried});
                    output.json(&object)?;
                    if let Some(Failure::Failed { message, .. }) = untried {
                        output.warn(&message);
                        return Err(Failure::Told);
                    }
                } else {
                    output.line(self.file(&hosts, port).trim_end())?;
                    untried.map_or(Ok(()), Err)?;
                }
            }
        }
        Ok(())
    }

    /// The content of the file.
    fn file(&self, hosts: &[IpAddr], port: u16) -> String {
        let ranges: Vec<_> = self.subnet.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "%% Hosts of {} with an EPMD on port {port}, found by `rendez hosts`.\n",
            ranges.join(", ")
        );
        for host in hosts {
            text += &format!("{}\n", syntax::line(&host.to_string()));
        }
        text
    }
}

/// A bar on standard error, if that is a terminal.
fn progress(all: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
    let template = "{bar:40} {pos} of {len} addresses, {msg} listen, {eta} left";
    // The template is ours, and the default would do.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("##-"));
    }
    bar.with_message("0")
}

/// Asks what listens whether it is an EPMD.
async fn ask(
    found: &[IpAddr],
    port: u16,
    timeout: Duration,
) -> Vec<(IpAddr, Result<(), EpmdError>)> {
    let gate = Arc::new(Semaphore::new(QUESTIONS));
    let mut questions = JoinSet::new();
    for &address in found {
        let gate = Arc::clone(&gate);
        let client = Client::new(address.to_string(), port).with_timeout(timeout);
        questions.spawn(async move {
            // Never closed, so the permit is always had.
            let _permit = gate.acquire().await;
            (address, client.names().await.map(drop))
        });
    }
    questions.join_all().await
}

/// Replaces the file as a whole, so that who watches it never reads half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .inspect_err(|_| {
            // What went wrong is told; that it cannot be removed either would not help.
            let _ = fs::remove_file(&beside);
        })
}
