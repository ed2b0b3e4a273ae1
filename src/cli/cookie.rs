//! Where the cookie comes from.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use rendez::Secret;

use super::logging::variable;
use super::output::Failure;

/// Where the cookie comes from.
#[derive(Args)]
pub struct CookieArgs {
    /// The file that holds the cookie [default: RENDEZ_COOKIE, else RELEASE_COOKIE, else ~/.erlang.cookie]
    #[arg(long, value_name = "FILE", help_heading = "Cookie")]
    cookie_file: Option<PathBuf>,
    /// The cookie itself. Everyone on this machine can read it in `ps`: prefer a file or the environment
    #[arg(
        long,
        value_name = "COOKIE",
        conflicts_with = "cookie_file",
        help_heading = "Cookie"
    )]
    cookie: Option<String>,
}

/// Hides the cookie.
impl std::fmt::Debug for CookieArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CookieArgs")
            .field("cookie_file", &self.cookie_file)
            .finish_non_exhaustive()
    }
}

impl CookieArgs {
    /// The cookie, or a failure that says where it was looked for.
    pub fn find(&self) -> Result<Secret, Failure> {
        self.find_if_any()?.ok_or_else(|| {
            Failure::because(
                "no_cookie",
                format!(
                    "there is no cookie: RENDEZ_COOKIE and RELEASE_COOKIE are not set, and there is no {}; give \
                     --cookie-file FILE or set RENDEZ_COOKIE",
                    places().iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or ")
                ),
            )
        })
    }

    /// The cookie, if there is one. What is named but cannot be read is a failure.
    pub fn find_if_any(&self) -> Result<Option<Secret>, Failure> {
        if let Some(cookie) = &self.cookie {
            tracing::warn!(
                "--cookie shows the cookie to everyone who runs `ps`; --cookie-file and RENDEZ_COOKIE do not"
            );
            return checked(cookie, "--cookie").map(Some);
        }
        if let Some(file) = &self.cookie_file {
            let text = fs::read_to_string(file).map_err(|error| {
                Failure::because(
                    "no_cookie",
                    format!("cannot read --cookie-file {}: {error}", file.display()),
                )
            })?;
            return checked(&text, &format!("--cookie-file {}", file.display())).map(Some);
        }
        for name in ["RENDEZ_COOKIE", "RELEASE_COOKIE"] {
            if let Some(cookie) = variable(name) {
                return checked(&cookie, name).map(Some);
            }
        }
        for file in places() {
            match fs::read_to_string(&file) {
                Ok(text) => {
                    warn_of_open_file(&file);
                    return checked(&text, &file.display().to_string()).map(Some);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => {
                    return Err(Failure::because(
                        "no_cookie",
                        format!(
                            "cannot read {}: {error}; let this user read it, or give --cookie-file FILE or RENDEZ_COOKIE",
                            file.display()
                        ),
                    ));
                }
            }
        }
        Ok(None)
    }
}

/// The files in which Erlang itself looks: the home directory, then the user's directory for configurations.
/// <https://www.erlang.org/doc/system/distributed.html#security>
fn places() -> Vec<PathBuf> {
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

fn checked(text: &str, source: &str) -> Result<Secret, Failure> {
    let cookie = text.trim();
    if cookie.is_empty() {
        return Err(Failure::because(
            "no_cookie",
            format!("{source} holds no cookie; it is empty"),
        ));
    }
    if cookie.contains(['\n', '\r']) {
        return Err(Failure::because(
            "no_cookie",
            format!("{source} holds more than one line; a cookie is one word"),
        ));
    }
    Ok(Secret::new(cookie))
}

/// Erlang refuses a cookie file that others can read; here it is worth a warning.
fn warn_of_open_file(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(file).is_ok_and(|data| data.permissions().mode() & 0o077 != 0) {
            tracing::warn!(
                "others can read {}; `chmod 400` it, as Erlang asks for",
                file.display()
            );
        }
    }
}
