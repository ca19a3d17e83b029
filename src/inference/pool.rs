//! Threads that wait for the next piece of a forward pass.
//!
//! A pass is a few hundred short steps, each split over the threads, so a thread that has nothing to do
//! watches for the next step for a moment before it sleeps. Knows nothing of what it runs.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// How often a waiting thread looks before it sleeps: about 50 microseconds.
const LOOKS: usize = 1500;

/// `work(item, worker)`: the item to do, and which worker does it (for scratch memory).
type Work<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A fixed number of workers, one of which is whoever calls [`Pool::run`].
pub struct Pool {
    shared: Arc<Shared>,
    /// Held while a step runs: two sessions of a model take turns.
    running: Mutex<()>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    /// Raised for each step; the last thing written before the workers look at `step`.
    number: AtomicUsize,
    step: Mutex<Option<Step>>,
    next: AtomicUsize,
    /// Workers that have not finished this step.
    busy: AtomicUsize,
    panicked: AtomicBool,
    closing: AtomicBool,
    asleep: AtomicUsize,
    lock: Mutex<()>,
    wake: Condvar,
}

#[derive(Clone, Copy)]
struct Step {
    work: *const Work<'static>,
    items: usize,
}

// SAFETY: `work` is `Sync`, and `Pool::run` does not return before every worker is done with it.
unsafe impl Send for Step {}

impl Pool {
    /// `threads` workers in all, at least one.
    pub fn new(threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            number: AtomicUsize::new(0),
            step: Mutex::new(None),
            next: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            asleep: AtomicUsize::new(0),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        // Built before the threads, so that those that did start end if one cannot be had.
        let mut pool = Pool { shared, running: Mutex::new(()), threads: Vec::new() };
        for worker in 1..threads {
            let shared = pool.shared.clone();
            let thread = std::thread::Builder::new()
                .name(format!("inference {worker}"))
                .spawn(move || shared.serve(worker))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    pub fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Does every item below `items` once, in any order, and returns when all are done. A panic in one of
    /// them is passed on after the others have ended.
    pub fn run(&self, items: usize, work: &Work<'_>) {
        if self.threads.is_empty() || items <= 1 {
            return (0..items).for_each(|item| work(item, 0));
        }
        let _turn = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes; this function waits below until no worker uses it any more.
        let work: &Work<'static> = unsafe { std::mem::transmute(work) };
        *shared.step.lock().unwrap_or_else(PoisonError::into_inner) = Some(Step { work, items });
        shared.next.store(0, Ordering::Relaxed);
        shared.busy.store(self.threads.len(), Ordering::Relaxed);
        shared.number.fetch_add(1, Ordering::SeqCst);
        if shared.asleep.load(Ordering::SeqCst) > 0 {
            let _lock = shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
            shared.wake.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(|| shared.take(work, items, 0)));
        let mut looks = 0;
        while shared.busy.load(Ordering::Acquire) > 0 {
            looks += 1;
            if looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panicked = shared.panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(!panicked, "a thread of the model panicked");
    }
}

impl Shared {
    fn take(&self, work: &Work<'_>, items: usize, worker: usize) {
        loop {
            let item = self.next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                return;
            }
            work(item, worker);
        }
    }

    /// The life of a thread.
    fn serve(&self, worker: usize) {
        let mut seen = 0;
        loop {
            seen = self.wait_for_step(seen);
            if self.closing.load(Ordering::Relaxed) {
                return;
            }
            let step = *self.step.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(step) = step {
                // SAFETY: `Pool::run` keeps it alive until `busy` is zero, which this thread counts down below.
                let work = unsafe { &*step.work };
                if catch_unwind(AssertUnwindSafe(|| self.take(work, step.items, worker))).is_err() {
                    self.panicked.store(true, Ordering::Relaxed);
                }
                self.busy.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Returns the number of a step after `seen`.
    fn wait_for_step(&self, seen: usize) -> usize {
        for _ in 0..LOOKS {
            let number = self.number.load(Ordering::Acquire);
            if number != seen {
                return number;
            }
            std::hint::spin_loop();
        }
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.asleep.fetch_add(1, Ordering::SeqCst);
        // Counted before it looks, as `run` raises the number before it counts: one of both sees the other.
        while self.number.load(Ordering::SeqCst) == seen {
            lock = self.wake.wait(lock).unwrap_or_else(PoisonError::into_inner);
        }
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        self.number.load(Ordering::Acquire)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        {
            let _lock = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.number.fetch_add(1, Ordering::SeqCst);
            self.shared.wake.notify_all();
        }
        for thread in self.threads.drain(..) {
            // It can only have ended by itself: panics of the work are caught.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_done_once() {
        let pool = Pool::new(3).unwrap();
        for items in [0, 1, 2, 7, 1000] {
            let done: Vec<_> = (0..items).map(|_| AtomicUsize::new(0)).collect();
            for _ in 0..20 {
                pool.run(items, &|item, worker| {
                    assert!(worker < 3);
                    done[item].fetch_add(1, Ordering::Relaxed);
                });
            }
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 20));
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_leaves_the_pool_usable() {
        let pool = Pool::new(2).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            pool.run(64, &|item, _| assert!(item != 13, "thirteen"));
        }));
        assert!(caught.is_err());
        let count = AtomicUsize::new(0);
        pool.run(64, &|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 64);
    }

    #[test]
    fn threads_that_fell_asleep_are_woken() {
        let pool = Pool::new(2).unwrap();
        while pool.shared.asleep.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        let count = AtomicUsize::new(0);
        pool.run(100, &|_, _| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 100);
    }
}
