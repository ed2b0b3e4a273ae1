//! A DNS server on loopback whose answers a test changes while it runs.
//!
//! It runs on a thread of its own, so that tests without tokio can use it, and ends when it is dropped.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::net::xfer::Protocol;
use hickory_server::proto::op::{Edns, Metadata, ResponseCode};
use hickory_server::proto::rr::rdata::{CNAME, PTR, SOA, SRV};
use hickory_server::proto::rr::{Name, RData, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::oneshot;

/// What the server answers about a name.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Addresses: those of the family that is asked for; none of it is an empty answer.
    Addresses(Vec<IpAddr>),
    /// So many of the IPv4 addresses, other ones each time, in turn.
    PartOf(Vec<IpAddr>, usize),
    /// Services: SRV records, each a target and its port.
    Services(Vec<(String, u16)>),
    /// Names: PTR records.
    Names(Vec<String>),
    /// The name is another name for this one.
    Alias(String),
    /// What there is about this other name, with the other name as the owner of the records and without a word
    /// on how the two belong together, as from a server that rewrites questions.
    Rewritten(String),
    /// The name exists, without any address.
    NoData,
    /// The name does not exist. So does no name about which nothing was said.
    NoName,
    /// An error.
    Error(ResponseCode),
    /// Nothing at all.
    Silence,
}

impl Reply {
    /// Addresses from text.
    pub fn addresses<'a>(addresses: impl IntoIterator<Item = &'a str>) -> Self {
        let parsed = addresses.into_iter().map(|text| text.parse().unwrap());
        Self::Addresses(parsed.collect())
    }

    /// So many of the addresses at a time.
    pub fn part_of<'a>(addresses: impl IntoIterator<Item = &'a str>, count: usize) -> Self {
        let parsed = addresses.into_iter().map(|text| text.parse().unwrap());
        Self::PartOf(parsed.collect(), count)
    }

    /// Services from targets and their ports.
    pub fn services<'a>(services: impl IntoIterator<Item = (&'a str, u16)>) -> Self {
        let services = services.into_iter();
        Self::Services(
            services
                .map(|(target, port)| (target.into(), port))
                .collect(),
        )
    }

    /// Names from text.
    pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::Names(names.into_iter().map(str::to_owned).collect())
    }
}

/// A question that the server got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, with a dot at its end.
    pub name: String,
    /// `A`, `AAAA`, `SRV`, `PTR`.
    pub record_type: String,
    /// Whether it came by TCP.
    pub tcp: bool,
}

/// The server.
pub struct DnsServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Zone {
    replies: HashMap<String, Reply>,
    /// Replies to questions for one type, which go before the others.
    typed: HashMap<(String, String), Reply>,
    ttl: u32,
    /// Where the next [`Reply::PartOf`] begins.
    part: usize,
    lose: u32,
    /// Says nothing to the next so many questions for this type.
    lose_of: (u32, String),
    delay: Duration,
    /// Whether the addresses of targets are added to an answer with services.
    additional: bool,
    /// Whether a question with EDNS is answered with FORMERR, as by a server from before it.
    without_edns: bool,
    questions: Vec<Question>,
    /// Questions that wait for their answer now, and the most that did at once.
    waiting: usize,
    most_waiting: usize,
}

/// How a server serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// By UDP and TCP.
    Both,
    /// By UDP only: nobody listens on the TCP port.
    UdpOnly,
}

impl DnsServer {
    /// Starts a server on a free port of 127.0.0.1, where every name is unknown yet.
    pub fn start() -> Self {
        Self::start_with("127.0.0.1".parse().unwrap(), Transport::Both)
    }

