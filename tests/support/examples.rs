//! The programs of `examples/`, run as a user would run them.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running example, which ends with the test.
pub struct Example {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Example {
    /// Builds the example with the features of this test, and starts it. Its EPMD is that of the port.
    pub fn start(name: &str, arguments: &[&str], epmd_port: u16) -> Self {
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(env!("CARGO_MANIFEST_DIR")).args([
            "build",
            "--quiet",
            "--locked",
            "--example",
            name,
        ]);
        if !cfg!(feature = "cli") {
            build.args(["--no-default-features", "--features", "node"]);
        }
        assert!(build.status().is_ok_and(|built| built.success()), "{name}");
        // Tests are in `deps`, examples beside it.
        let own = std::env::current_exe().expect("where this test is");
        let folder = own.parent().and_then(Path::parent).expect("its folder");
        let mut child = Command::new(folder.join("examples").join(name))
            .args(arguments)
            .env("ERL_EPMD_PORT", epmd_port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the example starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, output }
    }

    /// Waits for its next line.
    ///
    /// # Panics
    /// When it ends without one.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.output.read_line(&mut line);
        assert!(read.is_ok_and(|read| read > 0), "the example ended");
        line.trim_end().to_owned()
    }

    /// Sends its process a signal of the operating system, such as `KILL` or `INT`, and waits for its end.
    pub fn end(&mut self, signal: &str) -> std::process::ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(
            sent.is_ok_and(|sent| sent.success()),
            "kill -s {signal} {pid}"
        );
        self.child.wait().expect("its end")
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
