//! The provider against a stand-in that checks signatures itself.

#[path = "../../../tests/support/aws.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod aws;
#[path = "../../../tests/support/http_server.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod http_server;

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use super::config::{Ec2Config, Filter, HostType};
use super::credentials::{Chain, Credentials};
use super::environment::Environment;
use super::metadata::Metadata;
use super::provider::Ec2;
use crate::discovery::Context;
use crate::discovery::http::client::Client;
use crate::discovery::polling::{Answer, Poll, PollError};
use aws::{Aws, Instance, Key, OWN_ID, REGION, Role, running};

const TIMEOUT: Duration = Duration::from_secs(20);

fn environment<const N: usize>(aws: &Aws, more: [(&str, &str); N]) -> Environment {
    let mut table: HashMap<String, String> = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", aws.url()),
        ("AWS_ENDPOINT_URL_EC2", aws.url()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    table.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Environment::Table(table)
}

const KEY: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
    ("AWS_SECRET_ACCESS_KEY", "wJalr/test+key"),
    ("AWS_REGION", REGION),
];

fn config() -> Ec2Config {
    Ec2Config {
        tags: vec![Filter::new("cluster", ["shop"])],
        timeout: TIMEOUT,
        ..Ec2Config::default()
    }
}

fn provider(config: &Ec2Config, environment: Environment) -> Ec2 {
    let context = Context {
        own: Some("shop@10.0.0.1".parse().unwrap()),
        cookie: None,
    };
    Ec2::new(config, &context, environment).unwrap()
}

async fn ask(provider: &mut Ec2) -> Result<Vec<String>, String> {
    match provider.poll().await {
        Ok(Answer {
            nodes,
            trouble: None,
            ..
        }) => {
            let mut names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
            names.sort();
            Ok(names)
        }
        Ok(partly) => panic!("{partly:?}"),
        Err(PollError(why)) => Err(why),
    }
}

fn shop(count: u8) -> Vec<Instance> {
    (1..=count)
        .map(|n| running(&format!("10.0.0.{n}"), [("cluster", "shop"), ("n", "x")]))
        .collect()
}

#[tokio::test]
async fn running_instances_with_the_tags_are_peers() {
    let aws = Aws::start();
    aws.state().instances = vec![
        running("10.0.0.1", [("cluster", "shop"), ("beam", "")]),
        running("10.0.0.2", [("cluster", "till"), ("beam", "yes")]),
        running("10.0.0.3", [("cluster", "shop")]),
        running("10.0.0.4", [("cluster", "bank"), ("beam", "yes")]),
        Instance {
            state: "stopped",
            ..running("10.0.0.5", [("cluster", "shop"), ("beam", "yes")])
        },
        Instance {
            group: "web",
            ..running("10.0.0.6", [("cluster", "shop"), ("beam", "a&b=c d/ü")])
        },
    ];
    let mut config = Ec2Config {
        tags: vec![
            Filter::new("cluster", ["shop", "till"]),
            Filter::new("beam", [""; 0]),
        ],
        ..config()
    };
    let mut ec2 = provider(&config, environment(&aws, KEY));
    let names = ask(&mut ec2).await.unwrap();
    assert_eq!(names, ["shop@10.0.0.1", "shop@10.0.0.2", "shop@10.0.0.6"]);

    // Characters that a form, an URL and a signature each write in their own way.
    config.tags = vec![Filter::new("beam", ["a&b=c d/ü"])];
    config.filters = vec![Filter::new("instance.group-name", ["web"])];
    config.host_type = HostType::Hostname;
    config.app_name = Some("till".into());
    let mut ec2 = provider(&config, environment(&aws, KEY));
    let names = ask(&mut ec2).await.unwrap();
    assert_eq!(names, ["till@ip-10-0-0-6.test.internal"]);
    assert_eq!(aws.state().complaints, [""; 0]);
}

