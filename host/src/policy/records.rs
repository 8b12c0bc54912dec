//! Questions about what the host keeps itself, and about models.

use super::action::AskModel;
use super::engine::Decision;
use super::question::{Action, Fact, Subject};
use super::{Denied, Ruling, Scope, outside};
use crate::manifest::Interface;

/// What of a call goes beyond the manifest's grant: the key, and what would grant it.
pub type Beyond = Vec<(String, String)>;

impl Scope<'_> {
    /// Whether the run may look at what the host keeps.
    pub fn read_records(&self, interface: Interface, function: &str, beyond: Beyond) -> Result<Decision, Denied> {
        self.ask_records(Action::ReadRecords, interface, function, beyond)
    }

    /// Whether the run may change what the host keeps.
    pub fn write_records(&self, interface: Interface, function: &str, beyond: Beyond) -> Result<Decision, Denied> {
        self.ask_records(Action::WriteRecords, interface, function, beyond)
    }

    /// The run asks a model. The estimate of the whole call is a fact of the question.
    pub fn ask_model(&self, action: AskModel, beyond: Beyond) -> Result<Ruling<AskModel>, Denied> {
        let AskModel { model, body: _, tokens } = &action;
        let outside = self.beyond(Interface::Llm, beyond);
        let facts = vec![("tokens", Fact::Number(i64::try_from(*tokens).unwrap_or(i64::MAX)))];
        let words = vec![("model", format!("{model:?}")), ("tokens", tokens.to_string())];
        let decision = self.ask(Action::AskModel, Subject::model(model), &outside, facts, words)?;
        Ok(self.ruling(Action::AskModel, decision, self.risk.clone(), action))
    }

    /// Whether the run may see what is left to spend on models.
    pub fn see_budget(&self) -> Result<Decision, Denied> {
        self.ask_records(Action::ReadRecords, Interface::Llm, "remaining", Vec::new())
    }

    fn ask_records(
        &self,
        action: Action,
        interface: Interface,
        function: &str,
        beyond: Beyond,
    ) -> Result<Decision, Denied> {
        let outside = self.beyond(interface, beyond);
        let facts =
            vec![("interface", Fact::Text(interface.name().to_owned())), ("function", Fact::Text(function.to_owned()))];
        let words = vec![("interface", interface.name().to_owned()), ("function", function.to_owned())];
        self.ask(action, Subject::records(interface), &outside, facts, words)
    }

    fn beyond(&self, interface: Interface, beyond: Beyond) -> outside::Outside {
        let manifest = &self.authority.manifest;
        if !manifest.grants(interface) {
            return outside::Outside::interface(manifest, interface.name());
        }
        let place = manifest.path.display();
        let mut outside = outside::Outside::default();
        for (key, remedy) in beyond {
            let remedy = format!("{remedy}; see {key} of [grants.{}] in {place}", interface.name());
            outside.add(key, remedy);
        }
        outside
    }
}
