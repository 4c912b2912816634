//! What a plugin can ask of the message in hand.

use jackfield_proto::message::{Name, Uri};
use jackfield_proto::net::Transport;
use wasmtime::component::Resource;

use super::bindings::{message, types};
use super::call::{NOTE_OCTETS_MAX, NOTES_MAX};
use super::state::{Request, Response, State};
use super::view::{View, text, unquoted, uri_param, value_param, value_uri_param};

/// Names that `headers` takes at a time.
const NAMES_MAX: usize = 64;

impl message::Host for State {}

impl message::HostRequest for State {
    fn plan(&mut self, _: Resource<Request>) -> wasmtime::Result<Option<types::Plan>> {
        Ok(self.call()?.plan.clone())
    }

    fn method(&mut self, _: Resource<Request>) -> wasmtime::Result<String> {
        Ok(text(self.call()?.request.method().as_bytes()))
    }

    fn uri(&mut self, _: Resource<Request>) -> wasmtime::Result<String> {
        Ok(text(self.call()?.uri()))
    }

    fn uri_user(&mut self, _: Resource<Request>) -> wasmtime::Result<Option<String>> {
        Ok(Uri::parse(self.call()?.uri()).and_then(|uri| uri.user()).map(text))
    }

    fn uri_host(&mut self, _: Resource<Request>) -> wasmtime::Result<String> {
        Ok(Uri::parse(self.call()?.uri()).map(|uri| text(uri.host())).unwrap_or_default())
    }

    fn uri_param(&mut self, _: Resource<Request>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(uri_param(self.call()?.uri(), &name).map(text))
    }

    fn header(&mut self, _: Resource<Request>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(header(&self.call()?.view(), &name))
    }

    fn headers(&mut self, _: Resource<Request>, names: Vec<String>) -> wasmtime::Result<Vec<Option<String>>> {
        headers(&self.call()?.view(), &names)
    }

    fn header_all(&mut self, _: Resource<Request>, name: String) -> wasmtime::Result<Vec<String>> {
        Ok(header_all(&self.call()?.view(), &name))
    }

    fn header_uri_param(&mut self, _: Resource<Request>, header: String, param: String) -> wasmtime::Result<Option<String>> {
        let value = self.call()?.view().header(Name::from_bytes(header.as_bytes()));
        Ok(value.and_then(|value| value_uri_param(value, &param)).map(text))
    }

    fn header_param(&mut self, _: Resource<Request>, header: String, param: String) -> wasmtime::Result<Option<String>> {
        let value = self.call()?.view().header(Name::from_bytes(header.as_bytes()));
        Ok(value.and_then(|value| value_param(value, &param)).map(|value| text(&unquoted(value))))
    }

    fn header_names(&mut self, _: Resource<Request>) -> wasmtime::Result<Vec<String>> {
        Ok(header_names(&self.call()?.view()))
    }

    fn body(&mut self, _: Resource<Request>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.call()?.request.body().to_vec())
    }

    fn raw(&mut self, _: Resource<Request>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.call()?.request.bytes().to_vec())
    }

    fn source(&mut self, _: Resource<Request>) -> wasmtime::Result<types::Endpoint> {
        let flow = &self.call()?.origin.flow;
        Ok(endpoint(flow.remote, flow.transport))
    }

    fn arrived_on(&mut self, _: Resource<Request>) -> wasmtime::Result<(String, types::Endpoint)> {
        let origin = &self.call()?.origin;
        let listener = origin.listeners.get(usize::from(origin.flow.listener.0));
        let listener = listener.ok_or_else(|| wasmtime::Error::msg("the listener is gone"))?;
        Ok((listener.name.to_string(), endpoint(listener.address, listener.transport)))
    }

    fn is_initial(&mut self, _: Resource<Request>) -> wasmtime::Result<bool> {
        Ok(self.call()?.origin.initial)
    }

    fn auth_user(&mut self, _: Resource<Request>) -> wasmtime::Result<Option<String>> {
        Ok(self.call()?.origin.user.as_deref().map(str::to_owned))
    }

    fn trunk(&mut self, _: Resource<Request>) -> wasmtime::Result<Option<String>> {
        Ok(self.call()?.origin.from_trunk.as_deref().map(str::to_owned))
    }

    fn transaction_id(&mut self, _: Resource<Request>) -> wasmtime::Result<String> {
        Ok(super::call::TransactionId(self.call()?.id()).to_string())
    }

    fn note(&mut self, _: Resource<Request>, key: String) -> wasmtime::Result<Option<String>> {
        Ok(self.call()?.note(&key).map(str::to_owned))
    }

    fn set_note(&mut self, _: Resource<Request>, key: String, value: String) -> wasmtime::Result<()> {
        match self.call_mut()?.set_note(key, value) {
            true => Ok(()),
            false => Err(wasmtime::Error::msg(format!(
                "more notes than a transaction may have: {NOTES_MAX} notes, {NOTE_OCTETS_MAX} octets in all"
            ))),
        }
    }

    fn drop(&mut self, _: Resource<Request>) -> wasmtime::Result<()> {
        Ok(())
    }
}

