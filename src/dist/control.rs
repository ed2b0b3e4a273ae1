//! Control messages: what one node tells another, and whether a payload follows. Pure.
//!
//! <https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#protocol-between-connected-nodes>

use crate::etf::{
    Aside, Atom, Decoder, EncodeError, Pid, Reference, Term, encode_into, put_atom, put_int,
    put_pid, put_reference,
};

/// A process, by its identifier or by the name that it is registered under.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Process {
    /// By identifier.
    Pid(Pid),
    /// By name, on the node that the message is sent to or comes from.
    Name(Atom),
}

/// A control message.
///
/// Variants with a trace token (`SEND_TT` and its like) are read as the plain ones: nothing here traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// `LINK`
    Link {
        /// The process that links.
        from: Pid,
        /// The process that it links to.
        to: Pid,
    },
    /// `SEND`, with the message as payload.
    Send {
        /// The receiver.
        to: Pid,
    },
    /// `EXIT`: a link broke. Sent between nodes that do not know `PAYLOAD_EXIT`.
    Exit {
        /// The process that ended.
        from: Pid,
        /// The process that it was linked to.
        to: Pid,
        /// Why it ended.
        reason: Term,
    },
    /// `UNLINK`, the form before OTP 23, which has no acknowledgement.
    Unlink {
        /// The process that unlinks.
        from: Pid,
        /// The process that it unlinks from.
        to: Pid,
    },
    /// `REG_SEND`, with the message as payload.
    RegSend {
        /// The sender.
        from: Pid,
        /// The name of the receiver.
        to: Atom,
    },
    /// `GROUP_LEADER`
    GroupLeader {
        /// The new group leader.
        leader: Pid,
        /// The process that gets it.
        to: Pid,
    },
    /// `EXIT2`: `exit(Pid, Reason)`. Sent between nodes that do not know `PAYLOAD_EXIT2`.
    Exit2 {
        /// The process that sent the exit signal.
        from: Pid,
        /// The process that it is for.
        to: Pid,
        /// The reason.
        reason: Term,
    },
    /// `MONITOR_P`
    Monitor {
        /// The process that monitors.
        from: Pid,
        /// The process that it monitors.
        to: Process,
        /// The monitor.
        reference: Reference,
    },
    /// `DEMONITOR_P`
    Demonitor {
        /// The process that monitored.
        from: Pid,
        /// The process that it monitored.
        to: Process,
        /// The monitor.
        reference: Reference,
    },
    /// `MONITOR_P_EXIT`. Sent between nodes that do not know `PAYLOAD_MONITOR_P_EXIT`.
    MonitorExit {
        /// The process that ended.
        from: Process,
        /// The process that monitored it.
        to: Pid,
        /// The monitor.
        reference: Reference,
        /// Why it ended.
        reason: Term,
    },
    /// `SEND_SENDER`, with the message as payload.
    SendSender {
        /// The sender.
        from: Pid,
        /// The receiver.
        to: Pid,
    },
    /// `PAYLOAD_EXIT`, with the reason as payload.
    PayloadExit {
        /// The process that ended.
        from: Pid,
        /// The process that it was linked to.
        to: Pid,
    },
    /// `PAYLOAD_EXIT2`, with the reason as payload.
    PayloadExit2 {
        /// The process that sent the exit signal.
        from: Pid,
        /// The process that it is for.
        to: Pid,
    },
    /// `PAYLOAD_MONITOR_P_EXIT`, with the reason as payload.
    PayloadMonitorExit {
        /// The process that ended.
        from: Process,
        /// The process that monitored it.
        to: Pid,
        /// The monitor.
        reference: Reference,
    },
    /// `SPAWN_REQUEST`, with the list of arguments as payload.
    SpawnRequest {
        /// The request.
        id: Reference,
        /// The process that spawns.
        from: Pid,
        /// The group leader of the new process.
        leader: Pid,
        /// Module.
        module: Atom,
        /// Function.
        function: Atom,
        /// How many arguments there are.
        arity: u8,
        /// Options: `monitor`, `link`, `{reply, yes | no | error_only | success_only}` and others.
        options: Vec<Term>,
    },
    /// `SPAWN_REPLY`
    SpawnReply {
        /// The request.
        id: Reference,
        /// The process that asked.
        to: Pid,
        /// Bit 0: a link was made; bit 1: a monitor was made.
        flags: u32,
        /// The new process, or an atom that says why there is none.
        result: Term,
    },
    /// `ALIAS_SEND`, with the message as payload.
    AliasSend {
        /// The sender.
        from: Pid,
        /// The alias of the receiver.
        alias: Reference,
    },
    /// `UNLINK_ID`
    UnlinkId {
        /// Which unlink of the two processes this is.
        id: u64,
        /// The process that unlinks.
        from: Pid,
        /// The process that it unlinks from.
        to: Pid,
    },
    /// `UNLINK_ID_ACK`
    UnlinkIdAck {
        /// The unlink that is acknowledged.
        id: u64,
        /// The process that acknowledges.
        from: Pid,
        /// The process that unlinked.
        to: Pid,
    },
}

