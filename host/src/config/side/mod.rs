//! What `[listen.NAME]` and `[trunk.NAME]` say of what crosses from them to other sides: `media`, `media-profile`, `hide` and `identity`.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use jackfield_proto::proxy::{Border, Extent, Hiding, SideId, Towards, Trust};
use jackfield_trunk::{Relaying, SideMedia, TrunkSettings};
use toml::de::DeValue;

use super::host::parse_host;
use super::identity;
use super::reader::{Item, Section, nearest};
use super::{Listen, Trunk};

/// Keys of the table `hide`.
const HIDE_KEYS: [&str; 4] = ["towards", "call-id", "clean", "host"];

/// What a file has under the names that others use for it. It is gathered before anything else is read, since listeners may name trunks and
/// trunks listeners.
#[derive(Debug, Default)]
pub(super) struct Names {
    listeners: Vec<String>,
    trunks: Vec<String>,
    profiles: Vec<String>,
    /// Whether there is a media relay.
    relays: bool,
}

/// Which side a table is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Own<'a> {
    /// `[listen.NAME]`.
    Listener(&'a str),
    /// `[trunk.NAME]`.
    Trunk(&'a str),
}

impl Own<'_> {
    fn side(self) -> SideId {
        match self {
            Self::Listener(name) => SideId::of_listener(name),
            Self::Trunk(name) => SideId::of_trunk(name),
        }
    }
}

impl Names {
    /// Those of a document.
    pub(super) fn of(root: &Section<'_, '_>) -> Self {
        let media = |key| match root.item("media").as_ref().map(|item| item.value.get_ref()) {
            Some(DeValue::Table(table)) => table.get(key).map(|value| keys(value.get_ref())).unwrap_or_default(),
            _ => Vec::new(),
        };
        let named = |key| root.item(key).map(|item| keys(item.value.get_ref())).unwrap_or_default();
        Self { listeners: named("listen"), trunks: named("trunk"), profiles: media("profile"), relays: !media("relay").is_empty() }
    }

