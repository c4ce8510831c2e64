//! The end of a run: everything comes out, the host stops in order, and the exchange's model judges all topics.

use exchange::model;
use exchange::topics;

use crate::stage::Stage;

/// Waits for the last result and says whether every invariant holds.
///
/// # Errors
/// The host ended, did not stop in order, or the broker does not give its topics.
pub fn finish(stage: &mut Stage) -> anyhow::Result<bool> {
    let sent: u64 = stage.sent.values().sum();
    let done = stage.wait("the rest of the results", |it| it.progress.is_done(sent));
    if let Err(error) = &done {
        println!("{:<8} gave up: {error:#}", stage.kind());
    }
    let stopped = stage.host.stop();
    if let Err(error) = &stopped {
        println!("{:<8} {error:#}", stage.kind());
    }
    let records = stage.read_all()?;
    let report = model::check(&records);
    println!("{report}");
    // The model believes the inputs; that they are what was sent is for us to see.
    let mut are_inputs_whole = true;
    for (topic, _) in topics::FED {
        let (there, sent) = (records.iter().filter(|r| r.topic == topic).count() as u64, stage.sent[topic]);
        if there != sent {
            println!("VIOLATION {topic}: {sent} records sent, {there} in the topic");
            are_inputs_whole = false;
        }
    }
    Ok(report.is_clean() && are_inputs_whole && done.is_ok() && stopped.is_ok())
}
