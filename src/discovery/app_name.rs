//! What stands before the `@` of nodes of which a source knows only the hosts.

use super::Context;
use crate::name::NodeName;

/// The configured name, else the own node's.
///
/// # Errors
/// A sentence for the user if there is neither, or the name cannot stand there.
pub(super) fn app_name(given: Option<&str>, context: &Context) -> Result<String, String> {
    let own = context.own.as_ref().map(NodeName::name);
    let Some(name) = given.or(own) else {
        return Err(
            "app_name is missing: the nodes need a name before the `@`, and there is no own node to take it \
             from; give app_name"
                .into(),
        );
    };
    match NodeName::new(name, "localhost") {
        Ok(_) => Ok(name.to_owned()),
        Err(why) => Err(format!(
            "app_name {name:?} cannot stand before the `@` of a node name: {why}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_goes_before_the_own_name_and_without_either_it_is_asked_for() {
        let context = |own: Option<&str>| Context {
            own: own.map(|name| name.parse().unwrap()),
            cookie: None,
        };
        assert_eq!(app_name(None, &context(Some("shop@h"))).unwrap(), "shop");
        assert_eq!(
            app_name(Some("web"), &context(Some("shop@h"))).unwrap(),
            "web"
        );
        for (given, part) in [(None, "is missing"), (Some("a b"), "\"a b\"")] {
            let error = app_name(given, &context(None)).unwrap_err();
            assert!(
                error.starts_with("app_name") && error.contains(part),
                "{error}"
            );
        }
    }
}
