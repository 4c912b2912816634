//! Route information preprocessing (RFC 3261 16.4): what a request says to this proxy itself is taken out before it is routed.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use smallvec::SmallVec;

use super::contact_token::{ContactToken, StandsFor};
use super::hiding::{self, Hidden, Unfolded};
use super::io::RequestKind;
use super::keys::KeyRing;
use super::noted::NotedSides;
use super::noted_crossing::NotedCrossing;
use super::noted_flow::Side;
use super::noted_media::MediaNote;
use super::noted_privacy::NotedPrivacy;
use super::numbering::Sides;
use super::onward::{Leading, Onward, contact_token};
use super::own::{OwnNames, transport_of};
use super::token::{self, FlowToken, Token};
use crate::message::{Message, Name, NameAddr, Uri, Value, uri_without_param};
use crate::net::{ConnectionId, Flow, ListenerId};

/// A request ready to be routed.
#[derive(Debug)]
pub(super) struct Preprocessed {
    pub(super) request: Arc<Message>,
    pub(super) kind: RequestKind,
    /// The listener that our token or our second Route names: the one to send from.
    pub(super) egress: Option<ListenerId>,
    /// The connection that our token names: the one to send over, if the request did not come over it.
    pub(super) connection: Option<ConnectionId>,
    /// Where our tokens lead it.
    pub(super) onward: Onward,
    /// The trunks of its dialog; none where it has none.
    pub(super) sides: Option<Box<Sides>>,
    /// What is hidden in its dialog; none where nothing is.
    pub(super) crossing: Option<NotedCrossing>,
    /// What is noted of the media of its dialog.
    pub(super) media: Option<MediaNote>,
    /// The privacy that its sender has asked for when his dialog began.
    pub(super) privacy: Option<NotedPrivacy>,
    /// What was hidden in it.
    pub(super) hidden: Option<Box<Hidden>>,
}

impl Preprocessed {
    /// The request with the Call-ID that its sender wrote.
    #[cold]
    pub(super) fn as_received(&self) -> Arc<Message> {
        let received = self.hidden.as_ref().and_then(|hidden| hidden.as_received(&self.request));
        received.map_or_else(|| Arc::clone(&self.request), Arc::new)
    }
}

/// Applies 16.4 to a request that came over `flow`.
pub(super) fn preprocess(mut request: Message, flow: &Flow, own: &OwnNames, keys: &KeyRing) -> Preprocessed {
    let mut tokens = Tokens::default();
    let mut hidden = None;
    let has_params = has_uri_params(&request);
    if let Some((inside, received)) = hiding::inside_call_id(&request, keys, own.seals()) {
        (request, hidden) = (inside, Some(Hidden::received_with(received)));
    }
    let request = match has_params.then(|| repair_strict_route(&request, own, keys)).flatten() {
        Some((bytes, route)) => {
            if let Some(uri) = Uri::parse(request.request_uri()).filter(|_| route.has_more()) {
                tokens.note_more(token::noted(&uri, &request, keys));
            }
            tokens.note(0, &route);
            tokens.note_sealed(&route.unfolded);
            reparse(bytes, request)
        }
        None => request,
    };
    let mut request = match has_uri_params(&request).then(|| strip_own_maddr(&request, own)).flatten() {
        Some(bytes) => reparse(bytes, request),
        None => request,
    };
    let (taken_out, contact) = take_out_own(&request, &mut tokens, own, keys);
    if let Some(bytes) = taken_out {
        request = reparse(bytes, request);
    }
    let in_dialog = tokens.dialog.iter().any(Option::is_some) && request.to_tag().is_some();
    if (hidden.is_some() && !in_dialog) || (in_dialog && tokens.noted.crossing.is_some() && names_hidden_host(&request, &contact)) {
        tokens.hidden = Sealed::Refused;
    }
    // The last of them is next to where the request goes: of a pair, and of two passes through here.
    let last = tokens.dialog.iter().flatten().next_back().filter(|_| in_dialog);
    let noted = last.and_then(|token| token.onward);
    let sides = last.and_then(|_| tokens.noted.sides());
    let has_route_of_sender = tokens.has_route_of_sender;
    let onward = match tokens.hidden {
        Sealed::Refused => Onward::Forged,
        Sealed::Nothing | Sealed::Unfolded => {
            Onward::of(&request, flow, Leading { flow: &tokens.flow, contact: &contact, in_dialog, has_route_of_sender }, noted, own)
        }
    };
    Preprocessed {
        kind: if in_dialog { RequestKind::InDialog } else { RequestKind::Initial },
        connection: noted.and_then(|noted| noted.far_end?.connection),
        egress: noted.and_then(|noted| own.listener_of(noted.listener)).or(onward.listener()).or(tokens.egress),
        sides,
        crossing: tokens.noted.crossing.filter(|_| in_dialog),
        media: tokens.noted.media.filter(|_| in_dialog),
        privacy: tokens.noted.privacy.filter(|_| in_dialog),
        onward,
        hidden,
        request: Arc::new(request),
    }
}

