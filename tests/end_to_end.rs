//! Ring 3: the real binary, the scripted provider or a server of the tests' own, a temporary
//! repository, a cleared environment. One binary, so that linking happens once.
//!
//! If you add a test, it probably belongs into one of these files.

mod support;

mod approve_checks;
mod archives;
mod bad_input;
mod commands;
mod corrections;
mod draws;
mod embedded;
mod eval;
mod evaluation;
mod gate;
mod headless;
mod hostile;
mod models;
mod patch;
mod roles;
mod rules;
#[cfg(target_os = "linux")]
mod sandbox;
mod terminal;
mod turns;
mod wire;

/// A test file that is not listed above would never run.
#[test]
fn no_file_is_forgotten() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let listed = include_str!("end_to_end.rs");
    for entry in std::fs::read_dir(here).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(
            matches!(module, "end_to_end" | "real_server" | "real_object_store")
                || listed.contains(&format!("mod {module};")),
            "tests/{name} is not listed in tests/end_to_end.rs"
        );
    }
}
