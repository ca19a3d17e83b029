//! `countersign eval locate`: which files a change will touch, from its request alone, against what
//! the change really touched.

mod aider_map;
mod loom;
mod place;
mod prediction;
mod score;
mod table;
mod task;
mod variant;

use std::collections::BTreeMap;

use self::place::Place;
use self::prediction::Predictions;
use self::table::Report;
use self::task::{Task, clone_of};
use self::variant::{Variant, variants};
use crate::cli::LocateArgs;
use crate::command::json;
use crate::config::Config;
use crate::ui::progress;

pub fn locate(config: &Config, arguments: &LocateArgs) -> anyhow::Result<String> {
    let tasks = task::read(&arguments.tasks, &arguments.repo)?;
    let variants = variants(arguments)?;
    let mut predictions = Vec::new();
    for (at, variant) in variants.iter().enumerate() {
        let file = arguments.out.as_ref().map(|out| variant.file(out, at == 0));
        predictions.push(Predictions::open(file, variant.fingerprint(arguments.budget))?);
    }
    let mut by_repo: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in &tasks {
        if predictions.iter().any(|predictions| predictions.get(&task.id).is_none()) {
            by_repo.entry(&task.repo).or_default().push(task);
        }
    }
    // A missing clone is told before the first hour of work, not after.
    let clones =
        by_repo.keys().map(|repo| clone_of(repo, &arguments.repos)).collect::<Result<Vec<_>, _>>()?;
    let bar = progress::count();
    let (mut done, total) = (0, by_repo.values().map(Vec::len).sum::<usize>() as u64);
    for ((repo, tasks), clone) in by_repo.into_iter().zip(clones) {
        let mut place = Place::new(config, &clone)?;
        for task in tasks {
            bar.show(repo, done, Some(total));
            done += 1;
            place.switch(task)?;
            answer(&mut place, task, &variants, &mut predictions, arguments.budget)?;
        }
    }
    bar.clear();
    let report = Report::new(&tasks, &variants, &predictions, arguments.budget);
    if arguments.json { json(&report) } else { Ok(report.render()) }
}

fn answer(
    place: &mut Place,
    task: &Task,
    variants: &[Variant],
    predictions: &mut [Predictions],
    budget: u32,
) -> anyhow::Result<()> {
    let mut is_first = true;
    for (variant, predictions) in variants.iter().zip(predictions) {
        if predictions.get(&task.id).is_some() {
            continue;
        }
        if is_first {
            variant.warm_up(place, budget)?;
            is_first = false;
        }
        predictions.add(variant.predict(place, task, budget)?)?;
    }
    Ok(())
}
