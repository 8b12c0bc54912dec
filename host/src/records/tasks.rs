//! `tasks`.

/// A look at tasks.
#[derive(Clone, Debug)]
pub enum TaskQuery {}

/// A change of tasks.
#[derive(Clone, Debug)]
pub enum TaskChange {}
