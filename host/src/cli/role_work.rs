//! `juggernaut role new` and `role test`: what an author of roles works with. They need no host, no database and no network.
//!
//! Invariant: what a component or a fixture says is made visible before it is printed, as JSON too.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use super::output::{Output, visible, visible_lines};
use super::role::{exit, json};
use super::role_args::{ComponentArguments, NewArguments, TestArguments};
use crate::app::{self, FixtureTested, MadeRole, NewRole, RoleTest, RoleTested};

pub(super) fn new(arguments: NewArguments, output: Output) -> Result<ExitCode> {
    let NewArguments { name, path, sdk, grants } = arguments;
    let MadeRole { directory, seed } = app::new_role(NewRole { name, directory: path, sdk, grants })?;
    let shown = visible(&directory.display().to_string());
    if output.json {
        json(&serde_json::json!({ "directory": directory }), output)?;
        return Ok(ExitCode::SUCCESS);
    }
    output.line(&format!("made {shown}; README.md in it says what is what. Next:"))?;
    for command in [
        &format!("cd {shown}"),
        "cargo build --release",
        "juggernaut role test .",
        &format!("juggernaut role run . --task first-task.json{seed}"),
    ] {
        output.line(&format!("    {command}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The component that is named or built, if one is.
pub(super) fn component(arguments: &ComponentArguments) -> Result<Option<PathBuf>> {
    let ComponentArguments { directory, build, component } = arguments;
    if *build { app::build_component(directory).map(Some) } else { Ok(component.clone()) }
}

pub(super) async fn test(arguments: TestArguments, output: Output) -> Result<ExitCode> {
    let TestArguments { component: place, fixtures, log } = arguments;
    let component = component(&place)?;
    let tested = app::test_role(RoleTest { directory: &place.directory, component, fixtures }).await?;
    if output.json {
        json(&tested, output)?;
        return Ok(exit(tested.passed));
    }
    let RoleTested { role, component, passed, fixtures } = tested;
    output.line(&format!("{}: {}", visible(&role), visible(&component.display().to_string())))?;
    for fixture in &fixtures {
        print(fixture, log, output)?;
    }
    let failed = fixtures.iter().filter(|fixture| !fixture.passed).count();
    let verdict = if passed { "all passed".to_owned() } else { format!("{failed} FAILED") };
    output.line(&format!("{} fixtures, {verdict}", fixtures.len()))?;
    Ok(exit(passed))
}

fn print(fixture: &FixtureTested, with_log: bool, output: Output) -> Result<()> {
    let FixtureTested { file, passed, ended, calls, problems, log } = fixture;
    let verdict = if *passed { "ok    " } else { "FAILED" };
    let file = visible(&file.display().to_string());
    output.line(&format!("  {verdict} {file}: {calls} calls, {}", visible(ended)))?;
    for problem in problems {
        output.line(&format!("    problem: {}", indented(problem)))?;
    }
    if with_log || !passed {
        for line in log {
            output.line(&format!("    | {}", visible_lines(line)))?;
        }
    }
    Ok(())
}

/// Further lines are set in, without a mark: they may be there to be copied.
fn indented(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n        ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_line_of_a_problem_passes_for_ours() {
        assert_eq!(super::indented("a\nFAILED b\u{1b}"), "a\n        FAILED b<U+001B>");
    }
}
