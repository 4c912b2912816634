//! Programs that others wrote: SIPp, baresip, knot, rtpengine, and JsSIP in Chromium. `tests/run` installs them, and leaves these suites out where
//! it cannot.

mod baresip;
pub(crate) mod browser;
mod dns;
mod page;
mod phone;
mod sipp;
mod webrtc;

use std::process::Child;

/// A program of someone else's, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