impl State {
    fn answer(&self) -> wasmtime::Result<&super::call::Answer> {
        self.call()?.answer.as_ref().ok_or_else(|| wasmtime::Error::msg("no response is in hand"))
    }

    fn answer_view(&self) -> wasmtime::Result<View<'_>> {
        self.call()?.answer_view().ok_or_else(|| wasmtime::Error::msg("no response is in hand"))
    }
}

impl message::HostResponse for State {
    fn status(&mut self, _: Resource<Response>) -> wasmtime::Result<u16> {
        Ok(self.answer()?.message.status())
    }

    fn reason(&mut self, _: Resource<Response>) -> wasmtime::Result<String> {
        Ok(text(self.answer()?.message.reason()))
    }

    fn header(&mut self, _: Resource<Response>, name: String) -> wasmtime::Result<Option<String>> {
        Ok(header(&self.answer_view()?, &name))
    }

    fn headers(&mut self, _: Resource<Response>, names: Vec<String>) -> wasmtime::Result<Vec<Option<String>>> {
        headers(&self.answer_view()?, &names)
    }

    fn header_all(&mut self, _: Resource<Response>, name: String) -> wasmtime::Result<Vec<String>> {
        Ok(header_all(&self.answer_view()?, &name))
    }

    fn header_names(&mut self, _: Resource<Response>) -> wasmtime::Result<Vec<String>> {
        Ok(header_names(&self.answer_view()?))
    }

    fn body(&mut self, _: Resource<Response>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.answer()?.message.body().to_vec())
    }

    fn raw(&mut self, _: Resource<Response>) -> wasmtime::Result<Vec<u8>> {
        Ok(self.answer()?.message.bytes().to_vec())
    }

    fn source(&mut self, _: Resource<Response>) -> wasmtime::Result<types::Endpoint> {
        let answer = self.answer()?;
        // A response of the proxy's own, to a branch that failed without one, comes from nowhere: the unspecified address says so.
        let source = answer.source.unwrap_or_else(|| (std::net::Ipv4Addr::UNSPECIFIED, 0).into());
        let via = answer.message.top_via().and_then(|via| Transport::from_name(via.transport_name()));
        Ok(endpoint(source, via.unwrap_or(Transport::Udp)))
    }

    fn drop(&mut self, _: Resource<Response>) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn header(view: &View<'_>, name: &str) -> Option<String> {
    view.header(Name::from_bytes(name.as_bytes())).map(text)
}

fn headers(view: &View<'_>, names: &[String]) -> wasmtime::Result<Vec<Option<String>>> {
    if names.len() > NAMES_MAX {
        return Err(wasmtime::Error::msg(format!("{} headers were asked for, {NAMES_MAX} can be had at a time", names.len())));
    }
    Ok(names.iter().map(|name| header(view, name)).collect())
}

fn header_all(view: &View<'_>, name: &str) -> Vec<String> {
    view.header_all(Name::from_bytes(name.as_bytes())).into_iter().map(text).collect()
}

fn header_names(view: &View<'_>) -> Vec<String> {
    view.header_names().into_iter().map(text).collect()
}

pub(super) fn endpoint(address: std::net::SocketAddr, transport: Transport) -> types::Endpoint {
    let transport = match transport {
        Transport::Udp => types::Transport::Udp,
        Transport::Tcp => types::Transport::Tcp,
        Transport::Tls => types::Transport::Tls,
        Transport::Ws => types::Transport::Ws,
        Transport::Wss => types::Transport::Wss,
    };
    types::Endpoint { address: address.ip().to_canonical().to_string(), port: address.port(), transport }
}
