//! The way of log lines to standard error: a writer that never fails, never panics and never waits.
//!
//! A log that cannot be written must not end the work, nor hold it up: the disk may be full, the reader of the pipe may be
//! gone, or may read nothing for an hour. So a thread of its own writes the lines. Those that it cannot write are
//! counted, and the count is written as soon as writing works again.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait, and how many bytes in all.
const MOST: (usize, usize) = (4096, 4 << 20);
/// The pause before the count of lost lines is tried again.
const AGAIN: Duration = Duration::from_secs(10);

/// Takes lines and has them written in order. Cheap to clone.
#[derive(Clone)]
pub struct LogWriter(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The thread has a line in its hands.
    writing: bool,
    /// Lines that were lost and whose count was not written yet.
    lost: u64,
}

impl LogWriter {
    /// Starts the thread that writes to `sink`. `notice` is the line that tells how many lines were lost.
    ///
    /// # Errors
    /// That of the operating system if it gives no thread.
    pub fn start(
        sink: impl Write + Send + 'static,
        notice: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("log".into())
            .stack_size(256 * 1024)
            .spawn(move || theirs.write(sink, notice))?;
        Ok(Self(shared))
    }

    /// Waits until all lines are written, but not longer than `within`: the sink may never take them.
    pub fn flush(&self, within: Duration) {
        let queue = self.0.queue();
        let busy = |queue: &mut Queue| queue.writing || !queue.lines.is_empty();
        drop(self.0.changed.wait_timeout_while(queue, within, busy));
    }

    fn push(&self, line: &[u8]) {
        let mut queue = self.0.queue();
        if queue.lines.len() >= MOST.0 || queue.bytes + line.len() > MOST.1 {
            queue.lost += 1;
        } else {
            queue.bytes += line.len();
            queue.lines.push_back(line.to_vec());
        }
        drop(queue);
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut sink: impl Write, notice: impl Fn(u64) -> String) {
        let mut notice_after = Instant::now();
        loop {
            let (line, lost) = self.next(notice_after);
            let line = match lost {
                0 => line,
                lost => notice(lost).into_bytes(),
            };
            let written = sink.write_all(&line).and_then(|()| sink.flush()).is_ok();
            let mut queue = self.queue();
            queue.writing = false;
            match (lost, written) {
                (0, true) => notice_after = Instant::now(),
                (0, false) => queue.lost += 1,
                (lost, true) => queue.lost -= lost,
                (_, false) => notice_after = Instant::now() + AGAIN,
            }
            drop(queue);
            self.changed.notify_all();
        }
    }

    /// Waits for the next line, or for the time to write how many were lost: once nothing else waits.
    fn next(&self, notice_after: Instant) -> (Vec<u8>, u64) {
        let mut queue = self.queue();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                queue.writing = true;
                return (line, 0);
            }
            let wait = match queue.lost {
                0 => None,
                lost => {
                    let wait = notice_after.saturating_duration_since(Instant::now());
                    if wait.is_zero() {
                        queue.writing = true;
                        return (Vec::new(), lost);
                    }
                    Some(wait)
                }
            };
            queue = match wait {
                None => self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(wait) => {
                    let waited = self.changed.wait_timeout(queue, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

/// One line, as `tracing_subscriber` writes it: in one piece.
pub struct Line<'a>(&'a LogWriter);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(60);

    /// Each write waits for its result, and then shows what was written.
    struct Sink {
        results: mpsc::Receiver<bool>,
        written: mpsc::Sender<String>,
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // When the test is over, nothing fails any more.
            if !self.results.recv().unwrap_or(true) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let _ = self
                .written
                .send(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn writer() -> (LogWriter, mpsc::Sender<bool>, mpsc::Receiver<String>) {
        let (allow, results) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let sink = Sink { results, written };
        let writer = LogWriter::start(sink, |lost| format!("{lost} lost")).unwrap();
        (writer, allow, lines)
    }

    #[test]
    fn a_full_disk_loses_lines_and_says_so_when_there_is_room_again() {
        let (writer, allow, lines) = writer();
        for line in ["one", "two", "three"] {
            writer.make_writer().write_all(line.as_bytes()).unwrap();
        }
        for result in [false, false, true, true] {
            allow.send(result).unwrap();
        }
        assert_eq!(lines.recv_timeout(WITHIN).unwrap(), "three");
        assert_eq!(lines.recv_timeout(WITHIN).unwrap(), "2 lost");
    }

    #[test]
    fn a_reader_that_reads_nothing_holds_up_nobody() {
        let (writer, allow, lines) = writer();
        let all = MOST.0 + 100;
        for index in 0..all {
            writer
                .make_writer()
                .write_all(format!("{index}").as_bytes())
                .unwrap();
        }
        // Nothing was written so far, and waiting for it ends.
        writer.flush(Duration::from_millis(1));
        drop(allow);
        let mut last = String::new();
        let mut count = 0;
        while !last.ends_with(" lost") {
            last = lines.recv_timeout(WITHIN).unwrap();
            count += 1;
        }
        let lost: usize = last.split(' ').next().unwrap().parse().unwrap();
        assert!((99..=100).contains(&lost), "{lost}");
        assert_eq!(count - 1 + lost, all);
        writer.flush(WITHIN);
    }
}
