//! Questions about places on the web.

use super::engine::Decision;
use super::question::{Action, Fact, Subject};
use super::{Denied, Scope, outside};
use crate::web::{Method, WebTarget};

impl Scope<'_> {
    /// Whether the run may look at a place on the web. Host, method and path must be granted by one and the same target
    /// of the manifest. Each hop of a redirect is asked for anew.
    pub fn fetch(&self, target: &WebTarget, method: Method) -> Result<Decision, Denied> {
        let outside = outside::fetch(&self.authority.manifest, target, method);
        self.ask_endpoint(Action::Fetch, target, method.name(), &outside)
    }

    pub(super) fn ask_endpoint(
        &self,
        action: Action,
        target: &WebTarget,
        method: &str,
        outside: &outside::Outside,
    ) -> Result<Decision, Denied> {
        let overridden = target.method_override().unwrap_or_default();
        let facts = vec![
            ("method", Fact::Text(method.to_owned())),
            ("address", address(target)),
            ("method_override", Fact::Text(overridden.to_owned())),
        ];
        let words = vec![
            ("method", method.to_owned()),
            ("address", format!("{:?}", shown(target))),
            ("override", format!("{overridden:?}")),
        ];
        self.ask(action, Subject::endpoint(target.as_str()), outside, facts, words)
    }
}

/// `Address` of the schema.
fn address(target: &WebTarget) -> Fact {
    let texts = |texts: Vec<&str>| Fact::Set(texts.into_iter().map(str::to_owned).collect());
    let words = target.path_words().into_iter().chain(target.query_words()).collect();
    Fact::Record(vec![
        ("host", Fact::Text(target.host().to_owned())),
        ("domains", texts(target.domains())),
        ("segments", Fact::Set(target.path_segments())),
        ("words", Fact::Set(words)),
    ])
}

fn shown(target: &WebTarget) -> String {
    target.as_str().chars().take(200).collect()
}
