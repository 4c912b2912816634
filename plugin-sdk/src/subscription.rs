//! Which messages the host calls a hook for.

/// The hooks of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// [`Plugin::on_request`](crate::Plugin::on_request).
    Request,
    /// [`Plugin::on_response`](crate::Plugin::on_response).
    Response,
    /// [`Plugin::on_failure`](crate::Plugin::on_failure).
    Failure,
    /// [`Plugin::on_registration`](crate::Plugin::on_registration). It is called for all of them: nothing narrows it.
    Registration,
    /// [`Plugin::on_timer`](crate::Plugin::on_timer). Nothing narrows it.
    Timer,
    /// [`Plugin::on_complete`](crate::Plugin::on_complete). Methods, statuses and being outside a dialog narrow it, header fields and
    /// parameters do not: the request is gone.
    Complete,
}

/// Which messages the host calls some hooks for. The host checks this before it calls: what no plugin asked for costs nothing.
///
/// An empty list means any; all conditions given must hold; several subscriptions for one hook are alternatives. Usually the
/// attribute says it (`#[jackfield::plugin(methods("INVITE"))]`); [`Plugin::subscriptions`](crate::Plugin::subscriptions) is there for
/// plugins whose configuration decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The hooks it is for.
    pub hooks: Vec<Hook>,
    /// Methods, like `INVITE`.
    pub methods: Vec<String>,
    /// Statuses or classes, like `503` or `5xx`: for responses, failures and ends of requests only.
    pub statuses: Vec<String>,
    /// Header fields of which the message has at least one.
    pub if_header: Vec<String>,
    /// A parameter that the Request-URI or the URI in To has.
    pub if_uri_param: Option<String>,
    /// Only requests outside a dialog, and their responses.
    pub initial_only: bool,
}

impl Subscription {
    /// All messages outside a dialog, for these hooks.
    pub fn to(hooks: impl IntoIterator<Item = Hook>) -> Self {
        Self {
            hooks: hooks.into_iter().collect(),
            methods: Vec::new(),
            statuses: Vec::new(),
            if_header: Vec::new(),
            if_uri_param: None,
            initial_only: true,
        }
    }

    /// Only these methods.
    pub fn methods<T: Into<String>>(mut self, methods: impl IntoIterator<Item = T>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Only these statuses or classes (`503`, `5xx`).
    pub fn statuses<T: Into<String>>(mut self, statuses: impl IntoIterator<Item = T>) -> Self {
        self.statuses = statuses.into_iter().map(Into::into).collect();
        self
    }

    /// Only messages that have at least one of these header fields.
    pub fn if_header<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.if_header = names.into_iter().map(Into::into).collect();
        self
    }

    /// Only requests whose Request-URI, or whose URI in To, has this parameter.
    pub fn if_uri_param(mut self, name: impl Into<String>) -> Self {
        self.if_uri_param = Some(name.into());
        self
    }

    /// Requests within a dialog too. There the route set decides: only `Next`, `Reply` and `Drop` are valid, and an ACK cannot be
    /// answered.
    pub fn in_dialog(mut self) -> Self {
        self.initial_only = false;
        self
    }
}
