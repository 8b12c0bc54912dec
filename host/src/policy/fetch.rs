//! Whether the run may look at a place on the web.

use super::{Denied, Scope, deny};
use crate::manifest::HttpTarget;
use crate::web::{Method, WebTarget};

impl Scope<'_> {
    /// Host, method and path must be granted by one and the same target of the manifest. Each hop of a redirect is asked
    /// for anew.
    pub fn fetch(&self, target: &WebTarget, method: Method) -> Result<(), Denied> {
        let Some(grant) = &self.manifest.grants.http_fetch else {
            return self.not_granted("http-fetch");
        };
        if !method.is_safe() {
            return deny("safe-methods", format!("{method} may change something; http-fetch only does GET and HEAD"));
        }
        if let Some(key) = target.method_override() {
            return deny("method-override", format!("{key:?} in the query asks for another method, or other headers"));
        }
        let place = self.manifest.path.display();
        let targets = grant.as_ref().targets.iter().map(toml::Spanned::as_ref);
        let of_host: Vec<&HttpTarget> = targets.filter(|granted| granted.host.matches(target)).collect();
        if of_host.is_empty() {
            let port = if target.is_https() && target.is_default_port() {
                String::new()
            } else {
                format!(":{}", target.port())
            };
            let host = format!("{}{port}", target.host());
            return deny(
                "manifest-hosts",
                format!(
                    "host {host} is not granted; add [[grants.http-fetch.targets]] with host = \"{host}\" in {place}"
                ),
            );
        }
        let of_method: Vec<_> = of_host.into_iter().filter(|granted| granted.methods.contains(&method)).collect();
        let Some(first) = of_method.first() else {
            let host = target.host();
            return deny(
                "manifest-methods",
                format!(
                    "{method} of {host} is not granted; add \"{method}\" to methods of its http-fetch target in {place}"
                ),
            );
        };
        if of_method.iter().any(|granted| granted.paths.iter().any(|prefix| prefix.matches(target))) {
            return Ok(());
        }
        let path: String = target.path().chars().take(200).collect();
        deny(
            "manifest-paths",
            format!(
                "path {path:?} of {} is not granted; add it, or a prefix of it, to paths of the http-fetch target {} in {place}",
                target.host(),
                first.host
            ),
        )
    }
}