    /// The sides that a list names.
    fn towards(&self, list: &Item<'_, '_>, own: Own<'_>) -> Towards {
        let mut sides: Vec<SideId> = Vec::new();
        let items = list.list().unwrap_or_default();
        if items.is_empty() {
            list.error("names no side; write at least one listener or trunk, like [\"wan\"], or remove the key");
        }
        for item in items {
            let Some(name) = item.string() else { continue };
            let found = self.sides_named(name);
            if found.is_empty() {
                let known: Vec<&str> = self.listeners.iter().chain(&self.trunks).map(String::as_str).collect();
                let hint = nearest(name, &known)
                    .map_or_else(|| format!("there are: {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
                item.error(format!("there is no listener or trunk `{name}`; {hint}"));
            } else if found == [own.side()] {
                item.error(format!("`{name}` is this side itself, and this is about others; remove it"));
            } else if found.iter().any(|side| sides.contains(side)) {
                item.error(format!("`{name}` is here twice; remove one"));
            } else {
                sides.extend(found.into_iter().filter(|side| *side != own.side()));
            }
        }
        Towards::Sides(sides)
    }

    /// A listener and a trunk may have the same name, and then it stands for both.
    fn sides_named(&self, name: &str) -> Vec<SideId> {
        let has = |names: &[String]| names.iter().any(|known| known == name);
        let listener = has(&self.listeners).then(|| SideId::of_listener(name));
        listener.into_iter().chain(has(&self.trunks).then(|| SideId::of_trunk(name))).collect()
    }
}

fn keys(value: &DeValue<'_>) -> Vec<String> {
    match value {
        DeValue::Table(table) => table.iter().map(|(key, _)| key.get_ref().to_string()).collect(),
        _ => Vec::new(),
    }
}

/// `media` and `media-profile` of a table.
pub(super) fn media(section: &Section<'_, '_>, own: Own<'_>, names: &Names) -> SideMedia {
    SideMedia {
        relay: section.item("media").and_then(|item| relaying(&item, own, names)),
        profile: section.item("media-profile").and_then(|item| profile(&item, names)),
    }
}

fn relaying(item: &Item<'_, '_>, own: Own<'_>, names: &Names) -> Option<Relaying> {
    let relaying = match item.value.get_ref() {
        DeValue::Array(_) => Relaying::Crossing(names.towards(item, own)),
        DeValue::String(name) if !names.sides_named(name).is_empty() && !WORDS.iter().any(|(word, _)| word == name) => {
            item.error(format!("sides are written as a list: [\"{name}\"]"));
            return None;
        }
        DeValue::String(_) => item.word(&WORDS)?(),
        _ => return item.wrong_type("\"direct\", \"relay\", \"always\", or a list of sides like [\"wan\"]"),
    };
    if relaying != Relaying::Direct && !names.relays {
        item.error("there is no media relay; add a table [media.relay.one] with address = \"127.0.0.1:22222\"");
    }
    Some(relaying)
}

type Made = fn() -> Relaying;

/// What `media` may be beside a list.
const WORDS: [(&str, Made); 3] =
    [("direct", || Relaying::Direct), ("relay", || Relaying::Crossing(Towards::Others)), ("always", || Relaying::Always)];

fn profile(item: &Item<'_, '_>, names: &Names) -> Option<Arc<str>> {
    let name = item.string()?;
    if names.profiles.iter().any(|known| known == name) {
        return Some(name.into());
    }
    let known: Vec<&str> = names.profiles.iter().map(String::as_str).collect();
    let hint = nearest(name, &known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    item.error(format!("there is no [media.profile.{name}]{hint}"));
    None
}

/// What a listener says about its border; none where it says nothing.
pub(super) fn border_of_listener(section: &Section<'_, '_>, name: &str, names: &Names) -> Option<Arc<Border>> {
    let own = Own::Listener(name);
    let (hiding, identity) = (said(section, own, names), identity::of_listener(section));
    let says_something = hiding.is_some() || identity.is_some();
    says_something.then(|| Arc::new(Border { side: own.side(), hiding: hiding.flatten(), identity }))
}

/// What a trunk says about its border; none where it says nothing, and its requests cross that of the listener which they leave from. What it
/// leaves out is as those listeners have it.
pub(super) fn border_of_trunk(
    section: &Section<'_, '_>,
    settings: &TrunkSettings,
    names: &Names,
    listen: &[Listen],
) -> Option<Arc<Border>> {
    let own = Own::Trunk(&settings.name);
    let (hiding, identity) = (said(section, own, names), identity::read(section));
    if hiding.is_none() && identity.is_none() {
        return None;
    }
    let inherited = inherited(settings, listen);
    let (hiding, identity) = (hiding.unwrap_or(inherited.hiding), identity.or(inherited.identity));
    Some(Arc::new(Border { side: inherited.side, hiding, identity }))
}

/// `hide`: none where it is not there, and in it none where nothing is hidden.
fn said(section: &Section<'_, '_>, own: Own<'_>, names: &Names) -> Option<Option<Hiding>> {
    let item = section.item("hide")?;
    match item.value.get_ref() {
        DeValue::Boolean(true) => Some(Some(Hiding::default())),
        DeValue::Boolean(false) => Some(None),
        DeValue::Array(_) => Some(Some(Hiding { towards: names.towards(&item, own), ..Hiding::default() })),
        DeValue::Table(_) => Some(Some(hiding(&item.section(&HIDE_KEYS)?, own, names))),
        _ => item.wrong_type("true, false, a list of sides like [\"wan\"], or a table like { towards = [\"wan\"], clean = [\"from\"] }"),
    }
}

fn hiding(table: &Section<'_, '_>, own: Own<'_>, names: &Names) -> Hiding {
    let towards = table.item("towards").and_then(|item| match item.value.get_ref() {
        DeValue::Boolean(true) => Some(Towards::Others),
        DeValue::Array(_) => Some(names.towards(&item, own)),
        _ => item.wrong_type("true for all other sides, or a list of sides like [\"wan\"]"),
    });
    let mut extent = clean(table);
    extent.call_id = table.item("call-id").and_then(|item| item.truth()).unwrap_or_default();
    let host = table.item("host");
    if let Some(item) = host.as_ref().filter(|_| table.item("clean").is_none()) {
        item.warning("has no effect: it stands in the place of hosts that `clean` names, and there is no clean");
    }
    let host = host.and_then(|item| {
        let text = item.string()?;
        let host = parse_host(text);
        if host.is_none() {
            item.error(format!("`{text}` is no host; write a name or an address alone, like \"border.example.com\""));
        }
        host.map(Arc::from)
    });
    Hiding { towards: towards.unwrap_or_default(), extent, host }
}

type Part = fn(&mut Extent) -> &mut bool;

fn clean(table: &Section<'_, '_>) -> Extent {
    let mut extent = Extent::default();
    for item in table.item("clean").iter().filter_map(|list| list.strings()).flatten() {
        let words: [(&str, Part); 4] = [
            ("from", |extent| &mut extent.from),
            ("to", |extent| &mut extent.to),
            ("origin", |extent| &mut extent.origin),
            ("identity", |extent| &mut extent.identity),
        ];
        let Some(part) = item.word(&words).map(|part| part(&mut extent)) else { continue };
        if std::mem::replace(part, true) {
            item.error(format!("`{}` is here twice; remove one", item.string().unwrap_or_default()));
        }
    }
    extent
}

/// The listeners that requests of a trunk can leave from: all, where a way names none.
fn listeners_of<'l>(settings: &TrunkSettings, listen: &'l [Listen]) -> Vec<&'l Listen> {
    let leaves_anywhere = settings.ways.is_empty() || settings.ways.iter().any(|way| way.egress.is_none());
    let names = |listen: &&Listen| settings.ways.iter().any(|way| way.egress.as_deref() == Some(&*listen.name));
    listen.iter().filter(|listen| leaves_anywhere || names(listen)).collect()
}

/// The border of a trunk that is a side of its own and says nothing: as its listeners have it. What any of them hides is hidden, and it is
/// trusted no more than any of them, so that a trunk which is named in a list never shows more than before.
fn inherited(settings: &TrunkSettings, listen: &[Listen]) -> Border {
    let side = SideId::of_trunk(&settings.name);
    let borders: Vec<&Border> = listeners_of(settings, listen).into_iter().filter_map(|listen| listen.border.as_deref()).collect();
    let mut hiding = borders.iter().filter_map(|border| border.hiding.clone()).reduce(both);
    if let Some(Hiding { towards: Towards::Sides(sides), .. }) = &mut hiding {
        sides.retain(|listed| *listed != side);
    }
    let hiding = hiding.filter(|hiding| hiding.towards != Towards::Sides(Vec::new()));
    let identities = borders.iter().filter_map(|border| border.identity.as_ref());
    let identity = identities.min_by_key(|identity| identity.trust == Trust::Trusted);
    Border { side, hiding, identity: identity.cloned() }
}

/// What the one or the other hides, from whomever.
fn both(one: Hiding, other: Hiding) -> Hiding {
    let towards = match (one.towards, other.towards) {
        (Towards::Sides(mut sides), Towards::Sides(more)) => {
            sides.extend(more);
            Towards::Sides(sides)
        }
        (Towards::Others, _) | (_, Towards::Others) => Towards::Others,
    };
    Hiding { towards, extent: one.extent.with(other.extent), host: one.host.or(other.host) }
}

/// Makes of what each side says by itself what the core compares: every side that another may hide from has a border, a trunk that a list
/// names is a side of its own, and a listener's name in a list stands for such trunks behind it too.
pub(super) fn settle(listen: &mut [Listen], trunks: &mut [Trunk]) {
    let says_something = |border: &Arc<Border>| border.hiding.is_some() || border.identity.is_some();
    if !borders(listen, trunks).any(says_something) {
        return clear(listen, trunks);
    }
    let named: BTreeSet<SideId> = borders(listen, trunks).flat_map(|border| listed(border).iter().copied()).collect();
    for trunk in trunks.iter_mut().filter(|trunk| trunk.settings.border.is_none()) {
        let settings = &mut trunk.settings;
        if named.contains(&SideId::of_trunk(&settings.name)) {
            settings.border = Some(Arc::new(inherited(settings, listen)));
        }
    }
    let own_sides = trunks.iter().filter(|trunk| trunk.settings.border.is_some());
    let behind: Vec<(SideId, SideId)> = own_sides
        .flat_map(|trunk| {
            let side = SideId::of_trunk(&trunk.settings.name);
            listeners_of(&trunk.settings, listen).into_iter().map(move |listen| (SideId::of_listener(&listen.name), side))
        })
        .collect();
    for listen in listen.iter_mut() {
        let side = SideId::of_listener(&listen.name);
        let border = listen.border.get_or_insert_with(|| Arc::new(Border { side, ..Border::default() }));
        widen(border, &behind);
    }
    trunks.iter_mut().filter_map(|trunk| trunk.settings.border.as_mut()).for_each(|border| widen(border, &behind));
}

fn clear(listen: &mut [Listen], trunks: &mut [Trunk]) {
    listen.iter_mut().for_each(|listen| listen.border = None);
    trunks.iter_mut().for_each(|trunk| trunk.settings.border = None);
}

fn borders<'a>(listen: &'a [Listen], trunks: &'a [Trunk]) -> impl Iterator<Item = &'a Arc<Border>> {
    let of_listeners = listen.iter().filter_map(|listen| listen.border.as_ref());
    of_listeners.chain(trunks.iter().filter_map(|trunk| trunk.settings.border.as_ref()))
}

fn listed(border: &Border) -> &[SideId] {
    match border.hiding.as_ref().map(|hiding| &hiding.towards) {
        Some(Towards::Sides(sides)) => sides,
        Some(Towards::Others) | None => &[],
    }
}

/// Adds to a list the trunks behind the listeners in it.
fn widen(border: &mut Arc<Border>, behind: &[(SideId, SideId)]) {
    let sides = listed(border);
    let of_listed = behind.iter().filter(|(listener, _)| sides.contains(listener)).map(|(_, trunk)| *trunk);
    let more: BTreeSet<SideId> = of_listed.filter(|trunk| *trunk != border.side && !sides.contains(trunk)).collect();
    if more.is_empty() {
        return;
    }
    if let Some(Hiding { towards: Towards::Sides(sides), .. }) = &mut Arc::make_mut(border).hiding {
        sides.extend(more);
    }
}
