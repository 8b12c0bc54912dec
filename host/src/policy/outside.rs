//! What of a call the manifest does not grant, and which line would grant it.

use std::borrow::Cow;

use super::question::Fact;
use crate::manifest::{BranchPattern, HttpTarget, Manifest, RepositoryPattern};
use crate::repo::{Branch, Repository};
use crate::web::{Method, WebTarget};

/// Names of what is outside the manifest (see `outside` in the schema), each with its remedy.
#[derive(Debug, Clone, Default)]
pub(super) struct Outside(Vec<(Cow<'static, str>, String)>);

impl Outside {
    pub(super) fn fact(&self) -> Fact {
        Fact::Set(self.0.iter().map(|(name, _)| name.clone().into_owned()).collect())
    }

    pub(super) fn remedy(&self) -> String {
        self.0.iter().map(|(_, remedy)| remedy.as_str()).collect::<Vec<_>>().join("; ")
    }

    pub(super) fn interface(manifest: &Manifest, interface: &str) -> Self {
        Self(vec![("interface".into(), format!("{} does not grant {interface}", manifest.path.display()))])
    }

    pub(super) fn add(&mut self, name: impl Into<Cow<'static, str>>, remedy: String) {
        self.0.push((name.into(), remedy));
    }

    fn repository(
        &mut self,
        manifest: &Manifest,
        interface: &str,
        granted: &[RepositoryPattern],
        repository: &Repository,
    ) {
        if !granted.iter().any(|pattern| pattern.matches(repository)) {
            let manifest = manifest.path.display();
            self.add(
                "repositories",
                format!(
                    "repository {repository} is not granted; add \"{repository}\" to repositories of \
                     [grants.{interface}] in {manifest}"
                ),
            );
        }
    }

    fn base(&mut self, manifest: &Manifest, interface: &str, granted: &[BranchPattern], base: &str) {
        if !Branch::parse(base).is_ok_and(|base| granted.iter().any(|pattern| pattern.matches(&base))) {
            let manifest = manifest.path.display();
            self.add(
                "bases",
                format!("base branch {base:?} is not granted; see bases of [grants.{interface}] in {manifest}"),
            );
        }
    }
}

pub(super) fn read(manifest: &Manifest, repository: &Repository) -> Outside {
    let Some(grant) = &manifest.grants.github_read else {
        return Outside::interface(manifest, "github-read");
    };
    let mut outside = Outside::default();
    outside.repository(manifest, "github-read", &grant.as_ref().repositories, repository);
    outside
}

pub(super) fn write(manifest: &Manifest, repository: &Repository, branch: &Branch, base: Option<&str>) -> Outside {
    let Some(grant) = &manifest.grants.github_write else {
        return Outside::interface(manifest, "github-write");
    };
    let grant = grant.as_ref();
    let mut outside = Outside::default();
    outside.repository(manifest, "github-write", &grant.repositories, repository);
    if !grant.branches.iter().any(|pattern| pattern.matches(branch)) {
        let manifest = manifest.path.display();
        outside.add("branches", format!("branch {branch} matches none of github-write.branches in {manifest}"));
    }
    if let Some(base) = base {
        outside.base(manifest, "github-write", &grant.bases, base);
    }
    outside
}

pub(super) fn merge(manifest: &Manifest, repository: &Repository, base: &str) -> Outside {
    let Some(grant) = &manifest.grants.github_merge else {
        return Outside::interface(manifest, "github-merge");
    };
    let mut outside = Outside::default();
    outside.repository(manifest, "github-merge", &grant.as_ref().repositories, repository);
    outside.base(manifest, "github-merge", &grant.as_ref().bases, base);
    outside
}

pub(super) fn fetch(manifest: &Manifest, target: &WebTarget, method: Method) -> Outside {
    let Some(grant) = &manifest.grants.http_fetch else {
        return Outside::interface(manifest, "http-fetch");
    };
    let mut outside = Outside::default();
    let place = manifest.path.display();
    let targets = grant.as_ref().targets.iter().map(toml::Spanned::as_ref);
    let of_host: Vec<&HttpTarget> = targets.filter(|granted| granted.host.matches(target)).collect();
    if of_host.is_empty() {
        let port =
            if target.is_https() && target.is_default_port() { String::new() } else { format!(":{}", target.port()) };
        let host = format!("{}{port}", target.host());
        let remedy =
            format!("host {host} is not granted; add [[grants.http-fetch.targets]] with host = \"{host}\" in {place}");
        outside.add("hosts", remedy);
        return outside;
    }
    let of_method: Vec<_> = of_host.into_iter().filter(|granted| granted.methods.contains(&method)).collect();
    let Some(first) = of_method.first() else {
        let host = target.host();
        let remedy = format!(
            "{method} of {host} is not granted; add \"{method}\" to methods of its http-fetch target in {place}"
        );
        outside.add("methods", remedy);
        return outside;
    };
    if !of_method.iter().any(|granted| granted.paths.iter().any(|prefix| prefix.matches(target))) {
        let path: String = target.path().chars().take(200).collect();
        let remedy = format!(
            "path {path:?} of {} is not granted; add it, or a prefix of it, to paths of the http-fetch target {} in {place}",
            target.host(),
            first.host
        );
        outside.add("paths", remedy);
    }
    outside
}
