//! REGISTER with the account of the trunk: whether the provider believes us.
//!
//! ```text
//!   without Contact (RFC 3261 10.2.3: only asks) --401, 407--> answered --200--> nobody is registered: a binding of our own, and its end
//!                                                                          \--> somebody is: his binding is left alone
//! ```
//!
//! Many providers keep one binding for each account. One of the doctor's would put the PBX's out, so that it is made only where there is
//! none. Some registrars answer the question without a list, though (10.3 item 8 wants one): that none is listed is not enough. The running
//! proxy has to know of none either, or, where none runs, the operator to have named the address of record.

use bytes::Bytes;
use jackfield_auth::{Account, Challenge, Challenged, GiveUp, MAX_ANSWERS, Offer, answer};
use jackfield_proto::message::{Framing, Limits, Message, Name};
use jackfield_proto::proxy::Edit;

use crate::finding::{Kind, Report};
use crate::link::Outcome;
use crate::options;
use crate::outgoing::{Binding, Errand, Registering, Wish, address_of_record, token};
use crate::subject::{Registered, Subject};
use crate::visit::Open;
use crate::wording;

/// How long the doctor's own binding is to last, in seconds, if it cannot be removed.
const EXPIRES: u32 = 60;

/// The longest time that is agreed to where the provider wants a longer one (423).
const EXPIRES_MAX: u32 = 7200;

/// Challenges of one response that are shown.
const CHALLENGES: usize = 6;

/// Tries to register.
pub(crate) async fn attempt(open: &mut Open<'_>, report: &mut Report<'_>) {
    let subject = open.place.subject;
    let Some(account) = subject.account.clone() else {
        let what = format!(
            "no REGISTER is sent: trunk.{} has no credentials; the PBX registers itself, or the provider knows us by address",
            subject.trunk
        );
        report.note(Kind::NotTried, what);
        return;
    };
    let binding = Binding::new();
    let mut attempt = Attempt { open, account: &account, binding: &binding, cseq: 0, answers: 0 };
    match attempt.register(Wish::List, report).await {
        Ended::With(response) if response.status() < 300 => {
            let bindings = response.values(&Name::Contact).count();
            let proved = if attempt.answers == 0 { "without being asked for credentials" } else { "the credentials are right" };
            if bindings > 0 {
                let what =
                    format!("REGISTER is answered {}: {proved}; {bindings} registered there, left alone", wording::status(&response));
                report.good(Kind::Registered, what);
            } else if let Some(risk) = Risk::of(subject) {
                let what = format!("REGISTER is answered {}: {proved}; it lists no registration", wording::status(&response));
                report.good(Kind::Registered, what);
                risk.tell(report);
            } else {
                attempt.bind(proved, report).await;
            }
        }
        // 10.2.3 is not everybody's: some want a Contact in each REGISTER.
        Ended::With(response) if matches!(response.status(), 400 | 405 | 420 | 501) => match Risk::of(subject) {
            Some(risk) => risk.tell(report),
            None => attempt.bind("it wants a Contact in each", report).await,
        },
        Ended::With(response) => attempt.refused(&response, report),
        Ended::Told => {}
    }
}

/// Why a binding of the doctor's own might put out that of a PBX.
enum Risk<'s> {
    /// So many are registered through the running proxy.
    Live(usize, &'s Subject),
    /// Nobody knows.
    Unknown,
}

impl<'s> Risk<'s> {
    /// None if there is none, or the operator has taken it.
    fn of(subject: &'s Subject) -> Option<Self> {
        match subject.registered {
            Registered::Live(count) => Some(Self::Live(count, subject)),
            Registered::Unknown if subject.aor.is_none() => Some(Self::Unknown),
            Registered::Unknown | Registered::Nobody => None,
        }
    }

