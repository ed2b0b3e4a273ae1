//! Ports for servers that must be told their port, such as EPMD.
//!
//! A port that the kernel chose, and that was closed again, may be chosen for another socket a moment later. So
//! these ports come from a range below the kernel's own (`ip_local_port_range` begins at 32768), and each is
//! reserved until the test's process ends: whoever takes port P listens at port P + 1 of 127.0.0.1 all that time.
//! The tests in Erlang and in Elixir reserve ports in the same way.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::Mutex;

const PORTS: Range<u16> = 20_000..30_000;

static RESERVED: Mutex<Vec<TcpListener>> = Mutex::new(Vec::new());

/// The range from a place that differs from process to process on, and then what is before it.
pub fn shuffled(range: Range<u16>) -> impl Iterator<Item = u16> {
    let length = u32::from(range.end - range.start);
    let start = std::process::id().wrapping_mul(7919) % length;
    let at =
        move |offset| range.start + u16::try_from((start + offset) % length).expect("in range");
    (0..length).map(at)
}

/// Reserves what the port stands for until this process ends; `false` if another process has it, or this one.
pub fn reserve(port: u16) -> bool {
    let Ok(reservation) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) else {
        return false;
    };
    let mut reserved = RESERVED.lock().expect("no panic while it is held");
    reserved.push(reservation);
    true
}

fn free_port() -> u16 {
    let any = Ipv4Addr::UNSPECIFIED;
    let unused =
        |port| TcpListener::bind((any, port)).is_ok() && UdpSocket::bind((any, port)).is_ok();
    shuffled(PORTS)
        .filter(|port| port % 2 == 0)
        .find(|&port| reserve(port + 1) && unused(port))
        .expect("a free port")
}

/// A TCP port that no other test uses.
pub fn free_tcp_port() -> u16 {
    free_port()
}

/// A UDP port that no other test uses.
pub fn free_udp_port() -> u16 {
    free_port()
}
