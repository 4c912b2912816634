//! Where requests go, as the proxy finds it (RFC 3261 16.6 items 6 and 7), for what has a plan and for what has none.

use jackfield::prelude::*;

use super::uri;

/// What the request itself says of where it goes. The proxy has taken its own Route off already.
pub(crate) struct Received {
    uri: String,
    route: Option<String>,
}

impl Received {
    pub(crate) fn of(request: &Request) -> Self {
        Self { uri: request.uri(), route: uri::topmost_route(request) }
    }

    /// Whether its Request-URI says where it goes.
    pub(crate) fn follows_its_uri(&self) -> bool {
        self.route.is_none()
    }

    /// The hosts of a request without a plan: that of its Request-URI, and last the one it is sent to.
    pub(crate) fn hosts(&self) -> Vec<String> {
        let next = self.route.as_deref().unwrap_or(&self.uri);
        [uri::host(&self.uri), uri::destination(next)].into_iter().flatten().collect()
    }

    /// The hosts of a target: that of its Request-URI, of the first proxy of its route, and last the one it is sent to. `common` are the
    /// edits of the plan. Of a target that goes by a trunk there is only the host of its Request-URI: where the trunk's proxies are, it knows alone.
    pub(crate) fn hosts_of_target(&self, target: &Target, common: &[Edit]) -> Vec<String> {
        let request_uri = match &target.uri {
            Some(uri) => uri::edited(uri, common.iter().chain(&target.edits)),
            // The host has shown us the Request-URI after the edits of the plan.
            None => uri::edited(&self.uri, target.edits.iter()),
        };
        if target.option_value("trunk").is_some() {
            return uri::host(&request_uri).into_iter().collect();
        }
        let preloaded = target.route.first().and_then(|route| uri::addressed(route));
        let next_hop = target.option_value("next-hop").and_then(uri::addressed);
        // A route of the target stands above the Route of the request.
        let next = next_hop.as_ref().or(preloaded.as_ref()).or(self.route.as_ref()).unwrap_or(&request_uri);
        let first_proxy = preloaded.as_deref().and_then(uri::host);
        [uri::host(&request_uri), first_proxy, uri::destination(next)].into_iter().flatten().collect()
    }
}
