//! `juggernaut role new`: a crate that builds, passes its test and runs a task at once.
//!
//! Invariant: nothing that exists is changed. The folder is new, or empty.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::manifest::{self, Interface, Manifest, PACKAGE_VERSION};

/// Where the SDK lay when this binary was built.
const SDK_OF_THE_BUILD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-sdk");
const SDK_NAME: &str = "juggernaut-guest";
/// Names that cargo or rustc keeps for itself, besides Rust's keywords.
const RESERVED: &str = " alloc build core deps examples incremental proc-macro std test \
    abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl \
    in let loop macro match mod move mut override priv pub ref return self static struct super trait true try type typeof \
    unsafe unsized use virtual where while yield ";

const CARGO: &str = include_str!("../../templates/role/cargo.toml");
const MANIFEST: &str = include_str!("../../templates/role/manifest.toml");
const README: &str = include_str!("../../templates/role/readme.md");
const SAMPLE: &str = include_str!("../../templates/role/sample.md");
const CARGO_CONFIG: &str = "[build]\ntarget = \"wasm32-wasip2\"\n";
const GIT_IGNORE: &str = "/target\n/.juggernaut\n*.wasm\n";

/// What a role begins as, by what it is granted: the first of these that is.
struct Beginning {
    needs: Option<Interface>,
    lib: &'static str,
    fixture: &'static str,
    task: &'static str,
    /// A repository of the local forge, filled from `sample/`.
    seed: bool,
}

const BEGINNINGS: &[Beginning] = &[
    Beginning {
        needs: Some(Interface::GithubRead),
        lib: include_str!("../../templates/role/lib_github_read.rs"),
        fixture: include_str!("../../templates/role/first_github_read.toml"),
        task: include_str!("../../templates/role/task_github_read.json"),
        seed: true,
    },
    Beginning {
        needs: Some(Interface::HttpFetch),
        lib: include_str!("../../templates/role/lib_http_fetch.rs"),
        fixture: include_str!("../../templates/role/first_http_fetch.toml"),
        task: include_str!("../../templates/role/task_http_fetch.json"),
        seed: false,
    },
    Beginning {
        needs: None,
        lib: include_str!("../../templates/role/lib_bare.rs"),
        fixture: include_str!("../../templates/role/first_bare.toml"),
        task: include_str!("../../templates/role/task_bare.json"),
        seed: false,
    },
];

/// A section of the manifest for each capability, by its name: narrow enough to be safe, wide enough to try it.
const SECTIONS: &[(&str, &str)] = &[
    ("github-read", "repositories = [\"demo/sample\"]   # or \"demo/*\"; no wider wildcard exists\n"),
    (
        "github-write",
        "repositories = [\"demo/sample\"]\n\
         branches = [\"feature/*\"]         # and of these only the task's own, feature/TASK_ID\n\
         bases = [\"main\"]\n",
    ),
    ("github-merge", "repositories = [\"demo/sample\"]\nbases = [\"main\"]\n"),
    ("timer", "sleep_seconds_max = 600\n"),
    ("scratch", "quota_kib = 1_024\nfiles_max = 100\n"),
    (
        "http-fetch",
        "response_kib_max = 512           # largest answer\n\
         timeout_ms_max = 10_000          # with all redirects\n\n\
         [[grants.http-fetch.targets]]    # one for each host\n\
         host = \"example.com\"\n\
         methods = [\"GET\", \"HEAD\"]\n\
         paths = [\"/\"]                    # all below it\n",
    ),
    (
        "http-send",
        "request_kib_max = 64\n\
         response_kib_max = 64\n\
         timeout_ms_max = 10_000\n\n\
         [[grants.http-send.targets]]     # one for each host\n\
         host = \"example.com\"\n\
         methods = [\"POST\"]\n\
         paths = [\"/\"]                    # all below it\n",
    ),
    (
        "llm",
        "models = [\"anthropic/claude-sonnet-4.5\"]   # in the order in which they are tried\n\
         answer_tokens_max = 4_000\n\
         tokens_per_task_max = 100_000\n\
         cost_microdollars_per_task_max = 500_000\n\
         timeout_ms_max = 120_000\n",
    ),
    ("tasks-read", "scope = \"goal\"                   # or \"all\"\n"),
    ("tasks-write", "task_types = [\"verification\"]\ntasks_max = 20\n"),
    ("goals", "replans_max = 3\n"),
    ("workers-read", ""),
    ("metrics-read", "window_hours_max = 168\n"),
    ("logs-read", "window_hours_max = 24\nlines_max = 200\n"),
    ("alerts", "kinds = [\"example\"]\nalerts_max = 10\n"),
    ("learnings", "learnings_max = 3\n"),
    ("reports", "reports_max = 1\nreport_kib_max = 256\n"),
    ("recommendations", "recommendations_max = 3\ntask_types = []\n"),
    (
        "deploy",
        "[[grants.deploy.targets]]\n\
         repository = \"demo/sample\"\n\
         workflow = \"deploy.yml\"\n\
         branches = [\"main\"]\n",
    ),
];

