//! Where the cookie comes from.

use std::path::PathBuf;

use clap::Args;
use rendez::Secret;
use rendez::dist::cookie::{self, CookieError};

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
            let places = cookie::places();
            let looked = CookieError::NotFound { places };
            Failure::because(
                "no_cookie",
                format!(
                    "{looked}, and RENDEZ_COOKIE and RELEASE_COOKIE are not set; give --cookie-file FILE or set \
                     RENDEZ_COOKIE"
                ),
            )
        })
    }

    /// The cookie, if there is one. What is named but cannot be read is a failure.
    pub fn find_if_any(&self) -> Result<Option<Secret>, Failure> {
        let failed = |error: CookieError| Failure::because("no_cookie", error.to_string());
        if let Some(text) = &self.cookie {
            tracing::warn!(
                "--cookie shows the cookie to everyone who runs `ps`; --cookie-file and RENDEZ_COOKIE do not"
            );
            return cookie::from_text(text, "--cookie")
                .map_err(failed)
                .map(Some);
        }
        if let Some(file) = &self.cookie_file {
            let cookie = cookie::from_file(file).map_err(|error| match error {
                CookieError::Read { path, error } => Failure::because(
                    "no_cookie",
                    format!("cannot read --cookie-file {}: {error}", path.display()),
                ),
                error => failed(error),
            })?;
            return Ok(Some(cookie));
        }
        for name in ["RENDEZ_COOKIE", "RELEASE_COOKIE"] {
            if let Some(text) = variable(name) {
                return cookie::from_text(&text, name).map_err(failed).map(Some);
            }
        }
        match cookie::from_home() {
            Ok((cookie, _)) => Ok(Some(cookie)),
            Err(CookieError::NotFound { .. }) => Ok(None),
            Err(error @ CookieError::Read { .. }) => Err(Failure::because(
                "no_cookie",
                format!("{error}, or give --cookie-file FILE or RENDEZ_COOKIE"),
            )),
            Err(error) => Err(failed(error)),
        }
    }
}
