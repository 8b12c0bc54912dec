//! The digest of an action.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::ApprovalKind;
use crate::task::TaskId;

/// Keeps this digest apart from any other that is made of similar parts.
const DOMAIN: &[u8] = b"juggernaut/approval/call/1";
const VERSIONS_DOMAIN: &[u8] = b"juggernaut/approval/versions/1";

/// What would run: other code, other grants or other rules are another action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub component: [u8; 32],
    pub manifest: [u8; 32],
    pub policy: [u8; 32],
}

impl Versions {
    /// What the start of a task binds of it.
    pub fn digest(&self) -> [u8; 32] {
        let Self { component, manifest, policy } = self;
        exact_digest([VERSIONS_DOMAIN, component, manifest, policy])
    }
}

/// All that an approval is for.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    pub task: TaskId,
    pub kind: ApprovalKind,
    /// `interface.function`.
    pub action: &'a str,
    pub arguments: &'a Value,
    /// Of what the arguments stand for in the world: for a merge, both sides of each changed file.
    pub exact: [u8; 32],
    pub versions: Versions,
}

impl Binding<'_> {
    pub fn digest(&self) -> [u8; 32] {
        let Self { task, kind, action, arguments, exact, versions } = self;
        let Versions { component, manifest, policy } = versions;
        let mut hasher = Sha256::new();
        part(&mut hasher, DOMAIN);
        part(&mut hasher, task.0.as_bytes());
        part(&mut hasher, kind.as_str().as_bytes());
        part(&mut hasher, action.as_bytes());
        canonical(&mut hasher, arguments);
        for digest in [exact, component, manifest, policy] {
            part(&mut hasher, digest);
        }
        hasher.finalize().into()
    }
}

/// Of a list of parts, each with its length before it, so that no byte can move from one to the next.
pub fn exact_digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for bytes in parts {
        part(&mut hasher, bytes);
    }
    hasher.finalize().into()
}

fn part(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_be_bytes());
    hasher.update(bytes);
}

/// JSON with its types and lengths, and the names of an object in order.
fn canonical(hasher: &mut Sha256, value: &Value) {
    let mut head = |kind: u8, count: usize| {
        hasher.update([kind]);
        hasher.update((count as u64).to_be_bytes());
    };
    match value {
        Value::Null => head(b'n', 0),
        Value::Bool(is) => head(b'b', usize::from(*is)),
        Value::Number(number) => {
            head(b'd', 0);
            part(hasher, number.to_string().as_bytes());
        }
        Value::String(text) => {
            head(b's', 0);
            part(hasher, text.as_bytes());
        }
        Value::Array(items) => {
            head(b'a', items.len());
            items.iter().for_each(|item| canonical(hasher, item));
        }
        Value::Object(fields) => {
            head(b'o', fields.len());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| name.as_str());
            for (name, value) in fields {
                part(hasher, name.as_bytes());
                canonical(hasher, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const VERSIONS: Versions = Versions { component: [2; 32], manifest: [3; 32], policy: [4; 32] };

    fn digest(change: impl Fn(&mut Binding<'_>)) -> [u8; 32] {
        let arguments = json!({ "repository": "demo/sample", "number": 7, "head_sha": "a" });
        let mut binding = Binding {
            task: TaskId(Uuid::from_u128(1)),
            kind: ApprovalKind::Call,
            action: "github-merge.merge",
            arguments: &arguments,
            exact: [1; 32],
            versions: VERSIONS,
        };
        change(&mut binding);
        binding.digest()
    }

    #[test]
    fn one_byte_of_any_field_makes_another_digest() {
        let others = [
            json!({ "repository": "demo/sample", "number": 7, "head_sha": "b" }),
            json!({ "repository": "demo/sample", "number": 8, "head_sha": "a" }),
            json!({ "repository": "demo/sample", "number": "7", "head_sha": "a" }),
            json!({ "repository": "demo/sample", "number": 7, "head_shb": "a" }),
            json!({ "repository": "demo/sample", "number": 7 }),
            json!({ "repository": "demo/sample", "number": 7, "head_sha": null }),
            json!({ "repository": "demo/sample", "number": 7, "head_sha": ["a"] }),
            json!([{ "repository": "demo/sample", "number": 7, "head_sha": "a" }]),
        ];
        let mut digests = vec![digest(|_| ())];
        digests.push(digest(|it| it.task = TaskId(Uuid::from_u128(2))));
        digests.push(digest(|it| it.kind = ApprovalKind::Start));
        digests.push(digest(|it| it.action = "github-merge.mergf"));
        digests.push(digest(|it| it.exact[31] ^= 1));
        digests.push(digest(|it| it.versions.component[0] ^= 1));
        digests.push(digest(|it| it.versions.manifest[0] ^= 1));
        digests.push(digest(|it| it.versions.policy[0] ^= 1));
        for arguments in others {
            let base = Binding {
                task: TaskId(Uuid::from_u128(1)),
                kind: ApprovalKind::Call,
                action: "github-merge.merge",
                arguments: &arguments,
                exact: [1; 32],
                versions: VERSIONS,
            };
            digests.push(base.digest());
        }
        let different: HashSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
        assert_eq!(digest(|_| ()), digests[0], "the same action has the same digest");
    }

    #[test]
    fn each_version_counts() {
        let digests = [
            VERSIONS,
            Versions { component: [9; 32], ..VERSIONS },
            Versions { manifest: [9; 32], ..VERSIONS },
            Versions { policy: [9; 32], ..VERSIONS },
        ]
        .map(|versions| versions.digest());
        assert_eq!(digests.iter().collect::<HashSet<_>>().len(), digests.len());
    }

    #[test]
    fn nothing_moves_over_a_boundary() {
        let of = |arguments: Value| {
            let mut hasher = Sha256::new();
            canonical(&mut hasher, &arguments);
            <[u8; 32]>::from(hasher.finalize())
        };
        let different = [
            json!({ "ab": "c" }),
            json!({ "a": "bc" }),
            json!({ "a": { "b": "c" } }),
            json!(["ab", "c"]),
            json!(["a", "bc"]),
            json!(["abc"]),
            json!([["a"], "bc"]),
            json!("abc"),
            json!(""),
            json!([]),
            json!({}),
            json!(null),
            json!(false),
            json!(0),
        ];
        let digests: HashSet<_> = different.iter().cloned().map(of).collect();
        assert_eq!(digests.len(), different.len());
        assert_ne!(exact_digest([&b"ab"[..], b"c"]), exact_digest([&b"a"[..], b"bc"]));
        assert_ne!(exact_digest([&b"a"[..]]), exact_digest([&b"a"[..], b""]));
        // Only the order of names does not matter.
        assert_eq!(of(json!({ "a": 1, "b": 2 })), of(json!({ "b": 2, "a": 1 })));
        assert_ne!(of(json!([1, 2])), of(json!([2, 1])));
    }
}
