//! Peers are the names that a program prints.

use std::fmt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::names::{self, MAX_BYTES};
use super::polling::{Answer, KEEP_FOR, Poll, PollError, Polling};
use crate::name::NodeName;

/// When a program is run again that printed nothing where it had printed names before.
const AGAIN: Duration = Duration::from_secs(1);

/// How much of what the program prints as errors is kept, from its end.
const KEPT: usize = 4096;

/// How much of the last line of that is told, in characters.
const TOLD: usize = 200;

/// Which program, and how often to run it.
#[derive(Clone, PartialEq, Eq)]
pub struct CommandConfig {
    /// The program and its arguments. No shell comes in between. A program without a slash is looked for in
    /// `PATH`.
    pub command: Vec<String>,
    /// The longest time between two runs.
    pub interval: Duration,
    /// How long a name is kept that the answers leave out. Default: [`KEEP_FOR`].
    pub keep_for: Duration,
    /// How long a run may take.
    pub timeout: Duration,
}

/// Arguments may be credentials; only the program is shown.
impl fmt::Debug for CommandConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandConfig")
            .field("program", &self.command.first())
            .field("interval", &self.interval)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl CommandConfig {
    /// A program and its arguments, run every 10 s for at most 5 s.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            interval: Duration::from_secs(10),
            keep_for: KEEP_FOR,
            timeout: Duration::from_secs(5),
        }
    }
}

/// Makes the provider.
///
/// The program prints names as [`names::read`] takes them, ends, and says by its exit status whether they are
/// all: any status but 0 is a failure, whatever was printed, and the names of the run before stand. A program that
/// prints nothing, as a pipeline does whose first part has failed, says "nobody" only if it does so twice in a row;
/// an empty JSON array says it at once. The program has its
/// own process group; when it takes too long, prints more than a megabyte, or the provider is to stop, the
/// whole group is killed.
///
/// # Errors
/// A sentence for the user if no program is named.
pub fn command(config: &CommandConfig) -> Result<Polling<Program>, String> {
    let [program, arguments @ ..] = config.command.as_slice() else {
        return Err("command is empty; name a program".into());
    };
    let source = Program::new(program, arguments, config.timeout);
    Ok(Polling::new(source, config.interval).keeping(config.keep_for))
}

/// Runs a program; see [`command`].
pub struct Program {
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
    /// What the last run printed.
    names: Vec<NodeName>,
    /// The last run printed nothing where the one before had printed names.
    silent: bool,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

impl Poll for Program {
    fn kind(&self) -> &'static str {
        "command"
    }

    async fn poll(&mut self) -> Result<Answer, PollError> {
        let program = &self.program;
        let failed = |why: String| {
            let why = without(&why, &self.arguments);
            PollError(format!("{program}: {why}"))
        };
        let child = self.spawn().map_err(|error| {
            failed(format!(
                "cannot be started: {error}; is it there, in PATH or by its whole path, and executable?"
            ))
        })?;
        // A task of its own: when this future is dropped the group still has to be killed and reaped.
        let (wanted, unwanted) = oneshot::channel::<()>();
        let running = tokio::spawn(run(child, self.timeout, unwanted));
        let output = running
            .await
            .map_err(|error| failed(format!("running it failed: {error}")))?
            .map_err(failed)?;
        drop(wanted);
        let names =
            names::read(&output).map_err(|error| failed(format!("in what it printed, {error}")))?;
        let blank = output.trim_ascii().is_empty();
        if blank && !self.names.is_empty() && !self.silent {
            self.silent = true;
            return Ok(Answer::new(self.names.clone(), Some(AGAIN)));
        }
        self.silent = false;
        self.names.clone_from(&names);
        Ok(Answer::new(names, None))
    }
}

impl Program {
    fn new(program: &str, arguments: &[String], timeout: Duration) -> Self {
        Self {
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            timeout,
            names: Vec::new(),
            silent: false,
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        // The BEAM leaves its sockets open to what a library in it starts. A program that outlived its node would
        // keep the node's port taken and, by the connection to EPMD, its name.
        close_fds::set_fds_cloexec_threadsafe(3, &[]);
        Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }
}

/// Kills a program with all that it started, unless it is told that the program has ended.
struct Group(Option<Pid>);

impl Group {
    /// The group of a child that was given its own. While the child is not reaped its number is nobody else's.
    fn of(child: &Child) -> Self {
        let number = child.id().and_then(|id| i32::try_from(id).ok());
        Self(number.and_then(Pid::from_raw))
    }