mod op {
    pub const LINK: i64 = 1;
    pub const SEND: i64 = 2;
    pub const EXIT: i64 = 3;
    pub const UNLINK: i64 = 4;
    pub const REG_SEND: i64 = 6;
    pub const GROUP_LEADER: i64 = 7;
    pub const EXIT2: i64 = 8;
    pub const SEND_TT: i64 = 12;
    pub const EXIT_TT: i64 = 13;
    pub const REG_SEND_TT: i64 = 16;
    pub const EXIT2_TT: i64 = 18;
    pub const MONITOR_P: i64 = 19;
    pub const DEMONITOR_P: i64 = 20;
    pub const MONITOR_P_EXIT: i64 = 21;
    pub const SEND_SENDER: i64 = 22;
    pub const SEND_SENDER_TT: i64 = 23;
    pub const PAYLOAD_EXIT: i64 = 24;
    pub const PAYLOAD_EXIT_TT: i64 = 25;
    pub const PAYLOAD_EXIT2: i64 = 26;
    pub const PAYLOAD_EXIT2_TT: i64 = 27;
    pub const PAYLOAD_MONITOR_P_EXIT: i64 = 28;
    pub const SPAWN_REQUEST: i64 = 29;
    pub const SPAWN_REQUEST_TT: i64 = 30;
    pub const SPAWN_REPLY: i64 = 31;
    pub const SPAWN_REPLY_TT: i64 = 32;
    pub const ALIAS_SEND: i64 = 33;
    pub const ALIAS_SEND_TT: i64 = 34;
    pub const UNLINK_ID: i64 = 35;
    pub const UNLINK_ID_ACK: i64 = 36;
}

/// Why a term is no control message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// It is not a tuple that starts with a small integer.
    #[error("a control message is a tuple that starts with its operation")]
    Shape,
    /// An operation that was not negotiated or does not exist.
    #[error("operation {0} is not known, or its flag was not negotiated")]
    Operation(i64),
    /// A field has the wrong type, or there are too few or too many.
    #[error("operation {0} has fields that it cannot have")]
    Fields(i64),
}

impl Control {
    /// Whether a term follows the control message.
    #[must_use]
    pub fn has_payload(&self) -> bool {
        matches!(
            self,
            Self::Send { .. }
                | Self::RegSend { .. }
                | Self::SendSender { .. }
                | Self::PayloadExit { .. }
                | Self::PayloadExit2 { .. }
                | Self::PayloadMonitorExit { .. }
                | Self::SpawnRequest { .. }
                | Self::AliasSend { .. }
        )
    }

