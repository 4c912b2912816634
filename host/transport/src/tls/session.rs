//! New TLS sessions.

use jackfield_proto::message::host_address;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, Connection, Error, ServerConnection};

use super::material::TlsMaterial;

/// For a connection that a peer has opened.
pub(in super::super) fn accepting(material: &TlsMaterial) -> Result<Box<Connection>, Error> {
    Ok(Box::new(ServerConnection::new(material.server.clone())?.into()))
}

/// For a connection that we open to `peer`: a domain, or an address. Only a domain is sent as SNI (RFC 6066 3).
pub(in super::super) fn connecting(material: &TlsMaterial, peer: &str) -> Result<Box<Connection>, Error> {
    Ok(Box::new(ClientConnection::new(material.client.clone(), name_of(peer)?)?.into()))
}

/// Whom a server has to prove to be.
pub(super) fn name_of(peer: &str) -> Result<ServerName<'static>, Error> {
    if let Some(address) = host_address(peer.as_bytes()) {
        return Ok(ServerName::from(address));
    }
    let name = peer.strip_suffix('.').unwrap_or(peer).to_owned();
    ServerName::try_from(name).map_err(|_| Error::General(format!("{peer} is no name that a certificate could prove")))
}
