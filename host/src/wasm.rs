//! Components as processors: the only door to wasmtime.
