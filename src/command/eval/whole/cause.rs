//! Why an attempt failed, from what was seen of it. Pure.

use serde::{Deserialize, Serialize};

use super::agent::{Seen, Stopped};

/// The first thing that went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A file that has to change was not in the evidence, and the plan does not name it.
    Retrieval,
    /// There was no valid plan, or it leaves out a file that has to change.
    Plan,
    /// A file that has to change did not, since no usable edit was written for it.
    Edit,
    /// The agent's own check failed on what it applied, and said so.
    Check,
    /// The right files were changed, nothing that the agent could run failed, and the tests do.
    Model,
    /// The time was over.
    Time,
    /// The model server failed.
    Server,
    /// The agent itself failed.
    Agent,
}

impl Cause {
    pub const ALL: [Cause; 8] = [
        Cause::Retrieval,
        Cause::Plan,
        Cause::Edit,
        Cause::Check,
        Cause::Model,
        Cause::Time,
        Cause::Server,
        Cause::Agent,
    ];

    /// For tables.
    pub fn describe(self) -> &'static str {
        match self {
            Cause::Retrieval => "retrieval",
            Cause::Plan => "plan",
            Cause::Edit => "edit",
            Cause::Check => "check",
            Cause::Model => "model limit",
            Cause::Time => "time",
            Cause::Server => "server",
            Cause::Agent => "agent",
        }
    }
}

/// Why an attempt that failed its tests failed. `needed` are the files that a right solution touches.
pub fn of(seen: &Seen, needed: &[String]) -> Cause {
    match seen.stopped {
        Some(Stopped::Time) => return Cause::Time,
        Some(Stopped::Server) => return Cause::Server,
        Some(Stopped::Agent) => return Cause::Agent,
        None => {}
    }
    let untouched: Vec<&String> = needed.iter().filter(|path| !seen.applied.contains_key(*path)).collect();
    let planned = |path: &str| seen.planned.as_ref().is_some_and(|planned| planned.iter().any(|p| p == path));
    if let Some(evidence) = &seen.evidence {
        let found = |path: &str| evidence.iter().any(|known| known == path);
        // A file that does not exist yet cannot be found.
        let missed = |path: &&&String| seen.existing.contains(**path) && !found(path) && !planned(path);
        if untouched.iter().any(|path| missed(&path)) {
            return Cause::Retrieval;
        }
    }
    if seen.plans && untouched.iter().any(|path| !planned(path)) {
        return Cause::Plan;
    }
    match () {
        () if !untouched.is_empty() => Cause::Edit,
        () if seen.check_failed => Cause::Check,
        () => Cause::Model,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(evidence: &[&str], planned: Option<&[&str]>, applied: &[&str]) -> Seen {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        Seen {
            evidence: Some(owned(evidence)),
            plans: true,
            planned: planned.map(owned),
            applied: applied.iter().map(|path| ((*path).to_owned(), None)).collect(),
            existing: ["a.py", "b.py"].map(str::to_owned).into(),
            ..Seen::default()
        }
    }

    #[test]
    fn the_first_thing_that_went_wrong_counts() {
        let needed = ["a.py".to_owned(), "b.py".to_owned(), "new.py".to_owned()];
        let check = |seen: &Seen, expected| assert_eq!(of(seen, &needed), expected, "{seen:?}");
        let all = &["a.py", "b.py", "new.py"][..];
        let both = &["a.py", "b.py"][..];
        check(&seen(&["a.py"], Some(&["a.py", "new.py"]), &["a.py", "new.py"]), Cause::Retrieval);
        check(&seen(&["a.py"], Some(all), both), Cause::Edit);
        check(&seen(both, Some(&["a.py", "new.py"]), &["a.py", "new.py"]), Cause::Plan);
        check(&seen(both, None, &[]), Cause::Plan);
        check(&seen(both, Some(all), both), Cause::Edit);
        check(&seen(both, Some(all), all), Cause::Model);
        check(&Seen { check_failed: true, ..seen(both, Some(all), all) }, Cause::Check);
        check(&Seen { stopped: Some(Stopped::Time), ..seen(&[], None, &[]) }, Cause::Time);
        check(&Seen { stopped: Some(Stopped::Server), ..seen(&[], None, &[]) }, Cause::Server);
        // An agent that neither shows evidence nor plans.
        let other = Seen { evidence: None, plans: false, ..seen(&[], None, &["a.py"]) };
        check(&other, Cause::Edit);
        check(&Seen { applied: seen(&[], None, all).applied, ..other }, Cause::Model);
    }
}
