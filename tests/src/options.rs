//! What a host is started with.

use std::collections::BTreeMap;
use std::sync::Arc;

use forge::{CheckConclusion, CheckPolicy};

use crate::{Database, MODEL_KEY, RolesDir, ScriptedModels, TestForge};

/// How a test wants its host. The default: one host, the executor, a repository `demo/sample` whose one check is
/// green at once, a database of its own, and short times.
#[derive(Debug, Clone)]
pub struct Options {
    /// None: the executor as it was built.
    pub roles: Option<Arc<RolesDir>>,
    /// Check runs that each new commit of a branch gets.
    pub checks: Vec<CheckPolicy>,
    /// Added to the environment, or instead of what would be there; an empty value counts as unset.
    pub env: BTreeMap<String, String>,
    /// None: a fresh one.
    pub database: Option<Arc<Database>>,
    /// None: one of its own.
    pub forge: Option<Arc<TestForge>>,
    /// Processes over the same database.
    pub hosts: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            roles: None,
            checks: vec![CheckPolicy {
                branches: "feature/*".to_owned(),
                name: "ci".to_owned(),
                conclusion: CheckConclusion::Success,
                after_ms: 0,
            }],
            env: BTreeMap::new(),
            database: None,
            forge: None,
            hosts: 1,
        }
    }
}

impl Options {
    /// Other roles instead of the executor.
    #[must_use]
    pub fn roles(mut self, roles: RolesDir) -> Self {
        self.roles = Some(Arc::new(roles));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_string());
        self
    }

    /// With a key, for models that this server stands in for.
    #[must_use]
    pub fn models(self, models: &ScriptedModels) -> Self {
        self.env("OPENROUTER_API_KEY", MODEL_KEY).env("OPENROUTER_BASE_URL", &models.url())
    }

    #[must_use]
    pub fn hosts(mut self, hosts: usize) -> Self {
        self.hosts = hosts;
        self
    }

    #[must_use]
    pub fn checks(mut self, checks: Vec<CheckPolicy>) -> Self {
        self.checks = checks;
        self
    }

    #[must_use]
    pub fn database(mut self, database: Arc<Database>) -> Self {
        self.database = Some(database);
        self
    }

    #[must_use]
    pub fn forge(mut self, forge: Arc<TestForge>) -> Self {
        self.forge = Some(forge);
        self
    }
}
