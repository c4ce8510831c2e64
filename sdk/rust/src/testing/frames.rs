//! The host's side of frames (`wit/FRAMES.md`): writes input, reads output, refuses what a host refuses.

use super::sent::{Header, Sent};

const HEADER_LEN: usize = 36;
const NULL_LEN: u32 = u32::MAX;

/// A record on its way in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub(crate) offset: i64,
    pub(crate) timestamp_ms: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<Header>,
}

const KEY_NULL: u16 = 1;
const VALUE_NULL: u16 = 2;
const KEY_OF_INPUT: u16 = 4;
const VALUE_OF_INPUT: u16 = 8;
const HEADERS_OF_INPUT: u16 = 16;
const OWN_TIMESTAMP: u16 = 32;
const CARRIED: [&str; 2] = ["traceparent", "wasmill-correlation-id"];

/// Appends one input frame.
pub(crate) fn write(frames: &mut Vec<u8>, record: &Input) {
    let mut headers = Vec::new();
    for (name, value) in &record.headers {
        crate::packed::push(&mut headers, name.as_bytes());
        match value {
            Some(value) => crate::packed::push(&mut headers, value),
            None => headers.extend_from_slice(&NULL_LEN.to_le_bytes()),
        }
    }
    let (key, value) = (record.key.as_deref().unwrap_or_default(), record.value.as_deref().unwrap_or_default());
    let flags = (u16::from(record.key.is_none()) * KEY_NULL) | (u16::from(record.value.is_none()) * VALUE_NULL);
    let frame_len = HEADER_LEN + key.len() + value.len() + headers.len();
    frames.extend_from_slice(&(frame_len as u32).to_le_bytes());
    frames.extend_from_slice(&(HEADER_LEN as u16).to_le_bytes());
    frames.extend_from_slice(&flags.to_le_bytes());
    for part in [key, value, &headers] {
        frames.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    frames.extend_from_slice(&record.offset.to_le_bytes());
    frames.extend_from_slice(&record.timestamp_ms.to_le_bytes());
    for part in [key, value, &headers] {
        frames.extend_from_slice(part);
    }
}

/// The records that a host would make of output frames.
///
/// # Errors
/// What a host would refuse.
pub(crate) fn read(mut frames: &[u8], inputs: &[Input], outputs: &[String]) -> Result<Vec<Sent>, String> {
    let mut sent = Vec::new();
    while !frames.is_empty() {
        let (record, rest) = read_one(frames, inputs, outputs)?;
        sent.push(record);
        frames = rest;
    }
    Ok(sent)
}

fn read_one<'f>(frames: &'f [u8], inputs: &[Input], outputs: &[String]) -> Result<(Sent, &'f [u8]), String> {
    let head: &[u8; HEADER_LEN] = frames.first_chunk().ok_or("a frame is cut off")?;
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
    let half = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let (frame_len, header_len, flags) = (word(0), usize::from(half(4)), half(6));
    let has = |flag: u16| flags & flag != 0;
    if header_len < HEADER_LEN || header_len + word(8) + word(12) + word(16) > frame_len {
        return Err("a frame's parts do not fit into it".to_owned());
    }
    if flags & !63 != 0 || has(KEY_NULL) && has(KEY_OF_INPUT) || has(VALUE_NULL) && has(VALUE_OF_INPUT) {
        return Err("a frame's flags contradict each other or are unknown".to_owned());
    }
    let (frame, rest) = frames.split_at_checked(frame_len).ok_or("a frame is cut off")?;
    let input = inputs.get(word(20)).ok_or("a frame names an input record that does not exist")?;
    let output = outputs.get(usize::from(half(24))).ok_or("a frame names an output that is not declared")?;
    let (key, parts) = frame[header_len..].split_at(word(8));
    let (value, parts) = parts.split_at(word(12));
    let choose = |of_input: u16, null: u16, theirs: &Option<Vec<u8>>, own: &[u8]| match () {
        () if has(of_input) => theirs.clone(),
        () if has(null) => None,
        () => Some(own.to_vec()),
    };
    let own_time = i64::from_le_bytes(head[28..36].try_into().expect("eight bytes"));
    let sent = Sent {
        output: output.clone(),
        key: choose(KEY_OF_INPUT, KEY_NULL, &input.key, key),
        value: choose(VALUE_OF_INPUT, VALUE_NULL, &input.value, value),
        headers: if has(HEADERS_OF_INPUT) { input.headers.clone() } else { headers(&parts[..word(16)], input)? },
        timestamp_ms: Some(if has(OWN_TIMESTAMP) { own_time } else { input.timestamp_ms }),
    };
    Ok((sent, rest))
}

/// The frame's own headers, and those of the input that the host carries along.
fn headers(list: &[u8], input: &Input) -> Result<Vec<Header>, String> {
    let mut headers = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let name = take(&mut rest)?.ok_or("a header without a name")?;
        let name = String::from_utf8_lossy(name).into_owned();
        headers.push((name, take(&mut rest)?.map(<[u8]>::to_vec)));
    }
    let own: Vec<String> = headers.iter().map(|(name, _)| name.clone()).collect();
    let carried = input.headers.iter().filter(|(name, _)| CARRIED.contains(&name.as_str()) && !own.contains(name));
    headers.extend(carried.cloned());
    Ok(headers)
}

