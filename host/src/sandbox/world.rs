//! `role check`: a role's WIT world, its manifest and its component say the same.

use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use wit_parser::{PackageId, Resolve, SourceMap, WorldItem};

use super::engine::Sandbox;
use super::role::{LoadedRole, RoleError, RoleFiles, RoleReport};
use crate::manifest::{self, Interface, Manifest};

/// The package that this host serves, as it was when the host was built.
const HOST_WIT: &[(&str, &str)] = &[
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("task.wit", include_str!("../../../wit/task.wit")),
    ("github.wit", include_str!("../../../wit/github.wit")),
    ("timer.wit", include_str!("../../../wit/timer.wit")),
    ("scratch.wit", include_str!("../../../wit/scratch.wit")),
    ("http.wit", include_str!("../../../wit/http.wit")),
    ("llm.wit", include_str!("../../../wit/llm.wit")),
    ("tasks.wit", include_str!("../../../wit/tasks.wit")),
    ("goals.wit", include_str!("../../../wit/goals.wit")),
    ("monitoring.wit", include_str!("../../../wit/monitoring.wit")),
    ("knowledge.wit", include_str!("../../../wit/knowledge.wit")),
    ("outward.wit", include_str!("../../../wit/outward.wit")),
    ("roles.wit", include_str!("../../../wit/roles.wit")),
];
/// Where a third party's role has its world, below its directory.
const WORLD_FILE: &str = "wit/world.wit";

/// What a check found.
#[derive(Debug, Clone, Serialize)]
pub struct RoleCheck {
    pub role: String,
    /// Where the world stands.
    pub world: String,
    pub granted: Vec<Interface>,
    pub problems: Vec<String>,
    pub component: Option<RoleReport>,
}

impl RoleCheck {
    /// An error only where the manifest can't be read; all else is a problem of the report.
    pub fn check(sandbox: &Sandbox, directory: &Path) -> Result<Self, RoleError> {
        let manifest = Manifest::read(&directory.join(manifest::FILE_NAME))?;
        let granted = Interface::ALL.iter().copied().filter(|interface| manifest.grants(*interface)).collect();
        let mut problems = Vec::new();
        let world = match world_imports(directory, &manifest.role.name) {
            Ok((world, imports)) => {
                compare(&world, &imports, &manifest, &mut problems);
                world
            }
            Err(error) => {
                problems.push(format!("its world can not be read: {error:#}"));
                String::new()
            }
        };
        let path = directory.join(format!("{}.wasm", manifest.role.name));
        let component = match RoleReport::inspect(sandbox, &path) {
            Ok(report) => {
                problems.extend(report.problems.iter().cloned());
                Some(report)
            }
            Err(error) => {
                problems.push(error.to_string());
                None
            }
        };
        // Only what passed so far: a refusal to link would repeat it in other words.
        if problems.is_empty()
            && let Err(error) = RoleFiles::read(directory).and_then(|files| LoadedRole::load(sandbox, files))
        {
            problems.push(error.to_string());
        }
        Ok(Self { role: manifest.role.name, world, granted, problems, component })
    }
}

fn compare(world: &str, imports: &[String], manifest: &Manifest, problems: &mut Vec<String>) {
    for interface in Interface::ALL.iter().copied() {
        let imported = imports.contains(&interface.to_string());
        let short = interface.name();
        match (imported, manifest.grants(interface)) {
            (true, true) | (false, false) => {}
            (true, false) => problems.push(format!(
                "{world} imports {interface}, which {} does not grant; add [grants.{short}] or remove the import",
                manifest.path.display()
            )),
            (false, true) => problems.push(
                manifest
                    .error(
                        Some(interface),
                        format!("[grants.{short}] has no import in {world}; remove the grant or add `import {short};`"),
                    )
                    .to_string(),
            ),
        }
    }
    for import in imports {
        let (interface, _) = import.split_once('@').unwrap_or((import, ""));
        let known = interface
            .strip_prefix("juggernaut:host/")
            .is_some_and(|short| manifest::ALWAYS.contains(&short) || Interface::from_name(short).is_some());
        if !known {
            problems.push(format!("{world} imports {import}, which no role is given; remove it"));
        }
    }
}

/// The world's name and its imported interfaces: the role's own file, or the world of that name among ours.
fn world_imports(directory: &Path, role: &str) -> anyhow::Result<(String, Vec<String>)> {
    let mut resolve = Resolve::default();
    let mut sources = SourceMap::default();
    for (name, source) in HOST_WIT {
        sources.push_str(name, *source);
    }
    let host = push(&mut resolve, sources)?;
    let file = directory.join(WORLD_FILE);
    let (place, package, name) = if file.is_file() {
        let source = std::fs::read_to_string(&file).with_context(|| format!("{} can not be read", file.display()))?;
        let mut sources = SourceMap::default();
        sources.push(&file, source);
        (file.display().to_string(), push(&mut resolve, sources)?, None)
    } else {
        (format!("world `{role}` of juggernaut:host"), host, Some(role))
    };
    let world = resolve
        .select_world(&[package], name)
        .with_context(|| format!("write {} with one world, or name the role as a world of ours", file.display()))?;
    let imports = resolve.worlds[world]
        .imports
        .values()
        .filter_map(|item| match item {
            WorldItem::Interface { id, .. } => resolve.id_of(*id),
            WorldItem::Function(_) | WorldItem::Type { .. } => None,
        })
        .collect();
    Ok((place, imports))
}

fn push(resolve: &mut Resolve, sources: SourceMap) -> anyhow::Result<PackageId> {
    let group = sources.parse().map_err(|(_, error)| anyhow::anyhow!("{error}"))?;
    resolve.push_group(group).map_err(|error| anyhow::anyhow!("{error}"))
}
