//! Whatever way nodes go, no connection between nodes that stay ends.
//!
//! Half of the nodes run the package, half have a sidecar, and one visible node is a Rust node. Each has a source of
//! its own, a file. All of them are connected, and then some go, by each way there is.
//!
//! The short form has five BEAMs, of which one goes. `scripts/test leave` sets `RENDEZ_TEST_LEAVE_NODES` (20) and
//! `RENDEZ_TEST_LEAVERS` (how many go at once: `1 2 3 4 5`), and prints the table of docs/leaving.md.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rendez::cluster::driver::Source;
use rendez::cluster::{OnRemoved, Policy};
use rendez::discovery::{FileConfig, file};
use rendez::node::{NodeEvent, NodeEvents};
use rendez::sidecar::{AttachOptions, Sidecar, SidecarError};
use rendez::{Node, NodeName, Secret};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::package::{PATIENCE, erl, needs_packages};
use crate::support::{Beam, BeamOptions, Epmd};

const COOKIE: &str = "rendez-tests";
const RUST: &str = "rust@127.0.0.1";

/// On a BEAM: keeps which visible nodes go down. Everything is inside funs, so that no variable stays bound.
const WATCH: &str = "(fun() ->
    Self = self(),
    spawn(fun() ->
        true = register(downs, self()),
        ok = net_kernel:monitor_nodes(true),
        Self ! watching,
        (fun Keep(Downs) ->
            receive
                {nodedown, Node} -> Keep([Node | Downs]);
                {get, To} -> To ! {downs, Downs}, Keep(Downs);
                clear -> Keep([]);
                _ -> Keep(Downs)
            end
        end)([])
    end),
    receive watching -> ok end
end)()";
const DOWNS: &str =
    "(fun() -> downs ! {get, self()}, receive {downs, Downs} -> lists:sort(Downs) end end)()";
/// What the global name servers have sent one another before this has arrived after it.
const FLUSH: &str =
    "element(1, gen_server:multi_call(nodes(), global_name_server, get_protocol_version)), ok";
/// The nodes that it shares all names with.
const KNOWN: &str = "length(gen_server:call(global_name_server, get_known))";
const RENDEZ: &str = "element(1, application:ensure_all_started(rendez))";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Package,
    Sidecar,
}

/// A sidecar on a task of its own.
struct Attached {
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), SidecarError>>,
}

impl Attached {
    async fn start(name: &str, epmd: &Epmd, path: PathBuf) -> Self {
        let policy = Policy {
            on_removed: OnRemoved::Disconnect {
                grace: Duration::ZERO,
            },
            ..Policy::default()
        };
        let options = AttachOptions {
            epmd_port: epmd.port,
            policy,
            ..AttachOptions::new(name.parse().unwrap(), Secret::new(COOKIE))
        };
        let source = Source::new("file", move || {
            let mut config = FileConfig::new(&path);
            config.interval = Duration::from_millis(200);
            Ok(Box::new(file(&config)))
        });
        let sidecar = Sidecar::start(options, vec![source]).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = sidecar.run(async {
            let _ = stopped.await;
        });
        Self {
            stop,
            ended: tokio::spawn(run),
        }
    }

    async fn stop(self) {
        drop(self.stop);
        self.ended.await.unwrap().unwrap();
    }
}

struct Member {
    name: String,
    face: Face,
    beam: Beam,
    sidecar: Option<Attached>,
    source: PathBuf,
}

/// All nodes, and what they have lost.
struct Field {
    epmd: Epmd,
    folder: tempfile::TempDir,
    members: Vec<Member>,
    rust: Node,
    of_rust: NodeEvents,
    tick_time: &'static str,
    table: String,
}

