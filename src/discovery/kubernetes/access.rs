//! From the configuration to a client of the API: a kubeconfig, or the service account of the own pod.

use std::io;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::config::KubernetesConfig;
use super::failure::Trouble;
use crate::secret::SecretUrl;

/// Where Kubernetes puts what a pod needs to talk to the API:
/// <https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/>.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A client, and the namespace to look in.
pub(super) struct Access {
    pub client: Client,
    pub namespace: String,
}

/// Reads whatever there is to read, and makes a client of it. Every call reads anew: files may have been
/// replaced since.
pub(super) async fn access(config: &KubernetesConfig) -> Result<Access, Trouble> {
    let config = config.clone();
    // It reads files, and a kubeconfig may name a program that has to run for a token.
    let runtime = tokio::runtime::Handle::current();
    let made = tokio::task::spawn_blocking(move || runtime.block_on(make(&config))).await;
    made.map_err(|_| {
        Trouble::plain("reading the access to Kubernetes ended in a panic; please report it")
    })?
}

async fn make(config: &KubernetesConfig) -> Result<Access, Trouble> {
    // The crate takes the process's choice of cryptography; where nobody made one, it would have to be
    // unambiguous, and the application that this is a part of may have brought a second.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that somebody was quicker.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut found = match kubeconfig(config)? {
        Some(kubeconfig) => {
            let options = KubeConfigOptions {
                context: config.context.clone(),
                ..KubeConfigOptions::default()
            };
            Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| Trouble::because("the kubeconfig cannot be used", &error))?
        }
        None => in_cluster(config)?,
    };
    if let Some(url) = &config.api_server {
        found.cluster_url = api_server(url)?;
    }
    let namespace = config.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| found.default_namespace.clone());
    found.connect_timeout = Some(config.timeout);
    found.write_timeout = Some(config.timeout);
    // A watch is silent until its time is over; what is silent for longer is dead.
    found.read_timeout = Some(config.watch_timeout + config.timeout);
    found.reset_reader_on_write = true;
    // Trying again is done where the failure is told, not behind its back.
    found.default_retry = false;
    let client = Client::try_from(found)
        .map_err(|error| Trouble::because("no connection to Kubernetes can be set up", &error))?;
    Ok(Access { client, namespace })
}

fn api_server(url: &SecretUrl) -> Result<http::Uri, Trouble> {
    let uri: http::Uri = url
        .parse()
        .map_err(|error| Trouble::because(format!("api_server: {url:?} is no URL"), &error))?;
    if uri.authority().is_some_and(|it| it.as_str().contains('@')) {
        return Err(Trouble::plain(
            "api_server holds a user or password, which would be shown; a kubeconfig can hold them",
        ));
    }
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        _ => Err(Trouble::plain(format!(
            "api_server: {url:?} is no URL of a server; write it as https://host:port"
        ))),
    }
}

/// The kubeconfig, if there is one to use: the given one; or that of the environment or the home directory,
/// as `kubectl` takes them, unless a service account is given.
fn kubeconfig(config: &KubernetesConfig) -> Result<Option<Kubeconfig>, Trouble> {
    let unusable = |error| Trouble::because("the kubeconfig cannot be used", &error);
    if let Some(path) = &config.kubeconfig {
        return Kubeconfig::read_from(path).map(Some).map_err(unusable);
    }
    if config.service_account.is_some() {
        return Ok(None);
    }
    if let Some(kubeconfig) = Kubeconfig::from_env().map_err(unusable)? {
        return Ok(Some(kubeconfig));
    }
    match std::env::home_dir().map(|home| home.join(".kube/config")) {
        Some(path) if path.is_file() => Kubeconfig::read_from(path).map(Some).map_err(unusable),
        _ if config.context.is_some() => Err(Trouble::plain(
            "context names a part of a kubeconfig, but there is neither KUBECONFIG nor ~/.kube/config; give kubeconfig",
        )),
        _ => Ok(None),
    }
}

