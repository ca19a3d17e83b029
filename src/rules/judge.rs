//! The mode and the rules together: what becomes of the change of one file. Pure.

use crate::edit::anchor::Tier;
use crate::protocol::ChangeKind;

use super::{Explanation, Mode, Place, Rules, Verdict};

/// How far a run may go without asking: its mode, and the rules of its owner and its repository.
#[derive(Debug, Clone, Default)]
pub struct Authority {
    pub mode: Mode,
    pub rules: Rules,
}

/// What is known about the change of one file without looking at any text that a model wrote.
#[derive(Debug, Clone)]
pub struct Change {
    /// Where the file is before and after; one place unless it is renamed.
    pub places: Vec<Place>,
    pub kind: ChangeKind,
    /// The least certain way in which an edit of the file found its place.
    pub tier: Tier,
    /// Every path of it stands in the plan.
    pub planned: bool,
    pub executable_before: bool,
    pub executable_after: bool,
    /// A check failed on a copy with the whole patch.
    pub check_failed: bool,
}

/// What becomes of a change, and by what. `by` begins with `rule: ` or `mode: ` where one decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruled {
    /// It needs no answer.
    Allowed { by: String },
    /// Its owner decides. `because` is why, where an answer is needed in spite of a rule or the mode.
    Asked { because: Option<String> },
    /// It is not applied, whoever says yes.
    Denied { by: String },
}

impl Authority {
    /// Why a path may not be changed at all, if a rule says so.
    pub fn denies(&self, place: &Place) -> Option<String> {
        let explained = self.rules.explain_path(place);
        (explained.verdict == Verdict::Deny).then_some(explained.by)
    }

    /// What becomes of one change.
    pub fn judge(&self, change: &Change) -> Ruled {
        let explained: Vec<Explanation> =
            change.places.iter().map(|place| self.rules.explain_path(place)).collect();
        // No place, no permission.
        let Some(strictest) = explained.iter().max_by_key(|one| one.verdict) else {
            return Ruled::Asked { because: None };
        };
        if strictest.verdict == Verdict::Deny {
            return Ruled::Denied { by: strictest.by.clone() };
        }
        if let Mode::Deny | Mode::Plan = self.mode {
            return Ruled::Denied { by: format!("mode: {}", self.mode.word()) };
        }
        if self.mode == Mode::Evaluation {
            // The folder is thrown away, whatever its files are called; but a path that may lead out of it
            // is not a path of the folder.
            return match explained.iter().find(|one| !one.doubts.is_empty()) {
                Some(doubted) => Ruled::Asked { because: Some(doubted.by.clone()) },
                None => Ruled::Allowed { by: format!("mode: {}", self.mode.word()) },
            };
        }
        let allowed = strictest.verdict == Verdict::Allow;
        if !allowed && self.mode != Mode::Auto {
            let decided = explained.iter().any(|one| !one.matched.is_empty() || !one.doubts.is_empty());
            return Ruled::Asked { because: decided.then(|| strictest.by.clone()) };
        }
        if let Some(reason) = never(change) {
            return Ruled::Asked { because: Some(reason.to_owned()) };
        }
        if allowed {
            return Ruled::Allowed { by: strictest.by.clone() };
        }
        // A rule that asks, a line of the table, or a doubt about any of the places.
        if let Some(asks) = explained.iter().find(|one| {
            !one.doubts.is_empty() || one.matched.iter().any(|matched| matched.verdict != Verdict::Allow)
        }) {
            return Ruled::Asked { because: Some(asks.by.clone()) };
        }
        match change.tier {
            Tier::Exact | Tier::Named | Tier::File => Ruled::Allowed { by: "mode: auto".into() },
            tier => Ruled::Asked {
                because: Some(format!("mode auto applies exact edits only, and this is: {}", tier.label())),
            },
        }
    }
}

