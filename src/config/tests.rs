//! The forms in which a configuration can be given, whatever its source.

use std::net::IpAddr;
use std::time::Duration;

use super::options::{CLUSTER, PROVIDERS};
use super::schema::{Default as Unless, Opt};
use super::*;
use crate::cluster::{OnRemoved, Policy};
use crate::discovery::dns::DnsConfig;

fn word(text: &str) -> Value {
    Value::Word(text.into())
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Table(entries.map(|(name, value)| (name.to_owned(), value)).into())
}

fn list<const N: usize>(items: [Value; N]) -> Value {
    Value::List(items.into())
}

fn tuple<const N: usize>(items: [Value; N]) -> Value {
    Value::Tuple(items.into())
}

fn charlist(text: &str) -> Value {
    text.chars()
        .map(|c| Value::Int(i64::from(u32::from(c))))
        .collect::<Vec<_>>()
        .into()
}

fn read(options: Value) -> Result<ClusterConfig, ConfigError> {
    ClusterConfig::from_value(&options)
}

fn refused(options: Value) -> String {
    read(options).expect_err("it is refused").to_string()
}

fn dns(config: &ClusterConfig) -> &DnsConfig {
    match config.via.as_slice() {
        [Via::Dns(dns)] => dns,
        other => panic!("{other:?}"),
    }
}

fn names(config: &ClusterConfig) -> Vec<&str> {
    config.via.iter().map(Via::name).collect()
}

#[test]
fn every_form_of_via_says_the_same() {
    let name = || ("dns_name", Value::from("a.test"));
    let expected = read(table([("via", word("dns")), name()])).unwrap();
    assert_eq!(dns(&expected).names, ["a.test".into()]);
    for via in [
        word("dns"),
        "dns".into(),
        charlist("dns"),
        word("Elixir.Peerage.Via.Dns"),
        word("Elixir.Rendez.Via.Dns"),
        list([word("dns")]),
        table([("dns", list([]))]),
    ] {
        let shown = via.shown();
        assert_eq!(
            read(table([("via", via), name()])),
            Ok(expected.clone()),
            "{shown}"
        );
    }
    for via in [
        table([("dns", table([name()]))]),
        tuple([word("dns"), table([name()])]),
        list([tuple(["dns".into(), table([name()])])]),
        list([table([("dns", table([name()]))])]),
    ] {
        let shown = via.shown();
        assert_eq!(read(table([("via", via)])), Ok(expected.clone()), "{shown}");
    }
}

#[test]
fn several_providers_keep_their_order_and_their_options() {
    let config = read(table([(
        "via",
        list([
            word("udp"),
            tuple([word("dns"), table([("dns_name", "a.test".into())])]),
            word("Elixir.My.Peers"),
            tuple([word("external"), word("my_peers")]),
            tuple([word("Elixir.My.Others"), Value::Int(5)]),
            table([("multicast", table([("port", Value::Int(45_900))]))]),
        ]),
    )]))
    .unwrap();
    assert_eq!(
        names(&config),
        [
            "multicast",
            "dns",
            "Elixir.My.Peers",
            "my_peers",
            "Elixir.My.Others",
            "multicast"
        ]
    );
    match &config.via[5] {
        Via::Multicast(multicast) => assert_eq!(multicast.port, 45_900),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        names(&read(table([("via", "multicast, epmd".into())])).unwrap()),
        ["multicast", "epmd"]
    );
}

#[test]
fn words_that_are_no_provider_are_refused_with_the_nearest() {
    let message = refused(table([("via", word("mulitcast"))]));
    assert!(
        message.contains("got :mulitcast, did you mean multicast?"),
        "{message}"
    );
    for via in [
        word("consul"),
        list([]),
        Value::Int(5),
        Value::Bool(true),
        tuple([word("dns")]),
        list([list([word("dns")])]),
        list([Value::Float(0.5)]),
        tuple([Value::Int(1), list([])]),
        table([("dns", Value::Int(1))]),
        tuple([word("external"), Value::Int(1)]),
        Value::Other("a pid"),
    ] {
        let shown = via.shown();
        let message = refused(table([("via", via)]));
        assert!(message.starts_with("via"), "{shown}: {message}");
        assert!(message.contains(" takes "), "{shown}: {message}");
    }
    for absent in [table([]), list([])] {
        let message = refused(absent);
        assert!(
            message.starts_with("via is missing; it takes self, list, dns"),
            "{message}"
        );
    }
    assert!(refused(Value::Int(1)).contains("options by name"));
}

