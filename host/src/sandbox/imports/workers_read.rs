//! `workers-read`.

use serde_json::json;

use crate::journal::{Call, Effect};
use crate::manifest::Interface;
use crate::records::{Query, SeenWorker, WorkerQuery};
use crate::sandbox::bindings::juggernaut::host::workers_read::{Host, Worker};
use crate::sandbox::calls::CallError;
use crate::sandbox::state::RunState;

impl Host for RunState {
    async fn list_workers(&mut self) -> Result<Vec<Worker>, CallError> {
        let call =
            Call { interface: "workers-read", function: "list-workers", effect: Effect::Read, arguments: json!({}) };
        let ask =
            |scope: crate::policy::Scope<'_>| scope.read_records(Interface::WorkersRead, "list-workers", Vec::new());
        let allowed = self.judged(ask).await;
        let seen: Vec<SeenWorker> = self.look(call, allowed, Query::Workers(WorkerQuery::All)).await?;
        Ok(seen.into_iter().map(Worker::from).collect())
    }
}

impl From<SeenWorker> for Worker {
    fn from(seen: SeenWorker) -> Self {
        let SeenWorker { id, worker_type, status, task_types, current_task, silent_seconds } = seen;
        Self { id, worker_type, status, task_types, current_task, silent_seconds }
    }
}