    /// Reads a control message.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn from_term(term: Term) -> Result<Self, ControlError> {
        let Term::Tuple(elements) = term else {
            return Err(ControlError::Shape);
        };
        let mut elements = elements.into_iter();
        let Some(Term::Int(operation)) = elements.next() else {
            return Err(ControlError::Shape);
        };
        let mut fields = Fields {
            operation,
            rest: elements,
        };
        let control = fields.control()?;
        // A trace token is the last field of most operations that have one.
        if operation_has_last_token(operation) {
            fields.term()?;
        }
        match fields.rest.next() {
            None => Ok(control),
            Some(_) => Err(ControlError::Fields(operation)),
        }
    }

    /// Reads a control message that carries a message to a process, of which there are many, without
    /// making a term of it. What is none, or not as it is to be, it leaves where it is: then
    /// [`Control::from_term`] says what it is.
    #[must_use]
    pub fn read_send(decoder: &mut Decoder<'_>) -> Option<Self> {
        let mut ahead = decoder.clone();
        let (arity, operation) = ahead.small_tuple_of_int()?;
        let control = match (i64::from(operation), arity) {
            (op::SEND, 3) => {
                ahead.atom().ok()?;
                Self::Send {
                    to: ahead.pid().ok()?,
                }
            }
            (op::REG_SEND, 4) => {
                let from = ahead.pid().ok()?;
                ahead.atom().ok()?;
                let to = ahead.atom().ok()?;
                Self::RegSend { from, to }
            }
            (op::SEND_SENDER, 3) => Self::SendSender {
                from: ahead.pid().ok()?,
                to: ahead.pid().ok()?,
            },
            _ => return None,
        };
        *decoder = ahead;
        Some(control)
    }

    /// Writes the control message as a term without a version byte.
    ///
    /// # Errors
    /// As [`encode_into`], for the terms in it.
    pub fn encode_into(
        &self,
        out: &mut Vec<u8>,
        aside: &mut impl Aside,
    ) -> Result<(), EncodeError> {
        let mut fields = Writer { out, aside };
        match self {
            Self::Link { from, to } => fields.open(3, op::LINK).pid(from).pid(to),
            Self::Send { to } => fields.open(3, op::SEND).unused().pid(to),
            Self::Exit { from, to, reason } => {
                fields.open(4, op::EXIT).pid(from).pid(to).term(reason)?
            }
            Self::Unlink { from, to } => fields.open(3, op::UNLINK).pid(from).pid(to),
            Self::RegSend { from, to } => fields.open(4, op::REG_SEND).pid(from).unused().atom(to),
            Self::GroupLeader { leader, to } => {
                fields.open(3, op::GROUP_LEADER).pid(leader).pid(to)
            }
            Self::Exit2 { from, to, reason } => {
                fields.open(4, op::EXIT2).pid(from).pid(to).term(reason)?
            }
            Self::Monitor {
                from,
                to,
                reference,
            } => fields
                .open(4, op::MONITOR_P)
                .pid(from)
                .process(to)
                .reference(reference)?,
            Self::Demonitor {
                from,
                to,
                reference,
            } => fields
                .open(4, op::DEMONITOR_P)
                .pid(from)
                .process(to)
                .reference(reference)?,
            Self::MonitorExit {
                from,
                to,
                reference,
                reason,
            } => fields
                .open(5, op::MONITOR_P_EXIT)
                .process(from)
                .pid(to)
                .reference(reference)?
                .term(reason)?,
            Self::SendSender { from, to } => fields.open(3, op::SEND_SENDER).pid(from).pid(to),
            Self::PayloadExit { from, to } => fields.open(3, op::PAYLOAD_EXIT).pid(from).pid(to),
            Self::PayloadExit2 { from, to } => fields.open(3, op::PAYLOAD_EXIT2).pid(from).pid(to),
            Self::PayloadMonitorExit {
                from,
                to,
                reference,
            } => fields
                .open(4, op::PAYLOAD_MONITOR_P_EXIT)
                .process(from)
                .pid(to)
                .reference(reference)?,
            Self::SpawnRequest {
                id,
                from,
                leader,
                module,
                function,
                arity,
                options,
            } => {
                let fields = fields
                    .open(6, op::SPAWN_REQUEST)
                    .reference(id)?
                    .pid(from)
                    .pid(leader)
                    .tuple(3)
                    .atom(module)
                    .atom(function)
                    .int(i64::from(*arity));
                // Written in place of a `Term::List` that would have to own the options.
                fields.list(options)?
            }
            Self::SpawnReply {
                id,
                to,
                flags,
                result,
            } => fields
                .open(5, op::SPAWN_REPLY)
                .reference(id)?
                .pid(to)
                .int(i64::from(*flags))
                .term(result)?,
            Self::AliasSend { from, alias } => {
                fields.open(3, op::ALIAS_SEND).pid(from).reference(alias)?
            }
            Self::UnlinkId { id, from, to } => fields
                .open(4, op::UNLINK_ID)
                .unsigned(*id)?
                .pid(from)
                .pid(to),
            Self::UnlinkIdAck { id, from, to } => fields
                .open(4, op::UNLINK_ID_ACK)
                .unsigned(*id)?
                .pid(from)
                .pid(to),
        };
        Ok(())
    }
}

