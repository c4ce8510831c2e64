//! The shape of a check, and where the two brokers may differ.

use std::process::{Command, Stdio};

use wasmill_tests::brokers::{Broker, BrokerKind};

pub struct Check {
    pub name: &'static str,
    pub run: Run,
}

#[derive(Clone, Copy)]
pub enum Run {
    /// With the broker that all checks share.
    Shared(fn(&Broker)),
    /// With a fresh broker, which may be stopped and killed.
    Own(fn(&mut Broker)),
    /// With a program that may be missing; the check is then reported as not run.
    Tool(&'static str, fn(&Broker)),
}

pub const fn shared(name: &'static str, run: fn(&Broker)) -> Check {
    Check { name, run: Run::Shared(run) }
}

pub const fn own(name: &'static str, run: fn(&mut Broker)) -> Check {
    Check { name, run: Run::Own(run) }
}

pub const fn tool(name: &'static str, tool: &'static str, run: fn(&Broker)) -> Check {
    Check { name, run: Run::Tool(tool, run) }
}

pub fn has_tool(tool: &str) -> bool {
    let asked = Command::new(tool).arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Where the two brokers may differ, and why that is right. Everything else has to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Apache Kafka writes the new start of a partition (DeleteRecords) down once a minute; the embedded broker at once.
    CutsForgottenByKill,
    /// The embedded broker keeps the producer's time only, and refuses a topic that asks for another.
    NoAppendTime,
}

impl Difference {
    /// Whether this broker is the one that deviates.
    pub fn is_of(self, broker: &Broker) -> bool {
        match self {
            Self::CutsForgottenByKill => broker.kind == BrokerKind::Kafka,
            Self::NoAppendTime => broker.kind == BrokerKind::Embedded,
        }
    }
}