impl Field {
    async fn new(nodes: usize, tick_time: &'static str) -> Self {
        let epmd = Epmd::start();
        let folder = tempfile::tempdir().unwrap();
        let rust = Node::builder(RUST)
            .cookie(COOKIE)
            .epmd_port(epmd.port)
            .tick_time(Duration::from_secs(tick_time.parse().unwrap()))
            .visible()
            .start()
            .await
            .unwrap();
        let mut field = Self {
            of_rust: rust.monitor_nodes(),
            epmd,
            folder,
            members: Vec::new(),
            rust,
            tick_time,
            table: String::new(),
        };
        let names: Vec<String> = (0..nodes).map(|i| format!("n{i:02}@127.0.0.1")).collect();
        for (index, name) in names.iter().enumerate() {
            let face = match index % 2 {
                0 => Face::Package,
                _ => Face::Sidecar,
            };
            let source = field.folder.path().join(name);
            name_in(&source, names.iter().map(String::as_str));
            let beam = field.beam(name, &source);
            field.members.push(Member {
                name: name.clone(),
                face,
                beam,
                sidecar: None,
                source,
            });
            field.begin(index).await;
        }
        field.whole().await;
        field
    }

    fn options(&self, name: &str, source: &Path) -> BeamOptions {
        let via = format!(
            "[{{file,[{{path,\"{}\"}},{{interval,200}}]}}]",
            source.display()
        );
        erl(name)
            .flags(["+S", "1:1", "-kernel", "net_ticktime", self.tick_time])
            .flags([
                "-rendez",
                "via",
                &via,
                "-rendez",
                "on_removed",
                "{disconnect,0}",
            ])
    }

    fn beam(&self, name: &str, source: &Path) -> Beam {
        let mut beam = Beam::start(&self.epmd, &self.options(name, source));
        beam.eval(WATCH);
        beam
    }

    /// Starts the package on a node, or a sidecar beside it.
    async fn begin(&mut self, index: usize) {
        let member = &mut self.members[index];
        match member.face {
            Face::Package => assert_eq!(member.beam.eval(RENDEZ), "ok"),
            Face::Sidecar if member.sidecar.is_none() => {
                let source = member.source.clone();
                member.sidecar = Some(Attached::start(&member.name, &self.epmd, source).await);
            }
            Face::Sidecar => {}
        }
    }

    /// Waits until all are connected to all and have exchanged names, and forgets what went down before.
    async fn whole(&mut self) {
        let first: NodeName = self.members[0].name.parse().unwrap();
        while self.rust.connect(&first).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let count = self.members.len();
        for member in &mut self.members {
            let all = count.to_string();
            member
                .beam
                .wait_until("length(nodes())", PATIENCE, |now| now == all);
        }
        for member in &mut self.members {
            let all = count.to_string();
            member.beam.wait_until(KNOWN, PATIENCE, |now| now == all);
        }
        let global = self.rust.global().unwrap();
        let start = Instant::now();
        while global.nodes().len() < count {
            assert!(start.elapsed() < PATIENCE, "{:?}", global.nodes());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.flush(&self.stayers(&[]));
        for member in &mut self.members {
            member.beam.eval("downs ! clear, ok");
            member.beam.forget_log();
        }
        self.of_rust = self.rust.monitor_nodes();
    }

    /// What the nodes still tell one another has been told: news goes at most from node to node to node.
    fn flush(&mut self, among: &[usize]) {
        for _ in 0..3 {
            for &index in among {
                self.members[index].beam.eval(FLUSH);
            }
        }
    }

    fn names(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.name.clone())
            .collect()
    }

