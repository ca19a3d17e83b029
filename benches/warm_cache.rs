//! How many prompt tokens a real server reads anew for one task, in our order and in the naive one.
//!
//! `COUNTERSIGN_SERVER=http://127.0.0.1:8080/v1 cargo bench --bench warm_cache`
//!
//! The task: the Architect asks, the Explorer makes four calls, the Architect plans, the Coder edits;
//! one answer is corrected, the plan or the edit. What the program says is fixed. Where a conversation
//! goes on with what the model said, that is what it really said, held to the schema of its role: a
//! server need not read what it has written. What it evaluates is its own count. The naive order is
//! what most agents send: the request and the time first, rules last, corrections by rebuilding the
//! prompt, with fixed words for the model.
#![allow(clippy::print_stdout, reason = "a bench reports on stdout")]

use std::collections::BTreeMap;
use std::time::Duration;

use countersign::answer::schema_of;
use countersign::message::{
    EditFormat, Evidence, ExploreAnswer, Finding, Further, PlanAnswer, PlanRequest, Region, Step, StepAction,
    StepRequest, ToolName,
};
use countersign::prompt::Prompts;
use countersign::provider::{
    ChatRequest, Chunk, Limits, Message, Narrowing, OpenAi, Provider, Speaker, retry,
};
use countersign::tool::Used;
use futures::StreamExt as _;
use serde_json::json;

/// One call: who asks, and what is sent.
type Call = (&'static str, Sent);

enum Sent {
    /// A new conversation.
    Afresh(Vec<Message>),
    /// Behind the answer to the last call of the role.
    Behind(String),
}

const REQUEST: &str = "Let the explorer say how many of its calls are left.";
const QUESTION: &str = "Where is the number of calls decided?";
const ASKS: &str = r#"{"analysis": "the number must be known", "questions": ["Where is the number of calls decided?"], "steps": []}"#;
const READS: &str = r#"{"action": "read", "argument": "src/role/spec.rs:11-50"}"#;
const READS_MORE: &str = r#"{"action": "read", "argument": "src/tool/mod.rs:11-50"}"#;
const READS_LAST: &str = r#"{"action": "read", "argument": "src/message.rs:11-50"}"#;
const FOUND: &str = "budget.calls in roles/explorer.toml";
const WRONG_PLAN: &str = r#"{"analysis": "a", "questions": [], "steps": [{"action": "edit", "file": "explore.rs", "symbol": "", "target": "", "task": "say it"}]}"#;
/// Most tokens of an answer that the conversation goes on with.
const ANSWER: u32 = 60;
const WRONG_EDIT: &str =
    "src/role/explorer.rs\n<<<<<<< SEARCH\nnot there\n=======\nnowhere\n>>>>>>> REPLACE\n";

const REASON: &str = "step 1: there is no file \"explore.rs\"; use a path from the evidence";

/// What the Explorer tells of lines 11 to 50 of a file.
fn quote(path: &str, result: &str, evidence: &[Region]) -> String {
    let shown: Vec<_> =
        evidence.iter().map(|region| (region.path.clone(), region.start_line, region.end_line)).collect();
    let used = Used { tool: ToolName::Read, argument: format!("{path}:11-50"), result: result.into() };
    used.quote(&format!("{QUESTION} {FOUND}"), &shown)
}

/// Lines of a file of this repository.
fn part(path: &str, lines: std::ops::Range<usize>) -> Region {
    let text =
        std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).expect("a source file");
    let text: Vec<&str> = text.lines().skip(lines.start).take(lines.len()).collect();
    Region {
        path: path.into(),
        start_line: lines.start as u32 + 1,
        end_line: (lines.start + text.len()) as u32,
        enclosing: None,
        text: text.join("\n"),
        whole: false,
    }
}

fn message(speaker: Speaker, text: impl Into<String>) -> Message {
    Message { speaker, text: text.into() }
}

/// Which answer is corrected.
#[derive(Clone, Copy)]
enum Corrected {
    Plan,
    Edit,
}

/// What the server knows of the roles.
#[derive(Clone, Copy)]
enum Rules {
    Unread,
    /// From an earlier task, or because a session had them read while its owner typed.
    Read,
}

struct Material {
    prompts: Prompts,
    evidence: Evidence,
    finding: Finding,
    results: [String; 4],
    step: Step,
}

