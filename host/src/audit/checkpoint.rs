//! Signed statements of how far a chain had come, and the keys.

use std::str::FromStr;

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::chain::Digest;

const DOMAIN: &[u8] = b"juggernaut audit checkpoint v1\n";
/// What a checkpoint begins with as text, so that it is found in any line of a log.
const TEXT_PREFIX: &str = "audit-checkpoint-v1:";

/// What is wrong with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the audit key is not 32 bytes in hexadecimal; `juggernaut audit keygen` makes one")]
    Seed,
    #[error("the public key is not 32 bytes in hexadecimal; `juggernaut audit keygen` prints it with the key")]
    Public,
}

/// Ed25519; verifies checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Enough to tell keys apart.
    pub fn id(&self) -> [u8; 8] {
        let digest: Digest = Sha256::digest(self.0).into();
        std::array::from_fn(|at| digest[at])
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        hex_array(text.trim()).map(Self).ok_or(KeyError::Public)
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Signs checkpoints. Only the host has it.
pub struct SigningKey(Ed25519KeyPair);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey(public {})", self.public())
    }
}

impl SigningKey {
    /// From a seed of 32 bytes in hexadecimal.
    pub fn from_seed(seed: &SecretString) -> Result<Self, KeyError> {
        let seed: [u8; 32] = hex_array(seed.expose_secret()).ok_or(KeyError::Seed)?;
        Ed25519KeyPair::from_seed_unchecked(&seed).map(Self).map_err(|_| KeyError::Seed)
    }

    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(key)
    }
}

/// A chain had this hash at this row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub chain: Uuid,
    pub seq: i64,
    pub hash: Digest,
    /// Microseconds since 1970.
    pub at: i64,
    /// Of the chain's checkpoint before; zeros for the first.
    pub previous: Digest,
    pub key_id: [u8; 8],
    pub signature: [u8; 64],
}

impl Checkpoint {
    pub fn sign(key: &SigningKey, head: super::Head, at: i64, previous: Digest) -> Self {
        let super::Head { chain, seq, hash } = head;
        let mut checkpoint = Self { chain, seq, hash, at, previous, key_id: key.public().id(), signature: [0; 64] };
        let signature = key.0.sign(&checkpoint.message());
        checkpoint.signature.copy_from_slice(signature.as_ref());
        checkpoint
    }

    /// Whether one of the keys made this signature.
    pub fn is_signed_by_one_of(&self, keys: &[PublicKey]) -> bool {
        let message = self.message();
        keys.iter().any(|key| {
            key.id() == self.key_id && UnparsedPublicKey::new(&ED25519, key.0).verify(&message, &self.signature).is_ok()
        })
    }

    /// What the next checkpoint of the chain names as `previous`.
    pub fn digest(&self) -> Digest {
        let mut hasher = Sha256::new();
        hasher.update(self.message());
        hasher.update(self.signature);
        hasher.finalize().into()
    }

    fn message(&self) -> Vec<u8> {
        let Self { chain, seq, hash, at, previous, key_id, signature: _ } = self;
        [
            DOMAIN,
            chain.as_bytes(),
            &seq.to_be_bytes(),
            hash.as_slice(),
            &at.to_be_bytes(),
            previous.as_slice(),
            key_id.as_slice(),
        ]
        .concat()
    }

    /// Every checkpoint in a text: log lines in any format, or an export. What only looks like one is `Err`, as it
    /// stands there.
    pub fn find_all(text: &str) -> Vec<Result<Self, String>> {
        text.match_indices(TEXT_PREFIX)
            .map(|(at, _)| {
                let rest = &text[at..];
                let end = rest
                    .find(|character: char| !character.is_ascii_alphanumeric() && character != '-' && character != ':')
                    .unwrap_or(rest.len());
                rest[..end].parse().map_err(|()| rest[..end].chars().take(400).collect())
            })
            .collect()
    }
}

impl std::fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { chain, seq, hash, at, previous, key_id, signature } = self;
        let [hash, previous] = [hash, previous].map(hex::encode);
        write!(
            f,
            "{TEXT_PREFIX}{chain}:{seq}:{hash}:{at}:{previous}:{}:{}",
            hex::encode(key_id),
            hex::encode(signature)
        )
    }
}

impl FromStr for Checkpoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.strip_prefix(TEXT_PREFIX).ok_or(())?.split(':').collect();
        let [chain, seq, hash, at, previous, key_id, signature] = parts.as_slice() else { return Err(()) };
        let seq: i64 = seq.parse().map_err(drop)?;
        if seq < 1 {
            return Err(());
        }
        Ok(Self {
            chain: chain.parse().map_err(drop)?,
            seq,
            hash: hex_array(hash).ok_or(())?,
            at: at.parse().map_err(drop)?,
            previous: hex_array(previous).ok_or(())?,
            key_id: hex_array(key_id).ok_or(())?,
            signature: hex_array(signature).ok_or(())?,
        })
    }
}

fn hex_array<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Head;

    fn key(byte: &str) -> SigningKey {
        SigningKey::from_seed(&SecretString::from(byte.repeat(32))).unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint::sign(&key("0a"), Head { chain: Uuid::from_u128(1), seq: 5, hash: [2; 32] }, 17, [0; 32])
    }

    #[test]
    fn every_field_is_signed() {
        let trusted = [key("0b").public(), key("0a").public()];
        let good = checkpoint();
        assert!(good.is_signed_by_one_of(&trusted));
        let forged = [
            Checkpoint { chain: Uuid::nil(), ..good.clone() },
            Checkpoint { seq: 4, ..good.clone() },
            Checkpoint { hash: [3; 32], ..good.clone() },
            Checkpoint { at: 18, ..good.clone() },
            Checkpoint { previous: [1; 32], ..good.clone() },
            Checkpoint { key_id: key("0b").public().id(), ..good.clone() },
            Checkpoint { signature: [0; 64], ..good.clone() },
        ];
        for forged in forged {
            assert!(!forged.is_signed_by_one_of(&trusted), "{forged}");
            assert_ne!(forged.digest(), good.digest());
        }
        assert!(!good.is_signed_by_one_of(&trusted[..1]), "another key does not do");
        assert!(!good.is_signed_by_one_of(&[]));
    }

    #[test]
    fn a_checkpoint_is_found_in_any_log() {
        let good = checkpoint();
        let text = format!(
            "2026-11-22T22:00:00Z  INFO audit_checkpoint: signed checkpoint={good}\n\
             {{\"target\":\"audit_checkpoint\",\"checkpoint\":\"{good}\",\"x\":1}}\nnothing here\n{TEXT_PREFIX}no"
        );
        let found = Checkpoint::find_all(&text);
        assert_eq!(found, [Ok(good.clone()), Ok(good), Err(format!("{TEXT_PREFIX}no"))]);
        for wrong in ["", "x", &checkpoint().to_string().replace(":5:", ":0:"), &format!("{}:", checkpoint())] {
            assert!(wrong.parse::<Checkpoint>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_32_bytes_and_never_shown() {
        for wrong in ["", "00", &"zz".repeat(32), &"00".repeat(33)] {
            assert_eq!(SigningKey::from_seed(&SecretString::from(wrong)).unwrap_err(), KeyError::Seed);
            assert_eq!(wrong.parse::<PublicKey>(), Err(KeyError::Public));
        }
        let key = key("0a");
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        assert!(!format!("{key:?}").contains(&"0a".repeat(4)));
    }
}
