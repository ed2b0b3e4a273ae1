//! What a refusal of EC2's means, and what to do about it.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>

use super::answer::Refusal;

/// What a refusal asks of the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ask less often.
    Throttled,
    /// The credentials are not, or no longer, good: look for others before asking again.
    Credentials,
    /// Something that a person has to change, or that passes.
    Other,
}

impl Refusal {
    /// What it asks for.
    pub fn kind(&self) -> Kind {
        match self.code.as_str() {
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "RequestThrottled"
            | "EC2ThrottledException" => Kind::Throttled,
            "AuthFailure"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "RequestExpired"
            | "ExpiredToken"
            | "ExpiredTokenException" => Kind::Credentials,
            _ if self.status == 429 => Kind::Throttled,
            _ => Kind::Other,
        }
    }

    /// A sentence for people: the cause and the remedy. `source` is where the credentials are from.
    pub fn explain(&self, region: &str, source: &str) -> String {
        let code = self.code.as_str();
        match (self.kind(), code) {
            (Kind::Throttled, _) => format!(
                "EC2 in {region} limits how often this account may ask ({code}): a longer interval helps, and so does \
                 asking from fewer nodes"
            ),
            (_, "RequestExpired" | "ExpiredToken" | "ExpiredTokenException") => format!(
                "EC2 in {region} says that the credentials from {source} have expired ({code}): renew them where they \
                 come from, and see that the clock of this machine is right"
            ),
            // What EC2 says here may show what was signed, and so the token.
            (Kind::Credentials, _) => format!(
                "EC2 in {region} does not know the credentials from {source} ({code}): see that key, secret and token \
                 belong together and to that region's part of AWS, and that the clock of this machine is right"
            ),
            (_, "UnauthorizedOperation" | "UnauthorizedAccess" | "AccessDenied") => format!(
                "the credentials from {source} may not list instances in {region} ({code}): allow them the action \
                 ec2:DescribeInstances"
            ),
            (_, "OptInRequired" | "PendingVerification" | "Blocked") => format!(
                "EC2 in {region} is not open to this account ({code}): enable the region, or set another one"
            ),
            (_, "") => format!(
                "EC2 in {region} answers with HTTP status {} and no reason: see that the endpoint is EC2's",
                self.status
            ),
            (_, "InternalError" | "InternalFailure" | "Unavailable" | "ServiceUnavailable") => {
                format!("EC2 in {region} has trouble ({code}); it is asked again")
            }
            _ => format!(
                "EC2 in {region} refuses the question ({code}): {}; see tags and filters",
                cut(&self.message)
            ),
        }
    }
}

/// The message without control characters, not longer than a line.
fn cut(message: &str) -> String {
    let clean = message.chars().filter(|c| !c.is_control());
    clean.take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_remedy() {
        for (code, kind, part) in [
            ("RequestLimitExceeded", Kind::Throttled, "a longer interval"),
            ("AuthFailure", Kind::Credentials, "belong together"),
            ("SignatureDoesNotMatch", Kind::Credentials, "the clock"),
            ("RequestExpired", Kind::Credentials, "renew them"),
            (
                "UnauthorizedOperation",
                Kind::Other,
                "ec2:DescribeInstances",
            ),
            ("OptInRequired", Kind::Other, "enable the region"),
            ("InvalidParameterValue", Kind::Other, "token-in-message"),
            ("InternalError", Kind::Other, "asked again"),
            ("", Kind::Other, "HTTP status 400"),
        ] {
            let refusal = Refusal {
                status: 400,
                code: code.into(),
                message: "token-in-message".into(),
            };
            assert_eq!(refusal.kind(), kind, "{code}");
            let text = refusal.explain("eu-west-1", "the environment");
            assert!(text.contains(part), "{text}");
            assert!(text.contains("eu-west-1"), "{text}");
            let shown = text.contains("token-in-message");
            assert_eq!(shown, code == "InvalidParameterValue", "{text}");
        }
    }
}