impl Material {
    fn new() -> Material {
        let files = ["src/tool/show.rs", "src/role/spec.rs", "src/tool/mod.rs", "src/message.rs"];
        let results = files.map(|path| part(path, 10..50).text);
        let regions = vec![
            part("src/role/explorer.rs", 20..90),
            part("src/role/architect.rs", 20..80),
            part("src/mailbox.rs", 0..60),
            part("src/tool/mod.rs", 0..50),
        ];
        let further = ["src/events.rs", "src/session.rs", "src/region.rs"]
            .map(|path| Further { path: path.into(), definitions: vec!["new".into(), "run".into()] });
        // As the Explorer hands them on.
        let quotes = [2, 3].map(|at| quote(files[at], &results[at], &regions));
        Material {
            prompts: Prompts::load(None).expect("the built-in prompts"),
            evidence: Evidence { regions, further: further.into(), named: Vec::new() },
            finding: Finding { question: QUESTION.into(), answer: FOUND.into(), evidence: quotes.into() },
            results,
            step: Step {
                action: StepAction::Edit,
                file: "src/role/explorer.rs".into(),
                symbol: "explore".into(),
                target: String::new(),
                task: "tell the model how many calls are left".into(),
            },
        }
    }

    /// The Coder's request: after a refusal it is asked afresh, with the reasons behind everything else.
    fn coder(&self, reasons: &[&str]) -> Vec<Message> {
        let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
        let request = StepRequest { reasons, ..self.step_request() };
        let rules = self.render("coder.system.md", json!({"format": EditFormat::SearchReplace}));
        vec![message(Speaker::System, rules), message(Speaker::User, self.render("coder.user.md", request))]
    }

    fn render(&self, name: &str, values: impl serde::Serialize) -> String {
        self.prompts.render(name, values).expect("a prompt that renders")
    }

    fn correction(&self) -> String {
        self.render(
            "correction.md",
            json!({"reasons": [REASON], "again": "Reply again with one JSON object of the same form."}),
        )
    }

    fn step_request(&self) -> StepRequest {
        StepRequest {
            request: REQUEST.into(),
            step: self.step.clone(),
            format: EditFormat::SearchReplace,
            regions: vec![part("src/role/explorer.rs", 40..110)],
            reasons: Vec::new(),
            failure: String::new(),
            examples: Vec::new(),
            in_short: Vec::new(),
            feedback: String::new(),
            layout: None,
            diagnose: false,
            variation: 0,
            draws: 1,
        }
    }

    fn plan_request(&self) -> PlanRequest {
        PlanRequest {
            request: REQUEST.into(),
            evidence: self.evidence.clone(),
            rounds: Vec::new(),
            paths: Default::default(),
        }
    }

    fn findings(&self) -> String {
        self.render("architect.findings.md", json!({"findings": [self.finding]}))
    }

    fn result(&self, argument: &str, result: &str) -> String {
        let values = json!({"tool": "read", "argument": argument, "result": result, "last": false});
        self.render("explorer.result.md", values)
    }

    /// As the roles send it.
    fn ours(&self, corrected: Corrected) -> Vec<Call> {
        use Sent::{Afresh, Behind};
        use Speaker::{System, User};
        let architect = vec![
            message(System, self.render("architect.system.md", json!({}))),
            message(User, self.render("architect.user.md", self.plan_request())),
        ];
        let first = json!({"request": REQUEST, "question": QUESTION, "first_result": self.results[0]});
        let explorer = vec![
            message(System, self.render("explorer.system.md", json!({}))),
            message(User, self.render("explorer.user.md", first)),
        ];
        let mut calls = vec![("architect", Afresh(architect)), ("explorer", Afresh(explorer))];
        let results = self.results[1..].iter();
        calls.extend(results.map(|result| ("explorer", Behind(self.result("a file", result)))));
        calls.push(("architect", Behind(self.findings())));
        if matches!(corrected, Corrected::Plan) {
            calls.push(("architect", Behind(self.correction())));
        }
        calls.push(("coder", Afresh(self.coder(&[]))));
        if matches!(corrected, Corrected::Edit) {
            calls.push(("coder", Afresh(self.coder(&[REASON]))));
        }
        calls
    }

    /// The same words as an agent sends them that thinks of nothing: every call one prompt, what is new
    /// first, the rules last.
    fn naive(&self, corrected: Corrected) -> Vec<Call> {
        let mut clock = 0;
        let mut call = |new: &[&str], old: &[String]| {
            clock += 1;
            let mut text = format!("It is 12:00:{clock:02}. {REQUEST}\n\n");
            for part in new {
                text.push_str(part);
                text.push_str("\n\n");
            }
            text.push_str(&old.join("\n\n"));
            ("agent", Sent::Afresh(vec![message(Speaker::User, text)]))
        };
        let evidence = self.render("architect.user.md", self.plan_request());
        let with_finding = format!("{evidence}\n\n{}", self.findings());
        let plan_rules = self.render("architect.system.md", json!({}));
        let explore_rules = self.render("explorer.system.md", json!({}));
        let code_rules = self.render("coder.system.md", json!({"format": EditFormat::SearchReplace}));
        let lines = self.render("coder.user.md", self.step_request());
        let results = self.results.each_ref().map(|result| self.result("a file", result));
        let [r0, r1, r2, r3] = &results;
        let planned = [with_finding, plan_rules.clone()];
        let coded = [lines, code_rules];
        let explored = [explore_rules];
        let mut calls = vec![
            call(&[], &[evidence, plan_rules]),
            call(&[QUESTION, r0], &explored),
            call(&[QUESTION, READS, r1, r0], &explored),
            call(&[QUESTION, READS_MORE, r2, r1, r0], &explored),
            call(&[QUESTION, READS_LAST, r3, r2, r1, r0], &explored),
            call(&[ASKS], &planned),
        ];
        if matches!(corrected, Corrected::Plan) {
            calls.push(call(&[WRONG_PLAN, &self.correction()], &planned));
        }
        calls.push(call(&[], &coded));
        if matches!(corrected, Corrected::Edit) {
            calls.push(call(&[WRONG_EDIT, &self.correction()], &coded));
        }
        calls
    }
}

