//! Records that are meant for one processor only: dead letters that were sent again. Others pass them, and the component
//! never sees the address, or what it forwards would be passed by whoever reads it next.

use crate::record::{Batch, BatchBuilder, BatchRef, Header, Headers, Record};

/// Whom a run of records is meant for.
pub(super) enum Addressed {
    All,
    /// The record without its address.
    Us(Batch),
    Another,
}

/// Names of headers that tell of a replay begin with this.
pub(super) const REPLAY_HEADERS: &[u8] = b"__wasmill.replay.";

/// Looks at a run; one with an address is a single record (the inbox sees to it).
pub(super) fn open(run: BatchRef<'_>, processor: &str) -> Addressed {
    if run.len() != 1 {
        return Addressed::All;
    }
    let record = run.record(0);
    match record.addressee() {
        None => Addressed::All,
        Some(name) if name == processor.as_bytes() => {
            let headers = without_replay(record.headers);
            let mut builder = BatchBuilder::new(run.input(), run.partition(), None);
            builder.push(&Record { headers: Headers(&headers), ..record });
            Addressed::Us(builder.build())
        }
        Some(_) => Addressed::Another,
    }
}

/// The headers of a record as it was before it was sent again.
pub(super) fn without_replay(headers: Headers<'_>) -> Vec<u8> {
    let mut kept = Vec::with_capacity(headers.0.len());
    for Header { name, value } in headers.iter().filter(|h| !h.name.starts_with(REPLAY_HEADERS)) {
        Headers::push(&mut kept, name, value);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{ADDRESSEE_HEADER, Input, Partition};

    #[test]
    fn only_the_addressee_gets_the_record_and_without_the_address() {
        let mut headers = Vec::new();
        Headers::push(&mut headers, b"mine", Some(b"1"));
        Headers::push(&mut headers, ADDRESSEE_HEADER, Some(b"app.p"));
        Headers::push(&mut headers, b"__wasmill.replay.of", Some(b"0/7"));
        let mut builder = BatchBuilder::new(Input(0), Partition(0), None);
        for headers in [Headers(&headers), Headers::default()] {
            builder.push(&Record { offset: 0, timestamp_ms: 1, key: Some(b"k"), value: Some(b"v"), headers });
        }
        let batch = builder.build();
        assert!(matches!(open(batch.part(0, 1), "app.q"), Addressed::Another));
        assert!(matches!(open(batch.part(1, 2), "app.q"), Addressed::All));
        let Addressed::Us(opened) = open(batch.part(0, 1), "app.p") else { panic!("it is for us") };
        let names: Vec<_> = opened.record(0).headers.iter().map(|h| h.name).collect();
        assert_eq!(names, [b"mine"]);
        assert_eq!((opened.record(0).key, opened.record(0).value), (Some(&b"k"[..]), Some(&b"v"[..])));
    }
}
