//! What a component may use of the host, and the meter that counts it during a call.

use wasmtime::ResourceLimiter;

/// Bounds of one processor. Each applies to one instance or one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories of an instance. Less than 64 MiB is too little for Python.
    pub memory_bytes_max: usize,
    /// An instance is replaced after a call that leaves it with more: some languages only grow.
    pub memory_bytes_recycle: usize,
    /// CPU time of a call, whatever its size…
    pub call_cpu_ms: u64,
    /// …and for each of its records.
    pub record_cpu_us: u64,
    /// CPU time of `open`, with the initialisation of the language.
    pub open_cpu_ms: u64,
    /// Frames returned by a call.
    pub output_bytes_max: usize,
    /// Keys and values written by a call.
    pub state_bytes_max: usize,
    /// Lines logged by a call, those on standard output and error included.
    pub log_lines_max: usize,
    pub log_bytes_max: usize,
    /// Size of the component file.
    pub component_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 << 20,
            memory_bytes_recycle: 192 << 20,
            // A tenth of max.poll.interval.ms (5 min) is the outer bound of a call of 500 records.
            call_cpu_ms: 1_000,
            record_cpu_us: 20_000,
            open_cpu_ms: 10_000,
            output_bytes_max: 32 << 20,
            state_bytes_max: 32 << 20,
            log_lines_max: 100,
            log_bytes_max: 64 << 10,
            // Python brings 19 MB, SpiderMonkey 12.
            component_bytes_max: 64 << 20,
        }
    }
}

/// Entries of a component's function tables, all together; the largest language runtimes have some tens of thousands.
const TABLE_ELEMENTS_MAX: usize = 1_000_000;

/// Core instances, memories and tables inside one component.
const CORE_PARTS_MAX: usize = 64;

/// Counts what an instance holds and a call uses.
#[derive(Debug)]
pub(super) struct Meter {
    memory_bytes_max: usize,
    memory_bytes: usize,
    table_elements: usize,
    /// Whether memory was refused since the call began: what follows is the consequence.
    is_refused: bool,
    state_bytes_max: usize,
    state_bytes: usize,
}

impl Meter {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            memory_bytes_max: limits.memory_bytes_max,
            memory_bytes: 0,
            table_elements: 0,
            is_refused: false,
            state_bytes_max: limits.state_bytes_max,
            state_bytes: 0,
        }
    }

    pub(super) fn begin_call(&mut self) {
        self.is_refused = false;
        self.state_bytes = 0;
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub(super) fn memory_bytes_max(&self) -> usize {
        self.memory_bytes_max
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Counts bytes written to stores.
    ///
    /// # Errors
    /// The limit, if this call has written more.
    #[inline]
    pub(super) fn count_state(&mut self, bytes: usize) -> Result<(), usize> {
        self.state_bytes += bytes;
        if self.state_bytes > self.state_bytes_max { Err(self.state_bytes_max) } else { Ok(()) }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.memory_bytes + (desired - current);
        let fits = total <= self.memory_bytes_max;
        if fits {
            self.memory_bytes = total;
        }
        self.is_refused |= !fits;
        Ok(fits)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.table_elements + (desired - current);
        let fits = total <= TABLE_ELEMENTS_MAX;
        if fits {
            self.table_elements = total;
        }
        self.is_refused |= !fits;
        Ok(fits)
    }

    fn instances(&self) -> usize {
        CORE_PARTS_MAX
    }

    fn tables(&self) -> usize {
        CORE_PARTS_MAX
    }

    fn memories(&self) -> usize {
        CORE_PARTS_MAX
    }
}
