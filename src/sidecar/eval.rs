//! Evaluates Erlang on the attached node, with nothing but stdlib there: its `erl_scan` and `erl_parse` read a text,
//! and its `erl_eval` runs it.

use std::time::Duration;

use tokio::sync::OnceCell;

use crate::etf::Term;
use crate::name::NodeName;
use crate::node::Node;

/// How long the attached node may take to read a text.
const READING: Duration = Duration::from_secs(10);

/// One expression, which the attached node reads once and evaluates as often as it is asked to.
#[derive(Debug)]
pub(super) struct Program {
    text: &'static str,
    parsed: OnceCell<Term>,
}

impl Program {
    /// `text` is one expression, such as `begin ... end`, with a full stop.
    pub(super) const fn new(text: &'static str) -> Self {
        Self {
            text,
            parsed: OnceCell::const_new(),
        }
    }

    /// Evaluates the expression with these variables bound, and gives its value.
    pub(super) async fn run<const N: usize>(
        &self,
        node: &Node,
        target: &NodeName,
        bindings: [(&'static str, Term); N],
        within: Duration,
    ) -> Result<Term, String> {
        let parse = async || {
            let forms = forms(node, target, self.text).await?;
            let first = forms.as_list().and_then(<[Term]>::first).cloned();
            first.ok_or_else(|| "the text has no expression".to_owned())
        };
        let expression = self.parsed.get_or_try_init(parse).await?.clone();
        let bindings = bindings.map(|(name, value)| Term::Tuple(vec![Term::atom(name), value]));
        let arguments = vec![
            expression,
            Term::List(bindings.into()),
            Term::atom("none"),
            Term::atom("none"),
            Term::atom("value"),
        ];
        let value = node.call(target, "erl_eval", "expr", arguments, within);
        value.await.map_err(|error| error.to_string())
    }
}

/// Has the attached node read a text: the expressions in it.
pub(super) async fn forms(node: &Node, target: &NodeName, text: &str) -> Result<Term, String> {
    let call = async |module, function, argument| {
        let call = node.call(target, module, function, vec![argument], READING);
        call.await.map_err(|error| error.to_string())
    };
    let refused = |what: &[Term]| {
        let what = Term::Tuple(what.to_vec());
        format!("its source was not understood: {what}")
    };
    let ok = |term: &Term| *term == Term::atom("ok");
    let scanned = call("erl_scan", "string", Term::string(text)).await?;
    let tokens = match scanned.as_tuple().unwrap_or_default() {
        [word, tokens, _] if ok(word) => tokens.clone(),
        other => return Err(refused(other)),
    };
    let parsed = call("erl_parse", "parse_exprs", tokens).await?;
    match parsed.as_tuple().unwrap_or_default() {
        [word, forms] if ok(word) => Ok(forms.clone()),
        other => Err(refused(other)),
    }
}
