//! Threads that let all others go first: those that nobody waits for.

use thread_priority::ThreadPriority;

/// Lets all other threads of the machine go before the calling one, at once. One that only has a low priority is let end its
/// turn of milliseconds, which whoever has a new job in hand would wait for. What the thread starts does the same. Source:
/// Linux, sched(7), SCHED_IDLE. Elsewhere it is the lowest priority.
///
/// Errors: the system refuses it, in its words.
#[cfg(target_os = "linux")]
pub fn give_way() -> Result<(), String> {
    use thread_priority::unix::{
        NormalThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
        thread_schedule_policy,
    };

    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    match set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        // It also takes back the nice value, which means nothing here and is refused to those that were started with one.
        Err(error) if thread_schedule_policy() != Ok(idle) => Err(format!("{error:?}")),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Gives the calling thread the lowest priority. Errors: the system refuses it, in its words.
#[cfg(not(target_os = "linux"))]
pub fn give_way() -> Result<(), String> {
    ThreadPriority::Min.set_for_current().map_err(|error| format!("{error:?}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_gives_way_runs_when_nobody_else_wants_to_and_no_other_does() {
        // As Linux numbers them: 0 is SCHED_OTHER, 5 SCHED_IDLE. Source: proc(5): field 41, the 39th behind the name.
        let policy = || -> u32 {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().parse().unwrap()
        };
        let before = policy();
        let gives_way = std::thread::spawn(move || give_way().map(|()| policy()));
        assert_eq!(gives_way.join().unwrap(), Ok(5));
        assert_eq!(policy(), before);
    }
}
