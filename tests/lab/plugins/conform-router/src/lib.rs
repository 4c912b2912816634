//! The routing that the conformance harness expects of the proxy under test: loopback addresses are followed, and everything else
//! goes to the harness's servers by the user part of the Request-URI, which is never changed.
//!
//! ```toml
//! [plugins.conform-router.config]         # these are the defaults
//! own = ["127.0.0.1:15060", "[::1]:15060"]
//! a = "127.0.0.1:15080"
//! b = "127.0.0.1:15081"
//! no-tcp = "127.0.0.1:15082"
//! void = "127.0.0.1:15089"
//! ```
//!
//! Following a loopback address is the proxy's own work: its `[relay]` has to allow 127.0.0.0/8 and ::1.

use std::net::IpAddr;

use jackfield::prelude::*;

/// The addresses of the harness.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConformRouter {
    /// The listeners of the proxy itself.
    own: Vec<String>,
    /// The server that takes everything without a rule.
    a: String,
    /// The second server.
    b: String,
    /// A server without TCP.
    no_tcp: String,
    /// Where nobody listens.
    void: String,
}

impl Default for ConformRouter {
    fn default() -> Self {
        Self {
            own: vec!["127.0.0.1:15060".into(), "[::1]:15060".into()],
            a: "127.0.0.1:15080".into(),
            b: "127.0.0.1:15081".into(),
            no_tcp: "127.0.0.1:15082".into(),
            void: "127.0.0.1:15089".into(),
        }
    }
}

impl ConformRouter {
    /// Whether the request itself says where to go: the topmost Route that is not the proxy's, or else the Request-URI, holds a
    /// loopback address that is not the proxy's.
    fn is_followed(&self, request: &Request) -> bool {
        let routes = request.header_all("Route");
        let route = routes.iter().map(|route| authority(route)).find(|authority| !self.is_own(authority));
        let authority = route.unwrap_or_else(|| authority_of_uri(&request.uri()));
        let address: Option<IpAddr> = authority.host.trim_matches(['[', ']']).parse().ok();
        address.is_some_and(|address| address.is_loopback()) && !self.is_own(&authority)
    }

    fn is_own(&self, authority: &Authority) -> bool {
        self.own.iter().any(|own| own.eq_ignore_ascii_case(&format!("{}:{}", authority.host, authority.port)))
    }

    fn plan(&self, user: Option<&str>) -> Plan {
        let to = |address: &str| Target::unchanged().next_hop(format!("sip:{address}")).tag(address);
        let tcp = |address: &str| to(address).transport("tcp");
        match user.unwrap_or_default() {
            "fork" => Plan::parallel([to(&self.a), to(&self.b)]),
            "hunt" => Plan::serial([to(&self.a).timeout(Duration::from_secs(3)), to(&self.b)]).next_on("408 5xx"),
            "tcp" => tcp(&self.a).into(),
            "udponly" => to(&self.no_tcp).into(),
            "void" => to(&self.void).into(),
            "voidtcp" => tcp(&self.void).into(),
            "huntvoid" => Plan::serial([tcp(&self.void), to(&self.a)]),
            _ => to(&self.a).into(),
        }
    }
}

#[jackfield::plugin]
impl Plugin for ConformRouter {
    fn on_request(&self, request: &Request) -> Result<Decision> {
        if self.is_followed(request) {
            return Ok(Decision::pass());
        }
        Ok(Decision::forward(self.plan(request.uri_user().as_deref())))
    }
}

/// Host and port of a URI.
struct Authority {
    host: String,
    port: u16,
}

/// Of the URI between the angle brackets of a Route value.
fn authority(route: &str) -> Authority {
    let uri = route.rsplit_once('<').map_or(route, |(_, uri)| uri);
    authority_of_uri(uri.split_once('>').map_or(uri, |(uri, _)| uri))
}

fn authority_of_uri(uri: &str) -> Authority {
    let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let rest = rest.split([';', '?']).next().unwrap_or_default();
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(5060)),
        Some(_) | None => (rest, 5060),
    };
    Authority { host: host.to_ascii_lowercase(), port }
}

#[cfg(test)]
mod tests;
