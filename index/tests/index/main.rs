//! Tests of the whole index on small trees. One binary, so that it links once.

mod archive;
mod checkout;
mod context;
mod encodings;
mod git;
mod hostile;
mod languages;
mod origins;
mod requests;
mod same;
mod scripts;
mod stamps;
mod support;
mod survive;
mod update;

/// A file that is not listed above would never run.
#[test]
fn no_test_file_is_forgotten() {
    let listed = include_str!("main.rs");
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/index");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if let Some(module) = name.strip_suffix(".rs").filter(|module| *module != "main") {
            assert!(listed.contains(&format!("mod {module};")), "{name} is not listed in main.rs");
        }
    }
}
