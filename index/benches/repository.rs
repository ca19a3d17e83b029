//! Times of the index on repositories, as rows of the table in `index/README.md`.
//!
//! `cargo bench -p countersign-index --bench repository -- ROOT...` copies each ROOT (it edits files),
//! and measures in one run, so that the ratios are of one machine at one time: `ctags -R` where it is
//! installed, a cold index, a warm query, updates, an archive. With `--growth` queries are timed on the
//! first 1,000, 10,000 and 80,000 files of each ROOT as well.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use countersign_index::{Budget, Index, Request};

/// Queries, edits: the median of so many.
const RUNS: usize = 25;
const BUDGET: Budget = Budget { tokens: 4_000 };

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [command, root, store] = &arguments[..]
        && command == "--cold"
    {
        return cold(root.as_ref(), store.as_ref());
    }
    let roots: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    if roots.is_empty() {
        println!("name at least one repository: cargo bench -p countersign-index --bench repository -- ROOT");
        return Ok(());
    }
    println!("load: {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    for root in roots {
        let scratch = tempfile::tempdir()?;
        let tree = scratch.path().join("tree");
        run(Command::new("cp").arg("-a").arg(root).arg(&tree))?;
        measure(root, &tree, scratch.path())?;
        if arguments.iter().any(|argument| argument == "--growth") {
            growth(root, &tree, scratch.path())?;
        }
    }
    Ok(())
}

/// In a process of its own, for its memory.
fn cold(root: &Path, store: &Path) -> Result<(), Box<dyn Error>> {
    let mut index = Index::open(root, store)?;
    let report = index.update(&mut |_| ControlFlow::Continue(()))?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or(" unknown");
    println!("{} files, peak memory{peak}", report.files);
    Ok(())
}

fn measure(name: &str, tree: &Path, scratch: &Path) -> Result<(), Box<dyn Error>> {
    println!("\n## {name}");
    let store = scratch.join("store");
    let tags = scratch.join("tags");
    let ctags = || -> Option<Duration> {
        let mut command = Command::new("ctags");
        command.arg("-R").arg("-f").arg(&tags).arg(tree).stderr(Stdio::null());
        let began = Instant::now();
        run(&mut command).ok().map(|()| began.elapsed())
    };
    // Before and after, so that a machine that gets busy shows.
    let first = ctags();
    let began = Instant::now();
    let output = Command::new(std::env::current_exe()?).arg("--cold").arg(tree).arg(&store).output()?;
    let cold = began.elapsed();
    print!("cold index: {} ({})", seconds(cold), String::from_utf8_lossy(&output.stdout).trim());
    match (first, ctags()) {
        (Some(before), Some(after)) => {
            let ctags = (before + after) / 2;
            println!(
                "; ctags -R {} and {}; ratio {:.2}",
                seconds(before),
                seconds(after),
                cold.as_secs_f64() / ctags.as_secs_f64()
            );
        }
        _ => println!("; ctags is not installed"),
    }
    let mut index = Index::open(tree, &store)?;
    let files = index.files()?;
    let text: u64 = files.iter().map(|file| file.bytes).sum();
    let size = bytes_below(&store)?;
    println!("size: {} MB of {} MB text, {:.2}", size >> 20, text >> 20, size as f64 / text as f64);

    let requests = requests(&index)?;
    let mut queries = Vec::new();
    index.context(&requests[0], BUDGET)?;
    for request in &requests {
        let began = Instant::now();
        index.context(request, BUDGET)?;
        queries.push(began.elapsed());
    }
    println!(
        "warm query and pack: p50 {}, worst {}",
        millis(median(&mut queries)),
        millis(queries[queries.len() - 1])
    );

    let update = |index: &mut Index| index.update(&mut |_| ControlFlow::Continue(()));
    // Files of the last seconds are read again; let them settle.
    std::thread::sleep(Duration::from_secs(3));
    update(&mut index)?;
    let (mut nothing, mut edited, mut named) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..RUNS {
        let began = Instant::now();
        update(&mut index)?;
        nothing.push(began.elapsed());
        let path = &files[round * files.len() / RUNS].path;
        append(&tree.join(path), round)?;
        let began = Instant::now();
        update(&mut index)?;
        edited.push(began.elapsed());
        append(&tree.join(path), round)?;
        let began = Instant::now();
        index.update_paths(std::slice::from_ref(path), &mut |_| ControlFlow::Continue(()))?;
        named.push(began.elapsed());
    }
    println!(
        "update, p50: nothing changed {}, one file {}, one file that a watcher names {}",
        millis(median(&mut nothing)),
        millis(median(&mut edited)),
        millis(median(&mut named))
    );

    let count = files.len().min(1_000);
    for file in files.iter().step_by(files.len() / count).take(count) {
        append(&tree.join(&file.path), 1)?;
    }
    let began = Instant::now();
    let report = update(&mut index)?;
    let share = report.updated as f64 / files.len() as f64;
    println!(
        "update after {} files: {}, {:.2} of the cold time x share",
        report.updated,
        seconds(began.elapsed()),
        began.elapsed().as_secs_f64() / (cold.as_secs_f64() * share)
    );

    let archive = scratch.join("archive");
    let began = Instant::now();
    index.export(&archive)?;
    let exported = began.elapsed();
    let began = Instant::now();
    let mut there = Index::open(tree, &scratch.join("there"))?;
    there.import(&archive, None, &mut |_| ControlFlow::Continue(()))?;
    let imported = began.elapsed();
    update(&mut there)?;
    println!(
        "archive: {} MB; export {}; import {}, with the update {}, {:.3} of a cold index",
        std::fs::metadata(&archive)?.len() >> 20,
        seconds(exported),
        seconds(imported),
        seconds(began.elapsed()),
        began.elapsed().as_secs_f64() / cold.as_secs_f64()
    );
    Ok(())
}

