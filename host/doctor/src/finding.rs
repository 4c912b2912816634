//! What has been found out, one line each.

use std::fmt;

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grade {
    /// It is as it should be.
    Good,
    /// It may be meant, and does not hinder.
    Note,
    /// It hinders calls, or will.
    Bad,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Which way is looked at next.
    Way,
    /// A URI that leads nowhere.
    Uri,
    /// A route without `;lr` (RFC 3261 16.12).
    StrictRouter,
    /// No listener to send from.
    NoListener,
    /// The address to send from, and whether this machine has it.
    EgressAddress,
    /// The port to send datagrams from, and whether it is the listener's.
    LocalPort,
    /// The system would send by another interface.
    OtherInterface,
    /// What the name servers said to one question.
    Record,
    /// The addresses of a name.
    Resolved,
    /// A name without an address.
    NotResolved,
    /// Addresses of a family that the listener does not have.
    WrongFamily,
    /// Transports that the listener does not speak.
    WrongTransport,
    /// Addresses from where calls would not count as the provider's.
    NotFromProvider,
    /// More addresses or ways than are looked at.
    NotExamined,
    /// A connection.
    Connected,
    /// Nobody listens there.
    Refused,
    /// There is no way there.
    Unreachable,
    /// Nothing came back to the attempt to connect.
    TimedOut,
    /// The listener's own certificates cannot be used.
    TlsFiles,
    /// TLS has been agreed on.
    TlsAgreed,
    /// It has not.
    TlsFailed,
    /// A certificate that the server has shown.
    Certificate,
    /// The server has proved who it is.
    Trusted,
    /// Nobody whom we trust has signed its certificate, or it cannot be trusted for another reason.
    Untrusted,
    /// Its certificate speaks for others.
    WrongName,
    /// Its certificate has expired, or is not valid yet.
    OutOfTime,
    /// Its certificate expires soon.
    ExpiresSoon,
    /// The server would not have to prove anything.
    Unverified,
    /// OPTIONS is answered as it should be.
    Answers,
    /// Somebody is there, and does not like OPTIONS.
    AnswersOtherwise,
    /// Credentials are wanted.
    Challenged,
    /// 403 and the like.
    Forbidden,
    /// The request went in a circle: 482, 483.
    Loop,
    /// 408, 5xx: who is there cannot serve.
    Unavailable,
    /// The request cannot be understood there: 400, 416, 420.
    Misunderstood,
    /// No answer.
    Silent,
    /// The connection was lost before an answer.
    Broken,
    /// Times of several round trips.
    RoundTrip,
    /// The address that the provider sees.
    SeenAs,
    /// It is not the one that we write into messages.
    Nat,
    /// Why no REGISTER was sent.
    NotTried,
    /// REGISTER was accepted.
    Registered,
    /// The binding of the doctor's own is still there.
    NotRemoved,
    /// The challenge is for another realm than the configured one.
    WrongRealm,
    /// The challenge cannot be answered.
    NotAnswerable,
    /// The credentials are refused.
    WrongPassword,
    /// The answer to a challenge brings the same challenge again.
    ChallengeLoop,
    /// The registration was refused for another reason.
    NotRegistered,
    /// The time that the proxy adds.
    AddedTime,
    /// Why that was not measured.
    NotMeasured,
}

/// One thing that has been found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How to take it.
    pub grade: Grade,
    /// What it is about.
    pub kind: Kind,
    /// What it is: one line.
    pub what: String,
    /// What to do about it, one line; always there if it is bad.
    pub remedy: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, "\n{remedy}"))
    }
}

/// Who is told what is found, as soon as it is known.
pub trait Findings {
    /// Something has been found.
    fn found(&mut self, finding: Finding);
}

impl Findings for Vec<Finding> {
    fn found(&mut self, finding: Finding) {
        self.push(finding);
    }
}

/// Passes findings on, and counts the bad ones.
pub(crate) struct Report<'f> {
    findings: &'f mut dyn Findings,
    pub(crate) bad: usize,
}

impl<'f> Report<'f> {
    pub(crate) fn new(findings: &'f mut dyn Findings) -> Self {
        Self { findings, bad: 0 }
    }

    pub(crate) fn good(&mut self, kind: Kind, what: impl Into<String>) {
        self.add(Grade::Good, kind, what.into(), None);
    }

    pub(crate) fn note(&mut self, kind: Kind, what: impl Into<String>) {
        self.add(Grade::Note, kind, what.into(), None);
    }

    pub(crate) fn advise(&mut self, kind: Kind, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Grade::Note, kind, what.into(), Some(remedy.into()));
    }

    pub(crate) fn bad(&mut self, kind: Kind, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(Grade::Bad, kind, what.into(), Some(remedy.into()));
    }

    fn add(&mut self, grade: Grade, kind: Kind, what: String, remedy: Option<String>) {
        self.bad += usize::from(grade == Grade::Bad);
        self.findings.found(Finding { grade, kind, what, remedy });
    }
}
