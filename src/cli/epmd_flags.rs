//! The flags of OTP's `epmd`, for when the command is invoked under that name:
//! <https://www.erlang.org/doc/apps/erts/epmd_cmd.html>.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rendez::epmd::codec::{Name, Request};
use rendez::epmd::{BindError, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::epmd::{addresses_of, from_environment, serve};
use super::logging::{self, LogArgs};
use super::output::Output;

/// Set in the process that `-daemon` leaves behind.
const DETACHED: &str = "RENDEZ_EPMD_DETACHED";
/// What the detached process says once it listens.
const LISTENS: &str = "listens";
/// How long the EPMD that is asked may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// The most that is read of an answer.
const MAX_ANSWER: u64 = 16 << 20;
/// What `epmd` waits for a silent peer, in seconds.
const PACKET_TIMEOUT: u64 = 60;

/// Whether the command was invoked as `epmd`, as through a link of that name.
pub fn is_invoked_as_epmd(program: Option<&OsString>) -> bool {
    program.is_some_and(|program| Path::new(program).file_name() == Some("epmd".as_ref()))
}

/// What the flags ask for.
#[derive(Debug, PartialEq, Eq)]
struct Flags {
    config: ServerConfig,
    /// How often `-d` was given.
    debug: u8,
    daemon: bool,
    task: Task,
}

#[derive(Debug, PartialEq, Eq)]
enum Task {
    Serve,
    Names,
    /// As `Names`, without a word: the exit status says whether an EPMD is there.
    Started,
    Dump,
    Kill,
    Stop(Name),
}

/// Reads the flags over `config`, which holds what the environment says.
fn read(words: &[String], mut config: ServerConfig) -> Result<Flags, String> {
    let (mut debug, mut daemon, mut task) = (0_u8, false, Task::Serve);
    config.packet_timeout = Some(packet_timeout(PACKET_TIMEOUT));
    let mut words = words.iter();
    while let Some(flag) = words.next() {
        let mut value = |takes: &str| {
            words
                .next()
                .ok_or_else(|| format!("{flag} takes {takes}, and nothing follows it"))
        };
        let seconds = |text: &String| {
            text.parse::<u64>()
                .ok()
                .filter(|seconds| (1..=86_400).contains(seconds))
                .ok_or_else(|| {
                    format!("{flag} takes a number of seconds from 1 to 86400; got {text:?}")
                })
        };
        match flag.as_str() {
            "-d" | "-debug" => debug = debug.saturating_add(1),
            "-daemon" => daemon = true,
            "-relaxed_command_check" => config.relaxed_command_check = true,
            "-port" => {
                let text = value("a port")?;
                config.port =
                    text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                        format!("-port takes a port from 1 to 65535; got {text:?}")
                    })?;
            }
            "-address" => config.addresses = addresses_of("-address", value("addresses")?)?,
            "-packet_timeout" => {
                config.packet_timeout = Some(packet_timeout(seconds(value("seconds")?)?));
            }
            "-delay_accept" => {
                config.delay_accept = Duration::from_secs(seconds(value("seconds")?)?)
            }
            "-delay_write" => config.delay_write = Duration::from_secs(seconds(value("seconds")?)?),
            "-names" => task = Task::Names,
            "-started" => task = Task::Started,
            "-dump" => task = Task::Dump,
            "-kill" => task = Task::Kill,
            "-stop" => {
                let name = value("the name of a node")?;
                task = Task::Stop(
                    Name::new(name).map_err(|error| format!("-stop {name:?}: {error}"))?,
                );
            }
            "-systemd" => {
                return Err("-systemd is not supported: let the unit run `epmd` without it (Type=exec), and without a \
                            socket unit"
                    .into());
            }
            other => {
                return Err(format!(
                    "{other}: unknown flag; epmd takes -address, -port, -daemon, -d, -relaxed_command_check, \
                     -packet_timeout, -delay_accept, -delay_write, or one of -names, -started, -dump, -kill and -stop"
                ));
            }
        }
    }
    if let Some(silence) = config.packet_timeout {
        config.request_timeout = config.request_timeout.max(silence);
    }
    Ok(Flags {
        config,
        debug,
        daemon,
        task,
    })
}

