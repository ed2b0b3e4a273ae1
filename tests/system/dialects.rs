//! `dialects`: a node with the package between stand-ins for nodes of the other libraries, which send and read
//! announcements in the format of `tests/data/announcements.jsonl`.

use crate::package::{PATIENCE, erl, needs_packages, start_with};
use crate::support::{Beam, BeamOptions, Epmd, free_udp_port};

/// The cookie of the nodes here, which nodefinder's announcements depend on.
const COOKIE: &str = "kaffee";

/// A library's way to announce, in Erlang.
struct Library {
    dialect: &'static str,
    /// Further options of the package.
    options: &'static str,
    group: &'static str,
    /// The datagram, of `node()`.
    says: &'static str,
    /// What makes the name of a datagram `B`; the empty list of one that is not its own.
    reads: &'static str,
}

const LIBCLUSTER: Library = Library {
    dialect: "libcluster",
    options: "",
    group: "233.252.1.32",
    says: r#"[<<"heartbeat::">>, term_to_binary(#{node => node()})]"#,
    reads: r#"case B of <<"heartbeat::", T/binary>> ->
        case binary_to_term(T) of #{node := N} when is_atom(N) -> N; _ -> [] end; _ -> [] end"#,
};

const LIBCLUSTER_SECRET: Library = Library {
    options: r#"{libcluster_secret, "open sesame"},"#,
    says: r#"begin
        M = iolist_to_binary([<<"heartbeat::">>, term_to_binary(#{node => node()})]),
        P = 16 - byte_size(M) rem 16, Iv = crypto:strong_rand_bytes(16),
        [Iv, crypto:crypto_one_time(aes_256_cbc, crypto:hash(sha256, <<"open sesame">>), Iv,
            [M, binary:copy(<<P>>, P)], true)] end"#,
    reads: r#"case B of <<Iv:16/binary, C/binary>> when byte_size(C) rem 16 =:= 0 ->
        M = crypto:crypto_one_time(aes_256_cbc, crypto:hash(sha256, <<"open sesame">>), Iv, C, false),
        case binary:part(M, 0, byte_size(M) - binary:last(M)) of
            <<"heartbeat::", T/binary>> -> maps:get(node, binary_to_term(T)) end; _ -> [] end"#,
    ..LIBCLUSTER
};

const LIBCLUSTER_BROADCAST: Library = Library {
    options: "{libcluster_broadcast_only, true},",
    group: "127.255.255.255",
    ..LIBCLUSTER
};

const PEERAGE: Library = Library {
    dialect: "peerage",
    options: "",
    group: "230.1.1.1",
    says: r#"[<<"Peer:">>, atom_to_binary(node())]"#,
    reads: r#"case B of <<"Peer:", N/binary>> -> binary_to_atom(N); _ -> [] end"#,
};

const GOSSIP_CLUSTER: Library = Library {
    dialect: "gossip_cluster",
    options: "",
    group: "233.252.1.0",
    says: r#"[<<"heartbeat::">>, term_to_binary(node())]"#,
    reads: r#"case B of <<"heartbeat::", T/binary>> -> binary_to_term(T); _ -> [] end"#,
};

const NODEFINDER: Library = Library {
    dialect: "nodefinder",
    options: "",
    group: "224.0.0.1",
    says: r#"begin
        T = <<(erlang:system_time(second)):64>>, N = atom_to_binary(node()),
        [<<"ERLANG/NODEFINDER 5 ">>,
         crypto:mac(hmac, sha256, crypto:hash(sha256, atom_to_binary(erlang:get_cookie())), [T, N]),
         " ", T, " ", 1, " ", N] end"#,
    reads: r#"case B of <<"ERLANG/NODEFINDER 5 ", Mac:32/binary, " ", T:8/binary, " ", 1, " ", N/binary>> ->
        Mac = crypto:mac(hmac, sha256, crypto:hash(sha256, atom_to_binary(erlang:get_cookie())), [T, N]),
        true = abs(erlang:system_time(second) - binary:decode_unsigned(T)) < 300,
        binary_to_atom(N); _ -> [] end"#,
};

const NODEFINDER_4: Library = Library {
    says: r#"begin
        T = <<(erlang:system_time(second)):64>>, N = atom_to_binary(node()),
        [<<"ERLANG/NODEFINDER 4 ">>,
         crypto:mac(hmac, sha256, crypto:hash(sha256, atom_to_binary(erlang:get_cookie())), [T, N]),
         " ", T, " ", N] end"#,
    ..NODEFINDER
};

const NODEFINDER_3: Library = Library {
    says: r#"begin
        T = <<(erlang:system_time(second)):64>>, N = atom_to_binary(node()),
        [<<"ERLANG/NODEFINDER 3 ">>,
         crypto:mac(hmac, sha256, crypto:hash(sha256, term_to_binary(erlang:get_cookie())), [T, N]),
         " ", T, " ", N] end"#,
    ..NODEFINDER
};

const NODEFINDER_2: Library = Library {
    says: r#"begin
        T = <<(calendar:datetime_to_gregorian_seconds(calendar:universal_time())):64>>,
        N = atom_to_binary(node()),
        [<<"DISCOVERV2 ">>,
         crypto:mac(hmac, sha, crypto:hash(sha, term_to_binary(erlang:get_cookie())), [T, N]),
         " ", T, " ", N] end"#,
    ..NODEFINDER
};

impl Library {
    fn address(&self) -> String {
        format!("{{{}}}", self.group.replace('.', ","))
    }

    fn is_broadcast(&self) -> bool {
        self.group.ends_with(".255")
    }

    /// Has a node announce itself again and again; it listens to nobody.
    fn announce(&self, node: &mut Beam, port: u16) {
        let code = format!(
            "spawn(fun() ->
                {{ok, S}} = gen_udp:open(0, [binary, {{ip, {{127,0,0,1}}}}, {{broadcast, true}},
                    {{multicast_if, {{127,0,0,1}}}}, {{multicast_loop, true}}]),
                (fun Again() ->
                    ok = gen_udp:send(S, {}, {port}, {}), timer:sleep(300), Again() end)()
             end), ok",
            self.address(),
            self.says
        );
        assert_eq!(node.eval(&code.replace('\n', " ")), "ok");
    }

    /// Has a node connect to `ours` when it hears of it; it says nothing.
    fn listen(&self, node: &mut Beam, port: u16, ours: &str) {
        let membership = if self.is_broadcast() {
            String::new()
        } else {
            format!(
                ", {{add_membership, {{{}, {{127,0,0,1}}}}}}",
                self.address()
            )
        };
        let code = format!(
            "Opened = gen_udp:open({port}, [binary, {{active, false}}, {{reuseaddr, true}}{membership}]),
             {{ok, S}} = Opened,
             ok = gen_udp:controlling_process(S, spawn(fun() ->
                (fun Again() ->
                    {{ok, {{_, _, B}}}} = gen_udp:recv(S, 0),
                    case {} of '{ours}' -> net_kernel:connect_node('{ours}'); _ -> other end,
                    Again() end)()
             end)), ok",
            self.reads
        );
        assert_eq!(node.eval(&code.replace('\n', " ")), "ok");
    }
}

/// A node of its own connections alone: that one knows another must not make a third known.
fn node(name: &str) -> BeamOptions {
    erl(name).cookie(COOKIE).flags(["-connect_all", "false"])
}

fn environment(library: &Library, port: u16) -> String {
    format!(
        "[{{via, multicast}}, {{interface, \"127.0.0.1\"}}, {{dialects, [{dialect}]}}, {options} \
          {{{dialect}_group, \"{group}:{port}\"}}]",
        dialect = library.dialect,
        options = library.options,
        group = library.group,
    )
}

/// The package hears the library and is heard by it, each in turn.
fn both_ways(library: &Library) {
    let epmd = Epmd::start();
    let port = free_udp_port();
    let mut sender = Beam::start(&epmd, &node("sender@127.0.0.1"));
    let mut receiver = Beam::start(&epmd, &node("receiver@127.0.0.1"));
    library.listen(&mut receiver, port, "ours@127.0.0.1");
    let mut ours = start_with(&epmd, &node("ours@127.0.0.1"), &environment(library, port));
    // The receiver says nothing, so it can only have connected to us.
    receiver.wait_for_nodes(&["ours@127.0.0.1"], PATIENCE);
    library.announce(&mut sender, port);
    // And the sender hears nothing.
    ours.wait_for_nodes(&["receiver@127.0.0.1", "sender@127.0.0.1"], PATIENCE);
    sender.wait_for_nodes(&["ours@127.0.0.1"], PATIENCE);
}

/// The package hears the library's older form.
fn heard(library: &Library) {
    let epmd = Epmd::start();
    let port = free_udp_port();
    let mut sender = Beam::start(&epmd, &node("sender@127.0.0.1"));
    let mut ours = start_with(&epmd, &node("ours@127.0.0.1"), &environment(library, port));
    library.announce(&mut sender, port);
    ours.wait_for_nodes(&["sender@127.0.0.1"], PATIENCE);
}

macro_rules! both_ways {
    ($($test:ident: $library:ident),* $(,)?) => {
        $(#[test]
        #[ignore = needs_packages!()]
        fn $test() {
            both_ways(&$library);
        })*
    };
}

both_ways! {
    libcluster: LIBCLUSTER,
    libcluster_with_a_secret: LIBCLUSTER_SECRET,
    libcluster_broadcast_only: LIBCLUSTER_BROADCAST,
    peerage: PEERAGE,
    gossip_cluster: GOSSIP_CLUSTER,
    nodefinder: NODEFINDER,
}

#[test]
#[ignore = needs_packages!()]
fn the_older_nodefinders_are_heard() {
    for library in [NODEFINDER_4, NODEFINDER_3, NODEFINDER_2] {
        heard(&library);
    }
}

/// A fleet that moves over: nodes of each library, and two of ours that speak with all and with each other.
#[test]
#[ignore = needs_packages!()]
fn a_mixed_fleet_meshes() {
    let libraries = [LIBCLUSTER, PEERAGE, GOSSIP_CLUSTER, NODEFINDER];
    let epmd = Epmd::start();
    let native = free_udp_port();
    let ports: Vec<u16> = libraries.iter().map(|_| free_udp_port()).collect();
    let groups: Vec<String> = libraries
        .iter()
        .zip(&ports)
        .map(|(l, port)| format!("{{{}_group, \"{}:{port}\"}}", l.dialect, l.group))
        .collect();
    let environment = format!(
        "[{{via, multicast}}, {{interface, \"127.0.0.1\"}}, {{port, {native}}}, {}, \
          {{dialects, [native, libcluster, peerage, gossip_cluster, nodefinder]}}]",
        groups.join(", ")
    );
    let mut theirs: Vec<Beam> = libraries
        .iter()
        .map(|l| Beam::start(&epmd, &node(&format!("{}@127.0.0.1", l.dialect))))
        .collect();
    for ((library, node), port) in libraries.iter().zip(&mut theirs).zip(&ports) {
        library.announce(node, *port);
    }
    let mut ours = ["one", "two"]
        .map(|name| start_with(&epmd, &node(&format!("{name}@127.0.0.1")), &environment));
    let names: Vec<String> = theirs.iter().map(|node| node.name.clone()).collect();
    for (index, other) in ["two@127.0.0.1", "one@127.0.0.1"].into_iter().enumerate() {
        let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
        all.push(other);
        ours[index].wait_for_nodes(&all, PATIENCE);
    }
    // Each dialect stands in the status, with its counters, and those without authentication with a warning.
    let status = ours[0].eval(
        "#{providers := Ps} = rendez:status(rendez), \
         lists:sort([{Kind, maps:is_key(warning, P), maps:get(heard, Cs) > 0} || #{kind := Kind, counters := Cs} = P <- Ps])",
    );
    assert_eq!(
        status,
        "[{<<\"gossip_cluster\">>,true,true},{<<\"libcluster\">>,true,true},\
         {<<\"multicast\">>,false,true},{<<\"nodefinder\">>,false,true},{<<\"peerage\">>,true,true}]"
    );
}

/// Whoever can send a datagram can forge one of these: `accept` keeps it out, and its name makes no atom.
#[test]
#[ignore = needs_packages!()]
fn a_forged_name_that_accept_refuses_makes_no_atom() {
    let epmd = Epmd::start();
    let port = free_udp_port();
    let mut sender = Beam::start(&epmd, &node("sender@127.0.0.1"));
    let environment =
        environment(&PEERAGE, port).replacen('[', "[{accept, [\"sender@*\", \"ours@*\"]}, ", 1);
    let mut ours = start_with(&epmd, &node("ours@127.0.0.1"), &environment);
    let forged = Library {
        says: "<<\"Peer:forged@127.0.0.1\">>",
        ..PEERAGE
    };
    forged.announce(&mut sender, port);
    PEERAGE.announce(&mut sender, port);
    ours.wait_for_nodes(&["sender@127.0.0.1"], PATIENCE);
    let refused = "(fun Wait() -> #{providers := [#{counters := #{not_accepted := N}}]} = rendez:status(rendez), \
                   case N of 0 -> timer:sleep(50), Wait(); _ -> refused end end)()";
    assert_eq!(ours.eval(refused), "refused");
    let atom = "try list_to_existing_atom(\"forged@127.0.0.1\"), made catch error:badarg -> never_made end";
    assert_eq!(ours.eval(atom), "never_made");
}
