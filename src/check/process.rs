//! The processes of this machine as far as a supervisor needs them: who is below whom, and how much
//! they hold. Empty where there is no `/proc`.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub threads: u64,
    /// Bytes in memory.
    pub memory: u64,
    pub owner: u32,
}

/// All processes that can be seen.
pub fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let owner = entry.metadata().ok()?.uid();
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            let (parent, threads, pages) = fields(&stat)?;
            Some(Process {
                pid,
                parent,
                threads,
                memory: pages.saturating_mul(rustix::param::page_size() as u64),
                owner,
            })
        })
        .collect()
}

/// Parent, threads and resident pages of a line of `/proc/<pid>/stat`. The second field is the
/// program's name in parentheses and may hold anything, parentheses too.
fn fields(stat: &str) -> Option<(i32, u64, u64)> {
    let rest: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
    // proc_pid_stat(5) counts from 1; the third field is the first here.
    Some((rest.get(1)?.parse().ok()?, rest.get(17)?.parse().ok()?, rest.get(21)?.parse().ok()?))
}

/// Those that descend from `pid`, without itself.
pub fn below(pid: i32, all: &[Process]) -> Vec<Process> {
    let mut children: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(parent) = open.pop() {
        // Removed, so that a loop, which a changing table can show, ends.
        for child in children.remove(&parent).unwrap_or_default() {
            open.push(child.pid);
            found.push(child);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let rest = "S 7 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 100 2000 42 1";
        assert_eq!(fields(&format!("12 (a) R 1 (b)) {rest}")), Some((7, 3, 42)));
        assert_eq!(fields("12 (a) S"), None);
    }

    #[test]
    fn descendants_are_found_at_any_depth() {
        let process = |pid, parent| Process { pid, parent, threads: 1, memory: 0, owner: 0 };
        let all = [process(2, 1), process(3, 2), process(4, 3), process(5, 1), process(6, 7), process(7, 6)];
        let mut pids: Vec<i32> = below(2, &all).iter().map(|process| process.pid).collect();
        pids.sort();
        assert_eq!(pids, [3, 4]);
        assert_eq!(below(6, &all).len(), 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_among_all() {
        let own = std::process::id() as i32;
        let me = all().into_iter().find(|process| process.pid == own).unwrap();
        assert!(me.threads >= 1 && me.memory > 100_000, "{me:?}");
    }
}
