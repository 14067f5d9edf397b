//! CPU time from `/proc` (Linux only).

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
        assert!(of_process(std::process::id()).is_some());
        assert!(of_process(u32::MAX).is_none());
    }
}
