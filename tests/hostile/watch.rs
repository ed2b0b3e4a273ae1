//! What is measured of the victim: panics, for how long a task holds its thread, and memory.

use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How many bytes the process has allocated and not freed.
pub fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats
        .bytes_allocated
        .saturating_sub(stats.bytes_deallocated)
}

/// What the function that panics for its callers says.
pub const WANTED_PANIC: &str = "a function that is called to panic";

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts panics from now on, caught or not, except those with [`WANTED_PANIC`].
pub fn count_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(WANTED_PANIC) {
            PANICS.fetch_add(1, Ordering::SeqCst);
            usual(panic);
        }
    }));
}

pub fn panics() -> usize {
    PANICS.load(Ordering::SeqCst)
}

/// How much processor time the calling thread has had. That others keep the machine busy does not add to it.
pub fn thread_time() -> Duration {
    time(ClockId::ThreadCPUTime)
}

/// The same of all threads of this process.
pub fn process_time() -> Duration {
    time(ClockId::ProcessCPUTime)
}

fn time(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// For how long a runtime's thread was held by one task without a pause, in processor time.
#[derive(Debug, Default)]
pub struct Held(AtomicU64);

impl Held {
    pub fn longest(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A runtime of one thread that looks for tasks between any two polls, so that what passes on its thread between two
/// looks is one poll of one task, and at most a millisecond of others.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(1)
        .build()
        .expect("a runtime")
}

/// Measures for as long as it is polled by [`runtime`]'s `block_on`.
pub async fn measure(held: Arc<Held>) {
    let mut last = thread_time();
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = thread_time();
        let nanos = u64::try_from((now - last).as_nanos()).unwrap_or(u64::MAX);
        held.0.fetch_max(nanos, Ordering::Relaxed);
        last = now;
    }
}
