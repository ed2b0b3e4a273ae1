//! A TCP proxy that keeps what goes through it, and can hold a peer up or change the flags of a handshake.
//!
//! It runs on threads of its own and ends with the test's process.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What went through one connection.
#[derive(Debug, Default, Clone)]
pub struct Recording {
    /// What the one who connected sent.
    pub sent: Vec<u8>,
    /// What was answered.
    pub answered: Vec<u8>,
}

/// How a [`Wiretap`] treats its connections.
#[derive(Debug, Default, Clone, Copy)]
pub struct Manner {
    /// Flags that are taken out of the `name` and `challenge` messages of a handshake. Nothing in a
    /// handshake proves the flags, so the two nodes then agree on fewer.
    pub without_flags: u64,
    /// How long the first bytes of each connection are held back.
    pub delay: Duration,
    /// Whether the side that was connected to is left in the belief that the other is still there.
    pub hold: bool,
    /// Whether this is EPMD's protocol, and no distribution.
    pub plain: bool,
}

/// A listening proxy.
pub struct Wiretap {
    /// Where to connect to.
    pub port: u16,
    connections: Arc<Mutex<Vec<Arc<Mutex<Recording>>>>>,
}

impl Wiretap {
    /// Listens on a free port of loopback for connections to another.
    pub fn new(to: u16, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&connections);
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)) else {
                    continue;
                };
                let recording = Arc::new(Mutex::new(Recording::default()));
                all.lock().unwrap().push(Arc::clone(&recording));
                pass(&near, &far, &recording, manner);
            }
        });
        Self { port, connections }
    }

    /// What has gone through each connection so far, the oldest first.
    pub fn recordings(&self) -> Vec<Recording> {
        let connections = self.connections.lock().unwrap();
        let copy = |recording: &Arc<Mutex<Recording>>| recording.lock().unwrap().clone();
        connections.iter().map(copy).collect()
    }
}

fn pass(near: &TcpStream, far: &TcpStream, recording: &Arc<Mutex<Recording>>, manner: Manner) {
    for outgoing in [true, false] {
        let (from, to) = if outgoing { (near, far) } else { (far, near) };
        let mut from = from.try_clone().expect("a socket");
        let mut to = to.try_clone().expect("a socket");
        let recording = Arc::clone(recording);
        std::thread::spawn(move || {
            let mut keep = |bytes: &[u8]| {
                let mut recording = recording.lock().unwrap();
                let side = if outgoing {
                    &mut recording.sent
                } else {
                    &mut recording.answered
                };
                side.extend_from_slice(bytes);
            };
            if outgoing {
                std::thread::sleep(manner.delay);
            }
            if !manner.plain {
                let _ = handshake(&mut from, &mut to, outgoing, manner, &mut keep);
            }
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                keep(&buffer[..read]);
                if to.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
            if !(outgoing && manner.hold) {
                let _ = to.shutdown(Shutdown::Write);
            }
        });
    }
}

/// Passes the packets of a handshake on until it is over on this side.
fn handshake(
    from: &mut TcpStream,
    to: &mut TcpStream,
    outgoing: bool,
    manner: Manner,
    keep: &mut impl FnMut(&[u8]),
) -> std::io::Result<()> {
    loop {
        let mut packet = vec![0; 2];
        from.read_exact(&mut packet)?;
        let length = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
        packet.resize(2 + length, 0);
        from.read_exact(&mut packet[2..])?;
        let mask = !manner.without_flags;
        match packet.get(2) {
            Some(b'N') => mask_in(&mut packet[3..11], mask.to_be_bytes()),
            // Version 5 has the flags' lower half here, after the version.
            #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
            Some(b'n') => mask_in(&mut packet[5..9], (mask as u32).to_be_bytes()),
            _ => {}
        }
        keep(&packet);
        to.write_all(&packet)?;
        // The answer to the challenge is the last that the one who connects says, `a` the other's last.
        if packet.get(2) == Some(&if outgoing { b'r' } else { b'a' }) {
            return Ok(());
        }
    }
}

fn mask_in<const N: usize>(flags: &mut [u8], mask: [u8; N]) {
    for (byte, mask) in flags.iter_mut().zip(mask) {
        *byte &= mask;
    }
}
