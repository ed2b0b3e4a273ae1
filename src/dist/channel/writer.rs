//! The task that writes what waits for the peer, and that looks after the ticks.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use futures::FutureExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep, timeout};

use super::Batch;
use super::sender::Shared;
use super::ticker::{CHECKS, Ticker, Verdict};
use crate::dist::close::CloseReason;

/// How long a connection that is closed here may take to write what still waits.
const FLUSH: Duration = Duration::from_millis(500);
/// A peer that takes this long for one batch reads slowly; one that needs a quarter of it no longer.
const SLOW: Duration = Duration::from_millis(200);

/// Writes until the connection is to end.
pub(super) async fn run<W: AsyncWrite + Unpin>(io: W, shared: Arc<Shared>) {
    // Also when the runtime drops this task.
    let end = End(shared);
    let shared = &end.0;
    let mut writer = Writer {
        io,
        shared,
        batch: Batch::default(),
        unflushed: false,
        slow: false,
        ticker: Ticker::default(),
        next_check: Box::pin(sleep(shared.tick_time() / u32::from(CHECKS))),
    };
    if let Err(reason) = writer.run().await {
        shared.close(reason);
    }
    if matches!(
        shared.reason(),
        Some(CloseReason::Local | CloseReason::Replaced)
    ) {
        // A peer that takes nothing must not hold up the end.
        let _ = timeout(FLUSH, writer.finish()).await;
    }
    let _ = timeout(FLUSH, writer.io.shutdown()).await;
}

/// Notes when it was first asked, and is never done.
async fn now(first: &mut Option<Instant>) {
    first.get_or_insert_with(Instant::now);
    std::future::pending().await
}

struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Writer<'a, W> {
    io: W,
    shared: &'a Shared,
    batch: Batch,
    /// The stream took bytes that it has not passed on: TLS keeps up to 64 KiB while the socket is full.
    unflushed: bool,
    slow: bool,
    ticker: Ticker,
    next_check: Pin<Box<Sleep>>,
}

impl<W: AsyncWrite + Unpin> Writer<'_, W> {
    /// Writes until there is a reason not to, or one has been given to the connection.
    async fn run(&mut self) -> Result<(), CloseReason> {
        while !self.shared.is_closing() {
            if self.batch.has_remaining() {
                let waited = self.write().await?;
                self.pace(waited);
            } else if !self.shared.take(&mut self.batch) {
                tokio::select! {
                    biased;
                    flushed = self.io.flush(), if self.unflushed => {
                        flushed?;
                        self.unflushed = false;
                    }
                    () = self.shared.work() => {}
                    () = &mut self.next_check => self.check()?,
                }
            }
        }
        Ok(())
    }

    /// Writes the batch, unless there comes a reason to end; says how long the peer made it wait.
    async fn write(&mut self) -> Result<Duration, CloseReason> {
        let mut waiting = None;
        while self.batch.has_remaining() && !self.shared.is_closing() {
            tokio::select! {
                // Most batches go at once, and then nothing else need be looked at, not even the time.
                biased;
                written = self.io.write_buf(&mut self.batch) => self.count(written?)?,
                () = now(&mut waiting) => {}
                () = self.shared.work() => {}
                () = &mut self.next_check => self.check()?,
            }
        }
        // The peer may take its time for this, also for ever: ticks, checks, more messages and the end of the
        // connection do not wait for it.
        self.unflushed = self.io.flush().now_or_never().transpose()?.is_none();
        Ok(waiting.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// Notes how long the peer took for a batch.
    fn pace(&mut self, took: Duration) {
        let slow = took > if self.slow { SLOW / 4 } else { SLOW };
        if slow != self.slow {
            self.slow = slow;
            self.shared.set_slow(slow);
        }
    }

    fn count(&mut self, written: usize) -> Result<(), CloseReason> {
        if written == 0 {
            return Err(CloseReason::ByPeer);
        }
        self.shared.count(written);
        Ok(())
    }

    fn check(&mut self) -> Result<(), CloseReason> {
        let tick_time = self.shared.tick_time();
        let interval = tick_time / u32::from(CHECKS);
        self.next_check.as_mut().reset(Instant::now() + interval);
        let pending = self.batch.has_remaining();
        match self.ticker.check(self.shared.traffic(pending)) {
            Verdict::Fine => Ok(()),
            Verdict::Tick => {
                self.batch.shrink();
                self.shared.tick();
                Ok(())
            }
            Verdict::Silent => Err(CloseReason::Silent(tick_time)),
            Verdict::Stuck => Err(CloseReason::Stuck(tick_time)),
        }
    }

    /// Writes what is left.
    async fn finish(&mut self) -> std::io::Result<()> {
        loop {
            while self.batch.has_remaining() {
                self.io.write_buf(&mut self.batch).await?;
            }
            if !self.shared.take(&mut self.batch) {
                break;
            }
        }
        self.io.flush().await
    }
}
