//! The thread that writes the log. Lines wait for it in a bounded queue; where that is full, lines are lost and counted, because
//! calls matter more.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait.
const QUEUE: usize = 4096;

/// Octets of one line; the rest of a longer one is cut off.
const LINE_MAX: usize = 16 * 1024;

/// Octets that are written at once.
const BATCH: usize = 64 * 1024;

enum Entry {
    Line(Vec<u8>),
    End,
}

/// The thread, with the queue to it. Dropping it writes what waits.
#[derive(Debug)]
pub(super) struct Lines {
    queue: SyncSender<Entry>,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    /// Starts the thread, and gives what events are written to.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<(Self, LineWriter)> {
        let (queue, entries) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&lost);
        let thread = thread::Builder::new().name("log".to_owned()).spawn(move || write(sink, &entries, &counter))?;
        Ok((Self { queue: queue.clone(), thread: Some(thread) }, LineWriter { queue, lost }))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // Fails only if the thread has ended, which it does for nothing else.
        let _ = self.queue.send(Entry::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Puts each line into the queue, or counts it as lost.
#[derive(Clone, Debug)]
pub(super) struct LineWriter {
    queue: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

impl Write for LineWriter {
    /// Takes one line; the subscriber hands them over whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let kept = match line.get(..LINE_MAX) {
            Some(head) => [head, b"... (cut)\n"].concat(),
            None => line.to_vec(),
        };
        match self.queue.try_send(Entry::Line(kept)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Relaxed);
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Writes lines until the end is asked for. What cannot be written is gone: there is no other place to say so.
fn write(mut sink: impl Write, entries: &Receiver<Entry>, lost: &AtomicU64) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut open = true;
    while open {
        let Ok(first) = entries.recv() else { return };
        let mut next = Some(first);
        while let Some(entry) = next.take() {
            match entry {
                Entry::Line(line) => batch.extend_from_slice(&line),
                Entry::End => open = false,
            }
            if open && batch.len() < BATCH {
                next = entries.try_recv().ok();
            }
        }
        let missing = lost.swap(0, Relaxed);
        if missing > 0 {
            batch.extend_from_slice(
                format!("{missing} lines of the log were lost: they came faster than they could be written\n").as_bytes(),
            );
        }
        let _ = sink.write_all(&batch).and_then(|()| sink.flush());
        batch.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Gives each write to the test, and waits for its leave.
    struct Gate {
        written: Sender<String>,
        leave: Receiver<()>,
    }

    impl Write for Gate {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.written.send(String::from_utf8_lossy(octets).into_owned()).unwrap();
            self.leave.recv().unwrap();
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_that_hangs_costs_lines_but_never_time() {
        let (written, writes) = channel();
        let (pass, leave) = channel();
        let (lines, mut writer) = Lines::start(Gate { written, leave }).unwrap();
        writer.write_all(b"first\n").unwrap();
        assert_eq!(writes.recv().unwrap(), "first\n");
        // The thread hangs in its first write now.
        for _ in 0..QUEUE + 3 {
            writer.write_all(b"x\n").unwrap();
        }
        drop(writer);
        (0..3).for_each(|_| pass.send(()).unwrap());
        drop(lines);
        let rest: String = writes.iter().collect();
        assert_eq!(rest.matches("x\n").count(), QUEUE);
        assert!(rest.contains("3 lines of the log were lost"), "{rest}");
    }

    #[test]
    fn long_lines_are_cut() {
        let (written, writes) = channel();
        let (pass, leave) = channel();
        pass.send(()).unwrap();
        let (lines, mut writer) = Lines::start(Gate { written, leave }).unwrap();
        writer.write_all(&vec![b'x'; LINE_MAX + 1]).unwrap();
        drop(lines);
        let line = writes.recv().unwrap();
        assert!(line.len() < LINE_MAX + 20 && line.ends_with("... (cut)\n"));
    }
}
