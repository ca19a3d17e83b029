use super::*;
use clap::CommandFactory as _;

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

/// The flags of a command, by their long names.
fn flags(path: &[&str]) -> Vec<String> {
    let mut command = Cli::command();
    for name in path {
        command = command.find_subcommand(name).unwrap().clone();
    }
    command.get_arguments().filter_map(|flag| flag.get_long().map(str::to_owned)).collect()
}

#[test]
fn flags_for_models_stand_where_a_model_is_used() {
    let has = |path: &[&str], flag: &str| flags(path).iter().any(|name| name == flag);
    let all = ["url", "preset", "model", "window", "script", "record", "coder-model"];
    for path in [&[][..], &["run"]] {
        assert!(all.iter().all(|flag| has(path, flag)), "{path:?}");
    }
    assert!(has(&["doctor"], "window") && has(&["models", "list"], "url"));
    assert!(!has(&["doctor"], "record") && !has(&["models", "pull"], "window"));
    for name in ["context", "index", "undo", "redo", "history", "sessions", "completions"] {
        assert!(all.iter().all(|flag| !has(&[name], flag)), "{name}");
    }
    assert!(!has(&["patch", "apply"], "url"));
}

#[test]
fn a_mode_can_be_given_where_it_means_something() {
    for words in [
        &["run", "x"][..],
        &["review"],
        &["patch", "check"],
        &["patch", "apply"],
        &["rules", "list"],
        &["rules", "test", "x"],
    ] {
        let words = [&["countersign"], words, &["--mode", "deny"]].concat();
        let command = Cli::try_parse_from(&words).unwrap().command.unwrap();
        assert_eq!(command.mode(), Some(Mode::Deny), "{words:?}");
    }
    let session = Cli::try_parse_from(["countersign", "--mode", "plan"]).unwrap();
    assert_eq!(session.mode.mode, Some(Mode::Plan));
    for words in [&["undo"][..], &["context", "x"], &["checks"], &["doctor"]] {
        let words = [&["countersign"], words, &["--mode", "deny"]].concat();
        assert!(Cli::try_parse_from(&words).is_err(), "{words:?}");
    }
}

#[test]
fn every_command_has_an_example() {
    for command in Cli::command().get_subcommands() {
        let help = command.get_after_help().map(|help| help.to_string()).unwrap_or_default();
        assert!(help.contains("Example"), "{} has no example", command.get_name());
    }
}

/// A peer is started in the folder of its task, from where a path of here leads nowhere.
#[test]
fn a_peers_program_is_found_from_here() {
    let python = |given: &str| {
        let words = ["countersign", "eval", "locate", "t", "--repos", "r", "--peer-python", given];
        match Cli::try_parse_from(words).unwrap().command {
            Some(Command::Eval { command: EvalCommand::Locate(arguments) }) => arguments.peer_python,
            other => panic!("{other:?}"),
        }
    };
    let here = std::env::current_dir().unwrap();
    assert_eq!(python("venv/bin/python"), here.join("venv/bin/python"));
    assert_eq!(python("python3"), std::path::Path::new("python3"));
}
