//! Memory and file descriptors of every process, sampled while the cluster is whole and at rest.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// A process is judged from this many samples on, the warm-up left out.
const ENOUGH: usize = 9;

/// How much the resident memory may grow after the warm-up, in KiB: this and this share of what it was.
const BEAM_MEMORY: (f64, f64) = (6_144.0, 0.10);
const RUST_MEMORY: (f64, f64) = (2_048.0, 0.10);
/// The soak itself keeps every event, so that its memory grows with time: only its descriptors are judged.
pub const OURS: &str = "the soak itself";
/// How many file descriptors more there may be.
const DESCRIPTORS: f64 = 2.0;

/// One process over its life.
#[derive(Default)]
struct Series {
    memory: Vec<f64>,
    descriptors: Vec<f64>,
    own: Vec<String>,
}

/// All processes, by what they are and their ids.
#[derive(Default)]
pub struct Resources(BTreeMap<(String, u32), Series>);

impl Resources {
    /// Takes a sample of a process. `own` is what it says of itself, to be read by people.
    pub fn sample(&mut self, label: &str, pid: u32, own: &str) -> Option<String> {
        let (memory, descriptors) = (resident_kib(pid)?, descriptors(pid)?);
        let series = self.0.entry((label.to_owned(), pid)).or_default();
        series.memory.push(memory);
        series.descriptors.push(descriptors);
        series.own.push(own.to_owned());
        Some(format!("{label},{pid},{memory},{descriptors},\"{own}\""))
    }

    /// What grew beyond its bound, and a table of the processes that lived long enough to be judged.
    pub fn judge(&self) -> (Vec<String>, String) {
        let mut grown = Vec::new();
        let mut table = String::new();
        let _ = writeln!(
            table,
            "{:<24}{:>8}{:>14}{:>14}{:>8}{:>8}  of the BEAM: memory, processes, ports, atoms, first and last",
            "process", "samples", "first KiB", "last KiB", "fds", "fds"
        );
        for ((label, pid), series) in &self.0 {
            let Some((first, last)) = ends(&series.memory) else {
                continue;
            };
            let Some((first_open, last_open)) = ends(&series.descriptors) else {
                continue;
            };
            let (least, share) = if label.ends_with("beam") {
                BEAM_MEMORY
            } else {
                RUST_MEMORY
            };
            if label != OURS && last - first > least.max(first * share) {
                grown.push(format!(
                    "{label} (pid {pid}) grew from {first} to {last} KiB"
                ));
            }
            if last_open - first_open > DESCRIPTORS {
                grown.push(format!(
                    "{label} (pid {pid}) had {first_open} file descriptors, and {last_open} at the end"
                ));
            }
            let _ = writeln!(
                table,
                "{label:<24}{:>8}{first:>14}{last:>14}{first_open:>8}{last_open:>8}  {} {}",
                series.memory.len(),
                series.own.get(series.own.len() / 4).map_or("", |own| own),
                series.own.last().map_or("", |own| own)
            );
        }
        (grown, table)
    }
}

/// The medians of the first and of the last third of the samples after the warm-up, which is the first quarter.
fn ends(samples: &[f64]) -> Option<(f64, f64)> {
    let warm = &samples[samples.len() / 4..];
    if warm.len() < ENOUGH {
        return None;
    }
    let third = warm.len() / 3;
    Some((median(&warm[..third]), median(&warm[warm.len() - third..])))
}

fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn resident_kib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn descriptors(pid: u32) -> Option<f64> {
    let count = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    Some(f64::from(u32::try_from(count).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(memory: impl Fn(f64) -> f64, descriptors: impl Fn(f64) -> f64) -> Vec<String> {
        let mut resources = Resources::default();
        let series = resources.0.entry(("n01 beam".to_owned(), 7)).or_default();
        for index in 0..20 {
            let index = f64::from(index);
            series.memory.push(memory(index));
            series.descriptors.push(descriptors(index));
            series.own.push(String::new());
        }
        resources.judge().0
    }

    #[test]
    fn what_stays_flat_after_a_warm_up_is_not_told() {
        let warming = |index: f64| 40_000.0 + (index * 4_000.0).min(16_000.0);
        assert_eq!(judged(warming, |_| 30.0), Vec::<String>::new());
    }

    #[test]
    fn the_soak_itself_may_keep_what_it_saw() {
        let mut resources = Resources::default();
        let series = resources.0.entry((OURS.to_owned(), 7)).or_default();
        for index in 0..20 {
            series.memory.push(40_000.0 + f64::from(index) * 1_000.0);
            series.descriptors.push(30.0);
            series.own.push(String::new());
        }
        assert_eq!(resources.judge().0, Vec::<String>::new());
    }

    #[test]
    fn what_grows_all_the_time_is_told() {
        assert_eq!(
            judged(|index| 40_000.0 + index * 1_000.0, |_| 30.0).len(),
            1
        );
        assert_eq!(judged(|_| 40_000.0, |index| 30.0 + index).len(), 1);
    }
}
