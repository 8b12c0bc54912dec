//! One struct for each concern, each read from the environment by itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::alerts::WebhookConfig;
use super::audit::AuditConfig;
use super::models::ModelSettings;
use super::names;
use super::values::{ConfigError, Env, wrong, wrong_value};

const SECONDS_PER_HOUR: u64 = 60 * 60;
const SECONDS_PER_DAY: u64 = 24 * SECONDS_PER_HOUR;

/// Where the database is.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    pub url: SecretString,
}

impl DatabaseConfig {
    /// None where the name is not set: `dev` has a database of its own then.
    pub fn if_set(env: Env<'_>) -> Result<Option<Self>, ConfigError> {
        env.text(&names::DATABASE_URL).is_some().then(|| Self::from_env(env)).transpose()
    }

    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let name = &names::DATABASE_URL;
        let value = env.text(name).ok_or_else(|| wrong(name, "is not set"))?;
        if !value.starts_with("postgres://") && !value.starts_with("postgresql://") {
            return Err(wrong_value(name, &value, "does not begin with postgres:// or postgresql://"));
        }
        Ok(Self { url: SecretString::from(value) })
    }
}

/// Where the API listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    pub listen: SocketAddr,
}

impl ServerConfig {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let name = &names::JUGGERNAUT_LISTEN;
        if env.text(name).is_none() && env.text(&names::PORT).is_some() {
            let port = env.number(&names::PORT, 1..=u64::from(u16::MAX))?;
            let port = u16::try_from(port).map_err(|_| wrong(&names::PORT, "is not a port"))?;
            return Ok(Self { listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)) });
        }
        let value = env.text_or_default(name)?;
        let listen =
            value.parse().map_err(|_| wrong_value(name, &value, "is not ADDRESS:PORT with a numeric address"))?;
        Ok(Self { listen })
    }
}

/// How GitHub is reached.
#[derive(Clone, Debug)]
pub struct GitHubSettings {
    pub api_url: Url,
    pub token: Option<SecretString>,
}

impl GitHubSettings {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        Ok(Self { api_url: env.service_url(&names::GITHUB_API_URL)?, token: env.secret(&names::GITHUB_TOKEN)? })
    }
}

/// What roles may reach on the web beside public hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EgressSettings {
    pub loopback_allowed: bool,
}

impl EgressSettings {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let name = &names::JUGGERNAUT_EGRESS_LOOPBACK;
        let value = env.text_or_default(name)?;
        match value.as_str() {
            "allow" => Ok(Self { loopback_allowed: true }),
            "refuse" => Ok(Self { loopback_allowed: false }),
            _ => Err(wrong_value(name, &value, "is neither allow nor refuse")),
        }
    }
}

/// How this host works through the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerConfig {
    pub worker_id: Option<String>,
    pub worker_type: Option<String>,
    pub roles_dir: PathBuf,
    pub concurrency: usize,
    pub heartbeat: Duration,
    pub lease: Duration,
    pub poll: Duration,
    /// Pause before a second attempt.
    pub retry: Duration,
    /// How long running tasks get to finish when the host is told to stop.
    pub grace: Duration,
    pub log_retention: Duration,
    /// When monitoring is done, as a cron expression; none where it is switched off.
    pub watchdog_cron: Option<String>,
    pub cache_dir: Option<PathBuf>,
    /// Policies of the operator's own.
    pub policies_dir: Option<PathBuf>,
}

