//! What can be typed of learnings and reports.

use std::path::PathBuf;

use clap::Subcommand;
use uuid::Uuid;

use crate::task::TaskId;

#[derive(Debug, Subcommand)]
pub(super) enum LearningCommand {
    /// Search learnings, best first.
    Search {
        /// Words that must all occur; "a phrase", or, and -word work as on the web.
        #[arg(required = true)]
        words: Vec<String>,
        /// Only those with this tag.
        #[arg(long)]
        tag: Option<String>,
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
        limit: u32,
        /// Where the page before said that it goes on.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// List learnings, newest first.
    List {
        /// Only those with this tag.
        #[arg(long)]
        tag: Option<String>,
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
        limit: u32,
        /// Where the page before said that it goes on.
        #[arg(long)]
        cursor: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ReportCommand {
    /// List reports, newest first.
    List {
        /// Only those of one task.
        #[arg(long, value_name = "ID")]
        task: Option<TaskId>,
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
        limit: u32,
        /// Where the page before said that it goes on.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Print a report's Markdown.
    Show {
        id: Uuid,
        /// Write its charts to this folder, too: 0.svg, 1.svg and so on. Nothing there is overwritten.
        #[arg(long, value_name = "DIR")]
        charts: Option<PathBuf>,
    },
}