    /// Starts a server on a free port of an address.
    pub fn start_with(ip: IpAddr, transport: Transport) -> Self {
        let zone = Arc::new(Mutex::new(Zone {
            ttl: 1,
            ..Zone::default()
        }));
        let (stop, stopped) = oneshot::channel();
        let (tell, address) = std::sync::mpsc::channel();
        let handler = Handler(zone.clone());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (udp, tcp) = bind(ip).await;
                tell.send(udp.local_addr().unwrap()).unwrap();
                let mut server = Server::new(handler);
                server.register_socket(udp);
                match transport {
                    Transport::Both => server.register_listener(tcp, Duration::from_secs(60), 64),
                    Transport::UdpOnly => drop(tcp),
                }
                let _ = stopped.await;
            });
        });
        Self {
            address: address.recv().expect("the DNS server starts"),
            zone,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens, by UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers so about `name` from now on.
    pub fn set(&self, name: &str, reply: Reply) {
        self.zone().replies.insert(full(name), reply);
    }

    /// Answers so about `name` from now on where `record_type` (`A`, `AAAA`) is asked for.
    pub fn set_for(&self, name: &str, record_type: &str, reply: Reply) {
        let key = (full(name), record_type.into());
        self.zone().typed.insert(key, reply);
    }

    /// Gives every answer this time to live, in seconds; 1 unless said otherwise.
    pub fn set_ttl(&self, ttl: u32) {
        self.zone().ttl = ttl;
    }

    /// Says nothing to the next `questions`.
    pub fn lose(&self, questions: u32) {
        self.zone().lose = questions;
    }

    /// Says nothing to the next `questions` for `record_type`.
    pub fn lose_of(&self, questions: u32, record_type: &str) {
        self.zone().lose_of = (questions, record_type.into());
    }

    /// Waits before every answer.
    pub fn set_delay(&self, delay: Duration) {
        self.zone().delay = delay;
    }

    /// Adds the addresses of the targets to answers with services.
    pub fn add_addresses(&self) {
        self.zone().additional = true;
    }

    /// Takes questions with EDNS for malformed from now on.
    pub fn refuse_edns(&self) {
        self.zone().without_edns = true;
    }

    /// The most questions that waited for their answer at one time, since the start.
    pub fn most_at_once(&self) -> usize {
        self.zone().most_waiting
    }

    /// The questions since this was asked last, in their order.
    pub fn take_questions(&self) -> Vec<Question> {
        std::mem::take(&mut self.zone().questions)
    }

    fn zone(&self) -> MutexGuard<'_, Zone> {
        self.zone.lock().unwrap()
    }
}

impl Drop for DnsServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A name as the server keeps it: in full and in small letters.
fn full(name: &str) -> String {
    format!("{}.", name.trim_end_matches('.').to_lowercase())
}

/// Binds UDP and TCP to the same free port.
async fn bind(ip: IpAddr) -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let tcp = TcpListener::bind((ip, 0)).await.unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port of {ip} is free for both UDP and TCP");
}

struct Handler(Arc<Mutex<Zone>>);

/// What goes out.
struct Response {
    code: ResponseCode,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
    delay: Duration,
}

impl Response {
    /// Its size in bytes, or a little more, where `name` was asked for: header, question and EDNS, and each
    /// record behind a pointer to its name (RFC 1035, section 4.1).
    fn size(&self, name: &Name) -> usize {
        let data = |record: &Record| match &record.data {
            RData::A(_) => 4,
            RData::AAAA(_) => 16,
            _ => 64,
        };
        let records = self.answers.iter().chain(&self.authorities);
        let records = records.chain(&self.additionals);
        12 + name.len() + 4 + 11 + records.map(|record| 12 + data(record)).sum::<usize>()
    }
}

impl Handler {
    /// Waits before an answer, and counts who else does.
    async fn wait(&self, delay: Duration) {
        if delay.is_zero() {
            return;
        }
        {
            let mut zone = self.0.lock().unwrap();
            zone.waiting += 1;
            zone.most_waiting = zone.most_waiting.max(zone.waiting);
        }
        tokio::time::sleep(delay).await;
        self.0.lock().unwrap().waiting -= 1;
    }

