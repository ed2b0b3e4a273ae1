//! What a command prints, and how it ends.

use std::io::{self, Write};
use std::process::ExitCode;

use rendez::config::ConfigError;
use serde_json::{Value, json};

use super::logging::{self, Format};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// It failed: the cause and the remedy, and a word for programs.
    Failed {
        /// The word.
        reason: &'static str,
        /// A sentence.
        message: String,
    },
    /// The command line or the configuration is invalid.
    Words(String),
    /// What failed has been told already.
    Told,
    /// Nobody reads the output any more, as in `rendez discover ... | head -1`.
    NobodyReads,
}

impl Failure {
    /// It failed, for a reason that programs have no word for.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::because("failed", message)
    }

    /// It failed, for a reason with a word.
    pub fn because(reason: &'static str, message: impl Into<String>) -> Self {
        Self::Failed {
            reason,
            message: message.into(),
        }
    }

    /// What the user wrote is off.
    pub fn words(message: impl Into<String>) -> Self {
        Self::Words(message.into())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Words(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::NobodyReads
        } else {
            Self::failed(format!("cannot write the output: {error}"))
        }
    }
}

/// Where results go: standard output, as text or as JSON.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    log: Format,
}

impl Output {
    /// Text, or JSON. `log` is how standard error is written.
    pub fn new(json: bool, log: Format) -> Self {
        Self { json, log }
    }

    /// Whether results are to be JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a line of text.
    pub fn line(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")?;
        // Whoever reads a pipe sees each line when it happens.
        Ok(out.flush()?)
    }

    /// Prints a JSON value on a line of its own.
    pub fn json(&self, value: &Value) -> Result<(), Failure> {
        self.line(&value.to_string())
    }

    /// Says on standard error what is to be known about a result that came nevertheless.
    pub fn warn(&self, message: &str) {
        complain(&one_line(message));
    }

    /// Tells how the command ended: 0 done, 1 it failed, 2 invalid command line or configuration.
    pub fn end(&self, result: Result<(), Failure>) -> ExitCode {
        // What was logged before comes first.
        logging::flush();
        let (code, reason, message) = match result {
            Ok(()) | Err(Failure::NobodyReads) => return ExitCode::SUCCESS,
            Err(Failure::Told) => return ExitCode::from(1),
            Err(Failure::Failed { reason, message }) => (1, reason, message),
            Err(Failure::Words(message)) => (2, "usage", message),
        };
        if self.json {
            // The status says as much where nobody reads.
            let _ = self.json(&json!({"error": {"reason": reason, "message": message}}));
        }
        let message = one_line(&message);
        match self.log {
            Format::Text => complain(&message),
            Format::Json => {
                let fields = [
                    ("event", json!("ended")),
                    ("reason", json!(reason)),
                    ("message", json!("the command failed")),
                    ("text", json!(message)),
                ];
                print_error(&logging::line("ERROR", fields));
            }
        }
        ExitCode::from(code)
    }
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line on standard error.
fn complain(message: &str) {
    print_error(&format!("rendez: {message}\n"));
}

/// Text on standard error. There is nowhere left to say that standard error is closed.
pub fn print_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
