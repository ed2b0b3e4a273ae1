//! Free ports, so that tests that run side by side stay apart.

/// A TCP port on loopback that nobody listened on a moment ago.
pub fn free_tcp_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free TCP port");
    listener.local_addr().expect("its address").port()
}

/// A UDP port on loopback that nobody was bound to a moment ago.
pub fn free_udp_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free UDP port");
    socket.local_addr().expect("its address").port()
}
