//! Places at which a test has this process end, as `kill -9` would end it, or stop, as SIGSTOP would.
//!
//! Invariant: no release build has them. They need the feature `crash-points`, which only the tests switch on, and
//! debug assertions, which a release profile has not, whatever features other packages switch on.

/// Whether this build has crash points.
pub const COMPILED_IN: bool = cfg!(all(feature = "crash-points", debug_assertions));

/// What `--version` says.
pub const VERSION: &str = if COMPILED_IN {
    concat!(env!("CARGO_PKG_VERSION"), " (a build for tests: it has crash points)")
} else {
    env!("CARGO_PKG_VERSION")
};

/// Declares the points together with their names, so that none is without.
macro_rules! points {
    ($($(#[$meta:meta])* $variant:ident = $text:literal),+ $(,)?) => {
        /// A boundary in the life of a task, in the order in which a run comes to it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Point { $($(#[$meta])* $variant),+ }

        impl Point {
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

points! {
    /// The claim is committed; nothing of the run has begun.
    Claimed = "claimed",
    /// A mutation was decided; its intent is not stored. Where it needs an approval: and that is not used up.
    BeforeIntent = "before-intent",
    /// The intent is durable, and so is the use of the approval.
    AfterIntent = "after-intent",
    /// The lease allows the change; nothing has been sent. A pause here is the one that no lease can fence.
    BeforeAct = "before-act",
    /// The world has answered.
    AfterAct = "after-act",
    BeforeResult = "before-result",
    /// The result is durable.
    AfterResult = "after-result",
    /// An approval is found, and not used up.
    BeforeApprovalUse = "before-approval-use",
    AfterApprovalUse = "after-approval-use",
    /// The run is verified; its end is not stored.
    BeforeCompletion = "before-completion",
    /// The end of a run, whatever it is, is written and not committed.
    EndingUncommitted = "ending-uncommitted",
    AfterCompletion = "after-completion",
    BeforeSuspension = "before-suspension",
    AfterSuspension = "after-suspension",
    /// A run ends to wait for a person.
    BeforeWaiting = "before-waiting",
    AfterWaiting = "after-waiting",
    /// A run ends in any other way: failed, retried, given up, released.
    BeforeEnding = "before-ending",
    AfterEnding = "after-ending",
    /// The task of a schedule's firing is written and not committed.
    FiringUncommitted = "firing-uncommitted",
    AfterFiring = "after-firing",
}

/// What happens at the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    Stop,
}

/// `NAME[:COUNT][:stop]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    point: Point,
    /// It happens when the point is reached for this time.
    count: u32,
    end: End,
}

/// Why the process can not be armed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArmError {
    #[error("JUGGERNAUT_CRASH_AT is set, and this build has no crash points; unset it")]
    NotCompiledIn,
    #[error(
        "JUGGERNAUT_CRASH_AT is {text:?}, which is not NAME[:COUNT][:stop] with a COUNT from 1; the names are: {names}"
    )]
    NotAPlan { text: String, names: String },
}

impl Plan {
    fn parse(text: &str) -> Option<Self> {
        let (rest, end) = text.strip_suffix(":stop").map_or((text, End::Kill), |rest| (rest, End::Stop));
        let (name, count) = match rest.split_once(':') {
            Some((name, count)) => (name, count.parse().ok().filter(|count| *count > 0)?),
            None => (rest, 1),
        };
        let point = Point::ALL.iter().copied().find(|point| point.name() == name)?;
        Some(Self { point, count, end })
    }
}

/// Has this process end at the point that `at` names; see [`Point`]. What is armed stays so.
pub fn arm(at: Option<&str>) -> Result<(), ArmError> {
    let Some(text) = at else { return Ok(()) };
    if !COMPILED_IN {
        return Err(ArmError::NotCompiledIn);
    }
    let plan = Plan::parse(text).ok_or_else(|| ArmError::NotAPlan {
        text: text.to_owned(),
        names: Point::ALL.iter().map(|point| point.name()).collect::<Vec<_>>().join(", "),
    })?;
    tracing::warn!(point = plan.point.name(), plan.count, ?plan.end, "JUGGERNAUT_CRASH_AT: this host ends itself there");
    armed::set(plan);
    Ok(())
}

/// Ends the process here if that is what it is armed for. Nothing at all in a build without crash points.
#[inline]
pub fn point(reached: Point) {
    armed::reach(reached);
}

#[cfg(all(feature = "crash-points", debug_assertions))]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use signal_hook::consts::{SIGKILL, SIGSTOP};
    use signal_hook::low_level::raise;

    use super::{End, Plan, Point};

    static PLAN: OnceLock<(Plan, AtomicU32)> = OnceLock::new();

    pub(super) fn set(plan: Plan) {
        PLAN.get_or_init(|| (plan, AtomicU32::new(0)));
    }

    pub(super) fn reach(reached: Point) {
        let Some((plan, times)) = PLAN.get() else { return };
        if plan.point != reached || times.fetch_add(1, Ordering::SeqCst) + 1 != plan.count {
            return;
        }
        tracing::warn!(point = reached.name(), plan.count, "crash point reached");
        let raised = match plan.end {
            // No destructor runs, no buffer is flushed, no connection is closed in good order.
            End::Kill => raise(SIGKILL),
            End::Stop => raise(SIGSTOP),
        };
        if raised.is_err() {
            std::process::abort();
        }
    }
}

#[cfg(not(all(feature = "crash-points", debug_assertions)))]
mod armed {
    use super::{Plan, Point};

    pub(super) fn set(_: Plan) {}

    #[inline]
    pub(super) fn reach(_: Point) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_strictly() {
        let plan = |point, count, end| Some(Plan { point, count, end });
        assert_eq!(Plan::parse("before-act"), plan(Point::BeforeAct, 1, End::Kill));
        assert_eq!(Plan::parse("before-act:3"), plan(Point::BeforeAct, 3, End::Kill));
        assert_eq!(Plan::parse("claimed:stop"), plan(Point::Claimed, 1, End::Stop));
        assert_eq!(Plan::parse("claimed:2:stop"), plan(Point::Claimed, 2, End::Stop));
        for wrong in ["", "act", "before-act:", "before-act:0", "before-act:-1", "before-act:1:go", "Before-Act", ":1"]
        {
            assert_eq!(Plan::parse(wrong), None, "{wrong}");
        }
    }

    /// The other half of the promise that no release build has them.
    #[test]
    fn no_profile_brings_debug_assertions_into_a_release() {
        let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
        let manifest: toml::Value = toml::from_str(&manifest).unwrap();
        for (name, profile) in manifest["profile"].as_table().unwrap() {
            assert!(profile.get("debug-assertions").is_none(), "profile.{name} sets debug-assertions");
            assert_ne!(profile.get("inherits").and_then(toml::Value::as_str), Some("dev"), "profile.{name}");
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
    }

    #[test]
    fn a_build_says_whether_it_has_them() {
        assert_eq!(VERSION.contains("crash points"), COMPILED_IN);
        let told = arm(Some("no such point")).unwrap_err().to_string();
        if COMPILED_IN {
            assert!(told.contains("before-intent, after-intent"), "{told}");
        } else {
            assert_eq!(arm(Some("claimed")), Err(ArmError::NotCompiledIn));
        }
        assert_eq!(arm(None), Ok(()));
    }
}
