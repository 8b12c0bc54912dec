//! `learnings`.

/// A look at learnings.
#[derive(Clone, Debug)]
pub enum LearningQuery {}

/// A change of learnings.
#[derive(Clone, Debug)]
pub enum LearningChange {}
