//! For authors' unit tests, which run natively: an in-memory host behind the functions that a component would import.

pub(crate) mod host;
