//! Certificates of the listeners: read at the start, and again when their files change or SIGHUP comes. Open connections stay; a file that
//! cannot be used changes nothing but the log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use jackfield_transport::{Monitor, TlsFiles, TlsMaterial};

use super::file_watch::{FileWatch, Files, Groups};
use crate::config::Config;

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

/// The thread that keeps certificates up to date. It ends when this is gone.
pub(super) struct CertificateWatch(FileWatch<TlsFiles>);

impl Files for TlsFiles {
    fn paths(&self) -> Vec<PathBuf> {
        TlsFiles::paths(self).map(Path::to_owned).collect()
    }
}

impl CertificateWatch {
    /// Watches the files of a configuration whose certificates are in use.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(super) fn start(config: &Config, transport: Monitor) -> Result<Self> {
        let renew = move |listener: &str, files: &TlsFiles| renew(&transport, listener, files);
        FileWatch::start("certificates", files(config), renew).map(Self)
    }

    /// SIGHUP: reads everything again.
    pub(super) fn reload(&self, config: &Config) {
        self.0.read(files(config));
    }
}

fn files(config: &Config) -> Groups<TlsFiles> {
    let with_files = |listen: &crate::config::Listen| Some((listen.name.clone(), listen.tls.clone()?));
    config.listen.iter().filter_map(with_files).collect()
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