fn in_cluster(config: &KubernetesConfig) -> Result<Config, Trouble> {
    let default = || PathBuf::from(SERVICE_ACCOUNT);
    let directory = config.service_account.clone().unwrap_or_else(default);
    let server = match &config.api_server {
        Some(url) => api_server(url)?,
        None => from_environment(|name| std::env::var(name).ok())?,
    };
    let mut found = Config::new(server);
    found.auth_info = AuthInfo {
        token_file: Some(existing(&directory, "token")?.display().to_string()),
        ..AuthInfo::default()
    };
    if found.cluster_url.scheme_str() != Some("http") {
        let authority = existing(&directory, "ca.crt")?;
        found.root_cert = Some(certificates(&authority)?);
        // Read again now and then: the authority is replaced as the token is.
        found.root_cert_file = Some(authority);
    }
    if config.namespace.is_none() {
        let path = directory.join("namespace");
        let namespace =
            std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        namespace.trim().clone_into(&mut found.default_namespace);
    }
    Ok(found)
}

/// The API server as Kubernetes tells every container where it is.
fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<http::Uri, Trouble> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    let (Some(host), Some(port)) = (
        given("KUBERNETES_SERVICE_HOST"),
        given("KUBERNETES_SERVICE_PORT"),
    ) else {
        return Err(Trouble::plain(
            "there is no way to a Kubernetes API: no kubeconfig (KUBECONFIG, ~/.kube/config), and this is no pod \
             (KUBERNETES_SERVICE_HOST is not set); give kubeconfig, or api_server and service_account",
        ));
    };
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host
    };
    api_server(&format!("https://{host}:{port}").into())
}

fn existing(directory: &Path, name: &str) -> Result<PathBuf, Trouble> {
    let path = directory.join(name);
    match std::fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(unreadable(&path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Trouble {
    Trouble::plain(format!(
        "{}: {error}; in a pod it is there unless automountServiceAccountToken is false, elsewhere give kubeconfig",
        path.display()
    ))
}

fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, Trouble> {
    let bad = |error: &dyn std::error::Error| {
        Trouble::because(format!("{} holds no certificates", path.display()), error)
    };
    let pem = std::fs::read(path).map_err(|error| bad(&error))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem)
        .map(|one| one.map(|certificate| certificate.as_ref().to_vec()))
        .collect();
    let certificates = certificates.map_err(|error| bad(&error))?;
    if certificates.is_empty() {
        return Err(Trouble::plain(format!(
            "{} holds no certificates",
            path.display()
        )));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_knows_its_server_from_the_environment() {
        let environment = |host: &'static str| {
            move |name: &str| match name {
                "KUBERNETES_SERVICE_HOST" => Some(host.to_owned()),
                "KUBERNETES_SERVICE_PORT" => Some("6443".to_owned()),
                _ => None,
            }
        };
        for (host, expected) in [
            ("10.96.0.1", "https://10.96.0.1:6443/"),
            ("fd00::1", "https://[fd00::1]:6443/"),
            ("api.internal", "https://api.internal:6443/"),
        ] {
            assert_eq!(
                from_environment(environment(host)).unwrap().to_string(),
                expected
            );
        }
        let trouble = from_environment(|_| None).unwrap_err();
        assert!(
            trouble.message.contains("KUBERNETES_SERVICE_HOST"),
            "{trouble:?}"
        );
        let trouble = from_environment(environment("")).unwrap_err();
        assert!(trouble.message.contains("give kubeconfig"), "{trouble:?}");
    }

    #[test]
    fn a_service_account_that_is_not_there_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let config = KubernetesConfig {
            service_account: Some(directory.path().to_owned()),
            api_server: Some("https://127.0.0.1:1".into()),
            ..KubernetesConfig::default()
        };
        let why = || in_cluster(&config).unwrap_err().message;
        assert!(why().contains("/token: "), "{}", why());
        std::fs::write(directory.path().join("token"), "t").unwrap();
        assert!(why().contains("/ca.crt: "), "{}", why());
        std::fs::write(directory.path().join("ca.crt"), "not PEM").unwrap();
        assert!(why().contains("holds no certificates"), "{}", why());
    }

    #[test]
    fn a_url_of_the_api_server_has_to_be_one() {
        for bad in [
            "",
            "kubernetes.default.svc",
            "ftp://host",
            "https://",
            "https://me:hush@host",
            "https://me:hush @host",
        ] {
            let trouble = api_server(&bad.into()).unwrap_err();
            assert!(!trouble.message.contains("hush"), "{trouble:?}");
        }
        assert!(api_server(&"https://kubernetes.default.svc".into()).is_ok());
    }
}
