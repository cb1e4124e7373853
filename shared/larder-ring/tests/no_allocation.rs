//! Looking owners up allocates nothing, counted by the allocator itself.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use larder_ring::{Ring, RingKind, RingNode};

#[test]
fn looking_up_owners_allocates_nothing() {
    let nodes: Vec<RingNode> =
        (1..=20).map(|i| format!("cache-{i}:11211@10.0.0.{i}").parse().unwrap()).collect();
    let lens = [1, 20, 55, 56, 119, 120, 250];
    let mut keys: Vec<Vec<u8>> = (0..50).map(|at| vec![b'k'; lens[at % lens.len()]]).collect();
    keys.push("航班/42".into());
    keys.push(vec![0xff; 30]);

    for kind in RingKind::ALL {
        let ring = Ring::new(kind, &nodes).unwrap();
        let mut sum = 0;
        let counted = allocations(|| {
            sum += keys.iter().map(|key| ring.owner(key)).sum::<usize>();
            ring.owners(&keys, |_, owner| sum += owner);
        });
        assert!(sum > 0, "{kind}");
        assert_eq!(counted, 0, "{kind}");
    }
    assert!(allocations(|| drop(vec![1_u8])) > 0, "the counter counts");
}

/// How often `run` allocates on this thread.
fn allocations(run: impl FnOnce()) -> usize {
    let before = COUNT.get();
    run();
    COUNT.get() - before
}

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, counting.
struct Counting;

// SAFETY: every call is handed to the system's allocator unchanged; counting touches only a thread-local cell that
// needs no allocation itself.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and the pointer came from `System` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