/// Prompt tokens sent and evaluated, in all.
async fn measure(provider: &Provider, calls: &[Call]) -> (u64, u64) {
    let (mut sent, mut evaluated) = (0, 0);
    let mut conversations: BTreeMap<&str, Vec<Message>> = BTreeMap::new();
    for (role, new) in calls {
        let messages = conversations.entry(role).or_default();
        match new {
            Sent::Afresh(all) => messages.clone_from(all),
            Sent::Behind(text) => messages.push(message(Speaker::User, text)),
        }
        let schema = match *role {
            "architect" => Some(schema_of::<PlanAnswer>("plan")),
            "explorer" => Some(schema_of::<ExploreAnswer>("action")),
            _ => None,
        };
        let request = ChatRequest {
            role: (*role).into(),
            messages: messages.clone(),
            answer_limit: if schema.is_some() { ANSWER } else { 4 },
            schema,
            layout: None,
            draws: 1,
            window: 8192,
            temperature: 0.0,
            seed: Some(1),
            narrowing: Narrowing::default(),
        };
        // As the roles begin a call: a connection that the server has just closed is no failure.
        let begun = retry::begin(provider, &request, retry::Patience::default(), |_| {}).await;
        let begun = begun.expect("the server answers");
        let mut answer = futures::stream::iter([Ok(begun.first)]).chain(begun.rest);
        let mut said = String::new();
        while let Some(chunk) = answer.next().await {
            let chunk = chunk.expect("the answer ends");
            if let Chunk::Text(text) = &chunk {
                said.push_str(text);
            }
            if let Chunk::End(ending) = chunk {
                let counts = (ending.prompt_tokens, ending.evaluated_tokens);
                let (Some(prompt), Some(new)) = counts else { panic!("the server does not count") };
                println!("    {role:9} {prompt:6} sent {new:6} evaluated");
                sent += u64::from(prompt);
                evaluated += u64::from(new);
            }
        }
        messages.push(message(Speaker::Assistant, said));
    }
    (sent, evaluated)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // `cargo test --benches` and a machine without a server have nothing to measure.
    let Ok(url) = std::env::var("COUNTERSIGN_SERVER") else {
        return println!("set COUNTERSIGN_SERVER to the address of a llama.cpp server to measure");
    };
    let material = Material::new();
    let limits = Limits { stall: Duration::from_secs(600), ..Limits::default() };
    use Corrected::{Edit, Plan};
    let orders = [
        ("our order, a plan corrected", material.ours(Plan), Rules::Unread),
        ("our order, an edit corrected", material.ours(Edit), Rules::Unread),
        ("our order, a plan corrected, rules read before", material.ours(Plan), Rules::Read),
        ("our order, an edit corrected, rules read before", material.ours(Edit), Rules::Read),
        ("naive order, a plan corrected", material.naive(Plan), Rules::Unread),
        ("naive order, an edit corrected", material.naive(Edit), Rules::Unread),
    ];
    for (at, (name, mut calls, rules)) in orders.into_iter().enumerate() {
        // Other first words for each order and each run, so that none finds what an earlier one left.
        for (_, sent) in &mut calls {
            if let Sent::Afresh(messages) = sent {
                messages[0].text.insert_str(0, &format!("Session {}.{at}. ", std::process::id()));
            }
        }
        let provider = Provider::OpenAi(OpenAi::new(&url, None, "default", limits).expect("an address"));
        // Tells the provider how many slots there are, as connecting does.
        provider.window().await.expect("the server answers");
        if matches!(rules, Rules::Read) {
            let ahead = |(role, sent): &Call| match sent {
                Sent::Afresh(messages) => {
                    Some((*role, Sent::Afresh(vec![messages[0].clone(), message(Speaker::User, "Wait.")])))
                }
                Sent::Behind(_) => None,
            };
            println!("(before the task)");
            measure(&provider, &calls.iter().filter_map(ahead).collect::<Vec<_>>()).await;
        }
        println!("{name}");
        let began = std::time::Instant::now();
        let (sent, evaluated) = measure(&provider, &calls).await;
        let share = 100.0 * evaluated as f64 / sent as f64;
        println!("  {sent} sent, {evaluated} evaluated: {share:.1}%, {:.1} s", began.elapsed().as_secs_f64());
    }
}
