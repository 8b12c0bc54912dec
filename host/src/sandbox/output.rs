//! What a guest says: `task.log`, stdout and stderr, as lines of the execution log within the manifest's limits.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use time::OffsetDateTime;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::run::RunError;
use crate::journal::LogLine;
use crate::task::LogLevel;

/// What one write to stdout or stderr may carry.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// Lines of a run that are not on their way to the recorder yet. Bounded: the run ends when the lines are used up.
#[derive(Debug)]
pub(super) struct LogBuffer {
    lines: VecDeque<LogLine>,
    lines_max: u32,
    line_bytes_max: usize,
    written: u32,
    /// Lines that a run before this one of the same attempt has written already.
    skip: u32,
}

/// Shared between the run and its standard streams.
pub(super) type SharedLog = Arc<Mutex<LogBuffer>>;

impl LogBuffer {
    pub(super) fn shared(lines_max: u32, line_bytes_max: u32, skip: u32) -> SharedLog {
        let lines = VecDeque::new();
        Arc::new(Mutex::new(Self { lines, lines_max, line_bytes_max: line_bytes_max as usize, written: 0, skip }))
    }

    pub(super) fn push(&mut self, level: LogLevel, action: &'static str, message: &str) -> Result<(), RunError> {
        if self.written >= self.lines_max {
            return Err(RunError::OutOfLog { lines_max: self.lines_max });
        }
        self.written += 1;
        if self.written > self.skip {
            let message = cut(message, self.line_bytes_max);
            self.lines.push_back(LogLine { level, action, message, at: OffsetDateTime::now_utc() });
        }
        Ok(())
    }

    pub(super) fn take(&mut self) -> VecDeque<LogLine> {
        std::mem::take(&mut self.lines)
    }
}

pub(super) fn lock(log: &SharedLog) -> std::sync::MutexGuard<'_, LogBuffer> {
    // A panic while the lock is held leaves a log that is short of a line, which is no reason to lose the rest.
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// At most `bytes_max` bytes, marked where it was cut; NUL, which PostgreSQL can not store, made visible.
fn cut(message: &str, bytes_max: usize) -> String {
    let message = message.replace('\0', "\u{2400}");
    if message.len() <= bytes_max {
        return message;
    }
    let end = message.floor_char_boundary(bytes_max);
    format!("{}… (cut: {} bytes)", &message[..end], message.len())
}

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
            if *byte == b'\n' || partial.len() > log.line_bytes_max {
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
