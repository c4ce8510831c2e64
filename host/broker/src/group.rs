//! Consumer groups: who is a member, which generation, what each was assigned, which offsets are committed.
//! Owns the classic group protocol; assignments are opaque bytes made by the leading member.
//! Does not know topics, and knows of transactions only that some offsets are pending.

pub mod answer;
pub mod coordinator;
pub mod member;
pub mod offsets;
pub mod state;
pub mod sync_phase;

pub use answer::{Answer, JoinAnswer};
pub use coordinator::Groups;
pub use member::{JoinRequest, Member};
pub use offsets::Claim;
pub use state::{Group, State};

#[cfg(test)]
mod tests;