#[test]
fn an_unset_variable_turns_the_cluster_off_where_the_configuration_says_so() {
    let dns = |name: Value| table([("via", word("dns")), ("dns_name", name)]);
    for (options, why) in [
        (table([("via", word("ignore"))]), "via is :ignore"),
        (table([("via", "ignore".into())]), "via is \"ignore\""),
        (table([("via", word("nil"))]), "via is :nil"),
        (table([("via", word("undefined"))]), "via is :undefined"),
        (table([("via", list([word("ignore")]))]), "via is :ignore"),
        // What stands beside it is for the day on which the variable is set.
        (
            table([("via", word("ignore")), ("dns_name", "a".into())]),
            "via is :ignore",
        ),
        (dns(word("nil")), "dns_name is :nil"),
        (dns(word("ignore")), "dns_name is :ignore"),
        (
            table([("via", table([("dns", table([("dns_name", word("nil"))]))]))]),
            "via.dns.dns_name is :nil",
        ),
        (
            table([("via", word("file")), ("path", word("undefined"))]),
            "path is :undefined",
        ),
    ] {
        let config = ClusterConfig::from_value(&options).unwrap();
        assert_eq!(config.via, []);
        assert_eq!(config.off, [why]);
    }
    // One of several is left out.
    let several = table([(
        "via",
        table([
            ("dns", table([("dns_name", word("nil"))])),
            ("epmd", list([])),
        ]),
    )]);
    let config = ClusterConfig::from_value(&several).unwrap();
    assert_eq!(config.via.len(), 1);
    assert_eq!(config.off, ["via.dns.dns_name is :nil"]);
    let several = table([("via", list([word("ignore"), word("epmd")]))]);
    assert_eq!(ClusterConfig::from_value(&several).unwrap().via.len(), 1);
}

#[test]
fn a_provider_without_options_on_purpose_is_left_out() {
    let nodes = || ("list", table([("node_list", "a@h".into())]));
    for nothing in [
        word("ignore"),
        word("nil"),
        word("undefined"),
        "ignore".into(),
    ] {
        for via in [
            table([("dns", nothing.clone())]),
            tuple([word("dns"), nothing.clone()]),
            list([tuple([word("dns"), nothing.clone()])]),
        ] {
            let config = read(table([("via", via)])).unwrap();
            assert_eq!(names(&config), [""; 0]);
            let why = format!("via.dns is {}", nothing.shown());
            assert_eq!(config.off, [why]);
        }
        let both = table([("dns", nothing.clone()), nodes()]);
        let config = read(table([("via", both)])).unwrap();
        assert_eq!(names(&config), ["list"]);
        assert_eq!(config.off.len(), 1);
    }
    let empty = list([]);
    let message = refused(table([("via", word("dns")), ("dns_name", empty.clone())]));
    assert!(message.contains("give nil or :ignore"), "{message}");
    let message = refused(table([("via", empty.clone())]));
    assert!(message.contains("give nil or :ignore"), "{message}");
    let config = read(table([("via", word("list")), ("node_list", empty)])).unwrap();
    assert_eq!(names(&config), ["list"]);
}

#[test]
fn an_empty_variable_is_an_error_that_names_the_off_switch() {
    for options in [
        table([("via", "".into())]),
        table([("via", word("dns")), ("dns_name", "".into())]),
        table([("via", word("http")), ("url", " ".into())]),
    ] {
        let message = refused(options);
        assert!(
            message.contains("an empty text") && message.contains("give nil or :ignore"),
            "{message}"
        );
    }
}

