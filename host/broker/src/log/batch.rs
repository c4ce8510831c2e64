//! The record batch of Kafka's message format 2: its 61-byte header, its CRC, and control markers.
//! Format: Apache Kafka's `DefaultRecordBatch`.
//! Does not look into records (`log::record`).

pub const HEADER_BYTES: usize = 61;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// Why bytes are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("fewer bytes than a batch needs")]
    Short,
    #[error("message format {0} instead of 2")]
    Magic(u8),
    #[error("a length or count that contradicts itself")]
    Inconsistent,
    #[error("its CRC does not match")]
    Crc,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: i64,
    /// The whole batch with its header.
    pub size_bytes: usize,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp_ms: i64,
    pub max_timestamp_ms: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

fn bytes_at<const N: usize>(batch: &[u8], at: usize) -> [u8; N] {
    batch[at..at + N].try_into().expect("the caller checked the length")
}

impl BatchHeader {
    /// Reads the header; the body may not be there yet.
    pub fn parse(batch: &[u8]) -> Result<Self, BatchError> {
        if batch.len() < HEADER_BYTES {
            return Err(BatchError::Short);
        }
        if batch[16] != 2 {
            return Err(BatchError::Magic(batch[16]));
        }
        let length = i32::from_be_bytes(bytes_at(batch, 8));
        let header = Self {
            base_offset: i64::from_be_bytes(bytes_at(batch, 0)),
            size_bytes: length.max(0) as usize + 12,
            attributes: i16::from_be_bytes(bytes_at(batch, 21)),
            last_offset_delta: i32::from_be_bytes(bytes_at(batch, 23)),
            base_timestamp_ms: i64::from_be_bytes(bytes_at(batch, 27)),
            max_timestamp_ms: i64::from_be_bytes(bytes_at(batch, 35)),
            producer_id: i64::from_be_bytes(bytes_at(batch, 43)),
            producer_epoch: i16::from_be_bytes(bytes_at(batch, 51)),
            base_sequence: i32::from_be_bytes(bytes_at(batch, 53)),
            record_count: i32::from_be_bytes(bytes_at(batch, 57)),
        };
        if header.size_bytes < HEADER_BYTES || header.last_offset_delta < 0 || header.record_count < 0 {
            return Err(BatchError::Inconsistent);
        }
        Ok(header)
    }

    /// The header of the whole, intact batch at the start of `bytes`.
    pub fn parse_intact(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::parse(bytes)?;
        let batch = bytes.get(..header.size_bytes).ok_or(BatchError::Short)?;
        if u32::from_be_bytes(bytes_at(batch, 17)) != crc32c::crc32c(&batch[21..]) {
            return Err(BatchError::Crc);
        }
        Ok(header)
    }

    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Sequence numbers wrap from `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME != 0
    }

    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub fn codec(&self) -> i16 {
        self.attributes & CODEC_MASK
    }

    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// The base timestamp is the time from which tombstones in this batch may be dropped (KIP-534).
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON != 0
    }

    /// The same without what ties the batch to a transaction.
    pub fn without_transaction(self) -> Self {
        Self { attributes: self.attributes & !TRANSACTIONAL, ..self }
    }

    pub fn with_delete_horizon(self, horizon_ms: i64) -> Self {
        Self { attributes: self.attributes | DELETE_HORIZON, base_timestamp_ms: horizon_ms, ..self }
    }

    /// The same offsets and producer, no records. A marker becomes nobody's batch: it has no sequence.
    pub fn emptied(self) -> Self {
        let attributes = self.attributes & !TRANSACTIONAL & !CODEC_MASK & !DELETE_HORIZON & !CONTROL;
        let producer_id = if self.is_control() { -1 } else { self.producer_id };
        Self { attributes, producer_id, record_count: 0, ..self }
    }
}

/// Header fields of a batch to be built by us.
pub struct Build<'a> {
    pub header: BatchHeader,
    pub body: &'a [u8],
}

impl Build<'_> {
    /// The batch's bytes with length and CRC filled in.
    pub fn bytes(&self) -> Vec<u8> {
        let header = &self.header;
        let mut batch = vec![0; HEADER_BYTES];
        batch[0..8].copy_from_slice(&header.base_offset.to_be_bytes());
        batch[8..12].copy_from_slice(&((HEADER_BYTES - 12 + self.body.len()) as i32).to_be_bytes());
        batch[16] = 2;
        batch[21..23].copy_from_slice(&header.attributes.to_be_bytes());
        batch[23..27].copy_from_slice(&header.last_offset_delta.to_be_bytes());
        batch[27..35].copy_from_slice(&header.base_timestamp_ms.to_be_bytes());
        batch[35..43].copy_from_slice(&header.max_timestamp_ms.to_be_bytes());
        batch[43..51].copy_from_slice(&header.producer_id.to_be_bytes());
        batch[51..53].copy_from_slice(&header.producer_epoch.to_be_bytes());
        batch[53..57].copy_from_slice(&header.base_sequence.to_be_bytes());
        batch[57..61].copy_from_slice(&header.record_count.to_be_bytes());
        batch.extend_from_slice(self.body);
        let crc = crc32c::crc32c(&batch[21..]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        batch
    }
}

/// The end of a transaction in one partition: a control batch of one record (Apache Kafka's `EndTransactionMarker`).
pub fn marker(producer_id: i64, producer_epoch: i16, commit: bool, now_ms: i64) -> Vec<u8> {
    // Record: length 16, attributes, timestamp delta, offset delta, key of 4 (version, type), value of 6
    // (version, coordinator epoch), no headers. All lengths are zigzag varints, hence doubled.
    let body = [32, 0, 0, 0, 8, 0, 0, 0, u8::from(commit), 12, 0, 0, 0, 0, 0, 0, 0];
    let header = BatchHeader {
        base_offset: 0,
        size_bytes: 0,
        attributes: TRANSACTIONAL | CONTROL,
        last_offset_delta: 0,
        base_timestamp_ms: now_ms,
        max_timestamp_ms: now_ms,
        producer_id,
        producer_epoch,
        base_sequence: -1,
        record_count: 1,
    };
    Build { header, body: &body }.bytes()
}

/// Whether a control batch ends its transaction by a commit; `None` for other control batches.
pub fn marker_commits(batch: &[u8]) -> Option<bool> {
    let record = crate::log::record::records(batch.get(HEADER_BYTES..)?, 1).next()?.ok()?;
    match record.key? {
        [_, _, 0, 0] => Some(false),
        [_, _, 0, 1] => Some(true),
        _ => None,
    }
}