fn operation_has_last_token(operation: i64) -> bool {
    matches!(
        operation,
        op::SEND_TT
            | op::REG_SEND_TT
            | op::SEND_SENDER_TT
            | op::PAYLOAD_EXIT_TT
            | op::PAYLOAD_EXIT2_TT
            | op::SPAWN_REQUEST_TT
            | op::SPAWN_REPLY_TT
            | op::ALIAS_SEND_TT
    )
}

struct Fields {
    operation: i64,
    rest: std::vec::IntoIter<Term>,
}

impl Fields {
    fn control(&mut self) -> Result<Control, ControlError> {
        Ok(match self.operation {
            op::LINK => Control::Link {
                from: self.pid()?,
                to: self.pid()?,
            },
            op::SEND | op::SEND_TT => {
                self.term()?;
                Control::Send { to: self.pid()? }
            }
            op::EXIT => Control::Exit {
                from: self.pid()?,
                to: self.pid()?,
                reason: self.term()?,
            },
            // Here the token stands before the reason.
            op::EXIT_TT | op::EXIT2_TT => {
                let (from, to) = (self.pid()?, self.pid()?);
                self.term()?;
                let reason = self.term()?;
                if self.operation == op::EXIT_TT {
                    Control::Exit { from, to, reason }
                } else {
                    Control::Exit2 { from, to, reason }
                }
            }
            op::UNLINK => Control::Unlink {
                from: self.pid()?,
                to: self.pid()?,
            },
            op::REG_SEND | op::REG_SEND_TT => {
                let from = self.pid()?;
                self.term()?;
                Control::RegSend {
                    from,
                    to: self.atom()?,
                }
            }
            op::GROUP_LEADER => Control::GroupLeader {
                leader: self.pid()?,
                to: self.pid()?,
            },
            op::EXIT2 => Control::Exit2 {
                from: self.pid()?,
                to: self.pid()?,
                reason: self.term()?,
            },
            op::MONITOR_P => Control::Monitor {
                from: self.pid()?,
                to: self.process()?,
                reference: self.reference()?,
            },
            op::DEMONITOR_P => Control::Demonitor {
                from: self.pid()?,
                to: self.process()?,
                reference: self.reference()?,
            },
            op::MONITOR_P_EXIT => Control::MonitorExit {
                from: self.process()?,
                to: self.pid()?,
                reference: self.reference()?,
                reason: self.term()?,
            },
            op::SEND_SENDER | op::SEND_SENDER_TT => Control::SendSender {
                from: self.pid()?,
                to: self.pid()?,
            },
            op::PAYLOAD_EXIT | op::PAYLOAD_EXIT_TT => Control::PayloadExit {
                from: self.pid()?,
                to: self.pid()?,
            },
            op::PAYLOAD_EXIT2 | op::PAYLOAD_EXIT2_TT => Control::PayloadExit2 {
                from: self.pid()?,
                to: self.pid()?,
            },
            op::PAYLOAD_MONITOR_P_EXIT => Control::PayloadMonitorExit {
                from: self.process()?,
                to: self.pid()?,
                reference: self.reference()?,
            },
            op::SPAWN_REQUEST | op::SPAWN_REQUEST_TT => self.spawn_request()?,
            op::SPAWN_REPLY | op::SPAWN_REPLY_TT => Control::SpawnReply {
                id: self.reference()?,
                to: self.pid()?,
                flags: u32::try_from(self.int()?).map_err(|_| self.wrong())?,
                result: self.term()?,
            },
            op::ALIAS_SEND | op::ALIAS_SEND_TT => Control::AliasSend {
                from: self.pid()?,
                alias: self.reference()?,
            },
            op::UNLINK_ID => Control::UnlinkId {
                id: self.unlink_id()?,
                from: self.pid()?,
                to: self.pid()?,
            },
            op::UNLINK_ID_ACK => Control::UnlinkIdAck {
                id: self.unlink_id()?,
                from: self.pid()?,
                to: self.pid()?,
            },
            operation => return Err(ControlError::Operation(operation)),
        })
    }

