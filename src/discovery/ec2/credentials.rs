//! Who we are to AWS: the places where its tools look for credentials, in their order.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html>
//!
//! 1. `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`
//! 2. keys in the profile that `AWS_PROFILE` names, or `default`, or the role that it assumes
//! 3. a web identity: `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`, as EKS sets them for a service account (IRSA)
//! 4. the endpoint of ECS and of EKS Pod Identity
//! 5. the role of the instance, from instance metadata
//!
//! AWS's own crate for this, `aws-config`, brings three whole SDKs (STS, SSO and its OIDC) and a second HTTP client with
//! HTTP/2 for the two questions of [`sts`](super::sts): 19 more crates, and 80 s more of processor time for each user who
//! builds the NIF with `ec2`, without optimisation.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Uri};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::environment::Environment;
use super::metadata::Metadata;
use super::profile::{Base, Plan, plan};
use super::sts::{Role, Sts};
use crate::discovery::http::client::{Client, Limits};
use crate::secret::Secret;

/// Fresh ones are asked for this long before the old ones expire. AWS has the next ones at least this
/// long before.
const MARGIN: Duration = Duration::from_secs(300);

/// Where ECS answers under `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
const ECS: &str = "http://169.254.170.2";

/// Far more than any answer has.
const MOST: usize = 64 * 1024;

/// A key, and until when it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    /// The public part.
    pub key_id: String,
    /// The part that signs.
    pub secret: Secret,
    /// What goes with a key that is not for ever.
    pub token: Option<Secret>,
    /// When it ends to hold.
    pub expires: Option<SystemTime>,
    /// Where it was found, for people: "the environment".
    pub source: String,
}