#[tokio::test]
async fn instances_of_the_own_group_are_peers_whatever_it_is_called() {
    let aws = Aws::start();
    let group = |name| ("aws:autoscaling:groupName", name);
    let own = |tags| Instance {
        id: OWN_ID,
        ..running("10.0.0.1", tags)
    };
    aws.state().instances = vec![
        own([group("shop-*"), ("stage", "live")]),
        running("10.0.0.2", [group("shop-*"), ("stage", "test")]),
        running("10.0.0.3", [group("shop-7"), ("stage", "live")]),
    ];
    let config = Ec2Config {
        tags: Vec::new(),
        own_tags: vec!["aws:autoscaling:groupName".into()],
        ..config()
    };
    let mut ec2 = provider(&config, environment(&aws, KEY));
    let names = ask(&mut ec2).await.unwrap();
    assert_eq!(names, ["shop@10.0.0.1", "shop@10.0.0.2"]);
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 2);
    assert_eq!(aws.state().asked, 3, "the own tags are asked for once");

    // One that cannot know its group names nobody, and says why.
    let other = Ec2Config {
        own_tags: vec!["team".into()],
        ..config
    };
    let mut ec2 = provider(&other, environment(&aws, KEY));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("i-0own has no tag team"), "{error}");
    aws.state().instances.remove(0);
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("does not know the own instance"), "{error}");
    let mut nowhere = KEY.to_vec();
    nowhere.push(("AWS_EC2_METADATA_DISABLED", "true"));
    let nowhere: [_; 4] = nowhere.try_into().unwrap();
    let mut ec2 = provider(&other, environment(&aws, nowhere));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("give tags instead"), "{error}");
}

#[tokio::test]
async fn every_page_is_asked_for_and_a_page_that_fails_fails_the_whole() {
    let aws = Aws::start();
    aws.state().instances = shop(7);
    aws.state().page = 3;
    let mut ec2 = provider(&config(), environment(&aws, KEY));
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 7);
    assert_eq!(aws.state().asked, 3);

    aws.state().page = 0;
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("the same page"), "{error}");

    aws.state().page = 1;
    aws.state().instances = shop(50);
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("narrow tags"), "{error}");

    aws.state().page = 25;
    // The first page is there, the second is not.
    aws.state().refuse = vec![(200, ""), (500, "InternalError")];
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("has trouble"), "{error}");
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 50);
}

#[tokio::test]
async fn the_role_of_the_instance_signs_and_the_region_is_the_instance_s() {
    let aws = Aws::start();
    let key = Key::new("ASIAROLE", "role/secret", Some("role+token=="));
    aws.state().keys = vec![key.clone()];
    aws.state().role = Some(key);
    aws.state().instances = shop(2);
    let mut ec2 = provider(&config(), environment(&aws, []));
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 2);
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 2);
    assert_eq!(aws.state().credentials_asked, 1, "they are kept");
    assert_eq!(aws.state().complaints, [""; 0]);
}

#[tokio::test]
async fn credentials_are_renewed_before_they_expire_and_the_old_ones_serve_meanwhile() {
    let aws = Aws::start();
    let role = |id: &str| Some(Key::new(id, "s", Some("t")));
    aws.state().role = role("one");
    aws.state().lasts = Duration::from_secs(3600);
    let environment = environment(&aws, []);
    let mut metadata = Metadata::new(Client::new(), &environment, TIMEOUT);
    let mut chain = Chain::new(Client::new(), environment, TIMEOUT);
    let now = SystemTime::now();
    let later = |secs| now + Duration::from_secs(secs);
    let id = |found: Result<Credentials, String>| found.map(|it| it.key_id);

    assert_eq!(
        id(chain.credentials(&mut metadata, now).await),
        Ok("one".into())
    );
    aws.state().role = role("two");
    // A session that ended before its time is asked for again.
    aws.end_sessions();
    let at = later(3600 - 301 - 5);
    assert_eq!(
        id(chain.credentials(&mut metadata, at).await),
        Ok("one".into())
    );
    aws.state().role = None;
    let at = later(3600 - 60);
    assert_eq!(
        id(chain.credentials(&mut metadata, at).await),
        Ok("one".into())
    );
    aws.state().role = role("two");
    assert_eq!(
        id(chain.credentials(&mut metadata, at).await),
        Ok("two".into())
    );
    // What the metadata service has is old itself.
    aws.state().lasts = Duration::ZERO;
    chain.forget();
    let error = id(chain.credentials(&mut metadata, later(60)).await).unwrap_err();
    assert!(error.contains("have expired"), "{error}");
    assert!(error.contains("beam-role"), "{error}");
}

