//! `countersign eval edit`: how well a model writes single edits, by the form in which it is asked.

use std::fmt::Write as _;

use serde::Serialize;

use super::statistics::{Share, median};
use super::whole::exam;
use crate::cli::EditArgs;
use crate::command::edits::{self, SingleEdit, Stage, Writer, Written};
use crate::command::json;
use crate::config::Config;
use crate::connect;
use crate::failure::{Failure, OrUsage as _};
use crate::measured::{EditTrial, Measurements, Score};
use crate::message::EditFormat;
use crate::prompt::Prompts;
use crate::provider::Holding;
use crate::role::{Roles, Sampling};
use crate::sanitize::visible;
use crate::ui::progress;

#[derive(Debug, Serialize)]
struct Report {
    model: String,
    edits: usize,
    repeats: u32,
    temperature: f32,
    forms: Vec<Figures>,
    /// Why nothing was held, where the server turned out not to do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_held: Option<Holding>,
}

/// Of one form: how many answers came how far.
#[derive(Debug, Serialize)]
struct Figures {
    form: EditFormat,
    /// Whether searches were held to the lines that are shown.
    held: bool,
    asked: usize,
    parsed: usize,
    anchored: usize,
    gated: usize,
    /// The expected result, or one that passes its tests.
    right: Share,
    /// Only by its tests.
    right_by_tests: usize,
    /// Sums of what the server counted.
    prompt_tokens: u64,
    evaluated_tokens: u64,
    answer_tokens: u64,
    seconds: f64,
    median_seconds: f64,
    /// The edits that were not right, each once.
    wrong: Vec<String>,
}

pub async fn edit(config: &Config, arguments: &EditArgs) -> anyhow::Result<String> {
    if let Some(warning) = config.runner.sandbox().await?.warning {
        let advice = "`countersign doctor` says what is missing; its `--trial` needs no tests.";
        return Err(Failure::usage(format!("the sandbox for tests does not hold: {warning}"), advice).into());
    }
    let prompts = Prompts::load(config.own("prompts").as_deref()).or_usage("Mend or remove that prompt.")?;
    let roles =
        Roles::load(config.own("roles").as_deref(), &prompts).or_usage("Mend or remove that role file.")?;
    let connected = connect::connect(&config.model).await?;
    let edits = edits::all()?;
    let mut formats = arguments.format.clone();
    if formats.is_empty() {
        formats = EditFormat::ALL.to_vec();
    }
    formats.sort_unstable();
    formats.dedup();
    // Where a model can be held, forms are measured in both ways, to see what it is worth.
    let can_hold = connected.provider.holding() == Holding::Held;
    let held = |format: &EditFormat| match format {
        EditFormat::AnchoredLines => vec![false],
        _ if can_hold => vec![false, true],
        _ => vec![false],
    };
    let forms: Vec<(EditFormat, bool)> =
        formats.iter().flat_map(|format| held(format).into_iter().map(|held| (*format, held))).collect();
    let asked = |form: &(EditFormat, bool)| {
        let (format, held) = *form;
        let askable = edits.iter().filter(move |edit| edit.can_be_asked_as(format));
        askable.filter(move |edit| !held || edit.layout(format).is_some())
    };
    let total: usize = forms.iter().map(|form| asked(form).count()).sum();
    let sampling = arguments.sampling;
    let total = total as u64 * u64::from(sampling.repeats);
    let bar = progress::count();
    let mut done = 0;
    let mut measured = Vec::new();
    let mut not_held = None;
    for form in forms {
        let mut figures = Figures::new(form);
        let (mut right, mut seconds) = (0, Vec::new());
        for edit in asked(&form) {
            for repeat in 0..sampling.repeats {
                bar.show(form.0.describe(), done, Some(total));
                done += 1;
                let seed = Some(sampling.seed.wrapping_add(repeat));
                let writer = Writer {
                    provider: &connected.provider,
                    window: connected.window,
                    prompts: &prompts,
                    roles: &roles,
                    sampling: Sampling { temperature: sampling.temperature, seed, ..Sampling::default() },
                };
                let written = writer.write(edit, form.0, edit.layout(form.0).filter(|_| form.1)).await?;
                figures.add(&written);
                seconds.push(written.millis as f64 / 1000.0);
                let expected = written.is_expected(edit);
                let by_tests = !expected && passes(config, edit, &written).await?;
                figures.right_by_tests += usize::from(by_tests);
                right += usize::from(expected || by_tests);
                if !expected && !by_tests && !figures.wrong.contains(&edit.file) {
                    figures.wrong.push(edit.file.clone());
                }
            }
        }
        let holding = connected.provider.holding();
        if form.1 && holding != Holding::Held {
            // What came was free, and is measured as such already.
            not_held = Some(holding);
            continue;
        }
        figures.right = Share::new(right, figures.asked);
        figures.seconds = seconds.iter().sum();
        figures.median_seconds = median(seconds);
        measured.push(figures);
    }
    bar.clear();
    let model = connected.provider.model().to_owned();
    if !arguments.forget {
        keep(config, &model, &measured)?;
    }
    let report = Report {
        model,
        edits: edits.len(),
        repeats: sampling.repeats,
        temperature: sampling.temperature,
        forms: measured,
        not_held,
    };
    if arguments.json { json(&report) } else { Ok(report.render()) }
}

