//! What was sent, held against the results that appeared: lost, twice, out of order, wrong, or without a send.
//!
//! - The sender writes every message down in a [`Ledger`]: what was accepted, and what may have been.
//! - A [`Follower`] reads results and dead letters as they come, and all of them again once nothing comes any more.
//! - A [`Balance`] is what is left to explain. Where the ledger has the blocks, every vehicle's are diagnosed once more in
//!   the order of its stream, and a result that says anything else is wrong.

mod answers;
mod balance;
mod book;
mod follow;
mod replay;

pub use answers::{Answer, Answers, DeadLetter};
pub use balance::Balance;
pub use book::{Ledger, Outcome, Sent};
pub use follow::{Follower, QUIET};
