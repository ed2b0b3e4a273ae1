//! What an instance is told about itself: the instance metadata service, version 2.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html>

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::time::Instant;

use super::environment::Environment;
use crate::discovery::http::client::{Client, Limits};
use crate::secret::{Secret, SecretUrl};

/// How long a session lasts that is asked for: the longest that the service gives, 6 hours.
const SESSION: Duration = Duration::from_secs(21_600);

/// A session is not used in its last moments.
const MARGIN: Duration = Duration::from_secs(60);

/// Far more than any answer has.
const MOST: usize = 64 * 1024;

/// The metadata service. It is on the own host, so a silent one is not there: see [`Metadata::new`].
#[derive(Debug)]
pub(super) struct Metadata {
    client: Client,
    limits: Limits,
    base: SecretUrl,
    disabled: bool,
    session: Option<(Secret, Instant)>,
}

impl Metadata {
    /// Where `environment` says it is, else at its own address. A question takes at most 2 s.
    pub fn new(client: Client, environment: &Environment, timeout: Duration) -> Self {
        let ipv6 = environment
            .get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("ipv6"));
        let base = environment
            .get("AWS_EC2_METADATA_SERVICE_ENDPOINT")
            .unwrap_or_else(|| match ipv6 {
                true => "http://[fd00:ec2::254]".into(),
                false => "http://169.254.169.254".into(),
            });
        let disabled = environment
            .get("AWS_EC2_METADATA_DISABLED")
            .is_some_and(|word| word.eq_ignore_ascii_case("true"));
        Self {
            client,
            limits: Limits {
                timeout: timeout.min(Duration::from_secs(2)),
                body: MOST,
            },
            base: base.trim_end_matches('/').into(),
            disabled,
            session: None,
        }
    }

    /// What stands under `/latest/meta-data/`; `None` if there is nothing.
    ///
    /// # Errors
    /// A sentence for the user if the service is not there or refuses.
    pub async fn get(&mut self, path: &str) -> Result<Option<String>, String> {
        if self.disabled {
            return Err("instance metadata is turned off by AWS_EC2_METADATA_DISABLED".into());
        }
        // A session may be ended before its time, so a refused one is renewed once.
        for fresh in [false, true] {
            if fresh {
                self.session = None;
            }
            let session = self.session().await?;
            let request = Request::get(format!("{}/latest/meta-data/{path}", &*self.base))
                .header("x-aws-ec2-metadata-token", session.expose())
                .body(Bytes::new())
                .map_err(|why| self.misplaced(&why))?;
            let answer = self.send(request).await?;
            match answer.status() {
                StatusCode::OK => {
                    return match std::str::from_utf8(answer.body()) {
                        Ok(text) => Ok(Some(text.to_owned())),
                        Err(_) => Err(format!("instance metadata has no text under {path}")),
                    };
                }
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::UNAUTHORIZED if !fresh => {}
                status => {
                    return Err(format!(
                        "instance metadata at {:?} answers {status} for {path}",
                        self.base
                    ));
                }
            }
        }
        Err(format!(
            "instance metadata at {:?} refuses the session that it gave",
            self.base
        ))
    }

    async fn session(&mut self) -> Result<Secret, String> {
        if let Some((session, until)) = &self.session
            && Instant::now() < *until
        {
            return Ok(session.clone());
        }
        let request = Request::put(format!("{}/latest/api/token", &*self.base))
            .header(
                "x-aws-ec2-metadata-token-ttl-seconds",
                SESSION.as_secs().to_string(),
            )
            .body(Bytes::new())
            .map_err(|why| self.misplaced(&why))?;
        let asked = Instant::now();
        let answer = self.send(request).await?;
        match answer.status() {
            StatusCode::OK => {
                let session = Secret::new(answer.body());
                self.session = Some((session.clone(), asked + SESSION - MARGIN));
                Ok(session)
            }
            StatusCode::FORBIDDEN => Err(format!(
                "instance metadata at {:?} is turned off for this instance: turn it on (HttpEndpoint=enabled)",
                self.base
            )),
            status => Err(format!(
                "instance metadata at {:?} answers {status} when asked for a session",
                self.base
            )),
        }
    }

    async fn send(&self, request: Request<Bytes>) -> Result<http::Response<Bytes>, String> {
        self.client.send(request, self.limits).await.map_err(|why| {
            format!(
                "instance metadata: {why} (on an instance, in a container: raise its hop limit, \
                 HttpPutResponseHopLimit=2)"
            )
        })
    }

    fn misplaced(&self, why: &http::Error) -> String {
        format!(
            "AWS_EC2_METADATA_SERVICE_ENDPOINT {:?} is no URL: {why}",
            self.base
        )
    }
}