impl Credentials {
    fn fresh(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|end| now + MARGIN < end)
    }

    fn valid(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

/// Finds credentials, keeps them, and finds fresh ones before they expire.
#[derive(Debug)]
pub(super) struct Chain {
    environment: Environment,
    client: Client,
    limits: Limits,
    /// Where the container endpoint of ECS is: [`ECS`], except in a test.
    ecs: String,
    /// The region whose STS is asked.
    region: Option<String>,
    found: Option<Credentials>,
}

impl Chain {
    /// A chain that has found nothing yet.
    pub fn new(client: Client, environment: Environment, timeout: Duration) -> Self {
        Self {
            environment,
            client,
            limits: Limits {
                timeout,
                body: MOST,
            },
            ecs: ECS.to_owned(),
            region: None,
            found: None,
        }
    }

    /// Says whose STS to ask for roles.
    pub fn in_region(&mut self, region: &str) {
        self.region = Some(region.to_owned());
    }

    /// Credentials that hold at `now`.
    ///
    /// # Errors
    /// A sentence for the user that names the places where there are none, and what to do.
    pub async fn credentials(
        &mut self,
        metadata: &mut Metadata,
        now: SystemTime,
    ) -> Result<Credentials, String> {
        if let Some(found) = &self.found
            && found.fresh(now)
        {
            return Ok(found.clone());
        }
        match self.find(metadata).await {
            Ok(found) if found.valid(now) => Ok(self.found.insert(found).clone()),
            Ok(found) => Err(format!(
                "the credentials from {} have expired: renew them where they come from, and see that the clock of \
                 this machine is right",
                found.source
            )),
            // What is there still holds for some minutes.
            Err(why) => match &self.found {
                Some(found) if found.valid(now) => {
                    tracing::warn!("ec2: no fresh credentials yet: {why}");
                    Ok(found.clone())
                }
                _ => Err(why),
            },
        }
    }

    /// Forgets what was found: it is refused.
    pub fn forget(&mut self) {
        self.found = None;
    }

    async fn find(&self, metadata: &mut Metadata) -> Result<Credentials, String> {
        if let Some(found) = self.in_environment()? {
            return Ok(found);
        }
        if let Some(found) = self.in_profile(metadata).await? {
            return Ok(found);
        }
        if let Some(found) = self.with_web_identity().await? {
            return Ok(found);
        }
        if let Some(found) = self.in_container().await? {
            return Ok(found);
        }
        let why = match from_instance(metadata).await {
            Ok(found) => return Ok(found),
            Err(why) => why,
        };
        Err(format!(
            "no AWS credentials: none in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, no profile with keys or a role, no \
             web identity, no container endpoint, and {why}; give the instance a role, or set those variables before \
             this process starts"
        ))
    }

    fn in_environment(&self) -> Result<Option<Credentials>, String> {
        let get = |name| self.environment.get(name);
        match (get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")) {
            (None, None) => Ok(None),
            (Some(key_id), Some(secret)) => Ok(Some(Credentials {
                key_id,
                secret: Secret::new(secret),
                token: get("AWS_SESSION_TOKEN").map(Secret::new),
                expires: None,
                source: "the environment".into(),
            })),
            (key_id, _) => {
                let (there, missing) = match key_id {
                    Some(_) => ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
                    None => ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
                };
                Err(format!(
                    "{there} is set but {missing} is not: set both or neither"
                ))
            }
        }
    }

    async fn in_profile(&self, metadata: &mut Metadata) -> Result<Option<Credentials>, String> {
        let environment = self.environment.clone();
        // Home directories may be far away.
        let plan = tokio::task::spawn_blocking(move || plan(&environment))
            .await
            .map_err(|why| format!("reading the AWS profile failed: {why}"))??;
        let Some(Plan { base, roles }) = plan else {
            return Ok(None);
        };
        let lacks =
            |what: &str| format!("the profile takes credentials from {what}, which has none");
        let mut found = match base {
            Base::Keys(keys) => keys,
            Base::WebIdentity(role, file) => self.web_identity(&role, &file).await?,
            Base::Environment => self.in_environment()?.ok_or_else(|| lacks("Environment"))?,
            Base::Container => {
                let found = self.in_container().await?;
                found.ok_or_else(|| lacks("EcsContainer"))?
            }
            Base::Instance => from_instance(metadata).await?,
        };
        for role in roles {
            found = self.sts()?.assume(&role, &found).await?;
        }
        Ok(Some(found))
    }

    async fn with_web_identity(&self) -> Result<Option<Credentials>, String> {
        const FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
        const ROLE: &str = "AWS_ROLE_ARN";
        match (self.environment.get(FILE), self.environment.get(ROLE)) {
            (Some(file), Some(arn)) => {
                let role = Role::new(arn, self.environment.get("AWS_ROLE_SESSION_NAME"));
                self.web_identity(&role, &file).await.map(Some)
            }
            (Some(_), None) => Err(format!(
                "{FILE} is set but {ROLE} is not: set both or neither"
            )),
            (None, _) => Ok(None),
        }
    }

    async fn web_identity(&self, role: &Role, file: &str) -> Result<Credentials, String> {
        let path = file.to_owned();
        // It is replaced from time to time, so it is read each time.
        let token = tokio::task::spawn_blocking(move || std::fs::read(path))
            .await
            .map_err(|why| format!("reading the web identity token failed: {why}"))?
            .map_err(|why| format!("the web identity token {file} cannot be read: {why}"))?;
        let token = Secret::new(token.trim_ascii());
        self.sts()?.with_web_identity(role, &token).await
    }

    fn sts(&self) -> Result<Sts<'_>, String> {
        let region = self.region.as_deref();
        Ok(Sts {
            client: &self.client,
            limits: self.limits,
            environment: &self.environment,
            region: region.ok_or("no AWS region, in which STS could be asked for a role")?,
        })
    }

    async fn in_container(&self) -> Result<Option<Credentials>, String> {
        const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
        let (url, variable) = match (self.environment.get(RELATIVE), self.environment.get(FULL)) {
            (Some(path), _) => (format!("{}{path}", self.ecs), RELATIVE),
            (None, Some(url)) => (url, FULL),
            (None, None) => return Ok(None),
        };
        let uri: Uri = url
            .parse()
            .map_err(|why| format!("{variable} is no URL: {why}"))?;
        if variable == FULL && !may_have_keys(&uri) {
            return Err(format!(
                "{FULL} points to {}: over http only this host and the addresses of ECS and EKS are asked for keys",
                uri.host().unwrap_or("no host")
            ));
        }
        let mut request = Request::get(uri);
        if let Some(token) = self.container_token().await? {
            request = request.header("authorization", token.expose());
        }
        let request = request.body(Bytes::new()).map_err(|_| {
            "the container's authorization token cannot stand in a header".to_owned()
        })?;
        let answer = self
            .client
            .send(request, self.limits)
            .await
            .map_err(|why| format!("container credentials: {why}"))?;
        if !answer.status().is_success() {
            return Err(format!(
                "container credentials: the endpoint in {variable} answers {}: see that the task or pod has a role",
                answer.status()
            ));
        }
        read(answer.body(), "the container endpoint".into()).map(Some)
    }

    async fn container_token(&self) -> Result<Option<Secret>, String> {
        const FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
        if let Some(path) = self.environment.get(FILE) {
            // It is replaced from time to time, so it is read each time.
            let text = tokio::task::spawn_blocking(move || std::fs::read_to_string(path))
                .await
                .map_err(|why| format!("reading {FILE} failed: {why}"))?
                .map_err(|why| format!("the file that {FILE} names cannot be read: {why}"))?;
            return Ok(Some(Secret::new(text.trim())));
        }
        let token = self.environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN");
        Ok(token.map(Secret::new))
    }
}

