//! later
pub struct Cache;
pub enum CacheError {}
