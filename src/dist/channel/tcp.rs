//! The two halves of a TCP connection, of which the reading one can look away.
//!
//! The system wakes whoever waits for a socket for every piece that comes, also while it is not read. Only a
//! socket that nobody waits for is quiet, so both halves let go of it for that time; for as long as that
//! happens now and then the writing half has a descriptor of its own, which waits for nothing but room.

use std::io::{self, IoSlice, Write as _};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::sender::WriteNow;

/// For how long the reading half looks away. Tokio's own timer counts in milliseconds.
const AWAY: Duration = Duration::from_micros(100);

/// Divides a connection.
pub(super) fn split(stream: TcpStream) -> (Reader, Writer) {
    let (reader, writer) = stream.into_split();
    let way = Arc::new(Way(Mutex::new(Out {
        outlet: Outlet::Shared(writer),
        waits: None,
    })));
    let reader = Reader {
        inlet: Inlet::Half(reader),
        way: Arc::clone(&way),
        timer: None,
    };
    (reader, Writer(way))
}

/// Where the writing half writes to, which the reading half changes.
#[derive(Debug)]
struct Way(Mutex<Out>);

#[derive(Debug)]
struct Out {
    outlet: Outlet,
    /// Who waits for room, and is to look again when `outlet` is another.
    waits: Option<Waker>,
}

#[derive(Debug)]
enum Outlet {
    /// The socket that the reading half waits for too.
    Shared(OwnedWriteHalf),
    /// A descriptor of its own for it.
    Own(AsyncFd<std::net::TcpStream>),
}

impl Way {
    fn lock(&self) -> MutexGuard<'_, Out> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, outlet: Outlet) -> Outlet {
        let mut out = self.lock();
        let before = std::mem::replace(&mut out.outlet, outlet);
        if let Some(waits) = out.waits.take() {
            waits.wake();
        }
        before
    }
}

impl WriteNow for Way {
    fn write_now(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match &self.lock().outlet {
            Outlet::Shared(half) => half.try_write_vectored(slices),
            Outlet::Own(socket) => socket.get_ref().write_vectored(slices),
        }
    }
}

/// The writing half.
#[derive(Debug)]
pub(super) struct Writer(Arc<Way>);

impl Writer {
    /// Writes past whoever waits to write.
    pub(super) fn now(&self) -> Arc<dyn WriteNow> {
        Arc::<Way>::clone(&self.0)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut out = self.0.lock();
        let written = match &mut out.outlet {
            Outlet::Shared(half) => Pin::new(half).poll_write_vectored(cx, slices),
            Outlet::Own(socket) => write_own(socket, cx, slices),
        };
        if written.is_pending() {
            out.waits = Some(cx.waker().clone());
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0.lock().outlet {
            Outlet::Shared(half) => Pin::new(half).poll_shutdown(cx),
            Outlet::Own(socket) => {
                Poll::Ready(socket.get_ref().shutdown(std::net::Shutdown::Write))
            }
        }
    }
}

fn write_own(
    socket: &AsyncFd<std::net::TcpStream>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    loop {
        let mut ready = ready!(socket.poll_write_ready(cx))?;
        if let Ok(written) = ready.try_io(|socket| socket.get_ref().write_vectored(slices)) {
            return Poll::Ready(written);
        }
    }
}

/// The reading half.
#[derive(Debug)]
pub(super) struct Reader {
    inlet: Inlet,
    way: Arc<Way>,
    timer: Option<Timer>,
}

#[derive(Debug)]
enum Inlet {
    /// The writing half has the other half.
    Half(OwnedReadHalf),
    /// The writing half has a descriptor of its own.
    Whole(TcpStream),
    /// Nobody waits for the socket.
    Away(std::net::TcpStream),
    /// It could not be waited for again.
    Nothing,
}

impl Reader {
    /// Whether [`Reader::look_away`] was not waited for to its end.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.inlet, Inlet::Away(_))
    }

    /// Lets what comes gather for a while. Cancel-safe: it goes on where it was.
    ///
    /// # Errors
    /// If the socket is lost by it. What only prevents it (too many open files) does no harm.
    pub(super) async fn look_away(&mut self) -> io::Result<()> {
        if !self.is_away() && !self.go_away()? {
            return Ok(());
        }
        if let Some(timer) = &self.timer {
            timer.rings().await?;
        }
        if let Inlet::Away(socket) = std::mem::replace(&mut self.inlet, Inlet::Nothing) {
            self.inlet = Inlet::Whole(TcpStream::from_std(socket)?);
        }
        Ok(())
    }

    /// Whether it could.
    fn go_away(&mut self) -> io::Result<bool> {
        if self.timer.is_none() {
            let Ok(timer) = Timer::new() else {
                return Ok(false);
            };
            self.timer = Some(timer);
        }
        let socket = match std::mem::replace(&mut self.inlet, Inlet::Nothing) {
            Inlet::Half(half) => {
                let Ok(own) = own(half.as_ref()) else {
                    self.inlet = Inlet::Half(half);
                    return Ok(false);
                };
                match self.way.change(Outlet::Own(own)) {
                    Outlet::Shared(other) => half.reunite(other).map_err(io::Error::other)?,
                    Outlet::Own(_) => return Err(lost()),
                }
            }
            Inlet::Whole(socket) => socket,
            Inlet::Away(_) | Inlet::Nothing => return Err(lost()),
        };
        if let Some(timer) = &self.timer {
            timer.set(AWAY)?;
        }
        self.inlet = Inlet::Away(socket.into_std()?);
        Ok(true)
    }

