//! Has a host drain or serve, and waits until it does: this one, or another that is asked once.

use std::time::Duration;

use super::interface::{Interface, host_view};
use crate::api::{HostView, Refused};
use crate::deployment::HostRecord;

/// How long workers may take to leave: a last commit each, within the budget of a revoke.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(45);

impl Interface {
    /// # Errors
    /// No such host is alive, it cannot be asked, or its workers take too long.
    pub(super) fn drain(&self, host: &str, is_drained: bool, is_forwarded: bool) -> Result<HostView, Refused> {
        if host != self.topology.host.id {
            return self.drain_other(host, is_drained, is_forwarded);
        }
        self.fleet.want_drain(is_drained);
        // Another request may want the opposite meanwhile.
        let is_changed = || self.fleet.is_drain_wanted() != is_drained;
        // Each processor that has workers has an entry, were it an empty one: what is told decides, not what is there now.
        let is_done = |h: &HostRecord| h.is_drained == is_drained && (!is_drained || h.tasks.is_empty());
        let overview = self.overview.wait(DRAIN_MAX, |o| is_changed() || o.hosts.get(host).is_some_and(is_done));
        let found = overview.filter(|_| !is_changed()).and_then(|o| o.hosts.get(host).map(|h| host_view(host, h)));
        found.ok_or_else(|| {
            let wanted = if is_drained { "drained" } else { "serving" };
            Refused::Unavailable(match is_changed() {
                true => format!("host {host} is not {wanted}: somebody else asked for the opposite meanwhile"),
                false => {
                    let seconds = DRAIN_MAX.as_secs();
                    format!(
                        "host {host} is not {wanted} after {seconds} s, but will be: ask GET /v1/hosts how far it is"
                    )
                }
            })
        })
    }

    fn drain_other(&self, host: &str, is_drained: bool, is_forwarded: bool) -> Result<HostView, Refused> {
        let overview = self.overview.get();
        match overview.hosts.get(host) {
            None => {
                let names: Vec<&str> = overview.hosts.keys().map(String::as_str).collect();
                Err(Refused::Unknown(format!("no host `{host}` is alive; there are {}", names.join(", "))))
            }
            Some(_) if is_forwarded => {
                let own = &self.topology.host.id;
                Err(Refused::Unavailable(format!("this is host {own}, not {host}: ask that one itself")))
            }
            Some(record) => match &record.address {
                Some(address) => self.forwarder.drain(address, host, is_drained),
                None => Err(Refused::Unavailable(format!(
                    "host {host} tells nobody where to ask it: ask there, with `wasmill drain` in its folder"
                ))),
            },
        }
    }
}
