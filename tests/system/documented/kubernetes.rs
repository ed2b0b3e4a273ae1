//! The objects that the docs have for Kubernetes and AWS, read as their own API types.

use k8s_openapi::api::core::v1::{EnvVar, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde_json::Value;

use super::{Kind, of};

/// Reads one object of one kind; a field that the type does not have is lost, so what was written is compared.
fn read<T: serde::de::DeserializeOwned + serde::Serialize>(place: &str, object: &Value) -> T {
    let read: T = serde_json::from_value(object.clone())
        .unwrap_or_else(|error| panic!("{place}: {error}: {object}"));
    assert_eq!(
        &serde_json::to_value(&read).expect("JSON"),
        object,
        "{place}: a field that the API does not have"
    );
    read
}

#[test]
fn every_object_is_one_of_the_api() {
    for block in of(Kind::Objects) {
        let place = block.place.as_str();
        for document in block.text.split("\n---\n") {
            let object: Value = serde_saphyr::from_str(document).expect("YAML");
            match object["kind"].as_str() {
                Some("Service") => {
                    let service: Service = read(place, &object);
                    let spec = service.spec.expect("a specification");
                    assert_eq!(
                        spec.cluster_ip.as_deref(),
                        Some("None"),
                        "{place}: headless"
                    );
                }
                Some("ServiceAccount") => drop(read::<ServiceAccount>(place, &object)),
                Some("RoleBinding") => drop(read::<RoleBinding>(place, &object)),
                Some("Role") => {
                    let role: Role = read(place, &object);
                    for rule in role.rules.expect("rules") {
                        assert_eq!(rule.verbs, ["list", "watch"], "{place}");
                    }
                }
                other => panic!("{place}: an object of kind {other:?}"),
            }
        }
    }
}

/// Kubernetes puts in place only variables that were defined before.
#[test]
fn every_environment_names_the_node() {
    for block in of(Kind::Environment) {
        let place = block.place.as_str();
        let object: Value = serde_saphyr::from_str(&block.text).expect("YAML");
        let mut known: Vec<String> = Vec::new();
        for variable in object["env"].as_array().expect("a list") {
            let variable: EnvVar = read(place, variable);
            if let Some(value) = &variable.value
                && let Some((_, name)) = value.split_once("$(")
            {
                let name = name.trim_end_matches(')').to_owned();
                assert!(known.contains(&name), "{place}: {name} is not known yet");
            }
            known.push(variable.name);
        }
        assert!(known.contains(&"POD_IP".to_owned()), "{place}");
    }
}

#[test]
fn every_policy_allows_what_is_asked() {
    for block in of(Kind::Policy) {
        let policy: Value = serde_json::from_str(&block.text).expect("JSON");
        assert_eq!(policy["Statement"][0]["Action"], "ec2:DescribeInstances");
        assert_eq!(policy["Statement"][0]["Effect"], "Allow");
    }
}
