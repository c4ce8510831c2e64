//! Records that no service can read: each becomes a dead letter.

use super::random::Random;
use super::requests;
use crate::record::Message;
use crate::topics;

pub(super) fn message(random: &mut Random, timestamp_ms: i64) -> Message {
    let (topic, _) = *random.pick(&topics::FED);
    let account = requests::account_number(random.between(0, 10));
    let values: [&[u8]; 5] = [b"not JSON", b"{\"guid\":\"cut", b"\xff\xfe\x00poison", b"", b"[\"no\",\"object\"]"];
    let value = random.pick(&values).to_vec();
    let key = if topic == topics::MARKET_FEED { "BTC-USD".to_owned() } else { account };
    Message { topic, key: Some(key.into_bytes()), value: Some(value), timestamp_ms }
}
