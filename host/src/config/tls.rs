//! `[listen.NAME.tls]` and `[listen.NAME.websocket]`: what the secure transports and WebSocket need beyond an address. That the files are
//! what they should be is seen when they are read ([`jackfield_transport::TlsMaterial::load`]).

use std::path::Path;
use std::sync::Arc;

use jackfield_transport::{CertificateFiles, ClientCertificate, ServerVerification, TlsFiles};

use super::Transport;
use super::reader::{Item, Section};

const TLS_KEYS: [&str; 7] = ["certificate", "key", "also", "client-ca", "client-certificate", "server-ca", "verify-server"];

/// The files of a listener with these transports; paths start at `base`.
pub(super) fn read_tls(listener: &Section<'_, '_>, transports: &[Transport], base: &Path) -> Option<TlsFiles> {
    let secure = transports.iter().find(|transport| transport.is_secure());
    let (item, secure) = match (listener.item("tls"), secure) {
        (Some(item), Some(secure)) => (item, secure),
        (Some(item), None) => {
            item.key_warning("is not used: neither \"tls\" nor \"wss\" is among the transports");
            return None;
        }
        (None, Some(secure)) => {
            // Where the transport is written: that is what was decided, and where it can be taken back.
            let place = listener.item("transports");
            place.iter().for_each(|list| {
                let table = list.path.strip_suffix(".transports").unwrap_or(&list.path);
                list.error(format!(
                    "{secure} needs a certificate; add a table [{table}.tls] with certificate = \"FILE.pem\" and key = \"FILE.key\""
                ));
            });
            return None;
        }
        (None, None) => return None,
    };
    let section = item.section(&TLS_KEYS)?;
    let mut certificates = Vec::from_iter(pair(&section, secure, base));
    for item in section.item("also").iter().filter_map(|list| list.list()).flatten() {
        certificates.extend(item.section(&["certificate", "key"]).and_then(|section| pair(&section, secure, base)));
    }
    let path = |key| section.item(key).and_then(|item| item.path(base));
    let client_ca = path("client-ca");
    let files = TlsFiles {
        certificates,
        client_certificate: client_certificate(&section, client_ca.as_deref()),
        client_ca,
        server_ca: path("server-ca"),
        verify_server: verify_server(&section),
    };
    Some(files)
}

fn pair(section: &Section<'_, '_>, secure: &Transport, base: &Path) -> Option<CertificateFiles> {
    let path = |key, example: &str| match section.item(key) {
        Some(item) => item.path(base),
        None => {
            section.missing(key, format!("is missing: {secure} needs it; add {key} = \"{example}\""));
            None
        }
    };
    let (certificate, key) = (path("certificate", "FILE.pem"), path("key", "FILE.key"));
    Some(CertificateFiles { certificate: certificate?, key: key? })
}

fn client_certificate(section: &Section<'_, '_>, ca: Option<&Path>) -> ClientCertificate {
    let words = [("none", ClientCertificate::None), ("request", ClientCertificate::Request), ("require", ClientCertificate::Require)];
    let Some(item) = section.item("client-certificate") else {
        return ca.map_or(ClientCertificate::None, |_| ClientCertificate::Require);
    };
    let wanted = item.word(&words).unwrap_or_default();
    match (wanted, ca) {
        (ClientCertificate::None, Some(_)) => item.warning("no client is asked for a certificate, so that client-ca is not used"),
        (ClientCertificate::Request | ClientCertificate::Require, None) => {
            item.error("there is nobody to verify certificates of clients with; add client-ca = \"FILE.pem\"");
        }
        (ClientCertificate::None, None) | (ClientCertificate::Request | ClientCertificate::Require, Some(_)) => {}
    }
    wanted
}

fn verify_server(section: &Section<'_, '_>) -> ServerVerification {
    let Some(item) = section.item("verify-server") else { return ServerVerification::Full };
    match item.truth() {
        Some(false) => {
            item.warning("servers need not prove who they are: anybody on the way can read and change what is sent to them");
            ServerVerification::Skip
        }
        Some(true) | None => ServerVerification::Full,
    }
}

/// The origins from which web pages may connect; any if there are none.
pub(super) fn read_origins(listener: &Section<'_, '_>, transports: &[Transport]) -> Vec<Arc<str>> {
    let Some(item) = listener.item("websocket") else { return Vec::new() };
    if !transports.iter().any(|transport| matches!(transport, Transport::Ws | Transport::Wss)) {
        item.key_warning("is not used: neither \"ws\" nor \"wss\" is among the transports");
    }
    let Some(section) = item.section(&["origins"]) else { return Vec::new() };
    let Some(list) = section.item("origins") else { return Vec::new() };
    let items = list.strings().unwrap_or_default();
    if items.is_empty() && list.list().is_some() {
        list.error("is empty, and so means that any page may connect; leave it out for that, or write \"https://phone.example.com\"");
    }
    items.iter().filter_map(origin).collect()
}

/// Scheme, host and port as browsers write them (RFC 6454 6.2); a path would never match.
fn origin(item: &Item<'_, '_>) -> Option<Arc<str>> {
    let text = item.string()?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    if text == "null" || rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' '])) {
        return Some(text.into());
    }
    item.error(format!("`{text}` is no origin; write scheme and host without a path, like \"https://phone.example.com\""));
    None
}