    /// Has the sources of `whose` name all but `without`, one source after the other.
    fn sources(&self, whose: &[usize], without: &[usize]) {
        let names = self.names();
        for &index in whose {
            let named = names.iter().enumerate();
            let named = named.filter(|(other, _)| !without.contains(other));
            name_in(
                &self.members[index].source,
                named.map(|(_, name)| name.as_str()),
            );
            // What they hear at different times is what this is about; for how long is of no matter.
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stayers(&self, leavers: &[usize]) -> Vec<usize> {
        (0..self.members.len())
            .filter(|index| !leavers.contains(index))
            .collect()
    }

    /// Waits until those that stay, the Rust node among them, are connected to each other only.
    fn parted(&mut self, stayers: &[usize], rust_stays: bool) {
        let others = stayers.len() - 1 + usize::from(rust_stays);
        for &index in stayers {
            let beam = &mut self.members[index].beam;
            beam.wait_until("length(nodes())", PATIENCE, |now| now == others.to_string());
        }
    }

    /// Looks what was lost between nodes that stay, and what `global` wrote; adds a row to the table.
    async fn judge(&mut self, what: &str, leavers: &[usize], stayers: &[usize], rust_stays: bool) {
        self.flush(stayers);
        let mut staying: Vec<String> = Vec::new();
        staying.extend(
            stayers
                .iter()
                .map(|&index| self.members[index].name.clone()),
        );
        if rust_stays {
            staying.push(RUST.to_owned());
        }
        let (mut harmed, mut of_leavers, mut of_stayers) = (Vec::new(), 0, 0);
        for &index in stayers {
            let member = &mut self.members[index];
            let downs = member.beam.eval(DOWNS);
            for name in &staying {
                if downs.contains(&format!("'{name}'")) {
                    harmed.push(format!("{} lost {name}", member.name));
                }
            }
            let log = member.beam.log();
            let lines = log
                .lines()
                .filter(|line| line.contains("to prevent overlapping partitions"));
            for line in lines {
                match staying
                    .iter()
                    .any(|name| line.contains(&format!("node '{name}' in")))
                {
                    true => of_stayers += 1,
                    false => of_leavers += 1,
                }
            }
            member.beam.forget_log();
        }
        if rust_stays {
            while let Some(event) = futures::FutureExt::now_or_never(self.of_rust.next()).flatten()
            {
                if let NodeEvent::Down(peer, _) = event
                    && staying.contains(&peer.name.to_string())
                {
                    harmed.push(format!("{RUST} lost {}", peer.name));
                }
            }
        }
        let row = format!(
            "| {what} | {} | {} | {of_stayers} | {of_leavers} |",
            leavers.len(),
            harmed.len()
        );
        println!("{row}");
        writeln!(self.table, "{row}").unwrap();
        assert!(harmed.is_empty(), "{what}: {harmed:?}");
        assert_eq!(of_stayers, 0, "{what}: lines about nodes that stay");
    }

    /// Starts nodes that ended, and waits until all are whole again.
    async fn restart(&mut self, indices: &[usize]) {
        for &index in indices {
            self.members[index].beam.kill();
        }
        for &index in indices {
            let (name, source) = (
                self.members[index].name.clone(),
                self.members[index].source.clone(),
            );
            self.members[index].beam = self.beam(&name, &source);
            self.begin(index).await;
        }
        self.whole().await;
    }

    async fn removal(&mut self, leavers: &[usize]) {
        let stayers = self.stayers(leavers);
        // The sources of those that go name everyone until the end.
        self.sources(&stayers, leavers);
        self.parted(&stayers, true);
        for &index in leavers {
            let beam = &mut self.members[index].beam;
            beam.wait_until("nodes()", PATIENCE, |now| now == "[]");
        }
        self.judge("no source names them any longer", leavers, &stayers, true)
            .await;
        // They do not come back by themselves, also when what runs there begins anew.
        for &index in leavers {
            let member = &mut self.members[index];
            match member.sidecar.take() {
                Some(sidecar) => sidecar.stop().await,
                None => assert_eq!(member.beam.eval("application:stop(rendez)"), "ok"),
            }
            self.begin(index).await;
            let member = &mut self.members[index];
            let beam = &mut member.beam;
            if member.face == Face::Package {
                // It tried each, and was told.
                let stands = "lists:usort([{State, maps:get(reason, Node, none)} \
                              || #{state := State} = Node <- maps:get(nodes, rendez:status(rendez))])";
                beam.wait_until(stands, PATIENCE, |stands| stands == "[{idle,left}]");
            }
            let left = "element(1, application:get_env(rendez_left, node()))";
            assert_eq!(beam.eval(left), "ok");
            assert_eq!(beam.eval("nodes()"), "[]");
        }
        self.sources(&stayers, &[]);
        self.whole().await;
        for &index in leavers {
            let beam = &mut self.members[index].beam;
            beam.wait_until(
                "application:get_env(rendez_left, node())",
                PATIENCE,
                |left| left == "undefined",
            );
        }
    }

    /// With the package, the node's own application wants it.
    async fn leave(&mut self, leavers: &[usize]) {
        let stayers = self.stayers(leavers);
        for &index in leavers {
            self.members[index].beam.eval("spawn(rendez, leave, [])");
        }
        self.parted(&stayers, true);
        for &index in leavers {
            let beam = &mut self.members[index].beam;
            beam.wait_until("nodes()", PATIENCE, |now| now == "[]");
        }
        self.judge("`Rendez.leave`", leavers, &stayers, true).await;
        for &index in leavers {
            assert_eq!(
                self.members[index].beam.eval("rendez:refresh(rendez)"),
                "ok"
            );
        }
        self.whole().await;
    }

    async fn stop(&mut self, leavers: &[usize]) {
        for &index in leavers {
            let member = &mut self.members[index];
            match member.sidecar.take() {
                Some(sidecar) => sidecar.stop().await,
                None => assert_eq!(member.beam.eval("application:stop(rendez)"), "ok"),
            }
        }
        // Nobody goes.
        let all = self.stayers(&[]);
        self.judge(
            "`application:stop(rendez)`, the sidecar's SIGTERM",
            leavers,
            &all,
            true,
        )
        .await;
        for &index in leavers {
            self.begin(index).await;
        }
        self.whole().await;
    }

    async fn ends(&mut self, what: &str, leavers: &[usize], end: impl Fn(&mut Beam)) {
        let stayers = self.stayers(leavers);
        for &index in leavers {
            end(&mut self.members[index].beam);
        }
        self.parted(&stayers, true);
        self.judge(what, leavers, &stayers, true).await;
        self.restart(leavers).await;
    }

    /// They hang, and are removed while they do. `resume`: they go on before `net_ticktime` is over.
    async fn hang(&mut self, leavers: &[usize], resume: bool) {
        let stayers = self.stayers(leavers);
        for &index in leavers {
            self.members[index].beam.signal("STOP");
        }
        self.sources(&stayers, leavers);
        let what = match resume {
            true => {
                let asked = stayers
                    .iter()
                    .find(|&&index| self.members[index].face == Face::Package);
                let beam = &mut self.members[*asked.unwrap()].beam;
                let why = "lists:usort([is_binary(Why) andalso string:find(Why, \"does not answer\") =/= nomatch \
                           || Why <- maps:values(maps:get(removing, rendez:status(rendez)))])";
                beam.wait_until(why, PATIENCE, |why| why == "[true]");
                for &index in leavers {
                    self.members[index].beam.signal("CONT");
                }
                "they hang (SIGSTOP) when they are removed, and go on"
            }
            false => "they hang (SIGSTOP) when they are removed, for ever",
        };
        self.parted(&stayers, true);
        self.judge(what, leavers, &stayers, true).await;
        self.sources(&stayers, &[]);
        self.restart(leavers).await;
    }

    /// New nodes that come, and go on under other names.
    async fn rename(&mut self, count: usize) {
        let before = self.members.len();
        let stayers: Vec<usize> = (0..before).collect();
        let leavers: Vec<usize> = (before..before + count).collect();
        for index in &leavers {
            let name = format!("named{index}@127.0.0.1");
            let source = self.folder.path().join(&name);
            name_in(&source, self.names().iter().map(String::as_str));
            let mut beam = Beam::start(&self.epmd, &self.options(&name, &source).unnamed());
            beam.eval(&start_as(&name));
            beam.eval(WATCH);
            self.members.push(Member {
                name,
                face: Face::Package,
                beam,
                sidecar: None,
                source,
            });
            self.begin(*index).await;
        }
        let all = self.stayers(&[]);
        self.sources(&all, &[]);
        self.whole().await;
        for &index in &leavers {
            let anew = format!("anew{index}@127.0.0.1");
            let member = &mut self.members[index];
            assert_eq!(member.beam.eval("net_kernel:stop()"), "ok");
            member.beam.eval(&start_as(&anew));
            member.name = anew;
        }
        self.sources(&all, &[]);
        let count = self.members.len().to_string();
        for &index in &all {
            let beam = &mut self.members[index].beam;
            beam.wait_until("length(nodes())", PATIENCE, |now| now == count);
        }
        self.judge("they go on under another name", &leavers, &stayers, true)
            .await;
        for mut member in self.members.drain(before..) {
            member.beam.kill();
        }
        self.sources(&stayers, &[]);
        self.whole().await;
    }

    /// The Rust node goes, or parts from one other.
    async fn rust(&mut self) {
        let stayers = self.stayers(&[]);
        let all = stayers.len();
        let left = self.rust.leave().await;
        assert_eq!(left.len(), all);
        self.parted(&stayers, false);
        self.judge("`Node::leave` of the crate", &[all], &stayers, false)
            .await;
        self.whole().await;

        let one = self.members[1].name.clone();
        self.rust.disconnect(&one.parse().unwrap());
        let without = (all - 1).to_string();
        let beam = &mut self.members[1].beam;
        beam.wait_until("length(nodes())", PATIENCE, |now| now == without);
        // All others have both, the Rust node too.
        self.flush(&stayers);
        for index in self.stayers(&[1]) {
            assert_eq!(
                self.members[index].beam.eval("length(nodes())"),
                all.to_string()
            );
        }
        assert_eq!(self.rust.nodes().len(), all - 1);
        self.judge("`Node::disconnect` of the crate", &[all], &stayers, false)
            .await;
        self.rust.connect(&one.parse().unwrap()).await.unwrap();
        self.whole().await;

        self.rust.stop().await;
        self.parted(&stayers, false);
        self.judge("`Node::stop` of the crate", &[all], &stayers, false)
            .await;
    }
}

/// Gives a node its name. EPMD may still know a node that has just ended by it.
fn start_as(name: &str) -> String {
    format!(
        "(fun Try(Left) ->
            case net_kernel:start('{name}', #{{name_domain => longnames}}) of
                {{ok, _}} -> ok;
                _ when Left > 0 -> timer:sleep(50), Try(Left - 1)
            end
        end)(1000)"
    )
}

/// Writes a file anew, all at once.
fn name_in<'a>(path: &Path, names: impl Iterator<Item = &'a str>) {
    let text: String = names.map(|name| format!("{name}\n")).collect();
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = needs_packages!()]
async fn no_node_that_stays_loses_another_whatever_way_others_go() {
    let nodes = std::env::var("RENDEZ_TEST_LEAVE_NODES").ok();
    let leavers = std::env::var("RENDEZ_TEST_LEAVERS").unwrap_or_else(|_| "1".into());
    let leavers: Vec<usize> = leavers
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    let long = nodes.is_some();
    let nodes = nodes.map_or(5, |nodes| nodes.parse().unwrap());
    // Nodes that hang go on before it is over: see docs/leaving.md.
    let mut field = Field::new(nodes, "60").await;
    println!(
        "| how they go | how many | connections lost between those that stay | lines about those | about those that go |"
    );
    for count in leavers {
        let first: Vec<usize> = (1..=count).collect();
        let packages: Vec<usize> = (0..count).map(|index| index * 2).collect();
        field.removal(&first).await;
        field.leave(&packages).await;
        field.stop(&first).await;
        field
            .ends("SIGTERM", &first, |beam| beam.signal("TERM"))
            .await;
        if long {
            field
                .ends("`init:stop/0`", &first, |beam| {
                    drop(beam.eval("init:stop()"))
                })
                .await;
            field
                .ends("SIGKILL", &first, |beam| beam.signal("KILL"))
                .await;
            field.hang(&first, true).await;
            field.hang(&first, false).await;
        }
        field.rename(count).await;
    }
    field.rust().await;
    println!("{}", field.table);
}
