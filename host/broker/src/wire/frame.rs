//! One request as it came and one answer as it goes: header, body, length.
//! Owns the checks that make decoding safe.
//! Does not know what a request asks.

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use super::{shape, versions};
use crate::config::CONTROL_FRAME_BYTES_MAX;

/// Why a frame is not answered and its connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("request {key} is not served")]
    Key { key: i16 },
    #[error("{key:?} version {version} is not served")]
    Version { key: ApiKey, version: i16 },
    #[error("{key:?} version {version} of {bytes} bytes is larger than any sensible one")]
    Size { key: ApiKey, version: i16, bytes: usize },
    #[error("{key:?} version {version} is malformed")]
    Shape { key: ApiKey, version: i16 },
    #[error("a frame too short for a header")]
    Short,
    #[error("{key:?} version {version}: {reason}")]
    Codec { key: ApiKey, version: i16, reason: String },
}

#[derive(Debug)]
pub struct Request {
    pub key: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    pub client_id: String,
    body: Bytes,
}

impl Request {
    /// Reads the header and checks the body's shape. An unknown version of ApiVersions passes: it has an answer.
    pub fn parse(frame: Bytes) -> Result<Self, FrameError> {
        if frame.len() < 8 {
            return Err(FrameError::Short);
        }
        let mut peek = &frame[..];
        let (number, version) = (peek.get_i16(), peek.get_i16());
        let served = versions::find(number).ok_or(FrameError::Key { key: number })?;
        let key = served.key;
        if !(served.min..=served.max).contains(&version) {
            if key == ApiKey::ApiVersions {
                let correlation_id = peek.get_i32();
                return Ok(Self { key, version, correlation_id, client_id: String::new(), body: Bytes::new() });
            }
            return Err(FrameError::Version { key, version });
        }
        if key != ApiKey::Produce && frame.len() > CONTROL_FRAME_BYTES_MAX {
            return Err(FrameError::Size { key, version, bytes: frame.len() });
        }
        let header_version = key.request_header_version(version);
        let head = if header_version >= 2 { "hhisT" } else { "hhis" };
        let rest = shape::check(head, &frame).ok_or(FrameError::Shape { key, version })?;
        shape::check(&shape::of(key, version), rest).ok_or(FrameError::Shape { key, version })?;
        let mut body = frame;
        let header = RequestHeader::decode(&mut body, header_version).map_err(|error| FrameError::Codec {
            key,
            version,
            reason: error.to_string(),
        })?;
        let client_id = header.client_id.map(|id| id.to_string()).unwrap_or_default();
        Ok(Self { key, version, correlation_id: header.correlation_id, client_id, body })
    }

    pub fn decode<T: Decodable>(&self) -> Result<T, FrameError> {
        T::decode(&mut self.body.clone(), self.version).map_err(|error| self.codec_error(&error))
    }

    /// A whole answer frame.
    pub fn encode<T: Encodable + HeaderVersion>(&self, answer: &T) -> Result<BytesMut, FrameError> {
        self.encode_as(self.version, answer)
    }

    pub fn encode_as<T: Encodable + HeaderVersion>(&self, version: i16, answer: &T) -> Result<BytesMut, FrameError> {
        let mut out = BytesMut::with_capacity(256);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.correlation_id.to_be_bytes());
        if T::header_version(version) >= 1 {
            out.extend_from_slice(&[0]); // no tagged fields
        }
        answer.encode(&mut out, version).map_err(|error| self.codec_error(&error))?;
        let length = (out.len() - 4) as u32;
        out[..4].copy_from_slice(&length.to_be_bytes());
        Ok(out)
    }

    fn codec_error(&self, error: &impl ToString) -> FrameError {
        FrameError::Codec { key: self.key, version: self.version, reason: error.to_string() }
    }
}
