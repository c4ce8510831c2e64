//! `Client` over librdkafka: the only door to it.
