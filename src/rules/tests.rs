//! Verdicts as a whole, tricks against them, and what holds for any set of rules.

use proptest::prelude::*;

use super::*;
use crate::edit::anchor::Tier;

fn rule(verdict: Verdict, pattern: &str) -> Rule {
    let pattern = match pattern.strip_prefix("run ") {
        Some(words) => {
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            Pattern::Run(WordsGlob::new(&words).unwrap())
        }
        None => Pattern::Path(PathGlob::new(pattern).unwrap()),
    };
    Rule { verdict, pattern, origin: Origin::Owner, number: 1 }
}

fn rules(rules: &[(Verdict, &str)]) -> Rules {
    Rules::of_owner(rules.iter().map(|(verdict, pattern)| rule(*verdict, pattern)).collect())
}

use Verdict::{Allow, Ask, Deny};

#[test]
fn deny_wins_over_ask_over_allow_and_nothing_means_ask() {
    let all = rules(&[(Allow, "**"), (Ask, "docs/**"), (Deny, "docs/secret*")]);
    let verdict = |path: &str| all.explain_path(&Place::lexical(path)).verdict;
    assert_eq!(verdict("src/a.rs"), Allow);
    assert_eq!(verdict("docs/a.md"), Ask);
    assert_eq!(verdict("docs/secret.md"), Deny);
    assert_eq!(Rules::default().explain_path(&Place::lexical("src/a.rs")).verdict, Ask);
    assert_eq!(Rules::default().command(&["ls".into()]), Ask);
}

#[test]
fn no_spelling_gets_past_a_deny() {
    let all = rules(&[(Allow, "**"), (Deny, "secret/caf\u{e9}.txt"), (Deny, "private")]);
    for tried in [
        "secret/caf\u{e9}.txt",
        "Secret/Caf\u{c9}.TXT",
        "SECRET/cafe\u{301}.txt",
        "./secret/caf\u{e9}.txt",
        "secret//caf\u{e9}.txt",
        "a/../secret/caf\u{e9}.txt",
        "secret/./caf\u{e9}.txt",
        "secret/caf\u{e9}.txt.",
        "secret/caf\u{e9}.txt ",
        "secret./caf\u{e9}.txt",
        "secret\\caf\u{e9}.txt",
        "secret/caf\u{e9}.txt::$DATA",
        "se\u{200b}cret/caf\u{e9}.txt",
        "\u{17f}ecret/caf\u{e9}.txt",
        "private/x",
        "PRIVATE/x/y",
        "a/private/x",
        "private. /x",
    ] {
        let explained = all.explain_path(&Place::lexical(tried));
        assert_eq!(explained.verdict, Deny, "{tried:?}: {explained:#?}");
    }
}

#[test]
fn no_spelling_gets_past_the_table() {
    let all = rules(&[(Allow, "**")]);
    for tried in [
        "MAKEFILE",
        "makefile.",
        "x/Makefile ",
        ".GitHub/x",
        ".g\u{200c}ithub/x",
        "package.JSON",
        "Cargo.loc\u{212a}",
    ] {
        let explained = all.explain_path(&Place::lexical(tried));
        assert_eq!(explained.verdict, Ask, "{tried:?}");
        assert!(explained.by.starts_with("built in: "), "{explained:#?}");
    }
}

