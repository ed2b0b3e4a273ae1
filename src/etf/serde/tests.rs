//! What each type of Rust is in Erlang, both ways, and what is told where they do not fit.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::net::IpAddr;

use ::serde::de::DeserializeOwned;
use ::serde::{Deserialize, Serialize};

use super::*;
use crate::etf::{Export, Pid, Reference};

fn term(text: &str) -> Term {
    text.parse().unwrap()
}

/// The value is written as that text, and read from it again, by way of terms and of bytes.
#[track_caller]
fn same<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T, text: &str) {
    assert_eq!(to_term(&value).unwrap().to_string(), text);
    assert_eq!(from_term::<T>(&term(text)).as_ref(), Ok(&value));
    assert_eq!(from_bytes::<T>(&to_vec(&value).unwrap()), Ok(value));
}

#[track_caller]
fn read<T: DeserializeOwned + PartialEq + Debug>(text: &str, value: T) {
    assert_eq!(from_term::<T>(&term(text)), Ok(value));
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(text: &str, message: &str) {
    let error = from_term::<T>(&term(text)).unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Address {
    street: String,
    zip: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    address: Vec<Address>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Started,
    Renamed(String),
    Moved(i32, i32),
    Resized { width: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Point(i32, i32);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "stop")]
struct Stop;

#[test]
fn plain_values() {
    same(true, "true");
    same(-128_i8, "-128");
    same(u16::MAX, "65535");
    same(i32::MIN, "-2147483648");
    same(u64::MAX, "18446744073709551615");
    same(i128::MIN, "-170141183460469231731687303715884105728");
    same(u128::MAX, "340282366920938463463374607431768211455");
    same(1.5_f64, "1.5");
    same(-0.25_f32, "-0.25");
    same('a', "97");
    same("Åsa".to_owned(), "<<\"Åsa\"/utf8>>");
    same((), "ok");
    same(Some(5), "5");
    same(None::<u8>, "nil");
    same(vec![1, 2, 300], "[1,2,300]");
    same((1, "x".to_owned(), 2.5), "{1,<<\"x\">>,2.5}");
    same(Meters(2.0), "2.0");
    same(Point(1, -2), "{1,-2}");
    same(Stop, "stop");
    same(BTreeMap::from([("a".to_owned(), 1)]), "#{<<\"a\">> => 1}");
    same(BTreeMap::from([(2, 'b'), (1, 'a')]), "#{1 => 97,2 => 98}");
    same("10.0.0.7".parse::<IpAddr>().unwrap(), "<<\"10.0.0.7\">>");
}

#[test]
fn structs_and_enums() {
    let address = vec![Address {
        street: "A".into(),
        zip: 7,
    }];
    same(
        User {
            name: "x".into(),
            address,
        },
        "#{address => [#{street => <<\"A\">>,zip => 7}],name => <<\"x\">>}",
    );
    same(Event::Started, "started");
    same(Event::Renamed("x".into()), "{renamed,<<\"x\">>}");
    same(Event::Moved(1, 2), "{moved,1,2}");
    same(Event::Resized { width: 3 }, "{resized,#{width => 3}}");
    same::<Result<u8, String>>(Ok(1), "{ok,1}");
    same::<Result<u8, String>>(Err("no".into()), "{error,<<\"no\">>}");
    same::<Result<(), Event>>(Ok(()), "ok");
    same::<Result<(), Event>>(Err(Event::Started), "{error,started}");
}

#[test]
fn other_forms_that_are_read_too() {
    read("\"abc\"", "abc".to_owned());
    read("[]", String::new());
    read("[26085]", "日".to_owned());
    read("3", 3.0_f64);
    read("<<\"a\">>", 'a');
    read("undefined", None::<u8>);
    read("[undefined,5,nil]", vec![None, Some(5), None]);
    read("{}", ());
    read("{1,2}", vec![1, 2]);
    read("[1,2]", (1, 2));
    read("<<1,2>>", vec![1_u8, 2]);
    read(
        "[{a,1},{<<\"b\">>,2},{\"c\",3}]",
        BTreeMap::from([("a".into(), 1), ("b".to_owned(), 2), ("c".into(), 3)]),
    );
    let address = || Address {
        street: "A".into(),
        zip: 7,
    };
    for text in [
        "#{<<\"street\">> => \"A\", <<\"zip\">> => 7, more => {1}}",
        "[{street, <<\"A\">>}, {zip, 7}]",
        "#{street => <<\"A\">>, zip => 7, '__struct__' => 'Elixir.Address'}",
    ] {
        read(text, address());
    }
    // Texts are borrowed from the term.
    let binary = term("[<<\"abc\">>]");
    assert_eq!(from_term::<Vec<&str>>(&binary), Ok(vec!["abc"]));
}

#[test]
fn errors_name_the_place_and_what_was_found_there() {
    refused::<User>(
        "#{name => <<\"x\">>, address => [#{street => <<>>, zip => 1}, #{street => <<>>, zip => foo}]}",
        "address[1].zip: expected an integer, got the atom foo",
    );
    refused::<User>(
        "#{name => ada, address => []}",
        "name: expected a text, got the atom ada",
    );
    refused::<User>(
        "#{name => <<\"x\">>, address => [#{zip => 1}]}",
        "address[0]: missing field `street`",
    );
    refused::<u8>(
        "256",
        "expected an integer from 0 to 255, got the integer 256",
    );
    refused::<u64>(
        "-1",
        "expected an integer of 64 bits, not negative, got the integer -1",
    );
    refused::<i128>(
        "340282366920938463463374607431768211455",
        "expected an integer of 128 bits, got the integer 340282366920938463463374607431768211455",
    );
    refused::<bool>("yes", "expected true or false, got the atom yes");
    refused::<f64>("<<1>>", "expected a number, got the binary <<1>>");
    refused::<String>(
        "<<255,0>>",
        "expected a text in UTF-8, got the binary <<255,0>>",
    );
    refused::<String>("[a]", "expected a text, got the list [a]");
    refused::<char>(
        "<<\"ab\">>",
        "expected a character, got the binary <<\"ab\">>",
    );
    refused::<(u8, u8)>("{1}", "expected a tuple of 2, got the tuple {1}");
    refused::<Vec<u8>>("[1,2,x]", "[2]: expected an integer, got the atom x");
    refused::<Vec<u8>>("1.5", "expected a list, got the float 1.5");
    refused::<BTreeMap<String, u8>>(
        "#{<<\"a b\">> => x}",
        "[<<\"a b\">>]: expected an integer, got the atom x",
    );
    refused::<BTreeMap<u8, u8>>(
        "#{a => 1}",
        "the key a of the map: expected an integer, got the atom a",
    );
    refused::<Address>("[1]", "expected a map, got the list [1]");
    refused::<Stop>("go", "expected the atom stop, got the atom go");
    refused::<Event>(
        "stopped",
        "unknown variant `stopped`, expected one of `started`, `renamed`, `moved`, `resized`",
    );
    refused::<Event>(
        "{started,1}",
        "expected the atom started, got the tuple {started,1}",
    );
    refused::<Event>("renamed", "expected {renamed, Value}, got the atom renamed");
    refused::<Event>("{renamed,1}", "renamed: expected a text, got the integer 1");
    refused::<Event>("{moved,1,y}", "[1]: expected an integer, got the atom y");
    refused::<Event>(
        "{moved,1}",
        "expected a tuple of moved and 2 more, got the tuple {moved,1}",
    );
    refused::<Event>(
        "{resized,#{width => 256}}",
        "resized.width: expected an integer from 0 to 255, got the integer 256",
    );
    refused::<Event>(
        "{resized,3}",
        "expected {resized, #{...}}, got the tuple {resized,3}",
    );
    refused::<Event>(
        "{1}",
        "expected an atom or a tuple that begins with one, got the tuple {1}",
    );
    refused::<Result<u8, u8>>("ok", "expected {ok, Value}, got the atom ok");
    refused::<Pid>("x", "expected a pid, got the atom x");
    refused::<Atom>("<<\"x\">>", "expected an atom, got the binary <<\"x\">>");

    let long = "x".repeat(100);
    refused::<u8>(
        &long,
        &format!("expected an integer, got the atom {}...", &long[..60]),
    );
    let error = from_bytes::<u8>(&[131, 97]).unwrap_err();
    assert_eq!(error.to_string(), "the bytes end in the middle of a term");
}

#[test]
fn what_erlang_does_not_have_is_refused_with_its_place() {
    let values = BTreeMap::from([("a", vec![1.0, f64::NAN])]);
    let error = to_term(&values).unwrap_err();
    assert_eq!(error.to_string(), "[<<\"a\">>][1]: Erlang has no float NaN");
    #[derive(Serialize)]
    enum Shape {
        #[serde(rename = "circle")]
        Circle {
            radius: f64,
        },
        Line(f64, f64),
    }
    let error = to_term(&Shape::Circle {
        radius: f64::INFINITY,
    });
    assert_eq!(error.unwrap_err().path(), "circle.radius");
    assert_eq!(
        to_term(&Shape::Line(0.0, f64::NAN)).unwrap_err().path(),
        "[1]"
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Elixir.Shop.Cart", deny_unknown_fields)]
struct Cart {
    items: u8,
}

#[test]
fn elixir_structs() {
    same(
        Cart { items: 2 },
        "#{'__struct__' => 'Elixir.Shop.Cart',items => 2}",
    );
    refused::<Cart>(
        "#{'__struct__' => 'Elixir.Shop.Till', items => 2}",
        "expected a %Shop.Cart{}, got a %Shop.Till{}",
    );
    refused::<Cart>(
        "#{items => 2}",
        "expected a %Shop.Cart{}, got the map #{items => 2}",
    );
    let address = Address {
        street: String::new(),
        zip: 1,
    };
    for (namespace, module) in [
        ("Shop", "'Elixir.Shop.Address'"),
        ("Elixir.Shop", "'Elixir.Shop.Address'"),
        ("", "'Elixir.Address'"),
    ] {
        let options = Options::new().elixir_structs(namespace);
        let written = options.to_term(&address).unwrap();
        assert_eq!(
            written.to_string(),
            format!("#{{'__struct__' => {module},street => <<>>,zip => 1}}")
        );
        assert_eq!(
            options.from_term::<Address>(&written).as_ref(),
            Ok(&address)
        );
    }
    let shop = Options::new().elixir_structs("Shop");
    assert!(
        shop.to_term(&Cart { items: 1 })
            .unwrap()
            .to_string()
            .contains("Shop.Cart")
    );
    let error = shop.from_term::<Address>(&term("#{street => <<>>, zip => 1}"));
    assert!(
        error
            .unwrap_err()
            .to_string()
            .starts_with("expected a %Shop.Address{}")
    );
}

#[test]
fn nothing_is_what_was_chosen() {
    let erlang = Options::new().none(Nothing::Undefined);
    assert_eq!(
        erlang.to_term(&[None, Some(1)]).unwrap(),
        term("{undefined,1}")
    );
    assert_eq!(Options::new().to_term(&None::<u8>).unwrap(), term("nil"));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Request {
    from: Pid,
    tag: Reference,
    kind: Atom,
    done: Export,
    rest: Term,
    #[serde(with = "binary")]
    body: Vec<u8>,
}

#[test]
fn terms_pass_as_they_are() {
    let node = Atom::new("a@b");
    let request = Request {
        from: Pid {
            node: node.clone(),
            id: 1,
            serial: 2,
            creation: 3,
        },
        tag: Reference {
            node,
            creation: 3,
            id: vec![1, 2, 3],
        },
        kind: Atom::new("cälls"),
        done: Export {
            module: Atom::new("m"),
            function: Atom::new("f"),
            arity: 1,
        },
        rest: term("{[a|b],<<1:3>>,\"text\",#{1.5 => 340282366920938463463374607431768211455}}"),
        body: vec![0, 255],
    };
    let written = to_term(&request).unwrap();
    let Term::Map(map) = &written else {
        panic!("{written}")
    };
    assert_eq!(map.get_atom("from"), Some(&request.from.clone().into()));
    assert_eq!(map.get_atom("rest"), Some(&request.rest));
    assert_eq!(map.get_atom("kind"), Some(&Term::atom("cälls")));
    assert_eq!(map.get_atom("body"), Some(&Term::binary(&[0, 255][..])));
    assert_eq!(from_term::<Request>(&written).as_ref(), Ok(&request));

    // Another format has an atom as its text, and the rest as bytes of the external format.
    let json = serde_json::to_string(&request).unwrap();
    assert!(json.contains("\"kind\":\"cälls\""), "{json}");
    assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), request);

    let mut keyed = BTreeMap::new();
    keyed.insert(Atom::new("a"), Atom::new("b"));
    same(keyed, "#{a => b}");
}

#[test]
fn what_is_buffered_by_serde_is_read_as_well() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Outer {
        id: u8,
        #[serde(flatten)]
        inner: Inner,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        owner: Option<Pid>,
        value: Either,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
        Process(Pid),
    }
    let pid = Pid {
        node: Atom::new("a@b"),
        id: 1,
        serial: 2,
        creation: 3,
    };
    for value in [
        Either::Number(5),
        Either::Text("x".into()),
        Either::Process(pid.clone()),
    ] {
        let outer = Outer {
            id: 1,
            inner: Inner {
                owner: Some(pid.clone()),
                value,
            },
        };
        let written = to_term(&outer).unwrap();
        assert_eq!(from_term::<Outer>(&written), Ok(outer), "{written}");
    }
    let json: serde_json::Value = from_term(&term(
        "#{a => [1, 2.5, nil, true, <<\"x\">>], b => {c, -1}}",
    ))
    .unwrap();
    assert_eq!(
        json,
        serde_json::json!({"a": [1, 2.5, null, true, "x"], "b": ["c", -1]})
    );
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Elixir.Shop.Created")]
struct Created {
    id: i32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Elixir.Shop.Deleted")]
struct Deleted {
    id: i32,
}

#[test]
fn one_of_several_elixir_structs_is_read_as_that_one_and_sent_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "__struct__")]
    enum Event {
        #[serde(rename = "Elixir.Shop.Created")]
        Created { id: i32 },
        #[serde(rename = "Elixir.Shop.Deleted")]
        Deleted(Deleted),
        #[serde(rename = "Elixir.Shop.Gone")]
        Gone,
    }
    same(
        Event::Created { id: 1 },
        "#{'__struct__' => 'Elixir.Shop.Created',id => 1}",
    );
    same(
        Event::Deleted(Deleted { id: 7 }),
        "#{'__struct__' => 'Elixir.Shop.Deleted',id => 7}",
    );
    same(Event::Gone, "#{'__struct__' => 'Elixir.Shop.Gone'}");
    assert!(from_term::<Event>(&term("#{'__struct__' => 'Elixir.Shop.Other',id => 7}")).is_err());
    assert!(from_term::<Event>(&term("#{id => 7}")).is_err());
    // A field or a key of that name is an atom as well.
    #[derive(Serialize)]
    struct Plain {
        __struct__: &'static str,
        id: i32,
    }
    let plain = Plain {
        __struct__: "Elixir.X",
        id: 1,
    };
    assert_eq!(
        to_term(&plain).unwrap(),
        term("#{'__struct__' => 'Elixir.X',id => 1}")
    );
    let map = BTreeMap::from([("__struct__", "Elixir.X")]);
    assert_eq!(
        to_term(&map).unwrap(),
        term("#{'__struct__' => 'Elixir.X'}")
    );
}

#[test]
fn no_struct_of_elixir_is_taken_for_another_one() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Event {
        Created(Created),
        Deleted(Deleted),
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Any {
        #[allow(dead_code)]
        Created(Created),
        Other(Term),
    }
    let deleted = term("#{'__struct__' => 'Elixir.Shop.Deleted',id => 7}");
    assert!(from_term::<Created>(&deleted).is_err());
    assert!(from_term::<Event>(&deleted).is_err());
    assert!(from_term::<Vec<Event>>(&vec![deleted.clone()].into()).is_err());
    assert_eq!(from_term::<Any>(&deleted), Ok(Any::Other(deleted)));
    // A plain map says nothing about the struct that it is.
    assert_eq!(
        from_term::<Event>(&term("#{id => 7}")),
        Ok(Event::Created(Created { id: 7 }))
    );
}

#[test]
fn a_term_is_read_wherever_serde_keeps_a_buffer() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        T(Term),
    }
    for text in [
        "1",
        "-1.5",
        "true",
        "nil",
        "undefined",
        "ok",
        "<<\"ok\">>",
        "<<255>>",
        "<<131,106>>",
        "<<5:3>>",
        "[]",
        "[a,<<\"b\">>]",
        "[a|b]",
        "340282366920938463463374607431768211456",
        "fun a:b/1",
        "#{a => 1,<<\"a\">> => 2,1 => 3,[] => #{b => []}}",
        "#{'__struct__' => 'Elixir.X',a => b}",
    ] {
        assert_eq!(
            from_term::<Untagged>(&term(text)),
            Ok(Untagged::T(term(text))),
            "{text}"
        );
    }
    let pid = Term::from(Pid {
        node: Atom::new("a@b"),
        id: 1,
        serial: 2,
        creation: 3,
    });
    let list = Term::List(vec![pid]);
    assert_eq!(from_term::<Untagged>(&list), Ok(Untagged::T(list.clone())));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Flat {
        id: i32,
        #[serde(flatten)]
        rest: HashMap<String, Term>,
    }
    let flat = Flat {
        id: 1,
        rest: HashMap::from([
            ("b".to_owned(), term("abc")),
            ("c".to_owned(), term("<<\"x\">>")),
        ]),
    };
    let read = from_term(&term("#{id => 1,b => abc,c => <<\"x\">>}"));
    assert_eq!(read.as_ref(), Ok(&flat));
    assert_eq!(
        to_term(&flat).unwrap(),
        term("#{id => 1,<<\"b\">> => abc,<<\"c\">> => <<\"x\">>}")
    );

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "op")]
    enum Message {
        Tell { what: Term },
    }
    let message = Message::Tell {
        what: term("[x,#{y => <<\"z\">>}]"),
    };
    same(
        message,
        "#{op => <<\"Tell\">>,what => [x,#{y => <<\"z\">>}]}",
    );
}

