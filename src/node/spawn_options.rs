//! The options of a spawn request. Pure.
//!
//! <https://www.erlang.org/doc/apps/erts/erl_dist_protocol.html#SPAWN_REQUEST> and the options of
//! `erlang:spawn_opt/5`.

use crate::etf::{Atom, Term};

/// Bit 0 of a reply's flags: the caller is linked to the process.
pub(super) const FLAG_LINK: u32 = 1;
/// Bit 1 of a reply's flags: the caller monitors the process, under the reference of the request.
pub(super) const FLAG_MONITOR: u32 = 2;

/// What of a request's options has a meaning here. Heap sizes, priorities and the like are checked, as a
/// BEAM checks them, and then left alone: there is nothing that they could be applied to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// The caller wants to be linked to the process.
    pub(super) link: bool,
    /// The caller wants to monitor it.
    pub(super) monitor: bool,
}

/// There is an option that is none: the request is answered with `badopt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadOption;

impl Options {
    pub(super) fn read(options: &[Term]) -> Result<Self, BadOption> {
        let mut read = Self::default();
        for option in options {
            match option {
                Term::Atom(flag) if *flag == "link" => read.link = true,
                Term::Atom(flag) if *flag == "monitor" => read.monitor = true,
                Term::Tuple(pair) => match pair.as_slice() {
                    // The tag and the alias among its options concern the caller's node alone.
                    [Term::Atom(name), Term::List(_)] if *name == "monitor" => read.monitor = true,
                    [Term::Atom(name), value] if is_valid(name, value) => {}
                    _ => return Err(BadOption),
                },
                _ => return Err(BadOption),
            }
        }
        Ok(read)
    }

    pub(super) fn write(self) -> Vec<Term> {
        let flag = |set: bool, name| set.then(|| Term::atom(name));
        let flags = [flag(self.link, "link"), flag(self.monitor, "monitor")];
        flags.into_iter().flatten().collect()
    }

    pub(super) fn flags(self) -> u32 {
        let flag = |set: bool, bit| if set { bit } else { 0 };
        flag(self.link, FLAG_LINK) | flag(self.monitor, FLAG_MONITOR)
    }
}

fn is_valid(name: &Atom, value: &Term) -> bool {
    let one_of = |names: &[&str]| {
        let value = value.as_atom().map(Atom::as_str);
        value.is_some_and(|value| names.contains(&value))
    };
    let size = || value.as_int().is_some_and(|size| size >= 0);
    match name.as_str() {
        "priority" => one_of(&["low", "normal", "high", "max"]),
        "message_queue_data" => one_of(&["on_heap", "off_heap"]),
        "async_dist" => one_of(&["true", "false"]),
        "min_heap_size" | "min_bin_vheap_size" | "fullsweep_after" | "scheduler" => size(),
        "max_heap_size" => size() || matches!(value, Term::Map(_)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &'static str, value: Term) -> Term {
        Term::Tuple(vec![Term::atom(name), value])
    }

    #[test]
    fn link_and_monitor_are_read_and_written() {
        for (link, monitor, flags) in [
            (false, false, 0),
            (true, false, FLAG_LINK),
            (false, true, FLAG_MONITOR),
            (true, true, FLAG_LINK | FLAG_MONITOR),
        ] {
            let options = Options { link, monitor };
            assert_eq!(Options::read(&options.write()), Ok(options));
            assert_eq!(options.flags(), flags);
        }
        let tagged = option("monitor", Term::List(vec![option("tag", Term::atom("t"))]));
        let monitor = Options {
            monitor: true,
            link: false,
        };
        assert_eq!(Options::read(&[tagged]), Ok(monitor));
    }

    #[test]
    fn what_a_beam_takes_is_taken() {
        let taken = [
            option("priority", Term::atom("high")),
            option("message_queue_data", Term::atom("off_heap")),
            option("async_dist", true.into()),
            option("min_heap_size", Term::Int(1024)),
            option("max_heap_size", Term::Int(0)),
            option("fullsweep_after", Term::Int(0)),
            option("min_bin_vheap_size", Term::Int(1)),
        ];
        assert_eq!(Options::read(&taken), Ok(Options::default()));
    }

    #[test]
    fn what_a_beam_refuses_is_refused() {
        for bad in [
            Term::atom("links"),
            Term::Int(1),
            Term::Tuple(vec![Term::atom("priority")]),
            option("priority", Term::atom("highest")),
            option("min_heap_size", Term::Int(-1)),
            option("monitor", Term::Int(1)),
            // Only the caller's node knows these.
            option("reply", Term::atom("no")),
            option("reply_tag", Term::atom("t")),
        ] {
            assert_eq!(Options::read(&[Term::atom("link"), bad]), Err(BadOption));
        }
    }
}
