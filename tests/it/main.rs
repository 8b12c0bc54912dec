//! The product through its front door: the real binary, a real database, real components, a real forge.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests: a failure is a panic")]
#![allow(clippy::print_stderr, reason = "measured times are for whoever reads the output")]
#![allow(clippy::large_futures, clippy::large_stack_arrays, reason = "a scenario is one future, and runs once")]

use juggernaut_tests as support;

mod api;
mod approval_ends;
mod approval_people;
mod approval_races;
mod approvals;
mod audit;
mod bulk;
mod claims_together;
mod cli;
mod code_task;
mod crash;
mod crash_load;
mod crash_points;
mod dependencies;
mod deploy;
mod deploy_ends;
mod engine;
mod evidence;
mod executor;
mod fairness;
mod fetch;
mod forge_faults;
mod found_risk;
mod goal_models;
mod goal_planners;
mod goals;
mod handed_over;
mod hostile_payloads;
mod hosts;
mod learnings;
mod lease_order;
mod lifecycle;
mod llm;
mod llm_budget;
mod model;
mod model_run;
mod monitoring;
mod notifier;
mod once;
mod own_schedule;
mod paused;
mod policy;
mod quality;
mod queue;
mod recommendations;
mod refused;
mod repeated;
mod replay;
mod reports;
mod role_diff;
mod role_new;
mod roles_lock;
mod sandbox;
mod schedules;
mod secrets;
mod send;
mod send_ends;
mod send_web;
mod smoke;
mod spec_sql;
mod spec_states;
mod stale_statistics;
mod stopping;
mod sweeper;
mod tampering;
mod trace;
mod watchdog;
