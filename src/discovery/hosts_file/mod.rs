//! Peers are the nodes on the hosts that `.hosts.erlang` names, and those that it names themselves.

pub mod syntax;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Context;
use super::epmd::{Epmd, EpmdConfig};
use super::polling::{Answer, Poll, PollError, Polling};
use super::watched::{Content, Watched};
use crate::name::NodeName;

/// The name that OTP looks for.
const FILE_NAME: &str = ".hosts.erlang";

/// Where the file is, and how often to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostsFileConfig {
    /// The file; `None` for `.hosts.erlang` where OTP looks for it: see [`search_path`].
    pub hosts_file: Option<PathBuf>,
    /// The port of EPMD; `None` for `ERL_EPMD_PORT`, else 4369.
    pub port: Option<u16>,
    /// The longest time between two looks, at the file and at its hosts.
    pub interval: Duration,
    /// How long a name is kept that the answers leave out. Default: [`KEEP_FOR`](super::polling::KEEP_FOR).
    pub keep_for: Duration,
    /// How long a host may take to answer one question.
    pub timeout: Duration,
}

impl Default for HostsFileConfig {
    fn default() -> Self {
        let EpmdConfig {
            port,
            interval,
            keep_for,
            timeout,
            ..
        } = EpmdConfig::default();
        Self {
            hosts_file: None,
            port,
            interval,
            keep_for,
            timeout,
        }
    }
}

/// Where `.hosts.erlang` is looked for, in the order of OTP's `net_adm:host_file/0`: the working directory,
/// the home directory, and the directory of the OTP installation (`ROOTDIR`, which `erl` and releases set for
/// the emulator; beside a sidecar it is mostly unset).
///
/// <https://www.erlang.org/doc/apps/kernel/net_adm.html#module-files>
#[must_use]
pub fn search_path() -> Vec<PathBuf> {
    directories(|variable| std::env::var_os(variable).map(PathBuf::from))
        .into_iter()
        .map(|directory| directory.join(FILE_NAME))
        .collect()
}

fn directories(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let given = |name| variable(name).filter(|path| path != Path::new(""));
    [Some(PathBuf::from(".")), given("HOME"), given("ROOTDIR")]
        .into_iter()
        .flatten()
        .collect()
}

/// Makes the provider.
///
/// An entry with an `@` is a node; every other one is a host, whose EPMD is asked as the provider
/// [`epmd`](super::epmd) does. The file is read again when it changes. One that is missing or has a mistake in
/// it is a failure: the hosts and nodes that it named before stand.
///
/// # Errors
/// A sentence for the user if `ERL_EPMD_PORT` is needed and is no port.
pub fn hosts_file(
    config: &HostsFileConfig,
    context: &Context,
) -> Result<Polling<HostsFile>, String> {
    Ok(Polling::new(HostsFile::new(config, context)?, config.interval).keeping(config.keep_for))
}

/// Reads `.hosts.erlang` and asks its hosts; see [`hosts_file`].
#[derive(Debug)]
pub struct HostsFile {
    file: Watched,
    /// It was understood at least once.
    understood: bool,
    /// Why the file of now is not understood.
    mistake: Option<String>,
    nodes: Vec<NodeName>,
    hosts: Epmd,
}

impl HostsFile {
    fn new(config: &HostsFileConfig, context: &Context) -> Result<Self, String> {
        let paths = match &config.hosts_file {
            Some(path) => vec![path.clone()],
            None => search_path(),
        };
        Ok(Self {
            file: Watched::new(paths),
            understood: false,
            mistake: None,
            nodes: Vec::new(),
            hosts: Epmd::without_hosts(config.port, config.timeout, context.own.clone())?,
        })
    }

    fn take(&mut self, content: &Content) -> Result<(), String> {
        let at = content.path.display();
        let entries = syntax::parse(&content.bytes).map_err(|error| format!("{at}: {error}"))?;
        let (mut nodes, mut hosts) = (Vec::new(), BTreeSet::new());
        for entry in entries {
            let refused = |why| format!("{at}: line {}: {:?}: {why}", entry.line, entry.text);
            if entry.text.contains('@') {
                nodes.push(entry.text.parse().map_err(|error| {
                    let error: crate::InvalidName = error;
                    refused(error.to_string())
                })?);
            } else {
                self.hosts.check(&entry.text).map_err(refused)?;
                hosts.insert(entry.text);
            }
        }
        self.hosts.set_hosts(&hosts)?;
        self.nodes = nodes;
        Ok(())
    }
}