    /// `None`: silence.
    fn respond(&self, name: &Name, record_type: RecordType, tcp: bool) -> Option<Response> {
        let mut zone = self.0.lock().unwrap();
        zone.questions.push(Question {
            name: full(&name.to_string()),
            record_type: record_type.to_string(),
            tcp,
        });
        if zone.lose > 0 {
            zone.lose -= 1;
            return None;
        }
        if zone.lose_of.0 > 0 && zone.lose_of.1 == record_type.to_string() {
            zone.lose_of.0 -= 1;
            return None;
        }
        let mut name = name.clone();
        let mut response = Response {
            code: ResponseCode::NoError,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
            delay: zone.delay,
        };
        let reply = loop {
            let key = full(&name.to_string());
            let typed = zone.typed.get(&(key.clone(), record_type.to_string()));
            match typed.or_else(|| zone.replies.get(&key)) {
                Some(Reply::Alias(other)) => {
                    let other: Name = full(other).parse().unwrap();
                    let data = RData::CNAME(CNAME(other.clone()));
                    response
                        .answers
                        .push(Record::from_rdata(name, zone.ttl, data));
                    name = other;
                }
                Some(Reply::Rewritten(other)) => name = full(other).parse().unwrap(),
                reply => break reply.cloned().unwrap_or(Reply::NoName),
            }
        };
        let reply = match reply {
            Reply::PartOf(addresses, count) if record_type == RecordType::A => {
                let part = addresses.iter().cycle().skip(zone.part).take(count);
                let part = part.copied().collect();
                zone.part = (zone.part + count) % addresses.len();
                Reply::Addresses(part)
            }
            other => other,
        };
        match reply {
            Reply::Addresses(addresses) => {
                let records = addresses
                    .into_iter()
                    .map(RData::from)
                    .filter(|data| data.record_type() == record_type)
                    .map(|data| Record::from_rdata(name.clone(), zone.ttl, data));
                response.answers.extend(records);
            }
            Reply::Services(services) if record_type == RecordType::SRV => {
                for (target, port) in services {
                    let target = full(&target);
                    if zone.additional
                        && let Some(Reply::Addresses(addresses)) = zone.replies.get(&target)
                    {
                        let records = addresses.iter().map(|&address| {
                            let data = RData::from(address);
                            Record::from_rdata(target.parse().unwrap(), zone.ttl, data)
                        });
                        response.additionals.extend(records);
                    }
                    let data = SRV::new(0, 0, port, target.parse().unwrap());
                    let record = Record::from_rdata(name.clone(), zone.ttl, RData::SRV(data));
                    response.answers.push(record);
                }
            }
            Reply::Names(names) if record_type == RecordType::PTR => {
                let records = names.iter().map(|pointed| {
                    let data = RData::PTR(PTR(full(pointed).parse().unwrap()));
                    Record::from_rdata(name.clone(), zone.ttl, data)
                });
                response.answers.extend(records);
            }
            Reply::Services(_)
            | Reply::Names(_)
            | Reply::PartOf(..)
            | Reply::NoData
            | Reply::Alias(_)
            | Reply::Rewritten(_) => {}
            Reply::NoName => response.code = ResponseCode::NXDomain,
            Reply::Error(code) => response.code = code,
            Reply::Silence => return None,
        }
        let soa = SOA::new(
            "ns.test.".parse().unwrap(),
            "people.test.".parse().unwrap(),
            1,
            60,
            60,
            60,
            zone.ttl,
        );
        if response.answers.is_empty() && response.code != ResponseCode::ServFail {
            let soa = Record::from_rdata(name.base_name(), zone.ttl, RData::SOA(soa));
            response.authorities.push(soa);
        }
        Some(response)
    }
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut out: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        let nothing = ResponseInfo::from(hickory_server::proto::op::Header {
            metadata,
            counts: Default::default(),
        });
        let Ok(info) = request.request_info() else {
            return nothing;
        };
        let (name, record_type) = (Name::from(info.query.name()), info.query.query_type());
        let tcp = info.protocol == Protocol::Tcp;
        let Some(response) = self.respond(&name, record_type, tcp) else {
            return nothing;
        };
        let mut response = response;
        self.wait(response.delay).await;
        if request.edns.is_some() && self.0.lock().unwrap().without_edns {
            metadata.response_code = ResponseCode::FormErr;
            let message = MessageResponseBuilder::from_message_request(request).build(
                metadata,
                [],
                [],
                [],
                [],
            );
            return out.send_response(message).await.unwrap_or(nothing);
        }
        let limit = request
            .edns
            .as_ref()
            .map_or(512, |edns| edns.max_payload().max(512));
        if !tcp && response.size(&name) > usize::from(limit) {
            // hickory's own way leaves a piece of a record at the end, which OTP's `inet_res` does not read.
            metadata.truncation = true;
            response.answers.clear();
            response.additionals.clear();
        }
        metadata.response_code = response.code;
        metadata.authoritative = true;
        // As servers do: as much by UDP as the client can take, and no more.
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(asked.max_payload());
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let message = builder.build(
            metadata,
            &response.answers,
            &response.authorities,
            [],
            &response.additionals,
        );
        out.send_response(message).await.unwrap_or(nothing)
    }
}
