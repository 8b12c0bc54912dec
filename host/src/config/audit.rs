//! The audit log's key and how often it is used.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

use super::names;
use super::values::{ConfigError, Env, wrong, wrong_value};

/// Says that a key which is lost with the process will do.
const EPHEMERAL: &str = "ephemeral";
const SEED_BYTES: usize = 32;

/// What signs checkpoints.
#[derive(Clone, Debug)]
pub enum AuditKey {
    /// 32 bytes in hexadecimal.
    Seed(SecretString),
    Ephemeral,
}

impl AuditKey {
    /// None where the name is not set.
    pub fn if_set(env: Env<'_>) -> Result<Option<Self>, ConfigError> {
        let name = &names::JUGGERNAUT_AUDIT_KEY;
        match env.text(name) {
            None => Ok(None),
            Some(value) if value == EPHEMERAL => Ok(Some(Self::Ephemeral)),
            Some(value) => {
                let bytes = hex::decode(&value).or_else(|_| STANDARD.decode(&value)).unwrap_or_default();
                if bytes.len() != SEED_BYTES {
                    return Err(wrong_value(name, &value, "is not 32 bytes in hexadecimal or base64, nor ephemeral"));
                }
                Ok(Some(Self::Seed(SecretString::from(hex::encode(bytes)))))
            }
        }
    }
}

/// How a host signs.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    pub key: AuditKey,
    pub schedule: CheckpointSchedule,
}

/// When a checkpoint is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointSchedule {
    pub every: Duration,
    pub rows: u64,
}

impl AuditConfig {
    /// A host without a key is refused: its log would prove nothing against whoever owns the database.
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        let missing = "is not set; run `juggernaut audit keygen` and keep the key where the database's owner does not \
                       reach, or set it to ephemeral";
        let key = AuditKey::if_set(env)?.ok_or_else(|| wrong(&names::JUGGERNAUT_AUDIT_KEY, missing))?;
        Ok(Self { key, schedule: CheckpointSchedule::from_env(env)? })
    }
}

impl CheckpointSchedule {
    pub fn from_env(env: Env<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            every: Duration::from_secs(env.number(&names::JUGGERNAUT_AUDIT_CHECKPOINT_SECONDS, 1..=3600)?),
            rows: env.number(&names::JUGGERNAUT_AUDIT_CHECKPOINT_ROWS, 1..=1_000_000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn key(value: &str) -> Result<Option<AuditKey>, ConfigError> {
        AuditKey::if_set(Env(&|name| (name == "JUGGERNAUT_AUDIT_KEY").then(|| value.to_owned())))
    }

    #[test]
    fn a_key_is_hexadecimal_or_base64_or_ephemeral() {
        for text in ["07".repeat(32), STANDARD.encode([7; 32])] {
            let Ok(Some(AuditKey::Seed(seed))) = key(&text) else { panic!("{text}") };
            assert_eq!(seed.expose_secret(), "07".repeat(32));
        }
        assert!(matches!(key("ephemeral"), Ok(Some(AuditKey::Ephemeral))));
        assert!(matches!(key(""), Ok(None)));
        for wrong in ["07", "Ephemeral", &"07".repeat(33), "not a key at all"] {
            let error = key(wrong).unwrap_err().to_string();
            assert!(error.contains("32 bytes") && !error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn a_host_without_a_key_is_refused() {
        let error = AuditConfig::from_env(Env(&|_| None)).unwrap_err().to_string();
        assert!(error.starts_with("JUGGERNAUT_AUDIT_KEY is not set") && error.contains("keygen"), "{error}");
    }
}
