//! Every crate that ends up in a build has a licence that ours can live with.
//!
//! The same list as `deny.toml`, checked without a tool beyond cargo and without the network.

use std::collections::BTreeMap;
use std::process::Command;

/// The licences that `deny.toml` allows.
fn allowed() -> Vec<String> {
    let file: toml::Table = include_str!("../deny.toml").parse().expect("deny.toml");
    let list = file["licenses"]["allow"].as_array().expect("a list");
    list.iter()
        .map(|licence| licence.as_str().expect("text").to_owned())
        .collect()
}

/// Whether an SPDX expression can be met with the allowed licences. Old manifests write `/` for OR.
fn can_be_met(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.replace('/', " OR ");
    // No crate here nests deeper than "(A OR B) AND C", so AND splits first, outside any need for a grammar.
    expression.split(" AND ").all(|part| {
        part.trim_matches([' ', '(', ')'])
            .split(" OR ")
            .any(|one| allowed.iter().any(|licence| licence == one.trim()))
    })
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let allowed = allowed();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata");
    if !output.status.success() {
        // Crates of other platforms were never downloaded here, and metadata wants them all.
        let why = String::from_utf8_lossy(&output.stderr);
        panic!("cargo metadata: {why}\nRun `cargo fetch` once and try again.");
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    assert!(packages.len() > 50, "the list of packages is whole");
    let refused: BTreeMap<_, _> = packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().unwrap_or_default();
            (name, package["license"].as_str().unwrap_or("none"))
        })
        .filter(|(_, licence)| !can_be_met(licence, &allowed))
        .collect();
    assert!(
        refused.is_empty(),
        "licences not in deny.toml: {refused:#?}"
    );
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "Unicode-3.0".to_owned()];
    for (expression, met) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("Apache-2.0 OR MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0", false),
        ("none", false),
    ] {
        assert_eq!(can_be_met(expression, &allowed), met, "{expression}");
    }
}
