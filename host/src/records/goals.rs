//! `goals`.

/// A look at goals.
#[derive(Clone, Debug)]
pub enum GoalQuery {}

/// A change of goals.
#[derive(Clone, Debug)]
pub enum GoalChange {}
