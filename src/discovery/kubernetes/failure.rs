//! What went wrong with the API: the cause and the remedy, and what is to be done about it.

use std::error::Error as StdError;
use std::time::Duration;

use kube::Error as ApiError;
use kube::core::Status;
use kube::runtime::watcher::Error as WatchError;

/// The longest that an API server's wish to be left alone is followed.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// Why nothing is known, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub message: String,
    /// How long the server wants to be left alone.
    pub rest: Option<Duration>,
}

impl Trouble {
    pub fn plain(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            rest: None,
        }
    }

    pub fn because(what: impl std::fmt::Display, error: &dyn StdError) -> Self {
        Self::plain(format!("{what}: {}", chain(error)))
    }
}

/// What has to follow when a watch says that something is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is lost: the watch goes on by itself where it was, or lists anew.
    GoesOn,
    /// What changed since the last word is no longer known: everything has to be listed anew.
    ListAnew,
    /// A connection ended while something was asked on it. Kept ones do, when a server restarts: a new one
    /// has to show whether it is there.
    Breaks(Trouble),
    /// The role lets us list, and not watch: the list has to be asked for again and again.
    MayNotWatch(String),
    /// The API cannot be asked.
    Fails(Trouble),
}

/// What an error of the watch means. `what` and `namespace` are for the message.
pub(super) fn verdict(error: &WatchError, what: &str, namespace: &str) -> Verdict {
    let fails = |doing: &str, error: &ApiError| {
        let trouble = explain(error, doing, what, namespace);
        if is_broken(error) {
            Verdict::Breaks(trouble)
        } else {
            Verdict::Fails(trouble)
        }
    };
    match error {
        // The connection was cut while all was well: asking again says whether the server is there.
        WatchError::WatchFailed(_) => Verdict::GoesOn,
        // The crate lists anew by itself if the server says so within the watch, but not if it says so
        // in place of one.
        WatchError::WatchError(status) if status.code == GONE => Verdict::GoesOn,
        WatchError::WatchStartFailed(ApiError::Api(status)) if status.code == GONE => {
            Verdict::ListAnew
        }
        WatchError::WatchStartFailed(ApiError::Api(status)) if status.code == FORBIDDEN => {
            Verdict::MayNotWatch(may_not_watch(status, what, namespace))
        }
        WatchError::WatchError(status) if status.code == FORBIDDEN => {
            Verdict::MayNotWatch(may_not_watch(status, what, namespace))
        }
        WatchError::WatchError(status) => Verdict::Fails(refused(status, "watch", what, namespace)),
        WatchError::InitialListFailed(error) => fails("list", error),
        WatchError::WatchStartFailed(error) => fails("watch", error),
        WatchError::NoResourceVersion => Verdict::Fails(Trouble::plain(format!(
            "the API server gives {what} without a version, so they cannot be watched; is api_server one of Kubernetes?"
        ))),
    }
}

fn may_not_watch(status: &Status, what: &str, namespace: &str) -> String {
    format!(
        "the API server lets us list {what} in namespace {namespace}, but not watch them ({}), so they are listed \
         again every few seconds; for quicker news give the service account a Role with the verb watch on {what}",
        status.message
    )
}

const UNAUTHORIZED: u16 = 401;
const FORBIDDEN: u16 = 403;
const NOT_FOUND: u16 = 404;
/// The version that a watch is to start from is too old:
/// <https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses>.
const GONE: u16 = 410;

/// Whether there was a connection, and it ended before the answer did.
fn is_broken(error: &ApiError) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return !error.is_connect();
        }
        next = error.source();
    }
    matches!(error, ApiError::HyperError(_) | ApiError::ReadEvents(_))
}

fn explain(error: &ApiError, doing: &str, what: &str, namespace: &str) -> Trouble {
    match error {
        ApiError::Api(status) => refused(status, doing, what, namespace),
        ApiError::SerdeError(error) => Trouble::because(
            "the API server's answer cannot be read; is api_server one of Kubernetes?",
            error,
        ),
        other => Trouble::because("the Kubernetes API cannot be reached", other),
    }
}

