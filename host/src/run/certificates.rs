//! Certificates of the listeners: read at the start, and again when their files change or SIGHUP comes. Open connections stay; a file that
//! cannot be used changes nothing but the log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jackfield_transport::{Monitor, TlsFiles, TlsMaterial};

use crate::config::Config;
use crate::watch::{Found, Notices, Stamp, Watched};

/// How often the files are looked at without a notice: a symlink may change where no notice comes from.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long a changed file has to lie still; a certificate and its key are two files, and change one after the other.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// Requests that may wait; more of them would be answered by the same look.
const WAITING: usize = 8;

/// The certificates of all listeners, by the listener's name.
pub(super) type Materials = BTreeMap<String, Arc<TlsMaterial>>;

/// Reads the files of all listeners.
///
/// # Errors
/// One of them cannot be used.
pub(super) fn load(config: &Config) -> Result<Materials> {
    let mut materials = Materials::new();
    for listen in &config.listen {
        let Some(files) = &listen.tls else { continue };
        materials.insert(listen.name.clone(), load_one(&listen.name, files)?);
    }
    Ok(materials)
}

/// Reads the files of one listener.
///
/// # Errors
/// One of them cannot be used.
pub(super) fn load_one(listener: &str, files: &TlsFiles) -> Result<Arc<TlsMaterial>> {
    let material = TlsMaterial::load(files).with_context(|| format!("listener {listener}"))?;
    warn(listener, &material);
    Ok(Arc::new(material))
}

fn warn(listener: &str, material: &TlsMaterial) {
    material.warnings().iter().for_each(|warning| tracing::warn!(listener, "{warning}"));
}

/// What the thread is asked to do.
enum Command {
    /// Look at the files: something may have changed.
    Look,
    /// Read the files of this configuration, changed or not.
    Reload(BTreeMap<String, TlsFiles>),
    /// End.
    Stop,
}

/// The thread that keeps certificates up to date. It ends when this is gone.
pub(super) struct CertificateWatch(SyncSender<Command>);

impl CertificateWatch {
    /// Watches the files of a configuration whose certificates are in use.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(config: &Config, transport: Monitor) -> Result<Self> {
        let (sender, commands) = sync_channel(WAITING);
        let mut watcher = Watcher { transport, listeners: BTreeMap::new(), notices: Vec::new(), sender: sender.clone() };
        watcher.watch(files(config));
        let run = move || watcher.run(&commands);
        thread::Builder::new().name("certificates".to_owned()).spawn(run).context("cannot start a thread")?;
        Ok(Self(sender))
    }

    /// SIGHUP: reads everything again.
    pub(super) fn reload(&self, config: &Config) {
        // An error means that the thread has ended, and with it the proxy.
        let _ = self.0.send(Command::Reload(files(config)));
    }
}

impl Drop for CertificateWatch {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.send(Command::Stop);
    }
}

fn files(config: &Config) -> BTreeMap<String, TlsFiles> {
    let with_files = |listen: &crate::config::Listen| Some((listen.name.clone(), listen.tls.clone()?));
    config.listen.iter().filter_map(with_files).collect()
}

/// A listener and its files.
struct Listener {
    files: TlsFiles,
    watched: Vec<(PathBuf, Watched)>,
    /// A file has changed since they were read.
    is_stale: bool,
}

struct Watcher {
    transport: Monitor,
    listeners: BTreeMap<String, Listener>,
    notices: Vec<Notices>,
    sender: SyncSender<Command>,
}

impl Watcher {
    fn run(mut self, commands: &Receiver<Command>) {
        let mut look_again = Instant::now() + LOOK_EVERY;
        loop {
            match commands.recv_timeout(look_again.saturating_duration_since(Instant::now())) {
                Ok(Command::Look) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Reload(listeners)) => {
                    self.watch(listeners);
                    self.listeners.iter().for_each(|(name, listener)| renew(&self.transport, name, &listener.files));
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            look_again = self.look(Instant::now());
        }
    }

    /// From now on these files count.
    fn watch(&mut self, listeners: BTreeMap<String, TlsFiles>) {
        let watched = |path: &Path| (path.to_owned(), Watched::new(Stamp::of(path)));
        let listener = |files: TlsFiles| Listener { watched: files.paths().map(watched).collect(), files, is_stale: false };
        self.listeners = listeners.into_iter().map(|(name, files)| (name, listener(files))).collect();
        let paths = self.listeners.values().flat_map(|listener| listener.files.paths());
        let mut directories: Vec<&Path> = paths.filter_map(Path::parent).collect();
        directories.sort();
        directories.dedup();
        let notices = |directory: &Path| {
            let sender = self.sender.clone();
            // When the channel is full, somebody is going to look anyway.
            Notices::new(directory, move || drop(sender.try_send(Command::Look)))
        };
        self.notices = directories.into_iter().map(notices).collect();
    }

    /// Looks at all files, and reads those of a listener again when one has changed and all lie still; when to look again.
    fn look(&mut self, now: Instant) -> Instant {
        self.notices.iter_mut().for_each(Notices::renew);
        let mut again = now + LOOK_EVERY;
        for (name, listener) in &mut self.listeners {
            let mut is_still = true;
            for (path, watched) in &mut listener.watched {
                match watched.look(Stamp::of(path), now, DEBOUNCE) {
                    Found::Same => {}
                    Found::Changed(_) => listener.is_stale = true,
                    Found::Unsettled(then) => {
                        is_still = false;
                        again = again.min(then);
                    }
                }
            }
            if is_still && std::mem::take(&mut listener.is_stale) {
                renew(&self.transport, name, &listener.files);
            }
        }
        again
    }
}

/// Takes up the files of a listener as they are now, or says why not.
fn renew(transport: &Monitor, listener: &str, files: &TlsFiles) {
    match TlsMaterial::load(files) {
        Ok(material) => {
            warn(listener, &material);
            transport.replace_tls(listener, &Arc::new(material));
            tracing::info!(listener, "certificates have been read again; new connections are shown them");
        }
        Err(error) => tracing::error!(listener, "certificates stay as they were: {error}"),
    }
}
