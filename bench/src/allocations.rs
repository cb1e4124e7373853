//! The allocator, counting what it is asked for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often the program has allocated since its start, and how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allocations {
    /// Calls that asked for memory, growing included.
    pub(crate) count: u64,
    /// Bytes asked for.
    pub(crate) bytes: u64,
}

impl Allocations {
    /// Up to now.
    pub(crate) fn so_far() -> Self {
        Self { count: COUNT.load(Relaxed), bytes: BYTES.load(Relaxed) }
    }
}

/// The system's allocator, counting.
pub(crate) struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// Loads and stores rather than an atomic addition: the program has one thread, and a locked addition would be a good
/// part of what an allocation costs.
fn count(bytes: usize) {
    COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
    BYTES.store(BYTES.load(Relaxed) + bytes as u64, Relaxed);
}

// SAFETY: every call is handed to the system's allocator unchanged; counting touches two statics and allocates nothing.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size);
        // SAFETY: the caller keeps the contract of `realloc`, and the pointer came from `System`.
        unsafe { System.realloc(pointer, layout, new_size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
