//! countersign: a coding agent for small local models.
//!
//! The modules in reading order. A request enters as an [`protocol::Op`], becomes a [`turn`] of the
//! [`engine`], and everything it does leaves as [`protocol::Event`]s for the front ends in [`ui`].
//!
//! | question | module |
//! |---|---|
//! | What can be asked and what is answered? | [`protocol`] |
//! | Who runs turns and carries answers to them? | [`engine`] |
//! | What happens to one request? | [`turn`] |
//! | What do the roles say to each other, and how? | [`message`], [`mailbox`] |
//! | What is a role, and what does it read? | [`role`], [`prompt`], [`tokens`], [`tool`] |
//! | Where does evidence come from? | [`retrieve`], [`watch`], [`pull`], and the crate [`countersign_index`] |
//! | Which lines does the Coder see? | [`region`] |
//! | How is a model asked, and its answer read? | [`provider`], [`connect`], [`answer`], [`measured`] |
//! | Which model files are there to get? | [`weights`] |
//! | What does an edit become before it is written? | [`edit`] |
//! | Who may release it, and what waits for them? | [`approval`], [`pending`] |
//! | How is it written, and taken back? | [`apply`] |
//! | Does it work? | [`check`] |
//! | What is kept? | [`events`], [`session`], [`job`], [`disk`] |
//! | What does a person see? | [`ui`], [`sanitize`] |
//! | How does the program begin and end? | [`cli`], [`config`], [`command`], [`failure`], [`clock`] |

pub mod protocol;

pub mod engine;
pub mod turn;

pub mod mailbox;
pub mod message;

pub mod prompt;
pub mod role;
pub mod tokens;
pub mod tool;

pub mod pull;
pub mod region;
pub mod retrieve;
pub mod watch;

pub mod answer;
pub mod connect;
pub mod measured;
pub mod provider;
pub mod repeats;
pub mod weights;

pub mod apply;
pub mod approval;
pub mod check;
pub mod edit;
pub mod pending;
pub mod rules;

pub mod disk;
pub mod events;
pub mod job;
pub mod session;

pub mod sanitize;
pub mod ui;

pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod failure;
