//! stdout and stderr of a guest, as lines of its log.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::log::{LogBuffer, SharedLog, lock};
use super::run::RunError;
use crate::task::LogLevel;

/// What one write to stdout or stderr may carry.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// stdout or stderr of a guest.
#[derive(Clone, Debug)]
pub(super) struct GuestOutput {
    log: SharedLog,
    level: LogLevel,
    action: &'static str,
    /// The line that is not finished yet.
    partial: Arc<Mutex<Vec<u8>>>,
}

impl GuestOutput {
    pub(super) fn new(log: SharedLog, level: LogLevel, action: &'static str) -> Self {
        Self { log, level, action, partial: Arc::default() }
    }

    fn accept(&self, bytes: &[u8]) -> Result<(), RunError> {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        let mut log = lock(&self.log);
        for byte in bytes {
            if *byte == b'\n' || partial.len() > log.line_bytes_max() {
                self.push(&mut log, &mut partial)?;
            }
            if *byte != b'\n' {
                partial.push(*byte);
            }
        }
        Ok(())
    }

    /// Writes out a last line without a line break.
    pub(super) fn finish(&self) -> Result<(), RunError> {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        if partial.is_empty() { Ok(()) } else { self.push(&mut lock(&self.log), &mut partial) }
    }

    fn push(&self, log: &mut LogBuffer, partial: &mut Vec<u8>) -> Result<(), RunError> {
        let line = String::from_utf8_lossy(partial).into_owned();
        partial.clear();
        log.push(self.level, self.action, &line)
    }
}

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestOutput {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_BYTES_MAX {
            let refused = RunError::Trapped(format!("it wrote more than {WRITE_BYTES_MAX} bytes at once"));
            return Err(StreamError::Trap(wasmtime::Error::new(refused)));
        }
        self.accept(&bytes).map_err(|stop| StreamError::Trap(wasmtime::Error::new(stop)))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for GuestOutput {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Poll::Ready(self.accept(bytes).map(|()| bytes.len()).map_err(std::io::Error::other))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