fn take<'l>(list: &mut &'l [u8]) -> Result<Option<&'l [u8]>, String> {
    let cut_off = || "a header list is cut off".to_owned();
    let (len, rest) = list.split_first_chunk::<4>().ok_or_else(cut_off)?;
    *list = rest;
    match u32::from_le_bytes(*len) {
        NULL_LEN => Ok(None),
        len => {
            let (bytes, rest) = list.split_at_checked(len as usize).ok_or_else(cut_off)?;
            *list = rest;
            Ok(Some(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{Batch, Out};

    fn vectors(name: &str) -> Vec<Value> {
        let path = format!("{}/../../wit/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn bytes(hex: &Value) -> Vec<u8> {
        let hex = hex.as_str().expect("hexadecimal text");
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
        (0..hex.len()).step_by(2).map(digit).collect()
    }

    fn bytes_or_null(hex: &Value) -> Option<Vec<u8>> {
        (!hex.is_null()).then(|| bytes(hex))
    }

    fn record(case: &Value) -> Input {
        let header =
            |header: &Value| (String::from_utf8(bytes(&header[0])).expect("names are text"), bytes_or_null(&header[1]));
        Input {
            offset: case["offset"].as_i64().unwrap_or(0),
            timestamp_ms: case["timestamp"].as_i64().expect("a number"),
            key: bytes_or_null(&case["key"]),
            value: bytes_or_null(&case["value"]),
            headers: case["headers"].as_array().expect("a list").iter().map(header).collect(),
        }
    }

    fn records(cases: &Value) -> Vec<Input> {
        cases.as_array().expect("a list").iter().map(record).collect()
    }

    #[test]
    fn the_sdk_reads_every_input_vector() {
        for case in vectors("input") {
            let frames = bytes(&case["frames"]);
            let batch = Batch::new(crate::Input::at(0), &frames);
            let read: Vec<Input> = batch
                .records()
                .map(|record| Input {
                    offset: record.offset,
                    timestamp_ms: record.timestamp_ms,
                    key: record.key.map(<[u8]>::to_vec),
                    value: record.value.map(<[u8]>::to_vec),
                    headers: record
                        .headers
                        .iter()
                        .map(|header| (String::from_utf8_lossy(header.name).into(), header.value.map(<[u8]>::to_vec)))
                        .collect(),
                })
                .collect();
            assert_eq!(read, records(&case["records"]), "{}", case["name"]);
        }
    }

    #[test]
    fn the_drivers_host_follows_every_output_vector() {
        for (file, is_valid) in [("output-valid", true), ("output-invalid", false)] {
            for case in vectors(file) {
                let names: Vec<String> =
                    (0..case["outputs"].as_u64().expect("a number")).map(|index| index.to_string()).collect();
                let read = read(&bytes(&case["frames"]), &records(&case["input"]), &names);
                assert_eq!(read.is_ok(), is_valid, "{}: {read:?}", case["name"]);
                let Ok(read) = read else { continue };
                for (sent, expected) in read.iter().zip(case["records"].as_array().expect("a list")) {
                    let record = record(expected);
                    let output = expected["output"].as_u64().expect("a number").to_string();
                    let Input { key, value, headers, timestamp_ms, .. } = record;
                    let expected = Sent { output, key, value, headers, timestamp_ms: Some(timestamp_ms) };
                    assert_eq!(sent, &expected, "{}", case["name"]);
                }
                assert_eq!(read.len(), case["records"].as_array().expect("a list").len(), "{}", case["name"]);
            }
        }
    }

    #[test]
    fn what_the_sdk_writes_a_host_reads() {
        let input = Input {
            offset: 1,
            timestamp_ms: 5,
            key: Some(b"k".to_vec()),
            value: None,
            headers: vec![("traceparent".into(), Some(b"t".to_vec()))],
        };
        let mut frames = Vec::new();
        write(&mut frames, &input);
        let mut out = Out::default();
        let batch = Batch::new(crate::Input::at(0), &frames);
        let record = batch.records().next().expect("one record");
        let mut emit = out.of(&record);
        emit.forward(crate::Output::at(0));
        emit.send(crate::Output::at(1), crate::Part::Null, "text");
        let refused = emit.send_with(crate::Output::at(0), crate::Part::Same, |value| {
            value.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(refused, Err("no"));
        let sent = read(out.frames(), &[input], &["a".to_owned(), "b".to_owned()]).expect("well formed");
        let trace = vec![("traceparent".to_owned(), Some(b"t".to_vec()))];
        assert_eq!(sent.len(), 2);
        assert_eq!((sent[0].key.as_deref(), sent[0].value.as_deref()), (Some(&b"k"[..]), None));
        assert_eq!((sent[1].key.as_deref(), sent[1].text().as_str()), (None, "text"));
        assert_eq!((&sent[0].headers, &sent[1].headers), (&trace, &trace));
    }
}
