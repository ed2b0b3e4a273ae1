#![allow(dead_code)]
//! Names and locks of a whole cluster, as OTP's [`global`](https://www.erlang.org/doc/apps/kernel/global.html)
//! keeps them among visible nodes.

mod locker;
mod registrar;
mod state;
mod tables;
