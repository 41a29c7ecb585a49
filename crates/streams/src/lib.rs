//! The durable log on Redis Streams: partitions, ownership, reading behind a cursor, the fenced commit.
//!
//! Kafka's model: an ordered log per partition, one owner per (fault type, partition), one durable cursor.
//!
//! Keys of a lane, that is of one fault type on one partition (`protocol::keys` has the names):
//!
//! - the raw stream of the partition: entries in the order in which they were accepted;
//! - the ownership hash: `owner` (token of the worker, empty when nobody), `term` (stamp of the leader
//!   that may change `owner`), `cursor` (last entry answered), `read` (entries behind the cursor since the stream
//!   began), `suspect`, `attempt`, `attempts` (see below);
//! - the state hash: folded state per vehicle;
//! - the consumer group of the fault type, which mirrors `cursor` for `XINFO GROUPS` and decides nothing.
//!
//! An entry's way: [`Publisher`] appends it once per message id. The owner of each enabled lane reads it
//! ([`Reader`], no side effects) and answers it with a [`Commit`]: if `owner` is its token and `cursor` is where
//! it computed from, the result is appended, the vehicle's state set and the cursor moved, all in one script;
//! else nothing is written. So a late commit of a frozen owner changes nothing, and a commit whose answer was lost
//! is recognised when it is tried again. [`Janitor`] trims only what every enabled lane is past.
//!
//! Poison: when an owner dies holding a lane, the lane is marked `suspect`. The next owner runs its first entries one
//! at a time, counting an attempt before each; an entry that took three owners with it is answered with
//! a dead letter. A commit clears the mark. A planned hand-over never sets it.
//!
//! Under Redis Cluster all keys of a partition are on the slot of its tag, and with them its results and dead letters:
//! [`Forwarder`] copies those to the bare streams.
//!
//! Again: [`Replays`] appends a copy of an entry under the same message id, named for the fault types that are to answer
//! it, once per attempt before it.

pub mod topology;
pub mod views;

mod backlog;
mod commit;
mod dead_letters;
mod error;
mod forward;
mod ownership;
mod planted;
mod publish;
mod read;
mod read_only;
mod replay;
mod replication;
mod scan;
mod state;

pub use backlog::{Backlog, Janitor, PartitionBacklog, Progress};
pub use commit::{Commit, Committed, Committer, Log};
pub use dead_letters::{DeadLetter, DeadLetters};
pub use error::{Result, StreamError};
pub use forward::{Confirmation, Forwarder};
pub use ownership::{Granted, Lane, Ownership, OwnershipRow};
pub use planted::Bug;
pub use publish::{Claim, Durability, Published, Publisher};
pub use read::{Entry, Reader};
pub use replay::{Plan, Refusal, Replayed, Replays, RetriedFault, Retry, Selection};
pub use replication::Replication;
pub use state::load_states;