    fn spawn_request(&mut self) -> Result<Control, ControlError> {
        let (id, from, leader) = (self.reference()?, self.pid()?, self.pid()?);
        let (mfa, options) = (self.term()?, self.term()?);
        let Some([Term::Atom(module), Term::Atom(function), Term::Int(arity)]) = mfa.as_tuple()
        else {
            return Err(self.wrong());
        };
        let options = match options {
            Term::List(options) => options,
            // Which is none, and will be answered with `badopt`, as a BEAM does.
            other => vec![Term::Tuple(vec![other])],
        };
        let Ok(arity) = u64::try_from(*arity) else {
            return Err(self.wrong());
        };
        Ok(Control::SpawnRequest {
            id,
            from,
            leader,
            module: module.clone(),
            function: function.clone(),
            // No function has more, so that there is none by that name.
            arity: u8::try_from(arity).unwrap_or(u8::MAX),
            options,
        })
    }

    /// A number above 0.
    fn unlink_id(&mut self) -> Result<u64, ControlError> {
        match self.unsigned()? {
            0 => Err(self.wrong()),
            id => Ok(id),
        }
    }

    fn wrong(&self) -> ControlError {
        ControlError::Fields(self.operation)
    }

    fn term(&mut self) -> Result<Term, ControlError> {
        self.rest.next().ok_or(ControlError::Fields(self.operation))
    }

    fn pid(&mut self) -> Result<Pid, ControlError> {
        match self.term()? {
            Term::Pid(pid) => Ok(*pid),
            _ => Err(self.wrong()),
        }
    }

    fn atom(&mut self) -> Result<Atom, ControlError> {
        match self.term()? {
            Term::Atom(atom) => Ok(atom),
            _ => Err(self.wrong()),
        }
    }

    fn process(&mut self) -> Result<Process, ControlError> {
        match self.term()? {
            Term::Pid(pid) => Ok(Process::Pid(*pid)),
            Term::Atom(name) => Ok(Process::Name(name)),
            _ => Err(self.wrong()),
        }
    }

    fn reference(&mut self) -> Result<Reference, ControlError> {
        match self.term()? {
            Term::Reference(reference) => Ok(*reference),
            _ => Err(self.wrong()),
        }
    }

    fn int(&mut self) -> Result<i64, ControlError> {
        self.term()?.as_int().ok_or(self.wrong())
    }