/// Whether who is in a hidden dialog names somebody at the other side by himself: all that he has been told is sealed.
#[cold]
fn names_hidden_host(request: &Message, contact: &ContactToken) -> bool {
    let is_sip = Uri::parse(request.request_uri()).is_some_and(|uri| uri.is_sip() || uri.is_sips());
    is_sip && matches!(contact, ContactToken::None)
}

/// Takes our Route values out, and the Contact of ours that the Request-URI is; none if there are none.
fn take_out_own(request: &Message, tokens: &mut Tokens, own: &OwnNames, keys: &KeyRing) -> (Option<Bytes>, ContactToken) {
    // What a strict router's Request-URI has unfolded to is visited as it is, whoever wrote it.
    let routes = if tokens.hidden == Sealed::Nothing { own_routes(request, own, keys) } else { SmallVec::new() };
    let is_sealed = hiding::is_sealed(request.request_uri());
    let contact = if is_sealed && tokens.hidden == Sealed::Nothing && goes_on(request, &routes) {
        // It is for another pass through here, and not for who comes before that.
        ContactToken::None
    } else {
        let is_proved = || tokens.dialog.iter().any(Option::is_some) || routes.iter().any(|(_, route)| route.dialog.is_some());
        // Only what is sealed is of a dialog.
        let kind = if is_sealed && is_proved() && request.to_tag().is_some() { RequestKind::InDialog } else { RequestKind::Initial };
        contact_token(request, kind, own, keys)
    };
    (without_own(request, &routes, &contact, tokens, keys), contact)
}

fn without_own(request: &Message, routes: &OwnRoutes<'_>, contact: &ContactToken, tokens: &mut Tokens, keys: &KeyRing) -> Option<Bytes> {
    tokens.has_route_of_sender = matches!(contact, ContactToken::Genuine(_)) && goes_on(request, routes);
    let (original, paths) = stands_for(contact);
    if routes.is_empty() && original.is_none() {
        return None;
    }
    let mut splice = request.splice();
    if let Some(original) = original {
        splice.set_request_uri(original.clone());
    }
    if let Some(paths) = paths.filter(|_| !tokens.has_route_of_sender) {
        splice.append(b"Route", paths.clone());
    }
    for (index, (value, route)) in routes.iter().enumerate() {
        if route.has_more()
            && let Some(uri) = NameAddr::parse(value.bytes).and_then(|address| address.uri_parsed())
        {
            let noted = token::noted(&uri, request, keys);
            if tokens.noted.is_of_another_pass(&noted) {
                break;
            }
            tokens.note_more(noted);
        }
        tokens.note(index, route);
        // Only our own word says where to send from: anybody can write our address twice.
        if index > 0 && tokens.dialog.iter().all(Option::is_some) {
            tokens.egress = route.listener;
        }
        tokens.note_sealed(&route.unfolded);
        match &route.unfolded {
            Unfolded::Routes(theirs) => splice.replace_value(value, Bytes::clone(theirs)),
            Unfolded::Nothing | Unfolded::Refused => splice.remove_value(value),
        }
    }
    // Ours is the last that who is on one side knows. With one of his own behind it he would be told what is hidden.
    let is_hidden = tokens.hidden == Sealed::Unfolded || tokens.noted.crossing.is_some();
    if is_hidden && !routes.is_empty() && goes_on(request, routes) {
        tokens.hidden = Sealed::Refused;
    }
    Some(splice.finish())
}