    /// Gives the writing half the socket back. Nothing happens if it has it.
    pub(super) fn stay(&mut self) {
        match std::mem::replace(&mut self.inlet, Inlet::Nothing) {
            Inlet::Whole(socket) => {
                let (reader, writer) = socket.into_split();
                self.inlet = Inlet::Half(reader);
                self.way.change(Outlet::Shared(writer));
                self.timer = None;
            }
            other => self.inlet = other,
        }
    }
}

/// Cannot be: each half knows what the other has.
fn lost() -> io::Error {
    io::Error::other("nobody waits for the socket")
}

/// Another descriptor for a socket, which waits for room only.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe; this owns its descriptor"
)]
fn own(socket: &TcpStream) -> io::Result<AsyncFd<std::net::TcpStream>> {
    use std::os::fd::AsFd as _;
    let own = std::net::TcpStream::from(socket.as_fd().try_clone_to_owned()?);
    AsyncFd::with_interest(own, Interest::WRITABLE)
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inlet {
            Inlet::Half(half) => Pin::new(half).poll_read(cx, buf),
            Inlet::Whole(socket) => Pin::new(socket).poll_read(cx, buf),
            Inlet::Away(_) | Inlet::Nothing => Poll::Ready(Err(lost())),
        }
    }
}

/// A timer finer than tokio's.
#[derive(Debug)]
struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe; this owns its descriptor"
    )]
    fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    fn set(&self, after: Duration) -> io::Result<()> {
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = Itimerspec {
            it_interval: never,
            it_value: Timespec {
                tv_sec: 0,
                tv_nsec: after.subsec_nanos().into(),
            },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }

    async fn rings(&self) -> io::Result<()> {
        // It need not be read: setting it again does that.
        self.0.readable().await?.clear_ready();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures::FutureExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// The two halves, and the peer's end.
    async fn connection() -> (Reader, Writer, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = TcpStream::connect(listener.local_addr().unwrap());
        let (here, there) = tokio::join!(listener.accept(), there);
        let (reader, writer) = split(here.unwrap().0);
        (reader, writer, there.unwrap())
    }

    async fn expect(from: &mut (impl AsyncRead + Unpin), text: &str) {
        let mut read = vec![0; text.len()];
        let done = timeout(PATIENCE, from.read_exact(&mut read)).await;
        done.expect("in time").expect("it is there");
        assert_eq!(String::from_utf8(read).unwrap(), text);
    }

    #[tokio::test]
    async fn what_comes_while_it_looks_away_is_read_afterwards() {
        let (mut reader, mut writer, mut there) = connection().await;
        for _ in 0..3 {
            there.write_all(b"before,").await.unwrap();
            expect(&mut reader, "before,").await;
            assert!(reader.look_away().now_or_never().is_none(), "it takes time");
            assert!(reader.is_away());
            there.write_all(b"meanwhile,").await.unwrap();
            writer.write_all(b"answer").await.unwrap();
            expect(&mut there, "answer").await;
            timeout(PATIENCE, reader.look_away())
                .await
                .unwrap()
                .unwrap();
            assert!(!reader.is_away());
            expect(&mut reader, "meanwhile,").await;
        }
        reader.stay();
        there.write_all(b"after").await.unwrap();
        expect(&mut reader, "after").await;
        writer.write_all(b"and there").await.unwrap();
        expect(&mut there, "and there").await;
        let now = writer.now().write_now(&[IoSlice::new(b", now")]);
        assert_eq!(now.unwrap(), 5);
        expect(&mut there, ", now").await;
        writer.shutdown().await.unwrap();
        assert_eq!(there.read(&mut [0]).await.unwrap(), 0, "the end");
    }

    #[tokio::test]
    async fn who_waits_for_room_gets_it_whatever_the_reader_does() {
        let (mut reader, mut writer, mut there) = connection().await;
        const MUCH: usize = 64 << 20;
        let writing = tokio::spawn(async move {
            writer.write_all(&vec![7; MUCH]).await.unwrap();
            writer
        });
        let mut buffer = vec![0; 1 << 20];
        let mut read = 0;
        let mut turn = 0;
        while read < MUCH {
            // The writer waits: the peer has not read since.
            tokio::time::sleep(Duration::from_millis(1)).await;
            turn += 1;
            if turn % 3 == 0 {
                reader.stay();
            } else {
                reader.look_away().await.unwrap();
            }
            let count = timeout(PATIENCE, there.read(&mut buffer)).await;
            read += count.expect("the writer goes on").unwrap();
        }
        let mut writer = writing.await.unwrap();
        writer.shutdown().await.unwrap();
    }

    #[tokio::test]
    async fn the_peer_s_end_is_seen_afterwards() {
        let (mut reader, writer, there) = connection().await;
        assert!(reader.look_away().now_or_never().is_none());
        drop(there);
        timeout(PATIENCE, reader.look_away())
            .await
            .unwrap()
            .unwrap();
        let read = timeout(PATIENCE, reader.read(&mut [0])).await.unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
        drop(writer);
    }
}