    fn tell(&self, report: &mut Report<'_>) {
        let risk = "a registrar that keeps one for each account would put the PBX out";
        match self {
            Self::Live(count, subject) => {
                let what =
                    format!("no registration of the doctor's own is made: through trunk.{} there are {count}, and {risk}", subject.trunk);
                report.note(Kind::NotTried, what);
            }
            Self::Unknown => {
                let what =
                    format!("no registration of the doctor's own is made: no proxy runs that knows whether there is one, and {risk}");
                report.advise(Kind::NotTried, what, "if the PBX is not registered, or not by this address of record, name it with --aor");
            }
        }
    }
}

/// How a REGISTER has ended.
enum Ended {
    /// With this response, which is no challenge.
    With(Box<Message>),
    /// Otherwise, and that has been told.
    Told,
}

struct Attempt<'a, 's> {
    open: &'a mut Open<'s>,
    account: &'a Account,
    binding: &'a Binding,
    cseq: u32,
    /// Challenges that have been answered.
    answers: u32,
}

impl Attempt<'_, '_> {
    /// Makes a binding, and removes it.
    async fn bind(&mut self, proved: &str, report: &mut Report<'_>) {
        let mut ended = self.register(Wish::Bind(EXPIRES), report).await;
        if let Ended::With(response) = &ended
            && let Some(least) = min_expires(response)
        {
            ended = self.register(Wish::Bind(least), report).await;
        }
        let response = match ended {
            Ended::With(response) => response,
            Ended::Told => return,
        };
        if response.status() >= 300 {
            return self.refused(&response, report);
        }
        report.good(Kind::Registered, format!("REGISTER is answered {}: {proved}", wording::status(&response)));
        let mut nobody: Vec<crate::Finding> = Vec::new();
        let removed = self.register(Wish::Remove, &mut Report::new(&mut nobody)).await;
        if !matches!(removed, Ended::With(response) if response.status() < 300) {
            let what = format!("the doctor's binding (Contact {}) could not be removed; it ends by itself", self.binding.user);
            report.note(Kind::NotRemoved, what);
        }
    }

    /// Sends a REGISTER, and answers its challenges.
    async fn register(&mut self, wish: Wish, report: &mut Report<'_>) -> Ended {
        let (mut edits, mut nonces): (Vec<Edit>, Vec<Bytes>) = (Vec::new(), Vec::new());
        for answered in 0..=MAX_ANSWERS + 1 {
            self.cseq += 1;
            let registering = Registering { binding: self.binding, wish, cseq: self.cseq, edits: &edits };
            let Some(copy) = self.open.write(&Errand::Register(&registering)) else { return Ended::Told };
            let response = match self.open.ask(&copy).await {
                Outcome::Answered(answer) => answer.response,
                Outcome::Silent { .. } => {
                    let what = format!("{} answers OPTIONS, and is silent to REGISTER", self.open.place.remote);
                    let remedy =
                        "ask the provider where to register, and from which addresses it lets one; it may ban who has failed too often";
                    report.bad(Kind::NotRegistered, what, remedy);
                    return Ended::Told;
                }
                Outcome::Broken(error) => {
                    options::broken(&error, &self.open.place, report);
                    return Ended::Told;
                }
            };
            if !matches!(response.status(), 401 | 407) {
                return Ended::With(Box::new(response));
            }
            let challenges = Challenge::all_of(&response);
            if answered == 0 && self.answers == 0 {
                report.note(Kind::Challenged, format!("REGISTER is answered {}: {}", response.status(), describe(&challenges)));
            }
            let Ok(request) = Message::parse(copy.bytes, Framing::Datagram, &Limits::default()) else { return Ended::Told };
            let challenged = Challenged { request: &request, uri: request.request_uri(), response: &response, answered, previous: &edits };
            match answer(self.account, challenged, &token()) {
                Ok(more) => edits = more,
                Err(why) => {
                    self.give_up(&why, &challenges, &nonces, report);
                    return Ended::Told;
                }
            }
            self.answers += 1;
            nonces.extend(challenges.into_iter().map(|challenge| challenge.nonce));
        }
        Ended::Told
    }

