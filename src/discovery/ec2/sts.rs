//! Credentials of a role, from AWS's Security Token Service: with a web identity, as pods on EKS have one (IRSA), or with
//! other credentials.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use std::time::SystemTime;

use bytes::Bytes;
use http::{Request, Uri};
use serde::Deserialize;

use super::credentials::{Credentials, Told};
use super::environment::Environment;
use super::provider::{check_endpoint, domain};
use super::request::{FORM, signed};
use crate::discovery::http::client::{Client, Limits};
use crate::secret::Secret;

/// The name of the session in the logs of AWS, unless the user sets another.
const SESSION: &str = "rendez";

/// A role and the parameters of the request for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub arn: String,
    pub session: String,
    /// The external id that the owner of the role requires of a third party.
    pub external_id: Option<Secret>,
    /// The requested duration in seconds.
    pub duration: Option<String>,
}

impl Role {
    /// A role; without a name for the session it gets one.
    pub fn new(arn: impl Into<String>, session: Option<String>) -> Self {
        Self {
            arn: arn.into(),
            session: session.unwrap_or_else(|| SESSION.to_owned()),
            external_id: None,
            duration: None,
        }
    }
}

/// Asks the service in one region.
pub(super) struct Sts<'a> {
    pub client: &'a Client,
    pub limits: Limits,
    pub environment: &'a Environment,
    pub region: &'a str,
}

impl Sts<'_> {
    /// Asks for the credentials of the role with the token of an identity provider.
    ///
    /// # Errors
    /// A sentence for the user.
    pub async fn with_web_identity(
        &self,
        role: &Role,
        token: &Secret,
    ) -> Result<Credentials, String> {
        const ACTION: &str = "AssumeRoleWithWebIdentity";
        let token = std::str::from_utf8(token.expose())
            .map_err(|_| "the web identity token is not valid UTF-8".to_owned())?;
        let body = question(ACTION, role, &[("WebIdentityToken", token)]);
        let request = Request::post(self.endpoint()?)
            .header("content-type", FORM)
            .body(Bytes::from(body))
            .map_err(|_| "the question for the role cannot be sent".to_owned())?;
        self.ask(ACTION, role, request).await
    }

    /// Asks for the credentials of the role with the credentials `with`.
    ///
    /// # Errors
    /// A sentence for the user.
    pub async fn assume(&self, role: &Role, with: &Credentials) -> Result<Credentials, String> {
        const ACTION: &str = "AssumeRole";
        let external = role.external_id.as_ref();
        let external = external.and_then(|id| std::str::from_utf8(id.expose()).ok());
        let external: Vec<_> = external.map(|id| ("ExternalId", id)).into_iter().collect();
        let body = question(ACTION, role, &external);
        let now = SystemTime::now();
        let request = signed(&self.endpoint()?, "sts", self.region, with, now, body)?;
        self.ask(ACTION, role, request).await
    }

    fn endpoint(&self) -> Result<Uri, String> {
        const VARIABLES: [&str; 2] = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"];
        let given = VARIABLES
            .iter()
            .find_map(|name| Some((*name, self.environment.get(name)?)));
        match given {
            Some((name, url)) => check_endpoint(name, &url),
            None => {
                let (region, domain) = (self.region, domain(self.region));
                check_endpoint("region", &format!("https://sts.{region}.{domain}"))
            }
        }
    }

    async fn ask(
        &self,
        action: &str,
        role: &Role,
        request: Request<Bytes>,
    ) -> Result<Credentials, String> {
        let arn = &role.arn;
        let failed = |why: String| format!("the role {arn}: {why}");
        let answer = self
            .client
            .send(request, self.limits)
            .await
            .map_err(|why| failed(why.to_string()))?;
        // What the parser says of an answer may quote it.
        let text = std::str::from_utf8(answer.body()).unwrap_or_default();
        if !answer.status().is_success() {
            let code = quick_xml::de::from_str::<Refused>(text);
            let code = code.map(|refused| refused.error.code).unwrap_or_default();
            let status = answer.status();
            return Err(failed(explain(action, &code, status.as_u16())));
        }
        let answer: Answer = quick_xml::de::from_str(text)
            .map_err(|_| failed("the answer of STS does not contain credentials".to_owned()))?;
        answer
            .result
            .credentials
            .into_credentials(format!("the role {arn}"))
    }
}

fn question(action: &str, role: &Role, more: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", action)
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", &role.arn)
        .append_pair("RoleSessionName", &role.session);
    if let Some(seconds) = &role.duration {
        form.append_pair("DurationSeconds", seconds);
    }
    form.extend_pairs(more);
    form.finish()
}

fn explain(action: &str, code: &str, status: u16) -> String {
    match code {
        "AccessDenied" => format!(
            "STS refuses {action} (AccessDenied): see that the role exists and that its trust policy names who asks"
        ),
        "InvalidIdentityToken" | "IDPRejectedClaim" => format!(
            "STS does not take the token ({code}): see that the cluster's identity provider is registered in the account and \
             named in the role's trust policy"
        ),
        "ExpiredToken" | "ExpiredTokenException" => format!(
            "the token or the credentials that ask for it have expired ({code}): renew them, and see that the clock of this \
             machine is right"
        ),
        "" => format!("STS answers {action} with status {status}"),
        _ => format!("STS refuses {action} ({code})"),
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "AssumeRoleResult", alias = "AssumeRoleWithWebIdentityResult")]
    result: Issued,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Issued {
    credentials: Told,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    error: RefusedError,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RefusedError {
    code: String,
}