impl Poll for HostsFile {
    fn kind(&self) -> &'static str {
        "hosts_file"
    }

    async fn poll(&mut self) -> Result<Answer, PollError> {
        let unread = match self.file.read().await {
            Ok(None) => None,
            Ok(Some(content)) => {
                self.mistake = self.take(&content).err();
                self.understood |= self.mistake.is_none();
                None
            }
            Err(error) => Some(error),
        };
        let troubles = [unread, self.mistake.clone()];
        if !self.understood {
            let troubles: Vec<_> = troubles.into_iter().flatten().collect();
            return Err(PollError(troubles.join("; ")));
        }
        let asked = self.hosts.look(!self.nodes.is_empty()).await;
        let mut nodes = self.nodes.clone();
        nodes.extend(asked.nodes);
        let troubles: Vec<_> = troubles
            .into_iter()
            .chain([asked.trouble])
            .flatten()
            .collect();
        let trouble = (!troubles.is_empty()).then(|| PollError(troubles.join("; ")));
        match trouble {
            // Nobody said anything yet: no answer rather than an empty one.
            Some(error) if nodes.is_empty() && !asked.answered => Err(error),
            trouble => Ok(Answer {
                nodes,
                trouble,
                ..Answer::default()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::epmd::tests::{context, fake};
    use std::fs;

    fn names(answer: &Answer) -> Vec<&str> {
        let mut names: Vec<&str> = answer.nodes.iter().map(NodeName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_order_of_net_adm() {
        let all = |name: &str| Some(PathBuf::from(format!("/{name}")));
        let paths = directories(all);
        assert_eq!(paths, [".", "/HOME", "/ROOTDIR"].map(PathBuf::from));
        let empty = |_: &str| Some(PathBuf::new());
        assert_eq!(directories(empty), [PathBuf::from(".")]);
    }

    #[tokio::test]
    async fn hosts_are_asked_nodes_are_taken_and_mistakes_change_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        let (port, one) = fake("127.0.0.1", 0).await;
        let (_, two) = fake("127.0.0.2", port).await;
        one.send_replace(Some(vec!["a"]));
        two.send_replace(Some(vec!["b", "hidden"]));
        let config = HostsFileConfig {
            hosts_file: Some(path.clone()),
            port: Some(port),
            ..HostsFileConfig::default()
        };
        let mut source = HostsFile::new(&config, &context("me@127.0.0.1")).unwrap();
        assert!(
            source
                .poll()
                .await
                .unwrap_err()
                .0
                .contains("there is no file")
        );

        fs::write(&path, "'127.0.0.1'.\n").unwrap();
        let answer = source.poll().await.unwrap();
        assert_eq!(
            (names(&answer), &answer.trouble),
            (vec!["a@127.0.0.1"], &None)
        );

        fs::write(&path, "'127.0.0.1'.\n\"127.0.0.2\".\n'c@127.0.0.3'.\n").unwrap();
        let all = ["a@127.0.0.1", "b@127.0.0.2", "c@127.0.0.3"];
        let answer = source.poll().await.unwrap();
        assert_eq!((names(&answer), &answer.trouble), (all.to_vec(), &None));

        for (text, why) in [
            ("'127.0.0.1'.\n'127.0.0.2'\n", "line 2"),
            ("\n\n'a b'.\n", "line 3: \"a b\""),
            ("'x@'.\n", "line 1: \"x@\""),
        ] {
            fs::write(&path, text).unwrap();
            for _ in 0..2 {
                let answer = source.poll().await.unwrap();
                let trouble = answer.trouble.clone().unwrap().0;
                assert!(
                    trouble.contains(why) && trouble.contains("hosts: "),
                    "{trouble}"
                );
                assert_eq!(names(&answer), all);
            }
        }
        fs::remove_file(&path).unwrap();
        let answer = source.poll().await.unwrap();
        assert!(answer.trouble.is_some());
        assert_eq!(names(&answer), all);

        fs::write(&path, "'127.0.0.2'.\n").unwrap();
        let answer = source.poll().await.unwrap();
        assert_eq!(
            (names(&answer), &answer.trouble),
            (vec!["b@127.0.0.2"], &None)
        );
        fs::write(&path, "% nobody\n").unwrap();
        assert_eq!(source.poll().await.unwrap(), Answer::default());
    }

    #[tokio::test]
    async fn a_host_that_is_down_takes_no_listed_node_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        let (port, _) = fake("127.0.0.1", 0).await;
        fs::write(&path, "'127.0.0.9'.\n").unwrap();
        let config = HostsFileConfig {
            hosts_file: Some(path.clone()),
            port: Some(port),
            ..HostsFileConfig::default()
        };
        let mut source = HostsFile::new(&config, &context("me@127.0.0.1")).unwrap();
        let error = source.poll().await.unwrap_err();
        assert!(error.0.contains("127.0.0.9"), "{error}");
        fs::write(&path, "'127.0.0.9'. 'c@127.0.0.3'.\n").unwrap();
        let answer = source.poll().await.unwrap();
        assert_eq!(names(&answer), ["c@127.0.0.3"]);
        assert!(answer.trouble.unwrap().0.contains("127.0.0.9"));
    }
}