/// OTP's `epmd` counts in whole seconds and closes a connection that was silent for longer than this many.
fn packet_timeout(seconds: u64) -> Duration {
    Duration::from_secs(seconds + 1)
}

/// Does what `epmd` does with the words after its name.
pub fn main(words: &[String]) -> ExitCode {
    let read = from_environment().and_then(|config| read(words, config));
    let flags = match read {
        Ok(flags) => flags,
        Err(message) => return failed(&message),
    };
    if flags.task == Task::Serve && flags.daemon && std::env::var_os(DETACHED).is_none() {
        return detach(words);
    }
    // OTP's says nothing unless it is asked to.
    let level = match flags.debug {
        0 => "off",
        1 => "info",
        _ => "debug",
    };
    if let Err(failure) = logging::start(&LogArgs::at_level(level), level) {
        return Output::new(false, logging::Format::Text).end(Err(failure));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(flags)),
        Err(error) => failed(&format!("cannot start: {error}")),
    }
}

fn failed(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "epmd: {message}");
    ExitCode::FAILURE
}

async fn run(flags: Flags) -> ExitCode {
    let port = flags.config.port;
    let silent = flags.task == Task::Started;
    let (request, shown): (_, fn(&[u8]) -> Shown) = match flags.task {
        Task::Serve => return run_server(flags.config).await,
        Task::Names | Task::Started => (Request::Names, listing),
        Task::Dump => (Request::Dump, listing),
        Task::Kill => (Request::Kill, killed),
        Task::Stop(name) => (Request::Stop(name), stopped),
    };
    let shown = match ask(port, &request).await {
        Ok(answer) => shown(&answer),
        Err(error) => Shown {
            text: format!("epmd: Cannot connect to local epmd on port {port}: {error}\n"),
            done: false,
        },
    };
    // OTP's `-started` says nothing either way.
    let written = silent || io::stdout().write_all(shown.text.as_bytes()).is_ok();
    match shown.done && written {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What is printed of an answer, and whether the task is done.
struct Shown {
    text: String,
    done: bool,
}

fn listing(answer: &[u8]) -> Shown {
    let Some((port, lines)) = answer.split_first_chunk() else {
        return no_answer(answer);
    };
    let port = u32::from_be_bytes(*port);
    let lines = String::from_utf8_lossy(lines).replace('\0', "");
    Shown {
        text: format!("epmd: up and running on port {port} with data:\n{lines}"),
        done: true,
    }
}

fn killed(answer: &[u8]) -> Shown {
    let (text, done) = match answer {
        b"OK" => ("Killed\n", true),
        b"NO" => ("Killing not allowed - living nodes in database.\n", false),
        other => return no_answer(other),
    };
    Shown {
        text: text.to_owned(),
        done,
    }
}

fn stopped(answer: &[u8]) -> Shown {
    match answer {
        b"STOPPED" | b"NOEXIST" => Shown {
            text: format!("{}\n", String::from_utf8_lossy(answer)),
            done: true,
        },
        other => no_answer(other),
    }
}

fn no_answer(answer: &[u8]) -> Shown {
    Shown {
        text: format!(
            "epmd: local epmd responded with <{}>\n",
            String::from_utf8_lossy(answer).escape_debug()
        ),
        done: false,
    }
}

/// Sends a request to the EPMD of this host, and reads until it closes the connection.
async fn ask(port: u16, request: &Request) -> io::Result<Vec<u8>> {
    let exchange = async {
        let loopback: [SocketAddr; 2] = [
            (Ipv6Addr::LOCALHOST, port).into(),
            (Ipv4Addr::LOCALHOST, port).into(),
        ];
        let mut stream = TcpStream::connect(&loopback[..]).await?;
        let request = request
            .encode()
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        stream.write_all(&request).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
        Ok(answer)
    };
    timeout(ASK_TIMEOUT, exchange).await?
}

async fn run_server(config: ServerConfig) -> ExitCode {
    let server = match Server::bind(config) {
        Ok(server) => server,
        // A caller that starts an EPMD to be sure that one runs has what it wanted.
        Err(error @ BindError::InUse(_)) => {
            tracing::info!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => return failed(&error.to_string()),
    };
    if std::env::var_os(DETACHED).is_some() {
        // The process that waits for it may be gone. The nodes are not affected.
        let _ = writeln!(io::stdout(), "{LISTENS}");
        leave_the_session();
    }
    match serve(server).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => Output::new(false, logging::Format::Text).end(Err(failure)),
    }
}

/// Starts this program again as a process of its own session, and ends when that one listens.
fn detach(words: &[String]) -> ExitCode {
    let started = std::env::current_exe().and_then(|program| {
        Command::new(program)
            .arg0("epmd")
            .args(words)
            .env(DETACHED, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
    });
    let mut child = match started {
        Ok(child) => child,
        Err(error) => return failed(&format!("cannot start the daemon: {error}")),
    };
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        let _ = BufReader::new(output).read_line(&mut line);
    }
    if line.trim_end() == LISTENS {
        return ExitCode::SUCCESS;
    }
    match child.wait() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => failed("the daemon ended at once; start it without -daemon to see why"),
    }
}

/// Starts a session of its own in the root folder, so that other file systems can be unmounted.
fn leave_the_session() {
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "stays in its session");
    }
    let _ = std::env::set_current_dir("/");
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn flags(words: &[&str]) -> Result<Flags, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        read(&words, ServerConfig::default())
    }

    #[test]
    fn a_link_called_epmd_is_recognised() {
        let invoked = |program: &str| is_invoked_as_epmd(Some(&program.into()));
        assert!(invoked("epmd") && invoked("/usr/bin/epmd"));
        assert!(!invoked("rendez") && !invoked("/opt/epmd/rendez") && !is_invoked_as_epmd(None));
    }

    #[test]
    fn the_flags_of_otp_are_read() {
        let read = flags(&[
            "-d",
            "-debug",
            "-port",
            "4370",
            "-address",
            "10.0.0.7, fdaa::1",
            "-daemon",
            "-relaxed_command_check",
            "-packet_timeout",
            "30",
            "-delay_accept",
            "1",
            "-delay_write",
            "2",
        ])
        .unwrap();
        assert_eq!(
            (read.debug, read.daemon, &read.task),
            (2, true, &Task::Serve)
        );
        let config = read.config;
        assert_eq!(config.port, 4370);
        assert_eq!(
            config.addresses,
            ["10.0.0.7", "fdaa::1"].map(|ip| ip.parse::<IpAddr>().unwrap())
        );
        assert!(config.relaxed_command_check);
        assert_eq!(config.packet_timeout, Some(Duration::from_secs(31)));
        assert_eq!(config.request_timeout, Duration::from_secs(31));
        assert_eq!(config.delay_accept, Duration::from_secs(1));
        assert_eq!(config.delay_write, Duration::from_secs(2));
        for (words, task) in [
            (&["-names"][..], Task::Names),
            (&["-started"], Task::Started),
            (&["-dump"], Task::Dump),
            (&["-kill"], Task::Kill),
            (&["-stop", "a"], Task::Stop(Name::new("a").unwrap())),
        ] {
            assert_eq!(flags(words).unwrap().task, task);
        }
    }

    #[test]
    fn words_that_epmd_does_not_take_are_told() {
        for (words, told) in [
            (&["-port"][..], "nothing follows"),
            (&["-port", "0"], "1 to 65535"),
            (&["-port", "70000"], "1 to 65535"),
            (&["-address", "localhost"], "localhost"),
            (&["-packet_timeout", "0"], "seconds"),
            (&["-stop"], "name of a node"),
            (&["-systemd"], "Type=exec"),
            (&["--names"], "unknown flag"),
        ] {
            let message = flags(words).unwrap_err();
            assert!(message.contains(told), "{message}");
        }
    }

    #[test]
    fn answers_are_shown_as_otp_shows_them() {
        let shown = listing(b"\0\0\x11\x11name a at port 4\n");
        assert_eq!(
            shown.text,
            "epmd: up and running on port 4369 with data:\nname a at port 4\n"
        );
        assert!(shown.done && !listing(b"").done);
        assert!(killed(b"OK").done && !killed(b"NO").done && !killed(b"").done);
        assert_eq!(stopped(b"NOEXIST").text, "NOEXIST\n");
        assert!(no_answer(b"\x1b[1m").text.contains("\\u{1b}"));
    }
}
