//! What can happen to the cluster in one round, chosen at random.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::ledger::{Fault, Scope};
use crate::member::{Kind, Member, World};
use crate::settings::{LONG, REMOVED, SHORT, now_ms};
use crate::sources::SourceFault;

/// What is to be done. Times are in seconds.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// SIGKILL, and a start under the same name after this time.
    Kill(u8, f64),
    /// SIGSTOP, and SIGCONT after this time.
    Stop(u8, f64),
    /// No packet comes in or goes out for this time.
    Cut(u8, f64),
    /// No packet passes between these members and the others for this time.
    Split(Vec<u8>, f64),
    /// SIGTERM and a start under a new name, one member after the other. The sources name the old names and not the
    /// new ones for this time longer.
    Roll(Vec<u8>, f64),
    /// The running node takes a new name.
    Rename(u8),
    /// No source names the node for a while, so that it is asked to leave.
    Remove(u8),
    /// The sidecar is killed and started again.
    KillSidecar(u8),
    /// EPMD of the host is stopped for this time.
    StopEpmd(u8, f64),
    /// The sources say less than is true for this time.
    Sources(SourceFault, f64),
}

impl Plan {
    /// Its kind in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(..) => "kill",
            Self::Stop(_, time) if *time < LONG.start => "short-stop",
            Self::Stop(..) => "stop",
            Self::Cut(_, time) if *time < LONG.start => "short-cut",
            Self::Cut(..) => "cut",
            Self::Split(..) => "split",
            Self::Roll(..) => "roll",
            Self::Rename(_) => "rename",
            Self::Remove(_) => "remove",
            Self::KillSidecar(_) => "sidecar",
            Self::StopEpmd(..) => "epmd",
            Self::Sources(fault, _) => match fault {
                SourceFault::DnsSilent => "dns-silent",
                SourceFault::DnsFails => "dns-fails",
                SourceFault::DnsPartial => "dns-partial",
                SourceFault::DnsEmpty => "dns-empty",
                SourceFault::FileTruncated => "file-truncated",
                SourceFault::FileCutShort => "file-short",
                SourceFault::FileEmpty => "file-empty",
            },
        }
    }

    fn members(&self) -> Vec<u8> {
        match self {
            Self::Kill(member, _)
            | Self::Stop(member, _)
            | Self::Cut(member, _)
            | Self::Rename(member)
            | Self::Remove(member)
            | Self::KillSidecar(member)
            | Self::StopEpmd(member, _) => vec![*member],
            Self::Split(members, _) | Self::Roll(members, _) => members.clone(),
            Self::Sources(..) => Vec::new(),
        }
    }

    fn scope(&self, member: u8) -> Scope {
        match self {
            Self::Stop(..) | Self::Cut(..) if self.kind().starts_with("short") => Scope::Nothing,
            Self::Kill(..)
            | Self::Stop(..)
            | Self::Cut(..)
            | Self::Roll(..)
            | Self::Rename(_)
            | Self::Remove(_) => Scope::Member(member),
            Self::Split(members, _) => Scope::Split(members.iter().copied().collect()),
            Self::KillSidecar(member) => Scope::Sidecar(*member),
            Self::StopEpmd(..) | Self::Sources(..) => Scope::Nothing,
        }
    }

    fn abrupt(&self) -> bool {
        matches!(
            self,
            Self::Kill(..) | Self::Stop(..) | Self::Cut(..) | Self::Split(..)
        )
    }
}

