//! `workers-read`, `metrics-read` and `logs-read`.

/// A look at the workers.
#[derive(Clone, Debug)]
pub enum WorkerQuery {}

/// A measurement.
#[derive(Clone, Debug)]
pub enum MetricQuery {}

/// A look at the execution log.
#[derive(Clone, Debug)]
pub enum LogQuery {}
