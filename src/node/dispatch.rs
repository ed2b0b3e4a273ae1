//! What an incoming message is for.
//!
//! This runs in the task that reads the connection, so it never waits: an answer that finds the way out
//! full is left out. Who asks for something that this node does not have is told so, as a BEAM would:
//! nobody waits for a process that is not there.

use eetf::Pid;
use erl_dist::message::Message;
use erl_dist::term::PidOrAtom;

use crate::name::NodeName;

use super::Shared;
use super::calls::Outcome;
use super::terms::{as_answer, as_gen_call, atom, elements, is_atom, tuple};

/// The process that `net_adm:ping/1` asks.
const NET_KERNEL: &str = "net_kernel";

impl Shared {
    pub(super) fn dispatch(&self, from: &NodeName, message: Message) {
        match message {
            Message::Send(sent) if self.is_caller(&sent.to_pid) => {
                if let Some((tag, answer)) = as_answer(sent.message) {
                    self.calls.end(&tag, Outcome::Answer(answer));
                }
            }
            Message::MonitorPExit(exit) if self.is_caller(&exit.to_pid) => {
                self.calls
                    .end(&exit.reference, Outcome::Exited(exit.reason));
            }
            Message::RegSend(sent) if sent.to_name.name == NET_KERNEL => {
                if let Some((pid, tag, request)) = as_gen_call(sent.message)
                    && elements(request).is_some_and(|[what, _]| is_atom(&what, "is_auth"))
                {
                    self.answer(from, Message::send(pid, tuple([tag, atom("yes")])));
                }
            }
            Message::MonitorP(monitor) if !self.has(&monitor.to_proc) => {
                let down = Message::monitor_p_exit(
                    monitor.to_proc,
                    monitor.from_pid,
                    monitor.reference,
                    atom("noproc"),
                );
                self.answer(from, down);
            }
            Message::Link(link) if !self.mailboxes.has(&link.to_pid) => {
                let exit = Message::exit(link.to_pid, link.from_pid, atom("noproc"));
                self.answer(from, exit);
            }
            Message::UnlinkId(unlink) => {
                let done = Message::unlink_id_ack(unlink.id, unlink.to_pid, unlink.from_pid);
                self.answer(from, done);
            }
            message => match recipient(&message) {
                Some(pid) => {
                    let pid = pid.clone();
                    self.mailboxes.deliver(&pid, message);
                }
                None => tracing::trace!(%from, "a message that is for nobody here is left out"),
            },
        }
    }

    fn answer(&self, to: &NodeName, message: Message) {
        if let Some(connection) = self.table.up(to)
            && let Err(why) = connection.try_send(message)
        {
            tracing::debug!(%to, "an answer is left out: {why}");
        }
    }

    fn is_caller(&self, pid: &Pid) -> bool {
        (pid.id, pid.serial) == (self.caller.id, self.caller.serial)
    }

    fn has(&self, process: &PidOrAtom) -> bool {
        match process {
            PidOrAtom::Pid(pid) => self.is_caller(pid) || self.mailboxes.has(pid),
            PidOrAtom::Atom(name) => name.name == NET_KERNEL,
        }
    }
}

/// The pid that a message is for.
fn recipient(message: &Message) -> Option<&Pid> {
    match message {
        Message::Send(sent) => Some(&sent.to_pid),
        Message::SendSender(sent) => Some(&sent.to_pid),
        Message::Exit(exit) => Some(&exit.to_pid),
        Message::Exit2(exit) => Some(&exit.to_pid),
        Message::MonitorPExit(exit) => Some(&exit.to_pid),
        Message::SpawnReply(reply) => Some(&reply.to_pid),
        _ => None,
    }
}