/// Chooses what happens in a round: one to three faults of different members, among them at most one of the sources.
pub fn choose(random: &mut StdRng, members: &[Mutex<Member>], only: &[String]) -> Vec<Plan> {
    let all: Vec<(u8, Kind, bool)> = members
        .iter()
        .map(|member| {
            let member = member.lock().expect("no panic while it is held");
            (member.number, member.kind, member.stays)
        })
        .collect();
    let mut left: Vec<_> = all.clone();
    left.shuffle(random);
    let wanted = random.random_range(1..=3);
    let mut plans: Vec<Plan> = Vec::new();
    let mut tries = 0;
    while plans.len() < wanted && tries < 1_000 {
        tries += 1;
        let Some(plan) = draw(random, &left) else {
            continue;
        };
        let kind = plan.kind();
        let source =
            |plan: &Plan| matches!(plan, Plan::Sources(..) | Plan::Remove(_) | Plan::Roll(..));
        let silent = |plan: &Plan| matches!(plan.kind(), "stop" | "cut" | "split");
        // A name that is missing for two reasons at once is missing, so the sources have one fault at a time. And a node
        // that wakes while another is cut off has not missed its ticks yet when that one is back: the connection that it
        // still believes in is replaced then, which its `global` tells all others, and they cut that other node off.
        // OTP does so by itself; see docs/leaving.md.
        let clash = plans
            .iter()
            .any(|other| (source(other) && source(&plan)) || (silent(other) && silent(&plan)));
        if clash || !(only.is_empty() || only.iter().any(|word| word == kind)) {
            continue;
        }
        let taken = plan.members();
        if !matches!(plan, Plan::Split(..)) {
            left.retain(|(number, ..)| !taken.contains(number));
        }
        plans.push(plan);
    }
    plans
}

fn draw(random: &mut StdRng, left: &[(u8, Kind, bool)]) -> Option<Plan> {
    let any = |random: &mut StdRng, fits: &dyn Fn(&(u8, Kind, bool)) -> bool| {
        let fitting: Vec<_> = left.iter().filter(|member| fits(member)).collect();
        fitting.choose(random).map(|member| member.0)
    };
    let goes = |member: &(u8, Kind, bool)| !member.2;
    Some(match random.random_range(0..14) {
        0 | 1 => Plan::Kill(any(random, &goes)?, random.random_range(0.0..5.0)),
        2 => Plan::Stop(any(random, &|_| true)?, random.random_range(SHORT)),
        3 => Plan::Stop(any(random, &|_| true)?, random.random_range(LONG)),
        4 => Plan::Cut(any(random, &|_| true)?, random.random_range(SHORT)),
        5 => Plan::Cut(any(random, &|_| true)?, random.random_range(LONG)),
        6 => {
            let side = left.iter().map(|member| member.0);
            let count = random.random_range(2..=left.len().max(4) / 2);
            Plan::Split(side.take(count).collect(), random.random_range(LONG))
        }
        7 | 8 => {
            let rolled = left
                .iter()
                .filter(|member| goes(member) && member.1 != Kind::Renamed);
            let count = random.random_range(1..=4);
            let rolled: Vec<u8> = rolled.map(|member| member.0).take(count).collect();
            (!rolled.is_empty()).then_some(())?;
            Plan::Roll(rolled, random.random_range(0.0..4.0))
        }
        9 => Plan::Rename(any(random, &|member| member.1 == Kind::Renamed)?),
        10 => Plan::Remove(any(random, &|member| {
            goes(member) && matches!(member.1, Kind::Erlang | Kind::Elixir)
        })?),
        11 => Plan::KillSidecar(any(random, &|member| {
            goes(member) && member.1 == Kind::Sidecar
        })?),
        12 => Plan::StopEpmd(any(random, &|_| true)?, random.random_range(1.0..8.0)),
        _ => {
            let fault = *SourceFault::ALL.choose(random)?;
            Plan::Sources(fault, random.random_range(fault.lasts()))
        }
    })
}

