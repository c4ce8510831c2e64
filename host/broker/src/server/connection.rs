//! One connection: reads a frame, answers it, reads the next.
//! Owns the frame buffer and the bounds on it.
//! Does not know requests; a panic while answering one ends this connection only.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};

use crate::api::{self, Peer};
use crate::broker::Shared;
use crate::config::FRAME_BYTES_MAX;
use crate::wire::frame::Request;

/// Memory is taken in steps of this size while a frame arrives, so that its length field alone buys nothing.
const STEP_BYTES: usize = 1 << 20;

/// Buffers larger than this are given back after their request.
const KEPT_BYTES: usize = 4 << 20;

pub fn serve(mut stream: TcpStream, address: SocketAddr, shared: &Shared) {
    let peer = Peer { host: format!("/{}", address.ip()) };
    let mut buffer = BytesMut::new();
    while !shared.is_stopping.load(Ordering::Acquire) {
        let frame = match read_frame(&mut stream, &mut buffer) {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    tracing::warn!(peer = %address, %error, "malformed frame; connection closed");
                }
                return;
            }
        };
        let Ok(answered) = catch_unwind(AssertUnwindSafe(|| answer(shared, &peer, frame))) else {
            tracing::error!(peer = %address, "a request made its handler panic; connection closed");
            return;
        };
        match answered {
            Ok(Some(answer)) => {
                if stream.write_all(&answer).is_err() {
                    return;
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(peer = %address, %error, "request refused; connection closed");
                return;
            }
        }
        if buffer.capacity() > KEPT_BYTES {
            buffer = BytesMut::new();
        }
    }
}

fn answer(shared: &Shared, peer: &Peer, frame: Bytes) -> Result<Option<Bytes>, crate::wire::frame::FrameError> {
    let request = Request::parse(frame)?;
    api::answer(shared, peer, &request)
}

/// The next frame without its length; `None` when the client is gone.
fn read_frame(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        let reason = format!("a frame of {length} bytes; at most {FRAME_BYTES_MAX} are read");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    // What the last request shared is free again, so this takes its place instead of new memory.
    buffer.clear();
    let mut filled = 0;
    while filled < length {
        let next = (filled + STEP_BYTES).min(length);
        buffer.resize(next, 0);
        stream.read_exact(&mut buffer[filled..next])?;
        filled = next;
    }
    Ok(Some(buffer.split().freeze()))
}
