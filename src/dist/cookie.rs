//! Where a cookie comes from: a text, a file, or the files in which Erlang itself looks.
//!
//! A cookie is an atom on a BEAM, and the handshake hashes its characters as bytes. So characters beyond
//! Latin-1 cannot be in one; a text gives a byte for each character, as `erl -setcookie` does in a UTF-8
//! locale, and a file gives its bytes as they are, as OTP reads `~/.erlang.cookie`.
//!
//! <https://www.erlang.org/doc/system/distributed.html#security>

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::secret::Secret;

/// The most characters that an atom, and so a cookie, can have.
const MAX: usize = 255;

/// Why there is no cookie. No text of it shows one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CookieError {
    /// There is nothing in it.
    #[error("{source_name} holds no cookie; it is empty")]
    Empty {
        /// Where it comes from.
        source_name: String,
    },
    /// There is more than a word in it.
    #[error("{source_name} holds more than one line; a cookie is one word")]
    Lines {
        /// Where it comes from.
        source_name: String,
    },
    /// It is longer than an atom can be.
    #[error("the cookie of {source_name} has more than {MAX} characters, which no atom can have")]
    TooLong {
        /// Where it comes from.
        source_name: String,
    },
    /// A character has no place in a cookie.
    #[error(
        "the cookie of {source_name} has a character that is not in Latin-1, which no node can hash; give the \
         nodes another cookie"
    )]
    Character {
        /// Where it comes from.
        source_name: String,
    },
    /// The file cannot be read.
    #[error("cannot read {}: {error}; let this user read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
    /// None of the files is there in which Erlang looks.
    #[error("no cookie: {}", Paths(places))]
    NotFound {
        /// Where was looked.
        places: Vec<PathBuf>,
    },
}

struct Paths<'a>(&'a [PathBuf]);

impl std::fmt::Display for Paths<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            f.write_str("HOME is not set, so no .erlang.cookie was looked for")?;
        }
        for (index, path) in self.0.iter().enumerate() {
            let between = if index == 0 { "there is no " } else { " or " };
            write!(f, "{between}{}", path.display())?;
        }
        Ok(())
    }
}

/// Takes a text for a cookie; `source_name` says in an error where it came from. White space around it is left
/// out.
///
/// # Errors
/// See [`CookieError`].
pub fn from_text(text: &str, source_name: &str) -> Result<Secret, CookieError> {
    let bytes = text.trim().chars().map(u8::try_from);
    match bytes.collect::<Result<Vec<u8>, _>>() {
        Ok(bytes) => checked(&bytes, source_name),
        Err(_) => Err(CookieError::Character {
            source_name: source_name.to_owned(),
        }),
    }
}

/// Reads a file that holds a cookie. White space around it is left out.
///
/// # Errors
/// See [`CookieError`].
pub fn from_file(path: &Path) -> Result<Secret, CookieError> {
    match fs::read(path) {
        Ok(bytes) => checked(bytes.trim_ascii(), &path.display().to_string()),
        Err(error) => Err(CookieError::Read {
            path: path.to_owned(),
            error,
        }),
    }
}

/// The cookie that Erlang itself would use, and the file that it is in: the first that is there of [`places`].
///
/// # Errors
/// [`CookieError::NotFound`] if there is none, another if one is there and cannot be used.
pub fn from_home() -> Result<(Secret, PathBuf), CookieError> {
    let places = places();
    for path in &places {
        match from_file(path) {
            Ok(cookie) => return Ok((cookie, path.clone())),
            Err(CookieError::Read { error, .. })
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Err(CookieError::NotFound { places })
}

/// The files in which Erlang itself looks: in the home directory, then in the user's directory for
/// configurations.
#[must_use]
pub fn places() -> Vec<PathBuf> {
    let directory = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let home = directory("HOME");
    let config =
        directory("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
    let files = [home, config.map(|config| config.join("erlang"))];
    files
        .into_iter()
        .flatten()
        .map(|place| place.join(".erlang.cookie"))
        .collect()
}

fn checked(cookie: &[u8], source_name: &str) -> Result<Secret, CookieError> {
    let source_name = source_name.to_owned();
    if cookie.is_empty() {
        Err(CookieError::Empty { source_name })
    } else if cookie.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        Err(CookieError::Lines { source_name })
    } else if cookie.len() > MAX {
        Err(CookieError::TooLong { source_name })
    } else {
        Ok(Secret::new(cookie))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_of_a_text_is_a_byte_and_a_byte_of_a_file_is_one() {
        let text = from_text(" öÿ\n", "--cookie").unwrap();
        assert_eq!(text.expose(), [0xf6, 0xff]);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cookie");
        fs::write(&file, "ö\n").unwrap();
        assert_eq!(from_file(&file).unwrap().expose(), [0xc3, 0xb6]);
    }

    #[test]
    fn what_is_no_cookie_is_said_without_it() {
        for (text, why) in [
            ("", "empty"),
            ("a\nb", "one line"),
            ("monster\u{4e16}", "Latin-1"),
            (&"monster".repeat(40), "255 characters"),
        ] {
            let error = from_text(text, "RENDEZ_COOKIE").unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains("RENDEZ_COOKIE"),
                "{error}"
            );
            assert!(!error.contains("monster"), "{error}");
        }
        let error = from_file(Path::new("/no/such/file")).unwrap_err();
        assert!(
            error.to_string().contains("cannot read /no/such/file"),
            "{error}"
        );
    }
}
