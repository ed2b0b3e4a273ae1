//! The hosts file beside name servers that are the system's.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::A;
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tempfile::TempDir;
use tokio::net::UdpSocket;

use super::*;

/// What the server says about addresses: `None` is SERVFAIL, and a name that is not there does not exist.
type Zone = Arc<Mutex<BTreeMap<&'static str, Option<Vec<[u8; 4]>>>>>;

/// Answers questions on a free port.
async fn serve(zone: Zone) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let mut answer = Message::response(question.metadata.id, OpCode::Query);
            let query = question.queries[0].clone();
            answer.add_queries(question.queries);
            let known = zone
                .lock()
                .unwrap()
                .get(query.name().to_string().as_str())
                .cloned();
            match known {
                None => answer.metadata.response_code = ResponseCode::NXDomain,
                Some(None) => answer.metadata.response_code = ResponseCode::ServFail,
                Some(Some(addresses)) if query.query_type() == RecordType::A => {
                    for address in addresses {
                        let data = RData::A(A(address.into()));
                        answer.add_answer(Record::from_rdata(query.name().clone(), 1, data));
                    }
                }
                Some(Some(_)) => {}
            }
            let answer = answer.to_vec().unwrap();
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    address
}

/// A source with a hosts file, and what its name server knows.
struct Rig {
    dns: Dns,
    zone: Zone,
    folder: TempDir,
}

impl Rig {
    async fn new(name: &str, own: &str, hosts: &str, zone: &[(&'static str, &[[u8; 4]])]) -> Self {
        let zone = zone
            .iter()
            .map(|(name, addresses)| (*name, Some(addresses.to_vec())));
        let zone: Zone = Arc::new(Mutex::new(zone.collect()));
        let server = serve(zone.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let files = SystemFiles {
            resolv_conf: folder.path().join("resolv.conf"),
            hosts: folder.path().join("hosts"),
        };
        fs::write(&files.resolv_conf, format!("nameserver {}\n", server.ip())).unwrap();
        fs::write(&files.hosts, hosts).unwrap();
        let config = DnsConfig {
            files,
            ..DnsConfig::new([name.into()])
        };
        let context = Context {
            own: Some(own.parse().unwrap()),
            cookie: None,
        };
        let mut dns = Dns::new(&config, &context).unwrap();
        dns.system.set_port(server.port());
        Self { dns, zone, folder }
    }

    async fn answer(&mut self) -> Answer {
        self.dns.poll().await.unwrap()
    }

    fn write_hosts(&self, text: &str) {
        fs::write(self.folder.path().join("hosts"), text).unwrap();
    }
}

fn names(answer: &Answer) -> Vec<&str> {
    answer.nodes.iter().map(NodeName::as_str).collect()
}

#[tokio::test]
async fn a_container_that_is_called_like_its_service_finds_the_others() {
    // `hostname: web` of docker compose: own address in the hosts file, all replicas in Docker's DNS.
    let mut rig = Rig::new(
        "web",
        "app@172.18.0.3",
        "127.0.0.1 localhost\n172.18.0.3 web\n",
        &[("web.", &[[172, 18, 0, 3], [172, 18, 0, 4]])],
    )
    .await;
    let answer = rig.answer().await;
    assert_eq!(names(&answer), ["app@172.18.0.3", "app@172.18.0.4"]);
    assert_eq!((answer.trouble, answer.notices), (None, vec![]));
    // The own address alone never says that there is nobody else.
    rig.zone.lock().unwrap().clear();
    let failure = rig.dns.poll().await.unwrap_err().0;
    assert!(failure.contains("NXDOMAIN"), "{failure}");
}

#[tokio::test]
async fn others_in_the_hosts_file_are_peers_beside_those_in_the_dns() {
    let mut rig = Rig::new(
        "shop.test",
        "app@10.0.0.1",
        "10.0.0.7 Shop.test other\n",
        &[("shop.test.", &[[10, 0, 0, 8]])],
    )
    .await;
    let answer = rig.answer().await;
    assert_eq!(names(&answer), ["app@10.0.0.7", "app@10.0.0.8"]);
    let [notice] = &answer.notices[..] else {
        panic!("{:?}", answer.notices);
    };
    assert!(
        notice.text.contains("shop.test has an entry in "),
        "{notice:?}"
    );
    // What the DNS said stands while it does not say anything else, whatever the file says.
    rig.zone.lock().unwrap().insert("shop.test.", None);
    rig.write_hosts("10.0.0.7 shop.test\n10.0.0.9 shop.test\n");
    let answer = rig.answer().await;
    assert_eq!(
        names(&answer),
        ["app@10.0.0.7", "app@10.0.0.8", "app@10.0.0.9"]
    );
    assert!(answer.trouble.unwrap().0.contains("SERVFAIL"));
    rig.zone.lock().unwrap().clear();
    let answer = rig.answer().await;
    assert_eq!(
        answer.nodes.len(),
        3,
        "a name that was there is not denied away"
    );
    assert!(answer.trouble.unwrap().0.contains("NXDOMAIN"));
}

#[tokio::test]
async fn a_name_in_the_hosts_file_alone_needs_no_zone() {
    let hosts = "10.0.0.7 shop.test\n10.0.0.8 shop.test\n";
    let mut rig = Rig::new("shop.test", "app@10.0.0.7", hosts, &[]).await;
    let answer = rig.answer().await;
    assert_eq!(names(&answer), ["app@10.0.0.7", "app@10.0.0.8"]);
    assert_eq!(answer.trouble, None);
    rig.write_hosts("10.0.0.9 shop.test\n");
    assert_eq!(names(&rig.answer().await), ["app@10.0.0.9"]);
}

#[test]
fn only_the_own_node_is_where_the_own_address_is() {
    let own = |host: &str| Some(NodeName::new("app", host).unwrap());
    let at = |text: &str| text.parse::<IpAddr>().unwrap();
    for (address, node, app, expected) in [
        ("10.9.9.9", own("10.9.9.9"), "app", true),
        ("10.9.9.9", own("::ffff:10.9.9.9"), "app", true),
        ("192.0.2.1", own("10.9.9.9"), "app", false),
        ("127.0.1.1", own("10.9.9.9"), "app", true),
        ("127.0.0.1", own("web"), "app", true),
        // Another node of this machine.
        ("10.9.9.9", own("10.9.9.9"), "other", false),
        ("127.0.0.2", own("127.0.0.1"), "app", false),
        ("127.0.0.1", own("127.0.0.1"), "app", true),
        ("127.0.0.1", None, "app", false),
    ] {
        assert_eq!(
            is_own(at(address), node.as_ref(), app),
            expected,
            "{address} {node:?} {app}"
        );
    }
}
