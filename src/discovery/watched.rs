//! A small file that is read again when it has changed.
//!
//! Its metadata is asked for instead of waiting for the kernel to tell (inotify): that also sees a change
//! on a network file system, a file that appears later, and a Kubernetes `ConfigMap`, whose file is a link
//! to another directory after each change. One `stat` a second costs some microseconds.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::names::MAX_BYTES;

/// How long reading may take. A network file system whose server is away can take for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file that was written to less than this ago may not be whole yet.
const SETTLED: Duration = Duration::from_millis(100);

/// How often it is waited for that a file settles; then it is read as it is.
const SETTLING: u32 = 20;

/// Two changes within one tick of the file system's clock look like one. The coarsest in use, FAT's, has
/// ticks of two seconds, so what changed that recently is read again next time.
const TICK: Duration = Duration::from_secs(2);

/// How long a file has to be empty before it counts as empty, where it had content before.
pub(super) const EMPTY: Duration = Duration::from_secs(2);

/// Reads one of several files, the first that there is.
#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    /// What was read last.
    seen: Option<Seen>,
    /// Whether there was anything in it.
    had_content: bool,
    /// Since when a file that had content has none. It may be about to be written.
    empty_since: Option<Instant>,
    /// A reading that took too long. There is never a second beside it: each holds a thread.
    reading: Option<JoinHandle<Reading>>,
}

type Reading = Result<Option<Found>, String>;

/// Where the content of a file was, and what distinguishes it from a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    stamp: Stamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Debug)]
struct Found {
    content: Content,
    /// `None` if it may change without looking changed.
    seen: Option<Seen>,
}

/// A file's path and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

impl Watched {
    /// Looks for these files, in this order.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            seen: None,
            had_content: false,
            empty_since: None,
            reading: None,
        }
    }

    /// Reads the first of the files that exists; `None` if it is as it was last time.
    ///
    /// A file that is being written to is waited for, up to some seconds. A file that has become empty counts as
    /// unchanged until it was seen empty twice, [`EMPTY`] apart: many programs truncate a file before they write
    /// it anew.
    ///
    /// # Errors
    /// A sentence for the user if none of the files exists, it cannot be read, or it is too large.
    pub async fn read(&mut self) -> Result<Option<Content>, String> {
        let (paths, seen) = (self.paths.clone(), self.seen.clone());
        let reading = self
            .reading
            .get_or_insert_with(|| spawn_blocking(move || read_first(&paths, seen.as_ref())));
        let Ok(read) = timeout(PATIENCE, reading).await else {
            let path = self.paths.first().map(|path| path.display().to_string());
            return Err(format!(
                "reading {} takes longer than {PATIENCE:?}; does its file system answer?",
                path.unwrap_or_default()
            ));
        };
        self.reading = None;
        let found = read.map_err(|error| format!("reading failed: {error}"))?;
        // A failure leaves the stamp: what comes back unchanged has been understood already.
        let Some(Found { content, seen }) = found? else {
            return Ok(None);
        };
        let is_empty = content.bytes.trim_ascii().is_empty();
        if is_empty && self.had_content {
            let since = *self.empty_since.get_or_insert_with(Instant::now);
            if since.elapsed() < EMPTY {
                return Ok(None);
            }
        }
        self.had_content = !is_empty;
        self.empty_since = None;
        self.seen = seen;
        Ok(Some(content))
    }

    /// Whether the file has become empty and should be looked at again soon.
    pub fn doubts(&self) -> bool {
        self.empty_since.is_some()
    }
}

fn read_first(paths: &[PathBuf], seen: Option<&Seen>) -> Reading {
    for path in paths {
        match read_one(path, seen) {
            // As OTP's `file:path_consult/2` goes on to the next directory.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
            Ok(found) => return Ok(found),
        }
    }
    let paths: Vec<_> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    Err(match paths.as_slice() {
        [path] => format!("there is no file {path}; create it, or correct its path"),
        several => format!("there is no file at any of {}", several.join(", ")),
    })
}

