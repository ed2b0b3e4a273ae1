//! Where a cookie comes from: a text, a file, or the files in which Erlang itself looks.
//!
//! A cookie is an atom on a BEAM, and the handshake hashes its characters as bytes. So characters beyond
//! Latin-1 cannot be in one; a text gives a byte for each character, as `erl -setcookie` does in a UTF-8
//! locale, and a file gives its bytes as they are, as OTP reads `~/.erlang.cookie`.
//!
//! <https://www.erlang.org/doc/system/distributed.html#security>

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

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
    /// Others than its owner may read or write the file.
    #[error(
        "the cookie file {} must be accessible by its owner only, as Erlang demands; its mode is {mode:04o}: `chmod 400` it",
        path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
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

/// Reads a file that holds a cookie. White space around it is left out. As OTP's `auth` does, it refuses a file that
/// others than the owner can access.
///
/// # Errors
/// See [`CookieError`].
pub fn from_file(path: &Path) -> Result<Secret, CookieError> {
    let failed = |error| CookieError::Read {
        path: path.to_owned(),
        error,
    };
    let mut file = File::open(path).map_err(failed)?;
    // Of the open file, so that it is the one that is read.
    if let Some(mode) = open_to_others(&file).map_err(failed)? {
        return Err(CookieError::Open {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    // Far more than a cookie has.
    let most = 4 * MAX as u64;
    (&mut file)
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    checked(bytes.trim_ascii(), &path.display().to_string())
}

/// The file's permissions, if they let others than its owner access it.
#[cfg(unix)]
fn open_to_others(file: &File) -> io::Result<Option<u32>> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

#[cfg(not(unix))]
fn open_to_others(_: &File) -> io::Result<Option<u32>> {
    Ok(None)
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
    let in_home = |name: &str| home.as_ref().map(|home| home.join(name));
    // Where `filename:basedir(user_config, "erlang")` is.
    let config = match cfg!(target_os = "macos") {
        true => in_home("Library/Application Support"),
        false => directory("XDG_CONFIG_HOME").or_else(|| in_home(".config")),
    };
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
    use std::fs;

    use super::*;

    #[test]
    fn a_character_of_a_text_is_a_byte_and_a_byte_of_a_file_is_one() {
        let text = from_text(" öÿ\n", "--cookie").unwrap();
        assert_eq!(text.expose(), [0xf6, 0xff]);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cookie");
        fs::write(&file, "ö\n").unwrap();
        allow(&file, 0o400);
        assert_eq!(from_file(&file).unwrap().expose(), [0xc3, 0xb6]);
    }

    fn allow(file: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_can_access_is_refused_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cookie");
        let link = directory.path().join("link");
        fs::write(&file, "monster\n").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601, 0o410] {
            allow(&file, mode);
            for path in [&file, &link] {
                let error = from_file(path).unwrap_err().to_string();
                assert!(
                    error.contains("accessible by its owner only") && error.contains("chmod 400"),
                    "{error}"
                );
                assert!(
                    error.contains(&format!("its mode is {mode:04o}")),
                    "{error}"
                );
                assert!(!error.contains("monster"), "{error}");
            }
        }
        for mode in [0o400, 0o600, 0o700] {
            allow(&file, mode);
            assert_eq!(from_file(&link).unwrap().expose(), b"monster");
        }
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
