//! The name servers are silent while most peers cannot be looked up.

use std::time::{Duration, Instant};

use crate::package::{PATIENCE, erl, needs_packages, start_rendez};
use crate::support::outage::{DEAD, WATCH, WATCHED, dead};
use crate::support::{Beam, BeamOptions, Epmd, SilentDns, beam_is_installed, free_tcp_port};

/// Longer than the old way, one blocking lookup after the other in `net_kernel`, let a connection live with this
/// `net_ticktime`.
const OUTAGE: Duration = Duration::from_secs(15);
const TICKS: [&str; 3] = ["-kernel", "net_ticktime", "8"];

/// Keeps when the first failure of each node came, and when `live@127.0.0.1` joined, in milliseconds.
const LISTEN: &str = "
    Keep = fun Next(Began, Causes, Joined) ->
        receive
            {rendez, _, {connect_failed, Node, Info}} ->
                Cause = {erlang:monotonic_time(millisecond) - Began, maps:get(reason, Info)},
                Next(Began, maps:merge(#{Node => Cause}, Causes), Joined);
            {rendez, _, {joined, Node, _}} ->
                Next(Began, Causes, Joined#{Node => erlang:monotonic_time(millisecond) - Began});
            {tell, From} -> From ! {kept, Causes, Joined}, Next(Began, Causes, Joined);
            _ -> Next(Began, Causes, Joined)
        end
    end,
    register(kept, spawn(fun() ->
        ok = rendez:subscribe(rendez),
        Keep(erlang:monotonic_time(millisecond), #{}, #{})
    end)), ok";
/// `{Causes, LatestCause, Reasons, LiveJoined}`
const KEPT: &str = "kept ! {tell, self()}, (fun() -> receive {kept, Causes, Joined} ->
    Times = [Ms || {Ms, _} <- maps:values(Causes)],
    {maps:size(Causes), lists:max([0 | Times]), lists:usort([R || {_, R} <- maps:values(Causes)]),
     maps:get('live@127.0.0.1', Joined, none)} end end)()";

#[test]
#[ignore = needs_packages!()]
fn a_dns_outage_ends_no_connection_and_delays_no_live_peer() {
    let what = "a DNS outage, with the package";
    if !beam_is_installed(what) {
        return;
    }
    let Some(host) = SilentDns::new(what) else {
        return;
    };
    let epmd = Epmd::start_on(free_tcp_port(), &host.enter());
    let plain = |name: &str| BeamOptions::erl(name).flags(TICKS).within(&host.enter());
    let _healthy = Beam::start(&epmd, &plain("healthy@127.0.0.1"));
    let _live = Beam::start(&epmd, &plain("live@127.0.0.1"));
    let mut node = Beam::start(
        &epmd,
        &erl("a@127.0.0.1").flags(TICKS).within(&host.enter()),
    );
    assert_eq!(
        node.eval("net_kernel:connect_node('healthy@127.0.0.1')"),
        "true"
    );
    assert_eq!(node.eval(WATCH), "ok");
    let dead: Vec<String> = (0..DEAD)
        .map(|number| format!("'{}'", dead(number)))
        .collect();
    let began = Instant::now();
    start_rendez(
        &mut node,
        &format!(
            "[{{via, list}}, {{node_list, ['healthy@127.0.0.1', 'live@127.0.0.1', {}]}}]",
            dead.join(",")
        ),
    );
    assert_eq!(node.eval(LISTEN), "ok");
    node.wait_until("lists:member('live@127.0.0.1', nodes())", PATIENCE, |is| {
        is == "true"
    });
    let joined = began.elapsed();
    let (kept, _) = node.wait_until(KEPT, PATIENCE, |kept| {
        kept.starts_with(&format!("{{{DEAD},"))
    });
    let told = began.elapsed();
    // The outage goes on: whatever is tried again must not hurt either.
    std::thread::sleep(OUTAGE.saturating_sub(began.elapsed()));
    let watched = node.eval(WATCHED);
    println!(
        "the live peer joined after {joined:?}; all causes within {told:?}: {kept}; {watched}"
    );
    assert!(kept.contains("[name_resolution]"), "{kept}");
    let queue: Option<u32> = watched
        .strip_prefix("{[],")
        .and_then(|rest| rest.strip_suffix('}'))
        .and_then(|number| number.parse().ok());
    let queue = queue.unwrap_or_else(|| panic!("a connection ended: {watched}"));
    assert!(queue < 4, "{queue} messages waited for net_kernel");
    // 2 s and 10 s, four times as much on a machine that is busy with other things.
    assert!(joined < Duration::from_secs(8), "{joined:?}");
    assert!(told < Duration::from_secs(40), "{told:?}");
}
