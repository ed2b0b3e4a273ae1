//! Tests that measure their own process: its memory, its threads, its file descriptors.

use std::process::{Command, Stdio};

const MARK: &str = "RENDEZ_TEST_ALONE";

/// Whether the calling test is alone in its process. If it is not, it is run once more in a process of its own, and
/// the caller has only to return.
///
/// `name` is the test's path in its binary, as `cargo test -- --list` prints it.
///
/// # Panics
/// When the test fails there. What it printed stands in the message.
pub fn alone(name: &str) -> bool {
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let own = std::env::current_exe().expect("the test's binary");
    let output = Command::new(own)
        .args([name, "--exact", "--include-ignored", "--nocapture"])
        .env(MARK, "1")
        .stdin(Stdio::null())
        .output()
        .expect("the test's binary runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}:\n{said}\n{errors}");
    assert!(
        said.contains("1 passed"),
        "no test is called {name}:\n{said}"
    );
    print!("{said}");
    false
}
