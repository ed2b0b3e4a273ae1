//! An Erlang term as JSON, for scripts. What JSON has no word for becomes text, so it is one way only.

use rendez::NodeName;
use rendez::etf::Term;
use serde_json::{Map, Number, Value};

/// The term as JSON; pids and the like are shown as `node` shows them.
pub fn json(term: &Term, node: &NodeName) -> Value {
    let all = |terms: &[Term]| Value::Array(terms.iter().map(|term| json(term, node)).collect());
    match term {
        Term::Atom(atom) => match atom.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "nil" | "null" | "undefined" => Value::Null,
            name => Value::String(name.to_owned()),
        },
        Term::Int(number) => Value::from(*number),
        // Larger numbers lose digits in most readers of JSON.
        Term::BigInt(number) => Value::String(number.to_string()),
        Term::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Term::Binary(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => shown(term, node),
        },
        // Erlang's strings are lists; one that would be shown as text is text.
        Term::List(elements) => match term.to_string() {
            text if text.starts_with('"') => Value::String(characters(elements)),
            _ => all(elements),
        },
        Term::Tuple(elements) => all(elements),
        Term::Map(map) => {
            let entries = map.iter().map(|(key, value)| {
                let key = match json(key, node) {
                    Value::String(text) => text,
                    _ => key.shown_at(node.as_str()).to_string(),
                };
                (key, json(value, node))
            });
            Value::Object(entries.collect::<Map<_, _>>())
        }
        _ => shown(term, node),
    }
}

fn shown(term: &Term, node: &NodeName) -> Value {
    Value::String(term.shown_at(node.as_str()).to_string())
}

fn characters(elements: &[Term]) -> String {
    let character = |term: &Term| char::from_u32(u32::try_from(term.as_int()?).ok()?);
    elements.iter().filter_map(character).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_become_the_json_that_a_script_expects() {
        let node = "a@h".parse().unwrap();
        for (text, expected) in [
            ("ok", r#""ok""#),
            ("[true,false,nil,undefined]", "[true,false,null,null]"),
            ("{1,2.5,-3}", "[1,2.5,-3]"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", r#""9223372036854775808""#),
            ("<<\"ü\"/utf8>>", "\"ü\""),
            ("<<255,0>>", r#""<<255,0>>""#),
            ("\"text\"", r#""text""#),
            ("[1,2]", "[1,2]"),
            ("[]", "[]"),
            (
                "#{a => 1, <<\"b\">> => #{}, 3 => c}",
                r#"{"3":"c","a":1,"b":{}}"#,
            ),
            ("[a|b]", r#""[a|b]""#),
            ("fun a:b/1", r#""fun a:b/1""#),
        ] {
            assert_eq!(
                json(&text.parse().unwrap(), &node).to_string(),
                expected,
                "{text}"
            );
        }
    }
}
