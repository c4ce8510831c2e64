//! One member of a group.
//! Owns its session and what it is waiting for.
//! Does not know the other members.

use std::time::{Duration, Instant};

use super::answer::Ticket;
use crate::journal::MemberImage;

/// A JoinGroup request, whatever its version.
#[derive(Clone, Debug, Default)]
pub struct JoinRequest {
    pub member_id: String,
    pub instance: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    pub protocols: Vec<(String, Vec<u8>)>,
    /// Dynamic members must come back with the id they are given (from version 4 on).
    pub requires_known_id: bool,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub image: MemberImage,
    pub alive_until: Instant,
    /// Waits for the rebalance to complete; is not expired meanwhile.
    pub join_ticket: Option<Ticket>,
    /// Waits for the leader's assignment; is not expired meanwhile.
    pub sync_ticket: Option<Ticket>,
}

impl Member {
    pub fn new(id: String, request: &JoinRequest, now: Instant) -> Self {
        let image = MemberImage { id, client_id: request.client_id.clone(), ..MemberImage::default() };
        let mut member = Self { image, alive_until: now, join_ticket: None, sync_ticket: None };
        member.update(request, now);
        member
    }

    /// A member read from the journal: its session begins anew.
    pub fn restored(image: MemberImage, now: Instant) -> Self {
        let mut member = Self { image, alive_until: now, join_ticket: None, sync_ticket: None };
        member.touch(now);
        member
    }

    pub fn update(&mut self, request: &JoinRequest, now: Instant) {
        self.image.instance.clone_from(&request.instance);
        self.image.client_host.clone_from(&request.client_host);
        self.image.session_timeout_ms = request.session_timeout_ms;
        self.image.rebalance_timeout_ms = request.rebalance_timeout_ms;
        self.image.protocols.clone_from(&request.protocols);
        self.touch(now);
    }

    pub fn touch(&mut self, now: Instant) {
        self.alive_until = now + Duration::from_millis(self.image.session_timeout_ms.max(0) as u64);
    }

    pub fn is_expired(&self, now: Instant) -> bool {
        self.join_ticket.is_none() && self.sync_ticket.is_none() && now >= self.alive_until
    }

    pub fn supports(&self, protocol: &str) -> bool {
        self.image.protocols.iter().any(|(name, _)| name == protocol)
    }

    pub fn subscription(&self, protocol: &str) -> Vec<u8> {
        let found = self.image.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, subscription)| subscription.clone()).unwrap_or_default()
    }

    pub fn rebalance_timeout(&self) -> Duration {
        Duration::from_millis(self.image.rebalance_timeout_ms.max(0) as u64)
    }
}
