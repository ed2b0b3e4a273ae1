//! A stand-in for what an EC2 instance sees of AWS: EC2's API, instance metadata, container credentials, STS.
//!
//! It checks the signature of every question itself, by the published rules and not by the signer under test:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::http_server::{HttpServer, Reply, Request};

pub const REGION: &str = "eu-test-1";

/// An instance.
#[derive(Debug, Clone, Default)]
pub struct Instance {
    pub private_ip: String,
    pub state: &'static str,
    pub tags: Vec<(&'static str, &'static str)>,
    pub group: &'static str,
    pub id: &'static str,
}

/// The instance that asks.
pub const OWN_ID: &str = "i-0own";

/// A running instance with this address and these tags.
pub fn running<const N: usize>(
    private_ip: &str,
    tags: [(&'static str, &'static str); N],
) -> Instance {
    Instance {
        private_ip: private_ip.into(),
        state: "running",
        tags: tags.into(),
        group: "default",
        id: "i-0other",
    }
}

/// A key that EC2 knows.
#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub secret: String,
    pub token: Option<String>,
    /// What it is refused with, if it is.
    pub refused: Option<&'static str>,
}

impl Key {
    pub fn new(id: &str, secret: &str, token: Option<&str>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
            token: token.map(Into::into),
            refused: None,
        }
    }
}

/// A role that STS lends.
#[derive(Debug, Clone)]
pub struct Role {
    pub arn: &'static str,
    /// What it signs with.
    pub key: Key,
    /// Who gets it: the id of a key, or a web identity token.
    pub trusts: String,
    pub external_id: Option<&'static str>,
}

#[derive(Debug, Default)]
pub struct State {
    pub instances: Vec<Instance>,
    pub keys: Vec<Key>,
    /// The most instances on one page.
    pub page: usize,
    /// What the next questions are refused with, status and code; 200 lets one through.
    pub refuse: Vec<(u16, &'static str)>,
    /// The role of the instance and its key: what instance metadata tells.
    pub role: Option<Key>,
    /// The roles that STS lends. Their keys have to be among `keys` to be known to EC2.
    pub roles: Vec<Role>,
    /// What STS refuses everything with, if it does.
    pub sts_refuses: Option<&'static str>,
    /// How long the role's credentials hold.
    pub lasts: Duration,
    /// Metadata sessions that hold.
    sessions: Vec<String>,
    /// Questions to EC2 with a good signature.
    pub asked: usize,
    /// Questions for the role's credentials.
    pub credentials_asked: usize,
    /// The last question's parameters.
    pub last: BTreeMap<String, String>,
    /// What was wrong with a signature.
    pub complaints: Vec<String>,
}

/// The stand-in.
pub struct Aws {
    server: HttpServer,
    state: Arc<Mutex<State>>,
}

impl Aws {
    /// It knows the key `AKIDTEST` with the secret `wJalr/test+key`.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            keys: vec![Key::new("AKIDTEST", "wJalr/test+key", None)],
            page: 1000,
            lasts: Duration::from_secs(6 * 3600),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let server = HttpServer::start(move |request| {
            let mut state = shared.lock().expect("the state");
            answer(&mut state, request)
        });
        Self { server, state }
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the state")
    }

    /// Ends every metadata session, as a restart of the service would.
    pub fn end_sessions(&self) {
        self.state().sessions.clear();
    }
}

fn answer(state: &mut State, request: &Request) -> Reply {
    let path = request.target.as_str();
    match (request.method.as_str(), path) {
        ("PUT", "/latest/api/token") => {
            let seconds = request.header("x-aws-ec2-metadata-token-ttl-seconds");
            match seconds.and_then(|text| text.parse::<u32>().ok()) {
                Some(1..=21_600) => {
                    let session = format!("session-{}", state.sessions.len());
                    state.sessions.push(session.clone());
                    Reply::ok(session)
                }
                _ => Reply::new(400, ""),
            }
        }
        ("GET", path) if path.starts_with("/latest/meta-data/") => {
            let session = request.header("x-aws-ec2-metadata-token");
            if !session.is_some_and(|it| state.sessions.iter().any(|known| known == it)) {
                return Reply::new(401, "");
            }
            metadata(state, &path["/latest/meta-data/".len()..])
        }
        ("GET", "/container/role") => {
            if request.header("authorization") != Some("Bearer pod") {
                return Reply::new(401, "");
            }
            role(state)
        }
        ("POST", "/") => {
            let form: BTreeMap<String, String> =
                form_urlencoded::parse(&request.body).into_owned().collect();
            match form.get("Action").map(String::as_str) {
                Some(action) if action.starts_with("AssumeRole") => sts(state, request, &form),
                _ => ec2(state, request),
            }
        }
        _ => Reply::new(404, ""),
    }
}

