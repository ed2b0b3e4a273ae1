//! A TOML file as a [`Value`].

use ::toml::de::Error as TomlError;

use super::error::Problem;
use super::value::Value;

/// Reads the text of a TOML file. `file` is its name, for messages.
///
/// The keys are those of the table of options:
///
/// ```toml
/// max_nodes = 200
///
/// [via.dns]
/// dns_name = ["a.internal", "b.internal"]
/// interval = "2s"
///
/// [via.multicast]
/// ```
///
/// # Errors
/// [`Problem`] with the line and the column if the text is no TOML.
pub fn from_toml(text: &str, file: &str) -> Result<Value, Problem> {
    let table: ::toml::Table = text.parse().map_err(|error: TomlError| {
        let place = error.span().map(|span| position(text, span.start));
        let place = place.map_or_else(String::new, |(line, column)| {
            format!(", line {line}, column {column}")
        });
        Problem::Other {
            at: format!("{file}{place}"),
            message: format!(
                "invalid TOML: {} (syntax: https://toml.io)",
                error.message().trim_end().replace('\n', ", ")
            ),
        }
    })?;
    Ok(convert(::toml::Value::Table(table)))
}

/// Line and column, both from 1, of a place in bytes.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
    (line, column)
}

/// The reader bounds how deep a file nests, so recursion is bounded too.
fn convert(value: ::toml::Value) -> Value {
    match value {
        ::toml::Value::String(text) => Value::Text(text),
        ::toml::Value::Integer(number) => Value::Int(number),
        ::toml::Value::Float(number) => Value::Float(number),
        ::toml::Value::Boolean(value) => Value::Bool(value),
        ::toml::Value::Datetime(_) => Value::Other("a date"),
        ::toml::Value::Array(items) => Value::List(items.into_iter().map(convert).collect()),
        ::toml::Value::Table(entries) => Value::Table(
            entries
                .into_iter()
                .map(|(name, value)| (name, convert(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ClusterConfig, Via};
    use super::*;

    fn read(text: &str) -> Result<ClusterConfig, String> {
        let value = from_toml(text, "x.toml").map_err(|problem| problem.to_string())?;
        ClusterConfig::from_value(&value).map_err(|error| error.to_string())
    }

    #[test]
    fn flat_and_nested_files_are_read() {
        let flat = read(
            "via = 'dns'\ndns_name = ['a.test', {x = 'b.test'}]\ninterval = 0.25\nipv6 = false",
        )
        .unwrap();
        let nested =
            read("via.dns = {dns_name = 'a.test,x@b.test', interval = '250ms', ipv6 = false}")
                .unwrap();
        assert_eq!(flat, nested);
        let both = read("max_nodes = 7\n[via.multicast]\nport = 45_900\n[via.epmd]\nhosts = ['h']")
            .unwrap();
        assert_eq!(both.via.iter().map(Via::name).collect::<Vec<_>>().len(), 2);
    }

    #[test]
    fn what_is_off_is_told_with_its_place() {
        let error = read("via = 'dns'\ndns_name = \n").unwrap_err();
        assert!(error.starts_with("x.toml, line 2, column "), "{error}");
        assert!(!error.contains('\n'), "{error}");
        let error = read("via = 'dns'\ndns_name = 1979-05-27").unwrap_err();
        assert!(error.contains("got a date"), "{error}");
        let deep = format!("via = {}", "[".repeat(100_000));
        assert!(read(&deep).is_err());
    }
}
