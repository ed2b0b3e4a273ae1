//! The log: on standard error, as text or JSON.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::log_writer::LogWriter;
use super::output::Failure;

/// How long the end of the command waits for log lines that are not written yet.
const FLUSHING: Duration = Duration::from_secs(1);

/// What writes the log.
static WRITER: OnceLock<LogWriter> = OnceLock::new();

/// What is logged and how.
#[derive(Debug, Args)]
pub struct LogArgs {
    /// What is logged: error, warn, info, debug or trace of Rendez (and no more than warnings of its libraries), or
    /// directives as RUST_LOG takes them: rendez=debug,hickory_resolver=trace. [env: RENDEZ_LOG] [default: info for
    /// attach and epmd, else warn]
    #[arg(long, global = true, value_name = "LEVEL", help_heading = "Log")]
    log: Option<String>,
    /// How the log on standard error is written. [env: RENDEZ_LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Log")]
    log_format: Option<Format>,
}

impl LogArgs {
    /// What `--log LEVEL` would be.
    pub fn at_level(level: &str) -> Self {
        Self {
            log: Some(level.to_owned()),
            log_format: None,
        }
    }
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogArgs {
    /// How the log is written, if what the user says of it is valid.
    pub fn format(&self) -> Result<Format, Failure> {
        if let Some(format) = self.log_format {
            return Ok(format);
        }
        match variable("RENDEZ_LOG_FORMAT") {
            Some(text) => Format::from_str(&text, true).map_err(|_| {
                Failure::words(format!(
                    "RENDEZ_LOG_FORMAT takes text or json; got {text:?}"
                ))
            }),
            None => Ok(Format::Text),
        }
    }
}

/// The format that the command line asks for, where it could not be read as a whole.
pub fn format_of(words: impl IntoIterator<Item = std::ffi::OsString>) -> Format {
    let words: Vec<_> = words.into_iter().collect();
    let json = words
        .windows(2)
        .any(|two| two[0] == "--log-format" && two[1] == "json")
        || words.iter().any(|word| word == "--log-format=json")
        || variable("RENDEZ_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    if json { Format::Json } else { Format::Text }
}

/// Starts logging.
pub fn start(args: &LogArgs, default: &str) -> Result<(), Failure> {
    let level = args.log.clone().or_else(|| variable("RENDEZ_LOG"));
    let level = level.unwrap_or_else(|| default.to_owned());
    let (directives, targets) = directives(&level);
    let filter = EnvFilter::builder().parse(&directives).map_err(|error| {
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
    // The signer traces what it signs, including session tokens. These must not get into the log.
    let filter = match "aws_sigv4=info".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    };
    let format = args.format()?;
    let notice = move |lost| match format {
        Format::Text => format!("rendez: {lost} log lines could not be written and are lost\n"),
        Format::Json => line(
            "WARN",
            [
                ("event", json!("log_lost")),
                ("message", json!("log lines are lost")),
                (
                    "text",
                    json!(format!(
                        "{lost} log lines could not be written and are lost"
                    )),
                ),
                ("count", json!(lost)),
            ],
        ),
    };
    let writer = LogWriter::start(std::io::stderr(), notice)
        .map_err(|error| Failure::failed(format!("cannot start the thread of the log: {error}")))?;
    let writer = WRITER.get_or_init(|| writer).clone();
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for terminals; in a file or in a container's log they are noise.
        .with_ansi(std::io::stderr().is_terminal())
        // It would print them, and panic where that fails.
        .log_internal_errors(false)
        .with_writer(writer);
    let done = match format {
        Format::Text => log
            .with_target(targets)
            .fmt_fields(debug_fn(text_field))
            .try_init(),
        Format::Json => log.event_format(JsonLines).try_init(),
    };
    done.map_err(|error| Failure::failed(format!("cannot start the log: {error}")))
}

/// Waits until what was logged is written, for a moment.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush(FLUSHING);
    }
}

/// An environment variable that is set, and not to nothing.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What `--log` means as directives, and whether lines show whose they are.
///
/// A level alone is Rendez's own: at `debug` the DNS library writes twenty times as much.
fn directives(level: &str) -> (String, bool) {
    match level.trim().to_ascii_lowercase().as_str() {
        word @ ("off" | "error") => (word.to_owned(), false),
        word @ ("warn" | "info") => (format!("warn,rendez={word}"), false),
        word @ ("debug" | "trace") => (format!("warn,rendez={word}"), true),
        _ => (level.to_owned(), true),
    }
}

/// One line of the log as JSON.
pub fn line<const N: usize>(level: &str, fields: [(&str, Value); N]) -> String {
    let mut object = Map::new();
    for (name, value) in fields {
        object.insert(name.to_owned(), value);
    }
    finish(object, level)
}

fn finish(mut object: Map<String, Value>, level: &str) -> String {
    let mut time = String::new();
    // Writing to a text does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    object.insert("timestamp".into(), time.into());
    object.insert("level".into(), level.into());
    format!("{}\n", Value::Object(object))
}

/// Fields of a line of text. Those that only programs need are left out.
fn text_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let mut writer = OneLine(writer);
    match field.name() {
        "phrase" | "attached" => Ok(()),
        "message" => write!(writer, "{value:?}"),
        name => write!(writer, " {name}={value:?}"),
    }
}

/// Keeps a line one line, whatever a server said.
struct OneLine<'a, 'b>(&'a mut Writer<'b>);

impl fmt::Write for OneLine<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (index, part) in text.split(['\n', '\r']).enumerate() {
            if index > 0 {
                self.0.write_char(' ')?;
            }
            self.0.write_str(part)?;
        }
        Ok(())
    }
}

/// JSON lines: `message` is a fixed phrase where the line has one, so that lines can be grouped by it; the sentence is
/// `text` then.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let Fields(mut object) = fields;
        if let Some(phrase) = object.remove("phrase") {
            let text = object.insert("message".into(), phrase);
            object.insert("text".into(), text.unwrap_or_default());
        }
        object.insert("target".into(), event.metadata().target().into());
        writer.write_str(&finish(object, event.metadata().level().as_str()))
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, json!(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_alone_is_that_of_rendez() {
        for (given, directives_of_it, targets) in [
            ("info", "warn,rendez=info", false),
            ("DEBUG", "warn,rendez=debug", true),
            ("error", "error", false),
            ("rendez=debug", "rendez=debug", true),
        ] {
            assert_eq!(directives(given), (directives_of_it.into(), targets));
        }
    }

    #[test]
    fn the_format_is_known_even_where_the_words_are_not() {
        let words = |text: &str| {
            text.split(' ')
                .map(Into::into)
                .collect::<Vec<std::ffi::OsString>>()
        };
        assert_eq!(format_of(words("attach --log-format json")), Format::Json);
        assert_eq!(format_of(words("attach --log-format=json")), Format::Json);
        assert_eq!(format_of(words("attach --json")), Format::Text);
    }
}