#[test]
fn a_line_for_a_shell_is_never_a_command() {
    let all = rules(&[
        (Allow, "run git status"),
        (Allow, "run git status **"),
        (Allow, "run git **"),
        (Allow, "run echo **"),
        (Allow, "run sh **"),
        (Deny, "run rm **"),
    ]);
    assert_eq!(all.explain_line("git status").verdict, Allow);
    assert_eq!(all.explain_line("git 'status'").verdict, Allow);
    for line in [
        "git status && x",
        "git status&&x",
        "git status; x",
        "git status | x",
        "git status || x",
        "git status & x",
        "git status > x",
        "git status < x",
        "git status `x`",
        "git status $(x)",
        "git status ${X}",
        "git status\nx",
        "git status \"x",
        "echo $HOME",
        "sh -c x",
        "",
    ] {
        let explained = all.explain_line(line);
        assert_eq!(explained.verdict, Ask, "{line:?}: {explained:#?}");
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        // A quote is a sign of a shell in a line only.
        assert!(line.contains('"') || all.command(&words) != Allow, "{line:?} as words");
    }
    for line in
        ["git status && rm x", "sh -c 'rm x'", "env A=1 rm x", "/bin/rm x", "echo $(rm x)", "RM.exe x"]
    {
        assert_eq!(all.explain_line(line).verdict, Deny, "{line:?}");
    }
    assert_eq!(all.explain_line("echo rm x").verdict, Allow, "an argument is no command");
    assert_eq!(all.explain_line("sh x.sh").verdict, Ask, "no rule allows a shell");
    assert!(all.explain_line("sh x.sh").by.starts_with("built in: "));
    assert_eq!(all.explain_line("./git status").verdict, Ask, "another program of the same name");
}

#[test]
fn an_explanation_names_every_match_and_the_winner() {
    let all = rules(&[(Allow, "**"), (Ask, "*.lock"), (Deny, "Cargo.lock")]);
    let explained = all.explain_path(&Place::lexical("./Cargo.lock"));
    let told: Vec<(&str, bool)> = explained.matched.iter().map(|one| (one.text.as_str(), one.won)).collect();
    assert_eq!(
        told,
        [
            ("allow **", false),
            ("ask *.lock", false),
            ("deny Cargo.lock", true),
            ("*.lock (lock file)", false)
        ]
    );
    assert!(explained.matched[3].place.starts_with("sensitive.toml:"));
    assert_eq!(explained.by, "rule: deny Cargo.lock");
    assert_eq!(explained.tested, Tested::Path { path: "Cargo.lock".into(), others: vec![] });
}

#[test]
fn a_repository_that_cannot_be_read_makes_everything_a_question() {
    let all =
        rules(&[(Allow, "**"), (Allow, "run ls"), (Deny, "secret/**")]).tightened(written::repository("["));
    assert_eq!(all.explain_path(&Place::lexical("src/a.rs")).verdict, Ask);
    assert_eq!(all.command(&["ls".into()]), Ask);
    assert_eq!(all.explain_path(&Place::lexical("secret/a")).verdict, Deny);
}

#[test]
fn a_rule_that_allows_is_dropped_wherever_a_repository_got_it_from() {
    let smuggled = written::Repository { rules: vec![rule(Allow, "**")], ..Default::default() };
    let all = Rules::default().tightened(smuggled);
    assert_eq!(all.explain_path(&Place::lexical("src/a.rs")).verdict, Ask);
}

fn any_verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Allow), Just(Ask), Just(Deny)]
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let name = "[aAbB*?]{1,3}|\\*\\*";
    let path = proptest::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let words = proptest::collection::vec("[aAb*]{1,2}", 0..3).prop_map(|words| {
        format!("run a{}", words.iter().map(|word| format!(" {word}")).collect::<String>())
    });
    (any_verdict(), prop_oneof![path, words]).prop_filter_map(
        "a pattern that can be read",
        |(verdict, pattern)| {
            let words = pattern.strip_prefix("run ");
            let fine = match words {
                Some(words) => {
                    WordsGlob::new(&words.split(' ').map(str::to_owned).collect::<Vec<_>>()).is_ok()
                }
                None => PathGlob::new(&pattern).is_ok(),
            };
            fine.then(|| rule(verdict, &pattern))
        },
    )
}

fn any_mode_and_tier() -> impl Strategy<Value = (Mode, Tier)> {
    let mode = prop_oneof![Just(Mode::Ask), Just(Mode::Auto), Just(Mode::Plan), Just(Mode::Deny)];
    (mode, prop_oneof![Just(Tier::Exact), Just(Tier::Whole), Just(Tier::Fuzzy)])
}

fn any_path() -> impl Strategy<Value = String> {
    proptest::collection::vec("[aAbB]{1,3}|\\.|\\.\\.|Makefile|a\\.|e\u{301}", 1..4)
        .prop_map(|parts| parts.join("/"))
}

