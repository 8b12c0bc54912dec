//! The engine, shared by all roles of the process, and the threads that serve it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use wasmtime::{Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How often the epoch moves on: the longest that a guest computes without giving way, and the precision of its limit.
pub(super) const EPOCH_TICK: Duration = Duration::from_millis(10);
/// Largest linear memory of any guest; manifests set their own limit below it.
pub(super) const MEMORY_BYTES_MAX: usize = 512 << 20;
/// What of a linear memory, and of a table, is written back and stays mapped when its slot is reused. More than that is
/// given back to the system, which interrupts the other guest threads each time.
const MEMORY_KEEP_RESIDENT_BYTES: usize = 1 << 20;
const TABLE_KEEP_RESIDENT_BYTES: usize = 64 << 10;
/// Slots that are given back to the system together.
const DECOMMIT_BATCH: usize = 16;
/// A component of ours has a few core modules: the guest and the adapters around it.
const CORE_INSTANCES_PER_COMPONENT_MAX: u32 = 16;
const TABLE_ELEMENTS_MAX: usize = 100_000;

/// What the sandbox is told at start.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where compiled components are kept between starts; none: compiled at each start.
    pub cache_dir: Option<PathBuf>,
    /// Most guests alive at once.
    pub guests_max: u32,
    /// Threads that guests run on.
    pub threads: usize,
}

/// The sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("the component cache in {dir} can not be used: {cause:#}; make the directory writable or unset it", dir = dir.display())]
    Cache { dir: PathBuf, cause: anyhow::Error },
    #[error("the WebAssembly engine does not start: {0:#}")]
    Engine(anyhow::Error),
    #[error("the guests' runtime does not start: {0}")]
    Runtime(std::io::Error),
}

/// The engine with the threads that it needs. One for each process.
#[derive(Debug)]
pub struct Sandbox {
    pub(super) engine: Engine,
    /// None only while it is being dropped.
    guests: Option<Runtime>,
    /// Where network calls of guests run.
    pub(super) outside: Handle,
    ticker: Ticker,
}

impl std::fmt::Debug for Ticker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticker").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// To be called on the host's runtime: outside calls run there.
    pub fn new(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let engine = Engine::new(&engine_config(config)?).map_err(|error| SandboxError::Engine(error.into()))?;
        let guests = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads)
            .thread_name("guest")
            // Look after timers and wake-ups after each poll: a poll of a spinning guest lasts a whole epoch tick.
            .event_interval(1)
            .enable_all()
            .build()
            .map_err(SandboxError::Runtime)?;
        let ticker = Ticker::start(engine.clone()).map_err(SandboxError::Runtime)?;
        Ok(Self { engine, guests: Some(guests), outside: Handle::current(), ticker })
    }

    pub(super) fn guests(&self) -> Option<&Runtime> {
        self.guests.as_ref()
    }

    /// The threads that guests run on, for who measures what a run takes there. None while it is being dropped.
    pub fn guest_threads(&self) -> Option<&Handle> {
        self.guests.as_ref().map(Runtime::handle)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Blocking here would be an error inside the host's runtime, and guests hold nothing that must be saved.
        if let Some(guests) = self.guests.take() {
            guests.shutdown_background();
        }
        self.ticker.stop();
    }
}

fn engine_config(config: &SandboxConfig) -> Result<Config, SandboxError> {
    let mut engine = Config::new();
    engine.wasm_component_model(true);
    engine.epoch_interruption(true);
    engine.memory_init_cow(true);
    // A run is a function of its journal, so the bits of a NaN must be, too.
    engine.cranelift_nan_canonicalization(true);
    engine.wasm_relaxed_simd(false);
    engine.wasm_memory64(false);
    let mut pool = PoolingAllocationConfig::new();
    let guests = config.guests_max.max(1);
    pool.total_component_instances(guests);
    pool.total_core_instances(guests * CORE_INSTANCES_PER_COMPONENT_MAX);
    pool.max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT_MAX);
    pool.total_memories(guests);
    pool.max_memories_per_component(1);
    pool.total_tables(guests * 4);
    pool.max_tables_per_component(4);
    pool.table_elements(TABLE_ELEMENTS_MAX);
    pool.total_stacks(guests);
    pool.max_memory_size(MEMORY_BYTES_MAX);
    pool.linear_memory_keep_resident(MEMORY_KEEP_RESIDENT_BYTES);
    pool.table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    pool.decommit_batch_size(DECOMMIT_BATCH);
    // Only pages that the guest wrote are written back, where the kernel can tell which those are (Linux 6.7).
    pool.pagemap_scan(Enabled::Auto);
    engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    if let Some(dir) = &config.cache_dir {
        let failed = |cause: anyhow::Error| SandboxError::Cache { dir: dir.clone(), cause };
        std::fs::create_dir_all(dir).map_err(|error| failed(error.into()))?;
        let dir = dir.canonicalize().map_err(|error| failed(error.into()))?;
        let mut cache = CacheConfig::new();
        cache.with_directory(dir);
        engine.cache(Some(Cache::new(cache).map_err(|error| failed(error.into()))?));
    }
    Ok(engine)
}

/// Moves the epoch on, on a thread that no guest can hold up.
struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: Engine) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(EPOCH_TICK);
                engine.increment_epoch();
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the epoch thread panicked");
        }
    }
}