/// Whether there are Route values behind ours.
fn goes_on(request: &Message, ours: &OwnRoutes<'_>) -> bool {
    request.values(&Name::Route).nth(ours.len()).is_some()
}

/// The URI that a Contact of ours stands for, and the Route values on the way there.
fn stands_for(contact: &ContactToken) -> (Option<&Bytes>, Option<&Bytes>) {
    match contact {
        ContactToken::Genuine(contact) => {
            let StandsFor { original, paths, .. } = &**contact;
            (Some(original), (!paths.is_empty()).then_some(paths))
        }
        ContactToken::Stands(original) => (Some(&**original), None),
        ContactToken::None | ContactToken::Forged | ContactToken::Unknown => (None, None),
    }
}

/// What has become of the sealed routes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sealed {
    #[default]
    Nothing,
    Unfolded,
    Refused,
}

/// The tokens of a request: those of our two Record-Routes, and the one of our Path.
#[derive(Default)]
struct Tokens {
    dialog: [Option<Token>; 2],
    noted: NotedSides,
    flow: FlowToken,
    /// The listener that the second of them names.
    egress: Option<ListenerId>,
    hidden: Sealed,
    /// There are Route values beside ours.
    has_route_of_sender: bool,
}

impl Tokens {
    /// Takes those of a Route in, the topmost being number 0. A strict router's Request-URI stood above them all.
    fn note(&mut self, index: usize, route: &OwnUri) {
        self.dialog = if index == 0 { [route.dialog.or(self.dialog[0]), None] } else { [self.dialog[0], route.dialog] };
        if self.flow == FlowToken::None {
            self.flow = route.flow;
        }
    }

    fn note_sealed(&mut self, unfolded: &Unfolded) {
        self.hidden = match (self.hidden, unfolded) {
            (_, Unfolded::Refused) => Sealed::Refused,
            (Sealed::Nothing, Unfolded::Routes(_)) => Sealed::Unfolded,
            (sealed, Unfolded::Routes(_) | Unfolded::Nothing) => sealed,
        };
    }

    /// The topmost is next to where the request comes from, the last to where it goes.
    fn note_more(&mut self, noted: NotedSides) {
        let NotedSides { to, from, crossing, media, privacy } = self.noted;
        let (crossing, media, privacy) = (crossing.or(noted.crossing), media.or(noted.media), privacy.or(noted.privacy));
        self.noted = NotedSides { to: noted.to.or(to), from: from.or(noted.from), crossing, media, privacy };
    }
}

/// Our Route values on top of a request.
type OwnRoutes<'m> = SmallVec<[(Value<'m>, OwnUri); 2]>;

/// What a URI of ours says.
struct OwnUri {
    listener: Option<ListenerId>,
    dialog: Option<Token>,
    flow: FlowToken,
    unfolded: Unfolded,
}

impl NotedSides {
    /// Whether others speak of a side that these speak of already, or of media as these do. The two Routes of one pass through here say of each side once who is there. Where
    /// it is said twice, the dialog has passed twice, to a trunk each time; each pass has its own numbers, and so the request comes round for
    /// the second.
    fn is_of_another_pass(&self, others: &Self) -> bool {
        let twice_relayed = self.media.is_some() && others.media.is_some();
        (self.to.is_some() && others.to.is_some()) || (self.from.is_some() && others.from.is_some()) || twice_relayed
    }

    /// None where there are none.
    fn sides(&self) -> Option<Box<Sides>> {
        let to = self.to.map(|noted| noted.trunk);
        // The number is that of an INVITE of the caller's.
        let retried = self.to.and_then(|noted| noted.retried.filter(|_| noted.side == Side::Callee));
        (to.is_some() || self.from.is_some()).then(|| Box::new(Sides { to, from: self.from, retried }))
    }
}

impl OwnUri {
    fn has_more(&self) -> bool {
        self.dialog.is_some_and(|token| token.has_more)
    }

