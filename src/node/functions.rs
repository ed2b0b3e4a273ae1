//! Functions that a node offers to others by module, name and arity: what `rpc`, `erpc` and `spawn` of
//! another node reach.

use std::collections::HashMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use crate::etf::{Atom, Pid, Term};

use super::erpc::Apply;
use super::exception::Exception;
use super::io;
use super::process::Process;
use super::received::Received;

/// Who called a function, and the process that it runs in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Context {
    /// The process: made for this call, and gone when the function returns. What is sent to it before,
    /// the function may receive. Without a trap, an exit signal ends the function where it waits.
    pub process: Process,
    /// The process that asked for the call, if it said so: a `rex` of another node speaks for its callers.
    pub caller: Option<Pid>,
    /// To whom the caller's node wants that sent which the function prints, by the I/O protocol.
    pub group_leader: Option<Pid>,
}

impl Context {
    /// Prints a text where the caller's node wants it, as `io:put_chars/1` does: between BEAMs, what a function
    /// prints appears at the caller. Without a group leader it goes to this node's log. Whether it was printed.
    pub async fn print(&mut self, text: &str) -> bool {
        let Some(leader) = &self.group_leader else {
            for line in text.lines() {
                tracing::info!("{line}");
            }
            return true;
        };
        let process = &mut self.process;
        // It may have ended, and its node too.
        let monitor = process.monitor(leader).await;
        let request = io::put_chars(process.pid().clone(), monitor.clone(), text);
        let sent = process.send(leader, request).await.is_ok();
        let answer = process
            .select(None, |received| match received {
                Received::Message(message) => io::is_done(message, &monitor).is_some(),
                Received::Down { reference, .. } => *reference == monitor,
                _ => false,
            })
            .await;
        process.demonitor(&monitor);
        match answer {
            Some(Received::Message(message)) => {
                sent && io::is_done(&message, &monitor) == Some(true)
            }
            _ => false,
        }
    }
}

/// A function that others can call.
type Function =
    Arc<dyn Fn(Context, Vec<Term>) -> BoxFuture<'static, Result<Term, Exception>> + Send + Sync>;

type Table = HashMap<(Atom, Atom), Vec<(u8, Function)>>;

/// The functions that a node offers. Clones share them, so that more can be offered while the node runs.
#[derive(Clone, Default)]
pub struct Functions(Arc<RwLock<Table>>);

impl Functions {
    /// Offers `module:function/arity`, instead of what was offered under that name and arity before.
    ///
    /// A module of Elixir has the name that Erlang knows it by: `Elixir.Shop.Prices`.
    pub fn offer<F, R>(&self, module: Atom, function: Atom, arity: u8, run: F)
    where
        F: Fn(Context, Vec<Term>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Term, Exception>> + Send + 'static,
    {
        let run: Function = Arc::new(move |context, arguments| run(context, arguments).boxed());
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let arities = table.entry((module, function)).or_default();
        arities.retain(|(other, _)| *other != arity);
        arities.push((arity, run));
    }

    /// Takes back what was offered. Calls that are under way go on. Whether it was there.
    pub fn withdraw(&self, module: &Atom, function: &Atom, arity: u8) -> bool {
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let name = (module.clone(), function.clone());
        let Some(arities) = table.get_mut(&name) else {
            return false;
        };
        let before = arities.len();
        arities.retain(|(other, _)| *other != arity);
        let is_there = arities.len() < before;
        if arities.is_empty() {
            table.remove(&name);
        }
        is_there
    }

    /// What is offered, in no order: modules, names and arities.
    #[must_use]
    pub fn names(&self) -> Vec<(Atom, Atom, u8)> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let all = table.iter().flat_map(|((module, function), arities)| {
            let name = (module, function);
            arities
                .iter()
                .map(move |(arity, _)| (name.0.clone(), name.1.clone(), *arity))
        });
        all.collect()
    }

    /// Whether the function is offered.
    #[must_use]
    pub fn has(&self, module: &Atom, function: &Atom, arity: u8) -> bool {
        self.get(module, function, arity).is_some()
    }

    fn get(&self, module: &Atom, function: &Atom, arity: u8) -> Option<Function> {
        let table = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let arities = table.get(&(module.clone(), function.clone()))?;
        let (_, run) = arities.iter().find(|(other, _)| *other == arity)?;
        Some(Arc::clone(run))
    }

    /// Finds what is to be run, through `erlang:apply` if need be.
    fn find(&self, apply: Apply) -> Result<Found, Exception> {
        let Apply {
            module,
            function,
            arguments,
        } = apply;
        let (Term::Atom(module), Term::Atom(function), Term::List(arguments)) =
            (module, function, arguments)
        else {
            return Err(Exception::badarg());
        };
        if module == *"erlang" && function == *"apply" {
            return match <[Term; 3]>::try_from(arguments) {
                Ok([module, function, arguments]) => self.find(Apply {
                    module,
                    function,
                    arguments,
                }),
                Err(arguments) => self.find_fun(arguments),
            };
        }
        let arity = u8::try_from(arguments.len()).ok();
        match arity.and_then(|arity| Some((arity, self.get(&module, &function, arity)?))) {
            Some((arity, run)) => Ok(Found {
                module,
                function,
                arity,
                run,
                arguments,
            }),
            None => Err(Exception::undef(
                module.into(),
                function.into(),
                Term::List(arguments),
            )),
        }
    }

