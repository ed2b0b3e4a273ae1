//! Two processes of the same name, in parts of a cluster that meet: which keeps it.
//!
//! Whoever registered a name said by which function this is decided. A node asks the node of its process to
//! run `global:resolve_it(Method, Name, Pid1, Pid2)`, so every visible node has that. Of the functions, the
//! three are here that `global` has itself; others are written in Erlang.

use crate::etf::{Atom, Pid, Term};

use crate::node::exception::Exception;
use crate::node::functions::{Context, Functions};
use crate::node::{Dest, Node};

/// Has a node offer `global:resolve_it/4`.
pub(in crate::node) fn offer(functions: &Functions) {
    let run = |context: Context, arguments: Vec<Term>| async move {
        resolve(context.process.node(), &arguments).await
    };
    functions.offer(Atom::new("global"), Atom::new("resolve_it"), 4, run);
}

/// `global:resolve_it(Method, Name, Pid1, Pid2)`: the process that keeps the name, or `none`.
pub(super) async fn resolve(node: &Node, arguments: &[Term]) -> Result<Term, Exception> {
    let [Term::Export(method), name, Term::Pid(one), Term::Pid(other)] = arguments else {
        return Err(Exception::badarg());
    };
    if method.module != *"global" || method.arity != 3 {
        let (module, function) = (method.module.clone(), method.function.clone());
        let arguments = Term::List(arguments[1..].to_vec());
        return Err(Exception::undef(module.into(), function.into(), arguments));
    }
    let (lesser, greater) = if one.node.as_str() < other.node.as_str() {
        (one, other)
    } else {
        (other, one)
    };
    let told = |rest: Option<&Pid>| {
        let mut message = vec![Term::atom("global_name_conflict"), name.clone()];
        message.extend(rest.cloned().map(Term::from));
        Term::Tuple(message)
    };
    match method.function.as_str() {
        "random_exit_name" => {
            tracing::info!(
                "global: name conflict: {name} is kept by the process on {}",
                lesser.node
            );
            node.process().exit(greater, Term::atom("kill")).await;
            Ok((**lesser).clone().into())
        }
        "random_notify_name" => {
            // Whether it hears of it or not, it has lost the name.
            let _ = node.send(Dest::from(&**greater), told(None)).await;
            Ok((**lesser).clone().into())
        }
        "notify_all_name" => {
            let _ = node.send(Dest::from(&**one), told(Some(other))).await;
            let _ = node.send(Dest::from(&**other), told(Some(one))).await;
            Ok(Term::atom("none"))
        }
        _ => Err(Exception::undef(
            method.module.clone().into(),
            method.function.clone().into(),
            Term::List(arguments[1..].to_vec()),
        )),
    }
}