#[test]
fn an_unknown_option_is_named_with_its_path_and_the_right_spelling() {
    for (options, parts) in [
        (
            table([("via", table([("dns", table([("dns_nam", "a".into())]))]))]),
            &[
                "via.dns.dns_nam: there is no such option; did you mean dns_name?",
                "via.dns.dns_name is missing",
            ][..],
        ),
        (
            table([("via", word("dns")), ("dns_nam", "a".into())]),
            &["dns_nam: there is no such option; did you mean dns_name?"],
        ),
        (
            table([("via", word("multicast")), ("colour", "a".into())]),
            &["colour: there is no such option; multicast takes multicast_addr, port,"],
        ),
        (
            table([("via", word("multicast")), ("hosts", "a".into())]),
            &["hosts is no option of multicast, but of epmd"],
        ),
        (
            table([("via", word("multicast")), ("ip", tuple([Value::Int(0)]))]),
            &["ip: there is no such option; what it says is said by interface here"],
        ),
        (
            table([
                ("via", word("dns")),
                ("polling_interval", Value::Int(5_000)),
            ]),
            &["what it says is said by interval here, in seconds"],
        ),
        (
            table([("via", table([("dns", table([("accept", "a".into())]))]))]),
            &["via.dns.accept is no option of dns, but of the cluster, beside via"],
        ),
        (
            table([("via", word("self")), ("max_node", Value::Int(5))]),
            &["max_node: there is no such option; did you mean max_nodes?"],
        ),
        (
            table([("via", word("self")), ("zzz", Value::Int(5))]),
            &["zzz: there is no such option; self takes none of its own"],
        ),
    ] {
        let message = refused(options);
        for part in parts {
            assert!(message.contains(part), "{message:?} has no {part:?}");
        }
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let error = read(table([
        ("via", word("multicast")),
        ("prot", Value::Int(1)),
        ("ttl", Value::Int(0)),
        ("interval", "soon".into()),
        ("max_connecting", "many".into()),
        ("ttl", Value::Int(2)),
    ]))
    .unwrap_err();
    assert_eq!(error.problems().len(), 5, "{error}");
    let message = error.to_string();
    for part in [
        "did you mean port?",
        "ttl takes a whole number from 1 to 255; got 0",
        "ttl is given twice",
        "interval takes a span of time above zero: a number of seconds",
        r#"got "soon""#,
        r#"max_connecting takes a whole number from 0 to 65535; got "many""#,
    ] {
        assert!(message.contains(part), "{message:?} has no {part:?}");
    }
}

#[test]
fn options_beside_several_providers_are_refused_with_the_remedy() {
    let message = refused(table([
        ("via", list([word("multicast"), word("epmd")])),
        ("interval", Value::Int(1)),
        ("intervall", Value::Int(1)),
        ("max_nodes", Value::Int(5)),
    ]));
    assert_eq!(
        message,
        "interval stands beside several providers (multicast, epmd); put it inside the one that it is for: \
         via: [multicast: [interval: ...], ...]; intervall: there is no such option; did you mean interval?"
    );
}

#[test]
fn a_secret_is_never_shown() {
    for value in [
        Value::Int(31_337),
        tuple(["monster".into()]),
        table([("a", "monster".into())]),
        list([Value::Float(31_337.5)]),
    ] {
        let message = refused(table([("via", word("multicast")), ("secret", value)]));
        assert!(
            message.contains("secret takes secret text; got a"),
            "{message}"
        );
        assert!(
            !message.contains("monster") && !message.contains("31337"),
            "{message}"
        );
    }
    for options in [
        table([("via", word("multicast")), ("secrt", "monster".into())]),
        table([(
            "via",
            tuple([
                word("multicast"),
                tuple([table([("secret", "monster".into())])]),
            ]),
        )]),
    ] {
        let message = refused(options);
        assert!(!message.contains("monster"), "{message}");
    }
    let config = read(table([
        ("via", word("multicast")),
        ("secret", "monster".into()),
    ]))
    .unwrap();
    assert!(!format!("{config:?}").contains("monster"));
}

#[test]
fn values_are_taken_in_every_natural_spelling() {
    let ips = |value: Value| -> Vec<IpAddr> {
        let options = table([("via", word("multicast")), ("multicast_addr", value)]);
        match &read(options).unwrap().via[0] {
            Via::Multicast(multicast) => multicast.multicast_addr.clone(),
            other => panic!("{other:?}"),
        }
    };
    let group: IpAddr = [230, 1, 1, 1].into();
    let numbers = || tuple([230, 1, 1, 1].map(Value::Int));
    for value in [
        numbers(),
        list([numbers()]),
        "230.1.1.1".into(),
        charlist("230.1.1.1"),
        word("230.1.1.1"),
        list(["230.1.1.1".into()]),
        list([charlist("230.1.1.1")]),
    ] {
        assert_eq!(ips(value), [group]);
    }
    let six = tuple([0xff12, 0, 0, 0, 0, 0, 0, 1].map(Value::Int));
    assert_eq!(
        ips(list([numbers(), six])),
        [group, "ff12::1".parse().unwrap()]
    );

    let nodes = |value: Value| -> Vec<String> {
        match &read(table([("via", word("list")), ("node_list", value)]))
            .unwrap()
            .via[0]
        {
            Via::List(list) => list.nodes.iter().map(ToString::to_string).collect(),
            other => panic!("{other:?}"),
        }
    };
    for value in [
        list([word("a@h"), "b@h".into()]),
        list([charlist("a@h"), word("b@h")]),
        "a@h,b@h".into(),
        "a@h, b@h,".into(),
    ] {
        assert_eq!(nodes(value), ["a@h", "b@h"]);
    }
    assert!(nodes(list([])).is_empty());
    let message = refused(table([
        ("via", word("list")),
        ("node_list", list([word("a"), word("b@h")])),
    ]));
    assert!(
        message.contains(r#"got "a": a node name has the form name@host"#),
        "{message}"
    );
}

#[test]
fn pairs_come_as_a_table_as_tuples_and_as_text() {
    let tags = |value: Value| match &read(table([("via", word("ec2")), ("tags", value)]))
        .unwrap()
        .via[0]
    {
        Via::Ec2(ec2) => {
            let tags = ec2.tags.iter();
            tags.map(|tag| (tag.name.clone(), tag.values.clone()))
                .collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let expected = [
        ("cluster".to_owned(), vec!["shop".to_owned(), "till".into()]),
        ("beam".into(), vec![]),
    ];
    for value in [
        table([
            ("cluster", list(["shop".into(), charlist("till")])),
            ("beam", list([])),
        ]),
        list([
            tuple([charlist("cluster"), list([word("shop"), "till".into()])]),
            "beam".into(),
        ]),
        list([
            table([("cluster", "shop".into())]),
            tuple(["cluster".into(), "till".into()]),
            word("beam"),
        ]),
        "cluster=shop, cluster=till,beam".into(),
    ] {
        assert_eq!(tags(value), expected);
    }
    // In a table a comma is a part of the value, and numbers are what they look like.
    assert_eq!(
        tags(table([("a", "x,y=z".into()), ("n", Value::Int(7))])),
        [
            ("a".into(), vec!["x,y=z".into()]),
            ("n".into(), vec!["7".into()])
        ]
    );
    for value in [Value::Int(1), "=x".into(), tuple([word("a")])] {
        let shown = value.shown();
        let message = refused(table([("via", word("ec2")), ("tags", value)]));
        assert!(
            message.starts_with("tags takes name=value pairs"),
            "{shown}: {message}"
        );
    }
}

#[test]
fn dns_names_come_alone_in_lists_and_in_pairs() {
    let read_names = |value: Value| {
        let options = table([("via", word("dns")), ("dns_name", value)]);
        read(options).map(|config| dns(&config).names.clone())
    };
    for (value, expected) in [
        ("a.test".into(), vec!["a.test".into()]),
        (charlist("a.test"), vec!["a.test".into()]),
        (
            list(["a.test".into(), "b.test".into()]),
            vec!["a.test".into(), "b.test".into()],
        ),
        (
            "a.test,b.test".into(),
            vec!["a.test".into(), "b.test".into()],
        ),
        (
            tuple([word("x"), "a.test".into()]),
            vec![("x", "a.test").into()],
        ),
        ("x@a.test".into(), vec![("x", "a.test").into()]),
        (
            list([tuple(["x".into(), charlist("a.test")]), "b.test".into()]),
            vec![("x", "a.test").into(), "b.test".into()],
        ),
        (
            table([
                ("x", "a.test".into()),
                ("y", list(["b.test".into(), "c.test".into()])),
            ]),
            vec![
                ("x", "a.test").into(),
                ("y", "b.test").into(),
                ("y", "c.test").into(),
            ],
        ),
    ] {
        let shown = value.shown();
        assert_eq!(read_names(value), Ok(expected), "{shown}");
    }
    for value in [
        list([]),
        "".into(),
        Value::Int(1),
        tuple(["a".into()]),
        tuple(["".into(), "b".into()]),
        "@a.test".into(),
        list([Value::Bool(true)]),
    ] {
        let shown = value.shown();
        assert!(
            read_names(value)
                .unwrap_err()
                .to_string()
                .contains("dns_name takes"),
            "{shown}"
        );
    }
}

#[test]
fn name_servers_interfaces_and_infinity() {
    let config = read(table([
        ("via", word("dns")),
        ("dns_name", "a".into()),
        (
            "nameservers",
            list([
                "10.0.0.1".into(),
                tuple([tuple([10, 0, 0, 2].map(Value::Int)), Value::Int(5353)]),
                "[fd00::1]:54".into(),
                "fd00::2".into(),
            ]),
        ),
        ("max_nodes", word("infinity")),
        ("on_removed", tuple([word("disconnect"), Value::Int(250)])),
        ("accept", list(["a*@*".into(), word("b@h")])),
    ]))
    .unwrap();
    let servers: Vec<_> = dns(&config)
        .nameservers
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        servers,
        [
            "10.0.0.1:53",
            "10.0.0.2:5353",
            "[fd00::1]:54",
            "[fd00::2]:53"
        ]
    );
    assert_eq!(config.policy.max_nodes, None);
    assert_eq!(
        config.policy.on_removed,
        OnRemoved::Disconnect {
            grace: Duration::from_millis(250)
        }
    );
    assert_eq!(config.policy.accept.patterns().len(), 2);
    let message = refused(table([
        ("via", word("multicast")),
        ("interface", list(["eth0".into(), "0.0.0.0".into()])),
        ("backoff_min", "5s".into()),
        ("backoff_max", "1s".into()),
    ]));
    assert!(
        message.contains("0.0.0.0 is no interface's address"),
        "{message}"
    );
    assert!(
        message.contains("backoff_min: the lower bound"),
        "{message}"
    );
}

#[test]
fn what_becomes_of_removed_nodes_is_said_in_every_natural_way() {
    let read = |value: Value| read(table([("via", word("self")), ("on_removed", value)]));
    let removal = |value: Value| read(value).unwrap().policy.on_removed;
    for value in [word("keep"), "keep".into(), charlist("keep"), word("nil")] {
        let shown = value.shown();
        assert_eq!(removal(value), OnRemoved::Keep, "{shown}");
    }
    let after = |millis| OnRemoved::Disconnect {
        grace: Duration::from_millis(millis),
    };
    for (value, millis) in [
        (tuple([word("disconnect"), Value::Int(30_000)]), 30_000),
        (tuple([word("disconnect"), "30s".into()]), 30_000),
        (tuple([word("disconnect"), Value::Int(0)]), 0),
        (list(["disconnect".into(), Value::Int(250)]), 250),
        (table([("disconnect", Value::Int(250))]), 250),
        ("disconnect:30s".into(), 30_000),
        (" disconnect: 250ms".into(), 250),
        ("disconnect:0".into(), 0),
        (charlist("disconnect:2m"), 120_000),
    ] {
        let shown = value.shown();
        assert_eq!(removal(value), after(millis), "{shown}");
    }
    for (value, part) in [
        (word("disconnect"), "does not say after how long"),
        ("disconnect:30".into(), "gives the grace no unit"),
        ("disconnect:soon".into(), "on_removed takes keep"),
        ("disconnect:-1s".into(), "on_removed takes keep"),
        ("remove".into(), "on_removed takes keep"),
        (Value::Int(30), "on_removed takes keep"),
        (
            tuple([word("disconnect"), Value::Int(-1)]),
            "on_removed takes keep",
        ),
        (
            tuple([word("disconnect"), Value::Int(i64::MAX)]),
            "on_removed takes keep",
        ),
        (
            tuple([word("disconnect"), word("infinity")]),
            "on_removed takes keep",
        ),
        (
            tuple([word("keep"), Value::Int(5)]),
            "on_removed takes keep",
        ),
    ] {
        let shown = value.shown();
        let message = read(value).unwrap_err().to_string();
        assert!(message.contains(part), "{shown}: {message}");
    }
}

#[test]
fn the_refresh_interval_is_milliseconds_and_infinity_is_no_reconnection() {
    let read = |value: Value| {
        read(table([
            ("via", word("self")),
            ("refresh_interval_ms", value),
        ]))
    };
    let config = read(Value::Int(250)).unwrap();
    assert_eq!(config.refresh_interval, Duration::from_millis(250));
    assert!(config.policy.reconnect);
    for infinity in [word("infinity"), "infinity".into()] {
        let config = read(infinity).unwrap();
        assert!(!config.policy.reconnect);
        assert_eq!(config.refresh_interval, Duration::from_secs(5));
    }
    for value in [Value::Int(99), "5s".into(), Value::Float(0.5)] {
        let message = read(value).unwrap_err().to_string();
        assert!(
            message.contains("refresh_interval_ms takes a whole number, at least 100"),
            "{message}"
        );
    }
    let message = read(Value::Int(i64::MAX)).unwrap_err().to_string();
    assert!(message.contains("a year is the most"), "{message}");
}

#[test]
fn every_provider_has_a_module_in_the_package() {
    use super::options::group_of;
    let group = |word: &str| group_of(word).map(|group| group.name);
    assert_eq!(group("Elixir.Rendez.Via.Dns"), Some("dns"));
    assert_eq!(group("Elixir.Rendez.Via.Self"), Some("self"));
    assert_eq!(group("Elixir.Rendez.Via.Udp"), Some("multicast"));
    for word in [
        "Elixir.Rendez.Via.",
        "Elixir.Rendez.Via.dns",
        "Elixir.Rendez.Via.DNS",
        "Elixir.Rendez.Via.D\u{e4}",
        "Elixir.Dns",
        "Dns",
    ] {
        assert_eq!(group(word), None, "{word}");
    }
    for group in PROVIDERS {
        let camel: String = group
            .name
            .split('_')
            .map(|part| part[..1].to_uppercase() + &part[1..])
            .collect();
        let found = group_of(&format!("Elixir.Rendez.Via.{camel}"));
        assert_eq!(found.map(|found| found.name), Some(group.name), "{camel}");
    }
}

/// Every option of the table with the provider that it belongs to; `None` is the cluster.
fn every_option() -> impl Iterator<Item = (Option<&'static str>, &'static Opt)> {
    let providers = PROVIDERS.iter().flat_map(|group| {
        group
            .options
            .iter()
            .map(|option| (Some(group.name), option))
    });
    providers.chain(CLUSTER.iter().map(|option| (None, option)))
}

/// A configuration in which `option` has that text for its value, or is not given.
fn with(
    provider: Option<&str>,
    option: &str,
    text: Option<&str>,
) -> Result<ClusterConfig, ConfigError> {
    let group = PROVIDERS.iter().find(|group| Some(group.name) == provider);
    let mut entries = vec![("via".to_owned(), Value::from(provider.unwrap_or("self")))];
    for other in group.map_or(&[][..], |group| group.options) {
        if other.default == Unless::Required && other.name != option {
            entries.push((other.name.to_owned(), other.example.into()));
        }
    }
    // An option of a dialect is refused where the dialect is not spoken.
    let dialect = ["libcluster", "peerage", "nodefinder", "gossip_cluster"]
        .into_iter()
        .find(|dialect| option.starts_with(dialect));
    entries.extend(dialect.map(|dialect| ("dialects".to_owned(), dialect.into())));
    entries.extend(text.map(|text| (option.to_owned(), text.into())));
    read(Value::Table(entries))
}

#[test]
fn each_dialect_becomes_a_provider_of_its_own() {
    let config = read(table([
        ("via", word("multicast")),
        ("dialects", "native,libcluster,nodefinder".into()),
        ("libcluster_secret", "s".into()),
        ("interface", "lo".into()),
        ("ttl", Value::Int(3)),
        ("accept", "shop-*@*".into()),
    ]))
    .unwrap();
    let names: Vec<_> = config.via.iter().map(Via::name).collect();
    assert_eq!(names, ["multicast", "libcluster", "nodefinder"]);
    for via in &config.via[1..] {
        let Via::Dialect(dialect) = via else {
            panic!("{via:?}")
        };
        assert_eq!(
            dialect.accept, config.policy.accept,
            "the filter comes before the memory"
        );
        assert_eq!((dialect.interface.len(), dialect.ttl), (1, 3));
    }
    let error = read(table([
        ("via", word("multicast")),
        ("peerage_group", "230.1.1.1".into()),
    ]))
    .unwrap_err()
    .to_string();
    assert!(error.contains("peerage is among the dialects"), "{error}");
}

#[test]
fn every_example_is_taken_and_says_something() {
    for (provider, option) in every_option() {
        let config = with(provider, option.name, Some(option.example));
        let config = config.unwrap_or_else(|error| panic!("{}: {error}", option.name));
        if option.default != Unless::Value(option.example) && option.default != Unless::Required {
            let without = with(provider, option.name, None).unwrap();
            assert_ne!(
                config, without,
                "{provider:?} {} is read and then ignored",
                option.name
            );
        }
    }
}

#[test]
fn every_default_that_is_told_is_the_one_that_holds() {
    for (provider, option) in every_option() {
        match option.default {
            Unless::Value(text) => {
                assert_eq!(
                    with(provider, option.name, Some(text)),
                    with(provider, option.name, None),
                    "{provider:?} {}",
                    option.name
                );
            }
            Unless::Required => {
                let message = with(provider, option.name, None).unwrap_err().to_string();
                assert!(
                    message.contains(&format!("{} is missing", option.name)),
                    "{message}"
                );
            }
            Unless::Words(_) => {}
        }
    }
    assert_eq!(
        read(table([("via", word("self"))])).unwrap().policy,
        Policy::default()
    );
}

#[test]
fn names_are_spelled_one_way() {
    let mut names: Vec<_> = every_option().map(|(_, option)| option.name).collect();
    names.extend(PROVIDERS.iter().map(|group| group.name));
    for name in names {
        assert!(
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'),
            "{name}"
        );
        assert!(!name.contains("__") && name != "via", "{name}");
    }
    // An option of the cluster and one of a provider could not be told apart where they stand side by side.
    for option in CLUSTER {
        assert!(
            PROVIDERS
                .iter()
                .all(|group| group.option(option.name).is_none()),
            "{}",
            option.name
        );
    }
}

/// Texts that nobody would call a value, tried for every option: refused or taken, but nothing panics.
#[test]
fn nonsense_is_refused_politely() {
    for (provider, option) in every_option() {
        for value in [
            "",
            ",",
            "\u{0}",
            "-1",
            "1e400",
            "99999999999999999999",
            "@",
            "{",
            "ä ö",
        ] {
            if let Err(error) = with(provider, option.name, Some(value)) {
                assert!(error.to_string().contains(option.name), "{error}");
            }
        }
    }
}

mod layers {
    use super::*;

    fn environment<const N: usize>(variables: [(&str, &str); N]) -> Layer {
        let (layer, unknown) = Layer::from_environment(
            variables.map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        assert_eq!(unknown, []);
        layer
    }

    fn flags<const N: usize>(via: [(&str, &[(&str, &str)]); N], others: &[(&str, &str)]) -> Layer {
        let options = |options: &[(&str, &str)]| {
            options
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
                .collect::<Vec<_>>()
        };
        Layer::from_flags(
            via.map(|(name, given)| (name.to_owned(), options(given)))
                .into(),
            options(others),
        )
    }

    fn merged<const N: usize>(layers: [Layer; N]) -> Result<ClusterConfig, ConfigError> {
        ClusterConfig::from_layers(layers.into())
    }

    #[test]
    fn the_environment_alone_makes_a_configuration() {
        let config = merged([environment([
            ("RENDEZ_VIA", "dns,multicast"),
            ("RENDEZ_DNS_NAME", "a.test,x@b.test"),
            ("RENDEZ_MULTICAST__PORT", "45900"),
            ("RENDEZ_DNS__INTERVAL", "250ms"),
            ("RENDEZ_MAX_NODES", "7"),
            ("RENDEZ_TTL", ""),
            ("RENDEZ_COOKIE", "monster"),
            ("RENDEZ_LOG", "debug"),
            ("PATH", "/bin"),
        ])])
        .unwrap();
        assert_eq!(names(&config), ["dns", "multicast"]);
        match &config.via[0] {
            Via::Dns(dns) => {
                assert_eq!(dns.names, ["a.test".into(), ("x", "b.test").into()]);
                assert_eq!(dns.interval, Duration::from_millis(250));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(config.policy.max_nodes, Some(7));
    }

    #[test]
    fn a_variable_that_is_off_is_named() {
        for (variables, part) in [
            (vec![("RENDEZ_VIA", "dns")], "RENDEZ_DNS_NAME is missing"),
            (
                vec![("RENDEZ_VIA", "multicast"), ("RENDEZ_TTL", "1000")],
                "RENDEZ_TTL takes a whole number from 1 to 255; got \"1000\"",
            ),
            (
                vec![("RENDEZ_VIA", "multicast,epmd"), ("RENDEZ_INTERVAL", "1")],
                "RENDEZ_INTERVAL stands beside several providers (multicast, epmd); put it inside the one that \
                 it is for: RENDEZ_MULTICAST__INTERVAL",
            ),
            (vec![("RENDEZ_VIA", "dsn")], "RENDEZ_VIA takes self, list, "),
            (
                vec![("RENDEZ_VIA", "dsn")],
                ", or several with commas between them; got \"dsn\", did you mean dns?",
            ),
            (vec![], "RENDEZ_VIA is missing"),
        ] {
            let variables = variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()));
            let (layer, _) = Layer::from_environment(variables);
            let message = merged([layer]).unwrap_err().to_string();
            assert!(message.contains(part), "{message:?} has no {part:?}");
        }
    }

    #[test]
    fn unknown_variables_are_told_and_a_service_s_are_not() {
        let variables = [
            ("RENDEZ_DNS_NAM", "x"),
            ("RENDEZ_DNS__PRT", "x"),
            ("RENDEZ_SERVICE_HOST", "10.0.0.1"),
            ("RENDEZ_PORT", "tcp://10.0.0.1:80"),
            ("RENDEZ_PORT_80_TCP_ADDR", "10.0.0.1"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (layer, unknown) = Layer::from_environment(variables);
        let unknown: Vec<_> = unknown.iter().map(ToString::to_string).collect();
        assert_eq!(unknown.len(), 2, "{unknown:?}");
        assert!(
            unknown[0]
                .contains("RENDEZ_DNS_NAM: there is no such option; did you mean RENDEZ_DNS_NAME?")
        );
        assert!(merged([flags([("multicast", &[])], &[]), layer]).is_ok());
    }

    #[test]
    fn flags_go_over_the_environment_and_that_over_a_file() {
        let file = || {
            Layer::from_value(&table([
                (
                    "via",
                    table([(
                        "dns",
                        table([
                            ("dns_name", "file.test".into()),
                            ("interval", Value::Int(1)),
                            ("lookup_timeout", Value::Int(1)),
                        ]),
                    )]),
                ),
                ("max_nodes", Value::Int(1)),
            ]))
        };
        let vars = || {
            environment([
                ("RENDEZ_INTERVAL", "2s"),
                ("RENDEZ_LOOKUP_TIMEOUT", "2s"),
                ("RENDEZ_HOSTS", "h"),
            ])
        };
        let config = merged([flags([], &[("lookup_timeout", "3s")]), vars(), file()]).unwrap();
        let read = dns(&config);
        assert_eq!(read.names, ["file.test".into()]);
        assert_eq!(read.interval, Duration::from_secs(2));
        assert_eq!(read.lookup_timeout, Duration::from_secs(3));
        assert_eq!(config.policy.max_nodes, Some(1));

        // Whoever names providers on the command line gets those and no others.
        let config = merged([flags([("epmd", &[])], &[]), vars(), file()]).unwrap();
        match config.via.as_slice() {
            [Via::Epmd(epmd)] => {
                assert_eq!(epmd.hosts, ["h"]);
                assert_eq!(epmd.interval, Duration::from_secs(2));
            }
            other => panic!("{other:?}"),
        }
        let config = merged([flags([("dns", &[("dns_name", "flag.test")])], &[]), file()]).unwrap();
        assert_eq!(dns(&config).names, ["flag.test".into()]);
        assert_eq!(dns(&config).interval, Duration::from_secs(1));
    }

    #[test]
    fn a_flag_of_a_provider_that_is_not_there_is_refused() {
        let message = merged([
            flags([], &[("hosts", "h")]),
            environment([("RENDEZ_VIA", "multicast")]),
        ])
        .unwrap_err()
        .to_string();
        assert_eq!(message, "--hosts is no option of multicast, but of epmd");
        let message = merged([flags([("dns", &[("port", "5")])], &[])])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("--port is no option of dns, but of multicast and epmd"),
            "{message}"
        );
        assert!(message.contains("--dns-name is missing"), "{message}");
    }
}

/// Every shape that a value can have, each with the text in it.
fn shapes(text: &str) -> Vec<Value> {
    vec![
        text.into(),
        word(text),
        charlist(text),
        Value::Binary([text.as_bytes(), &[0xff]].concat()),
        list([text.into(), text.into()]),
        list([charlist(text)]),
        tuple([word(text), Value::Int(7)]),
        table([("b", text.into())]),
        table([("a", table([("b", text.into())]))]),
    ]
}

#[test]
fn no_form_of_a_secret_option_is_in_an_error_or_a_debug_print() {
    const TEXTS: [&str; 5] = [
        "monster",
        "https://monster:monster@127.0.0.1:1/monster?key=monster",
        "X-Key: monster",
        "sh -c 'monster",
        "htp://monster@host",
    ];
    let context = crate::discovery::Context {
        own: "a@127.0.0.1".parse().ok(),
        cookie: Some(crate::Secret::new("monster")),
    };
    let mut tried = 0;
    for group in PROVIDERS {
        let secrets = group
            .options
            .iter()
            // Of a command the program is shown, and nothing else: see `CommandConfig`.
            .filter(|option| option.takes.is_secret() && option.name != "command");
        for option in secrets {
            for (text, value) in TEXTS
                .into_iter()
                .flat_map(|text| shapes(text).into_iter().map(move |value| (text, value)))
            {
                tried += 1;
                let mut options = vec![(option.name.to_owned(), value.clone())];
                let others = group
                    .options
                    .iter()
                    .filter(|other| other.name != option.name);
                options.extend(
                    others
                        .filter(|other| other.default == Unless::Required || other.name == "tags")
                        .map(|other| (other.name.to_owned(), other.example.into())),
                );
                let nested = table([("via", table([(group.name, Value::Table(options.clone()))]))]);
                options.push(("via".to_owned(), word(group.name)));
                let flat = Value::Table(options);
                let misspelt = table([("via", word(group.name)), ("secrt", value.clone())]);
                let misplaced = table([("via", tuple([word(group.name), value.clone()]))]);
                let as_via = table([("via", value.clone())]);
                let in_a_list = table([("via", list([word(group.name), value]))]);
                let mut given = vec![nested, flat, misspelt, misplaced];
                // One word where a provider should stand is taken for a misspelt one, and shown.
                if text != "monster" {
                    given.extend([as_via, in_a_list]);
                }
                for given in given {
                    let mut shown = format!("{given:?}");
                    match read(given) {
                        Ok(config) => {
                            shown += &format!("{config:?}");
                            let built = config
                                .via
                                .iter()
                                .map(|via| crate::discovery::build(via, &context));
                            shown.extend(built.filter_map(|built| Some(built.err()?.to_string())));
                        }
                        Err(error) => shown += &format!("{error} {error:?}"),
                    }
                    let named = |problem: &str| problem.contains("monster");
                    assert!(!named(&shown), "{}: {shown}", option.name);
                }
            }
        }
    }
    assert!(tried > 200, "{tried}");
}

#[test]
fn what_is_called_like_a_secret_is_one() {
    let public: Vec<_> = super::options::public().collect();
    for group in PROVIDERS {
        for option in group.options {
            let sounds = [
                "secret",
                "token",
                "password",
                "header",
                "cookie",
                "url",
                "credential",
            ]
            .iter()
            .any(|word| option.name.contains(word));
            assert!(!sounds || option.takes.is_secret(), "{}", option.name);
            assert_eq!(
                public.contains(&option.name),
                !option.takes.is_secret(),
                "{}",
                option.name
            );
        }
    }
    for secret in [
        "libcluster_secret",
        "header",
        "command",
        "url",
        "api_server",
        "endpoint",
    ] {
        assert!(!public.contains(&secret), "{secret}");
    }
    assert!(public.contains(&"dns_name") && public.contains(&"max_nodes"));
}
