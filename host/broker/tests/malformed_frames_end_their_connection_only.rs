//! Bytes that are no request: the connection ends, the broker lives on, and memory stays bounded.
//! Owns the corpus: random bytes, cut and flipped real requests, lying lengths and counts.
//! Knows only the port.

#[path = "support/clients.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use support::*;
use wasmill_broker::{Broker, BrokerConfig};

/// A small generator: the same bytes in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Sends raw bytes and reads until the broker closes or has nothing to say.
fn send(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("the listener lives");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
    let _ = stream.write_all(bytes);
    let mut answer = [0; 4_096];
    while matches!(stream.read(&mut answer), Ok(count) if count > 0) {}
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let head = [&key.to_be_bytes()[..], &version.to_be_bytes(), &1i32.to_be_bytes(), &[0, 1, b'c']].concat();
    [head, body.to_vec()].concat()
}

#[test]
fn the_broker_outlives_whatever_is_sent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let broker = Broker::start(BrokerConfig::new(folder.path())).expect("the broker starts");
    let address = broker.address();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..60 {
        let length = random.next() % 300;
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        send(address, &bytes);
        send(address, &framed(&bytes));
    }
    // Every request number with random bodies, and with counts that claim two thousand million elements.
    for key in -1..70i16 {
        for version in [-1, 0, 3, 7, 99] {
            let body: Vec<u8> = (0..random.next() % 40).map(|_| random.next() as u8 % 4).collect();
            let lying = [0x7f, 0xff, 0xff, 0xff].repeat(8);
            let mut stream = framed(&request(key, version, &body));
            stream.extend(framed(&request(key, version, &lying)));
            send_quickly(address, &stream);
        }
    }
    for length in [0u32, 1, 7, (128 << 20) + 1, u32::MAX] {
        send(address, &length.to_be_bytes());
    }
    // A frame that promises 128 MiB and never comes.
    let mut promise = TcpStream::connect(address).expect("the listener lives");
    promise.write_all(&(128u32 << 20).to_be_bytes()).expect("written");
    let servers = address.to_string();
    create_topic(&servers, "t", 1, &[]);
    let producer: BaseProducer = client(&servers).create().expect("a producer");
    producer.send(BaseRecord::<(), _>::to("t").payload("alive")).expect("queued");
    producer.flush(10 * SECOND).expect("delivered");
    assert_eq!(read_all(&servers, "t", 1, "read_committed"), ["alive"]);
    drop(promise);
    broker.stop();
}

/// Does not wait for the answer.
fn send_quickly(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("the listener lives");
    let _ = stream.write_all(bytes);
}

#[test]
fn a_folder_in_use_is_refused_and_free_again_after_a_stop() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = Broker::start(BrokerConfig::new(folder.path())).expect("the broker starts");
    let error = Broker::start(BrokerConfig::new(folder.path())).expect_err("in use");
    assert!(error.to_string().contains("in use by another broker"), "{error}");
    first.stop();
    Broker::start(BrokerConfig::new(folder.path())).expect("free again").stop();
    std::fs::remove_file(folder.path().join("journal")).expect("removed");
    let error = Broker::start(BrokerConfig::new(folder.path())).expect_err("topics without a journal");
    assert!(error.to_string().contains("journal is missing"), "{error}");
}

#[test]
fn a_stop_ends_long_polls_and_joins_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let broker = Broker::start(BrokerConfig::new(folder.path())).expect("the broker starts");
    let servers = broker.address().to_string();
    create_topic(&servers, "t", 1, &[]);
    let reader = subscribed(&servers, "g", "t", "one", "range");
    wait_until("the assignment", || {
        use rdkafka::consumer::Consumer;
        reader.poll(Duration::from_millis(5));
        reader.assignment().is_ok_and(|list| list.count() == 1)
    });
    let begin = std::time::Instant::now();
    broker.stop();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}
