//! Owns the report of `eval locate`, as data and as a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::prediction::Predictions;
use super::score::{Figures, mean, score};
use super::task::Task;
use super::variant::Variant;
use crate::command::eval::statistics::Share;
use crate::sanitize::visible;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    pub budget: u32,
    /// The whole rule first.
    pub variants: Vec<Measured>,
}

/// One way of ranking.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub name: String,
    pub all: Group,
    /// By repository.
    pub repositories: BTreeMap<String, Group>,
}

/// The mean of several tasks.
#[derive(Debug, Serialize)]
pub struct Group {
    pub tasks: usize,
    #[serde(flatten)]
    pub figures: Figures,
    /// Of the two figures that are shares of tasks: the 95 % intervals.
    pub acc1_interval: Share,
    pub all10_interval: Share,
}

impl Report {
    pub fn new(tasks: &[Task], variants: &[Variant], predictions: &[Predictions], budget: u32) -> Report {
        let measured = variants.iter().zip(predictions).map(|(variant, predictions)| {
            let mut all = Vec::new();
            let mut by_repo: BTreeMap<String, Vec<Figures>> = BTreeMap::new();
            for task in tasks {
                let Some(prediction) = predictions.get(&task.id) else { continue };
                let figures = score(task, prediction);
                all.push(figures);
                by_repo.entry(task.repo.clone()).or_default().push(figures);
            }
            let group = |figures: &[Figures]| {
                let share = |of: &dyn Fn(&Figures) -> f64| {
                    Share::new(figures.iter().filter(|figures| of(figures) == 1.0).count(), figures.len())
                };
                Group {
                    tasks: figures.len(),
                    figures: mean(figures),
                    acc1_interval: share(&|figures| figures.acc1),
                    all10_interval: share(&|figures| figures.all10),
                }
            };
            Measured {
                name: variant.name.clone(),
                all: group(&all),
                repositories: by_repo.into_iter().map(|(repo, figures)| (repo, group(&figures))).collect(),
            }
        });
        Report { budget, variants: measured.collect() }
    }

    /// The whole rule by repository, then the other variants with their difference to it.
    pub fn render(&self) -> String {
        let mut text = format!(
            "{:34} {:>5} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>7} {:>7}\n",
            "", "tasks", "acc@1", "rec@5", "rec@10", "all@10", "mrr", "files", "hunks", "tokens", "seconds"
        );
        let Some(whole) = self.variants.first() else { return text };
        for (repo, group) in &whole.repositories {
            line(&mut text, visible(repo).as_ref(), group);
        }
        line(&mut text, "all", &whole.all);
        let others = &self.variants[1..];
        if !others.is_empty() {
            text.push_str("\nOther ways, and in the second line what the whole rule gains on each:\n");
        }
        for other in others {
            line(&mut text, &other.name, &other.all);
            let (a, b) = (&whole.all.figures, &other.all.figures);
            let hunks = a.hunks.zip(b.hunks).map(|(a, b)| a - b);
            let _ = writeln!(
                text,
                "{:40} {:>+6.1} {:>+6.1} {:>+6.1} {:>+6.1} {:>+6.3} {:>6} {:>6}",
                "",
                100.0 * (a.acc1 - b.acc1),
                100.0 * (a.recall5 - b.recall5),
                100.0 * (a.recall10 - b.recall10),
                100.0 * (a.all10 - b.all10),
                a.mrr - b.mrr,
                packed(b, format!("{:+.1}", 100.0 * (a.pack - b.pack))),
                hunks.map_or_else(|| "-".to_owned(), |gain| format!("{:+.1}", 100.0 * gain)),
            );
        }
        let (acc1, all10) = (&whole.all.acc1_interval, &whole.all.all10_interval);
        let _ = writeln!(
            text,
            "\nOf all tasks with 95 % intervals (Wilson): acc@1 {}, all@10 {}.",
            acc1.in_percent(),
            all10.in_percent()
        );
        let _ = writeln!(
            text,
            "A pack has at most {} tokens. files and hunks: share of the files and of the runs of lines, that the real\nchange modified, in the pack. tokens and seconds (request to pack, index at hand) are medians.",
            self.budget
        );
        text
    }
}

/// What is said of packs; a way that only ranks has none.
fn packed(figures: &Figures, figure: String) -> String {
    if figures.tokens > 0.0 { figure } else { "-".to_owned() }
}

fn line(text: &mut String, name: &str, group: &Group) {
    let figures = &group.figures;
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{name:34} {:>5} {:>6.1} {:>6.1} {:>6.1} {:>6.1} {:>6.3} {:>6} {:>6} {:>7} {:>7.3}",
        group.tasks,
        100.0 * figures.acc1,
        100.0 * figures.recall5,
        100.0 * figures.recall10,
        100.0 * figures.all10,
        figures.mrr,
        packed(figures, format!("{:.1}", 100.0 * figures.pack)),
        figures.hunks.map_or_else(|| "-".to_owned(), |share| format!("{:.1}", 100.0 * share)),
        packed(figures, format!("{:.0}", figures.tokens)),
        figures.seconds,
    );
}
