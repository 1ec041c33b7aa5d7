//! An idle register should not pay for yesterday's full sync.

/// Gives memory that is not needed any more back to the system. glibc keeps what other threads freed until it is asked.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "a plain call into the C library, without pointers")]
pub fn give_back() {
    // SAFETY: malloc_trim takes no pointers, may be called at any time from any thread, and only releases free pages.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Other systems' allocators do it by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}
