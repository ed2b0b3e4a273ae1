//! The log: on standard error, as text or JSON.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::output::Failure;

/// What is logged and how.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug or trace, or as `RUST_LOG` takes it. [env: RENDEZ_LOG] [default: info
    /// for attach and epmd, else warn]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Log")]
    log: Option<String>,
    /// How the log on standard error is written. [env: RENDEZ_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Log")]
    log_format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging.
pub fn start(args: &LogArgs, default: &str) -> Result<(), Failure> {
    let level = args.log.clone().or_else(|| variable("RENDEZ_LOG"));
    let level = level.unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::builder().parse(&level).map_err(|error| {
        Failure::words(format!(
            "--log or RENDEZ_LOG takes error, warn, info, debug or trace, or directives such as rendez=debug; \
             got {level:?}: {error}"
        ))
    })?;
    // The client for Kubernetes logs refused watches as raw structures; the provider tells them in words.
    let filter = match "kube_runtime=off".parse() {
        Ok(quiet)
            if !["kube", "debug", "trace"]
                .iter()
                .any(|word| level.contains(word)) =>
        {
            filter.add_directive(quiet)
        }
        _ => filter,
    };
    let format = match args.log_format {
        Some(format) => format,
        None => match variable("RENDEZ_LOG_FORMAT") {
            Some(text) => Format::from_str(&text, true).map_err(|_| {
                Failure::words(format!(
                    "RENDEZ_LOG_FORMAT takes text or json; got {text:?}"
                ))
            })?,
            None => Format::Text,
        },
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for terminals; in a file or in a container's log they are noise.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        Format::Text => log.with_target(false).init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
    Ok(())
}

/// An environment variable that is set, and not to nothing.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
