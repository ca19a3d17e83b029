//! What a role's first request costs besides its evidence, and that a user's own role files count.

use countersign::message::{EditFormat, Evidence, PlanRequest, Step, StepAction, StepRequest};
use countersign::prompt::Prompts;
use countersign::role::Roles;
use serde_json::json;

use crate::support::{GREETER, Place, accept_all, plan, replace};

/// Two thousand tokens at the four bytes that English has.
const MOST_BYTES: usize = 2000 * 4;

#[test]
fn a_first_request_stays_below_2000_tokens_besides_its_evidence() {
    let prompts = Prompts::load(None).unwrap();
    let roles = Roles::load(None, &prompts).unwrap();
    let render = |name: &str, values: serde_json::Value| prompts.render(name, values).unwrap().len();
    let architect = render(&roles.architect.system, json!({}))
        + prompts
            .render(
                &roles.architect.user,
                PlanRequest {
                    request: "r".into(),
                    evidence: Evidence::default(),
                    rounds: Vec::new(),
                    paths: Default::default(),
                },
            )
            .unwrap()
            .len();
    let explorer = render(&roles.explorer.system, json!({}))
        + render(&roles.explorer.user, json!({"request": "r", "question": "q", "first_result": ""}));
    let step = Step {
        action: StepAction::Edit,
        file: "f".into(),
        symbol: "s".into(),
        target: String::new(),
        task: "t".into(),
    };
    let mut sizes = vec![("architect", architect), ("explorer", explorer)];
    for format in
        [EditFormat::SearchReplace, EditFormat::Whole, EditFormat::Symbol, EditFormat::AnchoredLines]
    {
        let request = StepRequest {
            request: "r".into(),
            step: step.clone(),
            format,
            regions: Vec::new(),
            reasons: Vec::new(),
            failure: String::new(),
            examples: Vec::new(),
            in_short: Vec::new(),
            feedback: String::new(),
            layout: None,
            diagnose: false,
            variation: 0,
            draws: 1,
        };
        let coder = render(&roles.coder.system, json!({"format": format}))
            + prompts.render(&roles.coder.user, request).unwrap().len();
        sizes.push(("coder", coder));
    }
    for (role, bytes) in &sizes {
        assert!(*bytes < MOST_BYTES, "the {role}'s first request has {bytes} bytes");
    }
    // Measured figures, so that growth is a decision: raise them with a reason.
    let known = [
        ("architect", 2000),
        ("explorer", 1300),
        ("coder", 1300),
        ("coder", 900),
        ("coder", 1100),
        ("coder", 1100),
    ];
    for ((role, bytes), (_, most)) in sizes.iter().zip(known) {
        assert!(*bytes <= most, "the {role}'s first request grew to {bytes} bytes");
    }
}

#[test]
fn a_users_own_role_and_prompt_files_are_used() {
    let place = Place::new(GREETER);
    let prompts = place.config().join("prompts");
    std::fs::create_dir(&prompts).unwrap();
    std::fs::write(prompts.join("architect.system.md"), "You plan, in my own words.").unwrap();
    let mut first = plan(&[("edit", "greeter/cli.py", "version", "x")]);
    first["expect"] = json!(["in my own words"]);
    let script = [first, replace("greeter/cli.py", "    return \"1.0\"", "    return \"2.0\"")];
    place.run_json(&script, &["version 2.0"], accept_all).exits(0);

    let roles = place.config().join("roles");
    std::fs::create_dir(&roles).unwrap();
    std::fs::write(roles.join("coder.toml"), "name = \"coder\"\ntools = [\"shell\"]\n").unwrap();
    let script = place.script(&script);
    place.run(&["run", "--script", script.to_str().unwrap(), "x"]).fails(2, "coder.toml");
}