impl WorkerConfig {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let concurrency = env.number(&names::JUGGERNAUT_CONCURRENCY, 1..=256)?;
        let retention_days = env.number(&names::JUGGERNAUT_LOG_RETENTION_DAYS, 1..=36_500)?;
        Ok(Self {
            worker_id: env.worker_name(&names::WORKER_ID)?,
            worker_type: env.worker_name(&names::WORKER_TYPE)?,
            roles_dir: PathBuf::from(env.text_or_default(&names::JUGGERNAUT_ROLES)?),
            concurrency: usize::try_from(concurrency)
                .map_err(|_| wrong(&names::JUGGERNAUT_CONCURRENCY, "is too large"))?,
            heartbeat: Duration::from_secs(env.number(&names::JUGGERNAUT_HEARTBEAT_SECONDS, 1..=240)?),
            lease: Duration::from_secs(env.number(&names::JUGGERNAUT_LEASE_SECONDS, 5..=3600)?),
            poll: Duration::from_millis(env.number(&names::JUGGERNAUT_POLL_MS, 50..=60_000)?),
            retry: Duration::from_millis(env.number(&names::JUGGERNAUT_RETRY_MS, 10..=3_600_000)?),
            grace: Duration::from_secs(env.number(&names::JUGGERNAUT_GRACE_SECONDS, 0..=3600)?),
            log_retention: Duration::from_secs(retention_days * SECONDS_PER_DAY),
            watchdog_cron: Some(env.text_or_default(&names::JUGGERNAUT_WATCHDOG_CRON)?).filter(|cron| cron != "off"),
            cache_dir: env.text(&names::JUGGERNAUT_CACHE).map(PathBuf::from),
            policies_dir: env.text(&names::JUGGERNAUT_POLICIES).map(PathBuf::from),
        })
    }
}

/// How approvals are given on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApprovalConfig {
    /// How long one may wait for a decision, and for being used up after it.
    pub lifetime: Duration,
    /// One operator alone: who created a task may approve it. Shown and recorded wherever it matters.
    pub solo: bool,
}

impl Default for ApprovalConfig {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(SECONDS_PER_DAY), solo: false }
    }
}

impl ApprovalConfig {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let hours = env.number(&names::JUGGERNAUT_APPROVAL_HOURS, 1..=720)?;
        let name = &names::JUGGERNAUT_SOLO_APPROVALS;
        let value = env.text_or_default(name)?;
        let solo = match value.as_str() {
            "on" => true,
            "off" => false,
            _ => return Err(wrong_value(name, &value, "is neither on nor off")),
        };
        Ok(Self { lifetime: Duration::from_secs(hours * SECONDS_PER_HOUR), solo })
    }
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// What the host logs about itself, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub filter: String,
    pub format: LogFormat,
}

impl LogConfig {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let filter = env.text_or_default(&names::RUST_LOG)?;
        if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
            return Err(wrong_value(&names::RUST_LOG, &filter, "is not a tracing filter"));
        }
        let value = env.text_or_default(&names::JUGGERNAUT_LOG_FORMAT)?;
        let format = match value.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => return Err(wrong_value(&names::JUGGERNAUT_LOG_FORMAT, &value, "is neither text nor json")),
        };
        Ok(Self { filter, format })
    }

    /// Whether somebody asks for a filter, or it is the default.
    pub fn filter_is_set(env: Env<'_>) -> bool {
        env.text(&names::RUST_LOG).is_some()
    }
}

/// Everything that `serve` needs.
#[derive(Clone, Debug)]
pub struct HostConfig {
    pub database: DatabaseConfig,
    pub server: ServerConfig,
    pub github: GitHubSettings,
    pub model: ModelSettings,
    pub egress: EgressSettings,
    pub worker: WorkerConfig,
    pub approvals: ApprovalConfig,
    pub audit: AuditConfig,
    /// None: nobody is told of alerts.
    pub webhook: Option<WebhookConfig>,
    pub log: LogConfig,
    /// Where this process ends itself, for tests: see `crash`.
    pub crash_at: Option<String>,
}

impl HostConfig {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            database: DatabaseConfig::from_env(env)?,
            server: ServerConfig::from_env(env)?,
            github: GitHubSettings::from_env(env)?,
            model: ModelSettings::from_env(env)?,
            egress: EgressSettings::from_env(env)?,
            worker: WorkerConfig::from_env(env)?,
            approvals: ApprovalConfig::from_env(env)?,
            audit: AuditConfig::from_env(env)?,
            webhook: WebhookConfig::if_set(env)?,
            log: LogConfig::from_env(env)?,
            crash_at: env.text(&names::JUGGERNAUT_CRASH_AT),
        })
    }
}
