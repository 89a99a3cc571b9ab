// SPDX-License-Identifier: Apache-2.0
//! Work that nobody trusts, on a thread of its own that may take so much stack, memory and time and no more.
//!
//! Memory is counted where all of this library's is allocated. A thread cannot be ended from outside, and an allocator
//! may neither fail (the process would abort) nor unwind; so a thread that asks for more than it may have stops there
//! for good, before it has taken anything. What it held until then is lost, once: the caller must not try such work
//! again. Locks that it holds stay locked: work shares none with other threads, but where no_limit() stands.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

pub struct Limits {
    pub stack_bytes: usize,
    pub memory_bytes: usize,
    pub deadline: Duration,
}

/// Why work has no result.
pub enum Stopped {
    Panic(String),
    OverMemory,
    OverTime,
    NoThread(std::io::Error),
}

/// What a thread and its caller know of each other.
struct Watch {
    is_over_memory: AtomicBool,
    caller: Thread,
}

/// No limit.
const UNBOUNDED: isize = isize::MAX;

thread_local! {
    // Neither has a destructor or is made at first use, so that the allocator may look at them at any time.
    static LEFT_BYTES: Cell<isize> = const { Cell::new(UNBOUNDED) };
    static WATCH: Cell<*const Watch> = const { Cell::new(std::ptr::null()) };
}

struct CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

impl CountingAllocator {
    /// Does not return where the thread may not have so much more.
    fn charge(num_bytes: usize, freed_bytes: usize) {
        let left = LEFT_BYTES.get();
        if left == UNBOUNDED {
            return;
        }
        let now_left = left.saturating_sub_unsigned(num_bytes).saturating_add_unsigned(freed_bytes).min(UNBOUNDED - 1);
        if now_left < 0 && num_bytes > freed_bytes {
            stop_for_good();
        }
        LEFT_BYTES.set(now_left);
    }
}

fn stop_for_good() -> ! {
    LEFT_BYTES.set(UNBOUNDED); // what waking the caller or waiting may allocate
    // SAFETY: set by run() beside the limit, for as long as its thread lives.
    if let Some(watch) = unsafe { WATCH.get().as_ref() } {
        watch.is_over_memory.store(true, Ordering::Release);
        watch.caller.unpark();
    }
    loop {
        thread::park();
    }
}

// SAFETY: all is the system's.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CountingAllocator::charge(layout.size(), 0);
        System.alloc(layout)
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CountingAllocator::charge(layout.size(), 0);
        System.alloc_zeroed(layout)
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, num_bytes: usize) -> *mut u8 {
        CountingAllocator::charge(num_bytes, layout.size());
        System.realloc(block, layout, num_bytes)
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        CountingAllocator::charge(0, layout.size());
        System.dealloc(block, layout)
    }
}

/// Lets `work`, which is ours and needs little, have what it needs: where a lock is held that others wait for.
pub fn no_limit<T>(work: impl FnOnce() -> T) -> T {
    let left = LEFT_BYTES.replace(UNBOUNDED);
    let result = work();
    LEFT_BYTES.set(left);
    result
}

/// Runs `work`. Where it takes too much time, its thread goes on until it is done or has taken all its memory.
pub fn run<T: Send + 'static>(limits: &Limits, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let watch = Arc::new(Watch { is_over_memory: AtomicBool::new(false), caller: thread::current() });
    let in_thread = watch.clone();
    let memory_bytes = isize::try_from(limits.memory_bytes).unwrap_or(UNBOUNDED);
    let body = move || {
        WATCH.set(Arc::as_ptr(&in_thread));
        LEFT_BYTES.set(memory_bytes);
        let outcome = catch_unwind(AssertUnwindSafe(work));
        LEFT_BYTES.set(UNBOUNDED);
        let _ = sender.send(outcome);
        in_thread.caller.unpark();
    };
    let started = Instant::now();
    thread::Builder::new().stack_size(limits.stack_bytes).spawn(body).map_err(Stopped::NoThread)?;
    loop {
        match receiver.try_recv() {
            Ok(outcome) => return outcome.map_err(|panic| Stopped::Panic(crate::abi::panic_text(panic.as_ref()))),
            Err(_) if watch.is_over_memory.load(Ordering::Acquire) => return Err(Stopped::OverMemory),
            Err(_) => {}
        }
        let left = limits.deadline.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(Stopped::OverTime);
        }
        thread::park_timeout(left);
    }
}
