//! What travels on a connection: frames, versions, the shape of requests, error codes.
//! Owns the table of served versions, so that nothing is advertised that is not answered.
//! Does not know what an answer says.

pub mod error_code;
pub mod fetch;
pub mod frame;
pub mod shape;
pub mod versions;

pub use error_code::ErrorCode;
