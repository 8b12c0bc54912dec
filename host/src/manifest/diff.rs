//! What changed between two versions of roles, judged by what it means: did authority grow?
//!
//! Invariant: what can't be told to be narrower or neutral is wider. Order, spelling and comments are never authority.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{ALWAYS, Interface, Manifest, Parameter, Pattern, Section};

/// One version of a role: its manifest, and its component where that was built.
#[derive(Clone, Debug)]
pub struct RoleVersion {
    pub manifest: Manifest,
    pub component: Option<ComponentVersion>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentVersion {
    pub sha256: String,
    /// Names with their versions.
    pub imports: BTreeSet<String>,
}

/// What a change does to authority; in the order in which a reviewer should read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Widened,
    Narrowed,
    Neutral,
}

/// One change. Without `before` something came to be, without `after` something is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    pub direction: Direction,
    pub role: String,
    /// A key such as `grants.timer.sleep_seconds_max`, a section, `role`, `manifest` or `component`.
    pub place: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub note: Option<String>,
}

/// Widened first, then narrowed, then neutral; within that by role.
#[derive(Clone, Debug, Serialize)]
pub struct Diff {
    /// Whether any role may do more than before.
    pub grew: bool,
    pub changes: Vec<Change>,
}

/// Compares roles by their names.
pub fn compare(old: &BTreeMap<String, RoleVersion>, new: &BTreeMap<String, RoleVersion>) -> Diff {
    let mut changes = Vec::new();
    for role in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        Comparison { role, changes: &mut changes }.roles(old.get(role), new.get(role));
    }
    changes.sort_by_key(|change| change.direction);
    let grew = changes.iter().any(|change| change.direction == Direction::Widened);
    Diff { grew, changes }
}

/// Collects the changes of one role.
struct Comparison<'a> {
    role: &'a str,
    changes: &'a mut Vec<Change>,
}

