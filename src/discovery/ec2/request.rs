//! The question: `DescribeInstances` of EC2's query API, signed with Signature Version 4.
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html>
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html>

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Request, Uri};

use super::config::Filter;
use super::credentials::Credentials;

/// Instances in one answer. The API takes 5 to 1000; an instance is some kilobytes of XML.
const PAGE: &str = "500";

/// The form of the question's body.
pub(super) const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The body of the question.
pub(super) fn describe_instances(filters: &[Filter], next: Option<&str>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("Action", "DescribeInstances")
        .append_pair("Version", "2016-11-15")
        .append_pair("MaxResults", PAGE);
    for (index, filter) in filters.iter().enumerate() {
        let index = index + 1;
        form.append_pair(&format!("Filter.{index}.Name"), &filter.name);
        for (place, value) in filter.values.iter().enumerate() {
            form.append_pair(&format!("Filter.{index}.Value.{}", place + 1), value);
        }
    }
    if let Some(next) = next {
        form.append_pair("NextToken", next);
    }
    form.finish()
}

/// The request to a service, signed.
///
/// # Errors
/// A sentence for the user if the credentials or the endpoint cannot be used.
pub(super) fn signed(
    endpoint: &Uri,
    service: &str,
    region: &str,
    credentials: &Credentials,
    now: SystemTime,
    body: String,
) -> Result<Request<Bytes>, String> {
    // What the signer says may show what it signs, and so a key.
    let unusable = || {
        format!(
            "the request cannot be signed with the credentials from {}: see that key and token are what AWS gave, \
             without other characters",
            credentials.source
        )
    };
    let host = endpoint
        .authority()
        .ok_or("the endpoint has no host")?
        .as_str();
    let text = |secret: &crate::Secret| String::from_utf8(secret.expose().to_vec()).ok();
    let identity = aws_credential_types::Credentials::new(
        &credentials.key_id,
        text(&credentials.secret).ok_or_else(unusable)?,
        credentials.token.as_ref().and_then(text),
        credentials.expires,
        "rendez",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| unusable())?
        .into();
    let url = endpoint.to_string();
    let headers = [(HOST.as_str(), host), (CONTENT_TYPE.as_str(), FORM)];
    let signable = SignableRequest::new(
        "POST",
        &url,
        headers.into_iter(),
        SignableBody::Bytes(body.as_bytes()),
    )
    .map_err(|_| unusable())?;
    let (instructions, _) = sign(signable, &params)
        .map_err(|_| unusable())?
        .into_parts();
    let mut request = Request::post(endpoint)
        .header(HOST, host)
        .header(CONTENT_TYPE, FORM)
        .body(Bytes::from(body))
        .map_err(|_| unusable())?;
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}