    fn kill(&mut self) {
        if let Some(leader) = self.0.take() {
            // An error says that all of them have ended.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What the program printed, or why that does not count. Ends early when `unwanted` says that nobody waits.
async fn run(
    mut child: Child,
    within: Duration,
    unwanted: oneshot::Receiver<()>,
) -> Result<Vec<u8>, String> {
    let mut group = Group::of(&child);
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let ended = tokio::select! {
        ended = timeout(within, async {
            // To their ends before it is reaped, so that its group can be killed until then.
            let all = tokio::join!(read_all(stdout, &mut output), read_last(stderr, &mut errors)).0;
            if !all {
                return Err(format!("it prints more than {MAX_BYTES} bytes; it was killed"));
            }
            child.wait().await.map_err(|error| format!("its exit status is not to be had: {error}"))
        }) => ended.unwrap_or_else(|_| Err(format!(
            "it has not ended, or something that it started still holds its output, after {within:?}; it was \
             killed; raise timeout if it needs longer"
        ))),
        _ = unwanted => Err("nobody waits for it any more".into()),
    };
    match &ended {
        Ok(_) => group.0 = None,
        Err(_) => {
            group.kill();
            // It cannot take long now. An error says that it is reaped already.
            let _ = child.wait().await;
        }
    }
    let why = match ended {
        Ok(status) if status.success() => return Ok(output),
        Ok(status) => shown_status(status),
        Err(why) => why,
    };
    Err(match last_line(&errors) {
        Some(line) => format!("{why}; it said: {line}"),
        None => why,
    })
}

/// The text without what may be a credential in the program's arguments, which the program may have printed. Paths and
/// flags stay.
fn without(text: &str, arguments: &[String]) -> String {
    /// A shorter word is in many messages, and hardly a credential.
    const SHORTEST: usize = 8;
    let mut words: Vec<&str> = Vec::new();
    for argument in arguments {
        // The whole, what stands after an equals sign, and the words of a script or a header that are not those of a
        // language.
        words.push(argument);
        words.extend(argument.split(['=', '&']).skip(1));
        let parts = argument.split(|c: char| c.is_whitespace() || "\"'=&?,;".contains(c));
        words.extend(parts.filter(|part| part.chars().any(|c| !c.is_ascii_lowercase())));
    }
    let is_place = |word: &str| word.starts_with(['/', '.', '~', '-']) && !word.contains('=');
    words.retain(|word| word.len() >= SHORTEST && !is_place(word));
    // User and password of a URL are credentials however short they are.
    for url in arguments
        .iter()
        .flat_map(|argument| argument.split("://").skip(1))
    {
        let authority = url.split('/').next().unwrap_or_default();
        if let Some((user, _)) = authority.rsplit_once('@') {
            words.extend(user.split(':').filter(|word| !word.is_empty()));
        }
    }
    // The longest first: of none must be left what is half of another.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words
        .into_iter()
        .fold(text.to_owned(), |text, word| text.replace(word, "..."))
}

/// Reads to the end, and says whether that was within the bound.
async fn read_all(pipe: Option<impl AsyncRead + Unpin>, output: &mut Vec<u8>) -> bool {
    if let Some(pipe) = pipe {
        // An error ends the output as its end does; the exit status tells whether it counts.
        let _ = pipe.take(MAX_BYTES as u64 + 1).read_to_end(output).await;
    }
    output.len() <= MAX_BYTES
}

/// Reads to the end and keeps what came last.
async fn read_last(pipe: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    let mut chunk = [0; KEPT];
    while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
        kept.extend(&chunk[..length]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
}

fn shown_status(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it ended with exit status {code}"),
        (None, Some(signal)) => format!("signal {signal} ended it"),
        (None, None) => format!("it ended: {status}"),
    }
}

/// The last line that says anything, without what would move a terminal's cursor.
fn last_line(errors: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(errors);
    let line = text
        .lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())?;
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    Some(line.chars().take(TOLD).map(plain).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    fn sh(script: &str, within: Duration) -> Program {
        Program::new("sh", &["-c".into(), script.into()], within)
    }

    async fn poll(script: &str) -> Result<Vec<String>, String> {
        match sh(script, Duration::from_secs(30)).poll().await {
            Ok(answer) => Ok(answer.nodes.iter().map(ToString::to_string).collect()),
            Err(error) => Err(error.0),
        }
    }

    #[tokio::test]
    async fn names_are_taken_when_the_exit_status_is_0() {
        let names = poll("echo a@x; echo '# b'; echo c@x; echo noise >&2").await;
        assert_eq!(names.unwrap(), ["a@x", "c@x"]);
        assert_eq!(poll("echo '[\"a@x\"]'").await.unwrap(), ["a@x"]);
        assert_eq!(poll("true").await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn what_a_program_says_of_its_arguments_is_told_without_credentials() {
        for arguments in [
            vec!["--token=hush-hush", "/etc/peers"],
            vec!["-H", "Authorization: Bearer hush-hush", "/etc/peers"],
            vec![
                "https://me:hush@peers.internal/names?key=hush-hush",
                "/etc/peers",
            ],
            vec!["-u", "hush-hush", "/etc/peers"],
        ] {
            let script = "echo \"cannot read $0 $*\" >&2; exit 1".to_owned();
            let arguments = arguments.into_iter().map(str::to_owned);
            let arguments: Vec<_> = ["-c".to_owned(), script]
                .into_iter()
                .chain(arguments)
                .collect();
            let mut program = Program::new("sh", &arguments, Duration::from_secs(300));
            let error = program.poll().await.unwrap_err().0;
            assert!(error.contains("it said: cannot read"), "{error}");
            assert!(error.ends_with("/etc/peers"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_program_that_prints_nothing_once_has_not_said_that_nobody_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let printed = folder.path().join("printed");
        let script = format!("cat {}", printed.display());
        let mut program = sh(&script, Duration::from_secs(30));
        let mut prints = async |text: &str| {
            fs::write(&printed, text).unwrap();
            program.poll().await.unwrap()
        };
        let known = vec!["a@x".parse().unwrap()];
        assert_eq!(prints("").await.nodes, []);
        assert_eq!(prints("a@x\n").await.nodes, known);
        let doubted = prints("\n").await;
        assert_eq!((doubted.nodes, doubted.ttl), (known.clone(), Some(AGAIN)));
        assert_eq!(prints("a@x\n").await.nodes, known);
        assert_eq!(prints("").await.nodes, known);
        assert_eq!(prints("").await.nodes, []);
        assert_eq!(prints("a@x\n").await.nodes, known);
        assert_eq!(prints("[]").await.nodes, [], "said in so many words");
    }

    #[tokio::test]
    async fn everything_else_is_a_failure_with_its_cause() {
        for (script, parts) in [
            (
                "echo a@x; echo first >&2; printf 'no \\033[1mtoken\\n\\n' >&2; exit 3",
                vec!["sh: it ended with exit status 3; it said: no  [1mtoken"],
            ),
            ("kill -9 $$", vec!["signal 9 ended it"]),
            (
                "echo a@x; echo b",
                vec!["in what it printed, line 2: \"b\""],
            ),
            ("yes a@x", vec!["more than 1048576 bytes"]),
        ] {
            let error = poll(script).await.unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{error:?}");
        }
        let error = poll("exec seq 1 100000 >&2; exit 1").await;
        assert!(
            error.is_ok(),
            "errors without end do not block it: {error:?}"
        );
        let mut missing = Program::new("/nonexistent/peers", &[], Duration::from_secs(1));
        let error = missing.poll().await.unwrap_err().0;
        assert!(
            error.starts_with("/nonexistent/peers: cannot be started"),
            "{error}"
        );
    }

    /// Whether a process is there and no zombie.
    fn runs(pid: &str) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim()));
        status.is_ok_and(|status| !status.contains("State:\tZ"))
    }

    async fn pid_in(path: &Path) -> String {
        loop {
            match fs::read_to_string(path) {
                Ok(pid) if pid.ends_with('\n') => return pid,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    async fn until_gone(pid: &str) {
        let start = Instant::now();
        while runs(pid) {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{pid} still runs"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The failure of a program whose time is over after it wrote the file, and the time that it was given. On a
    /// busy machine it may take long until the shell comes so far.
    async fn cut_short(script: &str, written: &Path) -> (String, &'static str) {
        for (timeout, shown) in [(300, "300ms"), (5_000, "5s"), (60_000, "60s")] {
            let polled = sh(script, Duration::from_millis(timeout)).poll().await;
            if fs::metadata(written).is_ok_and(|file| file.len() > 0) {
                return (polled.unwrap_err().0, shown);
            }
        }
        panic!("the shell does not come so far");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_killed_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let script = format!(
            "sleep 1000 & echo waits for the database >&2; echo $! > {}; wait",
            path.display()
        );
        let (error, shown) = cut_short(&script, &path).await;
        assert!(
            error.contains(&format!("after {shown}")) && error.contains("waits for the database"),
            "{error}"
        );
        until_gone(&pid_in(&path).await).await;
    }

    #[tokio::test]
    async fn one_that_leaves_something_behind_with_its_output_is_not_waited_for_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let script = format!("echo a@x; sleep 1000 & echo $! > {}", path.display());
        let (error, _) = cut_short(&script, &path).await;
        assert!(error.contains("still holds its output"), "{error}");
        until_gone(&pid_in(&path).await).await;
    }

    #[tokio::test]
    async fn a_stop_kills_it_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let (child, parent) = (
            directory.path().join("child"),
            directory.path().join("parent"),
        );
        let script = format!(
            "sleep 1000 & echo $! > {}; echo $$ > {}; wait",
            child.display(),
            parent.display()
        );
        let task = tokio::spawn(async move { sh(&script, Duration::from_secs(1000)).poll().await });
        let (child, parent) = (pid_in(&child).await, pid_in(&parent).await);
        assert!(runs(&child) && runs(&parent));
        task.abort();
        until_gone(&child).await;
        until_gone(&parent).await;
        // Reaped too, and no zombie until the whole process ends.
        let start = Instant::now();
        while Path::new(&format!("/proc/{}", parent.trim())).exists() {
            assert!(start.elapsed() < Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[test]
    fn arguments_are_not_shown() {
        let config = CommandConfig::new(["peers", "--token", "monster"]);
        let shown = format!("{config:?}{:?}", command(&config).unwrap());
        assert!(
            shown.contains("peers") && !shown.contains("monster"),
            "{shown}"
        );
        let empty = CommandConfig::new(Vec::<String>::new());
        assert!(command(&empty).unwrap_err().contains("empty"));
    }
}