/// Adds what was measured to what is known of the model; forms that were not asked for stay.
fn keep(config: &Config, model: &str, forms: &[Figures]) -> anyhow::Result<()> {
    let kept = Measurements::in_folder(&config.measurements);
    let mut measured = kept.of(model);
    let trial = measured.edits.get_or_insert_with(EditTrial::default);
    for figures in forms {
        let score = Score { tried: figures.asked as u32, right: figures.right.hits as u32 };
        match (figures.form, figures.held) {
            (EditFormat::SearchReplace, true) => trial.held = Some(score),
            // The others are held wherever that is possible, and measured so last.
            (form, _) => drop(trial.forms.insert(form, score)),
        }
    }
    kept.keep(&measured)
}

/// Whether the tests of an edit pass on what was written.
async fn passes(config: &Config, edit: &SingleEdit, written: &Written) -> anyhow::Result<bool> {
    let (Some(tests), Some(text)) = (&edit.tests, &written.text) else { return Ok(false) };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let (files, argv) = match edit.file.ends_with(".rs") {
        false => (
            vec![(edit.file.clone(), text.clone()), ("check.py".into(), tests.clone())],
            words(&["python3", "check.py"]),
        ),
        true => {
            let manifest = "[package]\nname = \"edit\"\nversion = \"0.0.0\"\nedition = \"2021\"\n";
            let whole = format!("{text}\n#[cfg(test)]\nmod tests {{\n    use super::*;\n\n{tests}}}\n");
            (
                vec![("Cargo.toml".into(), manifest.into()), ("src/lib.rs".into(), whole)],
                words(&["cargo", "test", "--offline"]),
            )
        }
    };
    let files = files.into_iter().map(|(path, text): (String, String)| (path, text.into_bytes())).collect();
    let folder = tempfile::tempdir()?;
    Ok(exam::run(&files, &argv, folder.path(), &config.runner).await?.passed)
}

impl Figures {
    fn new((form, held): (EditFormat, bool)) -> Figures {
        Figures {
            form,
            held,
            asked: 0,
            parsed: 0,
            anchored: 0,
            gated: 0,
            right: Share::default(),
            right_by_tests: 0,
            prompt_tokens: 0,
            evaluated_tokens: 0,
            answer_tokens: 0,
            seconds: 0.0,
            median_seconds: 0.0,
            wrong: Vec::new(),
        }
    }

    /// For people.
    fn name(&self) -> String {
        format!("{}{}", self.form.describe(), if self.held { ", held" } else { "" })
    }

    fn add(&mut self, written: &Written) {
        self.asked += 1;
        self.parsed += usize::from(written.stage >= Stage::Parsed);
        self.anchored += usize::from(written.stage >= Stage::Anchored);
        self.gated += usize::from(written.stage >= Stage::Gated);
        let count = |tokens: Option<u32>| u64::from(tokens.unwrap_or_default());
        self.prompt_tokens += count(written.ending.prompt_tokens);
        self.evaluated_tokens += count(written.ending.evaluated_tokens);
        self.answer_tokens += count(written.ending.answer_tokens);
    }
}

impl Report {
    fn render(&self) -> String {
        let mut text =
            format!("{}, {} edits, {} times each\n\n", visible(&self.model), self.edits, self.repeats);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:24} {:>5} {:>6} {:>8} {:>5} {:>16} {:>8} {:>8} {:>9} {:>8} {:>8}",
            "",
            "asked",
            "parsed",
            "anchored",
            "gated",
            "right %",
            "by tests",
            "sent",
            "evaluated",
            "answered",
            "seconds"
        );
        for figures in &self.forms {
            let _ = writeln!(
                text,
                "{:24} {:>5} {:>6} {:>8} {:>5} {:>16} {:>8} {:>8} {:>9} {:>8} {:>8.0}",
                figures.name(),
                figures.asked,
                figures.parsed,
                figures.anchored,
                figures.gated,
                figures.right.in_percent(),
                figures.right_by_tests,
                figures.prompt_tokens,
                figures.evaluated_tokens,
                figures.answer_tokens,
                figures.seconds,
            );
        }
        for figures in self.forms.iter().filter(|figures| !figures.wrong.is_empty()) {
            let _ = writeln!(text, "\nnot right as {}: {}", figures.name(), figures.wrong.join(", "));
        }
        if let Some(holding) = self.not_held {
            let _ = writeln!(text, "\nheld answers were not measured: {}", holding.describe());
        }
        text.push_str("\nIn brackets: 95 % intervals (Wilson).\n");
        text
    }
}
