//! Connections that do not speak the protocol: they are closed, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;

use wasmill_tests::admin::Admin;
use wasmill_tests::brokers::Broker;
use wasmill_tests::until::LONG;

use crate::check::{Check, shared};

pub const CHECKS: &[Check] = &[
    shared("a_malformed_request_closes_its_connection", a_malformed_request_closes_its_connection),
    shared("half_a_request_harms_nobody", half_a_request_harms_nobody),
    shared("a_too_new_client_is_told_what_is_spoken", a_too_new_client_is_told_what_is_spoken),
];

/// A frame: its length, then what was given.
fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as i32).to_be_bytes(), body].concat()
}

/// A frame with a header of version 1: key, version, correlation id 7 and the client's name `x`.
fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), &7_i32.to_be_bytes(), &1_i16.to_be_bytes(), b"x"];
    frame(&[&head.concat(), body].concat())
}

fn connect(broker: &Broker) -> TcpStream {
    let stream = TcpStream::connect(broker.address()).expect("the broker listens");
    stream.set_read_timeout(Some(LONG)).expect("a time-out");
    stream
}

fn still_serves(broker: &Broker) {
    let admin = Admin::new(broker);
    let topic = admin.topic("unharmed", 1, &[]);
    assert_eq!(admin.leaders(&topic), Ok(1));
}

fn a_malformed_request_closes_its_connection(broker: &Broker) {
    let noise: Vec<u8> = (0..500_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let many = i32::MAX.to_be_bytes();
    for (what, bytes) in [
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a negative length", (-5_i32).to_be_bytes().to_vec()),
        ("a length of nearly 2 GiB", many.to_vec()),
        ("an empty frame", frame(b"")),
        ("a frame too short for a header", frame(&[0, 3, 0])),
        ("noise", frame(&noise)),
        ("an unknown request", request(9_999, 0, &[])),
        ("an unknown version", request(3, 999, &[])),
        ("Metadata of 2^31-1 topics", request(3, 4, &many)),
        ("Metadata cut short", request(3, 4, &[0, 0])),
        ("Produce of noise", request(0, 7, &noise)),
        ("Fetch of noise", request(1, 11, &noise)),
        ("JoinGroup of noise", request(11, 5, &noise)),
        ("InitProducerId cut short", request(22, 1, &[0, 9])),
    ] {
        let mut stream = connect(broker);
        stream.write_all(&bytes).expect("the broker reads");
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        let is_reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(closed.as_ref().is_ok() || closed.as_ref().is_err_and(is_reset), "{what}: {closed:?}");
        assert!(answer.is_empty(), "{what}: {answer:?}");
        still_serves(broker);
    }
}

fn half_a_request_harms_nobody(broker: &Broker) {
    let whole = request(3, 4, &[0, 0, 0, 0, 0]);
    let mut waiting: Vec<TcpStream> = Vec::new();
    for cut in [1, 3, 4, 5, 10] {
        let mut stream = connect(broker);
        stream.write_all(&whole[..cut]).expect("the broker reads");
        waiting.push(stream);
    }
    still_serves(broker);
    // The first of them goes on after all: a slow client is no bad client.
    let mut slow = waiting.remove(0);
    slow.write_all(&whole[1..]).expect("the broker reads");
    let mut head = [0; 8];
    slow.read_exact(&mut head).expect("the broker answers");
    assert_eq!(head[4..], 7_i32.to_be_bytes(), "the correlation id comes back");
    drop(waiting);
    still_serves(broker);
}

/// ApiVersions is the one request that is answered in its oldest form when its version is unknown.
fn a_too_new_client_is_told_what_is_spoken(broker: &Broker) {
    let mut stream = connect(broker);
    // Header of version 2 ends with its tagged fields; the body is whatever the future holds.
    stream.write_all(&request(18, 99, &[0, 1, 2, 3])).expect("the broker reads");
    let mut head = [0; 14];
    stream.read_exact(&mut head).expect("the broker answers");
    assert_eq!(head[4..8], 7_i32.to_be_bytes(), "the correlation id comes back");
    assert_eq!(head[8..10], 35_i16.to_be_bytes(), "UNSUPPORTED_VERSION");
    assert!(i32::from_be_bytes([head[10], head[11], head[12], head[13]]) > 0, "and what is spoken");
}
