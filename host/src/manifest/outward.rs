//! Grants of what takes effect elsewhere: `[grants.http-send]` and `[grants.deploy]`.

use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::schema::{no_duplicates, within};
use super::{BranchPattern, HostPattern, PathPrefix};
use crate::repo::Repository;
use crate::web::Method;

const TARGETS_MAX: usize = 64;
const PATHS_MAX: usize = 64;
const WORKFLOW_BYTES_MAX: usize = 128;

/// What is wrong, and where if it is one target.
type TargetProblem = (Option<Range<usize>>, String);

/// Send to the web: POST, PUT and PATCH.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSend {
    /// Largest request body, KiB, 1 to 1,024.
    #[schemars(range(min = 1, max = 1024))]
    pub request_kib_max: u32,
    /// Largest answer, KiB, 1 to 4,096.
    #[schemars(range(min = 1, max = 4096))]
    pub response_kib_max: u32,
    /// Longest call, milliseconds, 100 to 60,000.
    #[schemars(range(min = 100, max = 60_000))]
    pub timeout_ms_max: u64,
    /// One table `[[grants.http-send.targets]]` for each host, 1 to 64.
    #[schemars(with = "Vec<SendTarget>", length(min = 1, max = 64))]
    pub targets: Vec<Spanned<SendTarget>>,
}

/// A host, and what may be sent to it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendTarget {
    pub host: HostPattern,
    /// `"POST"`, `"PUT"` and `"PATCH"`.
    #[schemars(schema_with = "sending_methods")]
    pub methods: Vec<Method>,
    /// Prefixes, 1 to 64: `/v1/` is all below it, `/v1` also itself, `/` the whole host.
    #[schemars(length(min = 1, max = 64))]
    pub paths: Vec<PathPrefix>,
    /// Whether the host does nothing twice under one `Idempotency-Key`: then a call whose end is not known is sent again.
    #[serde(default)]
    #[schemars(schema_with = "flag")]
    pub idempotent: bool,
}

fn sending_methods(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "`\"POST\"`, `\"PUT\"` and `\"PATCH\"`.",
        "type": "array", "minItems": 1, "items": { "type": "string", "enum": ["POST", "PUT", "PATCH"] },
    })
}

fn flag(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Whether the host does nothing twice under one `Idempotency-Key`: then a call whose end is not known is sent again.",
        "type": "boolean",
    })
}

impl HttpSend {
    pub(super) fn check(&self) -> Result<(), TargetProblem> {
        let Self { request_kib_max, response_kib_max, timeout_ms_max, targets } = self;
        let whole = |message| (None, message);
        within("http-send.request_kib_max", *request_kib_max, &(1..=1024)).map_err(whole)?;
        within("http-send.response_kib_max", *response_kib_max, &(1..=4096)).map_err(whole)?;
        within("http-send.timeout_ms_max", *timeout_ms_max, &(100..=60_000)).map_err(whole)?;
        within("number of http-send.targets", targets.len(), &(1..=TARGETS_MAX)).map_err(whole)?;
        targets.iter().try_for_each(|target| target.as_ref().check().map_err(|message| (Some(target.span()), message)))
    }
}

impl SendTarget {
    fn check(&self) -> Result<(), String> {
        let Self { host, methods, paths, idempotent: _ } = self;
        if methods.is_empty() {
            return Err(format!(
                "methods of {host} is empty: name \"POST\", \"PUT\" or \"PATCH\", or remove the target"
            ));
        }
        if let Some(method) =
            methods.iter().find(|method| !matches!(method, Method::Post | Method::Put | Method::Patch))
        {
            return Err(format!(
                "methods of {host} has {method}; http-send sends with \"POST\", \"PUT\" and \"PATCH\" alone"
            ));
        }
        within(&format!("number of paths of {host}"), paths.len(), &(1..=PATHS_MAX))
    }
}

/// Start workflows of GitHub Actions, and follow them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deploy {
    /// One table `[[grants.deploy.targets]]` for each workflow, 1 to 64.
    #[schemars(with = "Vec<DeployTarget>", length(min = 1, max = 64))]
    pub targets: Vec<Spanned<DeployTarget>>,
}

/// A workflow, and where it may run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployTarget {
    /// `owner/name`, no pattern.
    #[schemars(with = "super::RepositoryPattern")]
    pub repository: Repository,
    /// The file's name below `.github/workflows/`, such as `deploy.yml`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,128}$"))]
    pub workflow: String,
    /// Branches that it may run on, at least one.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub branches: Vec<BranchPattern>,
}

impl Deploy {
    pub(super) fn check(&self) -> Result<(), TargetProblem> {
        within("number of deploy.targets", self.targets.len(), &(1..=TARGETS_MAX))
            .map_err(|message| (None, message))?;
        self.targets
            .iter()
            .try_for_each(|target| target.as_ref().check().map_err(|message| (Some(target.span()), message)))
    }
}

impl DeployTarget {
    fn check(&self) -> Result<(), String> {
        let Self { repository, workflow, branches } = self;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !(1..=WORKFLOW_BYTES_MAX).contains(&workflow.len())
            || !workflow.bytes().all(plain)
            || workflow.contains("..")
        {
            return Err(format!(
                "workflow {workflow:?} of {repository} is no file name below .github/workflows/, such as \"deploy.yml\""
            ));
        }
        if branches.is_empty() {
            return Err(format!(
                "branches of {workflow} of {repository} is empty; name at least one, or remove the target"
            ));
        }
        no_duplicates("branches", branches)
    }
}