fn read_one(path: &Path, seen: Option<&Seen>) -> io::Result<Option<Found>> {
    let mut left = SETTLING;
    loop {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            // Opening a named pipe waits for a writer.
            return Err(io::Error::other("it is no regular file"));
        }
        let now = Seen {
            path: path.to_owned(),
            stamp: stamp(&metadata),
        };
        if seen == Some(&now) {
            return Ok(None);
        }
        left -= 1;
        if left > 0 && younger(&metadata, SETTLED) {
            sleep(SETTLED / 2);
            continue;
        }
        let mut bytes = Vec::new();
        let mut file = File::open(path)?;
        file.by_ref()
            .take(MAX_BYTES as u64 + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() > MAX_BYTES {
            return Err(io::Error::other(format!(
                "it has more than {MAX_BYTES} bytes; is it the right file?"
            )));
        }
        if left > 0 && stamp(&fs::metadata(path)?) != now.stamp {
            continue;
        }
        return Ok(Some(Found {
            seen: (!younger(&metadata, TICK)).then_some(now),
            content: Content {
                path: path.to_owned(),
                bytes,
            },
        }));
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Whether a file was written to less than `age` ago. A file from the future, written by a machine whose
/// clock is ahead, may be of any age.
fn younger(metadata: &Metadata, age: Duration) -> bool {
    let elapsed = |time: SystemTime| time.elapsed().unwrap_or(SETTLED);
    metadata.modified().is_ok_and(|time| elapsed(time) < age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::write;
    use std::io::Write as _;

    fn old(path: &Path) {
        let file = File::options().append(true).open(path).unwrap();
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(hour_ago).unwrap();
    }

    #[tokio::test]
    async fn read_once_and_again_after_each_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peers");
        let mut watched = Watched::new(vec![path.clone()]);
        let error = watched.read().await.unwrap_err();
        assert!(
            error.contains("there is no file") && error.contains("peers"),
            "{error}"
        );

        write(&path, "one").unwrap();
        old(&path);
        let content = watched.read().await.unwrap().unwrap();
        assert_eq!(
            (content.path, content.bytes),
            (path.clone(), b"one".to_vec())
        );
        assert_eq!(watched.read().await, Ok(None));

        // As long as before, and as old: another inode tells it apart.
        let other = directory.path().join("other");
        write(&other, "two").unwrap();
        old(&other);
        fs::rename(&other, &path).unwrap();
        assert_eq!(watched.read().await.unwrap().unwrap().bytes, b"two");

        // Written in place twice within one tick of the clock.
        write(&path, "3").unwrap();
        assert_eq!(watched.read().await.unwrap().unwrap().bytes, b"3");
        assert!(
            watched.read().await.unwrap().is_some(),
            "too young to trust its stamp"
        );

        fs::remove_file(&path).unwrap();
        assert!(watched.read().await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_truncated_before_it_is_written_anew_is_not_empty_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("peers");
        let mut watched = Watched::new(vec![path.clone()]);
        write(&path, "").unwrap();
        let bytes = watched.read().await.unwrap().unwrap().bytes;
        assert_eq!(bytes, b"", "at first there is nothing to lose");
        write(&path, "a@x").unwrap();
        assert!(watched.read().await.unwrap().is_some());

        tokio::time::pause();
        for blank in ["", "\n"] {
            write(&path, blank).unwrap();
            old(&path);
            assert_eq!(watched.read().await, Ok(None));
            assert!(watched.doubts());
            tokio::time::advance(EMPTY / 2).await;
            assert_eq!(watched.read().await, Ok(None));
            write(&path, "b@x").unwrap();
            assert_eq!(watched.read().await.unwrap().unwrap().bytes, b"b@x");
            assert!(!watched.doubts());
        }
        write(&path, "").unwrap();
        assert_eq!(watched.read().await, Ok(None));
        tokio::time::advance(EMPTY).await;
        assert_eq!(watched.read().await.unwrap().unwrap().bytes, b"");
        assert!(!watched.doubts());
    }

    #[tokio::test]
    async fn a_link_that_is_turned_as_kubernetes_does() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, content) in [("v1", "a@x"), ("v2", "b@x")] {
            fs::create_dir(at(version)).unwrap();
            write(at(version).join("peers"), content).unwrap();
            old(&at(version).join("peers"));
        }
        std::os::unix::fs::symlink("v1", at("data")).unwrap();
        let mut watched = Watched::new(vec![at("data").join("peers")]);
        assert_eq!(watched.read().await.unwrap().unwrap().bytes, b"a@x");
        std::os::unix::fs::symlink("v2", at("new")).unwrap();
        fs::rename(at("new"), at("data")).unwrap();
        assert_eq!(watched.read().await.unwrap().unwrap().bytes, b"b@x");
    }

    #[tokio::test]
    async fn half_a_file_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut read = Vec::new();
        // On a busy machine the writer may be held up for longer than a file is waited for, but not each time.
        for round in 0..20 {
            let path = directory.path().join(format!("peers{round}"));
            let mut file = File::create(&path).unwrap();
            file.write_all(b"shop@10.0.0").unwrap();
            let writer = std::thread::spawn(move || {
                sleep(Duration::from_millis(30));
                file.write_all(b".7\n").unwrap();
            });
            let content = Watched::new(vec![path]).read().await.unwrap().unwrap();
            writer.join().unwrap();
            read = content.bytes;
            if read == b"shop@10.0.0.7\n" {
                return;
            }
        }
        panic!("it was read as {:?}", String::from_utf8_lossy(&read));
    }

    #[tokio::test]
    async fn the_first_that_exists_and_nothing_but_a_small_regular_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut watched = Watched::new(vec![at("one"), at("two")]);
        let error = watched.read().await.unwrap_err();
        assert!(error.contains("one, ") && error.contains("two"), "{error}");
        write(at("two"), "2").unwrap();
        assert_eq!(watched.read().await.unwrap().unwrap().path, at("two"));
        fs::create_dir(at("one")).unwrap();
        let error = watched.read().await.unwrap_err();
        assert!(error.contains("no regular file"), "{error}");
        fs::remove_dir(at("one")).unwrap();
        write(at("one"), vec![b'#'; MAX_BYTES + 1]).unwrap();
        let error = watched.read().await.unwrap_err();
        assert!(error.contains("more than"), "{error}");
    }
}
