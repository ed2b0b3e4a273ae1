//! Node names as text: what a file, a program or a server hands over.
//!
//! Three forms are taken. Lines hold one name each; what follows a `#` is a comment, and blank lines do
//! not count. Text that begins with `[` is a JSON array of strings (RFC 8259), and text that begins with
//! `{` a JSON object that has such an array as `nodes`.

use crate::name::NodeName;

/// The most bytes of text that are taken: more than ten thousand names have.
pub const MAX_BYTES: usize = 1 << 20;

/// Reads the names in `text`.
///
/// One name that is none refuses the whole text: half a list would read as a cluster that shrank.
///
/// ```
/// use rendez::discovery::names::read;
/// let lines = read(b"shop@10.0.0.7  # the first\n\nshop@10.0.0.8\n").unwrap();
/// assert_eq!(lines, read(br#"["shop@10.0.0.7", "shop@10.0.0.8"]"#).unwrap());
/// ```
///
/// # Errors
/// A sentence that names the line, and what is wrong there.
pub fn read(text: &[u8]) -> Result<Vec<NodeName>, String> {
    // Some editors begin a file with a byte order mark.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = line_of(text, error.valid_up_to());
        format!("line {line}: it is not UTF-8 text")
    })?;
    match text.trim_start().as_bytes().first() {
        Some(b'[') => named(
            serde_json::from_str(text)
                .map_err(|error| format!("it is no JSON array of strings: {error}"))?,
        ),
        Some(b'{') => named(object(text)?),
        _ => lines(text),
    }
}

fn lines(text: &str) -> Result<Vec<NodeName>, String> {
    let mut names = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        match name.parse() {
            Ok(name) => names.push(name),
            Err(error) => return Err(format!("line {}: {}: {error}", index + 1, shown(name))),
        }
    }
    Ok(names)
}

/// The names under `nodes`; whatever else there is, is for others.
fn object(text: &str) -> Result<Vec<String>, String> {
    let bad =
        |why: &str| format!("it is no JSON object with an array of strings as \"nodes\": {why}");
    let mut object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(text).map_err(|error| bad(&error.to_string()))?;
    let nodes = object
        .remove("nodes")
        .ok_or_else(|| bad("there is no \"nodes\""))?;
    serde_json::from_value(nodes).map_err(|error| bad(&error.to_string()))
}

fn named(texts: Vec<String>) -> Result<Vec<NodeName>, String> {
    let name = |(index, text): (usize, &String)| {
        text.parse()
            .map_err(|error| format!("name {}: {}: {error}", index + 1, shown(text)))
    };
    texts.iter().enumerate().map(name).collect()
}

/// The number of the line that holds the byte at `offset`.
pub(super) fn line_of(text: &[u8], offset: usize) -> usize {
    text.iter()
        .take(offset)
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

/// Foreign text for a message: quoted, without control characters, and cut where it is long.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let cut: String = text.chars().take(MOST).collect();
    let more = if cut.len() < text.len() { "..." } else { "" };
    format!("{cut:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        let names = read(text.as_bytes()).unwrap();
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_with_comments_and_a_json_array() {
        assert_eq!(
            names("\u{feff}# all of them\r\na@x # the first\r\n\r\n  b@10.0.0.8\t\r\n#c@x"),
            ["a@x", "b@10.0.0.8"]
        );
        assert_eq!(names(" \n[\"a@x\",\n \"b@x\"]\n"), ["a@x", "b@x"]);
        assert_eq!(names("{\"at\": 5, \"nodes\": [\"a@x\"]}"), ["a@x"]);
        for nobody in ["", "\n", "# nobody\n", "[]", "{\"nodes\": []}"] {
            assert_eq!(names(nobody), Vec::<String>::new(), "{nobody:?}");
        }
    }

    #[test]
    fn what_is_off_is_said_with_its_line() {
        for (text, line, why) in [
            (&b"a@x\nb\n"[..], "line 2: \"b\"", "there is no `@`"),
            (b"a@x\n\xff@y\n", "line 2", "not UTF-8"),
            (b"[\"a@x\",\n 5]", "line 2", "expected a string"),
            (b"[\"a@x\"", "line 1", "EOF"),
            (b"[\"a@x\", \"b\"]", "name 2: \"b\"", "there is no `@`"),
            (b"{\"nodes\": [5]}", "\"nodes\"", "expected a string"),
            (b"{\"node\": []}", "\"nodes\"", "there is no"),
            (b"{\"nodes\": [\"b\"]}", "name 1: \"b\"", "there is no `@`"),
            (b"{\"nodes\": [", "\"nodes\"", "EOF"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(line) && error.contains(why), "{error}");
        }
        let error = read("x".repeat(100_000).as_bytes()).unwrap_err();
        assert!(error.len() < 200, "{error}");
        let error = read(b"\x1b[31m@\x07").unwrap_err();
        assert!(!error.contains(['\x1b', '\x07']), "{error}");
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in proptest::collection::vec(0u8.., 0..200)) {
            let _ = read(&text);
        }
    }
}