fn metadata(state: &mut State, path: &str) -> Reply {
    match (path, &state.role) {
        ("placement/region", _) => Reply::ok(REGION),
        ("instance-id", _) => Reply::ok(OWN_ID),
        ("iam/security-credentials/", Some(_)) => Reply::ok("beam-role\n"),
        ("iam/security-credentials/beam-role", Some(_)) => role(state),
        _ => Reply::new(404, ""),
    }
}

fn role(state: &mut State) -> Reply {
    state.credentials_asked += 1;
    let Some(key) = &state.role else {
        return Reply::new(404, "");
    };
    let text = serde_json::json!({
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": key.id,
        "SecretAccessKey": key.secret,
        "Token": key.token,
        "Expiration": rfc3339(SystemTime::now() + state.lasts),
    });
    Reply::ok(text.to_string())
}

fn sts(state: &mut State, request: &Request, form: &BTreeMap<String, String>) -> Reply {
    let action = form["Action"].as_str();
    let refusal = |code: &str| {
        Reply::new(
            403,
            format!(
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code><Message>hush</Message></Error></ErrorResponse>"
            ),
        )
    };
    let who = match form.get("WebIdentityToken") {
        Some(token) if action == "AssumeRoleWithWebIdentity" => token.clone(),
        _ => match check_signature(state, request, "sts") {
            Ok(key_id) => key_id,
            Err((code, why)) => {
                state.complaints.push(why);
                return refusal(code);
            }
        },
    };
    state.credentials_asked += 1;
    if let Some(code) = state.sts_refuses {
        return refusal(code);
    }
    let role = state.roles.iter().find(|role| {
        role.arn == form["RoleArn"]
            && role.trusts == who
            && role.external_id == form.get("ExternalId").map(String::as_str)
    });
    let Some(Role { key, .. }) = role else {
        return refusal("AccessDenied");
    };
    state.last.clone_from(form);
    Reply::ok(format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><AssumedRoleUser><Arn>{}</Arn>\
         </AssumedRoleUser><Credentials><SessionToken>{}</SessionToken><SecretAccessKey>{}</SecretAccessKey>\
         <Expiration>{}</Expiration><AccessKeyId>{}</AccessKeyId></Credentials></{action}Result></{action}Response>",
        form["RoleArn"],
        key.token.as_deref().unwrap_or_default(),
        key.secret,
        rfc3339(SystemTime::now() + state.lasts),
        key.id
    ))
}

fn ec2(state: &mut State, request: &Request) -> Reply {
    if let Err((code, why)) = check_signature(state, request, "ec2") {
        state.complaints.push(why);
        return refusal(401, code);
    }
    state.asked += 1;
    if !state.refuse.is_empty() {
        let (status, code) = state.refuse.remove(0);
        if status != 200 {
            return refusal(status, code);
        }
    }
    let form: BTreeMap<String, String> =
        form_urlencoded::parse(&request.body).into_owned().collect();
    state.last.clone_from(&form);
    if form.get("Action").map(String::as_str) != Some("DescribeInstances") {
        return refusal(400, "InvalidAction");
    }
    let matching: Vec<_> = state
        .instances
        .iter()
        .filter(|instance| matches(instance, &form))
        .collect();
    let first = match form.get("NextToken") {
        None => 0,
        Some(token) => match token.strip_prefix("page/").map(str::parse) {
            Some(Ok(first)) => first,
            _ => return refusal(400, "InvalidNextToken"),
        },
    };
    let most: usize = form["MaxResults"].parse().expect("a number");
    let last = matching.len().min(first + most.min(state.page));
    let mut xml = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeInstancesResponse \
         xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>test</requestId><reservationSet>",
    );
    for instance in &matching[first..last] {
        let _ = write!(
            xml,
            "<item><groupSet/><instancesSet><item><instanceState><name>{}</name></instanceState>\
             <privateDnsName>ip-{}.test.internal</privateDnsName><dnsName/>\
             <privateIpAddress>{}</privateIpAddress><tagSet>{}</tagSet></item></instancesSet></item>",
            instance.state,
            instance.private_ip.replace('.', "-"),
            instance.private_ip,
            instance
                .tags
                .iter()
                .map(|(name, value)| format!(
                    "<item><key>{}</key><value>{}</value></item>",
                    name.replace('&', "&amp;"),
                    value.replace('&', "&amp;")
                ))
                .collect::<String>()
        );
    }
    xml.push_str("</reservationSet>");
    if last < matching.len() {
        let _ = write!(xml, "<nextToken>page/{last}</nextToken>");
    }
    xml.push_str("</DescribeInstancesResponse>");
    Reply::ok(xml)
}