/// What no rule and no mode allows, whatever its path.
fn never(change: &Change) -> Option<&'static str> {
    if change.tier.is_guess() {
        return Some("its place was found by likeness alone");
    }
    if !change.planned {
        return Some("the plan does not name the file");
    }
    if change.check_failed {
        return Some("a check failed with this patch");
    }
    match change.kind {
        ChangeKind::Delete => return Some("it deletes a file"),
        ChangeKind::Rename => return Some("it renames a file"),
        ChangeKind::Create | ChangeKind::Modify => {}
    }
    match (change.executable_before, change.executable_after) {
        (false, true) => Some("it makes a file executable"),
        (true, false) => Some("it takes the executable bit off a file"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Rule, written};

    fn authority(mode: Mode, rules: &[(&str, &str)]) -> Authority {
        #[derive(serde::Deserialize)]
        struct File {
            rules: Vec<written::Written>,
        }
        let text: String = rules
            .iter()
            .map(|(verdict, path)| format!("[[rules]]\nverdict = {verdict:?}\npath = {path:?}\n"))
            .collect();
        let rules: Vec<Rule> = match text.is_empty() {
            true => Vec::new(),
            false => written::owner(toml::from_str::<File>(&text).unwrap().rules).unwrap(),
        };
        Authority { mode, rules: Rules::of_owner(rules) }
    }

    fn change(path: &str) -> Change {
        Change {
            places: vec![Place::lexical(path)],
            kind: ChangeKind::Modify,
            tier: Tier::Exact,
            planned: true,
            executable_before: false,
            executable_after: false,
            check_failed: false,
        }
    }

    fn word(ruled: &Ruled) -> &'static str {
        match ruled {
            Ruled::Allowed { .. } => "allowed",
            Ruled::Asked { .. } => "asked",
            Ruled::Denied { .. } => "denied",
        }
    }

    /// Each mode's answer to a change, in the order ask, auto, plan, deny.
    fn in_modes(rules: &[(&str, &str)], change: &Change) -> [&'static str; 4] {
        [Mode::Ask, Mode::Auto, Mode::Plan, Mode::Deny]
            .map(|mode| word(&authority(mode, rules).judge(change)))
    }

    #[test]
    fn modes_and_rules_meet_as_the_table_says() {
        let plain = change("src/a.rs");
        let allow = [("allow", "src/**")];
        assert_eq!(in_modes(&[], &plain), ["asked", "allowed", "denied", "denied"]);
        assert_eq!(in_modes(&allow, &plain), ["allowed", "allowed", "denied", "denied"]);
        assert_eq!(in_modes(&[("ask", "src/**")], &plain), ["asked", "asked", "denied", "denied"]);
        assert_eq!(in_modes(&[("deny", "src/**")], &plain), ["denied"; 4]);
        assert_eq!(in_modes(&[("allow", "**"), ("ask", "src/**")], &plain)[..2], ["asked", "asked"]);
        assert_eq!(in_modes(&[("allow", "**"), ("ask", "**"), ("deny", "*.rs")], &plain), ["denied"; 4]);
    }

    #[test]
    fn some_things_are_never_allowed() {
        let all = [("allow", "**")];
        let make = |with: &dyn Fn(&mut Change)| {
            let mut made = change("src/a.rs");
            with(&mut made);
            made
        };
        for (what, made) in [
            ("likeness", make(&|change| change.tier = Tier::Fuzzy)),
            ("out of plan", make(&|change| change.planned = false)),
            ("deletion", make(&|change| change.kind = ChangeKind::Delete)),
            ("rename", make(&|change| change.kind = ChangeKind::Rename)),
            (
                "new executable",
                make(&|change| (change.kind, change.executable_after) = (ChangeKind::Create, true)),
            ),
            ("executable", make(&|change| change.executable_after = true)),
            ("failed check", make(&|change| change.check_failed = true)),
            ("no longer executable", make(&|change| change.executable_before = true)),
            ("no place", make(&|change| change.places.clear())),
            ("doubtful", make(&|change| change.places = vec![Place::lexical("a/../src/a.rs")])),
            ("sensitive", change(".github/workflows/ci.yml")),
            ("lock file", change("Cargo.lock")),
            ("our own", change("countersign.toml")),
            (
                "onto something sensitive",
                make(&|change| change.places.push(Place::lexical(".git/hooks/pre-commit"))),
            ),
        ] {
            for mode in [Mode::Ask, Mode::Auto] {
                let ruled = authority(mode, &all).judge(&made);
                assert_eq!(word(&ruled), "asked", "{what} in {mode:?}");
                if what != "no place" {
                    assert!(matches!(ruled, Ruled::Asked { because: Some(_) }), "{what}: {ruled:?}");
                }
            }
        }
        // A script that stays executable may be edited like any other file.
        let script = make(&|change| (change.executable_before, change.executable_after) = (true, true));
        assert_eq!(in_modes(&all, &script)[0], "allowed");
    }

    #[test]
    fn an_evaluation_takes_everything_but_what_is_denied_or_may_lead_out_of_its_folder() {
        let judge = |rules: &[(&str, &str)], made: &Change| authority(Mode::Evaluation, rules).judge(made);
        let plain = change("src/a.rs");
        for made in [
            plain.clone(),
            Change { kind: ChangeKind::Delete, ..plain.clone() },
            Change { planned: false, tier: Tier::Fuzzy, check_failed: true, ..plain.clone() },
            change("Cargo.toml"),
        ] {
            assert_eq!(judge(&[], &made), Ruled::Allowed { by: "mode: evaluation".into() }, "{made:?}");
        }
        assert_eq!(word(&judge(&[("deny", "src/")], &plain)), "denied");
        for places in [vec![], vec![Place::lexical("a/../../b")]] {
            assert_eq!(word(&judge(&[], &Change { places, ..plain.clone() })), "asked");
        }
    }

    #[test]
    fn auto_takes_exact_edits_only_and_a_rule_more() {
        for tier in [Tier::TrailingSpace, Tier::Indentation, Tier::Spacing, Tier::Whole] {
            let made = Change { tier, ..change("src/a.rs") };
            assert_eq!(in_modes(&[], &made)[1], "asked", "{tier:?}");
            assert_eq!(in_modes(&[("allow", "src/**")], &made)[1], "allowed", "{tier:?}");
        }
        for tier in [Tier::Exact, Tier::Named, Tier::File] {
            let made = Change { tier, ..change("src/a.rs") };
            assert_eq!(in_modes(&[], &made)[1], "allowed", "{tier:?}");
        }
    }

    #[test]
    fn what_decided_is_named() {
        let ruled = authority(Mode::Ask, &[("allow", "src/**")]).judge(&change("src/a.rs"));
        assert_eq!(ruled, Ruled::Allowed { by: "rule: allow src/**".into() });
        let ruled = authority(Mode::Auto, &[("deny", "src/")]).judge(&change("src/a.rs"));
        assert_eq!(ruled, Ruled::Denied { by: "rule: deny src/".into() });
        let ruled = authority(Mode::Ask, &[]).judge(&change("src/a.rs"));
        assert_eq!(ruled, Ruled::Asked { because: None });
    }
}
