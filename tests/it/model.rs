//! The state machine of a task as a small model: what each operation does, and to whom it is refused.
//!
//! Invariant: pure. It says in a few lines what triggers, fences and statements say in many.

use juggernaut::approval::ApprovalState;
use juggernaut::db::sweep::LEASES_LOST_MAX;
use juggernaut::task::TaskStatus;
use serde_json::{Value, json};

/// Which of the claims so far writes: the newest, or one that may have been lost long ago.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Newest,
    Older(u8),
}

/// How a claim is to end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    Complete,
    /// With evidence that names a step which is not there.
    CompleteByProse,
    Fail,
    Again,
    DeadLetter,
    Suspend,
    Wait,
    Release,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Claim(usize),
    /// A step with its result.
    Read(Who),
    Intend(Who),
    /// The result of the first open intent; without one, of the first step, once more.
    Settle(Who),
    Ask(Who),
    /// Uses the approval up for a new step.
    Use(Who),
    Renew(Who),
    End(Who, End),
    LeaseRunsOut,
    Sweep,
    TimePasses,
    Wake,
    Cancel,
    Retry,
    Approve,
    Deny,
    ApprovalRunsOut,
    /// Somebody writes the status by hand.
    Sql(TaskStatus),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Done,
    /// Nothing was changed.
    Refused,
    /// The same, because the claim has ended.
    LeaseLost,
}
use Outcome::{Done, LeaseLost, Refused};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Never,
    Later,
    Due,
}

#[derive(Clone, Debug)]
pub(crate) struct Model {
    status: TaskStatus,
    attempt: i32,
    lease: i64,
    lease_over: bool,
    leases_lost: i32,
    wake: Wake,
    workers: [String; 2],
    /// Whom the task is meant for, or who has it.
    assigned: String,
    /// What `assigned` goes back to.
    requested: String,
    started: bool,
    /// Whether the attempt has run.
    pub(crate) begun: bool,
    /// Of this attempt; true once it has its result.
    steps: Vec<bool>,
    /// Batches that were stored, each with a line of the log.
    stored: u32,
    approvals: Vec<ApprovalState>,
    /// Fencing numbers of all claims, oldest first.
    claims: Vec<i64>,
}