fn refusal(status: u16, code: &str) -> Reply {
    Reply::new(
        status,
        format!(
            "<?xml version=\"1.0\"?><Response><Errors><Error><Code>{code}</Code><Message>said by the \
             stand-in</Message></Error></Errors><RequestID>test</RequestID></Response>"
        ),
    )
}

fn matches(instance: &Instance, form: &BTreeMap<String, String>) -> bool {
    (1..)
        .map_while(|index| Some((index, form.get(&format!("Filter.{index}.Name"))?)))
        .all(|(index, name)| {
            (1..)
                .map_while(|place| form.get(&format!("Filter.{index}.Value.{place}")))
                .any(|wanted| {
                    let plain = wanted.replace("\\*", "*").replace("\\?", "?");
                    let has = |value: &str| wanted == "*" || plain == value;
                    match name.as_str() {
                        "instance-state-name" => has(instance.state),
                        "instance-id" => has(instance.id),
                        "instance.group-name" => has(instance.group),
                        tag => tag.strip_prefix("tag:").is_some_and(|tag| {
                            instance
                                .tags
                                .iter()
                                .any(|(name, value)| *name == tag && has(value))
                        }),
                    }
                })
        })
}

/// Signature Version 4, from the other side. The id of the key.
fn check_signature(
    state: &State,
    request: &Request,
    service: &str,
) -> Result<String, (&'static str, String)> {
    let fail = |code, why: &str| Err((code, why.to_owned()));
    let header = |name| request.header(name).unwrap_or_default();
    let Some(rest) = header("authorization").strip_prefix("AWS4-HMAC-SHA256 ") else {
        return fail("MissingAuthenticationToken", "no authorization");
    };
    let part = |name: &str| {
        rest.split(", ")
            .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
    };
    let (credential, signed, signature) =
        (part("Credential"), part("SignedHeaders"), part("Signature"));
    let scope: Vec<&str> = credential.split('/').collect();
    let [key_id, day, REGION, for_service, "aws4_request"] = scope[..] else {
        return fail("AuthFailure", "the scope is off");
    };
    if for_service != service {
        return fail("AuthFailure", "it is for another service");
    }
    let Some(key) = state.keys.iter().find(|key| key.id == key_id) else {
        return fail("AuthFailure", "the key is not known");
    };
    let time = header("x-amz-date");
    let now = basic_time(SystemTime::now());
    // A stand-in on the same clock: the same day or the one before is all that has to be told apart.
    if !time.starts_with(day) || time.len() != now.len() || time > now.as_str() {
        return fail("RequestExpired", "the time is off");
    }
    let signed_names: Vec<&str> = signed.split(';').collect();
    if !signed_names.is_sorted()
        || !["host", "x-amz-date", "content-type"]
            .iter()
            .all(|name| signed_names.contains(name))
    {
        return fail("SignatureDoesNotMatch", "a header is not signed");
    }
    if let Some(token) = &key.token
        && (header("x-amz-security-token") != token
            || !signed_names.contains(&"x-amz-security-token"))
    {
        return fail("AuthFailure", "the token is off");
    }
    let mut canonical = format!("{}\n{}\n\n", request.method, request.target);
    for name in &signed_names {
        let value = header(name).split_whitespace().collect::<Vec<_>>();
        let _ = writeln!(canonical, "{name}:{}", value.join(" "));
    }
    let _ = write!(
        canonical,
        "\n{signed}\n{}",
        hex(&Sha256::digest(&request.body))
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{day}/{REGION}/{service}/aws4_request\n{}",
        hex(&Sha256::digest(&canonical))
    );
    let mut chain = hmac(format!("AWS4{}", key.secret).as_bytes(), day);
    for step in [REGION, service, "aws4_request"] {
        chain = hmac(&chain, step);
    }
    if hex(&hmac(&chain, &text)) != signature {
        return fail("SignatureDoesNotMatch", &canonical);
    }
    match key.refused {
        Some(code) => fail(code, "the key is refused"),
        None => Ok(key_id.to_owned()),
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `20261121T100000Z`.
fn basic_time(time: SystemTime) -> String {
    rfc3339(time).replace(['-', ':'], "")
}

/// `2026-11-21T10:00:00Z`.
fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).expect("now").as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days to a date of the Gregorian calendar, counted in eras of 400 years from 1 March.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!(
        "{:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        era * 400 + year + next,
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    )
}
