//! The client's side: what a challenged request has to carry when it is sent again (RFC 3261 22.2, 22.3).

use std::fmt;

use bytes::Bytes;
use jackfield_proto::message::{Message, Name};
use jackfield_proto::proxy::Edit;

use crate::account::Account;
use crate::algorithm::{Algorithm, Hash};
use crate::challenge::{Challenge, Offer};
use crate::credentials;
use crate::digest::{Counted, Qop, Signed, secret};
use crate::fields::{Found, replaced, values, without};

/// Challenges of one request that are answered: the first, and one more for a nonce that was stale or for a realm further on. So there is
/// no loop, whatever the servers say.
pub const MAX_ANSWERS: u32 = 2;

/// Characters of a realm that are shown.
const MAX_SHOWN: usize = 64;

/// A request that has been challenged.
#[derive(Clone, Copy, Debug)]
pub struct Challenged<'a> {
    /// The request as received.
    pub request: &'a Message,
    /// Its Request-URI as it was sent.
    pub uri: &'a [u8],
    /// The 401 or 407.
    pub response: &'a Message,
    /// How many challenges have been answered before this one.
    pub answered: u32,
    /// The edits that it was sent with: what [`answer`] has given for the one before among them, and what has been taken out of it.
    pub previous: &'a [Edit],
}

/// Why a challenge is not answered. It prints as one line for the log; what comes from the network is escaped and short there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GiveUp {
    /// There is no challenge of the Digest scheme.
    #[error("the response holds no Digest challenge")]
    NoChallenge,
    /// The account is for another realm.
    #[error("the challenge is for realm {}, the account for {}", List(theirs), List(std::slice::from_ref(ours)))]
    WrongRealm {
        /// The account's.
        ours: String,
        /// Those that ask.
        theirs: Vec<String>,
    },
    /// No algorithm or no qop that we have.
    #[error("realm {} offers only {}", List(std::slice::from_ref(realm)), List(offered))]
    NoAlgorithm {
        /// Who asks.
        realm: String,
        /// What for: algorithms, with the qop where that is the matter.
        offered: Vec<String>,
    },
    /// The credentials have been refused.
    #[error("realm {} has refused the user name or the password", List(std::slice::from_ref(realm)))]
    Refused {
        /// By whom.
        realm: String,
    },
    /// So many have been answered, and there is still one more.
    #[error("challenged again after {answered} answers")]
    TooOften {
        /// How many.
        answered: u32,
    },
}

/// Names in an error.
struct List<'a>(&'a [String]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let shown: String = name.chars().take(MAX_SHOWN).collect();
            write!(f, "{}`{}`", if index > 0 { ", " } else { "" }, shown.escape_debug())?;
        }
        Ok(())
    }
}

/// The edits of a challenged request that give it credentials for every challenge that the account fits. For each realm the first challenge
/// counts that we can answer: the server has put them in its order (RFC 8760 2.4). Credentials of the sender for other realms stay.
///
/// The edits say everything about the fields that they name, so that they hold whether or not those given before were applied too.
/// `cnonce` has to be new each time, and hard to guess.
pub fn answer(account: &Account, challenged: Challenged<'_>, cnonce: &str) -> Result<Vec<Edit>, GiveUp> {
    let all = Challenge::all_of(challenged.response);
    let mut asking: Vec<&Challenge> = Vec::new();
    for challenge in all.iter().filter(|challenge| fits(account, challenge)) {
        let known = asking.iter_mut().find(|known| known.header == challenge.header && known.realm == challenge.realm);
        match known {
            None => asking.push(challenge),
            Some(known) if algorithm(known).is_none() => *known = challenge,
            Some(_) => {}
        }
    }
    if asking.is_empty() {
        return Err(nobody_fits(account, &all));
    }
    if challenged.answered >= MAX_ANSWERS {
        return Err(GiveUp::TooOften { answered: challenged.answered });
    }
    let mut edits = Vec::new();
    for header in [Name::Authorization, Name::ProxyAuthorization] {
        let asking: Vec<&Challenge> = asking.iter().filter(|challenge| challenge.answered_in() == header).copied().collect();
        edits.extend(credit(account, &challenged, header, &asking, &all, cnonce)?);
    }
    Ok(edits)
}