/// What is to be made.
#[derive(Debug)]
pub struct NewRole {
    pub name: String,
    /// The crate's folder; one of that name here if unset.
    pub directory: Option<PathBuf>,
    /// The folder of `juggernaut-guest`.
    pub sdk: Option<PathBuf>,
    /// `github-read` if there is none.
    pub grants: Vec<Interface>,
}

/// What was made.
#[derive(Debug)]
pub struct MadeRole {
    pub directory: PathBuf,
    /// What to add to `role run`, so that the first task finds its repository.
    pub seed: &'static str,
}

/// Writes the crate.
pub fn new_role(wanted: NewRole) -> Result<MadeRole> {
    let NewRole { name, directory, sdk, mut grants } = wanted;
    if grants.is_empty() {
        grants.push(Interface::GithubRead);
    }
    grants.sort_unstable();
    grants.dedup();
    check_name(&name)?;
    let sdk = self::sdk(sdk)?;
    let directory = directory.unwrap_or_else(|| PathBuf::from(&name));
    let manifest = manifest_text(&name, &grants)?;
    // What is written has to hold, also where somebody adds a capability and a template for it.
    Manifest::parse(&directory.join(manifest::FILE_NAME), manifest.clone())?;
    let Beginning { lib, fixture, task, seed, .. } = BEGINNINGS
        .iter()
        .find(|beginning| beginning.needs.is_none_or(|needs| grants.contains(&needs)))
        .context("there is no template for these grants")?;
    let seed_flag = if *seed { " --forge-seed demo/sample=sample" } else { "" };
    let features: Vec<String> = grants.iter().map(|grant| format!("\"{}\"", grant.name())).collect();
    let path = toml::Value::String(sdk.to_str().context("the path of the SDK is not UTF-8")?.to_owned());
    let cargo = CARGO.replace("{name}", &name).replace("{sdk}", &path.to_string());
    let readme =
        README.replace("{name}", &name).replace("{file}", &name.replace('-', "_")).replace("{seed}", seed_flag);
    let mut files = vec![
        ("Cargo.toml", cargo.replace("{features}", &features.join(", "))),
        (".cargo/config.toml", CARGO_CONFIG.to_owned()),
        (".gitignore", GIT_IGNORE.to_owned()),
        ("README.md", readme),
        (manifest::FILE_NAME, manifest),
        ("wit/world.wit", world(&grants)),
        ("src/lib.rs", (*lib).to_owned()),
        ("tests/first.toml", (*fixture).to_owned()),
        ("first-task.json", (*task).to_owned()),
    ];
    if *seed {
        files.push(("sample/README.md", SAMPLE.to_owned()));
    }
    write_all(&directory, &files)?;
    Ok(MadeRole { directory, seed: seed_flag })
}

fn write_all(directory: &Path, files: &[(&str, String)]) -> Result<()> {
    let shown = directory.display();
    match fs::read_dir(directory) {
        Ok(mut entries) => ensure!(
            entries.next().is_none(),
            "{shown} is not empty, and nothing is overwritten; name another folder with --path"
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{shown} can not be used as a folder")),
    }
    for (name, text) in files {
        let path = directory.join(name);
        let what = || format!("{} can not be written", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(what)?;
        }
        fs::write(&path, text).with_context(what)?;
    }
    Ok(())
}

/// As manifest and cargo want it. The manifest says the rest when it is parsed.
fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let sound =
        name.starts_with(|first: char| first.is_ascii_lowercase()) && name.len() <= 63 && name.bytes().all(plain);
    ensure!(sound, "the name {name:?} must be 1 to 63 lower-case letters, digits or '-', and begin with a letter");
    ensure!(
        !RESERVED.contains(&format!(" {name} ")),
        "the name {name:?} means something to Rust or cargo; take another"
    );
    Ok(())
}