#[tokio::test]
async fn the_container_endpoint_is_asked_with_its_token_and_only_where_keys_may_be() {
    let aws = Aws::start();
    let key = Key::new("ASIAPOD", "pod", Some("token"));
    aws.state().keys = vec![key.clone()];
    aws.state().role = Some(key);
    aws.state().instances = shop(1);
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "Bearer pod\n").unwrap();
    let url = format!("{}/container/role", aws.url());
    let here = |url: &str| {
        environment(
            &aws,
            [
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url),
                (
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                    token.to_str().unwrap(),
                ),
                ("AWS_REGION", REGION),
            ],
        )
    };
    let mut ec2 = provider(&config(), here(&url));
    assert_eq!(ask(&mut ec2).await.unwrap(), ["shop@10.0.0.1"]);
    let mut ec2 = provider(&config(), here("http://evil.test/role"));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("evil.test"), "{error}");
    std::fs::write(&token, "Bearer other").unwrap();
    let mut ec2 = provider(&config(), here(&url));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("answers 401"), "{error}");
}

const ROLE: &str = "arn:aws:iam::123456789012:role/beam";

/// Lends the role, and lets its key ask EC2.
fn lend(aws: &Aws, arn: &'static str, key: &Key, trusts: &str, external_id: Option<&'static str>) {
    let mut state = aws.state();
    state.keys.push(key.clone());
    state.roles.push(Role {
        arn,
        key: key.clone(),
        trusts: trusts.to_owned(),
        external_id,
    });
}

#[tokio::test]
async fn a_pod_on_eks_has_the_role_of_its_service_account() {
    let aws = Aws::start();
    let key = Key::new("ASIAIRSA", "irsa/secret", Some("irsa+token=="));
    lend(&aws, ROLE, &key, "hush-jwt", None);
    aws.state().instances = shop(2);
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "hush-jwt\n").unwrap();
    let url = aws.url();
    let irsa = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", ROLE),
        ("AWS_REGION", REGION),
        ("AWS_ENDPOINT_URL_STS", &url),
    ];
    let mut ec2 = provider(&config(), environment(&aws, irsa));
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 2);
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 2);
    assert_eq!(aws.state().credentials_asked, 1, "they are kept");
    assert_eq!(aws.state().complaints, [""; 0]);

    // The token is replaced, and read again when the role is asked for again.
    aws.state().roles[0].trusts = "another".into();
    aws.state().keys.last_mut().unwrap().refused = Some("ExpiredToken");
    ask(&mut ec2).await.unwrap_err();
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(
        error.contains(ROLE) && error.contains("(AccessDenied)"),
        "{error}"
    );
    assert!(error.contains("trust policy"), "{error}");
    assert!(!error.contains("hush"), "{error}");
    aws.state().keys.last_mut().unwrap().refused = None;
    std::fs::write(&token, "another").unwrap();
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 2);

    for (code, remedy) in [
        ("InvalidIdentityToken", "identity provider is registered"),
        ("ExpiredTokenException", "the clock of this machine"),
    ] {
        aws.state().sts_refuses = Some(code);
        let mut ec2 = provider(&config(), environment(&aws, irsa));
        let error = ask(&mut ec2).await.unwrap_err();
        assert!(error.contains(remedy) && !error.contains("hush"), "{error}");
    }
    std::fs::remove_file(&token).unwrap();
    let mut ec2 = provider(&config(), environment(&aws, irsa));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("token cannot be read"), "{error}");
    let mut ec2 = provider(&config(), environment(&aws, [irsa[0], irsa[2]]));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("AWS_ROLE_ARN is not"), "{error}");
}