/// The edits of one header field.
fn credit(
    account: &Account,
    challenged: &Challenged<'_>,
    header: Name<'static>,
    asking: &[&Challenge],
    all: &[Challenge],
    cnonce: &str,
) -> Result<Vec<Edit>, GiveUp> {
    let before = before(challenged, header);
    let is_asked = |realm: &[u8]| asking.iter().any(|challenge| challenge.realm == realm);
    let mut ours = Vec::new();
    for challenge in asking {
        let known = without(&before, |realm| challenge.realm == realm).found == Found::Yes;
        if challenged.answered > 0 && known && !challenge.stale {
            return Err(GiveUp::Refused { realm: text(&challenge.realm) });
        }
        let Some((algorithm, qop)) = algorithm(challenge) else { return Err(no_algorithm(challenge, all)) };
        ours.push(sign(account, challenged, challenge, algorithm, qop, cnonce));
    }
    let kept = without(&before, is_asked);
    let again = challenged.previous.iter().any(|edit| names(edit, header));
    Ok(match (kept.found, again) {
        (Found::No, false) => ours.into_iter().map(|value| Edit::Add(Bytes::from_static(header.as_bytes()), value)).collect(),
        _ => replaced(header, kept.others.into_iter().chain(ours)),
    })
}

fn names(edit: &Edit, header: Name<'_>) -> bool {
    match edit {
        Edit::Add(name, _) | Edit::Set(name, _) | Edit::Remove(name) => Name::from_bytes(name) == header,
        Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => false,
    }
}

/// The fields of this name that the challenged request had.
fn before(challenged: &Challenged<'_>, header: Name<'static>) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = values(challenged.request, header).iter().map(|value| value.to_vec()).collect();
    for edit in challenged.previous.iter().filter(|edit| names(edit, header)) {
        match edit {
            Edit::Remove(_) => fields.clear(),
            Edit::Set(_, value) => fields = vec![value.to_vec()],
            Edit::Add(_, value) => fields.push(value.to_vec()),
            Edit::SetUriParam(..) | Edit::RemoveUriParam(_) => {}
        }
    }
    fields
}

fn fits(account: &Account, challenge: &Challenge) -> bool {
    account.realm.as_ref().is_none_or(|realm| challenge.realm == realm.as_bytes())
}

/// What to answer a challenge with: the algorithm, and the qop where one is offered. `auth` goes before `auth-int`, as a body that is
/// protected may be changed by nobody on the way, this proxy included.
fn algorithm(challenge: &Challenge) -> Option<(Algorithm, Option<Qop>)> {
    let qop = match challenge.offer {
        Offer::None => None,
        Offer::Auth => Some(Qop::Auth),
        Offer::AuthInt => Some(Qop::AuthInt),
        Offer::Unknown => return None,
    };
    Some((challenge.known_algorithm()?, qop))
}

fn sign(
    account: &Account,
    challenged: &Challenged<'_>,
    challenge: &Challenge,
    algorithm: Algorithm,
    qop: Option<Qop>,
    cnonce: &str,
) -> Bytes {
    let needs_cnonce = qop.is_some() || matches!(algorithm.scope, crate::Scope::Session);
    let signed = Signed {
        algorithm,
        nonce: &challenge.nonce,
        // Every answer is to a new nonce, so that it is always the first with it.
        counted: qop.map(|qop| Counted { qop, nc: b"00000001" }),
        cnonce: if needs_cnonce { cnonce.as_bytes() } else { b"" },
        method: challenged.request.method().as_bytes(),
        uri: challenged.uri,
        body: challenged.request.body(),
    };
    let secret = secret(algorithm.hash, account.username.as_bytes(), &challenge.realm, account.password.as_bytes());
    credentials::write(&account.username, challenge, &signed, &signed.response(&secret))
}

fn nobody_fits(account: &Account, all: &[Challenge]) -> GiveUp {
    match &account.realm {
        Some(ours) if !all.is_empty() => {
            let mut theirs: Vec<String> = all.iter().map(|challenge| text(&challenge.realm)).collect();
            theirs.dedup();
            GiveUp::WrongRealm { ours: ours.clone(), theirs }
        }
        _ => GiveUp::NoChallenge,
    }
}

fn no_algorithm(asking: &Challenge, all: &[Challenge]) -> GiveUp {
    let same = all.iter().filter(|challenge| challenge.header == asking.header && challenge.realm == asking.realm);
    let offered = same.map(|challenge| {
        let name = challenge.algorithm.as_ref().map_or_else(|| Hash::Md5.name().to_owned(), |name| text(name));
        if challenge.offer == Offer::Unknown { format!("{name} with an unknown qop") } else { name }
    });
    GiveUp::NoAlgorithm { realm: text(&asking.realm), offered: offered.collect() }
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