/// The SDK is not published: it is used from where it lies.
fn sdk(named: Option<PathBuf>) -> Result<PathBuf> {
    let is_sdk = |folder: &Path| {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        manifest.contains(&format!("name = \"{SDK_NAME}\""))
    };
    let folder = match named {
        Some(folder) if is_sdk(&folder) => folder,
        Some(folder) => bail!(
            "{} is not the SDK: it is the folder guest-sdk of Juggernaut's repository, whose Cargo.toml names {SDK_NAME}",
            folder.display()
        ),
        None if is_sdk(Path::new(SDK_OF_THE_BUILD)) => PathBuf::from(SDK_OF_THE_BUILD),
        None => bail!(
            "the SDK is not where this binary was built; name the folder guest-sdk of Juggernaut's repository with --sdk"
        ),
    };
    folder.canonicalize().with_context(|| format!("{} can not be resolved", folder.display()))
}

fn manifest_text(name: &str, grants: &[Interface]) -> Result<String> {
    let mut text = MANIFEST.replace("{name}", name);
    for grant in grants {
        let section = SECTIONS.iter().find(|(name, _)| *name == grant.name());
        let (_, section) = section.with_context(|| {
            format!("there is no template for {}; leave it out, and add [grants.{0}] by hand", grant.name())
        })?;
        text.push_str(&format!("\n[grants.{}]\n{section}", grant.name()));
    }
    Ok(text)
}

fn world(grants: &[Interface]) -> String {
    let imports: String = grants.iter().map(|grant| format!("    import {grant};\n")).collect();
    format!(
        "package third-party:role;\n\n/// What the component may import. The same as [grants] in capabilities.toml.\n\
         world component {{\n    include juggernaut:host/role@{PACKAGE_VERSION};\n{imports}}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str, grants: &[Interface]) -> (tempfile::TempDir, Result<MadeRole>) {
        let folder = tempfile::tempdir().unwrap();
        let directory = Some(folder.path().join("crate"));
        let made = new_role(NewRole { name: name.to_owned(), directory, sdk: None, grants: grants.to_vec() });
        (folder, made)
    }

    #[test]
    fn each_capability_has_a_section_that_holds() {
        for grant in Interface::ALL {
            let (_folder, made) = made("my-role", &[*grant]);
            let directory = made.unwrap_or_else(|error| panic!("{grant}: {error:#}")).directory;
            let manifest = Manifest::read(&directory.join(manifest::FILE_NAME)).unwrap();
            assert!(manifest.grants(*grant));
            assert!(fs::read_to_string(directory.join("wit/world.wit")).unwrap().contains(&grant.to_string()));
            assert!(fs::read_to_string(directory.join("Cargo.toml")).unwrap().contains(grant.name()));
        }
        made("my-role", Interface::ALL).1.unwrap();
    }

    #[test]
    fn fixtures_and_tasks_of_the_templates_hold() {
        for Beginning { needs, fixture, task, .. } in BEGINNINGS {
            let grants: Vec<Interface> = needs.iter().copied().collect();
            let text = manifest_text("x", &grants).unwrap();
            let manifest = Manifest::parse(Path::new("x"), text).unwrap();
            super::super::fixture::Fixture::parse(fixture, &manifest).unwrap();
            let draft: crate::task::TaskDraft = serde_json::from_str(task).unwrap();
            crate::task::NewTask::admit(draft).unwrap();
        }
    }

    #[test]
    fn names_are_those_of_manifest_and_cargo() {
        for wrong in ["", "Greeter", "1st", "-x", "a b", "../x", "a_b", "test", "match", &"x".repeat(64)] {
            let (folder, made) = made(wrong, &[]);
            assert!(made.unwrap_err().to_string().starts_with(&format!("the name {wrong:?}")));
            assert!(!folder.path().join("crate").exists(), "nothing is left behind");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let (folder, first) = made("my-role", &[]);
        let directory = first.unwrap().directory;
        fs::write(directory.join("src/lib.rs"), "mine").unwrap();
        let again =
            NewRole { name: "my-role".to_owned(), directory: Some(directory.clone()), sdk: None, grants: vec![] };
        assert!(new_role(again).unwrap_err().to_string().contains("is not empty, and nothing is overwritten"));
        assert_eq!(fs::read_to_string(directory.join("src/lib.rs")).unwrap(), "mine");
        let sdk = Some(folder.path().to_owned());
        let elsewhere = NewRole { name: "my-role".to_owned(), directory: None, sdk, grants: vec![] };
        assert!(new_role(elsewhere).unwrap_err().to_string().contains("is not the SDK"));
    }
}