/// Queries on more and more of the files.
fn growth(name: &str, tree: &Path, scratch: &Path) -> Result<(), Box<dyn Error>> {
    let index = Index::open(tree, &scratch.join("store"))?;
    let all = index.files()?;
    let requests = requests(&index)?;
    for count in [1_000, 10_000, 80_000] {
        let part = scratch.join(format!("part{count}"));
        for file in all.iter().step_by((all.len() / count).max(1)).take(count) {
            let to = part.join(&file.path);
            std::fs::create_dir_all(to.parent().unwrap_or(&part))?;
            std::fs::hard_link(tree.join(&file.path), to)?;
        }
        let mut index = Index::open(&part, &scratch.join(format!("store{count}")))?;
        let report = index.update(&mut |_| ControlFlow::Continue(()))?;
        index.context(&requests[0], BUDGET)?;
        let mut queries = Vec::new();
        for request in &requests {
            let began = Instant::now();
            index.context(request, BUDGET)?;
            queries.push(began.elapsed());
        }
        println!("growth of {name}: {} files, query p50 {}", report.files, millis(median(&mut queries)));
        if all.len() <= count {
            break;
        }
    }
    Ok(())
}

/// Requests as people write them, about names that the index has: a title and a sentence each.
fn requests(index: &Index) -> Result<Vec<Request>, Box<dyn Error>> {
    let files: Vec<_> = index.files()?.into_iter().filter(|file| file.lines > 40).collect();
    let mut requests = Vec::new();
    for at in 0..RUNS {
        let file = &files[at * files.len() / RUNS];
        let outline = index.outline(&file.path)?;
        let names: Vec<String> = match outline.len() {
            0 => file.path.split(['/', '.', '-', '_']).map(str::to_owned).collect(),
            count => outline.iter().step_by(count.div_ceil(3)).map(|symbol| symbol.name.clone()).collect(),
        };
        let text = format!(
            "{} fails when the value is empty\n\nCalling `{}` after an error returns the wrong result; expected the default of {} instead.\n",
            names[0],
            names[names.len() / 2],
            names[names.len() - 1]
        );
        requests.push(Request { text, tags: Vec::new() });
    }
    Ok(requests)
}

fn append(path: &Path, round: usize) -> Result<(), Box<dyn Error>> {
    let mut bytes = std::fs::read(path)?;
    bytes.extend(format!("\n# appended in round {round}\n").bytes());
    // A new file, since parts of the tree may be linked.
    std::fs::remove_file(path)?;
    Ok(std::fs::write(path, bytes)?)
}

fn bytes_below(folder: &Path) -> Result<u64, Box<dyn Error>> {
    let mut sum = 0;
    let mut open: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()?.is_dir() {
                true => open.push(entry.path()),
                false => sum += entry.metadata()?.len(),
            }
        }
    }
    Ok(sum)
}

fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
