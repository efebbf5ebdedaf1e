//! How late the reactor is: a timer of the system wakes it, as requests do, and it sees how long after
//! that time it got there.
//!
//! No thread asks it. One that did would hold up what it measures: it wakes the reactor and falls
//! asleep, and then the scheduler may first take a thread that loads or computes, which keeps the core
//! that they share until the next tick, up to 4 ms.

use std::io;
use std::time::{Duration, Instant};

/// From an answer to the next question: what holds the reactor up for longer is seen.
const PERIOD: Duration = Duration::from_millis(10);

/// Tells `heard` each time how late the reactor was that this is called on, until it ends.
pub(crate) fn watch(mut heard: impl FnMut(Duration) + Send + 'static) -> io::Result<()> {
    let alarm = Alarm::new()?;
    tokio::spawn(async move {
        loop {
            match alarm.wait(PERIOD).await {
                Ok(late) => heard(late),
                Err(cause) => return tracing::error!("the reactor's lag is not measured: {cause}"),
            }
        }
    });
    Ok(())
}

/// A timer that is exact to some microseconds; tokio's are to a millisecond.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Alarm(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Alarm {
    #[expect(deprecated, reason = "unsound for descriptors that may change; an owned one cannot")]
    fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        use tokio::io::{Interest, unix::AsyncFd};

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    /// Waits for `time`; how much longer it took.
    async fn wait(&self, time: Duration) -> io::Result<Duration> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        let once = Timespec::try_from(time).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value: once };
        let due = Instant::now() + time;
        // It is never read: to set it anew makes it forget that it went off.
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        self.0.readable().await?.clear_ready();
        Ok(due.elapsed())
    }
}

/// The runtime's own, exact to a millisecond.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    /// Waits for `time`; how much longer it took.
    async fn wait(&self, time: Duration) -> io::Result<Duration> {
        let due = Instant::now() + time;
        tokio::time::sleep_until(due.into()).await;
        Ok(due.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_holds_up_the_reactor_is_seen_and_it_goes_on() {
        const HELD_UP: Duration = Duration::from_millis(100);
        let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
        watch(move |late| sender.send(late).expect("the test waits")).expect("a timer");
        for _ in 0..3 {
            heard.recv().await.expect("it goes on");
        }
        // The timer is set again: who said this went on to wait.
        std::thread::sleep(HELD_UP);
        let late = heard.recv().await.expect("it goes on");
        assert!(late + PERIOD >= HELD_UP, "{late:?}");
    }
}
