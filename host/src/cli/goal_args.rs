//! What can be typed of goals.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::task::{GoalId, GoalState, Priority};

#[derive(Debug, Subcommand)]
pub(super) enum GoalCommand {
    /// Create a goal: a role splits it into tasks, and follows them.
    Create(Box<GoalCreateArguments>),
    /// List goals, newest first.
    List(GoalListArguments),
    /// Show a goal with its tasks, their evidence and how it ended.
    Show { id: GoalId },
    /// Give an open goal up, with its tasks.
    Cancel { id: GoalId },
}

#[derive(Debug, Args)]
pub(super) struct GoalCreateArguments {
    /// A whole goal as JSON, from a file or - for stdin; instead of the other flags.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "title", "description", "criteria", "priority", "plan", "replans_max",
    ])]
    pub(super) file: Option<PathBuf>,
    /// What is wanted, in one line.
    #[arg(long, required_unless_present = "file")]
    pub(super) title: Option<String>,
    #[arg(long)]
    pub(super) description: Option<String>,
    /// An acceptance criterion: text, or a typed one as JSON; can be given more than once.
    #[arg(long = "criterion", value_name = "TEXT|JSON")]
    pub(super) criteria: Vec<String>,
    #[arg(long)]
    pub(super) priority: Option<Priority>,
    /// The plan: a list of tasks as JSON, each with a key, and dependencies by keys, from a file or - for stdin. Without one
    /// a model is asked.
    #[arg(long, value_name = "FILE")]
    pub(super) plan: Option<PathBuf>,
    /// How often it may be planned anew after a failure, 0 to 20.
    #[arg(long, value_name = "N")]
    pub(super) replans_max: Option<u32>,
    /// Follow it until it has ended; the exit status is 0 only if it is completed.
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct GoalListArguments {
    #[arg(long)]
    pub(super) state: Option<GoalState>,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
    pub(super) limit: u32,
    /// Where the page before said that it goes on.
    #[arg(long)]
    pub(super) cursor: Option<String>,
}
