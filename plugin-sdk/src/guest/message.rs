//! The messages in hand, asked for through the bindings.

use super::bindings::jackfield::plugin::message as wit;
use super::convert;
use crate::{Endpoint, Plan};

/// See [`crate::Request`].
#[repr(transparent)]
pub(crate) struct Request(wit::Request);

impl Request {
    pub(crate) fn plan(&self) -> Option<Plan> {
        self.0.plan().map(convert::plan)
    }

    pub(crate) fn headers<T: AsRef<str>>(&self, names: &[T]) -> Vec<Option<String>> {
        in_turns(names, |names| self.0.headers(names))
    }

    pub(crate) fn source(&self) -> Endpoint {
        convert::endpoint(self.0.source())
    }

    pub(crate) fn arrived_on(&self) -> (String, Endpoint) {
        let (name, endpoint) = self.0.arrived_on();
        (name, convert::endpoint(endpoint))
    }
}

/// Methods that the bindings have as we want them.
macro_rules! forward {
    ($type:ty { $($name:ident($($argument:ident),*) -> $result:ty;)+ }) => {
        impl $type {
            $(pub(crate) fn $name(&self, $($argument: &str),*) -> $result { self.0.$name($($argument),*) })+
        }
    };
}

forward!(Request {
    method() -> String;
    uri() -> String;
    uri_user() -> Option<String>;
    uri_host() -> String;
    uri_param(name) -> Option<String>;
    header(name) -> Option<String>;
    header_all(name) -> Vec<String>;
    header_uri_param(header, parameter) -> Option<String>;
    header_param(header, parameter) -> Option<String>;
    header_names() -> Vec<String>;
    body() -> Vec<u8>;
    raw() -> Vec<u8>;
    is_initial() -> bool;
    auth_user() -> Option<String>;
    trunk() -> Option<String>;
    transaction_id() -> String;
    note(key) -> Option<String>;
    set_note(key, value) -> ();
});

/// See [`crate::Response`].
#[repr(transparent)]
pub(crate) struct Response(wit::Response);

impl Response {
    pub(crate) fn headers<T: AsRef<str>>(&self, names: &[T]) -> Vec<Option<String>> {
        in_turns(names, |names| self.0.headers(names))
    }

    pub(crate) fn source(&self) -> Endpoint {
        convert::endpoint(self.0.source())
    }
}

forward!(Response {
    status() -> u16;
    reason() -> String;
    header(name) -> Option<String>;
    header_all(name) -> Vec<String>;
    header_names() -> Vec<String>;
    body() -> Vec<u8>;
    raw() -> Vec<u8>;
});

/// The interface takes 64 names at a time.
fn in_turns<T: AsRef<str>>(names: &[T], ask: impl Fn(&[String]) -> Vec<Option<String>>) -> Vec<Option<String>> {
    let owned: Vec<String> = names.iter().map(|name| name.as_ref().to_owned()).collect();
    owned.chunks(64).flat_map(ask).collect()
}

/// The request that the host lent, under the name that the author knows it by.
#[allow(unsafe_code, reason = "a cast between a type and its transparent wrapper")]
pub(super) fn request(lent: &wit::Request) -> &crate::Request {
    // SAFETY: crate::Request is a transparent wrapper of Request, which is one of wit::Request: the three have one layout, and the
    // result lives no longer than what it was made from.
    unsafe { &*std::ptr::from_ref(lent).cast::<crate::Request>() }
}

/// The same for a response.
#[allow(unsafe_code, reason = "a cast between a type and its transparent wrapper")]
pub(super) fn response(lent: &wit::Response) -> &crate::Response {
    // SAFETY: as for `request`.
    unsafe { &*std::ptr::from_ref(lent).cast::<crate::Response>() }
}