#[tokio::test]
async fn a_profile_assumes_its_role_with_the_credentials_that_it_names() {
    const FIRST: &str = "arn:aws:iam::123456789012:role/first";
    let aws = Aws::start();
    let first = Key::new("ASIAFIRST", "first/secret", Some("first+token"));
    let second = Key::new("ASIASECOND", "hush/secret", Some("hush+token"));
    let instance = Key::new("ASIAROLE", "role/secret", Some("role+token=="));
    aws.state().keys.push(instance.clone());
    aws.state().role = Some(instance);
    lend(&aws, FIRST, &first, "AKIDTEST", None);
    lend(&aws, ROLE, &second, "ASIAFIRST", Some("agreed"));
    lend(&aws, ROLE, &second, "ASIAROLE", None);
    lend(&aws, ROLE, &second, "jwt", None);
    aws.state().instances = shop(1);
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(".aws")).unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "jwt").unwrap();
    let config_file = format!(
        "[profile chain]\nrole_arn = {ROLE}\nsource_profile = middle\nexternal_id = agreed\nrole_session_name = shop\n\
         duration_seconds = 900\n\
         [profile middle]\nrole_arn = {FIRST}\nsource_profile = keys\n\
         [profile own]\nrole_arn = {FIRST}\nsource_profile = own\naws_access_key_id = AKIDTEST\n\
         aws_secret_access_key = wJalr/test+key\n\
         [profile instance]\nrole_arn = {ROLE}\ncredential_source = Ec2InstanceMetadata\n\
         [profile web]\nrole_arn = {ROLE}\nweb_identity_token_file = {}\n\
         [profile circle]\nrole_arn = {ROLE}\nsource_profile = circle2\n\
         [profile circle2]\nrole_arn = {ROLE}\nsource_profile = circle\n\
         [profile mfa]\nrole_arn = {ROLE}\nsource_profile = keys\nmfa_serial = x\n\
         [profile nowhere]\nrole_arn = {ROLE}\n\
         [profile gone]\nrole_arn = {ROLE}\nsource_profile = none\n\
         [profile odd]\nrole_arn = {ROLE}\ncredential_source = Elsewhere\n\
         [profile stranger]\nrole_arn = {ROLE}\nsource_profile = keys\n\
         [profile sso]\nsso_start_url = https://x\n",
        token.display()
    );
    std::fs::write(dir.path().join(".aws/config"), config_file).unwrap();
    let keys = "[keys]\naws_access_key_id = AKIDTEST\naws_secret_access_key = wJalr/test+key\n";
    std::fs::write(dir.path().join(".aws/credentials"), keys).unwrap();
    let url = aws.url();
    let with = |profile: &str| {
        let home = dir.path().to_str().unwrap();
        let more = [
            ("HOME", home),
            ("AWS_PROFILE", profile),
            ("AWS_REGION", REGION),
            ("AWS_ENDPOINT_URL_STS", &url),
        ];
        provider(&config(), environment(&aws, more))
    };
    for profile in ["chain", "own", "instance", "web"] {
        let found = ask(&mut with(profile)).await;
        assert_eq!(found, Ok(vec!["shop@10.0.0.1".to_owned()]), "{profile}");
    }
    assert_eq!(aws.state().complaints, [""; 0]);
    for (profile, part) in [
        ("circle", "its own source_profile"),
        ("mfa", "mfa_serial"),
        ("nowhere", "give source_profile"),
        ("gone", "no file has the profile none"),
        ("odd", "got \"Elsewhere\""),
        ("stranger", "(AccessDenied)"),
        ("sso", "aws configure export-credentials"),
    ] {
        let error = ask(&mut with(profile)).await.unwrap_err();
        assert!(error.contains(part), "{profile}: {error}");
        assert!(
            !error.contains("hush") && !error.contains("wJalr"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_refused_key_is_looked_up_again_and_nothing_secret_is_told() {
    let aws = Aws::start();
    let mut old = Key::new("ASIAOLD", "hush-secret", Some("hush-token"));
    aws.state().keys = vec![old.clone()];
    aws.state().role = Some(old.clone());
    aws.state().instances = shop(1);
    let mut ec2 = provider(&config(), environment(&aws, []));
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 1);

    old.refused = Some("RequestExpired");
    let new = Key::new("ASIANEW", "s", Some("t"));
    aws.state().keys = vec![old, new.clone()];
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("have expired"), "{error}");
    assert!(error.contains("the instance's role beam-role"), "{error}");
    for shown in [error, format!("{ec2:?}")] {
        assert!(!shown.contains("hush"), "{shown}");
    }
    aws.state().role = Some(new);
    assert_eq!(ask(&mut ec2).await.unwrap().len(), 1);

    let wrong = [
        ("AWS_ACCESS_KEY_ID", "ASIANEW"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
        ("AWS_SESSION_TOKEN", "t"),
        ("AWS_REGION", REGION),
    ];
    let mut ec2 = provider(&config(), environment(&aws, wrong));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("(SignatureDoesNotMatch)"), "{error}");
    assert!(!error.contains("hush"), "{error}");
}

#[tokio::test]
async fn a_throttled_account_is_left_alone_for_longer_and_longer() {
    let aws = Aws::start();
    aws.state().instances = shop(1);
    aws.state().refuse = vec![(503, "RequestLimitExceeded"); 2];
    let mut ec2 = provider(&config(), environment(&aws, KEY));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("limits how often"), "{error}");
    // From here on the clock is the test's: it runs on where everything waits.
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let wait = ec2.held().unwrap() - start;
    let most = Duration::from_secs(5);
    assert!(wait <= most && wait >= most / 2, "{wait:?}");
    let asked = aws.state().asked;
    let sooner = tokio::time::timeout(wait / 2, ec2.poll()).await;
    assert!(sooner.is_err(), "not even a refresh asks sooner");
    assert_eq!(aws.state().asked, asked);
    tokio::time::advance(wait).await;
    tokio::time::resume();
    ask(&mut ec2).await.unwrap_err();
    let wait = ec2.held().unwrap() - tokio::time::Instant::now();
    assert!(wait > most, "{wait:?}");
}

#[tokio::test]
async fn without_credentials_or_region_the_places_are_named() {
    let aws = Aws::start();
    let mut ec2 = provider(&config(), environment(&aws, [("AWS_REGION", REGION)]));
    let error = ask(&mut ec2).await.unwrap_err();
    for part in [
        "AWS_ACCESS_KEY_ID",
        "the instance has no role",
        "give the instance a role",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let off = [("AWS_EC2_METADATA_DISABLED", "true")];
    let mut ec2 = provider(&config(), environment(&aws, off));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.starts_with("no AWS region"), "{error}");
    assert!(error.contains("AWS_EC2_METADATA_DISABLED"), "{error}");
    let half = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_REGION", REGION)];
    let mut ec2 = provider(&config(), environment(&aws, half));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("AWS_SECRET_ACCESS_KEY is not"), "{error}");
    let profile = [("AWS_PROFILE", "none"), ("AWS_REGION", REGION)];
    let mut ec2 = provider(&config(), environment(&aws, profile));
    let error = ask(&mut ec2).await.unwrap_err();
    assert!(error.contains("the profile none"), "{error}");
}
