//! Process groups, as OTP's [`pg`](https://www.erlang.org/doc/apps/kernel/pg.html) keeps them.

mod message;
mod state;

pub use message::{Change, Message, Version};
pub use state::{Output, PgEvent, PgEventKind, State};
