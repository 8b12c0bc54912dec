//! What can be typed.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(super) use super::goal_args::GoalCommand;
pub(super) use super::governance_args::{
    AlertCommand, ApprovalCommand, ApprovalListArguments, AuditCommand, EvidenceCommand, ExplainArguments,
    PolicyCommand, ScheduleCommand, VerifyArguments,
};
pub(super) use super::knowledge_args::{LearningCommand, ReportCommand};
pub(super) use super::role_args::RoleCommand;
use crate::db::tokens::TokenRole;
use crate::repo::Repository;
use crate::task::{GoalId, Priority, Risk, TaskId, TaskStatus};

/// Runs autonomous workers as WebAssembly components that can do what they were granted, and nothing else.
#[derive(Debug, Parser)]
#[command(name = "juggernaut", version = crate::crash::VERSION, propagate_version = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    /// Print JSON, exactly as the API gives it.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the host: the API and the workers.
    Serve,
    /// Run a host on this machine, with a database and a GitHub-compatible forge of its own.
    Dev(DevArguments),
    /// Bring the database (DATABASE_URL) up to date.
    Migrate,
    /// Create, watch and stop tasks.
    Task {
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Have tasks created again and again.
    Schedule {
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Have a goal split into tasks, and see how far it is.
    Goal {
        #[command(subcommand)]
        command: GoalCommand,
    },
    /// See what waits for a person, and decide.
    Approval {
        #[command(subcommand)]
        command: ApprovalCommand,
    },
    /// See and settle alerts.
    Alert {
        #[command(subcommand)]
        command: AlertCommand,
    },
    /// See what roles learnt.
    Learning {
        #[command(subcommand)]
        command: LearningCommand,
    },
    /// Read reports.
    Report {
        #[command(subcommand)]
        command: ReportCommand,
    },
    /// See workers.
    Worker {
        #[command(subcommand)]
        command: WorkerCommand,
    },
    /// See what language models may take, and took.
    Budget {
        #[command(subcommand)]
        command: BudgetCommand,
    },
    /// Write, try and review roles; needs no host.
    Role {
        #[command(subcommand)]
        command: RoleCommand,
    },
    /// Review policies; needs no host.
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Run a role's component against the journal of an attempt, without any effect, in the database (DATABASE_URL)
    /// itself: status 0 if it takes the same path, 3 if it diverges.
    Replay(ReplayArguments),
    /// Look again at what completed tasks stand on, with the database (DATABASE_URL) and GitHub (GITHUB_TOKEN).
    Evidence {
        #[command(subcommand)]
        command: EvidenceCommand,
    },
    /// Manage the API's tokens, in the database (DATABASE_URL) itself.
    Token {
        #[command(subcommand)]
        command: TokenCommand,
    },
    /// Verify and export the audit log, in the database (DATABASE_URL) itself.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Run a command with a private database.
    #[command(hide = true)]
    DevDatabase {
        /// Folder that the database lives in.
        #[arg(long, value_name = "DIR")]
        home: PathBuf,
        /// The command and its arguments.
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(super) struct DevArguments {
    /// Address and port of the API.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Option<SocketAddr>,
    /// Folder for the database, the forge and the command line's token.
    #[arg(long, value_name = "DIR", default_value = ".juggernaut")]
    pub(super) home: PathBuf,
    /// Folder of the roles; JUGGERNAUT_ROLES if unset.
    #[arg(long, value_name = "DIR")]
    pub(super) roles: Option<PathBuf>,
    /// A repository of the local forge and the folder that it is filled from; can be given more than once.
    #[arg(long = "forge-seed", value_name = "OWNER/NAME=DIR", value_parser = forge_seed)]
    pub(super) forge_seeds: Vec<(String, PathBuf)>,
    /// A check run that the local forge gives to each new head of a feature branch, for example ci=success@500; can be
    /// given more than once.
    #[arg(long = "forge-check", value_name = "NAME=CONCLUSION@MS", value_parser = forge_check)]
    pub(super) forge_checks: Vec<String>,
}

pub(super) fn forge_seed(text: &str) -> Result<(String, PathBuf), String> {
    let (repository, folder) = text.split_once('=').ok_or("it is not OWNER/NAME=DIR")?;
    Repository::parse(repository).map_err(|error| error.to_string())?;
    if folder.is_empty() {
        return Err("it names no folder behind the '='".to_owned());
    }
    Ok((repository.to_owned(), PathBuf::from(folder)))
}

/// Only the shape: which conclusions there are, the forge knows.
pub(super) fn forge_check(text: &str) -> Result<String, String> {
    let usage = "it is not NAME=CONCLUSION@MS, for example ci=success@500";
    let (name, rest) = text.rsplit_once('=').ok_or(usage)?;
    let (conclusion, after_ms) = rest.split_once('@').ok_or(usage)?;
    if name.is_empty() || conclusion.is_empty() || after_ms.parse::<u64>().is_err() {
        return Err(usage.to_owned());
    }
    Ok(text.to_owned())
}

#[derive(Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// Create a task.
    Create(CreateArguments),
    /// List tasks, newest first.
    List(ListArguments),
    /// Show a task with its dependencies, evidence and newest run.
    Show { id: TaskId },
    /// Print a task's log.
    Logs {
        id: TaskId,
        /// Go on until the task has ended.
        #[arg(long, short)]
        follow: bool,
    },
    /// Print a task's journal: what its run called, in order.
    Steps {
        id: TaskId,
        /// The newest attempt if unset.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        attempt: Option<u32>,
    },
    /// Print an attempt's calls with their times: how long each took, and what passed between them.
    Trace {
        id: TaskId,
        /// The newest attempt if unset.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        attempt: Option<u32>,
    },
    /// End a task that has not ended.
    Cancel { id: TaskId },
    /// Give a task that failed, was cancelled or is a dead letter one more attempt.
    Retry { id: TaskId },
}

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// The task.
    pub(super) id: TaskId,
    /// The newest attempt if unset.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) attempt: Option<u32>,
    /// Another component than the attempt began with: shows where it would take another path.
    #[arg(long, value_name = "FILE")]
    pub(super) component: Option<PathBuf>,
    /// Its manifest; capabilities.toml beside it, or that of the role, if unset.
    #[arg(long, value_name = "FILE", requires = "component")]
    pub(super) manifest: Option<PathBuf>,
    /// The folder of roles; JUGGERNAUT_ROLES if unset.
    #[arg(long, value_name = "DIR")]
    pub(super) roles: Option<PathBuf>,
    /// Print what the role says, too.
    #[arg(long)]
    pub(super) log: bool,
}

#[derive(Debug, Args)]
pub(super) struct CreateArguments {
    /// A whole task as JSON, or a list of up to 1000 (all are created, or none is), from a file or - for stdin; instead
    /// of the other flags.
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "title", "description", "task_type", "priority", "risk", "payload", "criteria", "depends_on", "worker",
        "attempts_max", "deadline",
    ])]
    pub(super) file: Option<PathBuf>,
    /// What is to be done, in one line.
    #[arg(long, required_unless_present = "file")]
    pub(super) title: Option<String>,
    #[arg(long)]
    pub(super) description: Option<String>,
    /// One of the task types, for example code.
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "file")]
    pub(super) task_type: Option<String>,
    #[arg(long)]
    pub(super) priority: Option<Priority>,
    /// The least risk that it is treated with.
    #[arg(long)]
    pub(super) risk: Option<Risk>,
    /// The payload, a JSON object, from a file or - for stdin.
    #[arg(long, value_name = "FILE")]
    pub(super) payload: Option<PathBuf>,
    /// An acceptance criterion: text, or a typed one as JSON; can be given more than once.
    #[arg(long = "criterion", value_name = "TEXT|JSON")]
    pub(super) criteria: Vec<String>,
    /// A task that must be completed first; can be given more than once.
    #[arg(long, value_name = "ID")]
    pub(super) depends_on: Vec<TaskId>,
    /// A worker type or worker id that it is meant for.
    #[arg(long, value_name = "NAME")]
    pub(super) worker: Option<String>,
    /// How many attempts it gets.
    #[arg(long, value_name = "N")]
    pub(super) attempts_max: Option<u32>,
    /// Until when it is wanted, for example 2027-01-31T18:00:00Z; what has not ended by then fails.
    #[arg(long, value_name = "TIME")]
    pub(super) deadline: Option<String>,
    /// Follow it until it has ended; the exit status is 0 only if it is completed.
    #[arg(long)]
    pub(super) wait: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[arg(long)]
    pub(super) status: Option<TaskStatus>,
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) task_type: Option<String>,
    #[arg(long)]
    pub(super) priority: Option<Priority>,
    /// Tasks that are meant for this worker type or id, or claimed by it.
    #[arg(long, value_name = "NAME")]
    pub(super) worker: Option<String>,
    /// Tasks that work for this goal.
    #[arg(long, value_name = "ID")]
    pub(super) goal: Option<GoalId>,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200), default_value_t = 50)]
    pub(super) limit: u32,
    /// Where the page before said that it goes on.
    #[arg(long)]
    pub(super) cursor: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum WorkerCommand {
    /// List workers and how they are.
    List,
}

#[derive(Debug, Subcommand)]
pub(super) enum BudgetCommand {
    /// Show today's (UTC) budget and what each model took of it.
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Create a token; its secret is shown this once.
    Create {
        /// Whose token it is, for example alice@example.org.
        #[arg(long)]
        principal: String,
        #[arg(long)]
        role: TokenRole,
        /// It ends after so many days; never if unset.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        expires_days: Option<u32>,
    },
    /// List tokens, without their secrets.
    List,
    /// Revoke a token, by its id or the beginning of it.
    Revoke { id: String },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_seed_names_a_repository_and_a_folder() {
        assert_eq!(forge_seed("acme/demo=/tmp/x").unwrap(), ("acme/demo".to_owned(), PathBuf::from("/tmp/x")));
        for wrong in ["acme/demo", "acme=/tmp", "acme/demo="] {
            assert!(forge_seed(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_check_names_its_conclusion_and_when() {
        assert_eq!(forge_check("ci/unit=1=success@0").unwrap(), "ci/unit=1=success@0");
        for wrong in ["ci", "ci=success", "ci=success@soon", "=success@1", "ci=@1"] {
            assert!(forge_check(wrong).is_err(), "{wrong}");
        }
    }
}
