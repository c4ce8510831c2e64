//! What the processors of a manifest may use together, against what there is.

use super::finding::Finding;
use super::machine::Memory;
use crate::topology::{ProcessorSettings, Topology};

const ABOUT: &str = "memory";

/// A worker fills one set while another is in commit.
const SETS: u64 = 2;

/// Compares the sum of all limits with the memory there is.
pub(super) fn judge(topology: &Topology, memory: &Memory) -> Finding {
    let processors = &topology.processors;
    let sum: u64 = processors.iter().map(|p| u64::from(p.workers) * bytes_of_worker(p)).sum();
    let parts: Vec<String> = processors.iter().map(told).collect();
    let (parts, source) = (parts.join("\n"), &memory.source);
    let Some(bytes) = memory.bytes else {
        let text = format!("processors may use {} together; how much {source} has is not known:\n{parts}", mib(sum));
        return Finding::warning(ABOUT, text, "compare it yourself with what a host may have");
    };
    if sum <= bytes {
        let text = format!("processors may use {} together, of {} ({source})", mib(sum), mib(bytes));
        return Finding::ok(ABOUT, text);
    }
    let text = format!("processors may use {} together, and there are {} ({source}):\n{parts}", mib(sum), mib(bytes));
    let advice = "set `workers`, `limits.memory-mib` or `commit.bytes-max` lower, or give the host more: when it is used up \
                  the system kills the host";
    Finding::warning(ABOUT, text, advice)
}

/// An instance with what one call returns, and what is not committed yet.
fn bytes_of_worker(processor: &ProcessorSettings) -> u64 {
    let limits = &processor.limits;
    ((limits.memory_mib + limits.output_mib) << 20) + SETS * processor.commit.bytes_max as u64
}

fn told(processor: &ProcessorSettings) -> String {
    let ProcessorSettings { name, workers, limits, commit, .. } = processor;
    let sum = u64::from(*workers) * bytes_of_worker(processor);
    format!(
        "{name}: {} = {workers} workers × ({} MiB memory + {} MiB output + {SETS} × {} commit)",
        mib(sum),
        limits.memory_mib,
        limits.output_mib,
        mib(commit.bytes_max as u64)
    )
}

/// To a tenth.
pub(super) fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    if tenths.is_multiple_of(10) {
        format!("{} MiB", tenths / 10)
    } else {
        format!("{}.{} MiB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use crate::topology;

    #[test]
    fn the_sum_is_compared_with_what_there_is() {
        let source = "application = \"a\"\n[topics.t]\n[processors.p]\ncomponent = \"c\"\ninputs = [\"t\"]\nworkers = 3\n\
                      [processors.p.limits]\nmemory-mib = 100\noutput-mib = 10\n[processors.p.commit]\nbytes-max = 1048576\n";
        let topology = topology::parse("w", source).expect("a manifest");
        // 3 × (100 + 10 + 2 × 1)
        let sum = 336;
        let cases = [
            (Some(sum << 20), Level::Ok, "336 MiB together, of 336 MiB (here)"),
            (Some((sum << 20) - 1), Level::Warning, "3 workers × (100 MiB memory + 10 MiB output + 2 × 1 MiB commit)"),
            (None, Level::Warning, "is not known"),
        ];
        for (bytes, level, says) in cases {
            let found = judge(&topology, &Memory { bytes, source: "here".into() });
            assert_eq!(found.level, level, "{found:?}");
            assert!(found.text.contains(says), "{found:?}");
        }
        assert_eq!(mib((3 << 20) + (1 << 19)), "3.5 MiB");
    }
}