    /// Says why a challenge is not answered.
    fn give_up(&self, why: &GiveUp, challenges: &[Challenge], nonces: &[Bytes], report: &mut Report<'_>) {
        let trunk = &self.open.place.subject.trunk;
        let again = challenges.iter().any(|challenge| nonces.contains(&challenge.nonce));
        match why {
            GiveUp::WrongRealm { theirs, .. } => {
                let realm = theirs.first().map(|realm| wording::printable(realm.as_bytes())).unwrap_or_default();
                let remedy = format!("write trunk.{trunk}.realm = \"{realm}\", or leave realm out");
                report.bad(Kind::WrongRealm, format!("wrong realm: {why}"), remedy);
            }
            GiveUp::Refused { .. } => {
                let same = if again { ", with the nonce of before" } else { "" };
                let remedy = format!(
                    "correct trunk.{trunk}.username and trunk.{trunk}.password-file; the user name of the credentials may be another than the number"
                );
                report.bad(Kind::WrongPassword, format!("wrong user name or password: it is asked for again{same}"), remedy);
            }
            GiveUp::TooOften { answered } => {
                let same = if again { "the same nonce" } else { "a new nonce, and the one before is called stale" };
                let what = format!("challenge loop: {answered} answers, and each is followed by another challenge with {same}");
                let remedy = "ask the provider: servers behind one name that do not know each other's nonces, or a clock that is wrong; name one of them \
                              as proxy meanwhile";
                report.bad(Kind::ChallengeLoop, what, remedy);
            }
            GiveUp::NoChallenge | GiveUp::NoAlgorithm { .. } => {
                let remedy = "ask the provider for Digest with qop auth, by SHA-256 or MD5 (RFC 8760)";
                report.bad(Kind::NotAnswerable, format!("the challenge cannot be answered: {why}"), remedy);
            }
        }
    }

    /// Says what a final response means that is neither a challenge nor good.
    fn refused(&self, response: &Message, report: &mut Report<'_>) {
        let (subject, said) = (self.open.place.subject, wording::status(response));
        let (trunk, aor) = (&subject.trunk, address_of_record(subject));
        let believed = if self.answers > 0 { "to right credentials, or without a look at them" } else { "without asking for credentials" };
        let remedy = match response.status() {
            403 => format!(
                "see with the provider that the account is not blocked, that {aor} is its address of record, and that it may register from {}",
                self.open.place.from()
            ),
            404 | 410 | 480 => format!("{aor} is not known there: correct trunk.{trunk}.username or trunk.{trunk}.provider"),
            405 | 501 => "no registrar is there: the provider knows its customers by address, or has a registrar elsewhere".to_owned(),
            423 => format!("it wants registrations of more than {EXPIRES_MAX} s; let the PBX ask for as many"),
            503 => "wait as long as it says, and ask the provider".to_owned(),
            _ => "ask the provider, with this answer".to_owned(),
        };
        report.bad(Kind::NotRegistered, format!("REGISTER of {aor} is answered {said}, {believed}"), remedy);
    }
}

/// The time that a 423 wants at least (RFC 3261 10.2.8), if it is not too long.
fn min_expires(response: &Message) -> Option<u32> {
    let value = response.field(&Name::MinExpires).filter(|_| response.status() == 423)?;
    str::from_utf8(value).ok()?.trim().parse().ok().filter(|seconds| *seconds <= EXPIRES_MAX)
}

/// What a response asks for.
fn describe(challenges: &[Challenge]) -> String {
    let one = |challenge: &Challenge| {
        let algorithm = challenge.algorithm.as_ref().map_or_else(|| "MD5 (by default)".to_owned(), |name| wording::printable(name));
        let qop = match challenge.offer {
            Offer::None => "no qop",
            Offer::Auth => "qop auth",
            Offer::AuthInt => "qop auth-int only",
            Offer::Unknown => "a qop that nobody knows",
        };
        let stale = if challenge.stale { ", stale" } else { "" };
        format!("realm `{}`, {algorithm}, {qop}{stale}", wording::printable(&challenge.realm))
    };
    match challenges {
        [] => "with no Digest challenge".to_owned(),
        all => all.iter().take(CHALLENGES).map(one).collect::<Vec<_>>().join("; or "),
    }
}