/// Does it, and gives what was done. It takes its members' locks for as long as it lasts.
pub fn carry_out(
    plan: &Plan,
    world: &World,
    members: &[Mutex<Member>],
    tell: &(dyn Fn(&str) + Sync),
) -> Vec<Fault> {
    let pause = |seconds: f64| sleep(Duration::from_secs_f64(seconds));
    let member = |number: u8| {
        members[usize::from(number) - 1]
            .lock()
            .expect("no panic while it is held")
    };
    let mut done = Vec::new();
    let mut fault = |what: String, number: u8, act: &mut dyn FnMut()| {
        tell(&format!("{} begins: {what}", plan.kind()));
        let began = now_ms();
        act();
        let ended = now_ms();
        tell(&format!("{} is over: {what}", plan.kind()));
        done.push(Fault {
            kind: plan.kind(),
            what,
            scope: plan.scope(number),
            abrupt: plan.abrupt(),
            began,
            ended,
        });
    };
    match plan {
        Plan::Kill(number, time) => {
            let mut member = member(*number);
            let what = format!("{} is killed and away for {time:.1} s", member.label());
            fault(what, *number, &mut || {
                member.kill(world);
                pause(*time);
                member.start(world);
            });
        }
        Plan::Stop(number, time) => {
            let member = member(*number);
            let what = format!("{} is stopped for {time:.1} s", member.label());
            fault(what, *number, &mut || {
                member.signal("STOP");
                pause(*time);
                member.signal("CONT");
            });
        }
        Plan::Cut(number, time) => {
            let what = format!("n{number:02} is cut off for {time:.1} s");
            fault(what, *number, &mut || {
                world.lan.cut(*number, true).expect("nft");
                pause(*time);
                world.lan.cut(*number, false).expect("nft");
            });
        }
        Plan::Split(side, time) => {
            let all: BTreeSet<u8> = (1..=u8::try_from(members.len()).expect("few")).collect();
            let others: Vec<u8> = all
                .iter()
                .copied()
                .filter(|one| !side.contains(one))
                .collect();
            let what = format!("{side:?} are parted from {others:?} for {time:.1} s");
            fault(what, side[0], &mut || {
                for number in side {
                    world.lan.part(*number, &others).expect("nft");
                }
                pause(*time);
                for number in side {
                    world.lan.part(*number, &[]).expect("nft");
                }
            });
        }
        Plan::Roll(rolled, stale) => {
            for number in rolled {
                let mut member = member(*number);
                let old = member.name();
                let what = format!(
                    "{} goes and comes under another name, the sources know after {stale:.1} s",
                    member.label()
                );
                fault(what, *number, &mut || {
                    member.terminate(world);
                    member.take_next_name();
                    member.start(world);
                    pause(*stale);
                    world
                        .sources
                        .change(&[member.name()], std::slice::from_ref(&old));
                });
            }
        }
        Plan::Rename(number) => {
            let mut member = member(*number);
            let old = member.name();
            let what = format!("{} takes another name", member.label());
            fault(what, *number, &mut || {
                member.take_next_name();
                world
                    .sources
                    .change(&[member.name()], std::slice::from_ref(&old));
            });
        }
        Plan::Remove(number) => {
            let removed = member(*number);
            let name = removed.name();
            let what = format!("{} is named by no source", removed.label());
            fault(what, *number, &mut || {
                if world.settings.broken {
                    member(1).disconnect(&name);
                }
                world.sources.change(&[], std::slice::from_ref(&name));
                sleep(REMOVED);
                world.sources.change(std::slice::from_ref(&name), &[]);
            });
        }
        Plan::KillSidecar(number) => {
            let mut member = member(*number);
            let what = format!("the sidecar of n{number:02} is killed");
            fault(what, *number, &mut || {
                member.kill_sidecar();
                pause(1.0);
                member.start_sidecar(world);
            });
        }
        Plan::StopEpmd(number, time) => {
            let what = format!("EPMD of n{number:02} is stopped for {time:.1} s");
            fault(what, *number, &mut || {
                world.epmd(*number).signal("STOP");
                pause(*time);
                world.epmd(*number).signal("CONT");
            });
        }
        Plan::Sources(source, time) => {
            let what = format!("{source:?} for {time:.1} s");
            fault(what, 0, &mut || {
                world.sources.fault(Some(*source));
                pause(*time);
                world.sources.fault(None);
            });
        }
    }
    done
}