impl Comparison<'_> {
    fn push(
        &mut self,
        direction: Direction,
        place: &str,
        before: Option<String>,
        after: Option<String>,
        note: Option<String>,
    ) {
        let (role, place) = (self.role.to_owned(), place.to_owned());
        self.changes.push(Change { direction, role, place, before, after, note });
    }

    fn roles(&mut self, old: Option<&RoleVersion>, new: Option<&RoleVersion>) {
        match (old, new) {
            (None, Some(_)) => {
                let note = Some("a role that was not there".to_owned());
                self.push(Direction::Widened, "role", None, Some(self.role.to_owned()), note);
            }
            (Some(_), None) => self.push(Direction::Narrowed, "role", Some(self.role.to_owned()), None, None),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let sections = |version: Option<&RoleVersion>| version.map(|it| it.manifest.sections()).unwrap_or_default();
        let before = self.changes.len();
        self.sections(&sections(old), &sections(new));
        let said = self.changes.len() > before;
        if let (Some(old), Some(new)) = (old, new) {
            self.digests(old, new, said);
            self.imports(old, new);
        }
    }

    fn sections(&mut self, old: &[Section], new: &[Section]) {
        let find = |sections: &[Section], name: &str| sections.iter().find(|section| section.name == name).cloned();
        for section in new {
            let before = find(old, &section.name);
            if before.is_none() && section.name.starts_with("grants.") {
                let after = Some("granted".to_owned());
                self.push(Direction::Widened, &section.name, None, after, None);
            }
            for (key, after) in &section.parameters {
                let before = before.as_ref().and_then(|section| section.parameter(key));
                self.parameter(&format!("{}.{key}", section.name), before, Some(after));
            }
        }
        // Keys are the same in both versions of a section: only whole sections can be gone.
        for section in old.iter().filter(|section| find(new, &section.name).is_none()) {
            if section.name.starts_with("grants.") {
                let before = Some("granted".to_owned());
                self.push(Direction::Narrowed, &section.name, before, None, None);
            }
            for (key, before) in &section.parameters {
                self.parameter(&format!("{}.{key}", section.name), Some(before), None);
            }
        }
    }

    fn parameter(&mut self, place: &str, old: Option<&Parameter>, new: Option<&Parameter>) {
        let (old, new) = match (old, new) {
            (Some(old), Some(new)) if old == new => return,
            (Some(Parameter::AnyOf(old)), Some(Parameter::AnyOf(new))) => return self.entries(place, old, new),
            (None, Some(Parameter::AnyOf(new))) => return self.entries(place, &[], new),
            (Some(Parameter::AnyOf(old)), None) => return self.entries(place, old, &[]),
            other => other,
        };
        let direction = match (old, new) {
            (Some(Parameter::Ceiling(old)), Some(Parameter::Ceiling(new))) if new < old => Direction::Narrowed,
            (Some(Parameter::Note(_)) | None, Some(Parameter::Note(_))) => Direction::Neutral,
            (_, None) => Direction::Narrowed,
            (_, Some(_)) => Direction::Widened,
        };
        self.push(direction, place, old.map(ToString::to_string), new.map(ToString::to_string), None);
    }

    fn entries(&mut self, place: &str, old: &[Pattern], new: &[Pattern]) {
        let covering = |all: &[Pattern], one: &Pattern| all.iter().find(|other| other.covers(one)).cloned();
        for entry in new.iter().filter(|entry| !old.contains(entry)) {
            let (direction, note) = match covering(old, entry) {
                Some(wider) => (Direction::Neutral, Some(format!("was within {wider}"))),
                None => (Direction::Widened, None),
            };
            self.push(direction, place, None, Some(entry.to_string()), note);
        }
        for entry in old.iter().filter(|entry| !new.contains(entry)) {
            let (direction, note) = match covering(new, entry) {
                Some(wider) => (Direction::Neutral, Some(format!("is within {wider}"))),
                None => (Direction::Narrowed, None),
            };
            self.push(direction, place, Some(entry.to_string()), None, note);
        }
    }

    /// A change that no parameter shows is still told: an approval and `roles.lock` are bound to the bytes.
    fn digests(&mut self, old: &RoleVersion, new: &RoleVersion, said: bool) {
        let (before, after) = (hex::encode(old.manifest.sha256), hex::encode(new.manifest.sha256));
        if before != after {
            let note = (!said).then(|| "only order, layout or comments".to_owned());
            self.push(Direction::Neutral, "manifest", Some(before), Some(after), note);
        }
        let digest = |component: &Option<ComponentVersion>| component.as_ref().map(|it| it.sha256.clone());
        let (before, after) = (digest(&old.component), digest(&new.component));
        if before != after {
            let note = match (&before, &after) {
                (Some(_), Some(_)) => None,
                _ => Some("there is a component on one side only, so imports are not compared".to_owned()),
            };
            self.push(Direction::Neutral, "component", before, after, note);
        }
    }

    /// Imports are within the grants, or the host refuses the component: what is used gives no authority.
    fn imports(&mut self, old: &RoleVersion, new: &RoleVersion) {
        let (Some(before), Some(after)) = (&old.component, &new.component) else {
            return;
        };
        for import in after.imports.difference(&before.imports) {
            let note = match interface(import) {
                Some(interface) if !new.manifest.grants(interface) => "not granted: the host refuses this component",
                Some(interface) if old.manifest.grants(interface) => "was granted before, and not used",
                Some(_) => "is granted now",
                None if always(import) => "every role has it",
                None => "no capability: `role check` says whether a role may import it",
            };
            self.push(Direction::Neutral, "component.imports", None, Some(import.clone()), Some(note.to_owned()));
        }
        for import in before.imports.difference(&after.imports) {
            let unused = interface(import).is_some_and(|interface| new.manifest.grants(interface));
            let note = unused.then(|| "still granted; the grant can go if it is not needed".to_owned());
            self.push(Direction::Neutral, "component.imports", Some(import.clone()), None, note);
        }
    }
}

impl Section {
    fn parameter(&self, key: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|(name, _)| *name == key).map(|(_, parameter)| parameter)
    }
}

fn short(import: &str) -> Option<&str> {
    let (interface, _) = import.split_once('@').unwrap_or((import, ""));
    interface.strip_prefix("juggernaut:host/")
}

fn interface(import: &str) -> Option<Interface> {
    short(import).and_then(Interface::from_name)
}

fn always(import: &str) -> bool {
    short(import).is_some_and(|name| ALWAYS.contains(&name))
}