    fn unsigned(&mut self) -> Result<u64, ControlError> {
        match self.term()? {
            Term::Int(int) => u64::try_from(int).map_err(|_| self.wrong()),
            Term::BigInt(int) => u64::try_from(*int).map_err(|_| self.wrong()),
            _ => Err(self.wrong()),
        }
    }
}

/// Writes the fields of a control message one after the other.
struct Writer<'a, A> {
    out: &'a mut Vec<u8>,
    aside: &'a mut A,
}

impl<A: Aside> Writer<'_, A> {
    fn open(&mut self, arity: u8, operation: i64) -> &mut Self {
        self.tuple(arity).int(operation)
    }

    fn tuple(&mut self, arity: u8) -> &mut Self {
        /// `SMALL_TUPLE_EXT`
        const SMALL_TUPLE: u8 = 104;
        self.out.extend_from_slice(&[SMALL_TUPLE, arity]);
        self
    }

    /// OTP writes the empty atom where a field has lost its meaning.
    fn unused(&mut self) -> &mut Self {
        const UNUSED: Atom = Atom::new("");
        self.atom(&UNUSED)
    }

    fn pid(&mut self, pid: &Pid) -> &mut Self {
        put_pid(pid, self.out, self.aside);
        self
    }

    fn atom(&mut self, atom: &Atom) -> &mut Self {
        put_atom(atom, self.out, self.aside);
        self
    }

    fn int(&mut self, int: i64) -> &mut Self {
        put_int(int, self.out);
        self
    }

    fn unsigned(&mut self, int: u64) -> Result<&mut Self, EncodeError> {
        self.term(&Term::integer(int))
    }

    fn process(&mut self, process: &Process) -> &mut Self {
        match process {
            Process::Pid(pid) => self.pid(pid),
            Process::Name(name) => self.atom(name),
        }
    }

    fn reference(&mut self, reference: &Reference) -> Result<&mut Self, EncodeError> {
        put_reference(reference, self.out, self.aside)?;
        Ok(self)
    }

    fn term(&mut self, term: &Term) -> Result<&mut Self, EncodeError> {
        encode_into(term, self.out, self.aside)?;
        Ok(self)
    }

    fn list(&mut self, terms: &[Term]) -> Result<&mut Self, EncodeError> {
        encode_into(&Term::List(terms.to_vec()), self.out, self.aside)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etf::{InPlace, Limits};

    fn pid(id: u32) -> Pid {
        Pid {
            node: Atom::new("a@b"),
            id,
            serial: 0,
            creation: 7,
        }
    }

    fn reference() -> Reference {
        Reference {
            node: Atom::new("a@b"),
            creation: 7,
            id: vec![1, 2, 3],
        }
    }

    fn every_kind() -> Vec<Control> {
        let (from, to, reference) = (pid(1), pid(2), reference());
        let name = Process::Name(Atom::new("shop"));
        let reason = Term::atom("normal");
        macro_rules! all {
            ($($kind:ident { $($field:ident $(: $value:expr)?),* })*) => {
                vec![$(Control::$kind { $($field: all!(@ $field $($value)?)),* }),*]
            };
            (@ $field:ident) => { $field.clone() };
            (@ $field:ident $value:expr) => { $value };
        }
        all! {
            Link { from, to }
            Send { to }
            Exit { from, to, reason }
            Unlink { from, to }
            RegSend { from, to: Atom::new("shop") }
            GroupLeader { leader: pid(9), to }
            Exit2 { from, to, reason }
            Monitor { from, to: name.clone(), reference }
            Demonitor { from, to: Process::Pid(pid(2)), reference }
            MonitorExit { from: name.clone(), to, reference, reason }
            SendSender { from, to }
            PayloadExit { from, to }
            PayloadExit2 { from, to }
            PayloadMonitorExit { from: Process::Pid(pid(1)), to, reference }
            SpawnRequest { id: reference.clone(), from, leader: pid(9), module: Atom::new("m"), function: Atom::new("f"), arity: 2, options: vec![Term::atom("link")] }
            SpawnReply { id: reference.clone(), to, flags: 3, result: Term::from(pid(5)) }
            AliasSend { from, alias: reference.clone() }
            UnlinkId { id: u64::MAX, from, to }
            UnlinkIdAck { id: 1, from, to }
        }
    }

    fn term(bytes: Vec<u8>) -> Term {
        let mut decoder = Decoder::new(&bytes, &[], Limits::default());
        let term = decoder.term().unwrap();
        decoder.finish().unwrap();
        term
    }

    #[test]
    fn every_kind_comes_back() {
        for control in every_kind() {
            let mut bytes = Vec::new();
            control.encode_into(&mut bytes, &mut InPlace).unwrap();
            assert_eq!(Control::from_term(term(bytes)), Ok(control));
        }
    }

    #[test]
    fn what_is_read_without_a_term_is_the_same() {
        let mut sends = 0;
        for control in every_kind() {
            let mut bytes = Vec::new();
            control.encode_into(&mut bytes, &mut InPlace).unwrap();
            let mut decoder = Decoder::new(&bytes, &[], Limits::default());
            match Control::read_send(&mut decoder) {
                Some(read) => {
                    assert_eq!((read, decoder.remaining()), (control, 0));
                    sends += 1;
                }
                None => assert_eq!(decoder.remaining(), bytes.len()),
            }
            // Cut short, it is left alone.
            let mut decoder = Decoder::new(&bytes[..bytes.len() - 1], &[], Limits::default());
            assert_eq!(Control::read_send(&mut decoder), None);
            assert_eq!(decoder.remaining(), bytes.len() - 1);
        }
        assert_eq!(sends, 3);
    }

    #[test]
    fn a_missing_a_surplus_and_a_wrong_field_are_refused() {
        for control in every_kind() {
            let mut bytes = Vec::new();
            control.encode_into(&mut bytes, &mut InPlace).unwrap();
            let Term::Tuple(fields) = term(bytes) else {
                panic!("a tuple")
            };
            let operation = fields[0].as_int().unwrap();
            let refused = Err(ControlError::Fields(operation));
            let mut short = fields.clone();
            short.pop();
            assert_eq!(
                Control::from_term(Term::Tuple(short)),
                refused,
                "{control:?}"
            );
            let mut long = fields.clone();
            long.push(Term::NIL);
            assert_eq!(
                Control::from_term(Term::Tuple(long)),
                refused,
                "{control:?}"
            );
            let mut wrong = fields;
            // Every operation's third field is a pid, a name or a reference, or comes before one.
            wrong[1] = Term::Float(1.0);
            wrong[2] = Term::Float(1.0);
            assert_eq!(
                Control::from_term(Term::Tuple(wrong)),
                refused,
                "{control:?}"
            );
        }
    }

    #[test]
    fn trace_tokens_are_read_over() {
        let token = Term::NIL;
        for (fields, control) in [
            (
                vec![
                    op::SEND_TT.into(),
                    Term::atom(""),
                    pid(2).into(),
                    token.clone(),
                ],
                Control::Send { to: pid(2) },
            ),
            (
                vec![
                    op::EXIT_TT.into(),
                    pid(1).into(),
                    pid(2).into(),
                    token,
                    Term::atom("x"),
                ],
                Control::Exit {
                    from: pid(1),
                    to: pid(2),
                    reason: Term::atom("x"),
                },
            ),
        ] {
            assert_eq!(Control::from_term(Term::Tuple(fields)), Ok(control));
        }
    }

    #[test]
    fn what_is_no_control_message_says_so() {
        assert_eq!(Control::from_term(Term::NIL), Err(ControlError::Shape));
        let unknown = Term::Tuple(vec![Term::Int(99)]);
        assert_eq!(
            Control::from_term(unknown),
            Err(ControlError::Operation(99))
        );
    }
}