impl Model {
    pub(crate) fn new(requested: &str, workers: [String; 2], leases_lost: i32) -> Self {
        Self {
            status: TaskStatus::Pending,
            attempt: 1,
            lease: 0,
            lease_over: false,
            leases_lost,
            wake: Wake::Never,
            workers,
            assigned: requested.to_owned(),
            requested: requested.to_owned(),
            started: false,
            begun: false,
            steps: Vec::new(),
            stored: 0,
            approvals: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// Which claim is meant; none before the first.
    pub(crate) fn claim_of(&self, who: Who) -> Option<usize> {
        let newest = self.claims.len().checked_sub(1)?;
        Some(match who {
            Who::Newest => newest,
            Who::Older(number) => usize::from(number) % (newest + 1),
        })
    }

    /// Where a step would be stored next, and where `Settle` stores.
    pub(crate) fn positions(&self) -> (usize, usize) {
        (self.steps.len(), self.steps.iter().position(|done| !done).unwrap_or(0))
    }

    /// A step that evidence can name.
    pub(crate) fn done_step(&self) -> Option<usize> {
        self.steps.iter().position(|done| *done)
    }

    /// The same as the query of `model_run` sees it.
    pub(crate) fn view(&self) -> Value {
        let completed = self.status == TaskStatus::Completed;
        let waits = self.status == TaskStatus::WaitingApproval;
        json!({
            "status": self.status,
            "attempt": self.attempt,
            "lease": self.lease,
            "leases_lost": self.leases_lost,
            "assigned": self.assigned,
            "requested": self.requested,
            "started": self.started,
            "leased": self.status == TaskStatus::InProgress,
            "wakes": self.wake != Wake::Never,
            "evidence": completed,
            "completions": i32::from(completed),
            "waits_for_call": waits,
            "requires_approval": waits,
            "steps": self.steps.iter().map(|done| if *done { "done" } else { "intended" }).collect::<Vec<_>>(),
            "lines": self.stored,
            "approvals": self.approvals.iter().map(|state| state.as_str()).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Claim(worker) => return self.claim(worker),
            Op::Read(who) | Op::Intend(who) | Op::Settle(who) | Op::Ask(who) | Op::Use(who) | Op::Renew(who) => {
                return if self.holds(who) { self.run(op) } else { LeaseLost };
            }
            Op::End(who, end) => return if self.holds(who) { self.end(end) } else { LeaseLost },
            Op::LeaseRunsOut => self.lease_over = self.status == TaskStatus::InProgress,
            Op::Sweep => self.sweep(),
            Op::TimePasses if self.wake == Wake::Later => self.wake = Wake::Due,
            Op::Wake if self.status == TaskStatus::Suspended && self.wake == Wake::Due => self.go(TaskStatus::Pending),
            Op::TimePasses | Op::Wake => {}
            Op::Cancel if self.status.may_become(TaskStatus::Cancelled) => self.go(TaskStatus::Cancelled),
            Op::Cancel => return Refused,
            Op::Retry => return self.retry(),
            Op::Approve | Op::Deny => return self.decide(op),
            Op::ApprovalRunsOut => self.approval_runs_out(),
            Op::Sql(to) => return self.by_hand(to),
        }
        Done
    }

    fn holds(&self, who: Who) -> bool {
        let lease = self.claim_of(who).map(|claim| self.claims[claim]);
        self.status == TaskStatus::InProgress && lease == Some(self.lease)
    }

    fn approval(&self) -> Option<ApprovalState> {
        self.approvals.last().copied()
    }

    fn set_approval(&mut self, to: ApprovalState) {
        *self.approvals.last_mut().expect("an approval") = to;
    }

    /// What every change of the status entails, whoever makes it.
    fn go(&mut self, to: TaskStatus) {
        assert!(self.status.may_become(to), "the model goes from {} to {to}", self.status);
        if to == TaskStatus::InProgress {
            self.lease += 1;
            self.lease_over = false;
            self.requested.clone_from(&self.assigned);
        } else if self.status == TaskStatus::InProgress {
            self.lease += 1;
            if !to.is_final() {
                self.assigned.clone_from(&self.requested);
                self.started = false;
            }
        }
        self.wake = Wake::Never;
        let open = matches!(self.approval(), Some(ApprovalState::Requested | ApprovalState::Approved));
        if to.is_final() && open {
            self.set_approval(ApprovalState::Expired);
        }
        self.status = to;
    }

    pub(crate) fn may_claim(&self, worker: usize) -> bool {
        // Meant for its type, or for itself by name.
        let meant = !self.workers.contains(&self.assigned) || self.assigned == self.workers[worker];
        self.status == TaskStatus::Pending && meant
    }

    fn claim(&mut self, worker: usize) -> Outcome {
        if !self.may_claim(worker) {
            return Refused;
        }
        self.go(TaskStatus::InProgress);
        self.assigned.clone_from(&self.workers[worker]);
        self.started = true;
        self.begun = true;
        self.claims.push(self.lease);
        Done
    }

    /// What a run may do that holds the task.
    fn run(&mut self, op: Op) -> Outcome {
        match op {
            Op::Read(_) => self.steps.push(true),
            Op::Intend(_) => self.steps.push(false),
            Op::Settle(_) if self.steps.is_empty() => self.steps.push(true),
            Op::Settle(_) => match self.steps.iter().position(|done| !done) {
                Some(open) => self.steps[open] = true,
                // A result is written once.
                None => return Refused,
            },
            Op::Use(_) if self.approval() == Some(ApprovalState::Approved) => {
                self.set_approval(ApprovalState::Consumed);
                self.steps.push(true);
            }
            Op::Use(_) => return Refused,
            Op::Ask(_) => {
                if !matches!(self.approval(), Some(ApprovalState::Requested | ApprovalState::Approved)) {
                    self.approvals.push(ApprovalState::Requested);
                }
                return Done;
            }
            Op::Renew(_) => {
                self.lease_over = false;
                return Done;
            }
            other => panic!("{other:?} is nothing that a run does"),
        }
        self.stored += 1;
        Done
    }

    fn end(&mut self, end: End) -> Outcome {
        match end {
            End::CompleteByProse => return Refused,
            End::Complete if self.done_step().is_none() => return Refused,
            End::Complete => self.go(TaskStatus::Completed),
            End::Fail => self.go(TaskStatus::Failed),
            End::DeadLetter => self.go(TaskStatus::DeadLetter),
            End::Release => self.go(TaskStatus::Pending),
            End::Suspend => {
                self.go(TaskStatus::Suspended);
                self.wake = Wake::Later;
            }
            End::Again => {
                self.go(TaskStatus::Suspended);
                self.wake = Wake::Later;
                self.leases_lost = 0;
                self.next_attempt();
            }
            // Decided meanwhile: nothing to wait for.
            End::Wait if self.approval() != Some(ApprovalState::Requested) => self.go(TaskStatus::Pending),
            End::Wait => self.go(TaskStatus::WaitingApproval),
        }
        Done
    }

    fn next_attempt(&mut self) {
        self.attempt += 1;
        self.begun = false;
        self.steps.clear();
    }

    fn sweep(&mut self) {
        if self.status == TaskStatus::InProgress && self.lease_over {
            let given_up = self.leases_lost >= LEASES_LOST_MAX;
            self.leases_lost += 1;
            self.go(if given_up { TaskStatus::DeadLetter } else { TaskStatus::Pending });
        }
    }

    fn retry(&mut self) -> Outcome {
        if !matches!(self.status, TaskStatus::Failed | TaskStatus::Cancelled | TaskStatus::DeadLetter) {
            return Refused;
        }
        self.go(TaskStatus::Pending);
        if self.started {
            self.assigned.clone_from(&self.requested);
        }
        self.started = false;
        self.leases_lost = 0;
        // Only its own journal knows what to look for.
        if self.steps.iter().all(|done| *done) {
            self.next_attempt();
        }
        Done
    }

    fn decide(&mut self, op: Op) -> Outcome {
        if self.approval() != Some(ApprovalState::Requested) {
            return Refused;
        }
        match op {
            Op::Approve => {
                self.set_approval(ApprovalState::Approved);
                if self.status == TaskStatus::WaitingApproval {
                    self.go(TaskStatus::Pending);
                }
            }
            _ => {
                self.set_approval(ApprovalState::Denied);
                self.go(TaskStatus::Failed);
            }
        }
        Done
    }

    fn approval_runs_out(&mut self) {
        match self.approval() {
            Some(ApprovalState::Requested) => {
                self.set_approval(ApprovalState::Expired);
                if self.status == TaskStatus::WaitingApproval {
                    self.go(TaskStatus::Failed);
                }
            }
            Some(ApprovalState::Approved) => self.set_approval(ApprovalState::Expired),
            Some(ApprovalState::Denied | ApprovalState::Expired | ApprovalState::Consumed) | None => {}
        }
    }

    /// Whoever writes the row: no transition that is none, and no completion without evidence.
    fn by_hand(&mut self, to: TaskStatus) -> Outcome {
        if self.status == to {
            return Done;
        }
        if !self.status.may_become(to) || to == TaskStatus::Completed {
            return Refused;
        }
        self.go(to);
        Done
    }
}
