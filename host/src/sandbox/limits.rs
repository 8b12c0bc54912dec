//! What a run may use of memory and tables.

use wasmtime::ResourceLimiter;

/// Refuses growth past the manifest's limit and remembers that it did: to the guest, and in the trap, running out of
/// memory looks like any panic.
#[derive(Debug)]
pub(super) struct Limiter {
    memory_bytes_max: usize,
    pub(super) memory_refused: bool,
}

/// Elements in all tables of one guest module; ours have a few hundred.
const TABLE_ELEMENTS_MAX: usize = 50_000;

impl Limiter {
    pub(super) fn new(memory_mib: u32) -> Self {
        Self { memory_bytes_max: (memory_mib as usize) << 20, memory_refused: false }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= self.memory_bytes_max;
        self.memory_refused |= !fits;
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory_refused = true;
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS_MAX)
    }

    fn memories(&self) -> usize {
        1
    }
}
