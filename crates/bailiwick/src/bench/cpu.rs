//! CPU time and memory from `/proc` (Linux only).

use std::time::Duration;

/// `USER_HZ`, which is 100 on every Linux that this is likely to run on.
const TICKS_PER_SECOND: u64 = 100;

/// CPU time of a process so far, user and system; ticks of 10 ms.
pub(super) fn of_process(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may contain anything; the numbers follow the last one.
    let (_, after) = stat.rsplit_once(')')?;
    let mut fields = after.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.saturating_add(system).saturating_mul(1000 / TICKS_PER_SECOND)))
}

/// Resident memory of a process, from `/proc`.
pub(super) fn resident_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

/// CPU time of the whole machine so far, spent and in all, in ticks of all its cores.
pub(super) fn of_machine() -> Option<(u64, u64)> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    // User, nice, system, idle, waiting for the disk, interrupts (2), stolen; guests are in user.
    let ticks: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
    let all = ticks.iter().sum::<u64>();
    let idle = ticks.iter().skip(3).take(2).sum::<u64>();
    Some((all.saturating_sub(idle), all))
}

/// CPU time of the calling thread so far, in nanoseconds.
pub(super) fn of_thread() -> Option<u64> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted() {
        let before = of_thread().unwrap();
        let mut sum = 0_u64;
        for n in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(n));
        }
        assert!(of_thread().unwrap() > before);
        assert!(of_machine().is_some_and(|(spent, all)| 0 < spent && spent <= all));
        assert!(of_process(std::process::id()).is_some());
        assert!(of_process(u32::MAX).is_none());
    }
}