    /// `erlang:apply(Fun, Arguments)`
    fn find_fun(&self, arguments: Vec<Term>) -> Result<Found, Exception> {
        match <[Term; 2]>::try_from(arguments) {
            Ok([Term::Export(export), arguments]) => self.find(Apply {
                module: export.module.into(),
                function: export.function.into(),
                arguments,
            }),
            // Its code is on the node that made it.
            Ok([fun @ Term::Fun(_), Term::List(arguments)]) => {
                Err(Exception::undef_fun(fun, arguments))
            }
            Ok([other, Term::List(_)]) => {
                let badfun = vec![Term::atom("badfun"), other];
                Err(Exception::error(Term::Tuple(badfun)))
            }
            Ok(_) => Err(Exception::badarg()),
            Err(arguments) => Err(Exception::undef(
                Term::atom("erlang"),
                Term::atom("apply"),
                Term::List(arguments),
            )),
        }
    }

    /// Runs a function in a process that was made for it. A panic is an exception.
    pub(super) async fn run(&self, context: Context, apply: Apply) -> Result<Term, Exception> {
        let Found {
            module,
            function,
            arity,
            run,
            arguments,
        } = self.find(apply)?;
        // The function itself may panic before there is a future.
        let outcome = AssertUnwindSafe(async move { run(context, arguments).await });
        let outcome = outcome.catch_unwind().await.unwrap_or_else(|panic| {
            let raised = Exception::panic(&*panic);
            tracing::error!(
                "{}:{}/{arity} panicked: {raised}",
                module.as_str(),
                function.as_str()
            );
            Err(raised)
        });
        outcome.map_err(|raised| raised.raised_in(&module, &function, arity))
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        let shown = |(module, function, arity): &(Atom, Atom, u8)| {
            format!("{}:{}/{arity}", module.as_str(), function.as_str())
        };
        f.debug_set().entries(names.iter().map(shown)).finish()
    }
}

struct Found {
    module: Atom,
    function: Atom,
    arity: u8,
    run: Function,
    arguments: Vec<Term>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etf::{Export, Fun};

    fn functions() -> Functions {
        let functions = Functions::default();
        let (module, function) = (Atom::new("m"), Atom::new("f"));
        functions.offer(module, function, 1, |_, arguments| async move {
            Ok(Term::List(arguments))
        });
        functions
    }

    fn apply(module: Term, function: Term, arguments: Vec<Term>) -> Apply {
        let arguments = Term::List(arguments);
        Apply {
            module,
            function,
            arguments,
        }
    }

    fn found(arguments: Vec<Term>) -> Result<Vec<Term>, Exception> {
        let apply = apply(Term::atom("erlang"), Term::atom("apply"), arguments);
        functions().find(apply).map(|found| found.arguments)
    }

    #[test]
    fn a_function_is_found_by_name_and_arity_until_it_is_withdrawn() {
        let functions = functions();
        let find = |name: &'static str, arguments: usize| {
            let arguments = vec![Term::NIL; arguments];
            let found = functions.find(apply(Term::atom("m"), Term::atom(name), arguments));
            found.map(|found| found.arity)
        };
        let undef = |name: &'static str, arguments: usize| {
            let arguments = Term::List(vec![Term::NIL; arguments]);
            Err(Exception::undef(
                Term::atom("m"),
                Term::atom(name),
                arguments,
            ))
        };
        assert_eq!(find("f", 1), Ok(1));
        assert_eq!(find("f", 2), undef("f", 2));
        assert_eq!(find("g", 1), undef("g", 1));
        assert_eq!(find("f", 256), undef("f", 256));
        assert_eq!(format!("{functions:?}"), r#"{"m:f/1"}"#);
        assert!(functions.withdraw(&Atom::new("m"), &Atom::new("f"), 1));
        assert!(!functions.withdraw(&Atom::new("m"), &Atom::new("f"), 1));
        assert_eq!(find("f", 1), undef("f", 1));
        assert_eq!(functions.names(), []);
    }

    #[test]
    fn apply_is_looked_through() {
        let one = || vec![Term::Int(1)];
        let (m, f) = (|| Term::atom("m"), || Term::atom("f"));
        assert_eq!(found(vec![m(), f(), Term::List(one())]), Ok(one()));
        let (module, function) = (Atom::new("m"), Atom::new("f"));
        let export = Export {
            module,
            function,
            arity: 1,
        };
        let export = Term::Export(Box::new(export));
        assert_eq!(found(vec![export, Term::List(one())]), Ok(one()));
        // Applied to itself, as deep as somebody cares to send it.
        let mut nested = vec![m(), f(), Term::List(one())];
        for _ in 0..50 {
            let apply = Term::atom("apply");
            nested = vec![Term::atom("erlang"), apply, Term::List(nested)];
        }
        assert_eq!(found(nested), Ok(one()));
    }

    #[test]
    fn what_cannot_be_applied_says_so_as_on_a_beam() {
        let pid = Pid {
            node: Atom::new("a@b"),
            id: 1,
            serial: 2,
            creation: 3,
        };
        let fun = Term::Fun(Box::new(Fun {
            arity: 0,
            uniq: [0; 16],
            index: 0,
            module: Atom::new("shop"),
            old_index: 0,
            old_uniq: 0,
            pid,
            free: vec![],
        }));
        let elsewhere = found(vec![fun.clone(), Term::NIL]);
        assert_eq!(elsewhere, Err(Exception::undef_fun(fun, vec![])));
        let badfun = Term::Tuple(vec![Term::atom("badfun"), Term::Int(1)]);
        let not_a_fun = found(vec![Term::Int(1), Term::NIL]);
        assert_eq!(not_a_fun, Err(Exception::error(badfun)));
        for arguments in [
            vec![Term::Int(1), Term::Int(2)],
            vec![Term::Int(1), Term::atom("f"), Term::NIL],
            vec![Term::atom("m"), Term::Int(1), Term::NIL],
            vec![Term::atom("m"), Term::atom("f"), Term::Int(1)],
        ] {
            assert_eq!(found(arguments), Err(Exception::badarg()));
        }
    }
}
