//! A host whose name servers are silent: a network of its own with nothing but loopback, and an
//! `/etc/resolv.conf` of its own that names a server which drops what it is sent.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// What the host does as it begins. It lasts as long as its standard input.
const BEGIN: &str = r#"
    set -e
    ip link set lo up
    echo "nameserver 127.0.0.99" >"$1/resolv.conf"
    mount --bind "$1/resolv.conf" /etc/resolv.conf
    nft 'add table inet outage'
    nft 'add chain inet outage input { type filter hook input priority 0; }'
    nft 'add rule inet outage input ip daddr 127.0.0.99 drop'
    echo ready
    read -r end
"#;

/// The host; it ends with this value.
pub struct SilentDns {
    holder: Child,
    pid: String,
    folder: PathBuf,
}

impl SilentDns {
    /// Makes the host, or says on standard error why `what` is skipped.
    pub fn new(what: &str) -> Option<Self> {
        let folder = std::env::temp_dir().join(format!("rendez-outage-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder for the test");
        let mut holder = Command::new("unshare")
            .args(["-n", "-m", "sh", "-c", BEGIN, "sh"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        let said = BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line);
        if said.is_err() || line.trim() != "ready" {
            let said = holder.wait_with_output().map(|output| output.stderr);
            let why = said.unwrap_or_default();
            super::skip(
                what,
                &format!(
                    "cannot make a host without DNS: {}",
                    String::from_utf8_lossy(&why)
                ),
            );
            return None;
        }
        Some(Self {
            pid: holder.id().to_string(),
            holder,
            folder,
        })
    }

    /// The words that run a command on the host.
    pub fn enter(&self) -> [&str; 6] {
        ["nsenter", "-t", &self.pid, "-n", "-m", "--"]
    }
}

impl Drop for SilentDns {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The nodes of the test: `healthy@127.0.0.1`, which is connected before the outage, `live@127.0.0.1`, and this
/// many more whose hosts cannot be looked up.
pub const DEAD: usize = 95;

/// The name of a node whose host cannot be looked up.
pub fn dead(number: usize) -> String {
    format!("x@ghost{number}.internal")
}

/// Erlang that starts to watch the node it is evaluated on, in a process called `watched`: when its connections
/// end, and how much waits for `net_kernel`.
pub const WATCH: &str = "
    Watch = fun Next(Downs, Most) ->
        {message_queue_len, Now} = process_info(whereis(net_kernel), message_queue_len),
        receive
            {nodedown, Node, Info} -> Next([{Node, Info} | Downs], max(Now, Most));
            {tell, From} -> From ! {watched, Downs, max(Now, Most)}, Next(Downs, Most);
            _ -> Next(Downs, max(Now, Most))
        after 2 -> Next(Downs, max(Now, Most))
        end
    end,
    register(watched, spawn(fun() ->
        net_kernel:monitor_nodes(true, [{node_type, all}, nodedown_reason]),
        Watch([], 0)
    end)), ok";

/// What [`WATCH`] saw: `{Downs, LongestQueue}`.
pub const WATCHED: &str = "watched ! {tell, self()}, (fun() -> receive {watched, Downs, Most} -> {Downs, Most} end end)()";
