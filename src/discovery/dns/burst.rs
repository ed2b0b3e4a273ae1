//! Many questions to one server at once, by UDP.
//!
//! hickory opens a socket for each question, which a thousand questions at once would make a thousand
//! sockets. Here a socket carries a hundred or so. What does not come out of it well (no answer, an answer
//! that does not fit, an error) is left to hickory, question by question.
//!
//! A forged answer has to hit the random port of the socket, the random id of a question under way, and its
//! name: RFC 5452, section 9.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::proto::op::{DnsRequestOptions, Edns, Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::answer::{self, Meaning};
use super::servers::Reply;

/// A full name and the type of its records.
pub(super) type Question = (Name, RecordType);

/// How many questions go over one socket. The answers to all of them fit into its receive buffer, which is
/// 208 KiB on Linux unless set, and takes less than 1 KiB for each.
const EACH: usize = 128;

/// The pause between the questions of one socket and those of the next, so that the server's receive buffer,
/// probably as big, does not overflow.
const STAGGER: Duration = Duration::from_millis(5);

/// When questions without an answer are sent again, at the least and at the most: after thrice the usual
/// time, then after twice that. A server that has said nothing for thrice as long is not waited for.
const AGAIN: (Duration, Duration) = (Duration::from_millis(150), Duration::from_secs(1));

/// What fits into a datagram nearly everywhere: DNS flag day 2020.
const PAYLOAD: u16 = 1232;

/// Asks `server` all `questions`, of which one usually takes the time `usual`. `None` stands where there is no answer that can be relied on.
pub(super) async fn ask(
    server: SocketAddr,
    edns: bool,
    questions: &[Question],
    usual: Duration,
    deadline: Instant,
) -> Vec<Option<Reply>> {
    let again_after = (3 * usual).clamp(AGAIN.0, AGAIN.1);
    let mut parts = JoinSet::new();
    for (index, part) in questions.chunks(EACH).enumerate() {
        let part = part.to_vec();
        parts.spawn(async move {
            sleep(STAGGER * u32::try_from(index).unwrap_or(u32::MAX)).await;
            let replies = exchange(server, edns, &part, again_after, deadline).await;
            let replies = replies.unwrap_or_else(|error| {
                tracing::debug!("{} questions to {server} failed: {error}", part.len());
                vec![None; part.len()]
            });
            (index, replies)
        });
    }
    let mut replies = vec![None; questions.len()];
    while let Some(part) = parts.join_next().await {
        // A part that panicked has no answers.
        if let Ok((index, part)) = part {
            for (reply, answered) in replies[index * EACH..].iter_mut().zip(part) {
                *reply = answered;
            }
        }
    }
    replies
}

async fn exchange(
    server: SocketAddr,
    edns: bool,
    questions: &[Question],
    again_after: Duration,
    deadline: Instant,
) -> io::Result<Vec<Option<Reply>>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // From here on the kernel lets nobody else's datagrams in.
    socket.connect(server).await?;
    let mut waiting: HashMap<u16, (usize, Query, Vec<u8>)> = HashMap::new();
    for (index, (name, record_type)) in questions.iter().enumerate() {
        let query = Query::query(name.clone(), *record_type);
        let mut id = rand::random();
        while waiting.contains_key(&id) {
            id = rand::random();
        }
        let packet = packet(id, &query, edns)?;
        socket.send(&packet).await?;
        waiting.insert(id, (index, query, packet));
    }
    let mut replies = vec![None; questions.len()];
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let mut heard = Instant::now();
    let silence = 3 * again_after;
    let mut pause = again_after;
    let mut again = heard + pause;
    while !waiting.is_empty() {
        let until = again.min(heard + silence).min(deadline);
        if let Ok(received) = timeout_at(until, socket.recv(&mut buffer)).await {
            let Ok(length) = received else {
                // Nobody listens there.
                break;
            };
            let Ok(message) = Message::from_vec(&buffer[..length]) else {
                continue;
            };
            let id = message.metadata.id;
            let asked = |(_, query, _): &(usize, Query, Vec<u8>)| {
                message.metadata.message_type == MessageType::Response
                    && message.queries == [query.clone()]
            };
            if waiting.get(&id).is_some_and(asked)
                && let Some((index, query, _)) = waiting.remove(&id)
            {
                heard = Instant::now();
                replies[index] = reply(&message, &query);
            }
        } else if again <= Instant::now() && again < deadline.min(heard + silence) {
            for (_, _, packet) in waiting.values() {
                socket.send(packet).await?;
            }
            pause *= 2;
            again = Instant::now() + pause;
        } else {
            break;
        }
    }
    Ok(replies)
}

fn packet(id: u16, query: &Query, edns: bool) -> io::Result<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = DnsRequestOptions::default().recursion_desired;
    message.add_query(query.clone());
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
    }
    message.to_vec().map_err(io::Error::other)
}

/// `None` if the answer is not the last word.
fn reply(message: &Message, query: &Query) -> Option<Reply> {
    match answer::read(query.name(), query.query_type(), message) {
        Meaning::Found(records) => Some(Reply::Found(records)),
        Meaning::NoData { ttl } => Some(Reply::NoData { ttl }),
        Meaning::NoName => Some(Reply::NoName),
        // An alias has to be followed, and another server may know better.
        Meaning::Alias { .. } | Meaning::Fails(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::ResponseCode;
    use std::collections::HashSet;

    #[tokio::test]
    async fn a_question_without_an_answer_is_asked_again() {
        let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        tokio::spawn(async move {
            let mut seen = HashSet::new();
            let mut buffer = [0; 1500];
            loop {
                let (length, from) = server.recv_from(&mut buffer).await.unwrap();
                let question = Message::from_vec(&buffer[..length]).unwrap();
                if seen.insert(question.metadata.id) {
                    continue;
                }
                let mut answer = Message::response(question.metadata.id, OpCode::Query);
                answer.add_queries(question.queries);
                answer.metadata.response_code = ResponseCode::NXDomain;
                // One under another id, as a forger would send it, counts for nothing.
                let mut forged = answer.clone();
                forged.metadata.id ^= 0x5555;
                forged.metadata.response_code = ResponseCode::NoError;
                for answer in [forged, answer] {
                    server
                        .send_to(&answer.to_vec().unwrap(), from)
                        .await
                        .unwrap();
                }
            }
        });
        let questions: Vec<Question> = (0..3)
            .map(|i| (format!("n{i}.test.").parse().unwrap(), RecordType::A))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(30);
        let replies = ask(address, true, &questions, Duration::ZERO, deadline).await;
        assert_eq!(replies, vec![Some(Reply::NoName); 3]);
    }
}