#[test]
fn an_atom_is_no_binary_in_an_untagged_enum_either() {
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Atom(Atom),
        Text(String),
    }
    assert_eq!(from_term(&term("<<\"x\">>")), Ok(Either::Text("x".into())));
    for name in ["x", "true", "nil", "undefined"] {
        let atom = Atom::new(name);
        assert_eq!(from_term(&Term::atom(name)), Ok(Either::Atom(atom)));
    }
}

#[test]
fn values_nest_as_deep_as_a_stack_allows() {
    #[derive(Debug, Deserialize)]
    struct Tree(#[allow(dead_code)] Vec<Tree>);
    let nested = |depth| (0..depth).fold(Term::NIL, |inner, _| Term::List(vec![inner]));
    assert!(from_term::<Tree>(&nested(500)).is_ok());
    let error = from_term::<Tree>(&nested(4000)).unwrap_err();
    assert!(error.message().contains("deeper than 512"), "{error}");
    assert_eq!(from_term::<Term>(&nested(4000)), Ok(nested(4000)));
    assert_eq!(to_term(&nested(4000)), Ok(nested(4000)));
}

#[test]
fn arrays_options_and_shared_buffers_of_bytes_are_binaries() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Bytes {
        #[serde(with = "binary")]
        array: [u8; 3],
        #[serde(with = "binary")]
        some: Option<Vec<u8>>,
        #[serde(with = "binary")]
        none: Option<[u8; 2]>,
        #[serde(with = "binary")]
        shared: bytes::Bytes,
    }
    let bytes = Bytes {
        array: [1, 2, 255],
        some: Some(vec![]),
        none: None,
        shared: bytes::Bytes::from_static(b"ab"),
    };
    let written = to_term(&bytes).unwrap();
    let wanted = "#{array => <<1,2,255>>,none => nil,shared => <<\"ab\">>,some => <<>>}";
    assert_eq!(written, term(wanted));
    assert_eq!(from_term::<Bytes>(&written), Ok(bytes));
    let other = term("#{array => [1,2],none => <<1,2>>,shared => \"ab\",some => undefined}");
    let error = from_term::<Bytes>(&other).unwrap_err();
    assert_eq!(error.to_string(), "array: expected 3 bytes, got 2 elements");
}
