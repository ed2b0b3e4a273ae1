//! Peers are the names in a file, which is read again when it changes.

use std::path::PathBuf;
use std::time::Duration;

use super::names;
use super::polling::{Answer, Poll, PollError, Polling};
use super::watched::{EMPTY, Watched};
use crate::name::NodeName;

/// Which file, and how often to look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileConfig {
    /// The file: one name a line, `#` before comments, or a JSON array of names; see
    /// [`names::read`]. A relative path starts at the working directory.
    pub path: PathBuf,
    /// The longest time between two looks.
    pub interval: Duration,
}

impl FileConfig {
    /// A file at `path`, looked at once a second.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            interval: Duration::from_secs(1),
        }
    }
}

/// Makes the provider.
///
/// A file that is missing or has a mistake in it is a failure: the names that were in it before stand.
/// An empty file is a complete answer of no peers. Where there were some, the file must be empty for two seconds,
/// since many programs truncate a file before they write it anew.
#[must_use]
pub fn file(config: &FileConfig) -> Polling<NamesInFile> {
    let source = NamesInFile {
        file: Watched::new(vec![config.path.clone()]),
        names: None,
    };
    Polling::new(source, config.interval)
}

/// Reads names from a file; see [`file()`].
#[derive(Debug)]
pub struct NamesInFile {
    file: Watched,
    /// What it said when it was read last.
    names: Option<Result<Vec<NodeName>, String>>,
}

impl Poll for NamesInFile {
    fn kind(&self) -> &'static str {
        "file"
    }

    async fn poll(&mut self) -> Result<Answer, PollError> {
        if let Some(content) = self.file.read().await.map_err(PollError)? {
            let read = names::read(&content.bytes)
                .map_err(|error| format!("{}: {error}", content.path.display()));
            self.names = Some(read);
        }
        match &self.names {
            Some(Ok(names)) => {
                let soon = self.file.doubts().then_some(EMPTY);
                Ok(Answer::new(names.clone(), soon))
            }
            Some(Err(error)) => Err(PollError(error.clone())),
            None => Err(PollError("the file has not been read".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn a_mistake_is_told_until_it_is_mended_and_an_empty_file_is_an_answer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peers");
        let mut source = NamesInFile {
            file: Watched::new(vec![path.clone()]),
            names: None,
        };
        assert!(
            source
                .poll()
                .await
                .unwrap_err()
                .0
                .contains("there is no file")
        );
        fs::write(&path, "a@x\nb@x\n").unwrap();
        let names = source.poll().await.unwrap().nodes;
        assert_eq!(names, ["a@x".parse().unwrap(), "b@x".parse().unwrap()]);
        fs::write(&path, "a@x\n\nb\n").unwrap();
        for _ in 0..2 {
            let error = source.poll().await.unwrap_err().0;
            assert!(error.contains("peers: line 3"), "{error}");
        }
        fs::write(&path, "a@x\n").unwrap();
        assert_eq!(source.poll().await.unwrap().nodes.len(), 1);
        fs::write(&path, "").unwrap();
        let doubted = Answer::new(vec!["a@x".parse().unwrap()], Some(EMPTY));
        assert_eq!(source.poll().await.unwrap(), doubted);
        tokio::time::pause();
        tokio::time::advance(EMPTY).await;
        assert_eq!(source.poll().await.unwrap(), Answer::default());
    }
}