/// Whether keys may be asked for there: over TLS anywhere, else only where no network is passed.
fn may_have_keys(uri: &Uri) -> bool {
    /// ECS, then EKS Pod Identity.
    const KNOWN: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    uri.scheme_str() == Some("https")
        || host == "localhost"
        || KNOWN.contains(&host)
        || host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

async fn from_instance(metadata: &mut Metadata) -> Result<Credentials, String> {
    const ROLES: &str = "iam/security-credentials/";
    let roles = metadata.get(ROLES).await?.unwrap_or_default();
    let Some(role) = roles.lines().map(str::trim).find(|role| !role.is_empty()) else {
        return Err("the instance has no role".into());
    };
    match metadata.get(&format!("{ROLES}{role}")).await? {
        Some(text) => read(text.as_bytes(), format!("the instance's role {role}")),
        None => Err(format!("the instance's role {role} has no credentials")),
    }
}

/// What the container endpoint, instance metadata and STS answer with.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Told {
    code: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    #[serde(alias = "SessionToken")]
    token: Option<String>,
    expiration: Option<String>,
}

impl Told {
    /// The credentials, which `source` gave.
    pub fn into_credentials(self, source: String) -> Result<Credentials, String> {
        if let Some(code) = self.code.filter(|code| code != "Success") {
            return Err(format!("{source} has no credentials to give: {code:?}"));
        }
        let (Some(key_id), Some(secret)) = (self.access_key_id, self.secret_access_key) else {
            return Err(format!("what {source} answers has no key"));
        };
        let expires = self
            .expiration
            .map(|text| OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| text))
            .transpose()
            .map_err(|text| {
                format!("the expiration in the answer of {source} is not a time: {text:?}")
            })?;
        Ok(Credentials {
            key_id,
            secret: Secret::new(secret),
            token: self.token.map(Secret::new),
            expires: expires.map(SystemTime::from),
            source,
        })
    }
}

fn read(text: &[u8], source: String) -> Result<Credentials, String> {
    // What serde says of a wrong place may quote it, so only the place is told.
    let told: Told = serde_json::from_slice(text).map_err(|why| {
        format!(
            "the answer of {source} does not contain credentials (line {}, column {})",
            why.line(),
            why.column()
        )
    })?;
    told.into_credentials(source)
}