fn refused(status: &Status, doing: &str, what: &str, namespace: &str) -> Trouble {
    let said = &status.message;
    let message = match status.code {
        UNAUTHORIZED => format!(
            "the API server does not know who asks ({said}); the token or certificate has expired or is another \
             cluster's: look at the service account or the kubeconfig"
        ),
        FORBIDDEN => format!(
            "the API server does not let us {doing} {what} in namespace {namespace} ({said}); give the service \
             account a Role with the verbs list and watch on {what}"
        ),
        NOT_FOUND => format!(
            "the API server has no {what} ({said}); it may be too old, or api_server another server's"
        ),
        code => format!(
            "the API server cannot {doing} {what}: {code} {} ({said})",
            status.reason
        ),
    };
    let rest = status
        .details
        .as_ref()
        .map_or(0, |details| details.retry_after_seconds);
    let rest = Duration::from_secs(rest.into()).min(LONGEST_REST);
    Trouble {
        message,
        rest: (!rest.is_zero()).then_some(rest),
    }
}

/// An error with what is behind it, each once: many repeat their source in their own words.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, json: serde_json::Value) -> Box<Status> {
        let mut status: Status = serde_json::from_value(json).unwrap();
        status.code = code;
        Box::new(status)
    }

    fn forbidden() -> Box<Status> {
        status(
            403,
            serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Forbidden",
                "message": "pods is forbidden: User \"system:serviceaccount:prod:default\" cannot list resource \"pods\"",
                "details": {"kind": "pods"}, "code": 403
            }),
        )
    }

    fn fails(error: &WatchError) -> Trouble {
        match verdict(error, "pods", "prod") {
            Verdict::Fails(trouble) => trouble,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refusal_names_the_role_that_is_missing() {
        let trouble = fails(&WatchError::InitialListFailed(ApiError::Api(forbidden())));
        assert!(trouble.message.contains("namespace prod"), "{trouble:?}");
        assert!(
            trouble.message.contains("verbs list and watch on pods"),
            "{trouble:?}"
        );
        assert!(
            trouble
                .message
                .contains("system:serviceaccount:prod:default"),
            "{trouble:?}"
        );
    }

    #[test]
    fn a_role_that_may_list_and_not_watch_is_no_failure() {
        for error in [
            WatchError::WatchStartFailed(ApiError::Api(forbidden())),
            WatchError::WatchError(forbidden()),
        ] {
            let Verdict::MayNotWatch(told) = verdict(&error, "pods", "prod") else {
                panic!("{error:?}");
            };
            assert!(told.contains("the verb watch on pods"), "{told}");
        }
    }

    #[test]
    fn too_old_a_version_is_no_failure() {
        let gone = || {
            status(
                410,
                serde_json::json!({"message": "too old resource version", "reason": "Expired"}),
            )
        };
        assert_eq!(
            verdict(&WatchError::WatchError(gone()), "pods", "prod"),
            Verdict::GoesOn
        );
        let at_start = WatchError::WatchStartFailed(ApiError::Api(gone()));
        assert_eq!(verdict(&at_start, "pods", "prod"), Verdict::ListAnew);
    }

    #[test]
    fn a_server_that_wants_a_rest_gets_one_but_not_for_ever() {
        let busy = |seconds: u32| {
            let status = status(
                429,
                serde_json::json!({"reason": "TooManyRequests", "details": {"retryAfterSeconds": seconds}}),
            );
            fails(&WatchError::WatchError(status)).rest
        };
        assert_eq!(busy(0), None);
        assert_eq!(busy(7), Some(Duration::from_secs(7)));
        assert_eq!(busy(u32::MAX), Some(LONGEST_REST));
    }

    #[test]
    fn sources_are_told_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("inner")]
        struct Inner;
        #[derive(Debug, thiserror::Error)]
        #[error("outer{0}")]
        struct Outer(&'static str, #[source] Inner);
        assert_eq!(chain(&Outer("", Inner)), "outer: inner");
        assert_eq!(chain(&Outer(": inner", Inner)), "outer: inner");
    }
}
