//! `countersign eval locate`: which files a change will touch, from its request alone, against what
//! the change really touched.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::Context as _;
use countersign_index::{Checkout, Index};

use super::prediction::Predictions;
use super::table::Report;
use super::task::{self, Task, clone_of};
use super::variant::{Variant, variants};
use crate::cli::LocateArgs;
use crate::command::json;
use crate::config::Config;
use crate::ui::progress;

pub fn locate(config: &Config, arguments: &LocateArgs) -> anyhow::Result<String> {
    let tasks = task::read(&arguments.tasks, &arguments.repo)?;
    let variants = variants(&arguments.ablate, arguments.baseline.is_some())?;
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
        let place = Place::new(config, &clone)?;
        let Place { mut checkout, mut index, folder: _folder } = place;
        for task in tasks {
            bar.show(repo, done, Some(total));
            done += 1;
            checkout.switch(&task.base_commit).with_context(|| format!("task `{}`", task.id))?;
            index.update(&mut |_| ControlFlow::Continue(()))?;
            answer(&mut index, task, &variants, &mut predictions, arguments.budget)?;
        }
    }
    bar.clear();
    let report = Report::new(&tasks, &variants, &predictions, arguments.budget);
    if arguments.json { json(&report) } else { Ok(report.render()) }
}

fn answer(
    index: &mut Index,
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
            // What an index does once, such as reading itself into memory, is no part of the time.
            variant.predict(index, &task.id, "", budget)?;
            is_first = false;
        }
        predictions.add(variant.predict(index, &task.id, &task.query, budget)?)?;
    }
    Ok(())
}

/// Work tree and index of one repository, gone when dropped.
struct Place {
    checkout: Checkout,
    index: Index,
    folder: tempfile::TempDir,
}

impl Place {
    fn new(config: &Config, clone: &std::path::Path) -> anyhow::Result<Place> {
        let folder = tempfile::Builder::new()
            .prefix("eval-")
            .tempdir_in(config.data.folder())
            .context("cannot make a folder for throw-away work trees")?;
        let (tree, store) = (folder.path().join("tree"), folder.path().join("index"));
        std::fs::create_dir(&tree).context("cannot make a folder for throw-away work trees")?;
        let checkout = Checkout::new(clone, &tree)?;
        let index = Index::open(&tree, &store)?;
        Ok(Place { checkout, index, folder })
    }
}