    /// None if it is not ours: its host and port name no listener and no domain of this proxy. A peer may have put another port there,
    /// that of a connection for instance, or the listener may be gone; then our token shows whose it is.
    fn read(uri: &Uri<'_>, request: &Message, own: &OwnNames, keys: &KeyRing) -> Option<Self> {
        let listener = own.listener_at(uri);
        let at_home = listener.is_some() || own.owns_domain(uri);
        if !at_home && !own.owns_host(uri) {
            return None;
        }
        let dialog = token::verify_parameter(uri, request, keys);
        // Where something is hidden, the token of the dialog notes that.
        let unfolded = match dialog {
            Some(Token { has_more: false, .. }) => Unfolded::Nothing,
            dialog => hiding::unfolded(uri, request, dialog.map(|token| token.side), own.seals()),
        };
        let read = Self { listener, dialog, flow: token::verify_flow(uri, keys), unfolded };
        let is_proved = read.dialog.is_some() || matches!(read.flow, FlowToken::Genuine(_)) || read.unfolded != Unfolded::Nothing;
        (at_home || is_proved).then_some(read)
    }
}

/// Whether the Request-URI can have parameters at all. Most have none, and then there is neither `lr` nor `maddr` to look for.
fn has_uri_params(request: &Message) -> bool {
    request.request_uri().contains(&b';')
}

/// Our Route values on top: one, or two where the dialog crosses listeners. One that unfolds is a whole pass through here.
fn own_routes<'m>(request: &'m Message, own: &OwnNames, keys: &KeyRing) -> OwnRoutes<'m> {
    let is_whole_pass = Cell::new(false);
    let ours = |value: Value<'m>| {
        if is_whole_pass.get() {
            return None;
        }
        let uri = NameAddr::parse(value.bytes)?.uri_parsed()?;
        OwnUri::read(&uri, request, own, keys).map(|read| {
            is_whole_pass.set(read.unfolded != Unfolded::Nothing);
            (value, read)
        })
    };
    request.values(&Name::Route).map_while(ours).take(2).collect()
}

/// A strict router upstream has put our URI, of Record-Route or Path, into the Request-URI and the Request-URI into the last Route: they
/// change back. What the URI of ours says comes back with it.
fn repair_strict_route(request: &Message, own: &OwnNames, keys: &KeyRing) -> Option<(Bytes, OwnUri)> {
    let uri = Uri::parse(request.request_uri())?;
    uri.param(b"lr")?;
    let mut read = OwnUri::read(&uri, request, own, keys)?;
    let last = request.values(&Name::Route).last()?;
    let target = NameAddr::parse(last.bytes)?.uri();
    let mut splice = request.splice();
    splice.set_request_uri(Bytes::copy_from_slice(target));
    splice.remove_value(&last);
    if read.unfolded != Unfolded::Nothing && request.values(&Name::Route).nth(1).is_some() {
        read.unfolded = Unfolded::Refused;
    }
    if let Unfolded::Routes(theirs) = &read.unfolded {
        splice.prepend(Name::Route, Bytes::clone(theirs));
    }
    Some((splice.finish(), read))
}

/// A `maddr` that names us, at the port and transport the request could have come by, is stripped with them.
fn strip_own_maddr(request: &Message, own: &OwnNames) -> Option<Bytes> {
    let uri = Uri::parse(request.request_uri())?;
    let maddr = uri.param(b"maddr").flatten()?;
    let transport = transport_of(&uri);
    own.listener_at_address(maddr, uri.port().unwrap_or(transport.default_port()), transport)?;
    let mut stripped = uri_without_param(request.request_uri(), b"maddr");
    stripped = uri_without_param(&stripped, b"transport");
    if let Some(port) = uri.port() {
        stripped = without_port(&stripped, port)?;
    }
    let mut splice = request.splice();
    splice.set_request_uri(stripped);
    Some(splice.finish())
}

/// The URI without `:port` after its host.
fn without_port(uri: &[u8], port: u16) -> Option<Bytes> {
    let parsed = Uri::parse(uri)?;
    let host_start = (parsed.host().as_ptr() as usize).checked_sub(uri.as_ptr() as usize)?;
    let host_end = host_start + parsed.host().len();
    let (head, tail) = uri.split_at_checked(host_end)?;
    let written = tail.strip_prefix(b":")?;
    let digits = written.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = written.split_at_checked(digits)?;
    let same = std::str::from_utf8(number).ok()?.parse::<u16>().ok()? == port;
    same.then(|| Bytes::from([head, rest].concat()))
}

/// What we have just written is a message again; if it were not, the one before stays.
fn reparse(bytes: Bytes, before: Message) -> Message {
    before.edited(bytes).unwrap_or(before)
}