fn any_line() -> impl Strategy<Value = String> {
    proptest::collection::vec("[aAb]{1,2}|&&|sh|-c|\\||\\$a|'", 1..5).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn another_deny_or_ask_never_allows_more(
        some in proptest::collection::vec(any_rule(), 0..5),
        more in any_rule(),
        path in any_path(),
        line in any_line(),
    ) {
        prop_assume!(more.verdict != Allow);
        let fewer = Rules::of_owner(some.clone());
        let all = Rules::of_owner([some, vec![more]].concat());
        let place = Place::lexical(&path);
        // Without any rule the answer is ask, so that a first `ask` changes nothing.
        prop_assert!(all.explain_path(&place).verdict >= fewer.explain_path(&place).verdict);
        prop_assert!(all.explain_line(&line).verdict >= fewer.explain_line(&line).verdict);
    }

    #[test]
    fn the_order_of_rules_does_not_matter(
        (some, mixed) in proptest::collection::vec(any_rule(), 0..6)
            .prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        path in any_path(),
        line in any_line(),
    ) {
        let (one, other) = (Rules::of_owner(some), Rules::of_owner(mixed));
        let place = Place::lexical(&path);
        prop_assert_eq!(one.explain_path(&place).verdict, other.explain_path(&place).verdict);
        prop_assert_eq!(one.explain_line(&line).verdict, other.explain_line(&line).verdict);
    }

    #[test]
    fn a_repository_never_loosens(
        some in proptest::collection::vec(any_rule(), 0..4),
        theirs in proptest::collection::vec((any_verdict(), "[aAb*/?\\[]{1,4}"), 0..4),
        tail in "(mode = \"auto\"\n|\\[\\[rules\\]\\]\n|verdict = \"allow\"\n|path = \"\\*\\*\"\n|x = 1\n|\\]){0,4}",
        path in any_path(),
        line in any_line(),
    ) {
        let text: String = theirs
            .iter()
            .map(|(verdict, path)| format!("[[rules]]\nverdict = {:?}\npath = {path:?}\n", verdict.word()))
            .collect();
        let own = Rules::of_owner(some);
        let both = own.clone().tightened(written::repository(&(text + &tail)));
        let place = Place::lexical(&path);
        prop_assert!(both.explain_path(&place).verdict >= own.explain_path(&place).verdict);
        prop_assert!(both.explain_line(&line).verdict >= own.explain_line(&line).verdict);
    }

    #[test]
    fn what_tightens_never_makes_a_change_go_further(
        some in proptest::collection::vec(any_rule(), 0..4),
        more in any_rule(),
        path in any_path(),
        (mode, tier) in any_mode_and_tier(),
        (planned, executable) in any::<(bool, bool)>(),
    ) {
        prop_assume!(more.verdict != Allow);
        let change = Change {
            places: vec![Place::lexical(&path)],
            kind: crate::protocol::ChangeKind::Modify,
            tier,
            planned,
            executable_before: false,
            executable_after: executable,
            check_failed: false,
        };
        let strictness = |rules: Vec<Rule>| {
            match (Authority { mode, rules: Rules::of_owner(rules) }).judge(&change) {
                Ruled::Allowed { .. } => 0,
                Ruled::Asked { .. } => 1,
                Ruled::Denied { .. } => 2,
            }
        };
        prop_assert!(strictness([some.clone(), vec![more]].concat()) >= strictness(some));
    }

    /// Whatever a path looks like: it is allowed only if it is the plain name of one file.
    #[test]
    fn what_is_allowed_is_canonical(path in "\\PC{0,12}|[a./\\\\ :~]{0,8}") {
        let explained = rules(&[(Allow, "**")]).explain_path(&Place::lexical(&path));
        if explained.verdict == Allow {
            prop_assert!(!path.contains("..") || path.split('/').all(|part| part != ".."));
            prop_assert!(!path.starts_with('/') && !path.contains('\\'));
            prop_assert!(crate::edit::gate::path(&Place::lexical(&path).path, &crate::edit::Planned::Any).is_ok());
        }
    }
}
