//! Uploads and clients that mean no good, or know no better. Nothing of what they do changes what runs.

use std::thread;

use wasmill_tests::http::Raw;
use wasmill_tests::wasmill::guest;

use crate::stage::Stage;

const VERSIONS: &str = "/v1/processors/stamp/versions?settings=%7B%22tag%22%3A%22x%22%7D";

pub fn uploads_are_refused(stage: &Stage) {
    let before = deployment(stage);
    let foreign = std::fs::read(guest("wat-foreign-imports")).expect("a built component");
    let half = &stage.component[..stage.component.len() / 2];
    let large = vec![b'x'; 65 << 20];
    let cases: [(&[u8], u16, &str); 6] = [
        (b"fn main() {}\n", 422, "not a WebAssembly file but text"),
        (b"\0asm\x01\0\0\0", 422, "a core module, not a component"),
        (half, 422, "not a valid component"),
        (b"PK\x03\x04...", 422, "zip archive"),
        (&foreign, 422, "imports `acme:db/sql@1.0.0`, which a processor does not get"),
        (&large, 413, "larger than this host takes (64 MiB)"),
    ];
    for (body, status, says) in cases {
        let answer = stage.ask.send("POST", VERSIONS, &[], body);
        assert_eq!(answer.status, status, "{says}: {answer:?}");
        assert!(answer.detail().contains(says), "{}", answer.detail());
        assert_eq!(deployment(stage), before, "{says}");
    }
    let empty = stage.ask.send("POST", "/v1/processors/stamp/versions", &[], b"");
    assert_eq!((empty.status, empty.detail().contains("nothing new to deploy")), (400, true), "{empty:?}");
    let nobody = stage.ask.send("POST", "/v1/processors/other/versions", &[], &stage.component);
    assert_eq!(nobody.status, 404, "{nobody:?}");
    cut_off_in_mid_upload(stage);
    assert_eq!(deployment(stage), before);
}

/// A client that announces its size and waits for leave to send is told before it sends.
fn cut_off_in_mid_upload(stage: &Stage) {
    let address = &stage.ask.address;
    let mut announced = Raw::connect(address);
    let head = format!("POST {VERSIONS} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    announced.send(format!("{head}content-length: 1073741824\r\nexpect: 100-continue\r\n\r\n").as_bytes());
    assert!(announced.rest().starts_with("HTTP/1.1 413 "), "1 GiB is refused before it is sent");
    let mut cut_off = Raw::connect(address);
    cut_off.send(format!("{head}content-length: {}\r\n\r\n", stage.component.len()).as_bytes());
    cut_off.send(&stage.component[..stage.component.len() / 2]);
    drop(cut_off);
}

fn deployment(stage: &Stage) -> serde_json::Value {
    let answer = stage.ask.get("/v1/processors/stamp/deployment");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

pub fn foreign_pages_and_names_are_refused(stage: &Stage) {
    let own = format!("http://{}", stage.ask.address);
    let cases = [
        ("host", "evil.example", 403, "use 127.0.0.1 or localhost"),
        ("origin", "http://evil.example", 403, "pages of http://evil.example may not use this interface"),
        ("origin", "null", 403, "pages of null"),
        ("origin", own.as_str(), 200, ""),
    ];
    for (name, value, status, says) in cases {
        let answer = stage.ask.send("GET", "/v1", &[(name, value)], b"");
        assert_eq!(answer.status, status, "{name}: {value}: {answer:?}");
        assert!(status == 200 || answer.detail().contains(says), "{answer:?}");
        let changing = stage.ask.send("PUT", "/v1/processors/other/pause", &[(name, value)], b"");
        assert_eq!(changing.status == 403, status == 403, "{name}: {value}: {changing:?}");
    }
}

/// Each keeps a connection and sends too little: nothing, half a head, half a body.
pub fn slow_clients_are_given_up(stage: &Stage) {
    let address = &stage.ask.address;
    let head = format!("POST {VERSIONS} HTTP/1.1\r\nhost: {address}\r\n");
    let body = format!("{head}content-length: 1000\r\n\r\nabc");
    let cases =
        [("nothing", "", ""), ("half a head", head.as_str(), ""), ("half a body", body.as_str(), "HTTP/1.1 408 ")];
    thread::scope(|scope| {
        for (name, sent, answer) in cases {
            scope.spawn(move || {
                let mut raw = Raw::connect(address);
                raw.send(sent.as_bytes());
                let rest = raw.rest();
                assert!(rest.starts_with(answer), "{name}: {rest}");
            });
        }
    });
}
