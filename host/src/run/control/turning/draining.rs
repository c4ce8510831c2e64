//! A host that serves nobody for a while: its workers leave their groups and end, it goes on following deployments, and
//! starts its workers anew with what is active when it is asked to.
//!
//! ```text
//!   serves ──drain──► leaves ──all have ended──► drained
//!     ▲                  └────────serve────────────┤
//!     └───────────────── (once all have ended) ◄───┘
//! ```

use super::Turning;
use crate::deployment::Active;

impl Turning {
    /// Does what an operator wants of this host. Never waits for a worker: other hosts must go on hearing of this one.
    pub(super) fn follow_drain(&mut self) {
        let is_wanted = self.parts.fleet.is_drain_wanted();
        if is_wanted && !self.is_drained {
            (self.is_drained, self.has_news) = (true, true);
            tracing::info!("drained: workers leave their groups");
            self.parts.fleet.leave_all();
        }
        if !self.is_drained {
            return;
        }
        self.has_news |= self.parts.fleet.let_go() > 0;
        if !is_wanted && self.parts.fleet.workers().is_empty() {
            (self.is_drained, self.has_news) = (false, true);
            tracing::info!("serves again: workers start");
            self.start_workers();
        }
    }

    /// Versions that are not ready yet are adopted when they are.
    fn start_workers(&mut self) {
        let active = self.parts.fleet.topology.processors.iter().filter_map(|p| {
            let active = self.catalog.deployment(&p.name)?.active?;
            Some((p.name.clone(), active))
        });
        let active: Vec<(String, Active)> = active.collect();
        // They count their halts anew.
        self.halts.clear();
        active.iter().for_each(|(processor, active)| self.adopt(processor, active));
    }
}
